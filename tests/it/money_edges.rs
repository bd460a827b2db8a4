//! Money that moves on both sides at once: staff in the provider's pages, notices that come twice, accounts that end and
//! are paid into after all, callers who repeat with something else.

use std::time::Duration;

use admit::admin::Role;
use admit::payments::Provider;
use serde_json::{Value, json};

use crate::deposits::{awaiting, reversed, told};
use crate::payments::{approve_at_toss, send_webhook};
use crate::refunds::{Paid, carried, paid, refund};
use crate::support::given::places;
use crate::support::visitor::Visitor;
use crate::support::{Answer, Given, Kind, Options, TestApp, race};

async fn count(app: &TestApp, what: &str) -> i64 {
    app.db.one(&format!("select count(*) from {what}")).await
}

/// Tries of a refund fail with this code of Toss until it counts as failed.
async fn fails_for_good(app: &TestApp) {
    app.simulate("faults", json!({ "op": "cancel", "kind": "fail", "code": "NOT_CANCELABLE_PAYMENT", "count": 1 }))
        .await;
    app.until("the refund fails", async || {
        app.tick("refunds").await;
        app.advance(Duration::from_secs(30)).await;
        count(app, "refunds where state = 'failed'").await == 1
    })
    .await;
}

/// A third of a paid order is owed.
async fn one_of_three_refunded(visitor: &Visitor<'_>, given: &Given) -> Paid {
    let bought = paid(visitor, given, 3).await;
    let one = json!({ "ticket_ids": [bought.tickets[0]], "amount": 10_000 });
    refund(visitor, &bought.order, "r", one).await.expect(200);
    bought
}

#[tokio::test]
async fn what_staff_have_returned_by_hand_is_not_paid_once_more() {
    let app = TestApp::start().await;
    let given = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let bought = one_of_three_refunded(&visitor, &given).await;
    fails_for_good(&app).await;
    app.simulate("dashboard-cancel", json!({ "paymentKey": bought.payment_key, "amount": 10_000 })).await;
    app.account("boss", Role::Admin, &[given.code]).await;
    let boss = app.access_token("boss").await;
    let id: uuid::Uuid = app.db.one("select id from refunds").await;
    let url = format!("/api/admin/exhibitions/{}/orders/{}/refunds/{id}/retry", given.code, bought.order.number);
    Answer::of(visitor.post(&url).bearer_auth(&boss).json(&json!({}))).await.expect(200);
    carried(&app).await;
    assert_eq!(app.simulator_counts().await["cancelled_amount"], 10_000);
    app.finish().await;
}

#[tokio::test]
async fn a_refund_that_nobody_knows_about_keeps_its_key() {
    let app = TestApp::start().await;
    let given = app.given(places(10)).await;
    let visitor = app.visitor(1);
    one_of_three_refunded(&visitor, &given).await;
    // Done, and neither the answer nor any look afterwards comes through for more than a day.
    app.simulate("faults", json!({ "op": "cancel", "kind": "drop_after", "count": 1 })).await;
    app.simulate("faults", json!({ "op": "query", "kind": "error_before", "count": 1_000 })).await;
    for _ in 0..40 {
        app.tick("refunds").await;
        app.advance(Duration::from_secs(6_000)).await;
    }
    assert_eq!(app.db.one::<String>("select state || ' ' || try from refunds").await, "pending 1");
    app.http.delete(format!("{}/_sim/faults", app.simulator.base_url())).send().await.unwrap();
    carried(&app).await;
    assert_eq!(app.simulator_counts().await["cancelled_amount"], 10_000);
    app.finish().await;
}

#[tokio::test]
async fn an_account_that_staff_close_gives_its_places_back() {
    let app = TestApp::start().await;
    let given = app.given(Kind { person_limit: Some(3), places: 3, ..Kind::default() }).await;
    let visitor = app.visitor(1);
    let (order, order_id) = awaiting(&app, &visitor, &given, 2).await;
    let key: String = app.db.one("select payment_key from attempts").await;
    app.simulate("dashboard-cancel", json!({ "paymentKey": key })).await;
    told(&app, &order_id, "CANCELED").await;
    assert_eq!(visitor.read(&order).await.body["status"], "expired");
    assert_eq!(app.stock(given.stock_id).await, (0, 0));
    app.until("the places are free", async || app.redis_free(&given).await == Some(3)).await;
    visitor.order(&given, 3).await.expect(201);
    app.finish().await;
}

