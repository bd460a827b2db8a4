//! Webhooks of Stripe: signed over the moment and the raw body. Even so they only say which payment to ask about.

use aws_lc_rs::hmac;
use axum::http::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::payments::model::{Notice, NoticeOutcome};

/// As Stripe's own libraries have it; a recorded event is worthless after it. [s]
const TOLERANCE_S: i64 = 300;
/// While a secret is rolled there are two; a header with many more is nobody's.
const SIGNATURES_MAX: usize = 8;
const ID_BYTES_MAX: usize = 255;

#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Value,
}

pub fn read(secrets: &[hmac::Key], headers: &HeaderMap, body: &[u8], now: Timestamp) -> NoticeOutcome {
    let signature = headers.get("stripe-signature").and_then(|value| value.to_str().ok());
    if !signature.is_some_and(|signature| is_signed(secrets, signature, body, now.as_second())) {
        return NoticeOutcome::Forged;
    }
    let Ok(event) = serde_json::from_slice::<Event>(body) else { return NoticeOutcome::Malformed };
    if event.id.is_empty() || event.id.len() > ID_BYTES_MAX {
        return NoticeOutcome::Malformed;
    }
    let Some(kind) = kind_of(&event.kind) else { return NoticeOutcome::NotForUs("other_event") };
    // Charges carry the metadata of their intent. A refund made at the dashboard or a dispute has none; the charge's own
    // event tells of the first.
    let Some(order_id) = event.data.object.pointer("/metadata/order_id").and_then(Value::as_str) else {
        return NoticeOutcome::NotForUs("no_order");
    };
    // A charge stays "succeeded" when it is refunded: only an intent's status says how the payment stands.
    let status = event.data.object.get("status").and_then(Value::as_str).filter(|_| kind.starts_with("payment_intent"));
    let named = |text: &&str| text.len() <= 40 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    NoticeOutcome::About(Notice {
        kind,
        order_id: order_id.to_owned(),
        status: status.filter(named).map(str::to_owned),
        event_id: event.id,
        secret: None,
    })
}

/// Those after which a payment may stand otherwise than before.
fn kind_of(kind: &str) -> Option<&'static str> {
    const KINDS: [&str; 11] = [
        "payment_intent.amount_capturable_updated",
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.canceled",
        "payment_intent.processing",
        "charge.captured",
        "charge.expired",
        "charge.refunded",
        "charge.refund.updated",
        "refund.updated",
        "refund.failed",
    ];
    KINDS.into_iter().find(|known| *known == kind)
}

/// `t=1700000000,v1=…,v1=…,v0=…`: one v1 for each secret in force, other schemes are to be passed over.
fn is_signed(secrets: &[hmac::Key], header: &str, body: &[u8], now_s: i64) -> bool {
    let (mut at, mut signatures) = (None, Vec::new());
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", text)) => at = Some(text),
            Some(("v1", text)) if signatures.len() < SIGNATURES_MAX => signatures.extend(unhex(text)),
            _ => {}
        }
    }
    let Some(at) = at else { return false };
    if !at.parse::<i64>().is_ok_and(|at_s| now_s.abs_diff(at_s) <= TOLERANCE_S as u64) {
        return false;
    }
    let signed = [at.as_bytes(), b".", body].concat();
    // In constant time each; all are compared, whichever fits.
    let fits = |key: &hmac::Key| signatures.iter().filter(|tag| hmac::verify(key, &signed, *tag).is_ok()).count();
    secrets.iter().map(fits).sum::<usize>() > 0
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    crate::platform::secrets::unhex(text)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_1","type":"payment_intent.succeeded","data":{"object":{"status":"succeeded","metadata":{"order_id":"o"}}}}"#;
    const AT_S: i64 = 1_700_000_000;

    fn key(secret: &str) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())
    }

    fn signature(secret: &str, at_s: i64, body: &[u8]) -> String {
        let tag = hmac::sign(&key(secret), &[at_s.to_string().as_bytes(), b".", body].concat());
        crate::platform::secrets::hex(tag.as_ref())
    }

    fn outcome(header: &str, body: &[u8], now_s: i64) -> NoticeOutcome {
        let mut headers = HeaderMap::new();
        headers.insert("stripe-signature", HeaderValue::from_str(header).unwrap());
        read(&[key("whsec_new"), key("whsec_old")], &headers, body, Timestamp::from_second(now_s).unwrap())
    }

    #[test]
    fn a_signature_is_the_one_that_others_compute() {
        // printf '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test
        let expected = "c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925";
        let header = format!("t={AT_S},v1={expected}");
        assert!(is_signed(&[key("whsec_test")], &header, br#"{"id":"evt_1"}"#, AT_S));
    }

    #[test]
    fn either_secret_will_do_and_nothing_else() {
        let about = |header: &str| matches!(outcome(header, BODY, AT_S), NoticeOutcome::About(_));
        let (new, old) = (signature("whsec_new", AT_S, BODY), signature("whsec_old", AT_S, BODY));
        assert!(about(&format!("t={AT_S},v1={new}")));
        assert!(about(&format!("t={AT_S},v1={old},v0=00")));
        assert!(about(&format!("t={AT_S},v1={},v1={new}", signature("whsec_next", AT_S, BODY))));
        for forged in [
            String::new(),
            format!("v1={new}"),
            format!("t={AT_S}"),
            format!("t={AT_S},v0={new}"),
            format!("t={},v1={new}", AT_S + 1),
            format!("t={AT_S},v1={}", signature("whsec_other", AT_S, BODY)),
            format!("t={AT_S},v1={}", &new[..62]),
            format!("t=soon,v1={new}"),
        ] {
            assert_eq!(outcome(&forged, BODY, AT_S), NoticeOutcome::Forged, "{forged}");
        }
        let header = format!("t={AT_S},v1={new}");
        assert_eq!(outcome(&header, &[BODY, b" "].concat(), AT_S), NoticeOutcome::Forged);
        assert!(matches!(outcome(&header, BODY, AT_S + 300), NoticeOutcome::About(_)));
        assert_eq!(outcome(&header, BODY, AT_S + 301), NoticeOutcome::Forged, "a recorded event");
        assert_eq!(outcome(&header, BODY, AT_S - 301), NoticeOutcome::Forged);
    }

    #[test]
    fn events_are_told_apart() {
        let say = |body: &str| {
            outcome(&format!("t={AT_S},v1={}", signature("whsec_new", AT_S, body.as_bytes())), body.as_bytes(), AT_S)
        };
        let charge = r#"{"id":"evt_2","type":"charge.refunded","data":{"object":{"status":"succeeded","metadata":{"order_id":"o"}}}}"#;
        let NoticeOutcome::About(notice) = say(charge) else { panic!("a refund") };
        assert_eq!((notice.kind, notice.status, notice.event_id.as_str()), ("charge.refunded", None, "evt_2"));
        let bare = r#"{"id":"evt_3","type":"refund.updated","data":{"object":{"metadata":{}}}}"#;
        assert_eq!(say(bare), NoticeOutcome::NotForUs("no_order"));
        assert_eq!(
            say(r#"{"id":"e","type":"payout.paid","data":{"object":{}}}"#),
            NoticeOutcome::NotForUs("other_event")
        );
        assert_eq!(say("[]"), NoticeOutcome::Malformed);
    }
}
