//! Opening a payment: `POST /v1/payments` (created by a server), the payment window, and its authentication.

use crate::body::{AMOUNT_MAX, Fields, is_order_id, missing};
use crate::call::{Caller, Inbound};
use crate::clock::kst;
use crate::faults::Op;
use crate::ids::MERCHANT_ID;
use crate::method::{Method, offering_bank};
use crate::payment::{Link, Payment, Status};
use crate::refusal::{Refusal, refuse};
use crate::sim::Due;
use crate::sim::{IN_PROGRESS_MS, READY_MS, Sim};
use crate::store::{Entry, Held, Terms};
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde_json::Value;
use simulator_common::Text;
use simulator_common::address::is_http_url;
use simulator_common::lock;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What a payment is opened with, from whichever side.
pub struct Opening {
    pub pair: usize,
    pub method: Method,
    pub amount: i64,
    pub tax_free: i64,
    pub order_id: Text,
    pub order_name: String,
    pub customer_key: Option<String>,
    pub customer_name: String,
    pub success_url: Option<String>,
    pub fail_url: Option<String>,
    pub opener: Option<String>,
    pub metadata: Option<Value>,
    pub use_escrow: bool,
    pub culture_expense: bool,
    /// 소득공제, 지출증빙, or none asked for.
    pub cash_receipt: Option<&'static str>,
    pub partial_cancelable: bool,
    pub bank: Option<&'static str>,
    pub valid_hours: i64,
}

pub async fn create(State(sim): State<Arc<Sim>>, inbound: Inbound, body: Bytes) -> Response {
    let order_of = body.clone();
    let order = move |_: &Sim| Fields::read(&order_of).ok()?.text("orderId").map(str::to_owned);
    let work = move |sim: Arc<Sim>, caller: Caller, _| async move {
        let opening = Opening::read(&Fields::read(&body)?, caller.pair)?;
        if opening.success_url.is_none() {
            return Err(refuse("INVALID_SUCCESS_URL"));
        }
        let entry = open(&sim, opening)?;
        let held = lock(&entry);
        Ok(held.object.to_json_for(caller.english, false))
    };
    inbound.run(sim, Op::Create, order, work).await
}

impl Opening {
    /// The fields that a server-created payment, the window and a virtual account share.
    pub fn read(fields: &Fields, pair: usize) -> Result<Self, Refusal> {
        let method = fields.text("method").unwrap_or("CARD");
        let order_id = fields.need_text("orderId")?;
        if !is_order_id(order_id) {
            return Err(refuse("INVALID_ORDER_ID"));
        }
        let order_name = fields.text("orderName").unwrap_or_default();
        if !(1..=100).contains(&order_name.chars().count()) {
            return Err(refuse("INVALID_ORDER_NAME"));
        }
        if fields.text("currency").is_some_and(|currency| currency != "KRW") {
            return Err(refuse("INVALID_CURRENCY"));
        }
        let amount = fields.need_whole("amount")?;
        let tax_free = fields.whole("taxFreeAmount")?.unwrap_or(0);
        if !(1..=AMOUNT_MAX).contains(&amount) || !(0..=amount).contains(&tax_free) {
            return Err(missing("amount"));
        }
        let bank = match fields.text("bank") {
            None => None,
            Some(bank) => Some(offering_bank(bank).ok_or_else(|| refuse("INVALID_BANK"))?),
        };
        Ok(Self {
            pair,
            method: Method::parse(method).ok_or_else(|| refuse("NOT_SUPPORTED_METHOD"))?,
            amount,
            tax_free,
            order_id: order_id.into(),
            order_name: order_name.into(),
            customer_key: fields.short_text("customerKey", 300)?.map(str::to_owned),
            customer_name: fields.short_text("customerName", 100)?.unwrap_or("홍길동").to_owned(),
            success_url: url(fields, "successUrl", "INCORRECT_SUCCESS_URL_FORMAT")?,
            fail_url: url(fields, "failUrl", "INCORRECT_FAIL_URL_FORMAT")?,
            opener: None,
            metadata: fields.get("metadata").cloned(),
            use_escrow: fields.flag("useEscrow"),
            culture_expense: fields.flag("cultureExpense"),
            cash_receipt: cash_receipt(fields)?,
            partial_cancelable: fields.get("isPartialCancelable") != Some(&Value::Bool(false)),
            bank,
            valid_hours: 168,
        })
    }
}

