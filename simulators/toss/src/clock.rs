//! One clock for everything that has a deadline: scalable, and movable forward by hand.
//!
//! Only deadlines follow it. Latency, the ten seconds a webhook may take and hanging calls are in real time,
//! because the other side of the socket lives there.

use jiff::{Timestamp, civil, tz::Offset};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

pub const MINUTE_MS: i64 = 60_000;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;

pub struct Clock {
    started: Instant,
    base_ms: i64,
    scale: f64,
    advanced_ms: AtomicI64,
}

impl Clock {
    pub fn new(scale: f64) -> Self {
        Self {
            started: Instant::now(),
            base_ms: Timestamp::now().as_millisecond(),
            scale,
            advanced_ms: AtomicI64::new(0),
        }
    }

    pub fn now_ms(&self) -> i64 {
        let elapsed_ms = self.started.elapsed().as_secs_f64() * 1_000.0 * self.scale;
        self.base_ms + elapsed_ms as i64 + self.advanced_ms.load(Ordering::Acquire)
    }

    pub fn advance(&self, ms: i64) {
        self.advanced_ms.fetch_add(ms, Ordering::AcqRel);
    }

    /// Undoes every `advance`. Only for a reset, after which nothing remembers a time.
    pub fn rewind(&self) {
        self.advanced_ms.store(0, Ordering::Release);
    }

    /// How long to sleep for real until the clock shows `at_ms`; an hour at most, so that nothing overflows.
    pub fn real_until(&self, at_ms: i64) -> Duration {
        let left_s = (at_ms - self.now_ms()).max(0) as f64 / 1_000.0 / self.scale;
        Duration::from_secs_f64(left_s.min(3_600.0))
    }
}

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
