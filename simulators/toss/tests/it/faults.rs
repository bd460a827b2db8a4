use crate::support::{Bank, SECRET_KEY, ask, until};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

const CONFIRM: &str = "/v1/payments/confirm";

async fn with_fault(fault: Value) -> (Bank, String) {
    let bank = Bank::open().await;
    bank.control("faults", fault).await;
    let key = bank.authorise("order-0001", 1_000).await;
    (bank, key)
}

async fn status_of(bank: &Bank, key: &str) -> String {
    bank.get(&format!("/v1/payments/{key}")).await.json["status"].as_str().unwrap_or("").to_owned()
}

/// A confirm that gets no whole answer.
async fn unanswered(bank: &Bank, key: &str, patience: Duration) -> reqwest::Error {
    let request = bank.request(Method::POST, CONFIRM).basic_auth(SECRET_KEY, Some("")).timeout(patience);
    let request = request.header("Idempotency-Key", "k-1").json(&ask(key, "order-0001", 1_000));
    request.send().await.expect_err("no answer")
}

#[tokio::test]
async fn approved_and_then_cut() {
    let (bank, key) = with_fault(json!({ "op": "confirm", "kind": "drop_after" })).await;
    let error = unanswered(&bank, &key, Duration::from_secs(10)).await;
    assert!(!error.is_timeout(), "{error:?}");
    assert_eq!(status_of(&bank, &key).await, "DONE");
    let again = bank.post_keyed(CONFIRM, ask(&key, "order-0001", 1_000), Some("k-1")).await;
    assert_eq!((again.status, &again.json["status"]), (200, &json!("DONE")), "the stored answer");
    assert_eq!(bank.counts().await["approved"], 1);
}

#[tokio::test]
async fn approved_and_then_silent() {
    let (bank, key) = with_fault(json!({ "op": "confirm", "kind": "timeout_after" })).await;
    let error = unanswered(&bank, &key, Duration::from_millis(300)).await;
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(status_of(&bank, &key).await, "DONE");
}

#[tokio::test]
async fn silent_or_cut_before_anything_was_done() {
    for kind in ["timeout_before", "drop_before"] {
        let (bank, key) = with_fault(json!({ "op": "confirm", "kind": kind, "delay_ms": 10 })).await;
        unanswered(&bank, &key, Duration::from_secs(10)).await;
        assert_eq!(status_of(&bank, &key).await, "IN_PROGRESS");
        assert_eq!(bank.confirm(&key, "order-0001", 1_000).await.status, 200);
    }
}

#[tokio::test]
async fn slow_goes_on_after_the_client_has_gone() {
    let (bank, key) = with_fault(json!({ "op": "confirm", "kind": "slow", "delay_ms": 300 })).await;
    assert!(unanswered(&bank, &key, Duration::from_millis(50)).await.is_timeout());
    assert_eq!(status_of(&bank, &key).await, "IN_PROGRESS");
    until("the approval", async || (status_of(&bank, &key).await == "DONE").then_some(())).await;
}

#[tokio::test]
async fn a_5xx_before_and_after() {
    let (bank, key) = with_fault(json!({ "op": "confirm", "kind": "error_before", "status": 503 })).await;
    assert_eq!(bank.confirm(&key, "order-0001", 1_000).await.code(), (503, "FAILED_INTERNAL_SYSTEM_PROCESSING"));
    assert_eq!(status_of(&bank, &key).await, "IN_PROGRESS");

    bank.control("faults", json!({ "op": "confirm", "kind": "error_after", "code": "UNKNOWN_PAYMENT_ERROR" })).await;
    assert_eq!(bank.confirm(&key, "order-0001", 1_000).await.code(), (500, "UNKNOWN_PAYMENT_ERROR"));
    assert_eq!(status_of(&bank, &key).await, "DONE");
}

