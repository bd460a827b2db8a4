//! A whole room on a virtual clock: 20,000 people gather, are drawn, wait, hide their tabs, give up, miss their turn
//! and come back, over the real bitmaps, index, rates and plan. Redis and HTTP are played by plain structs.

use std::collections::{BTreeMap, VecDeque};

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::alive::{AliveIndex, Windows, merge};
use super::bits::{Bits, Slots, slot_of};
use super::eta;
use super::model::LANES;
use super::plan::{Deficits, Facts, LaneFacts, Settling, decide};
use super::rates::{PassRate, ShareWho, TokenBucket};

const PEOPLE: usize = 20_000;
const TICK_MS: i64 = 250;
const OPENS_MS: i64 = 40_000;
/// Longer than polls are apart, or somebody who polls as told could miss the turn.
const CLAIM_WINDOW_MS: i64 = 45_000;
const POLL_MAX_MS: i64 = 30_000;
/// Instances flush once a second, and the leader reads right after.
const FLUSH_TICKS: i64 = 4;
const LAG_MS: i64 = 3_000;
const SHARE_PCT: [i32; LANES] = [90, 10];
/// Small, so that a line of the late builds up.
const LATE_SHARE_PCT: i32 = 5;
const INSTANCES: usize = 2;

#[derive(Clone, Copy)]
struct Setting {
    seed: u64,
    capacity: i32,
    slack: i32,
    per_s: f64,
    /// Mean time inside.
    stay_ms: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Away,
    Waiting,
    /// Saw that it is their turn; the claim is on its way.
    Claiming,
    Late,
    LateCalled,
    Inside,
    Done,
    /// Gave up or never came.
    Gone,
}

struct Person {
    lane: usize,
    rank: u32,
    state: State,
    /// Polls as told from the join to the claim and claims within seconds.
    steady: bool,
    gives_up_ms: i64,
    hides: u32,
    called_ms: i64,
    told: Option<(i64, i64, i64)>,
}

struct LateEntry {
    person: usize,
    /// Budget that had passed and late ones who were called, when they came into the lane.
    since: (u32, u32),
}

#[derive(Default)]
struct Lane {
    seq: u32,
    serving: u32,
    /// Who has a number; after the draw, a rank. 0 is nobody.
    owner: Vec<usize>,
    settling: Settling,
    alive: AliveIndex,
    rate: PassRate,
    /// Alive when called: when, who.
    window: VecDeque<(i64, usize)>,
}

struct Room {
    set: Setting,
    rng: SmallRng,
    now_ms: i64,
    people: Vec<Person>,
    /// Who wakes up in which tick.
    agenda: Vec<Vec<usize>>,
    lanes: [Lane; LANES],
    slots: [[Slots; LANES]; INSTANCES],
    /// What each instance flushed last.
    flushed: [[Vec<(i64, Bits)>; LANES]; INSTANCES],
    bucket: TokenBucket,
    who: ShareWho,
    owed: Deficits,
    active: i32,
    late: BTreeMap<(u32, usize), LateEntry>,
    late_window: VecDeque<(i64, usize)>,
    /// Budget of all ticks before this one.
    budget_passed: u32,
    late_called: u32,
    /// People called who are there, by tick.
    called: Vec<u32>,
    seen: Seen,
}

/// What is judged at the end.
#[derive(Debug, Default)]
struct Seen {
    claims: u32,
    refused: u32,
    peak: i32,
    late_entries: u32,
    steady_late: u32,
    told: u32,
    held: u32,
}

impl Room {
    fn new(set: Setting) -> Room {
        let mut rng = SmallRng::seed_from_u64(set.seed);
        let mut agenda = vec![Vec::new(); 1];
        let people = (0..PEOPLE).map(|person| {
            // Most are there before the opening, the rest come in the two minutes after it.
            let at_ms =
                if rng.random_bool(0.6) { rng.random_range(0..OPENS_MS) } else { rng.random_range(OPENS_MS..160_000) };
            let kind: f64 = rng.random();
            let (gives_up, hides) = (kind < 0.12, if (0.12..0.27).contains(&kind) { 2 } else { 0 });
            push(&mut agenda, at_ms, person);
            Person {
                lane: usize::from(rng.random_bool(0.05)),
                rank: 0,
                state: State::Away,
                steady: !gives_up && hides == 0 && !rng.random_bool(0.04),
                gives_up_ms: if gives_up { at_ms + rng.random_range(0..200_000) } else { i64::MAX },
                hides,
                called_ms: i64::MAX,
                told: None,
            }
        });
        let people = people.collect();
        Room {
            people,
            agenda,
            bucket: TokenBucket::new(set.per_s, burst(set), OPENS_MS),
            set,
            rng,
            now_ms: 0,
            lanes: std::array::from_fn(|_| Lane { owner: vec![usize::MAX], ..Lane::default() }),
            slots: std::array::from_fn(|_| Default::default()),
            flushed: Default::default(),
            who: ShareWho::default(),
            owed: Deficits::default(),
            active: 0,
            late: BTreeMap::new(),
            late_window: VecDeque::new(),
            budget_passed: 0,
            late_called: 0,
            called: vec![],
            seen: Seen::default(),
        }
    }

