//! Where to aim: `.run/demo.json`, and the rule that nothing but loopback is a target.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use serde::Deserialize;

use crate::Failure;

#[derive(Deserialize)]
pub struct Demo {
    pub base_url: String,
    #[serde(default)]
    pub metrics_urls: Vec<String>,
    pub toss_simulator_url: String,
    pub redis_url: String,
    pub postgres_url: String,
    #[serde(default)]
    pub exhibitions: Vec<String>,
    pub accounts: Accounts,
}

#[derive(Deserialize)]
pub struct Accounts {
    pub staff: Account,
    /// For runs that move a waiting room.
    pub super_admin: Option<Account>,
}

#[derive(Clone, Deserialize)]
pub struct Account {
    pub username: String,
    pub password: String,
}

/// A loopback address with the name it goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub addr: SocketAddr,
    pub authority: String,
    pub path: String,
}

impl Demo {
    pub fn read(path: &Path) -> Result<Demo, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {} ({error}): is the demo up? ./dev up -d", path.display()))?;
        let demo: Demo = serde_json::from_str(&text)
            .map_err(|error| format!("{} is not the demo file expected: {error}", path.display()))?;
        demo.refuse_strangers()?;
        Ok(demo)
    }

    /// Checked for every address at once, before any of them is contacted.
    fn refuse_strangers(&self) -> Result<(), Failure> {
        http(&self.base_url)?;
        http(&self.toss_simulator_url)?;
        for url in &self.metrics_urls {
            http(url)?;
        }
        redis(&self.redis_url)?;
        postgres(&self.postgres_url)?;
        Ok(())
    }
}

/// Takes `http://host[:port][/path]`.
pub fn http(url: &str) -> Result<Target, Failure> {
    let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url}: only http:// on loopback is a target"))?;
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let addr = loopback(authority, 80)?;
    Ok(Target { addr, authority: authority.to_owned(), path: path.trim_end_matches('/').to_owned() })
}

pub struct RedisTarget {
    pub addr: SocketAddr,
    pub username: Option<String>,
    pub password: Option<String>,
    pub db: u32,
}

/// Takes `redis://[user][:password@]host[:port][/db]`. The address is named in errors, never the password.
pub fn redis(url: &str) -> Result<RedisTarget, Failure> {
    let rest = url.strip_prefix("redis://").ok_or("redis_url: only redis:// on loopback is a target")?;
    let (login, rest) = rest.rsplit_once('@').map_or(("", rest), |(login, rest)| (login, rest));
    let (authority, db) = rest.split_once('/').unwrap_or((rest, ""));
    let addr = loopback(authority, 6379)?;
    let db = if db.is_empty() { 0 } else { db.parse().map_err(|_| "redis_url: the database is not a number")? };
    let (username, password) = login.split_once(':').unwrap_or(("", login));
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok(RedisTarget { addr, username: some(username), password: some(password), db })
}

pub fn postgres(url: &str) -> Result<tokio_postgres::Config, Failure> {
    let config: tokio_postgres::Config =
        url.parse().map_err(|_| "postgres_url is not a Postgres connection string".to_owned())?;
    for host in config.get_hosts() {
        if let tokio_postgres::config::Host::Tcp(name) = host {
            loopback(&format!("{name}:5432"), 5432)?;
        }
    }
    match config.get_hostaddrs().iter().find(|addr| !addr.is_loopback()) {
        Some(addr) => Err(format!("{addr} is not loopback: refused")),
        None => Ok(config),
    }
}

/// Every address the name stands for must be loopback, so that a name cannot lead elsewhere later.
fn loopback(authority: &str, port: u16) -> Result<SocketAddr, Failure> {
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let full = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
    let addrs: Vec<SocketAddr> = full.to_socket_addrs().map_err(|error| format!("{authority}: {error}"))?.collect();
    if let Some(stranger) = addrs.iter().find(|addr| !addr.ip().is_loopback()) {
        return Err(format!("{authority} is {}, not loopback: refused", stranger.ip()));
    }
    let v4 = addrs.iter().find(|addr| addr.is_ipv4());
    v4.or(addrs.first()).copied().ok_or_else(|| format!("{authority} has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_taken() {
        let target = http("http://localhost:8080/metrics").unwrap();
        assert!(target.addr.ip().is_loopback());
        assert_eq!((target.addr.port(), target.path.as_str()), (8080, "/metrics"));
        assert_eq!(http("http://127.0.0.3").unwrap().addr.port(), 80);
        assert!(http("http://[::1]:9").unwrap().addr.is_ipv6());
        let redis = redis("redis://:secret@127.0.0.1:7000/2").unwrap();
        assert_eq!((redis.addr.port(), redis.db, redis.password.as_deref()), (7000, 2, Some("secret")));
        assert!(postgres("postgres://u:p@127.0.0.1:5/db").is_ok());
    }

    #[test]
    fn everything_else_is_refused() {
        for url in
            ["http://192.0.2.1", "https://127.0.0.1", "http://10.0.0.1:8080", "http://0.0.0.0:80", "ftp://127.0.0.1"]
        {
            assert!(http(url).is_err(), "{url}");
        }
        assert!(redis("redis://192.0.2.1:6379").is_err());
        assert!(postgres("postgres://u:p@192.0.2.7/db").is_err());
        assert!(postgres("host=localhost hostaddr=192.0.2.7").is_err());
    }
}
