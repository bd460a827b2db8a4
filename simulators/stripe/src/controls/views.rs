//! Controls that only look.

use crate::form::Params;
use crate::sim::Sim;
use crate::store::{Cut, Entry, Held};
use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use simulator_common::control::Control;
use simulator_common::lock;
use std::sync::Arc;

type Sims = State<Arc<Sim>>;

/// Payments shown at once; this is for eyes and small tests.
const SHOWN_MAX: usize = 1_000;

pub async fn faults(State(sim): Sims) -> Control {
    Ok(Json(json!({ "faults": sim.faults.list() })))
}

pub async fn random(State(sim): Sims) -> Control {
    Ok(Json(sim.faults.random_json()))
}

pub async fn outage(State(sim): Sims) -> Control {
    Ok(Json(sim.outage.to_json(sim.clock.now_ms())))
}

pub async fn refunds(State(sim): Sims) -> Control {
    Ok(Json(json!(*lock(&sim.refunds))))
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
    Json(json!({ "now": now_ms / 1_000, "now_ms": now_ms }))
}

/// The newest payments, newest first.
pub async fn payments(State(sim): Sims) -> Control {
    let everything = Params::default().range("created")?;
    let cut = Cut { limit: SHOWN_MAX, starting_after: None, ending_before: None };
    let entries = sim.store.intents(everything, &cut).unwrap_or_default().0;
    show_all(&sim, entries)
}

/// By id, or by a value of the metadata, newest first.
pub async fn payments_of(State(sim): Sims, Path(name): Path<String>) -> Control {
    let entries = match sim.store.owner(&name) {
        Some(entry) => vec![entry],
        None => sim.store.by_metadata("", &name).into_iter().rev().take(SHOWN_MAX).collect(),
    };
    show_all(&sim, entries)
}

fn show_all(sim: &Sim, entries: Vec<Entry>) -> Control {
    sim.run_due();
    let payments: Vec<Value> = entries.iter().map(|entry| show(&lock(entry))).collect();
    Ok(Json(json!({ "payment_intents": payments })))
}

/// One payment with everything that belongs to it.
pub fn show(held: &Held) -> Value {
    let history: Vec<Value> =
        held.history.iter().map(|(ms, status)| json!({ "at_ms": ms, "status": status })).collect();
    json!({
        "payment_intent": held.intent.to_json(),
        "charges": held.charges.iter().map(|charge| charge.to_json()).collect::<Vec<_>>(),
        "refunds": held.refunds.iter().map(|refund| refund.to_json()).collect::<Vec<_>>(),
        "history": history,
    })
}

pub async fn counts(State(sim): Sims) -> Control {
    let mut counts = sim.counts.to_json();
    counts["webhooks"] = sim.webhooks.tally_json();
    Ok(Json(counts))
}
