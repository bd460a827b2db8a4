use crate::support::{WEBHOOK_SECRET, until, with_receiver};
use serde_json::json;
use std::collections::HashSet;

#[tokio::test]
async fn an_event_is_signed_and_shows_its_object() {
    let (stripe, receiver) = with_receiver(&[]).await;
    let id = stripe.intent("order-0001", 1_000).await;
    stripe.control("authorise", json!({ "payment_intent": id })).await;
    let captured = stripe.post_keyed(&format!("/v1/payment_intents/{id}/capture"), "", "k-1").await;
    let arrived = receiver.wait_for(2).await;
    assert_eq!(receiver.types(), ["payment_intent.amount_capturable_updated", "payment_intent.succeeded"]);
    let event = &arrived[1];
    assert_eq!(event.signed_by(WEBHOOK_SECRET), 1, "{}", event.signature());
    assert_eq!(event.signed_by("whsec_another"), 0);
    assert!(event.signature().contains(",v0="), "a scheme to ignore");
    assert!(event.text.starts_with("{\n"), "not what a JSON library would write again");
    assert_eq!(event.json["data"]["object"], captured.json);
    assert_eq!((&event.json["object"], &event.json["livemode"]), (&json!("event"), &json!(false)));
    assert_eq!(event.json["api_version"], "2025-09-30.clover");
    let request = json!({ "id": captured.header("request-id"), "idempotency_key": "k-1" });
    assert_eq!(event.json["request"], request);
    assert!(event.json["id"].as_str().expect("an id").starts_with("evt_1"));
    assert_eq!(event.headers["user-agent"], "Stripe/1.0 (+https://stripe.com/docs/webhooks)");
}

#[tokio::test]
async fn each_change_that_matters_has_its_event() {
    let (stripe, receiver) = with_receiver(&[]).await;
    let id = stripe.intent("order-0001", 1_000).await;
    stripe.control("authorise", json!({ "payment_intent": id, "outcome": "decline" })).await;
    let failed = receiver.wait_for_type("payment_intent.payment_failed").await;
    assert_eq!(failed["data"]["object"]["last_payment_error"]["code"], "card_declined");
    stripe.control("authorise", json!({ "payment_intent": id })).await;
    stripe.post(&format!("/v1/payment_intents/{id}/cancel"), "").await;
    let released = receiver.wait_for_type("charge.refunded").await;
    assert_eq!(released["data"]["object"]["captured"], json!(false), "no money came back: none had been taken");
    receiver.wait_for_type("payment_intent.canceled").await;

    let lapsing = stripe.authorised("order-0002", 1_000).await;
    let seen = receiver.count();
    stripe.advance_s(7 * 86_400).await;
    let arrived = receiver.wait_for(seen + 1).await;
    let lapsed = arrived.iter().find(|one| one.json["data"]["object"]["cancellation_reason"] == "automatic");
    assert_eq!(lapsed.expect("the event").json["data"]["object"]["id"], json!(lapsing));
}

#[tokio::test]
async fn an_endpoint_for_everything_hears_more() {
    let (stripe, receiver) = with_receiver(&[]).await;
    stripe.control("options", json!({ "all_events": true })).await;
    let id = stripe.paid("order-0001", 1_000).await;
    stripe.refund(&id, "").await;
    receiver.wait_for(7).await;
    let types: HashSet<String> = receiver.types().into_iter().collect();
    for name in ["payment_intent.created", "charge.succeeded", "charge.captured", "refund.created", "charge.refunded"] {
        assert!(types.contains(name), "{name} in {types:?}");
    }
}

#[tokio::test]
async fn while_a_secret_is_rolled_both_sign() {
    let (stripe, receiver) = with_receiver(&[]).await;
    stripe.control("webhook-secret", json!({ "secret": "whsec_new", "keep_old_s": 3600 })).await;
    stripe.authorised("order-0001", 1_000).await;
    let arrived = receiver.wait_for(1).await;
    assert_eq!((arrived[0].signed_by("whsec_new"), arrived[0].signed_by(WEBHOOK_SECRET)), (1, 1));
    assert_eq!(arrived[0].signature().matches("v1=").count(), 2);
    stripe.advance_s(3_600).await;
    stripe.authorised("order-0002", 1_000).await;
    let arrived = receiver.wait_for(2).await;
    assert_eq!((arrived[1].signed_by("whsec_new"), arrived[1].signed_by(WEBHOOK_SECRET)), (1, 0));
    stripe.control("webhook-secret", json!({ "secret": "whsec_newer" })).await;
    stripe.authorised("order-0003", 1_000).await;
    let arrived = receiver.wait_for(3).await;
    assert_eq!((arrived[2].signed_by("whsec_newer"), arrived[2].signed_by("whsec_new")), (1, 0));
}

