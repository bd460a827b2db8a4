//! Types of orders and attempts; the state machine as a table. Pure.

use jiff::Timestamp;
use uuid::Uuid;

use crate::admin::audit::Act;
use crate::payments::Receipts;
use crate::stock::model::{Fingerprint, HoldId, Line, PersonKey};
use crate::waiting_room::model::Sid;

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($variant:ident => $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($variant),* }
        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant),*];
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }
            pub fn parse(text: &str) -> Option<$name> {
                match text { $($text => Some($name::$variant),)* _ => None }
            }
        }
    };
}

states! {
    /// Where an order stands.
    OrderState {
        Held => "held", Confirming => "confirming", AwaitingDeposit => "awaiting_deposit", Paid => "paid",
        PartiallyRefunded => "partially_refunded", Refunded => "refunded", Expired => "expired", Cancelled => "cancelled",
    }
}

states! {
    /// Where one try to pay stands. Unknown is a state: recovery asks Toss until it knows.
    AttemptState {
        Ready => "ready", Sent => "sent", Unknown => "unknown", AwaitingDeposit => "awaiting_deposit",
        Accepted => "accepted", Declined => "declined",
    }
}

states! {
    /// What the history of an order tells: the writer's, and those that are written beside it in SQL. Each has words in the
    /// control room, which a test compares.
    EventKind {
        Held => "held", Confirming => "confirming", OutcomeUnknown => "outcome_unknown", Declined => "declined",
        AwaitingDeposit => "awaiting_deposit", DepositReversed => "deposit_reversed", Paid => "paid",
        Expired => "expired", Cancelled => "cancelled", PartiallyRefunded => "partially_refunded",
        Refunded => "refunded", LateAndFull => "late_and_full", PaidTwice => "paid_twice",
        OrderClosed => "order_closed", MoneyReturned => "money_returned", RefundFailed => "refund_failed",
        RefundBounced => "refund_bounced", RefundArrived => "refund_arrived",
        RefundPaidByHand => "refund_paid_by_hand", TicketReissued => "ticket_reissued",
        ContactChanged => "contact_changed", ContactErased => "contact_erased", NewsWithdrawn => "news_withdrawn",
    }
}

use OrderState::*;

/// Every legal move of an order. `Expired -> Confirming | Paid` are late money with room left: the places are taken
/// again first.
pub const MOVES: &[(OrderState, OrderState)] = &[
    (Held, Confirming),
    (Held, Paid),
    (Held, AwaitingDeposit),
    (Held, Expired),
    (Held, Cancelled),
    (Confirming, Paid),
    (Confirming, Held),
    (Confirming, AwaitingDeposit),
    (Confirming, Expired),
    (AwaitingDeposit, Paid),
    (AwaitingDeposit, Expired),
    (AwaitingDeposit, Cancelled),
    (Paid, AwaitingDeposit),
    (Paid, PartiallyRefunded),
    (Paid, Refunded),
    (PartiallyRefunded, PartiallyRefunded),
    (PartiallyRefunded, Refunded),
    (Expired, Confirming),
    (Expired, Paid),
];

/// Every legal move of an attempt. `Accepted` is a fact that no refusal overrules, but a bank may take a deposit back.
pub const ATTEMPT_MOVES: &[(AttemptState, AttemptState)] = &[
    (AttemptState::Ready, AttemptState::Sent),
    (AttemptState::Ready, AttemptState::Accepted),
    (AttemptState::Ready, AttemptState::Declined),
    (AttemptState::Sent, AttemptState::Unknown),
    (AttemptState::Sent, AttemptState::AwaitingDeposit),
    (AttemptState::Sent, AttemptState::Accepted),
    (AttemptState::Sent, AttemptState::Declined),
    (AttemptState::Unknown, AttemptState::AwaitingDeposit),
    (AttemptState::Unknown, AttemptState::Accepted),
    (AttemptState::Unknown, AttemptState::Declined),
    (AttemptState::AwaitingDeposit, AttemptState::Accepted),
    (AttemptState::AwaitingDeposit, AttemptState::Declined),
    (AttemptState::Declined, AttemptState::Accepted),
    (AttemptState::Accepted, AttemptState::AwaitingDeposit),
];

