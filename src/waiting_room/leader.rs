//! The leader of a room: one process at a time, by a lease with a fence. Four times a second it sees how the room stands,
//! decides who is called, and publishes the picture that every instance answers from. Postgres comes first: whatever
//! it publishes of a draw, a phase or an epoch is committed there before.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::sync::Mutex as AsyncMutex;

use super::alive::{AliveIndex, NEAR_POLL_MS, Pause, Windows};
use super::bits::Bits;
use super::gather::{Expected, FRESH_MAX, Gathered};
use super::missing::Missing;
use super::model::{LANES, Lane, LaneSnap, Phase, Snap};
use super::pg::{self, RoomRow};
use super::plan::{self, Deficits, Facts, LaneFacts, Settling};
use super::probes::Probes;
use super::rates::{Brake, BrakeLimits, PassRate, ShareWho, TokenBucket};
use super::redis::{self, AdmitAsk, Lead, Look, LookAsk, RoomKeys, Told};
use super::{chain, commitment, crowd, opening, parked, rehearsal};
use crate::app::App;
use crate::error::{Error, Result};

/// How long a leader that has died keeps others from leading. [ms]
const LEASE_MS: i64 = 3_000;
/// From a visitor's call to the leader's knowledge of it: a flush and a look, a second each, with room to spare. [ms]
const LAG_MS: i64 = 4_000;
/// How far numbers jump when Redis has lost some: beyond what can be given out in the second after Postgres was last
/// told, several times over. Ranks that nobody has are passed for free.
const JUMP: u32 = 50_000;
/// After a loss those who have numbers come first. [ms]
const REREGISTER_MS: i64 = 10_000;
const SECOND_MS: i64 = 1_000;
const HISTORY_MS: i64 = 20 * 60_000;
/// So long a new leader reckons with pauses that another has asked for. [ms]
const PAUSE_UNKNOWN_MS: i64 = 120_000;
/// What one instance answers without effort. [polls/s]
const POLLS_PER_INSTANCE: f64 = 10_000.0;
/// Late ones that are called in one tick at most, and that may be called at once: each is named in the picture.
const LATE_MAX: usize = 256;
const LATE_CALLED_MAX: usize = 2_000;

/// What a leader remembers from tick to tick. All of it can be lost: the next one begins with the same rules.
pub struct Leading {
    server: Option<String>,
    missing: Missing,
    pub gathered: Gathered,
    settling: [Settling; LANES],
    /// Numbers up to which signs of life are expected from the instances by now.
    fresh: [u32; LANES],
    /// When the last number was what: two rounds back.
    joined: VecDeque<(i64, [u32; LANES])>,
    history: [VecDeque<(i64, u32)>; LANES],
    bucket: TokenBucket,
    pass_rate: [PassRate; LANES],
    share_who: ShareWho,
    /// Up to which serving rank the time to claim has closed and was counted.
    counted: [u32; LANES],
    brake: Brake,
    owed: Deficits,
    ticked_ms: i64,
    written_ms: i64,
    history_ms: i64,
    logged: Option<(Phase, [u32; LANES])>,
    pub empty_since_ms: i64,
    pub parked_ms: i64,
    began_ms: i64,
    /// Pauses that people were asked for, near the front and further back.
    pauses: [Pause; 2],
    probes: Probes,
    /// The simulated visitors, while the room is rehearsed.
    pub crowd: Option<crowd::Crowd>,
}

impl Leading {
    fn new(now_ms: i64) -> Leading {
        Leading {
            server: None,
            missing: Missing::default(),
            gathered: Gathered::default(),
            settling: Default::default(),
            fresh: [u32::MAX; LANES],
            joined: VecDeque::new(),
            history: Default::default(),
            bucket: TokenBucket::new(0.0, 1.0, now_ms),
            pass_rate: Default::default(),
            share_who: ShareWho::default(),
            counted: [0; LANES],
            brake: Brake::new(now_ms),
            owed: Deficits::default(),
            ticked_ms: now_ms,
            written_ms: 0,
            history_ms: 0,
            logged: None,
            empty_since_ms: now_ms,
            parked_ms: 0,
            began_ms: now_ms,
            pauses: Default::default(),
            probes: Probes::default(),
            crowd: None,
        }
    }

    /// What is remembered of the room is worth nothing any more; the simulated visitors remember who they are, as real
    /// ones do.
    fn forget(&mut self, now_ms: i64) {
        *self = Leading { crowd: self.crowd.take(), missing: self.missing, ..Leading::new(now_ms) };
    }

