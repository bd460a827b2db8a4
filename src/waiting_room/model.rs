//! Types of a room: lanes, phases and their legal moves, settings with their bounds, and the picture that the leader
//! publishes. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Lanes of a room: each has numbers, ranks and a serving rank of its own.
pub const LANES: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    General = 0,
    /// Came by a signed link of the organiser's.
    Invited = 1,
}

impl Lane {
    pub const ALL: [Lane; LANES] = [Lane::General, Lane::Invited];

    pub fn parse(digit: u8) -> Option<Lane> {
        Lane::ALL.get(usize::from(digit)).copied()
    }
}

/// Names the session of one admitted rank: HMAC(exhibition, run, lane, rank).
pub type Sid = [u8; 16];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No room: the sale is open to everybody.
    #[default]
    Idle,
    /// Armed as a safety net: no room until too many come at once.
    Bypass,
    /// People gather before the opening; nobody is served.
    Prequeue,
    /// The cohort is closed and its order is being drawn. Seconds.
    Frozen,
    Open,
    /// Nobody more is called; whoever is inside goes on.
    Paused,
    /// Nobody more joins; whoever waits is served.
    Drain,
    /// Emergency: nobody is called and nobody may claim.
    Stopped,
    /// Over: the sale is open to everybody.
    Ended,
}

use Phase::{Bypass, Drain, Ended, Frozen, Idle, Open, Paused, Prequeue, Stopped};

/// Every legal move. From `Ended` to `Idle` a new run begins: numbers start again and old tokens are void.
pub const MOVES: &[(Phase, Phase)] = &[
    (Idle, Bypass),
    (Idle, Prequeue),
    (Idle, Open),
    (Bypass, Idle),
    (Bypass, Prequeue),
    (Bypass, Open),
    (Prequeue, Frozen),
    (Prequeue, Open),
    (Prequeue, Stopped),
    (Prequeue, Ended),
    (Frozen, Open),
    (Frozen, Stopped),
    (Open, Paused),
    (Open, Drain),
    (Open, Stopped),
    (Open, Bypass),
    (Paused, Open),
    (Paused, Drain),
    (Paused, Stopped),
    (Stopped, Open),
    (Stopped, Paused),
    (Stopped, Drain),
    (Stopped, Ended),
    (Drain, Open),
    (Drain, Paused),
    (Drain, Stopped),
    (Drain, Ended),
    (Ended, Idle),
];

impl Phase {
    pub const ALL: [Phase; 9] = [Idle, Bypass, Prequeue, Frozen, Open, Paused, Drain, Stopped, Ended];

    pub fn as_str(self) -> &'static str {
        match self {
            Idle => "idle",
            Bypass => "bypass",
            Prequeue => "prequeue",
            Frozen => "frozen",
            Open => "open",
            Paused => "paused",
            Drain => "drain",
            Stopped => "stopped",
            Ended => "ended",
        }
    }

    pub fn parse(text: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.as_str() == text)
    }

    pub fn may_become(self, to: Phase) -> bool {
        MOVES.contains(&(self, to))
    }

    /// Whether an order needs a pass. Judged in `lua/stock/take.lua` as well, which a test compares with this.
    pub fn needs_pass(self) -> bool {
        matches!(self, Prequeue | Frozen | Open | Paused | Drain | Stopped)
    }

    pub fn accepts_joins(self) -> bool {
        matches!(self, Prequeue | Frozen | Open | Paused)
    }

    pub fn admits(self) -> bool {
        matches!(self, Open | Drain)
    }

    pub fn allows_claims(self) -> bool {
        matches!(self, Open | Paused | Drain)
    }
}

/// Where the public randomness of a draw comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BeaconKind {
    /// Made on this server: for development and rehearsals; proves nothing to anybody.
    #[default]
    Local,
    /// A round of the drand network that lies in the future when it is named.
    Drand,
    /// Entered by two admins who agree, e.g. from a public lottery.
    Manual,
}

impl BeaconKind {
    pub const ALL: [BeaconKind; 3] = [BeaconKind::Local, BeaconKind::Drand, BeaconKind::Manual];

