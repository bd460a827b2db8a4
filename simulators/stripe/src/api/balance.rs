//! `/v1/balance_transactions`: what reconciliation and settlement reports are made of.

use super::lists;
use crate::call::{Ask, Inbound};
use crate::faults::Op;
use crate::form::Params;
use crate::refusal::{Refusal, missing};
use crate::sim::Sim;
use crate::store::page;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use serde_json::Value;
use std::sync::Arc;

type Sims = State<Arc<Sim>>;

pub async fn list(State(sim): Sims, inbound: Inbound, body: Bytes) -> Response {
    let work = |sim: &Sim, ask: &Ask| (read_page(sim, &ask.params), Vec::new());
    inbound.run(sim, Op::List, None, body, work).await
}

fn read_page(sim: &Sim, params: &Params) -> Result<Value, Refusal> {
    params.only(&["created", "currency", "ending_before", "limit", "source", "starting_after", "type"])?;
    let cut = lists::cut(params)?;
    let range = params.range("created")?;
    let (kind, source) = (params.text("type"), params.text("source"));
    let krw = params.text("currency").is_none_or(|currency| currency == "krw");
    let now_ms = sim.clock.now_ms();
    let found = sim.ledger.read(|rows| {
        let wanted = |row: &crate::ledger::Row| {
            krw && range.holds(row.created_ms)
                && kind.is_none_or(|kind| kind == row.kind())
                && source.is_none_or(|source| source == &*row.source)
        };
        page(rows, &cut, wanted, |row| &row.id)
            .map(|(rows, more)| (rows.into_iter().map(|row| row.to_json(now_ms)).collect(), more))
    });
    let (data, more) = found.ok_or_else(|| lists::unknown("balance transaction", &cut))?;
    Ok(lists::list("/v1/balance_transactions", data, more))
}

pub async fn retrieve(State(sim): Sims, Path(id): Path<String>, inbound: Inbound, body: Bytes) -> Response {
    let work = move |sim: &Sim, ask: &Ask| {
        let find = || {
            ask.server_only()?;
            ask.params.only(&[])?;
            let row = sim.ledger.get(&id).ok_or_else(|| missing("balance transaction", &id, "id"))?;
            Ok(row.to_json(sim.clock.now_ms()))
        };
        (find(), Vec::new())
    };
    inbound.run(sim, Op::Retrieve, None, body, work).await
}
