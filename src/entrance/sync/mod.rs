//! What devices know of tickets: pages of records, and a cursor that misses no change (decision 0014).

pub mod api;
pub mod pg;

use uuid::Uuid;

use super::rules::{Past, Reason, against};
use crate::app::App;
use crate::error::Result;
use crate::platform::secrets::plain_sha256;
use crate::tickets::number;

/// Records of a page: 440 kB. Old codes of re-issued tickets come on top.
pub const PAGE_ROWS: i64 = 10_000;
pub const RECORD_BYTES: usize = 44;
/// Changes that are forgotten by one statement, and statements in a round.
const FORGET_BATCH: i64 = 5_000;
const FORGET_BATCHES_MAX: usize = 100;
const MAGIC: &[u8; 4] = b"ADS1";
/// Of SHA-256 over everything before it, at the end of a page.
const CHECK_BYTES: usize = 8;
const REISSUED: u8 = 5;
const INSIDE: u8 = 1;
/// The version of an order's own code; there is one so far.
const ORDER_VERSION: u16 = 1;

/// Where a device is in the changes of its exhibition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Of which database the transactions are.
    pub database: String,
    /// What was sent last.
    pub place: Place,
    /// The transaction with which the next pass begins; None: this pass has not begun.
    pub next: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the first pass, over all tickets by their id.
    All(Uuid),
    /// In a later one, over the changes by transaction and ticket.
    Since(u64, Uuid),
}

impl Cursor {
    pub fn written(&self) -> String {
        let next = self.next.map_or(String::new(), |next| next.to_string());
        let (changed, id) = match self.place {
            Place::All(id) => (String::new(), id),
            Place::Since(changed, id) => (changed.to_string(), id),
        };
        format!("{}.{changed}.{}.{next}", self.database, id.simple())
    }

    pub fn read(text: &str) -> Option<Cursor> {
        let mut parts = text.split('.');
        let (database, changed, id, next) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || database.len() > 40 {
            return None;
        }
        let number = |text: &str| if text.is_empty() { Some(None) } else { text.parse::<u64>().ok().map(Some) };
        let id = id.parse().ok()?;
        let place = number(changed)?.map_or(Place::All(id), |changed| Place::Since(changed, id));
        Some(Cursor { database: database.to_owned(), place, next: number(next)? })
    }
}

/// Forgets old changes, some at a time.
pub async fn forget(app: &App) -> Result<usize> {
    let mut forgotten = 0;
    for _ in 0..FORGET_BATCHES_MAX {
        let rows = pg::forget(&app.pg.get().await?, FORGET_BATCH).await?;
        forgotten += rows;
        if rows < FORGET_BATCH {
            break;
        }
    }
    Ok(usize::try_from(forgotten).unwrap_or(0))
}

/// A ticket as devices hear of it.
#[derive(Clone, Debug)]
pub struct Known {
    pub id: Uuid,
    pub version: i16,
    pub order_id: Uuid,
    pub product_id: i32,
    pub slot_id: Option<i32>,
    pub state: String,
    pub order_state: String,
    pub ticket_no: i16,
    pub of_total: i16,
    pub past: Past,
}

fn standing(known: &Known) -> u8 {
    let version = known.version.unsigned_abs();
    match against(version, known.version, &known.state, &known.order_state) {
        None => 0,
        Some(Reason::NotPaid) => 1,
        Some(Reason::Cancelled) => 2,
        Some(Reason::Refunded) => 3,
        Some(_) => 4,
    }
}

fn short(value: i64) -> [u8; 2] {
    u16::try_from(value.max(0)).unwrap_or(u16::MAX).to_be_bytes()
}

fn instant(unix_s: i64) -> [u8; 4] {
    u32::try_from(unix_s.max(0)).unwrap_or(u32::MAX).to_be_bytes()
}

