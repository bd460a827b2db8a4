//! Whether a ticket may come in or go out now, and if not, why. Pure, and written a second time in
//! `web/assets/gate_rules.js` for devices without a network; a test compares the two (decision 0014).

use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::tickets::code::DAY_ZERO;

/// Asia/Seoul, which has had no other offset since 1988. [s]
const OFFSET_S: i64 = 9 * 3600;
const DAY_S: i64 = 24 * 3600;
/// DAY_ZERO in days since 1970.
const DAY_ZERO_UNIX: i64 = 18_262;
/// What a device's record can hold.
const COUNT_MAX: i32 = 65_535;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident => $text:literal),* $(,)?) => {
        /// Why a scan was answered as it was; the names are part of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $variant),* }
        impl Reason {
            pub const ALL: &'static [Reason] = &[$(Reason::$variant),*];
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $text),* }
            }
            pub fn parse(text: &str) -> Option<Reason> {
                match text { $($text => Some(Reason::$variant),)* _ => None }
            }
        }
    };
}

reasons! {
    Ok => "ok",
    AlreadyUsed => "already_used",
    WrongExhibition => "wrong_exhibition",
    WrongDate => "wrong_date",
    TooEarly => "too_early",
    TooLate => "too_late",
    NotPaid => "not_paid",
    Cancelled => "cancelled",
    Refunded => "refunded",
    /// The ticket has a newer code.
    Reissued => "reissued",
    /// Not one of our codes, or of no ticket.
    Unknown => "unknown",
    BadSignature => "bad_signature",
    /// Stopped by the organiser.
    Blocked => "blocked",
    WrongGate => "wrong_gate",
    /// Its entries of today.
    UsedUp => "used_up",
    AlreadyInside => "already_inside",
    /// Too little time since it came in, or went out.
    TooSoon => "too_soon",
    /// Goes out and never came in today.
    NotInside => "not_inside",
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Entries {
    /// One entry for good.
    Once,
    /// `per_day` entries on each day the ticket is good.
    Daily,
}

impl Entries {
    pub fn as_str(self) -> &'static str {
        match self {
            Entries::Once => "once",
            Entries::Daily => "daily",
        }
    }

    pub fn parse(text: &str) -> Option<Entries> {
        [Entries::Once, Entries::Daily].into_iter().find(|entries| entries.as_str() == text)
    }
}

/// When, where and how often tickets let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Minutes before a slot begins: 0 to 1440.
    pub early_min: i32,
    /// Minutes after a slot has ended: 0 to 1440.
    pub late_min: i32,
    /// Gates that let in, 1 to 50; null: all.
    pub gates: Option<Vec<String>>,
    pub entries: Entries,
    /// 1 to 50; means something with `daily`.
    pub per_day: i32,
    /// Whoever was scanned out may come in again on the same day without using another entry.
    pub reentry: bool,
    /// Least time between coming in and coming in again, in seconds: 0 to 86400.
    pub gap_s: i32,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { early_min: 30, late_min: 0, gates: None, entries: Entries::Once, per_day: 1, reentry: false, gap_s: 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    #[default]
    In,
    Out,
}

impl Direction {
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Out => "out",
        }
    }
}

/// When the ticket is good, in Asia/Seoul.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// Any day from the first to the last of the exhibition.
    Undated {
        from: Date,
        until: Date,
    },
    Day(Date),
    Slot {
        date: Date,
        start: Time,
        end: Time,
    },
}

/// What a ticket did at the doors. Zero: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    pub entries: i32,
    /// Of the last entry.
    pub day: i64,
    pub entries_day: i32,
    pub inside: bool,
    /// Unix seconds.
    pub last_in: i64,
    pub last_out: i64,
}

impl Past {
    fn came_in_on(&self, day: i64) -> bool {
        self.day == day && self.entries_day > 0
    }

    fn inside_since(&self, day: i64) -> bool {
        self.inside && day_of(self.last_in) == day
    }

    /// After an admission or an exit.
    #[must_use]
    pub fn moved(self, direction: Direction, counts: bool, now: i64) -> Past {
        if direction == Direction::Out {
            return Past { inside: false, last_out: now, ..self };
        }
        let today = day_of(now);
        let (count, so_far) = (i32::from(counts), if self.day == today { self.entries_day } else { 0 });
        Past {
            entries: (self.entries + count).min(COUNT_MAX),
            day: if counts { today } else { self.day },
            entries_day: (so_far + count).min(COUNT_MAX),
            inside: true,
            last_in: now,
            ..self
        }
    }
}

/// What the rules look at.
#[derive(Clone, Debug)]
pub struct Presented<'a> {
    /// Why the ticket does not stand, whoever comes with it; None: it does.
    pub against: Option<Reason>,
    pub visit: Visit,
    pub past: Past,
    pub rules: &'a Rules,
    pub gate: &'a str,
    pub direction: Direction,
}

/// Days since 2020-01-01 in Asia/Seoul.
pub fn day_of(unix_s: i64) -> i64 {
    (unix_s + OFFSET_S).div_euclid(DAY_S) - DAY_ZERO_UNIX
}

