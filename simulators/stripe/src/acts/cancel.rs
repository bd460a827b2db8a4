//! A payment is given up: by the server, at the dashboard, or because nobody captured it in time.

use super::{attempt::charge_event, unexpected_state};
use crate::intent::Status;
use crate::refusal::Refusal;
use crate::sim::{Cause, Sim};
use crate::store::Held;
use crate::webhooks::Job;
use serde_json::json;
use std::sync::atomic::Ordering::Relaxed;

pub const REASONS: [(&str, &str); 4] = [
    ("duplicate", "duplicate"),
    ("fraudulent", "fraudulent"),
    ("requested_by_customer", "requested_by_customer"),
    ("abandoned", "abandoned"),
];

pub fn cancel(sim: &Sim, held: &mut Held, reason: Option<&'static str>, cause: &Cause) -> Result<Vec<Job>, Refusal> {
    let intent = &held.intent;
    match intent.status {
        Status::RequiresPaymentMethod | Status::RequiresConfirmation => {}
        Status::RequiresAction | Status::RequiresCapture => {}
        Status::Processing | Status::Succeeded | Status::Canceled => {
            let message = format!(
                "You cannot cancel this PaymentIntent because it has a status of {}. Only a PaymentIntent with one of \
                 the following statuses may be canceled: requires_payment_method, requires_capture, \
                 requires_confirmation, requires_action, processing.",
                intent.status.name()
            );
            return Err(unexpected_state(intent, message));
        }
    }
    let mut jobs = Vec::new();
    if release(held) {
        let about = held.intent.id.clone();
        let before = json!({ "amount_refunded": 0, "refunded": false });
        // Stripe tells of a released authorisation as of a refund; only `captured: false` shows the difference.
        if let Some(charge) = held.latest_charge() {
            jobs.extend(sim.event("charge.refunded", &about, "succeeded", || charge.to_json(), Some(before), cause));
        }
    }
    jobs.extend(finish(sim, held, reason, cause));
    sim.counts.canceled.fetch_add(1, Relaxed);
    Ok(jobs)
}

/// An authorisation past its days is cancelled by Stripe, which says so. Also asked on every access, so that no call
/// can be ahead of the timer.
pub fn lapse_if_due(sim: &Sim, held: &mut Held) -> Vec<Job> {
    let due = held.lapses_ms.is_some_and(|at_ms| sim.clock.now_ms() >= at_ms);
    if !due || held.intent.status != Status::RequiresCapture {
        return Vec::new();
    }
    release(held);
    let cause = Cause::default();
    let mut jobs: Vec<Job> = charge_event(sim, held, "charge.expired", &cause).into_iter().collect();
    jobs.extend(finish(sim, held, Some("automatic"), &cause));
    sim.counts.expired.fetch_add(1, Relaxed);
    jobs
}

/// Lets go of an authorisation; false if there is none.
fn release(held: &mut Held) -> bool {
    if held.intent.status != Status::RequiresCapture {
        return false;
    }
    held.lapses_ms = None;
    held.intent.amount_capturable = 0;
    if let Some(charge) = held.latest_charge() {
        charge.amount_released = charge.amount;
    }
    true
}

fn finish(sim: &Sim, held: &mut Held, reason: Option<&'static str>, cause: &Cause) -> Option<Job> {
    let now_ms = sim.clock.now_ms();
    held.intent.canceled_ms = Some(now_ms);
    held.intent.cancellation_reason = reason;
    held.intent.action_url = None;
    held.become_status(now_ms, Status::Canceled);
    sim.intent_event("payment_intent.canceled", &held.intent, cause)
}
