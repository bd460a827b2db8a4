//! The buyer's bank takes the money back: a chargeback, with a fee.

use crate::ids;
use crate::ledger::{Movement, Row};
use crate::sim::{Cause, Sim};
use crate::store::Held;
use crate::webhooks::Job;
use serde_json::json;
use simulator_common::clock::DAY_MS;

/// Stripe's fee for a dispute, in won.
const FEE: i64 = 20_000;

pub fn dispute(sim: &Sim, held: &mut Held, reason: &str) -> Result<Vec<Job>, &'static str> {
    let now_ms = sim.clock.now_ms();
    let intent = held.intent.id.clone();
    let Some(charge) = held.latest_charge().filter(|charge| charge.captured && charge.refundable() > 0) else {
        return Err("nothing was captured that could be disputed");
    };
    if charge.disputed {
        return Err("the charge is disputed already");
    }
    charge.disputed = true;
    let amount = charge.refundable();
    let id = ids::first_generation("du");
    let transaction = sim.ledger.book(Row {
        id: "".into(),
        movement: Movement::Dispute,
        card: charge.method.kind.is_card(),
        amount: -amount,
        fee: FEE,
        created_ms: now_ms,
        available_ms: now_ms,
        source: id.clone(),
        description: Some(format!("Chargeback withdrawal for {}", charge.id)),
    });
    let booked = sim.ledger.get(&transaction).map(|row| row.to_json(now_ms));
    let object = json!({
        "id": id,
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [booked],
        "charge": charge.id,
        "created": now_ms / 1_000,
        "currency": "krw",
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {
            "due_by": (now_ms + 7 * DAY_MS) / 1_000, "has_evidence": false, "past_due": false, "submission_count": 0,
        },
        "is_charge_refundable": false,
        "livemode": false,
        "metadata": {},
        "payment_intent": intent,
        "reason": reason,
        "status": "needs_response",
    });
    sim.counts.disputed.add(amount);
    let job = sim.event("charge.dispute.created", &intent, "needs_response", || object, None, &Cause::default());
    Ok(job.into_iter().collect())
}
