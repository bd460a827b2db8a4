//! All SQL of the entrance: one read and one write per batch of scans.

use std::collections::HashSet;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::rules::{self, Direction, Entries, Past, Presented, Reason, Rules, Visit};
use crate::error::{Error, Result};
use crate::platform::pg::Statement;

/// Scans in their given order, each with its ticket and with what was answered to its nonce before. `limit 1` keeps
/// each look-up by key whatever the statistics of a table that was empty an hour ago say.
const READ: Statement = Statement::new(
    "entrance.read",
    "select s.reason, s.reply,
            t.id, t.exhibition_id, t.ticket_no, t.of_total, t.version, t.state, t.used_at, t.used_gate,
            t.order_id, t.number, t.order_state, t.key_id, t.sealed, t.name_ko, t.name_en,
            t.visit_date, t.start_time, t.end_time, t.starts_on, t.ends_on,
            t.movements, t.entries, t.entry_day, t.entries_day, t.inside, t.last_in_at, t.last_out_at, t.last_gate,
            t.early_min, t.late_min, t.gates, t.entries_kind, t.per_day, t.reentry, t.gap_s, s.direction, s.counted
       from unnest($1::uuid[], $2::int[], $3::int[], $4::text[]) with ordinality
            as a (ticket_id, exhibition_id, staff_id, nonce, n)
       left join lateral (
            select t.id, t.exhibition_id, t.ticket_no, t.of_total, t.version,
                   case when t.blocked_at is null then t.state else 'blocked' end as state, t.used_at, t.used_gate,
                   t.order_id, o.number, o.state as order_state, c.key_id, c.sealed, p.name_ko, p.name_en,
                   d.visit_date, d.start_time, d.end_time, e.starts_on, e.ends_on,
                   t.movements, t.entries, t.entry_day, t.entries_day, t.inside, t.last_in_at, t.last_out_at,
                   t.last_gate, r.early_min, r.late_min, r.gates, r.entries as entries_kind, r.per_day, r.reentry, r.gap_s
              from tickets t
              join orders o on o.id = t.order_id
              join products p on p.id = t.product_id
              join exhibitions e on e.id = t.exhibition_id
              left join slots d on d.id = t.slot_id
              left join contacts c on c.order_id = t.order_id and c.erased_at is null
              left join lateral (
                   select * from entry_rules r
                    where r.exhibition_id = t.exhibition_id and (r.product_id = t.product_id or r.product_id is null)
                    order by r.product_id nulls last limit 1) r on true
             where t.id = a.ticket_id
             limit 1) t on true
       left join lateral (
            select s.reason, s.reply, s.direction, s.counted from scans s
             where s.exhibition_id = a.exhibition_id and s.staff_id = a.staff_id and s.nonce = a.nonce
             limit 1) s on true
      order by a.n",
);

/// Admits and writes down in one statement, which is one transaction: a ticket moves exactly when its scan is recorded,
/// and only if nothing moved it since it was judged. Tickets are locked in the order of their ids, so that two batches
/// cannot wait for each other. Returns the scans that were recorded; one that lost its ticket to another scan is not
/// among them.
const WRITE: Statement = Statement::new(
    "entrance.write",
    "with asked as materialized (
        select * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::int[], $5::text[], $6::text[], $7::int[],
                             $8::text[], $9::timestamptz[], $10::jsonb[], $12::uuid[], $13::text[], $14::boolean[],
                             $15::int[], $16::smallint[], $17::date[], $18::smallint[])
            as a (scan_id, ticket_id, version, exhibition_id, gate, nonce, staff_id, reason, scanned_at, reply, device_id,
                  direction, counted, movements, entries, entry_day, entries_day)
     ), locked as materialized (
        select t.id from tickets t where t.id = any($11::uuid[]) order by t.id for update
     ), moved as (
        update tickets t
           set movements = t.movements + 1, entries = a.entries, entry_day = a.entry_day, entries_day = a.entries_day,
               inside = a.direction = 'in',
               last_in_at = case a.direction when 'in' then a.scanned_at else t.last_in_at end,
               last_out_at = case a.direction when 'out' then a.scanned_at else t.last_out_at end,
               last_gate = case a.direction when 'in' then a.gate else t.last_gate end,
               used_at = coalesce(t.used_at, a.scanned_at), used_gate = coalesce(t.used_gate, a.gate),
               used_scan_id = coalesce(t.used_scan_id, a.scan_id)
          from asked a join locked l on l.id = a.ticket_id
         where a.reason = 'ok' and t.id = a.ticket_id and t.version = a.version and t.movements = a.movements
           and (a.direction = 'out' or (t.state = 'valid' and t.blocked_at is null))
        returning a.scan_id
     )
     insert into scans (id, exhibition_id, ticket_id, gate, nonce, staff_id, allowed, reason, scanned_at, reply, device_id,
                        direction, counted)
     select a.scan_id, a.exhibition_id, a.ticket_id, a.gate, a.nonce, a.staff_id, a.reason = 'ok', a.reason,
            a.scanned_at, a.reply, a.device_id, a.direction, a.counted
       from asked a
      where a.reason <> 'ok' or a.scan_id in (select scan_id from moved)
     returning id",
);