/// `cashReceipt.type` of a virtual account, or `cashReceiptType` as the window's address has it.
fn cash_receipt(fields: &Fields) -> Result<Option<&'static str>, Refusal> {
    let nested = fields.get("cashReceipt").and_then(|asked| asked.get("type")).and_then(Value::as_str);
    match nested.or(fields.text("cashReceiptType")) {
        None | Some("미발행") => Ok(None),
        Some("소득공제") => Ok(Some("소득공제")),
        Some("지출증빙") => Ok(Some("지출증빙")),
        Some(_) => Err(refuse("INVALID_CASH_RECEIPT_INFO")),
    }
}

fn url(fields: &Fields, name: &str, code: &'static str) -> Result<Option<String>, Refusal> {
    match fields.text(name) {
        None => Ok(None),
        Some(url) if is_http_url(url) => Ok(Some(url.to_owned())),
        Some(_) => Err(refuse(code)),
    }
}

/// A payment in READY, with thirty minutes to authenticate.
pub fn open(sim: &Sim, opening: Opening) -> Result<Entry, Refusal> {
    if sim.store.is_paid(&opening.order_id) {
        return Err(refuse("DUPLICATED_ORDER_ID"));
    }
    let now_ms = sim.clock.now_ms();
    let deadline_ms = now_ms + READY_MS;
    let order_id = opening.order_id.clone();
    let entry = sim.store.insert(now_ms, &order_id, |key| Held {
        object: blank(sim, key, now_ms, &opening),
        terms: Terms {
            pair: opening.pair,
            customer_key: opening.customer_key,
            customer_name: opening.customer_name,
            wanted: opening.method,
            bank: opening.bank,
            valid_hours: opening.valid_hours,
            cash_receipt: opening.cash_receipt,
            success_url: opening.success_url,
            fail_url: opening.fail_url,
            opener: opening.opener,
            deadline_ms,
            approved_ms: 0,
            deposit_due_ms: 0,
        },
    });
    sim.agenda.at(deadline_ms, Due::Expire(lock(&entry).object.payment_key.clone()));
    Ok(entry)
}

fn blank(sim: &Sim, key: Text, now_ms: i64, opening: &Opening) -> Payment {
    let receipt = format!("https://dashboard.tosspayments.com/receipt/redirection?transactionId={key}&ref=PX");
    let checkout = format!("{}/v1/payments/{key}/checkout", sim.origin);
    let mut payment = Payment {
        m_id: MERCHANT_ID,
        version: "2022-11-16",
        r#type: "NORMAL",
        payment_key: key,
        order_id: opening.order_id.clone(),
        order_name: opening.order_name.clone(),
        last_transaction_key: None,
        status: Status::Ready,
        requested_at: kst(now_ms),
        approved_at: None,
        method: None,
        currency: "KRW",
        country: "KR",
        total_amount: opening.amount,
        balance_amount: opening.amount,
        supplied_amount: 0,
        vat: 0,
        tax_free_amount: opening.tax_free,
        tax_exemption_amount: 0,
        use_escrow: Some(opening.use_escrow),
        culture_expense: opening.culture_expense,
        is_partial_cancelable: opening.partial_cancelable,
        card: None,
        virtual_account: None,
        transfer: None,
        mobile_phone: None,
        gift_certificate: None,
        easy_pay: None,
        cash_receipt: None,
        cash_receipts: None,
        discount: None,
        cancels: None,
        secret: None,
        failure: None,
        metadata: opening.metadata.clone(),
        receipt: Some(Link { url: receipt }),
        checkout: Some(Link { url: checkout }),
    };
    payment.reckon_tax();
    payment
}

/// The buyer has proven who they are: ten minutes to confirm. Nothing is charged.
pub fn authenticate(sim: &Sim, held: &mut Held, method: Option<Method>) -> Result<(), Refusal> {
    match held.object.status {
        // A second press of the button changes nothing.
        Status::InProgress => return Ok(()),
        Status::Ready => {}
        Status::Expired => return Err(refuse("EXPIRED_PAYMENT")),
        _ => return Err(refuse("ALREADY_PROCESSED_PAYMENT")),
    }
    held.terms.wanted = method.unwrap_or(held.terms.wanted);
    held.terms.deadline_ms = sim.clock.now_ms() + IN_PROGRESS_MS;
    held.object.status = Status::InProgress;
    held.object.method = Some(held.terms.wanted);
    sim.counts.authorised.fetch_add(1, Relaxed);
    sim.agenda.at(held.terms.deadline_ms, Due::Expire(held.object.payment_key.clone()));
    Ok(())
}
