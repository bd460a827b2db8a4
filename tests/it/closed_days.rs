//! A day that is closed gets no orders any more, so that whoever gives it back has looked at all of them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::support::given::places;
use crate::support::held_up::HeldUp;
use crate::support::visitor::Held;
use crate::support::{Answer, Given, Kind, TestApp};

async fn given(app: &TestApp) -> Given {
    app.given(Kind { slot_places: Some(20), ..places(50) }).await
}

/// Begins to give the day back, and lets the worker go on until it says that nothing is left.
async fn given_back(app: &TestApp, desk: &Desk<'_>, adult: &Given) -> String {
    let url = app.url("/api/admin/exhibitions/xyz/bulk-refunds");
    let body = json!({ "slot_ids": [adult.slot_id], "reason": "storm" });
    let post = app.http.post(url).bearer_auth(&desk.admin).header("idempotency-key", "1").json(&body);
    let id = Answer::of(post).await.expect(202).text("id");
    app.tick("bulk_refunds").await;
    id
}

async fn state(desk: &Desk<'_>, id: &str) -> String {
    desk.call(&desk.admin, Method::GET, &format!("exhibitions/xyz/bulk-refunds/{id}"), json!({})).await.text("state")
}

async fn paid(app: &TestApp, answer: &Answer) -> Held {
    let order = Held::from(answer);
    app.visitor(1).pay(&order).await.expect(200);
    order
}

/// Closing without the lock of the places: the order that is being written is seen by nobody, and paid after the end.
async fn careless(app: &TestApp) -> String {
    let adult = given(app).await;
    let desk = Desk::of(app).await;
    let writer = HeldUp::orders(app).await;
    let visitor = app.visitor(1);
    let (answer, id) = tokio::join!(visitor.order(&adult, 1), async {
        writer.in_the_middle().await;
        app.db.execute("update slots set closed = true").await;
        app.refresh().await;
        let id = given_back(app, &desk, &adult).await;
        writer.go_on().await;
        id
    });
    let order = paid(app, &answer.expect(201)).await;
    assert_eq!(state(&desk, &id).await, "done");
    desk.read(&order.number).await.1["state"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_order_in_the_middle_of_being_written_is_given_back_with_its_day() {
    let app = TestApp::start().await;
    assert_eq!(careless(&app).await, "paid", "the control loses it");
    app.finish().await;

    let app = TestApp::start().await;
    let adult = given(&app).await;
    let desk = Desk::of(&app).await;
    let slots = desk.call(&desk.admin, Method::GET, "slots?exhibition=xyz", json!({})).await.expect(200);
    let revision = slots.body["slots"][0]["revision"].as_i64().unwrap();
    let writer = HeldUp::orders(&app).await;
    let visitor = app.visitor(1);
    let close = async || {
        let url = app.url(&format!("/api/admin/slots/{}", adult.slot_id.unwrap()));
        let put = app.http.put(url).bearer_auth(&desk.admin).header("if-match", format!("\"{revision}\""));
        Answer::of(put.json(&json!({ "closed": true }))).await
    };
    let (answer, closed, ()) = tokio::join!(
        visitor.order(&adult, 1),
        async {
            writer.in_the_middle().await;
            close().await
        },
        async {
            writer.in_the_middle().await;
            writer.waited_for().await;
            writer.go_on().await;
        },
    );
    closed.expect(200);
    app.refresh().await;
    let id = given_back(&app, &desk, &adult).await;
    assert_eq!(state(&desk, &id).await, "running", "somebody may still pay");
    let order = paid(&app, &answer.expect(201)).await;
    app.advance(std::time::Duration::from_secs(61)).await;
    app.tick("bulk_refunds").await;
    app.tick("bulk_refunds").await;
    let told = desk.read(&order.number).await.1;
    let last = told["events"].as_array().unwrap().iter().rfind(|event| event["kind"] == "refunded").unwrap();
    assert_eq!(
        (&told["state"], &last["actor"], &last["staff"]),
        (&json!("refunded"), &json!("worker"), &json!("boss"))
    );
    app.advance(std::time::Duration::from_secs(61)).await;
    app.tick("bulk_refunds").await;
    assert_eq!(state(&desk, &id).await, "done");
    crate::refunds::carried(&app).await;
    app.finish().await;
}

/// Whatever the instance that took the order knows of it.
#[tokio::test]
async fn an_order_that_was_made_up_before_its_day_was_closed_is_refused() {
    let app = TestApp::start().await;
    let adult = given(&app).await;
    let desk = Desk::of(&app).await;
    let lapsed = app.visitor(2).held(&adult, 1).await;
    let (order_id, payment_key) = app.visitor(2).authorised(&lapsed).await;
    app.advance(std::time::Duration::from_secs(601)).await;
    app.tick("expire").await;
    app.db.execute("update slots set closed = true").await;

    let refused = app.visitor(1).order(&adult, 1).await.refused(422, "request.invalid");
    let errors = &refused.body["errors"][0];
    assert_eq!((&errors["field"], &errors["code"]), (&json!("visit_date"), &json!("closed")));
    let gift = json!({ "items": [{ "product_id": adult.product_id, "quantity": 1 }], "visit_date": adult.date, "reason": "press" });
    let url = app.url("/api/admin/exhibitions/xyz/complimentary");
    let give = app.http.post(url).bearer_auth(&desk.admin).header("idempotency-key", "g").json(&gift);
    Answer::of(give).await.refused(422, "request.invalid");
    // Nor is a lapsed one seated again: nothing is charged.
    app.visitor(2).confirm(&lapsed, &order_id, &payment_key, "k").await.refused(410, "order.expired");
    assert_eq!(app.stock(adult.slot_stock_id.unwrap()).await, (0, 0));
    app.until("Redis has the places again", async || app.stores_agree().await).await;
    let events: Value = app.db.one("select jsonb_agg(kind order by kind) from order_events").await;
    assert_eq!(events, json!(["expired", "held"]));
    app.finish().await;
}

/// The worker's catalogue is a second old, or more: an order that it would fail for that would fail for good.
#[tokio::test]
async fn a_worker_that_has_not_heard_that_a_day_is_closed_gives_it_back_all_the_same() {
    let app = TestApp::start().await;
    let adult = given(&app).await;
    let desk = Desk::of(&app).await;
    let order = app.visitor(1).held(&adult, 1).await;
    app.visitor(1).pay(&order).await.expect(200);
    app.db.execute("update slots set closed = true").await;
    app.refresh().await;
    let url = app.url("/api/admin/exhibitions/xyz/bulk-refunds");
    let body = json!({ "slot_ids": [adult.slot_id], "reason": "storm" });
    let post = app.http.post(url).bearer_auth(&desk.admin).header("idempotency-key", "1").json(&body);
    let id = Answer::of(post).await.expect(202).text("id");
    // What it knows is of before.
    app.db.execute("update slots set closed = false").await;
    app.refresh().await;
    app.db.execute("update slots set closed = true").await;
    assert_eq!(app.tick("bulk_refunds").await, 1);
    let told = desk.call(&desk.admin, Method::GET, &format!("exhibitions/xyz/bulk-refunds/{id}"), json!({})).await;
    assert_eq!((&told.body["done"], &told.body["failed"]), (&json!(1), &json!(0)), "{}", told.body);
    crate::refunds::carried(&app).await;
    app.finish().await;
}
