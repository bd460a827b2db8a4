//! The money is taken: by the server after it has made sure of the places, or at once.

use super::{attempt::charge_event, unexpected_state};
use crate::intent::Status;
use crate::ledger::{Movement, Row};
use crate::refusal::{Refusal, invalid};
use crate::sim::{Cause, Sim};
use crate::store::Held;
use crate::webhooks::Job;
use simulator_common::clock::DAY_MS;

/// `POST .../capture`: all that was authorised or less, once; the rest is released.
pub fn capture(sim: &Sim, held: &mut Held, amount: Option<i64>, cause: &Cause) -> Result<Vec<Job>, Refusal> {
    let intent = &held.intent;
    if intent.status == Status::Succeeded {
        let message = "This PaymentIntent could not be captured because it has already been captured.";
        return Err(unexpected_state(intent, message.into()));
    }
    if intent.status != Status::RequiresCapture {
        let message = format!(
            "This PaymentIntent could not be captured because it has a status of {}. Only a PaymentIntent with one of \
             the following statuses may be captured: requires_capture.",
            intent.status.name()
        );
        return Err(unexpected_state(intent, message));
    }
    let amount = amount.unwrap_or(intent.amount_capturable);
    if amount > intent.amount_capturable {
        let message = format!(
            "The amount_to_capture (₩{amount}) is greater than the amount that can be captured (₩{}).",
            intent.amount_capturable
        );
        return Err(invalid(message).code("amount_too_large").param("amount_to_capture"));
    }
    let mut jobs = take(sim, held, amount, cause);
    jobs.extend(charge_event(sim, held, "charge.captured", cause));
    Ok(jobs)
}

/// Books the latest charge as captured and the intent as paid.
pub fn take(sim: &Sim, held: &mut Held, amount: i64, cause: &Cause) -> Vec<Job> {
    let (now_ms, options) = (sim.clock.now_ms(), sim.options());
    if let Some(charge) = held.latest_charge() {
        charge.captured = true;
        charge.amount_captured = amount;
        charge.amount_released = charge.amount - amount;
        charge.balance_transaction = Some(sim.ledger.book(Row {
            id: "".into(),
            movement: Movement::Charge,
            card: charge.method.kind.is_card(),
            amount,
            // Rounded half up, as every whole currency.
            fee: (amount * options.fee_bp + 5_000) / 10_000 + options.fee_fixed,
            created_ms: now_ms,
            available_ms: now_ms + options.available_days * DAY_MS,
            source: charge.id.clone(),
            description: charge.description.clone(),
        }));
    }
    held.lapses_ms = None;
    held.intent.amount_capturable = 0;
    held.intent.amount_received = amount;
    held.become_status(now_ms, Status::Succeeded);
    sim.counts.captured.add(amount);
    sim.intent_event("payment_intent.succeeded", &held.intent, cause).into_iter().collect()
}
