//! The port: what every provider must do, with no default bodies, so that a forgotten part does not compile.
//! Why it has this shape: docs/decisions/0011-the-payment-port.md.

use async_trait::async_trait;
use axum::http::HeaderMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Provider {
    Toss,
    Stripe,
    /// The staff at a gate. Nobody who could be asked or told anything over a network.
    Cash,
}

impl Provider {
    pub const ALL: [Provider; 3] = [Provider::Toss, Provider::Stripe, Provider::Cash];

    pub fn as_str(self) -> &'static str {
        match self {
            Provider::Toss => "toss",
            Provider::Stripe => "stripe",
            Provider::Cash => "cash",
        }
    }

    pub fn parse(text: &str) -> Option<Provider> {
        Provider::ALL.into_iter().find(|provider| provider.as_str() == text)
    }
}

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
    /// What could still be refunded; None: the answer does not say.
    pub balance_won: Option<i64>,
    pub currency: String,
    pub method: Option<String>,
    /// Proves later deposit notices.
    pub secret: Option<String>,
    pub failure_code: Option<String>,
    /// Where to pay in, for a virtual account.
    pub account: Option<DepositAccount>,
    pub receipts: Receipts,
    pub arrival: Arrival,
    /// The whole answer, without what we must not keep.
    pub raw: serde_json::Value,
}

/// What a buyer needs for the tax office, as far as the provider has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Receipts {
    /// The provider's own receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cash: Option<CashReceipt>,
    /// The payment counts as culture expense.
    #[serde(default)]
    pub culture_expense: bool,
}

/// 현금영수증.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CashReceipt {
    /// In the provider's word: 소득공제 or 지출증빙.
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// How the latest refund into a bank account fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrival {
    /// No such refund, or the provider does not say.
    #[default]
    Unsaid,
    UnderWay,
    Arrived,
    /// The bank has sent it back.
    Bounced,
}

/// What an exhibition wants of the provider's window, beside the sum.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    pub culture_expense: bool,
    pub deposit_h: i32,
    pub cash_receipt: Option<CashReceiptWish>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CashReceiptWish {
    /// For a private person's tax return.
    IncomeDeduction,
    /// For a business.
    ExpenseProof,
    None,
}

/// The virtual account of one payment.
#[derive(Clone, PartialEq, Eq)]
pub struct DepositAccount {
    /// The provider's code of the bank.
    pub bank: String,
    pub number: String,
    pub due_at: Option<Timestamp>,
    /// The provider says that the time to pay in is over.
    pub expired: bool,
}

impl std::fmt::Debug for DepositAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DepositAccount({}, due {:?})", self.bank, self.due_at)
    }
}

/// What a payment is to be opened with.
#[derive(Clone, Debug)]
pub struct OpenAsk<'a> {
    pub order_id: &'a str,
    pub amount_won: i64,
    pub order_name: &'a str,
    /// The same for every repeat of the same call.
    pub idempotency_key: &'a str,
}

/// What the browser needs to go on.
#[derive(Clone, Debug)]
pub enum OpenOutcome {
    /// The provider learns of the payment from the browser.
    InBrowser,
    /// The provider knows it already, under this key.
    Opened { payment_key: String, client_secret: String },
    /// Nothing is open; another key may help.
    Refused { code: String },
    Unknown {
        why: String,
        /// As for a confirm: the provider repeats this answer to the same key.
        answered: bool,
    },
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
    /// Nothing is paid yet: the buyer has until the account's due date to pay in.
    AwaitingDeposit(Box<Payment>),
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

/// Where money of a virtual account goes back to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundAccount {
    pub bank: String,
    pub number: String,
    pub holder: String,
}

impl std::fmt::Debug for RefundAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RefundAccount({})", self.bank)
    }
}

#[derive(Clone, Debug)]
pub struct CancelAsk<'a> {
    pub payment_key: &'a str,
    pub order_id: &'a str,
    /// None: all that is left, also of a payment that nobody has paid in yet.
    pub amount_won: Option<i64>,
    pub reason: &'a str,
    pub account: Option<&'a RefundAccount>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionKind {
    Payment,
    Refund,
    /// A refund that the bank has refused after all.
    RefundFailed,
    /// An account waits for money: it was issued, or its deposit taken back.
    Awaiting,
}

/// One line of the provider's books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Unique at the provider.
    pub key: String,
    pub payment_key: String,
    pub order_id: Option<String>,
    pub kind: TransactionKind,
    /// Never below zero.
    pub amount_won: i64,
    /// What the provider keeps, where its books say so.
    pub fee_won: Option<i64>,
    pub at: Timestamp,
}

/// A page of the provider's books, and where the next one begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionPage {
    pub rows: Vec<Transaction>,
    pub next: Option<String>,
}

/// What a webhook is about. Nothing in it is believed: it says which payment to ask the provider about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub kind: &'static str,
    pub order_id: String,
    /// In the provider's word, for the record.
    pub status: Option<String>,
    /// The same for every repeat of the same event.
    pub event_id: String,
    /// What came along to prove a deposit notice.
    pub secret: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticeOutcome {
    About(Notice),
    /// Well formed and of no concern to us, for the metric.
    NotForUs(&'static str),
    /// Not signed as the provider signs.
    Forged,
    Malformed,
}

#[async_trait]
pub trait PaymentGateway: Send + Sync {
    fn provider(&self) -> Provider;
    /// Before the browser goes to the provider. Nothing is charged by it.
    async fn open(&self, ask: &OpenAsk<'_>) -> OpenOutcome;
    async fn confirm(&self, ask: &ConfirmAsk<'_>) -> ConfirmOutcome;
    /// By payment key where it is known, else by our order id.
    async fn find(&self, payment_key: Option<&str>, order_id: &str) -> FindOutcome;
    async fn cancel(&self, ask: &CancelAsk<'_>) -> CancelOutcome;
    /// The books between two instants, from the beginning or after a page.
    async fn transactions(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<&str>,
    ) -> Result<TransactionPage, String>;
    /// Reads a webhook of this provider and checks its signature, where it has one.
    fn notice(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> NoticeOutcome;
}