impl AttemptState {
    pub fn may_become(self, to: AttemptState) -> bool {
        self == to || ATTEMPT_MOVES.contains(&(self, to))
    }
}

impl OrderState {
    pub fn may_become(self, to: OrderState) -> bool {
        MOVES.contains(&(self, to))
    }

    /// Places are kept, unpaid.
    pub fn holds_places(self) -> bool {
        matches!(self, Held | Confirming | AwaitingDeposit)
    }

    /// The seed's name for how the payment stands.
    pub fn payment_status(self) -> &'static str {
        match self {
            Held => "pending",
            Confirming => "confirming",
            AwaitingDeposit => "awaiting_deposit",
            Paid => "paid",
            PartiallyRefunded => "partially_refunded",
            Refunded => "refunded",
            Expired => "expired",
            Cancelled => "cancelled",
        }
    }
}

/// One product in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub product_id: i32,
    pub quantity: i32,
    pub unit_won: i32,
    /// Only dated products are for the order's slot.
    pub dated: bool,
    /// Places of the product that the order's person may hold or own, as the catalogue had it.
    pub per_person_max: Option<i32>,
}

/// What of an order never changes once it is held.
#[derive(Clone, Debug)]
pub struct OrderFacts {
    pub id: Uuid,
    pub number: String,
    pub exhibition_id: i32,
    pub code: String,
    pub slot_id: Option<i32>,
    pub hold_id: HoldId,
    pub fingerprint: Fingerprint,
    pub total_won: i32,
    pub person_key: PersonKey,
    pub person_places: i32,
    /// Whether the order counts toward its person's places and open holds.
    pub person_counted: bool,
    /// The person's limit by today's catalogue; None: no limit.
    pub person_allowed: Option<i32>,
    pub has_email: bool,
    pub language: &'static str,
    pub items: Vec<Item>,
    pub lines: Vec<Line>,
    /// The pass it was placed with.
    pub pass_sid: Option<Sid>,
}

/// Proof that places were taken in Redis for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    pub hold_id: HoldId,
    pub epoch: i64,
    pub at_ms: i64,
}

/// Who caused a change, for its event.
#[derive(Clone, Debug)]
pub struct Origin {
    pub actor: &'static str,
    pub cause: String,
    pub correlation_id: String,
    /// Of staff: what the audit log says of it, in the same commit.
    pub act: Option<Box<Act>>,
}

impl Origin {
    pub fn new(actor: &'static str, cause: impl Into<String>, correlation_id: impl Into<String>) -> Origin {
        Origin { actor, cause: cause.into(), correlation_id: correlation_id.into(), act: None }
    }

    pub fn recorded(self, act: Act) -> Origin {
        Origin { act: Some(Box::new(act)), ..self }
    }
}

/// An order as it stands.
#[derive(Clone, Debug)]
pub struct Order {
    pub facts: OrderFacts,
    pub state: OrderState,
    pub token_version: i32,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub paid_at: Option<Timestamp>,
    /// How it was paid, in the provider's word.
    pub payment_method: Option<String>,
    /// Once paid, as far as the provider has them.
    pub receipts: Option<Receipts>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_ends() {
        for to in OrderState::ALL {
            assert!(!Refunded.may_become(*to) && !Cancelled.may_become(*to));
        }
        assert!(Held.may_become(Paid) && !Paid.may_become(Held) && !Paid.may_become(Expired));
    }

    #[test]
    fn names_are_read_back() {
        for state in OrderState::ALL {
            assert_eq!(OrderState::parse(state.as_str()), Some(*state));
        }
        for state in AttemptState::ALL {
            assert_eq!(AttemptState::parse(state.as_str()), Some(*state));
        }
    }
}
