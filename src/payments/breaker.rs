//! A breaker per provider: while it does not answer, nobody is sent there, and one call at a time finds out whether it is
//! back. The state machine is pure; `Guarded` puts it around a gateway.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::HeaderMap;
use jiff::Timestamp;

use super::model::{
    CancelAsk, CancelOutcome, ConfirmAsk, ConfirmOutcome, FindOutcome, NoticeOutcome, OpenAsk, OpenOutcome,
    PaymentGateway, Provider, TransactionPage,
};
use crate::observability::Metrics;
use crate::platform::clock::Clock;

/// So many in a row are no accident.
const IN_A_ROW: u32 = 5;
/// More than half of so many calls within the window are none either.
const CALLS_MIN: u32 = 20;
const WINDOW_S: i64 = 10;
/// The first pause, doubled by every probe that fails.
const PAUSE_MS: i64 = 5_000;
const PAUSE_MS_MAX: i64 = 60_000;
/// A probe that has not ended by then counts for nothing: its caller may have given up before it called.
const PROBE_MS: i64 = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Closed,
    /// One call is under way.
    HalfOpen {
        probe_until_ms: i64,
    },
    Open {
        until_ms: i64,
    },
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::HalfOpen { .. } => "half_open",
            State::Open { .. } => "open",
        }
    }

    /// For the gauge.
    pub fn level(self) -> u8 {
        match self {
            State::Closed => 0,
            State::HalfOpen { .. } => 1,
            State::Open { .. } => 2,
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Second {
    at_s: i64,
    calls: u32,
    failed: u32,
}

pub struct Breaker {
    state: State,
    in_a_row: u32,
    seconds: [Second; WINDOW_S as usize],
    pause_ms: i64,
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker { state: State::Closed, in_a_row: 0, seconds: Default::default(), pause_ms: PAUSE_MS }
    }
}

impl Breaker {
    pub fn state(&self) -> State {
        self.state
    }

    /// How long nobody is let through; None: somebody would be.
    pub fn closed_for(&self, now_ms: i64) -> Option<Duration> {
        let until_ms = match self.state {
            State::Closed => return None,
            State::HalfOpen { probe_until_ms } => probe_until_ms,
            State::Open { until_ms } => until_ms,
        };
        (now_ms < until_ms).then(|| Duration::from_millis((until_ms - now_ms).unsigned_abs()))
    }

    /// Lets a call through, or says how long none is. After a pause, the first that asks is the probe.
    pub fn admit(&mut self, now_ms: i64) -> Result<(), Duration> {
        if let Some(wait) = self.closed_for(now_ms) {
            return Err(wait);
        }
        if self.state != State::Closed {
            self.state = State::HalfOpen { probe_until_ms: now_ms + PROBE_MS };
        }
        Ok(())
    }

    /// How a call ended. While open, nothing that began earlier counts.
    pub fn note(&mut self, now_ms: i64, answered: bool) {
        match (self.state, answered) {
            (State::Open { .. }, _) => {}
            (State::HalfOpen { .. }, true) => *self = Breaker::default(),
            (State::HalfOpen { .. }, false) => {
                self.pause_ms = (self.pause_ms * 2).min(PAUSE_MS_MAX);
                self.state = State::Open { until_ms: now_ms + self.pause_ms };
            }
            (State::Closed, _) => {
                self.in_a_row = if answered { 0 } else { self.in_a_row.saturating_add(1) };
                if self.is_too_much(now_ms, answered) {
                    *self = Breaker { state: State::Open { until_ms: now_ms + PAUSE_MS }, ..Breaker::default() };
                }
            }
        }
    }

    fn is_too_much(&mut self, now_ms: i64, answered: bool) -> bool {
        let now_s = now_ms.div_euclid(1_000);
        let second = &mut self.seconds[now_s.rem_euclid(WINDOW_S) as usize];
        if second.at_s != now_s {
            *second = Second { at_s: now_s, ..Second::default() };
        }
        second.calls = second.calls.saturating_add(1);
        second.failed = second.failed.saturating_add(u32::from(!answered));
        // Clocks that were set back leave seconds ahead of now, which count for nothing.
        let lately = self.seconds.iter().filter(|second| (0..WINDOW_S).contains(&(now_s - second.at_s)));
        let (calls, failed) = lately.fold((0u64, 0u64), |(c, f), s| (c + u64::from(s.calls), f + u64::from(s.failed)));
        !answered && (self.in_a_row >= IN_A_ROW || (calls >= u64::from(CALLS_MIN) && failed * 2 > calls))
    }
}

/// A gateway behind its breaker. What has begun is carried out: `confirm` and `open` are refused before they begin, by
/// `admit`, so that no order waits for an outcome of a call that was never made.
pub struct Guarded {
    inner: Box<dyn PaymentGateway>,
    breaker: Mutex<Breaker>,
    clock: Clock,
    metrics: Metrics,
}

impl Guarded {
    pub fn new(inner: Box<dyn PaymentGateway>, clock: Clock, metrics: Metrics) -> Guarded {
        metrics.breaker(inner.provider().as_str(), State::Closed.level());
        Guarded { inner, breaker: Mutex::default(), clock, metrics }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the breaker, and tells of a change.
    fn with<R>(&self, act: impl FnOnce(&mut Breaker, i64) -> R) -> R {
        let now_ms = self.clock.now_ms();
        let mut breaker = self.breaker();
        let before = breaker.state();
        let result = act(&mut breaker, now_ms);
        let after = breaker.state();
        drop(breaker);
        if before.level() != after.level() {
            let provider = self.inner.provider().as_str();
            self.metrics.breaker(provider, after.level());
            self.metrics.breaker_change(provider, after.as_str());
            tracing::warn!(provider, from = before.as_str(), to = after.as_str(), "a provider's breaker");
        }
        result
    }

    /// To be asked before an attempt begins; after a pause whoever asks first is the probe.
    pub fn admit(&self) -> Result<(), Duration> {
        self.with(|breaker, now_ms| breaker.admit(now_ms))
    }

    /// The same without becoming the probe.
    pub fn closed_for(&self) -> Option<Duration> {
        self.breaker().closed_for(self.clock.now_ms())
    }

    pub fn state(&self) -> State {
        self.breaker().state()
    }

    fn note(&self, answered: bool) {
        self.with(|breaker, now_ms| breaker.note(now_ms, answered));
    }
}

const AWAY: &str = "the provider's breaker is open";

#[async_trait]
impl PaymentGateway for Guarded {
    fn provider(&self) -> Provider {
        self.inner.provider()
    }

    async fn open(&self, ask: &OpenAsk<'_>) -> OpenOutcome {
        let outcome = self.inner.open(ask).await;
        // What the browser does says nothing about the provider.
        if !matches!(outcome, OpenOutcome::InBrowser) {
            self.note(!matches!(outcome, OpenOutcome::Unknown { .. }));
        }
        outcome
    }

    async fn confirm(&self, ask: &ConfirmAsk<'_>) -> ConfirmOutcome {
        let outcome = self.inner.confirm(ask).await;
        self.note(!matches!(outcome, ConfirmOutcome::Unknown { answered: false, .. }));
        outcome
    }

    async fn find(&self, payment_key: Option<&str>, order_id: &str) -> FindOutcome {
        if self.admit().is_err() {
            return FindOutcome::Unknown { why: AWAY.into() };
        }
        let outcome = self.inner.find(payment_key, order_id).await;
        self.note(!matches!(outcome, FindOutcome::Unknown { .. }));
        outcome
    }

    async fn cancel(&self, ask: &CancelAsk<'_>) -> CancelOutcome {
        if self.admit().is_err() {
            return CancelOutcome::Unknown { why: AWAY.into() };
        }
        let outcome = self.inner.cancel(ask).await;
        self.note(!matches!(outcome, CancelOutcome::Unknown { .. }));
        outcome
    }

    /// Books are read at night and refused for reasons of their own: they are not counted.
    async fn transactions(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<&str>,
    ) -> Result<TransactionPage, String> {
        if self.closed_for().is_some() {
            return Err(AWAY.into());
        }
        self.inner.transactions(from, until, after).await
    }

    fn notice(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> NoticeOutcome {
        self.inner.notice(headers, body, now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failed(times: u32, now_ms: i64) -> Breaker {
        let mut breaker = Breaker::default();
        (0..times).for_each(|_| breaker.note(now_ms, false));
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_four_do_not() {
        assert_eq!(failed(4, 0).state(), State::Closed);
        let mut breaker = failed(4, 0);
        breaker.note(0, true);
        breaker.note(0, false);
        assert_eq!(breaker.state(), State::Closed, "an answer begins a new row");
        assert_eq!(failed(5, 1_000).state(), State::Open { until_ms: 6_000 });
        // What began before it opened changes nothing.
        let mut breaker = failed(5, 1_000);
        breaker.note(1_001, true);
        breaker.note(1_002, false);
        assert_eq!(breaker.state(), State::Open { until_ms: 6_000 });
    }

    #[test]
    fn more_than_half_of_twenty_calls_open_it_within_the_window_only() {
        let mut breaker = Breaker::default();
        for n in 0..60 {
            breaker.note(n * 100, n % 2 == 0);
        }
        assert_eq!(breaker.state(), State::Closed, "half is not more than half");
        breaker.note(6_001, false);
        assert!(matches!(breaker.state(), State::Open { .. }));

        let mut breaker = Breaker::default();
        for n in 0..40 {
            breaker.note(n * 1_000, n % 3 == 0);
        }
        assert_eq!(breaker.state(), State::Closed, "never twenty calls within ten seconds");
    }

    #[test]
    fn one_probe_goes_through_and_its_answer_decides() {
        let mut breaker = failed(5, 0);
        assert_eq!(breaker.admit(4_999), Err(Duration::from_millis(1)));
        assert_eq!(breaker.closed_for(5_000), None);
        assert_eq!(breaker.admit(5_000), Ok(()));
        assert_eq!(breaker.admit(5_000), Err(Duration::from_secs(5)), "one at a time");
        breaker.note(5_100, false);
        assert_eq!(breaker.state(), State::Open { until_ms: 15_100 }, "twice as long");
        assert_eq!(breaker.admit(15_100), Ok(()));
        // A probe that nobody has heard of again.
        assert_eq!(breaker.admit(20_100), Ok(()));
        breaker.note(20_200, true);
        assert_eq!(breaker.state(), State::Closed);
        assert_eq!(failed(5, 0).state(), State::Open { until_ms: PAUSE_MS }, "the next pause is the first again");
    }

    proptest! {
        #[test]
        fn it_never_stays_shut_longer_than_the_longest_pause_and_never_opens_by_answers(
            steps in proptest::collection::vec((0..3_000i64, 0..3u8), 1..300),
        ) {
            let (mut breaker, mut now_ms, mut failures) = (Breaker::default(), 0, 0);
            for (later, step) in steps {
                now_ms += later;
                let before = breaker.state();
                match step {
                    0 => breaker.note(now_ms, true),
                    1 => { breaker.note(now_ms, false); failures += 1 }
                    _ => { let _ = breaker.admit(now_ms); }
                }
                let wait = breaker.closed_for(now_ms);
                prop_assert!(wait.is_none_or(|wait| wait <= Duration::from_millis(PAUSE_MS_MAX as u64)));
                prop_assert!(breaker.state() == State::Closed || failures >= IN_A_ROW);
                if step == 0 {
                    prop_assert!(breaker.state() == State::Closed || breaker.state() == before);
                }
                // Shut only by failures; half open only by somebody who asked.
                if breaker.state() != before && matches!(breaker.state(), State::HalfOpen { .. }) {
                    prop_assert_eq!(step, 2);
                }
            }
        }
    }
}
