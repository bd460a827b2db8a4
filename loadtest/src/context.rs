//! One run from beginning to end: what every scenario shares around its own load.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::Failure;
use crate::cli::Common;
use crate::cpu;
use crate::demo::Demo;
use crate::engine::{self, Window};
use crate::ledger::Ledger;
use crate::machine::{self, Machine};
use crate::memory::{self, Resident};
use crate::report::{Arrivals, Check, Course, Figure, Phase, Report};
use crate::room::Room;
use crate::shop::Shop;
use crate::sweep::Stores;
use crate::tally::Outcome;

/// Open files kept for the stores, the metrics and the runtime.
const FILES_SPARE: usize = 64;
/// From the issue; told, not required: the figure belongs to the machine it is measured on.
const INSTANCE_MB_TARGET: f64 = 100.0;

pub struct Context {
    pub options: Common,
    pub demo: Demo,
    pub ledger: Arc<Ledger>,
    stores: Option<Stores>,
    memory_before: Vec<Resident>,
    started_at: String,
    pub notes: Vec<String>,
    pub phases: Vec<Phase>,
    pub courses: Vec<Course>,
    pub figures: Vec<Figure>,
    pub checks: Vec<Check>,
    pub instance_mb_target: f64,
}

impl Context {
    /// `writes`: the stores are opened now and swept at the end.
    pub async fn open(options: Common, writes: bool) -> Result<Context, Failure> {
        let demo = Demo::read(&options.demo)?;
        let stores = if writes { Some(Stores::open(&demo, &options.redis_prefix).await?) } else { None };
        let memory_before = memory::read(&demo).await;
        Ok(Context {
            options,
            demo,
            ledger: Arc::default(),
            stores,
            memory_before,
            started_at: jiff::Timestamp::now().to_string(),
            notes: Vec::new(),
            phases: Vec::new(),
            courses: Vec::new(),
            figures: Vec::new(),
            checks: Vec::new(),
            instance_mb_target: INSTANCE_MB_TARGET,
        })
    }

    /// The one number a query comes to, in a run that writes.
    pub async fn one(&self, query: &str) -> Result<i64, Failure> {
        self.stores.as_ref().ok_or("this run looks at no store")?.one(query).await
    }

    /// A pool of its own, so that a crowd in one does not delay another inside the generator.
    pub fn shop(&self, connections_max: usize) -> Result<Arc<Shop>, Failure> {
        let files_max = machine::files_max();
        if connections_max + FILES_SPARE > files_max {
            return Err(format!(
                "{connections_max} connections need more open files than the {files_max} allowed: \
                 raise them (ulimit -n {}) or lower --connections",
                connections_max + FILES_SPARE * 2
            ));
        }
        let timeout = Duration::from_millis(self.options.timeout_ms);
        Shop::new(&self.demo, connections_max, timeout, Arc::clone(&self.ledger)).map(Arc::new)
    }

    /// One open loop over one window, with its CPU table.
    pub async fn open_phase<F, V>(&self, name: &str, shop: &Shop, window: Window, rate: f64, visit: F) -> Phase
    where
        F: Fn() -> V,
        V: Future<Output = Outcome> + Send + 'static,
    {
        eprintln!(
            "{name}: {rate:.0}/s for {:.0} s after {:.0} s of warm-up",
            window.length.as_secs_f64(),
            window.warmup.as_secs_f64()
        );
        let (mut phase, cpu) = tokio::join!(self.quiet_phase(name, shop, window, rate, visit), cpu::over(window));
        phase.cpu = cpu;
        phase
    }

    /// The same without a CPU table, for a loop that shares the window of another.
    pub async fn quiet_phase<F, V>(&self, name: &str, shop: &Shop, window: Window, rate: f64, visit: F) -> Phase
    where
        F: Fn() -> V,
        V: Future<Output = Outcome> + Send + 'static,
    {
        let schedule = window.schedule(rate, self.options.poisson);
        let (recorder, ()) = tokio::join!(engine::open_loop(window, schedule, visit), self.forget_warmup(shop, window));
        let mut phase = Phase::new(name, Arrivals::Open(rate), &recorder, &shop.site.take_waits());
        self.finish_phase(&mut phase, shop);
        phase
    }

