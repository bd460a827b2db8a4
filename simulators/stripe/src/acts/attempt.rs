//! One attempt to pay: from the API's confirm, the buyer's window or a tester.

use super::unexpected_state;
use crate::acts::capture;
use crate::charge::Charge;
use crate::declines::Decline;
use crate::ids;
use crate::intent::{Capture, Status};
use crate::method::Method;
use crate::refusal::{Refusal, rate_limited};
use crate::sim::{Cause, Due, Sim};
use crate::store::Held;
use crate::webhooks::Job;
use simulator_common::Text;
use simulator_common::address::with_query;
use simulator_common::clock::DAY_MS;
use std::sync::atomic::Ordering::Relaxed;

/// Attempts at one intent; a real buyer gives up long before.
const ATTEMPTS_MAX: usize = 50;

#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Succeed,
    /// The bank refuses.
    Decline(Decline),
    /// The buyer has to prove who they are first, in the window.
    NeedAction,
    /// Nobody knows yet; another attempt decides.
    Process,
    /// The buyer turned away; no charge was tried.
    TurnAway(Decline),
}

/// What an attempt led to: a refusal is an answer here, and the attempt happened all the same.
pub type Attempted = (Option<Refusal>, Vec<Job>);

pub fn attempt(sim: &Sim, held: &mut Held, method: Method, fate: Fate, cause: &Cause) -> Result<Attempted, Refusal> {
    open(held)?;
    if held.charges.len() >= ATTEMPTS_MAX {
        return Err(rate_limited());
    }
    let now_ms = sim.clock.now_ms();
    held.intent.action_url = None;
    match fate {
        Fate::Succeed => Ok((None, succeed(sim, held, method, cause))),
        Fate::Decline(decline) => {
            let charge = charge(sim, held, &method, Some(decline));
            Ok(fail(sim, held, &method, decline, Some(charge), cause))
        }
        Fate::TurnAway(decline) => Ok(fail(sim, held, &method, decline, None, cause)),
        Fate::NeedAction => {
            let return_url = held.intent.return_url.clone().unwrap_or_default();
            let window = format!("{}/window/{}", sim.origin, held.intent.id);
            let pairs = [("client_secret", &*held.intent.client_secret), ("return_url", &return_url)];
            held.intent.action_url = Some(with_query(&window, &pairs));
            held.intent.method = Some(method);
            held.become_status(now_ms, Status::RequiresAction);
            Ok((None, sim.intent_event("payment_intent.requires_action", &held.intent, cause).into_iter().collect()))
        }
        Fate::Process => {
            held.intent.method = Some(method);
            held.become_status(now_ms, Status::Processing);
            Ok((None, sim.intent_event("payment_intent.processing", &held.intent, cause).into_iter().collect()))
        }
    }
}

/// Whether anything can still be paid.
pub fn open(held: &Held) -> Result<(), Refusal> {
    let intent = &held.intent;
    match intent.status {
        Status::RequiresPaymentMethod | Status::RequiresConfirmation => Ok(()),
        Status::RequiresAction | Status::Processing => Ok(()),
        Status::Succeeded | Status::RequiresCapture => {
            let message = "You cannot confirm this PaymentIntent because it has already succeeded after being \
                           previously confirmed.";
            Err(unexpected_state(intent, message.into()))
        }
        Status::Canceled => {
            let message = "You cannot confirm this PaymentIntent because it has a status of canceled. Only a \
                           PaymentIntent with one of the following statuses may be confirmed: requires_confirmation, \
                           requires_action.";
            Err(unexpected_state(intent, message.into()))
        }
    }
}

fn succeed(sim: &Sim, held: &mut Held, method: Method, cause: &Cause) -> Vec<Job> {
    let now_ms = sim.clock.now_ms();
    charge(sim, held, &method, None);
    held.intent.last_error = None;
    held.intent.method = Some(method);
    sim.counts.authorised.add(held.intent.amount);
    if held.intent.capture != Capture::Manual {
        let amount = held.intent.amount;
        let mut jobs = capture::take(sim, held, amount, cause);
        jobs.extend(charge_event(sim, held, "charge.succeeded", cause));
        return jobs;
    }
    let lapses_ms = now_ms + sim.options().authorisation_days * DAY_MS;
    held.lapses_ms = Some(lapses_ms);
    held.intent.amount_capturable = held.intent.amount;
    if let Some(charge) = held.latest_charge() {
        charge.capture_before_ms = Some(lapses_ms);
    }
    held.become_status(now_ms, Status::RequiresCapture);
    sim.agenda.at(lapses_ms, Due::Lapse(held.intent.id.clone()));
    let mut jobs: Vec<Job> = charge_event(sim, held, "charge.succeeded", cause).into_iter().collect();
    jobs.extend(sim.intent_event("payment_intent.amount_capturable_updated", &held.intent, cause));
    jobs
}

fn fail(
    sim: &Sim,
    held: &mut Held,
    method: &Method,
    decline: Decline,
    charge: Option<Text>,
    cause: &Cause,
) -> Attempted {
    let now_ms = sim.clock.now_ms();
    let shown = method.to_json(now_ms / 1_000);
    held.intent.last_error = Some(decline.to_json(charge.as_deref(), shown.clone()));
    // A refused method is taken off: the buyer is to choose another.
    held.intent.method = None;
    held.become_status(now_ms, Status::RequiresPaymentMethod);
    sim.counts.declined.fetch_add(1, Relaxed);
    let mut jobs: Vec<Job> = Vec::new();
    if charge.is_some() {
        jobs.extend(charge_event(sim, held, "charge.failed", cause));
    }
    jobs.extend(sim.intent_event("payment_intent.payment_failed", &held.intent, cause));
    let mut refusal = decline.refusal().with("payment_intent", held.intent.to_json()).with("payment_method", shown);
    if let Some(charge) = charge {
        refusal = refusal.with("charge", &*charge);
    }
    (Some(refusal), jobs)
}

/// Adds a charge over the whole amount and makes it the latest.
fn charge(sim: &Sim, held: &mut Held, method: &Method, failure: Option<Decline>) -> Text {
    let intent = &held.intent;
    let id = ids::fresh(if method.kind.is_card() { "ch" } else { "py" });
    let charge = Charge {
        id: id.clone(),
        intent: intent.id.clone(),
        created_ms: sim.clock.now_ms(),
        amount: intent.amount,
        captured: false,
        amount_captured: 0,
        amount_refunded: 0,
        amount_released: 0,
        disputed: false,
        failure,
        method: method.clone(),
        capture_before_ms: None,
        balance_transaction: None,
        description: intent.description.clone(),
        receipt_email: intent.receipt_email.clone(),
        suffix: intent.suffix.clone(),
        metadata: intent.metadata.clone(),
    };
    sim.store.add_charge(&intent.id, &id);
    held.charges.push(charge);
    held.intent.latest_charge = Some(id.clone());
    id
}

pub fn charge_event(sim: &Sim, held: &mut Held, name: &'static str, cause: &Cause) -> Option<Job> {
    let about = held.intent.id.clone();
    let charge = held.latest_charge()?;
    let status = if charge.failure.is_some() { "failed" } else { "succeeded" };
    sim.event(name, &about, status, || charge.to_json(), None, cause)
}
