//! All Redis keys and scripts of the waiting room. Keys that belong to one run carry its number.

mod alive;
mod lead;
mod passes;

use fred::types::Value;

use super::model::{Config, LANES, Lane, Phase};
use crate::error::{Error, Result};
use crate::platform::redis::{Redis, Script, int_of, tag_of};
use crate::platform::secrets::hex;

pub use alive::{LiveSlot, Stats, flush, instances, live, merged, publish_merged, stats};
pub use lead::{AdmitAsk, Lead, Look, LookAsk, admit, history, look, note_server, publish_history, server, snap};
pub use passes::{Claim, ClaimAsk, PassEnd, claim, end_idle, end_passes, leave, renew, restore};

macro_rules! script {
    ($name:ident, $label:literal) => {
        static $name: Script = Script::new(
            concat!("waiting_room.", $label),
            include_str!(concat!("../../../lua/waiting_room/", $label, ".lua")),
        );
    };
}
script!(ROOM, "room");
script!(JOIN, "join");
script!(REGISTER, "register");
script!(LEASE, "lease");
script!(CLAIM, "claim");
script!(RENEW, "renew");
script!(END_PASS, "end_pass");
script!(RESTORE, "restore");
script!(LEAVE, "leave");
script!(LOOK, "look");
script!(ADMIT, "admit");
script!(FLUSH, "flush");
script!(INSTANCES, "instances");
script!(INVITE, "invite");

pub fn scripts() -> [&'static Script; 14] {
    [
        &ROOM, &JOIN, &REGISTER, &LEASE, &CLAIM, &RENEW, &END_PASS, &RESTORE, &LEAVE, &LOOK, &ADMIT, &FLUSH,
        &INSTANCES, &INVITE,
    ]
}

/// Numbers of one key: 256 KB, so that no command is ever large.
pub const SEGMENT: u32 = 65_536;
/// Devices of one call.
pub const JOIN_BATCH: usize = 128;
pub const REGISTER_BATCH: usize = 256;
const YEAR_S: i64 = 365 * 24 * 3600;
const SNAP_KEEP_S: i64 = 24 * 3600;
const INVITE_KEEP_S: i64 = 14 * 24 * 3600;

pub fn room_key(redis: &Redis, code: &str) -> String {
    redis.key(code, "wr:room")
}
pub fn act_key(redis: &Redis, code: &str) -> String {
    redis.key(code, "wr:act")
}
pub fn pass_key(redis: &Redis, code: &str) -> String {
    redis.key(code, "wr:pass")
}

/// The keys of one run of one room.
#[derive(Clone, Copy)]
pub struct RoomKeys<'a> {
    pub redis: &'a Redis,
    pub code: &'a str,
    pub run: u32,
}

impl<'a> RoomKeys<'a> {
    pub fn new(redis: &'a Redis, code: &'a str, run: u32) -> RoomKeys<'a> {
        RoomKeys { redis, code, run }
    }

    fn plain(&self, rest: &str) -> String {
        self.redis.key(self.code, &format!("wr:{rest}"))
    }
    fn of_run(&self, rest: &str) -> String {
        self.redis.key(self.code, &format!("wr:{}:{rest}", self.run))
    }
    fn seq(&self, lane: usize) -> String {
        self.plain(&format!("seq:{lane}"))
    }
    fn serve(&self) -> String {
        self.plain("serve")
    }
    fn num(&self, lane: Lane, account: Account) -> String {
        self.of_run(&format!("num:{}:{}:{}", lane as u8, account.epoch, account.index / SEGMENT))
    }
    fn devices(&self, epoch: u32) -> String {
        self.of_run(&format!("devices:{epoch}"))
    }
    fn claimed(&self, lane: usize) -> String {
        self.of_run(&format!("claimed:{lane}"))
    }
    fn late(&self) -> String {
        self.of_run("late")
    }
    fn called(&self) -> String {
        self.of_run("called")
    }
    fn live(&self, lane: usize, drawn: bool, instance: &str, slot: i64) -> String {
        self.of_run(&format!("live:{lane}:{}:{instance}:{slot}", u8::from(drawn)))
    }
    fn merged(&self, lane: usize) -> String {
        self.of_run(&format!("alive:{lane}"))
    }
    fn stats(&self, instance: &str) -> String {
        self.plain(&format!("stats:{instance}"))
    }
}

