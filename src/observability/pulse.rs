//! What this process did in the last seconds, for people who watch a sale: counted where it happens, told to the others
//! twice a second. Metrics are for machines and history; this is for eyes and now.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// From beat to beat. What others told is as old as this at most, and so is what they hear next: a board is younger than a second.
pub const BEAT: Duration = Duration::from_millis(450);
/// Beats that a picture covers, about five seconds: one alone flickers.
pub const BEATS: usize = 11;
/// Beats of a minute: payments are too few for a share of five seconds.
const MINUTE: usize = 133;
/// Upper bounds grow by a quarter each, from half a millisecond to over a minute.
const BUCKETS: usize = 54;
const FIRST_MS: f64 = 0.5;
/// Whoever has not called for so long is not said to be there. [ms]
pub const PEOPLE_MS: i64 = 5 * 60 * 1_000;
const GROWTH: f64 = 1.25;
/// A count that takes longer than this is rested from, so many times as long: with tens of thousands of messages that nobody can send,
/// counting takes a twentieth of a core at most.
const COUNT_FREE: Duration = Duration::from_millis(50);
const COUNT_REST: u32 = 20;

/// What is counted of an exhibition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An order was placed.
    Placed,
    /// An order could not be placed for a reason of ours. Sold out is none.
    Failed,
    /// An order was paid, by whatever road.
    Paid,
    /// The bank or the buyer refused.
    Declined,
    /// A payment without a certain end, or one that could not begin since its provider is away.
    Doubted,
    /// A scan was answered, with whatever verdict.
    Scanned,
    /// A scan was not.
    ScanFailed,
    /// A payment came to a certain end at its provider at once: accepted, refused, or an account to pay into. What becomes of it
    /// later is none of its own, and what was in doubt is not counted here when it is known.
    Ended,
    /// Somebody got a number in the waiting room.
    Joined,
    /// Somebody was let in by it. Both not in a rehearsal.
    Admitted,
}

const KINDS: usize = 10;
pub type Counts = [u64; KINDS];

/// Payments that came to a certain end at once, and those that did not.
pub type Payments = [u64; 2];

impl What {
    pub fn of(self, counts: &Counts) -> u64 {
        counts[self as usize]
    }
}

/// One round of a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Round {
    pub at_ms: i64,
    pub outcome: String,
    pub took_ms: u64,
}

/// Messages of an exhibition that are not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Messages {
    pub pending: i64,
    /// Those of `pending` that were tried in vain.
    pub failing: i64,
    pub dead: i64,
    pub set_aside: i64,
}

/// What a worker counted for all. An exhibition that is not in it has none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counted {
    pub at_ms: i64,
    pub messages: BTreeMap<i32, Messages>,
}

/// The last seconds of one process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Picture {
    pub at_ms: i64,
    /// How many beats it covers: fewer than eleven just after the start.
    pub beats: usize,
    /// Answers of the API, and those of them that were our failure.
    pub answered: u64,
    pub failed: u64,
    /// How long answers took, by bucket.
    pub buckets: Vec<u64>,
    /// By exhibition.
    pub sales: HashMap<i32, Counts>,
    /// By exhibition, of the last minute.
    pub payments: HashMap<i32, Payments>,
    pub workers: BTreeMap<String, Round>,
    /// Workers with a round under way, and when it began. [unix ms]
    pub busy: BTreeMap<String, i64>,
    pub writer_waiting: usize,
    /// Breakers of the payment providers.
    pub providers: BTreeMap<String, String>,
    /// Staff who called it in the last minutes, and when they did last. [unix ms]
    pub people: HashMap<i32, i64>,
    /// None: this process does not count.
    pub counted: Option<Counted>,
}

