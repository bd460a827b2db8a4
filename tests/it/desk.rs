//! Admins and people who support visitors look after orders: find them, read them, correct them.

use admit::admin::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::notifications::{mails, text};
use crate::support::given::places;
use crate::support::visitor::Held;
use crate::support::{Answer, Given, Kind, TestApp, Visitor};

/// An exhibition with its people, and another that they may not enter.
pub struct Desk<'a> {
    pub app: &'a TestApp,
    pub support: String,
    pub admin: String,
    pub owner: String,
}

impl<'a> Desk<'a> {
    pub async fn of(app: &'a TestApp) -> Desk<'a> {
        app.account("helper", Role::Support, &["xyz"]).await;
        app.account("boss", Role::Admin, &["xyz"]).await;
        app.account("owner", Role::SuperAdmin, &[]).await;
        let (support, admin) = (app.access_token("helper").await, app.access_token("boss").await);
        Desk { app, support, admin, owner: app.access_token("owner").await }
    }

    pub async fn call(&self, token: &str, method: Method, path: &str, body: Value) -> Answer {
        let url = self.app.url(&format!("/api/admin/{path}"));
        let mut request = self.app.http.request(method.clone(), &url).bearer_auth(token);
        if method == Method::PUT {
            request = self.app.as_seen(request, &url, token).await;
        }
        Answer::of(request.json(&body)).await
    }

    pub async fn search(&self, body: Value) -> Answer {
        self.call(&self.support, Method::POST, "orders/search", body).await
    }

    /// Numbers of the orders that are found so.
    pub async fn found(&self, q: &str) -> Vec<String> {
        numbers(&self.search(json!({ "q": q })).await.expect(200))
    }

    /// An order as it stands, with its tag.
    pub async fn read(&self, number: &str) -> (String, Value) {
        let url = self.app.url(&format!("/api/admin/orders/{number}"));
        let reply = self.app.http.get(url).bearer_auth(&self.support).send().await.unwrap();
        assert_eq!((reply.status().as_u16(), reply.headers()["cache-control"].to_str().unwrap()), (200, "no-store"));
        let tag = reply.headers()["etag"].to_str().unwrap().to_owned();
        (tag, reply.json().await.unwrap())
    }

    pub async fn patch_as(&self, token: &str, number: &str, tag: &str, body: Value) -> Answer {
        let url = self.app.url(&format!("/api/admin/orders/{number}"));
        Answer::of(self.app.http.patch(url).bearer_auth(token).header("if-match", tag).json(&body)).await
    }

    pub async fn patch(&self, number: &str, body: Value) -> Answer {
        let (tag, _) = self.read(number).await;
        self.patch_as(&self.support, number, &tag, body).await
    }

    pub async fn audited(&self, action: &str) -> i64 {
        self.app.db.one(&format!("select count(*) from admin_audit where action = '{action}'")).await
    }
}

pub fn numbers(answer: &Answer) -> Vec<String> {
    let orders = answer.body["orders"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    orders.iter().map(|order| order["order_number"].as_str().unwrap().to_owned()).collect()
}

pub async fn order_of(visitor: &Visitor<'_>, given: &Given, name: &str, email: Option<&str>) -> Held {
    let mut ask = visitor.ask(given, 1);
    ask["customer_name"] = json!(name);
    ask["customer_email"] = json!(email);
    Held::from(&Answer::of(visitor.post("/api/orders").json(&ask)).await.expect(201))
}

#[tokio::test]
async fn an_order_is_found_by_what_somebody_knows_of_it_and_no_other() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(50), ..places(50) }).await;
    let elsewhere = app.given(Kind { code: "abc", ..places(50) }).await;
    let desk = Desk::of(&app).await;
    let hong = order_of(&app.visitor(1234), &adult, "홍 길동", Some("hong@example.org")).await;
    let smith = order_of(&app.visitor(5678), &adult, "John  Smith", None).await;
    let namesake = order_of(&app.visitor(2), &adult, "홍길동", None).await;
    let stranger = order_of(&app.visitor(1234), &elsewhere, "홍길동", None).await;
    let (order_id, payment_key) = app.visitor(5678).authorised(&smith).await;
    app.visitor(5678).confirm(&smith, &order_id, &payment_key, "k").await.expect(200);

    let n = |order: &Held| order.number.clone();
    let day = &hong.number[..11];
    for (q, orders) in [
        (hong.number.clone(), vec![n(&hong)]),
        (hong.number.to_lowercase(), vec![n(&hong)]),
        (hong.number[..19].to_owned(), vec![n(&hong)]),
        (order_id.clone(), vec![n(&smith)]),
        (payment_key.clone(), vec![n(&smith)]),
        ("010-1000-1234".into(), vec![n(&hong)]),
        ("+82 10 1000 1234".into(), vec![n(&hong)]),
        ("1234".into(), vec![n(&hong)]),
        ("5678".into(), vec![n(&smith)]),
        ("홍길동".into(), vec![n(&namesake), n(&hong)]),
        (" 홍 길 동 ".into(), vec![n(&namesake), n(&hong)]),
        ("john smith".into(), vec![n(&smith)]),
        ("ＪＯＨＮ SMITH".into(), vec![n(&smith)]),
        (day[..4].to_owned(), vec![n(&namesake), n(&smith), n(&hong)]),
        (day.to_owned(), vec![n(&namesake), n(&smith), n(&hong)]),
        ("John".into(), vec![]),
        ("홍길".into(), vec![]),
        ("234".into(), vec![]),
        ("010-1000-123".into(), vec![]),
        ("ORD19990101".into(), vec![]),
        ("ORD20261332".into(), vec![]),
        (stranger.number.clone(), vec![]),
        (stranger.number[..19].to_owned(), vec![]),
    ] {
        assert_eq!(desk.found(&q).await, orders, "{q}");
    }
    // Whoever may enter both sees both.
    let all = desk.call(&desk.owner, Method::POST, "orders/search", json!({ "q": "1234" })).await.expect(200);
    assert_eq!(numbers(&all), [n(&stranger), n(&hong)]);
    let there = json!({ "q": "홍길동", "exhibition": "abc" });
    let all = desk.call(&desk.owner, Method::POST, "orders/search", there).await.expect(200);
    assert_eq!(numbers(&all), [n(&stranger)]);

    let one = desk.search(json!({ "q": smith.number })).await.expect(200).body["orders"][0].clone();
    let today = app.app().clock.today_in_seoul().to_string();
    assert_eq!(
        (&one["customer_name"], &one["customer_phone"], &one["state"], &one["total_amount"]),
        (&json!("J**n S***h"), &json!("010-****-5678"), &json!("paid"), &json!(10_000)),
    );
    assert_eq!((&one["products"], &one["visit_date"]), (&json!("성인 1"), &json!(adult.date)), "{one}");
    assert!(one["payment_method"].is_string() && one["paid_at"].is_string() && one["created_at"].is_string(), "{one}");

    let list = async |query: &str| desk.call(&desk.support, Method::GET, &format!("orders?{query}"), json!({})).await;
    assert_eq!(numbers(&list("state=paid").await.expect(200)), [n(&smith)]);
    assert_eq!(numbers(&list("state=held&exhibition=xyz").await.expect(200)), [n(&namesake), n(&hong)]);
    // What somebody typed stands in no address.
    let refused = list("state=held&q=1234").await.refused(400, "request.malformed_query");
    assert_eq!(
        (&refused.body["errors"][0]["field"], &refused.body["errors"][0]["code"]),
        (&json!("q"), &json!("body_only"))
    );
    for state in ["confirming", "awaiting_deposit", "partially_refunded", "refunded", "expired", "cancelled"] {
        assert_eq!(numbers(&list(&format!("state={state}")).await.expect(200)), [""; 0], "{state}");
    }
    let days =
        async |from: &str, until: &str| numbers(&list(&format!("from={from}&until={until}")).await.expect(200)).len();
    assert_eq!((days(&today, &today).await, days("2020-01-01", "2020-12-31").await), (3, 0));
    assert_eq!((days("2020-01-01", &today).await, days(&today, "2999-01-01").await), (3, 3));

    for (query, field) in [
        ("state=gone", "state"),
        ("from=yesterday", "from"),
        ("until=2026-02-31", "until"),
        ("exhibition=abc", "exhibition"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("before=x", "before"),
    ] {
        let refused = list(query).await.refused(422, "request.invalid");
        assert_eq!(refused.body["errors"][0]["field"], field, "{query}");
    }
    let refused = desk.search(json!({ "q": "\u{0}" })).await.refused(422, "request.invalid");
    assert_eq!(refused.body["errors"][0]["field"], "q");
    list("limit=many").await.refused(400, "request.malformed_query");
    app.account("gate", Role::Staff, &["xyz"]).await;
    let gate = app.access_token("gate").await;
    desk.call(&gate, Method::GET, "orders", json!({})).await.refused(403, "auth.forbidden");
    app.finish().await;
}

