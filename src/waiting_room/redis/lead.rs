//! What the leader looks at and moves, and what it leaves for whoever leads next.

use bytes::Bytes;
use fred::types::Value;

use super::passes::{late_name, late_of};
use super::{ADMIT, LOOK, RoomKeys, SNAP_KEEP_S, YEAR_S, act_key, number, pass_key, room_key, unknown};
use crate::error::Result;
use crate::platform::redis::{Redis, int_of, tag_of};
use crate::waiting_room::model::{LANES, Lane};

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
