//! The simulated company: everything it knows, and the few acts that are neither a call nor a control.

use crate::clock::{Clock, DAY_MS, MINUTE_MS};
use crate::counts::Counts;
use crate::faults::Faults;
use crate::idempotency::{self, Bound};
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::payment::{Failure, Status};
use crate::refusal::{Refusal, refuse};
use crate::settings::{Options, Settings};
use crate::store::{Held, Store};
use crate::webhooks::{Job, Webhooks};
use simulator_common::agenda::Agenda;
use simulator_common::keys::Keys;
use simulator_common::outage::Outage;
use simulator_common::{Text, lock};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

pub const READY_MS: i64 = 30 * MINUTE_MS;
pub const IN_PROGRESS_MS: i64 = 10 * MINUTE_MS;
/// Money refunded to an account leaves two days later.
pub const REFUND_MS: i64 = 2 * DAY_MS;

/// What is to happen later.
pub enum Due {
    /// 30 minutes without authentication or 10 without confirm.
    Expire(Text),
    /// The last moment for a deposit.
    DepositOver(Text),
    /// The money of a refunded deposit has left.
    RefundSent(Text),
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
    pub idempotency: Arc<Keys<Bound>>,
    pub faults: Faults,
    pub outage: Outage,
    pub limits: Limits,
    pub counts: Counts,
    pub webhooks: Webhooks,
    pub stop: watch::Receiver<bool>,
    options: RwLock<Options>,
}

impl Sim {
    pub fn new(settings: Settings, origin: String, webhooks: Webhooks, stop: watch::Receiver<bool>) -> Self {
        let options = Options { latency_ms: settings.latency_ms, ..settings.options };
        Self {
            origin,
            clock: Clock::new(settings.time_scale),
            store: Store::new(),
            ledger: Ledger::default(),
            agenda: Agenda::default(),
            idempotency: idempotency::keys(settings.idempotency_max),
            faults: Faults::default(),
            outage: Outage::default(),
            limits: Limits::default(),
            counts: Counts::default(),
            webhooks,
            stop,
            options: RwLock::new(options),
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
        self.webhooks.reset(self.settings.webhook_url.as_deref());
        self.agenda.clear();
        self.store.clear();
        self.ledger.clear();
        self.idempotency.clear();
        self.faults.clear();
        // Ending a schedule cannot fail.
        let _ = self.faults.set_random(None);
        self.outage.end();
        self.limits.clear();
        self.counts.clear();
        self.clock.rewind();
        self.set_options(Options { latency_ms: self.settings.latency_ms, ..self.settings.options });
    }

    /// Does everything whose time has come by the simulated clock.
    pub fn run_due(&self) {
        while let Some(due) = self.agenda.pop(self.clock.now_ms()) {
            match due {
                Due::Expire(key) => self.with(&key, |sim, held| sim.expire_if_due(held)),
                Due::DepositOver(key) => self.with(&key, |sim, held| {
                    sim.mark_deposit_over(held);
                    None
                }),
                Due::RefundSent(key) => self.with(&key, |_, held| {
                    if let Some(account) = &mut held.object.virtual_account {
                        // What the bank has sent back does not arrive any more.
                        if account.refund_status == "PENDING" {
                            account.refund_status = "COMPLETED";
                        }
                    }
                    None
                }),
                Due::Deliver(job) => self.redeliver(job),
                Due::LetGo(order_id) => self.let_go(&order_id),
            }
        }
    }

    fn with(&self, payment_key: &str, act: impl FnOnce(&Self, &mut Held) -> Option<Vec<Job>>) {
        if let Some(entry) = self.store.get(payment_key) {
            let jobs = act(self, &mut lock(&entry));
            jobs.into_iter().flatten().for_each(|job| self.post(job));
        }
    }

    /// Does what falls due, for as long as the simulator runs.
    pub async fn keep_time(self: Arc<Self>) {
        self.agenda.keep(&self.clock, self.stop.clone(), || self.run_due()).await;
    }

    /// Whichever of the two clocks applies. Also asked on every access, so that no call can be ahead of the timer.
    /// Some if the payment expired just now.
    pub fn expire_if_due(&self, held: &mut Held) -> Option<Vec<Job>> {
        let open = matches!(held.object.status, Status::Ready | Status::InProgress);
        if !open || self.clock.now_ms() < held.terms.deadline_ms {
            return None;
        }
        let payment = &mut held.object;
        payment.status = Status::Expired;
        (payment.method, payment.secret, payment.receipt, payment.use_escrow) = (None, None, None, None);
        payment.failure =
            Some(Failure { code: "EXPIRED_PAYMENT".into(), message: refuse("EXPIRED_PAYMENT").ko.into_owned() });
        self.counts.expired.fetch_add(1, Relaxed);
        Some(self.events(payment, &payment.to_json()))
    }

    /// An account past its due date stays WAITING_FOR_DEPOSIT and tells nobody; only its flag changes.
    pub fn mark_deposit_over(&self, held: &mut Held) {
        let over = self.clock.now_ms() >= held.terms.deposit_due_ms;
        if let Some(account) = &mut held.object.virtual_account
            && over
            && held.object.status == Status::WaitingForDeposit
        {
            account.expired = true;
        }
    }

    /// A refused approval: the payment is over and its owner is told.
    pub fn abort(&self, held: &mut Held, why: &Refusal) -> Vec<Job> {
        held.object.status = Status::Aborted;
        held.object.failure = Some(Failure { code: why.code.to_string(), message: why.ko.to_string() });
        self.counts.declined.fetch_add(1, Relaxed);
        self.events(&held.object, &held.object.to_json())
    }
}