#[tokio::test]
async fn a_decline_ends_the_payment_and_a_passing_trouble_does_not() {
    let (bank, key) = with_fault(json!({ "op": "confirm", "kind": "fail", "code": "PROVIDER_ERROR" })).await;
    assert_eq!(bank.confirm(&key, "order-0001", 1_000).await.code(), (400, "PROVIDER_ERROR"));
    assert_eq!(status_of(&bank, &key).await, "IN_PROGRESS");
    bank.control("faults", json!({ "op": "confirm", "kind": "fail" })).await;
    assert_eq!(bank.confirm(&key, "order-0001", 1_000).await.code(), (403, "REJECT_CARD_PAYMENT"));
    let aborted = bank.get(&format!("/v1/payments/{key}")).await.json;
    assert_eq!((&aborted["status"], &aborted["failure"]["code"]), (&json!("ABORTED"), &json!("REJECT_CARD_PAYMENT")));
    assert_eq!(bank.confirm(&key, "order-0001", 1_000).await.code(), (404, "NOT_FOUND_PAYMENT_SESSION"));
    assert_eq!(bank.counts().await["approved"], 0);
}

#[tokio::test]
async fn strange_answers() {
    let (bank, key) = with_fault(json!({ "op": "query", "kind": "rate_limited" })).await;
    let path = format!("/v1/payments/{key}");
    assert_eq!(bank.get(&path).await.status, 429);
    bank.control("faults", json!({ "op": "query", "kind": "empty_body" })).await;
    let empty = bank.get(&path).await;
    assert_eq!((empty.status, empty.text.as_str()), (500, ""));
    bank.control("faults", json!({ "op": "query", "kind": "html_body", "status": 504 })).await;
    let html = bank.get(&path).await;
    assert!(html.status == 504 && html.text.starts_with("<html>"), "{html:?}");
    bank.control("faults", json!({ "op": "confirm", "kind": "unknown_fields" })).await;
    let future = bank.confirm(&key, "order-0001", 1_000).await;
    assert_eq!((future.status, &future.json["type"]), (200, &json!("TYPE_OF_TOMORROW")));
    assert!(future.json["fieldOfTomorrow"].is_object());
    assert_eq!(bank.get(&path).await.json["type"], "NORMAL");
}

#[tokio::test]
async fn an_html_page_may_hide_an_approval() {
    let (bank, key) = with_fault(json!({ "op": "confirm", "kind": "html_body", "after": true })).await;
    assert_eq!(bank.confirm(&key, "order-0001", 1_000).await.status, 502);
    assert_eq!(status_of(&bank, &key).await, "DONE");
}

#[tokio::test]
async fn faults_count_down_and_may_name_an_order() {
    let (bank, key) =
        with_fault(json!({ "op": "confirm", "kind": "rate_limited", "orderId": "order-0002", "count": 2 })).await;
    let other = bank.authorise("order-0002", 1_000).await;
    assert_eq!(bank.confirm(&key, "order-0001", 1_000).await.status, 200, "another order's fault");
    assert_eq!(bank.confirm(&other, "order-0002", 1_000).await.status, 429);
    assert_eq!(bank.get("/_sim/faults").await.json["faults"][0]["count"], 1);
    let cleared = bank.send(bank.request(Method::DELETE, "/_sim/faults")).await;
    assert_eq!(cleared.status, 200);
    assert_eq!(bank.confirm(&other, "order-0002", 1_000).await.status, 200);
}

