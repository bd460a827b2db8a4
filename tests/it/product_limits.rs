//! What one person may have of a product, over all orders: judged by Postgres, under a lock of the person.

use std::time::Duration;

use admit::admin::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::devices::Door;
use crate::payments::{approve_at_toss, send_webhook};
use crate::refunds::{carried, paid, refund};
use crate::support::given::places;
use crate::support::{Answer, Given, Kind, Options, TestApp, Visitor, race};

fn limited(most: i32) -> Kind {
    Kind { per_person_max: Some(most), open_holds_max: 50, ..places(100) }
}

/// An order of two products.
async fn both(visitor: &Visitor<'_>, (one, n): (&Given, i64), (other, m): (&Given, i64)) -> Answer {
    let mut ask = visitor.ask(one, n);
    let item = json!({ "product_id": other.product_id, "quantity": m });
    ask["items"].as_array_mut().unwrap().push(item);
    Answer::of(visitor.post("/api/orders").json(&ask)).await
}

#[tokio::test]
async fn nobody_has_more_of_a_product_than_its_limit_whatever_the_number_of_orders() {
    let app = TestApp::start().await;
    let tour = app.given(limited(3)).await;
    let other = app.given(places(100)).await;
    let visitor = app.visitor(1);
    let four = visitor.order(&tour, 4).await.refused(422, "request.invalid");
    let said = &four.body["errors"][0];
    assert_eq!((&said["field"], &said["code"]), (&json!("items[0].quantity"), &json!("per_person_limit")));

    let first = visitor.held(&tour, 2).await;
    let refused = both(&visitor, (&other, 1), (&tour, 2)).await.refused(409, "stock.product_limit");
    assert!(refused.text("detail").contains("성인 (Adult), 1인 최대 3매"), "{}", refused.body);
    // What was taken for the refused order is free again, of both products.
    app.until("nothing is kept", async || {
        app.redis_free(&tour).await == Some(98) && app.redis_free(&other).await == Some(100)
    })
    .await;
    both(&visitor, (&other, 9), (&tour, 1)).await.expect(201);
    visitor.order(&tour, 1).await.refused(409, "stock.product_limit");
    visitor.order(&other, 10).await.expect(201);
    app.visitor(2).order(&tour, 3).await.expect(201);

    // What is given up counts no more.
    visitor.cancel(&first).await.expect(200);
    visitor.order(&tour, 2).await.expect(201);
    visitor.order(&tour, 1).await.refused(409, "stock.product_limit");
    app.finish().await;
}

#[tokio::test]
async fn a_repeat_of_an_order_at_the_limit_is_that_order() {
    let app = TestApp::start().await;
    let tour = app.given(limited(2)).await;
    let visitor = app.visitor(1);
    let first = visitor.order_keyed(&tour, 2, "k").await.expect(201);
    let again = visitor.order_keyed(&tour, 2, "k").await;
    assert_eq!(again.text("order_number"), first.text("order_number"));
    app.finish().await;
}

/// A server that looks what somebody has and then writes.
async fn naive(app: &TestApp, most: i64, devices: usize) -> i64 {
    app.db.execute("create table naive_orders (quantity int)").await;
    let clients = race(devices, |_| app.db.client()).await;
    let gate = tokio::sync::Barrier::new(devices);
    race(devices, |n| {
        let (client, gate) = (&clients[n], &gate);
        async move {
            let row = client.query_one("select coalesce(sum(quantity), 0) from naive_orders", &[]).await.unwrap();
            // Everybody has looked before anybody writes: what happens by itself under load, made certain.
            gate.wait().await;
            if row.get::<_, i64>(0) < most {
                client.execute("insert into naive_orders values (1)", &[]).await.unwrap();
            }
        }
    })
    .await;
    app.db.one("select count(*) from naive_orders").await
}

#[tokio::test]
async fn somebody_with_many_devices_stays_within_the_limit_and_a_naive_writer_does_not() {
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    let tour = app.given(limited(3)).await;
    // Of these persons there is nothing yet that could be locked.
    for n in 0..8 {
        let answers = race(12, |k| {
            let visitor = app.visitor(n).at(k % 2);
            let tour = &tour;
            async move { visitor.order(tour, 1).await }
        })
        .await;
        assert_eq!(answers.iter().filter(|a| a.status == 201).count(), 3, "{n}");
        for refused in answers.iter().filter(|a| a.status != 201) {
            assert_eq!((refused.status, refused.code()), (409, "stock.product_limit"));
        }
    }
    app.until("what was refused is free", async || app.redis_free(&tour).await == Some(76)).await;
    assert_eq!(app.stock(tour.stock_id).await, (24, 0));
    assert!(naive(&app, 3, 24).await > 3, "the naive writer must lose, or this test proves nothing");
    app.finish().await;
}

