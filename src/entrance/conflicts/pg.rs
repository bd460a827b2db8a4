//! SQL of conflicts.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Result;
use crate::platform::pg::Statement;

const OPEN: Statement = Statement::new(
    "conflicts.open",
    "select count(*) from entry_conflicts where exhibition_id = $1 and decided_at is null",
);

const LIST: Statement = Statement::new(
    "conflicts.list",
    "select c.id, c.kind, c.created_at, c.decided_at, u.username, c.decision, c.note, o.number, t.ticket_no, t.of_total,
            a.scanned_at, a.device_at, a.gate, ad.name, au.username,
            b.scanned_at, b.device_at, b.gate, bd.name, bu.username
       from entry_conflicts c
       join scans a on a.id = c.scan_id
       left join scans b on b.id = c.other_scan_id
       left join devices ad on ad.id = a.device_id
       left join devices bd on bd.id = b.device_id
       left join admin_users au on au.id = a.staff_id
       left join admin_users bu on bu.id = b.staff_id
       left join admin_users u on u.id = c.decided_by
       left join tickets t on t.id = c.ticket_id
       left join orders o on o.id = t.order_id
      where c.exhibition_id = $1 and ($2 or c.decided_at is null) and ($3::uuid is null or c.id < $3)
      order by c.id desc limit $4",
);

/// None: no such conflict. False: somebody was first.
const DECIDE: Statement = Statement::new(
    "conflicts.decide",
    "with one as materialized (
         select id, kind, ticket_id, scan_id, decided_at from entry_conflicts
          where id = $1 and exhibition_id = $2 for update
     ), decided as (
         update entry_conflicts c set decided_at = admit_now(), decided_by = $3, decision = $4, note = $5
           from one where c.id = one.id and one.decided_at is null
     )
     select decided_at is null, kind, ticket_id, scan_id from one",
);

const JOIN_IN: Statement =
    Statement::new("conflicts.join_in", "update scans set apart = false where id = $1 and apart returning scanned_at");

pub const STATEMENTS: &[&Statement] = &[&OPEN, &LIST, &DECIDE, &JOIN_IN];

pub async fn open(client: &impl GenericClient, exhibition_id: i32) -> Result<i64> {
    Ok(OPEN.query_one(client, &[&exhibition_id]).await?.get(0))
}

/// One of the scans of a conflict.
pub struct Place {
    pub at: Timestamp,
    pub device_at: Option<Timestamp>,
    pub gate: String,
    pub device: Option<String>,
    pub staff: Option<String>,
}

pub struct Listed {
    pub id: Uuid,
    pub kind: String,
    pub created_at: Timestamp,
    pub decided_at: Option<Timestamp>,
    pub decided_by: Option<String>,
    pub decision: Option<String>,
    pub note: Option<String>,
    pub order_number: Option<String>,
    pub ticket_no: Option<i16>,
    pub of: Option<i16>,
    pub scan: Option<Place>,
    pub other: Option<Place>,
}

fn place(row: &Row, at: usize) -> Option<Place> {
    Some(Place {
        at: row.get::<_, Option<Timestamp>>(at)?,
        device_at: row.get(at + 1),
        gate: row.get(at + 2),
        device: row.get(at + 3),
        staff: row.get(at + 4),
    })
}

/// The newest first, after a place in the list.
pub async fn list(
    client: &impl GenericClient,
    exhibition_id: i32,
    decided_too: bool,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Listed>> {
    let rows = LIST.query(client, &[&exhibition_id, &decided_too, &after, &limit]).await?;
    let listed = |row: &Row| Listed {
        id: row.get(0),
        kind: row.get(1),
        created_at: row.get(2),
        decided_at: row.get(3),
        decided_by: row.get(4),
        decision: row.get(5),
        note: row.get(6),
        order_number: row.get(7),
        ticket_no: row.get(8),
        of: row.get(9),
        scan: place(row, 10),
        other: place(row, 15),
    };
    Ok(rows.iter().map(listed).collect())
}

/// What was decided on.
pub struct Decided {
    /// Nobody had before.
    pub now: bool,
    pub kind: String,
    pub ticket_id: Option<Uuid>,
    pub scan_id: Uuid,
}

pub async fn decide(
    client: &impl GenericClient,
    id: Uuid,
    exhibition_id: i32,
    by: i32,
    decision: &str,
    note: Option<&str>,
) -> Result<Option<Decided>> {
    let row = DECIDE.query_opt(client, &[&id, &exhibition_id, &by, &decision, &note]).await?;
    Ok(row.map(|row| Decided { now: row.get(0), kind: row.get(1), ticket_id: row.get(2), scan_id: row.get(3) }))
}

/// A scan that was written down apart counts from now on; when it was. None: it was not apart.
pub async fn join_in(client: &impl GenericClient, scan_id: Uuid) -> Result<Option<Timestamp>> {
    Ok(JOIN_IN.query_opt(client, &[&scan_id]).await?.map(|row| row.get(0)))
}
