//! What belongs to the whole run: phones, keys, counts and step times, shared by every pool.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::tally::{Quantiles, Times};

/// Korean mobile numbers 010-2xxx-xxxx to 010-9xxx-xxxx.
const PHONES: u64 = 80_000_000;
/// Shares no factor with PHONES, so that multiplying scatters without ever meeting itself.
const PHONE_STEP: u64 = 49_979_687;
/// Numbers set aside for each second of the clock: runs of one hour do not share phones.
const PHONES_PER_S: u64 = 20_000;

pub struct Ledger {
    pub run: u64,
    next: AtomicU64,
    first_phone: u64,
    /// Orders the server said it keeps.
    pub acknowledged: AtomicU64,
    steps: Mutex<BTreeMap<&'static str, Times>>,
}

impl Default for Ledger {
    fn default() -> Ledger {
        let now_s = jiff::Timestamp::now().as_second().unsigned_abs();
        Ledger {
            run: rand::random(),
            next: AtomicU64::new(0),
            first_phone: now_s.wrapping_mul(PHONES_PER_S) % PHONES,
            acknowledged: AtomicU64::new(0),
            steps: Mutex::default(),
        }
    }
}

impl Ledger {
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub fn phone(&self, number: u64) -> u64 {
        1_020_000_000 + (self.first_phone + number) % PHONES * PHONE_STEP % PHONES
    }

    pub fn step(&self, name: &'static str, begun: Instant) {
        if let Ok(mut steps) = self.steps.lock() {
            steps.entry(name).or_default().record(begun.elapsed());
        }
    }

    /// Steps timed since the last call; a slow step is found here, not in the sum.
    pub fn take_steps(&self) -> BTreeMap<&'static str, Quantiles> {
        self.take_times().into_iter().map(|(name, times)| (name, times.quantiles())).collect()
    }

    /// The same, to be added up with others.
    pub fn take_times(&self) -> BTreeMap<&'static str, Times> {
        self.steps.lock().map(|mut steps| std::mem::take(&mut *steps)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_are_valid_and_never_repeat_within_a_run() {
        let ledger = Ledger::default();
        let mut phones: Vec<u64> = (0..300_000).map(|number| ledger.phone(number)).collect();
        assert!(phones.iter().all(|phone| (1_020_000_000..1_100_000_000).contains(phone)));
        phones.sort_unstable();
        phones.dedup();
        assert_eq!(phones.len(), 300_000);
    }
}
