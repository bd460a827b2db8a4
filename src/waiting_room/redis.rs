//! All Redis keys and scripts of the waiting room. Keys that belong to one run carry its number.

use bytes::Bytes;
use fred::types::Value;
use serde::{Deserialize, Serialize};

use super::left::Leaver;
use super::model::{Config, LANES, Lane, Phase, Sid};
use crate::error::{Error, Result};
use crate::platform::redis::{Redis, Script, int_of, tag_of};
use crate::platform::secrets::hex;

macro_rules! script {
    ($name:ident, $label:literal) => {
        static $name: Script = Script::new(
            concat!("waiting_room.", $label),
            include_str!(concat!("../../lua/waiting_room/", $label, ".lua")),
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
    /// Per device: its number, and whether it had it before.
    Joined(Vec<(u32, bool)>),
    Closed(Phase),
    OtherEpoch,
    OtherRun,
    /// Redis has lost numbers that were given out.
    Behind,
    Later {
        reopen_ms: i64,
    },
    Unready,
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
    Ok(match tag_of(&JOIN, &reply)?.as_str() {
        "joined" => {
            let mut joined = Vec::with_capacity(accounts.len());
            for at in 0..accounts.len() {
                joined.push((number(&JOIN, &reply, 1 + 2 * at)?, int_of(&JOIN, &reply, 2 + 2 * at)? == 1));
            }
            Join::Joined(joined)
        }
        "closed" => Join::Closed(phase_of(&reply)?),
        "other_epoch" => Join::OtherEpoch,
        "other_run" => Join::OtherRun,
        "behind" => Join::Behind,
        "later" => Join::Later { reopen_ms: int_of(&JOIN, &reply, 1)? },
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    Admitted {
        expires_ms: i64,
        hard_ms: i64,
    },
    Ended,
    NotYet,
    Late {
        before: u32,
    },
    /// Called, but there is no room: first among the late.
    Full {
        before: u32,
    },
    Closed(Phase),
    OtherRun,
    Unready,
}

pub struct ClaimAsk {
    pub lane: Lane,
    pub rank: u32,
    pub sid: Sid,
    pub in_time: bool,
    pub window_ms: i64,
}

pub async fn claim(keys: RoomKeys<'_>, ask: &ClaimAsk, now_ms: i64) -> Result<Claim> {
    let names = vec![
        room_key(keys.redis, keys.code),
        keys.serve(),
        keys.claimed(ask.lane as usize),
        act_key(keys.redis, keys.code),
        pass_key(keys.redis, keys.code),
        keys.late(),
        keys.called(),
    ];
    let args = vec![
        i64::from(keys.run).into(),
        now_ms.into(),
        i64::from(ask.lane as u8).into(),
        i64::from(ask.rank).into(),
        hex(&ask.sid).into(),
        i64::from(ask.in_time).into(),
        ask.window_ms.into(),
    ];
    let reply = keys.redis.run(&CLAIM, names, args).await?;
    Ok(match tag_of(&CLAIM, &reply)?.as_str() {
        "admitted" => Claim::Admitted { expires_ms: int_of(&CLAIM, &reply, 1)?, hard_ms: int_of(&CLAIM, &reply, 2)? },
        "ended" => Claim::Ended,
        "not_yet" => Claim::NotYet,
        "late" => Claim::Late { before: number(&CLAIM, &reply, 1)? },
        "full" => Claim::Full { before: number(&CLAIM, &reply, 1)? },
        "closed" => Claim::Closed(phase_of(&reply)?),
        "other_run" => Claim::OtherRun,
        "unready" => Claim::Unready,
        other => return Err(unknown(&CLAIM, other)),
    })
}

/// When the pass ends now; None when it has ended.
pub async fn renew(redis: &Redis, code: &str, sid: &Sid, now_ms: i64) -> Result<Option<i64>> {
    let names = vec![room_key(redis, code), act_key(redis, code), pass_key(redis, code)];
    let reply = redis.run(&RENEW, names, vec![now_ms.into(), hex(sid).into()]).await?;
    match tag_of(&RENEW, &reply)?.as_str() {
        "renewed" => Ok(Some(int_of(&RENEW, &reply, 1)?)),
        "ended" | "unready" => Ok(None),
        other => Err(unknown(&RENEW, other)),
    }
}

/// How the order of a pass came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassEnd {
    /// Bought, or let the hold lapse: somebody else's turn.
    Over,
    /// Gave the places back: may choose again while the pass lasts.
    Free,
}

pub async fn end_passes(redis: &Redis, code: &str, ended: &[(Sid, [u8; 16], PassEnd)], now_ms: i64) -> Result<()> {
    for chunk in ended.chunks(256) {
        let names = vec![room_key(redis, code), act_key(redis, code), pass_key(redis, code)];
        let mut args: Vec<Value> = vec![now_ms.into()];
        for (sid, hold_id, end) in chunk {
            args.push(hex(sid).into());
            args.push(hex(hold_id).into());
            args.push(if *end == PassEnd::Over { "end" } else { "free" }.into());
        }
        redis.run(&END_PASS, names, args).await?;
    }
    Ok(())
}

/// Whoever is inside without an order makes room.
pub async fn end_idle(redis: &Redis, code: &str, sids: &[Sid], now_ms: i64) -> Result<()> {
    for chunk in sids.chunks(256) {
        let names = vec![room_key(redis, code), act_key(redis, code), pass_key(redis, code)];
        let mut args: Vec<Value> = vec![now_ms.into()];
        for sid in chunk {
            args.push(hex(sid).into());
            args.push("-".into());
            args.push("end".into());
        }
        redis.run(&END_PASS, names, args).await?;
    }
    Ok(())
}

/// True when the pass was good before Redis lost it, and is good again.
pub async fn restore(keys: RoomKeys<'_>, pass: &super::token::Pass, now_ms: i64) -> Result<bool> {
    let names = vec![
        room_key(keys.redis, keys.code),
        act_key(keys.redis, keys.code),
        pass_key(keys.redis, keys.code),
        keys.claimed(pass.lane as usize),
    ];
    let args = vec![
        i64::from(keys.run).into(),
        now_ms.into(),
        hex(&pass.sid).into(),
        i64::from(pass.rank).into(),
        pass.hard_ms.into(),
        i64::from(pass.epoch).into(),
    ];
    let reply = keys.redis.run(&RESTORE, names, args).await?;
    match tag_of(&RESTORE, &reply)?.as_str() {
        "restored" => Ok(true),
        "full" | "current" | "unready" => Ok(false),
        other => Err(unknown(&RESTORE, other)),
    }
}

/// False when the pass holds places of an unpaid order.
pub async fn leave(keys: RoomKeys<'_>, sid: Option<&Sid>, late: Option<(Lane, u32)>) -> Result<bool> {
    let names = vec![act_key(keys.redis, keys.code), pass_key(keys.redis, keys.code), keys.late(), keys.called()];
    let sid = sid.map(|sid| hex(sid)).unwrap_or_default();
    let who = late.map(|(lane, rank)| late_name(lane, rank)).unwrap_or_default();
    let reply = keys.redis.run(&LEAVE, names, vec![sid.into(), who.into()]).await?;
    match tag_of(&LEAVE, &reply)?.as_str() {
        "left" => Ok(true),
        "paying" => Ok(false),
        other => Err(unknown(&LEAVE, other)),
    }
}

fn late_name(lane: Lane, rank: u32) -> String {
    format!("{}:{rank}", lane as u8)
}

fn late_of(name: &str) -> Option<(Lane, u32)> {
    let (lane, rank) = name.split_once(':')?;
    Some((Lane::parse(lane.parse().ok()?)?, rank.parse().ok()?))
}

/// What the leader sees.
#[derive(Debug, Default)]
pub struct Look {
    pub fence: i64,
    pub run: u32,
    pub epoch: u32,
    pub revision: i64,
    pub seq: [u32; LANES],
    pub serving: [u32; LANES],
    pub active: u32,
    pub late_waiting: u32,
    /// Bytes of the claimed bitmaps, from the first byte that was asked for.
    pub claimed: [Vec<u8>; LANES],
    /// The first of the late, by rank.
    pub late: Vec<(Lane, u32)>,
    /// Late ones who are called, and when.
    pub called: Vec<(Lane, u32, i64)>,
    /// Passes that were put back in this epoch.
    pub restored: u32,
}

pub enum Lead {
    Leading(Box<Look>),
    /// Another process leads.
    Following,
    /// We lead, but Redis does not know the room.
    Unready,
}

pub struct LookAsk<'a> {
    pub leader: &'a str,
    pub lease_ms: i64,
    /// First and last rank whose claim is to be shown.
    pub claims: [(u32, u32); LANES],
    pub late_again_ms: i64,
}

pub async fn look(keys: RoomKeys<'_>, ask: &LookAsk<'_>, now_ms: i64) -> Result<Lead> {
    let names = vec![
        room_key(keys.redis, keys.code),
        keys.plain("lead"),
        keys.plain("fence"),
        keys.seq(0),
        keys.seq(1),
        keys.serve(),
        act_key(keys.redis, keys.code),
        pass_key(keys.redis, keys.code),
        keys.late(),
        keys.called(),
        keys.claimed(0),
        keys.claimed(1),
    ];
    let mut args: Vec<Value> = vec![ask.leader.into(), ask.lease_ms.into(), now_ms.into()];
    for (first, last) in ask.claims {
        args.push(i64::from(first / 8).into());
        args.push(i64::from(last / 8).into());
    }
    args.push(ask.late_again_ms.into());
    let reply = keys.redis.run(&LOOK, names, args).await?;
    match tag_of(&LOOK, &reply)?.as_str() {
        "leading" => {}
        "following" => return Ok(Lead::Following),
        "unready" => return Ok(Lead::Unready),
        other => return Err(unknown(&LOOK, other)),
    }
    let bytes = |at: usize| reply.get(at).and_then(Value::as_bytes).map(<[u8]>::to_vec).unwrap_or_default();
    let items = |at: usize| match reply.get(at) {
        Some(Value::Array(items)) => items.as_slice(),
        _ => &[],
    };
    let late = items(13).iter().filter_map(|v| late_of(&v.as_string()?)).collect();
    let called = items(14).chunks_exact(2).filter_map(|pair| {
        let (lane, rank) = late_of(&pair[0].as_string()?)?;
        Some((lane, rank, pair[1].as_i64()?))
    });
    let n = |at: usize| number(&LOOK, &reply, at);
    Ok(Lead::Leading(Box::new(Look {
        fence: int_of(&LOOK, &reply, 1)?,
        run: n(2)?,
        epoch: n(3)?,
        revision: int_of(&LOOK, &reply, 4)?,
        seq: [n(5)?, n(6)?],
        serving: [n(7)?, n(8)?],
        active: n(9)?,
        late_waiting: n(10)?,
        claimed: [bytes(11), bytes(12)],
        late,
        called: called.collect(),
        restored: n(15)?,
    })))
}

pub struct AdmitAsk<'a> {
    pub fence: i64,
    pub epoch: u32,
    pub serving: [u32; LANES],
    pub late: &'a [(Lane, u32)],
    pub snap: Vec<u8>,
}

/// The serving ranks as they are now; None when this leader is not the leader any more.
pub async fn admit(keys: RoomKeys<'_>, ask: AdmitAsk<'_>, now_ms: i64) -> Result<Option<[u32; LANES]>> {
    let names = vec![
        room_key(keys.redis, keys.code),
        keys.plain("fence"),
        keys.serve(),
        keys.late(),
        keys.called(),
        keys.plain("snap"),
    ];
    let mut args: Vec<Value> = vec![
        ask.fence.into(),
        i64::from(keys.run).into(),
        i64::from(ask.epoch).into(),
        now_ms.into(),
        i64::from(ask.serving[0]).into(),
        i64::from(ask.serving[1]).into(),
        Value::Bytes(ask.snap.into()),
    ];
    args.extend(ask.late.iter().map(|(lane, rank)| Value::from(late_name(*lane, *rank))));
    let reply = keys.redis.run(&ADMIT, names, args).await?;
    match tag_of(&ADMIT, &reply)?.as_str() {
        "admitted" => Ok(Some([number(&ADMIT, &reply, 1)?, number(&ADMIT, &reply, 2)?])),
        "fenced" | "other_run" | "unready" => Ok(None),
        other => Err(unknown(&ADMIT, other)),
    }
}

/// How an instance is doing, for the leader.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    pub run: u32,
    /// Highest number this instance has seen in a token, per lane.
    pub seen_max: [u32; LANES],
    /// Highest serving rank this instance has seen, per lane.
    pub serving_max: [u32; LANES],
    /// Orders and page loads since the process started.
    pub arrivals: u64,
    pub polls: u64,
    /// Orders of the last seconds: 99th percentile of their time [ms], how many, how many failed.
    pub orders_p99_ms: i64,
    pub orders: u32,
    pub orders_failed: u32,
    /// Who left the line here.
    pub left: Vec<Leaver>,
}

