//! The waiting room of an exhibition, moved and set as its admin would: out of the way of runs that are not about it,
//! empty and of a known width for those that are, and given back in the end.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::demo::{self, Account, Demo};
use crate::http::{Client, Request};
use crate::login::log_in;
use crate::shop;
use crate::tally::Outcome;

/// One inside at once, who then stays for an hour: everybody else waits, and nothing moves.
pub const FULL: [(&str, i64); 5] =
    [("capacity", 1), ("slack", 0), ("rate_per_min", 60), ("idle_s", 3_600), ("hard_s", 7_200)];

const TIMEOUT: Duration = Duration::from_secs(10);
/// A leader that died is replaced after three seconds.
const SHOWN_WITHIN: Duration = Duration::from_secs(20);
const LOOK_GAP: Duration = Duration::from_millis(300);
/// From the first instance that shows something until all of them do: each reads four times a second.
const SETTLE: Duration = Duration::from_millis(1_500);
/// Moves from any phase to any other are fewer; more means that somebody else moves the room.
const MOVES_MAX: u32 = 8;

pub struct Room {
    site: Client,
    code: String,
    account: Account,
    bearer: String,
    room: Shown,
    /// As it was before this run.
    found_phase: String,
    found_config: Map<String, Value>,
    /// Settings that this run has changed.
    changed: Vec<&'static str>,
}

#[derive(Clone, Deserialize)]
struct Shown {
    phase: String,
    phase_since: Timestamp,
    revision: i64,
    run: u32,
    config: Map<String, Value>,
}

/// The part of the public state that a run looks at.
#[derive(Debug, Deserialize)]
pub struct Public {
    pub phase: String,
    pub run: u32,
    pub stale: bool,
    /// When the leader made the picture.
    pub as_of: Timestamp,
    pub capacity: i64,
    pub active: i64,
    /// People called per second at most, as lowered by the brake.
    pub rate_per_s: f64,
    /// 1.0: not braking.
    pub brake: f64,
    lanes: Vec<Lane>,
}

#[derive(Debug, Deserialize)]
struct Lane {
    waiting: u64,
}

impl Public {
    pub fn waiting(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.waiting).sum()
    }
}

/// The next phase on the way to a room that asks nobody for a pass; none: it is one.
fn toward_closed(phase: &str) -> Option<&'static str> {
    match phase {
        "idle" | "bypass" | "ended" => None,
        "stopped" | "drain" | "prequeue" => Some("ended"),
        _ => Some("stopped"),
    }
}

/// … and from there to one without anybody in it. From `ended` to `idle` a new run begins.
fn toward_idle(phase: &str) -> Option<&'static str> {
    match phase {
        "idle" => None,
        "bypass" | "ended" => Some("idle"),
        other => toward_closed(other),
    }
}

impl Room {
    pub async fn of(demo: &Demo, code: &str) -> Result<Room, Failure> {
        let site = Client::new(&demo::http(&demo.base_url)?, 2, TIMEOUT);
        let account =
            demo.accounts.super_admin.clone().ok_or("the demo file names no super_admin: ./dev up writes it")?;
        let bearer = format!("Bearer {}", log_in(&site, &account).await?);
        let room =
            Shown { phase: String::new(), phase_since: Timestamp::UNIX_EPOCH, revision: 0, run: 0, config: Map::new() };
        let mut room = Room {
            site,
            code: code.to_owned(),
            account,
            bearer,
            room,
            found_phase: String::new(),
            found_config: Map::new(),
            changed: Vec::new(),
        };
        room.look().await?;
        (room.found_phase, room.found_config) = (room.room.phase.clone(), room.room.config.clone());
        Ok(room)
    }

    /// Everybody may buy without a pass.
    pub async fn close(&mut self) -> Result<(), Failure> {
        self.go(toward_closed).await?;
        self.shown(|_| true).await
    }

