//! Money on its way back: at once, or pending until it arrives or fails.

use crate::ids;
use crate::ledger::{Movement, Row};
use crate::method::RefundFate;
use crate::refund::{Refund, Status};
use crate::refusal::{Refusal, invalid};
use crate::sim::{Cause, Due, Sim};
use crate::store::Held;
use crate::webhooks::Job;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use simulator_common::html::grouped;
use simulator_common::{Text, lock};

/// Refunds of one payment; a shop that needs more has lost count.
const REFUNDS_MAX: usize = 200;
/// When the refund of Stripe's two special cards is settled.
const CARD_SETTLES_S: u32 = 60;

pub const REASONS: [(&str, &str); 3] =
    [("duplicate", "duplicate"), ("fraudulent", "fraudulent"), ("requested_by_customer", "requested_by_customer")];

/// What becomes of the next refunds, as the tester has it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manner {
    /// Whether a refund starts pending; otherwise it succeeds at once.
    pub pending: bool,
    /// What it becomes, `settle_after_s` later; without either, whatever `refund-settle` says.
    pub then: Option<Status>,
    pub settle_after_s: Option<u32>,
}

impl Manner {
    pub fn check(&self) -> Result<(), String> {
        if self.then == Some(Status::Pending) {
            return Err("then must be succeeded or failed".into());
        }
        if self.then.is_some() != self.settle_after_s.is_some() {
            return Err("then and settle_after_s come together".into());
        }
        if self.then.is_some() && !self.pending {
            return Err("only a pending refund is settled later".into());
        }
        Ok(())
    }
}

pub struct Ask {
    pub amount: Option<i64>,
    pub reason: Option<&'static str>,
    pub metadata: Map<String, Value>,
}

/// Refunds or changes nothing. Returns the new refund's place among the payment's refunds.
pub fn refund(sim: &Sim, held: &mut Held, ask: Ask, cause: &Cause) -> Result<(usize, Vec<Job>), Refusal> {
    let amount = allowed(held, ask.amount)?;
    let now_ms = sim.clock.now_ms();
    let intent = held.intent.id.clone();
    let id = ids::fresh("re");
    let Some(charge) = held.latest_charge() else {
        return Err(nothing_to_refund(&intent));
    };
    let before = json!({ "amount_refunded": charge.shown_refunded(), "refunded": false });
    charge.amount_refunded += amount;
    let (charge_id, method) = (charge.id.clone(), charge.method.clone());
    let (status, later) = fate(*lock(&sim.refunds), method.refunds);
    let balance_transaction = book(sim, Movement::Refund, method.kind.is_card(), -amount, &id);
    held.refunds.push(Refund {
        id: id.clone(),
        intent: intent.clone(),
        charge: charge_id,
        created_ms: now_ms,
        amount,
        status,
        reason: ask.reason,
        metadata: ask.metadata,
        method: method.kind.name(),
        balance_transaction,
        failure_balance_transaction: None,
        failure_reason: None,
    });
    sim.store.add_refund(&intent, &id, now_ms);
    sim.counts.refunded.add(amount);
    if let Some((then, after_s)) = later {
        sim.agenda.at(now_ms + i64::from(after_s) * 1_000, Due::SettleRefund(intent.clone(), id, then));
    }
    let at = held.refunds.len() - 1;
    let mut jobs = refund_events(sim, &held.refunds[at], &["refund.created"], None, cause);
    if let Some(charge) = held.latest_charge() {
        jobs.extend(sim.event("charge.refunded", &intent, "succeeded", || charge.to_json(), Some(before), cause));
    }
    Ok((at, jobs))
}

