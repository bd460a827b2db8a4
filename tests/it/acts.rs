//! What staff do to an order is on record together with what they did, or it is not done.

use std::time::Duration;

use admit::admin::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::support::lines::{Break, Lines};
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
    // Looked at within the hour: another look is not recorded again.
    for order in [&orders.cancelled, &orders.refunded] {
        desk.read(&order.number).await;
    }
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

/// Gives one ticket away at an instance whose messages may break; true: it said so.
async fn gives(app: &TestApp, lines: &Lines, product: i32, key: &str) -> bool {
    let token = app.access_token("boss").await;
    let url = format!("http://{}/api/admin/exhibitions/xyz/complimentary", app.instances[1].address);
    let gift = json!({ "items": [{ "product_id": product, "quantity": 1 }], "reason": "press" });
    let give = app.http.post(url).bearer_auth(&token).header("idempotency-key", key).json(&gift);
    tokio::select! {
        heard = Answer::heard(give) => heard.is_ok_and(|answer| answer.status == 201),
        // The dead say nothing.
        () = lines.died() => false,
    }
}

/// A gift's places are held in a commit of their own, before the gift is made and recorded. Whose process dies between the two,
/// or before or after any other message, has given with a record or, once the hold has lapsed, not at all.
#[tokio::test]
async fn a_gift_whose_process_dies_is_recorded_or_lapses() {
    let mut app = TestApp::start().await;
    let adult = app.given(Kind { places: 500, ..Kind::default() }).await;
    app.account("boss", Role::Admin, &["xyz"]).await;
    let count = async |app: &TestApp, rows: &str| app.db.one::<i64>(&format!("select count(*) from {rows}")).await;
    let (mut left_held, mut broken) = (0, 0);
    for how in [Break::KilledBefore, Break::KilledAfter] {
        for n in 1.. {
            let lines = Lines::lay(&app.settings()).await;
            let settings = lines.settings(app.settings());
            app.add_instance_with(settings).await;
            lines.arm(n, how);
            let key = format!("{how:?} {n}");
            let given = gives(&app, &lines, adult.product_id, &key).await;
            let fired = lines.fired();
            app.kill(1);
            left_held += count(&app, "orders where state = 'held'").await;
            app.advance(Duration::from_secs(700)).await;
            while app.tick("expire").await > 0 {}
            app.until("the audit has put Redis right", async || {
                app.tick("audit").await;
                app.stores_agree().await
            })
            .await;
            let paid = count(&app, "orders where state = 'paid'").await;
            let recorded = count(&app, "admin_audit where action = 'order.complimentary'").await;
            let tickets = count(&app, "tickets").await;
            assert_eq!((recorded, tickets), (paid, paid), "{key}");
            assert_eq!(app.stock(adult.stock_id).await, (0, paid as i32), "{key}");
            assert_eq!(app.redis_free(&adult).await, Some(500 - paid), "{key}");
            if !fired {
                assert!(given && n > 5, "{key}: a gift has more steps than that");
                break;
            }
            broken += 1;
        }
    }
    assert!(left_held >= 2 && broken > left_held, "{left_held} of {broken} were held without a record");
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

/// A name of a call is the caller's to choose, so it alone says nothing.
#[tokio::test]
async fn the_history_of_an_order_says_who_of_the_staff_it_was() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { places: 50, ..Kind::default() }).await;
    let desk = Desk::of(&app).await;
    let (first, second, third) = (
        app.visitor(1).held(&adult, 1).await,
        app.visitor(2).held(&adult, 1).await,
        app.visitor(3).held(&adult, 1).await,
    );
    let staff = async |order: &Held| -> Vec<(String, Value)> {
        let (_, read) = desk.read(&order.number).await;
        let events = read["events"].as_array().unwrap().clone();
        events.iter().map(|event| (event["kind"].as_str().unwrap().to_owned(), event["staff"].clone())).collect()
    };
    let of = |kind: &str, who: Option<&str>| (kind.to_owned(), json!(who));
    let named = |request: reqwest::RequestBuilder| request.header("x-request-id", "the-same-call");
    let url = |number: &str, rest: &str| app.url(&format!("/api/admin/orders/{number}{rest}"));
    // Two people under one name of a call, and a visitor who has got to know it.
    let transfer = app.http.post(url(&first.number, "/transfer")).bearer_auth(&desk.admin);
    Answer::of(named(transfer).json(&json!({ "amount": 10_000, "note": "statement" }))).await.expect(200);
    let (tag, _) = desk.read(&second.number).await;
    let cancel = app.http.patch(url(&second.number, "")).bearer_auth(&desk.owner).header("if-match", tag);
    Answer::of(named(cancel).json(&json!({ "state": "cancelled" }))).await.expect(200);
    let visitor = app.visitor(3);
    let cancel = visitor.post(&format!("/api/orders/{}/cancel", third.number)).bearer_auth(&third.token);
    Answer::of(named(cancel)).await.expect(200);
    assert_eq!(staff(&first).await, [of("held", None), of("paid", Some("boss"))]);
    assert_eq!(staff(&second).await, [of("held", None), of("cancelled", Some("owner"))]);
    assert_eq!(staff(&third).await, [of("held", None), of("cancelled", None)]);

    desk.patch(&first.number, json!({ "customer_name": "홍 길동" })).await.expect(200);
    assert_eq!(staff(&first).await[2], of("contact_changed", Some("helper")));
    // Also of what does not go through the stock writer.
    let bought = crate::refunds::paid(&app.visitor(4), &adult, 1).await;
    let path = format!("exhibitions/xyz/orders/{}", bought.order.number);
    let give = app.http.post(app.url(&format!("/api/admin/{path}/refund"))).bearer_auth(&desk.admin);
    let body = json!({ "ticket_ids": bought.tickets, "reason": "ill" });
    let refund = Answer::of(give.header("idempotency-key", "1").json(&body)).await.expect(200).text("id");
    app.db.execute("update refunds set state = 'failed', failure_code = 'X'").await;
    let path = format!("{path}/refunds/{refund}/paid-by-hand");
    desk.call(&desk.owner, Method::POST, &path, json!({ "note": "over the counter" })).await.expect(200);
    let told = staff(&bought.order).await;
    assert_eq!(told[3..], [of("refunded", Some("boss")), of("refund_paid_by_hand", Some("owner"))], "{told:?}");
    let about: uuid::Uuid = app.db.one("select about from order_events where kind = 'refund_paid_by_hand'").await;
    assert_eq!(about.to_string(), refund);

    // Found by an index, however long the log is.
    app.db
        .execute(
            "insert into admin_audit (at, user_id, user_name, role, action, exhibition_id, before, after, request_id)
             select now(), 1, 'x', 'admin', 'order.reveal', null, 'null', '{}', md5(n::text) from generate_series(1, 20000) n;
             analyze admin_audit; analyze order_events",
        )
        .await;
    let events = admit::orders::care::history::pg::STATEMENTS.iter().find(|one| one.name == "care.events").unwrap();
    let client = app.db.client().await;
    client
        .batch_execute(&format!("prepare events as {}; set plan_cache_mode = force_generic_plan", events.sql))
        .await
        .unwrap();
    let rows =
        client.query("explain execute events ('00000000-0000-0000-0000-000000000000', 1000, 'x')", &[]).await.unwrap();
    let plan = rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n");
    assert!(plan.contains("admin_audit_request") && !plan.contains("Seq Scan on admin_audit"), "{plan}");
    app.finish().await;
}
