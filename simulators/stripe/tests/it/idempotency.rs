use crate::support::{Stripe, until};
use serde_json::json;

const INTENTS: &str = "/v1/payment_intents";
const FORM: &str = "amount=1000&currency=krw&capture_method=manual";

#[tokio::test]
async fn a_repeat_gets_the_same_bytes_and_does_nothing() {
    let stripe = Stripe::open().await;
    let first = stripe.post_keyed(INTENTS, FORM, "k-1").await;
    let again = stripe.post_keyed(INTENTS, "currency=krw&capture_method=manual&amount=1000", "k-1").await;
    assert_eq!((first.status, again.status), (200, 200));
    assert_eq!(first.text, again.text, "the order of parameters does not matter");
    assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), ("", "true"));
    assert_eq!(again.header("original-request"), first.header("request-id"));
    assert_ne!(again.header("request-id"), first.header("request-id"));
    assert_eq!(again.header("idempotency-key"), "k-1");
    let counts = stripe.counts().await;
    assert_eq!((&counts["intents"], &counts["replays"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn other_parameters_or_another_endpoint_are_an_error() {
    let stripe = Stripe::open().await;
    stripe.post_keyed(INTENTS, FORM, "k-1").await;
    let other = stripe.post_keyed(INTENTS, "amount=2000&currency=krw", "k-1").await;
    assert_eq!(other.code(), (400, "idempotency_error"));
    assert!(other.text.contains("the same parameters they were first used with"), "{}", other.text);
    let elsewhere = stripe.post_keyed("/v1/refunds", "payment_intent=pi_x", "k-1").await;
    assert_eq!(elsewhere.code(), (400, "idempotency_error"));
    assert!(elsewhere.text.contains("('/v1/refunds' vs '/v1/payment_intents')"), "{}", elsewhere.text);
}

#[tokio::test]
async fn a_key_is_new_after_a_day() {
    let stripe = Stripe::open().await;
    let first = stripe.post_keyed(INTENTS, FORM, "k-1").await.text_of("id");
    stripe.advance_s(86_399 - 60).await;
    assert_eq!(stripe.post_keyed(INTENTS, FORM, "k-1").await.text_of("id"), first);
    stripe.advance_s(61 + 1).await;
    assert_ne!(stripe.post_keyed(INTENTS, FORM, "k-1").await.text_of("id"), first);
}

#[tokio::test]
async fn while_the_first_runs_the_second_is_409() {
    let stripe = Stripe::open().await;
    let id = stripe.authorised("order-0001", 1_000).await;
    let path = format!("{INTENTS}/{id}/capture");
    stripe.control("faults", json!({ "op": "capture", "kind": "slow", "delay_ms": 400 })).await;
    let second = async {
        until("the first call to run", async || (stripe.counts().await["calls"]["capture"] == 1).then_some(())).await;
        stripe.post_keyed(&path, "", "k-1").await
    };
    let (first, second) = tokio::join!(stripe.post_keyed(&path, "", "k-1"), second);
    assert_eq!(second.code(), (409, "idempotency_key_in_use"));
    assert_eq!(second.header("stripe-should-retry"), "true");
    assert_eq!(first.status, 200);
    assert_eq!(stripe.post_keyed(&path, "", "k-1").await.text, first.text, "the stored answer, not the 409");
}

#[tokio::test]
async fn what_failed_before_execution_is_not_bound() {
    let stripe = Stripe::open().await;
    assert_eq!(stripe.post_keyed(INTENTS, "amount=x&currency=krw", "k-1").await.status, 400);
    assert_eq!(stripe.post_keyed(INTENTS, FORM, "k-1").await.status, 200, "corrected under the same key");
    stripe.control("faults", json!({ "op": "create", "kind": "rate_limited" })).await;
    assert_eq!(stripe.post_keyed(INTENTS, FORM, "k-2").await.status, 429);
    assert_eq!(stripe.post_keyed(INTENTS, FORM, "k-2").await.status, 200);
}

#[tokio::test]
async fn refusals_of_a_running_call_are_bound() {
    let stripe = Stripe::open().await;
    let id = stripe.intent("order-0001", 1_000).await;
    let path = format!("{INTENTS}/{id}/capture");
    assert_eq!(stripe.post_keyed(&path, "", "k-1").await.code(), (400, "payment_intent_unexpected_state"));
    stripe.control("authorise", json!({ "payment_intent": id })).await;
    let again = stripe.post_keyed(&path, "", "k-1").await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (400, "true"), "though it would work by now");
    assert_eq!(stripe.post_keyed(&path, "", "k-2").await.status, 200);
}

#[tokio::test]
async fn an_error_of_stripes_own_is_bound_although_the_work_was_done() {
    for (replay_5xx, expected) in [(true, 500), (false, 200)] {
        let stripe = Stripe::open().await;
        stripe.control("options", json!({ "replay_5xx": replay_5xx })).await;
        let id = stripe.authorised("order-0001", 1_000).await;
        let path = format!("{INTENTS}/{id}/capture");
        stripe.control("faults", json!({ "op": "capture", "kind": "error_after" })).await;
        assert_eq!(stripe.post_keyed(&path, "", "k-1").await.code(), (500, "api_error"));
        assert_eq!(stripe.post_keyed(&path, "", "k-1").await.status, expected);
        assert_eq!(stripe.status_of(&id).await, "succeeded", "captured once, whatever the answers said");
        assert_eq!(stripe.counts().await["captured"], 1);
    }
}

#[tokio::test]
async fn a_key_may_have_255_characters_and_reading_ignores_it() {
    let stripe = Stripe::open().await;
    assert_eq!(stripe.post_keyed(INTENTS, FORM, &"k".repeat(256)).await.status, 400);
    assert_eq!(stripe.post_keyed(INTENTS, FORM, &"k".repeat(255)).await.status, 200);
    let id = stripe.intent("order-0001", 1_000).await;
    let look =
        || stripe.request(reqwest::Method::GET, &format!("{INTENTS}/{id}")).bearer_auth(crate::support::SECRET_KEY);
    stripe.send(look().header("Idempotency-Key", "k-1")).await;
    stripe.control("authorise", json!({ "payment_intent": id })).await;
    let seen = stripe.send(look().header("Idempotency-Key", "k-1")).await;
    assert_eq!(seen.json["status"], "requires_capture");
}
