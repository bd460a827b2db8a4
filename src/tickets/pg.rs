//! All SQL of tickets and their signing keys. Tickets are written by the stock writer (issue) and the entrance
//! (admission); here they are read, and given a new code.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::platform::pg::Statement;

const OF_ORDER: Statement = Statement::new(
    "tickets.of_order",
    "select t.id, t.ticket_no, t.of_total, t.version, t.key_id, t.state, t.used_at, t.exhibition_id, t.product_id, t.slot_id,
            coalesce(r.entries = 'daily' or r.reentry, false)
       from tickets t
       left join lateral (
            select r.entries, r.reentry from entry_rules r
             where r.exhibition_id = t.exhibition_id and (r.product_id = t.product_id or r.product_id is null)
             order by r.product_id nulls last limit 1) r on true
      where t.order_id = $1 order by t.ticket_no",
);

const TO_SHOW: Statement = Statement::new(
    "tickets.to_show",
    "select t.version, t.key_id, t.state, t.exhibition_id, coalesce(s.visit_date, e.starts_on),
            coalesce(s.visit_date, e.ends_on), o.id, o.number, o.token_version
       from tickets t join orders o on o.id = t.order_id join exhibitions e on e.id = t.exhibition_id
       left join slots s on s.id = t.slot_id
      where t.id = $1",
);

/// A ticket that is used for good keeps its code: there is nothing left to steal. The order's history says how often it was
/// done.
const REISSUE: Statement = Statement::new(
    "tickets.reissue",
    "with reissued as (
         update tickets t set version = version + 1
          where id = $1 and order_id = $2 and state = 'valid' and version <= $3
            and (used_at is null
                 or (select r.entries = 'daily' or r.reentry from entry_rules r
                      where r.exhibition_id = t.exhibition_id and (r.product_id = t.product_id or r.product_id is null)
                      order by r.product_id nulls last limit 1))
         returning id, order_id
     ), told as (
         insert into order_events (order_id, kind, actor, cause, correlation_id, at)
         select order_id, 'ticket_reissued', 'visitor', 'reissue', id::text, admit_now() from reissued
     )
     select id from reissued",
);

const KEYS: Statement = Statement::new(
    "tickets.keys",
    "select id, public_key, key_id, sealed_seed, created_at, retired_at from signing_keys order by id",
);

const ADD_KEY: Statement = Statement::new(
    "tickets.add_key",
    "insert into signing_keys (id, public_key, key_id, sealed_seed, created_at) values ($1, $2, $3, $4, $5)
     on conflict (id) do nothing",
);

const RETIRE_KEY: Statement =
    Statement::new("tickets.retire_key", "update signing_keys set retired_at = least(retired_at, $2) where id = $1");

pub const STATEMENTS: &[&Statement] = &[&OF_ORDER, &TO_SHOW, &REISSUE, &KEYS, &ADD_KEY, &RETIRE_KEY];

pub struct TicketRow {
    pub id: Uuid,
    pub ticket_no: i16,
    pub of_total: i16,
    pub version: i16,
    pub key_id: i16,
    pub state: String,
    pub used_at: Option<Timestamp>,
    pub exhibition_id: i32,
    pub product_id: i32,
    pub slot_id: Option<i32>,
    /// Its rules let it in again after it was used.
    pub again: bool,
}

pub async fn of_order(client: &impl GenericClient, order_id: Uuid) -> Result<Vec<TicketRow>> {
    let rows = OF_ORDER.query(client, &[&order_id]).await?;
    Ok(rows
        .iter()
        .map(|r| TicketRow {
            id: r.get(0),
            ticket_no: r.get(1),
            of_total: r.get(2),
            version: r.get(3),
            key_id: r.get(4),
            state: r.get(5),
            used_at: r.get(6),
            exhibition_id: r.get(7),
            product_id: r.get(8),
            slot_id: r.get(9),
            again: r.get(10),
        })
        .collect())
}

/// A ticket whose picture is asked for, with what its code says and whose it is.
pub struct Shown {
    pub version: i16,
    pub key_id: i16,
    pub state: String,
    pub exhibition_id: i32,
    pub valid_from: Date,
    pub valid_until: Date,
    pub order_id: Uuid,
    pub order_number: String,
    pub token_version: i32,
}

pub async fn to_show(client: &impl GenericClient, id: Uuid) -> Result<Option<Shown>> {
    let row = TO_SHOW.query_opt(client, &[&id]).await?;
    Ok(row.map(|r| Shown {
        version: r.get(0),
        key_id: r.get(1),
        state: r.get(2),
        exhibition_id: r.get(3),
        valid_from: r.get(4),
        valid_until: r.get(5),
        order_id: r.get(6),
        order_number: r.get(7),
        token_version: r.get(8),
    }))
}

/// Every code of the ticket so far is void from here on. False: it is used, not valid, or was re-issued too often.
pub async fn reissue(client: &impl GenericClient, id: Uuid, order_id: Uuid, most: i16) -> Result<bool> {
    Ok(REISSUE.query_opt(client, &[&id, &order_id, &most]).await?.is_some())
}

pub struct StoredKey {
    pub id: i16,
    pub public: [u8; 32],
    pub data_key_id: String,
    pub sealed_seed: Vec<u8>,
    pub created_at: Timestamp,
    pub retired_at: Option<Timestamp>,
}

pub async fn keys(client: &impl GenericClient) -> Result<Vec<StoredKey>> {
    KEYS.query(client, &[])
        .await?
        .iter()
        .map(|r| {
            Ok(StoredKey {
                id: r.get(0),
                public: r.get::<_, &[u8]>(1).try_into().map_err(Error::bug)?,
                data_key_id: r.get(2),
                sealed_seed: r.get(3),
                created_at: r.get(4),
                retired_at: r.get(5),
            })
        })
        .collect()
}

/// False when the id is taken.
pub async fn add_key(client: &impl GenericClient, key: &StoredKey) -> Result<bool> {
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&key.id, &&key.public[..], &key.data_key_id, &key.sealed_seed, &key.created_at];
    Ok(ADD_KEY.execute(client, &params).await? == 1)
}

/// False when there is no such key. An earlier end stays.
pub async fn retire_key(client: &impl GenericClient, id: i16, at: Timestamp) -> Result<bool> {
    Ok(RETIRE_KEY.execute(client, &[&id, &at]).await? == 1)
}
