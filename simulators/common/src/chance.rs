//! Faults by chance, reproducibly: whether call number n of an operation is spoilt, and how, follows from the seed,
//! the operation and n alone. The same seed spoils the same calls, however the operations interleave.

use crate::faults::{Fault, Kind};
use crate::lock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Random<Op> {
    pub seed: u64,
    /// Share of calls per kind, from 0 to 1; together 1 at most.
    pub probabilities: BTreeMap<Kind, f64>,
    /// Only these operations; all if absent.
    pub ops: Option<Vec<Op>>,
    /// For the kinds that wait.
    pub delay_ms: Option<u64>,
    /// Ends after this many faults.
    pub count: Option<u64>,
}

impl<Op> Random<Op> {
    fn check(&self) -> Result<(), String> {
        if self.probabilities.is_empty() || self.probabilities.values().any(|share| !(0.0..=1.0).contains(share)) {
            return Err("probabilities must name kinds with shares from 0 to 1".into());
        }
        if self.probabilities.values().sum::<f64>() > 1.0 + 1e-9 {
            return Err("probabilities must not add up to more than 1".into());
        }
        if self.delay_ms.is_some_and(|delay| delay > 3_600_000) {
            return Err("delay_ms must be an hour or less".into());
        }
        Ok(())
    }

    /// What befalls call number `n` of the operation of that name.
    fn fate(&self, name: &str, n: u64) -> Option<Kind> {
        let mut left = share(self.seed, name, n);
        self.probabilities.iter().find_map(|(kind, probability)| {
            left -= probability;
            (left < 0.0).then_some(*kind)
        })
    }
}

/// A number in [0, 1): FNV-1a over the name, then splitmix64. Written out, because a library's generator may
/// change with its version and the schedule with it.
fn share(seed: u64, name: &str, n: u64) -> f64 {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mut z = (seed ^ hash).wrapping_add(n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    // 53 bits are what a double holds exactly.
    (z >> 11) as f64 / (1u64 << 53) as f64
}

struct Draws<Op> {
    random: Random<Op>,
    /// Per operation: its name and the calls drawn for.
    calls: Vec<(Op, String, u64)>,
    faults: BTreeMap<Kind, u64>,
}

pub struct Chance<Op> {
    on: AtomicBool,
    draws: Mutex<Option<Draws<Op>>>,
}

impl<Op> Default for Chance<Op> {
    fn default() -> Self {
        Self { on: AtomicBool::new(false), draws: Mutex::new(None) }
    }
}

impl<Op: Copy + PartialEq + Serialize> Chance<Op> {
    pub fn set(&self, random: Option<Random<Op>>) -> Result<(), String> {
        if let Some(random) = &random {
            random.check()?;
        }
        let mut draws = lock(&self.draws);
        self.on.store(random.is_some(), Ordering::Release);
        *draws = random.map(|random| Draws { random, calls: Vec::new(), faults: BTreeMap::new() });
        Ok(())
    }

    pub fn draw(&self, op: Op) -> Option<Fault<Op>> {
        if !self.on.load(Ordering::Acquire) {
            return None;
        }
        let mut draws = lock(&self.draws);
        let kind = draws.as_mut()?.next(op)?;
        let delay_ms = draws.as_ref()?.random.delay_ms;
        Some(Fault::drawn(op, kind, delay_ms))
    }

    pub fn to_json(&self) -> Value {
        let draws = lock(&self.draws);
        let Some(draws) = draws.as_ref() else {
            return json!({ "random": null });
        };
        let calls: BTreeMap<&str, u64> = draws.calls.iter().map(|(_, name, n)| (name.as_str(), *n)).collect();
        json!({ "random": draws.random, "calls": calls, "faults": draws.faults })
    }
}

impl<Op: Copy + PartialEq + Serialize> Draws<Op> {
    fn next(&mut self, op: Op) -> Option<Kind> {
        if self.random.ops.as_ref().is_some_and(|ops| !ops.contains(&op)) {
            return None;
        }
        if self.random.count.is_some_and(|count| self.faults.values().sum::<u64>() >= count) {
            return None;
        }
        let at = self.calls.iter().position(|(known, ..)| *known == op).unwrap_or_else(|| {
            let name = json!(op).as_str().unwrap_or_default().to_owned();
            self.calls.push((op, name, 0));
            self.calls.len() - 1
        });
        let (_, name, n) = &mut self.calls[at];
        let kind = self.random.fate(name, *n);
        *n += 1;
        if let Some(kind) = kind {
            *self.faults.entry(kind).or_default() += 1;
        }
        kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: u64) -> Random<&'static str> {
        let probabilities = BTreeMap::from([(Kind::DropAfter, 0.1), (Kind::Slow, 0.2)]);
        Random { seed, probabilities, ops: None, delay_ms: None, count: None }
    }

    #[test]
    fn a_schedule_follows_from_its_seed_and_keeps_its_shares() {
        let fates = |seed| (0..10_000).map(move |n| random(seed).fate("confirm", n)).collect::<Vec<_>>();
        assert_eq!(fates(7), fates(7));
        assert_ne!(fates(7), fates(8));
        let share = |kind| fates(7).iter().filter(|fate| **fate == Some(kind)).count();
        assert!((900..1_100).contains(&share(Kind::DropAfter)), "{}", share(Kind::DropAfter));
        assert!((1_850..2_150).contains(&share(Kind::Slow)), "{}", share(Kind::Slow));
    }

    #[test]
    fn a_schedule_written_down_stays_the_same() {
        let spoilt: Vec<u64> = (0..40).filter(|n| random(42).fate("confirm", *n).is_some()).collect();
        // A change here would change every schedule that anybody has noted.
        assert_eq!(spoilt, [0, 7, 12, 19, 24, 28, 31, 33, 34, 35, 38, 39]);
    }
}
