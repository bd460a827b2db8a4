//! Controls over the company as a whole. Each one that cannot be done says why and does nothing.

use crate::acts::refund;
use crate::faults::{Fault, Op};
use crate::settings::Options;
use crate::sim::Sim;
use crate::webhooks::Manner;
use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use simulator_common::address::is_http_url;
use simulator_common::chance::Random;
use simulator_common::control::{Control, Slip, read};
use simulator_common::{lock, outage};
use std::sync::Arc;

type Sims = State<Arc<Sim>>;

pub async fn add_fault(State(sim): Sims, body: Bytes) -> Control {
    let fault: Fault = read(&body)?;
    sim.faults.add(fault).map_err(Slip::bad)?;
    Ok(Json(json!({ "faults": sim.faults.list() })))
}

pub async fn clear_faults(State(sim): Sims) -> Control {
    sim.faults.clear();
    Ok(Json(json!({ "faults": [] })))
}

/// A seeded schedule, from its beginning.
pub async fn random(State(sim): Sims, body: Bytes) -> Control {
    let random: Random<Op> = read(&body)?;
    sim.faults.set_random(Some(random)).map_err(Slip::bad)?;
    Ok(Json(sim.faults.random_json()))
}

pub async fn end_random(State(sim): Sims) -> Control {
    sim.faults.set_random(None).map_err(Slip::bad)?;
    Ok(Json(sim.faults.random_json()))
}

pub async fn outage(State(sim): Sims, body: Bytes) -> Control {
    let ask: outage::Ask = read(&body)?;
    sim.outage.begin(sim.clock.now_ms(), ask);
    Ok(Json(sim.outage.to_json(sim.clock.now_ms())))
}

pub async fn end_outage(State(sim): Sims) -> Control {
    sim.outage.end();
    Ok(Json(sim.outage.to_json(sim.clock.now_ms())))
}

/// What becomes of the refunds to come.
pub async fn refunds(State(sim): Sims, body: Bytes) -> Control {
    let manner: refund::Manner = read(&body)?;
    manner.check().map_err(Slip::bad)?;
    *lock(&sim.refunds) = manner;
    Ok(Json(json!(manner)))
}

pub async fn webhooks(State(sim): Sims, body: Bytes) -> Control {
    let manner: Manner = read(&body)?;
    sim.webhooks.set_manner(manner);
    Ok(Json(json!({ "manner": manner })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Url {
    url: Option<String>,
}

pub async fn webhook_url(State(sim): Sims, body: Bytes) -> Control {
    let Url { url } = read(&body)?;
    if url.as_deref().is_some_and(|url| !is_http_url(url)) {
        return Err(Slip::bad("url must be an absolute http(s) address, or null for none"));
    }
    sim.webhooks.set_url(url.as_deref());
    Ok(Json(json!({ "url": url })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Roll {
    secret: String,
    /// How long the old secret signs too; Stripe allows 24 hours.
    keep_old_s: Option<u32>,
}

/// Another signing secret, as after "roll secret" in the dashboard.
pub async fn webhook_secret(State(sim): Sims, body: Bytes) -> Control {
    let Roll { secret, keep_old_s } = read(&body)?;
    if secret.is_empty() || secret.len() > 200 || keep_old_s.is_some_and(|seconds| seconds > 86_400) {
        return Err(Slip::bad("secret must have 1 to 200 characters and keep_old_s be a day at most"));
    }
    let until_ms = keep_old_s.map(|seconds| sim.clock.now_ms() + i64::from(seconds) * 1_000);
    lock(&sim.webhooks.secrets).roll(&secret, until_ms);
    Ok(Json(json!({ "signatures": 1 + i32::from(keep_old_s.is_some()) })))
}

/// Changes the options named and leaves the others.
pub async fn options(State(sim): Sims, body: Bytes) -> Control {
    let wanted: Map<String, Value> = read(&body)?;
    let mut merged = json!(sim.options());
    if let Value::Object(present) = &mut merged {
        present.extend(wanted);
    }
    let options: Options = serde_json::from_value(merged).map_err(|error| Slip::bad(error.to_string()))?;
    options.check().map_err(Slip::bad)?;
    sim.set_options(options);
    Ok(Json(json!(options)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_s: u32,
}

/// Moves the clock forward and does all that fell due, before it answers.
pub async fn clock(State(sim): Sims, body: Bytes) -> Control {
    let Advance { advance_s } = read(&body)?;
    sim.clock.advance(i64::from(advance_s) * 1_000);
    sim.run_due();
    sim.agenda.wake.notify_one();
    Ok(super::views::show_clock(&sim))
}

pub async fn reset(State(sim): Sims) -> Control {
    sim.reset();
    Ok(Json(json!({ "ok": true })))
}
