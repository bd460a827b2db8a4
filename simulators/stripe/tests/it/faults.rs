use crate::support::{SECRET_KEY, Stripe, until};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

async fn with_fault(fault: Value) -> (Stripe, String) {
    let stripe = Stripe::open().await;
    let id = stripe.authorised("order-0001", 1_000).await;
    stripe.control("faults", fault).await;
    (stripe, id)
}

/// A capture that gets no whole answer.
async fn unanswered(stripe: &Stripe, id: &str, patience: Duration) -> reqwest::Error {
    let request = stripe.form(&format!("/v1/payment_intents/{id}/capture"), "").timeout(patience);
    request.header("Idempotency-Key", "k-1").send().await.expect_err("no answer")
}

async fn again(stripe: &Stripe, id: &str) -> u16 {
    stripe.post_keyed(&format!("/v1/payment_intents/{id}/capture"), "", "k-1").await.status
}

#[tokio::test]
async fn captured_and_then_cut() {
    let (stripe, id) = with_fault(json!({ "op": "capture", "kind": "drop_after" })).await;
    assert!(!unanswered(&stripe, &id, Duration::from_secs(10)).await.is_timeout());
    assert_eq!(stripe.status_of(&id).await, "succeeded");
    assert_eq!(again(&stripe, &id).await, 200, "the stored answer");
    assert_eq!(stripe.counts().await["captured"], 1);
}

#[tokio::test]
async fn captured_and_then_silent() {
    let (stripe, id) = with_fault(json!({ "op": "capture", "kind": "timeout_after" })).await;
    assert!(unanswered(&stripe, &id, Duration::from_millis(300)).await.is_timeout());
    assert_eq!(stripe.status_of(&id).await, "succeeded");
}

#[tokio::test]
async fn silent_or_cut_before_anything_was_done() {
    for kind in ["timeout_before", "drop_before"] {
        let (stripe, id) = with_fault(json!({ "op": "capture", "kind": kind, "delay_ms": 10 })).await;
        unanswered(&stripe, &id, Duration::from_secs(10)).await;
        assert_eq!(stripe.status_of(&id).await, "requires_capture");
        assert_eq!(again(&stripe, &id).await, 200, "the key was not used up");
    }
}

#[tokio::test]
async fn slow_goes_on_after_the_client_has_gone() {
    let (stripe, id) = with_fault(json!({ "op": "capture", "kind": "slow", "delay_ms": 300 })).await;
    assert!(unanswered(&stripe, &id, Duration::from_millis(50)).await.is_timeout());
    until("the capture", async || (stripe.status_of(&id).await == "succeeded").then_some(())).await;
}

#[tokio::test]
async fn refused_for_good() {
    for (op, path, code) in [
        ("capture", "/v1/payment_intents/PI/capture", (402, "card_declined")),
        ("cancel", "/v1/payment_intents/PI/cancel", (400, "payment_intent_unexpected_state")),
        ("refund", "/v1/refunds", (400, "balance_insufficient")),
        ("create", "/v1/payment_intents", (400, "amount_too_small")),
    ] {
        let (stripe, id) = with_fault(json!({ "op": op, "kind": "fail" })).await;
        let form = match op {
            "refund" => format!("payment_intent={id}"),
            "create" => "amount=10&currency=krw".to_owned(),
            _ => String::new(),
        };
        assert_eq!(stripe.post(&path.replace("PI", &id), &form).await.code(), code, "{op}");
        assert_eq!(stripe.status_of(&id).await, "requires_capture", "no trace");
    }
}

#[tokio::test]
async fn a_confirm_that_fails_leaves_a_trace() {
    let stripe = Stripe::open().await;
    let id = stripe.intent("order-0001", 1_000).await;
    stripe.control("faults", json!({ "op": "confirm", "kind": "fail", "code": "insufficient_funds" })).await;
    let form = "payment_method=pm_card_visa&return_url=https://shop.test/";
    let refused = stripe.post(&format!("/v1/payment_intents/{id}/confirm"), form).await;
    assert_eq!((refused.status, &refused.json["error"]["decline_code"]), (402, &json!("insufficient_funds")));
    assert_eq!(stripe.look(&id).await["last_payment_error"]["decline_code"], "insufficient_funds");
}

#[tokio::test]
async fn bodies_that_are_none() {
    let (stripe, id) = with_fault(json!({ "op": "capture", "kind": "html_body", "after": true })).await;
    let hidden = stripe.capture(&id).await;
    assert_eq!((hidden.status, hidden.header("content-type")), (502, "text/html"));
    assert_eq!(stripe.status_of(&id).await, "succeeded");
    stripe.control("faults", json!({ "op": "retrieve", "kind": "empty_body", "status": 200 })).await;
    let empty = stripe.get(&format!("/v1/payment_intents/{id}")).await;
    assert_eq!((empty.status, empty.text.as_str()), (200, ""));
    stripe.control("faults", json!({ "op": "retrieve", "kind": "unknown_fields" })).await;
    let odd = stripe.look(&id).await;
    assert_eq!((&odd["status"], odd["field_of_tomorrow"].is_object()), (&json!("succeeded"), true));
}