#[tokio::test]
async fn a_ticket_given_back_may_be_bought_again() {
    let app = TestApp::start().await;
    let tour = app.given(limited(3)).await;
    let visitor = app.visitor(1);
    let bought = paid(&visitor, &tour, 3).await;
    visitor.order(&tour, 1).await.refused(409, "stock.product_limit");
    let back = json!({ "ticket_ids": [bought.tickets[0]], "amount": 10_000 });
    refund(&visitor, &bought.order, "r", back).await.expect(200);
    visitor.order(&tour, 2).await.refused(409, "stock.product_limit");
    let last = visitor.held(&tour, 1).await;
    visitor.order(&tour, 1).await.refused(409, "stock.product_limit");
    visitor.cancel(&last).await.expect(200);
    let back = json!({ "ticket_ids": bought.tickets[1..], "amount": 20_000 });
    refund(&visitor, &bought.order, "s", back).await.expect(200);
    visitor.order(&tour, 3).await.expect(201);
    carried(&app).await;
    app.finish().await;
}

#[tokio::test]
async fn late_money_for_what_somebody_may_not_have_any_more_goes_back() {
    let app = TestApp::start().await;
    app.with_webhooks().await;
    let tour = app.given(limited(2)).await;
    let visitor = app.visitor(1);
    let first = visitor.held(&tour, 2).await;
    app.simulate("webhooks", json!({ "mode": "off" })).await;
    let (order_id, payment_key) = visitor.authorised(&first).await;
    approve_at_toss(&app, &order_id, &payment_key, first.total).await;
    app.advance(Duration::from_secs(3600)).await;
    assert_eq!(app.tick("expire").await, 1);
    let second = visitor.held(&tour, 1).await;

    send_webhook(&app, &order_id, &payment_key, "DONE").await;
    app.webhooks().await;
    assert_eq!(visitor.read(&first).await.body["status"], "expired");
    carried(&app).await;
    assert_eq!(app.simulator_counts().await["cancelled_amount"], first.total);
    visitor.pay(&second).await.expect(200);
    app.finish().await;
}

#[tokio::test]
async fn an_order_moves_to_no_number_that_has_as_many_already() {
    let app = TestApp::start().await;
    let tour = app.given(limited(3)).await;
    let desk = Desk::of(&app).await;
    let (one, two) = (app.visitor(1), app.visitor(2));
    let order = one.held(&tour, 2).await;
    one.pay(&order).await.expect(200);
    let others = two.held(&tour, 2).await;
    let to = |visitor: &Visitor<'_>| json!({ "customer_phone": visitor.phone });
    desk.patch(&order.number, to(&two)).await.refused(409, "stock.product_limit");
    two.cancel(&others).await.expect(200);
    desk.patch(&order.number, to(&two)).await.expect(200);
    two.order(&tour, 2).await.refused(409, "stock.product_limit");
    one.order(&tour, 3).await.expect(201);

    // A gift is nobody's, whoever it is sent to.
    let gift = json!({ "items": [{ "product_id": tour.product_id, "quantity": 5 }],
        "customer_name": "박", "reason": "press" });
    let url = app.url("/api/admin/exhibitions/xyz/complimentary");
    let sent = app.http.request(Method::POST, url).bearer_auth(&desk.admin).header("idempotency-key", "gift-1");
    let gift = Answer::of(sent.json(&gift)).await.expect(201);
    desk.patch(&gift.text("order_number"), to(&two)).await.expect(200);
    two.order(&tour, 1).await.expect(201);
    app.sweep().await;
    app.finish().await;
}