/// A bitmap of one lane and slot, as an instance flushes it.
pub struct LiveSlot {
    pub lane: usize,
    pub slot: i64,
    pub bits: Vec<u8>,
}

pub async fn flush(
    keys: RoomKeys<'_>,
    instance: &str,
    drawn: bool,
    stats: &Stats,
    live: Vec<LiveSlot>,
    now_ms: i64,
) -> Result<()> {
    let mut names = vec![keys.plain("instances"), keys.stats(instance)];
    let stats = serde_json::to_string(stats).map_err(Error::bug)?;
    let mut args: Vec<Value> = vec![now_ms.into(), instance.into(), stats.into()];
    for slot in live {
        names.push(keys.live(slot.lane, drawn, instance, slot.slot));
        args.push(Value::Bytes(slot.bits.into()));
    }
    keys.redis.run(&FLUSH, names, args).await?;
    Ok(())
}

pub async fn instances(keys: RoomKeys<'_>, since_ms: i64) -> Result<Vec<String>> {
    let reply = keys.redis.run(&INSTANCES, vec![keys.plain("instances")], vec![since_ms.into()]).await?;
    if tag_of(&INSTANCES, &reply)? != "instances" {
        return Err(unknown(&INSTANCES, &tag_of(&INSTANCES, &reply)?));
    }
    Ok(reply.iter().skip(1).filter_map(Value::as_string).collect())
}

