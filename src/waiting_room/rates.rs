//! How fast people are called, how many of them come, and when to slow down. Pure: time comes in.

use std::collections::VecDeque;

/// How much may be called at once: `per_s` drops in each second, at most `burst` are kept.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    per_s: f64,
    burst: f64,
    tokens: f64,
    at_ms: i64,
}

impl TokenBucket {
    /// Empty at first: a new leader does not know what the last one spent. Less than one person would never let
    /// anybody through, so that is the least burst.
    pub fn new(per_s: f64, burst: f64, now_ms: i64) -> TokenBucket {
        TokenBucket { per_s: per_s.max(0.0), burst: burst.max(1.0), tokens: 0.0, at_ms: now_ms }
    }

    /// What was earned until now was earned at the old rate.
    pub fn set(&mut self, per_s: f64, burst: f64, now_ms: i64) {
        self.tokens(now_ms);
        (self.per_s, self.burst) = (per_s.max(0.0), burst.max(1.0));
        self.tokens = self.tokens.min(self.burst);
    }

    /// A clock that was set back earns nothing.
    pub fn tokens(&mut self, now_ms: i64) -> f64 {
        let passed_s = (now_ms - self.at_ms).max(0) as f64 / 1_000.0;
        self.at_ms = now_ms;
        self.tokens = (self.tokens + passed_s * self.per_s).min(self.burst);
        self.tokens
    }

    pub fn spend(&mut self, tokens: f64) {
        self.tokens = (self.tokens - tokens).max(0.0);
    }
}

/// Squared relative spread while too little is known: a third up or down.
pub const SPREAD_UNKNOWN: f64 = 0.1;
/// Ten minutes of samples, one a second.
const SAMPLES: usize = 600;
/// The spread is that of means over this many samples. Short, so that half a minute after the opening it is known.
const BIN: usize = 10;
const BINS_MIN: usize = 3;
const FAST_S: f64 = 30.0;
const SLOW_S: f64 = 300.0;
/// Seconds of even weight that know a rate as well as the blend of both does.
const MEMORY_S: f64 = 100.0;

/// Alive ranks called per second. Only time in which somebody waited counts: an empty room would otherwise look slow,
/// and a paused one would stay slow for minutes after it.
#[derive(Clone, Debug, Default)]
pub struct PassRate {
    fast: Ewma,
    slow: Ewma,
    samples: VecDeque<f32>,
    /// The second that is not full yet.
    people: f64,
    ms: i64,
}

impl PassRate {
    /// In the last `elapsed_ms`, during which somebody waited and the room was open, so many alive ranks were called.
    pub fn record(&mut self, called: u32, elapsed_ms: i64) {
        self.people += f64::from(called);
        self.ms += elapsed_ms.max(0);
        if self.ms < 1_000 {
            return;
        }
        // A stalled leader calls for several seconds at once; they share evenly.
        let per_s = self.people * 1_000.0 / self.ms as f64;
        for _ in 0..(self.ms / 1_000).min(SAMPLES as i64) {
            self.fast.add(per_s, FAST_S);
            self.slow.add(per_s, SLOW_S);
            if self.samples.len() == SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back(per_s as f32);
        }
        self.ms %= 1_000;
        self.people = per_s * self.ms as f64 / 1_000.0;
    }

    /// Half of what was lately, half of what was before; 0.0: nobody knows.
    pub fn per_s(&self) -> f64 {
        (self.fast.value() + self.slow.value()) / 2.0
    }

    /// Squared relative spread of the rate over the last ten minutes: what the pace itself varied by, without what
    /// chance adds to any count (whoever reckons with so many people adds that), and how well the mean is known.
    pub fn spread(&self) -> f64 {
        let newest: Vec<f32> = self.samples.iter().skip(self.samples.len() % BIN).copied().collect();
        let bins: Vec<f64> = newest.chunks(BIN).map(|bin| f64::from(bin.iter().sum::<f32>()) / BIN as f64).collect();
        let count = bins.len() as f64;
        let mean = bins.iter().sum::<f64>() / count;
        if bins.len() < BINS_MIN || mean <= 0.0 {
            return SPREAD_UNKNOWN;
        }
        let variance = bins.iter().map(|bin| (bin - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let by_chance = mean / BIN as f64;
        (variance - by_chance).max(0.0) / mean.powi(2) + 1.0 / (mean * MEMORY_S)
    }
}

/// An average that forgets, and is right from the first sample on: it knows how much weight it has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Ewma {
    sum: f64,
    weight: f64,
}

impl Ewma {
    fn add(&mut self, sample: f64, memory_s: f64) {
        let keep = (-1.0 / memory_s).exp();
        self.sum = self.sum * keep + sample * (1.0 - keep);
        self.weight = self.weight * keep + (1.0 - keep);
    }

