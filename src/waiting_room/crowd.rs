//! The simulated visitors of a rehearsal. They live in the process that leads, a bounded step at every tick of the
//! leader, and use the calls that real visitors' requests use: join, signs of life, claim, renew, make room.
//!
//! What each of them does and on which device follows from the run alone (`cast.rs`). A leader that takes over lets
//! everybody join again, which gives them the numbers they have, and goes on.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;

use super::cast::Cast;
use super::claim;
use super::leader::Leading;
use super::model::{Figures, Lane, Sid};
use super::pg::{self, RoomRow};
use super::redis::{self, Account, Claim, ClaimAsk, JOIN_BATCH, Join, Look, RoomKeys};
use super::room::{Room, View};
use super::token;
use crate::app::App;
use crate::error::{Error, Result};

/// Calls of one tick: joins of `JOIN_BATCH` people, claims, renewals.
const JOINS_MAX: usize = 48;
const CLAIMS_MAX: usize = 256;
const RENEWALS_MAX: usize = 64;
/// People who make room in one tick: four calls.
const LEAVERS_MAX: usize = 1_024;
/// How often somebody who waits is seen. [ms]
const SEEN_EVERY_MS: i64 = 5_000;
/// How often the figures are written down. [ms]
const NOTE_EVERY_MS: i64 = 1_000;

enum Step {
    Waiting,
    Called { claim_ms: i64 },
    Late,
    Inside { ends_ms: i64, renew_ms: i64 },
    Gone,
}

struct Person {
    /// From 0, in the order in which they arrive.
    index: u32,
    number: u32,
    step: Step,
}

/// What the visitors see at a tick.
struct Scene<'a> {
    app: &'a App,
    keys: RoomKeys<'a>,
    row: &'a RoomRow,
    look: &'a Look,
    room: &'a Room,
    view: &'a View,
    now_ms: i64,
}

impl Scene<'_> {
    fn rank(&self, person: &Person) -> Option<u32> {
        self.view.rank_of(Lane::General, person.number)
    }

    fn see(&self, person: &Person) {
        self.room.seen(Lane::General, person.number, self.rank(person), self.now_ms);
    }

    fn is_called(&self, rank: u32) -> bool {
        self.row.phase.allows_claims() && rank <= self.look.serving[Lane::General as usize]
    }

    fn sid(&self, rank: u32) -> Sid {
        token::sid(&self.app.secrets, &self.row.code, self.row.run, Lane::General, rank)
    }
}

pub struct Crowd {
    cast: Cast,
    /// How many have a number.
    joined: u32,
    /// Those of them who have not gone.
    people: Vec<Person>,
    done: u32,
    abandoned: u32,
    /// What Redis knows of them was told in this epoch.
    epoch: u32,
    seen_ms: i64,
    noted_ms: i64,
}

/// One step of everybody, if the room is being rehearsed.
pub async fn tick(
    app: &App,
    keys: RoomKeys<'_>,
    row: &RoomRow,
    look: &Look,
    leading: &mut Leading,
    now_ms: i64,
) -> Result<()> {
    if row.rehearsal_ends_at.is_none() {
        leading.crowd = None;
        return Ok(());
    }
    let Some(room) = app.rooms.of(&row.code) else { return Ok(()) };
    let view = room.view().clone();
    if (view.snap.run, view.snap.epoch) != (row.run, row.epoch) {
        // This instance has not seen the present picture yet.
        return Ok(());
    }
    if leading.crowd.as_ref().is_none_or(|crowd| crowd.cast.run != row.run) {
        leading.crowd = Crowd::gather(app, keys, row).await?;
    }
    let Some(crowd) = &mut leading.crowd else { return Ok(()) };
    let scene = Scene { app, keys, row, look, room: &room, view: &view, now_ms };
    crowd.tell_again(&scene);
    let acted = crowd.act(&scene).await;
    crowd.note(&scene).await?;
    acted
}

