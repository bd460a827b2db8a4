//! Money that goes back on request: by the exhibition's rules, by an admin, and what the provider returns by itself.

use std::time::Duration;

use admit::admin::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::support::given::places;
use crate::support::visitor::{Held, Visitor};
use crate::support::{Answer, Given, Kind, TestApp, race};

/// A paid order with its tickets.
pub struct Paid {
    pub order: Held,
    pub payment_key: String,
    pub order_id: String,
    pub tickets: Vec<String>,
}

pub async fn paid(visitor: &Visitor<'_>, given: &Given, quantity: i64) -> Paid {
    let order = visitor.held(given, quantity).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    let answer = visitor.confirm(&order, &order_id, &payment_key, &format!("pay-{order_id}")).await.expect(200);
    let tickets = answer.body["tickets"].as_array().unwrap();
    let tickets = tickets.iter().map(|ticket| ticket["id"].as_str().unwrap().to_owned()).collect();
    Paid { order, payment_key, order_id, tickets }
}

pub async fn preview(visitor: &Visitor<'_>, order: &Held) -> Answer {
    Answer::of(visitor.get(&format!("/api/orders/{}/refund", order.number)).bearer_auth(&order.token)).await
}

pub async fn refund(visitor: &Visitor<'_>, order: &Held, key: &str, body: Value) -> Answer {
    let request = visitor.post(&format!("/api/orders/{}/refund", order.number)).bearer_auth(&order.token);
    Answer::of(request.header("idempotency-key", key).json(&body)).await
}

pub async fn carried(app: &TestApp) {
    app.until("the refunds are carried", async || {
        app.tick("refunds").await;
        app.advance(Duration::from_secs(6)).await;
        app.db.one::<i64>("select count(*) from refunds where state = 'pending'").await == 0
    })
    .await;
}

/// Paying was more than a day ago, so the table of fees counts.
async fn tomorrow(app: &TestApp) {
    app.advance(Duration::from_secs(25 * 3600)).await;
    app.refresh().await;
}

