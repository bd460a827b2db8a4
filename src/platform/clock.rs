//! The injected clock. Everything that asks for the time asks here, so that tests move it instead of sleeping.
//! What Postgres judges (expiry above all) uses its own `admit_now()`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, Result};

#[derive(Clone)]
pub enum Clock {
    System,
    /// System time plus an offset in milliseconds that a test moves.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    pub fn manual() -> Clock {
        Clock::Manual(Arc::new(AtomicI64::new(0)))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads ambient time")]
    pub fn now(&self) -> Timestamp {
        match self {
            Clock::System => Timestamp::now(),
            Clock::Manual(offset) => Timestamp::now() + SignedDuration::from_millis(offset.load(Ordering::Relaxed)),
        }
    }

    pub fn now_ms(&self) -> i64 {
        self.now().as_millisecond()
    }

    /// Visit dates are days in Seoul.
    pub fn today_in_seoul(&self) -> Date {
        self.now().to_zoned(seoul()).date()
    }
}

/// From midnight to midnight.
pub fn seoul_day(day: Date) -> Result<(Timestamp, Timestamp)> {
    let midnight = |day: Date| day.to_zoned(seoul()).map(|at| at.timestamp()).map_err(Error::bug);
    Ok((midnight(day)?, midnight(day.tomorrow().map_err(Error::bug)?)?))
}

pub fn seoul() -> TimeZone {
    static SEOUL: std::sync::OnceLock<TimeZone> = std::sync::OnceLock::new();
    SEOUL
        // Korea has kept +09:00 without daylight saving since 1988: right even without a zone database.
        .get_or_init(|| TimeZone::get("Asia/Seoul").unwrap_or_else(|_| TimeZone::fixed(jiff::tz::offset(9))))
        .clone()
}
