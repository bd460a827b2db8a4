//! What Toss's codes mean. Status codes do not tell: a passing fault of the provider is sent as 400.

use reqwest::StatusCode;

use crate::payments::model::CancelOutcome;

/// Whether a refused confirm is certain to have charged nothing.
pub fn is_definite_refusal(status: StatusCode, code: &str) -> bool {
    const UNKNOWN: [&str; 4] =
        ["ALREADY_PROCESSED_PAYMENT", "PROVIDER_ERROR", "CARD_PROCESSING_ERROR", "IDEMPOTENT_REQUEST_PROCESSING"];
    const DEFINITE: [&str; 46] = [
        // The buyer's means refused.
        "EXCEED_MAX_CARD_INSTALLMENT_PLAN",
        "NOT_ALLOWED_POINT_USE",
        "INVALID_REJECT_CARD",
        "BELOW_MINIMUM_AMOUNT",
        "INVALID_CARD_EXPIRATION",
        "INVALID_STOPPED_CARD",
        "EXCEED_MAX_DAILY_PAYMENT_COUNT",
        "NOT_SUPPORTED_INSTALLMENT_PLAN_CARD_OR_MERCHANT",
        "INVALID_CARD_INSTALLMENT_PLAN",
        "NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN",
        "EXCEED_MAX_PAYMENT_AMOUNT",
        "INVALID_CARD_LOST_OR_STOLEN",
        "RESTRICTED_TRANSFER_ACCOUNT",
        "INVALID_CARD_NUMBER",
        "EXCEED_MAX_ONE_DAY_WITHDRAW_AMOUNT",
        "EXCEED_MAX_ONE_TIME_WITHDRAW_AMOUNT",
        "EXCEED_MAX_AMOUNT",
        "INVALID_ACCOUNT_INFO_RE_REGISTER",
        "NOT_AVAILABLE_PAYMENT",
        "EXCEED_MAX_MONTHLY_PAYMENT_AMOUNT",
        "EXCEEDS_TRANSFER_AMOUNT_MAXIMUM",
        "REJECT_ACCOUNT_PAYMENT",
        "REJECT_CARD_PAYMENT",
        "REJECT_CARD_COMPANY",
        "REJECT_TOSSPAY_INVALID_ACCOUNT",
        "EXCEED_MAX_AUTH_COUNT",
        "EXCEED_MAX_ONE_DAY_AMOUNT",
        "NOT_AVAILABLE_BANK",
        "INVALID_PASSWORD",
        "FDS_ERROR",
        // The ten minutes are over, or it is not this payment's key.
        "NOT_FOUND_PAYMENT_SESSION",
        "NOT_FOUND_PAYMENT",
        // Ours to mend, and refused before anything was charged.
        "INVALID_REQUEST",
        "INVALID_API_KEY",
        "NOT_FOUND_TERMINAL_ID",
        "INVALID_AUTHORIZE_AUTH",
        "INVALID_UNREGISTERED_SUBMALL",
        "NOT_REGISTERED_BUSINESS",
        "UNAPPROVED_ORDER_ID",
        "INVALID_IDEMPOTENCY_KEY",
        "UNAUTHORIZED_KEY",
        "FORBIDDEN_REQUEST",
        "INCORRECT_BASIC_AUTH_FORMAT",
        "PAY_PROCESS_CANCELED",
        "PAY_PROCESS_ABORTED",
        "INVALID_ORDER_ID",
    ];
    !status.is_server_error() && !UNKNOWN.contains(&code) && DEFINITE.contains(&code)
}

/// The caller looks at the payment after every refusal, so none of these decides alone. An answer that was read is
/// bound to its key, hence `again` means with a new one.
pub fn cancel_refusal(status: StatusCode, code: String) -> CancelOutcome {
    const FINAL: [&str; 12] = [
        "INVALID_REFUND_ACCOUNT_INFO",
        "INVALID_REFUND_ACCOUNT_NUMBER",
        "INVALID_BANK",
        "FORBIDDEN_BANK_REFUND_REQUEST",
        "EXCEED_CANCEL_AMOUNT_DISCOUNT_AMOUNT",
        "REFUND_REJECTED",
        "NOT_CANCELABLE_PAYMENT",
        "NOT_CANCELABLE_PAYMENT_FOR_DORMANT_USER",
        "EXCEED_MAX_REFUND_DUE",
        "EXCEED_CANCEL_LIMIT",
        "NOT_ALLOWED_PARTIAL_REFUND",
        "NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT",
    ];
    if code == "IDEMPOTENT_REQUEST_PROCESSING" || status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return CancelOutcome::Unknown { why: format!("{status} {code}") };
    }
    let again = !FINAL.contains(&code.as_str());
    CancelOutcome::Refused { code, again }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_decide_and_not_statuses() {
        assert!(is_definite_refusal(StatusCode::FORBIDDEN, "REJECT_CARD_PAYMENT"));
        assert!(is_definite_refusal(StatusCode::NOT_FOUND, "NOT_FOUND_PAYMENT_SESSION"));
        assert!(!is_definite_refusal(StatusCode::BAD_REQUEST, "PROVIDER_ERROR"));
        assert!(!is_definite_refusal(StatusCode::BAD_REQUEST, "ALREADY_PROCESSED_PAYMENT"));
        assert!(!is_definite_refusal(StatusCode::BAD_REQUEST, "A_CODE_OF_TOMORROW"));
        assert!(!is_definite_refusal(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN_PAYMENT_ERROR"));
    }
}
