use crate::support::{Bank, SECRET_KEY};
use reqwest::Method;
use serde_json::json;

const VECTOR: &str = "Basic dGVzdF9za19ERU1PMDAwMDAwMDAwMDAwMDAwMDAwOg==";

async fn with(bank: &Bank, authorization: Option<&str>) -> (u16, String) {
    let mut request = bank.request(Method::GET, "/v1/payments/orders/nothing");
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let reply = bank.send(request).await;
    (reply.status, reply.json["code"].as_str().unwrap_or("").to_owned())
}

#[tokio::test]
async fn the_secret_key_needs_its_colon() {
    let bank = Bank::open().await;
    let basic =
        |text: &str| format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text));
    let table = [
        (Some(VECTOR.to_owned()), (404, "NOT_FOUND_PAYMENT")),
        (None, (401, "UNAUTHORIZED_KEY")),
        (Some(basic(SECRET_KEY)), (403, "INCORRECT_BASIC_AUTH_FORMAT")),
        (Some(basic("test_sk_DEMO000000000000000000:password")), (403, "INCORRECT_BASIC_AUTH_FORMAT")),
        (Some("Basic !!!".to_owned()), (403, "INCORRECT_BASIC_AUTH_FORMAT")),
        (Some("Bearer abc".to_owned()), (403, "INCORRECT_BASIC_AUTH_FORMAT")),
        (Some(basic("test_sk_SOMEBODYELSE:")), (401, "UNAUTHORIZED_KEY")),
        (Some(basic("test_ck_DEMO000000000000000000:")), (400, "INVALID_API_KEY")),
        (Some(basic("test_gsk_DEMO000000000000000000:")), (404, "NOT_FOUND_PAYMENT")),
    ];
    for (authorization, (status, code)) in table {
        assert_eq!(with(&bank, authorization.as_deref()).await, (status, code.to_owned()), "{authorization:?}");
    }
}

#[tokio::test]
async fn the_other_pair_finds_no_session() {
    let bank = Bank::open().await;
    let made = bank.control("authorise", json!({ "orderId": "pair-0001", "amount": 1_000, "widget": true })).await;
    let reply = bank.confirm(made["paymentKey"].as_str().expect("key"), "pair-0001", 1_000).await;
    assert_eq!(reply.code(), (404, "NOT_FOUND_PAYMENT_SESSION"));
}

#[tokio::test]
async fn a_test_code_forces_its_error_before_any_lookup() {
    let bank = Bank::open().await;
    let forced = async |code: &str| {
        let request = bank.request(Method::POST, "/v1/payments/confirm").basic_auth(SECRET_KEY, Some(""));
        bank.send(request.header("TossPayments-Test-Code", code).json(&json!({}))).await
    };
    for (code, status) in [
        ("REJECT_CARD_PAYMENT", 403),
        ("ALREADY_PROCESSED_PAYMENT", 400),
        ("IDEMPOTENT_REQUEST_PROCESSING", 409),
        ("DUPLICATED_ORDER_ID", 400),
        ("FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING", 500),
        ("COMMON_ERROR", 500),
    ] {
        assert_eq!(forced(code).await.code(), (status, code));
    }
    assert_eq!(forced("NO_SUCH_CODE").await.code(), (400, "INVALID_TEST_CODE"));
}

#[tokio::test]
async fn live_keys_ignore_the_test_code() {
    let settings = toss_simulator::Settings { secret_key: "live_sk_0001".into(), ..Default::default() };
    let bank = Bank::with(settings).await;
    let request = bank.request(Method::POST, "/v1/payments/confirm").basic_auth("live_sk_0001", Some(""));
    let request = request.header("TossPayments-Test-Code", "COMMON_ERROR").json(&json!({ "paymentKey": "x" }));
    assert_eq!(bank.send(request).await.code(), (400, "INVALID_REQUEST"));
}

#[tokio::test]
async fn messages_come_in_english_on_request() {
    let bank = Bank::open().await;
    let key = bank.paid("english-1", 1_000).await;
    let request = bank.request(Method::GET, &format!("/v1/payments/{key}")).basic_auth(SECRET_KEY, Some(""));
    assert_eq!(bank.send(request.header("Accept-Language", "en-US")).await.json["method"], "Card");
    assert_eq!(bank.get(&format!("/v1/payments/{key}")).await.json["method"], "카드");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_json_too() {
    let bank = Bank::open().await;
    assert_eq!(bank.get("/v1/nothing/here").await.code(), (404, "NOT_FOUND"));
    assert_eq!(bank.post("/v1/transactions", json!({})).await.code(), (404, "NOT_FOUND_HTTP_METHOD"));
}

#[tokio::test]
async fn bad_controls_are_refused_with_a_reason() {
    let bank = Bank::open().await;
    for (path, body) in [
        ("authorise", json!({ "orderId": "x" })),
        ("authorise", json!({ "orderId": "order-0001", "amount": -1 })),
        ("faults", json!({ "op": "confirm", "kind": "explode" })),
        ("faults", json!({ "op": "confirm", "kind": "slow", "count": 0 })),
        ("webhooks", json!({ "mode": "sometimes" })),
        ("webhook-url", json!({ "url": "not an address" })),
        ("options", json!({ "nonsense": 1 })),
        ("clock", json!({ "advance_s": -5 })),
        ("deposit", json!({})),
    ] {
        let reply = bank.post(&format!("/_sim/{path}"), body.clone()).await;
        assert_eq!(reply.status, 400, "{path} {body}: {}", reply.text);
        assert!(reply.json["error"].is_string(), "{path} {body}: {}", reply.text);
    }
    assert_eq!(bank.post("/_sim/deposit", json!({ "orderId": "unknown-1" })).await.status, 404);
}

#[tokio::test]
async fn the_rate_limit_is_per_minute_and_api() {
    let bank = Bank::open().await;
    bank.control("options", json!({ "rate_limit_per_min": 3 })).await;
    // Eight calls fall into two minutes at most, so one of them has more than three.
    let mut seen = vec![];
    for _ in 0..8 {
        seen.push(bank.get("/v1/payments/orders/nothing").await.status);
    }
    assert!(seen.contains(&429), "{seen:?}");
    assert_ne!(bank.post("/v1/payments/confirm", json!({})).await.status, 429);
    bank.advance_s(60).await;
    assert_eq!(bank.get("/v1/payments/orders/nothing").await.status, 404);
}