#[tokio::test]
async fn pages_are_complete_while_orders_come_in() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let desk = Desk::of(&app).await;
    let mut placed = Vec::new();
    for n in 0..12 {
        placed.push(app.visitor(n).held(&adult, 1).await.number);
    }
    for (q, state) in [(None, None), (Some("홍길동"), None), (None, Some("held")), (Some("ORD2"), None)] {
        let (mut seen, mut before) = (Vec::new(), Value::Null);
        for page in 0.. {
            let answer = desk.search(json!({ "q": q, "state": state, "limit": 5, "before": before })).await.expect(200);
            let found = numbers(&answer);
            assert!(found.len() == 5 || answer.body["next"].is_null());
            seen.extend(found);
            app.visitor(100 + page + usize::from(q.is_some()) * 50 + usize::from(state.is_some()) * 25)
                .held(&adult, 1)
                .await;
            before = answer.body["next"].clone();
            if before.is_null() {
                break;
            }
        }
        let newest_first: Vec<String> = placed.iter().rev().cloned().collect();
        assert_eq!(seen[seen.len() - placed.len()..], newest_first, "{q:?} {state:?}");
        let mut once = seen.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), seen.len(), "nothing twice");
    }
    app.finish().await;
}

#[tokio::test]
async fn an_order_is_read_with_all_that_happened_to_it_and_its_visitor_is_masked() {
    let app = TestApp::start().await;
    app.with_webhooks().await;
    let adult = app.given(places(50)).await;
    let desk = Desk::of(&app).await;
    let visitor = app.visitor(1234);
    let order = order_of(&visitor, &adult, "홍길동", Some("hong@example.org")).await;
    let (tag, held) = desk.read(&order.number).await;
    assert_eq!((&held["state"], held["tickets"].as_array().unwrap().len()), (&json!("held"), 0));
    assert!(held["payment_url"].is_null(), "nobody pays for the visitor");
    let paid = visitor.pay(&order).await.expect(200);
    app.webhooks().await;
    app.tick("outbox").await;
    app.account("gate", Role::Staff, &["xyz"]).await;
    let gate = app.access_token("gate").await;
    let ask = json!({ "qr_code": paid.body["tickets"][0]["qr_code"], "gate": "north" });
    Answer::of(app.http.post(app.url("/api/entrance/scan")).bearer_auth(gate).json(&ask)).await.expect(200);

    let (later, body) = desk.read(&order.number).await;
    assert_ne!(tag, later);
    assert_eq!(
        body["contact"],
        json!({ "customer_name": "홍*동", "customer_phone": "010-****-1234", "customer_email": "h***@example.org",
                "marketing": false, "forgotten": false })
    );
    assert_eq!((&body["items"][0]["quantity"], &body["items"][0]["unit_price"]), (&json!(1), &json!(10_000)));
    assert_eq!((&body["tickets"][0]["state"], &body["tickets"][0]["used_gate"]), (&json!("valid"), &json!("north")));
    let kinds: Vec<&str> = body["events"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["held", "confirming", "paid"]);
    let attempt = &body["attempts"][0];
    assert_eq!((&attempt["state"], &attempt["paid_the_order"]), (&json!("accepted"), &json!(true)), "{attempt}");
    assert!(attempt["secret"].is_null() && attempt["client_secret"].is_null());
    assert_eq!((&body["messages"][0]["kind"], &body["messages"][0]["state"]), (&json!("order_paid"), &json!("done")));
    assert_eq!((&body["scans"][0]["gate"], &body["scans"][0]["staff"]), (&json!("north"), &json!("gate")));
    assert!(!body["webhooks"].as_array().unwrap().is_empty());
    let text = body.to_string();
    for secret in ["홍길동", "10001234", "hong@"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }

    let path = format!("orders/{}/reveal", order.number);
    for why in ["", "  ", "a\nb"] {
        let refused = desk.call(&desk.support, Method::POST, &path, json!({ "why": why })).await;
        assert_eq!(refused.refused(422, "request.invalid").body["errors"][0]["field"], "why");
    }
    assert_eq!(desk.audited("order.reveal").await, 0);
    let clear =
        desk.call(&desk.support, Method::POST, &path, json!({ "why": "called about the date" })).await.expect(200);
    assert_eq!(
        clear.body,
        json!({ "customer_name": "홍길동", "customer_phone": "+821010001234", "customer_email": "hong@example.org" })
    );
    let recorded: Value =
        app.db.one("select after from admin_audit where action = 'order.reveal' and user_name = 'helper'").await;
    assert_eq!(recorded, json!({ "order": order.number, "why": "called about the date" }));
    for _ in 1..20 {
        desk.call(&desk.support, Method::POST, &path, json!({ "why": "x" })).await.expect(200);
    }
    desk.call(&desk.support, Method::POST, &path, json!({ "why": "x" })).await.refused(429, "order.too_many_reveals");
    assert_eq!(desk.audited("order.reveal").await, 20);
    app.finish().await;
}

