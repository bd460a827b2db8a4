//! The simulated company: everything it knows, and what happens without anybody asking.

use crate::acts::{self, refund::Manner};
use crate::counts::Counts;
use crate::faults::Faults;
use crate::ids;
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::refund;
use crate::settings::{Options, Settings};
use crate::store::{Entry, Held, Store};
use crate::webhooks::{Job, Webhooks};
use bytes::Bytes;
use simulator_common::agenda::Agenda;
use simulator_common::clock::{Clock, DAY_MS};
use simulator_common::keys::Keys;
use simulator_common::outage::Outage;
use simulator_common::{Text, lock};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::watch;

/// Idempotency keys may be forgotten after a day.
const KEY_LIFE_MS: i64 = DAY_MS;

/// The request behind a change, as events name it; a change made by nobody's request has neither.
#[derive(Clone, Default)]
pub struct Cause {
    pub request: Option<Text>,
    pub idempotency_key: Option<Text>,
}

/// An answer bound to an idempotency key, with the request that earned it.
#[derive(Clone)]
pub struct Bound {
    pub status: axum::http::StatusCode,
    pub body: Bytes,
    pub request: Text,
}

/// What is to happen later.
pub enum Due {
    /// An authorisation that nobody captured.
    Lapse(Text),
    /// A pending refund of this intent arrives, or fails.
    SettleRefund(Text, Text, refund::Status),
    Deliver(Job),
    /// A webhook kept back to be overtaken, and nobody overtook it.
    LetGo(Text),
}

pub struct Sim {
    pub settings: Settings,
    /// Origin of this simulator as browsers see it, without a slash at the end.
    pub origin: String,
    pub clock: Clock,
    pub store: Store,
    pub ledger: Ledger,
    pub agenda: Agenda<Due>,
    pub keys: Arc<Keys<Bound>>,
    pub faults: Faults,
    pub outage: Outage,
    pub limits: Limits,
    pub counts: Counts,
    pub webhooks: Webhooks,
    /// What becomes of refunds.
    pub refunds: Mutex<Manner>,
    pub stop: watch::Receiver<bool>,
    options: RwLock<Options>,
}

impl Sim {
    pub fn new(settings: Settings, origin: String, webhooks: Webhooks, stop: watch::Receiver<bool>) -> Self {
        Self {
            origin,
            clock: Clock::new(settings.time_scale),
            store: Store::default(),
            ledger: Ledger::default(),
            agenda: Agenda::default(),
            keys: Arc::new(Keys::new(settings.idempotency_max, KEY_LIFE_MS)),
            faults: Faults::default(),
            outage: Outage::default(),
            limits: Limits::default(),
            counts: Counts::default(),
            webhooks,
            refunds: Mutex::default(),
            stop,
            options: RwLock::new(settings.options),
            settings,
        }
    }

    pub fn options(&self) -> Options {
        *self.options.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_options(&self, options: Options) {
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = options;
    }

    /// Forgets every payment, key, fault, event and count, and takes the settings it was started with.
    pub fn reset(&self) {
        self.webhooks.reset(&self.settings);
        self.agenda.clear();
        self.store.clear();
        self.ledger.clear();
        self.keys.clear();
        self.faults.clear();
        // Ending a schedule cannot fail.
        let _ = self.faults.set_random(None);
        self.outage.end();
        self.limits.clear();
        self.counts.clear();
        *lock(&self.refunds) = Manner::default();
        self.clock.rewind();
        self.set_options(self.settings.options);
    }

    /// Does everything whose time has come by the simulated clock.
    pub fn run_due(&self) {
        while let Some(due) = self.agenda.pop(self.clock.now_ms()) {
            match due {
                Due::Lapse(intent) => self.alone(&intent, acts::cancel::lapse_if_due),
                Due::SettleRefund(intent, refund, status) => self.alone(&intent, |sim, held| {
                    // Settled by hand in the meantime: nothing left to do.
                    acts::refund::settle(sim, held, &refund, status, None, true).unwrap_or_default()
                }),
                Due::Deliver(job) => self.redeliver(job),
                Due::LetGo(intent) => self.let_go(&intent),
            }
        }
    }

    fn alone(&self, intent: &str, act: impl FnOnce(&Self, &mut Held) -> Vec<Job>) {
        if let Some(entry) = self.store.intent(intent) {
            let jobs = act(self, &mut lock(&entry));
            jobs.into_iter().for_each(|job| self.post(job));
        }
    }

    /// Does what falls due, for as long as the simulator runs.
    pub async fn keep_time(self: Arc<Self>) {
        self.agenda.keep(&self.clock, self.stop.clone(), || self.run_due()).await;
    }

    /// Works on one intent. What was due before is done first, so that no call can be ahead of the timer.
    pub fn work<T>(&self, entry: &Entry, act: impl FnOnce(&mut Held) -> (T, Vec<Job>)) -> (T, Vec<Job>) {
        let mut held = lock(entry);
        let mut jobs = acts::cancel::lapse_if_due(self, &mut held);
        let (done, more) = act(&mut held);
        jobs.extend(more);
        (done, jobs)
    }
}

impl Cause {
    /// A request of this caller.
    pub fn of(request: &Text, idempotency_key: Option<Text>) -> Self {
        Self { request: Some(request.clone()), idempotency_key }
    }

    /// A person at the dashboard: a request, but none of ours.
    pub fn dashboard() -> Self {
        Self { request: Some(ids::request()), idempotency_key: None }
    }
}