/// Tickets of a number that somebody typed, of these exhibitions or of all. Two are none: nobody can tell which.
const BY_NUMBER: Statement = Statement::new(
    "entrance.by_number",
    "select id, version, exhibition_id from tickets
      where substring(sha256(uuid_send(id) || int2send(version)) for 5) = $1
        and ($2::int[] is null or exhibition_id = any($2)) limit 2",
);

const OF_GROUP: Statement =
    Statement::new("entrance.of_group", "select id from tickets where order_id = $1 order by ticket_no");

const KNOWN_NONCES: Statement = Statement::new(
    "entrance.known_nonces",
    "select nonce from scans where exhibition_id = $1 and staff_id = $2 and nonce = any($3)",
);

pub const STATEMENTS: &[&Statement] = &[&READ, &WRITE, &BY_NUMBER, &OF_GROUP, &KNOWN_NONCES];

/// A ticket with everything a scan needs to judge it and to say whose it is.
#[derive(Clone, Debug)]
pub struct TicketRow {
    pub id: Uuid,
    pub exhibition_id: i32,
    pub ticket_no: i16,
    pub of_total: i16,
    pub version: i16,
    pub state: String,
    pub used: Option<SeenBefore>,
    pub order_id: Uuid,
    pub order_number: String,
    pub order_state: String,
    /// Data key id and sealed contact; None once erased.
    pub contact: Option<(String, Vec<u8>)>,
    pub product_ko: String,
    pub product_en: String,
    pub visit: Visit,
    pub movements: i32,
    pub past: Past,
    pub last: Option<SeenBefore>,
    pub rules: Rules,
}

impl TicketRow {
    /// What the rules say of it for a code of this version, and whether it uses an entry; by staff of its exhibition.
    pub fn judged(&self, version: u16, past: Past, gate: &str, direction: Direction, at: Timestamp) -> (Reason, bool) {
        let presented = Presented {
            against: rules::against(version, self.version, &self.state, &self.order_state),
            visit: self.visit,
            past,
            rules: &self.rules,
            gate,
            direction,
        };
        rules::judge(&presented, at.as_second())
    }

    /// As if its present code were shown now.
    pub fn judged_now(&self, gate: &str, direction: Direction, at: Timestamp) -> (Reason, bool) {
        self.judged(self.version.unsigned_abs(), self.past, gate, direction, at)
    }
}

/// When and where a ticket was let in before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenBefore {
    pub at: Timestamp,
    pub gate: String,
}

/// What was answered to a nonce before.
#[derive(Clone, Debug)]
pub struct Answered {
    pub reason: Reason,
    pub direction: Direction,
    pub counted: bool,
    pub reply: Value,
}

pub struct Read {
    pub answered: Option<Answered>,
    pub ticket: Option<TicketRow>,
}

/// What to look up for one scan.
pub struct Wanted<'a> {
    pub ticket_id: Option<Uuid>,
    pub exhibition_id: i32,
    pub staff_id: i32,
    pub nonce: Option<&'a str>,
}

