//! Refunds into bank accounts, until the money is there or somebody has paid it.

use std::time::Duration;

use admit::admin::Role;
use serde_json::{Value, json};

use crate::books::{compared, kinds, next_day};
use crate::deposits::{awaiting, told};
use crate::refunds::{carried, refund};
use crate::support::given::places;
use crate::support::visitor::{Held, Visitor};
use crate::support::{Answer, Given, TestApp};

/// One of two tickets that were paid by deposit is given back, and Toss has carried it out.
pub async fn on_its_way(app: &TestApp, visitor: &Visitor<'_>, given: &Given) -> (Held, String) {
    let (order, order_id) = awaiting(app, visitor, given, 2).await;
    app.simulate("deposit", json!({ "orderId": order_id })).await;
    told(app, &order_id, "DONE").await;
    let ticket = visitor.read(&order).await.body["tickets"][0]["id"].clone();
    let account = json!({ "bank": "88", "account_number": "110123456789", "holder": "홍길동" });
    let ask = json!({ "ticket_ids": [ticket], "amount": 10_000, "account": account });
    refund(visitor, &order, "r", ask).await.expect(200);
    carried(app).await;
    (order, order_id)
}

async fn state(app: &TestApp) -> String {
    app.db.one("select state from refunds").await
}

async fn looked(app: &TestApp) -> usize {
    app.advance(Duration::from_secs(3 * 3600)).await;
    app.tick("arrivals").await
}

async fn ended_by_hand(app: &TestApp, given: &Given, order: &Held, body: Value) -> Answer {
    let boss = app.access_token("boss").await;
    let id: uuid::Uuid = app.db.one("select id from refunds").await;
    let path = format!("/api/admin/exhibitions/{}/orders/{}/refunds/{id}/paid-by-hand", given.code, order.number);
    Answer::of(app.http.post(app.url(&path)).bearer_auth(&boss).json(&body)).await
}

#[tokio::test]
async fn a_refund_that_a_bank_sends_back_is_found_and_paid_by_hand_once() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    app.account("boss", Role::Admin, &[given.code]).await;
    let visitor = app.visitor(1);
    let (order, order_id) = on_its_way(&app, &visitor, &given).await;
    assert_eq!(app.tick("arrivals").await, 0, "not at once");
    assert_eq!((looked(&app).await, state(&app).await.as_str()), (1, "done"));
    ended_by_hand(&app, &given, &order, json!({ "note": "early" })).await.refused(409, "refund.not_failed");

    app.simulate("refund-bounce", json!({ "orderId": order_id })).await;
    looked(&app).await;
    looked(&app).await;
    assert_eq!(state(&app).await, "bounced");
    let seen = crate::refunds::preview(&visitor, &order).await.expect(200);
    assert_eq!(seen.body["refunds"][0]["state"], "bounced");
    // The books of the provider say that it went out.
    app.assert_books_agree("bounced").await;
    next_day(&app).await;
    compared(&app).await;
    assert_eq!(kinds(&app).await, "");

    ended_by_hand(&app, &given, &order, json!({ "note": " " })).await.refused(422, "request.invalid");
    let paid = ended_by_hand(&app, &given, &order, json!({ "note": "paid over the counter" })).await.expect(200);
    assert_eq!(paid.body["state"], "done");
    ended_by_hand(&app, &given, &order, json!({ "note": "again" })).await.refused(409, "refund.not_failed");
    let told: i64 = app.db.one("select count(*) from admin_audit where action = 'order.refund_paid_by_hand'").await;
    assert_eq!(told, 1);
    assert_eq!((looked(&app).await, state(&app).await.as_str()), (0, "done"), "nobody asks any more");
    assert_eq!(app.simulator_counts().await["cancelled_amount"], 10_000);

    let boss = app.access_token("boss").await;
    let today = app.app().clock.today_in_seoul();
    let span = format!("from={}&until={today}", today.saturating_sub(jiff::Span::new().days(5)));
    let url = app.url(&format!("/api/admin/exhibitions/{}/settlement?{span}", given.code));
    let report = Answer::of(app.http.get(url).bearer_auth(&boss)).await.expect(200).body;
    let sums = ["gross", "refunds", "provider_fee", "net"].map(|name| report[name].as_i64().unwrap());
    assert_eq!(sums, [20_000, 10_000, 400, 9_600], "Toss keeps what the contract says");
    app.finish().await;
}

#[tokio::test]
async fn a_refund_that_arrived_is_asked_about_no_more() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let visitor = app.visitor(1);
    on_its_way(&app, &visitor, &given).await;
    app.advance(Duration::from_secs(3 * 86_400)).await;
    // The bank's time passes at Toss as well.
    app.simulate("clock", json!({ "advance_s": 3 * 86_400 })).await;
    assert_eq!(looked(&app).await, 1);
    assert_eq!(app.db.one::<i64>("select count(*) from refunds where state = 'done' and look_at is null").await, 1);
    assert_eq!(looked(&app).await, 0);
    app.finish().await;
}

/// What never went through the provider must not count as returned there.
#[tokio::test]
async fn a_refund_that_failed_for_good_may_be_paid_by_hand() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    app.account("boss", Role::Admin, &[given.code]).await;
    let visitor = app.visitor(1);
    let bought = crate::refunds::paid(&visitor, &given, 1).await;
    refund(&visitor, &bought.order, "r", json!({ "amount": 10_000 })).await.expect(200);
    app.simulate("faults", json!({ "op": "cancel", "kind": "fail", "code": "NOT_CANCELABLE_PAYMENT", "count": 1 }))
        .await;
    carried(&app).await;
    assert_eq!(state(&app).await, "failed");
    let paid = ended_by_hand(&app, &given, &bought.order, json!({ "note": "bank transfer" })).await.expect(200);
    assert_eq!(paid.body["state"], "by_hand");
    carried(&app).await;
    assert_eq!(app.simulator_counts().await["cancelled_amount"], 0);
    app.assert_books_agree("by hand").await;
    // Returned at the provider after all: twice, which the books must say.
    app.simulate("dashboard-cancel", json!({ "paymentKey": bought.payment_key, "amount": 10_000 })).await;
    next_day(&app).await;
    compared(&app).await;
    assert_eq!(kinds(&app).await, "refund");
    app.finish().await;
}
