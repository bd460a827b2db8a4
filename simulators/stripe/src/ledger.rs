//! The balance: every movement of money with its fee, in order. What settlement reports are made of.

use crate::ids;
use serde_json::{Value, json};
use simulator_common::{Text, lock};
use std::collections::HashMap;
use std::sync::Mutex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    Charge,
    Refund,
    RefundFailure,
    Dispute,
}

#[derive(Clone)]
pub struct Row {
    pub id: Text,
    pub movement: Movement,
    /// "charge" and "refund" are for cards; other ways to pay make "payment" and "payment_refund".
    pub card: bool,
    pub amount: i64,
    pub fee: i64,
    pub created_ms: i64,
    pub available_ms: i64,
    pub source: Text,
    pub description: Option<String>,
}

impl Row {
    pub fn kind(&self) -> &'static str {
        match (self.movement, self.card) {
            (Movement::Charge, true) => "charge",
            (Movement::Charge, false) => "payment",
            (Movement::Refund, true) => "refund",
            (Movement::Refund, false) => "payment_refund",
            (Movement::RefundFailure, true) => "refund_failure",
            (Movement::RefundFailure, false) => "payment_failure_refund",
            (Movement::Dispute, _) => "adjustment",
        }
    }

    fn category(&self) -> &'static str {
        match self.movement {
            Movement::Charge => "charge",
            Movement::Refund => "refund",
            Movement::RefundFailure => "refund_failure",
            Movement::Dispute => "dispute",
        }
    }

    pub fn to_json(&self, now_ms: i64) -> Value {
        let fees = if self.fee == 0 {
            json!([])
        } else {
            json!([{
                "amount": self.fee, "application": null, "currency": "krw",
                "description": "Stripe processing fees", "type": "stripe_fee",
            }])
        };
        json!({
            "id": self.id,
            "object": "balance_transaction",
            "amount": self.amount,
            "available_on": self.available_ms / 1_000,
            "balance_type": "payments",
            "created": self.created_ms / 1_000,
            "currency": "krw",
            "description": self.description,
            "exchange_rate": null,
            "fee": self.fee,
            "fee_details": fees,
            "net": self.amount - self.fee,
            "reporting_category": self.category(),
            "source": self.source,
            "status": if now_ms >= self.available_ms { "available" } else { "pending" },
            "type": self.kind(),
        })
    }
}

#[derive(Default)]
struct Books {
    rows: Vec<Row>,
    by_id: HashMap<Text, usize>,
}

#[derive(Default)]
pub struct Ledger {
    books: Mutex<Books>,
}

impl Ledger {
    /// Books one movement; `row` comes without its id and is dated no earlier than the one before it.
    pub fn book(&self, mut row: Row) -> Text {
        let mut books = lock(&self.books);
        row.id = ids::fresh("txn");
        // Two callers may read the clock in one order and arrive in the other; pages need ascending times.
        row.created_ms = books.rows.last().map_or(row.created_ms, |last| last.created_ms.max(row.created_ms));
        let at = books.rows.len();
        books.by_id.insert(row.id.clone(), at);
        let id = row.id.clone();
        books.rows.push(row);
        id
    }

    pub fn get(&self, id: &str) -> Option<Row> {
        let books = lock(&self.books);
        books.by_id.get(id).map(|at| books.rows[*at].clone())
    }

    /// Gives the rows to `page`, oldest first; rows are only ever added at the end.
    pub fn read<T>(&self, page: impl FnOnce(&[Row]) -> T) -> T {
        page(&lock(&self.books).rows)
    }

    pub fn clear(&self) {
        *lock(&self.books) = Books::default();
    }
}
