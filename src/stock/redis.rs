//! All Redis keys and scripts of the stock.

use std::collections::HashMap;

use fred::types::Value;

use super::model::{Fingerprint, HoldId, InFlight, Line, PersonKey, person_field};
use crate::error::{Error, Result};
use crate::platform::redis::{Redis, Script, int_of, tag_of};
use crate::platform::secrets::hex;
use crate::waiting_room::model::{Phase, Sid};
use crate::waiting_room::redis as room;

static TAKE: Script = Script::new("stock.take", include_str!("../../lua/stock/take.lua"));
static GIVE_BACK: Script = Script::new("stock.give_back", include_str!("../../lua/stock/give_back.lua"));
static CONFIRM: Script = Script::new("stock.confirm", include_str!("../../lua/stock/confirm.lua"));
static RELEASE: Script = Script::new("stock.release", include_str!("../../lua/stock/release.lua"));
static REBUILD: Script = Script::new("stock.rebuild", include_str!("../../lua/stock/rebuild.lua"));
static PEOPLE: Script = Script::new("stock.people", include_str!("../../lua/stock/people.lua"));
static PERSON: Script = Script::new("stock.person", include_str!("../../lua/stock/person.lua"));
static LEVELS: Script = Script::new("stock.levels", include_str!("../../lua/stock/levels.lua"));

pub fn scripts() -> [&'static Script; 8] {
    [&TAKE, &GIVE_BACK, &CONFIRM, &RELEASE, &REBUILD, &PEOPLE, &PERSON, &LEVELS]
}

/// What an order asks of the stock.
pub struct Ask<'a> {
    pub code: &'a str,
    pub hold_id: &'a HoldId,
    pub fingerprint: &'a Fingerprint,
    pub person: &'a PersonKey,
    /// Places that count toward the person's limit.
    pub places: i32,
    /// None: no limit.
    pub allowed: Option<i32>,
    /// None: open holds are not judged.
    pub open_holds_max: Option<i32>,
    pub pass: Pass,
    pub lines: &'a [Line],
}

/// What the waiting room has to do with a take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The caller has none: good enough while no room is active.
    None,
    /// Proved to be genuine; whether it is still good is judged in Redis. It lives as long as the hold. [ms]
    Session { sid: Sid, hold_ms: i64 },
    /// Not asked for: somebody whose places lapsed while paying.
    Excused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    Taken {
        epoch: i64,
        at_ms: i64,
    },
    /// The same take is in flight already: nothing was taken again.
    Repeat {
        epoch: i64,
        at_ms: i64,
    },
    OtherBody,
    SoldOut {
        stock_id: i32,
    },
    PersonLimit,
    OpenHolds,
    /// A room is active, and the caller has no pass.
    PassRequired,
    PassEnded,
    /// The pass holds places of another order.
    PassInUse,
    Unready,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    Released,
    OtherEpoch(i64),
    Unready,
}

/// What Redis holds of an exhibition at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    pub epoch: i64,
    pub free: HashMap<i32, i64>,
    pub in_flight: Vec<InFlight>,
}

fn stock_key(redis: &Redis, code: &str) -> String {
    redis.key(code, "stock")
}
fn flight_key(redis: &Redis, code: &str) -> String {
    redis.key(code, "flight")
}
fn people_key(redis: &Redis, code: &str) -> String {
    redis.key(code, "people")
}

/// What a take touches, and its undoing.
fn keys_of_a_take(redis: &Redis, code: &str) -> Vec<String> {
    vec![
        stock_key(redis, code),
        flight_key(redis, code),
        people_key(redis, code),
        room::room_key(redis, code),
        room::act_key(redis, code),
        room::pass_key(redis, code),
    ]
}

fn unknown(script: &Script, tag: &str) -> Error {
    Error::bug(format!("{}: unknown reply {tag}", script.name))
}