    pub fn as_str(self) -> &'static str {
        match self {
            BeaconKind::Local => "local",
            BeaconKind::Drand => "drand",
            BeaconKind::Manual => "manual",
        }
    }

    pub fn parse(text: &str) -> Option<BeaconKind> {
        BeaconKind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What admins set. Bounds are in `Config::BOUNDS`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Config {
    /// Shoppers inside at once.
    pub capacity: i32,
    /// Claims beyond the capacity that are still let in, since some of those called do not come.
    pub slack: i32,
    /// People called per minute at most.
    pub rate_per_min: i32,
    /// Time to claim after being called. Doubles once when the visitor asks. [s]
    pub claim_window_s: i32,
    /// A pass without activity ends after this. [s]
    pub idle_s: i32,
    /// A pass ends after this whatever happens, unless an order is being paid. [s]
    pub hard_s: i32,
    /// Share of admissions for those who come back after their time to claim. [%]
    pub late_share_pct: i32,
    /// Share of admissions for the invited. [%]
    pub invited_share_pct: i32,
    /// People called per place that is left; more than 100, since not everybody buys. [%]
    pub stock_factor_pct: i32,
    /// Whether those present at the opening are put in a drawn order.
    pub draw: bool,
    pub beacon: BeaconKind,
    /// When gathering begins by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub prequeue_at: Option<Timestamp>,
    /// When the room opens by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub opens_at: Option<Timestamp>,
    /// How long before the opening the cohort is closed. [s]
    pub freeze_lead_s: i32,
    /// Safety net: arrivals per second that switch the room on; 0: never.
    pub safety_on_per_s: i32,
    /// … and how long it must have been empty to be switched off again. [s]
    pub safety_off_after_s: i32,
    /// The rate is lowered while orders take longer than this at the 99th percentile. [ms]
    pub brake_p99_ms: i32,
    /// … or while more than this share of them fails. [%]
    pub brake_error_pct: i32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            capacity: 300,
            slack: 15,
            rate_per_min: 1_200,
            claim_window_s: 120,
            idle_s: 300,
            hard_s: 720,
            late_share_pct: 20,
            invited_share_pct: 0,
            stock_factor_pct: 120,
            draw: true,
            beacon: BeaconKind::Local,
            prequeue_at: None,
            opens_at: None,
            freeze_lead_s: 60,
            safety_on_per_s: 0,
            safety_off_after_s: 300,
            brake_p99_ms: 1_000,
            brake_error_pct: 5,
        }
    }
}

impl Config {
    /// Field, value, least, most: the whole table of what is allowed.
    pub fn bounds(&self) -> [(&'static str, i32, i32, i32); 15] {
        [
            ("capacity", self.capacity, 1, 1_000_000),
            ("slack", self.slack, 0, 100_000),
            ("rate_per_min", self.rate_per_min, 1, 6_000_000),
            ("claim_window_s", self.claim_window_s, 45, 3_600),
            ("idle_s", self.idle_s, 60, 3_600),
            ("hard_s", self.hard_s, 120, 14_400),
            ("late_share_pct", self.late_share_pct, 5, 50),
            ("invited_share_pct", self.invited_share_pct, 0, 90),
            ("stock_factor_pct", self.stock_factor_pct, 10, 1_000),
            ("freeze_lead_s", self.freeze_lead_s, 20, 3_600),
            ("safety_on_per_s", self.safety_on_per_s, 0, 1_000_000),
            ("safety_off_after_s", self.safety_off_after_s, 10, 86_400),
            ("brake_p99_ms", self.brake_p99_ms, 50, 60_000),
            ("brake_error_pct", self.brake_error_pct, 1, 100),
            ("hard_s over idle_s", self.hard_s.saturating_sub(self.idle_s), 0, 14_400),
        ]
    }

    /// Fields that are out of their bounds.
    pub fn out_of_bounds(&self) -> Vec<&'static str> {
        let outside = |(_, value, least, most): &(_, i32, i32, i32)| !(*least..=*most).contains(value);
        self.bounds().iter().filter(|bound| outside(bound)).map(|(field, ..)| *field).collect()
    }
}

/// What is to be rehearsed: a crowd of simulated visitors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rehearsal {
    pub people: i32,
    /// They arrive evenly within this time. [s]
    pub arrive_s: i32,
    /// Share of those who lose patience, or do not come when they are called. [%]
    pub abandon_pct: i32,
    /// Whoever is let in stays about so long, from half of it to one and a half. [s]
    pub stay_s: i32,
}

