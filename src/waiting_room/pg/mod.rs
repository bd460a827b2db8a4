//! All SQL of the waiting room. Here: the row of a room, its settings and its phase; beside it the draw, closed
//! cohorts, the public log, notices, rehearsals, and the record of what admins did.
//!
//! Every function is one statement unless it says that it wants a transaction.

/// The columns in the order in which `room` reads them; `r` is the room, `e` its exhibition.
macro_rules! columns {
    () => {
        "e.code, r.exhibition_id, r.phase, r.phase_at, r.revision, r.run, r.epoch, r.reason_ko, r.reason_en,
         r.capacity, r.slack, r.rate_per_min, r.claim_window_s, r.idle_s, r.hard_s, r.late_share_pct,
         r.invited_share_pct, r.stock_factor_pct, r.draw, r.beacon, r.prequeue_at, r.opens_at, r.freeze_lead_s,
         r.safety_on_per_s, r.safety_off_after_s, r.brake_p99_ms, r.brake_error_pct,
         r.beacon_round, r.seed_hash, r.seed_key_id, r.sealed_seed, r.m, r.root, r.frozen_at, r.manual_value,
         r.manual_by, r.manual_second, r.beacon_value, r.draw_seed, r.weak, r.drawn_at,
         r.serving_general, r.serving_invited, r.floor_general, r.floor_invited, r.log_seq, r.log_head,
         r.rehearsal_ends_at"
    };
}

/// An update of one room that returns all of it.
macro_rules! update_room {
    ($set:expr, $and:literal) => {
        concat!(
            "update rooms r set ",
            $set,
            " from exhibitions e where e.id = r.exhibition_id and r.exhibition_id = $1 and ",
            $and,
            " returning ",
            columns!()
        )
    };
}

/// Of the old run nothing; its log stays where it is.
macro_rules! empty_run {
    () => {
        "run = r.run + 1, beacon_round = null, seed_hash = null, seed_key_id = null, sealed_seed = null, m = null,
         root = null, frozen_at = null, manual_value = null, manual_by = null, manual_second = null,
         beacon_value = null, draw_seed = null, weak = false, drawn_at = null, serving_general = 0,
         serving_invited = 0, floor_general = 0, floor_invited = 0, log_seq = 0, log_head = null"
    };
}

mod cohort;
mod draw;
mod log;
mod notices;
mod rehearsal;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::model::{BeaconKind, Config, LANES, Lane, MOVES, Phase};
use crate::error::{Error, Result};
use crate::platform::pg::Statement;

pub use cohort::{Chunk, Kept, keep_chunk_roots, keep_leaves, kept};
pub use draw::{Manual, commit_seed, drawn, enter_manual, freeze};
pub use log::{append_log, log_page};
pub use notices::{Notice, Parked, done, due, notice, park, parked, unpark};
pub use rehearsal::{
    Begun, RehearsalRow, begin_rehearsal, end_rehearsal, last_rehearsal, note_rehearsal, rehearsal, rehearsal_leased,
};

/// The statements of all files, for the test that prepares every one.
pub fn statements() -> Vec<&'static Statement> {
    let here: &[&Statement] = &[&ALL, &ONE, &LOCK, &CREATE, &CONFIGURE, &MOVE, &NEW_RUN, &RAISE_EPOCH, &NOTE_SERVING];
    let draw = [draw::STATEMENTS, cohort::STATEMENTS].concat();
    [here, &draw, log::STATEMENTS, notices::STATEMENTS, rehearsal::STATEMENTS].concat()
}

macro_rules! select_room {
    ($rest:literal) => {
        concat!("select ", columns!(), " from rooms r join exhibitions e on e.id = r.exhibition_id ", $rest)
    };
}

const ALL: Statement = Statement::new("rooms.all", select_room!("order by r.exhibition_id"));

const ONE: Statement = Statement::new("rooms.one", select_room!("where r.exhibition_id = $1"));

const LOCK: Statement = Statement::new("rooms.lock", select_room!("where r.exhibition_id = $1 for update of r"));