    fn value(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }
}

/// Share of those called who really claim.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShareWho {
    called: f64,
    claimed: f64,
}

impl ShareWho {
    /// At first everybody is expected to come: as sure of it as if this many had.
    const PRIOR: f64 = 20.0;
    /// People back whose behaviour still counts for a third.
    const MEMORY: f64 = 500.0;
    /// Never more than four called for a free place, whatever was seen: they might all come.
    pub const LEAST: f64 = 0.25;

    /// A time to claim has closed: so many were called in it, so many of them claimed.
    pub fn record(&mut self, called: u32, claimed: u32) {
        let keep = (-f64::from(called) / Self::MEMORY).exp();
        self.called = self.called * keep + f64::from(called);
        self.claimed = self.claimed * keep + f64::from(claimed.min(called));
    }

    pub fn share(&self) -> f64 {
        ((self.claimed + Self::PRIOR) / (self.called + Self::PRIOR)).clamp(Self::LEAST, 1.0)
    }
}

/// When orders are too slow or fail too often.
#[derive(Clone, Copy, Debug)]
pub struct BrakeLimits {
    pub p99_ms: f64,
    /// 0.0..=1.0
    pub error_share: f64,
}

/// Lowers the rate while the sale suffers: down fast, up slowly.
#[derive(Clone, Copy, Debug)]
pub struct Brake {
    factor: f64,
    halved_ms: i64,
    at_ms: i64,
}

impl Brake {
    /// A few still come through: without orders nobody would learn that the sale is well again.
    pub const LEAST: f64 = 0.05;
    const RECOVERY_PER_S: f64 = 1.1;

    pub fn new(now_ms: i64) -> Brake {
        Brake { factor: 1.0, halved_ms: now_ms - 1_000, at_ms: now_ms }
    }

    /// What to multiply the rate with. Without orders to judge by, pass zeros.
    pub fn step(&mut self, now_ms: i64, p99_ms: f64, error_share: f64, limits: BrakeLimits) -> f64 {
        let passed_s = (now_ms - self.at_ms).max(0) as f64 / 1_000.0;
        self.at_ms = now_ms;
        // A clock that was set back must not hold the brake open until it has caught up.
        self.halved_ms = self.halved_ms.min(now_ms);
        if p99_ms <= limits.p99_ms && error_share <= limits.error_share {
            self.factor = (self.factor * Self::RECOVERY_PER_S.powf(passed_s)).min(1.0);
        } else if now_ms - self.halved_ms >= 1_000 {
            self.halved_ms = now_ms;
            self.factor = (self.factor / 2.0).max(Self::LEAST);
        }
        self.factor
    }

