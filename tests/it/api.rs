//! The public reads, and the limits that protect them.

use serde_json::Value;

use crate::support::given::places;
use crate::support::{Kind, Options, TestApp};

async fn get(app: &TestApp, path: &str) -> Value {
    let reply = app.http.get(app.url(path)).send().await.unwrap();
    assert_eq!(reply.status(), 200, "{path}");
    assert_eq!(reply.headers()["cache-control"], "public, max-age=1");
    assert!(reply.headers().get("set-cookie").is_none(), "what everybody shares carries no cookie");
    reply.json().await.unwrap()
}

#[tokio::test]
async fn the_catalogue_shows_what_is_free_and_why_nothing_is() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(3), ..places(10) }).await;
    let list = get(&app, "/api/exhibitions").await;
    assert_eq!(list["exhibitions"][0]["code"], "xyz");
    let slot = |detail: &Value| detail["slots"][0].clone();
    let before = slot(&get(&app, "/api/exhibitions/xyz").await);
    assert_eq!(
        (&before["capacity"], &before["available_quantity"], &before["state"]),
        (&3.into(), &3.into(), &"on_sale".into())
    );
    let product = &get(&app, "/api/exhibitions/xyz/products").await["products"][0];
    for field in
        ["id", "name", "type", "dated", "price", "currency", "available_quantity", "state", "sale_start", "sale_end"]
    {
        assert!(!product[field].is_null(), "{field} in {product}");
    }

    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 3).await;
    app.refresh().await;
    let held = slot(&get(&app, "/api/exhibitions/xyz").await);
    assert_eq!((&held["available_quantity"], &held["state"]), (&0.into(), &"held_by_others".into()));
    visitor.pay(&order).await.expect(200);
    app.refresh().await;
    assert_eq!(slot(&get(&app, "/api/exhibitions/xyz").await)["state"], "sold_out");
    app.db.execute("update exhibitions set paused = true").await;
    app.refresh().await;
    assert_eq!(get(&app, "/api/exhibitions/xyz/products").await["products"][0]["state"], "paused");
    app.finish().await;
}

#[tokio::test]
async fn other_sites_may_call_only_if_they_are_listed() {
    let app =
        TestApp::start_with(Options { cors_origins: vec!["https://partner.example".into()], ..Options::default() })
            .await;
    let ask = |method: reqwest::Method, origin: &'static str| {
        app.http
            .request(method, app.url("/api/orders"))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .send()
    };
    let listed = ask(reqwest::Method::OPTIONS, "https://partner.example").await.unwrap();
    assert_eq!(
        (listed.status().as_u16(), &listed.headers()["access-control-allow-origin"]),
        (204, &"https://partner.example".parse().unwrap())
    );
    let refused = ask(reqwest::Method::POST, "https://partner.example").await.unwrap();
    assert!(refused.headers().contains_key("access-control-allow-origin"), "refusals are readable too");
    let other = ask(reqwest::Method::OPTIONS, "https://evil.example").await.unwrap();
    assert!(!other.status().is_success() && !other.headers().contains_key("access-control-allow-origin"));
    app.finish().await;
}

#[tokio::test]
async fn reading_the_catalogue_asks_nobody() {
    let app = TestApp::start().await;
    app.given(places(10)).await;
    let calls = "select sum(xact_commit)::bigint from pg_stat_database where datname = current_database()";
    let _: i64 = app.db.one(calls).await;
    let used = app.app().pg.status().size;
    for _ in 0..200 {
        get(&app, "/api/exhibitions/xyz/products").await;
    }
    assert_eq!(app.app().pg.status().size, used, "no connection was opened for reads");
    app.finish().await;
}

#[tokio::test]
async fn a_phone_that_orders_too_often_waits() {
    let app = TestApp::start_with(Options { exempt: false, ..Options::default() }).await;
    let adult = app.given(Kind { open_holds_max: 100, ..places(100) }).await;
    let visitor = app.visitor(1);
    for _ in 0..5 {
        visitor.order(&adult, 1).await.expect(201);
    }
    let waiting = visitor.order(&adult, 1).await.refused(429, "order.too_many");
    assert!(waiting.retry_after.is_some());
    app.visitor(2).order(&adult, 1).await.expect(201);
    app.advance(std::time::Duration::from_secs(13)).await;
    visitor.order(&adult, 1).await.expect(201);
    app.finish().await;
}

#[tokio::test]
async fn an_offer_lowered_below_what_is_sold_stops_the_sale_and_nothing_else() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 6).await;
    app.db.execute(&format!("update stock set offered = 4 where id = {}", adult.stock_id)).await;
    admit::stock::rebuild::rebuild(app.app(), adult.exhibition_id, adult.code, "test").await.unwrap();
    app.visitor(2).order(&adult, 1).await.refused(409, "stock.sold_out");
    // A release below the cap raises nothing.
    visitor.cancel(&order).await.expect(200);
    app.until("the stores agree", async || app.stores_agree().await).await;
    assert_eq!(app.redis_free(&adult).await, Some(4));
    app.finish().await;
}
