//! SQL of the search: ids by index, whichever way they were asked for, then what is shown of each.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use uuid::Uuid;

use super::meant::Known;
use crate::error::{Error, Result};
use crate::orders::model::OrderState;
use crate::platform::pg::Statement;

/// Newest first, of each exhibition so many at most, and so many of those. `$scope` is written for one index: the planner would
/// rather go through the newest of all exhibitions, which for a small one are all there are.
macro_rules! newest {
    ($name:ident, $label:literal, $with:literal, $from:literal, $scope:expr, $order:literal) => {
        const $name: Statement = Statement::new(
            $label,
            concat!(
                $with,
                "select p.id
                   from unnest($1::int[]) as e (id)
                  cross join lateral (
                        select o.id from ",
                $from,
                " where ",
                $scope,
                " and o.created_at >= $4 and o.created_at < $5 order by ",
                $order,
                " limit $6) p
                  order by p.id desc limit $6"
            ),
        );
    };
    // By order_exhibition.
    ($name:ident, $label:literal, many $state:literal) => {
        newest!(
            $name,
            $label,
            "",
            "orders o",
            concat!("(o.exhibition_id, o.id) < (e.id, $2) and (o.exhibition_id, o.id) >= (e.id, $3) and ", $state),
            "o.exhibition_id desc, o.id desc"
        );
    };
    // By order_ended.
    ($name:ident, $label:literal, few $state:literal) => {
        newest!(
            $name,
            $label,
            "",
            "orders o",
            concat!("o.exhibition_id = e.id and o.id < $2 and o.id >= $3 and ", $state),
            "o.id desc"
        );
    };
}
newest!(ALL, "care.newest", many "true");
newest!(PAID, "care.newest_paid", many "o.state = 'paid'");
newest!(AWAITING, "care.newest_awaiting", few "o.state = 'awaiting_deposit'");
newest!(PARTLY, "care.newest_partly_refunded", few "o.state = 'partially_refunded'");
newest!(REFUNDED, "care.newest_refunded", few "o.state = 'refunded'");
newest!(EXPIRED, "care.newest_expired", few "o.state = 'expired'");
newest!(CANCELLED, "care.newest_cancelled", few "o.state = 'cancelled'");
// Those that hold places unpaid are as many as there are places, for ten minutes: all of them are read, and sorted.
newest!(
    HELD,
    "care.newest_held",
    "with open as materialized (select id, exhibition_id, created_at from orders where state = 'held') ",
    "open o",
    "o.exhibition_id = e.id and o.id < $2 and o.id >= $3",
    "o.id desc"
);
newest!(
    CONFIRMING,
    "care.newest_confirming",
    "with open as materialized (
         select o.id, o.exhibition_id, o.created_at
           from attempts a join orders o on o.id = a.order_id
          where a.state in ('sent', 'unknown', 'awaiting_deposit') and o.state = 'confirming'
     ) ",
    "open o",
    "o.exhibition_id = e.id and o.id < $2 and o.id >= $3",
    "o.id desc"
);

/// Newest first, of these slots and in these states: by order_slot, of each slot and state so many at most, as above. Those that
/// it leaves out, as it costs a sale that goes on nothing, are read as above as well.
const VISITED: Statement = Statement::new(
    "care.visited",
    "with open as materialized (
         select id, slot_id, created_at from orders where state = 'held' and 'held' = any($7::text[])
          union all
         select o.id, o.slot_id, o.created_at
           from attempts a join orders o on o.id = a.order_id
          where a.state in ('sent', 'unknown', 'awaiting_deposit') and o.state = 'confirming'
            and 'confirming' = any($7::text[])
     )
     select f.id from (
            select p.id
              from unnest($1::int[]) as s (id)
             cross join unnest($7::text[]) as v (state)
             cross join lateral (
                   select o.id from orders o
                    where (o.slot_id, o.state, o.id) < (s.id, v.state, $2)
                      and (o.slot_id, o.state, o.id) >= (s.id, v.state, $3) and o.slot_id is not null
                      and o.state in ('awaiting_deposit', 'paid', 'partially_refunded', 'refunded', 'expired', 'cancelled')
                      and o.created_at >= $4 and o.created_at < $5
                    order by o.slot_id desc, o.state desc, o.id desc limit $6) p
             union all
            select o.id from open o
             where o.slot_id = any($1::int[]) and o.id < $2 and o.id >= $3 and o.created_at >= $4 and o.created_at < $5) f
      order by f.id desc limit $6",
);

