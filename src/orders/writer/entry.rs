//! What can be asked of the stock writer, and what it answers.

use jiff::Timestamp;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::error::Error;
use crate::orders::model::{OrderFacts, Origin, Seat};

/// A sealed contact, written with its order.
#[derive(Clone, Debug)]
pub struct SealedContact {
    pub phone_digest: Vec<u8>,
    pub key_id: String,
    pub sealed: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Hold {
    pub seat: Seat,
    pub contact: SealedContact,
    pub referral_code: Option<String>,
    pub ttl_s: i32,
}

/// What the gateway said of an accepted payment.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    pub payment_key: String,
    pub method: Option<String>,
    pub secret: Option<String>,
    pub raw: serde_json::Value,
}

#[derive(Clone, Debug)]
pub enum Ask {
    /// A new order for places taken in Redis.
    Hold(Box<Hold>),
    /// A fresh attempt to pay.
    Open {
        attempt_id: Uuid,
    },
    /// The attempt is about to be sent to the gateway.
    Begin {
        attempt_id: Uuid,
        payment_key: String,
        confirm_key: Vec<u8>,
        confirm_fingerprint: Vec<u8>,
        seat: Option<Seat>,
    },
    /// Money was captured. Without room on a lapsed order the answer is `NeedsSeat`, or a refund if that is final.
    Accept {
        attempt_id: Uuid,
        captured: Box<Captured>,
        seat: Option<Seat>,
        refund_if_full: bool,
        ticket_key_id: i16,
    },
    /// Nothing was charged and nothing will be.
    Decline {
        attempt_id: Uuid,
        code: String,
        message: String,
    },
    /// The outcome is not known: recovery will ask.
    Doubt {
        attempt_id: Uuid,
    },
    /// Nothing to pay.
    SettleFree {
        ticket_key_id: i16,
    },
    Expire,
    Cancel,
}

impl Ask {
    /// Whether it can change the order's stock, which must then be locked.
    pub fn touches_stock(&self) -> bool {
        match self {
            Ask::Hold(_) | Ask::Accept { .. } | Ask::SettleFree { .. } | Ask::Expire | Ask::Cancel => true,
            Ask::Begin { seat, .. } => seat.is_some(),
            Ask::Open { .. } | Ask::Decline { .. } | Ask::Doubt { .. } => false,
        }
    }

    pub fn seat(&self) -> Option<&Seat> {
        match self {
            Ask::Hold(hold) => Some(&hold.seat),
            Ask::Begin { seat, .. } | Ask::Accept { seat, .. } => seat.as_ref(),
            _ => None,
        }
    }
}

pub struct Entry {
    pub facts: OrderFacts,
    pub ask: Ask,
    pub origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Older than the writer accepts: the audit may be giving its take back.
    Stale,
    /// A rebuild has come between the take and the commit.
    OtherEpoch,
    SoldOut,
    PersonLimit,
    UnknownOrder,
    UnknownAttempt,
    AlreadyPaid,
    /// Another try to pay is on its way.
    InProgress,
    /// The hold has lapsed and its places are free.
    Lapsed,
    /// Cancelled or refunded: nothing more will happen.
    Closed,
    /// This try to pay is over.
    AttemptOver,
    NotFree,
    TooManyAttempts,
}

#[derive(Clone, Debug)]
pub enum Reply {
    Held {
        at: Timestamp,
        expires_at: Timestamp,
    },
    /// The hold is an order already, or becomes one in this very commit, by the take of that instant.
    Exists {
        order_id: Uuid,
        taken_at_ms: i64,
    },
    Opened {
        n: i32,
    },
    Begun,
    Paid,
    /// The money came too late or twice and goes back.
    Refunding,
    NeedsSeat,
    Declined,
    Doubted,
    Released,
    /// It is so already; nothing was written.
    Already,
    Refused(Refusal),
    /// Not written, and certain of it.
    Failed(Error),
    /// The connection died inside COMMIT and nobody could be asked.
    Unknown,
}

pub struct Job {
    pub entry: Entry,
    pub reply: oneshot::Sender<Reply>,
}