pub async fn take(redis: &Redis, ask: &Ask<'_>, now_ms: i64) -> Result<Take> {
    let mut args: Vec<Value> = Vec::with_capacity(9 + 2 * ask.lines.len());
    args.push(hex(ask.hold_id).into());
    args.push(now_ms.into());
    args.push(hex(ask.fingerprint).into());
    args.push(person_field(ask.person).into());
    args.push(i64::from(ask.places).into());
    args.push(i64::from(ask.allowed.unwrap_or(0)).into());
    args.push(i64::from(ask.open_holds_max.unwrap_or(0)).into());
    let (sid, hold_ms) = match ask.pass {
        Pass::None => (String::new(), 0),
        Pass::Session { sid, hold_ms } => (hex(&sid), hold_ms),
        Pass::Excused => ("*".to_owned(), 0),
    };
    args.push(sid.into());
    args.push(hold_ms.into());
    for line in ask.lines {
        args.push(i64::from(line.stock_id).into());
        args.push(i64::from(line.quantity).into());
    }
    let reply = redis.run(&TAKE, keys_of_a_take(redis, ask.code), args).await?;
    Ok(match tag_of(&TAKE, &reply)?.as_str() {
        "taken" => Take::Taken { epoch: int_of(&TAKE, &reply, 1)?, at_ms: int_of(&TAKE, &reply, 2)? },
        "repeat" => Take::Repeat { epoch: int_of(&TAKE, &reply, 1)?, at_ms: int_of(&TAKE, &reply, 2)? },
        "other_body" => Take::OtherBody,
        "sold_out" => Take::SoldOut { stock_id: int_of(&TAKE, &reply, 1)? as i32 },
        "person_limit" => Take::PersonLimit,
        "open_holds" => Take::OpenHolds,
        "pass_required" => Take::PassRequired,
        "pass_ended" => Take::PassEnded,
        "pass_in_use" => Take::PassInUse,
        "unready" => Take::Unready,
        other => return Err(unknown(&TAKE, other)),
    })
}

/// True when the take was in flight and its places are free again. `at_ms` makes it a compare-and-set.
pub async fn give_back(redis: &Redis, code: &str, hold_id: &HoldId, at_ms: Option<i64>) -> Result<bool> {
    let expected: Value = at_ms.map_or_else(|| "".into(), |ms| ms.to_string().into());
    let reply = redis.run(&GIVE_BACK, keys_of_a_take(redis, code), vec![hex(hold_id).into(), expected]).await?;
    match tag_of(&GIVE_BACK, &reply)?.as_str() {
        "given" => Ok(true),
        "gone" | "unready" => Ok(false),
        other => Err(unknown(&GIVE_BACK, other)),
    }
}

/// How many of them were in flight.
pub async fn confirm(redis: &Redis, code: &str, hold_ids: &[HoldId]) -> Result<i64> {
    let mut confirmed = 0;
    for chunk in hold_ids.chunks(512) {
        let args = chunk.iter().map(|id| hex(id).into()).collect();
        let reply = redis.run(&CONFIRM, vec![flight_key(redis, code)], args).await?;
        if tag_of(&CONFIRM, &reply)? != "confirmed" {
            return Err(unknown(&CONFIRM, &tag_of(&CONFIRM, &reply)?));
        }
        confirmed += int_of(&CONFIRM, &reply, 1)?;
    }
    Ok(confirmed)
}

/// What one commit changed for an exhibition, to be applied to Redis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    pub epoch: i64,
    /// Stock id and how many places more are free.
    pub stocks: Vec<(i32, i32)>,
    /// Person, change of places, change of open holds.
    pub people: Vec<(PersonKey, i32, i32)>,
}

pub async fn release(redis: &Redis, code: &str, freed: &Freed) -> Result<Release> {
    let keys = vec![stock_key(redis, code), people_key(redis, code)];
    let mut args: Vec<Value> = vec![freed.epoch.to_string().into(), (freed.stocks.len() as i64).into()];
    for (stock_id, places) in &freed.stocks {
        args.push(i64::from(*stock_id).into());
        args.push(i64::from(*places).into());
    }
    for (person, places, open) in &freed.people {
        args.push(person_field(person).into());
        args.push(i64::from(*places).into());
        args.push(i64::from(*open).into());
    }
    let reply = redis.run(&RELEASE, keys, args).await?;
    match tag_of(&RELEASE, &reply)?.as_str() {
        "released" => Ok(Release::Released),
        "other_epoch" => Ok(Release::OtherEpoch(int_of(&RELEASE, &reply, 1)?)),
        "unready" => Ok(Release::Unready),
        other => Err(unknown(&RELEASE, other)),
    }
}

