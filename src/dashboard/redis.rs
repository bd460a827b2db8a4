//! Redis of the live board: how every process is doing.

use fred::types::Value;

use super::Heard;
use crate::error::{Error, Result};
use crate::observability::pulse::Picture;
use crate::platform::redis::{Redis, Script};

/// Whoever was silent for so long is gone. [ms]
const KEEP_MS: i64 = 10_000;

static PULSE: Script = Script::new("platform.pulse", include_str!("../../lua/platform/pulse.lua"));

pub async fn tell(redis: &Redis, name: &str, picture: &Picture, now_ms: i64) -> Result<Heard> {
    let written = serde_json::to_string(picture).map_err(Error::bug)?;
    let args = vec![now_ms.into(), name.into(), written.into(), KEEP_MS.into()];
    let reply = redis.run(&PULSE, vec![redis.plain_key("pulse", "all")], args).await?;
    let text = |value: &Value| value.as_string().unwrap_or_default();
    let heard = reply[1..].chunks(2).filter_map(|pair| {
        let (name, told) = (text(pair.first()?), text(pair.get(1)?));
        // Of another release, say: then it is not understood, and not counted.
        let picture = serde_json::from_str(told.split_once('|')?.1).ok()?;
        Some((name, picture))
    });
    Ok(heard.collect())
}
