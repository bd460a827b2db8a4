//! Signs of life: what instances tell of themselves and of those who wait at them.

use bytes::Bytes;
use fred::types::Value;
use serde::{Deserialize, Serialize};

use super::{FLUSH, INSTANCES, RoomKeys, unknown};
use crate::error::{Error, Result};
use crate::platform::redis::tag_of;
use crate::waiting_room::left::Leaver;
use crate::waiting_room::model::LANES;

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
