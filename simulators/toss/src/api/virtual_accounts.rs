//! `POST /v1/virtual-accounts`: an account at once, without a confirm.

use super::confirm::issue_account;
use super::open::{Opening, open};
use crate::body::{Fields, missing};
use crate::call::{Caller, Inbound};
use crate::clock::{DAY_MS, parse_kst};
use crate::faults::Op;
use crate::ids;
use crate::method::Method;
use crate::refusal::{Refusal, refuse};
use crate::sim::Sim;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use simulator_common::lock;
use std::sync::Arc;

const VALID_HOURS_MAX: i64 = 2_160;

pub async fn issue(State(sim): State<Arc<Sim>>, inbound: Inbound, body: Bytes) -> Response {
    let order_of = body.clone();
    let order = move |_: &Sim| Fields::read(&order_of).ok()?.text("orderId").map(str::to_owned);
    inbound.run(sim, Op::Create, order, move |sim, caller, _| account(sim, caller, body)).await
}

async fn account(sim: Arc<Sim>, caller: Caller, body: Bytes) -> Result<Bytes, Refusal> {
    let fields = Fields::read(&body)?;
    fields.need_text("bank")?;
    fields.need_text("customerName")?;
    let due_ms = due(&fields, sim.clock.now_ms())?;
    let mut opening = Opening::read(&fields, caller.pair)?;
    opening.method = Method::VirtualAccount;
    if opening.amount < 200 {
        return Err(refuse("BELOW_MINIMUM_AMOUNT"));
    }
    if let Some(hours) = fields.whole("validHours")? {
        opening.valid_hours = hours;
    }
    let entry = open(&sim, opening)?;
    let (answer, jobs) = {
        let mut held = lock(&entry);
        if !sim.store.claim_order(&held.object.order_id, &held.object.payment_key) {
            return Err(refuse("DUPLICATED_ORDER_ID"));
        }
        held.object.method = Some(Method::VirtualAccount);
        held.object.secret = Some(ids::secret());
        held.terms.deposit_due_ms = due_ms.unwrap_or(0);
        issue_account(&sim, &mut held, sim.clock.now_ms());
        let json = held.object.to_json();
        let jobs = sim.events(&held.object, &json);
        (if caller.english { held.object.to_json_for(true, false) } else { json }, jobs)
    };
    sim.publish(jobs).await;
    Ok(answer)
}

/// The due date if one is named, after checking it and `validHours` against their limits.
fn due(fields: &Fields, now_ms: i64) -> Result<Option<i64>, Refusal> {
    let hours = fields.whole("validHours")?;
    let date = fields.text("dueDate");
    if hours.is_some() && date.is_some() {
        return Err(refuse("INVALID_VALID_HOURS_WITH_DUE_DATE_AND_SINGLE"));
    }
    if hours.is_some_and(|hours| hours < 1) {
        return Err(missing("validHours"));
    }
    if hours.is_some_and(|hours| hours > VALID_HOURS_MAX) {
        return Err(refuse("EXCEED_MAX_VALID_HOURS"));
    }
    let Some(date) = date else { return Ok(None) };
    let due_ms = parse_kst(date).filter(|due_ms| *due_ms > now_ms).ok_or_else(|| missing("dueDate"))?;
    if due_ms > now_ms + 90 * DAY_MS {
        return Err(refuse("EXCEED_MAX_DUE_DATE"));
    }
    Ok(Some(due_ms))
}