fn record(known: &Known, version: u16, standing: u8, into: &mut Vec<u8>) {
    into.extend(number::key(known.id, version));
    into.extend(number::key(known.order_id, ORDER_VERSION));
    into.extend(known.product_id.to_be_bytes());
    into.extend(known.slot_id.unwrap_or(0).to_be_bytes());
    into.push(standing);
    into.push(if known.past.inside { INSIDE } else { 0 });
    into.extend(short(known.ticket_no.into()));
    into.extend(short(known.of_total.into()));
    into.extend(short(known.past.entries.into()));
    into.extend(short(known.past.day));
    into.extend(short(known.past.entries_day.into()));
    into.extend(instant(known.past.last_in));
    into.extend(instant(known.past.last_out));
}

/// What comes after a cursor.
pub struct Changes {
    pub tickets: Vec<Known>,
    pub cursor: Cursor,
    pub more: bool,
    /// The first of all: what the device had before is of another database, or nothing.
    pub anew: bool,
}

/// A page, framed so that what was cut off or damaged on the way is noticed.
pub fn page(Changes { tickets, cursor, more, anew }: &Changes, now_ms: i64) -> Vec<u8> {
    let mut records = Vec::with_capacity(tickets.len() * RECORD_BYTES);
    for known in tickets {
        record(known, known.version.unsigned_abs(), standing(known), &mut records);
        for old in 1..known.version.unsigned_abs() {
            record(known, old, REISSUED, &mut records);
        }
    }
    let (cursor, count) = (cursor.written(), (records.len() / RECORD_BYTES) as u32);
    let mut page = Vec::with_capacity(records.len() + cursor.len() + 32);
    page.extend(MAGIC);
    page.extend(count.to_be_bytes());
    page.extend(now_ms.to_be_bytes());
    page.push(u8::from(*more) | u8::from(*anew) << 1);
    page.push(cursor.len() as u8);
    page.extend(cursor.as_bytes());
    page.append(&mut records);
    let check = plain_sha256(&page);
    page.extend(&check[..CHECK_BYTES]);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back_and_others_are_refused() {
        let id = Uuid::from_u128(9);
        let cursor = Cursor { database: "7713682160761280701-1".into(), place: Place::Since(7, id), next: None };
        let all = Cursor { place: Place::All(id), next: Some(3), ..cursor.clone() };
        let last = Cursor { place: Place::Since(u64::MAX, id), next: Some(u64::MAX), ..cursor.clone() };
        for cursor in [cursor, all, last] {
            assert_eq!(Cursor::read(&cursor.written()), Some(cursor.clone()));
            assert!(cursor.written().len() < 256, "its length is one byte");
        }
        for wrong in ["", "a", "a.1.2", "a.x.00000000000000000000000000000009.", "a.1.zz.", "a.1.2.3.4.5"] {
            assert_eq!(Cursor::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_page_is_framed_and_names_old_codes() {
        let known = Known {
            id: Uuid::from_u128(1),
            version: 3,
            order_id: Uuid::from_u128(2),
            product_id: 5,
            slot_id: None,
            state: "valid".into(),
            order_state: "paid".into(),
            ticket_no: 1,
            of_total: 2,
            past: Past { entries: 1, day: 2524, entries_day: 1, inside: true, last_in: 1_796_000_000, last_out: 0 },
        };
        let cursor = Cursor { database: "1-1".into(), place: Place::Since(7, known.id), next: Some(9) };
        let head = 18 + cursor.written().len();
        let changes = Changes { tickets: vec![known.clone()], cursor, more: true, anew: false };
        let page = page(&changes, 1_796_000_000_123);
        assert_eq!(page.len(), head + 3 * RECORD_BYTES + CHECK_BYTES);
        assert_eq!(page[4..8], 3u32.to_be_bytes());
        let standings: Vec<u8> = (0..3).map(|n| page[head + n * RECORD_BYTES + 24]).collect();
        assert_eq!(standings, [0, REISSUED, REISSUED]);
        assert_eq!(page[head..head + 8], number::key(known.id, 3));
        assert_eq!(page[head + RECORD_BYTES..][..8], number::key(known.id, 1));
        assert_eq!(page[head + 25], INSIDE);
        assert_eq!(page[head + 36..head + 40], 1_796_000_000u32.to_be_bytes());
    }
}
