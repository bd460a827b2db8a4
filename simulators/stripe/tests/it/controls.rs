use crate::support::{Stripe, with_receiver};
use serde_json::json;

#[tokio::test]
async fn the_dashboard_acts_behind_the_shops_back() {
    let (stripe, receiver) = with_receiver(&[]).await;
    let id = stripe.paid("order-0001", 3_000).await;
    let shown = stripe.control("dashboard-refund", json!({ "payment_intent": id, "amount": 1_000 })).await;
    assert_eq!(shown["refunds"][0]["amount"], 1_000);
    receiver.wait_for_type("charge.refunded").await;
    stripe.control("dashboard-refund", json!({ "metadata": { "order_id": "order-0001" } })).await;
    assert_eq!(stripe.charge_of(&id).await["refunded"], json!(true));
    let too_much = stripe.try_control("dashboard-refund", json!({ "payment_intent": id })).await;
    assert_eq!(too_much.status, 400);
    assert!(too_much.text.contains("charge_already_refunded"), "{}", too_much.text);

    let held = stripe.authorised("order-0002", 1_000).await;
    stripe.control("dashboard-capture", json!({ "payment_intent": held })).await;
    assert_eq!(stripe.status_of(&held).await, "succeeded");
    let dropped = stripe.authorised("order-0003", 1_000).await;
    stripe.control("dashboard-cancel", json!({ "payment_intent": dropped })).await;
    assert_eq!(stripe.status_of(&dropped).await, "canceled");
}

#[tokio::test]
async fn payments_are_shown_with_all_that_belongs_to_them() {
    let stripe = Stripe::open().await;
    let id = stripe.paid("order-0001", 1_000).await;
    stripe.refund(&id, "").await;
    for name in [id.as_str(), "order-0001"] {
        let shown = stripe.get(&format!("/_sim/payment-intents/{name}")).await.json["payment_intents"][0].clone();
        assert_eq!((&shown["payment_intent"]["id"], &shown["charges"][0]["captured"]), (&json!(id), &json!(true)));
        assert_eq!(shown["refunds"].as_array().map(Vec::len), Some(1));
        let history: Vec<&str> =
            shown["history"].as_array().expect("steps").iter().filter_map(|step| step["status"].as_str()).collect();
        assert_eq!(history, ["requires_payment_method", "requires_capture", "succeeded"]);
    }
    assert_eq!(stripe.get("/_sim/payment-intents").await.json["payment_intents"].as_array().map(Vec::len), Some(1));
    assert_eq!(stripe.get("/_sim/payment-intents/nobody").await.json["payment_intents"], json!([]));
}

#[tokio::test]
async fn a_control_used_wrongly_changes_nothing() {
    let stripe = Stripe::open().await;
    let id = stripe.intent("order-0001", 1_000).await;
    for (path, body) in [
        ("authorise", json!({})),
        ("authorise", json!({ "payment_intent": id, "outcome": "maybe" })),
        ("authorise", json!({ "payment_intent": id, "method": "cash" })),
        ("authorise", json!({ "payment_intent": id, "colour": "red" })),
        ("authorise", json!({ "payment_intent": id, "outcome": "decline", "code": "whim" })),
        ("faults", json!({ "op": "sing", "kind": "slow" })),
        ("faults", json!({ "op": "create", "kind": "slow", "count": 0 })),
        ("random", json!({ "seed": 1, "probabilities": {} })),
        ("outage", json!({ "kind": "nap" })),
        ("options", json!({ "fee_bp": -1 })),
        ("options", json!({ "colour": "red" })),
        ("refunds", json!({ "pending": true, "then": "pending", "settle_after_s": 1 })),
        ("refunds", json!({ "pending": false, "then": "failed", "settle_after_s": 1 })),
        ("webhook-secret", json!({ "secret": "" })),
        ("clock", json!({ "advance_s": -1 })),
    ] {
        let reply = stripe.try_control(path, body.clone()).await;
        assert_eq!(reply.status, 400, "{path} {body}: {}", reply.text);
        assert!(reply.json["error"].is_string());
    }
    assert_eq!(stripe.try_control("authorise", json!({ "payment_intent": "pi_nobody" })).await.status, 404);
    assert_eq!(stripe.status_of(&id).await, "requires_payment_method");
}

#[tokio::test]
async fn a_reset_forgets_everything() {
    let (stripe, receiver) = with_receiver(&[]).await;
    let id = stripe.paid("order-0001", 1_000).await;
    receiver.wait_for(2).await;
    stripe.control("options", json!({ "search_lag_s": 0 })).await;
    stripe.control("faults", json!({ "op": "create", "kind": "error_before" })).await;
    stripe.control("outage", json!({})).await;
    stripe.advance_s(1_000_000).await;
    stripe.control("reset", json!({})).await;
    assert_eq!(stripe.get(&format!("/v1/payment_intents/{id}")).await.status, 404);
    let counts = stripe.counts().await;
    assert_eq!((&counts["captured_amount"], &counts["webhooks"]["created"]), (&json!(0), &json!(0)));
    assert_eq!(stripe.get("/_sim/options").await.json["search_lag_s"], 60);
    assert_eq!(stripe.get("/v1/balance_transactions").await.json["data"], json!([]));
    stripe.intent("order-0001", 1_000).await;
}
