//! The main job end to end, over HTTP.

use serde_json::json;

use crate::support::given::places;
use crate::support::{Answer, Kind, TestApp};

#[tokio::test]
async fn a_visitor_books_pays_and_gets_one_code_per_person() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), ..places(100) }).await;
    let visitor = app.visitor(1);

    let placed = visitor.order(&adult, 2).await.expect(201);
    assert_eq!(placed.body["status"], "held");
    assert_eq!(placed.body["payment_status"], "pending");
    assert_eq!(placed.body["total_amount"], 20_000);
    assert_eq!(placed.body["currency"], "KRW");
    assert!(placed.text("payment_url").contains("/xyz/payment/ORD"));
    assert_eq!(app.stock(adult.stock_id).await, (2, 0));
    assert_eq!(app.stock(adult.slot_stock_id.unwrap()).await, (2, 0), "a ticket for a slot takes of both stocks");

    let order = (&placed).into();
    let paid = visitor.pay(&order).await.expect(200);
    assert_eq!(paid.body["status"], "paid");
    let tickets = paid.body["tickets"].as_array().unwrap();
    assert_eq!(tickets.len(), 2);
    assert_ne!(tickets[0]["qr_code"], tickets[1]["qr_code"]);
    assert_eq!(app.stock(adult.stock_id).await, (0, 2));

    let read = visitor.read(&order).await.expect(200);
    assert_eq!(read.body["tickets"].as_array().unwrap().len(), 2);
    assert_eq!(read.body["payment_method"], "카드");
    app.finish().await;
}

#[tokio::test]
async fn an_undated_ticket_in_a_dated_order_is_not_bound_to_the_day() {
    let app = TestApp::start().await;
    let dated = app.given(Kind { slot_places: Some(20), ..places(100) }).await;
    let open = app.given(places(50)).await;
    let visitor = app.visitor(1);
    let mut ask = visitor.ask(&dated, 1);
    ask["items"].as_array_mut().unwrap().push(json!({ "product_id": open.product_id, "quantity": 2 }));
    let placed = Answer::of(visitor.post("/api/orders").json(&ask)).await.expect(201);
    assert_eq!(app.stock(dated.slot_stock_id.unwrap()).await, (1, 0));
    let paid = visitor.pay(&(&placed).into()).await.expect(200);
    let days: Vec<bool> = paid.body["tickets"].as_array().unwrap().iter().map(|t| t["slot_date"].is_string()).collect();
    assert_eq!(days, [true, false, false]);
    app.finish().await;
}

#[tokio::test]
async fn an_order_is_shown_only_to_whoever_proves_it_is_theirs() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let (visitor, other) = (app.visitor(1), app.visitor(2));
    let order = visitor.held(&adult, 1).await;
    let path = format!("/api/orders/{}", order.number);

    Answer::of(visitor.get(&path)).await.refused(401, "order.token_required");
    let foreign = other.held(&adult, 1).await;
    Answer::of(visitor.get(&path).bearer_auth(&foreign.token)).await.refused(403, "order.wrong_token");
    let cookie = format!("admit_{}={}", order.number.to_lowercase(), order.token);
    Answer::of(visitor.get(&path).header("cookie", cookie)).await.expect(200);
    Answer::of(visitor.get("/api/orders/ORD20250101-0000000000").bearer_auth(&order.token))
        .await
        .refused(404, "order.unknown");

    let found = Answer::of(
        visitor.post("/api/orders/lookup").json(&json!({ "order_number": order.number, "phone": visitor.phone })),
    )
    .await
    .expect(200);
    assert_eq!(found.text("order_token"), order.token);
    let wrong = json!({ "order_number": order.number, "phone": other.phone });
    Answer::of(visitor.post("/api/orders/lookup").json(&wrong)).await.refused(404, "order.unknown");
    app.finish().await;
}

#[tokio::test]
async fn cancelling_gives_the_places_back_at_once() {
    let app = TestApp::start().await;
    let adult = app.given(places(3)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 3).await;
    app.visitor(2).order(&adult, 1).await.refused(409, "stock.sold_out");

    let cancelled = visitor.cancel(&order).await.expect(200);
    assert_eq!(cancelled.body["status"], "cancelled");
    visitor.cancel(&order).await.expect(200);
    app.until("Redis has the places back", async || app.redis_free(&adult).await == Some(3)).await;
    app.visitor(2).order(&adult, 3).await.expect(201);
    visitor.initialize(&order).await.refused(410, "order.closed");
    app.finish().await;
}

#[tokio::test]
async fn a_free_order_needs_no_payment() {
    let app = TestApp::start().await;
    let free = app.given(Kind { price_won: 0, ..places(5) }).await;
    let visitor = app.visitor(1);
    let placed = visitor.order(&free, 2).await.expect(201);
    assert_eq!(placed.body["status"], "paid");
    let order = (&placed).into();
    assert_eq!(visitor.read(&order).await.body["tickets"].as_array().unwrap().len(), 2);
    visitor.initialize(&order).await.refused(409, "payment.nothing_to_pay");
    app.finish().await;
}

#[tokio::test]
async fn a_person_gets_no_more_than_the_limit_across_orders() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { person_limit: Some(4), ..places(100) }).await;
    let visitor = app.visitor(1);
    visitor.order(&adult, 3).await.expect(201);
    visitor.order(&adult, 2).await.refused(409, "stock.person_limit");
    let last = visitor.held(&adult, 1).await;
    visitor.order(&adult, 1).await.refused(409, "stock.person_limit");
    app.visitor(2).order(&adult, 4).await.expect(201);
    // What is given back may be taken again.
    visitor.cancel(&last).await.expect(200);
    app.until("the place is counted back", async || visitor.order(&adult, 1).await.status == 201).await;
    assert_eq!(app.stock(adult.stock_id).await, (8, 0));
    app.finish().await;
}

#[tokio::test]
async fn a_person_counted_too_high_in_redis_is_not_refused() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { person_limit: Some(4), ..places(100) }).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 2).await;
    let person: Vec<u8> = app.db.one("select person_key from orders").await;
    let person: [u8; 16] = person.try_into().unwrap();
    // As after a release that was lost, or a rebuild in the middle of a sale.
    admit::stock::redis::set_person(&app.app().redis, adult.code, &person, 9, 3).await.unwrap();
    visitor.order(&adult, 2).await.expect(201);
    visitor.order(&adult, 1).await.refused(409, "stock.person_limit");
    visitor.cancel(&order).await.expect(200);
    app.finish().await;
}

#[tokio::test]
async fn one_phone_number_has_few_open_holds_unless_it_pays() {
    let app = TestApp::start_with(crate::support::Options { exempt: false, ..Default::default() }).await;
    let adult = app.given(places(100)).await;
    let visitor = app.visitor(1);
    let first = visitor.held(&adult, 1).await;
    visitor.order(&adult, 1).await.refused(409, "order.open_holds");
    visitor.pay(&first).await.expect(200);
    app.until("the hold is closed", async || visitor.order(&adult, 1).await.status == 201).await;
    app.finish().await;
}
