use crate::support::{Stripe, with_receiver};
use serde_json::{Value, json};

#[tokio::test]
async fn in_parts_until_nothing_is_left() {
    let stripe = Stripe::open().await;
    let id = stripe.paid("order-0001", 30_000).await;
    let part = stripe.refund(&id, "amount=10000&reason=requested_by_customer&metadata[refund_id]=r-1").await;
    assert_eq!(part.status, 200, "{}", part.text);
    let expected = json!({
        "object": "refund", "amount": 10_000, "status": "succeeded", "reason": "requested_by_customer",
        "payment_intent": id, "metadata": { "refund_id": "r-1" }, "currency": "krw",
    });
    for (name, value) in expected.as_object().expect("fields") {
        assert_eq!(&part.json[name], value, "{name}");
    }
    let charge = stripe.charge_of(&id).await;
    assert_eq!((&charge["amount_refunded"], &charge["refunded"]), (&json!(10_000), &json!(false)));
    let too_much = stripe.refund(&id, "amount=20001").await;
    assert_eq!(too_much.code(), (400, "invalid_request_error"), "Stripe sends no code with this one");
    let message = "Refund amount (₩20,001) is greater than unrefunded amount on charge (₩20,000)";
    assert_eq!(
        (&too_much.json["error"]["message"], &too_much.json["error"]["param"]),
        (&json!(message), &json!("amount"))
    );
    assert_eq!(stripe.refund(&id, "").await.json["amount"], 20_000);
    assert_eq!(stripe.refund(&id, "").await.code(), (400, "charge_already_refunded"));
    assert_eq!(stripe.status_of(&id).await, "succeeded", "a refund does not change the intent");
    let counts = stripe.counts().await;
    assert_eq!((&counts["refunded"], &counts["refunded_amount"]), (&json!(2), &json!(30_000)));
}

#[tokio::test]
async fn only_what_was_captured_can_come_back() {
    let stripe = Stripe::open().await;
    for id in [stripe.intent("order-0001", 1_000).await, stripe.authorised("order-0002", 1_000).await] {
        let refused = stripe.refund(&id, "").await;
        assert_eq!(refused.code(), (400, "invalid_request_error"));
        assert!(refused.text.contains("does not have a successful charge to refund"), "{}", refused.text);
    }
    assert_eq!(stripe.refund("pi_nobody", "").await.code(), (404, "resource_missing"));
    assert_eq!(stripe.post("/v1/refunds", "").await.code(), (400, "parameter_missing"));
    let id = stripe.paid("order-0003", 1_000).await;
    for wrong in ["amount=0", "amount=-5", "reason=whim", "why=whim"] {
        assert_eq!(stripe.refund(&id, wrong).await.status, 400, "{wrong}");
    }
    let charge = stripe.charge_of(&id).await["id"].as_str().expect("an id").to_owned();
    assert_eq!(stripe.post("/v1/refunds", &format!("charge={charge}")).await.json["payment_intent"], json!(id));
}

#[tokio::test]
async fn refunds_are_found_again() {
    let stripe = Stripe::open().await;
    let (one, two) = (stripe.paid("order-0001", 3_000).await, stripe.paid("order-0002", 3_000).await);
    let mut made: Vec<Value> = Vec::new();
    for (id, form) in [(&one, "amount=1000"), (&two, "amount=500"), (&one, "amount=2000")] {
        made.push(stripe.refund(id, form).await.json);
    }
    let path = format!("/v1/refunds/{}", made[0]["id"].as_str().expect("an id"));
    assert_eq!(stripe.get(&path).await.json, made[0]);
    assert_eq!(stripe.get("/v1/refunds/re_nobody").await.code(), (404, "resource_missing"));
    let of_one = stripe.get(&format!("/v1/refunds?payment_intent={one}")).await.json;
    assert_eq!(of_one["data"], json!([made[2], made[0]]));
    let page = stripe.get("/v1/refunds?limit=2").await.json;
    assert_eq!((&page["data"], &page["has_more"]), (&json!([made[2], made[1]]), &json!(true)));
    let next = stripe.get(&format!("/v1/refunds?starting_after={}", made[1]["id"].as_str().expect("id"))).await.json;
    assert_eq!(next["data"], json!([made[0]]));
}

