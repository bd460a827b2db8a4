//! What is to happen later, by the simulated clock: expiries, due dates, webhook retries.

use crate::clock::Clock;
use crate::lock;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

pub struct Agenda<Due> {
    queue: Mutex<BTreeMap<(i64, u64), Due>>,
    number: AtomicU64,
    pub wake: Notify,
}

impl<Due> Default for Agenda<Due> {
    fn default() -> Self {
        Self { queue: Mutex::default(), number: AtomicU64::new(0), wake: Notify::new() }
    }
}

impl<Due> Agenda<Due> {
    pub fn at(&self, at_ms: i64, due: Due) {
        let key = (at_ms, self.number.fetch_add(1, Ordering::Relaxed));
        let mut queue = lock(&self.queue);
        let earliest = queue.first_key_value().is_none_or(|(first, _)| key < *first);
        queue.insert(key, due);
        drop(queue);
        if earliest {
            self.wake.notify_one();
        }
    }

    pub fn pop(&self, now_ms: i64) -> Option<Due> {
        let mut queue = lock(&self.queue);
        let first = queue.first_entry().filter(|entry| entry.key().0 <= now_ms)?;
        Some(first.remove())
    }

    pub fn next_ms(&self) -> Option<i64> {
        lock(&self.queue).first_key_value().map(|((at_ms, _), _)| *at_ms)
    }

    pub fn clear(&self) {
        lock(&self.queue).clear();
    }

    /// Calls `run_due` and sleeps until the next due moment or a change of plans, until the simulator stops.
    pub async fn keep(&self, clock: &Clock, mut stop: watch::Receiver<bool>, run_due: impl Fn()) {
        loop {
            run_due();
            let nap = self.next_ms().map_or(Duration::from_secs(3_600), |at_ms| clock.real_until(at_ms));
            tokio::select! {
                () = self.wake.notified() => {}
                // Never a busy loop, even at a scale where every nap rounds to nothing.
                () = tokio::time::sleep(nap.max(Duration::from_millis(1))) => {}
                _ = stop.wait_for(|stopped| *stopped) => return,
            }
        }
    }
}