    /// Whether a rank is called already, or will be within so many seconds at the present pace.
    pub fn soon(&self, lane: usize, serving: u32, rank: u32, within_s: f64) -> bool {
        let ahead = self.gathered.ahead(lane, serving, rank);
        rank <= serving || f64::from(ahead) <= self.pass_rate[lane].per_s() * within_s
    }

    /// How long those far back may be silent, so that the instances can answer everybody. [ms]
    fn poll_max_ms(&self) -> i64 {
        self.poll_max_of(self.gathered.waiting.iter().map(|n| f64::from(*n)).sum())
    }

    fn poll_max_of(&self, waiting: f64) -> i64 {
        let budget = self.gathered.instances.max(1) as f64 * POLLS_PER_INSTANCE;
        (waiting / budget * 1000.0).max(30_000.0) as i64
    }

    /// How far back a sign of life counts: whoever was asked for a longer pause before keeps it. Around the opening
    /// everybody is asked for one, also those who will be first.
    fn windows(&mut self, row: &RoomRow, look: &Look, now_ms: i64) -> Windows {
        // What the leader before asked for is not known: as much as so many people can have been asked for.
        let new = now_ms - self.began_ms < PAUSE_UNKNOWN_MS;
        let people: f64 = look.seq.into_iter().map(f64::from).sum();
        let poll_max_ms = if new { self.poll_max_of(people) } else { self.poll_max_ms() };
        let before = new || matches!(row.phase, Phase::Prequeue | Phase::Frozen);
        let opening_ms = if before { poll_max_ms + super::status::spread_ms(look.seq, poll_max_ms) as i64 } else { 0 };
        let asked = [poll_max_ms.min(NEAR_POLL_MS).max(opening_ms), poll_max_ms.max(opening_ms)];
        let [near, far] = &mut self.pauses;
        Windows::for_pauses(near.longest_ms(asked[0], now_ms), far.longest_ms(asked[1], now_ms))
    }

    /// The rank that was served so long ago.
    fn served_before(&self, lane: usize, at_ms: i64) -> u32 {
        let history = &self.history[lane];
        let at = history.partition_point(|(ms, _)| *ms <= at_ms);
        if at == 0 { 0 } else { history.get(at - 1).map_or(0, |(_, served)| *served) }
    }
}

/// The rooms that this process has ever led.
#[derive(Default)]
pub struct Leaders {
    by_exhibition: Mutex<HashMap<i32, Arc<AsyncMutex<Leading>>>>,
    /// As Postgres said last.
    rows: Mutex<Vec<RoomRow>>,
}

impl Leaders {
    fn of(&self, exhibition_id: i32, now_ms: i64) -> Result<Arc<AsyncMutex<Leading>>> {
        let mut leaders = self.by_exhibition.lock().map_err(|_| Error::bug("leaders"))?;
        let fresh = || Arc::new(AsyncMutex::new(Leading::new(now_ms)));
        Ok(leaders.entry(exhibition_id).or_insert_with(fresh).clone())
    }
}

