//! Lapsed holds: places come back exactly once, and never under a payment on its way.

use std::time::Duration;

use serde_json::json;

use crate::support::given::places;
use crate::support::{Options, TestApp, race};

const PAST_THE_HOLD: Duration = Duration::from_secs(602);

#[tokio::test]
async fn expiry_gives_places_back_once_with_several_workers_running() {
    let app = TestApp::start_with(Options { instances: 3, ..Options::default() }).await;
    let adult = app.given(places(20)).await;
    for n in 0..10 {
        app.visitor(n).held(&adult, 2).await;
    }
    app.visitor(99).order(&adult, 1).await.refused(409, "stock.sold_out");
    assert_eq!(app.tick("expire").await, 0, "nothing lapses before its time");

    app.advance(PAST_THE_HOLD).await;
    let released: usize = race(3, |n| app.tick_on(n, "expire")).await.into_iter().sum();
    assert_eq!(released, 10, "each hold is released by exactly one worker");
    assert_eq!(app.stock(adult.stock_id).await, (0, 0));
    app.until("Redis has all places back", async || app.redis_free(&adult).await == Some(20)).await;
    assert_eq!(app.tick("expire").await, 0);
    app.finish().await;
}

#[tokio::test]
async fn an_order_being_confirmed_does_not_expire() {
    let app = TestApp::start().await;
    let adult = app.given(places(2)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 2).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    app.simulate("faults", json!({ "op": "confirm", "kind": "timeout_after", "count": 1, "delay_ms": 5_000 })).await;
    app.simulate("faults", json!({ "op": "query", "kind": "error_before", "count": 20 })).await;
    let confirming = tokio::spawn({
        let request = visitor
            .post("/api/payments/confirm")
            .header("idempotency-key", "k")
            .json(&json!({ "payment_key": payment_key, "order_id": order_id, "amount": order.total }));
        async move { request.send().await.unwrap().status().as_u16() }
    });
    app.until("the attempt is sent", async || {
        app.db.one::<i64>("select count(*) from attempts where state = 'sent'").await == 1
    })
    .await;
    app.advance(PAST_THE_HOLD).await;
    assert_eq!(app.tick("expire").await, 0);
    visitor.cancel(&order).await.refused(409, "payment.in_progress");
    assert_eq!(app.stock(adult.stock_id).await, (2, 0));

    // Toss had approved it: recovery finds out and settles.
    app.http.delete(format!("{}/_sim/faults", app.simulator.base_url())).send().await.unwrap();
    app.until("recovery settles it", async || {
        // The call itself may have given up meanwhile, and asked for a look some seconds later.
        app.advance(Duration::from_secs(2)).await;
        app.tick("recover").await;
        visitor.read(&order).await.body["status"] == "paid"
    })
    .await;
    confirming.abort();
    app.finish().await;
}

#[tokio::test]
async fn a_lapsed_hold_is_seated_again_when_there_is_room() {
    let app = TestApp::start().await;
    let adult = app.given(places(3)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 2).await;
    // Authenticated in time: Toss would still take the money when the hold has lapsed.
    app.advance(PAST_THE_HOLD / 2).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    app.advance(PAST_THE_HOLD / 2).await;
    assert_eq!(app.tick("expire").await, 1);
    app.until("Redis has the places back", async || app.redis_free(&adult).await == Some(3)).await;

    // Confirmed twice at once: seated once, paid once.
    let answers = race(2, |n| {
        let (visitor, order, order_id, payment_key) =
            (app.visitor(1), order.clone(), order_id.clone(), payment_key.clone());
        async move { visitor.confirm(&order, &order_id, &payment_key, &format!("key-{n}")).await }
    })
    .await;
    assert!(answers.iter().any(|a| a.status == 200), "{answers:?}");
    assert!(answers.iter().all(|a| a.status == 200 || a.code() == "payment.in_progress"), "{answers:?}");
    assert_eq!(app.stock(adult.stock_id).await, (0, 2));
    assert_eq!(app.simulator_counts().await["approved"], 1);
    app.finish().await;
}

#[tokio::test]
async fn a_lapsed_hold_without_room_is_never_sent_to_toss() {
    let app = TestApp::start().await;
    let adult = app.given(places(2)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 2).await;
    // Authenticated in time: Toss would still take the money when the hold has lapsed.
    app.advance(PAST_THE_HOLD / 2).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    app.advance(PAST_THE_HOLD / 2).await;
    assert_eq!(app.tick("expire").await, 1);
    app.until("the places went to somebody else", async || app.visitor(2).order(&adult, 2).await.status == 201).await;

    visitor.confirm(&order, &order_id, &payment_key, "k").await.refused(410, "order.expired");
    visitor.confirm(&order, &order_id, &payment_key, "k").await.refused(410, "order.expired");
    assert_eq!(app.simulator_counts().await["approved"], 0, "nothing was charged");
    visitor.initialize(&order).await.refused(410, "order.expired");
    app.finish().await;
}

#[tokio::test]
async fn late_money_is_seated_if_there_is_room_and_returned_if_not() {
    let app = TestApp::start().await;
    app.with_webhooks().await;
    let adult = app.given(places(2)).await;
    // Approved at Toss behind our back, as after a lost answer; we hear of it only after the hold has lapsed.
    let (seated, late) = (app.visitor(1), app.visitor(2));
    let first = seated.held(&adult, 1).await;
    let second = late.held(&adult, 1).await;
    let mut approved = Vec::new();
    app.simulate("webhooks", json!({ "mode": "off" })).await;
    for (visitor, order) in [(&seated, &first), (&late, &second)] {
        let (order_id, payment_key) = visitor.authorised(order).await;
        crate::payments::approve_at_toss(&app, &order_id, &payment_key, order.total).await;
        approved.push((order_id, payment_key));
    }
    app.advance(PAST_THE_HOLD).await;
    assert_eq!(app.tick("expire").await, 2);
    app.until("one place goes to somebody else", async || app.visitor(3).order(&adult, 1).await.status == 201).await;

    for (order_id, payment_key) in &approved {
        crate::payments::send_webhook(&app, order_id, payment_key, "DONE").await;
        app.webhooks().await;
    }
    assert_eq!(seated.read(&first).await.body["status"], "paid");
    assert_eq!(late.read(&second).await.body["status"], "expired");
    app.tick("refunds").await;
    let counts = app.simulator_counts().await;
    assert_eq!((&counts["approved"], &counts["cancelled_amount"]), (&json!(2), &json!(second.total)));
    app.finish().await;
}
