//! Every bad input gets the right status, a stable code and words, and changes nothing.

use serde_json::{Value, json};

use crate::support::given::places;
use crate::support::{Answer, Given, Kind, TestApp};

async fn post(app: &TestApp, body: &Value) -> Answer {
    Answer::of(app.http.post(app.url("/api/orders")).json(body)).await
}

/// The one refused field and its code.
fn field(answer: &Answer) -> (String, String) {
    assert_eq!((answer.status, answer.code()), (422, "request.invalid"), "{}", answer.body);
    let errors = answer.body["errors"].as_array().unwrap();
    let error = &errors[0];
    assert!(error["detail"].as_str().is_some_and(|d| !d.is_empty() && !d.starts_with("field.")), "{error}");
    (error["field"].as_str().unwrap().to_owned(), error["code"].as_str().unwrap().to_owned())
}

fn with(ask: &Value, key: &str, value: Value) -> Value {
    let mut changed = ask.clone();
    changed[key] = value;
    changed
}

async fn nothing_changed(app: &TestApp, given: &Given) {
    assert_eq!(app.db.one::<i64>("select count(*) from orders").await, 0);
    let levels = admit::stock::redis::levels(&app.app().redis, given.code, true).await.unwrap().unwrap();
    assert_eq!((levels.free[&given.stock_id], levels.in_flight.len()), (100, 0));
}

#[tokio::test]
async fn every_field_of_an_order_is_looked_at() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(50), per_order_max: 4, ..places(100) }).await;
    let foreign = app.given(Kind { code: "other", ..places(100) }).await;
    let ask = app.visitor(1).ask(&adult, 1);
    let items = |product: Value, quantity: Value| json!([{ "product_id": product, "quantity": quantity }]);
    let long = "가".repeat(51);
    for (key, value, at, code) in [
        ("items", json!([]), "items", "required"),
        ("items", items(json!(adult.product_id), json!(0)), "items[0].quantity", "too_few"),
        ("items", items(json!(adult.product_id), json!(-1)), "items[0].quantity", "too_few"),
        ("items", items(json!(adult.product_id), json!(5)), "items[0].quantity", "per_order_limit"),
        ("items", items(json!(adult.product_id), json!(1.5)), "items[0].quantity", "malformed"),
        ("items", items(json!(adult.product_id), json!("1")), "items[0].quantity", "malformed"),
        (
            "items",
            items(json!(adult.product_id), json!(9_007_199_254_740_993_i64)),
            "items[0].quantity",
            "per_order_limit",
        ),
        ("items", items(json!(999_999), json!(1)), "items[0].product_id", "unknown_product"),
        ("items", items(json!(-1), json!(1)), "items[0].product_id", "unknown_product"),
        ("items", items(json!(foreign.product_id), json!(1)), "items[0].product_id", "unknown_product"),
        ("items", json!("none"), "items", "malformed"),
        ("customer_name", json!(""), "customer_name", "required"),
        ("customer_name", json!("  "), "customer_name", "required"),
        ("customer_name", json!(long), "customer_name", "too_long"),
        ("customer_name", json!("홍\u{0000}길동"), "customer_name", "control_characters"),
        ("customer_name", json!("a\nb"), "customer_name", "control_characters"),
        ("customer_name", json!(7), "customer_name", "malformed"),
        ("customer_phone", json!("02-123-4567"), "customer_phone", "phone"),
        ("customer_phone", json!("010-1234-567"), "customer_phone", "phone"),
        ("customer_phone", json!("not a phone"), "customer_phone", "phone"),
        ("customer_email", json!("nobody"), "customer_email", "email"),
        ("customer_email", json!(format!("{}@example.org", "a".repeat(250))), "customer_email", "email"),
        ("visit_date", json!("2020-01-01"), "visit_date", "past"),
        ("visit_date", json!("2099-01-01"), "visit_date", "no_slot"),
        ("visit_date", json!("2026-02-30"), "visit_date", "date"),
        ("visit_date", json!("tomorrow"), "visit_date", "date"),
        ("visit_date", Value::Null, "visit_date", "required"),
        ("slot_id", json!(999_999), "slot_id", "unknown_slot"),
        ("referral_code", json!("x".repeat(65)), "referral_code", "too_long"),
    ] {
        let answer = post(&app, &with(&ask, key, value.clone())).await;
        assert_eq!(field(&answer), (at.to_owned(), code.to_owned()), "{key}: {value}");
    }
    let twice =
        json!([{ "product_id": adult.product_id, "quantity": 1 }, { "product_id": adult.product_id, "quantity": 1 }]);
    assert_eq!(field(&post(&app, &with(&ask, "items", twice)).await).1, "duplicate");
    let mut missing = ask.clone();
    missing.as_object_mut().unwrap().remove("customer_phone");
    assert_eq!(field(&post(&app, &missing).await), ("customer_phone".to_owned(), "required".to_owned()));
    post(&app, &with(&ask, "exhibition_code", json!("nowhere"))).await.refused(404, "catalogue.unknown_exhibition");
    post(&app, &with(&ask, "exhibition_code", json!("../aaa"))).await.refused(404, "catalogue.unknown_exhibition");
    nothing_changed(&app, &adult).await;
    // What is unknown is ignored, not refused.
    post(&app, &with(&ask, "colour", json!("blue"))).await.expect(201);
    app.finish().await;
}

