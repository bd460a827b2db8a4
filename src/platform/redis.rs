//! Redis: a small pool that fails fast, scripts by hash, and the rate limit. fred stays inside this file.
//!
//! A command is attempted once. An error means the outcome is unknown: the command may have run, so every script
//! that changes something takes a call id and can be repeated.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use fred::clients::Pool;
use fred::interfaces::{ClientLike, EventInterface, KeysInterface, LuaInterface};
use fred::types::config::{
    Config, ConnectionConfig, PerformanceConfig, ReconnectPolicy, TcpConfig, UnresponsiveConfig,
};
use fred::types::{ClusterHash, CustomCommand, Expiration, Value};
use fred::util::redis_keyslot;

use crate::error::{Error, Result};

/// Interval < unresponsive < command timeout, or a stalled peer is noticed only by each call's own timeout.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(1_000);
const UNRESPONSIVE: Duration = Duration::from_millis(600);
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// A dead server must not collect calls without end.
const COMMANDS_WAITING_MAX: usize = 20_000;

/// First words of refusals that pass: a replica, no memory, a disk that is full, a fail-over under way.
const AWAY: [&str; 10] = [
    "OOM",
    "READONLY",
    "MISCONF",
    "NOREPLICAS",
    "MASTERDOWN",
    "LOADING",
    "BUSY",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "UNKILLABLE",
];

/// A Lua script from `lua/`, with its contract in its own header.
pub struct Script {
    pub name: &'static str,
    pub source: &'static str,
    hash: OnceLock<String>,
}

impl Script {
    pub const fn new(name: &'static str, source: &'static str) -> Script {
        Script { name, source, hash: OnceLock::new() }
    }

    fn hash(&self) -> &str {
        self.hash.get_or_init(|| {
            let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, self.source.as_bytes());
            super::secrets::hex(hash.as_ref())
        })
    }
}

#[derive(Clone)]
pub struct Redis {
    pool: Pool,
    prefix: String,
    connections: Arc<AtomicU64>,
}

impl Redis {
    /// Connects in the background: a process starts, and says so, while Redis is away.
    pub fn connect(url: &str, prefix: &str) -> Result<Redis> {
        let config = Config::from_url(url).map_err(|e| Error::bug(format!("REDIS_URL: {e}")))?;
        let performance =
            PerformanceConfig { default_command_timeout: COMMAND_TIMEOUT, ..PerformanceConfig::default() };
        let connection = ConnectionConfig {
            // Two attempts would run a script twice behind one answer.
            max_command_attempts: 1,
            max_command_buffer_len: COMMANDS_WAITING_MAX,
            connection_timeout: Duration::from_secs(2),
            internal_command_timeout: Duration::from_secs(2),
            unresponsive: UnresponsiveConfig { max_timeout: Some(UNRESPONSIVE), interval: CHECK_INTERVAL },
            tcp: TcpConfig { nodelay: Some(true), user_timeout: Some(Duration::from_secs(2)), ..TcpConfig::default() },
            ..ConnectionConfig::default()
        };
        let reconnect = ReconnectPolicy::new_exponential(0, 50, 1_000, 2);
        let pool = Pool::new(config, Some(performance), Some(connection), Some(reconnect), 2)?;
        let connections = Arc::new(AtomicU64::new(0));
        for client in pool.clients() {
            let connections = connections.clone();
            client.on_reconnect(move |_| {
                connections.fetch_add(1, Ordering::AcqRel);
                std::future::ready(Ok(()))
            });
        }
        pool.connect();
        Ok(Redis { pool, prefix: prefix.to_owned(), connections })
    }

    /// `{prefix}:{code}:{rest}` with the exhibition's code as the hash tag.
    pub fn key(&self, code: &str, rest: &str) -> String {
        format!("{}:{{{code}}}:{rest}", self.prefix)
    }

    /// A key that belongs to no exhibition.
    pub fn plain_key(&self, kind: &str, rest: &str) -> String {
        format!("{}:{kind}:{rest}", self.prefix)
    }

    pub async fn run(&self, script: &Script, keys: Vec<String>, args: Vec<Value>) -> Result<Vec<Value>> {
        crate::observability::redis_call();
        let client = self.pool.next();
        let reply: Result<Value, fred::error::Error> = client.evalsha(script.hash(), keys.clone(), args.clone()).await;
        let reply = match reply {
            // Nothing has run: the server does not know the script yet, or any more.
            Err(error) if error.details().starts_with("NOSCRIPT") => client.eval(script.source, keys, args).await,
            other => other,
        };
        match reply {
            Ok(Value::Array(values)) => Ok(values),
            Ok(other) => Err(Error::bug(format!("{}: expected an array, got {other:?}", script.name))),
            Err(error) => {
                let source = format!("{}: {error}", script.name);
                // The server refuses writes for now; inside a script its words get the script's name behind them.
                let word = error.details().split([' ', ':']).next().unwrap_or_default();
                if AWAY.contains(&word) {
                    return Err(Error::unavailable("server.redis_away", source));
                }
                if error.details().contains("script:") || error.details().starts_with("ERR") {
                    return Err(Error::bug(source));
                }
                Err(Error::unavailable("server.redis_away", source))
            }
        }
    }

