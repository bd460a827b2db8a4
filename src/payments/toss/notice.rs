//! Webhooks of Toss. Payment webhooks carry no signature: they only say which payment to ask about. A deposit callback
//! is another shape, and brings the payment's secret.

use axum::http::HeaderMap;
use serde_json::Value;

use crate::payments::model::{Notice, NoticeOutcome};
use crate::platform::secrets::{hex, sha256};

/// Longer than any of Toss's, which have some thirty.
const SECRET_BYTES_MAX: usize = 100;

pub fn read(headers: &HeaderMap, body: &[u8]) -> NoticeOutcome {
    let Ok(event) = serde_json::from_slice::<Value>(body) else { return NoticeOutcome::Malformed };
    // Not a shape we know: answering anything but 200 would only bring it back for four days.
    let Some(kind) = kind_of(&event) else { return NoticeOutcome::NotForUs("unknown_shape") };
    let Some(order_id) = order_id_of(&event) else { return NoticeOutcome::NotForUs("no_order") };
    let secret = event.get("secret").and_then(Value::as_str).filter(|_| kind == "deposit_callback");
    if secret.is_some_and(|secret| secret.len() > SECRET_BYTES_MAX || secret.chars().any(char::is_control)) {
        return NoticeOutcome::Malformed;
    }
    let status = event.pointer("/data/status").or_else(|| event.get("status")).and_then(Value::as_str);
    let named = |text: &&str| text.len() <= 40 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    NoticeOutcome::About(Notice {
        kind,
        order_id: order_id.to_owned(),
        status: status.filter(named).map(str::to_owned),
        event_id: transmission_id(headers, body),
        // Documented as proof for this shape alone.
        secret: secret.map(str::to_owned),
    })
}

fn kind_of(event: &Value) -> Option<&'static str> {
    match event.get("eventType").and_then(Value::as_str) {
        Some("PAYMENT_STATUS_CHANGED") if event.get("data").is_some() => Some("payment_status_changed"),
        Some(_) => None,
        None if event.get("secret").is_some() && event.get("transactionKey").is_some() => Some("deposit_callback"),
        None => None,
    }
}

fn order_id_of(event: &Value) -> Option<&str> {
    event.pointer("/data/orderId").or_else(|| event.get("orderId")).and_then(Value::as_str)
}

/// Toss's id of the transmission, or the body's digest where there is none. Both together, so that a forged id
/// cannot make a real event look repeated.
fn transmission_id(headers: &HeaderMap, body: &[u8]) -> String {
    let given = headers.get("tosspayments-webhook-transmission-id").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let digest = hex(&sha256(&[body]));
    format!("{}:{}", given.chars().take(80).collect::<String>(), &digest[..32])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::platform::ids;

    #[test]
    fn shapes_are_told_apart() {
        let status = json!({"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": "ORD20250725-0123456789-1"}});
        assert_eq!(kind_of(&status), Some("payment_status_changed"));
        assert!(ids::is_attempt_id(order_id_of(&status).unwrap()));
        let deposit = json!({"secret": "s", "transactionKey": "t", "orderId": "o", "status": "DONE"});
        assert_eq!(kind_of(&deposit), Some("deposit_callback"));
        assert_eq!(kind_of(&json!({"eventType": "payout.changed", "entityBody": {}})), None);
        assert_eq!(kind_of(&json!([1, 2])), None);
        // Text that no store takes would fail the whole batch that it came with.
        for secret in ["\u{0}".to_owned(), "x".repeat(101)] {
            let body = json!({ "secret": secret, "transactionKey": "t", "orderId": "o" }).to_string();
            assert_eq!(read(&HeaderMap::new(), body.as_bytes()), NoticeOutcome::Malformed);
        }
        assert!(!ids::is_attempt_id("TK-20261120-7Q2M9X"));
    }
}