impl Picture {
    /// Adds what another process did.
    pub fn add(&mut self, other: &Picture) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        for (sum, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum += more;
        }
        for (id, counts) in &other.sales {
            add(self.sales.entry(*id).or_default(), counts);
        }
        for (id, payments) in &other.payments {
            add(self.payments.entry(*id).or_default(), payments);
        }
    }

    /// At most so long took this share of the answers [ms]; None: there were none.
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        let total: u64 = self.buckets.iter().sum();
        let wanted = (total as f64 * share).ceil() as u64;
        let mut sum = 0;
        let at = self.buckets.iter().position(|count| {
            sum += count;
            sum >= wanted.max(1)
        })?;
        Some(FIRST_MS * GROWTH.powi(i32::try_from(at).unwrap_or(i32::MAX)))
    }
}

fn add<const N: usize>(sum: &mut [u64; N], more: &[u64; N]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}

fn bucket(elapsed: Duration) -> usize {
    let ms = elapsed.as_secs_f64() * 1_000.0;
    let at = (ms / FIRST_MS).max(1.0).log(GROWTH).ceil();
    (at as usize).min(BUCKETS - 1)
}

fn payments(sales: &HashMap<i32, Counts>) -> HashMap<i32, Payments> {
    let of = |counts: &Counts| [What::Ended.of(counts), What::Doubted.of(counts)];
    sales.iter().map(|(id, counts)| (*id, of(counts))).filter(|(_, payments)| *payments != [0, 0]).collect()
}

#[derive(Default)]
struct State {
    /// Since the last beat.
    sales: HashMap<i32, Counts>,
    /// Since it was last written down for good.
    unsaved: HashMap<i32, Counts>,
    workers: BTreeMap<String, Round>,
    busy: BTreeMap<String, i64>,
    people: HashMap<i32, i64>,
    counted: Option<Counted>,
    count_after: Option<Instant>,
    beats: VecDeque<Picture>,
    /// Payments of the last minute, beat by beat.
    minute: VecDeque<HashMap<i32, Payments>>,
}

pub struct Pulse {
    /// Tells this process from the others.
    pub name: String,
    answered: AtomicU64,
    failed: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
    state: Mutex<State>,
}

impl Pulse {
    pub fn new(name: String) -> Pulse {
        Pulse {
            name,
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn answered(&self, failed: bool, elapsed: Duration) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u64::from(failed), Ordering::Relaxed);
        self.buckets[bucket(elapsed)].fetch_add(1, Ordering::Relaxed);
    }

    pub fn count(&self, exhibition_id: i32, what: What) {
        self.count_many(exhibition_id, what, 1);
    }

    pub fn count_many(&self, exhibition_id: i32, what: What, times: usize) {
        if times > 0 {
            self.state().sales.entry(exhibition_id).or_default()[what as usize] += times as u64;
        }
    }

    pub fn began(&self, worker: &str, now_ms: i64) {
        self.state().busy.insert(worker.to_owned(), now_ms);
    }

    pub fn worked(&self, worker: &str, outcome: &str, took: Duration, now_ms: i64) {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let round = Round { at_ms: now_ms, outcome: outcome.to_owned(), took_ms };
        let mut state = self.state();
        state.busy.remove(worker);
        state.workers.insert(worker.to_owned(), round);
    }

    pub fn counted(&self, messages: BTreeMap<i32, Messages>, took: Duration, now_ms: i64) {
        let mut state = self.state();
        state.counted = Some(Counted { at_ms: now_ms, messages });
        state.count_after = Some(Instant::now() + took.saturating_sub(COUNT_FREE) * COUNT_REST);
    }

    /// What takes long to count is counted less often.
    pub fn may_count(&self) -> bool {
        self.state().count_after.is_none_or(|after| after <= Instant::now())
    }

    /// Somebody of the staff has called.
    pub fn seen(&self, user_id: i32, now_ms: i64) {
        self.state().people.insert(user_id, now_ms);
    }

