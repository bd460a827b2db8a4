//! What staff do to an order is on record together with what they did, or it is not done.

use reqwest::Method;
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::support::visitor::Held;
use crate::support::{Answer, Given, Kind, TestApp};

/// Whose orders something is done to.
struct Orders {
    transferred: Held,
    cancelled: Held,
    refunded: Held,
}

/// Each act of the stock writer, done once.
async fn all(desk: &Desk<'_>, adult: &Given, orders: &Orders) -> Vec<(&'static str, Answer)> {
    let keyed = async |path: &str, body: &Value| {
        let url = desk.app.url(&format!("/api/admin/exhibitions/xyz/{path}"));
        let post = desk.app.http.post(url).bearer_auth(&desk.admin).header("idempotency-key", "1");
        Answer::of(post.json(body)).await
    };
    let gift = json!({ "items": [{ "product_id": adult.product_id, "quantity": 1 }], "reason": "press" });
    let paid = json!({ "amount": 10_000, "note": "statement" });
    let transfer = format!("orders/{}/transfer", orders.transferred.number);
    let (tag, _) = desk.read(&orders.cancelled.number).await;
    let (_, read) = desk.read(&orders.refunded.number).await;
    let back = json!({ "ticket_ids": [read["tickets"][0]["id"]], "reason": "ill" });
    vec![
        ("order.complimentary", keyed("complimentary", &gift).await),
        ("order.transfer", desk.call(&desk.admin, Method::POST, &transfer, paid).await),
        (
            "order.cancel",
            desk.patch_as(&desk.admin, &orders.cancelled.number, &tag, json!({ "state": "cancelled" })).await,
        ),
        ("order.refund", keyed(&format!("orders/{}/refund", orders.refunded.number), &back).await),
    ]
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_done() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { places: 50, ..Kind::default() }).await;
    let desk = Desk::of(&app).await;
    let orders = Orders {
        transferred: app.visitor(1).held(&adult, 1).await,
        cancelled: app.visitor(2).held(&adult, 1).await,
        refunded: app.visitor(3).held(&adult, 1).await,
    };
    app.visitor(3).pay(&orders.refunded).await.expect(200);
    let states = async || -> Value {
        app.db.one("select jsonb_agg(state order by id) from orders where number in (select number from orders where total_won > 0)").await
    };
    let before = states().await;
    app.db
        .execute(
            "create function no_record() returns trigger language plpgsql as $$
             begin raise exception 'there is no room in the log' using errcode = '23514'; end $$;
             create trigger no_record before insert on admin_audit for each row execute function no_record();",
        )
        .await;
    for (action, answer) in all(&desk, &adult, &orders).await {
        assert!(answer.status >= 500, "{action}: {answer:?}");
    }
    assert_eq!(states().await, before);
    let done = "select count(*) from order_events where kind not in ('held', 'confirming', 'paid')";
    assert_eq!((app.db.one::<i64>(done).await, app.stock(adult.stock_id).await), (0, (3, 1)));

    app.db.execute("drop trigger no_record on admin_audit").await;
    for (action, answer) in all(&desk, &adult, &orders).await {
        assert!(answer.status < 300, "{action}: {answer:?}");
        assert_eq!(desk.audited(action).await, 1, "{action}");
    }
    let recorded: Value = app.db.one("select after from admin_audit where action = 'order.refund'").await;
    let refund: uuid::Uuid = app.db.one("select id from refunds").await;
    assert_eq!(
        (&recorded["order"], &recorded["refund"], &recorded["amount"]),
        (&json!(orders.refunded.number), &json!(refund), &json!(10_000))
    );
    let by: String = app
        .db
        .one("select user_name || ' ' || role || ' ' || (address is not null) || ' ' || (request_id <> '') from admin_audit where action = 'order.transfer'")
        .await;
    assert_eq!(by, "boss admin true true");
    // Asked again, nothing is done and nothing recorded.
    for (action, answer) in all(&desk, &adult, &orders).await {
        assert!(answer.status < 300 || action == "order.cancel" || action == "order.refund", "{action}: {answer:?}");
        assert_eq!(desk.audited(action).await, 1, "{action}");
    }
    crate::refunds::carried(&app).await;
    app.finish().await;
}

/// Whoever gave no number, at the gate or as a guest, is put right without one.
#[tokio::test]
async fn a_contact_without_a_number_is_corrected() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { places: 5, ..Kind::default() }).await;
    let desk = Desk::of(&app).await;
    let gift = json!({ "items": [{ "product_id": adult.product_id, "quantity": 1 }], "reason": "press", "customer_email": "wrong@example.org" });
    let url = app.url("/api/admin/exhibitions/xyz/complimentary");
    let give = app.http.post(url).bearer_auth(&desk.admin).header("idempotency-key", "1").json(&gift);
    let number = Answer::of(give).await.expect(201).text("order_number");
    let digest = async || -> Vec<u8> { app.db.one("select phone_digest from contacts").await };
    let nobody_s = digest().await;

    let changed = desk.patch(&number, json!({ "customer_email": "right@example.org" })).await.expect(200);
    assert_eq!(changed.body["contact"]["customer_email"], "r***@example.org");
    let changed = desk.patch(&number, json!({ "customer_name": "한겨레" })).await.expect(200);
    assert_eq!(
        (&changed.body["contact"]["customer_name"], &changed.body["contact"]["customer_phone"]),
        (&json!("한*레"), &json!(""))
    );
    assert_eq!(desk.found("한겨레").await, std::slice::from_ref(&number));
    // Nobody's number is not a number that several people have.
    let shared: Vec<u8> = admit::orders::contact::phone_digest(app.app(), "").to_vec();
    assert_ne!(shared, nobody_s);
    assert_eq!(digest().await, nobody_s, "corrected, it is still what it was asked for by");
    let refused = desk.patch(&number, json!({ "customer_email": "nowhere" })).await.refused(422, "request.invalid");
    assert_eq!(refused.body["errors"][0]["field"], "customer_email");

    desk.patch(&number, json!({ "customer_phone": "010-1000-4321" })).await.expect(200);
    assert_eq!(desk.found("4321").await, std::slice::from_ref(&number));
    // Whoever has one cannot lose it.
    let refused = desk.patch(&number, json!({ "customer_phone": "" })).await.refused(422, "request.invalid");
    assert_eq!(refused.body["errors"][0]["code"], "required");
    app.tick("outbox").await;
    app.finish().await;
}
