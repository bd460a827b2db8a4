//! `POST /v1/payments/{paymentKey}/cancel`: all that is left, or a part.

use crate::body::{Fields, missing};
use crate::call::{Caller, Inbound};
use crate::clock::{DAY_MS, kst, same_korean_month};
use crate::faults::Op;
use crate::method::{Method, bank_code};
use crate::payment::{Cancel, Status};
use crate::refusal::{Refusal, refuse};
use crate::sim::Due;
use crate::sim::{REFUND_MS, Sim};
use crate::store::Held;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use simulator_common::lock;
use std::sync::Arc;

pub async fn cancel(State(sim): State<Arc<Sim>>, Path(key): Path<String>, inbound: Inbound, body: Bytes) -> Response {
    let wanted = key.clone();
    let order = move |sim: &Sim| sim.store.get(&wanted).map(|entry| lock(&entry).object.order_id.to_string());
    inbound.run(sim, Op::Cancel, order, move |sim, caller, _| refund(sim, caller, key, body)).await
}

/// What a cancel asks for, checked for shape only.
pub struct CancelAsk {
    pub reason: String,
    pub amount: Option<i64>,
    pub tax_free: i64,
    pub tax_exemption: i64,
    pub currency: Option<String>,
    pub refundable: Option<i64>,
    pub account: bool,
}

impl CancelAsk {
    fn read(body: &[u8]) -> Result<Self, Refusal> {
        let fields = Fields::read(body)?;
        let amount = fields.whole("cancelAmount")?;
        let tax_free = fields.whole("taxFreeAmount")?.unwrap_or(0);
        let tax_exemption = fields.whole("taxExemptionAmount")?.unwrap_or(0);
        if amount.is_some_and(|amount| amount <= 0) {
            return Err(missing("cancelAmount"));
        }
        if tax_free < 0 || tax_exemption < 0 {
            return Err(missing("taxFreeAmount"));
        }
        let account = match fields.get("refundReceiveAccount") {
            None => false,
            Some(account) => {
                check_account(account)?;
                true
            }
        };
        Ok(Self {
            reason: fields
                .short_text("cancelReason", 200)?
                .filter(|reason| !reason.trim().is_empty())
                .ok_or_else(|| missing("cancelReason"))?
                .to_owned(),
            amount,
            tax_free,
            tax_exemption,
            currency: fields.text("currency").map(str::to_owned),
            refundable: fields.whole("refundableAmount")?,
            account,
        })
    }
}

impl CancelAsk {
    /// A cancel from the merchant's dashboard, where the refund account has been typed in already.
    pub fn from_dashboard(amount: Option<i64>) -> Self {
        Self {
            reason: "상점관리자에서 취소".into(),
            amount,
            tax_free: 0,
            tax_exemption: 0,
            currency: None,
            refundable: None,
            account: true,
        }
    }
}

fn check_account(account: &serde_json::Value) -> Result<(), Refusal> {
    let text = |name: &str| account.get(name).and_then(|value| value.as_str()).unwrap_or("");
    bank_code(text("bank")).ok_or_else(|| refuse("INVALID_BANK"))?;
    let number = text("accountNumber");
    if !(1..=20).contains(&number.len()) || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(refuse("INVALID_REFUND_ACCOUNT_NUMBER"));
    }
    if !(1..=60).contains(&text("holderName").chars().count()) {
        return Err(refuse("INVALID_REFUND_ACCOUNT_INFO"));
    }
    Ok(())
}

async fn refund(sim: Arc<Sim>, caller: Caller, key: String, body: Bytes) -> Result<Bytes, Refusal> {
    let ask = CancelAsk::read(&body)?;
    let entry = sim.store.get(&key).ok_or_else(|| refuse("NOT_FOUND_PAYMENT"))?;
    let (answer, jobs) = {
        let mut held = lock(&entry);
        if held.terms.pair != caller.pair {
            return Err(refuse("NOT_FOUND_PAYMENT"));
        }
        apply(&sim, &mut held, &ask)?;
        let json = held.object.to_json();
        let jobs = sim.events(&held.object, &json);
        (if caller.english { held.object.to_json_for(true, false) } else { json }, jobs)
    };
    sim.publish(jobs).await;
    Ok(answer)
}

