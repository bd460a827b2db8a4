use crate::support::{Bank, bank_with_receiver, until};
use serde_json::{Value, json};

fn header<'a>(arrived: &'a (axum::http::HeaderMap, Value), name: &str) -> &'a str {
    arrived.0.get(name).map_or("", |value| value.to_str().expect("ascii"))
}

#[tokio::test]
async fn an_event_has_its_headers_and_the_whole_payment() {
    let (bank, receiver) = bank_with_receiver(&[]).await;
    let key = bank.authorise("order-0001", 1_000).await;
    let answer = bank.confirm(&key, "order-0001", 1_000).await.json;
    let arrived = receiver.wait_for(1).await;
    assert_eq!(arrived[0].1["eventType"], "PAYMENT_STATUS_CHANGED");
    assert_eq!(arrived[0].1["data"], answer);
    let created = arrived[0].1["createdAt"].as_str().expect("time");
    assert!(created.len() == 26 && &created[19..20] == ".", "microseconds, no offset: {created}");
    assert!(header(&arrived[0], "tosspayments-webhook-transmission-time").ends_with("+09:00"));
    assert_eq!(header(&arrived[0], "tosspayments-webhook-transmission-retried-count"), "0");
    assert!(header(&arrived[0], "tosspayments-webhook-transmission-id").starts_with("whtrans_a01"));
    assert!(header(&arrived[0], "content-type").starts_with("application/json"));
    assert_eq!(header(&arrived[0], "tosspayments-webhook-signature"), "", "payment webhooks are not signed");
}