    /// A closed loop over one window, with its CPU table: the ceiling, and nothing about latency.
    pub async fn closed_phase<F, V>(&self, name: &str, shop: &Shop, window: Window, workers: usize, visit: F) -> Phase
    where
        F: Fn() -> V + Clone + Send + 'static,
        V: Future<Output = Outcome> + Send + 'static,
    {
        eprintln!(
            "{name}: {workers} visitors for {:.0} s after {:.0} s of warm-up",
            window.length.as_secs_f64(),
            window.warmup.as_secs_f64()
        );
        let (recorder, cpu, ()) = tokio::join!(
            engine::closed_loop(window, workers, visit),
            cpu::over(window),
            self.forget_warmup(shop, window)
        );
        let mut phase = Phase::new(name, Arrivals::Closed, &recorder, &shop.site.take_waits());
        self.finish_phase(&mut phase, shop);
        phase.cpu = cpu;
        phase
    }

    /// Waits and steps of the warm-up are not part of the measure.
    pub async fn forget_warmup(&self, shop: &Shop, window: Window) {
        tokio::time::sleep_until(window.measured_from().into()).await;
        shop.site.take_waits();
        self.ledger.take_steps();
    }

    pub fn finish_phase(&self, phase: &mut Phase, shop: &Shop) {
        phase.steps = self.ledger.take_steps();
        phase.connections_opened = shop.site.opened();
        phase.resent = shop.site.resent();
    }

    /// How many instances told their memory before the run.
    pub fn memory_read(&self) -> usize {
        self.memory_before.iter().filter(|one| one.mb.is_some()).count()
    }

    /// After the load, whatever became of it. A room that stays behind in another state would spoil the next run.
    pub async fn give_back(&mut self, room: Room) {
        let given = room.give_back().await;
        let detail = given.as_ref().err().cloned().unwrap_or_else(|| "as it was, and empty".into());
        self.require("the room is given back", given.is_ok(), detail);
    }

    pub fn figure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure { name: name.into(), value: (value * 100.0).round() / 100.0, unit });
    }

    /// A promise whose breach fails the run.
    pub fn require(&mut self, name: &str, kept: bool, detail: String) {
        self.checks.push(Check { name: name.to_owned(), kept, required: true, detail });
    }

    /// A figure aimed at.
    pub fn target(&mut self, name: &str, kept: bool, detail: String) {
        self.checks.push(Check { name: name.to_owned(), kept, required: false, detail });
    }

    pub fn require_winners(&mut self) {
        let won: u64 = self.phases.iter().map(|phase| phase.tally.success).sum();
        self.require("somebody wins", won > 0, format!("{won} successes"));
    }

    /// Sweeps, reads memory again, and puts everything together.
    pub async fn close(mut self, scenario: &str) -> Report {
        let mut sweep = None;
        if let Some(mut stores) = self.stores.take() {
            eprintln!("sweeping the invariants");
            let swept = stores.sweep(&self.options.invariants).await;
            let broken = swept.broken();
            let detail = if broken.is_empty() { format!("all {}", swept.invariants.len()) } else { broken.join("; ") };
            self.require("invariants, and Redis agrees with Postgres", broken.is_empty(), detail);
            let acknowledged = self.ledger.acknowledged.load(Ordering::Relaxed);
            let added = swept.orders_added;
            let durable = u64::try_from(added).is_ok_and(|added| added >= acknowledged);
            let detail = format!("{acknowledged} acknowledged, {added} more in Postgres");
            self.require("every acknowledged order is in Postgres", durable, detail);
            sweep = Some(swept);
        }
        let memory_after = memory::read(&self.demo).await;
        if let Some(most) = memory_after.iter().filter_map(|one| one.mb).max_by(f64::total_cmp) {
            let target = self.instance_mb_target;
            self.target("memory of one instance", most < target, format!("{most} MB at most, target {target} MB"));
        }
        let passed = self.checks.iter().all(|check| check.kept || !check.required);
        Report {
            scenario: scenario.to_owned(),
            command: std::env::args().skip(1).collect(),
            started_at: self.started_at,
            machine: Machine::read(),
            notes: self.notes,
            phases: self.phases,
            courses: self.courses,
            figures: self.figures,
            memory_before: self.memory_before,
            memory_after,
            sweep,
            checks: self.checks,
            passed,
        }
    }
}
