//! Races for the last place. Each runs beside a naive writer that must lose the same race, or it proves nothing.

use crate::support::given::places;
use crate::support::{Kind, Options, TestApp, race};

/// What a careless server does: read, decide, write.
pub async fn naive_sale(app: &TestApp, places: i64, buyers: usize) -> i64 {
    app.db.execute("create table naive (free bigint not null); create table naive_sold (n int)").await;
    app.db.execute(&format!("insert into naive values ({places})")).await;
    let clients = race(buyers.min(40), |_| app.db.client()).await;
    let gate = tokio::sync::Barrier::new(clients.len());
    race(clients.len(), |n| {
        let (client, gate) = (&clients[n], &gate);
        async move {
            let free: i64 = client.query_one("select free from naive", &[]).await.unwrap().get(0);
            // Everybody has read before anybody writes: what happens by itself under load, made certain.
            gate.wait().await;
            if free > 0 {
                client.execute("update naive set free = $1", &[&(free - 1)]).await.unwrap();
                client.execute("insert into naive_sold values (1)", &[]).await.unwrap();
            }
        }
    })
    .await;
    app.db.one("select count(*) from naive_sold").await
}

#[tokio::test]
async fn the_last_places_go_to_as_many_visitors_and_a_naive_writer_oversells() {
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    let adult = app.given(places(7)).await;
    let answers = race(60, |n| {
        let visitor = app.visitor(n).at(n % 2);
        let adult = &adult;
        async move { visitor.order(adult, 1).await }
    })
    .await;
    let won = answers.iter().filter(|a| a.status == 201).count();
    let sold_out = answers.iter().filter(|a| a.code() == "stock.sold_out").count();
    assert_eq!((won, sold_out), (7, 53));
    assert_eq!(app.stock(adult.stock_id).await, (7, 0));

    assert!(naive_sale(&app, 7, 60).await > 7, "the naive writer must oversell, or this test proves nothing");
    app.finish().await;
}

#[tokio::test]
async fn an_order_takes_from_every_stock_or_from_none() {
    let app = TestApp::start().await;
    // The slot is scarcer than the product, and the person scarcer than both.
    let adult = app.given(Kind { slot_places: Some(5), person_limit: Some(3), ..places(100) }).await;
    let answers = race(12, |n| {
        let visitor = app.visitor(n);
        let adult = &adult;
        async move { visitor.order(adult, 2).await.status }
    })
    .await;
    assert_eq!(answers.iter().filter(|s| **s == 201).count(), 2);
    app.visitor(50).order(&adult, 4).await.refused(409, "stock.sold_out");
    let levels = admit::stock::redis::levels(&app.app().redis, adult.code, true).await.unwrap().unwrap();
    assert_eq!(levels.free[&adult.stock_id], 96, "a refused order leaves the product's places alone");
    assert_eq!(levels.free[&adult.slot_stock_id.unwrap()], 1);
    app.visitor(51).order(&adult, 1).await.expect(201);
    app.visitor(0).order(&adult, 1).await;
    app.finish().await;
}

#[tokio::test]
async fn a_person_racing_with_many_devices_stays_within_the_limit() {
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    let adult = app.given(Kind { person_limit: Some(3), ..places(100) }).await;
    let statuses = race(20, |n| {
        let visitor = app.visitor(7).at(n % 2);
        let adult = &adult;
        async move { visitor.order(adult, 1).await.status }
    })
    .await;
    assert_eq!(statuses.iter().filter(|s| **s == 201).count(), 3);
    app.finish().await;
}

#[tokio::test]
async fn several_exhibitions_share_the_writer() {
    let app = TestApp::start().await;
    let one = app.given(Kind { code: "one", ..places(40) }).await;
    let two = app.given(Kind { code: "two", ..places(10) }).await;
    let statuses = race(80, |n| {
        let visitor = app.visitor(n);
        let given = if n % 4 == 0 { &two } else { &one };
        async move { visitor.order(given, 1).await.status }
    })
    .await;
    assert_eq!(statuses.iter().filter(|s| **s == 201).count(), 50);
    app.finish().await;
}

#[tokio::test]
async fn a_full_queue_is_refused_and_keeps_no_place() {
    let app = TestApp::start_with(Options { writer_queue: 1, ..Options::default() }).await;
    let adult = app.given(places(500)).await;
    let answers = race(100, |n| {
        let visitor = app.visitor(n);
        let adult = &adult;
        async move { visitor.order(adult, 1).await }
    })
    .await;
    let won = answers.iter().filter(|a| a.status == 201).count() as i32;
    for refused in answers.iter().filter(|a| a.status != 201) {
        assert_eq!((refused.status, refused.code()), (503, "stock.busy"));
        assert!(refused.retry_after.is_some());
    }
    assert!(won > 0 && won < 100, "{won} won: the queue was never full");
    assert_eq!(app.stock(adult.stock_id).await, (won, 0));
    app.finish().await;
}