#[tokio::test]
async fn a_ticket_given_back_ends_at_once_and_its_place_is_sold_again() {
    let app = TestApp::start().await;
    let given = app.given(Kind { places: 3, slot_places: Some(3), ..Kind::default() }).await;
    let visitor = app.visitor(1);
    let bought = paid(&visitor, &given, 3).await;
    assert_eq!(app.stock(given.stock_id).await, (0, 3));
    let shown = preview(&visitor, &bought.order).await.expect(200);
    // Within a day of paying nothing is kept.
    assert_eq!((shown.body["amount"].as_i64(), shown.body["fee"].as_i64()), (Some(30_000), Some(0)));
    tomorrow(&app).await;
    // Four days before the visit: 20 % of 10,000 each.
    let shown = preview(&visitor, &bought.order).await.expect(200);
    assert_eq!((shown.body["amount"].as_i64(), shown.body["fee"].as_i64()), (Some(24_000), Some(6_000)));
    assert_eq!(shown.body["tickets"][0]["fee_pct"], 20);

    let one = json!({ "ticket_ids": [bought.tickets[1]], "amount": 8_000 });
    refund(&visitor, &bought.order, "r1", json!({ "ticket_ids": [bought.tickets[1]], "amount": 10_000 }))
        .await
        .refused(409, "refund.amount_changed");
    let first = refund(&visitor, &bought.order, "r1", one.clone()).await.expect(200);
    assert_eq!((first.body["state"].as_str(), first.body["fee"].as_i64()), (Some("pending"), Some(2_000)));
    let again = refund(&visitor, &bought.order, "r1", one).await.expect(200);
    assert_eq!(first.body["id"], again.body["id"], "the same key, the same refund");
    refund(&visitor, &bought.order, "r1", json!({ "ticket_ids": [bought.tickets[2]], "amount": 8_000 }))
        .await
        .refused(422, "idempotency.key_reused");

    let read = visitor.read(&bought.order).await.expect(200);
    assert_eq!(read.body["status"], "partially_refunded");
    let states: Vec<&str> =
        read.body["tickets"].as_array().unwrap().iter().map(|t| t["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["valid", "refunded", "valid"]);
    assert!(read.body["tickets"][1]["qr_code"].is_null());
    assert_eq!(app.stock(given.stock_id).await, (0, 2));
    app.until("the place is free in Redis", async || app.redis_free(&given).await == Some(1)).await;
    app.visitor(2).held(&given, 1).await;

    carried(&app).await;
    assert_eq!(app.simulator_counts().await["cancelled_amount"], 8_000);
    let rest = json!({ "amount": 16_000 });
    refund(&visitor, &bought.order, "r2", rest).await.expect(200);
    assert_eq!(visitor.read(&bought.order).await.body["status"], "refunded");
    carried(&app).await;
    assert_eq!(app.simulator_counts().await["cancelled_amount"], 24_000);
    refund(&visitor, &bought.order, "r3", json!({ "amount": 1 })).await.refused(410, "order.closed");
    app.finish().await;
}

#[tokio::test]
async fn of_two_requests_for_one_ticket_one_is_paid() {
    let app = TestApp::start().await;
    let given = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let bought = paid(&visitor, &given, 2).await;
    let answers = race(20, |n| {
        let (visitor, bought) = (&visitor, &bought);
        async move {
            let body = json!({ "ticket_ids": [bought.tickets[0]], "amount": 10_000 });
            refund(visitor, &bought.order, &format!("k{n}"), body).await
        }
    })
    .await;
    let with = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((with(200), with(409)), (1, 19));
    carried(&app).await;
    assert_eq!(app.simulator_counts().await["cancelled_amount"], 10_000);
    app.finish().await;
}

#[tokio::test]
async fn used_late_unpaid_and_foreign_tickets_are_refused_and_change_nothing() {
    let app = TestApp::start().await;
    let given = app.given(Kind { slot_places: Some(10), ..Kind::default() }).await;
    let visitor = app.visitor(1);
    let held = visitor.held(&given, 1).await;
    preview(&visitor, &held).await.refused(409, "refund.not_paid");
    visitor.cancel(&held).await.expect(200);
    preview(&visitor, &held).await.refused(410, "order.closed");
    let mine = paid(&visitor, &given, 2).await;
    let other = paid(&app.visitor(2), &given, 1).await;
    let foreign = json!({ "ticket_ids": [other.tickets[0]], "amount": 10_000 });
    refund(&visitor, &mine.order, "a", foreign).await.refused(404, "refund.unknown_ticket");
    let stranger = Held { token: other.order.token.clone(), ..mine.order.clone() };
    refund(&visitor, &stranger, "a", json!({ "amount": 20_000 })).await.refused(403, "order.wrong_token");
    refund(&visitor, &mine.order, "a", json!({ "amount": -1 })).await.refused(409, "refund.amount_changed");
    refund(&visitor, &mine.order, "a", json!({ "ticket_ids": ["x"], "amount": 1 })).await.expect(422);

    app.db.execute(&format!(
        "with scan as (insert into scans (id, exhibition_id, ticket_id, gate, staff_id, allowed, reason, scanned_at, reply, counted)
           values (gen_random_uuid(), {}, '{}', 'north', 1, true, 'ok', now(), '{{}}', true) returning id)
         update tickets set used_at = now(), used_gate = 'north', used_scan_id = (select id from scan), entries = 1 where id = '{}'",
        given.exhibition_id, mine.tickets[0], mine.tickets[0]
    ))
    .await;
    let used = json!({ "ticket_ids": [mine.tickets[0]], "amount": 10_000 });
    refund(&visitor, &mine.order, "b", used).await.refused(409, "refund.ticket_used");
    // All that can be given back is the other one.
    assert_eq!(preview(&visitor, &mine.order).await.body["amount"], 10_000);
    // On the day of the visit nothing can.
    app.advance(Duration::from_secs(5 * 24 * 3600)).await;
    app.refresh().await;
    refund(&visitor, &mine.order, "c", json!({ "amount": 0 })).await.refused(409, "refund.ticket_used");
    let late = json!({ "ticket_ids": [mine.tickets[1]], "amount": 10_000 });
    refund(&visitor, &mine.order, "d", late).await.refused(409, "refund.too_late");
    assert_eq!(app.db.one::<i64>("select count(*) from refunds").await, 0);
    app.finish().await;
}

#[tokio::test]
async fn the_limit_of_a_person_follows_what_was_given_back() {
    let app = TestApp::start().await;
    let given = app.given(Kind { person_limit: Some(2), ..Kind::default() }).await;
    let visitor = app.visitor(1);
    let bought = paid(&visitor, &given, 2).await;
    visitor.order(&given, 1).await.refused(409, "stock.person_limit");
    refund(&visitor, &bought.order, "r", json!({ "ticket_ids": [bought.tickets[0]], "amount": 10_000 }))
        .await
        .expect(200);
    app.until("Redis knows", async || visitor.order(&given, 2).await.body["code"] == "stock.person_limit").await;
    app.until("one more may be bought", async || visitor.order(&given, 1).await.status == 201).await;
    carried(&app).await;
    app.finish().await;
}

#[tokio::test]
async fn an_admin_gives_back_what_the_rules_would_not_and_it_is_recorded() {
    let app = TestApp::start().await;
    let given = app.given(Kind { slot_places: Some(10), ..Kind::default() }).await;
    let visitor = app.visitor(1);
    let bought = paid(&visitor, &given, 2).await;
    let url = format!("/api/admin/exhibitions/{}/orders/{}/refund", given.code, bought.order.number);
    let ask = async |key: &str, token: &str, body: Value| {
        Answer::of(visitor.post(&url).header("idempotency-key", key).bearer_auth(token).json(&body)).await
    };
    // The visit is over: by the rules nothing would go back.
    app.advance(Duration::from_secs(6 * 24 * 3600)).await;
    app.account("boss", Role::Admin, &[given.code]).await;
    app.account("gate", Role::Staff, &[given.code]).await;
    let (boss, staff) = (app.access_token("boss").await, app.access_token("gate").await);
    let goodwill = json!({ "amount": 3_000, "reason": "long queue at the door" });
    ask("g", &staff, goodwill.clone()).await.refused(403, "auth.forbidden");
    let given_back = ask("g", &boss, goodwill.clone()).await.expect(200);
    assert_eq!((given_back.body["amount"].as_i64(), given_back.body["fee"].as_i64()), (Some(3_000), Some(-3_000)));
    assert_eq!(ask("g", &boss, goodwill).await.body["id"], given_back.body["id"]);
    let too_much = json!({ "ticket_ids": bought.tickets, "reason": "closed day" });
    ask("h", &boss, too_much).await.refused(409, "refund.wrong_amount");
    let rest = json!({ "ticket_ids": bought.tickets, "amount": 17_000, "reason": "closed day" });
    ask("h", &boss, rest).await.expect(200);
    assert_eq!(visitor.read(&bought.order).await.body["status"], "refunded");
    carried(&app).await;
    assert_eq!(app.simulator_counts().await["cancelled_amount"], 20_000);
    // What was asked twice was done once.
    assert_eq!(app.db.one::<i64>("select count(*) from admin_audit where action = 'order.refund'").await, 2);
    app.finish().await;
}

#[tokio::test]
async fn an_admin_is_told_what_the_rules_keep_before_anything_is_given_back() {
    let app = TestApp::start().await;
    let given = app.given(Kind { slot_places: Some(10), ..Kind::default() }).await;
    let (visitor, other) = (app.visitor(1), app.visitor(2));
    let bought = paid(&visitor, &given, 3).await;
    let (in_hand, unpaid) = (other.held(&given, 1).await, app.visitor(3).held(&given, 1).await);
    let desk = Desk::of(&app).await;
    let transfer = json!({ "amount": in_hand.total, "note": "statement" });
    let path = format!("orders/{}/transfer", in_hand.number);
    desk.call(&desk.admin, Method::POST, &path, transfer).await.expect(200);
    tomorrow(&app).await;
    let (boss, helper) = (app.access_token("boss").await, app.access_token("helper").await);
    let ask = async |token: &str, number: &str, query: &str| {
        let path = format!("exhibitions/xyz/orders/{number}/refund{query}");
        Answer::of(app.http.get(app.url(&format!("/api/admin/{path}"))).bearer_auth(token)).await
    };
    let number = bought.order.number.as_str();
    ask(&helper, number, "").await.refused(403, "auth.forbidden");
    ask(&boss, &unpaid.number, "").await.refused(409, "refund.not_paid");
    ask(&boss, number, "?ticket_ids=x").await.refused(422, "request.invalid");
    let unknown = format!("?ticket_ids={}", uuid::Uuid::new_v4());
    ask(&boss, number, &unknown).await.refused(404, "refund.unknown_ticket");

    // Four days before the visit: 20 % of 10,000 each, as for the visitor.
    let all = ask(&boss, number, "").await.expect(200).body;
    assert_eq!((&all["price"], &all["fee"], &all["amount"]), (&json!(30_000), &json!(6_000), &json!(24_000)));
    assert_eq!((&all["tickets"][0]["fee_pct"], &all["tickets"][0]["fee"]), (&json!(20), &json!(2_000)));
    assert_eq!(all["tickets"], preview(&visitor, &bought.order).await.body["tickets"]);
    app.db.execute(&format!(
        "with scan as (insert into scans (id, exhibition_id, ticket_id, gate, staff_id, allowed, reason, scanned_at, reply, counted)
           values (gen_random_uuid(), {}, '{}', 'north', 1, true, 'ok', now(), '{{}}', true) returning id)
         update tickets set used_at = now(), used_gate = 'north', used_scan_id = (select id from scan), entries = 1 where id = '{}'",
        given.exhibition_id, bought.tickets[0], bought.tickets[0]
    ))
    .await;
    let two = format!("?ticket_ids={},{}", bought.tickets[0], bought.tickets[1]);
    let quote = ask(&boss, number, &two).await.expect(200).body;
    assert_eq!((&quote["price"], &quote["amount"]), (&json!(10_000), &json!(8_000)));
    let why = |quote: &Value, id: &str| {
        let tickets = quote["tickets"].as_array().unwrap();
        tickets.iter().find(|ticket| ticket["ticket_id"] == id).unwrap()["refused_because"].clone()
    };
    assert_eq!((why(&quote, &bought.tickets[0]), why(&quote, &bought.tickets[1])), (json!("used"), Value::Null));
    // A visitor is sent to the desk; this is the desk.
    assert_eq!(preview(&other, &in_hand).await.body["tickets"][0]["refused_because"], "at_the_desk");
    let quote = ask(&boss, &in_hand.number, "").await.expect(200).body;
    assert_eq!((&quote["fee"], &quote["amount"]), (&json!(2_000), &json!(8_000)));
    // Looking is not giving back.
    assert_eq!((app.db.one::<i64>("select count(*) from refunds").await, desk.audited("order.refund").await), (0, 0));

    let by_the_rules = json!({ "ticket_ids": [bought.tickets[1]], "amount": 8_000, "reason": "ill" });
    let url = app.url(&format!("/api/admin/exhibitions/xyz/orders/{number}/refund"));
    let give = app.http.post(url).bearer_auth(&boss).header("idempotency-key", "r").json(&by_the_rules);
    let given_back = Answer::of(give).await.expect(200).body;
    assert_eq!((&given_back["amount"], &given_back["fee"]), (&json!(8_000), &json!(2_000)));
    let after: Value = app.db.one("select after from admin_audit where action = 'order.refund'").await;
    assert_eq!((&after["price"], &after["amount"]), (&json!(10_000), &json!(8_000)));
    let quote = ask(&boss, number, "").await.expect(200).body;
    assert_eq!((why(&quote, &bought.tickets[1]), &quote["amount"]), (json!("gone"), &json!(8_000)));
    // On the day itself nothing goes back by the rules.
    app.advance(Duration::from_secs(4 * 24 * 3600)).await;
    let boss = app.access_token("boss").await;
    let quote = ask(&boss, number, "").await.expect(200).body;
    assert_eq!((why(&quote, &bought.tickets[2]), &quote["amount"]), (json!("too_late"), &json!(0)));
    carried(&app).await;
    app.finish().await;
}