#[tokio::test]
async fn another_exhibition_s_orders_are_not_there() {
    let app = TestApp::start().await;
    app.given(places(5)).await;
    let elsewhere = app.given(Kind { code: "abc", ..places(50) }).await;
    let desk = Desk::of(&app).await;
    let order = app.visitor(1).held(&elsewhere, 1).await.number;
    for token in [&desk.support, &desk.admin] {
        let path = format!("orders/{order}");
        desk.call(token, Method::GET, &path, json!({})).await.refused(404, "order.unknown");
        let reveal = format!("{path}/reveal");
        desk.call(token, Method::POST, &reveal, json!({ "why": "x" })).await.refused(404, "order.unknown");
        desk.patch_as(token, &order, "\"1\"", json!({ "state": "cancelled" })).await.refused(404, "order.unknown");
        desk.patch_as(token, &order, "\"1\"", json!({ "customer_name": "x" })).await.refused(404, "order.unknown");
    }
    desk.call(&desk.support, Method::GET, "orders/none", json!({})).await.refused(404, "order.unknown");
    assert_eq!(app.db.one::<i64>("select count(*) from admin_audit where action <> 'user.sign_in'").await, 0);
    app.finish().await;
}

#[tokio::test]
async fn a_corrected_contact_is_found_anew_and_counts_for_its_new_person() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { person_limit: Some(3), ..places(50) }).await;
    let desk = Desk::of(&app).await;
    let (one, two) = (app.visitor(1), app.visitor(2));
    let order = order_of(&one, &adult, "홍길동", None).await;
    one.pay(&order).await.expect(200);
    let other = Held::from(&two.order(&adult, 2).await.expect(201));
    two.pay(&other).await.expect(200);

    // The name alone: nothing is counted anew.
    let changed = desk.patch(&order.number, json!({ "customer_name": " 김  철수 " })).await.expect(200);
    assert_eq!(changed.body["contact"]["customer_name"], "* 철*");
    assert_eq!(desk.found("김철수").await, std::slice::from_ref(&order.number));
    assert_eq!(desk.found("홍길동").await, std::slice::from_ref(&other.number));
    let recorded: Value = app.db.one("select after from admin_audit where action = 'order.contact'").await;
    assert_eq!(recorded, json!({ "order": order.number, "fields": ["name"] }));
    let event: String =
        app.db.one("select actor || ' ' || cause from order_events where kind = 'contact_changed'").await;
    assert_eq!(event, "support name");

    // To the other's number: 2 + 1 are within the limit of 3, one more is not.
    desk.patch(&order.number, json!({ "customer_phone": two.phone, "customer_email": "kim@example.org" }))
        .await
        .expect(200);
    app.sweep().await;
    assert_eq!(desk.found(&two.phone).await.len(), 2);
    assert_eq!(desk.found(&one.phone).await, [""; 0]);
    assert_eq!(desk.found("0001").await, [""; 0]);
    let third = Held::from(&app.visitor(3).order(&adult, 1).await.expect(201));
    desk.patch(&third.number, json!({ "customer_phone": two.phone })).await.refused(409, "stock.person_limit");
    two.order(&adult, 1).await.refused(409, "stock.person_limit");
    // Whoever lost the order has their places back.
    let again = one.order(&adult, 3).await.expect(201);
    // An unpaid order goes to nobody who has one open.
    let open = order_of(&app.visitor(4), &adult, "이", None).await;
    desk.patch(&open.number, json!({ "customer_phone": one.phone })).await.refused(409, "stock.person_limit");
    one.cancel(&Held::from(&again)).await.expect(200);
    order_of(&one, &adult, "박", None).await;
    desk.patch(&open.number, json!({ "customer_phone": one.phone })).await.refused(409, "order.open_holds");
    // To somebody new, while it is held; then it is paid, and given back, under the new person.
    desk.patch(&open.number, json!({ "customer_phone": "010-9999-0000" })).await.expect(200);
    app.sweep().await;
    app.visitor(4).pay(&open).await.expect(200);
    let lookup = json!({ "order_number": open.number, "phone": "01099990000" });
    Answer::of(app.http.post(app.url("/api/orders/lookup")).json(&lookup)).await.expect(200);
    let lookup = json!({ "order_number": open.number, "phone": app.visitor(4).phone });
    Answer::of(app.http.post(app.url("/api/orders/lookup")).json(&lookup)).await.refused(404, "order.unknown");

    for (body, field) in [
        (json!({ "customer_name": "" }), "customer_name"),
        (json!({ "customer_phone": "02-123-4567" }), "customer_phone"),
        (json!({ "customer_email": "nobody" }), "customer_email"),
        (json!({ "customer_name": "x", "state": "cancelled" }), "state"),
        (json!({}), "customer_name"),
    ] {
        let refused = desk.patch(&open.number, body.clone()).await.refused(422, "request.invalid");
        assert_eq!(refused.body["errors"][0]["field"], field, "{body}");
    }
    assert_eq!(desk.audited("order.contact").await, 3);
    let (_, read) = desk.read(&order.number).await;
    assert_eq!(read["contact"]["customer_email"], "k***@example.org");
    desk.patch(&order.number, json!({ "customer_email": "" })).await.expect(200);
    assert!(!app.db.one::<bool>(&format!("select has_email from orders where number = '{}'", order.number)).await);
    let before = desk.read(&order.number).await.0;
    desk.patch(&order.number, json!({ "customer_name": "김  철수 " })).await.expect(200);
    assert_eq!(desk.read(&order.number).await.0, before, "nothing was different");
    app.finish().await;
}

