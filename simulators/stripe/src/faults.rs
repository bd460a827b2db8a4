//! What faults mean at Stripe; the machinery is in `simulator_common`.

use crate::declines;
use crate::refusal::{Refusal, api_error, invalid, missing, rate_limited};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use simulator_common::faults;
pub use simulator_common::faults::Kind;

pub type Fault = faults::Fault<Op>;
pub type Faults = faults::Faults<Op>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    Create,
    Retrieve,
    Confirm,
    Capture,
    Cancel,
    Refund,
    /// Every call that answers with a page, search too.
    List,
}

impl Op {
    pub const ALL: [Op; 7] = [Op::Create, Op::Retrieve, Op::Confirm, Op::Capture, Op::Cancel, Op::Refund, Op::List];

    pub fn name(self) -> &'static str {
        match self {
            Op::Create => "create",
            Op::Retrieve => "retrieve",
            Op::Confirm => "confirm",
            Op::Capture => "capture",
            Op::Cancel => "cancel",
            Op::Refund => "refund",
            Op::List => "list",
        }
    }
}

/// The refusal a fault makes of a call, from its own code and status or the usual ones.
pub fn refusal(fault: &Fault) -> Refusal {
    let mut refusal = match (fault.kind, fault.code.as_deref()) {
        (Kind::RateLimited, _) => rate_limited(),
        (Kind::Fail, code) => failure(fault.op, code),
        (_, Some(code)) => api_error(500).code(code),
        (_, None) => api_error(500),
    };
    if let Some(status) = fault.status.and_then(|status| StatusCode::from_u16(status).ok()) {
        refusal.status = status;
    }
    refusal
}

/// Refused for good. A name that is a decline makes a card error, any other one an invalid request.
fn failure(op: Op, code: Option<&str>) -> Refusal {
    if let Some(code) = code {
        let by_code = || invalid("An error chosen in the simulator.").code(code);
        return declines::find(code).map_or_else(by_code, |decline| decline.refusal());
    }
    match op {
        Op::Confirm | Op::Capture => declines::GENERIC.refusal(),
        Op::Create => invalid("Amount must convert to at least 50 cents.").code("amount_too_small").param("amount"),
        Op::Retrieve => missing("payment_intent", "pi_of_a_fault", "intent"),
        Op::Cancel => {
            invalid("You cannot cancel this PaymentIntent. (Simulated.)").code("payment_intent_unexpected_state")
        }
        Op::Refund => {
            let message = "You have insufficient funds in your Stripe account for this transaction.";
            invalid(message).code("balance_insufficient")
        }
        Op::List => invalid("An error chosen in the simulator."),
    }
}
