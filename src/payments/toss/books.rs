//! Toss's books: one row for each approval and each cancel.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Fees, Toss, answer};
use crate::payments::model::{Transaction, TransactionKind, TransactionPage};
use crate::platform::clock::seoul;

/// Toss names 60 s as the least a client should wait for this call.
const TIMEOUT: Duration = Duration::from_secs(60);
const ROWS: usize = 5_000;
/// Rows of a page are some 500 bytes each.
const BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    transaction_key: String,
    payment_key: String,
    #[serde(default)]
    order_id: Option<String>,
    status: String,
    transaction_at: String,
    #[serde(default)]
    method: Option<String>,
    amount: f64,
}

pub async fn page(
    toss: &Toss,
    from: Timestamp,
    until: Timestamp,
    after: Option<&str>,
) -> Result<TransactionPage, String> {
    let kst = |at: Timestamp| at.to_zoned(seoul()).strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let mut query = vec![("startDate", kst(from)), ("endDate", kst(until)), ("limit", ROWS.to_string())];
    if let Some(after) = after {
        query.push(("startingAfter", after.to_owned()));
    }
    let url = reqwest::Url::parse_with_params(&format!("{}/v1/transactions", toss.base_url), &query)
        .map_err(|e| e.to_string())?;
    let request = toss.http.get(url).timeout(TIMEOUT).header("authorization", &toss.authorization);
    let response = request.send().await.map_err(|e| e.without_url().to_string())?;
    let status = response.status();
    let body = response.bytes().await.map_err(|e| e.without_url().to_string())?;
    if !status.is_success() {
        return Err(format!("{status} for the books"));
    }
    if body.len() > BYTES_MAX {
        return Err(format!("a page of {} bytes", body.len()));
    }
    let rows: Vec<Row> = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
    let next = (rows.len() == ROWS).then(|| rows.last().map(|row| row.transaction_key.clone())).flatten();
    let rows = rows.into_iter().filter_map(|row| transaction(row, &toss.fees)).collect();
    Ok(TransactionPage { rows, next })
}

/// None: nothing was charged or returned by it.
fn transaction(row: Row, fees: &Fees) -> Option<Transaction> {
    let kind = match row.status.as_str() {
        "DONE" => TransactionKind::Payment,
        "WAITING_FOR_DEPOSIT" => TransactionKind::Awaiting,
        "CANCELED" | "PARTIAL_CANCELED" => TransactionKind::Refund,
        _ => return None,
    };
    // Whether a cancel's sum is signed is not documented.
    let amount_won = (row.amount as i64).abs();
    let method = row.method.as_deref().unwrap_or_default();
    let fee_won = match kind {
        TransactionKind::Payment => fees.of_payment(method, amount_won),
        TransactionKind::Awaiting => None,
        TransactionKind::Refund | TransactionKind::RefundFailed => fees.of_refund(method, amount_won),
    };
    Some(Transaction {
        key: row.transaction_key,
        payment_key: row.payment_key,
        order_id: row.order_id,
        kind,
        amount_won,
        fee_won,
        at: answer::instant(&row.transaction_at)?,
    })
}
