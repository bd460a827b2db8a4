//! The line as one visitor is shown it: people ahead, progress, time. Figures are as coarse as they are known, and the
//! place never goes up without a reason. `web/assets/queue.js` moves the same figures between two pages.

use super::words;
use crate::platform::texts::{self, Language, filled, grouped};
use crate::waiting_room::reply::{Standing, Status};

const MINUTES_PER_HOUR: i64 = 60;

pub struct Line {
    pub rank: u32,
    /// People ahead when this browser first saw the line.
    pub first: u32,
    pub shown: u32,
    /// The progress line: so much done of so much.
    pub done: u32,
    pub of: u32,
    pub text: String,
    pub because: Option<String>,
    /// Whether a time is shown at all: not while nobody is called.
    pub timed: bool,
    pub eta: String,
    pub eta_because: Option<String>,
}

/// What this browser has been shown before: the rank it is about, the people ahead at first and at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub rank: u32,
    pub first: u32,
    pub least: u32,
}

impl Seen {
    /// From the cookie; a value that we did not write says nothing.
    pub fn parse(text: &str) -> Option<Seen> {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
        let (rank, first, least) = (parts.next()??, parts.next()??, parts.next()??);
        (parts.next().is_none() && least <= first).then_some(Seen { rank, first, least })
    }

    pub fn write(self) -> String {
        format!("{}.{}.{}", self.rank, self.first, self.least)
    }

    /// With what is ahead now: never more than before, unless there is a reason to say.
    pub fn with(before: Option<Seen>, rank: u32, ahead: u32, has_reason: bool) -> Seen {
        match before.filter(|seen| seen.rank == rank) {
            None => Seen { rank, first: ahead, least: ahead },
            Some(seen) if has_reason => Seen { rank, first: seen.first.max(ahead), least: ahead },
            Some(seen) => Seen { least: seen.least.min(ahead), ..seen },
        }
    }
}

impl Line {
    pub fn new(language: Language, status: &Status, seen: Seen) -> Line {
        let t = |key| words::text(language, key);
        let ahead_because = status.ahead_because.and_then(|why| known(language, "page.queue.because.", why));
        let timed = status.state == Standing::Waiting;
        let of = seen.first.max(1);
        Line {
            rank: seen.rank,
            first: seen.first,
            shown: seen.least,
            done: if seen.least == 0 { of } else { seen.first - seen.least },
            of,
            text: ahead_text(language, seen.least),
            because: ahead_because,
            timed,
            eta: status
                .eta
                .map_or_else(|| t("page.queue.eta_unknown").to_owned(), |b| band(language, b.from_s, b.to_s)),
            eta_because: status
                .eta
                .and_then(|b| b.because)
                .and_then(|why| known(language, "page.queue.eta_because.", why)),
        }
    }
}

/// The words for a reason, if it is one that has words.
fn known(language: Language, family: &str, why: &str) -> Option<String> {
    let key = format!("{family}{why}");
    texts::knows(&key).then(|| texts::text(language, &key).to_owned())
}

fn ahead_text(language: Language, ahead: u32) -> String {
    match ahead {
        0 => words::text(language, "page.queue.ahead_next").to_owned(),
        n => ahead_count(language, n),
    }
}

pub fn ahead_count(language: Language, people: u32) -> String {
    match people {
        1 => words::text(language, "page.queue.ahead_one").to_owned(),
        n => filled(language, "page.queue.ahead_some", &[("count", grouped(n.into()))]),
    }
}

/// A span in whole minutes, beyond an hour in half hours. `web/assets/queue.js` says the same.
fn band(language: Language, from_s: i64, to_s: i64) -> String {
    let (from, to) = (from_s.max(0) / 60, (to_s.max(1) + 59) / 60);
    let (key, from, to) = if from >= MINUTES_PER_HOUR {
        ("page.queue.eta_hours", halves(from / 30), halves((to + 29) / 30))
    } else if from == 0 || from >= to {
        ("page.queue.eta_within", from.to_string(), to.to_string())
    } else {
        ("page.queue.eta_minutes", from.to_string(), to.to_string())
    };
    filled(language, key, &[("from", from), ("to", to)])
}

fn halves(half_hours: i64) -> String {
    if half_hours % 2 == 0 { (half_hours / 2).to_string() } else { format!("{}.5", half_hours / 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_shown_goes_up_only_with_a_reason() {
        let first = Seen::with(None, 9, 100, false);
        assert_eq!(first, Seen { rank: 9, first: 100, least: 100 });
        let nearer = Seen::with(Some(first), 9, 60, false);
        assert_eq!(nearer, Seen { least: 60, ..first });
        assert_eq!(Seen::with(Some(nearer), 9, 80, false), nearer, "nobody says why");
        assert_eq!(Seen::with(Some(nearer), 9, 80, true), Seen { least: 80, ..first });
        assert_eq!(Seen::with(Some(nearer), 9, 120, true), Seen { rank: 9, first: 120, least: 120 });
        assert_eq!(Seen::with(Some(nearer), 7, 300, false).least, 300, "another place in line");
    }

    #[test]
    fn what_was_shown_is_read_back_and_nonsense_is_not() {
        let seen = Seen { rank: 5_821, first: 5_200, least: 0 };
        assert_eq!(Seen::parse(&seen.write()), Some(seen));
        for bad in ["", "1", "1.2", "1.2.3", "1.2.2.2", "-1.2.1", "1.9999999999.1", "a.b.c", "1.2.1;x"] {
            assert_eq!(Seen::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn time_is_a_span_in_words() {
        let ko = |from, to| band(Language::Ko, from, to);
        assert_eq!(ko(0, 20), "1분 이내");
        assert_eq!(ko(30, 150), "3분 이내");
        assert_eq!(ko(270, 390), "약 4~7분");
        assert_eq!(ko(3_500, 3_700), "약 58~62분");
        assert_eq!(ko(4_000, 7_300), "약 1~2.5시간");
        assert_eq!(band(Language::En, 270, 390), "about 4 to 7 min");
    }
}
