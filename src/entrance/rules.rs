//! Whether a ticket may come in now, and if not, why. Pure.

use jiff::civil::{Date, DateTime, Time};
use jiff::{ToSpan, Zoned};

/// Visitors may come this much before their slot begins. [minutes]
const EARLY_MIN: i64 = 30;

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
}

/// What the rules look at.
#[derive(Clone, Debug)]
pub struct Presented<'a> {
    /// The scanning user belongs to the ticket's exhibition.
    pub at_home: bool,
    pub code_version: u16,
    pub version: i16,
    pub ticket_state: &'a str,
    pub order_state: &'a str,
    pub used: bool,
    pub visit: Visit,
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

impl Visit {
    /// When the door opens for a slot.
    pub fn opens(date: Date, start: Time) -> DateTime {
        date.to_datetime(start).saturating_sub(EARLY_MIN.minutes())
    }

    fn at(self, now: DateTime) -> Reason {
        let today = now.date();
        match self {
            Visit::Undated { from, .. } if today < from => Reason::TooEarly,
            Visit::Undated { until, .. } if today > until => Reason::TooLate,
            Visit::Day(date) if today != date => Reason::WrongDate,
            // A slot soon after midnight opens on the day before.
            Visit::Slot { date, start, .. } if now < Visit::opens(date, start) => {
                if today == date {
                    Reason::TooEarly
                } else {
                    Reason::WrongDate
                }
            }
            Visit::Slot { date, end, .. } if now > date.to_datetime(end) => {
                if today == date {
                    Reason::TooLate
                } else {
                    Reason::WrongDate
                }
            }
            Visit::Undated { .. } | Visit::Day(_) | Visit::Slot { .. } => Reason::Ok,
        }
    }
}

/// The first reason that applies, in an order that matters:
///
/// 1. Another exhibition's staff learn that and nothing else about the ticket.
/// 2. An old code is refused before anything is said of its ticket: its holder may no longer be the ticket's owner.
/// 3. What the organiser or the books say of the ticket; no waiting and no other gate changes it.
/// 4. Used is for good as well, and comes before the hour: staff who wave somebody through five minutes early must
///    have been told that the ticket is inside already.
/// 5. Day and hour last: the only reasons that pass by themselves.
pub fn judge(presented: &Presented<'_>, now: &Zoned) -> Reason {
    if !presented.at_home {
        return Reason::WrongExhibition;
    }
    let version = i32::from(presented.version);
    match i32::from(presented.code_version) {
        older if older < version => return Reason::Reissued,
        // Signed by us, for a version that was never written: not a ticket the books know.
        newer if newer > version => return Reason::Unknown,
        _ => {}
    }
    match presented.ticket_state {
        "valid" => {}
        "refunded" => return Reason::Refunded,
        "cancelled" => return Reason::Cancelled,
        _ => return Reason::Blocked,
    }
    match presented.order_state {
        "paid" | "partially_refunded" => {}
        "refunded" => return Reason::Refunded,
        "cancelled" | "expired" => return Reason::Cancelled,
        _ => return Reason::NotPaid,
    }
    if presented.used {
        return Reason::AlreadyUsed;
    }
    presented.visit.at(now.datetime())
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};

    use super::*;
    use crate::platform::clock::seoul;

    fn good() -> Presented<'static> {
        Presented {
            at_home: true,
            code_version: 1,
            version: 1,
            ticket_state: "valid",
            order_state: "paid",
            used: false,
            visit: Visit::Day(date(2026, 11, 21)),
        }
    }

    fn noon() -> Zoned {
        date(2026, 11, 21).at(12, 0, 0, 0).to_zoned(seoul()).unwrap()
    }

    #[test]
    fn each_reason_alone_and_before_the_later_ones() {
        let worst = Presented { used: true, visit: Visit::Day(date(2026, 11, 20)), ..good() };
        let table: &[(Presented<'_>, Reason)] = &[
            (good(), Reason::Ok),
            (Presented { order_state: "partially_refunded", ..good() }, Reason::Ok),
            (Presented { visit: Visit::Day(date(2026, 11, 20)), ..good() }, Reason::WrongDate),
            (Presented { used: true, ..good() }, Reason::AlreadyUsed),
            (worst.clone(), Reason::AlreadyUsed),
            (Presented { order_state: "held", ..worst.clone() }, Reason::NotPaid),
            (Presented { order_state: "confirming", ..worst.clone() }, Reason::NotPaid),
            (Presented { order_state: "awaiting_deposit", ..worst.clone() }, Reason::NotPaid),
            (Presented { order_state: "expired", ..worst.clone() }, Reason::Cancelled),
            (Presented { order_state: "cancelled", ..worst.clone() }, Reason::Cancelled),
            (Presented { order_state: "refunded", ..worst.clone() }, Reason::Refunded),
            (Presented { ticket_state: "refunded", order_state: "held", ..worst.clone() }, Reason::Refunded),
            (Presented { ticket_state: "cancelled", order_state: "held", ..worst.clone() }, Reason::Cancelled),
            (Presented { ticket_state: "blocked", order_state: "held", ..worst.clone() }, Reason::Blocked),
            (Presented { ticket_state: "something new", ..worst.clone() }, Reason::Blocked),
            (Presented { version: 2, ticket_state: "blocked", ..worst.clone() }, Reason::Reissued),
            (Presented { code_version: 2, ..worst.clone() }, Reason::Unknown),
            (
                Presented { at_home: false, version: 2, ticket_state: "blocked", ..worst.clone() },
                Reason::WrongExhibition,
            ),
        ];
        for (presented, reason) in table {
            assert_eq!(judge(presented, &noon()), *reason, "{presented:?}");
        }
    }

    #[test]
    fn days_and_hours() {
        let day = date(2026, 11, 21);
        let undated = Visit::Undated { from: day, until: date(2026, 11, 23) };
        let slot = Visit::Slot { date: day, start: time(10, 0, 0, 0), end: time(12, 0, 0, 0) };
        let night = Visit::Slot { date: day, start: time(0, 10, 0, 0), end: time(2, 0, 0, 0) };
        let table = [
            (undated, "2026-11-20T23:59:59", Reason::TooEarly),
            (undated, "2026-11-21T00:00:00", Reason::Ok),
            (undated, "2026-11-23T23:59:59", Reason::Ok),
            (undated, "2026-11-24T00:00:00", Reason::TooLate),
            (Visit::Day(day), "2026-11-21T00:00:00", Reason::Ok),
            (Visit::Day(day), "2026-11-21T23:59:59", Reason::Ok),
            (Visit::Day(day), "2026-11-22T00:00:00", Reason::WrongDate),
            (slot, "2026-11-20T11:00:00", Reason::WrongDate),
            (slot, "2026-11-21T09:29:59", Reason::TooEarly),
            (slot, "2026-11-21T09:30:00", Reason::Ok),
            (slot, "2026-11-21T12:00:00", Reason::Ok),
            (slot, "2026-11-21T12:00:01", Reason::TooLate),
            (slot, "2026-11-22T10:00:00", Reason::WrongDate),
            (night, "2026-11-20T23:39:00", Reason::WrongDate),
            (night, "2026-11-20T23:40:00", Reason::Ok),
        ];
        for (visit, now, reason) in table {
            assert_eq!(visit.at(now.parse().unwrap()), reason, "{visit:?} at {now}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
        assert_eq!(Reason::parse("Ok"), None);
    }
}