#[tokio::test]
async fn a_refund_made_at_the_provider_is_noticed_and_ends_the_tickets() {
    let app = TestApp::start().await;
    let given = app.given(places(10)).await;
    let (one, other) = (app.visitor(1), app.visitor(2));
    let (part, all) = (paid(&one, &given, 2).await, paid(&other, &given, 1).await);
    app.simulate("dashboard-cancel", json!({ "paymentKey": part.payment_key, "amount": 5_000 })).await;
    app.simulate("dashboard-cancel", json!({ "paymentKey": all.payment_key })).await;
    for bought in [&part, &all] {
        crate::payments::send_webhook(&app, &bought.order_id, &bought.payment_key, "CANCELED").await.expect(200);
    }
    app.until("the webhooks are worked", async || {
        app.advance(Duration::from_secs(2)).await;
        app.tick("webhooks").await;
        app.db.one::<i64>("select count(*) from inbox where state = 'received'").await == 0
    })
    .await;
    let read = one.read(&part.order).await;
    assert_eq!(read.body["status"], "partially_refunded");
    assert_eq!(read.body["tickets"][0]["state"], "valid", "money alone ends no ticket");
    assert_eq!(other.read(&all.order).await.body["status"], "refunded");
    assert_eq!(app.db.one::<i64>("select count(*) from refunds where kind = 'provider' and state = 'done'").await, 2);
    assert_eq!(app.stock(given.stock_id).await, (0, 2));
    app.finish().await;
}

#[tokio::test]
async fn a_refund_whose_answer_is_lost_is_made_once() {
    for kind in ["drop_after", "error_after", "timeout_before", "drop_before", "rate_limited", "html_body"] {
        let app = TestApp::start().await;
        let given = app.given(places(10)).await;
        let visitor = app.visitor(1);
        let bought = paid(&visitor, &given, 2).await;
        let body = json!({ "ticket_ids": [bought.tickets[0]], "amount": 10_000 });
        refund(&visitor, &bought.order, "r", body).await.expect(200);
        app.simulate("faults", json!({ "op": "cancel", "kind": kind, "count": 2, "delay_ms": 50 })).await;
        app.until("the refund is done", async || {
            app.advance(Duration::from_secs(30)).await;
            app.tick("refunds").await;
            app.db.one::<i64>("select count(*) from refunds where state = 'done'").await == 1
        })
        .await;
        assert_eq!(app.simulator_counts().await["cancelled_amount"], 10_000, "{kind}");
        app.finish().await;
    }
}