#[tokio::test]
async fn a_limit_that_is_set_later_counts_what_there_is_and_takes_nothing_away() {
    // Of callers that are spared limits nobody keeps count.
    let app = TestApp::start_with(Options { exempt: false, ..Options::default() }).await;
    let tour = app.given(Kind { open_holds_max: 50, ..places(100) }).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&tour, 4).await;
    app.account("owner", Role::SuperAdmin, &[]).await;
    let token = app.access_token("owner").await;
    let url = app.url(&format!("/api/admin/products/{}", tour.product_id));
    let set = async |seen: &str, most: Value| {
        let request = app.http.put(&url).bearer_auth(&token).header("if-match", seen);
        let answer = Answer::of(request.json(&json!({ "per_person_max": most }))).await.expect(200);
        app.refresh().await;
        answer
    };
    assert_eq!(set("\"1\"", json!(3)).await.body["per_person_max"], 3);
    let shown = Answer::of(app.http.get(app.url("/api/exhibitions/xyz/products"))).await.expect(200);
    assert_eq!(shown.body["products"][0]["per_person_max"], 3);
    visitor.order(&tour, 1).await.refused(409, "stock.product_limit");
    visitor.pay(&order).await.expect(200);
    assert_eq!(visitor.read(&order).await.body["tickets"].as_array().unwrap().len(), 4);
    set("\"2\"", Value::Null).await;
    visitor.order(&tour, 10).await.expect(201);
    app.finish().await;
}

#[tokio::test]
async fn the_gate_sells_to_groups_whatever_one_person_may_have() {
    let app = TestApp::start().await;
    let tour = app.given(limited(3)).await;
    let door = Door::of(&app).await;
    door.call(Method::PUT, "/api/admin/exhibitions/xyz/entry-rules", json!({ "exhibition": null, "walk_ins": true }))
        .await
        .expect(200);
    app.refresh().await;
    let shift = door.device("north").await.shift("kim").await;
    let sale = json!({ "items": [{ "product_id": tour.product_id, "quantity": 5 }], "amount": 50_000 });
    let call = app.http.post(app.url("/api/entrance/walk-ins")).bearer_auth(&shift).header("idempotency-key", "1");
    Answer::of(call.json(&sale)).await.expect(201);
    app.finish().await;
}

/// What a person has is found by looks at keys alone: a plan that reads all orders of the exhibition would do so under the locks
/// of every batch.
#[tokio::test]
async fn what_somebody_has_is_found_without_reading_other_orders() {
    let app = TestApp::start().await;
    let tour = app.given(limited(3)).await;
    app.visitor(1).held(&tour, 2).await;
    let client = app.db.client().await;
    let statement = admit::orders::writer::STATEMENTS.iter().find(|s| s.name == "writer.per_person").unwrap();
    // As the pools have it.
    client
        .batch_execute(&format!(
            "set plan_cache_mode = force_generic_plan; set enable_seqscan = off;
             prepare look (bytea[], int[]) as {}",
            statement.sql
        ))
        .await
        .unwrap();
    let rows =
        client.query("explain (format text) execute look (array[]::bytea[], array[]::int[])", &[]).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let scans = plan.iter().enumerate().filter(|(_, line)| line.contains("Scan") && !line.contains("Function Scan"));
    let blind: Vec<&String> = scans
        .filter(|(at, line)| !line.contains("Bitmap Heap Scan") && !plan[at + 1].contains("Index Cond"))
        .map(|(_, line)| line)
        .collect();
    assert!(blind.is_empty() && plan.len() > 5, "{}", plan.join("\n"));
    drop(client);
    app.finish().await;
}

#[tokio::test]
async fn somebody_who_orders_many_times_at_once_has_no_more_open_holds_than_one() {
    // Two instances, and callers that are spared nothing. Redis forgets what is on its way when it is corrected.
    let app = TestApp::start_with(Options { instances: 2, exempt: false, ..Options::default() }).await;
    let tour = app.given(Kind { open_holds_max: 1, ..places(100) }).await;
    for n in 0..6 {
        let answers = race(5, |k| {
            let visitor = app.visitor(n).at(k % 2);
            let tour = &tour;
            async move { visitor.order(tour, 1).await }
        })
        .await;
        assert_eq!(answers.iter().filter(|a| a.status == 201).count(), 1, "{n}");
        for refused in answers.iter().filter(|a| a.status != 201) {
            assert_eq!((refused.status, refused.code()), (409, "order.open_holds"));
        }
    }
    app.until("what was refused is free", async || app.redis_free(&tour).await == Some(94)).await;
    app.finish().await;
}

/// The first orders of somebody, at two instances at once, wait for each other and for nobody else.
#[tokio::test]
async fn first_orders_of_somebody_at_two_instances_end_in_no_deadlock() {
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    let given = app.given(Kind { person_limit: Some(9), price_won: 0, ..places(900) }).await;
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    for n in 0..15 {
        race(6, |k| {
            let visitor = app.visitor(n).at(k % 2);
            let given = &given;
            async move { visitor.order(given, 1).await.expect(201) }
        })
        .await;
    }
    assert_eq!(app.db.one::<i64>(deadlocks).await, 0);
    app.finish().await;
}
