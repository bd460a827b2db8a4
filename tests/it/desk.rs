//! Admins and people who support visitors look after orders: find them, read them, correct them.

use admit::admin::Role;
use reqwest::Method;
use serde_json::{Value, json};

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
