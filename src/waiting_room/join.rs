//! Join: a device gets a number, once. Joins that come while a call to Redis is on its way share the next one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::HeaderMap;
use tokio::sync::oneshot;

use super::model::{LANES, Lane, Phase};
use super::proofs::{self, Proofs, Seen};
use super::redis::{self, Account, JOIN_BATCH, Join, JoinRefusal, RoomKeys};
use super::room::{Room, View};
use super::status;
use super::token::{self, QueueToken};
use super::{draw, invite as invites};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Kind, Result};
use crate::observability::pulse::What;
use crate::platform::http::ClientAddress;
use crate::platform::net::counted_as;
use crate::platform::texts::Language;

/// Joins that may wait for Redis at once; beyond it callers are told to come back.
const WAITING_MAX: usize = 20_000;
/// Indexes leased at once: what an instance that dies leaves unused costs four bytes each.
const BLOCK: u32 = 1_024;
/// Addresses whose joins are remembered at once.
const ADDRESSES_MAX: usize = 100_000;

/// Gives the caller a place, or says which one they have.
pub async fn join(
    app: &App,
    exhibition: &Exhibition,
    headers: &HeaderMap,
    client: ClientAddress,
    invite: Option<&str>,
    language: Language,
) -> Result<Seen> {
    let Some(room) = app.rooms.of(&exhibition.code) else {
        return status::look(app, exhibition, headers, language);
    };
    let view = room.view().clone();
    let mut proofs = Proofs::read(app, &exhibition.code, &view, headers)?;
    let phase = view.snap.phase;
    if let Some(token) = proofs.token {
        let (lane, rank) = proofs::place(&view, &token);
        room.is_back(lane, rank);
    }
    if !phase.needs_pass() || proofs.token.is_some() {
        return status::look(app, exhibition, headers, language);
    }
    if !phase.accepts_joins() {
        return Err(Error::conflict("queue.closed"));
    }
    if !room.checked(app) {
        return Err(Error::unavailable("queue.checking", "the leader has not looked at this Redis yet"));
    }
    if proofs.device.is_none()
        && !client.exempt
        && let Some(wait) = room.joiner.too_many(client.address, app.settings.joins_per_minute, app.clock.now_ms())
    {
        return Err(Error::too_many("queue.too_many_joins", wait));
    }
    let keys = RoomKeys::new(&app.redis, &room.code, view.snap.run);
    let account = match proofs.device {
        Some(device) => device,
        None => room.joiner.device(keys, view.snap.epoch).await?,
    };
    let lane = lane(app, keys, invite, account).await?;
    let number = Joiner::number(app, &room, &view, lane, account).await?;
    let token = QueueToken {
        run: view.snap.run,
        epoch: view.snap.epoch,
        lane,
        parked: false,
        extended: false,
        number,
        rank: view.rank_of(lane, number).unwrap_or(0),
        account,
        issued_s: app.clock.now().as_second(),
    };
    proofs.token = Some(token);
    let mut seen = status::stand(app, exhibition, &room, &view, &proofs, language);
    let sealed = token.seal(&app.secrets, &room.code);
    seen.cookies =
        vec![proofs::set_device(app, &room.code, view.snap.run, account), proofs::set_token(app, &room.code, &sealed)];
    seen.status.queue_token = Some(sealed);
    let salt = token::salt(&app.secrets, &room.code, token.run, number);
    let leaf = draw::leaf(&room.code, number, &draw::account_digest(account.index, &salt));
    seen.status.receipt = Some(app.receipt_key.receipt(&room.code, token.run, number, account.index, &salt, &leaf));
    Ok(seen)
}

/// The lane of the invited for whoever brings an invitation, and brings it first.
async fn lane(app: &App, keys: RoomKeys<'_>, invite: Option<&str>, account: Account) -> Result<Lane> {
    let Some(invite) = invite.filter(|text| !text.is_empty()) else { return Ok(Lane::General) };
    let id = invites::read(app, keys.code, keys.run, invite).ok_or_else(|| Error::forbidden("queue.invalid_invite"))?;
    if redis::use_invite(keys, &id, account).await? {
        Ok(Lane::Invited)
    } else {
        Err(Error::conflict("queue.invite_used"))
    }
}

