//! Korean time as Toss prints it, beside the clock that every deadline follows.

use jiff::{Timestamp, civil, tz::Offset};
pub use simulator_common::clock::{Clock, DAY_MS, HOUR_MS, MINUTE_MS};

fn korean(ms: i64) -> civil::DateTime {
    let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    // Korea has had no summer time since 1988, and Toss prints a fixed offset.
    Offset::constant(9).to_datetime(at)
}

/// `2026-11-20T20:16:12+09:00`: seconds, no fraction.
pub fn kst(ms: i64) -> String {
    let t = korean(ms);
    format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}+09:00", t.year(), t.month(), t.day(), t.hour(), t.minute(), t.second())
}

/// `2026-11-20T20:16:12.729718`: Korean time without an offset, as webhooks carry it in `createdAt`.
pub fn kst_micros(ms: i64, micros: u16) -> String {
    let t = korean(ms);
    let fraction = ms.rem_euclid(1_000) * 1_000 + i64::from(micros % 1_000);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{fraction:06}",
        t.year(),
        t.month(),
        t.day(),
        t.hour(),
        t.minute(),
        t.second()
    )
}

/// `20261120201612`: the middle of a paymentKey.
pub fn kst_compact(ms: i64) -> String {
    let t = korean(ms);
    format!("{:04}{:02}{:02}{:02}{:02}{:02}", t.year(), t.month(), t.day(), t.hour(), t.minute(), t.second())
}

pub fn same_korean_month(a_ms: i64, b_ms: i64) -> bool {
    let (a, b) = (korean(a_ms), korean(b_ms));
    (a.year(), a.month()) == (b.year(), b.month())
}

/// Reads `2026-11-20T20:16:12`, Korean time; an offset of +09:00 at the end is accepted too.
pub fn parse_kst(text: &str) -> Option<i64> {
    let local: civil::DateTime = text.strip_suffix("+09:00").unwrap_or(text).parse().ok()?;
    Some(Offset::constant(9).to_timestamp(local).ok()?.as_millisecond())
}