/// False when somebody else has rebuilt under a newer epoch.
pub async fn rebuild(redis: &Redis, code: &str, epoch: i64, phase: Phase, free: &[(i32, i32)]) -> Result<bool> {
    let keys =
        vec![stock_key(redis, code), flight_key(redis, code), people_key(redis, code), room::room_key(redis, code)];
    let mut args: Vec<Value> = vec![epoch.into(), phase.as_str().into()];
    for (stock_id, free) in free {
        args.push(i64::from(*stock_id).into());
        args.push(i64::from(*free).into());
    }
    let reply = redis.run(&REBUILD, keys, args).await?;
    match tag_of(&REBUILD, &reply)?.as_str() {
        "rebuilt" => Ok(true),
        "newer" => Ok(false),
        other => Err(unknown(&REBUILD, other)),
    }
}

/// False when the epoch has moved on: the newer rebuild adds its own people.
pub async fn add_people(redis: &Redis, code: &str, epoch: i64, people: &[(PersonKey, i32, i32)]) -> Result<bool> {
    let mut args: Vec<Value> = vec![epoch.to_string().into()];
    for (person, places, open) in people {
        args.push(person_field(person).into());
        args.push(i64::from(*places).into());
        args.push(i64::from(*open).into());
    }
    let reply = redis.run(&PEOPLE, vec![stock_key(redis, code), people_key(redis, code)], args).await?;
    match tag_of(&PEOPLE, &reply)?.as_str() {
        "added" => Ok(true),
        "other_epoch" => Ok(false),
        other => Err(unknown(&PEOPLE, other)),
    }
}

/// Corrects one person's counts.
pub async fn set_person(redis: &Redis, code: &str, person: &PersonKey, places: i32, open_holds: i32) -> Result<()> {
    let keys = vec![stock_key(redis, code), people_key(redis, code)];
    let args = vec![person_field(person).into(), i64::from(places).into(), i64::from(open_holds).into()];
    let reply = redis.run(&PERSON, keys, args).await?;
    match tag_of(&PERSON, &reply)?.as_str() {
        "set" | "unready" => Ok(()),
        other => Err(unknown(&PERSON, other)),
    }
}

/// None when the exhibition is not ready in Redis.
pub async fn levels(redis: &Redis, code: &str, with_in_flight: bool) -> Result<Option<Levels>> {
    let part = if with_in_flight { "all" } else { "free" };
    let reply = redis.run(&LEVELS, vec![stock_key(redis, code), flight_key(redis, code)], vec![part.into()]).await?;
    match tag_of(&LEVELS, &reply)?.as_str() {
        "unready" => return Ok(None),
        "levels" => {}
        other => return Err(unknown(&LEVELS, other)),
    }
    let pairs = |at: usize| -> Result<Vec<(String, String)>> {
        let Some(Value::Array(items)) = reply.get(at) else {
            return Err(Error::bug(format!("{}: no array at {at}", LEVELS.name)));
        };
        Ok(items.chunks_exact(2).filter_map(|pair| Some((pair[0].as_string()?, pair[1].as_string()?))).collect())
    };
    let mut levels = Levels::default();
    for (field, value) in pairs(1)? {
        let number: i64 = value.parse().map_err(|_| Error::bug(format!("{}: {field} is {value}", LEVELS.name)))?;
        match field.parse() {
            Ok(stock_id) => {
                levels.free.insert(stock_id, number);
            }
            Err(_) => levels.epoch = number,
        }
    }
    for (hold_id, record) in pairs(2)? {
        match InFlight::parse(&hold_id, &record) {
            Some(take) => levels.in_flight.push(take),
            None => tracing::error!(hold_id, "a take in flight cannot be read"),
        }
    }
    Ok(Some(levels))
}