/// A payment that begins while the number changes is told to read again, and goes through at its next try.
#[tokio::test]
async fn whoever_read_the_order_before_its_person_changed_reads_it_again() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { person_limit: Some(3), ..places(50) }).await;
    let desk = Desk::of(&app).await;
    let order = app.visitor(1).held(&adult, 2).await;
    let client = app.app().pg.get().await.unwrap();
    let stale = admit::orders::pg::by_number(app.app(), &client, &order.number).await.unwrap().unwrap();
    drop(client);
    desk.patch(&order.number, json!({ "customer_phone": "010-9999-0000" })).await.expect(200);
    let origin = admit::orders::model::Origin::new("test", "cancel", "");
    let refused = admit::orders::cancel::cancel(app.app(), &stale, origin.clone(), None).await.unwrap_err();
    assert_eq!(refused.code, "server.busy");
    app.sweep().await;
    app.visitor(1).cancel(&order).await.expect(200);
    assert_eq!(app.stock(adult.stock_id).await, (0, 0));
    app.finish().await;
}

#[tokio::test]
async fn the_second_of_two_changes_is_asked_to_look_again() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let desk = Desk::of(&app).await;
    let order = app.visitor(1).held(&adult, 1).await.number;
    let (tag, _) = desk.read(&order).await;
    desk.patch_as(&desk.support, &order, &tag, json!({ "customer_name": "김철수" })).await.expect(200);
    let late = json!({ "customer_name": "이영희" });
    desk.patch_as(&desk.admin, &order, &tag, late).await.refused(412, "request.changed_meanwhile");
    desk.patch_as(&desk.admin, &order, &tag, json!({ "state": "cancelled" }))
        .await
        .refused(412, "request.changed_meanwhile");
    for tag in ["", "1", "*", "\"\""] {
        desk.patch_as(&desk.admin, &order, tag, json!({ "customer_name": "x" }))
            .await
            .refused(412, "request.changed_meanwhile");
    }
    assert_eq!(desk.found("김철수").await, std::slice::from_ref(&order));
    assert_eq!(desk.audited("order.contact").await, 1);
    let (tag, _) = desk.read(&order).await;
    let raced = crate::support::race(6, async |n| {
        desk.patch_as(&desk.support, &order, &tag, json!({ "customer_name": format!("사람{n}") })).await.status
    })
    .await;
    assert_eq!(raced.iter().filter(|status| **status == 200).count(), 1, "{raced:?}");
    assert_eq!(desk.audited("order.contact").await, 2);
    app.finish().await;
}

#[tokio::test]
async fn only_what_is_not_paid_is_cancelled_and_only_by_an_admin() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let desk = Desk::of(&app).await;
    let held = app.visitor(1).held(&adult, 2).await.number;
    let gone = json!({ "state": "cancelled" });
    let (tag, _) = desk.read(&held).await;
    desk.patch_as(&desk.support, &held, &tag, gone.clone()).await.refused(403, "auth.forbidden");
    for state in ["paid", "held", "refunded", "expired", "nonsense"] {
        desk.patch_as(&desk.admin, &held, &tag, json!({ "state": state })).await.refused(409, "order.illegal_move");
    }
    assert_eq!((app.stock(adult.stock_id).await, desk.audited("order.cancel").await), ((2, 0), 0));
    let cancelled = desk.patch_as(&desk.admin, &held, &tag, gone.clone()).await.expect(200);
    assert_eq!(cancelled.text("state"), "cancelled");
    assert_eq!((app.stock(adult.stock_id).await, desk.audited("order.cancel").await), ((0, 0), 1));
    let last = cancelled.body["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["actor"], &last["to"]), (&json!("admin"), &json!("cancelled")));
    let (tag, _) = desk.read(&held).await;
    desk.patch_as(&desk.admin, &held, &tag, gone.clone()).await.refused(409, "order.illegal_move");

    let paid = app.visitor(2).held(&adult, 1).await;
    app.visitor(2).pay(&paid).await.expect(200);
    let (tag, _) = desk.read(&paid.number).await;
    desk.patch_as(&desk.admin, &paid.number, &tag, gone.clone()).await.refused(409, "order.illegal_move");
    assert_eq!(app.stock(adult.stock_id).await, (0, 1));
    app.finish().await;
}

#[tokio::test]
async fn contacts_of_before_the_index_are_found_after_a_tick_and_forgotten_ones_never() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let desk = Desk::of(&app).await;
    let (old, gone, lost) = (
        app.visitor(1).held(&adult, 1).await,
        app.visitor(2).held(&adult, 1).await,
        app.visitor(3).held(&adult, 1).await,
    );
    app.db
        .execute(&format!(
            "update contacts set name_index = null, tail_index = null, index_version = 0;
             update contacts c set erased_at = now(), sealed = '', phone_digest = '' from orders o where o.id = c.order_id and o.number = '{}';
             update contacts c set key_id = 'lost' from orders o where o.id = c.order_id and o.number = '{}'",
            gone.number, lost.number
        ))
        .await;
    let new = app.visitor(4).held(&adult, 1).await;
    assert_eq!(desk.found("홍길동").await, std::slice::from_ref(&new.number));
    assert_eq!(app.tick("contact_index").await, 2);
    assert_eq!(app.tick("contact_index").await, 0, "what does not open is not tried for ever");
    assert_eq!(desk.found("홍길동").await, [new.number.clone(), old.number.clone()]);
    assert_eq!(desk.found("0001").await, std::slice::from_ref(&old.number));
    assert_eq!((desk.found("0002").await.len(), desk.found("0003").await.len()), (0, 0));
    // Listed all the same, without a name.
    let one = desk.search(json!({ "q": lost.number })).await.expect(200).body["orders"][0].clone();
    assert!(one["customer_name"].is_null());
    let (tag, body) = desk.read(&gone.number).await;
    assert_eq!((&body["contact"]["forgotten"], &body["contact"]["customer_name"]), (&json!(true), &json!("")));
    desk.patch_as(&desk.support, &gone.number, &tag, json!({ "customer_name": "x" }))
        .await
        .refused(410, "order.forgotten");
    let path = format!("orders/{}/reveal", gone.number);
    desk.call(&desk.support, Method::POST, &path, json!({ "why": "x" })).await.refused(410, "order.forgotten");
    app.db.execute("update contacts set key_id = 't1' where key_id = 'lost'").await;
    app.finish().await;
}

