//! Whose turn it is, and the passes of those who are inside.

use fred::types::Value;

use super::{CLAIM, END_PASS, LEAVE, RENEW, RESTORE, RoomKeys, act_key, number, pass_key, phase_of, room_key, unknown};
use crate::error::Result;
use crate::platform::redis::{Redis, int_of, tag_of};
use crate::platform::secrets::hex;
use crate::waiting_room::model::{Lane, Phase, Sid};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    Admitted {
        expires_ms: i64,
        hard_ms: i64,
        /// Not a repeat.
        first: bool,
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
        "admitted" => Claim::Admitted {
            expires_ms: int_of(&CLAIM, &reply, 1)?,
            hard_ms: int_of(&CLAIM, &reply, 2)?,
            first: int_of(&CLAIM, &reply, 3)? == 1,
        },
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
pub async fn restore(keys: RoomKeys<'_>, pass: &crate::waiting_room::token::Pass, now_ms: i64) -> Result<bool> {
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

pub(super) fn late_name(lane: Lane, rank: u32) -> String {
    format!("{}:{rank}", lane as u8)
}

pub(super) fn late_of(name: &str) -> Option<(Lane, u32)> {
    let (lane, rank) = name.split_once(':')?;
    Some((Lane::parse(lane.parse().ok()?)?, rank.parse().ok()?))
}