    /// A new run of the room, with nobody in it and these settings, that lets people in.
    pub async fn open_anew(&mut self, settings: &[(&'static str, i64)]) -> Result<(), Failure> {
        self.begin_anew(settings, "open").await
    }

    /// The same, but asleep until the safety net wakes it.
    pub async fn arm_anew(&mut self, settings: &[(&'static str, i64)]) -> Result<(), Failure> {
        self.begin_anew(settings, "bypass").await
    }

    async fn begin_anew(&mut self, settings: &[(&'static str, i64)], to: &'static str) -> Result<(), Failure> {
        self.go(toward_idle).await?;
        let config = settings.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        self.changed.extend(settings.iter().map(|(name, _)| *name));
        self.configure(config).await?;
        self.go(|phase| (phase != to).then_some(to)).await?;
        let capacity = self.room.config.get("capacity").and_then(Value::as_i64);
        self.shown(|public| Some(public.capacity) == capacity).await
    }

    /// As it was found, but for those who waited in it: an active room is open again, with a new run.
    pub async fn give_back(mut self) -> Result<(), Failure> {
        let moved = self.room.phase != self.found_phase;
        if !moved && self.changed.is_empty() {
            return Ok(());
        }
        self.go(toward_idle).await?;
        let settings = std::mem::take(&mut self.changed);
        let found = |name: &&str| Some(((*name).to_owned(), self.found_config.get(*name)?.clone()));
        let config: Map<String, Value> = settings.iter().filter_map(found).collect();
        self.configure(config).await?;
        match self.found_phase.as_str() {
            "idle" | "ended" => {}
            "bypass" => self.go(|phase| (phase != "bypass").then_some("bypass")).await?,
            _ => self.go(|phase| (phase != "open").then_some("open")).await?,
        }
        self.shown(|_| true).await
    }

    /// One more with every change of settings or phase, whoever makes it.
    pub fn revision(&self) -> i64 {
        self.room.revision
    }

    /// When the room came to this phase by itself; none: it has not by then.
    pub async fn becomes(&mut self, phase: &str, by: Instant) -> Result<Option<Timestamp>, Failure> {
        loop {
            self.look().await?;
            if self.room.phase == phase {
                return Ok(Some(self.room.phase_since));
            }
            if Instant::now() > by {
                return Ok(None);
            }
            tokio::time::sleep(LOOK_GAP).await;
        }
    }

    pub async fn public(&self) -> Result<Public, Failure> {
        // A question with arguments is not answered from nginx's memory of a second ago.
        let request = self.site.get(&format!("/api/exhibitions/{}/queue/state?fresh=1", self.code), &[]);
        let read = shop::read(&self.site, &request).await;
        read.map(|(public, _)| public).map_err(|outcome| format!("the state of the room: {outcome:?}"))
    }

    /// Waits until the instances answer by what was decided.
    async fn shown(&self, and: impl Fn(&Public) -> bool) -> Result<(), Failure> {
        let deadline = Instant::now() + SHOWN_WITHIN;
        loop {
            let seen = self.public().await;
            if let Ok(public) = &seen
                && public.phase == self.room.phase
                && (public.phase == "idle" || (public.run == self.room.run && !public.stale && and(public)))
            {
                tokio::time::sleep(SETTLE).await;
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("the room of {} is {} and shows {seen:?}", self.code, self.room.phase));
            }
            tokio::time::sleep(LOOK_GAP).await;
        }
    }

    /// Move by move, as `next` says, until it says that this is the end.
    async fn go(&mut self, next: impl Fn(&str) -> Option<&'static str>) -> Result<(), Failure> {
        let path = format!("/api/admin/exhibitions/{}/room/phase", self.code);
        for _ in 0..MOVES_MAX {
            let Some(to) = next(&self.room.phase) else { return Ok(()) };
            let mut ask = json!({"to": to});
            if to == "stopped" {
                ask["reason_ko"] = "부하 시험을 준비하고 있습니다.".into();
                ask["reason_en"] = "A load test is being prepared.".into();
            }
            let ask = ask.to_string();
            self.change(|site, auth| site.post(&path, auth, &ask)).await?;
        }
        Err(format!("the room of {} is moved by somebody else", self.code))
    }

    async fn configure(&mut self, config: Map<String, Value>) -> Result<(), Failure> {
        if config.is_empty() {
            return Ok(());
        }
        let path = self.path();
        for _ in 0..MOVES_MAX {
            let ask = json!({"config": config}).to_string();
            if self.change(|site, auth| site.put(&path, auth, &ask)).await? {
                return Ok(());
            }
        }
        Err(format!("the room of {} is set by somebody else", self.code))
    }

    fn path(&self) -> String {
        format!("/api/admin/exhibitions/{}/room", self.code)
    }

    async fn look(&mut self) -> Result<(), Failure> {
        let path = self.path();
        self.change(|site, auth| site.get(&path, auth)).await.map(drop)
    }

    /// Whether the call was carried out; if somebody was faster, the room as it is now is known afterwards. A token that
    /// has ended is renewed: a run may last longer than it does.
    async fn change(&mut self, call: impl Fn(&Client, &[(&str, &str)]) -> Request) -> Result<bool, Failure> {
        let mut renewed = false;
        loop {
            let seen = format!("\"{}\"", self.room.revision);
            let request = call(&self.site, &[("Authorization", self.bearer.as_str()), ("If-Match", &seen)]);
            let refused = match shop::read(&self.site, &request).await {
                Ok((room, _)) => {
                    self.room = room;
                    return Ok(true);
                }
                Err(outcome) => outcome,
            };
            match &refused {
                Outcome::Refused(why) if why.starts_with("401") && !renewed => {
                    self.bearer = format!("Bearer {}", log_in(&self.site, &self.account).await?);
                    renewed = true;
                }
                Outcome::Refused(why) if why == "412 request.changed_meanwhile" => {
                    Box::pin(self.look()).await?;
                    return Ok(false);
                }
                other => return Err(format!("the room of {}: {other:?}", self.code)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(from: &'static str, next: impl Fn(&str) -> Option<&'static str>) -> Vec<&'static str> {
        std::iter::successors(Some(from), |phase| next(phase)).skip(1).take(9).collect()
    }

    /// As in Admit's table of legal moves.
    #[test]
    fn every_phase_leads_to_a_closed_and_to_an_empty_room() {
        assert_eq!(way("open", toward_closed), ["stopped", "ended"]);
        assert_eq!(way("frozen", toward_closed), ["stopped", "ended"]);
        assert_eq!(way("paused", toward_closed), ["stopped", "ended"]);
        for phase in ["prequeue", "drain", "stopped"] {
            assert_eq!(way(phase, toward_closed), ["ended"], "{phase}");
            assert_eq!(way(phase, toward_idle), ["ended", "idle"], "{phase}");
        }
        for phase in ["idle", "bypass", "ended"] {
            assert!(way(phase, toward_closed).is_empty());
        }
        assert_eq!(way("open", toward_idle), ["stopped", "ended", "idle"]);
        assert_eq!(way("bypass", toward_idle), ["idle"]);
        assert!(way("idle", toward_idle).is_empty());
    }
}
