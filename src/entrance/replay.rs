//! A ticket's past, told anew from its admissions and exits in the order in which they happened. What was heard late or
//! undone changes it as if it had been known from the beginning, whoever told first. Pure.

use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use super::rules::{self, Direction, Past, Presented, Reason, Rules, Visit};

/// An admission or an exit that happened and was not undone.
#[derive(Clone, Debug)]
pub struct Moved {
    pub scan_id: Uuid,
    pub direction: Direction,
    pub at: Timestamp,
    pub gate: String,
    /// A supervisor's word, which no rule contradicts.
    pub forced: bool,
    /// Decided by a device without a network.
    pub uploaded: bool,
    /// As it is written down.
    pub counted: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    pub past: Past,
    /// Of the scans, those that used an entry.
    pub counted: Vec<Uuid>,
    /// Admissions that the past forbade, each with the admission before it, one of them decided without a network. Two that
    /// were both judged online are none: the rules were others then.
    pub doubles: Vec<(Uuid, Option<Uuid>)>,
}

/// `moved` in the order of time. Hours, gates and what became of the ticket are not looked at: those were judged when they
/// happened. What lies before `from` stays as it was judged, by the rules of then.
pub fn replay(rules: &Rules, moved: &[Moved], from: Timestamp) -> Replayed {
    let rules = Rules { gates: None, ..rules.clone() };
    let mut told = Replayed::default();
    let mut last_in: Option<&Moved> = None;
    for one in moved {
        let now = one.at.as_second();
        if one.at < from && one.direction == Direction::In {
            told.past = told.past.moved(Direction::In, one.counted, now);
            told.counted.extend(one.counted.then_some(one.scan_id));
            last_in = Some(one);
            continue;
        }
        let presented = Presented {
            against: None,
            visit: Visit::Undated { from: Date::MIN, until: Date::MAX },
            past: told.past,
            rules: &rules,
            gate: &one.gate,
            direction: one.direction,
        };
        let (reason, counts) = rules::judge(&presented, now);
        if one.direction == Direction::Out {
            // Out without in: somebody who came in by a gate that has not been heard of.
            if told.past.inside {
                told.past = told.past.moved(Direction::Out, false, now);
            }
            continue;
        }
        // Let in against its past, it has used an entry all the same.
        let counts = counts || reason != Reason::Ok;
        let unheard = one.uploaded || last_in.is_some_and(|before| before.uploaded);
        if reason != Reason::Ok && !one.forced && unheard {
            told.doubles.push((one.scan_id, last_in.map(|before| before.scan_id)));
        }
        if counts {
            told.counted.push(one.scan_id);
        }
        told.past = told.past.moved(Direction::In, counts, now);
        last_in = Some(one);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entrance::rules::Entries;

    fn moved(n: u128, direction: Direction, at: &str) -> Moved {
        let at = format!("2026-11-21T{at}+09:00").parse().unwrap();
        Moved {
            scan_id: Uuid::from_u128(n),
            direction,
            at,
            gate: "north".into(),
            forced: false,
            uploaded: true,
            counted: true,
        }
    }

    fn doubles(rules: &Rules, all: &[Moved]) -> Vec<(u128, u128)> {
        let pair = |(scan, other): &(Uuid, Option<Uuid>)| (scan.as_u128(), other.map_or(0, |o| o.as_u128()));
        replay(rules, all, Timestamp::MIN).doubles.iter().map(pair).collect()
    }

    #[test]
    fn the_later_of_two_admissions_is_the_double() {
        let all = [moved(1, Direction::In, "10:00:00"), moved(2, Direction::In, "10:05:00")];
        assert_eq!(doubles(&Rules::default(), &all), [(2, 1)]);
        let told = replay(&Rules::default(), &all, Timestamp::MIN);
        assert_eq!((told.past.entries, told.counted.len()), (2, 2), "what happened is counted");
        let twice = Rules { entries: Entries::Daily, per_day: 2, ..Rules::default() };
        assert_eq!(doubles(&twice, &all), []);
    }

    #[test]
    fn what_was_judged_online_is_no_double() {
        let mut all = [moved(1, Direction::In, "10:00:00"), moved(2, Direction::In, "10:05:00")];
        all[0].uploaded = false;
        assert_eq!(doubles(&Rules::default(), &all), [(2, 1)]);
        all.swap(0, 1);
        all[1].uploaded = false;
        all[0].uploaded = false;
        assert_eq!(doubles(&Rules::default(), &all), []);
    }

    #[test]
    fn what_came_before_stays_as_it_was_judged() {
        // Two entries a day were allowed then; now it is one.
        let all = [
            moved(1, Direction::In, "10:00:00"),
            moved(2, Direction::In, "11:00:00"),
            moved(3, Direction::In, "12:00:00"),
        ];
        let told = replay(&Rules::default(), &all, all[2].at);
        assert_eq!(told.doubles, [(all[2].scan_id, Some(all[1].scan_id))]);
        assert_eq!(told.past.entries, 3);
    }

    #[test]
    fn an_exit_heard_late_makes_the_second_entry_good() {
        let rules = Rules { reentry: true, ..Rules::default() };
        let (first, again) = (moved(1, Direction::In, "10:00:00"), moved(3, Direction::In, "10:40:00"));
        assert_eq!(doubles(&rules, &[first.clone(), again.clone()]), [(3, 1)]);
        let all = [first, moved(2, Direction::Out, "10:30:00"), again];
        assert_eq!(doubles(&rules, &all), []);
        let told = replay(&rules, &all, Timestamp::MIN);
        assert_eq!((told.past.entries, told.past.inside, told.counted.len()), (1, true, 1));
    }

    #[test]
    fn forced_is_no_double_and_out_first_is_none_either() {
        let mut forced = moved(2, Direction::In, "10:05:00");
        forced.forced = true;
        assert_eq!(doubles(&Rules::default(), &[moved(1, Direction::In, "10:00:00"), forced]), []);
        let told = replay(&Rules::default(), &[moved(1, Direction::Out, "10:00:00")], Timestamp::MIN);
        assert_eq!((told.past.inside, told.past.entries, told.doubles.len()), (false, 0, 0));
    }
}
