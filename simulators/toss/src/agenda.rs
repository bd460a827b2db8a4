//! What is to happen later, by the simulated clock: expiries, due dates, webhook retries.

use crate::store::lock;
use crate::text::Text;
use crate::webhooks::Job;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

pub enum Due {
    /// 30 minutes without authentication or 10 without confirm.
    Expire(Text),
    /// The last moment for a deposit.
    DepositOver(Text),
    /// The money of a refunded deposit has left.
    RefundSent(Text),
    Deliver(Job),
    /// A webhook kept back to be overtaken, and nobody overtook it.
    LetGo(Text),
}

#[derive(Default)]
pub struct Agenda {
    queue: Mutex<BTreeMap<(i64, u64), Due>>,
    number: AtomicU64,
    pub wake: Notify,
}

impl Agenda {
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
}
