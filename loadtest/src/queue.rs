//! A waiting room's calls as a visitor makes them, without cookies: the token is in hand.

use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::Failure;
use crate::http::{Client, Request};
use crate::shop;

pub const TOKEN: &str = "X-Queue-Token";
pub const PASS: &str = "X-Queue-Pass";
/// How long the first visitor of an empty room may have to wait for the turn.
const CALLED_WITHIN: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Open,
    Outside,
    Prequeue,
    Waiting,
    YourTurn,
    Late,
    Admitted,
    /// Was inside with this place, and is not any more.
    Over,
    Paused,
    Stopped,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Band {
    pub from_s: i64,
    pub to_s: i64,
}

/// What somebody in the queue is told, as far as a visitor acts on it.
#[derive(Clone, Debug, Deserialize)]
pub struct Told {
    pub state: State,
    pub poll_after_ms: u64,
    pub stale: bool,
    pub number: Option<u32>,
    pub rank: Option<u32>,
    pub eta: Option<Band>,
    pub claim_left_ms: Option<i64>,
    pub server_time: jiff::Timestamp,
    pub queue_token: Option<String>,
    pub pass: Option<String>,
}

/// The state alone, without reading the rest: it is the first field of the reply.
pub fn state_of(body: &[u8]) -> Option<&str> {
    let rest = body.strip_prefix(br#"{"state":""#)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&rest[..end]).ok()
}

/// Paths of one exhibition's queue.
pub struct Queue {
    pub page: String,
    join: String,
    status: String,
    claim: String,
    leave: String,
}

impl Queue {
    pub fn new(code: &str) -> Queue {
        let path = |verb: &str| format!("/api/exhibitions/{code}/queue/{verb}");
        let page = format!("/{code}/queue");
        Queue { page, join: path("join"), status: path("status"), claim: path("claim"), leave: path("leave") }
    }

    /// Without a header: a device that nobody has seen before.
    pub fn join(&self, site: &Client, headers: &[(&str, &str)]) -> Request {
        site.post(&self.join, headers, "")
    }

    pub fn status(&self, site: &Client, token: &str) -> Request {
        site.get(&self.status, &[(TOKEN, token)])
    }

    pub fn claim(&self, site: &Client, token: &str) -> Request {
        site.post(&self.claim, &[(TOKEN, token)], "")
    }

    /// Somebody goes in and stays: a room for one is full from then on, and everybody who comes waits. Their place.
    pub async fn occupy(&self, site: &Client) -> Result<String, Failure> {
        let ask = async |request: Request| {
            let read = shop::read::<Told>(site, &request).await;
            read.map(|(told, _)| told).map_err(|outcome| format!("the first in the room: {outcome:?}"))
        };
        let mut told = ask(self.join(site, &[])).await?;
        let token = told.queue_token.clone().ok_or_else(|| format!("the first in the room is {:?}", told.state))?;
        let deadline = Instant::now() + CALLED_WITHIN;
        while told.state != State::Admitted {
            if Instant::now() > deadline {
                return Err(format!("the first in an empty room is not let in: {:?}", told.state));
            }
            let turn = matches!(told.state, State::YourTurn | State::Late);
            told = ask(if turn { self.claim(site, &token) } else { self.status(site, &token) }).await?;
            if told.state != State::Admitted {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
        Ok(token)
    }

    /// Whoever occupied the room goes: a pass outlives its run, and the next run would find one inside for an hour.
    pub async fn vacate(&self, site: &Client, token: &str) -> Result<(), Failure> {
        let left = shop::read::<Told>(site, &site.post(&self.leave, &[(TOKEN, token)], "")).await;
        left.map(|_| ()).map_err(|outcome| format!("the one in the room does not leave: {outcome:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &str = r#"{"state":"your_turn","poll_after_ms":1200,"stale":false,"lane":"general","number":7,"rank":7,
        "stock":"plenty","claim_left_ms":44000,"extendable":true,"server_time":"2026-11-21T10:00:00.25Z"}"#;

    #[test]
    fn replies_are_read_whole_and_by_their_first_field() {
        let told: Told = serde_json::from_str(REPLY).unwrap();
        assert_eq!((told.state, told.rank, told.claim_left_ms), (State::YourTurn, Some(7), Some(44_000)));
        assert_eq!(told.server_time.as_millisecond() % 1_000, 250);
        assert!(told.eta.is_none() && told.queue_token.is_none());
        assert_eq!(state_of(REPLY.as_bytes()), Some("your_turn"));
        assert_eq!(state_of(br#"{"status":503}"#), None);
        assert_eq!(state_of(b""), None);
    }
}