    pub fn factor(&self) -> f64 {
        self.factor
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However it is asked, no span of time yields more than rate and burst.
        #[test]
        fn a_bucket_never_gives_more_than_rate_and_burst(
            per_s in 0.0f64..500.0, burst in 1.0f64..100.0, asks in vec((0i64..3_000, 0.0f64..200.0), 1..80),
        ) {
            let mut bucket = TokenBucket::new(per_s, burst, 0);
            let (mut now_ms, mut spent) = (0, vec![]);
            for (pause_ms, wanted) in asks {
                now_ms += pause_ms;
                let tokens = bucket.tokens(now_ms).min(wanted);
                bucket.spend(tokens);
                spent.push((now_ms, tokens));
            }
            for (at, (from_ms, _)) in spent.iter().enumerate() {
                let mut sum = 0.0;
                for (upto_ms, tokens) in &spent[at..] {
                    sum += tokens;
                    prop_assert!(sum <= per_s * (upto_ms - from_ms) as f64 / 1_000.0 + burst + 1e-6);
                }
            }
        }

        #[test]
        fn shares_stay_between_the_least_and_one(windows in vec((0u32..5_000, 0u32..5_000), 0..50)) {
            let mut who = ShareWho::default();
            prop_assert_eq!(who.share(), 1.0);
            for (called, claimed) in windows {
                who.record(called, claimed);
                prop_assert!((ShareWho::LEAST..=1.0).contains(&who.share()));
            }
        }

        #[test]
        fn a_steady_rate_is_found_whatever_the_ticks(per_s in 1u32..200, tick_ms in 50i64..4_000) {
            let mut rate = PassRate::default();
            let (mut due, mut called) = (0.0, 0);
            for tick in 1..=(400_000 / tick_ms) {
                due += f64::from(per_s) * tick_ms as f64 / 1_000.0;
                let now = due as u32 - called;
                called += now;
                rate.record(now, tick_ms);
                if tick * tick_ms > 20_000 {
                    prop_assert!((rate.per_s() / f64::from(per_s) - 1.0).abs() < 0.15, "{} of {}", rate.per_s(), per_s);
                }
            }
            prop_assert!(rate.spread() < 0.02, "{}", rate.spread());
        }

        #[test]
        fn the_brake_stays_within_its_range(steps in vec((-500i64..3_000, any::<bool>()), 1..200)) {
            let limits = BrakeLimits { p99_ms: 1_000.0, error_share: 0.05 };
            let (mut brake, mut now_ms) = (Brake::new(0), 0);
            let mut halved_ms = i64::MIN / 2;
            for (pause_ms, slow) in steps {
                now_ms += pause_ms;
                halved_ms = halved_ms.min(now_ms);
                let before = brake.factor();
                let after = brake.step(now_ms, if slow { 2_000.0 } else { 10.0 }, 0.0, limits);
                prop_assert!((Brake::LEAST..=1.0).contains(&after));
                prop_assert!(slow || after >= before);
                if after < before {
                    prop_assert!(now_ms - halved_ms >= 1_000 && after >= before / 2.0);
                    halved_ms = now_ms;
                }
            }
        }
    }

    #[test]
    fn a_new_rate_does_not_work_backwards() {
        let mut bucket = TokenBucket::new(10.0, 100.0, 0);
        bucket.set(1_000.0, 1_000.0, 1_000);
        assert_eq!(bucket.tokens(1_000), 10.0);
        assert_eq!(bucket.tokens(1_500), 510.0);
        bucket.set(0.0, 5.0, 1_500);
        assert_eq!(bucket.tokens(90_000), 5.0);
        bucket.spend(2.0);
        assert_eq!(bucket.tokens(0), 3.0);
    }

    #[test]
    fn a_change_of_pace_shows_soon_and_widens_the_spread() {
        let mut rate = PassRate::default();
        assert_eq!((rate.per_s(), rate.spread()), (0.0, SPREAD_UNKNOWN));
        (0..300).for_each(|_| rate.record(20, 1_000));
        assert!((rate.per_s() - 20.0).abs() < 1e-9 && rate.spread() < 0.001);
        (0..60).for_each(|_| rate.record(5, 1_000));
        assert!((8.0..13.0).contains(&rate.per_s()), "{}", rate.per_s());
        assert!(rate.spread() > 0.05, "{}", rate.spread());
        rate.record(60, 10_000_000);
        assert_eq!(rate.samples.len(), SAMPLES);
    }

    #[test]
    fn those_who_do_not_come_are_learned_and_forgotten() {
        let mut who = ShareWho::default();
        (0..100).for_each(|_| who.record(50, 30));
        assert!((who.share() - 0.6).abs() < 0.03, "{}", who.share());
        (0..100).for_each(|_| who.record(50, 50));
        assert!(who.share() > 0.99);
    }

    #[test]
    fn the_brake_falls_in_seconds_and_recovers_in_half_a_minute() {
        let limits = BrakeLimits { p99_ms: 1_000.0, error_share: 0.05 };
        let mut brake = Brake::new(0);
        (1..=20).for_each(|tick| {
            brake.step(tick * 250, 0.0, 0.5, limits);
        });
        assert_eq!(brake.factor(), Brake::LEAST);
        let well_s = (1..).find(|second| brake.step(5_000 + second * 1_000, 0.0, 0.0, limits) == 1.0);
        assert_eq!(well_s, Some(32));
    }
}
