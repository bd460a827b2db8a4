//! One clock for everything that has a deadline: scalable, and movable forward by hand.
//!
//! Only deadlines follow it. Latency, the seconds a webhook may take and hanging calls are in real time,
//! because the other side of the socket lives there.

use jiff::Timestamp;
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