#[tokio::test]
async fn what_is_not_on_sale_is_refused_with_its_reason() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let ask = app.visitor(1).ask(&adult, 1);
    for (change, status, code) in [
        ("update exhibitions set paused = true", 409, "sale.paused"),
        (
            "update exhibitions set paused = false; update products set sale_start_at = now() + interval '1 hour'",
            409,
            "sale.not_yet",
        ),
        ("update products set sale_start_at = null, sale_end_at = now() - interval '1 hour'", 409, "sale.ended"),
    ] {
        app.db.execute(change).await;
        app.refresh().await;
        post(&app, &ask).await.refused(status, code);
    }
    app.db.execute("update products set sale_end_at = null, active = false").await;
    app.refresh().await;
    post(&app, &ask).await.refused(409, "sale.paused");
    app.db.execute("update products set active = true").await;
    app.refresh().await;
    nothing_changed(&app, &adult).await;
    app.finish().await;
}

#[tokio::test]
async fn a_closed_slot_and_several_slots_a_day_are_told_apart() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(50), ..places(100) }).await;
    let ask = app.visitor(1).ask(&adult, 1);
    app.db.execute("update slots set closed = true").await;
    app.refresh().await;
    assert_eq!(field(&post(&app, &ask).await), ("visit_date".to_owned(), "closed".to_owned()));
    app.db
        .execute(
            "update slots set closed = false, start_time = '10:00', end_time = '12:00';
             with s as (insert into stock (exhibition_id, total, offered, epoch)
                        select exhibition_id, 5, 5, max(epoch) from stock group by exhibition_id returning id, exhibition_id)
             insert into slots (exhibition_id, stock_id, visit_date, start_time, end_time)
             select s.exhibition_id, s.id, (select min(visit_date) from slots), '14:00', '16:00' from s",
        )
        .await;
    app.refresh().await;
    admit::stock::rebuild::rebuild(app.app(), adult.exhibition_id, adult.code, "test").await.unwrap();
    assert_eq!(field(&post(&app, &ask).await), ("slot_id".to_owned(), "required".to_owned()));
    nothing_changed(&app, &adult).await;
    let other_day = with(&with(&ask, "slot_id", json!(adult.slot_id)), "visit_date", json!("2026-01-01"));
    assert_eq!(field(&post(&app, &other_day).await), ("slot_id".to_owned(), "other_date".to_owned()));
    post(&app, &with(&ask, "slot_id", json!(adult.slot_id))).await.expect(201);
    app.finish().await;
}

