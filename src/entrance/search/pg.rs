//! SQL of the search: ids by index, whichever way they were asked for.

use deadpool_postgres::GenericClient;
use uuid::Uuid;

use super::{FOUND_MAX, Meant};
use crate::error::Result;
use crate::platform::pg::Statement;

/// Order numbers have one shape, so between the first and the last that begin so lie all that do.
const FIND: Statement = Statement::new(
    "search.find",
    "with numbered as (
         select id from tickets
          where substring(sha256(uuid_send(id) || int2send(version)) for 5) between $2 and $3 and exhibition_id = $1
          limit $7
     ), ordered as (
         select o.id from unnest($4::text[], $5::text[]) as n (first, last) join orders o on o.number between n.first and n.last
          where o.exhibition_id = $1 limit $7
     ), called as (
         select o.id from contacts c join orders o on o.id = c.order_id
          where c.phone_digest = $6 and c.erased_at is null and o.exhibition_id = $1 limit $7
     )
     select id from (
         select id from numbered
          union
         select t.id from tickets t where t.order_id in (select id from ordered union select id from called)) f
      limit $7",
);

pub const STATEMENTS: &[&Statement] = &[&FIND];

pub async fn find(client: &impl GenericClient, exhibition_id: i32, meant: &Meant) -> Result<Vec<Uuid>> {
    let (low, high) = meant.numbers.unzip();
    let (low, high) = (low.as_ref().map(|n| n.as_slice()), high.as_ref().map(|n| n.as_slice()));
    let first: Vec<&str> = meant.orders.iter().map(|n| n.0.as_str()).collect();
    let last: Vec<&str> = meant.orders.iter().map(|n| n.1.as_str()).collect();
    let phone = meant.phone.as_ref().map(|digest| digest.as_slice());
    let rows = FIND.query(client, &[&exhibition_id, &low, &high, &first, &last, &phone, &FOUND_MAX]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
