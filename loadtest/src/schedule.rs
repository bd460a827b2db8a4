//! When each request is meant to start, decided before the run and blind to the answers.

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const SECOND_NS: f64 = 1e9;

/// Intended starts as nanoseconds from the beginning of the run, in order.
#[derive(Clone)]
pub struct Schedule {
    gap: Gap,
    next_ns: f64,
    issued: u64,
    end_ns: u64,
    count_max: u64,
}

#[derive(Clone)]
enum Gap {
    None,
    Even(f64),
    /// Independent visitors: exponential gaps with this mean.
    Poisson(f64, Box<SmallRng>),
    /// Each at its own instant.
    Planned(Arc<[u64]>),
}

impl Schedule {
    pub fn constant(rate: f64, end_ns: u64) -> Schedule {
        Schedule { gap: Gap::Even(SECOND_NS / rate), next_ns: 0.0, issued: 0, end_ns, count_max: u64::MAX }
    }

    pub fn poisson(rate: f64, end_ns: u64, seed: u64) -> Schedule {
        let mut rng = Box::new(SmallRng::seed_from_u64(seed));
        let mean = SECOND_NS / rate;
        let first = exponential(&mut rng, mean);
        Schedule { gap: Gap::Poisson(mean, rng), next_ns: first, issued: 0, end_ns, count_max: u64::MAX }
    }

    /// Everybody at once.
    pub fn burst(count: u64) -> Schedule {
        Schedule { gap: Gap::None, next_ns: 0.0, issued: 0, end_ns: 1, count_max: count }
    }

    /// So many visitors, each at a random instant of the window, all instants equally likely.
    pub fn scattered(count: u64, end_ns: u64, seed: u64) -> Schedule {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut starts: Vec<u64> = (0..count).map(|_| rng.random_range(0..end_ns.max(1))).collect();
        starts.sort_unstable();
        let next_ns = starts.first().map_or(0.0, |first| *first as f64);
        Schedule { gap: Gap::Planned(starts.into()), next_ns, issued: 0, end_ns: end_ns.max(1), count_max: count }
    }

    pub fn peek(&self) -> Option<u64> {
        let next = self.next_ns as u64;
        (next < self.end_ns && self.issued < self.count_max).then_some(next)
    }

    /// The next intended start, if it is not after `now_ns`.
    pub fn due(&mut self, now_ns: u64) -> Option<u64> {
        let next = self.peek().filter(|next| *next <= now_ns)?;
        self.issued += 1;
        self.next_ns = match &mut self.gap {
            Gap::None => self.next_ns,
            // Multiplied, not added up, so that a long run keeps its rate exactly.
            Gap::Even(gap) => self.issued as f64 * *gap,
            Gap::Poisson(mean, rng) => self.next_ns + exponential(rng, *mean),
            Gap::Planned(starts) => starts.get(self.issued as usize).map_or(self.next_ns, |start| *start as f64),
        };
        Some(next)
    }
}

fn exponential(rng: &mut SmallRng, mean: f64) -> f64 {
    let unit: f64 = rng.random();
    -mean * (1.0 - unit).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut schedule: Schedule) -> Vec<u64> {
        std::iter::from_fn(|| schedule.due(u64::MAX)).collect()
    }

    #[test]
    fn constant_arrivals_are_even_and_exact_in_number() {
        let starts = all(Schedule::constant(3_000.0, 10_000_000_000));
        assert_eq!(starts.len(), 30_000);
        assert!(starts.windows(2).all(|two| (333_333..=333_334).contains(&(two[1] - two[0]))));
        assert_eq!(starts[29_997], 9_999_000_000);
    }

    #[test]
    fn poisson_arrivals_keep_the_rate_and_vary_like_visitors() {
        let starts = all(Schedule::poisson(5_000.0, 20_000_000_000, 7));
        assert!((99_000..101_000).contains(&starts.len()), "{}", starts.len());
        // In a Poisson process the variance of counts equals their mean.
        let mut counts = vec![0_f64; 2_000];
        starts.iter().for_each(|start| counts[(start / 10_000_000) as usize] += 1.0);
        let mean = counts.iter().sum::<f64>() / 2_000.0;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 2_000.0;
        assert!((0.85..1.15).contains(&(variance / mean)), "{variance} {mean}");
    }

    #[test]
    fn a_copy_with_the_same_seed_agrees() {
        assert_eq!(all(Schedule::poisson(100.0, 1_000_000_000, 3)), all(Schedule::poisson(100.0, 1_000_000_000, 3)));
    }

    #[test]
    fn nothing_is_due_early_and_a_late_caller_gets_everything() {
        let mut schedule = Schedule::constant(1_000.0, 1_000_000_000);
        assert_eq!(schedule.due(0), Some(0));
        assert_eq!(schedule.due(999_999), None);
        assert_eq!(std::iter::from_fn(|| schedule.due(5_000_000)).count(), 5);
        assert_eq!(schedule.peek(), Some(6_000_000));
    }

    #[test]
    fn scattered_visitors_are_all_there_in_order_and_everywhere() {
        let minute = 60_000_000_000;
        let starts = all(Schedule::scattered(10_000, minute, 5));
        assert_eq!(starts.len(), 10_000);
        assert!(starts.is_sorted() && starts[9_999] < minute);
        let mut counts = [0_i64; 10];
        starts.iter().for_each(|start| counts[(start / 6_000_000_000) as usize] += 1);
        // A thousand each, give or take four standard deviations.
        assert!(counts.iter().all(|count| (count - 1_000).abs() < 120), "{counts:?}");
        assert_eq!(starts, all(Schedule::scattered(10_000, minute, 5)));
        assert!(all(Schedule::scattered(0, minute, 5)).is_empty());
    }

    #[test]
    fn a_burst_is_at_once() {
        assert_eq!(all(Schedule::burst(4)), [0, 0, 0, 0]);
    }
}