/// One round over all rooms; how many this process leads. One that fails leaves the others their round.
pub async fn tick(app: &App) -> Result<usize> {
    let (mut led, mut failed) = (0, None);
    // While Postgres is away rooms go on as they were: people are called, more slowly once orders fail.
    let rows = match rows(app).await {
        Ok(rows) => {
            if let Ok(mut known) = app.rooms.leaders.rows.lock() {
                known.clone_from(&rows);
            }
            rows
        }
        Err(error) => {
            failed = Some(error);
            app.rooms.leaders.rows.lock().map(|known| known.clone()).unwrap_or_default()
        }
    };
    for row in rows {
        let leading = app.rooms.leaders.of(row.exhibition_id, app.clock.now_ms())?;
        let mut leading = leading.lock().await;
        match lead(app, row, &mut leading).await {
            Ok(leads) => led += usize::from(leads),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(led), Err)
}

async fn rows(app: &App) -> Result<Vec<RoomRow>> {
    let client = app.pg.get().await?;
    pg::all(&client).await
}

async fn lead(app: &App, row: RoomRow, leading: &mut Leading) -> Result<bool> {
    let now_ms = app.clock.now_ms();
    let keys = RoomKeys::new(&app.redis, &row.code, row.run);
    let Some(look) = look(app, keys, &row, leading, now_ms).await? else {
        // What a follower remembers would be old when it leads.
        leading.forget(now_ms);
        return Ok(false);
    };
    match opening::advance(app, keys, &row, &look, leading).await {
        Ok(true) => return Ok(true),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, exhibition = row.code, "what is due in the room waits"),
    }
    if let Err(error) = crowd::tick(app, keys, &row, &look, leading, now_ms).await {
        tracing::warn!(%error, exhibition = row.code, "the simulated visitors did not act");
    }
    let mut stats = None;
    if now_ms - leading.gathered.at_ms >= SECOND_MS || now_ms < leading.gathered.at_ms {
        if let Err(error) = parked::tick(app, &row, &look, leading, now_ms).await {
            tracing::warn!(%error, exhibition = row.code, "those who asked to be told were not looked at");
        }
        let expected = Expected {
            passed_per_s: leading.pass_rate.each_ref().map(PassRate::per_s),
            fresh: leading.fresh,
            windows: leading.windows(&row, &look, now_ms),
        };
        if leading.gathered.refresh(keys, &row, &look, &expected, now_ms).await? {
            leading.settling.iter_mut().for_each(Settling::reset);
        }
        stats = Some(leading.gathered.totals());
    }
    let (serving, late, called) = decide(app, &row, &look, leading, now_ms);
    let snap = picture(app, &row, &look, leading, serving, late.len(), now_ms)?;
    let ask = AdmitAsk {
        fence: look.fence,
        epoch: look.epoch,
        serving,
        late: &late,
        snap: serde_json::to_vec(&snap).map_err(Error::bug)?,
    };
    let Some(serving) = redis::admit(keys, ask, now_ms).await? else { return Ok(false) };
    for (history, serving) in leading.history.iter_mut().zip(serving) {
        if serving > history.back().map_or(0, |(_, served)| *served) {
            history.push_back((now_ms, serving));
        }
        while history.len() > 2 && history[1].0 < now_ms - HISTORY_MS {
            history.pop_front();
        }
    }
    app.metrics.room(&row.code, &snap, called + late.len() as u32, stats);
    leading.probes.step(&snap, now_ms, |inside| app.metrics.eta(&row.code, inside));
    write_down(app, keys, &row, leading, &snap, serving, now_ms).await;
    Ok(true)
}

/// Sees how the room stands; None: another process leads. Tells Redis first what it does not know.
async fn look(
    app: &App,
    keys: RoomKeys<'_>,
    row: &RoomRow,
    leading: &mut Leading,
    now_ms: i64,
) -> Result<Option<Look>> {
    let window_ms = window_ms(row);
    let claims = [0, 1].map(|lane| {
        let first = leading.served_before(lane, now_ms - window_ms).saturating_add(1).min(leading.counted[lane] + 1);
        (first, leading.history[lane].back().map_or(0, |(_, served)| *served))
    });
    let ask = LookAsk { leader: &app.rooms.instance, lease_ms: LEASE_MS, claims, late_again_ms: window_ms };
    let mut look = match redis::look(keys, &ask, now_ms).await? {
        Lead::Following => return Ok(None),
        Lead::Unready => {
            fence(app, keys, row, leading, None, now_ms).await?;
            return Ok(None);
        }
        Lead::Leading(look) => look,
    };
    let server = app.redis.run_id(&row.code).await?;
    let known = redis::server(keys).await?;
    if leading.server.as_ref().or(known.as_ref()) != Some(&server) {
        // Another Redis, or the same one after a restart: it may have lost what it acknowledged.
        fence(app, keys, row, leading, Some(&look), now_ms).await?;
        return Ok(None);
    }
    leading.server = Some(server);
    if look.run != row.run {
        // Of a run that is over nothing counts in the next, least of all how far it had come.
        // A row that is older than Redis was read before the run began, and judges nobody.
        let over = look.run < row.run;
        if over {
            rehearsal::clear_out(app, row, &look, now_ms).await?;
        }
        if tell(keys, row, [0; LANES], 0).await? && over {
            redis::forget_run(RoomKeys { run: look.run, ..keys }, look.epoch).await?;
        }
        return Ok(None);
    }
    if look.epoch != row.epoch || look.revision != row.revision {
        tell(keys, row, look.serving, 0).await?;
        return Ok(None);
    }
    if leading.history.iter().all(VecDeque::is_empty) {
        // A new leader: what was called before it is known from what the last one published.
        let stored = redis::history(keys).await?;
        let stored: [Vec<(i64, u32)>; LANES] =
            stored.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        leading.history = stored.map(VecDeque::from);
        leading.counted = look.serving;
        // These were asked for without knowing whose claims are wanted: for one tick nobody counts as having claimed.
        look.claimed = Default::default();
        for lane in 0..LANES {
            if leading.history[lane].is_empty() {
                leading.history[lane].push_back((now_ms, look.serving[lane]));
            }
        }
    }
    Ok(Some(*look))
}

