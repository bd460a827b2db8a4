//! Slots, each with its stock.

use deadpool_postgres::GenericClient;
use jiff::civil::{Date, Time};
use tokio_postgres::Row;

use super::super::slots::{Hours, SlotSettings};
use super::Stocked;
use crate::error::{Error, Result};
use crate::platform::pg::Statement;

pub type SlotRow = Stocked<SlotSettings>;

macro_rules! slots {
    ($rest:literal) => {
        concat!(
            "select t.id, t.exhibition_id, t.stock_id, t.revision, s.held, s.sold, t.visit_date, t.start_time, t.end_time,
                    t.closed, s.total, s.offered
               from slots t join stock s on s.id = t.stock_id ",
            $rest
        )
    };
}

const ONE: Statement = Statement::new("admin_catalogue.slot", slots!("where t.id = $1"));

/// $2, $3 null: from the first, to the last.
const LIST: Statement = Statement::new(
    "admin_catalogue.slots",
    slots!(
        "where t.exhibition_id = $1 and t.visit_date >= coalesce($2, '-infinity'::date)
           and t.visit_date <= coalesce($3, 'infinity'::date)
         order by t.visit_date, t.start_time nulls first, t.id"
    ),
);

const INSERT: Statement = Statement::new(
    "admin_catalogue.insert_slots",
    "insert into slots (exhibition_id, stock_id, visit_date, start_time, end_time, closed)
     select $1, n.stock_id, n.visit_date, n.start_time, n.end_time, n.closed
       from unnest($2::int[], $3::date[], $4::time[], $5::time[], $6::bool[]) as n (stock_id, visit_date, start_time, end_time, closed)
     returning id",
);

const UPDATE: Statement = Statement::new(
    "admin_catalogue.update_slot",
    "update slots set stock_id = $2, visit_date = $3, start_time = $4, end_time = $5, closed = $6, revision = revision + 1
      where id = $1",
);

const CLOSE: Statement = Statement::new(
    "admin_catalogue.close_slots",
    "update slots t set closed = n.closed, revision = t.revision + 1
       from unnest($1::int[], $2::bool[]) as n (id, closed) where t.id = n.id",
);

/// Another slot of that exhibition ($1) than $4 begins then.
const IS_THERE: Statement = Statement::new(
    "admin_catalogue.slot_is_there",
    "select exists (select from slots where exhibition_id = $1 and visit_date = $2 and start_time is not distinct from $3 and id <> $4)",
);

/// Whoever places an order for it writes this under the lock of its stock.
const IS_ORDERED: Statement =
    Statement::new("admin_catalogue.slot_is_ordered", "select exists (select from orders where slot_id = $1)");

const DELETE: Statement = Statement::new("admin_catalogue.delete_slot", "delete from slots where id = $1");

pub const STATEMENTS: &[&Statement] = &[&ONE, &LIST, &INSERT, &UPDATE, &CLOSE, &IS_THERE, &IS_ORDERED, &DELETE];

fn read(r: &Row) -> SlotRow {
    Stocked {
        id: r.get(0),
        exhibition_id: r.get(1),
        stock_id: r.get(2),
        revision: r.get(3),
        held: r.get(4),
        sold: r.get(5),
        settings: SlotSettings {
            date: r.get(6),
            start_time: r.get(7),
            end_time: r.get(8),
            closed: r.get(9),
            total: r.get(10),
            offered: r.get(11),
        },
    }
}

pub async fn one(client: &impl GenericClient, id: i32) -> Result<SlotRow> {
    let row = ONE.query_opt(client, &[&id]).await?;
    row.as_ref().map(read).ok_or_else(|| Error::not_found("catalogue.unknown_slot"))
}

pub async fn list(
    client: &impl GenericClient,
    exhibition_id: i32,
    from: Option<Date>,
    until: Option<Date>,
) -> Result<Vec<SlotRow>> {
    Ok(LIST.query(client, &[&exhibition_id, &from, &until]).await?.iter().map(read).collect())
}

/// Slots that nobody begins at yet, each with a stock of its own: their ids, in the same order.
pub async fn insert(
    client: &impl GenericClient,
    exhibition_id: i32,
    slots: &[(i32, SlotSettings)],
) -> Result<Vec<i32>> {
    let stock_ids: Vec<i32> = slots.iter().map(|(stock_id, _)| *stock_id).collect();
    let dates: Vec<Date> = slots.iter().map(|(_, s)| s.date).collect();
    let starts: Vec<Option<Time>> = slots.iter().map(|(_, s)| s.start_time).collect();
    let ends: Vec<Option<Time>> = slots.iter().map(|(_, s)| s.end_time).collect();
    let closed: Vec<bool> = slots.iter().map(|(_, s)| s.closed).collect();
    let rows = INSERT.query(client, &[&exhibition_id, &stock_ids, &dates, &starts, &ends, &closed]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Under the lock of its exhibition. Its stock is changed apart.
pub async fn update(client: &impl GenericClient, id: i32, stock_id: i32, s: &SlotSettings) -> Result<()> {
    UPDATE.execute(client, &[&id, &stock_id, &s.date, &s.start_time, &s.end_time, &s.closed]).await?;
    Ok(())
}

/// Closed or open, each with a new revision: whatever else of it has changed.
pub async fn touch(client: &impl GenericClient, slots: &[(i32, bool)]) -> Result<()> {
    let (ids, closed): (Vec<i32>, Vec<bool>) = slots.iter().copied().unzip();
    CLOSE.execute(client, &[&ids, &closed]).await?;
    Ok(())
}

/// Whether another slot than `id` (0: any) begins then.
pub async fn is_there(client: &impl GenericClient, exhibition_id: i32, hours: &Hours, id: i32) -> Result<bool> {
    Ok(IS_THERE.query_one(client, &[&exhibition_id, &hours.date, &hours.start_time, &id]).await?.get(0))
}

/// Under the lock of its stock.
pub async fn is_ordered(client: &impl GenericClient, id: i32) -> Result<bool> {
    Ok(IS_ORDERED.query_one(client, &[&id]).await?.get(0))
}

/// One that nobody has ordered.
pub async fn delete(client: &impl GenericClient, id: i32) -> Result<()> {
    DELETE.execute(client, &[&id]).await?;
    Ok(())
}