#[tokio::test]
async fn a_cancel_can_be_done_and_unanswered_too() {
    let bank = Bank::open().await;
    let key = bank.paid("order-0001", 1_000).await;
    bank.control("faults", json!({ "op": "cancel", "kind": "error_after" })).await;
    let path = format!("/v1/payments/{key}/cancel");
    let body = json!({ "cancelReason": "변심" });
    assert_eq!(bank.post_keyed(&path, body.clone(), Some("c-1")).await.status, 500);
    let again = bank.post_keyed(&path, body, Some("c-1")).await;
    assert_eq!((again.status, &again.json["status"]), (200, &json!("CANCELED")));
    assert_eq!(bank.counts().await["cancelled_amount"], 1_000);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_silent_calls() {
    let (bank, key) = with_fault(json!({ "op": "confirm", "kind": "timeout_after" })).await;
    let request =
        bank.request(Method::POST, CONFIRM).basic_auth(SECRET_KEY, Some("")).json(&ask(&key, "order-0001", 1_000));
    let call = tokio::spawn(request.send());
    until("the approval", async || (bank.counts().await["approved"] == 1).then_some(())).await;
    let addr = bank.running.addr;
    tokio::time::timeout(Duration::from_secs(5), bank.running.shutdown()).await.expect("a prompt end");
    assert!(call.await.expect("no panic").is_err());
    let again = toss_simulator::start(toss_simulator::Settings { listen: addr, ..Default::default() }).await;
    assert!(again.is_ok(), "the port is free again");
}

/// Statuses of twenty queries; the draw is per operation, so that calls in between change nothing.
async fn twenty_queries(seed: u64) -> Vec<u16> {
    let bank = Bank::open().await;
    let key = bank.paid("order-0001", 1_000).await;
    let random =
        json!({ "seed": seed, "ops": ["query"], "probabilities": { "error_before": 0.3, "rate_limited": 0.2 } });
    bank.control("random", random).await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(bank.get(&format!("/v1/payments/{key}")).await.status);
    }
    let seen = bank.get("/_sim/random").await.json;
    assert_eq!(seen["calls"]["query"], 20);
    assert_eq!(seen["faults"]["rate_limited"], statuses.iter().filter(|status| **status == 429).count());
    statuses
}

#[tokio::test]
async fn chance_follows_from_its_seed() {
    let first = twenty_queries(7).await;
    assert_eq!(first, twenty_queries(7).await);
    assert_ne!(first, twenty_queries(8).await);
    for status in [200, 429, 500] {
        assert!(first.contains(&status), "{status} in {first:?}");
    }
}

#[tokio::test]
async fn chance_ends_when_told_and_refuses_nonsense() {
    let bank = Bank::open().await;
    let key = bank.paid("order-0001", 1_000).await;
    let always = json!({ "seed": 1, "count": 2, "probabilities": { "error_before": 1.0 } });
    bank.control("random", always.clone()).await;
    for status in [500, 500, 200] {
        assert_eq!(bank.get(&format!("/v1/payments/{key}")).await.status, status, "two faults, no more");
    }
    bank.control("random", always).await;
    bank.send(bank.request(Method::DELETE, "/_sim/random")).await;
    assert_eq!(status_of(&bank, &key).await, "DONE");
    let too_much = json!({ "seed": 1, "probabilities": { "slow": 0.6, "fail": 0.6 } });
    assert_eq!(bank.post("/_sim/random", too_much).await.status, 400);
    assert_eq!(bank.post("/_sim/random", json!({ "seed": 1, "probabilities": { "nap": 0.1 } })).await.status, 400);
}

#[tokio::test]
async fn an_outage_refuses_everything_until_it_is_over() {
    let bank = Bank::open().await;
    let key = bank.authorise("order-0001", 1_000).await;
    bank.control("outage", json!({ "kind": "refuse", "for_s": 60 })).await;
    assert_eq!(bank.confirm(&key, "order-0001", 1_000).await.status, 503);
    let script = bank.request(Method::GET, "/v2/standard");
    assert_eq!(bank.send(script).await.status, 503, "the browser's script too");
    assert_eq!(bank.counts().await["confirms"], 0, "controls answer, and nothing was called");
    assert_eq!(bank.get("/_sim/outage").await.json["turned_away"], 2);
    bank.advance_s(60).await;
    assert_eq!(bank.confirm(&key, "order-0001", 1_000).await.status, 200);
}

#[tokio::test]
async fn an_outage_may_cut_every_connection() {
    let bank = Bank::open().await;
    let key = bank.authorise("order-0001", 1_000).await;
    bank.control("outage", json!({ "kind": "drop" })).await;
    assert!(!unanswered(&bank, &key, Duration::from_secs(10)).await.is_timeout());
    bank.send(bank.request(Method::DELETE, "/_sim/outage")).await;
    assert_eq!(status_of(&bank, &key).await, "IN_PROGRESS");
}