struct Waiting {
    account: Account,
    answer: oneshot::Sender<Result<u32>>,
}

#[derive(Default)]
struct Line {
    waiting: Vec<Waiting>,
    /// Somebody is at the counter and takes the next ones along.
    served: bool,
}

#[derive(Clone, Copy, Default)]
struct Block {
    epoch: u32,
    next: u32,
    end: u32,
}

#[derive(Default)]
pub struct Joiner {
    lines: [Mutex<Line>; LANES],
    block: tokio::sync::Mutex<Block>,
    /// When each address has used up what it may, as in a leaky bucket. [ms]
    addresses: Mutex<HashMap<IpAddr, i64>>,
}

impl Joiner {
    /// A device that nobody has had before.
    pub async fn device(&self, keys: RoomKeys<'_>, epoch: u32) -> Result<Account> {
        let mut block = self.block.lock().await;
        if block.epoch != epoch || block.next >= block.end {
            let first = redis::lease(keys, epoch, BLOCK).await?;
            let first = first.ok_or_else(|| Error::unavailable("queue.checking", "the room has moved on"))?;
            *block = Block { epoch, next: first, end: first + BLOCK };
        }
        block.next += 1;
        Ok(Account { epoch, index: block.next - 1 })
    }

    /// The time to wait when an address joins with new devices too fast. Here and not in Redis: each instance sees its
    /// share, and a flood must not reach Redis at all.
    fn too_many(&self, address: IpAddr, per_minute: u32, now_ms: i64) -> Option<Duration> {
        let step_ms = 60_000 / i64::from(per_minute.max(1));
        let mut addresses = self.addresses.lock().ok()?;
        if addresses.len() >= ADDRESSES_MAX {
            addresses.retain(|_, until| *until > now_ms);
            if addresses.len() >= ADDRESSES_MAX {
                addresses.clear();
            }
        }
        let until = addresses.entry(counted_as(address)).or_insert(0);
        let after = (*until).max(now_ms) + step_ms.max(1);
        if after - now_ms > 60_000 {
            return Some(Duration::from_millis((after - now_ms - 60_000).unsigned_abs()));
        }
        *until = after;
        None
    }

    async fn number(app: &App, room: &Arc<Room>, view: &View, lane: Lane, account: Account) -> Result<u32> {
        let (answer, number) = oneshot::channel();
        let opens = {
            let mut line = room.joiner.line(lane)?;
            if line.waiting.len() >= WAITING_MAX {
                return Err(Error::unavailable("queue.busy", "too many joins are waiting"));
            }
            line.waiting.push(Waiting { account, answer });
            !std::mem::replace(&mut line.served, true)
        };
        if opens {
            let (app_of_task, room, run, epoch) = (app.clone(), room.clone(), view.snap.run, view.snap.epoch);
            app.lifecycle.spawn(async move { serve(&app_of_task, &room, lane, run, epoch).await });
        }
        number.await.map_err(|_| Error::unavailable("queue.busy", "the counter closed"))?
    }

    fn line(&self, lane: Lane) -> Result<std::sync::MutexGuard<'_, Line>> {
        self.lines[lane as usize].lock().map_err(|_| Error::bug("the line of joins is poisoned"))
    }

    /// The next batch; none: the counter closes under the same lock.
    fn next(&self, lane: Lane) -> Vec<Waiting> {
        let Ok(mut line) = self.line(lane) else { return Vec::new() };
        if line.waiting.is_empty() {
            line.served = false;
            return Vec::new();
        }
        let count = line.waiting.len().min(JOIN_BATCH);
        line.waiting.drain(..count).collect()
    }
}

/// Closes the counter also when its task panics.
struct Counter<'a>(&'a Joiner, Lane);

impl Drop for Counter<'_> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(mut line) = self.0.line(self.1)
        {
            line.served = false;
            line.waiting.clear();
        }
    }
}