#[tokio::test]
async fn a_mail_is_sent_again_five_times_a_day() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let desk = Desk::of(&app).await;
    let visitor = app.visitor(1);
    let order = order_of(&visitor, &adult, "홍길동", Some("hong@example.org")).await;
    let silent = app.visitor(2).held(&adult, 1).await;
    let resend = async |number: &str| {
        desk.call(&desk.support, Method::POST, &format!("orders/{number}/resend"), json!({})).await
    };
    resend(&order.number).await.refused(409, "order.nothing_to_send");
    visitor.pay(&order).await.expect(200);
    app.visitor(2).pay(&silent).await.expect(200);
    resend(&silent.number).await.refused(409, "order.no_address");
    app.tick("outbox").await;
    assert_eq!(mails(&app).len(), 1);

    let sent = resend(&order.number).await.expect(200);
    assert_eq!(sent.body, json!({ "mail": "order_paid", "left_today": 4 }));
    // To the address that is known by then.
    desk.patch(&order.number, json!({ "customer_email": "other@example.org" })).await.expect(200);
    app.tick("outbox").await;
    let all = mails(&app);
    assert_eq!((all.len(), all.iter().filter(|mail| mail.contains("other@example.org")).count()), (2, 1));
    let again = all.iter().find(|mail| mail.contains("other@example.org")).unwrap();
    assert!(text(again, "text/html").contains(&order.number));
    let raced = crate::support::race(8, async |_| resend(&order.number).await.status).await;
    assert_eq!(raced.iter().filter(|status| **status == 200).count(), 4, "{raced:?}");
    let refused = resend(&order.number).await.refused(429, "order.too_many_mails");
    assert!(refused.retry_after.unwrap().parse::<i64>().unwrap() > 80_000);
    let (_, read) = desk.read(&order.number).await;
    let messages = read["messages"].as_array().unwrap();
    assert_eq!(
        (messages.len(), &messages[1]["kind"], &messages[1]["asked_by"]),
        (6, &json!("resend"), &json!("helper"))
    );
    assert_eq!(desk.audited("order.resend").await, 5);
    app.advance(std::time::Duration::from_secs(24 * 3600)).await;
    // Signed in a day ago.
    let support = app.access_token("helper").await;
    desk.call(&support, Method::POST, &format!("orders/{}/resend", order.number), json!({})).await.expect(200);
    app.finish().await;
}

#[tokio::test]
async fn money_that_came_by_a_transfer_pays_once_and_goes_back_by_hand() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let desk = Desk::of(&app).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 2).await;
    let came = async |token: &str, number: &str, amount: i64, note: &str| {
        let path = format!("orders/{number}/transfer");
        desk.call(token, Method::POST, &path, json!({ "amount": amount, "note": note })).await
    };
    came(&desk.support, &order.number, 20_000, "seen in the bank").await.refused(403, "auth.forbidden");
    came(&desk.admin, &order.number, 19_999, "seen in the bank").await.refused(422, "payment.amount_mismatch");
    came(&desk.admin, &order.number, 20_000, " ").await.refused(422, "request.invalid");
    assert_eq!((app.stock(adult.stock_id).await, desk.audited("order.transfer").await), ((2, 0), 0));
    let paid = came(&desk.admin, &order.number, 20_000, "seen in the bank").await.expect(200);
    assert_eq!((paid.text("state"), paid.text("payment_method")), ("paid".into(), "transfer".into()));
    assert_eq!(paid.body["tickets"].as_array().unwrap().len(), 2);
    came(&desk.admin, &order.number, 20_000, "seen in the bank").await.expect(200);
    assert_eq!((app.stock(adult.stock_id).await, desk.audited("order.transfer").await), ((0, 2), 1));
    assert_eq!(visitor.read(&order).await.expect(200).text("status"), "paid");

    // No till of a gate has it.
    let tills = desk.call(&desk.admin, Method::GET, "exhibitions/xyz/walk-ins", json!({})).await.expect(200);
    assert_eq!((&tills.body["all"]["taken"], &tills.body["tills"]), (&json!(0), &json!([])));
    let quote = crate::refunds::preview(&visitor, &order).await.expect(200);
    assert_eq!(quote.body["tickets"][0]["refused_because"], "at_the_desk");
    let url = app.url(&format!("/api/admin/exhibitions/xyz/orders/{}/refund", order.number));
    let body = json!({ "ticket_ids": [paid.body["tickets"][0]["id"]], "reason": "cannot come" });
    let back = app.http.post(url).bearer_auth(&desk.admin).header("idempotency-key", "r").json(&body);
    assert_eq!(Answer::of(back).await.expect(200).text("state"), "by_hand");
    let late = came(&desk.admin, &order.number, 20_000, "again").await;
    late.refused(409, "order.illegal_move");

    let carded = app.visitor(2).held(&adult, 1).await;
    app.visitor(2).pay(&carded).await.expect(200);
    came(&desk.admin, &carded.number, 10_000, "x").await.refused(409, "payment.already_paid");
    // One that is paid by card and by transfer in the same moment is paid once.
    let both = app.visitor(4).held(&adult, 1).await;
    let (order_id, payment_key) = app.visitor(4).authorised(&both).await;
    let payer = app.visitor(4);
    let (card, transfer) =
        tokio::join!(payer.confirm(&both, &order_id, &payment_key, "k"), came(&desk.admin, &both.number, 10_000, "x"));
    assert!(card.status == 200 || transfer.status == 200, "{} {}", card.body, transfer.body);
    assert!(card.status != 200 || transfer.status != 200, "{} {}", card.body, transfer.body);
    app.finish().await;
}

