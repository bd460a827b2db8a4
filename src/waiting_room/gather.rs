//! What the leader gathers once a second from all instances: who is alive, and how they are doing.

use std::collections::HashMap;

use super::alive::{self, AliveIndex, Windows};
use super::bits::{Bits, slot_of};
use super::left::{self, Leaver};
use super::model::LANES;
use super::pg::RoomRow;
use super::redis::{self, Look, RoomKeys};
use crate::error::Result;

/// Instances that were silent for longer are gone; their people come to others. [ms]
const SILENT_MS: i64 = 20_000;
/// Ten minutes from the front, the departed must not hold up the line. [s]
const NEAR_S: f64 = 600.0;
/// The running slot and the one before may still be told more of; older ones are read once.
const OPEN_SLOTS: i64 = 2;

/// People who can join before their signs of life are due, several times over.
pub const FRESH_MAX: usize = 100_000;

#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub polls_per_s: f64,
    pub arrivals_per_s: f64,
    /// The worst of all instances. [ms]
    pub orders_p99_ms: i64,
    /// 0.0..=1.0
    pub failed_share: f64,
}

/// What the leader knows of the room's pace.
pub struct Expected {
    /// Alive ranks called per second.
    pub passed_per_s: [f64; LANES],
    /// Behind these numbers signs of life are not due yet: whoever joined a moment ago counts as alive.
    pub fresh: [u32; LANES],
    /// How long somebody who is there may be silent.
    pub windows: Windows,
}

#[derive(Default)]
pub struct Gathered {
    pub at_ms: i64,
    pub alive: [Bits; LANES],
    /// Alive behind the serving rank.
    pub waiting: [u32; LANES],
    pub instances: usize,
    /// Asked to be told by mail: alive until shortly before the turn.
    pub pinned: [Bits; LANES],
    /// The last round's, to see how far ten minutes reach.
    front: [AliveIndex; LANES],
    totals: Totals,
    counters: Option<(u64, u64)>,
    closed: HashMap<(usize, i64), Bits>,
    space: (u32, bool),
}

/// Highest numbers that any instance has seen.
pub struct SeenMax {
    pub numbers: [u32; LANES],
    pub serving: [u32; LANES],
}

impl Gathered {
    pub fn totals(&self) -> Totals {
        self.totals
    }

    pub async fn seen_max(keys: RoomKeys<'_>, now_ms: i64) -> Result<SeenMax> {
        let names = redis::instances(keys, now_ms - SILENT_MS).await?;
        let stats = redis::stats(keys, &names).await?;
        let of_run = || stats.iter().filter(|s| s.run == keys.run);
        Ok(SeenMax {
            numbers: std::array::from_fn(|lane| of_run().map(|s| s.seen_max[lane]).max().unwrap_or(0)),
            serving: std::array::from_fn(|lane| of_run().map(|s| s.serving_max[lane]).max().unwrap_or(0)),
        })
    }

    /// True when liveness is not to be trusted until it had time to arrive anew.
    pub async fn refresh(
        &mut self,
        keys: RoomKeys<'_>,
        row: &RoomRow,
        look: &Look,
        expected: &Expected,
        now_ms: i64,
    ) -> Result<bool> {
        let names = redis::instances(keys, now_ms - SILENT_MS).await?;
        // An instance that fell silent takes the signs of life of its people along: those come to others by and by.
        let fell_silent = names.len() < self.instances;
        self.instances = names.len();
        let left = self.count(keys, &names, now_ms).await?;
        // Before a draw bits are numbers, after it ranks; a run begins with nobody.
        let mut moved = false;
        let ranked = row.draw.committed.is_none() || row.draw.drawn.is_some();
        if self.space != (row.run, ranked) {
            self.space = (row.run, ranked);
            self.closed.clear();
            // Nobody is passed before the instances have told who is where in the new order.
            moved = true;
        }
        let windows = expected.windows;

        let running = slot_of(now_ms);
        self.closed.retain(|(_, slot), _| *slot >= running - i64::from(windows.far));
        for lane in 0..LANES {
            if look.seq[lane] == 0 {
                self.alive[lane] = Bits::default();
                continue;
            }
            let mut slots = Vec::new();
            for age in 0..=windows.far {
                let slot = running - i64::from(age);
                let mut bits = self.slot(keys, lane, ranked, slot, running, &names).await?;
                if ranked {
                    left::take_out(&mut bits, lane, slot, &left);
                }
                slots.push((age, bits));
            }
            let soon = (expected.passed_per_s[lane] * NEAR_S).clamp(100.0, 1e9) as u32;
            let near = self.front[lane].advance(look.serving[lane], soon, look.seq[lane]);
            self.alive[lane] = alive::merge(&slots, near, windows, &self.pinned[lane]);
            self.front[lane] = AliveIndex::new(self.alive[lane].clone());
            let mut shown = self.alive[lane].clone();
            (expected.fresh[lane].saturating_add(1)..=look.seq[lane]).take(FRESH_MAX).for_each(|rank| shown.set(rank));
            redis::publish_merged(keys, lane, shown.to_bytes()).await?;
        }
        self.at_ms = now_ms;
        Ok(moved || fell_silent)
    }

    async fn slot(
        &mut self,
        keys: RoomKeys<'_>,
        lane: usize,
        ranked: bool,
        slot: i64,
        running: i64,
        names: &[String],
    ) -> Result<Bits> {
        if let Some(known) = self.closed.get(&(lane, slot)) {
            return Ok(known.clone());
        }
        let mut bits = Bits::default();
        for bytes in redis::live(keys, lane, ranked, slot, names).await? {
            bits.or_with(&bytes);
        }
        if slot < running - OPEN_SLOTS {
            self.closed.insert((lane, slot), bits.clone());
        }
        Ok(bits)
    }

    /// How the instances are doing; gives who left the line on purpose.
    async fn count(&mut self, keys: RoomKeys<'_>, names: &[String], now_ms: i64) -> Result<Vec<Leaver>> {
        let stats = redis::stats(keys, names).await?;
        let sum = |of: fn(&redis::Stats) -> u64| stats.iter().map(of).sum::<u64>();
        let (polls, arrivals) = (sum(|s| s.polls), sum(|s| s.arrivals));
        let passed_s = ((now_ms - self.at_ms) as f64 / 1000.0).max(0.001);
        let (polls_before, arrivals_before) = self.counters.unwrap_or((polls, arrivals));
        let (orders, failed) = (sum(|s| s.orders.into()), sum(|s| s.orders_failed.into()));
        self.totals = Totals {
            // An instance that has gone takes its counts along.
            polls_per_s: polls.saturating_sub(polls_before) as f64 / passed_s,
            arrivals_per_s: arrivals.saturating_sub(arrivals_before) as f64 / passed_s,
            orders_p99_ms: stats.iter().map(|s| s.orders_p99_ms).max().unwrap_or(0),
            failed_share: if orders == 0 { 0.0 } else { failed as f64 / orders as f64 },
        };
        self.counters = Some((polls, arrivals));
        Ok(stats.into_iter().filter(|s| s.run == keys.run).flat_map(|s| s.left).collect())
    }

    /// People seen lately between the serving rank and a rank behind it.
    pub fn ahead(&self, lane: usize, serving: u32, rank: u32) -> u32 {
        self.front[lane].between(serving, rank.saturating_sub(1).max(serving))
    }
}