#[tokio::test]
async fn money_returned_by_the_provider_is_written_down_once() {
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    let given = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let bought = paid(&visitor, &given, 3).await;
    app.simulate("dashboard-cancel", json!({ "paymentKey": bought.payment_key, "amount": 10_000 })).await;
    for n in 0..6 {
        let event = json!({ "eventType": "PAYMENT_STATUS_CHANGED", "createdAt": format!("2026-11-28T10:00:0{n}"),
            "data": { "orderId": bought.order_id, "paymentKey": bought.payment_key, "status": "PARTIAL_CANCELED" } });
        Answer::of(app.http.post(app.url("/api/webhooks/toss")).json(&event)).await.expect(200);
    }
    app.advance(Duration::from_secs(2)).await;
    race(2, |at| app.tick_on(at, "webhooks")).await;
    assert_eq!(count(&app, "inbox where state = 'received'").await, 0);
    assert_eq!(count(&app, "refunds").await, 1);
    assert_eq!(app.db.one::<i32>("select refunded_won from attempts").await, 10_000);
    app.assert_books_agree("six notices of one refund").await;
    // The rest is still the visitor's.
    refund(&visitor, &bought.order, "r", json!({ "ticket_ids": &bought.tickets[1..], "amount": 20_000 }))
        .await
        .expect(200);
    carried(&app).await;
    assert_eq!(app.at_provider(Provider::Toss).await, (0, 1));
    app.finish().await;
}

#[tokio::test]
async fn tickets_of_a_deposit_that_came_back_after_its_time_are_good_again() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let visitor = app.visitor(1);
    let (order, order_id) = reversed(&app, &visitor, &given, 2).await;
    // The account cannot be closed at once, and the buyer pays in meanwhile.
    app.simulate("faults", json!({ "op": "cancel", "kind": "drop_before", "count": 100 })).await;
    app.db.execute("update attempts set next_check_at = admit_now(); update orders set expires_at = admit_now()").await;
    app.until("the time is over", async || {
        app.tick("deposits").await;
        app.advance(Duration::from_secs(601)).await;
        visitor.read(&order).await.body["status"] == "expired"
    })
    .await;
    assert_eq!(count(&app, "tickets where state = 'cancelled'").await, 2);
    app.simulate("deposit", json!({ "orderId": order_id })).await;
    told(&app, &order_id, "DONE").await;
    assert_eq!(visitor.read(&order).await.body["status"], "paid");
    assert_eq!(count(&app, "tickets where state = 'valid'").await, 2);
    app.http.delete(format!("{}/_sim/faults", app.simulator.base_url())).send().await.unwrap();
    app.finish().await;
}

#[tokio::test]
async fn how_long_an_account_keeps_places_is_the_exhibitions_say() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let visitor = app.visitor(1);
    // Toss's window was opened for a week, the exhibition gives a day.
    let (order, _) = awaiting(&app, &visitor, &given, 1).await;
    let hours: f64 =
        app.db.one("select extract(epoch from due_at - admit_now())::float8 / 3600 from deposit_accounts").await;
    assert!((23.9..=24.0).contains(&hours), "{hours} hours");
    app.advance(Duration::from_secs(25 * 3600)).await;
    app.until("the account lapses", async || {
        app.tick("deposits").await;
        app.advance(Duration::from_secs(601)).await;
        visitor.read(&order).await.body["status"] == "expired"
    })
    .await;
    app.settle_everything().await;
    app.finish().await;
}

#[tokio::test]
async fn the_same_key_with_another_account_is_another_request() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let visitor = app.visitor(1);
    let (order, order_id) = awaiting(&app, &visitor, &given, 1).await;
    app.simulate("deposit", json!({ "orderId": order_id })).await;
    told(&app, &order_id, "DONE").await;
    let to = |number: &str| -> Value {
        let account = json!({ "bank": "20", "account_number": number, "holder": "홍길동" });
        json!({ "amount": 10_000, "account": account })
    };
    let first = refund(&visitor, &order, "r", to("110123456789")).await.expect(200);
    let again = refund(&visitor, &order, "r", to("110123456789")).await.expect(200);
    assert_eq!(first.body["id"], again.body["id"]);
    refund(&visitor, &order, "r", to("110123456780")).await.refused(422, "idempotency.key_reused");
    carried(&app).await;
    // What the visitor wrote is not in the history, which nobody can erase.
    let causes: String = app.db.one("select string_agg(coalesce(cause, ''), ' ') from order_events").await;
    assert!(!causes.contains("110123"), "{causes}");
    app.finish().await;
}

/// Each time a part goes back in Toss's pages while the whole is owed.
#[tokio::test]
async fn an_automatic_refund_may_shrink_more_than_once() {
    let app = TestApp::start().await;
    let given = app.given(places(1)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&given, 1).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    visitor.cancel(&order).await.expect(200);
    approve_at_toss(&app, &order_id, &payment_key, order.total).await;
    send_webhook(&app, &order_id, &payment_key, "DONE").await.expect(200);
    app.webhooks().await;
    assert_eq!(count(&app, "refunds where kind = 'automatic' and state = 'pending'").await, 1);
    for part in [1_000, 2_000] {
        app.simulate("dashboard-cancel", json!({ "paymentKey": payment_key, "amount": part })).await;
        app.simulate("faults", json!({ "op": "cancel", "kind": "error_before", "count": 1 })).await;
        app.advance(Duration::from_secs(91)).await;
        app.tick("refunds").await;
    }
    carried(&app).await;
    assert_eq!(app.at_provider(Provider::Toss).await, (0, 1));
    app.assert_books_agree("shrunk twice").await;
    app.finish().await;
}
