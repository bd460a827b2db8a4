//! SQL of the changes that devices ask for.

use deadpool_postgres::GenericClient;
use uuid::Uuid;

use super::{Changes, Cursor, Known, PAGE_ROWS};
use crate::entrance::pg::past;
use crate::error::{Error, Result};
use crate::platform::pg::Statement;

/// Rows after a place, and of the same snapshot: which database this is, and the oldest transaction under way. What that
/// one and younger ones will have written is in none of the rows, or in some; the next pass begins with it.
const CHANGES: Statement = Statement::new(
    "sync.changes",
    "select c.system_identifier::text || '-' || k.timeline_id, pg_snapshot_xmin(pg_current_snapshot())::text,
            t.changed, t.id, t.version, t.order_id, t.product_id, t.slot_id, t.state, t.order_state,
            t.ticket_no, t.of_total, t.entries, t.entry_day, t.entries_day, t.inside, t.last_in_at, t.last_out_at
       from pg_control_system() c cross join pg_control_checkpoint() k
       left join lateral (
            select t.changed::text, t.id, t.version, t.order_id, t.product_id, t.slot_id,
                   case when t.blocked_at is null then t.state else 'blocked' end as state, o.state as order_state,
                   t.ticket_no, t.of_total, t.entries, t.entry_day, t.entries_day, t.inside, t.last_in_at, t.last_out_at,
                   t.changed as place
              from tickets t join orders o on o.id = t.order_id
             where t.exhibition_id = $1 and (t.changed, t.id) > ($2::text::xid8, $3::uuid)
             order by t.changed, t.id limit $4) t on true
      order by t.place, t.id",
);

pub const STATEMENTS: &[&Statement] = &[&CHANGES];

pub async fn after(client: &impl GenericClient, exhibition_id: i32, cursor: Option<&Cursor>) -> Result<Changes> {
    let changes = from(client, exhibition_id, cursor).await?;
    match cursor {
        // Of another database, or of one that was set back: what it says means nothing here.
        Some(cursor) if changes.foreign(cursor) => {
            from(client, exhibition_id, None).await.map(|found| found.changes(true))
        }
        cursor => Ok(changes.changes(cursor.is_none())),
    }
}

struct Found {
    database: String,
    oldest: u64,
    rows: Vec<(u64, Known)>,
    next: Option<u64>,
}

impl Found {
    fn foreign(&self, cursor: &Cursor) -> bool {
        self.database != cursor.database || cursor.next.unwrap_or(cursor.changed) > self.oldest
    }

    fn changes(self, anew: bool) -> Changes {
        let next = self.next.unwrap_or(self.oldest);
        let more = self.rows.len() as i64 >= PAGE_ROWS;
        let (changed, id, next) = match self.rows.last() {
            Some((changed, known)) if more => (*changed, known.id, Some(next)),
            _ => (next, Uuid::nil(), None),
        };
        let cursor = Cursor { database: self.database, changed, id, next };
        Changes { tickets: self.rows.into_iter().map(|(_, known)| known).collect(), cursor, more, anew }
    }
}

async fn from(client: &impl GenericClient, exhibition_id: i32, cursor: Option<&Cursor>) -> Result<Found> {
    let (changed, id) = cursor.map_or((0, Uuid::nil()), |c| (c.changed, c.id));
    let rows = CHANGES.query(client, &[&exhibition_id, &changed.to_string(), &id, &PAGE_ROWS]).await?;
    let first = rows.first().ok_or_else(|| Error::bug("sync.changes: no row"))?;
    let number = |text: &str| text.parse::<u64>().map_err(Error::bug);
    let mut found = Found {
        database: first.get(0),
        oldest: number(first.get(1))?,
        rows: Vec::with_capacity(rows.len()),
        next: cursor.and_then(|c| c.next),
    };
    for row in &rows {
        // Nothing has changed: one row, with the head alone.
        let Some(changed) = row.get::<_, Option<&str>>(2) else { break };
        let known = Known {
            id: row.get(3),
            version: row.get(4),
            order_id: row.get(5),
            product_id: row.get(6),
            slot_id: row.get(7),
            state: row.get(8),
            order_state: row.get(9),
            ticket_no: row.get(10),
            of_total: row.get(11),
            past: past(row, 12),
        };
        found.rows.push((number(changed)?, known));
    }
    Ok(found)
}
