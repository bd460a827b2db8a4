//! Why a card is refused: Stripe's code, decline code and the words for the buyer.

use crate::refusal::Refusal;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug)]
pub struct Decline {
    pub code: &'static str,
    pub decline_code: Option<&'static str>,
    pub message: &'static str,
}

const DECLINED: &str = "Your card was declined.";

const fn declined(decline_code: &'static str) -> Decline {
    Decline { code: "card_declined", decline_code: Some(decline_code), message: DECLINED }
}

pub const GENERIC: Decline = declined("generic_decline");

/// The ones a buyer's bank gives, by the name a tester uses.
const KNOWN: [(&str, Decline); 10] = [
    ("card_declined", GENERIC),
    ("generic_decline", GENERIC),
    ("insufficient_funds", Decline { message: "Your card has insufficient funds.", ..declined("insufficient_funds") }),
    ("lost_card", declined("lost_card")),
    ("stolen_card", declined("stolen_card")),
    ("do_not_honor", declined("do_not_honor")),
    ("fraudulent", declined("fraudulent")),
    ("expired_card", Decline { code: "expired_card", decline_code: None, message: "Your card has expired." }),
    (
        "incorrect_cvc",
        Decline {
            code: "incorrect_cvc",
            decline_code: Some("incorrect_cvc"),
            message: "Your card's security code is incorrect.",
        },
    ),
    (
        "processing_error",
        Decline {
            code: "processing_error",
            decline_code: Some("processing_error"),
            message: "An error occurred while processing your card. Try again in a little bit.",
        },
    ),
];

/// The buyer turned away, or did not prove who they are.
pub const UNAUTHENTICATED: Decline = Decline {
    code: "payment_intent_authentication_failure",
    decline_code: None,
    message: "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new \
              PaymentMethod to attempt to fulfill this PaymentIntent again.",
};

pub fn find(name: &str) -> Option<Decline> {
    KNOWN.iter().find(|(known, _)| *known == name).map(|(_, decline)| *decline)
}

pub fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|(name, _)| *name)
}

impl Decline {
    pub fn kind(&self) -> &'static str {
        if self.code == UNAUTHENTICATED.code { "invalid_request_error" } else { "card_error" }
    }

    pub fn refusal(&self) -> Refusal {
        let status = if self.kind() == "card_error" { 402 } else { 400 };
        let refusal = Refusal::new(status, self.kind(), self.message).code(self.code);
        match self.decline_code {
            Some(decline_code) => refusal.with("decline_code", decline_code),
            None => refusal,
        }
    }

    /// As `last_payment_error` shows it.
    pub fn to_json(self, charge: Option<&str>, method: Value) -> Value {
        let mut error = json!({
            "type": self.kind(),
            "code": self.code,
            "doc_url": format!("https://stripe.com/docs/error-codes/{}", self.code.replace('_', "-")),
            "message": self.message,
            "payment_method": method,
        });
        if let Some(decline_code) = self.decline_code {
            error["decline_code"] = decline_code.into();
        }
        if let Some(charge) = charge {
            error["charge"] = charge.into();
        }
        error
    }
}
