//! `GET /v1/charges/{id}`: one attempt to take money.

use crate::call::{Ask, Inbound};
use crate::faults::Op;
use crate::refusal::missing;
use crate::sim::Sim;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use std::sync::Arc;

pub async fn retrieve(State(sim): State<Arc<Sim>>, Path(id): Path<String>, inbound: Inbound, body: Bytes) -> Response {
    let subject = Some(id.clone());
    let work = move |sim: &Sim, ask: &Ask| {
        if let Err(refusal) = ask.server_only().and_then(|()| ask.params.only(&[])) {
            return (Err(refusal), Vec::new());
        }
        let Some(entry) = sim.store.owner(&id) else {
            return (Err(missing("charge", &id, "id")), Vec::new());
        };
        sim.work(&entry, |held| {
            let charge = held.charges.iter().find(|charge| *charge.id == *id);
            let shown = charge.map(|charge| charge.to_json()).ok_or_else(|| missing("charge", &id, "id"));
            (shown, Vec::new())
        })
    };
    inbound.run(sim, Op::Retrieve, subject, body, work).await
}