/// By their numbers first, however the planner would rather go through the newest.
const NUMBERED: Statement = Statement::new(
    "care.numbered",
    "with o as materialized (
         select id, exhibition_id, slot_id, created_at, state from orders where number between $8 and $9
     )
     select o.id from o
      where o.exhibition_id = any($1::int[]) and o.id < $2 and o.id >= $3
        and o.created_at >= $4 and o.created_at < $5 and ($7::text is null or o.state = $7)
        and ($10::int[] is null or o.slot_id = any($10))
      order by o.id desc limit $6",
);

/// Each way by an index of its own that has its rows in order.
macro_rules! known {
    ($($from:literal, $key:literal;)*) => {
        concat!("select id from (", known!(@ $($from, $key;)*), ") f group by id order by id desc limit $6")
    };
    (@ $from:literal, $key:literal; $($rest:tt)+) => {
        concat!(known!(@ $from, $key;), " union all ", known!(@ $($rest)+))
    };
    (@ $from:literal, $key:literal;) => {
        concat!("select h.id from ", $from, " cross join lateral (
                    select o.id from contacts c join orders o on o.id = c.order_id
                     where ", $key, " and c.order_id < $2 and c.order_id >= $3 and c.erased_at is null
                       and o.exhibition_id = any($1::int[]) and o.created_at >= $4 and o.created_at < $5
                       and ($7::text is null or o.state = $7) and ($12::int[] is null or o.slot_id = any($12))
                     order by c.order_id desc limit $6) h")
    };
}
const KNOWN: Statement = Statement::new(
    "care.known",
    known!(
        "unnest($8::bigint[]) as d (index)", "c.name_index = d.index";
        "unnest($9::bigint[]) as d (index)", "c.tail_index = d.index";
        "unnest($10::bytea[]) as d (digest)", "c.phone_digest = d.digest";
        "unnest($11::text[]) as k (key) join attempts a on a.payment_key = k.key", "c.order_id = a.order_id";
    ),
);

const ROWS: Statement = Statement::new(
    "care.rows",
    "select o.id, o.number, o.exhibition_id, o.slot_id, o.state, o.total_won, o.created_at, o.paid_at, a.method, c.key_id,
            c.sealed, i.products, i.quantities
       from orders o
       left join contacts c on c.order_id = o.id and c.erased_at is null
       left join attempts a on a.id = o.paid_attempt_id
       left join lateral (
            select array_agg(product_id order by line) as products, array_agg(quantity order by line) as quantities
              from order_items where order_id = o.id) i on true
      where o.id = any($1::uuid[]) order by o.id desc",
);

/// By the clock that orders are placed by.
const JUST_AFTER_NOW: Statement =
    Statement::new("care.just_after_now", "select admit_now() + interval '1 microsecond'");

pub const STATEMENTS: &[&Statement] = &[
    &ALL,
    &PAID,
    &AWAITING,
    &PARTLY,
    &REFUNDED,
    &EXPIRED,
    &CANCELLED,
    &HELD,
    &CONFIRMING,
    &VISITED,
    &NUMBERED,
    &KNOWN,
    &ROWS,
    &JUST_AFTER_NOW,
];

/// Which orders: all of it must hold.
#[derive(Clone, Debug)]
pub struct Filter {
    pub exhibitions: Vec<i32>,
    pub state: Option<OrderState>,
    /// None: of any, and of none.
    pub slots: Option<Vec<i32>>,
    /// Placed from then on, and before then.
    pub from: Timestamp,
    pub until: Timestamp,
    /// Ids are about as old as their orders; these bound them a little wider.
    pub ids: (Uuid, Uuid),
}