#[tokio::test]
async fn retries_grow_for_three_days_and_are_signed_anew() {
    let answers = [500, 302, 404, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500];
    let (stripe, receiver) = with_receiver(&answers).await;
    stripe.authorised("order-0001", 1_000).await;
    receiver.wait_for(1).await;
    let minutes = [1, 3, 9, 27, 81, 243, 720, 720, 720, 720, 720];
    for (step, wait) in minutes.into_iter().enumerate() {
        until("the retry to be planned", async || {
            (stripe.counts().await["webhooks"]["failed_attempts"] == json!(step + 1)).then_some(())
        })
        .await;
        stripe.advance_s(wait * 60 - 20).await;
        assert_eq!(receiver.count(), step + 1, "not before its time");
        stripe.advance_s(20).await;
        receiver.wait_for(step + 2).await;
    }
    until("the end", async || (stripe.counts().await["webhooks"]["given_up"] == 1).then_some(())).await;
    let arrived = receiver.wait_for(12).await;
    let times: HashSet<&str> = arrived.iter().map(|one| one.signature().split(',').next().unwrap_or("")).collect();
    assert_eq!(times.len(), 12, "each attempt carries its own time");
    assert!(arrived.iter().all(|one| one.text == arrived[0].text && one.signed_by(WEBHOOK_SECRET) == 1));
}

#[tokio::test]
async fn every_2xx_counts() {
    let (stripe, receiver) = with_receiver(&[201, 204]).await;
    stripe.authorised("order-0001", 1_000).await;
    stripe.authorised("order-0002", 1_000).await;
    receiver.wait_for(2).await;
    until("both", async || (stripe.counts().await["webhooks"]["delivered"] == 2).then_some(())).await;
    assert_eq!(stripe.counts().await["webhooks"]["failed_attempts"], 0);
}

#[tokio::test]
async fn twice_off_and_late() {
    let (stripe, receiver) = with_receiver(&[]).await;
    stripe.control("webhooks", json!({ "mode": "twice" })).await;
    stripe.authorised("order-0001", 1_000).await;
    let arrived = receiver.wait_for(2).await;
    assert_eq!(arrived[0].json["id"], arrived[1].json["id"], "one event, delivered twice");
    stripe.control("webhooks", json!({ "mode": "off" })).await;
    stripe.authorised("order-0002", 1_000).await;
    stripe.control("webhooks", json!({ "mode": "late", "delay_ms": 600_000 })).await;
    let late = stripe.authorised("order-0003", 1_000).await;
    stripe.advance_s(590).await;
    assert_eq!(receiver.count(), 2);
    stripe.advance_s(10).await;
    assert_eq!(receiver.wait_for(3).await[2].json["data"]["object"]["id"], json!(late));
}

#[tokio::test]
async fn an_event_can_overtake_the_answer() {
    let (stripe, receiver) = with_receiver(&[]).await;
    stripe.control("webhooks", json!({ "mode": "before_response" })).await;
    stripe.paid("order-0001", 1_000).await;
    assert_eq!(receiver.count(), 2, "already there when the answer came");
}

#[tokio::test]
async fn the_newer_event_can_come_first() {
    let (stripe, receiver) = with_receiver(&[]).await;
    stripe.control("webhooks", json!({ "mode": "reverse_order", "delay_ms": 600_000 })).await;
    stripe.paid("order-0001", 1_000).await;
    receiver.wait_for(2).await;
    assert_eq!(receiver.types(), ["payment_intent.succeeded", "payment_intent.amount_capturable_updated"]);
    stripe.authorised("order-0002", 1_000).await;
    stripe.advance_s(600).await;
    receiver.wait_for(3).await;
}

#[tokio::test]
async fn a_signature_may_carry_real_time() {
    let (stripe, receiver) = with_receiver(&[]).await;
    stripe.advance_s(86_400).await;
    let time_of = |signature: &str| -> i64 {
        let t = signature.split(',').next().and_then(|part| part.strip_prefix("t="));
        t.and_then(|t| t.parse().ok()).expect("a time")
    };
    stripe.authorised("order-0001", 1_000).await;
    let simulated = time_of(receiver.wait_for(1).await[0].signature());
    stripe.control("options", json!({ "signature_clock": "real" })).await;
    stripe.authorised("order-0002", 1_000).await;
    let real = time_of(receiver.wait_for(2).await[1].signature());
    assert!((86_300..=86_400).contains(&(simulated - real)), "{simulated} {real}");
}

#[tokio::test]
async fn a_receiver_can_be_changed() {
    let (stripe, receiver) = with_receiver(&[]).await;
    let url = stripe.get("/_sim/webhooks").await.json["url"].clone();
    stripe.control("webhook-url", json!({ "url": null })).await;
    stripe.authorised("order-0001", 1_000).await;
    assert_eq!(stripe.counts().await["webhooks"]["created"], 0, "nobody to tell");
    stripe.control("webhook-url", json!({ "url": url })).await;
    stripe.authorised("order-0002", 1_000).await;
    receiver.wait_for(1).await;
    assert_eq!(stripe.try_control("webhook-url", json!({ "url": "ftp://x" })).await.status, 400);
    let log = until("the log", async || {
        let log = stripe.get("/_sim/webhooks").await.json["attempts"].clone();
        log[0].is_object().then_some(log)
    })
    .await;
    assert_eq!(log[0]["http_status"], 200, "{log}");
}
