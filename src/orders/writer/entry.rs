//! What can be asked of the stock writer, and what it answers.

use jiff::Timestamp;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::error::Error;
use crate::orders::consent::Consent;
use crate::orders::contact::ContactIndex;
use crate::orders::model::{OrderFacts, Origin, Seat};
use crate::payments::Provider;
use crate::platform::http::IfMatch;
use crate::stock::model::Line;

/// A sealed contact, written with its order.
#[derive(Clone, Debug)]
pub struct SealedContact {
    pub phone_digest: Vec<u8>,
    pub index: ContactIndex,
    pub key_id: String,
    pub sealed: Vec<u8>,
    pub consent: Consent,
}

#[derive(Clone, Debug)]
pub struct Hold {
    pub seat: Seat,
    pub contact: SealedContact,
    pub referral_code: Option<String>,
    pub ttl_s: i32,
    /// Unpaid holds that the person may have open at once; None: nobody counts.
    pub open_holds_max: Option<i32>,
}

/// What the gateway said of an accepted payment.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    pub payment_key: String,
    pub method: Option<String>,
    pub secret: Option<String>,
    pub raw: serde_json::Value,
    pub receipts: serde_json::Value,
    /// Its money can only go back to an account that the buyer names.
    pub to_account: bool,
}

/// A virtual account, its number sealed.
#[derive(Clone, Debug)]
pub struct Deposit {
    pub bank: String,
    pub sealed: (String, Vec<u8>),
    pub due_at: Timestamp,
    /// Until when the places are kept: a little longer, for a deposit of the last minute to be heard of.
    pub kept_until: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundKind {
    Visitor,
    Admin,
    /// Seen in the provider's answer: the money has gone back already.
    Provider,
}

impl RefundKind {
    pub fn as_str(self) -> &'static str {
        match self {
            RefundKind::Visitor => "visitor",
            RefundKind::Admin => "admin",
            RefundKind::Provider => "provider",
        }
    }
}

/// Money that goes back, and the tickets that end with it.
#[derive(Clone, Debug)]
pub struct RefundAsk {
    pub id: Uuid,
    pub kind: RefundKind,
    pub reason: String,
    pub ticket_ids: Vec<Uuid>,
    /// Places of these tickets, by stock, and those that count against the person's limit.
    pub lines: Vec<Line>,
    pub person_places: i32,
    /// What the tickets cost, and how much of that goes back.
    pub price_won: i32,
    /// By the provider itself: all that it has ever returned of the payment, of which the known is taken off.
    pub amount_won: i32,
    /// Tickets that have been used are given back as well.
    pub used_too: bool,
    /// Digest of the caller's key, and of what was asked with it.
    pub request: Option<(Vec<u8>, Vec<u8>)>,
    /// Where the money goes back to, sealed.
    pub account: Option<(String, Vec<u8>)>,
}

#[derive(Clone, Debug)]
pub enum Ask {
    /// A new order for places taken in Redis.
    Hold(Box<Hold>),
    /// A fresh attempt to pay.
    Open {
        attempt_id: Uuid,
        provider: Provider,
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
    /// Nothing is paid yet: the buyer pays into an account.
    Await {
        attempt_id: Uuid,
        captured: Box<Captured>,
        deposit: Box<Deposit>,
    },
    /// The bank took a deposit back.
    Reverse {
        attempt_id: Uuid,
        kept_until: Timestamp,
    },
    /// Nobody has paid in, and the account takes nothing any more.
    LapseDeposit {
        attempt_id: Uuid,
    },
    Refund(Box<RefundAsk>),
    /// Money in somebody's hand: the attempt and its end in one. Where it may come `late`, a lapsed order without a seat is
    /// answered `NeedsSeat`.
    Cash {
        attempt_id: Uuid,
        captured: Box<Captured>,
        late: bool,
        seat: Option<Seat>,
        ticket_key_id: i16,
    },
    /// Nothing to pay.
    SettleFree {
        ticket_key_id: i16,
    },
    Expire,
    Cancel {
        /// Only of the order as it was seen; None: of whatever it is.
        seen: Option<IfMatch>,
    },
}

impl Ask {
    /// Whether it can change the order's stock, which must then be locked.
    pub fn touches_stock(&self) -> bool {
        match self {
            Ask::Hold(_)
            | Ask::Accept { .. }
            | Ask::Cash { .. }
            | Ask::SettleFree { .. }
            | Ask::Reverse { .. }
            | Ask::LapseDeposit { .. }
            | Ask::Refund(_)
            | Ask::Expire
            | Ask::Cancel { .. } => true,
            Ask::Begin { seat, .. } => seat.is_some(),
            Ask::Open { .. } | Ask::Decline { .. } | Ask::Doubt { .. } | Ask::Await { .. } => false,
        }
    }

    /// Whether it must know the order's tickets and refunds, locked.
    pub fn looks_at_tickets(&self) -> bool {
        matches!(self, Ask::Refund(_) | Ask::Reverse { .. })
    }

    /// Whether it must know the order's revision.
    pub fn looks_at_revision(&self) -> bool {
        matches!(self, Ask::Cancel { seen: Some(_) })
    }

    /// The attempt that it is about.
    pub fn attempt_id(&self) -> Option<Uuid> {
        match self {
            Ask::Open { attempt_id, .. }
            | Ask::Begin { attempt_id, .. }
            | Ask::Accept { attempt_id, .. }
            | Ask::Decline { attempt_id, .. }
            | Ask::Doubt { attempt_id }
            | Ask::Await { attempt_id, .. }
            | Ask::Reverse { attempt_id, .. }
            | Ask::LapseDeposit { attempt_id }
            | Ask::Cash { attempt_id, .. } => Some(*attempt_id),
            Ask::Hold(_) | Ask::SettleFree { .. } | Ask::Refund(_) | Ask::Expire | Ask::Cancel { .. } => None,
        }
    }

    pub fn seat(&self) -> Option<&Seat> {
        match self {
            Ask::Hold(hold) => Some(&hold.seat),
            Ask::Begin { seat, .. } | Ask::Accept { seat, .. } | Ask::Cash { seat, .. } => seat.as_ref(),
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
    /// Its day was closed since the caller looked.
    SlotClosed,
    PersonLimit,
    /// As many unpaid holds as a person may have.
    OpenHolds,
    /// More of this product than one person may have.
    ProductLimit(i32),
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
    /// Nothing was paid, so nothing goes back.
    NotPaid,
    /// Given back already, or of another order.
    TicketGone,
    TicketUsed,
    /// More than was paid and not given back yet, or nothing at all.
    WrongSum,
    /// The caller's key stands for another request.
    KeyReused,
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
        provider: Provider,
        /// By an earlier call: the provider may know it.
        before: bool,
    },
    Begun,
    Paid,
    /// The money came too late or twice and goes back.
    Refunding,
    NeedsSeat,
    Declined,
    Doubted,
    AwaitingDeposit,
    Reversed,
    /// The refund is written down and goes out.
    Refunded,
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
