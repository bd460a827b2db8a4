//! SQL of a ticket's past.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use uuid::Uuid;

use crate::entrance::pg::{TicketRow, entry_day, small};
use crate::entrance::replay::{Moved, Replayed};
use crate::entrance::rules::Direction;
use crate::error::{Error, Result};
use crate::platform::ids;
use crate::platform::pg::{Statement, constraint_of};

const LOCK: Statement = Statement::new("ledger.lock", "select id from tickets where id = $1 for update");

/// An exit that was refused, because nobody had heard of the admission, happened all the same: nobody is kept in.
const MOVED: Statement = Statement::new(
    "ledger.moved",
    "select id, direction = 'out', scanned_at, gate, forced, uploaded_at is not null, counted
       from scans
      where ticket_id = $1 and exhibition_id = $2 and undone_at is null and not apart
        and (allowed or (direction = 'out' and reason = 'not_inside'))
      order by scanned_at, id",
);

const WRITE: Statement = Statement::new(
    "ledger.write",
    "with counted as (
         update scans set counted = id = any($9::uuid[])
          where ticket_id = $1 and allowed and counted <> (id = any($9::uuid[]))
     )
     update tickets
        set movements = movements + 1, entries = $2, entry_day = $3, entries_day = $4, inside = $5, last_in_at = $6,
            last_out_at = to_timestamp($7::bigint), last_gate = $8, used_at = $10, used_gate = $11, used_scan_id = $12
      where id = $1",
);

/// What no longer holds goes, unless somebody has decided on it.
const CONFLICTS: Statement = Statement::new(
    "ledger.conflicts",
    "with gone as (
         delete from entry_conflicts c using (select id from scans where ticket_id = $2 and scanned_at >= $7) s
          where c.scan_id = s.id and c.kind = 'double' and c.decided_at is null and c.scan_id <> all($4::uuid[])
     )
     insert into entry_conflicts (id, exhibition_id, kind, ticket_id, scan_id, other_scan_id, created_at)
     select n.id, $1, 'double', $2, n.scan_id, n.other, $6
       from unnest($3::uuid[], $4::uuid[], $5::uuid[]) as n (id, scan_id, other)
      where not exists (select 1 from entry_conflicts c where c.scan_id = n.scan_id and c.kind <> 'double')
     on conflict on constraint entry_conflict_once do update set other_scan_id = excluded.other_scan_id
        where entry_conflicts.decided_at is null",
);

const INSERT: Statement = Statement::new(
    "ledger.insert",
    "insert into scans (id, exhibition_id, ticket_id, gate, nonce, staff_id, allowed, reason, scanned_at, reply, device_id,
                        direction, forced, undone_at, apart, device_at, uploaded_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
);

/// A scan of a device by its nonce, whoever of those on shift there in the last day made it.
const OF_DEVICE: Statement = Statement::new(
    "ledger.of_device",
    "select s.id, s.ticket_id, s.allowed, s.reason, s.scanned_at, s.undone_at, s.direction = 'out', s.uploaded_at is not null
       from (select distinct staff_id from shifts
              where device_id = $2 and began_at > admit_now() - interval '1 day') w
       join lateral (
            select * from scans s where s.exhibition_id = $1 and s.staff_id = w.staff_id and s.nonce = $3 limit 1) s on true
      where s.device_id = $2 order by s.scanned_at limit 1",
);

/// All that moved something under a name within a day: itself, forced, or the people of a group. No name that a device gives
/// has a blank, and what the server adds to one comes after it.
const MOVES_OF_DEVICE: Statement = Statement::new(
    "ledger.moves_of_device",
    "select id, ticket_id, allowed, reason, scanned_at, undone_at, direction = 'out', uploaded_at is not null
       from scans
      where exhibition_id = $1 and device_id = $2 and split_part(nonce, ' ', 1) = any($3::text[])
        and scanned_at > admit_now() - interval '1 day' and allowed
      order by ticket_id, scanned_at",
);