fn window_ms(row: &RoomRow) -> i64 {
    i64::from(row.config.claim_window_s) * 1000
}

async fn tell(keys: RoomKeys<'_>, row: &RoomRow, serving: [u32; LANES], reopen_ms: i64) -> Result<bool> {
    let told = Told {
        phase: row.phase,
        epoch: row.epoch,
        revision: row.revision,
        config: &row.config,
        floors: row.floors,
        serving: [0, 1].map(|lane: usize| row.serving[lane].max(serving[lane])),
        reopen_ms,
    };
    redis::tell(keys, &told).await
}

/// A new epoch, because Redis may have lost what it acknowledged: numbers go on far beyond the highest anybody has
/// seen, and whoever has one tells it again before new ones are given out.
async fn fence(
    app: &App,
    keys: RoomKeys<'_>,
    row: &RoomRow,
    leading: &mut Leading,
    look: Option<&Look>,
    now_ms: i64,
) -> Result<()> {
    let server = app.redis.run_id(&row.code).await?;
    let known = Gathered::seen_max(keys, now_ms).await?;
    let seq = look.map_or([0; LANES], |look| look.seq);
    let highest: [u32; LANES] = std::array::from_fn(|lane| row.floors[lane].max(seq[lane]).max(known.numbers[lane]));
    let serving: [u32; LANES] = std::array::from_fn(|lane| row.serving[lane].max(known.serving[lane]));
    // Numbers of the last second are written down nowhere: whoever has led this room before knows that it was there.
    let unused = highest == [0; LANES] && (leading.server.is_none() || !row.phase.needs_pass());
    let mut row = row.clone();
    let mut reopen_ms = 0;
    if !unused {
        let floors = highest.map(|number| number.saturating_add(JUMP));
        let client = app.pg.get().await?;
        let Some(epoch) = pg::raise_epoch(&client, row.exhibition_id, row.epoch, floors).await? else { return Ok(()) };
        tracing::warn!(
            exhibition = row.code,
            epoch,
            "the waiting room begins a new epoch: Redis may have lost numbers"
        );
        row.epoch = epoch;
        row.floors = floors;
        reopen_ms = now_ms + REREGISTER_MS;
    }
    tell(keys, &row, serving, reopen_ms).await?;
    redis::note_server(keys, &server).await?;
    leading.forget(now_ms);
    leading.server = Some(server);
    let inside = app.rooms.of(&row.code).map_or(0, |room| room.view().snap.active);
    leading.missing = Missing::after_loss(inside.max(0) as u32, now_ms);
    Ok(())
}

