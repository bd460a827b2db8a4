//! What can happen to a payment, whoever asks: an API call, the buyer's window, the dashboard or time itself.
//! Every act changes everything or nothing, and returns the events to send.

pub mod attempt;
pub mod cancel;
pub mod capture;
pub mod create;
pub mod dispute;
pub mod refund;

use crate::intent::Intent;
use crate::refusal::{Refusal, invalid};

/// An act that the intent's state does not allow.
fn unexpected_state(intent: &Intent, message: String) -> Refusal {
    invalid(message).code("payment_intent_unexpected_state").with("payment_intent", intent.to_json())
}