    /// The picture of the last beats, this one included.
    pub fn beat(&self, now_ms: i64) -> Picture {
        let taken = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        let mut state = self.state();
        let sales = std::mem::take(&mut state.sales);
        for (id, counts) in &sales {
            add(state.unsaved.entry(*id).or_default(), counts);
        }
        state.minute.push_back(payments(&sales));
        if state.minute.len() > MINUTE {
            state.minute.pop_front();
        }
        let beat = Picture {
            answered: taken(&self.answered),
            failed: taken(&self.failed),
            buckets: self.buckets.iter().map(taken).collect(),
            sales,
            ..Picture::default()
        };
        state.beats.push_back(beat);
        if state.beats.len() > BEATS {
            state.beats.pop_front();
        }
        let mut picture = Picture { at_ms: now_ms, ..Picture::default() };
        picture.workers.clone_from(&state.workers);
        picture.busy.clone_from(&state.busy);
        picture.beats = state.beats.len();
        state.people.retain(|_, seen_ms| now_ms - *seen_ms < PEOPLE_MS);
        picture.people.clone_from(&state.people);
        picture.counted.clone_from(&state.counted);
        for beat in &state.beats {
            picture.add(beat);
        }
        for (id, payments) in state.minute.iter().flatten() {
            add(picture.payments.entry(*id).or_default(), payments);
        }
        picture
    }

    /// What is to be added to the books of the hour. Whoever cannot write it down puts it back.
    pub fn take_unsaved(&self) -> HashMap<i32, Counts> {
        std::mem::take(&mut self.state().unsaved)
    }

    pub fn put_back(&self, counts: &HashMap<i32, Counts>) {
        let mut state = self.state();
        for (id, counts) in counts {
            add(state.unsaved.entry(*id).or_default(), counts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_covers_eleven_beats_and_no_more() {
        let pulse = Pulse::new("a".into());
        for beat in 0..13 {
            pulse.count(7, What::Placed);
            pulse.answered(beat == 12, Duration::from_millis(10));
            let picture = pulse.beat(beat * 450);
            assert_eq!(picture.beats, (beat as usize + 1).min(BEATS));
            assert_eq!(What::Placed.of(&picture.sales[&7]), picture.beats as u64);
            assert_eq!((picture.answered, picture.failed), (picture.beats as u64, u64::from(beat == 12)));
        }
        let unsaved = pulse.take_unsaved();
        assert_eq!(What::Placed.of(&unsaved[&7]), 13, "nothing is lost between the beats");
        pulse.put_back(&unsaved);
        pulse.put_back(&unsaved);
        assert_eq!(What::Placed.of(&pulse.take_unsaved()[&7]), 26);
    }

    #[test]
    fn what_takes_long_to_count_is_counted_less_often() {
        let pulse = Pulse::new("work".into());
        assert!(pulse.may_count());
        pulse.counted(BTreeMap::new(), Duration::from_millis(50), 1_000);
        assert!(pulse.may_count());
        pulse.counted(BTreeMap::new(), Duration::from_secs(5), 2_000);
        assert!(!pulse.may_count());
        assert_eq!(pulse.beat(3_000).counted.unwrap().at_ms, 2_000, "what was counted last is told on");
    }

    #[test]
    fn payments_are_remembered_for_a_minute() {
        let pulse = Pulse::new("a".into());
        pulse.count(7, What::Doubted);
        pulse.count(7, What::Paid);
        for beat in 0..MINUTE as i64 {
            pulse.count(7, What::Ended);
            assert_eq!(pulse.beat(beat * 450).payments[&7], [beat as u64 + 1, 1]);
        }
        assert_eq!(pulse.beat(60_000).payments[&7], [MINUTE as u64 - 1, 0], "the doubt was a minute ago");
    }

    #[test]
    fn quantiles_are_within_a_quarter() {
        let pulse = Pulse::new("a".into());
        assert_eq!(pulse.beat(0).quantile_ms(0.95), None);
        for ms in 1..=100 {
            pulse.answered(false, Duration::from_millis(ms));
        }
        let picture = pulse.beat(1_000);
        for (share, exact) in [(0.5, 50.0), (0.95, 95.0), (1.0, 100.0)] {
            let said = picture.quantile_ms(share).unwrap();
            assert!((exact..exact * 1.26).contains(&said), "{share}: {said}");
        }
        pulse.answered(false, Duration::from_secs(3600));
        assert!(pulse.beat(2_000).quantile_ms(1.0).unwrap() > 60_000.0);
    }
}