impl Crowd {
    /// Nobody has joined yet, or everybody again.
    async fn gather(app: &App, keys: RoomKeys<'_>, row: &RoomRow) -> Result<Option<Crowd>> {
        let client = app.pg.get().await?;
        let known = pg::rehearsal(&client, row.exhibition_id, row.run).await?;
        let known = known.ok_or_else(|| Error::bug("a rehearsal that is not on record"))?;
        let first = match known.first {
            Some(first) => first,
            None => {
                let people = u32::try_from(known.asked.people).map_err(Error::bug)?;
                let Some(index) = redis::lease(keys, row.epoch, people).await? else { return Ok(None) };
                let first = Account { epoch: row.epoch, index };
                pg::rehearsal_leased(&client, row.exhibition_id, row.run, first).await?
            }
        };
        let cast = Cast { run: row.run, asked: known.asked, began_ms: known.began_at.as_millisecond(), first };
        Ok(Some(Crowd {
            cast,
            joined: 0,
            people: Vec::new(),
            done: 0,
            abandoned: 0,
            epoch: row.epoch,
            seen_ms: 0,
            noted_ms: 0,
        }))
    }

    /// As after every loss: whoever has a number tells it to Redis again.
    fn tell_again(&mut self, scene: &Scene<'_>) {
        if self.epoch != scene.row.epoch {
            self.epoch = scene.row.epoch;
            for person in &self.people {
                scene.room.register(Lane::General, self.cast.account(person.index), person.number);
            }
        }
    }

    async fn act(&mut self, scene: &Scene<'_>) -> Result<()> {
        self.arrive(scene).await?;
        self.step(scene);
        self.claim(scene).await?;
        self.renew(scene).await?;
        self.make_room(scene).await
    }

    async fn arrive(&mut self, scene: &Scene<'_>) -> Result<()> {
        let arrived = self.cast.arrived(scene.now_ms);
        if !scene.row.phase.accepts_joins() {
            return Ok(());
        }
        for _ in 0..JOINS_MAX {
            let next = (self.joined..arrived).take(JOIN_BATCH);
            let accounts: Vec<Account> = next.map(|person| self.cast.account(person)).collect();
            if accounts.is_empty() {
                break;
            }
            let seen_max = scene.room.seen_max[Lane::General as usize].load(Ordering::Relaxed);
            let reply =
                redis::join(scene.keys, Lane::General, scene.row.epoch, scene.now_ms, seen_max, &accounts).await?;
            // Refused: they stand at the door and try again.
            let Join::Joined { numbers, refused: None } = reply else { break };
            scene.app.metrics.joined(&scene.row.code, numbers.iter().flatten().filter(|(_, had)| !had).count());
            for (number, _) in numbers.into_iter().flatten() {
                let person = Person { index: self.joined, number, step: Step::Waiting };
                scene.see(&person);
                self.people.push(person);
                self.joined += 1;
            }
        }
        Ok(())
    }

    /// What needs no call: waiting, losing patience, noticing that one is called.
    fn step(&mut self, scene: &Scene<'_>) {
        let now_ms = scene.now_ms;
        let due = now_ms - self.seen_ms >= SEEN_EVERY_MS || now_ms < self.seen_ms;
        if due {
            self.seen_ms = now_ms;
        }
        let named: HashSet<u32> =
            scene.look.called.iter().filter(|(lane, ..)| *lane == Lane::General).map(|(_, rank, _)| *rank).collect();
        let (cast, abandoned) = (&self.cast, &mut self.abandoned);
        self.people.retain_mut(|person| {
            let rank = scene.rank(person);
            match person.step {
                Step::Waiting => {
                    let called = rank.is_some_and(|rank| scene.is_called(rank));
                    if !cast.comes(person.index) && (called || cast.patient_until_ms(person.index) <= now_ms) {
                        // Without a word, as most do: the room must find out.
                        *abandoned += 1;
                        return false;
                    }
                    if called {
                        person.step = Step::Called { claim_ms: now_ms + cast.delay_ms(person.index) };
                    }
                }
                Step::Late => {
                    if rank.is_some_and(|rank| named.contains(&rank)) {
                        person.step = Step::Called { claim_ms: now_ms + cast.delay_ms(person.index) };
                    }
                }
                Step::Gone => return false,
                Step::Called { .. } | Step::Inside { .. } => {}
            }
            if due && !matches!(person.step, Step::Inside { .. }) {
                scene.see(person);
            }
            true
        });
    }

