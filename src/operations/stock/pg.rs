//! SQL of the stock's audit, as it is looked at.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;

use crate::error::Result;
use crate::platform::pg::Statement;

/// Of the transaction alone.
const AT_MOST: Statement = Statement::new("operations.at_most", "select set_config('statement_timeout', $1, true)");

/// Places of open orders by stock, and those of them past their deadline. Each state is found by the index that holds few others;
/// an order is confirming while it has an attempt in flight, and no longer.
const HELD: Statement = Statement::new(
    "operations.held",
    "with open as (
         select id, slot_id, expires_at <= admit_now() as lapsed from orders where state = 'held' and exhibition_id = $1
          union all
         select o.id, o.slot_id, false from attempts a join orders o on o.id = a.order_id
          where a.state in ('sent', 'unknown') and o.state = 'confirming' and o.exhibition_id = $1
          union all
         select id, slot_id, false from orders where exhibition_id = $1 and state = 'awaiting_deposit'
     ), lines as (
         select p.stock_id, i.quantity, o.lapsed
           from open o join order_items i on i.order_id = o.id join products p on p.id = i.product_id
          union all
         select s.stock_id, i.quantity, o.lapsed
           from open o join order_items i on i.order_id = o.id join products p on p.id = i.product_id and p.dated
           join slots s on s.id = o.slot_id
     )
     select stock_id, sum(quantity)::bigint, coalesce(sum(quantity) filter (where lapsed), 0)::bigint from lines group by stock_id",
);

/// Places of good tickets by stock; not those of an order whose deposit was taken back, which holds its places.
const SOLD: Statement = Statement::new(
    "operations.sold",
    "with good as (
         select product_id, slot_id, count(*) as places from tickets
          where exhibition_id = $1 and state in ('valid', 'blocked') group by 1, 2
          union all
         select t.product_id, t.slot_id, -count(*) from orders o join tickets t on t.order_id = o.id
          where o.exhibition_id = $1 and o.state = 'awaiting_deposit' and t.state in ('valid', 'blocked') group by 1, 2
     ), lines as (
         select p.stock_id, g.places from good g join products p on p.id = g.product_id
          union all
         select s.stock_id, g.places from good g join products p on p.id = g.product_id and p.dated join slots s on s.id = g.slot_id
     )
     select stock_id, sum(places)::bigint from lines group by stock_id",
);

pub const STATEMENTS: &[&Statement] = &[&AT_MOST, &HELD, &SOLD];

/// Ends every statement of this transaction that takes longer.
pub async fn at_most(client: &impl GenericClient, ms: u32) -> Result<()> {
    AT_MOST.query_one(client, &[&ms.to_string()]).await?;
    Ok(())
}

/// By stock: places of open orders, and how many of them have lapsed.
pub async fn held(client: &impl GenericClient, exhibition_id: i32) -> Result<HashMap<i32, (i64, i64)>> {
    let rows = HELD.query(client, &[&exhibition_id]).await?;
    Ok(rows.iter().map(|r| (r.get(0), (r.get(1), r.get(2)))).collect())
}

/// Goes through all tickets of the exhibition.
pub async fn sold(client: &impl GenericClient, exhibition_id: i32) -> Result<HashMap<i32, i64>> {
    Ok(SOLD.query(client, &[&exhibition_id]).await?.iter().map(|r| (r.get(0), r.get(1))).collect())
}
