//! SQL of the changes that devices ask for.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Changes, Cursor, Known, PAGE_ROWS, Place};
use crate::entrance::pg::past;
use crate::error::{Error, Result};
use crate::platform::pg::Statement;

macro_rules! page {
    ($from:literal) => {
        concat!(
            "select t.place, t.id, t.version, t.order_id, t.product_id, t.slot_id,
                    case when t.blocked_at is null then t.state else 'blocked' end, o.state, t.ticket_no, t.of_total,
                    t.entries, t.entry_day, t.entries_day, t.inside, t.last_in_at, t.last_out_at
               from ",
            $from,
            " join orders o on o.id = t.order_id"
        )
    };
}

/// Which database this is, the oldest transaction under way, the first that is yet to come, and what is forgotten. Asked
/// before a page: what that oldest one and younger ones will have written is in the next pass, if it is not in this.
const HEAD: Statement = Statement::new(
    "sync.head",
    "select c.system_identifier::text || '-' || k.timeline_id, pg_snapshot_xmin(s.now)::text,
            pg_snapshot_xmax(s.now)::text, f.until::text
       from pg_control_system() c cross join pg_control_checkpoint() k
      cross join (select pg_current_snapshot() as now) s cross join ticket_changes_forgotten f",
);

const ALL: Statement = Statement::new(
    "sync.all",
    page!("(select *, null::text as place from tickets where exhibition_id = $1 and id > $2 order by id limit $3) t"),
);

/// A number that is yet to come was written in another database, from which this one was restored.
const SINCE: Statement = Statement::new(
    "sync.since",
    page!(
        "(select l.changed::text as place, t.* from (
             select changed, ticket_id from ticket_changes
              where exhibition_id = $1 and (changed, ticket_id) > ($2::text::xid8, $3::uuid) and changed < $4::text::xid8
              order by changed, ticket_id limit $5) l join tickets t on t.id = l.ticket_id) t"
    ),
);

const FORGET: Statement = Statement::new(
    "sync.forget",
    "with old as (
         delete from ticket_changes where ctid = any(array(
             select ctid from ticket_changes where at < admit_now() - interval '3 days' limit $1))
         returning changed
     ), last as (select changed from old order by changed desc limit 1), kept as (
         update ticket_changes_forgotten f set until = l.changed from last l where l.changed > f.until
     )
     select count(*) from old",
);

pub const STATEMENTS: &[&Statement] = &[&HEAD, &ALL, &SINCE, &FORGET];

/// What a pass knows of the database before it reads.
struct Head {
    database: String,
    oldest: u64,
    next: u64,
    forgotten: u64,
}

async fn head(client: &impl GenericClient) -> Result<Head> {
    let row = HEAD.query_one(client, &[]).await?;
    let number = |at: usize| row.get::<_, &str>(at).parse::<u64>().map_err(Error::bug);
    Ok(Head { database: row.get(0), oldest: number(1)?, next: number(2)?, forgotten: number(3)? })
}

impl Head {
    /// Of another database, of one that was set back, or of before what is remembered: it means nothing here.
    fn knows(&self, cursor: &Cursor) -> bool {
        let from = match cursor.place {
            Place::All(_) => cursor.next.unwrap_or(0),
            Place::Since(changed, _) => changed,
        };
        // What was forgotten in another database says nothing of this one.
        let forgotten = if self.forgotten < self.next { self.forgotten } else { 0 };
        self.database == cursor.database
            && cursor.next.unwrap_or(0) <= self.oldest
            && from <= self.next
            && (from > forgotten || forgotten == 0)
    }
}

pub async fn after(client: &impl GenericClient, exhibition_id: i32, cursor: Option<&Cursor>) -> Result<Changes> {
    let head = head(client).await?;
    let cursor = cursor.filter(|cursor| head.knows(cursor));
    let place = cursor.map_or(Place::All(Uuid::nil()), |cursor| cursor.place);
    // A pass that begins here says where the next one begins.
    let next = cursor.and_then(|cursor| cursor.next).unwrap_or(head.oldest);
    let rows = match place {
        Place::All(id) => ALL.query(client, &[&exhibition_id, &id, &PAGE_ROWS]).await?,
        Place::Since(changed, id) => {
            let (changed, yet_to_come) = (changed.to_string(), head.next.to_string());
            SINCE.query(client, &[&exhibition_id, &changed, &id, &yet_to_come, &PAGE_ROWS]).await?
        }
    };
    let (mut last, more) = (place, rows.len() as i64 >= PAGE_ROWS);
    // A ticket that changed twice is told once.
    let mut tickets = HashMap::with_capacity(rows.len());
    for row in &rows {
        let known = known(row);
        last = last.max(match row.get::<_, Option<&str>>(0) {
            Some(changed) => Place::Since(changed.parse().map_err(Error::bug)?, known.id),
            None => Place::All(known.id),
        });
        tickets.insert(known.id, known);
    }
    let (place, next) = if more { (last, Some(next)) } else { (Place::Since(next, Uuid::nil()), None) };
    let (database, anew) = (head.database, cursor.is_none());
    let tickets = tickets.into_values().collect();
    Ok(Changes { tickets, cursor: Cursor { database, place, next }, more, anew })
}

fn known(row: &Row) -> Known {
    Known {
        id: row.get(1),
        version: row.get(2),
        order_id: row.get(3),
        product_id: row.get(4),
        slot_id: row.get(5),
        state: row.get(6),
        order_state: row.get(7),
        ticket_no: row.get(8),
        of_total: row.get(9),
        past: past(row, 10),
    }
}

/// What nobody asks for any more; how many.
pub async fn forget(client: &impl GenericClient, limit: i64) -> Result<i64> {
    Ok(FORGET.query_one(client, &[&limit]).await?.get(0))
}
