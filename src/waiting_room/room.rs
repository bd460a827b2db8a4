//! A room as one instance knows it: the leader's last picture, who is alive, the drawn order, and whom this instance
//! has seen. Polls are answered from here; nothing of it is promised to anybody, and all of it can be lost.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::alive::AliveIndex;
use super::bits::{Bits, SLOTS_KEPT, Slots};
use super::cohort::PROOFS_AT_ONCE;
use super::draw::RankTable;
use super::join::Joiner;
use super::leader::Leaders;
use super::left::Left;
use super::model::{LANES, Lane, Phase, Snap};
use super::pace::OrderPace;
use super::pg::{self, RoomRow};
use super::redis::{self, Account, LiveSlot, RoomKeys, Stats};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::ids::random_bytes;
use crate::platform::secrets::{hex, unhex};

/// How often an instance reads the picture. [ms]
pub const READ: Duration = Duration::from_millis(250);
/// How often it says whom it has seen and learns who else is alive, and looks which rooms there are. [ms]
const EXCHANGE_MS: i64 = 1_000;
/// A picture older than this is said to be old. [ms]
const STALE_MS: i64 = 3_000;
/// Serving ranks are remembered this long: longer than anybody may take to claim. [ms]
const HISTORY_MS: i64 = 20 * 60_000;

/// What polls are answered from.
#[derive(Clone, Default)]
pub struct View {
    pub snap: Snap,
    /// When this instance last read a picture that was newer than the one before. [ms]
    pub read_ms: i64,
    /// The drawn order; empty before.
    pub table: Arc<RankTable>,
    pub alive: [Arc<AliveIndex>; LANES],
    /// When which rank was served, the oldest first.
    pub history: [Arc<Vec<(i64, u32)>>; LANES],
    /// Connections to Redis under which the leader has looked at it: see `Room::checked`.
    pub connections: u64,
}

impl View {
    pub fn is_stale(&self, now_ms: i64) -> bool {
        now_ms - self.snap.at_ms.max(self.read_ms) > STALE_MS
    }

    /// Whether places in line are known: there is no draw, or it has been held.
    pub fn is_ranked(&self) -> bool {
        self.snap.draw.seed_hash.is_empty() || !self.table.is_empty() || self.is_empty_draw()
    }

    /// A cohort of nobody is drawn, too.
    fn is_empty_draw(&self) -> bool {
        !self.snap.draw.seed.is_empty() && self.snap.draw.m == 0
    }

    pub fn rank_of(&self, lane: Lane, number: u32) -> Option<u32> {
        match lane {
            Lane::Invited => Some(number),
            Lane::General => self.is_ranked().then(|| self.table.rank_of(number)),
        }
    }

    /// When a rank was called, if that was within memory.
    pub fn called_ms(&self, lane: Lane, rank: u32) -> Option<i64> {
        let history = &self.history[lane as usize];
        let at = history.partition_point(|(_, served)| *served < rank);
        // The oldest entry only says that it was then or before.
        if at == 0 { None } else { history.get(at).map(|(ms, _)| *ms) }
    }

    pub fn late_called_ms(&self, lane: Lane, rank: u32) -> Option<i64> {
        let called = self.snap.late_called.iter().find(|(l, r, _)| *l == lane as u8 && *r == rank);
        called.map(|(.., ms)| *ms)
    }
}

pub struct Room {
    pub exhibition_id: i32,
    pub code: String,
    view: ArcSwap<View>,
    live: [ArcSwap<Slots>; LANES],
    pub seen_max: [AtomicU32; LANES],
    pub joiner: Joiner,
    pub pace: OrderPace,
    left: Left,
    pub arrivals: AtomicU64,
    pub polls: AtomicU64,
    /// Owners of numbers that Redis may have lost.
    registrations: Mutex<Vec<(Lane, Account, u32)>>,
    exchanged_ms: Mutex<i64>,
    /// Something happened since the last exchange after which Redis has to be told of every slot.
    tell_all: AtomicBool,
    /// Since when the connections to Redis are the ones that they are.
    reconnected: Mutex<(u64, i64)>,
}

