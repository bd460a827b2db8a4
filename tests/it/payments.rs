//! Money: every way a payment can end, and what the visitor keeps.

use std::time::Duration;

use serde_json::json;

use crate::support::given::places;
use crate::support::{Answer, TestApp, race};

/// Approves a payment at Toss as a lost instance of ours would have: Admit has heard nothing.
pub async fn approve_at_toss(app: &TestApp, order_id: &str, payment_key: &str, amount: i64) {
    let url = format!("{}/v1/payments/confirm", app.simulator.base_url());
    let reply = app
        .http
        .post(url)
        .basic_auth("test_sk_DEMO000000000000000000", Some(""))
        .json(&json!({ "paymentKey": payment_key, "orderId": order_id, "amount": amount }))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), 200);
}

pub async fn send_webhook(app: &TestApp, order_id: &str, payment_key: &str, status: &str) -> Answer {
    let event = json!({
        "eventType": "PAYMENT_STATUS_CHANGED", "createdAt": "2026-11-20T20:16:12.729718",
        "data": { "paymentKey": payment_key, "orderId": order_id, "status": status },
    });
    let request = app
        .http
        .post(app.url("/api/webhooks/toss"))
        .header("tosspayments-webhook-transmission-id", format!("whtrans_{}", uuid::Uuid::new_v4()))
        .json(&event);
    Answer::of(request).await
}

#[tokio::test]
async fn a_declined_card_keeps_the_hold_and_another_card_may_be_tried() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    app.simulate("faults", json!({ "op": "confirm", "kind": "fail", "count": 1, "code": "REJECT_CARD_PAYMENT" })).await;
    let refused = visitor.confirm(&order, &order_id, &payment_key, "k").await.refused(409, "payment.declined");
    // A final refusal is stored: the same key gets it again, and Toss is not asked again.
    let again = visitor.confirm(&order, &order_id, &payment_key, "k").await.refused(409, "payment.declined");
    assert_eq!(refused.body["detail"], again.body["detail"]);
    assert_eq!(visitor.read(&order).await.body["status"], "held");
    visitor.pay(&order).await.expect(200);
    assert_eq!(app.simulator_counts().await["approved"], 1);
    app.finish().await;
}

#[tokio::test]
async fn an_unknown_outcome_is_asked_about_until_it_is_known() {
    for kind in ["drop_after", "error_after", "empty_body", "html_body"] {
        let app = TestApp::start().await;
        let adult = app.given(places(10)).await;
        let visitor = app.visitor(1);
        let order = visitor.held(&adult, 1).await;
        let (order_id, payment_key) = visitor.authorised(&order).await;
        app.simulate("faults", json!({ "op": "confirm", "kind": kind, "count": 1 })).await;
        app.simulate("faults", json!({ "op": "query", "kind": "error_before", "count": 1 })).await;
        let answer = visitor.confirm(&order, &order_id, &payment_key, "k").await.expect(202);
        assert_eq!(answer.body["status"], "confirming", "{kind}");
        assert_eq!(visitor.read(&order).await.body["payment_status"], "confirming");
        assert_eq!(app.stock(adult.stock_id).await, (1, 0), "{kind}: the place is kept meanwhile");

        app.advance(Duration::from_secs(5)).await;
        app.until("recovery knows", async || {
            app.advance(Duration::from_secs(2)).await;
            app.tick("recover").await;
            visitor.read(&order).await.body["status"] == "paid"
        })
        .await;
        assert_eq!(app.simulator_counts().await["approved"], 1, "{kind}");
        visitor.confirm(&order, &order_id, &payment_key, "k").await.expect(200);
        app.finish().await;
    }
}

#[tokio::test]
async fn an_answer_lost_before_anything_was_charged_is_sent_again() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    app.simulate("faults", json!({ "op": "confirm", "kind": "error_before", "count": 1 })).await;
    let answer = visitor.confirm(&order, &order_id, &payment_key, "k").await;
    assert!(matches!(answer.status, 200 | 202), "{}", answer.body);
    app.until("it is paid", async || {
        app.advance(Duration::from_secs(2)).await;
        app.tick("recover").await;
        visitor.read(&order).await.body["status"] == "paid"
    })
    .await;
    assert_eq!(app.simulator_counts().await["approved"], 1);
    app.finish().await;
}

#[tokio::test]
async fn a_payment_that_toss_never_saw_is_given_up_after_its_window() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    let order_id = visitor.initialize(&order).await.expect(200).text("order_id");
    // A payment key that nobody authorised: Toss refuses it for good.
    visitor.confirm(&order, &order_id, "tgen_20260101000000AbCdE", "k").await.refused(409, "payment.declined");
    assert_eq!(visitor.read(&order).await.body["status"], "held");
    app.finish().await;
}