#[tokio::test]
async fn tickets_are_given_away_out_of_the_same_places() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { person_limit: Some(1), slot_places: Some(4), ..places(50) }).await;
    let desk = Desk::of(&app).await;
    app.db.execute("update exhibitions set sale_end_at = now() - interval '1 hour'").await;
    app.refresh().await;
    let give_as = async |token: &str, key: &str, body: &Value| {
        let url = app.url("/api/admin/exhibitions/xyz/complimentary");
        Answer::of(app.http.post(url).bearer_auth(token).header("idempotency-key", key).json(body)).await
    };
    let gift = |quantity: i64, email: Option<&str>, reason: &str| {
        json!({ "items": [{ "product_id": adult.product_id, "quantity": quantity }], "visit_date": adult.date,
                "customer_email": email, "reason": reason })
    };
    let press = gift(3, Some("press@example.org"), "press day");
    give_as(&desk.support, "1", &press).await.refused(403, "auth.forbidden");
    for (body, field) in [
        (gift(3, None, " "), "reason"),
        (gift(0, None, "x"), "items[0].quantity"),
        (gift(3, Some("nobody"), "x"), "customer_email"),
        (json!({ "items": [], "reason": "x" }), "items"),
        (json!({ "items": [{ "product_id": adult.product_id, "quantity": 1 }], "reason": "x" }), "visit_date"),
    ] {
        let refused = give_as(&desk.admin, "0", &body).await.refused(422, "request.invalid");
        assert_eq!(refused.body["errors"][0]["field"], field, "{body}");
    }
    assert_eq!((app.stock(adult.stock_id).await, desk.audited("order.complimentary").await), ((0, 0), 0));

    let given = give_as(&desk.admin, "1", &press).await.expect(201);
    assert_eq!((given.text("state"), &given.body["total_amount"]), ("paid".into(), &json!(0)));
    assert_eq!(
        (given.body["tickets"].as_array().unwrap().len(), &given.body["items"][0]["unit_price"]),
        (3, &json!(0))
    );
    let again = give_as(&desk.admin, "1", &press).await.expect(201);
    assert_eq!(again.text("order_number"), given.text("order_number"));
    give_as(&desk.admin, "1", &gift(2, None, "press day")).await.refused(422, "idempotency.key_reused");
    give_as(&desk.admin, "2", &gift(2, None, "x")).await.refused(409, "stock.sold_out");
    assert_eq!(app.stock(adult.slot_stock_id.unwrap()).await, (0, 3));
    let recorded: Value = app.db.one("select after from admin_audit where action = 'order.complimentary'").await;
    assert_eq!(recorded, json!({ "order": given.text("order_number"), "tickets": 3, "reason": "press day" }));
    app.tick("outbox").await;
    let mail = &mails(&app)[0];
    assert!(mail.contains("press@example.org") && !text(mail, "text/html").contains("Dear ,"), "{mail}");
    assert_eq!(desk.found(&given.text("order_number")).await.len(), 1);

    // Nothing was paid and nothing goes back, but the place is free again.
    let url = app.url(&format!("/api/admin/exhibitions/xyz/orders/{}/refund", given.text("order_number")));
    let body = json!({ "ticket_ids": [given.body["tickets"][0]["id"]], "reason": "cannot come" });
    let back = Answer::of(app.http.post(url).bearer_auth(&desk.admin).header("idempotency-key", "r").json(&body)).await;
    assert_eq!(back.expect(200).body["amount"], 0);
    let more = crate::support::race(6, async |_| give_as(&desk.admin, "3", &gift(2, None, "x")).await).await;
    let one = more[0].clone().expect(201).text("order_number");
    assert!(more.iter().all(|answer| answer.text("order_number") == one));
    assert_eq!(app.stock(adult.slot_stock_id.unwrap()).await, (0, 4));
    app.finish().await;
}