/// Who is called now: new serving ranks, late ones by name, and how many alive that is.
fn decide(
    app: &App,
    row: &RoomRow,
    look: &Look,
    leading: &mut Leading,
    now_ms: i64,
) -> ([u32; LANES], Vec<(Lane, u32)>, u32) {
    let config = &row.config;
    let elapsed_ms = (now_ms - leading.ticked_ms).max(0);
    leading.ticked_ms = now_ms;
    leading.joined.push_back((now_ms, look.seq));
    while let Some((at, seq)) = leading.joined.front().copied()
        && (now_ms - at >= LAG_MS || at > now_ms)
    {
        leading.fresh = seq;
        leading.joined.pop_front();
    }
    let settled: [u32; LANES] = std::array::from_fn(|lane| leading.settling[lane].note(now_ms, look.seq[lane], LAG_MS));
    let alive: [AliveIndex; LANES] = std::array::from_fn(|lane| {
        let mut bits: Bits = leading.gathered.alive[lane].clone();
        // Whoever joined since the last round was there a moment ago, though no instance has said so yet.
        let fresh = leading.fresh[lane].saturating_add(1)..=look.seq[lane];
        fresh.take(FRESH_MAX).for_each(|rank| bits.set(rank));
        AliveIndex::new(bits)
    });
    let outstanding = outstanding(row, look, leading, &alive, now_ms);
    let worst = leading.gathered.totals();
    let limits =
        BrakeLimits { p99_ms: f64::from(config.brake_p99_ms), error_share: f64::from(config.brake_error_pct) / 100.0 };
    let brake = leading.brake.step(now_ms, worst.orders_p99_ms as f64, worst.failed_share, limits);
    let per_s = f64::from(config.rate_per_min) / 60.0 * brake;
    leading.bucket.set(per_s, per_s.max(1.0), now_ms);
    let invited = config.invited_share_pct;
    let facts = Facts {
        capacity: config.capacity,
        active: leading.missing.inside(look.active, look.restored, i64::from(config.idle_s) * 1000, now_ms) as i32,
        lanes: std::array::from_fn(|lane| LaneFacts {
            serving: look.serving[lane],
            seq: look.seq[lane],
            settled: settled[lane],
            share_pct: if lane == Lane::Invited as usize { invited } else { 100 - invited },
            outstanding: outstanding[lane],
        }),
        alive: [&alive[0], &alive[1]],
        late_waiting: look.late_waiting,
        late_called_outstanding: look.called.len() as u32,
        late_share_pct: config.late_share_pct,
        claim_share: leading.share_who.share(),
        tokens: leading.bucket.tokens(now_ms),
        stock_left: stock_left(app, row),
        stock_factor_pct: config.stock_factor_pct,
    };
    if !row.phase.admits() {
        leading.gathered.waiting = std::array::from_fn(|lane| alive[lane].between(look.serving[lane], look.seq[lane]));
        return (look.serving, Vec::new(), 0);
    }
    let plan = plan::decide(&facts, &mut leading.owed);
    leading.bucket.spend(plan.spent);
    for (lane, alive) in alive.iter().enumerate() {
        let waited = alive.between(look.serving[lane], look.seq[lane]);
        if waited > 0 {
            leading.pass_rate[lane].record(plan.called[lane], elapsed_ms);
        }
        leading.gathered.waiting[lane] = waited.saturating_sub(plan.called[lane]);
    }
    let late_max = LATE_MAX.min(LATE_CALLED_MAX.saturating_sub(look.called.len()));
    let late = look.late.iter().copied().take((plan.late as usize).min(late_max)).collect();
    (plan.serving, late, plan.called.iter().sum())
}

/// Alive, called, not claimed, inside the time to claim; and, for the share of those who come, what became of those
/// whose time has closed.
fn outstanding(
    row: &RoomRow,
    look: &Look,
    leading: &mut Leading,
    alive: &[AliveIndex; LANES],
    now_ms: i64,
) -> [u32; LANES] {
    std::array::from_fn(|lane| {
        let closed = leading.served_before(lane, now_ms - window_ms(row));
        let first = closed.saturating_add(1).min(leading.counted[lane] + 1);
        let base = first / 8 * 8;
        let claimed = Bits::from_bytes(&look.claimed[lane]);
        let is_claimed = |rank: u32| rank >= base && claimed.get(rank - base);
        // Nobody has been counted as called who was not alive then; who is not alive now has most likely gone.
        let upto = closed.min(leading.counted[lane].saturating_add(50_000));
        if upto > leading.counted[lane] {
            let range = leading.counted[lane] + 1..=upto;
            let (mut called, mut came) = (0, 0);
            for rank in range {
                let here = is_claimed(rank);
                came += u32::from(here);
                called += u32::from(here || alive[lane].is_alive(rank));
            }
            leading.share_who.record(called, came);
            leading.counted[lane] = upto;
        }
        let called = closed.saturating_add(1)..=look.serving[lane];
        called.filter(|rank| alive[lane].is_alive(*rank) && !is_claimed(*rank)).count() as u32
    })
}

/// Places that somebody can still buy, as the catalogue of a second ago says. A rehearsal sells none, and comes before
/// there are any to sell.
fn stock_left(app: &App, row: &RoomRow) -> i64 {
    if row.rehearsal_ends_at.is_some() {
        return i32::MAX.into();
    }
    let Ok(exhibition) = app.catalogue.current().by_id(row.exhibition_id) else { return 0 };
    super::status::free_places(&exhibition, app.clock.now())
}

