//! Looks at the room four times a second while a crowd is in it, and puts the orders of each second beside what the brake
//! was then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::course::{Course, Moment, Orders, Stage};
use crate::Failure;
use crate::report;
use crate::room::{Public, Room};
use crate::scenarios::sale_day::{Day, Kind};
use crate::tally::{Quantiles, Times};

/// The leader makes a picture so often.
const LOOK_GAP: Duration = Duration::from_millis(250);
const ROW: Duration = Duration::from_secs(1);
/// Answers about the room that may fail in a row: an overloaded machine may be slow to say how it is.
const FAILURES_MAX: u32 = 20;
const COLUMNS: [&str; 9] =
    ["second", "brake", "called/s max", "inside", "waiting", "orders/s", "order p99 ms", "confirm p99", "failed"];

pub struct Watch<'a> {
    room: &'a Room,
    days: &'a [Arc<Day>; 2],
    begun: Instant,
    begun_at: Timestamp,
    newest: Option<Public>,
    crowd_over_s: f64,
    pub course: Course,
    stages: [Orders; Stage::ALL.len()],
    others: BTreeMap<&'static str, Times>,
    rows: Vec<Vec<f64>>,
    row_at: Instant,
    failed: u64,
}

impl<'a> Watch<'a> {
    pub fn new(room: &'a Room, days: &'a [Arc<Day>; 2], begun: Instant, crowd_over_s: f64) -> Watch<'a> {
        // The run begins in an instant, and both clocks with it.
        let ahead = begun.saturating_duration_since(Instant::now());
        Watch {
            room,
            days,
            begun,
            begun_at: Timestamp::now() + ahead,
            newest: None,
            crowd_over_s,
            course: Course::default(),
            stages: Default::default(),
            others: BTreeMap::new(),
            rows: Vec::new(),
            row_at: begun,
            failed: 0,
        }
    }

    pub async fn until(&mut self, over: &AtomicBool) -> Result<(), Failure> {
        let mut failures = 0;
        tokio::time::sleep_until(self.begun.into()).await;
        while !over.load(Ordering::Relaxed) {
            match self.room.public().await {
                Ok(public) => {
                    failures = 0;
                    self.look(public);
                    if self.row_at.elapsed() >= ROW {
                        self.row();
                    }
                }
                Err(why) if failures >= FAILURES_MAX => return Err(why),
                Err(_) => failures += 1,
            }
            tokio::time::sleep(LOOK_GAP).await;
        }
        if let Ok(public) = self.room.public().await {
            self.look(public);
            self.row();
        }
        Ok(())
    }

    /// By the leader's clock, however long the answer took, and only what is newer: instances are not equally quick to
    /// show a picture.
    fn look(&mut self, public: Public) {
        if self.newest.as_ref().is_some_and(|newest| newest.as_of >= public.as_of) {
            return;
        }
        let at_ms = public.as_of.as_millisecond() - self.begun_at.as_millisecond();
        self.course.add(Moment { at_s: at_ms as f64 / 1_000.0, brake: public.brake });
        self.newest = Some(public);
    }

    /// What was answered since the last row.
    fn row(&mut self) {
        let Some(public) = &self.newest else { return };
        let stage = self.course.stage(self.crowd_over_s);
        let mut steps = self.days[0].shop.ledger.take_times();
        let orders = steps.remove(Kind::Order.name()).unwrap_or_default();
        let confirm_p99_ms = steps.get(Kind::Confirm.name()).map_or(0.0, |times| times.quantiles().p99_ms);
        for (name, times) in steps {
            self.others.entry(name).or_default().add(&times);
        }
        let failed = self.days.iter().map(|day| day.calls.failed(Kind::Order)).sum::<u64>();
        let fresh = failed.saturating_sub(self.failed);
        self.failed = failed;
        self.stages[stage as usize].add(&orders, fresh);
        let (now, answered) = (Instant::now(), orders.quantiles());
        let passed_s = now.duration_since(self.row_at).as_secs_f64().max(0.001);
        self.row_at = now;
        self.rows.push(vec![
            (now.duration_since(self.begun).as_secs_f64() * 10.0).round() / 10.0,
            public.brake,
            public.rate_per_s,
            public.active as f64,
            public.waiting() as f64,
            (answered.count as f64 / passed_s).round(),
            answered.p99_ms,
            confirm_p99_ms,
            fresh as f64,
        ]);
    }

    pub fn orders(&self, stage: Stage) -> &Orders {
        &self.stages[stage as usize]
    }

    /// Orders that were sent, tries that were repeated included, and how many of them failed.
    pub fn tried(&self) -> (u64, u64) {
        let count = |orders: &Orders| (orders.times.quantiles().count, orders.failed);
        self.stages.iter().map(count).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// The same of the calls by which one pays: the brake does not look at them.
    pub fn paid(&self) -> (u64, u64) {
        [Kind::Initialize, Kind::Confirm].iter().fold((0, 0), |(tried, failed), kind| {
            let count = self.others.get(kind.name()).map_or(0, |times| times.quantiles().count);
            (tried + count, failed + self.days.iter().map(|day| day.calls.failed(*kind)).sum::<u64>())
        })
    }

    pub fn steps(&self) -> BTreeMap<&'static str, Quantiles> {
        let orders = Stage::ALL.iter().map(|stage| (stage.order_step(), &self.orders(*stage).times));
        let all = self.others.iter().map(|(name, times)| (*name, times)).chain(orders);
        all.map(|(name, times)| (name, times.quantiles())).filter(|(_, times)| times.count > 0).collect()
    }

    pub fn table(&self) -> report::Course {
        let name = "the brake, and the orders answered in each second".to_owned();
        report::Course { name, columns: COLUMNS.to_vec(), rows: self.rows.clone() }
    }
}