#[tokio::test]
async fn a_day_that_does_not_take_place_is_given_back_order_by_order() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(100), ..places(200) }).await;
    let other_day = app.given(Kind { slot_places: None, ..places(50) }).await;
    let desk = Desk::of(&app).await;
    let slot = adult.slot_id.unwrap();
    let mut numbers = Vec::new();
    for n in 0..6 {
        let visitor = app.visitor(n);
        let order = visitor.held(&adult, 2).await;
        visitor.pay(&order).await.expect(200);
        numbers.push(order.number);
    }
    let undated = app.visitor(20).held(&other_day, 1).await;
    app.visitor(20).pay(&undated).await.expect(200);
    let late = app.visitor(21).held(&adult, 1).await;
    let gift = json!({ "items": [{ "product_id": adult.product_id, "quantity": 2 }], "visit_date": adult.date, "reason": "press" });
    let url = app.url("/api/admin/exhibitions/xyz/complimentary");
    Answer::of(app.http.post(url).bearer_auth(&desk.admin).header("idempotency-key", "g").json(&gift))
        .await
        .expect(201);
    // One ticket of the first order was used.
    app.db
        .execute(&format!(
            "with s as (insert into scans (id, exhibition_id, ticket_id, gate, staff_id, allowed, reason, scanned_at, reply, counted)
                        select gen_random_uuid(), t.exhibition_id, t.id, 'n', 1, true, 'ok', now(), '{{}}', true from tickets t join orders o on o.id = t.order_id
                         where o.number = '{}' and t.ticket_no = 1 returning id, ticket_id, scanned_at)
             update tickets t set used_at = s.scanned_at, used_scan_id = s.id, used_gate = 'n', entries = 1 from s where t.id = s.ticket_id",
            numbers[0]
        ))
        .await;
    let path = "exhibitions/xyz/bulk-refunds";
    let ask = async |token: &str, key: &str, body: Value| {
        let url = app.url(&format!("/api/admin/{path}"));
        Answer::of(app.http.post(url).bearer_auth(token).header("idempotency-key", key).json(&body)).await
    };
    let body = json!({ "slot_ids": [slot], "reason": "typhoon" });
    ask(&desk.support, "1", body.clone()).await.refused(403, "auth.forbidden");
    for (wrong, field) in [
        (json!({ "slot_ids": [], "reason": "x" }), "slot_ids"),
        (json!({ "slot_ids": [slot, 999], "reason": "x" }), "slot_ids[1]"),
        (json!({ "slot_ids": [slot], "reason": " " }), "reason"),
    ] {
        let refused = ask(&desk.admin, "1", wrong).await.refused(422, "request.invalid");
        assert_eq!(refused.body["errors"][0]["field"], field);
    }
    let dry =
        ask(&desk.admin, "1", json!({ "slot_ids": [slot], "reason": "typhoon", "dry_run": true })).await.expect(200);
    assert_eq!(
        dry.body,
        json!({ "orders": 7, "tickets": 13, "amount": 110_000, "currency": "KRW", "used_tickets": 1, "at_the_desk_orders": 0 })
    );
    ask(&desk.admin, "1", body.clone()).await.refused(409, "bulk_refund.slot_open");
    app.db.execute("update slots set closed = true").await;
    app.refresh().await;
    let no_key = desk.call(&desk.admin, Method::POST, path, body.clone()).await;
    no_key.refused(400, "idempotency.key_required");
    assert_eq!(desk.audited("order.bulk_refund").await, 0);
    let begun =
        crate::support::race(4, async |_| ask(&desk.admin, "1", body.clone()).await.expect(202).text("id")).await;
    assert!(begun.iter().all(|id| *id == begun[0]), "{begun:?}");
    ask(&desk.admin, "1", json!({ "slot_ids": [slot], "reason": "other" }))
        .await
        .refused(422, "idempotency.key_reused");
    let far =
        async || desk.call(&desk.admin, Method::GET, &format!("{path}/{}", begun[0]), json!({})).await.expect(200).body;
    let progress = far().await;
    assert_eq!((&progress["left"], &progress["state"]), (&json!(7), &json!("running")));

    // A worker that died had taken some orders, and given one back without saying so.
    app.db.execute("update bulk_refund_orders set next_try_at = now() + interval '60 seconds', tries = 1").await;
    let url = app.url(&format!("/api/admin/exhibitions/xyz/orders/{}/refund", numbers[1]));
    let (_, read) = desk.read(&numbers[1]).await;
    let ids: Vec<&Value> = read["tickets"].as_array().unwrap().iter().map(|ticket| &ticket["id"]).collect();
    let by_hand = app.http.post(url).bearer_auth(&desk.admin).header("idempotency-key", "r");
    Answer::of(by_hand.json(&json!({ "ticket_ids": ids, "reason": "called" }))).await.expect(200);
    assert_eq!(app.tick("bulk_refunds").await, 0);
    app.advance(std::time::Duration::from_secs(61)).await;
    assert_eq!(app.tick("bulk_refunds").await, 7);
    app.tick("bulk_refunds").await;
    let progress = far().await;
    assert_eq!(
        (
            &progress["left"],
            &progress["done"],
            &progress["failed"],
            &progress["tickets_refunded"],
            &progress["amount_refunded"]
        ),
        (&json!(0), &json!(7), &json!(0), &json!(11), &json!(90_000)),
    );
    // Somebody may still pay what they held before the day was closed.
    assert_eq!(progress["state"], "running");
    app.visitor(21).pay(&late).await.expect(200);
    app.tick("bulk_refunds").await;
    assert_eq!(app.tick("bulk_refunds").await, 0, "orders are looked for once a minute");
    app.advance(std::time::Duration::from_secs(61)).await;
    app.tick("bulk_refunds").await;
    assert_eq!(app.tick("bulk_refunds").await, 1);
    app.advance(std::time::Duration::from_secs(61)).await;
    app.tick("bulk_refunds").await;
    let progress = far().await;
    assert_eq!(
        (&progress["state"], &progress["done"], &progress["amount_refunded"]),
        (&json!("done"), &json!(8), &json!(100_000))
    );
    assert_eq!(app.stock(adult.slot_stock_id.unwrap()).await, (0, 1), "the used one stays");
    assert_eq!(desk.read(&undated.number).await.1["state"], "paid");
    assert_eq!(desk.audited("order.bulk_refund").await, 1);
    desk.call(&desk.admin, Method::GET, &format!("{path}/{}", uuid::Uuid::nil()), json!({}))
        .await
        .refused(404, "bulk_refund.unknown");
    let mut listed = desk.call(&desk.admin, Method::GET, path, json!({})).await.expect(200).body;
    assert_eq!((&listed["bulk_refunds"].take(), &listed["next"]), (&json!([progress]), &Value::Null));
    crate::refunds::carried(&app).await;
    app.finish().await;
}

/// Nobody has the cash in hand here: whoever pays it out writes it down.
#[tokio::test]
async fn a_bulk_refund_pays_no_cash_out_and_leaves_a_day_that_takes_place_after_all() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), open_holds_max: 20, ..places(50) }).await;
    let desk = Desk::of(&app).await;
    let (cash, card) = (app.visitor(1).held(&adult, 1).await, app.visitor(2).held(&adult, 1).await);
    let paid = json!({ "amount": cash.total, "note": "bank" });
    desk.call(&desk.admin, Method::POST, &format!("orders/{}/transfer", cash.number), paid).await.expect(200);
    app.visitor(2).pay(&card).await.expect(200);
    app.db.execute("update slots set closed = true").await;
    app.refresh().await;
    let path = "exhibitions/xyz/bulk-refunds";
    let begin = async |key: &str| {
        let ask = app.http.post(app.url(&format!("/api/admin/{path}"))).bearer_auth(&desk.admin);
        let body = json!({ "slot_ids": [adult.slot_id], "reason": "typhoon" });
        Answer::of(ask.header("idempotency-key", key).json(&body)).await.expect(202).text("id")
    };
    let id = begin("1").await;
    app.tick("bulk_refunds").await;
    let told = desk.call(&desk.admin, Method::GET, &format!("{path}/{id}"), json!({})).await.expect(200).body;
    assert_eq!((&told["done"], &told["failed"]), (&json!(1), &json!(1)), "{told}");
    assert_eq!(told["failures"][0], json!({ "order_number": cash.number, "code": "refund.at_the_desk" }));
    assert_eq!(desk.read(&cash.number).await.1["state"], "paid", "its ticket is good until somebody pays it out");

    // The day takes place after all: whoever comes new is not sent away.
    let again = begin("2").await;
    app.db.execute("update slots set closed = false").await;
    app.refresh().await;
    let new = app.visitor(3).held(&adult, 1).await;
    app.visitor(3).pay(&new).await.expect(200);
    app.advance(std::time::Duration::from_secs(61)).await;
    app.tick("bulk_refunds").await;
    app.tick("bulk_refunds").await;
    let told = desk.call(&desk.admin, Method::GET, &format!("{path}/{again}"), json!({})).await.expect(200).body;
    assert_eq!(told["done"], 0, "{told}");
    assert_eq!(desk.read(&new.number).await.1["state"], "paid");
    crate::refunds::carried(&app).await;
    app.finish().await;
}