#[tokio::test]
async fn a_wrong_amount_or_a_foreign_order_is_refused_before_toss_is_asked() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    let ask = json!({ "order_number": order.number, "amount": order.total - 1 });
    Answer::of(visitor.post("/api/payments/initialize").bearer_auth(&order.token).json(&ask))
        .await
        .refused(422, "payment.amount_mismatch");
    let foreign = app.visitor(2).held(&adult, 1).await;
    let ask = json!({ "order_number": order.number, "amount": order.total });
    Answer::of(visitor.post("/api/payments/initialize").bearer_auth(&foreign.token).json(&ask))
        .await
        .refused(403, "order.wrong_token");

    let (order_id, payment_key) = visitor.authorised(&order).await;
    let confirm = |order_id: &str, amount: i64| {
        let ask = json!({ "payment_key": payment_key, "order_id": order_id, "amount": amount });
        Answer::of(
            visitor
                .post("/api/payments/confirm")
                .header("idempotency-key", uuid::Uuid::new_v4().to_string())
                .json(&ask),
        )
    };
    confirm(&order_id, 1).await.refused(422, "payment.amount_mismatch");
    confirm("ORD20250101-0000000000-1", order.total).await.refused(404, "payment.unknown_order");
    assert_eq!(app.simulator_counts().await["confirms"], 0);
    app.finish().await;
}

#[tokio::test]
async fn two_tabs_pay_two_attempts_and_one_is_returned() {
    let app = TestApp::start().await;
    app.with_webhooks().await;
    app.simulate("webhooks", json!({ "mode": "off" })).await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    let first = visitor.authorised(&order).await;
    let second = visitor.authorised(&order).await;
    visitor.confirm(&order, &first.0, &first.1, "one").await.expect(200);
    // The second tab's confirm never reaches Toss.
    visitor.confirm(&order, &second.0, &second.1, "two").await.refused(409, "payment.already_paid");
    assert_eq!(app.simulator_counts().await["approved"], 1);

    // And if its money was taken all the same, it goes back.
    approve_at_toss(&app, &second.0, &second.1, order.total).await;
    send_webhook(&app, &second.0, &second.1, "DONE").await.expect(200);
    assert_eq!(app.webhooks().await, 1);
    visitor.confirm(&order, &second.0, &second.1, "two").await.refused(409, "payment.refunding");
    assert_eq!(app.tick("refunds").await, 1);
    assert_eq!(app.simulator_counts().await["cancelled_amount"], order.total);
    assert_eq!(visitor.read(&order).await.body["status"], "paid");
    app.finish().await;
}

#[tokio::test]
async fn money_for_a_cancelled_order_is_always_returned() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    visitor.cancel(&order).await.expect(200);
    visitor.confirm(&order, &order_id, &payment_key, "k").await.refused(410, "order.closed");
    approve_at_toss(&app, &order_id, &payment_key, order.total).await;
    send_webhook(&app, &order_id, &payment_key, "DONE").await.expect(200);
    app.webhooks().await;
    // A refund whose answer is lost is not done twice.
    app.simulate("faults", json!({ "op": "cancel", "kind": "drop_after", "count": 1 })).await;
    app.simulate("faults", json!({ "op": "query", "kind": "error_before", "count": 1 })).await;
    assert_eq!(app.tick("refunds").await, 0);
    app.advance(Duration::from_secs(60)).await;
    assert_eq!(app.tick("refunds").await, 1);
    assert_eq!(app.simulator_counts().await["cancelled_amount"], order.total);
    assert_eq!(visitor.read(&order).await.body["status"], "cancelled");
    app.finish().await;
}

#[tokio::test]
async fn a_webhook_may_come_twenty_times_and_before_the_redirect() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    // Forged: nobody has paid, and Toss says so.
    send_webhook(&app, &order_id, &payment_key, "DONE").await.expect(200);
    assert_eq!(app.webhooks().await, 1);
    assert_eq!(visitor.read(&order).await.body["status"], "held");

    approve_at_toss(&app, &order_id, &payment_key, order.total).await;
    let statuses = race(20, |_| send_webhook(&app, &order_id, &payment_key, "DONE")).await;
    assert!(statuses.iter().all(|a| a.status == 200));
    app.advance(Duration::from_secs(1)).await;
    race(4, |_| app.tick("webhooks")).await;
    app.until("it is paid", async || visitor.read(&order).await.body["status"] == "paid").await;
    // Then the browser comes back.
    visitor.confirm(&order, &order_id, &payment_key, "k").await.expect(200);
    assert_eq!(app.db.one::<i64>("select count(*) from tickets").await, 1);
    app.finish().await;
}

