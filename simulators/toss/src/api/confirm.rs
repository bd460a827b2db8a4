//! `POST /v1/payments/confirm`: the moment money moves.

use crate::body::Fields;
use crate::call::{Caller, Inbound};
use crate::clock::{HOUR_MS, kst};
use crate::faults::Op;
use crate::ids;
use crate::method::Method;
use crate::payment::{Payment, Status, VirtualAccount};
use crate::refusal::{Refusal, refuse};
use crate::settings::AmountMismatch;
use crate::sim::Due;
use crate::sim::Sim;
use crate::store::Held;
use crate::webhooks::Job;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use simulator_common::lock;
use std::sync::Arc;

pub async fn confirm(State(sim): State<Arc<Sim>>, inbound: Inbound, body: Bytes) -> Response {
    let order_of = body.clone();
    let order = move |_: &Sim| Fields::read(&order_of).ok()?.text("orderId").map(str::to_owned);
    inbound.run(sim.clone(), Op::Confirm, order, move |sim, caller, decline| settle(sim, caller, decline, body)).await
}

struct Ask {
    payment_key: String,
    order_id: String,
    amount: i64,
}

/// What a confirm came to: an answer and the events that go with it.
type Verdict = (Result<Bytes, Refusal>, Vec<Job>);

async fn settle(sim: Arc<Sim>, caller: Caller, decline: Option<Refusal>, body: Bytes) -> Result<Bytes, Refusal> {
    let arrived_ms = sim.clock.now_ms() - i64::try_from(sim.options().latency_ms).unwrap_or(0);
    let fields = Fields::read(&body)?;
    let ask = Ask {
        payment_key: fields.need_text("paymentKey")?.to_owned(),
        order_id: fields.need_text("orderId")?.to_owned(),
        amount: fields.need_whole("amount")?,
    };
    let entry = sim.store.get(&ask.payment_key).ok_or_else(|| refuse("NOT_FOUND_PAYMENT_SESSION"))?;
    let (answer, jobs) = judge(&sim, &mut lock(&entry), caller, &ask, decline, arrived_ms);
    sim.publish(jobs).await;
    answer
}

fn judge(sim: &Sim, held: &mut Held, caller: Caller, ask: &Ask, decline: Option<Refusal>, arrived_ms: i64) -> Verdict {
    if held.terms.pair != caller.pair {
        return (Err(refuse("NOT_FOUND_PAYMENT_SESSION")), vec![]);
    }
    let expired = sim.expire_if_due(held).unwrap_or_default();
    if let Err(refusal) = bound(sim, &held.object, ask) {
        return (Err(refusal), expired);
    }
    match held.object.status {
        Status::InProgress => {}
        // Expired, refused, or never authenticated: there is no session to confirm.
        Status::Expired | Status::Aborted | Status::Ready => {
            return (Err(refuse("NOT_FOUND_PAYMENT_SESSION")), expired);
        }
        _ => {
            let at_once = sim.options().aborted_pair && arrived_ms <= held.terms.approved_ms;
            let jobs = if at_once { sim.stray_abort(&held.object) } else { vec![] };
            return (Err(refuse("ALREADY_PROCESSED_PAYMENT")), jobs);
        }
    }
    let refusal = decline.or_else(|| not_payable(&held.object, held.terms.wanted)).or_else(|| {
        let first = sim.store.claim_order(&held.object.order_id, &held.object.payment_key);
        (!first).then(|| refuse("DUPLICATED_ORDER_ID"))
    });
    if let Some(refusal) = refusal {
        // A trouble that may pass leaves the payment as it was; a refusal ends it.
        let passing = refusal.status.is_server_error() || refusal.code == "PROVIDER_ERROR";
        let jobs = if passing { vec![] } else { sim.abort(held, &refusal) };
        return (Err(refusal), jobs);
    }
    approve(sim, held);
    let json = held.object.to_json();
    let jobs = sim.events(&held.object, &json);
    let answer = if caller.english { held.object.to_json_for(true, false) } else { json };
    (Ok(answer), jobs)
}

/// A paymentKey is good for its own order and amount only.
fn bound(sim: &Sim, payment: &Payment, ask: &Ask) -> Result<(), Refusal> {
    if *payment.order_id != *ask.order_id {
        return Err(refuse("FORBIDDEN_REQUEST"));
    }
    if payment.total_amount != ask.amount {
        return Err(match sim.options().amount_mismatch {
            AmountMismatch::ForbiddenRequest => refuse("FORBIDDEN_REQUEST"),
            AmountMismatch::InvalidRequest => refuse("INVALID_REQUEST"),
        });
    }
    Ok(())
}

fn not_payable(payment: &Payment, method: Method) -> Option<Refusal> {
    let floor = if matches!(method, Method::Transfer | Method::VirtualAccount) { 200 } else { 100 };
    if payment.total_amount < floor {
        return Some(refuse("BELOW_MINIMUM_AMOUNT"));
    }
    let over = method == Method::Transfer && payment.total_amount > 10_000_000;
    over.then(|| refuse("EXCEEDS_TRANSFER_AMOUNT_MAXIMUM"))
}

fn approve(sim: &Sim, held: &mut Held) {
    let now_ms = sim.clock.now_ms();
    let method = held.terms.wanted;
    let payment = &mut held.object;
    payment.method = Some(method);
    if Payment::deserves_secret(method, &sim.options()) {
        payment.secret = Some(ids::secret());
    }
    if method == Method::VirtualAccount {
        issue_account(sim, held, now_ms);
        return;
    }
    payment.status = Status::Done;
    payment.approved_at = Some(kst(now_ms));
    payment.fill_method(method);
    match method {
        Method::Transfer => payment.issue_cash_receipt(held.terms.cash_receipt),
        // Only known for transfers and accounts.
        _ => payment.culture_expense = false,
    }
    held.terms.approved_ms = now_ms;
    sim.counts.approve(payment.total_amount);
    let key =
        sim.ledger.book(now_ms, held.terms.pair, held.terms.customer_key.as_deref(), payment, payment.total_amount);
    payment.last_transaction_key = Some(key);
}

/// The account is issued, nothing is paid yet.
pub fn issue_account(sim: &Sim, held: &mut Held, now_ms: i64) {
    if held.terms.deposit_due_ms == 0 {
        held.terms.deposit_due_ms = now_ms + held.terms.valid_hours * HOUR_MS;
    }
    let payment = &mut held.object;
    payment.status = Status::WaitingForDeposit;
    payment.virtual_account = Some(Box::new(VirtualAccount {
        account_type: "일반",
        account_number: ids::account_number(),
        bank_code: held.terms.bank.unwrap_or("20"),
        customer_name: held.terms.customer_name.clone(),
        depositor_name: None,
        due_date: kst(held.terms.deposit_due_ms),
        refund_status: "NONE",
        expired: false,
        settlement_status: "INCOMPLETED",
        refund_receive_account: None,
    }));
    // Parallel confirms are told apart by the time of the first one, paid or not.
    held.terms.approved_ms = now_ms;
    let key =
        sim.ledger.book(now_ms, held.terms.pair, held.terms.customer_key.as_deref(), payment, payment.total_amount);
    payment.last_transaction_key = Some(key);
    sim.agenda.at(held.terms.deposit_due_ms, Due::DepositOver(payment.payment_key.clone()));
}
