//! How good the bands are: every few seconds the last in line is noted with the band that such a person is shown, and
//! when the rank is called, whether it came within it.

use std::collections::VecDeque;

use super::eta;
use super::model::{LANES, Phase, Snap};

const EVERY_MS: i64 = 5_000;
/// Hours of waiting at one note in five seconds.
const NOTES_MAX: usize = 10_000;

struct Note {
    lane: usize,
    rank: u32,
    from_ms: i64,
    to_ms: i64,
}

#[derive(Default)]
pub struct Probes {
    notes: VecDeque<Note>,
    noted_ms: i64,
    run: u32,
}

impl Probes {
    /// Judges who was called, notes who is last now.
    pub fn step(&mut self, snap: &Snap, now_ms: i64, mut judge: impl FnMut(bool)) {
        // A pause was never part of what anybody was told.
        if snap.run != self.run || !snap.phase.admits() {
            self.notes.clear();
            self.run = snap.run;
        }
        self.notes.retain(|note| {
            let called = note.rank <= snap.lanes[note.lane].serving;
            if called {
                judge((note.from_ms..=note.to_ms).contains(&now_ms));
            }
            !called
        });
        if now_ms - self.noted_ms < EVERY_MS || snap.phase != Phase::Open {
            return;
        }
        self.noted_ms = now_ms;
        for lane in 0..LANES {
            let of = &snap.lanes[lane];
            let fallback = snap.rate_per_s * f64::from(of.share_pct) / 100.0;
            let Some((from_s, to_s)) = eta::band(of.alive, of.passed_per_s, of.spread, fallback) else { continue };
            if of.alive > 0 && of.seq > of.serving && self.notes.len() < NOTES_MAX {
                let (from_ms, to_ms) = (now_ms + from_s * 1000, now_ms + to_s * 1000);
                self.notes.push_back(Note { lane, rank: of.seq, from_ms, to_ms });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting_room::model::LaneSnap;

    fn snap(serving: u32, seq: u32) -> Snap {
        let lane =
            LaneSnap { seq, serving, alive: seq - serving, passed_per_s: 1.0, share_pct: 100, ..LaneSnap::default() };
        Snap { run: 1, phase: Phase::Open, rate_per_s: 1.0, lanes: [lane, LaneSnap::default()], ..Snap::default() }
    }

    #[test]
    fn a_call_within_the_band_counts_as_inside() {
        let mut probes = Probes::default();
        let mut judged = Vec::new();
        probes.step(&snap(0, 100), 10_000, |inside| judged.push(inside));
        probes.step(&snap(99, 100), 100_000, |inside| judged.push(inside));
        assert!(judged.is_empty());
        probes.step(&snap(100, 100), 110_000, |inside| judged.push(inside));
        assert_eq!(judged, [true, false], "the one noted at 100 s was expected within seconds");
        probes.step(&Snap { run: 2, ..snap(0, 5) }, 120_000, |inside| judged.push(inside));
        probes.step(&Snap { run: 2, ..snap(5, 5) }, 900_000, |inside| judged.push(inside));
        assert_eq!(judged.last(), Some(&false));
    }
}
