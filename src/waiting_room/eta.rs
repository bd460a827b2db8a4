//! What somebody who waits can expect: a span of time, when to ask again, whether anything will be left. Pure.
//!
//! A span, since nobody knows the minute: it should hold the truth for 75 to 90 people of a hundred. Fewer would be
//! a lie; more would be too wide to plan by.

use super::rates::SPREAD_UNKNOWN;
use super::reply::Chance;

/// Half-width in standard deviations. By a normal distribution 82 of a hundred; the simulation below decides.
const Z: f64 = 1.35;
/// How old the knowledge is that a span rests on: signs of life and calls take a second or two to be known. [s]
const KNOWN_S: f64 = 1.5;
/// Longer than this is said as this: whoever reads "a day" knows. [s]
const LONGEST_S: f64 = 86_400.0;

/// Mean time until somebody is called with `ahead` before them, who has to be called as well. None: no rate is known.
pub fn mean_s(ahead: u32, rate_per_s: f64) -> Option<f64> {
    (rate_per_s.is_finite() && rate_per_s > 0.0).then(|| (f64::from(ahead) + 1.0) / rate_per_s)
}

/// From when to when somebody will be called, in steps of 5 s below a minute, 30 s below ten, a minute below an hour
/// and 5 minutes beyond. The fallback is the rate that is allowed: it stands in until one was measured.
///
/// Three things are uncertain, the chance in who is called how fast (1 / people), the pace itself (`spread`, squared
/// and relative as in `PassRate`), and how things stand at this second. Both ends go to the nearest step that keeps the mean between them: outwards would
/// make nearly every span of the last minutes too wide (97 to 100 of a hundred in it).
pub fn band(ahead: u32, rate_per_s: f64, spread: f64, fallback_rate_per_s: f64) -> Option<(i64, i64)> {
    let (mean_s, spread) = match mean_s(ahead, rate_per_s) {
        Some(mean_s) => (mean_s, spread),
        None => (mean_s(ahead, fallback_rate_per_s)?, spread.max(SPREAD_UNKNOWN)),
    };
    let relative = 1.0 / (f64::from(ahead) + 1.0) + spread.max(0.0);
    let half_s = Z * (mean_s * mean_s * relative + KNOWN_S * KNOWN_S).sqrt();
    let mean_s = mean_s.min(LONGEST_S);
    let from_s = to_step((mean_s - half_s).max(0.0), f64::round).min(to_step(mean_s, f64::floor));
    let to_s = to_step((mean_s + half_s).min(LONGEST_S), f64::round).max(to_step(mean_s, f64::ceil));
    // Never a point.
    let (from_s, to_s) = match from_s {
        from_s if from_s < to_s => (from_s, to_s),
        from_s if from_s < LONGEST_S => (from_s, from_s + step_s(from_s)),
        from_s => (from_s - step_s(from_s), from_s),
    };
    Some((from_s as i64, to_s as i64))
}

fn to_step(seconds: f64, rounded: impl Fn(f64) -> f64) -> f64 {
    let step_s = step_s(seconds);
    rounded(seconds / step_s) * step_s
}

fn step_s(seconds: f64) -> f64 {
    match seconds {
        s if s < 60.0 => 5.0,
        s if s < 600.0 => 30.0,
        s if s < 3_600.0 => 60.0,
        _ => 300.0,
    }
}