#[tokio::test]
async fn a_refund_may_be_pending_and_arrive_later() {
    let (stripe, receiver) = with_receiver(&[]).await;
    stripe.control("refunds", json!({ "pending": true, "then": "succeeded", "settle_after_s": 3600 })).await;
    let id = stripe.paid("order-0001", 1_000).await;
    let refund = stripe.refund(&id, "").await;
    assert_eq!(refund.json["status"], "pending");
    assert_eq!(stripe.charge_of(&id).await["amount_refunded"], 1_000, "on its way already");
    let told = receiver.wait_for_type("charge.refunded").await;
    assert_eq!(told["data"]["object"]["amount_refunded"], 1_000);
    assert_eq!(told["data"]["previous_attributes"]["amount_refunded"], 0);
    stripe.advance_s(3_600).await;
    for name in ["refund.updated", "charge.refund.updated"] {
        let event = receiver.wait_for_type(name).await;
        assert_eq!(event["data"]["object"]["id"], refund.json["id"]);
        assert_eq!(event["data"]["object"]["status"], "succeeded");
        assert_eq!(event["data"]["previous_attributes"]["status"], "pending");
    }
}

#[tokio::test]
async fn a_refund_that_fails_gives_the_money_back_to_the_balance() {
    let (stripe, receiver) = with_receiver(&[]).await;
    stripe.control("refunds", json!({ "pending": true })).await;
    let id = stripe.paid("order-0001", 1_000).await;
    let refund = stripe.refund(&id, "").await.text_of("id");
    let settle = json!({ "refund": refund, "status": "failed", "failure_reason": "lost_or_stolen_card" });
    stripe.control("refund-settle", settle.clone()).await;
    let failed = stripe.get(&format!("/v1/refunds/{refund}")).await.json;
    assert_eq!((&failed["status"], &failed["failure_reason"]), (&json!("failed"), &json!("lost_or_stolen_card")));
    assert!(failed["failure_balance_transaction"].is_string());
    assert_eq!(receiver.wait_for_type("refund.updated").await["data"]["object"]["status"], "failed");
    let charge = stripe.charge_of(&id).await;
    assert_eq!((&charge["amount_refunded"], &charge["refunded"]), (&json!(0), &json!(false)));
    assert_eq!(stripe.try_control("refund-settle", settle).await.status, 409, "settled once");
    assert_eq!(stripe.counts().await["refunds_failed_amount"], 1_000);

    stripe.control("refunds", json!({ "pending": false })).await;
    let again = stripe.refund(&id, "").await;
    assert_eq!(again.json["status"], "succeeded", "it can be tried again");
    let late = json!({ "refund": again.text_of("id"), "status": "failed" });
    stripe.control("refund-settle", late).await;
    assert_eq!(stripe.charge_of(&id).await["amount_refunded"], 0, "even a refund that succeeded may come back");
}

#[tokio::test]
async fn two_test_cards_decide_about_their_refunds() {
    let stripe = Stripe::open().await;
    for (card, first, then) in
        [("pm_card_pendingRefund", "pending", "succeeded"), ("pm_card_refundFail", "succeeded", "failed")]
    {
        let form = format!("amount=1000&currency=krw&payment_method_types[]=card&confirm=true&payment_method={card}");
        let id = stripe.post("/v1/payment_intents", &form).await.text_of("id");
        let refund = stripe.refund(&id, "").await;
        assert_eq!(refund.json["status"], first);
        stripe.advance_s(60).await;
        let settled = stripe.get(&format!("/v1/refunds/{}", refund.text_of("id"))).await;
        assert_eq!(settled.json["status"], then);
    }
}

#[tokio::test]
async fn a_disputed_charge_cannot_be_refunded() {
    let (stripe, receiver) = with_receiver(&[]).await;
    let id = stripe.paid("order-0001", 1_000).await;
    stripe.control("dispute", json!({ "payment_intent": id, "reason": "product_not_received" })).await;
    let dispute = receiver.wait_for_type("charge.dispute.created").await["data"]["object"].clone();
    assert_eq!((&dispute["payment_intent"], &dispute["amount"]), (&json!(id), &json!(1_000)));
    assert_eq!((&dispute["reason"], &dispute["status"]), (&json!("product_not_received"), &json!("needs_response")));
    assert_eq!(stripe.charge_of(&id).await["disputed"], json!(true));
    assert_eq!(stripe.refund(&id, "").await.code(), (400, "charge_disputed"));
    assert_eq!(stripe.try_control("dispute", json!({ "payment_intent": id })).await.status, 409);
}
