//! What each visitor will do, drawn before the run and blind to the answers. Pure.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// How a visitor behaves while waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Stays,
    /// Stops asking after so many polls and never comes back.
    Abandons {
        after_polls: u32,
    },
    /// Is silent after so many polls, or when called, for longer than the time to claim; then comes back.
    Blinks {
        after_polls: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    pub manner: Manner,
    /// Time to choose among the products. [ms]
    pub choosing_ms: u64,
    /// Seeds what else this visitor draws, e.g. which ticket.
    pub seed: u64,
}

/// Looking at the products takes from one to three seconds. [ms]
const CHOOSING_MS: std::ops::RangeInclusive<u64> = 1_000..=3_000;
/// Nobody goes before the first answer, and few wait for a fourth.
const POLLS_BEFORE: std::ops::RangeInclusive<u32> = 1..=3;

/// Exactly the shares asked for, spread at random over the visitors in the order of their arrival.
pub fn plans(visitors: u32, abandon_pct: u32, blink_pct: u32, seed: u64) -> Vec<Plan> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let share = |pct: u32| (u64::from(visitors) * u64::from(pct) / 100) as usize;
    let (abandoning, blinking) = (share(abandon_pct), share(blink_pct));
    let mut plans: Vec<Plan> = (0..visitors as usize)
        .map(|at| {
            let after_polls = rng.random_range(POLLS_BEFORE);
            let manner = match at {
                _ if at < abandoning => Manner::Abandons { after_polls },
                _ if at < abandoning + blinking => Manner::Blinks { after_polls },
                _ => Manner::Stays,
            };
            Plan { manner, choosing_ms: rng.random_range(CHOOSING_MS), seed: rng.random() }
        })
        .collect();
    // Fisher and Yates.
    for at in (1..plans.len()).rev() {
        plans.swap(at, rng.random_range(0..=at));
    }
    plans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_and_spread_and_a_seed_repeats_them() {
        let drawn = plans(10_000, 5, 3, 7);
        let count = |of: &[Plan], is: fn(&Manner) -> bool| of.iter().filter(|plan| is(&plan.manner)).count();
        let abandons = |manner: &Manner| matches!(manner, Manner::Abandons { .. });
        let blinks = |manner: &Manner| matches!(manner, Manner::Blinks { .. });
        assert_eq!((drawn.len(), count(&drawn, abandons), count(&drawn, blinks)), (10_000, 500, 300));
        // A tenth of the visitors holds about a tenth of each kind, whichever tenth it is.
        for tenth in drawn.chunks(1_000) {
            assert!((20..=85).contains(&count(tenth, abandons)), "{}", count(tenth, abandons));
            assert!((8..=60).contains(&count(tenth, blinks)), "{}", count(tenth, blinks));
        }
        assert!(drawn.iter().all(|plan| CHOOSING_MS.contains(&plan.choosing_ms)));
        assert_eq!(drawn, plans(10_000, 5, 3, 7));
        assert_ne!(drawn, plans(10_000, 5, 3, 8));
        assert!(plans(3, 0, 0, 1).iter().all(|plan| plan.manner == Manner::Stays));
        assert_eq!(count(&plans(100, 60, 40, 1), |manner| *manner == Manner::Stays), 0);
    }
}
