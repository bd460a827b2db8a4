//! Every approval and every cancel, in order: what `GET /v1/transactions` reconciles against.

use crate::ids;
use crate::method::Method;
use crate::payment::{Payment, Status};
use simulator_common::Text;
use simulator_common::lock;
use std::sync::Mutex;

#[derive(Clone)]
pub struct Row {
    pub transaction_key: Text,
    pub at_ms: i64,
    pub pair: usize,
    pub payment_key: Text,
    pub order_id: Text,
    pub method: Option<Method>,
    pub customer_key: Option<Text>,
    pub use_escrow: bool,
    pub status: Status,
    pub amount: i64,
}

#[derive(Default)]
pub struct Ledger {
    rows: Mutex<Vec<Row>>,
}

impl Ledger {
    /// Books one transaction and returns its key.
    pub fn book(&self, now_ms: i64, pair: usize, customer: Option<&str>, payment: &Payment, amount: i64) -> Text {
        let mut rows = lock(&self.rows);
        let transaction_key: Text = ids::transaction_key(rows.len() as u64).into();
        // Two callers may read the clock in one order and arrive in the other; pages need ascending times.
        let at_ms = rows.last().map_or(now_ms, |last| last.at_ms.max(now_ms));
        rows.push(Row {
            transaction_key: transaction_key.clone(),
            at_ms,
            pair,
            payment_key: payment.payment_key.clone(),
            order_id: payment.order_id.clone(),
            method: payment.method,
            customer_key: customer.map(Text::from),
            use_escrow: payment.use_escrow.unwrap_or(false),
            status: payment.status,
            amount,
        });
        transaction_key
    }

    /// A page of one pair's rows within [from, to], after a given key; None if that key is unknown.
    pub fn page(&self, pair: usize, from_ms: i64, to_ms: i64, after: Option<&str>, limit: usize) -> Option<Vec<Row>> {
        let rows = lock(&self.rows);
        let mut first = rows.partition_point(|row| row.at_ms < from_ms);
        if let Some(key) = after {
            let at = usize::try_from(ids::transaction_row(key)?).ok()?;
            rows.get(at).filter(|row| &*row.transaction_key == key)?;
            first = first.max(at + 1);
        }
        let later = rows[first.min(rows.len())..].iter();
        Some(later.take_while(|row| row.at_ms <= to_ms).filter(|row| row.pair == pair).take(limit).cloned().collect())
    }

    pub fn clear(&self) {
        lock(&self.rows).clear();
    }
}