/// When to ask again: a tenth of the wait (by the allowed rate until one was measured), between 2 s and 30 s (`poll_max_ms` when load asks for longer), 1 to 2 s
/// close to the turn. `jitter` in 0..1 spreads those who came at once.
pub fn poll_after_ms(ahead: u32, mean_s: Option<f64>, poll_max_ms: i64, jitter: f64) -> i64 {
    /// Close to the turn. [s]
    const CLOSE_S: f64 = 20.0;
    let jitter = jitter.clamp(0.0, 1.0);
    let longest_ms = poll_max_ms.max(30_000) as f64;
    let ms = match mean_s {
        Some(mean_s) if mean_s <= CLOSE_S => 1_000.0 + 1_000.0 * jitter,
        // Next in line, at an unknown pace: soon is likely.
        None if ahead == 0 => 1_000.0 + 1_000.0 * jitter,
        Some(mean_s) => (mean_s * 100.0).clamp(2_000.0, longest_ms) * (0.85 + 0.3 * jitter),
        None => longest_ms * (0.85 + 0.3 * jitter),
    };
    ms as i64
}

/// Whether anything will be left when the turn comes.
///
/// - `High`: enough even if everybody ahead buys as much as buyers do on average, and a fifth more.
/// - `Medium`: enough if half of them do; some leave, some find nothing they want.
/// - `Low`: something is free now, but only because of those who have not been called yet.
/// - `None`: nothing is free.
pub fn chance(free_places: i64, ahead: u32, mean_places_per_buyer: f64) -> Chance {
    let per_buyer = if mean_places_per_buyer.is_finite() { mean_places_per_buyer.max(1.0) } else { 1.0 };
    let wanted = (f64::from(ahead) + 1.0) * per_buyer;
    match free_places as f64 / wanted {
        _ if free_places <= 0 => Chance::None,
        share if share >= 1.2 => Chance::High,
        share if share >= 0.5 => Chance::Medium,
        _ => Chance::Low,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::waiting_room::rates::PassRate;

    proptest! {
        #[test]
        fn a_band_is_a_span_around_the_mean(ahead in any::<u32>(), rate in 0.0001f64..10_000.0, spread in 0.0f64..4.0) {
            let (from_s, to_s) = band(ahead, rate, spread, 0.0).unwrap();
            let mean_s = mean_s(ahead, rate).unwrap().min(LONGEST_S);
            prop_assert!(from_s < to_s && from_s >= 0 && to_s <= LONGEST_S as i64);
            prop_assert!(from_s as f64 <= mean_s && mean_s <= to_s as f64);
            for edge in [from_s, to_s] {
                prop_assert_eq!(edge % step_s(edge as f64 - 0.1) as i64, 0);
            }
            let (wider_from_s, wider_to_s) = band(ahead, rate, spread + 0.5, 0.0).unwrap();
            prop_assert!(wider_from_s <= from_s && wider_to_s >= to_s);
        }

        /// Whoever moves up is never told a later time for it.
        #[test]
        fn fewer_ahead_is_never_later(ahead in 1u32..1_000_000, rate in 0.1f64..1_000.0, spread in 0.0f64..0.5) {
            let (behind, before) = (band(ahead, rate, spread, 0.0).unwrap(), band(ahead - 1, rate, spread, 0.0).unwrap());
            prop_assert!(before.1 <= behind.1, "{before:?} {behind:?}");
        }

        #[test]
        fn polls_are_bounded(
            ahead in any::<u32>(), mean_s in proptest::option::of(0.0f64..1e9),
            poll_max_ms in 0i64..200_000, jitter in 0.0f64..1.0,
        ) {
            let ms = poll_after_ms(ahead, mean_s, poll_max_ms, jitter);
            prop_assert!(ms >= 1_000 && ms as f64 <= poll_max_ms.max(30_000) as f64 * 1.15);
            if mean_s.is_some_and(|mean_s| mean_s <= 20.0) {
                prop_assert!(ms <= 2_000);
            }
        }

        #[test]
        fn chances_fall_with_people_and_rise_with_places(free in 0i64..100_000, ahead in 0u32..100_000, mean in 1.0f64..4.0) {
            let worth = |chance: Chance| match chance {
                Chance::None => 0,
                Chance::Low => 1,
                Chance::Medium => 2,
                Chance::High => 3,
            };
            let now = worth(chance(free, ahead, mean));
            prop_assert!(worth(chance(free, ahead + 1_000, mean)) <= now);
            prop_assert!(worth(chance(free + 1_000, ahead, mean)) >= now);
            prop_assert_eq!(now == 0, free == 0);
        }
    }

    #[test]
    fn without_a_rate_nothing_is_said() {
        for unknown in [0.0, -1.0, f64::NAN] {
            assert_eq!(band(10, unknown, 0.0, unknown), None);
        }
        assert_eq!(band(1_199, 0.0, 0.0, 20.0), Some((35, 90)));
        assert_eq!(band(0, 100.0, 0.0, 0.0), Some((0, 5)));
        assert_eq!(poll_after_ms(50_000, None, 30_000, 0.5), 30_000);
        assert_eq!(poll_after_ms(50_000, Some(120.0), 30_000, 0.5), 12_000);
    }

    #[test]
    fn chances_by_example() {
        assert_eq!(chance(0, 0, 2.0), Chance::None);
        assert_eq!(chance(240, 99, 2.0), Chance::High);
        assert_eq!(chance(239, 99, 2.0), Chance::Medium);
        assert_eq!(chance(99, 99, 2.0), Chance::Low);
        assert_eq!(chance(1, 0, f64::NAN), Chance::Medium);
    }

    /// How many are called in one second at this rate: Poisson.
    fn called(rng: &mut SmallRng, rate: f64) -> u32 {
        let (mut left, mut count) = (rate, 0);
        loop {
            left -= -(1.0 - rng.random::<f64>()).ln();
            if left < 0.0 {
                return count;
            }
            count += 1;
        }
    }

    /// Share of people whose turn came within the span they were told: service by chance, at a pace that wanders.
    fn coverage(seed: u64, pace: f64, wander: f64, memory_s: f64) -> f64 {
        const SECONDS: usize = 6_000;
        let mut rng = SmallRng::seed_from_u64(seed);
        let (mut rate, mut drift) = (PassRate::default(), 0.0f64);
        let (mut passed, mut told) = (vec![0u32], vec![]);
        for second in 0..SECONDS {
            // Mean-reverting, with `wander` as its standard deviation.
            let keep = (-1.0 / memory_s).exp();
            let noise = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
            drift = drift * keep + wander * (1.0 - keep * keep).sqrt() * noise;
            let now = called(&mut rng, pace * drift.exp());
            passed.push(passed[second] + now);
            rate.record(now, 1_000);
            if (300..SECONDS - 2_000).contains(&second) && second % 10 == 0 {
                let mean_s = 10.0 * 100f64.powf(rng.random());
                let ahead = (mean_s * pace) as u32;
                told.push((second, ahead, band(ahead, rate.per_s(), rate.spread(), 0.0).unwrap()));
            }
        }
        let held = told.iter().filter(|(second, ahead, (from_s, to_s))| {
            let turn = passed.partition_point(|count| *count < passed[second + 1] + ahead + 1);
            let wait_s = (turn - second - 1) as i64;
            (*from_s..=*to_s).contains(&wait_s)
        });
        held.count() as f64 / told.len() as f64
    }

    #[test]
    fn the_span_holds_the_truth_for_75_to_92_of_a_hundred() {
        let mut all = vec![];
        // From service that is only chance to a pace that wanders for ten minutes at a time.
        let paces = [
            (20.0, 0.0, 60.0),
            (2.0, 0.15, 60.0),
            (10.0, 0.2, 120.0),
            (50.0, 0.3, 30.0),
            (5.0, 0.3, 300.0),
            (20.0, 0.2, 600.0),
        ];
        for (pace, wander, memory_s) in paces {
            let seeds: Vec<f64> = (0..6).map(|seed| coverage(seed, pace, wander, memory_s)).collect();
            all.push(seeds.iter().sum::<f64>() / seeds.len() as f64);
        }
        assert!(all.iter().all(|share| (0.75..=0.92).contains(share)), "{all:?}");
    }
}