/// By the name under which a scan can be written down once.
const BY_NONCE: Statement = Statement::new(
    "ledger.by_nonce",
    "select id, ticket_id, allowed, reason, scanned_at, undone_at, direction = 'out', uploaded_at is not null
       from scans where exhibition_id = $1 and staff_id = $2 and nonce = $3 limit 1",
);

const UNDO: Statement = Statement::new(
    "ledger.undo",
    "with undone as (
         update scans set undone_at = $2 where id = $1 and allowed and undone_at is null returning id
     ), gone as (
         delete from entry_conflicts c using undone u where c.scan_id = u.id and c.decided_at is null
     )
     select id from undone",
);

const CONFLICT: Statement = Statement::new(
    "ledger.conflict",
    "insert into entry_conflicts (id, exhibition_id, kind, ticket_id, scan_id, created_at)
     values ($1, $2, $3, $4, $5, $6) on conflict on constraint entry_conflict_once do nothing",
);

const BLOCK: Statement = Statement::new(
    "ledger.block",
    "with before as materialized (
         select id, blocked_at from tickets where id = $1 and exhibition_id = $2 for update
     ), changed as (
         update tickets t set blocked_at = case when $3 then admit_now() end from before b
          where t.id = b.id and (b.blocked_at is not null) <> $3 returning t.id
     )
     select exists (select 1 from changed) from before",
);

pub const STATEMENTS: &[&Statement] =
    &[&BLOCK, &LOCK, &MOVED, &WRITE, &CONFLICTS, &INSERT, &OF_DEVICE, &MOVES_OF_DEVICE, &BY_NONCE, &UNDO, &CONFLICT];

fn direction(out: bool) -> Direction {
    if out { Direction::Out } else { Direction::In }
}

/// None: no such ticket in this exhibition. False: it is so already.
pub async fn block(
    client: &impl GenericClient,
    ticket_id: Uuid,
    exhibition_id: i32,
    blocked: bool,
) -> Result<Option<bool>> {
    Ok(BLOCK.query_opt(client, &[&ticket_id, &exhibition_id, &blocked]).await?.map(|row| row.get(0)))
}

/// Whether there is such a ticket.
pub async fn lock(client: &impl GenericClient, ticket_id: Uuid) -> Result<bool> {
    Ok(LOCK.query_opt(client, &[&ticket_id]).await?.is_some())
}

pub async fn moved(client: &impl GenericClient, ticket: &TicketRow) -> Result<Vec<Moved>> {
    let rows = MOVED.query(client, &[&ticket.id, &ticket.exhibition_id]).await?;
    let moved = rows.iter().map(|row| Moved {
        scan_id: row.get(0),
        direction: direction(row.get(1)),
        at: row.get(2),
        gate: row.get(3),
        forced: row.get(4),
        uploaded: row.get(5),
        counted: row.get(6),
    });
    Ok(moved.collect())
}

pub async fn write(
    client: &impl GenericClient,
    ticket_id: Uuid,
    told: &Replayed,
    first: Option<&Moved>,
    last_in: Option<&Moved>,
) -> Result<()> {
    let past = &told.past;
    let last_out = (past.last_out > 0).then_some(past.last_out);
    WRITE
        .execute(
            client,
            &[
                &ticket_id,
                &small(past.entries),
                &entry_day(past),
                &small(past.entries_day),
                &past.inside,
                &last_in.map(|one| one.at),
                &last_out,
                &last_in.map(|one| one.gate.as_str()),
                &told.counted,
                &first.map(|one| one.at),
                &first.map(|one| one.gate.as_str()),
                &first.map(|one| one.scan_id),
            ],
        )
        .await?;
    Ok(())
}

pub async fn conflicts(
    client: &impl GenericClient,
    ticket: &TicketRow,
    doubles: &[(Uuid, Option<Uuid>)],
    from: Timestamp,
    now: Timestamp,
) -> Result<()> {
    let ids: Vec<Uuid> = doubles.iter().map(|_| ids::row_id(now)).collect();
    let (scans, others): (Vec<Uuid>, Vec<Option<Uuid>>) = doubles.iter().copied().unzip();
    CONFLICTS.execute(client, &[&ticket.exhibition_id, &ticket.id, &ids, &scans, &others, &now, &from]).await?;
    Ok(())
}