/// Of an exhibition that is there; a draft that is being deleted is waited for.
const CREATE: Statement = Statement::new(
    "rooms.create",
    "insert into rooms (exhibition_id, phase_at, capacity, slack, rate_per_min, claim_window_s, idle_s, hard_s,
                        late_share_pct, invited_share_pct, stock_factor_pct, draw, beacon, prequeue_at, opens_at,
                        freeze_lead_s, safety_on_per_s, safety_off_after_s, brake_p99_ms, brake_error_pct)
     select e.id, admit_now(), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19
       from exhibitions e where e.id = $1 for key share
     on conflict on constraint rooms_key do nothing",
);

const CONFIGURE: Statement = Statement::new(
    "rooms.configure",
    update_room!(
        "revision = r.revision + 1, capacity = $2, slack = $3, rate_per_min = $4, claim_window_s = $5, idle_s = $6,
         hard_s = $7, late_share_pct = $8, invited_share_pct = $9, stock_factor_pct = $10, draw = $11, beacon = $12,
         prequeue_at = $13, opens_at = $14, freeze_lead_s = $15, safety_on_per_s = $16, safety_off_after_s = $17,
         brake_p99_ms = $18, brake_error_pct = $19",
        "r.revision = $20"
    ),
);

/// $6: the phases from which this move is legal. A schedule that has passed is none any more, once nobody gathers: else
/// the room would begin again at once.
const MOVE: Statement = Statement::new(
    "rooms.move",
    update_room!(
        "phase = $3, phase_at = admit_now(), revision = r.revision + 1, reason_ko = $4, reason_en = $5,
         prequeue_at = case when $3 not in ('idle', 'bypass') or r.prequeue_at > admit_now() then r.prequeue_at end,
         opens_at = case when $3 not in ('idle', 'bypass') or r.opens_at > admit_now() then r.opens_at end",
        "r.revision = $2 and r.phase = any($6::text[])
         and ($3 <> 'frozen' or r.seed_hash is not null)
         and ($3 not in ('open', 'paused', 'drain') or r.seed_hash is null or r.draw_seed is not null)"
    ),
);

/// Keeps the settings.
const NEW_RUN: Statement = Statement::new(
    "rooms.new_run",
    update_room!(
        concat!(
            empty_run!(),
            ", prequeue_at = case when $3 then null else r.prequeue_at end,
               opens_at = case when $3 then null else r.opens_at end"
        ),
        "r.run = $2"
    ),
);

const RAISE_EPOCH: Statement = Statement::new(
    "rooms.raise_epoch",
    "update rooms set epoch = epoch + 1, floor_general = greatest(floor_general, $3),
                      floor_invited = greatest(floor_invited, $4)
      where exhibition_id = $1 and epoch = $2 returning epoch",
);

const NOTE_SERVING: Statement = Statement::new(
    "rooms.note_serving",
    "update rooms set serving_general = greatest(serving_general, $3), serving_invited = greatest(serving_invited, $4),
                      floor_general = greatest(floor_general, $3, $5), floor_invited = greatest(floor_invited, $4, $6)
      where exhibition_id = $1 and run = $2",
);