    pub async fn get_bytes(&self, key: &str) -> Result<Option<Bytes>> {
        crate::observability::redis_call();
        Ok(self.pool.next().get(key).await?)
    }

    /// In the order of the keys, which share one hash tag.
    pub async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        crate::observability::redis_call();
        Ok(self.pool.next().mget(keys).await?)
    }

    pub async fn set_bytes(&self, key: &str, value: Vec<u8>, keep_s: i64) -> Result<()> {
        crate::observability::redis_call();
        let value = Value::Bytes(value.into());
        Ok(self.pool.next().set::<(), _, _>(key, value, Some(Expiration::EX(keep_s)), None, false).await?)
    }

    /// Whoever takes it is the only one.
    pub async fn take_bytes(&self, key: &str) -> Result<Option<Bytes>> {
        crate::observability::redis_call();
        Ok(self.pool.next().getdel(key).await?)
    }

    /// Keys that share one hash tag; those that are not there do not matter.
    pub async fn unlink(&self, keys: Vec<String>) -> Result<()> {
        crate::observability::redis_call();
        Ok(self.pool.next().unlink::<(), _>(keys).await?)
    }

    /// How often any connection was made: when it rises, the server may be another, or may have lost something.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Acquire)
    }

    pub fn is_cluster(&self) -> bool {
        self.pool.next().is_clustered()
    }

    /// Of the server that has an exhibition's keys, which in a cluster is one of several: changes whenever it restarts or another
    /// takes its place.
    pub async fn run_id(&self, code: &str) -> Result<String> {
        let slot = ClusterHash::Custom(redis_keyslot(self.key(code, "").as_bytes()));
        let info: String =
            self.pool.next().custom(CustomCommand::new_static("INFO", slot, false), vec!["server"]).await?;
        info.lines()
            .find_map(|line| line.strip_prefix("run_id:"))
            .map(|id| id.trim().to_owned())
            .ok_or_else(|| Error::bug("INFO has no run_id"))
    }

    /// Redis TIME in milliseconds.
    pub async fn time_ms(&self) -> Result<i64> {
        let (seconds, micros): (i64, i64) = self
            .pool
            .next()
            .custom(CustomCommand::new_static("TIME", ClusterHash::Random, false), Vec::<Value>::new())
            .await?;
        Ok(seconds * 1000 + micros / 1000)
    }

    pub async fn quit(&self) {
        let _ = self.pool.quit().await;
    }
}

/// Reads a script's reply: the tag, then integers.
pub fn tag_of(script: &Script, reply: &[Value]) -> Result<String> {
    reply
        .first()
        .and_then(Value::as_string)
        .ok_or_else(|| Error::bug(format!("{}: reply without a tag: {reply:?}", script.name)))
}

pub fn int_of(script: &Script, reply: &[Value], at: usize) -> Result<i64> {
    reply
        .get(at)
        .and_then(Value::as_i64)
        .ok_or_else(|| Error::bug(format!("{}: reply has no integer at {at}: {reply:?}", script.name)))
}

pub fn text_of(script: &Script, reply: &[Value], at: usize) -> Result<String> {
    reply
        .get(at)
        .and_then(Value::as_string)
        .ok_or_else(|| Error::bug(format!("{}: reply has no text at {at}: {reply:?}", script.name)))
}

static RATE_LIMIT: Script = Script::new("platform.rate_limit", include_str!("../../lua/platform/rate_limit.lua"));

impl Redis {
    /// Counts one event of `who` against `per_minute`; the time to wait when it is too many. Fails open: a limit is
    /// a courtesy to others, and while Redis is away nothing can be taken anyway.
    pub async fn rate_limit(&self, what: &str, who: &str, per_minute: u32, now_ms: i64) -> Option<Duration> {
        let key = self.plain_key("rate", &format!("{what}:{who}"));
        let args = vec![
            Value::from(now_ms),
            Value::from(60_000 / i64::from(per_minute.max(1))),
            Value::from(i64::from(per_minute)),
        ];
        let reply = match self.run(&RATE_LIMIT, vec![key], args).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::debug!(%error, what, "rate limit not judged");
                return None;
            }
        };
        match tag_of(&RATE_LIMIT, &reply).as_deref() {
            Ok("wait") => int_of(&RATE_LIMIT, &reply, 1).ok().map(|ms| Duration::from_millis(ms.max(1).unsigned_abs())),
            _ => None,
        }
    }
}

/// Every script, for the test that checks headers and loads them.
pub fn scripts() -> [&'static Script; 1] {
    [&RATE_LIMIT]
}