fn newest_of(state: Option<OrderState>) -> &'static Statement {
    match state {
        None => &ALL,
        Some(OrderState::Held) => &HELD,
        Some(OrderState::Confirming) => &CONFIRMING,
        Some(OrderState::AwaitingDeposit) => &AWAITING,
        Some(OrderState::Paid) => &PAID,
        Some(OrderState::PartiallyRefunded) => &PARTLY,
        Some(OrderState::Refunded) => &REFUNDED,
        Some(OrderState::Expired) => &EXPIRED,
        Some(OrderState::Cancelled) => &CANCELLED,
    }
}

pub async fn just_after_now(client: &impl GenericClient) -> Result<Timestamp> {
    Ok(JUST_AFTER_NOW.query_one(client, &[]).await?.get(0))
}

pub async fn newest(client: &impl GenericClient, by: &Filter, limit: i64) -> Result<Vec<Uuid>> {
    let (low, high) = by.ids;
    if let Some(slots) = &by.slots {
        let states: Vec<&str> =
            by.state.map_or(OrderState::ALL.to_vec(), |one| vec![one]).iter().map(|one| one.as_str()).collect();
        let rows = VISITED.query(client, &[slots, &high, &low, &by.from, &by.until, &limit, &states]).await?;
        return Ok(rows.iter().map(|row| row.get(0)).collect());
    }
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&by.exhibitions, &high, &low, &by.from, &by.until, &limit];
    Ok(newest_of(by.state).query(client, &params).await?.iter().map(|row| row.get(0)).collect())
}

pub async fn numbered(
    client: &impl GenericClient,
    by: &Filter,
    (first, last): (&str, &str),
    limit: i64,
) -> Result<Vec<Uuid>> {
    let (low, high) = by.ids;
    let state = by.state.map(OrderState::as_str);
    let rows = NUMBERED
        .query(client, &[&by.exhibitions, &high, &low, &by.from, &by.until, &limit, &state, &first, &last, &by.slots])
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub async fn known(client: &impl GenericClient, by: &Filter, known: &Known, limit: i64) -> Result<Vec<Uuid>> {
    let (low, high) = by.ids;
    let state = by.state.map(OrderState::as_str);
    let phones: Vec<&[u8]> = known.phone.iter().map(Vec::as_slice).collect();
    let keys: Vec<&str> = known.payment_key.iter().map(String::as_str).collect();
    let rows = KNOWN
        .query(
            client,
            &[
                &by.exhibitions,
                &high,
                &low,
                &by.from,
                &by.until,
                &limit,
                &state,
                &known.names,
                &known.tails,
                &phones,
                &keys,
                &by.slots,
            ],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub struct OrderRow {
    pub id: Uuid,
    pub number: String,
    pub exhibition_id: i32,
    pub slot_id: Option<i32>,
    pub state: OrderState,
    pub total_won: i32,
    pub created_at: Timestamp,
    pub paid_at: Option<Timestamp>,
    pub method: Option<String>,
    /// Key id and sealed contact; None: forgotten.
    pub contact: Option<(String, Vec<u8>)>,
    /// Product and quantity.
    pub items: Vec<(i32, i32)>,
}

/// What is shown of these orders, newest first.
pub async fn rows(client: &impl GenericClient, ids: &[Uuid]) -> Result<Vec<OrderRow>> {
    let row = |r: &tokio_postgres::Row| {
        let (products, quantities): (Vec<i32>, Vec<i32>) = (r.get(11), r.get(12));
        Ok(OrderRow {
            id: r.get(0),
            number: r.get(1),
            exhibition_id: r.get(2),
            slot_id: r.get(3),
            state: OrderState::parse(r.get(4)).ok_or_else(|| Error::bug("an order in an unknown state"))?,
            total_won: r.get(5),
            created_at: r.get(6),
            paid_at: r.get(7),
            method: r.get(8),
            contact: r.get::<_, Option<String>>(9).zip(r.get(10)),
            items: products.into_iter().zip(quantities).collect(),
        })
    };
    ROWS.query(client, &[&ids]).await?.iter().map(row).collect()
}