fn allowed(held: &mut Held, amount: Option<i64>) -> Result<i64, Refusal> {
    let intent = held.intent.id.clone();
    let refunds = held.refunds.len();
    let Some(charge) = held.latest_charge().filter(|charge| charge.captured && charge.failure.is_none()) else {
        return Err(nothing_to_refund(&intent));
    };
    let left = charge.refundable();
    if charge.disputed {
        let message = format!("Charge {} has been charged back; cannot issue a refund.", charge.id);
        return Err(invalid(message).code("charge_disputed"));
    }
    if left == 0 {
        let message = format!("Charge {} has already been refunded.", charge.id);
        return Err(invalid(message).code("charge_already_refunded"));
    }
    if refunds >= REFUNDS_MAX {
        return Err(invalid(format!("The simulator keeps {REFUNDS_MAX} refunds of one payment.")));
    }
    let amount = amount.unwrap_or(left);
    if amount > left {
        // Stripe sends no code with this one.
        let message = format!(
            "Refund amount (₩{}) is greater than unrefunded amount on charge (₩{})",
            grouped(amount),
            grouped(left)
        );
        return Err(invalid(message).param("amount"));
    }
    Ok(amount)
}

fn nothing_to_refund(intent: &str) -> Refusal {
    invalid(format!("This PaymentIntent ({intent}) does not have a successful charge to refund."))
}

/// How a refund starts, and what it becomes when. The card decides before the tester does.
fn fate(manner: Manner, card: RefundFate) -> (Status, Option<(Status, u32)>) {
    match card {
        RefundFate::Pending => (Status::Pending, Some((Status::Succeeded, CARD_SETTLES_S))),
        RefundFate::Fail => (Status::Succeeded, Some((Status::Failed, CARD_SETTLES_S))),
        RefundFate::AsTold if manner.pending => (Status::Pending, manner.then.zip(manner.settle_after_s)),
        RefundFate::AsTold => (Status::Succeeded, None),
    }
}

fn book(sim: &Sim, movement: Movement, card: bool, amount: i64, source: &Text) -> Text {
    let now_ms = sim.clock.now_ms();
    sim.ledger.book(Row {
        id: "".into(),
        movement,
        card,
        amount,
        fee: 0,
        created_ms: now_ms,
        // Money that leaves is gone at once.
        available_ms: now_ms,
        source: source.clone(),
        description: None,
    })
}

/// A refund arrives or fails; a failed one gives the money back to the balance and can be tried again. Even a
/// refund that succeeded may fail later, when the bank returns it; `only_open` is for the timer, which comes once.
pub fn settle(
    sim: &Sim,
    held: &mut Held,
    refund: &str,
    status: Status,
    reason: Option<String>,
    only_open: bool,
) -> Result<Vec<Job>, &'static str> {
    let Some(at) = held.refunds.iter().position(|known| &*known.id == refund) else {
        return Err("no such refund");
    };
    let before = held.refunds[at].status;
    let by_card = held.latest_charge().is_some_and(|charge| charge.method.refunds == RefundFate::Fail);
    match (before, status) {
        (_, Status::Pending) => return Err("a refund cannot become pending again"),
        (Status::Failed, _) => return Err("the refund has failed already"),
        (Status::Succeeded, Status::Succeeded) => return Err("the refund has succeeded already"),
        (Status::Succeeded, Status::Failed) if only_open && !by_card => return Err("the refund has succeeded already"),
        _ => {}
    }
    let (amount, id) = (held.refunds[at].amount, held.refunds[at].id.clone());
    held.refunds[at].status = status;
    let mut names = vec!["refund.updated", "charge.refund.updated"];
    if status == Status::Failed {
        let card = held.latest_charge().is_some_and(|charge| charge.method.kind.is_card());
        if let Some(charge) = held.latest_charge() {
            charge.amount_refunded -= amount;
        }
        held.refunds[at].failure_reason = Some(reason.unwrap_or_else(|| "expired_or_canceled_card".into()));
        held.refunds[at].failure_balance_transaction = Some(book(sim, Movement::RefundFailure, card, amount, &id));
        sim.counts.refunds_failed.add(amount);
        names.push("refund.failed");
    }
    let previous = json!({ "status": before });
    Ok(refund_events(sim, &held.refunds[at], &names, Some(previous), &Cause::default()))
}

fn refund_events(
    sim: &Sim,
    refund: &Refund,
    names: &[&'static str],
    previous: Option<Value>,
    cause: &Cause,
) -> Vec<Job> {
    let event = |name: &&'static str| {
        sim.event(name, &refund.intent, refund.status.name(), || refund.to_json(), previous.clone(), cause)
    };
    names.iter().filter_map(event).collect()
}
