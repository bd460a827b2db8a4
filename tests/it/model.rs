//! The stock's scripts against a plain Rust model, with random operations.

use std::collections::BTreeMap;

use admit::stock::model::{Line, lines};
use admit::stock::redis::{self, Ask, Freed, Pass, Release, Take};
use admit::waiting_room::model::Phase;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::support::TestApp;

const CODE: &str = "mod";
const STOCKS: i32 = 3;
const PEOPLE: u8 = 3;

#[derive(Clone, Debug, PartialEq)]
struct Flight {
    at_ms: i64,
    fingerprint: u8,
    person: Option<u8>,
    places: i32,
    lines: Vec<Line>,
}

/// What the scripts' contracts say, and nothing else.
#[derive(Default)]
struct Model {
    ready: bool,
    epoch: i64,
    free: BTreeMap<i32, i64>,
    flight: BTreeMap<u8, Flight>,
    used: BTreeMap<u8, i32>,
    open: BTreeMap<u8, i32>,
}

struct Wish {
    hold: u8,
    fingerprint: u8,
    person: u8,
    places: i32,
    allowed: Option<i32>,
    open_max: Option<i32>,
    lines: Vec<Line>,
}

impl Model {
    fn take(&mut self, wish: &Wish, now_ms: i64) -> Take {
        if !self.ready {
            return Take::Unready;
        }
        if let Some(flight) = self.flight.get(&wish.hold) {
            if flight.fingerprint != wish.fingerprint {
                return Take::OtherBody;
            }
            return Take::Repeat { epoch: self.epoch, at_ms: flight.at_ms };
        }
        if wish.lines.iter().any(|l| !self.free.contains_key(&l.stock_id)) {
            return Take::Unready;
        }
        if let Some(line) = wish.lines.iter().find(|l| self.free[&l.stock_id] < i64::from(l.quantity)) {
            return Take::SoldOut { stock_id: line.stock_id };
        }
        let (used, open) =
            (self.used.get(&wish.person).copied().unwrap_or(0), self.open.get(&wish.person).copied().unwrap_or(0));
        if wish.allowed.is_some_and(|allowed| used + wish.places > allowed) {
            return Take::PersonLimit;
        }
        if wish.open_max.is_some_and(|most| open >= most) {
            return Take::OpenHolds;
        }
        let counted = wish.allowed.is_some() || wish.open_max.is_some();
        if counted {
            self.count(wish.person, wish.places, 1);
        }
        for line in &wish.lines {
            *self.free.get_mut(&line.stock_id).unwrap() -= i64::from(line.quantity);
        }
        self.flight.insert(
            wish.hold,
            Flight {
                at_ms: now_ms,
                fingerprint: wish.fingerprint,
                person: counted.then_some(wish.person),
                places: wish.places,
                lines: wish.lines.clone(),
            },
        );
        Take::Taken { epoch: self.epoch, at_ms: now_ms }
    }

    fn count(&mut self, person: u8, places: i32, open: i32) {
        let used = self.used.get(&person).copied().unwrap_or(0) + places;
        let holds = self.open.get(&person).copied().unwrap_or(0) + open;
        self.used.insert(person, used.max(0));
        self.open.insert(person, holds.max(0));
    }

    fn give_back(&mut self, hold: u8, at_ms: Option<i64>) -> bool {
        let fits = self.ready && self.flight.get(&hold).is_some_and(|f| at_ms.is_none_or(|at| at == f.at_ms));
        if fits && let Some(flight) = self.flight.remove(&hold) {
            for line in &flight.lines {
                *self.free.get_mut(&line.stock_id).unwrap() += i64::from(line.quantity);
            }
            if let Some(person) = flight.person {
                self.count(person, -flight.places, -1);
            }
        }
        fits
    }

    fn release(&mut self, freed: &Freed) -> Release {
        if !self.ready {
            return Release::Unready;
        }
        if freed.epoch != self.epoch {
            return Release::OtherEpoch(self.epoch);
        }
        if freed.stocks.iter().any(|(id, _)| !self.free.contains_key(id)) {
            return Release::Unready;
        }
        for (id, places) in &freed.stocks {
            *self.free.get_mut(id).unwrap() += i64::from(*places);
        }
        for (person, places, open) in &freed.people {
            self.count(person[0], *places, *open);
        }
        Release::Released
    }

    fn rebuild(&mut self, epoch: i64, free: &[(i32, i32)]) -> bool {
        if self.ready && self.epoch >= epoch {
            return false;
        }
        *self = Model {
            ready: true,
            epoch,
            free: free.iter().map(|(id, n)| (*id, i64::from(*n))).collect(),
            ..Model::default()
        };
        true
    }
}

