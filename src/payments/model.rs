//! The port: what every provider must do, with no default bodies, so that a forgotten part does not compile.

use async_trait::async_trait;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Opened or authenticated; nothing is charged until it is confirmed.
    Pending,
    AwaitingDeposit,
    Captured,
    PartlyCancelled,
    Cancelled,
    /// Refused or timed out: nothing was charged and nothing will be.
    Dead,
    /// A status we do not know yet.
    Other,
}

/// A payment as its provider sees it.
#[derive(Clone, Debug)]
pub struct Payment {
    pub payment_key: String,
    pub order_id: String,
    pub status: Status,
    pub total_won: i64,
    /// What could still be refunded.
    pub balance_won: i64,
    pub currency: String,
    pub method: Option<String>,
    /// Proves later deposit notices.
    pub secret: Option<String>,
    pub failure_code: Option<String>,
    /// The whole answer, without what we must not keep.
    pub raw: serde_json::Value,
}

#[derive(Clone, Debug)]
pub struct ConfirmAsk<'a> {
    pub payment_key: &'a str,
    pub order_id: &'a str,
    pub amount_won: i64,
    /// The same for every repeat of the same call.
    pub idempotency_key: &'a str,
}

#[derive(Clone, Debug)]
pub enum ConfirmOutcome {
    Accepted(Box<Payment>),
    /// Certain: nothing was charged.
    Declined {
        code: String,
        message: String,
    },
    Unknown {
        why: String,
        /// The provider did answer. It gives the same answer to the same key for days, so a repeat that shall be
        /// judged anew needs another one; after silence the key must stay.
        answered: bool,
    },
}

#[derive(Clone, Debug)]
pub enum FindOutcome {
    Found(Box<Payment>),
    /// The provider has no such payment (yet).
    NotFound,
    Unknown {
        why: String,
    },
}

#[derive(Clone, Debug)]
pub struct CancelAsk<'a> {
    pub payment_key: &'a str,
    pub amount_won: i64,
    pub reason: &'a str,
    pub idempotency_key: &'a str,
}

#[derive(Clone, Debug)]
pub enum CancelOutcome {
    Done,
    /// Certain: nothing was refunded by this call; `again` with a new key may help later.
    Refused {
        code: String,
        again: bool,
    },
    Unknown {
        why: String,
    },
}

#[async_trait]
pub trait PaymentGateway: Send + Sync {
    async fn confirm(&self, ask: &ConfirmAsk<'_>) -> ConfirmOutcome;
    /// By payment key where it is known, else by our order id.
    async fn find(&self, payment_key: Option<&str>, order_id: &str) -> FindOutcome;
    async fn cancel(&self, ask: &CancelAsk<'_>) -> CancelOutcome;
}
