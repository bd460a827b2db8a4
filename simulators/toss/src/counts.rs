//! Calls and money, counted on the side of the bank: the last word on whether anybody was charged twice.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

#[derive(Default)]
pub struct Counts {
    pub confirms: AtomicU64,
    pub queries: AtomicU64,
    pub cancels: AtomicU64,
    pub creates: AtomicU64,
    pub transactions: AtomicU64,
    pub replays: AtomicU64,
    pub authorised: AtomicU64,
    pub approved: AtomicU64,
    pub approved_amount: AtomicI64,
    pub declined: AtomicU64,
    pub expired: AtomicU64,
    pub cancelled: AtomicU64,
    pub cancelled_amount: AtomicI64,
    pub reversed: AtomicU64,
    pub reversed_amount: AtomicI64,
}

impl Counts {
    pub fn approve(&self, amount: i64) {
        self.approved.fetch_add(1, Relaxed);
        self.approved_amount.fetch_add(amount, Relaxed);
    }

    pub fn cancel(&self, amount: i64) {
        self.cancelled.fetch_add(1, Relaxed);
        self.cancelled_amount.fetch_add(amount, Relaxed);
    }

    pub fn reverse(&self, amount: i64) {
        self.reversed.fetch_add(1, Relaxed);
        self.reversed_amount.fetch_add(amount, Relaxed);
    }

    pub fn to_json(&self) -> Value {
        json!({
            "confirms": self.confirms.load(Relaxed),
            "queries": self.queries.load(Relaxed),
            "cancels": self.cancels.load(Relaxed),
            "creates": self.creates.load(Relaxed),
            "transactions": self.transactions.load(Relaxed),
            "replays": self.replays.load(Relaxed),
            "authorised": self.authorised.load(Relaxed),
            "approved": self.approved.load(Relaxed),
            "approved_amount": self.approved_amount.load(Relaxed),
            "declined": self.declined.load(Relaxed),
            "expired": self.expired.load(Relaxed),
            "cancelled": self.cancelled.load(Relaxed),
            "cancelled_amount": self.cancelled_amount.load(Relaxed),
            "reversed": self.reversed.load(Relaxed),
            "reversed_amount": self.reversed_amount.load(Relaxed),
        })
    }

    pub fn clear(&self) {
        let numbers = [
            &self.confirms,
            &self.queries,
            &self.cancels,
            &self.creates,
            &self.transactions,
            &self.replays,
            &self.authorised,
            &self.approved,
            &self.declined,
            &self.expired,
            &self.cancelled,
            &self.reversed,
        ];
        numbers.iter().for_each(|number| number.store(0, Relaxed));
        let amounts = [&self.approved_amount, &self.cancelled_amount, &self.reversed_amount];
        amounts.iter().for_each(|amount| amount.store(0, Relaxed));
    }
}