#[tokio::test]
async fn nothing_but_200_counts_and_the_ladder_has_seven_steps() {
    let (bank, receiver) = bank_with_receiver(&[500, 201, 204, 302, 404, 503, 202, 500, 500]).await;
    bank.paid("order-0001", 1_000).await;
    receiver.wait_for(1).await;
    for step in 0..7u32 {
        let wait_s = 60 * 4u32.pow(step);
        let attempts = step as usize + 1;
        until("the retry to be planned", async || {
            (bank.counts().await["webhooks"]["failed_attempts"] == json!(attempts)).then_some(())
        })
        .await;
        bank.advance_s(wait_s - 5).await;
        assert_eq!(receiver.count(), attempts, "not before its time");
        bank.advance_s(5).await;
        receiver.wait_for(attempts + 1).await;
    }
    until("the end", async || (bank.counts().await["webhooks"]["given_up"] == 1).then_some(())).await;
    let arrived = receiver.wait_for(8).await;
    let counts: Vec<&str> =
        arrived.iter().map(|one| header(one, "tosspayments-webhook-transmission-retried-count")).collect();
    assert_eq!(counts, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    let id = header(&arrived[0], "tosspayments-webhook-transmission-id");
    assert!(arrived.iter().all(|one| header(one, "tosspayments-webhook-transmission-id") == id));
    assert!(arrived.iter().all(|one| one.1 == arrived[0].1), "a retry carries the old state");
}

#[tokio::test]
async fn a_receiver_that_is_away_is_tried_again() {
    let (bank, receiver) = bank_with_receiver(&[]).await;
    let url = bank.get("/_sim/webhooks").await.json["url"].clone();
    bank.control("webhook-url", json!({ "url": "http://127.0.0.1:1/hook" })).await;
    bank.paid("order-0001", 1_000).await;
    until("the failure", async || (bank.counts().await["webhooks"]["failed_attempts"] == 1).then_some(())).await;
    bank.control("webhook-url", json!({ "url": url })).await;
    bank.advance_s(60).await;
    let arrived = receiver.wait_for(1).await;
    assert_eq!(header(&arrived[0], "tosspayments-webhook-transmission-retried-count"), "1");
    let log = bank.get("/_sim/webhooks").await.json["attempts"].clone();
    assert!(log[0]["error"].is_string() && log[0]["http_status"].is_null(), "{log}");
}

#[tokio::test]
async fn an_answer_too_late_is_none() {
    let (bank, receiver) = bank_with_receiver(&[]).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", silent.local_addr().expect("addr"));
    bank.control("webhook-url", json!({ "url": url })).await;
    bank.control("options", json!({ "webhook_timeout_ms": 50 })).await;
    bank.paid("order-0001", 1_000).await;
    until("the failure", async || (bank.counts().await["webhooks"]["failed_attempts"] == 1).then_some(())).await;
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn twice_off_and_late() {
    let (bank, receiver) = bank_with_receiver(&[]).await;
    bank.control("webhooks", json!({ "mode": "twice" })).await;
    bank.paid("order-0001", 1_000).await;
    let arrived = receiver.wait_for(2).await;
    assert_eq!(arrived[0].1, arrived[1].1);

    bank.control("webhooks", json!({ "mode": "off" })).await;
    bank.paid("order-0002", 1_000).await;
    bank.control("webhooks", json!({ "mode": "late", "delay_ms": 600_000 })).await;
    bank.paid("order-0003", 1_000).await;
    bank.advance_s(590).await;
    assert_eq!(receiver.count(), 2);
    bank.advance_s(10).await;
    assert_eq!(receiver.wait_for(3).await[2].1["data"]["orderId"], "order-0003");
}

#[tokio::test]
async fn an_event_can_overtake_the_answer() {
    let (bank, receiver) = bank_with_receiver(&[]).await;
    bank.control("webhooks", json!({ "mode": "before_response" })).await;
    bank.paid("order-0001", 1_000).await;
    assert_eq!(receiver.count(), 1, "already there when the answer came");
}

#[tokio::test]
async fn the_newer_event_can_come_first() {
    let (bank, receiver) = bank_with_receiver(&[]).await;
    bank.control("webhooks", json!({ "mode": "reverse_order", "delay_ms": 600_000 })).await;
    let key = bank.paid("order-0001", 1_000).await;
    bank.cancel(&key, json!({ "cancelReason": "변심" })).await;
    receiver.wait_for(2).await;
    assert_eq!(receiver.statuses(), ["CANCELED", "DONE"]);
    bank.paid("order-0002", 1_000).await;
    bank.advance_s(600).await;
    receiver.wait_for(3).await;
    assert_eq!(receiver.statuses()[2], "DONE", "a lone event is let go");
}

#[tokio::test]
async fn two_confirms_at_once_may_send_done_and_aborted() {
    let (bank, receiver) = bank_with_receiver(&[]).await;
    bank.control("options", json!({ "aborted_pair": true, "latency_ms": 100 })).await;
    let key = bank.authorise("order-0001", 1_000).await;
    let pair = tokio::join!(bank.confirm(&key, "order-0001", 1_000), bank.confirm(&key, "order-0001", 1_000));
    assert_eq!(pair.0.status.min(pair.1.status), 200);
    assert_eq!(pair.0.status.max(pair.1.status), 400);
    receiver.wait_for(2).await;
    let mut statuses = receiver.statuses();
    statuses.sort();
    assert_eq!(statuses, ["ABORTED", "DONE"]);
    assert_eq!(bank.get(&format!("/v1/payments/{key}")).await.json["status"], "DONE");
}

#[tokio::test]
async fn expiry_is_told_without_anybody_asking() {
    let (bank, receiver) = bank_with_receiver(&[]).await;
    bank.authorise("order-0001", 1_000).await;
    bank.advance_s(600).await;
    receiver.wait_for(1).await;
    assert_eq!(receiver.statuses(), ["EXPIRED"]);
}

#[tokio::test]
async fn a_fast_clock_needs_no_help() {
    let (receiver, url) = crate::support::Receiver::listen(&[]).await;
    let settings = toss_simulator::Settings { webhook_url: Some(url), time_scale: 10_000.0, ..Default::default() };
    let bank = Bank::with(settings).await;
    bank.authorise("order-0001", 1_000).await;
    receiver.wait_for(1).await;
    assert_eq!(receiver.statuses(), ["EXPIRED"]);
}
