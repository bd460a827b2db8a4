//! `GET /v1/transactions`: one row per approval and per cancel, for reconciliation.

use crate::body::missing;
use crate::call::{Caller, Inbound};
use crate::clock::{kst, parse_kst};
use crate::faults::Op;
use crate::ids::MERCHANT_ID;
use crate::ledger::Row;
use crate::refusal::Refusal;
use crate::sim::Sim;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

const LIMIT_USUAL: usize = 100;
const LIMIT_MAX: usize = 5_000;

type Pairs = HashMap<String, String>;

pub async fn page(
    State(sim): State<Arc<Sim>>,
    inbound: Inbound,
    query: Result<Query<Pairs>, QueryRejection>,
) -> Response {
    let asked = query.map_or_else(|_| HashMap::new(), |query| query.0);
    inbound.run(sim, Op::Transactions, |_| None, move |sim, caller, _| async move { read(&sim, caller, &asked) }).await
}

fn read(sim: &Sim, caller: Caller, asked: &Pairs) -> Result<Bytes, Refusal> {
    let date = |name: &str| asked.get(name).and_then(|text| parse_kst(text)).ok_or_else(|| missing(name));
    let (from_ms, to_ms) = (date("startDate")?, date("endDate")?);
    if from_ms > to_ms {
        return Err(missing("endDate"));
    }
    let limit = match asked.get("limit") {
        None => LIMIT_USUAL,
        Some(text) => text.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n)).ok_or_else(|| missing("limit"))?,
    };
    let after = asked.get("startingAfter").map(String::as_str);
    // Dates have no fraction: the last second counts in full.
    let rows = sim.ledger.page(caller.pair, from_ms, to_ms + 999, after, limit);
    let rows = rows.ok_or_else(|| missing("startingAfter"))?;
    let rows: Vec<Value> = rows.iter().map(|row| show(row, caller.english)).collect();
    Ok(Value::Array(rows).to_string().into())
}

fn show(row: &Row, english: bool) -> Value {
    let method = row.method.map(|method| if english { method.english() } else { method.korean() });
    json!({
        "mId": MERCHANT_ID,
        "transactionKey": row.transaction_key,
        "paymentKey": row.payment_key,
        "orderId": row.order_id,
        "method": method,
        "customerKey": row.customer_key,
        "useEscrow": row.use_escrow,
        "receiptUrl":
            format!("https://dashboard.tosspayments.com/receipt/redirection?transactionId={}&ref=PX", row.payment_key),
        "status": row.status,
        "transactionAt": kst(row.at_ms),
        "currency": "KRW",
        "amount": row.amount,
    })
}