#[tokio::test]
async fn requests_that_are_not_well_formed_are_told_so() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let raw = |body: Vec<u8>, kind: &str| {
        Answer::of(app.http.post(app.url("/api/orders")).header("content-type", kind.to_owned()).body(body))
    };
    raw(b"{".to_vec(), "application/json").await.refused(400, "request.malformed_json");
    raw(vec![0xff, 0xfe, b'{'], "application/json").await.refused(400, "request.malformed_json");
    raw(b"{}".to_vec(), "text/plain").await.refused(415, "request.content_type");
    raw(b"a=b".to_vec(), "application/x-www-form-urlencoded").await.refused(415, "request.content_type");
    raw(format!("{{\"x\":\"{}\"}}", "x".repeat(65 * 1024)).into_bytes(), "application/json")
        .await
        .refused(413, "request.too_large");
    Answer::of(app.http.post(app.url("/api/orders")).json(&json!([1, 2]))).await.refused(422, "request.invalid");
    Answer::of(app.http.get(app.url("/api/orders"))).await.refused(405, "request.method_not_allowed");
    Answer::of(app.http.get(app.url("/api/nothing"))).await.refused(404, "request.not_found");
    let ask = app.visitor(1).ask(&adult, 1);
    for key in ["x".repeat(256), "키".to_owned()] {
        let request = app.http.post(app.url("/api/orders")).header("idempotency-key", key).json(&ask);
        Answer::of(request).await.refused(400, "idempotency.malformed_key");
    }
    let confirm = json!({ "payment_key": "k", "order_id": "o", "amount": 1 });
    Answer::of(app.http.post(app.url("/api/payments/confirm")).json(&confirm))
        .await
        .refused(400, "idempotency.key_required");
    let odd = with(&confirm, "payment_key", json!("a b\u{0}"));
    let request = app.http.post(app.url("/api/payments/confirm")).header("idempotency-key", "k").json(&odd);
    assert_eq!(field(&Answer::of(request).await).0, "payment_key");
    for order_id in ["a\u{0}", "ORD20250101-0000000000", "ORD20250101-0000000000-1' or 1=1"] {
        let odd = json!({ "payment_key": "k", "order_id": order_id, "amount": 1 });
        let request = app.http.post(app.url("/api/payments/confirm")).header("idempotency-key", "k").json(&odd);
        Answer::of(request).await.refused(404, "payment.unknown_order");
    }
    let odd = json!({ "eventType": "PAYMENT_STATUS_CHANGED",
        "data": { "orderId": "ORD20250101-0000000000-1", "paymentKey": "a\u{0}", "status": "\u{0}" } });
    Answer::of(app.http.post(app.url("/api/webhooks/toss")).json(&odd)).await.expect(200);
    for path in
        ["/x/complete/x%00?orderId=x%00-1&paymentKey=k&amount=1", "/%5Cevil.example/payment/ORD20250101-0000000000"]
    {
        let status = app.http.get(app.url(path)).send().await.unwrap().status().as_u16();
        assert_eq!(status, 404, "{path}");
    }
    for date in ["2026-02-30", "2020-01-01", "tomorrow"] {
        let undated = with(&ask, "visit_date", json!(date));
        assert_eq!(field(&Answer::of(app.http.post(app.url("/api/orders")).json(&undated)).await).0, "visit_date");
    }
    for number in ["x", "ORD20250101-000000000%00", "ORD20250101-'OR1=1--"] {
        let answer = Answer::of(app.http.get(app.url(&format!("/api/orders/{number}"))).bearer_auth("ot1.x")).await;
        answer.refused(404, "order.unknown");
    }
    nothing_changed(&app, &adult).await;
    app.finish().await;
}

#[tokio::test]
async fn refusals_speak_the_callers_language() {
    let app = TestApp::start().await;
    let adult = app.given(places(1)).await;
    app.visitor(1).held(&adult, 1).await;
    let visitor = app.visitor(2);
    let refused = |language: &'static str| {
        let request = visitor.post("/api/orders").header("accept-language", language).json(&visitor.ask(&adult, 1));
        async move { Answer::of(request).await.refused(409, "stock.sold_out").text("detail") }
    };
    let (ko, en) = (refused("ko-KR,ko;q=0.9").await, refused("en-US").await);
    assert!(ko.chars().any(|c| ('가'..='힣').contains(&c)), "{ko}");
    assert!(en.is_ascii(), "{en}");
    assert_eq!(refused("fr").await, ko, "Korean first");
    app.finish().await;
}

#[tokio::test]
async fn every_answer_carries_its_request_id() {
    let app = TestApp::start().await;
    let reply = app.http.get(app.url("/api/nothing")).header("x-request-id", "abcdefgh-12345").send().await.unwrap();
    assert_eq!(reply.headers()["x-request-id"], "abcdefgh-12345");
    let reply = app.http.get(app.url("/api/nothing")).header("x-request-id", "<script>").send().await.unwrap();
    assert_eq!(reply.headers()["x-request-id"].len(), 32);
    let body: Value = reply.json().await.unwrap();
    assert_eq!(body["request_id"].as_str().unwrap().len(), 32);
    app.finish().await;
}
