//! What Stripe's codes mean. Many refusals share the status 400, and some have no code at all.

use reqwest::StatusCode;

use crate::payments::model::CancelOutcome;

/// An error object, as far as it decides anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    /// `card_error`, `invalid_request_error`, `api_error`, `idempotency_error`.
    pub kind: String,
    /// Empty where Stripe gives none.
    pub code: String,
    pub decline_code: Option<String>,
    pub message: String,
}

impl Refusal {
    /// The most exact name there is.
    pub fn name(&self) -> &str {
        let code = if self.code.is_empty() { &self.kind } else { &self.code };
        self.decline_code.as_deref().unwrap_or(code)
    }

    pub fn why(&self) -> String {
        format!("{} {}", self.status, self.name())
    }

    pub fn is_missing(&self) -> bool {
        self.code == "resource_missing"
    }

    /// The intent is in another state than the call needs: which one, only a look tells.
    pub fn is_about_state(&self) -> bool {
        matches!(self.code.as_str(), "payment_intent_unexpected_state" | "charge_already_captured")
    }

    /// Another call with the same key is still running, so this is no answer to the key.
    pub fn is_running(&self) -> bool {
        self.code == "idempotency_key_in_use"
    }
}

/// What a refused capture means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Certain: nothing was charged.
    Declined,
    Look,
    Unknown {
        answered: bool,
    },
}

pub fn confirm_refusal(refusal: &Refusal) -> Refused {
    const DECLINED: [&str; 17] = [
        // The buyer's means refused.
        "card_declined",
        "expired_card",
        "incorrect_cvc",
        "incorrect_number",
        "invalid_expiry_month",
        "invalid_expiry_year",
        "insufficient_funds",
        "card_decline_rate_limit_exceeded",
        "authentication_required",
        "payment_intent_authentication_failure",
        "payment_intent_payment_attempt_failed",
        "payment_intent_payment_attempt_expired",
        "payment_method_customer_decline",
        "payment_method_provider_decline",
        // The authorisation is over.
        "capture_charge_authorization_expired",
        "charge_expired_for_capture",
        // It is no payment of this account.
        "resource_missing",
    ];
    if refusal.is_about_state() {
        return Refused::Look;
    }
    if !refusal.status.is_server_error() && DECLINED.contains(&refusal.code.as_str()) {
        return Refused::Declined;
    }
    // An answer, of a fault of theirs too, is bound to its key for a day. What is captured cannot be captured again,
    // so a fresh key is safe.
    Refused::Unknown { answered: !refusal.is_running() }
}

/// The caller looks at the payment after every refusal, so none of these decides alone. `again` means with a new key.
pub fn cancel_refusal(refusal: &Refusal) -> CancelOutcome {
    const FINAL: [&str; 4] =
        ["charge_disputed", "charge_not_refundable", "refund_disputed_payment", "resource_missing"];
    let passing = refusal.status.is_server_error() || refusal.status == StatusCode::TOO_MANY_REQUESTS;
    if passing || refusal.is_running() {
        return CancelOutcome::Unknown { why: refusal.why() };
    }
    let again = !FINAL.contains(&refusal.code.as_str());
    CancelOutcome::Refused { code: refusal.name().to_owned(), again }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, kind: &str, code: &str) -> Refusal {
        Refusal {
            status: StatusCode::from_u16(status).unwrap(),
            kind: kind.into(),
            code: code.into(),
            decline_code: None,
            message: String::new(),
        }
    }

    #[test]
    fn codes_decide_and_not_statuses() {
        let unknown = |answered| Refused::Unknown { answered };
        for (status, kind, code, means) in [
            (402, "card_error", "card_declined", Refused::Declined),
            (400, "invalid_request_error", "charge_expired_for_capture", Refused::Declined),
            (404, "invalid_request_error", "resource_missing", Refused::Declined),
            (400, "invalid_request_error", "payment_intent_unexpected_state", Refused::Look),
            (402, "card_error", "processing_error", unknown(true)),
            (402, "card_error", "a_code_of_tomorrow", unknown(true)),
            (400, "idempotency_error", "", unknown(true)),
            (409, "invalid_request_error", "idempotency_key_in_use", unknown(false)),
            (429, "invalid_request_error", "rate_limit", unknown(true)),
            (401, "invalid_request_error", "", unknown(true)),
            (500, "api_error", "", unknown(true)),
            (500, "api_error", "card_declined", unknown(true)),
        ] {
            assert_eq!(confirm_refusal(&refusal(status, kind, code)), means, "{status} {kind} {code}");
        }
    }

    #[test]
    fn only_a_definite_refusal_of_a_refund_gets_a_new_key() {
        for (status, code, means) in [
            (400, "charge_already_refunded", Some(true)),
            // More than is left: Stripe gives no code.
            (400, "", Some(true)),
            (400, "balance_insufficient", Some(true)),
            (400, "charge_disputed", Some(false)),
            (409, "idempotency_key_in_use", None),
            (429, "lock_timeout", None),
            (500, "", None),
        ] {
            let again = match cancel_refusal(&refusal(status, "invalid_request_error", code)) {
                CancelOutcome::Refused { again, .. } => Some(again),
                CancelOutcome::Unknown { .. } => None,
                CancelOutcome::Done => panic!("{code} is no success"),
            };
            assert_eq!(again, means, "{status} {code}");
        }
    }
}