/// Whatever its orders are like: what a dry run tells is what is then done.
#[tokio::test]
async fn a_dry_run_tells_what_is_then_done() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(100), open_holds_max: 20, ..places(200) }).await;
    // Of another price and another day.
    let child = app.given(Kind { slot_places: None, price_won: 4_000, ..places(200) }).await;
    app.db.execute(&format!("update products set dated = true where id = {}", child.product_id)).await;
    let desk = Desk::of(&app).await;
    let other: i32 = app
        .db
        .one(&format!(
            "with s as (insert into stock (exhibition_id, total, offered, epoch) select exhibition_id, 100, 100, epoch from stock where id = {} returning id, exhibition_id)
             insert into slots (exhibition_id, stock_id, visit_date) select exhibition_id, id, (now() at time zone 'Asia/Seoul')::date + 9 from s returning id",
            adult.stock_id
        ))
        .await;
    admit::stock::rebuild::rebuild(app.app(), adult.exhibition_id, "xyz", "test").await.unwrap();
    app.refresh().await;
    let other_day: String = app.db.one(&format!("select visit_date::text from slots where id = {other}")).await;
    let mut paid = Vec::new();
    for n in 0..12 {
        let visitor = app.visitor(n);
        let mut ask = visitor.ask(&adult, 1 + n as i64 % 3);
        ask["items"].as_array_mut().unwrap().push(json!({ "product_id": child.product_id, "quantity": 1 + n % 2 }));
        if n % 4 == 3 {
            ask["visit_date"] = json!(other_day);
        }
        let order = Held::from(&Answer::of(visitor.post("/api/orders").json(&ask)).await.expect(201));
        match n {
            // Never paid, and paid by a transfer.
            0 => continue,
            1 => {
                let transfer = json!({ "amount": order.total, "note": "bank" });
                let path = format!("orders/{}/transfer", order.number);
                desk.call(&desk.admin, Method::POST, &path, transfer).await.expect(200);
            }
            _ => drop(visitor.pay(&order).await.expect(200)),
        }
        paid.push(order.number);
    }
    let tickets = async |number: &str| {
        let (_, read) = desk.read(number).await;
        let all = read["tickets"].as_array().unwrap().clone();
        all.into_iter().map(|ticket| ticket["id"].clone()).collect::<Vec<_>>()
    };
    // One ticket of an order went back before, all of another, and one of a third was used.
    for (at, many) in [(1, 1), (2, 9)] {
        let ids: Vec<Value> = tickets(&paid[at]).await.into_iter().take(many).collect();
        let url = app.url(&format!("/api/admin/exhibitions/xyz/orders/{}/refund", paid[at]));
        let ask = app.http.post(url).bearer_auth(&desk.admin).header("idempotency-key", format!("r{at}"));
        Answer::of(ask.json(&json!({ "ticket_ids": ids, "reason": "called" }))).await.expect(200);
    }
    app.db
        .execute(&format!(
            "with s as (insert into scans (id, exhibition_id, ticket_id, gate, staff_id, allowed, reason, scanned_at, reply, counted)
                        select gen_random_uuid(), t.exhibition_id, t.id, 'n', 1, true, 'ok', now(), '{{}}', true from tickets t join orders o on o.id = t.order_id
                         where o.number = '{}' and t.ticket_no = 1 returning id, ticket_id, scanned_at)
             update tickets t set used_at = s.scanned_at, used_scan_id = s.id, used_gate = 'n', entries = 1 from s where t.id = s.ticket_id",
            paid[4]
        ))
        .await;
    app.db.execute("update slots set closed = true").await;
    app.refresh().await;
    let path = "exhibitions/xyz/bulk-refunds";
    for (key, slots) in [("1", vec![other]), ("2", vec![adult.slot_id.unwrap(), other])] {
        let ask = json!({ "slot_ids": slots, "reason": "typhoon", "dry_run": true });
        let told = desk.call(&desk.admin, Method::POST, path, ask).await.expect(200).body;
        let begin = app.http.post(app.url(&format!("/api/admin/{path}"))).bearer_auth(&desk.admin);
        let begin = begin.header("idempotency-key", key).json(&json!({ "slot_ids": slots, "reason": "typhoon" }));
        let id = Answer::of(begin).await.expect(202).text("id");
        while app.tick("bulk_refunds").await > 0 {}
        let done = desk.call(&desk.admin, Method::GET, &format!("{path}/{id}"), json!({})).await.expect(200).body;
        let orders: i64 = app
            .db
            .one(&format!(
                "select count(*) from bulk_refund_orders where bulk_id = '{id}' and state = 'done' and tickets > 0"
            ))
            .await;
        assert_eq!(
            (&told["tickets"], &told["amount"], &told["orders"], &told["at_the_desk_orders"]),
            (&done["tickets_refunded"], &done["amount_refunded"], &json!(orders), &done["failed"]),
            "{told} {done}"
        );
        assert!(orders > 0, "{told}");
        let again = json!({ "slot_ids": slots, "reason": "typhoon", "dry_run": true });
        let left = desk.call(&desk.admin, Method::POST, path, again).await.expect(200).body;
        assert_eq!((&left["orders"], &left["tickets"], &left["amount"]), (&json!(0), &json!(0), &json!(0)));
    }
    let listed = desk.call(&desk.admin, Method::GET, path, json!({})).await.expect(200).body;
    let listed = listed["bulk_refunds"].as_array().unwrap();
    assert_eq!(
        (listed.len(), &listed[0]["slot_ids"]),
        (2, &json!([adult.slot_id.unwrap(), other])),
        "the newest first"
    );
    crate::refunds::carried(&app).await;
    app.finish().await;
}
