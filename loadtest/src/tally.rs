//! What came back, counted apart, and how long it took.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::http::Fault;

/// Beyond this a time is recorded as this; no call may last longer anyway.
const TIME_US_MAX: u64 = 300_000_000;

/// How one visitor fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Success,
    SoldOut,
    /// A 4xx with its stable code, or an unexpected answer.
    Refused(String),
    ServerError(String),
    Transport(String),
    Timeout,
    /// Went on purpose before the end, as the plan of the run had it.
    Left,
    /// The generator itself held too many waiting visitors to start this one.
    Overrun,
}

impl From<Fault> for Outcome {
    fn from(fault: Fault) -> Outcome {
        match fault {
            Fault::Timeout => Outcome::Timeout,
            Fault::Connect => Outcome::Transport("connect".into()),
            Fault::Closed => Outcome::Transport("closed_before_reply".into()),
            Fault::Broken => Outcome::Transport("broken_reply".into()),
            Fault::Malformed(why) => Outcome::Transport(format!("malformed: {why}")),
        }
    }
}

impl Outcome {
    /// Names a reply that was not the one hoped for: its problem code, else its status.
    pub fn of_problem(status: u16, body: &[u8]) -> Outcome {
        #[derive(serde::Deserialize)]
        struct Problem {
            code: String,
        }
        let code = serde_json::from_slice::<Problem>(body).map(|problem| problem.code).unwrap_or_default();
        if status == 409 && code == "stock.sold_out" {
            return Outcome::SoldOut;
        }
        let name = if code.is_empty() { status.to_string() } else { format!("{status} {code}") };
        if status >= 500 { Outcome::ServerError(name) } else { Outcome::Refused(name) }
    }
}

/// A histogram of microseconds, three significant digits.
pub struct Times(Histogram<u64>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Quantiles {
    pub count: u64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

impl Default for Times {
    fn default() -> Times {
        Times::new()
    }
}

impl Times {
    pub fn new() -> Times {
        // The bounds are constants the library accepts; a failure here is caught by every test.
        Times(Histogram::new_with_bounds(1, TIME_US_MAX, 3).expect("constant bounds"))
    }

    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record((time.as_micros() as u64).clamp(1, TIME_US_MAX));
    }

    pub fn add(&mut self, other: &Times) {
        // Both have the same bounds, so nothing is out of range.
        let _ = self.0.add(&other.0);
    }

    pub fn quantiles(&self) -> Quantiles {
        if self.0.is_empty() {
            return Quantiles::default();
        }
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1_000.0;
        Quantiles {
            count: self.0.len(),
            mean_ms: (self.0.mean().round()) / 1_000.0,
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: self.0.max() as f64 / 1_000.0,
        }
    }
}

/// Counts by kind; the codes below a kind are kept apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub success: u64,
    pub sold_out: u64,
    pub refused: BTreeMap<String, u64>,
    pub server_errors: BTreeMap<String, u64>,
    pub transport_errors: BTreeMap<String, u64>,
    pub timeouts: u64,
    pub left: u64,
    pub overruns: u64,
}

impl Tally {
    pub fn add(&mut self, outcome: &Outcome) {
        let named = |map: &mut BTreeMap<String, u64>, code: &str| match map.get_mut(code) {
            Some(count) => *count += 1,
            None => {
                map.insert(code.to_owned(), 1);
            }
        };
        match outcome {
            Outcome::Success => self.success += 1,
            Outcome::SoldOut => self.sold_out += 1,
            Outcome::Refused(code) => named(&mut self.refused, code),
            Outcome::ServerError(code) => named(&mut self.server_errors, code),
            Outcome::Transport(code) => named(&mut self.transport_errors, code),
            Outcome::Timeout => self.timeouts += 1,
            Outcome::Left => self.left += 1,
            Outcome::Overrun => self.overruns += 1,
        }
    }

    pub fn server_error_count(&self) -> u64 {
        self.server_errors.values().sum()
    }

    /// Everything that is neither a success, nor a clean sold-out, nor meant.
    pub fn failures(&self) -> u64 {
        let refused: u64 = self.refused.values().sum();
        let transport: u64 = self.transport_errors.values().sum();
        refused + transport + self.server_error_count() + self.timeouts + self.overruns
    }

    pub fn total(&self) -> u64 {
        self.success + self.sold_out + self.left + self.failures()
    }
}

