//! What faults mean at Toss; the machinery is in `simulator_common`.

use crate::codes;
use crate::refusal::{Refusal, refuse};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use simulator_common::faults;
pub use simulator_common::faults::Kind;

pub type Fault = faults::Fault<Op>;
pub type Faults = faults::Faults<Op>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    Confirm,
    Query,
    Cancel,
    Create,
    Transactions,
}

/// The refusal a fault makes of a call, from its own code and status or the usual ones.
pub fn refusal(fault: &Fault) -> Refusal {
    let usual = match (fault.kind, fault.op) {
        (Kind::RateLimited, _) => "TOO_MANY_REQUESTS",
        // A confirm refused for good becomes ABORTED.
        (Kind::Fail, Op::Confirm) => "REJECT_CARD_PAYMENT",
        (Kind::Fail, Op::Query) => "NOT_FOUND_PAYMENT",
        (Kind::Fail, Op::Cancel) => "NOT_CANCELABLE_PAYMENT",
        _ => "FAILED_INTERNAL_SYSTEM_PROCESSING",
    };
    let status = fault.status.and_then(|status| StatusCode::from_u16(status).ok());
    let mut refusal = match fault.code.as_deref() {
        None => refuse(usual),
        Some(name) => match codes::find(name) {
            Some(code) => Refusal::of(code),
            None => Refusal::invented(name, refuse(usual).status),
        },
    };
    refusal.status = status.unwrap_or(refusal.status);
    refusal
}