pub async fn stats(keys: RoomKeys<'_>, instances: &[String]) -> Result<Vec<Stats>> {
    let names = instances.iter().map(|instance| keys.stats(instance)).collect();
    let found = keys.redis.get_many(names).await?;
    Ok(found.into_iter().flatten().filter_map(|bytes| serde_json::from_slice(&bytes).ok()).collect())
}

/// Bitmaps of one slot, of every instance that has one.
pub async fn live(keys: RoomKeys<'_>, lane: usize, drawn: bool, slot: i64, instances: &[String]) -> Result<Vec<Bytes>> {
    let names = instances.iter().map(|instance| keys.live(lane, drawn, instance, slot)).collect();
    Ok(keys.redis.get_many(names).await?.into_iter().flatten().collect())
}

pub async fn publish_merged(keys: RoomKeys<'_>, lane: usize, bits: Vec<u8>) -> Result<()> {
    keys.redis.set_bytes(&keys.merged(lane), bits, 120).await
}

pub async fn merged(keys: RoomKeys<'_>, lane: usize) -> Result<Option<Bytes>> {
    keys.redis.get_bytes(&keys.merged(lane)).await
}

pub async fn snap(redis: &Redis, code: &str) -> Result<Option<Bytes>> {
    redis.get_bytes(&redis.key(code, "wr:snap")).await
}

/// Which server the current epoch was begun on.
pub async fn server(keys: RoomKeys<'_>) -> Result<Option<String>> {
    let bytes = keys.redis.get_bytes(&keys.plain("server")).await?;
    Ok(bytes.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok()))
}

pub async fn note_server(keys: RoomKeys<'_>, run_id: &str) -> Result<()> {
    keys.redis.set_bytes(&keys.plain("server"), run_id.as_bytes().to_vec(), YEAR_S).await
}

/// The last twenty minutes of serving ranks, for instances that start.
pub async fn publish_history(keys: RoomKeys<'_>, history: Vec<u8>) -> Result<()> {
    keys.redis.set_bytes(&keys.of_run("history"), history, SNAP_KEEP_S).await
}

pub async fn history(keys: RoomKeys<'_>) -> Result<Option<Bytes>> {
    keys.redis.get_bytes(&keys.of_run("history")).await
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
