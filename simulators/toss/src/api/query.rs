//! `GET /v1/payments/{paymentKey}` and `GET /v1/payments/orders/{orderId}`: the object in every state.

use crate::call::{Caller, Inbound};
use crate::faults::Op;
use crate::refusal::{Refusal, refuse};
use crate::sim::Sim;
use crate::store::Entry;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use simulator_common::lock;
use std::sync::Arc;

pub async fn by_key(State(sim): State<Arc<Sim>>, Path(key): Path<String>, inbound: Inbound) -> Response {
    let wanted = key.clone();
    let order = move |sim: &Sim| sim.store.get(&wanted).map(|entry| lock(&entry).object.order_id.to_string());
    inbound
        .run(sim, Op::Query, order, move |sim, caller, _| async move { show(&sim, caller, sim.store.get(&key)).await })
        .await
}

pub async fn by_order(State(sim): State<Arc<Sim>>, Path(order_id): Path<String>, inbound: Inbound) -> Response {
    let wanted = order_id.clone();
    inbound
        .run(
            sim,
            Op::Query,
            move |_| Some(wanted),
            move |sim, caller, _| async move { show(&sim, caller, sim.store.by_order(&order_id)).await },
        )
        .await
}

async fn show(sim: &Arc<Sim>, caller: Caller, entry: Option<Entry>) -> Result<Bytes, Refusal> {
    let entry = entry.ok_or_else(|| refuse("NOT_FOUND_PAYMENT"))?;
    let (answer, jobs) = {
        let mut held = lock(&entry);
        if held.terms.pair != caller.pair {
            return Err(refuse("NOT_FOUND_PAYMENT"));
        }
        let jobs = sim.expire_if_due(&mut held).unwrap_or_default();
        sim.mark_deposit_over(&mut held);
        (held.object.to_json_for(caller.english, !sim.options().secret_on_get), jobs)
    };
    sim.publish(jobs).await;
    Ok(answer)
}
