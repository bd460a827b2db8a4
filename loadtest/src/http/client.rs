//! A pool of keep-alive connections to one loopback address.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::conn::Conn;
use super::wire::{self, Malformed};
use crate::demo::Target;
use crate::tally::Times;

/// How a call ended without a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Connect,
    /// The connection ended before the first byte of the reply.
    Closed,
    /// It ended inside the reply, or the socket failed.
    Broken,
    Malformed(&'static str),
    Timeout,
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Fault {
        Fault::Malformed(malformed.0)
    }
}

pub struct Request {
    bytes: Vec<u8>,
    /// Safe to send twice: a read, or keyed.
    repeatable: bool,
}

/// A reply with its head, for those who need more than status and body.
pub struct Whole<'a> {
    pub status: u16,
    head: &'a [u8],
    pub body: &'a [u8],
}

impl<'a> Whole<'a> {
    pub fn fields(&self, name: &'a str) -> impl Iterator<Item = &'a str> {
        wire::fields(self.head, name)
    }

    /// As seconds; a date is not understood, since nobody here sends one.
    pub fn retry_after(&self) -> Option<Duration> {
        self.fields("Retry-After").next()?.parse().ok().map(Duration::from_secs)
    }
}

pub struct Client {
    addr: SocketAddr,
    authority: String,
    timeout: Duration,
    places: Semaphore,
    /// Last in, first out: the fewest connections stay warm.
    idle: Mutex<Vec<Conn>>,
    waits: Mutex<Times>,
    opened: AtomicU64,
    resent: AtomicU64,
}

impl Client {
    pub fn new(target: &Target, connections_max: usize, timeout: Duration) -> Client {
        Client {
            addr: target.addr,
            authority: target.authority.clone(),
            timeout,
            places: Semaphore::new(connections_max),
            idle: Mutex::new(Vec::new()),
            waits: Mutex::new(Times::new()),
            opened: AtomicU64::new(0),
            resent: AtomicU64::new(0),
        }
    }

    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Request {
        self.request("GET", path, headers, "")
    }

    pub fn put(&self, path: &str, headers: &[(&str, &str)], json: &str) -> Request {
        self.request("PUT", path, headers, json)
    }

    pub fn post(&self, path: &str, headers: &[(&str, &str)], json: &str) -> Request {
        self.request("POST", path, headers, json)
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], json: &str) -> Request {
        let mut text = String::with_capacity(256 + json.len());
        let mut repeatable = method == "GET";
        let _ = write!(text, "{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.authority);
        for (name, value) in headers {
            repeatable |= *name == "Idempotency-Key";
            let _ = write!(text, "{name}: {value}\r\n");
        }
        if method != "GET" {
            let _ = write!(text, "Content-Type: application/json\r\nContent-Length: {}\r\n", json.len());
        }
        text.push_str("\r\n");
        text.push_str(json);
        Request { bytes: text.into_bytes(), repeatable }
    }

    /// Sends, and hands status and body to `read` in place. The wait for a free connection is inside
    /// the timeout. Nothing is repeated except what is safe to, once, when a kept connection turns out
    /// to have been closed under the request, as a browser does; `resent` shows how often.
    pub async fn call<T>(&self, request: &Request, read: impl FnOnce(u16, &[u8]) -> T) -> Result<T, Fault> {
        self.call_whole(request, |reply| read(reply.status, reply.body)).await
    }

    /// The same, with the head of the reply.
    pub async fn call_whole<T>(&self, request: &Request, read: impl FnOnce(&Whole<'_>) -> T) -> Result<T, Fault> {
        let deadline = tokio::time::Instant::now() + self.timeout;
        tokio::time::timeout_at(deadline, self.send(request, read)).await.unwrap_or(Err(Fault::Timeout))
    }

    async fn send<T>(&self, request: &Request, read: impl FnOnce(&Whole<'_>) -> T) -> Result<T, Fault> {
        let asked = Instant::now();
        let _place = self.places.acquire().await.map_err(|_| Fault::Connect)?;
        if let Ok(mut waits) = self.waits.lock() {
            waits.record(asked.elapsed());
        }
        let (mut conn, kept) = match self.kept() {
            Some(conn) => (conn, true),
            None => (self.open().await?, false),
        };
        let mut exchanged = conn.exchange(&request.bytes).await;
        if exchanged == Err(Fault::Closed) && kept && request.repeatable {
            self.resent.fetch_add(1, Ordering::Relaxed);
            conn = self.open().await?;
            exchanged = conn.exchange(&request.bytes).await;
        }
        let reply = exchanged?;
        let answer = read(&Whole { status: reply.status, head: conn.head(&reply), body: conn.body(&reply) });
        if !reply.close
            && let Ok(mut idle) = self.idle.lock()
        {
            idle.push(conn);
        }
        Ok(answer)
    }

    /// An idle connection the server has not closed meanwhile.
    fn kept(&self) -> Option<Conn> {
        let mut idle = self.idle.lock().ok()?;
        while let Some(conn) = idle.pop() {
            if conn.is_quiet() {
                return Some(conn);
            }
        }
        None
    }

    async fn open(&self) -> Result<Conn, Fault> {
        let conn = Conn::open(self.addr).await?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(conn)
    }

    /// Opens connections beforehand, so that a race is not a race to connect.
    pub async fn prime(&self, count: usize) -> Result<(), Fault> {
        for _ in 0..count {
            let conn = self.open().await?;
            if let Ok(mut idle) = self.idle.lock() {
                idle.push(conn);
            }
        }
        Ok(())
    }

    /// Takes the waits for a free connection recorded since the last call.
    pub fn take_waits(&self) -> Times {
        self.waits.lock().map(|mut waits| std::mem::take(&mut *waits)).unwrap_or_default()
    }

    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    pub fn resent(&self) -> u64 {
        self.resent.load(Ordering::Relaxed)
    }
}