fn wish(random: &mut SmallRng) -> Wish {
    let count = random.random_range(1..=2);
    // Stock STOCKS + 1 exists nowhere.
    let mut parts = Vec::new();
    for _ in 0..count {
        let nowhere = i32::from(random.random_bool(0.03));
        parts.push((random.random_range(1..=STOCKS + nowhere), random.random_range(1..=4)));
    }
    let lines = lines(parts);
    // Without a limit nobody's places are counted, only their open holds.
    let allowed = random.random_bool(0.5).then(|| random.random_range(1..20));
    let counted = allowed.is_some() || random.random_bool(0.5);
    Wish {
        hold: random.random_range(0..12),
        fingerprint: random.random_range(0..2),
        person: random.random_range(0..PEOPLE),
        places: if counted { lines.iter().map(|l| l.quantity).sum() } else { 0 },
        allowed,
        open_max: random.random_bool(0.5).then(|| random.random_range(1..5)),
        lines,
    }
}

#[tokio::test]
async fn the_scripts_keep_their_contracts_under_random_operations() {
    let app = TestApp::start().await;
    let r = &app.app().redis;
    for seed in 0..4 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut model = Model::default();
        let code = format!("{CODE}{seed}");
        for step in 0..600_i64 {
            let now_ms = 1_000_000 + step;
            match random.random_range(0..100) {
                0..60 => {
                    let w = wish(&mut random);
                    let ask = Ask {
                        code: &code,
                        hold_id: &[w.hold; 16],
                        fingerprint: &[w.fingerprint; 16],
                        person: &[w.person; 16],
                        places: w.places,
                        allowed: w.allowed,
                        open_holds_max: w.open_max,
                        pass: Pass::None,
                        lines: &w.lines,
                    };
                    let got = redis::take(r, &ask, now_ms).await.unwrap();
                    assert_eq!(got, model.take(&w, now_ms), "seed {seed} step {step}");
                }
                60..75 => {
                    let hold = random.random_range(0..12);
                    let at_ms = random.random_bool(0.7).then(|| model.flight.get(&hold).map_or(0, |f| f.at_ms));
                    let at_ms = if random.random_bool(0.1) { Some(1) } else { at_ms };
                    let got = redis::give_back(r, &code, &[hold; 16], at_ms).await.unwrap();
                    assert_eq!(got, model.give_back(hold, at_ms), "seed {seed} step {step}");
                }
                75..85 => {
                    let hold = random.random_range(0..12);
                    redis::confirm(r, &code, &[[hold; 16]]).await.unwrap();
                    model.flight.remove(&hold);
                }
                85..95 => {
                    let freed = Freed {
                        epoch: model.epoch - i64::from(random.random_bool(0.2)),
                        stocks: vec![(random.random_range(1..=STOCKS), random.random_range(1..4))],
                        people: vec![([random.random_range(0..PEOPLE); 16], -random.random_range(0..3), -1)],
                    };
                    let got = redis::release(r, &code, &freed).await.unwrap();
                    assert_eq!(got, model.release(&freed), "seed {seed} step {step}");
                }
                _ => {
                    let epoch = model.epoch + random.random_range(0..2);
                    let free: Vec<_> = (1..=STOCKS).map(|id| (id, random.random_range(0..30))).collect();
                    let got = redis::rebuild(r, &code, epoch.max(1), Phase::Idle, &free).await.unwrap();
                    assert_eq!(got, model.rebuild(epoch.max(1), &free), "seed {seed} step {step}");
                }
            }
            compare(r, &code, &model, seed, step).await;
        }
    }
    app.finish().await;
}

async fn compare(r: &admit::platform::redis::Redis, code: &str, model: &Model, seed: u64, step: i64) {
    let levels = redis::levels(r, code, true).await.unwrap();
    let Some(levels) = levels else {
        assert!(!model.ready, "seed {seed} step {step}");
        return;
    };
    assert_eq!(levels.epoch, model.epoch);
    let free: BTreeMap<i32, i64> = levels.free.into_iter().collect();
    assert_eq!(free, model.free, "seed {seed} step {step}");
    assert!(free.values().all(|n| *n >= 0));
    let flight: BTreeMap<u8, (i64, Vec<Line>)> =
        levels.in_flight.into_iter().map(|t| (t.hold_id[0], (t.at_ms, t.lines))).collect();
    let expected: BTreeMap<u8, (i64, Vec<Line>)> =
        model.flight.iter().map(|(hold, f)| (*hold, (f.at_ms, f.lines.clone()))).collect();
    assert_eq!(flight, expected, "seed {seed} step {step}");
}