    async fn claim(&mut self, scene: &Scene<'_>) -> Result<()> {
        if !scene.row.phase.allows_claims() {
            return Ok(());
        }
        let (now_ms, window_ms) = (scene.now_ms, scene.view.snap.claim_window_ms);
        let due = |person: &&mut Person| matches!(person.step, Step::Called { claim_ms } if claim_ms <= now_ms);
        let mut asks = Vec::new();
        for person in self.people.iter_mut().filter(due).take(CLAIMS_MAX) {
            let Some(rank) = scene.rank(person) else { continue };
            let called_ms = scene.view.called_ms(Lane::General, rank);
            let ask = ClaimAsk {
                lane: Lane::General,
                rank,
                sid: scene.sid(rank),
                in_time: called_ms.is_some_and(|at| now_ms <= at + window_ms),
                window_ms,
            };
            asks.push((person, ask));
        }
        let replies = join_all(asks.iter().map(|(_, ask)| redis::claim(scene.keys, ask, now_ms))).await;
        let mut failed = None;
        for ((person, _), reply) in asks.into_iter().zip(replies) {
            match reply {
                Ok(reply) => {
                    scene.app.metrics.claimed(&scene.row.code, claim::tag(&reply));
                    self.done += u32::from(reply == Claim::Ended);
                    enter(person, &reply, &self.cast, scene);
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Whoever is inside clicks about now and then, so the pass does not end for idleness.
    async fn renew(&mut self, scene: &Scene<'_>) -> Result<()> {
        let now_ms = scene.now_ms;
        let due = |person: &&mut Person| matches!(person.step, Step::Inside { ends_ms, renew_ms } if renew_ms <= now_ms && now_ms < ends_ms);
        for person in self.people.iter_mut().filter(due).take(RENEWALS_MAX) {
            let (Some(rank), Step::Inside { renew_ms, .. }) = (scene.rank(person), &mut person.step) else { continue };
            let renewed = redis::renew(&scene.app.redis, &scene.row.code, &scene.sid(rank), now_ms).await?;
            match renewed {
                Some(expires_ms) => *renew_ms = renew_at(scene.row, expires_ms).max(now_ms + 1_000),
                None => {
                    person.step = Step::Gone;
                    self.done += 1;
                }
            }
        }
        Ok(())
    }

    async fn make_room(&mut self, scene: &Scene<'_>) -> Result<()> {
        let over =
            |person: &&mut Person| matches!(person.step, Step::Inside { ends_ms, .. } if ends_ms <= scene.now_ms);
        let leavers: Vec<&mut Person> = self.people.iter_mut().filter(over).take(LEAVERS_MAX).collect();
        let sids: Vec<_> = leavers.iter().filter_map(|person| scene.rank(person)).map(|r| scene.sid(r)).collect();
        redis::end_idle(&scene.app.redis, &scene.row.code, &sids, scene.now_ms).await?;
        for person in leavers {
            person.step = Step::Gone;
            self.done += 1;
        }
        Ok(())
    }

    fn figures(&self) -> Figures {
        let mut figures =
            Figures { joined: self.joined, done: self.done, abandoned: self.abandoned, ..Figures::default() };
        for person in &self.people {
            match person.step {
                Step::Waiting => figures.waiting += 1,
                Step::Called { .. } | Step::Late => figures.called += 1,
                Step::Inside { .. } => figures.inside += 1,
                Step::Gone => {}
            }
        }
        figures
    }

    async fn note(&mut self, scene: &Scene<'_>) -> Result<()> {
        let since_ms = scene.now_ms - self.noted_ms;
        if (0..NOTE_EVERY_MS).contains(&since_ms) {
            return Ok(());
        }
        self.noted_ms = scene.now_ms;
        let client = scene.app.pg.get().await?;
        pg::note_rehearsal(&client, scene.row.exhibition_id, scene.row.run, &self.figures()).await
    }
}

/// What a claim makes of somebody.
fn enter(person: &mut Person, reply: &Claim, cast: &Cast, scene: &Scene<'_>) {
    match *reply {
        Claim::Admitted { expires_ms, hard_ms, .. } => {
            let ends_ms = (scene.now_ms + cast.stay_ms(person.index)).min(hard_ms);
            person.step = Step::Inside { ends_ms, renew_ms: renew_at(scene.row, expires_ms) };
        }
        Claim::Late { .. } | Claim::Full { .. } => person.step = Step::Late,
        Claim::Ended => person.step = Step::Gone,
        // Again at the next tick, once this process and Redis see the same room.
        Claim::NotYet | Claim::Closed(_) | Claim::OtherRun | Claim::Unready => {}
    }
}

/// Half of the time without activity before the pass would end.
fn renew_at(row: &RoomRow, expires_ms: i64) -> i64 {
    expires_ms - i64::from(row.config.idle_s) * 500
}
