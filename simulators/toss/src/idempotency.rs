//! Idempotency keys with Toss's real scope: key + API key + method + URL. The body is not part of it, so a key
//! used for two orders answers the second one with the first one's payment.

use crate::clock::DAY_MS;
use crate::store::lock;
use crate::text::Text;
use axum::http::StatusCode;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};

pub const KEY_MAX: usize = 300;
const LIFE_MS: i64 = 15 * DAY_MS;
const SHARDS: usize = 32;

#[derive(Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

#[derive(Clone)]
enum State {
    /// Claimed once and given up: as good as unknown.
    Free,
    Running,
    Stored {
        answer: Answer,
        trace: Text,
    },
}

#[derive(Default)]
struct Shard {
    entries: HashMap<Text, (i64, State)>,
    oldest: VecDeque<Text>,
}

pub struct Idempotency {
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
    max_per_shard: usize,
}

pub enum Begin {
    Fresh(Claim),
    Running,
    Replay(Answer, Text),
}

/// The right to run once under a key. Dropped unfinished, it frees the key.
pub struct Claim {
    store: Arc<Idempotency>,
    key: Text,
    finished: bool,
}

impl Idempotency {
    pub fn new(max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { hasher: RandomState::new(), shards, max_per_shard: max.div_ceil(SHARDS) }
    }

    fn shard(&self, key: &str) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    pub fn begin(self: &Arc<Self>, now_ms: i64, scope: String) -> Begin {
        let key: Text = scope.into();
        let mut shard = lock(self.shard(&key));
        match shard.entries.get(&key) {
            Some((_, State::Running)) => return Begin::Running,
            Some((at_ms, State::Stored { answer, trace })) if now_ms - at_ms < LIFE_MS => {
                return Begin::Replay(answer.clone(), trace.clone());
            }
            _ => {}
        }
        if shard.entries.insert(key.clone(), (now_ms, State::Running)).is_none() {
            shard.oldest.push_back(key.clone());
        }
        while shard.oldest.len() > self.max_per_shard {
            if let Some(old) = shard.oldest.pop_front() {
                shard.entries.remove(&old);
            }
        }
        Begin::Fresh(Claim { store: self.clone(), key, finished: false })
    }

    pub fn clear(&self) {
        self.shards.iter().for_each(|shard| *lock(shard) = Shard::default());
    }
}

impl Claim {
    /// Binds the answer to the key for fifteen days from first use.
    pub fn finish(mut self, answer: &Answer, trace: &Text) {
        self.finished = true;
        if let Some((_, state)) = lock(self.store.shard(&self.key)).entries.get_mut(&self.key) {
            *state = State::Stored { answer: answer.clone(), trace: trace.clone() };
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if let Some((_, state)) = lock(self.store.shard(&self.key)).entries.get_mut(&self.key) {
            *state = State::Free;
        }
    }
}
