//! The same key: the same answer, and no second effect.

use serde_json::json;

use crate::support::given::places;
use crate::support::visitor::Held;
use crate::support::{Answer, Options, TestApp, race};

#[tokio::test]
async fn the_same_key_and_body_get_the_same_order() {
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    let adult = app.given(places(3)).await;
    let visitor = app.visitor(1);
    let first = visitor.order_keyed(&adult, 3, "same").await.expect(201);
    // Sold out by now, even for others; the repeat still gets its order, from any instance.
    app.visitor(2).order_keyed(&adult, 1, "other").await.refused(409, "stock.sold_out");
    let again = app.visitor(1).at(1).order_keyed(&adult, 3, "same").await.expect(201);
    assert_eq!(Held::from(&first).number, Held::from(&again).number);
    assert_eq!(Held::from(&first).token, Held::from(&again).token);
    visitor.order_keyed(&adult, 2, "same").await.refused(422, "idempotency.key_reused");
    assert_eq!(app.stock(adult.stock_id).await, (3, 0));
    app.finish().await;
}

#[tokio::test]
async fn a_repeat_after_the_take_was_confirmed_takes_nothing_again() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let first = visitor.order_keyed(&adult, 2, "k").await.expect(201);
    app.until("no take is in flight", async || app.stores_agree().await).await;
    for _ in 0..5 {
        let again = visitor.order_keyed(&adult, 2, "k").await.expect(201);
        assert_eq!(first.text("order_number"), again.text("order_number"));
    }
    app.until("Redis has only one take", async || app.redis_free(&adult).await == Some(8)).await;
    app.finish().await;
}

#[tokio::test]
async fn concurrent_repeats_make_one_order() {
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    let adult = app.given(places(100)).await;
    let answers = race(30, |n| {
        let visitor = app.visitor(1).at(n % 2);
        let adult = &adult;
        async move { visitor.order_keyed(adult, 1, "key").await.expect(201).text("order_number") }
    })
    .await;
    assert!(answers.iter().all(|number| *number == answers[0]));
    assert_eq!(app.stock(adult.stock_id).await, (1, 0));
    app.until("Redis has only one take", async || app.redis_free(&adult).await == Some(99)).await;
    app.finish().await;
}

#[tokio::test]
async fn concurrent_other_bodies_under_one_key_make_one_order() {
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    let adult = app.given(places(100)).await;
    let answers = race(20, |n| {
        let visitor = app.visitor(1).at(n % 2);
        let adult = &adult;
        async move { visitor.order_keyed(adult, 1 + (n as i64 / 10), "key").await }
    })
    .await;
    let won: Vec<&Answer> = answers.iter().filter(|a| a.status == 201).collect();
    assert!(!won.is_empty() && won.iter().all(|a| a.text("order_number") == won[0].text("order_number")));
    assert!(answers.iter().all(|a| a.status == 201 || a.code() == "idempotency.key_reused"));
    assert_eq!(app.db.one::<i64>("select count(*) from orders").await, 1);
    app.finish().await;
}

#[tokio::test]
async fn a_payment_confirmed_twice_is_charged_once() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    let answers = race(10, |n| {
        let (visitor, order, order_id, payment_key) =
            (app.visitor(1), order.clone(), order_id.clone(), payment_key.clone());
        async move { visitor.confirm(&order, &order_id, &payment_key, if n < 8 { "same" } else { "another" }).await }
    })
    .await;
    assert!(answers.iter().any(|a| a.status == 200));
    for answer in answers.iter().filter(|a| a.status != 200) {
        assert_eq!(answer.status, 409, "{}", answer.body);
        assert!(matches!(answer.code(), "idempotency.in_progress" | "payment.in_progress"), "{}", answer.body);
        assert!(answer.retry_after.is_some());
    }
    let again = visitor.confirm(&order, &order_id, &payment_key, "same").await.expect(200);
    assert_eq!(again.body["status"], "paid");
    assert_eq!(again.body["tickets"].as_array().unwrap().len(), 1);
    assert_eq!(app.simulator_counts().await["approved"], 1);

    // The key belongs to that payment for good.
    let second = visitor.held(&adult, 1).await;
    let (other_id, other_key) = visitor.authorised(&second).await;
    visitor.confirm(&second, &other_id, &other_key, "same").await.refused(422, "idempotency.key_reused");
    // Without the order's token the answer has no tickets.
    let ask = json!({ "payment_key": payment_key, "order_id": order_id, "amount": order.total });
    let bare = Answer::of(visitor.post("/api/payments/confirm").header("idempotency-key", "same").json(&ask))
        .await
        .expect(200);
    assert!(bare.body.get("tickets").is_none() && bare.body.get("order_token").is_none());
    app.finish().await;
}

#[tokio::test]
async fn the_same_key_opens_one_attempt() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    let open = |key: Option<&'static str>| {
        let ask = json!({ "order_number": order.number, "amount": order.total });
        let mut request = visitor.post("/api/payments/initialize").bearer_auth(&order.token).json(&ask);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        async move { Answer::of(request).await.expect(200).text("order_id") }
    };
    let first = open(Some("a")).await;
    assert_eq!(open(Some("a")).await, first);
    assert_ne!(open(Some("b")).await, first);
    assert_ne!(open(None).await, open(None).await, "each attempt has an order id of its own");
    app.finish().await;
}
