//! Calls and money, counted on the side of the company: the last word on whether anybody was charged twice.

use crate::faults::Op;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

#[derive(Default)]
pub struct Counts {
    calls: [AtomicU64; Op::ALL.len()],
    pub replays: AtomicU64,
    /// Intents created, and attempts that were authorised or paid at once.
    pub intents: AtomicU64,
    pub authorised: Tally,
    pub declined: AtomicU64,
    pub captured: Tally,
    pub canceled: AtomicU64,
    pub expired: AtomicU64,
    pub refunded: Tally,
    pub refunds_failed: Tally,
    pub disputed: Tally,
}

/// How often, and how much in all.
#[derive(Default)]
pub struct Tally {
    number: AtomicU64,
    amount: AtomicI64,
}

impl Tally {
    pub fn add(&self, amount: i64) {
        self.number.fetch_add(1, Relaxed);
        self.amount.fetch_add(amount, Relaxed);
    }

    fn get(&self) -> (u64, i64) {
        (self.number.load(Relaxed), self.amount.load(Relaxed))
    }

    fn clear(&self) {
        self.number.store(0, Relaxed);
        self.amount.store(0, Relaxed);
    }
}

impl Counts {
    pub fn call(&self, op: Op) {
        self.calls[op as usize].fetch_add(1, Relaxed);
    }

    pub fn to_json(&self) -> Value {
        let mut counts = json!({
            "replays": self.replays.load(Relaxed),
            "intents": self.intents.load(Relaxed),
            "declined": self.declined.load(Relaxed),
            "canceled": self.canceled.load(Relaxed),
            "expired": self.expired.load(Relaxed),
        });
        let calls = Op::ALL.iter().map(|op| (op.name().to_owned(), self.calls[*op as usize].load(Relaxed).into()));
        counts["calls"] = Value::Object(calls.collect());
        for (name, tally) in self.tallies() {
            let (number, amount) = tally.get();
            counts[name] = number.into();
            counts[format!("{name}_amount")] = amount.into();
        }
        counts
    }

    fn tallies(&self) -> [(&'static str, &Tally); 5] {
        [
            ("authorised", &self.authorised),
            ("captured", &self.captured),
            ("refunded", &self.refunded),
            ("refunds_failed", &self.refunds_failed),
            ("disputed", &self.disputed),
        ]
    }

    pub fn clear(&self) {
        let numbers = [&self.replays, &self.intents, &self.declined, &self.canceled, &self.expired];
        numbers.into_iter().chain(&self.calls).for_each(|number| number.store(0, Relaxed));
        self.tallies().iter().for_each(|(_, tally)| tally.clear());
    }
}
