//! All payments, by key and by order. Sharded, so that a confirm waits for nobody but its own payment.
//!
//! Lock order: a payment first, then the shard of its order. No shard is held while a payment is locked.
//! Nothing is ever forgotten before a reset: a few KB a payment.

use crate::ids;
use crate::method::Method;
use crate::payment::Payment;
use simulator_common::{Text, lock};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard};

const SHARDS: usize = 64;

/// A payment and what Toss knows about it without saying.
pub struct Held {
    pub object: Payment,
    pub terms: Terms,
}

pub struct Terms {
    /// Which key pair opened it: 0 individual, 1 widget.
    pub pair: usize,
    pub customer_key: Option<String>,
    pub customer_name: String,
    pub wanted: Method,
    pub bank: Option<&'static str>,
    pub valid_hours: i64,
    pub cash_receipt: Option<&'static str>,
    pub success_url: Option<String>,
    pub fail_url: Option<String>,
    /// Origin of the page that waits for a promise instead of a redirect.
    pub opener: Option<String>,
    /// End of the 30 or the 10 minutes.
    pub deadline_ms: i64,
    pub approved_ms: i64,
    pub deposit_due_ms: i64,
}

pub type Entry = Arc<Mutex<Held>>;

#[derive(Default)]
struct Order {
    keys: Vec<Text>,
    paid: Option<Text>,
}

pub struct Store {
    hasher: RandomState,
    payments: Vec<Mutex<HashMap<Text, Entry>>>,
    orders: Vec<Mutex<HashMap<Text, Order>>>,
}

impl Store {
    pub fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            payments: (0..SHARDS).map(|_| Mutex::default()).collect(),
            orders: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    fn shard<'a, T>(&self, shards: &'a [Mutex<T>], key: &str) -> MutexGuard<'a, T> {
        lock(&shards[self.hasher.hash_one(key) as usize % SHARDS])
    }

    /// Files a payment under a fresh key, which `make` puts into it.
    pub fn insert(&self, now_ms: i64, order_id: &Text, make: impl FnOnce(Text) -> Held) -> Entry {
        let (key, entry) = loop {
            let key: Text = ids::payment_key(now_ms).into();
            let mut shard = self.shard(&self.payments, &key);
            if !shard.contains_key(&key) {
                let entry: Entry = Arc::new(Mutex::new(make(key.clone())));
                shard.insert(key.clone(), entry.clone());
                break (key, entry);
            }
        };
        self.shard(&self.orders, order_id).entry(order_id.clone()).or_default().keys.push(key);
        entry
    }

    pub fn get(&self, payment_key: &str) -> Option<Entry> {
        self.shard(&self.payments, payment_key).get(payment_key).cloned()
    }

    /// The paid attempt of an order, else its latest. Toss does not say which one it returns.
    pub fn by_order(&self, order_id: &str) -> Option<Entry> {
        let key = {
            let orders = self.shard(&self.orders, order_id);
            let order = orders.get(order_id)?;
            order.paid.clone().or_else(|| order.keys.last().cloned())?
        };
        self.get(&key)
    }

    pub fn all_of_order(&self, order_id: &str) -> Vec<Entry> {
        let keys = self.shard(&self.orders, order_id).get(order_id).map_or_else(Vec::new, |o| o.keys.clone());
        keys.iter().filter_map(|key| self.get(key)).collect()
    }

    pub fn is_paid(&self, order_id: &str) -> bool {
        self.shard(&self.orders, order_id).get(order_id).is_some_and(|order| order.paid.is_some())
    }

    /// Makes a payment the one that pays its order. False if another one has: an orderId is paid once.
    pub fn claim_order(&self, order_id: &str, payment_key: &Text) -> bool {
        let mut orders = self.shard(&self.orders, order_id);
        let Some(order) = orders.get_mut(order_id) else {
            return false;
        };
        *order.paid.get_or_insert_with(|| payment_key.clone()) == *payment_key
    }

    /// Everything, oldest request first. A control for tests, never used by a payment.
    pub fn all(&self) -> Vec<Entry> {
        let mut all: Vec<(Text, Entry)> = Vec::new();
        for shard in &self.payments {
            all.extend(lock(shard).iter().map(|(key, entry)| (key.clone(), entry.clone())));
        }
        // The key begins with the time of the request.
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.into_iter().map(|(_, entry)| entry).collect()
    }

    pub fn clear(&self) {
        self.payments.iter().for_each(|shard| lock(shard).clear());
        self.orders.iter().for_each(|shard| lock(shard).clear());
    }
}
