use crate::support::{Bank, ask, until};
use serde_json::json;

const CONFIRM: &str = "/v1/payments/confirm";

#[tokio::test]
async fn a_repeat_gets_the_same_bytes_and_does_nothing() {
    let bank = Bank::open().await;
    let key = bank.authorise("order-0001", 1_000).await;
    let first = bank.post_keyed(CONFIRM, ask(&key, "order-0001", 1_000), Some("k-1")).await;
    let again = bank.post_keyed(CONFIRM, ask(&key, "order-0001", 1_000), Some("k-1")).await;
    assert_eq!((first.status, again.status), (200, 200));
    assert_eq!(first.text, again.text);
    assert_eq!(again.header("idempotency-key"), "k-1");
    let (new, original) = again.header("x-tosspayments-trace-id").split_once(',').expect("two ids on a replay");
    assert_ne!(new, original);
    assert_eq!(original, first.header("x-tosspayments-trace-id"));
    assert_eq!(bank.counts().await["approved"], 1);
}

#[tokio::test]
async fn the_body_is_not_part_of_the_scope() {
    let bank = Bank::open().await;
    let first = bank.authorise("order-0001", 1_000).await;
    let second = bank.authorise("order-0002", 2_000).await;
    bank.post_keyed(CONFIRM, ask(&first, "order-0001", 1_000), Some("shared")).await;
    let wrong = bank.post_keyed(CONFIRM, ask(&second, "order-0002", 2_000), Some("shared")).await;
    assert_eq!(wrong.json["orderId"], "order-0001", "another order's answer");
    assert_eq!(bank.counts().await["approved_amount"], 1_000);
}

#[tokio::test]
async fn the_url_is_part_of_the_scope() {
    let bank = Bank::open().await;
    let key = bank.authorise("order-0001", 1_000).await;
    bank.post_keyed(CONFIRM, ask(&key, "order-0001", 1_000), Some("k-1")).await;
    let path = format!("/v1/payments/{key}/cancel");
    let cancelled = bank.post_keyed(&path, json!({ "cancelReason": "변심" }), Some("k-1")).await;
    assert_eq!((cancelled.status, &cancelled.json["status"]), (200, &json!("CANCELED")));
}

#[tokio::test]
async fn refusals_are_replayed_even_for_a_corrected_body() {
    let bank = Bank::open().await;
    let key = bank.paid("order-0001", 1_000).await;
    let path = format!("/v1/payments/{key}/cancel");
    let too_much = json!({ "cancelReason": "변심", "cancelAmount": 5_000 });
    let right = json!({ "cancelReason": "변심", "cancelAmount": 500 });
    assert_eq!(bank.post_keyed(&path, too_much, Some("c-1")).await.code(), (403, "NOT_CANCELABLE_AMOUNT"));
    assert_eq!(bank.post_keyed(&path, right.clone(), Some("c-1")).await.code(), (403, "NOT_CANCELABLE_AMOUNT"));
    assert_eq!(bank.post_keyed(&path, right, Some("c-2")).await.status, 200);
}

#[tokio::test]
async fn after_fifteen_days_a_key_is_new() {
    let bank = Bank::open().await;
    let key = bank.authorise("order-0001", 1_000).await;
    bank.post_keyed(CONFIRM, ask(&key, "order-0001", 1_000), Some("old")).await;
    bank.advance_s(15 * 86_400).await;
    let again = bank.post_keyed(CONFIRM, ask(&key, "order-0001", 1_000), Some("old")).await;
    assert_eq!(again.code(), (400, "ALREADY_PROCESSED_PAYMENT"));
}

#[tokio::test]
async fn while_the_first_runs_the_second_is_409() {
    let bank = Bank::open().await;
    bank.control("faults", json!({ "op": "confirm", "kind": "slow", "delay_ms": 400 })).await;
    let key = bank.authorise("order-0001", 1_000).await;
    let first = bank.post_keyed(CONFIRM, ask(&key, "order-0001", 1_000), Some("k-1"));
    let second = async {
        until("the first call to run", async || (bank.counts().await["confirms"] == 1).then_some(())).await;
        bank.post_keyed(CONFIRM, ask(&key, "order-0001", 1_000), Some("k-1")).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(second.code(), (409, "IDEMPOTENT_REQUEST_PROCESSING"));
    assert_eq!(first.status, 200);
    let third = bank.post_keyed(CONFIRM, ask(&key, "order-0001", 1_000), Some("k-1")).await;
    assert_eq!(third.text, first.text, "the stored answer, not the 409");
}

#[tokio::test]
async fn a_key_may_have_300_characters() {
    let bank = Bank::open().await;
    let key = bank.authorise("order-0001", 1_000).await;
    let body = ask(&key, "order-0001", 1_000);
    let long = bank.post_keyed(CONFIRM, body.clone(), Some(&"k".repeat(301))).await;
    assert_eq!(long.code(), (400, "INVALID_IDEMPOTENCY_KEY"));
    assert_eq!(bank.post_keyed(CONFIRM, body, Some(&"k".repeat(300))).await.status, 200);
}

#[tokio::test]
async fn whether_a_500_is_bound_is_a_switch() {
    for (replay, expected) in [(false, 404), (true, 500)] {
        let bank = Bank::open().await;
        bank.control("options", json!({ "replay_5xx": replay })).await;
        let fault = json!({ "op": "confirm", "kind": "fail", "code": "COMMON_ERROR" });
        bank.control("faults", fault).await;
        let key = bank.authorise("order-0001", 1_000).await;
        let body = ask(&key, "order-0001", 1_000);
        assert_eq!(bank.post_keyed(CONFIRM, body.clone(), Some("k-1")).await.code(), (500, "COMMON_ERROR"));
        bank.advance_s(600).await;
        assert_eq!(bank.post_keyed(CONFIRM, body, Some("k-1")).await.status, expected);
    }
}