/// Who waits: a dense index that was leased in an epoch. Another identity provider maps its accounts to such indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account {
    pub epoch: u32,
    pub index: u32,
}

fn unknown(script: &Script, tag: &str) -> Error {
    Error::bug(format!("{}: unknown reply {tag}", script.name))
}

fn number(script: &Script, reply: &[Value], at: usize) -> Result<u32> {
    u32::try_from(int_of(script, reply, at)?).map_err(Error::bug)
}

/// What Redis is told of a room.
pub struct Told<'a> {
    pub phase: Phase,
    pub epoch: u32,
    pub revision: i64,
    pub config: &'a Config,
    pub floors: [u32; LANES],
    pub serving: [u32; LANES],
    pub reopen_ms: i64,
}

/// False when somebody has told something newer.
pub async fn tell(keys: RoomKeys<'_>, told: &Told<'_>) -> Result<bool> {
    let names = vec![room_key(keys.redis, keys.code), keys.seq(0), keys.seq(1), keys.serve()];
    let config = told.config;
    let mut args: Vec<Value> = vec![i64::from(keys.run).into(), i64::from(told.epoch).into(), told.revision.into()];
    args.extend(told.floors.iter().chain(&told.serving).map(|n| Value::from(i64::from(*n))));
    args.push(told.reopen_ms.into());
    for (field, value) in [
        ("capacity", i64::from(config.capacity)),
        ("slack", i64::from(config.slack)),
        ("idle_ms", i64::from(config.idle_s) * 1000),
        ("hard_ms", i64::from(config.hard_s) * 1000),
    ] {
        args.push(field.into());
        args.push(value.into());
    }
    args.push("phase".into());
    args.push(told.phase.as_str().into());
    let reply = keys.redis.run(&ROOM, names, args).await?;
    match tag_of(&ROOM, &reply)?.as_str() {
        "set" => Ok(true),
        "older" => Ok(false),
        other => Err(unknown(&ROOM, other)),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Join {
    Joined {
        /// Per device: its number, and whether it had it before. None: refused.
        numbers: Vec<Option<(u32, bool)>>,
        refused: Option<JoinRefusal>,
    },
    OtherEpoch,
    OtherRun,
    /// Redis has lost numbers that were given out.
    Behind,
    Unready,
}

/// Why newcomers get no number. Whoever has one keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinRefusal {
    Closed(Phase),
    Later { reopen_ms: i64 },
}

pub async fn join(
    keys: RoomKeys<'_>,
    lane: Lane,
    epoch: u32,
    now_ms: i64,
    seen_max: u32,
    accounts: &[Account],
) -> Result<Join> {
    let mut names = vec![room_key(keys.redis, keys.code), keys.seq(lane as usize)];
    let mut args: Vec<Value> =
        vec![i64::from(keys.run).into(), i64::from(epoch).into(), now_ms.into(), i64::from(seen_max).into()];
    for account in accounts {
        let at = position(&mut names, keys.num(lane, *account));
        args.push(at.into());
        args.push(i64::from(account.index % SEGMENT).into());
    }
    let reply = keys.redis.run(&JOIN, names, args).await?;
    let joined = |first: usize, refused: Option<JoinRefusal>| -> Result<Join> {
        let of = |at: usize| -> Result<Option<(u32, bool)>> {
            let number = number(&JOIN, &reply, first + 2 * at)?;
            Ok(if number == 0 { None } else { Some((number, int_of(&JOIN, &reply, first + 1 + 2 * at)? == 1)) })
        };
        Ok(Join::Joined { numbers: (0..accounts.len()).map(of).collect::<Result<_>>()?, refused })
    };
    Ok(match tag_of(&JOIN, &reply)?.as_str() {
        "joined" => joined(1, None)?,
        "closed" => joined(2, Some(JoinRefusal::Closed(phase_of(&reply)?)))?,
        "later" => joined(2, Some(JoinRefusal::Later { reopen_ms: int_of(&JOIN, &reply, 1)? }))?,
        "other_epoch" => Join::OtherEpoch,
        "other_run" => Join::OtherRun,
        "behind" => Join::Behind,
        "unready" => Join::Unready,
        other => return Err(unknown(&JOIN, other)),
    })
}

/// Place of a key in KEYS, from 1; added at the end where it is new.
fn position(names: &mut Vec<String>, name: String) -> i64 {
    let at = names.iter().position(|known| *known == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    });
    at as i64 + 1
}