    fn run(&mut self) {
        while (self.now_ms / TICK_MS) < self.agenda.len() as i64 {
            let tick = self.now_ms / TICK_MS;
            for person in std::mem::take(&mut self.agenda[tick as usize]) {
                self.wake(person);
            }
            if self.now_ms == OPENS_MS {
                self.draw();
            }
            // Instances flush at different moments, so what is known of them is of different age.
            (0..INSTANCES).filter(|i| tick % FLUSH_TICKS == *i as i64).for_each(|instance| self.flush(instance));
            if tick % FLUSH_TICKS == 2 {
                self.rebuild();
            }
            if self.now_ms >= OPENS_MS {
                self.tick();
            }
            self.now_ms += TICK_MS;
        }
    }

    /// Numbers become ranks: those of the general lane who are there by now are shuffled.
    fn draw(&mut self) {
        let lane = &mut self.lanes[0];
        let mut rank_of: Vec<u32> = (1..=lane.seq).collect();
        rank_of.shuffle(&mut self.rng);
        rank_of.insert(0, 0);
        let owners = lane.owner.clone();
        for (number, person) in owners.into_iter().enumerate().skip(1) {
            lane.owner[rank_of[number] as usize] = person;
            self.people[person].rank = rank_of[number];
        }
        for instance in 0..INSTANCES {
            self.slots[instance][0] = self.slots[instance][0].remap(|number| rank_of[number as usize]);
            self.flush(instance);
        }
    }

    fn flush(&mut self, instance: usize) {
        for lane in 0..LANES {
            self.flushed[instance][lane] = self.slots[instance][lane].slots(self.now_ms);
        }
    }

    fn rebuild(&mut self) {
        let running = slot_of(self.now_ms);
        for (i, lane) in self.lanes.iter_mut().enumerate() {
            let flushed = self.flushed.iter().flat_map(|lanes| lanes[i].iter());
            let slots: Vec<(u32, Bits)> =
                flushed.map(|(number, seen)| ((running - number) as u32, seen.clone())).collect();
            let near_upto = lane.alive.advance(lane.serving, (self.set.per_s * 600.0) as u32, lane.seq);
            let windows = Windows::for_pauses(POLL_MAX_MS, POLL_MAX_MS);
            lane.alive = AliveIndex::new(merge(&slots, near_upto, windows, &Bits::default()));
        }
    }

    /// The leader's.
    fn tick(&mut self) {
        let now_ms = self.now_ms;
        self.close_windows();
        // All a leader knows: who is called, has not claimed and was seen lately.
        let outstanding = |window: &VecDeque<(i64, usize)>| {
            let pending = window.iter().map(|(_, person)| &self.people[*person]).filter(|who| {
                !matches!(who.state, State::Inside | State::Done) && self.lanes[who.lane].alive.is_alive(who.rank)
            });
            pending.count() as u32
        };
        let pending = [outstanding(&self.lanes[0].window), outstanding(&self.lanes[1].window)];
        let late_pending = outstanding(&self.late_window);
        let lanes: [LaneFacts; LANES] = std::array::from_fn(|i| LaneFacts {
            serving: self.lanes[i].serving,
            seq: self.lanes[i].seq,
            settled: self.lanes[i].settling.note(now_ms, self.lanes[i].seq, LAG_MS),
            share_pct: SHARE_PCT[i],
            outstanding: pending[i],
        });
        let facts = Facts {
            capacity: self.set.capacity,
            active: self.active,
            lanes,
            alive: [&self.lanes[0].alive, &self.lanes[1].alive],
            late_waiting: self.late.len() as u32,
            late_called_outstanding: late_pending,
            late_share_pct: LATE_SHARE_PCT,
            claim_share: self.who.share(),
            tokens: self.bucket.tokens(now_ms),
            stock_left: 1_000_000,
            stock_factor_pct: 120,
        };
        let waiting: [bool; LANES] =
            std::array::from_fn(|i| facts.alive[i].total() > facts.alive[i].count_to(lanes[i].serving));
        let plan = decide(&facts, &mut self.owed);
        self.bucket.spend(plan.spent);
        self.called.push(0);

        for (i, somebody_waited) in waiting.into_iter().enumerate() {
            let before = self.lanes[i].serving;
            assert!(plan.serving[i] >= before && plan.serving[i] <= self.lanes[i].seq, "serving went wrong");
            self.lanes[i].serving = plan.serving[i];
            for rank in before + 1..=plan.serving[i] {
                self.call(i, rank);
            }
            if somebody_waited {
                self.lanes[i].rate.record(plan.called[i], TICK_MS);
            }
        }
        for _ in 0..plan.late {
            self.call_late();
        }
        self.budget_passed += plan.budget;
    }