impl Room {
    /// Until the leader's picture is read, the room is what Postgres says: never open by ignorance.
    fn new(row: &RoomRow) -> Room {
        let (exhibition_id, code) = (row.exhibition_id, row.code.as_str());
        let snap = Snap { phase: row.phase, run: row.run, epoch: row.epoch, ..Snap::default() };
        Room {
            exhibition_id,
            code: code.to_owned(),
            view: ArcSwap::from_pointee(View { snap, ..View::default() }),
            live: Default::default(),
            seen_max: Default::default(),
            joiner: Joiner::default(),
            pace: OrderPace::default(),
            left: Left::default(),
            arrivals: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            registrations: Mutex::default(),
            exchanged_ms: Mutex::new(0),
            tell_all: AtomicBool::new(false),
            reconnected: Mutex::default(),
        }
    }

    pub fn view(&self) -> arc_swap::Guard<Arc<View>> {
        self.view.load()
    }

    /// Somebody with this place was here just now.
    pub fn seen(&self, lane: Lane, number: u32, rank: Option<u32>, now_ms: i64) {
        self.live[lane as usize].load().mark(rank.unwrap_or(number), now_ms);
        self.seen_max[lane as usize].fetch_max(number, Ordering::Relaxed);
    }

    /// Left on purpose. Before a draw nobody is called, so there the silence of the next minute is soon enough.
    pub fn gone(&self, lane: Lane, number: u32, rank: Option<u32>, now_ms: i64) {
        self.live[lane as usize].load().unmark(rank.unwrap_or(number));
        if let Some(rank) = rank {
            self.left.note(lane, rank, now_ms);
        }
    }

    /// Somebody joins who has a place: whoever had left it is back.
    pub fn is_back(&self, lane: Lane, rank: Option<u32>) {
        if let Some(rank) = rank {
            self.left.is_back(lane, rank);
        }
    }

    /// A token that was sealed before Redis lost something: its number is told to Redis again.
    pub fn register(&self, lane: Lane, account: Account, number: u32) {
        // Whoever comes after so many comes again with the next poll.
        const WAITING_MAX: usize = 100_000;
        if let Ok(mut waiting) = self.registrations.lock()
            && waiting.len() < WAITING_MAX
        {
            waiting.push((lane, account, number));
        }
    }

    /// Whether the leader has looked at this Redis since we connected to it. Until then no number is given out: it may
    /// have lost some.
    pub fn checked(&self, app: &App) -> bool {
        self.view().connections == app.redis.connections()
    }

    /// One round: the picture, and once a second an exchange of who is alive.
    pub async fn refresh(&self, app: &App) -> Result<()> {
        let now_ms = app.clock.now_ms();
        let connections = app.redis.connections();
        let Some(bytes) = redis::snap(&app.redis, &self.code).await? else { return Ok(()) };
        let snap: Snap = serde_json::from_slice(&bytes).map_err(Error::bug)?;
        let current = self.view.load_full();
        let version = |s: &Snap| (s.run, s.epoch, s.at_ms);
        if version(&snap) < version(&current.snap) {
            // An older replica answered. What was promised since is in tokens; the leader will fence this one.
            return Ok(());
        }
        let keys = RoomKeys::new(&app.redis, &self.code, snap.run);
        let connections = self.checked_connections(connections, &snap, now_ms, current.connections);
        let new_run = snap.run != current.snap.run;
        let view = View {
            read_ms: if snap.at_ms > current.snap.at_ms { now_ms } else { current.read_ms },
            table: self.table(&snap, &current).await?,
            alive: if new_run { Default::default() } else { current.alive.clone() },
            history: self.history(keys, &snap, &current).await?,
            connections,
            snap,
        };
        // From here to the store of the view nothing is waited for: who polls meanwhile must not be marked by number
        // where ranks are counted.
        if view.is_ranked() && !current.is_ranked() && !new_run {
            let ranked = self.live[0].load().remap(|number| view.table.rank_of(number));
            self.live[0].store(Arc::new(ranked));
        }
        if new_run && current.snap.at_ms > 0 {
            self.live.iter().for_each(|slots| slots.store(Arc::default()));
            self.left.forget();
            self.seen_max.iter().for_each(|seen| seen.store(0, Ordering::Relaxed));
        }
        let told_elsewhere = view.is_ranked() != current.is_ranked()
            || view.snap.epoch != current.snap.epoch
            || view.connections != current.connections;
        if told_elsewhere {
            self.tell_all.store(true, Ordering::Relaxed);
        }
        let view = Arc::new(view);
        self.view.store(view.clone());
        if !self.exchange_is_due(now_ms) {
            return Ok(());
        }
        let keys = RoomKeys::new(&app.redis, &self.code, view.snap.run);
        let all = self.tell_all.swap(false, Ordering::Relaxed);
        if let Err(error) = self.exchange(app, keys, &view, all, now_ms).await {
            self.tell_all.store(true, Ordering::Relaxed);
            return Err(error);
        }
        let mut alive = view.alive.clone();
        for (lane, alive) in alive.iter_mut().enumerate() {
            if let Some(bytes) = redis::merged(keys, lane).await? {
                *alive = Arc::new(AliveIndex::new(Bits::from_bytes(&bytes)));
            }
        }
        self.view.store(Arc::new(View { alive, ..(*view).clone() }));
        Ok(())
    }

