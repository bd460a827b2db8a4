use crate::support::{PUBLISHABLE_KEY, SECRET_KEY, Stripe};
use reqwest::Method;

const INTENTS: &str = "/v1/payment_intents";

#[tokio::test]
async fn both_kinds_of_authentication_are_accepted() {
    let stripe = Stripe::open().await;
    assert_eq!(stripe.get(INTENTS).await.status, 200);
    for password in [Some(""), None] {
        let basic = stripe.request(Method::GET, INTENTS).basic_auth(SECRET_KEY, password);
        assert_eq!(stripe.send(basic).await.status, 200);
    }
}

#[tokio::test]
async fn unknown_and_missing_keys_are_refused_in_stripes_words() {
    let stripe = Stripe::open().await;
    let unknown = stripe.send(stripe.request(Method::GET, INTENTS).bearer_auth("sk_test_DEMONOBODY000001234")).await;
    assert_eq!(unknown.code(), (401, "invalid_request_error"));
    assert_eq!(unknown.json["error"]["message"], "Invalid API Key provided: sk_test_***************1234");
    let none = stripe.send(stripe.request(Method::GET, INTENTS)).await;
    assert!(none.json["error"]["message"].as_str().expect("a message").starts_with("You did not provide an API key"));
    let odd = stripe.send(stripe.request(Method::GET, INTENTS).header("authorization", "Digest x")).await;
    assert_eq!(odd.status, 401);
}

#[tokio::test]
async fn a_browser_sees_its_own_payment_and_nothing_else() {
    let stripe = Stripe::open().await;
    let id = stripe.intent("order-0001", 1_000).await;
    let secret = stripe.look(&id).await["client_secret"].as_str().expect("a secret").to_owned();
    let look = |query: String| stripe.send(stripe.request(Method::GET, &format!("{INTENTS}/{id}?{query}")));
    let seen = look(format!("key={PUBLISHABLE_KEY}&client_secret={secret}")).await;
    assert_eq!((seen.status, &seen.json["status"]), (200, &"requires_payment_method".into()));
    assert!(seen.json.get("metadata").is_none(), "{}", seen.text);
    assert_eq!(seen.header("access-control-allow-origin"), "*");
    assert_eq!(look(format!("key={PUBLISHABLE_KEY}&client_secret={id}_secret_x")).await.status, 404);
    assert_eq!(look(format!("key={PUBLISHABLE_KEY}")).await.code(), (401, "secret_key_required"));
    let list = stripe.send(stripe.request(Method::GET, INTENTS).bearer_auth(PUBLISHABLE_KEY)).await;
    assert_eq!(list.code(), (401, "secret_key_required"));
}

#[tokio::test]
async fn answers_name_the_request_and_the_version() {
    let stripe = Stripe::open().await;
    let request = stripe.request(Method::GET, INTENTS).bearer_auth(SECRET_KEY).header("Stripe-Version", "2024-06-20");
    let answer = stripe.send(request).await;
    assert!(answer.header("request-id").starts_with("req_"));
    assert_eq!(answer.header("stripe-version"), "2024-06-20");
    assert_eq!(stripe.get(INTENTS).await.header("stripe-version"), "2025-09-30.clover");
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_a_form() {
    let stripe = Stripe::open().await;
    assert_eq!(stripe.get("/v1/customers").await.code(), (404, "invalid_request_error"));
    let json = stripe.request(Method::POST, INTENTS).bearer_auth(SECRET_KEY).json(&serde_json::json!({ "amount": 1 }));
    let refused = stripe.send(json).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("x-www-form-urlencoded"));
    let missing = stripe.get("/v1/payment_intents/pi_nobody").await;
    assert_eq!(missing.code(), (404, "resource_missing"));
    let error = &missing.json["error"];
    assert_eq!(error["message"], "No such payment_intent: 'pi_nobody'");
    assert_eq!(error["doc_url"], "https://stripe.com/docs/error-codes/resource-missing");
    assert!(error["request_log_url"].is_string());
}

#[tokio::test]
async fn a_rate_limit_can_be_set() {
    let stripe = Stripe::open().await;
    stripe.control("options", serde_json::json!({ "rate_limit_per_s": 1 })).await;
    let mut codes = Vec::new();
    for _ in 0..20 {
        codes.push(stripe.get(INTENTS).await);
    }
    let refused = codes.iter().find(|reply| reply.status == 429).expect("one beyond the limit");
    assert_eq!(refused.code(), (429, "rate_limit"));
    assert_eq!(refused.header("stripe-rate-limited-reason"), "global-rate");
}