    /// Serving passes a rank.
    fn call(&mut self, lane: usize, rank: u32) {
        let person = self.lanes[lane].owner[rank as usize];
        let alive = self.lanes[lane].alive.is_alive(rank);
        let who = &mut self.people[person];
        // The heart of it: nobody who is there is ever taken for departed, not even right after the join.
        assert!(alive || !who.steady, "{rank} of lane {lane} is there and was passed as departed");
        who.called_ms = self.now_ms;
        if alive {
            *self.called.last_mut().unwrap() += 1;
            self.lanes[lane].window.push_back((self.now_ms, person));
            if let Some((at_ms, from_s, to_s)) = who.told {
                self.seen.told += 1;
                let wait_s = (self.now_ms - at_ms) / 1_000;
                self.seen.held += u32::from((from_s..=to_s).contains(&wait_s));
            }
        }
    }

    fn call_late(&mut self) {
        let ((_, person), entry) = self.late.pop_first().unwrap();
        self.late_called += 1;
        *self.called.last_mut().unwrap() += 1;
        let (budget, called) = (self.budget_passed - entry.since.0, self.late_called - entry.since.1);
        // All who were called meanwhile were before them in the lane: theirs is the length of it.
        let most = called * 100 / LATE_SHARE_PCT as u32;
        assert!(budget <= most, "waited for {budget} calls in a lane of {called}");
        assert_eq!(entry.person, person);
        self.people[person].state = State::LateCalled;
        self.people[person].called_ms = self.now_ms;
        self.late_window.push_back((self.now_ms, person));
    }

    fn close_windows(&mut self) {
        let (mut called, mut claimed) = (0, 0);
        let windows = self.lanes.iter_mut().map(|lane| &mut lane.window).chain([&mut self.late_window]);
        for window in windows {
            while window.front().is_some_and(|(at_ms, _)| self.now_ms - at_ms > CLAIM_WINDOW_MS) {
                let (_, person) = window.pop_front().unwrap();
                called += 1;
                claimed += u32::from(matches!(self.people[person].state, State::Inside | State::Done));
            }
        }
        self.who.record(called, claimed);
    }

    fn sleep(&mut self, person: usize, ms: i64) {
        push(&mut self.agenda, self.now_ms + ms.max(TICK_MS), person);
    }

    fn wake(&mut self, person: usize) {
        match self.people[person].state {
            State::Away => self.join(person),
            State::Claiming => self.claim(person),
            State::Inside => {
                self.active -= 1;
                self.people[person].state = State::Done;
            }
            State::Waiting | State::Late | State::LateCalled => self.poll(person),
            State::Done | State::Gone => unreachable!("nothing was to come"),
        }
    }

    fn join(&mut self, person: usize) {
        let lane = &mut self.lanes[self.people[person].lane];
        lane.seq += 1;
        lane.owner.push(person);
        self.people[person].rank = lane.seq;
        self.people[person].state = State::Waiting;
        self.poll(person);
    }

    fn poll(&mut self, person: usize) {
        let (lane, rank) = (self.people[person].lane, self.people[person].rank);
        if self.now_ms >= self.people[person].gives_up_ms {
            // Half of them say so.
            if self.rng.random_bool(0.5) {
                self.slots.iter().for_each(|slots| slots[lane].unmark(rank));
            }
            self.late.remove(&(rank, person));
            self.people[person].state = State::Gone;
            return;
        }
        let instance = self.rng.random_range(0..INSTANCES);
        self.slots[instance][lane].mark(rank, self.now_ms);
        if self.people[person].hides > 0 && self.rng.random_bool(0.15) {
            self.people[person].hides -= 1;
            let hidden_ms = self.rng.random_range(30_000..150_000);
            return self.sleep(person, hidden_ms);
        }
        let called = self.now_ms >= OPENS_MS && self.lanes[lane].serving >= rank;
        match self.people[person].state {
            State::Waiting if !called => self.wait(person),
            State::Late => self.sleep(person, 3_000),
            _ => self.turn(person),
        }
    }

