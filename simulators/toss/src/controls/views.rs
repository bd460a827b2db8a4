//! Controls that only look.

use crate::clock::kst;
use crate::payment::Payment;
use crate::sim::Sim;
use crate::store::Entry;
use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use simulator_common::control::Control;
use simulator_common::lock;
use std::sync::Arc;

type Sims = State<Arc<Sim>>;

pub async fn faults(State(sim): Sims) -> Control {
    Ok(Json(json!({ "faults": sim.faults.list() })))
}

pub async fn random(State(sim): Sims) -> Control {
    Ok(Json(sim.faults.random_json()))
}

pub async fn outage(State(sim): Sims) -> Control {
    Ok(Json(sim.outage.to_json(sim.clock.now_ms())))
}

pub async fn webhooks(State(sim): Sims) -> Control {
    Ok(Json(sim.webhooks.to_json()))
}

pub async fn options(State(sim): Sims) -> Control {
    Ok(Json(json!(sim.options())))
}

pub async fn clock(State(sim): Sims) -> Control {
    Ok(show_clock(&sim))
}

pub fn show_clock(sim: &Sim) -> Json<Value> {
    let now_ms = sim.clock.now_ms();
    Json(json!({ "now": kst(now_ms), "now_ms": now_ms }))
}

/// Every payment, oldest first. Long after a benchmark: this is for eyes and small tests.
pub async fn payments(State(sim): Sims) -> Control {
    show(&sim, &sim.store.all())
}

pub async fn payments_of_order(State(sim): Sims, Path(order_id): Path<String>) -> Control {
    show(&sim, &sim.store.all_of_order(&order_id))
}

fn show(sim: &Sim, entries: &[Entry]) -> Control {
    sim.run_due();
    let payments: Vec<Payment> = entries.iter().map(|entry| lock(entry).object.clone()).collect();
    Ok(Json(json!({ "payments": payments })))
}

pub async fn counts(State(sim): Sims) -> Control {
    let mut counts = sim.counts.to_json();
    counts["webhooks"] = sim.webhooks.tally_json();
    Ok(Json(counts))
}