/// A scan that was not judged in a batch.
pub struct LateScan<'a> {
    pub id: Uuid,
    pub exhibition_id: i32,
    pub ticket_id: Option<Uuid>,
    pub gate: &'a str,
    pub nonce: &'a str,
    pub staff_id: i32,
    pub allowed: bool,
    pub reason: &'a str,
    pub at: Timestamp,
    pub reply: serde_json::Value,
    pub device_id: Uuid,
    pub direction: Direction,
    pub forced: bool,
    pub undone_at: Option<Timestamp>,
    pub apart: bool,
    pub device_at: Option<Timestamp>,
    pub uploaded_at: Option<Timestamp>,
}

/// False: a scan of this name is written down already. The transaction is then good for nothing more.
pub async fn insert(client: &impl GenericClient, scan: &LateScan<'_>) -> Result<bool> {
    let direction = scan.direction.as_str();
    let statement = client.prepare_cached(INSERT.sql).await?;
    let inserted = client
        .execute(
            &statement,
            &[
                &scan.id,
                &scan.exhibition_id,
                &scan.ticket_id,
                &scan.gate,
                &scan.nonce,
                &scan.staff_id,
                &scan.allowed,
                &scan.reason,
                &scan.at,
                &scan.reply,
                &scan.device_id,
                &direction,
                &scan.forced,
                &scan.undone_at,
                &scan.apart,
                &scan.device_at,
                &scan.uploaded_at,
            ],
        )
        .await;
    match inserted {
        Ok(_) => Ok(true),
        Err(error) if constraint_of(&error) == Some("scan_nonce_once") => Ok(false),
        Err(error) => Err(Error::from(error)),
    }
}

/// A scan of a device under the name it gave.
pub struct Named {
    pub id: Uuid,
    pub ticket_id: Option<Uuid>,
    pub allowed: bool,
    pub reason: String,
    pub at: Timestamp,
    pub undone_at: Option<Timestamp>,
    pub direction: Direction,
    /// Decided by the device, and handed in.
    pub uploaded: bool,
}

pub async fn of_device(client: &impl GenericClient, home: i32, device_id: Uuid, nonce: &str) -> Result<Option<Named>> {
    Ok(OF_DEVICE.query_opt(client, &[&home, &device_id, &nonce]).await?.as_ref().map(named))
}

/// By ticket, which is the order in which they are locked.
pub async fn moves_of_device(
    client: &impl GenericClient,
    home: i32,
    device_id: Uuid,
    nonces: &[&str],
) -> Result<Vec<Named>> {
    Ok(MOVES_OF_DEVICE.query(client, &[&home, &device_id, &nonces]).await?.iter().map(named).collect())
}

pub async fn by_nonce(client: &impl GenericClient, home: i32, staff_id: i32, nonce: &str) -> Result<Option<Named>> {
    Ok(BY_NONCE.query_opt(client, &[&home, &staff_id, &nonce]).await?.as_ref().map(named))
}

fn named(row: &tokio_postgres::Row) -> Named {
    Named {
        id: row.get(0),
        ticket_id: row.get(1),
        allowed: row.get(2),
        reason: row.get(3),
        at: row.get(4),
        undone_at: row.get(5),
        direction: direction(row.get(6)),
        uploaded: row.get(7),
    }
}

/// False: it had been undone before.
pub async fn undo(client: &impl GenericClient, scan_id: Uuid, now: Timestamp) -> Result<bool> {
    Ok(UNDO.query_opt(client, &[&scan_id, &now]).await?.is_some())
}

pub async fn conflict(
    client: &impl GenericClient,
    exhibition_id: i32,
    kind: &str,
    ticket_id: Option<Uuid>,
    scan_id: Uuid,
    now: Timestamp,
) -> Result<()> {
    CONFLICT.execute(client, &[&ids::row_id(now), &exhibition_id, &kind, &ticket_id, &scan_id, &now]).await?;
    Ok(())
}
