//! The provider's books beside ours: what differs is found in either direction, and goes when it agrees again.

use std::time::Duration;

use admit::admin::Role;
use serde_json::json;

use crate::refunds::{paid, refund};
use crate::support::given::places;
use crate::support::{Answer, TestApp};

/// To the second hour of the next day in Seoul.
pub async fn next_day(app: &TestApp) {
    let now_s = app.app().clock.now().as_second() + 9 * 3600;
    let to_midnight_s = 86_400 - now_s.rem_euclid(86_400);
    app.advance(Duration::from_secs(to_midnight_s as u64 + 2 * 3600)).await;
}

pub async fn compared(app: &TestApp) {
    app.until("all days are compared", async || app.tick("books").await == 0).await;
}

pub async fn kinds(app: &TestApp) -> String {
    let sql =
        "select coalesce(string_agg(kind, ' ' order by kind), '') from money_differences where resolved_at is null";
    app.db.one::<String>(sql).await
}

#[tokio::test]
async fn what_differs_is_found_in_either_direction_and_goes_when_it_agrees() {
    let app = TestApp::start().await;
    let given = app.given(places(20)).await;
    let (one, two, three) = (app.visitor(1), app.visitor(2), app.visitor(3));
    let bought = paid(&one, &given, 2).await;
    let other = paid(&two, &given, 1).await;
    // Captured there, and we have heard nothing: the process died, and its attempt was never looked at.
    let lost = three.held(&given, 1).await;
    let (order_id, payment_key) = three.authorised(&lost).await;
    crate::payments::approve_at_toss(&app, &order_id, &payment_key, lost.total).await;
    refund(&one, &bought.order, "r", json!({ "ticket_ids": [bought.tickets[0]], "amount": 10_000 })).await.expect(200);
    app.until("the refund is done", async || {
        app.tick("refunds").await;
        app.db.one::<i64>("select count(*) from refunds where state = 'done'").await == 1
    })
    .await;
    // Given back in Toss's own pages, and no webhook came.
    app.simulate("dashboard-cancel", json!({ "paymentKey": other.payment_key, "amount": 4_000 })).await;
    // A payment that Toss knows nothing of.
    app.db
        .execute(&format!(
            "update attempts set payment_key = 'tgen_20260101000000Other' where provider_order_id = '{}'",
            other.order_id
        ))
        .await;
    next_day(&app).await;
    compared(&app).await;
    // What was lost has been settled; what nobody can settle stays on the list.
    assert_eq!(three.read(&lost).await.body["status"], "paid");
    assert_eq!(kinds(&app).await, "missing_here missing_there");
    app.db
        .execute(&format!(
            "update attempts set payment_key = '{}' where provider_order_id = '{}'",
            other.payment_key, other.order_id
        ))
        .await;
    next_day(&app).await;
    compared(&app).await;
    assert_eq!(kinds(&app).await, "", "asked about, and applied");
    assert_eq!(two.read(&other.order).await.body["status"], "partially_refunded");

    app.account("boss", Role::Admin, &[given.code]).await;
    let boss = app.access_token("boss").await;
    let get = async |path: &str| {
        let url = app.url(&format!("/api/admin/exhibitions/{}/{path}", given.code));
        Answer::of(app.http.get(url).bearer_auth(&boss)).await
    };
    assert_eq!(get("differences").await.expect(200).body["differences"], json!([]));
    let report = get("settlement?from=2020-01-01&until=2020-01-02").await.expect(200);
    assert_eq!(report.body["gross"], 0);
    get("settlement?from=2020-01-02&until=2020-01-01").await.refused(422, "request.invalid");
    let today = app.app().clock.today_in_seoul();
    let (from, until) = (today.saturating_sub(jiff::Span::new().days(5)), today);
    let report = get(&format!("settlement?from={from}&until={until}")).await.expect(200);
    let sums = ["gross", "refunds", "net"].map(|name| report.body[name].as_i64().unwrap());
    assert_eq!(sums, [40_000, 14_000, 26_000]);
    app.finish().await;
}

/// A day is compared an hour after its end: what went back in that hour is in our figures, and must be in theirs.
#[tokio::test]
async fn what_goes_back_right_after_midnight_is_no_difference() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let visitor = app.visitor(1);
    let bought = paid(&visitor, &given, 2).await;
    let to_midnight_s = 86_400 - (app.app().clock.now().as_second() + 9 * 3600).rem_euclid(86_400);
    app.advance(Duration::from_secs(to_midnight_s as u64 + 1_200)).await;
    app.refresh().await;
    let price = crate::refunds::preview(&visitor, &bought.order).await.expect(200).body["amount"].clone();
    refund(&visitor, &bought.order, "r", json!({ "amount": price })).await.expect(200);
    crate::refunds::carried(&app).await;
    app.advance(Duration::from_secs(3_000)).await;
    compared(&app).await;
    assert_eq!(app.db.one::<i64>("select count(*) from reconciliations").await, 1);
    assert_eq!(app.db.one::<i64>("select count(*) from money_differences").await, 0);
    app.finish().await;
}

/// The books of a deposit that a bank took back say so, and so do ours.
#[tokio::test]
async fn a_deposit_that_was_taken_back_is_no_difference() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let visitor = app.visitor(1);
    let (order, order_id) = crate::deposits::reversed(&app, &visitor, &given, 1).await;
    next_day(&app).await;
    compared(&app).await;
    assert_eq!(kinds(&app).await, "");
    app.simulate("deposit", json!({ "orderId": order_id })).await;
    next_day(&app).await;
    compared(&app).await;
    assert_eq!((kinds(&app).await.as_str(), visitor.read(&order).await.body["status"].as_str()), ("", Some("paid")));
    app.finish().await;
}