#[tokio::test]
async fn faults_count_down_and_may_name_a_payment_or_an_order() {
    let stripe = Stripe::open().await;
    let (one, two) = (stripe.authorised("order-0001", 1_000).await, stripe.authorised("order-0002", 1_000).await);
    stripe
        .control("faults", json!({ "op": "capture", "kind": "rate_limited", "about": "order-0002", "count": 2 }))
        .await;
    assert_eq!(stripe.capture(&one).await.status, 200, "another order's fault");
    assert_eq!(stripe.capture(&two).await.code(), (429, "rate_limit"));
    assert_eq!(stripe.get("/_sim/faults").await.json["faults"][0]["count"], 1);
    stripe.send(stripe.request(Method::DELETE, "/_sim/faults")).await;
    assert_eq!(stripe.capture(&two).await.status, 200);
    stripe.control("faults", json!({ "op": "refund", "kind": "error_before", "payment_intent": one })).await;
    assert_eq!(stripe.refund(&two, "").await.status, 200);
    assert_eq!(stripe.refund(&one, "").await.code(), (500, "api_error"));
    stripe.control("faults", json!({ "op": "create", "kind": "error_before", "about": "order-0003" })).await;
    stripe.intent("order-0004", 1_000).await;
    let form = "amount=1000&currency=krw&metadata[order_id]=order-0003";
    assert_eq!(stripe.post("/v1/payment_intents", form).await.status, 500);
    for path in ["/v1/payment_intents", "/v1/refunds", "/v1/balance_transactions"] {
        stripe.control("faults", json!({ "op": "list", "kind": "error_before", "status": 503 })).await;
        assert_eq!(stripe.get(path).await.status, 503, "{path}");
    }
}

#[tokio::test]
async fn chance_follows_from_its_seed() {
    let statuses = async |seed: u64| -> Vec<u16> {
        let stripe = Stripe::open().await;
        let probabilities = json!({ "error_before": 0.3, "rate_limited": 0.2 });
        stripe.control("random", json!({ "seed": seed, "ops": ["list"], "probabilities": probabilities })).await;
        let mut statuses = Vec::new();
        for _ in 0..30 {
            statuses.push(stripe.get("/v1/refunds").await.status);
            stripe.intent("order-0001", 1_000).await;
        }
        assert_eq!(stripe.get("/_sim/random").await.json["calls"]["list"], 30);
        statuses
    };
    let first = statuses(7).await;
    assert_eq!(first, statuses(7).await);
    assert_ne!(first, statuses(8).await);
    for status in [200, 429, 500] {
        assert!(first.contains(&status), "{status} in {first:?}");
    }
}

#[tokio::test]
async fn an_outage_refuses_or_cuts_everything_until_it_is_over() {
    let stripe = Stripe::open().await;
    let id = stripe.authorised("order-0001", 1_000).await;
    stripe.control("outage", json!({ "kind": "refuse", "for_s": 60 })).await;
    assert_eq!(stripe.capture(&id).await.code(), (503, "api_error"));
    assert_eq!(stripe.send(stripe.request(Method::GET, "/v3/")).await.status, 503);
    assert_eq!(stripe.counts().await["calls"]["capture"], 0);
    stripe.advance_s(60).await;
    assert_eq!(stripe.status_of(&id).await, "requires_capture");
    stripe.control("outage", json!({ "kind": "drop" })).await;
    assert!(!unanswered(&stripe, &id, Duration::from_secs(10)).await.is_timeout());
    assert_eq!(stripe.get("/_sim/outage").await.json["turned_away"], 1);
    stripe.send(stripe.request(Method::DELETE, "/_sim/outage")).await;
    assert_eq!(stripe.capture(&id).await.status, 200);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_silent_calls() {
    let (stripe, id) = with_fault(json!({ "op": "capture", "kind": "timeout_after" })).await;
    let request = stripe.request(Method::POST, &format!("/v1/payment_intents/{id}/capture")).bearer_auth(SECRET_KEY);
    let call = tokio::spawn(request.send());
    until("the capture", async || (stripe.counts().await["captured"] == 1).then_some(())).await;
    let addr = stripe.running.addr;
    tokio::time::timeout(Duration::from_secs(5), stripe.running.shutdown()).await.expect("a prompt end");
    assert!(call.await.expect("no panic").is_err());
    let again = stripe_simulator::start(stripe_simulator::Settings { listen: addr, ..Default::default() }).await;
    assert!(again.is_ok(), "the port is free again");
}