pub async fn read(client: &impl GenericClient, wanted: &[Wanted<'_>]) -> Result<Vec<Read>> {
    let tickets: Vec<_> = wanted.iter().map(|w| w.ticket_id).collect();
    let exhibitions: Vec<_> = wanted.iter().map(|w| w.exhibition_id).collect();
    let staff: Vec<_> = wanted.iter().map(|w| w.staff_id).collect();
    let nonces: Vec<_> = wanted.iter().map(|w| w.nonce).collect();
    let rows = READ.query(client, &[&tickets, &exhibitions, &staff, &nonces]).await?;
    if rows.len() != wanted.len() {
        return Err(Error::bug(format!("entrance.read: {} rows for {} scans", rows.len(), wanted.len())));
    }
    rows.iter().map(row_read).collect()
}

fn row_read(row: &Row) -> Result<Read> {
    let answered = match row.get::<_, Option<&str>>(0) {
        Some(reason) => Some(Answered {
            reason: Reason::parse(reason).ok_or_else(|| Error::bug(format!("unknown reason {reason}")))?,
            direction: if row.get::<_, &str>(37) == "out" { Direction::Out } else { Direction::In },
            counted: row.get(38),
            reply: row.get(1),
        }),
        None => None,
    };
    let ticket = match row.get::<_, Option<Uuid>>(2) {
        Some(id) => Some(row_ticket(row, id)?),
        None => None,
    };
    Ok(Read { answered, ticket })
}

fn row_ticket(row: &Row, id: Uuid) -> Result<TicketRow> {
    let seen = |at: usize, gate: usize| {
        let at = row.get::<_, Option<Timestamp>>(at);
        at.map(|at| SeenBefore { at, gate: row.get::<_, Option<String>>(gate).unwrap_or_default() })
    };
    Ok(TicketRow {
        id,
        exhibition_id: row.get(3),
        ticket_no: row.get(4),
        of_total: row.get(5),
        version: row.get(6),
        state: row.get(7),
        used: seen(8, 9),
        order_id: row.get(10),
        order_number: row.get(11),
        order_state: row.get(12),
        contact: row.get::<_, Option<String>>(13).zip(row.get::<_, Option<Vec<u8>>>(14)),
        product_ko: row.get(15),
        product_en: row.get(16),
        visit: visit(row),
        movements: row.get(22),
        past: past(row, 23),
        last: seen(27, 29),
        rules: rules(row, 30)?,
    })
}

/// From six columns in the order of `tickets`, beginning with `entries`.
pub fn past(row: &Row, at: usize) -> Past {
    let second = |column: usize| row.get::<_, Option<Timestamp>>(column).map_or(0, Timestamp::as_second);
    Past {
        entries: row.get::<_, i16>(at).into(),
        day: row.get::<_, Option<Date>>(at + 1).map_or(0, rules::day_number),
        entries_day: row.get::<_, i16>(at + 2).into(),
        inside: row.get(at + 3),
        last_in: second(at + 4),
        last_out: second(at + 5),
    }
}

/// From seven columns in the order of `entry_rules`; the rules where there is no row.
pub fn rules(row: &Row, at: usize) -> Result<Rules> {
    let Some(early_min) = row.get::<_, Option<i32>>(at) else { return Ok(Rules::default()) };
    let entries: &str = row.get(at + 3);
    Ok(Rules {
        early_min,
        late_min: row.get(at + 1),
        gates: row.get(at + 2),
        entries: Entries::parse(entries).ok_or_else(|| Error::bug(format!("unknown entries {entries}")))?,
        per_day: row.get(at + 4),
        reentry: row.get(at + 5),
        gap_s: row.get(at + 6),
    })
}

fn visit(row: &Row) -> Visit {
    let times = row.get::<_, Option<Time>>(18).zip(row.get::<_, Option<Time>>(19));
    match (row.get::<_, Option<Date>>(17), times) {
        (Some(date), Some((start, end))) => Visit::Slot { date, start, end },
        (Some(date), None) => Visit::Day(date),
        (None, _) => Visit::Undated { from: row.get(20), until: row.get(21) },
    }
}

/// One scan as it will be recorded.
pub struct NewScan<'a> {
    pub id: Uuid,
    pub ticket_id: Option<Uuid>,
    pub version: i16,
    pub exhibition_id: i32,
    pub gate: &'a str,
    pub nonce: Option<&'a str>,
    pub staff_id: i32,
    pub device_id: Option<Uuid>,
    pub reason: Reason,
    pub direction: Direction,
    pub scanned_at: Timestamp,
    pub reply: Value,
    /// When it moves the ticket.
    pub movement: Option<Movement>,
}

