//! `/v1/refunds`: give back all that is left of a payment, or a part.

use super::lists;
use crate::acts::create::amount;
use crate::acts::refund::{self, REASONS};
use crate::call::{Ask, Inbound, Worked};
use crate::faults::Op;
use crate::form::{Params, required};
use crate::refusal::{Refusal, missing};
use crate::sim::Sim;
use crate::store::{Entry, page};
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use serde_json::Value;
use simulator_common::lock;
use std::sync::Arc;

type Sims = State<Arc<Sim>>;

pub async fn create(State(sim): Sims, inbound: Inbound, body: Bytes) -> Response {
    inbound.run(sim, Op::Refund, None, body, create_one).await
}

fn create_one(sim: &Sim, ask: &Ask) -> Worked {
    let asked = match read(&ask.params) {
        Ok(asked) => asked,
        Err(refusal) => return (Err(refusal), Vec::new()),
    };
    let entry = match paid(sim, &ask.params) {
        Ok(entry) => entry,
        Err(refusal) => return (Err(refusal), Vec::new()),
    };
    sim.work(&entry, |held| match refund::refund(sim, held, asked, &ask.cause) {
        Ok((at, jobs)) => (Ok(held.refunds[at].to_json()), jobs),
        Err(refusal) => (Err(refusal), Vec::new()),
    })
}

fn read(params: &Params) -> Result<refund::Ask, Refusal> {
    params.only(&["payment_intent", "charge", "amount", "reason", "metadata", "instructions_email"])?;
    Ok(refund::Ask {
        amount: amount(params, "amount", 1)?,
        reason: params.one_of("reason", &REASONS)?,
        metadata: params.metadata()?,
    })
}

/// The payment that a refund or a page of them is about.
fn paid(sim: &Sim, params: &Params) -> Result<Entry, Refusal> {
    match (params.text("payment_intent"), params.text("charge")) {
        (Some(id), _) => sim.store.intent(id).ok_or_else(|| missing("payment_intent", id, "payment_intent")),
        (None, Some(id)) => sim.store.owner(id).ok_or_else(|| missing("charge", id, "charge")),
        (None, None) => Err(required("payment_intent")),
    }
}

pub async fn retrieve(State(sim): Sims, Path(id): Path<String>, inbound: Inbound, body: Bytes) -> Response {
    let subject = Some(id.clone());
    let work = move |sim: &Sim, ask: &Ask| {
        let find = || {
            ask.server_only()?;
            ask.params.only(&[])?;
            sim.store.owner(&id).and_then(|entry| show(&entry, &id)).ok_or_else(|| missing("refund", &id, "refund"))
        };
        (find(), Vec::new())
    };
    inbound.run(sim, Op::Retrieve, subject, body, work).await
}

pub async fn list(State(sim): Sims, inbound: Inbound, body: Bytes) -> Response {
    let work = |sim: &Sim, ask: &Ask| (read_page(sim, &ask.params), Vec::new());
    inbound.run(sim, Op::List, None, body, work).await
}

fn read_page(sim: &Sim, params: &Params) -> Result<Value, Refusal> {
    params.only(&["payment_intent", "charge", "created", "limit", "starting_after", "ending_before"])?;
    let cut = lists::cut(params)?;
    let range = params.range("created")?;
    let unknown = || lists::unknown("refund", &cut);
    if params.has("payment_intent") || params.has("charge") {
        let entry = paid(sim, params)?;
        let held = lock(&entry);
        let found = page(&held.refunds, &cut, |refund| range.holds(refund.created_ms), |refund| &refund.id);
        let (refunds, more) = found.ok_or_else(unknown)?;
        return Ok(lists::list("/v1/refunds", refunds.into_iter().map(|refund| refund.to_json()).collect(), more));
    }
    let (refunds, more) = sim.store.refunds(range, &cut).ok_or_else(unknown)?;
    let data = refunds.iter().filter_map(|(id, entry)| show(entry, id)).collect();
    Ok(lists::list("/v1/refunds", data, more))
}

fn show(entry: &Entry, id: &str) -> Option<Value> {
    lock(entry).refunds.iter().find(|refund| &*refund.id == id).map(|refund| refund.to_json())
}