pub fn day_number(day: Date) -> i64 {
    i64::from((day - DAY_ZERO).get_days())
}

pub fn date_of(day: i64) -> Option<Date> {
    DAY_ZERO.checked_add(jiff::Span::new().try_days(day).ok()?).ok()
}

pub fn second_of(time: Time) -> i64 {
    i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second())
}

/// The instant a day number begins.
pub fn begins(day: i64) -> Option<Timestamp> {
    let zero = Timestamp::from_second(DAY_ZERO_UNIX * DAY_S - OFFSET_S).ok()?;
    zero.checked_add(SignedDuration::from_secs(day.checked_mul(DAY_S)?)).ok()
}

impl Visit {
    /// When the door opens for a slot, and when it closes.
    pub fn open(date: Date, start: Time, end: Time, rules: &Rules) -> (DateTime, DateTime) {
        let opens = date.to_datetime(start).saturating_sub(i64::from(rules.early_min).minutes());
        (opens, date.to_datetime(end).saturating_add(i64::from(rules.late_min).minutes()))
    }

    fn at(self, rules: &Rules, now: i64) -> Reason {
        let today = day_of(now);
        let own = |day: i64, reason| if today == day { reason } else { Reason::WrongDate };
        match self {
            Visit::Undated { from, .. } if today < day_number(from) => Reason::TooEarly,
            Visit::Undated { until, .. } if today > day_number(until) => Reason::TooLate,
            Visit::Day(date) => own(day_number(date), Reason::Ok),
            Visit::Slot { date, start, end } => {
                let day = day_number(date);
                let local = now + OFFSET_S - DAY_ZERO_UNIX * DAY_S;
                // A slot soon after midnight opens on the day before.
                if local < day * DAY_S + second_of(start) - i64::from(rules.early_min) * 60 {
                    own(day, Reason::TooEarly)
                } else if local > day * DAY_S + second_of(end) + i64::from(rules.late_min) * 60 {
                    own(day, Reason::TooLate)
                } else {
                    Reason::Ok
                }
            }
            Visit::Undated { .. } => Reason::Ok,
        }
    }
}

/// The first reason that applies, and whether an admission uses one of the ticket's entries. The order matters:
///
/// 1. What the organiser or the books say of the ticket; no waiting and no other gate changes it.
/// 2. The gate, which is a few steps to the next one.
/// 3. Its past, before the hour: staff who wave somebody through five minutes early must have been told that the
///    ticket is inside already.
/// 4. Day and hour last: the reasons that pass by themselves.
pub fn judge(presented: &Presented<'_>, now: i64) -> (Reason, bool) {
    let Presented { past, rules, .. } = presented;
    let today = day_of(now);
    if presented.direction == Direction::Out {
        return match presented.against {
            Some(reason @ (Reason::Unknown | Reason::Reissued)) => (reason, false),
            // Nobody is kept in, whatever became of the ticket.
            _ if past.inside_since(today) => (Reason::Ok, false),
            _ => (Reason::NotInside, false),
        };
    }
    if let Some(reason) = presented.against {
        return (reason, false);
    }
    if rules.gates.as_ref().is_some_and(|gates| !gates.iter().any(|gate| gate == presented.gate)) {
        return (Reason::WrongGate, false);
    }
    let gap = i64::from(rules.gap_s);
    if rules.reentry && past.inside_since(today) {
        return (Reason::AlreadyInside, false);
    }
    if rules.reentry && past.came_in_on(today) && !past.inside {
        let soon = gap > 0 && now - past.last_in.max(past.last_out) < gap;
        return (if soon { Reason::TooSoon } else { Reason::Ok }, false);
    }
    match rules.entries {
        Entries::Once if past.entries > 0 => return (Reason::AlreadyUsed, false),
        Entries::Daily if past.came_in_on(today) && past.entries_day >= rules.per_day => {
            return (Reason::UsedUp, false);
        }
        Entries::Once | Entries::Daily => {}
    }
    if past.last_in > 0 && gap > 0 && now - past.last_in < gap {
        return (Reason::TooSoon, false);
    }
    let reason = presented.visit.at(rules, now);
    (reason, reason == Reason::Ok)
}

/// What speaks against a ticket of this exhibition wherever it goes. An old code is refused
/// before anything is said of its ticket: its holder may no longer be the ticket's owner.
pub fn against(code_version: u16, version: i16, ticket: &str, order: &str) -> Option<Reason> {
    match i32::from(code_version) {
        older if older < i32::from(version) => return Some(Reason::Reissued),
        // Signed by us, for a version that was never written: not a ticket the books know.
        newer if newer > i32::from(version) => return Some(Reason::Unknown),
        _ => {}
    }
    match ticket {
        "valid" => {}
        "refunded" => return Some(Reason::Refunded),
        "cancelled" => return Some(Reason::Cancelled),
        _ => return Some(Reason::Blocked),
    }
    match order {
        "paid" | "partially_refunded" => None,
        "refunded" => Some(Reason::Refunded),
        "cancelled" | "expired" => Some(Reason::Cancelled),
        _ => Some(Reason::NotPaid),
    }
}