/// Cancels or changes nothing.
pub fn apply(sim: &Sim, held: &mut Held, ask: &CancelAsk) -> Result<(), Refusal> {
    let now_ms = sim.clock.now_ms();
    let amount = allowed(held, ask, now_ms)?;
    let deposited = held.object.is_virtual() && held.object.status != Status::WaitingForDeposit;
    let paid = held.object.approved_at.is_some();
    let payment = &mut held.object;

    payment.balance_amount -= amount;
    payment.tax_free_amount = (payment.tax_free_amount - ask.tax_free).clamp(0, payment.balance_amount);
    payment.tax_exemption_amount = (payment.tax_exemption_amount - ask.tax_exemption).max(0);
    payment.reckon_tax();
    // Sticky: once partly cancelled, a payment never becomes CANCELED, even with nothing left.
    let in_one_go = payment.cancels.is_none() && payment.balance_amount == 0;
    payment.status = if in_one_go { Status::Canceled } else { Status::PartialCanceled };
    let key = sim.ledger.book(now_ms, held.terms.pair, held.terms.customer_key.as_deref(), payment, amount);
    payment.last_transaction_key = Some(key.clone());
    payment.cancels.get_or_insert_default().push(Cancel {
        transaction_key: key,
        cancel_amount: amount,
        cancel_reason: ask.reason.clone(),
        canceled_at: kst(now_ms),
        tax_free_amount: ask.tax_free,
        tax_exemption_amount: ask.tax_exemption,
        refundable_amount: payment.balance_amount,
        card_discount_amount: 0,
        transfer_discount_amount: 0,
        easy_pay_discount_amount: 0,
        receipt_key: None,
        cancel_status: "DONE",
        cancel_request_id: None,
    });
    // An account cancelled before its deposit gave no money back: there was none.
    if paid {
        sim.counts.cancel(amount);
    }
    if deposited {
        if let Some(account) = &mut payment.virtual_account {
            account.refund_status = "PENDING";
        }
        sim.agenda.at(now_ms + REFUND_MS, Due::RefundSent(payment.payment_key.clone()));
    }
    Ok(())
}

/// The rules in the order in which Toss was seen to apply them; the amount to cancel if all are kept.
fn allowed(held: &Held, ask: &CancelAsk, now_ms: i64) -> Result<i64, Refusal> {
    let payment = &held.object;
    match payment.status {
        Status::Canceled => return Err(refuse("ALREADY_CANCELED_PAYMENT")),
        Status::Done | Status::PartialCanceled | Status::WaitingForDeposit => {}
        _ => return Err(refuse("NOT_CANCELABLE_PAYMENT")),
    }
    if ask.currency.as_deref().is_some_and(|currency| currency != payment.currency) {
        return Err(refuse("INVALID_REQUEST").because("승인된 통화와 다릅니다.", "The currency differs."));
    }
    if ask.refundable.is_some_and(|believed| believed != payment.balance_amount) {
        return Err(refuse("NOT_MATCHES_REFUNDABLE_AMOUNT"));
    }
    let amount = ask.amount.unwrap_or(payment.balance_amount);
    if amount > payment.balance_amount || amount == 0 {
        return Err(refuse("NOT_CANCELABLE_AMOUNT"));
    }
    if ask.tax_free + ask.tax_exemption > amount || ask.tax_free > payment.tax_free_amount {
        return Err(missing("taxFreeAmount"));
    }
    let partial = amount < payment.balance_amount;
    if payment.status == Status::WaitingForDeposit {
        if partial {
            return Err(refuse("NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT"));
        }
        return Ok(amount);
    }
    if partial && (!payment.is_partial_cancelable || payment.use_escrow == Some(true)) {
        return Err(refuse("NOT_ALLOWED_PARTIAL_REFUND"));
    }
    if payment.is_virtual() && !ask.account {
        return Err(missing("refundReceiveAccount"));
    }
    if too_late(held, now_ms) {
        return Err(refuse("EXCEED_MAX_REFUND_DUE"));
    }
    Ok(amount)
}

fn too_late(held: &Held, now_ms: i64) -> bool {
    let age_ms = now_ms - held.terms.approved_ms;
    match held.terms.wanted {
        Method::Transfer => age_ms > 180 * DAY_MS,
        Method::VirtualAccount => age_ms > 365 * DAY_MS,
        Method::MobilePhone => !same_korean_month(held.terms.approved_ms, now_ms),
        _ => false,
    }
}