    fn checked_connections(&self, connections: u64, snap: &Snap, now_ms: i64, known: u64) -> u64 {
        let Ok(mut since) = self.reconnected.lock() else { return known };
        if since.0 != connections || since.1 == 0 {
            *since = (connections, now_ms);
        }
        // The leader's clock and ours differ by half a second at most, or this instance is not ready.
        if snap.at_ms >= since.1 { connections } else { known }
    }

    async fn table(&self, snap: &Snap, current: &View) -> Result<Arc<RankTable>> {
        if snap.draw.seed.is_empty() || snap.draw.m == 0 {
            return Ok(Arc::default());
        }
        if current.snap.draw.seed == snap.draw.seed && !current.table.is_empty() {
            return Ok(current.table.clone());
        }
        let seed = unhex::<32>(&snap.draw.seed).ok_or_else(|| Error::bug("the seed of a draw is not 32 bytes"))?;
        let m = snap.draw.m;
        // A fifth of a second for a million: not on a thread that answers people.
        let table = tokio::task::spawn_blocking(move || RankTable::draw(&seed, m)).await.map_err(Error::bug)?;
        Ok(Arc::new(table))
    }

    async fn history(&self, keys: RoomKeys<'_>, snap: &Snap, current: &View) -> Result<[Arc<Vec<(i64, u32)>>; LANES]> {
        let mut known = current.history.clone();
        if snap.run != current.snap.run || current.snap.at_ms == 0 {
            let stored = redis::history(keys).await?;
            let stored: [Vec<(i64, u32)>; LANES] =
                stored.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
            known = stored.map(Arc::new);
        }
        for (lane, history) in known.iter_mut().enumerate() {
            let last = history.last().copied().unwrap_or((i64::MIN, 0));
            let mut fresh: Vec<(i64, u32)> = snap.lanes[lane].history.clone();
            fresh.push((snap.at_ms, snap.lanes[lane].serving));
            fresh.retain(|(ms, served)| *ms > last.0 && *served > last.1);
            if fresh.is_empty() {
                continue;
            }
            let longer = Arc::make_mut(history);
            longer.extend(fresh);
            let old = longer.partition_point(|(ms, _)| *ms < snap.at_ms - HISTORY_MS);
            longer.drain(..old.saturating_sub(1));
        }
        Ok(known)
    }

    fn exchange_is_due(&self, now_ms: i64) -> bool {
        let Ok(mut last) = self.exchanged_ms.lock() else { return false };
        let due = (now_ms - *last).abs() >= EXCHANGE_MS;
        if due {
            *last = now_ms;
        }
        due
    }

