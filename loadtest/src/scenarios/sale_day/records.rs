//! What the visitors saw of the line, and what it says about it.

use std::sync::Mutex;

use super::fairness::{Promise, inversions, kept, share};
use crate::context::Context;

/// Instances learn of a call up to a second apart, and their clocks differ a little. [ms]
const TOLERANCE_MS: i64 = 2_000;
/// From the issue.
const ETA_SHARE: std::ops::RangeInclusive<f64> = 0.75..=0.90;

#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub rank: Option<u32>,
    /// When the line came to this rank. [ms since 1970]
    pub called_ms: Option<i64>,
    /// Told to be late without having been told of the turn, though never away.
    pub late_first: bool,
    /// Was silent on purpose.
    pub away: bool,
    pub admitted: bool,
    pub promises: Vec<Promise>,
    pub stale: u64,
    /// Passes that had to be asked for anew.
    pub passes_again: u64,
}

#[derive(Default)]
pub struct Records(Mutex<Vec<Seen>>);

impl Records {
    pub fn note(&self, seen: Seen) {
        if let Ok(mut all) = self.0.lock() {
            all.push(seen);
        }
    }

    pub fn take(&self) -> Vec<Seen> {
        self.0.lock().map(|mut all| std::mem::take(&mut *all)).unwrap_or_default()
    }

    /// Whoever never went away on purpose has a claim to order and to honest times.
    pub fn judge(&self, context: &mut Context) {
        let all = self.take();
        let line = Line::of(&all);
        let Line { calls, late_first, .. } = &line;
        let turned = inversions(calls, TOLERANCE_MS);
        let detail = format!("{turned} pairs of {} people more than 2 s apart in the wrong order", calls.len());
        context.require("nobody is called before those ahead", turned == 0, detail);
        context.figure("… pairs in the wrong order by any time at all", inversions(calls, 0) as f64, "");
        let detail = format!("{late_first} were late without having been called");
        context.target("nobody who waits misses the call", *late_first == 0, detail);

        let told = |context: &mut Context, name: &str, (kept, all): (u64, u64)| {
            context.figure(format!("{name} that held the call, of {all}"), share(kept, all) * 100.0, "%");
        };
        told(context, "first times told", line.first);
        told(context, "all times told", line.every);
        let (kept, all_first) = line.first;
        let held = share(kept, all_first);
        let detail = format!("{:.1} % of {all_first} people, target 75 to 90 %", held * 100.0);
        context.target("the time told holds the truth", ETA_SHARE.contains(&held), detail);

        let sum = |of: fn(&Seen) -> u64| all.iter().map(of).sum::<u64>() as f64;
        context.figure("answers from an old picture (stale)", sum(|seen| seen.stale), "");
        context.figure("passes that had to be asked for anew", sum(|seen| seen.passes_again), "");
    }
}

/// What can be said of those who never went away.
struct Line {
    /// Rank, and when it was called. [ms]
    calls: Vec<(u32, i64)>,
    /// Spans that held the call, and all: of each person the first.
    first: (u64, u64),
    /// … and every one.
    every: (u64, u64),
    late_first: u64,
}

impl Line {
    fn of(all: &[Seen]) -> Line {
        let there = || all.iter().filter(|seen| !seen.away);
        let called = || there().filter_map(|seen| Some((seen, seen.called_ms?)));
        let every = called().flat_map(|(seen, at)| seen.promises.iter().map(move |promise| (*promise, at)));
        Line {
            calls: called().filter_map(|(seen, at)| Some((seen.rank?, at))).collect(),
            first: kept(called().filter_map(|(seen, at)| Some((*seen.promises.first()?, at)))),
            every: kept(every),
            late_first: there().filter(|seen| seen.late_first).count() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_stayed_say_something_about_the_line() {
        let promise = |at_ms, from_s, to_s| Promise { at_ms, from_s, to_s };
        let seen = |rank, called_ms| Seen { rank: Some(rank), called_ms, ..Seen::default() };
        let all = [
            Seen { promises: vec![promise(0, 0, 5), promise(0, 10, 20)], ..seen(1, Some(12_000)) },
            Seen { promises: vec![promise(0, 10, 20)], ..seen(2, Some(12_000)) },
            Seen { promises: vec![promise(0, 0, 1)], away: true, ..seen(3, Some(90_000)) },
            Seen { late_first: true, ..seen(4, None) },
            seen(5, Some(13_000)),
        ];
        let line = Line::of(&all);
        assert_eq!(line.calls, [(1, 12_000), (2, 12_000), (5, 13_000)]);
        assert_eq!((line.first, line.every, line.late_first), ((1, 2), (2, 3), 1));
    }
}