async fn serve(app: &App, room: &Room, lane: Lane, run: u32, epoch: u32) {
    let _counter = Counter(&room.joiner, lane);
    let keys = RoomKeys::new(&app.redis, &room.code, run);
    loop {
        let batch = room.joiner.next(lane);
        if batch.is_empty() {
            return;
        }
        let accounts: Vec<Account> = batch.iter().map(|one| one.account).collect();
        let reply = numbers(app, room, keys, lane, epoch, &accounts).await;
        let (numbers, refused) = match reply {
            Ok(Join::Joined { numbers, refused }) => (numbers, refused),
            Ok(other) => {
                let error = not_now(format!("{other:?}")).retry_after(Duration::from_secs(1));
                batch.into_iter().for_each(|one| drop(one.answer.send(Err(error.clone()))));
                continue;
            }
            Err(error) => {
                let error = if error.kind == Kind::Unavailable && error.code != "queue.checking" {
                    Error::unavailable("queue.no_joins_now", error)
                } else {
                    error
                };
                batch.into_iter().for_each(|one| drop(one.answer.send(Err(error.clone()))));
                continue;
            }
        };
        let given = numbers.iter().flatten().filter(|(_, had)| !had).count();
        app.metrics.joined(&room.code, given);
        if !room.view().snap.rehearsal {
            app.pulse.count_many(room.exhibition_id, What::Joined, given);
        }
        let error = refused.map(|why| refusal(why, app.clock.now_ms()));
        for (one, number) in batch.into_iter().zip(numbers) {
            let none = || error.clone().unwrap_or_else(|| Error::bug("a join without a number or a reason"));
            // A caller who has gone asks again and gets the same.
            let _ = one.answer.send(number.map(|(number, _)| number).ok_or_else(none));
        }
    }
}

/// A call that had to wait for a new connection may have reached a Redis that has lost numbers, before the leader saw
/// it: what it answers is not given out.
async fn numbers(
    app: &App,
    room: &Room,
    keys: RoomKeys<'_>,
    lane: Lane,
    epoch: u32,
    accounts: &[Account],
) -> Result<Join> {
    let unchecked = || Err(Error::unavailable("queue.checking", "the leader has not looked at this Redis yet"));
    let connections = app.redis.connections();
    let view = room.view();
    if view.connections != connections {
        return unchecked();
    }
    let seen = room.seen_max[lane as usize].load(std::sync::atomic::Ordering::Relaxed);
    let told = if view.snap.run == keys.run { view.snap.lanes[lane as usize].seq } else { 0 };
    drop(view);
    let reply = redis::join(keys, lane, epoch, app.clock.now_ms(), seen.max(told), accounts).await?;
    if app.redis.connections() == connections { Ok(reply) } else { unchecked() }
}

fn not_now(why: impl std::fmt::Display) -> Error {
    Error::unavailable("queue.checking", why)
}

fn refusal(why: JoinRefusal, now_ms: i64) -> Error {
    match why {
        JoinRefusal::Closed(Phase::Idle | Phase::Bypass | Phase::Ended) => Error::conflict("queue.not_needed"),
        JoinRefusal::Closed(_) => Error::conflict("queue.closed"),
        JoinRefusal::Later { reopen_ms } => {
            let wait = Duration::from_millis((reopen_ms - now_ms).clamp(1_000, 60_000).unsigned_abs());
            not_now("numbers are being put back").retry_after(wait)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_from_one_address_is_slowed_and_others_are_not() {
        let joiner = Joiner::default();
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let let_in = (0..1_000).filter(|_| joiner.too_many(one, 600, 0).is_none()).count();
        assert_eq!(let_in, 600);
        assert!(joiner.too_many(one, 600, 0).is_some_and(|wait| wait <= Duration::from_millis(100)));
        assert!(joiner.too_many(one, 600, 100).is_none(), "one more after a tenth of a second");
        assert!(joiner.too_many(other, 600, 0).is_none());
        let of_network = |n: u64| IpAddr::V6(((0x2001_0db8_u128 << 96) | u128::from(n)).into());
        let let_in = (0..1_000).filter(|n| joiner.too_many(of_network(*n), 600, 0).is_none()).count();
        assert_eq!(let_in, 600, "whoever has one address of a network has all");
    }
}