impl Rehearsal {
    /// Field, value, least, most.
    pub fn bounds(&self) -> [(&'static str, i32, i32, i32); 4] {
        [
            ("people", self.people, 1, 100_000),
            ("arrive_s", self.arrive_s, 10, 3_600),
            ("abandon_pct", self.abandon_pct, 0, 90),
            ("stay_s", self.stay_s, 10, 600),
        ]
    }
}

/// Where the simulated visitors of a rehearsal are; but for `joined` each of them counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Figures {
    /// Got a number; all that follow together.
    pub joined: u32,
    pub waiting: u32,
    /// Called, and not inside yet; the late as well.
    pub called: u32,
    pub inside: u32,
    /// Were inside and have gone.
    pub done: u32,
    pub abandoned: u32,
}

/// What the leader publishes four times a second and every instance answers polls from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snap {
    pub at_ms: i64,
    pub phase: Phase,
    pub revision: i64,
    pub run: u32,
    pub epoch: u32,
    /// This run is a rehearsal: most of those who wait are simulated.
    pub rehearsal: bool,
    /// Why it is paused or stopped, in the admin's words.
    pub reason_ko: String,
    pub reason_en: String,
    pub opens_at_ms: Option<i64>,
    pub freeze_at_ms: Option<i64>,
    pub draw: DrawShown,
    pub lanes: [LaneSnap; LANES],
    pub capacity: i32,
    pub active: i32,
    /// Late returners who wait for their turn again.
    pub late: i32,
    /// People called per second at most, as lowered by the brake.
    pub rate_per_s: f64,
    /// 1.0: not braking.
    pub brake: f64,
    /// Share of those called who really claim.
    pub claim_share: f64,
    /// Longest pause between two polls that still proves somebody alive. [ms]
    pub poll_max_ms: i64,
    pub claim_window_ms: i64,
    /// Late returners who are called: lane, rank, when. Nobody is in it longer than the claim window.
    pub late_called: Vec<(u8, u32, i64)>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LaneSnap {
    /// Last number given out.
    pub seq: u32,
    /// Ranks up to this one have been called.
    pub serving: u32,
    /// People who were seen lately and are not called yet.
    pub alive: u32,
    /// Alive ranks called per second, smoothed; 0: nobody knows.
    pub passed_per_s: f64,
    /// Squared relative spread of that rate over the last minutes.
    pub spread: f64,
    pub share_pct: i32,
    /// The last half minute: when which rank was served, at most one entry a second.
    pub history: Vec<(i64, u32)>,
}

/// What of a draw is public, as it becomes so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DrawShown {
    pub beacon: BeaconKind,
    /// Round of the beacon that was named beforehand.
    pub round: i64,
    /// SHA-256 of the server's seed, hex; published before anybody joins.
    pub seed_hash: String,
    /// People of the cohort; 0 before the freeze.
    pub m: u32,
    /// Merkle root over the cohort, hex; empty before the freeze.
    pub root: String,
    /// What came out of the beacon, hex; empty before.
    pub beacon_value: String,
    /// The server's seed, hex; revealed with the draw.
    pub server_seed: String,
    /// The draw's seed, hex: with `m` it gives every rank. Empty before the draw.
    pub seed: String,
    /// The beacon was missing, so the order rests on the server's seed alone.
    pub weak: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_read_back_and_moves_make_sense() {
        for phase in Phase::ALL {
            assert_eq!(Phase::parse(phase.as_str()), Some(phase));
            assert!(!phase.may_become(phase));
            assert!(MOVES.iter().any(|(from, _)| *from == phase), "no way out of {}", phase.as_str());
            assert!(!phase.admits() || phase.allows_claims(), "called but never let in");
            assert!(!phase.accepts_joins() || phase.needs_pass(), "waiting for nothing");
            // Whatever happens, an emergency stop is one move away while people wait.
            assert!(!phase.needs_pass() || phase == Stopped || phase.may_become(Stopped));
        }
        assert!(!Frozen.may_become(Prequeue), "a cohort is never opened again");
    }

    #[test]
    fn the_defaults_are_within_their_bounds() {
        assert!(Config::default().out_of_bounds().is_empty());
        let wrong = Config { capacity: 0, hard_s: 200, idle_s: 300, ..Config::default() };
        assert_eq!(wrong.out_of_bounds(), ["capacity", "hard_s over idle_s"]);
    }
}