    /// Tells Redis whom we have seen, and whose numbers it may have lost.
    /// All of it where Redis cannot know what was told before: ranks are new, or it is.
    async fn exchange(&self, app: &App, keys: RoomKeys<'_>, view: &View, all: bool, now_ms: i64) -> Result<()> {
        let orders = self.pace.last_seconds(now_ms);
        let stats = Stats {
            run: view.snap.run,
            seen_max: [0, 1].map(|lane: usize| self.seen_max[lane].load(Ordering::Relaxed)),
            serving_max: [0, 1].map(|lane: usize| view.snap.lanes[lane].serving),
            arrivals: self.arrivals.load(Ordering::Relaxed),
            polls: self.polls.load(Ordering::Relaxed),
            orders_p99_ms: orders.p99_ms,
            orders: orders.count,
            orders_failed: orders.failed,
            left: self.left.told(now_ms),
        };
        let mut live = Vec::new();
        for (lane, slots) in self.live.iter().enumerate() {
            // The slot that is being filled, and the one before, which may have been filled since it was last told.
            let told = if all { SLOTS_KEPT } else { 2 };
            for (slot, bits) in slots.load().slots(now_ms).into_iter().take(told) {
                if bits.count() > 0 {
                    live.push(LiveSlot { lane, slot, bits: bits.to_bytes() });
                }
            }
        }
        redis::flush(keys, &app.rooms.instance, view.is_ranked(), &stats, live, now_ms).await?;
        let owners = self.registrations.lock().map(|mut waiting| std::mem::take(&mut *waiting)).unwrap_or_default();
        if !owners.is_empty() {
            redis::register(keys, &owners).await?;
        }
        Ok(())
    }
}

/// All rooms of an instance.
pub struct Rooms {
    by_code: ArcSwap<HashMap<String, Arc<Room>>>,
    pub instance: String,
    pub leaders: Leaders,
    /// Whose turn it is to have a place proved.
    pub proofs: Semaphore,
    listed_ms: Mutex<i64>,
}

impl Default for Rooms {
    fn default() -> Rooms {
        Rooms {
            by_code: ArcSwap::default(),
            instance: hex(&random_bytes::<6>()),
            leaders: Leaders::default(),
            proofs: Semaphore::new(PROOFS_AT_ONCE),
            listed_ms: Mutex::new(0),
        }
    }
}

impl Rooms {
    /// None: this exhibition has never had a room.
    pub fn of(&self, code: &str) -> Option<Arc<Room>> {
        self.by_code.load().get(code).cloned()
    }

    pub fn phase(&self, code: &str) -> Phase {
        self.of(code).map_or(Phase::Idle, |room| room.view().snap.phase)
    }

    /// Which rooms there are, as Postgres says.
    async fn list(&self, app: &App) -> Result<()> {
        let client = app.pg.get().await?;
        let rows = pg::all(&client).await?;
        drop(client);
        let catalogue = app.catalogue.current();
        let known = self.by_code.load_full();
        let mut rooms = HashMap::new();
        for row in rows {
            let Ok(exhibition) = catalogue.by_id(row.exhibition_id) else { continue };
            let code = &exhibition.code;
            let room = known.get(code).cloned().unwrap_or_else(|| Arc::new(Room::new(&row)));
            rooms.insert(code.clone(), room);
        }
        self.by_code.store(Arc::new(rooms));
        Ok(())
    }

    /// One round over all rooms. One that fails leaves the others their round.
    pub async fn refresh(&self, app: &App) -> Result<()> {
        let now_ms = app.clock.now_ms();
        let due = self.listed_ms.lock().is_ok_and(|last| (now_ms - *last).abs() >= EXCHANGE_MS);
        let mut failed = None;
        if due {
            match self.list(app).await {
                Ok(()) => {
                    if let Ok(mut last) = self.listed_ms.lock() {
                        *last = now_ms;
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        for room in self.by_code.load_full().values() {
            if let Err(error) = room.refresh(app).await {
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Refreshes until the process stops.
    pub async fn keep_fresh(app: App) {
        let stopping = app.lifecycle.stopping();
        let mut was_away = false;
        loop {
            let outcome = app.rooms.refresh(&app).await;
            if let Err(error) = &outcome
                && !was_away
            {
                tracing::warn!(%error, "the waiting rooms' picture is not fresh");
            }
            was_away = outcome.is_err();
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(READ) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_was_called_when_the_serving_rank_reached_it() {
        let history = Arc::new(vec![(1_000, 0), (2_000, 10), (3_000, 25)]);
        let view = View { history: [history, Arc::default()], ..View::default() };
        assert_eq!(view.called_ms(Lane::General, 1), Some(2_000));
        assert_eq!(view.called_ms(Lane::General, 10), Some(2_000));
        assert_eq!(view.called_ms(Lane::General, 11), Some(3_000));
        assert_eq!(view.called_ms(Lane::General, 26), None, "not called yet");
        assert_eq!(view.called_ms(Lane::Invited, 1), None);
    }
}
