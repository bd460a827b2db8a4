//! Controls that change something. Each one that cannot be done says why and does nothing.

use crate::api::cancel::{self, CancelAsk};
use crate::api::deposits;
use crate::api::open::{Opening, authenticate, open};
use crate::body::Fields;
use crate::faults::{Fault, Op};
use crate::refusal::Refusal;
use crate::settings::Options;
use crate::sim::Sim;
use crate::store::{Entry, Held};
use crate::webhooks::{Job, Manner};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use simulator_common::address::is_http_url;
use simulator_common::chance::Random;
use simulator_common::control::{Control, Slip, read};
use simulator_common::lock;
use simulator_common::outage;
use std::sync::Arc;

type Sims = State<Arc<Sim>>;

impl From<Refusal> for Slip {
    fn from(refusal: Refusal) -> Self {
        Slip::new(refusal.status, format!("{}: {}", refusal.code, refusal.en))
    }
}

/// Opens and authenticates a payment without a browser: `{orderId, amount, method?, orderName?, widget?, ...}`.
pub async fn authorise(State(sim): Sims, body: Bytes) -> Control {
    let mut fields: Map<String, Value> = read(&body)?;
    fields.entry("orderName").or_insert_with(|| "시뮬레이터 주문".into());
    let pair = usize::from(fields.get("widget") == Some(&Value::Bool(true)));
    let opening = Opening::read(&Fields::from(fields), pair)?;
    let entry = open(&sim, opening)?;
    let mut held = lock(&entry);
    authenticate(&sim, &mut held, None)?;
    Ok(Json(json!({ "paymentKey": held.object.payment_key })))
}

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

/// Changes the options named and leaves the others.
pub async fn options(State(sim): Sims, body: Bytes) -> Control {
    let wanted: Map<String, Value> = read(&body)?;
    let mut merged = json!(sim.options());
    if let Value::Object(present) = &mut merged {
        present.extend(wanted);
    }
    let options: Options = serde_json::from_value(merged).map_err(|error| Slip::bad(error.to_string()))?;
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Which {
    order_id: Option<String>,
    payment_key: Option<String>,
    amount: Option<i64>,
}

impl Which {
    fn find(&self, sim: &Sim) -> Result<Entry, Slip> {
        let found = match (&self.payment_key, &self.order_id) {
            (Some(key), _) => sim.store.get(key),
            (None, Some(order_id)) => sim.store.by_order(order_id),
            (None, None) => return Err(Slip::bad("name the orderId or the paymentKey")),
        };
        found.ok_or_else(|| Slip::unknown("payment"))
    }
}

pub async fn deposit(State(sim): Sims, body: Bytes) -> Control {
    bank(&sim, &body, deposits::deposit).await
}

pub async fn deposit_reverse(State(sim): Sims, body: Bytes) -> Control {
    bank(&sim, &body, deposits::reverse).await
}

pub async fn refund_bounce(State(sim): Sims, body: Bytes) -> Control {
    bank(&sim, &body, deposits::bounce).await
}

async fn bank(
    sim: &Arc<Sim>,
    body: &[u8],
    act: impl FnOnce(&Sim, &mut Held) -> Result<Vec<Job>, &'static str>,
) -> Control {
    let entry = read::<Which>(body)?.find(sim)?;
    let (status, jobs) = {
        let mut held = lock(&entry);
        let jobs = act(sim, &mut held).map_err(|why| Slip::new(StatusCode::CONFLICT, why))?;
        (held.object.status, jobs)
    };
    sim.publish(jobs).await;
    Ok(Json(json!({ "status": status })))
}

/// The merchant cancels in Toss's own dashboard: our system learns of it by webhook only.
pub async fn dashboard_cancel(State(sim): Sims, body: Bytes) -> Control {
    let which: Which = read(&body)?;
    if which.amount.is_some_and(|amount| amount <= 0) {
        return Err(Slip::bad("amount must be positive"));
    }
    let entry = which.find(&sim)?;
    let ask = CancelAsk::from_dashboard(which.amount);
    let (status, balance, jobs) = {
        let mut held = lock(&entry);
        cancel::apply(&sim, &mut held, &ask)?;
        let jobs = sim.events(&held.object, &held.object.to_json());
        (held.object.status, held.object.balance_amount, jobs)
    };
    sim.publish(jobs).await;
    Ok(Json(json!({ "status": status, "balanceAmount": balance })))
}

pub async fn reset(State(sim): Sims) -> Control {
    sim.reset();
    Ok(Json(json!({ "ok": true })))
}