/// The measured window of a run, and what fell into it.
///
/// A request belongs to the window by its *intended* start; throughput counts what was *finished*
/// inside it, so a backlog drained after the end does not flatter the rate.
pub struct Recorder {
    from_ns: u64,
    upto_ns: u64,
    pub tally: Tally,
    pub warmup: Tally,
    pub success: Times,
    pub all: Times,
    /// How late the generator itself began: its own starvation, not the server's.
    pub lateness: Times,
    pub finished_in_window: u64,
    pub succeeded_in_window: u64,
}

impl Recorder {
    pub fn new(from_ns: u64, upto_ns: u64) -> Recorder {
        Recorder {
            from_ns,
            upto_ns,
            tally: Tally::default(),
            warmup: Tally::default(),
            success: Times::new(),
            all: Times::new(),
            lateness: Times::new(),
            finished_in_window: 0,
            succeeded_in_window: 0,
        }
    }

    pub fn record(&mut self, intended_ns: u64, begun_ns: u64, done_ns: u64, outcome: &Outcome) {
        if (self.from_ns..self.upto_ns).contains(&done_ns) {
            self.finished_in_window += 1;
            self.succeeded_in_window += u64::from(*outcome == Outcome::Success);
        }
        if intended_ns < self.from_ns {
            self.warmup.add(outcome);
            return;
        }
        self.tally.add(outcome);
        let latency = Duration::from_nanos(done_ns.saturating_sub(intended_ns));
        self.lateness.record(Duration::from_nanos(begun_ns.saturating_sub(intended_ns)));
        self.all.record(latency);
        if *outcome == Outcome::Success {
            self.success.record(latency);
        }
    }

    pub fn seconds(&self) -> f64 {
        (self.upto_ns - self.from_ns) as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_apart() {
        let sold_out = br#"{"type":"about:blank","status":409,"code":"stock.sold_out","detail":"x"}"#;
        assert_eq!(Outcome::of_problem(409, sold_out), Outcome::SoldOut);
        assert_eq!(Outcome::of_problem(409, br#"{"code":"x"}"#), Outcome::Refused("409 x".into()));
        assert_eq!(Outcome::of_problem(503, sold_out), Outcome::ServerError("503 stock.sold_out".into()));
        assert_eq!(Outcome::of_problem(502, b"<html>"), Outcome::ServerError("502".into()));
    }

    #[test]
    fn kinds_are_counted_apart_and_add_up() {
        let mut tally = Tally::default();
        let outcomes = [
            Outcome::Success,
            Outcome::SoldOut,
            Outcome::Refused("422 a".into()),
            Outcome::Refused("422 a".into()),
            Outcome::ServerError("503".into()),
            Fault::Timeout.into(),
            Fault::Closed.into(),
            Outcome::Overrun,
            Outcome::Left,
        ];
        outcomes.iter().for_each(|outcome| tally.add(outcome));
        assert_eq!((tally.success, tally.sold_out, tally.left), (1, 1, 1));
        assert_eq!((tally.failures(), tally.total()), (6, 9));
        assert_eq!(tally.refused["422 a"], 2);
    }

    #[test]
    fn times_added_up_are_as_if_recorded_together() {
        let (mut whole, mut parts) = (Times::new(), Times::new());
        for part in [[1, 2, 3], [40, 50, 600]] {
            let mut one = Times::new();
            part.iter().for_each(|ms| one.record(Duration::from_millis(*ms)));
            part.iter().for_each(|ms| whole.record(Duration::from_millis(*ms)));
            parts.add(&one);
        }
        assert_eq!(parts.quantiles(), whole.quantiles());
        assert_eq!(parts.quantiles().count, 6);
    }

    #[test]
    fn latency_counts_from_the_intended_start_and_backlog_does_not_flatter() {
        let ms = 1_000_000;
        let mut recorder = Recorder::new(100 * ms, 200 * ms);
        recorder.record(50 * ms, 50 * ms, 110 * ms, &Outcome::Success);
        recorder.record(110 * ms, 160 * ms, 190 * ms, &Outcome::Success);
        recorder.record(190 * ms, 190 * ms, 900 * ms, &Outcome::Success);
        assert_eq!((recorder.warmup.success, recorder.tally.success), (1, 2));
        assert_eq!(recorder.succeeded_in_window, 2);
        let (latency, lateness) = (recorder.success.quantiles(), recorder.lateness.quantiles());
        assert!((79.9..80.2).contains(&latency.p50_ms), "{latency:?}");
        assert!((709.0..711.0).contains(&latency.max_ms), "{latency:?}");
        assert!((49.9..50.2).contains(&lateness.max_ms), "{lateness:?}");
    }
}