#[tokio::test]
async fn webhooks_about_what_is_not_ours_change_nothing() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let order = app.visitor(1).held(&adult, 1).await;
    let post = |body: String| {
        Answer::of(app.http.post(app.url("/api/webhooks/toss")).header("content-type", "application/json").body(body))
    };
    send_webhook(&app, "ORD20250101-0000000000-1", "tgen_x", "DONE").await.expect(200);
    send_webhook(&app, &format!("{}-77", order.number), "tgen_x", "DONE").await.expect(200);
    send_webhook(&app, "somebody-elses-order", "tgen_x", "DONE").await.expect(200);
    post(json!({ "eventType": "payout.changed", "entityBody": {} }).to_string()).await.expect(200);
    post("[]".into()).await.expect(200);
    post("{".into()).await.refused(400, "request.malformed_json");
    post(format!("{{\"x\":\"{}\"}}", "x".repeat(40_000))).await.refused(413, "request.too_large");
    app.webhooks().await;
    assert_eq!(app.db.one::<i64>("select count(*) from inbox").await, 0, "nothing of it is even kept");
    assert_eq!(
        app.simulator_counts().await["queries"].as_i64().unwrap_or(0),
        0,
        "Toss is asked only about what is ours"
    );
    app.finish().await;
}

#[tokio::test]
async fn toss_delivers_its_own_webhooks() {
    let app = TestApp::start().await;
    app.with_webhooks().await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    visitor.pay(&order).await.expect(200);
    app.until("the webhook has come", async || app.db.one::<i64>("select count(*) from inbox").await >= 1).await;
    app.webhooks().await;
    assert_eq!(app.db.one::<i64>("select count(*) from inbox where state = 'processed'").await, 1);
    app.finish().await;
}

#[tokio::test]
async fn a_passing_fault_of_the_provider_does_not_end_a_refund_or_a_payment() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    // Toss keeps a refusal under its idempotency key for days: the next try needs another.
    app.simulate("faults", json!({ "op": "confirm", "kind": "fail", "count": 1, "code": "PROVIDER_ERROR" })).await;
    let answer = visitor.confirm(&order, &order_id, &payment_key, "k").await;
    assert!(matches!(answer.status, 200 | 202), "{}", answer.body);
    app.until("it is paid", async || {
        app.advance(Duration::from_secs(2)).await;
        app.tick("recover").await;
        visitor.read(&order).await.body["status"] == "paid"
    })
    .await;

    let second = visitor.held(&adult, 1).await;
    let (order_id, payment_key) = visitor.authorised(&second).await;
    visitor.cancel(&second).await.expect(200);
    approve_at_toss(&app, &order_id, &payment_key, second.total).await;
    send_webhook(&app, &order_id, &payment_key, "DONE").await.expect(200);
    app.webhooks().await;
    app.simulate("faults", json!({ "op": "cancel", "kind": "fail", "count": 1, "code": "PROVIDER_ERROR" })).await;
    assert_eq!(app.tick("refunds").await, 0);
    app.advance(Duration::from_secs(60)).await;
    assert_eq!(app.tick("refunds").await, 1);
    assert_eq!(app.simulator_counts().await["cancelled_amount"], second.total);
    app.finish().await;
}

#[tokio::test]
async fn a_payment_authenticated_for_another_sum_ends_and_frees_the_order() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    let order_id = visitor.initialize(&order).await.expect(200).text("order_id");
    let cheap = app.simulate("authorise", json!({ "orderId": order_id, "amount": 100 })).await;
    app.simulate("faults", json!({ "op": "confirm", "kind": "error_before", "count": 1 })).await;
    let answer = visitor.confirm(&order, &order_id, cheap["paymentKey"].as_str().unwrap(), "k").await;
    assert!(matches!(answer.status, 202 | 409), "{}", answer.body);
    app.until("the attempt is over", async || {
        app.advance(Duration::from_secs(120)).await;
        app.tick("recover").await;
        app.db.one::<i64>("select count(*) from attempts where state = 'declined'").await == 1
    })
    .await;
    assert_eq!(app.simulator_counts().await["approved"], 0);
    app.finish().await;
}

#[tokio::test]
async fn nobody_keeps_a_closed_day_by_paying_late() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    app.advance(Duration::from_secs(400)).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    app.advance(Duration::from_secs(210)).await;
    assert_eq!(app.tick("expire").await, 1);
    app.db.execute("update exhibitions set paused = true").await;
    app.refresh().await;
    visitor.confirm(&order, &order_id, &payment_key, "k").await.refused(410, "order.expired");
    app.db.execute("update exhibitions set paused = false").await;
    app.refresh().await;
    visitor.confirm(&order, &order_id, &payment_key, "k").await.expect(200);
    app.finish().await;
}