fn picture(
    app: &App,
    row: &RoomRow,
    look: &Look,
    leading: &Leading,
    serving: [u32; LANES],
    late_called: usize,
    now_ms: i64,
) -> Result<Snap> {
    let config = &row.config;
    let poll_max_ms = leading.poll_max_ms();
    let invited = config.invited_share_pct;
    let lanes = std::array::from_fn(|lane| LaneSnap {
        seq: look.seq[lane],
        serving: serving[lane],
        alive: leading.gathered.waiting[lane],
        passed_per_s: leading.pass_rate[lane].per_s(),
        spread: leading.pass_rate[lane].spread(),
        share_pct: if lane == Lane::Invited as usize { invited } else { 100 - invited },
        history: recent(&leading.history[lane], now_ms),
    });
    let late_names = look.late.iter().take(late_called).map(|(lane, rank)| (*lane as u8, *rank, now_ms));
    Ok(Snap {
        at_ms: now_ms,
        phase: row.phase,
        revision: row.revision,
        run: row.run,
        epoch: row.epoch,
        rehearsal: row.rehearsal_ends_at.is_some(),
        reason_ko: row.reason_ko.clone(),
        reason_en: row.reason_en.clone(),
        opens_at_ms: config.opens_at.map(|at| at.as_millisecond()),
        freeze_at_ms: config.opens_at.map(|at| at.as_millisecond() - i64::from(config.freeze_lead_s) * 1000),
        draw: commitment::shown(app, row)?,
        lanes,
        capacity: config.capacity,
        active: look.active as i32,
        late: look.late_waiting.saturating_sub(late_called as u32) as i32,
        rate_per_s: f64::from(config.rate_per_min) / 60.0 * leading.brake.factor(),
        brake: leading.brake.factor(),
        claim_share: leading.share_who.share(),
        poll_max_ms,
        claim_window_ms: window_ms(row),
        late_called: look.called.iter().map(|(lane, rank, ms)| (*lane as u8, *rank, *ms)).chain(late_names).collect(),
    })
}

/// The last half minute of a history, at most one entry a second.
fn recent(history: &VecDeque<(i64, u32)>, now_ms: i64) -> Vec<(i64, u32)> {
    let from = history.partition_point(|(ms, _)| *ms < now_ms - 30_000).saturating_sub(1);
    thinned(history.range(from..))
}

/// One entry a second: whoever was called within it counts as called at its end, which costs nobody time to claim.
fn thinned<'a>(history: impl Iterator<Item = &'a (i64, u32)>) -> Vec<(i64, u32)> {
    let mut out: Vec<(i64, u32)> = Vec::new();
    for entry in history {
        match out.last_mut() {
            Some(last) if last.0.div_euclid(SECOND_MS) == entry.0.div_euclid(SECOND_MS) => *last = *entry,
            _ => out.push(*entry),
        }
    }
    out
}

/// Once a second: the log and the serving ranks in Postgres, the longer history in Redis. Best effort; the next second
/// covers what this one could not.
async fn write_down(
    app: &App,
    keys: RoomKeys<'_>,
    row: &RoomRow,
    leading: &mut Leading,
    snap: &Snap,
    serving: [u32; LANES],
    now_ms: i64,
) {
    if now_ms - leading.written_ms < SECOND_MS && now_ms >= leading.written_ms {
        return;
    }
    leading.written_ms = now_ms;
    if let Err(error) = log(app, row, leading, snap, serving).await {
        tracing::warn!(%error, exhibition = row.code, "the admission log is behind");
    }
    if now_ms - leading.history_ms >= 5 * SECOND_MS || now_ms < leading.history_ms {
        leading.history_ms = now_ms;
        let histories: [Vec<(i64, u32)>; LANES] = std::array::from_fn(|lane| thinned(leading.history[lane].iter()));
        if let Ok(bytes) = serde_json::to_vec(&histories)
            && let Err(error) = redis::publish_history(keys, bytes).await
        {
            tracing::debug!(%error, "history not published");
        }
    }
}

async fn log(app: &App, row: &RoomRow, leading: &mut Leading, snap: &Snap, serving: [u32; LANES]) -> Result<()> {
    let client = app.pg.get().await?;
    let floors = snap.lanes.each_ref().map(|lane| lane.seq);
    pg::note_serving(&client, row.exhibition_id, row.run, serving, floors).await?;
    if leading.logged == Some((row.phase, serving)) || !row.phase.needs_pass() {
        return Ok(());
    }
    let facts = chain::Facts {
        at: app.clock.now(),
        phase: row.phase,
        serving,
        active: snap.active.max(0) as u32,
        waiting: snap.lanes.iter().map(|lane| lane.alive).sum(),
    };
    let head = row.log_head.unwrap_or_else(|| chain::genesis(&row.code, row.run));
    let next = chain::next(head, row.run, row.log_seq + 1, facts);
    if pg::append_log(&client, row.exhibition_id, row.run, &next).await? {
        leading.logged = Some((row.phase, serving));
    }
    Ok(())
}