fn phase_of(reply: &[Value]) -> Result<Phase> {
    let text = reply.get(1).and_then(Value::as_string).unwrap_or_default();
    Phase::parse(&text).ok_or_else(|| Error::bug(format!("unknown phase {text}")))
}

/// Puts numbers back that Redis has lost.
pub async fn register(keys: RoomKeys<'_>, owners: &[(Lane, Account, u32)]) -> Result<()> {
    for chunk in owners.chunks(REGISTER_BATCH) {
        let mut names = vec![room_key(keys.redis, keys.code)];
        let mut args: Vec<Value> = vec![i64::from(keys.run).into()];
        for (lane, account, number) in chunk {
            let at = position(&mut names, keys.num(*lane, *account));
            args.push(at.into());
            args.push(i64::from(account.index % SEGMENT).into());
            args.push(i64::from(*number).into());
            let devices = position(&mut names, keys.devices(account.epoch));
            args.push(devices.into());
            args.push(i64::from(account.index).into());
        }
        keys.redis.run(&REGISTER, names, args).await?;
    }
    Ok(())
}

/// First index of a block; None when the room has moved on.
pub async fn lease(keys: RoomKeys<'_>, epoch: u32, count: u32) -> Result<Option<u32>> {
    let names = vec![room_key(keys.redis, keys.code), keys.devices(epoch)];
    let args = vec![i64::from(keys.run).into(), i64::from(epoch).into(), i64::from(count).into()];
    let reply = keys.redis.run(&LEASE, names, args).await?;
    match tag_of(&LEASE, &reply)?.as_str() {
        "leased" => Ok(Some(number(&LEASE, &reply, 1)?)),
        "other_epoch" | "unready" => Ok(None),
        other => Err(unknown(&LEASE, other)),
    }
}

/// False when another device came with this invitation first.
pub async fn use_invite(keys: RoomKeys<'_>, id: &[u8; 8], account: Account) -> Result<bool> {
    let name = keys.of_run(&format!("invite:{}", hex(id)));
    let who = format!("{}:{}", account.epoch, account.index);
    let reply = keys.redis.run(&INVITE, vec![name], vec![who.into(), INVITE_KEEP_S.into()]).await?;
    match tag_of(&INVITE, &reply)?.as_str() {
        "yours" => Ok(true),
        "used" => Ok(false),
        other => Err(unknown(&INVITE, other)),
    }
}

/// Throws away what a run has left: nobody asks for it any more. Signs of life go by themselves.
pub async fn forget_run(keys: RoomKeys<'_>, epochs: u32) -> Result<()> {
    let mut names = vec![keys.late(), keys.called(), keys.of_run("history")];
    names.extend((0..LANES).flat_map(|lane| [keys.claimed(lane), keys.merged(lane)]));
    for epoch in 0..=epochs {
        for segment in 0..leased(keys, epoch).await?.div_ceil(SEGMENT) {
            let first = Account { epoch, index: segment * SEGMENT };
            names.extend(Lane::ALL.map(|lane| keys.num(lane, first)));
        }
        names.push(keys.devices(epoch));
    }
    keys.redis.unlink(names).await
}

/// How many device indexes have been leased in an epoch.
async fn leased(keys: RoomKeys<'_>, epoch: u32) -> Result<u32> {
    let bytes = keys.redis.get_bytes(&keys.devices(epoch)).await?;
    Ok(bytes.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok()).unwrap_or(0))
}

/// Who has which number in the general lane: pairs of number and account.
pub async fn numbers(keys: RoomKeys<'_>, epochs: u32) -> Result<Vec<(u32, Account)>> {
    let mut owners = Vec::new();
    for epoch in 0..=epochs {
        for segment in 0..leased(keys, epoch).await?.div_ceil(SEGMENT) {
            let first = Account { epoch, index: segment * SEGMENT };
            let Some(packed) = keys.redis.get_bytes(&keys.num(Lane::General, first)).await? else { continue };
            for (at, bytes) in (0u32..).zip(packed.chunks_exact(4)) {
                let number = u32::from_be_bytes(bytes.try_into().map_err(Error::bug)?);
                if number > 0 {
                    owners.push((number, Account { epoch, index: first.index + at }));
                }
            }
        }
    }
    Ok(owners)
}
