//! Stripe's books: its balance, one row for each movement of money, with the fee.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Answer, Stripe};
use crate::payments::model::{Transaction, TransactionKind, TransactionPage};

const TIMEOUT: Duration = Duration::from_secs(60);
/// As many as Stripe gives.
const ROWS: &str = "100";
/// Read in one go.
const PAGES: usize = 50;

#[derive(Deserialize)]
struct Page {
    data: Vec<Row>,
    has_more: bool,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: i64,
    currency: String,
    fee: i64,
    #[serde(default)]
    source: Option<Value>,
}

/// The charge or refund behind a row. Its sum is what the buyer saw; the row's own is in the currency of the account.
#[derive(Deserialize)]
struct Source {
    id: String,
    amount: i64,
    #[serde(default)]
    amount_captured: Option<i64>,
    #[serde(default)]
    payment_intent: Option<String>,
    #[serde(default)]
    metadata: std::collections::HashMap<String, String>,
}

/// Several of Stripe's pages, which are small, make one of ours. Both instants are within.
pub async fn page(
    stripe: &Stripe,
    from: Timestamp,
    until: Timestamp,
    after: Option<&str>,
) -> Result<TransactionPage, String> {
    let mut all = TransactionPage { rows: Vec::new(), next: after.map(str::to_owned) };
    for _ in 0..PAGES {
        let (rows, next) = one(stripe, from, until, all.next.as_deref()).await?;
        all.rows.extend(rows);
        all.next = next;
        if all.next.is_none() {
            break;
        }
    }
    Ok(all)
}

async fn one(
    stripe: &Stripe,
    from: Timestamp,
    until: Timestamp,
    after: Option<&str>,
) -> Result<(Vec<Transaction>, Option<String>), String> {
    let mut query = vec![
        ("created[gte]", from.as_second().to_string()),
        ("created[lte]", until.as_second().to_string()),
        ("limit", ROWS.to_owned()),
        ("expand[]", "data.source".to_owned()),
    ];
    if let Some(after) = after {
        query.push(("starting_after", after.to_owned()));
    }
    let request = stripe.get("/v1/balance_transactions", &query)?.timeout(TIMEOUT);
    let body = match stripe.call("books", request).await {
        Answer::Done(body) => body,
        Answer::Refused(refusal) => return Err(format!("{} for the books", refusal.why())),
        Answer::Nothing(why) => return Err(why),
    };
    let page: Page = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
    let next = page.has_more.then(|| page.data.last().map(|row| row.id.clone())).flatten();
    let rows: Result<Vec<Transaction>, String> =
        page.data.into_iter().filter_map(|row| transaction(row).transpose()).collect();
    Ok((rows?, next))
}

/// None: no payment and no refund (a payout, a dispute).
fn transaction(row: Row) -> Result<Option<Transaction>, String> {
    let kind = match row.kind.as_str() {
        "charge" | "payment" => TransactionKind::Payment,
        "refund" | "payment_refund" => TransactionKind::Refund,
        "refund_failure" => TransactionKind::RefundFailed,
        _ => return Ok(None),
    };
    let source = row.source.and_then(|source| Source::deserialize(source).ok());
    let source = source.ok_or_else(|| format!("{} without what it is about", row.id))?;
    Ok(Some(Transaction {
        key: row.id,
        // A charge without an intent is not one of ours, and is listed under its own name.
        payment_key: source.payment_intent.unwrap_or(source.id),
        order_id: source.metadata.get("order_id").cloned(),
        kind,
        amount_won: source.amount_captured.unwrap_or(source.amount).abs(),
        fee_won: (row.currency == "krw").then_some(row.fee),
        at: Timestamp::from_second(row.created).map_err(|e| e.to_string())?,
    }))
}
