use crate::support::Stripe;
use serde_json::{Value, json};

async fn search(stripe: &Stripe, query: &str) -> Vec<String> {
    let request =
        stripe.request(reqwest::Method::GET, &format!("/v1/payment_intents/search?limit=100&query={}", encode(query)));
    let reply = stripe.send(request.bearer_auth(crate::support::SECRET_KEY)).await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.text);
    assert_eq!(reply.json["object"], "search_result");
    reply.json["data"].as_array().expect("data").iter().map(order_of).collect()
}

fn order_of(intent: &Value) -> String {
    intent["metadata"]["order_id"].as_str().expect("an order").to_owned()
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn the_index_is_behind() {
    let stripe = Stripe::open().await;
    stripe.intent("order-0001", 1_000).await;
    let by_order = "metadata['order_id']:'order-0001'";
    assert!(search(&stripe, by_order).await.is_empty(), "just created");
    stripe.advance_s(60).await;
    assert_eq!(search(&stripe, by_order).await, ["order-0001"]);

    stripe.control("authorise", json!({ "metadata": { "order_id": "order-0001" } })).await;
    assert!(search(&stripe, "status:'requires_capture'").await.is_empty(), "the old status is still indexed");
    stripe.control("options", json!({ "search_lag_s": 0 })).await;
    assert_eq!(search(&stripe, "status:'requires_capture'").await, ["order-0001"]);
}

#[tokio::test]
async fn clauses_are_joined_and_denied() {
    let stripe = Stripe::open().await;
    stripe.control("options", json!({ "search_lag_s": 0 })).await;
    for (order, amount) in [("a", 1_000), ("b", 2_000), ("c", 3_000)] {
        stripe.intent(order, amount).await;
    }
    stripe.control("authorise", json!({ "metadata": { "order_id": "b" } })).await;
    for (query, expected) in [
        ("amount>1000", &["c", "b"][..]),
        ("amount>1000 AND status:'requires_capture'", &["b"]),
        ("amount>1000 AND -status:'requires_capture'", &["c"]),
        ("metadata['order_id']:'a' OR metadata['order_id']:'c'", &["c", "a"]),
        ("metadata[\"order_id\"]:\"a\" AND currency:'krw'", &["a"]),
        ("metadata['order_id']:'d'", &[]),
        ("created>0", &["c", "b", "a"]),
    ] {
        assert_eq!(search(&stripe, query).await, expected, "{query}");
    }
    for wrong in ["nonsense", "status:'a' AND status:'b' OR status:'c'"] {
        let reply = stripe.get(&format!("/v1/payment_intents/search?query={}", encode(wrong))).await;
        assert_eq!(reply.code(), (400, "invalid_request_error"), "{wrong}");
    }
    assert_eq!(stripe.get("/v1/payment_intents/search").await.code(), (400, "parameter_missing"));
}

#[tokio::test]
async fn hits_come_in_pages() {
    let stripe = Stripe::open().await;
    stripe.control("options", json!({ "search_lag_s": 0 })).await;
    for n in 0..5 {
        stripe.intent(&format!("order-{n}"), 1_000).await;
    }
    let path = format!("/v1/payment_intents/search?limit=2&query={}", encode("currency:'krw'"));
    let (mut found, mut page) = (Vec::new(), String::new());
    loop {
        let reply = stripe.get(&format!("{path}{page}")).await.json;
        found.extend(reply["data"].as_array().expect("data").iter().map(order_of));
        let Some(next) = reply["next_page"].as_str() else {
            assert_eq!(reply["has_more"], json!(false));
            break;
        };
        page = format!("&page={next}");
    }
    assert_eq!(found, ["order-4", "order-3", "order-2", "order-1", "order-0"]);
}