/// What is kept of a draw; each part appears once and never changes within its run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrawRow {
    pub committed: Option<Committed>,
    pub cohort: Option<Cohort>,
    pub manual: Option<ManualRow>,
    pub drawn: Option<Drawn>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub round: i64,
    pub seed_hash: [u8; 32],
    pub key_id: String,
    pub sealed_seed: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cohort {
    pub m: u32,
    pub root: [u8; 32],
    pub frozen_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManualRow {
    pub value: Vec<u8>,
    pub by: i32,
    /// Another admin, who entered the same.
    pub second: Option<i32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// None: the beacon was missing, and the draw is the weaker one.
    pub beacon_value: Option<Vec<u8>>,
    pub seed: [u8; 32],
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RoomRow {
    pub code: String,
    pub exhibition_id: i32,
    pub phase: Phase,
    pub phase_at: Timestamp,
    pub revision: i64,
    pub run: u32,
    pub epoch: u32,
    pub reason_ko: String,
    pub reason_en: String,
    pub config: Config,
    pub draw: DrawRow,
    pub serving: [u32; LANES],
    /// Highest numbers known to have been given.
    pub floors: [u32; LANES],
    pub log_seq: i64,
    /// None: the run's log is empty.
    pub log_head: Option<[u8; 32]>,
    /// When the rehearsal that this run is ends by itself; None: the run is for real.
    pub rehearsal_ends_at: Option<Timestamp>,
}

impl RoomRow {
    /// What an exhibition without a row is: the same as the row that `create_if_missing` makes.
    pub fn none(exhibition_id: i32, code: &str, now: Timestamp) -> RoomRow {
        RoomRow {
            code: code.to_owned(),
            exhibition_id,
            phase: Phase::Idle,
            phase_at: now,
            revision: 1,
            run: 1,
            epoch: 1,
            reason_ko: String::new(),
            reason_en: String::new(),
            config: Config::default(),
            draw: DrawRow::default(),
            serving: [0; LANES],
            floors: [0; LANES],
            log_seq: 0,
            log_head: None,
            rehearsal_ends_at: None,
        }
    }

    /// Somebody has got a number of this run, or a draw was announced for it.
    fn used(&self) -> bool {
        self.draw.committed.is_some() || self.floors.iter().any(|floor| *floor > 0)
    }
}

/// Numbers of visitors fit: a room ends long before two thousand million of them.
fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn count(row: &Row, at: usize) -> u32 {
    u32::try_from(row.get::<_, i32>(at)).unwrap_or(0)
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| Error::bug(format!("{} bytes where {N} belong", bytes.len())))
}

fn phase(text: &str) -> Result<Phase> {
    Phase::parse(text).ok_or_else(|| Error::bug(format!("unknown phase {text}")))
}

fn room(r: &Row) -> Result<RoomRow> {
    let beacon: &str = r.get(19);
    let hash = |at: usize| r.get::<_, Option<&[u8]>>(at).map(fixed::<32>).transpose();
    Ok(RoomRow {
        code: r.get(0),
        exhibition_id: r.get(1),
        phase: phase(r.get(2))?,
        phase_at: r.get(3),
        revision: r.get(4),
        run: count(r, 5),
        epoch: count(r, 6),
        reason_ko: r.get(7),
        reason_en: r.get(8),
        config: Config {
            capacity: r.get(9),
            slack: r.get(10),
            rate_per_min: r.get(11),
            claim_window_s: r.get(12),
            idle_s: r.get(13),
            hard_s: r.get(14),
            late_share_pct: r.get(15),
            invited_share_pct: r.get(16),
            stock_factor_pct: r.get(17),
            draw: r.get(18),
            beacon: BeaconKind::parse(beacon).ok_or_else(|| Error::bug(format!("unknown beacon {beacon}")))?,
            prequeue_at: r.get(20),
            opens_at: r.get(21),
            freeze_lead_s: r.get(22),
            safety_on_per_s: r.get(23),
            safety_off_after_s: r.get(24),
            brake_p99_ms: r.get(25),
            brake_error_pct: r.get(26),
        },
        draw: DrawRow {
            committed: hash(28)?.map(|seed_hash| Committed {
                round: r.get(27),
                seed_hash,
                key_id: r.get(29),
                sealed_seed: r.get(30),
            }),
            cohort: hash(32)?.map(|root| Cohort { m: count(r, 31), root, frozen_at: r.get(33) }),
            manual: r.get::<_, Option<Vec<u8>>>(34).map(|value| ManualRow { value, by: r.get(35), second: r.get(36) }),
            drawn: hash(38)?.map(|seed| Drawn { beacon_value: r.get(37), seed, at: r.get(40) }),
        },
        serving: [count(r, 41), count(r, 42)],
        floors: [count(r, 43), count(r, 44)],
        log_seq: r.get(45),
        log_head: hash(46)?,
        rehearsal_ends_at: r.get(47),
    })
}

fn maybe(row: Option<Row>) -> Result<Option<RoomRow>> {
    row.as_ref().map(room).transpose()
}

pub async fn all(client: &impl GenericClient) -> Result<Vec<RoomRow>> {
    ALL.query(client, &[]).await?.iter().map(room).collect()
}

/// None: this exhibition has never had a room, which is the same as idle.
pub async fn one(client: &impl GenericClient, exhibition_id: i32) -> Result<Option<RoomRow>> {
    maybe(ONE.query_opt(client, &[&exhibition_id]).await?)
}

/// In a transaction: nobody else changes the room until it ends.
pub async fn lock(client: &impl GenericClient, exhibition_id: i32) -> Result<Option<RoomRow>> {
    maybe(LOCK.query_opt(client, &[&exhibition_id]).await?)
}

/// Idle, at revision 1. True when it was not there.
pub async fn create_if_missing(client: &impl GenericClient, exhibition_id: i32, config: &Config) -> Result<bool> {
    let c = config;
    let created = CREATE
        .execute(
            client,
            &[
                &exhibition_id,
                &c.capacity,
                &c.slack,
                &c.rate_per_min,
                &c.claim_window_s,
                &c.idle_s,
                &c.hard_s,
                &c.late_share_pct,
                &c.invited_share_pct,
                &c.stock_factor_pct,
                &c.draw,
                &c.beacon.as_str(),
                &c.prequeue_at,
                &c.opens_at,
                &c.freeze_lead_s,
                &c.safety_on_per_s,
                &c.safety_off_after_s,
                &c.brake_p99_ms,
                &c.brake_error_pct,
            ],
        )
        .await?;
    Ok(created == 1)
}

/// None: it is at another revision by now.
pub async fn set_config(
    client: &impl GenericClient,
    exhibition_id: i32,
    from_revision: i64,
    config: &Config,
) -> Result<Option<RoomRow>> {
    let c = config;
    let row = CONFIGURE
        .query_opt(
            client,
            &[
                &exhibition_id,
                &c.capacity,
                &c.slack,
                &c.rate_per_min,
                &c.claim_window_s,
                &c.idle_s,
                &c.hard_s,
                &c.late_share_pct,
                &c.invited_share_pct,
                &c.stock_factor_pct,
                &c.draw,
                &c.beacon.as_str(),
                &c.prequeue_at,
                &c.opens_at,
                &c.freeze_lead_s,
                &c.safety_on_per_s,
                &c.safety_off_after_s,
                &c.brake_p99_ms,
                &c.brake_error_pct,
                &from_revision,
            ],
        )
        .await?;
    maybe(row)
}

/// None: it is at another revision by now, or the move is not legal from where it stands. In a transaction, since a move
/// may begin a new run: `ended` → `idle` always does; so do gathering and idling where numbers of this run have been
/// given, because nobody who was served before may be in a cohort. Where a run ends, so do its notices.
pub async fn move_to(
    client: &impl GenericClient,
    exhibition_id: i32,
    from_revision: i64,
    to: Phase,
    reason_ko: &str,
    reason_en: &str,
) -> Result<Option<RoomRow>> {
    let Some(before) = lock(client, exhibition_id).await? else { return Ok(None) };
    let froms: Vec<&str> = MOVES.iter().filter(|(_, into)| *into == to).map(|(from, _)| from.as_str()).collect();
    let moved =
        MOVE.query_opt(client, &[&exhibition_id, &from_revision, &to.as_str(), &reason_ko, &reason_en, &froms]).await?;
    let Some(moved) = maybe(moved)? else { return Ok(None) };
    let reset = before.phase == Phase::Ended;
    let new_run = reset || (matches!(to, Phase::Idle | Phase::Prequeue) && before.used());
    if new_run || to == Phase::Ended {
        notices::erase_run(client, exhibition_id, before.run).await?;
    }
    if !new_run {
        return Ok(Some(moved));
    }
    room(&NEW_RUN.query_one(client, &[&exhibition_id, &int(before.run), &reset]).await?).map(Some)
}

/// The new epoch; None when somebody else raised it first.
pub async fn raise_epoch(
    client: &impl GenericClient,
    exhibition_id: i32,
    from_epoch: u32,
    floors: [u32; LANES],
) -> Result<Option<u32>> {
    let [general, invited] = floors.map(int);
    let row = RAISE_EPOCH.query_opt(client, &[&exhibition_id, &int(from_epoch), &general, &invited]).await?;
    Ok(row.map(|row| count(&row, 0)))
}

/// Never lowers anything. False: another run has begun.
pub async fn note_serving(
    client: &impl GenericClient,
    exhibition_id: i32,
    run: u32,
    serving: [u32; LANES],
    floors: [u32; LANES],
) -> Result<bool> {
    let ([general, invited], [floor_general, floor_invited]) = (serving.map(int), floors.map(int));
    let changed = NOTE_SERVING
        .execute(client, &[&exhibition_id, &int(run), &general, &invited, &floor_general, &floor_invited])
        .await?;
    Ok(changed == 1)
}

fn lane(number: i16) -> Result<Lane> {
    u8::try_from(number).ok().and_then(Lane::parse).ok_or_else(|| Error::bug(format!("unknown lane {number}")))
}