/// What a scan does to its ticket.
#[derive(Clone, Copy, Debug)]
pub struct Movement {
    /// The ticket's `movements` when it was judged.
    pub seen: i32,
    pub counted: bool,
    pub after: Past,
}

/// The day of the last entry, as a column.
pub fn entry_day(past: &Past) -> Option<Date> {
    if past.entries > 0 { rules::date_of(past.day) } else { None }
}

pub fn small(count: i32) -> i16 {
    i16::try_from(count).unwrap_or(i16::MAX)
}

/// How the write of a batch ended.
pub enum Written {
    /// These are recorded, and for good.
    Recorded(HashSet<Uuid>),
    /// Nothing was written: another batch was first with one of the nonces or locks. Read again.
    Overtaken,
}

pub async fn write(client: &impl GenericClient, scans: &[NewScan<'_>]) -> Result<Written> {
    macro_rules! column {
        ($field:ident) => {
            scans.iter().map(|s| s.$field).collect::<Vec<_>>()
        };
    }
    let reasons: Vec<&str> = scans.iter().map(|s| s.reason.as_str()).collect();
    let replies: Vec<&Value> = scans.iter().map(|s| &s.reply).collect();
    let admitting: Vec<Uuid> = scans.iter().filter(|s| s.reason == Reason::Ok).filter_map(|s| s.ticket_id).collect();
    let (ids, tickets, versions) = (column!(id), column!(ticket_id), column!(version));
    let (exhibitions, gates, nonces) = (column!(exhibition_id), column!(gate), column!(nonce));
    let (staff, at, devices) = (column!(staff_id), column!(scanned_at), column!(device_id));
    let directions: Vec<&str> = scans.iter().map(|s| s.direction.as_str()).collect();
    let moves: Vec<Option<Movement>> = column!(movement);
    let counted: Vec<bool> = moves.iter().map(|m| m.is_some_and(|m| m.counted)).collect();
    let seen: Vec<Option<i32>> = moves.iter().map(|m| m.map(|m| m.seen)).collect();
    let entries: Vec<Option<i16>> = moves.iter().map(|m| m.map(|m| small(m.after.entries))).collect();
    let days: Vec<Option<Date>> = moves.iter().map(|m| m.and_then(|m| entry_day(&m.after))).collect();
    let entries_day: Vec<Option<i16>> = moves.iter().map(|m| m.map(|m| small(m.after.entries_day))).collect();
    let statement = client.prepare_cached(WRITE.sql).await?;
    let answer = client
        .query(
            &statement,
            &[
                &ids,
                &tickets,
                &versions,
                &exhibitions,
                &gates,
                &nonces,
                &staff,
                &reasons,
                &at,
                &replies,
                &admitting,
                &devices,
                &directions,
                &counted,
                &seen,
                &entries,
                &days,
                &entries_day,
            ],
        )
        .await;
    match answer {
        Ok(rows) => Ok(Written::Recorded(rows.iter().map(|row| row.get(0)).collect())),
        Err(error) if overtaken(&error) => Ok(Written::Overtaken),
        Err(error) => Err(error.into()),
    }
}

fn overtaken(error: &tokio_postgres::Error) -> bool {
    let same_nonce = crate::platform::pg::constraint_of(error) == Some("scan_nonce_once");
    same_nonce || matches!(error.code(), Some(&SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE))
}

/// Id, version and exhibition of the one ticket with this number.
pub async fn by_number(
    client: &impl GenericClient,
    number: [u8; 5],
    exhibitions: Option<&[i32]>,
) -> Result<Option<(Uuid, i16, i32)>> {
    let rows = BY_NUMBER.query(client, &[&number.as_slice(), &exhibitions]).await?;
    Ok(match rows.as_slice() {
        [row] => Some((row.get(0), row.get(1), row.get(2))),
        _ => None,
    })
}

/// The tickets of an order by their number.
pub async fn of_group(client: &impl GenericClient, order_id: Uuid) -> Result<Vec<Uuid>> {
    Ok(OF_GROUP.query(client, &[&order_id]).await?.iter().map(|row| row.get(0)).collect())
}

/// Which of these name scans that are written down.
pub async fn known_nonces(
    client: &impl GenericClient,
    exhibition_id: i32,
    staff_id: i32,
    nonces: &[String],
) -> Result<Vec<String>> {
    let rows = KNOWN_NONCES.query(client, &[&exhibition_id, &staff_id, &nonces]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
