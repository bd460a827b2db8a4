//! Idempotency keys: a call runs once under its key, and the answer is kept for whoever asks again.
//!
//! What belongs to the scope of a key, what else must match and for how long is each company's own rule.

use crate::{Text, lock};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};

const SHARDS: usize = 32;

#[derive(Clone)]
enum State<Answer> {
    /// Claimed once and given up: as good as unknown.
    Free,
    Running,
    Stored(Answer),
}

struct Entry<Answer> {
    at_ms: i64,
    /// What the first call asked for.
    asked: Text,
    state: State<Answer>,
}

struct Shard<Answer> {
    entries: HashMap<Text, Entry<Answer>>,
    oldest: VecDeque<Text>,
}

pub struct Keys<Answer> {
    hasher: RandomState,
    shards: Vec<Mutex<Shard<Answer>>>,
    max_per_shard: usize,
    life_ms: i64,
}

pub enum Begin<Answer> {
    Fresh(Claim<Answer>),
    Running,
    Replay(Answer),
    /// The key is known, with what it was first used for, which is something else.
    Other(Text),
}

/// The right to run once under a key. Dropped unfinished, it frees the key.
pub struct Claim<Answer> {
    keys: Arc<Keys<Answer>>,
    scope: Text,
    finished: bool,
}

impl<Answer: Clone> Keys<Answer> {
    /// Keeps `max` answers, the oldest going first, each for `life_ms` from its first use.
    pub fn new(max: usize, life_ms: i64) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::empty())).collect();
        Self { hasher: RandomState::new(), shards, max_per_shard: max.div_ceil(SHARDS), life_ms }
    }

    pub fn begin(self: &Arc<Self>, now_ms: i64, scope: String, asked: Text) -> Begin<Answer> {
        let scope: Text = scope.into();
        let mut shard = lock(self.shard(&scope));
        if let Some(entry) = shard.entries.get(&scope) {
            let alive = now_ms - entry.at_ms < self.life_ms;
            match &entry.state {
                State::Running if entry.asked == asked => return Begin::Running,
                State::Stored(answer) if alive && entry.asked == asked => return Begin::Replay(answer.clone()),
                State::Running => return Begin::Other(entry.asked.clone()),
                State::Stored(_) if alive => return Begin::Other(entry.asked.clone()),
                State::Free | State::Stored(_) => {}
            }
        }
        let entry = Entry { at_ms: now_ms, asked, state: State::Running };
        if shard.entries.insert(scope.clone(), entry).is_none() {
            shard.oldest.push_back(scope.clone());
        }
        while shard.oldest.len() > self.max_per_shard {
            if let Some(old) = shard.oldest.pop_front() {
                shard.entries.remove(&old);
            }
        }
        Begin::Fresh(Claim { keys: self.clone(), scope, finished: false })
    }

    pub fn clear(&self) {
        self.shards.iter().for_each(|shard| *lock(shard) = Shard::empty());
    }
}

impl<Answer> Keys<Answer> {
    fn shard(&self, scope: &str) -> &Mutex<Shard<Answer>> {
        &self.shards[self.hasher.hash_one(scope) as usize % SHARDS]
    }
}

impl<Answer> Shard<Answer> {
    fn empty() -> Self {
        Self { entries: HashMap::new(), oldest: VecDeque::new() }
    }

    fn settle(&mut self, scope: &str, state: State<Answer>) {
        if let Some(entry) = self.entries.get_mut(scope) {
            entry.state = state;
        }
    }
}

impl<Answer> Claim<Answer> {
    /// Binds the answer to the key.
    pub fn finish(mut self, answer: Answer) {
        self.finished = true;
        lock(self.keys.shard(&self.scope)).settle(&self.scope, State::Stored(answer));
    }
}

impl<Answer> Drop for Claim<Answer> {
    fn drop(&mut self) {
        if !self.finished {
            lock(self.keys.shard(&self.scope)).settle(&self.scope, State::Free);
        }
    }
}