    fn wait(&mut self, person: usize) {
        let (room, rank) = (&self.lanes[self.people[person].lane], self.people[person].rank);
        let jitter = self.rng.random();
        let ahead = room.alive.between(room.serving, rank - 1);
        let rate = room.rate.per_s();
        let mean_s = eta::mean_s(ahead, rate).or(eta::mean_s(ahead, self.set.per_s));
        let mean_s = mean_s.filter(|_| self.now_ms >= OPENS_MS);
        let who = &mut self.people[person];
        // Those who stay are asked later whether what they were told was true.
        if self.now_ms > OPENS_MS + 40_000 && who.steady && who.told.is_none() {
            let band = eta::band(ahead, rate, room.rate.spread(), self.set.per_s);
            who.told = band.map(|(from_s, to_s)| (self.now_ms, from_s, to_s));
        }
        self.sleep(person, eta::poll_after_ms(ahead, mean_s, POLL_MAX_MS, jitter));
    }

    /// They see that they were called.
    fn turn(&mut self, person: usize) {
        let who = &mut self.people[person];
        if self.now_ms - who.called_ms > CLAIM_WINDOW_MS {
            return self.come_late(person);
        }
        if !who.steady && self.rng.random_bool(0.2) {
            who.state = State::Gone;
            return;
        }
        who.state = State::Claiming;
        let ms = self.rng.random_range(500..6_000);
        self.sleep(person, ms);
    }

    fn come_late(&mut self, person: usize) {
        let who = &mut self.people[person];
        who.state = State::Late;
        self.seen.late_entries += 1;
        self.seen.steady_late += u32::from(who.steady);
        let since = (self.budget_passed, self.late_called);
        self.late.insert((who.rank, person), LateEntry { person, since });
        self.sleep(person, 3_000);
    }

    /// As the script does it.
    fn claim(&mut self, person: usize) {
        if self.now_ms - self.people[person].called_ms > CLAIM_WINDOW_MS {
            return self.come_late(person);
        }
        if self.active >= self.set.capacity + self.set.slack {
            self.seen.refused += 1;
            return self.sleep(person, 1_000);
        }
        self.people[person].state = State::Inside;
        self.active += 1;
        self.seen.claims += 1;
        self.seen.peak = self.seen.peak.max(self.active);
        let stay_ms = -(1.0 - self.rng.random::<f64>()).ln() * self.set.stay_ms;
        self.sleep(person, stay_ms.min(5.0 * self.set.stay_ms) as i64);
    }
}

fn burst(set: Setting) -> f64 {
    set.per_s / 2.0
}

fn push(agenda: &mut Vec<Vec<usize>>, at_ms: i64, person: usize) {
    let tick = (at_ms / TICK_MS) as usize + 1;
    if agenda.len() <= tick {
        agenda.resize(tick + 1, vec![]);
    }
    agenda[tick].push(person);
}

fn simulate(set: Setting) {
    let mut room = Room::new(set);
    room.run();
    let (seen, people) = (&room.seen, &room.people);
    println!("{} s: {seen:?}", room.now_ms / 1_000);
    assert!(seen.peak <= set.capacity + set.slack);
    assert!(seen.refused * 100 <= seen.claims, "too many were called: {seen:?}");
    assert_eq!(seen.steady_late, 0, "somebody who was there all the time missed the turn");
    assert!(people.iter().all(|person| matches!(person.state, State::Done | State::Gone)));
    assert!(people.iter().filter(|person| person.steady).all(|person| person.state == State::Done));
    // Service by a token bucket is steadier than chance, so more than the 90 of a hundred may be in their spans.
    assert!(seen.held * 100 >= seen.told * 75 && seen.told > 2_000, "spans did not hold: {seen:?}");
    assert!(seen.late_entries > 50, "nothing was tried: {seen:?}");

    let minute = (60_000 / TICK_MS) as usize;
    let most = set.per_s * 60.0 + burst(set);
    assert!(room.called.windows(minute).all(|called| f64::from(called.iter().sum::<u32>()) <= most));

    // Among those who were there all the time the order is that of the ranks.
    for lane in &room.lanes {
        let steady = lane.owner.iter().skip(1).map(|person| &people[*person]).filter(|person| person.steady);
        assert!(steady.map(|person| person.called_ms).is_sorted());
    }
}

#[test]
fn a_room_bound_by_its_rate() {
    simulate(Setting { seed: 1, capacity: 2_000, slack: 50, per_s: 100.0, stay_ms: 12_000.0 });
}

#[test]
fn a_room_bound_by_its_capacity() {
    simulate(Setting { seed: 2, capacity: 1_000, slack: 30, per_s: 150.0, stay_ms: 11_000.0 });
}

#[test]
fn a_room_faster_than_people_come() {
    simulate(Setting { seed: 3, capacity: 8_000, slack: 100, per_s: 400.0, stay_ms: 15_000.0 });
}
