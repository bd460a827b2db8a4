//! What is left of today, sold at the door for cash.

use reqwest::Method;
use serde_json::{Value, json};

use crate::devices::Door;
use crate::support::given::places;
use crate::support::{Answer, Given, Kind, TestApp, race};

const RULES: &str = "/api/admin/exhibitions/xyz/entry-rules";

/// A device with somebody on shift.
struct Till<'a> {
    app: &'a TestApp,
    id: String,
    shift: String,
}

impl Till<'_> {
    async fn sell_as(&self, key: &str, body: &Value) -> Answer {
        let request = self.app.http.post(self.app.url("/api/entrance/walk-ins")).bearer_auth(&self.shift);
        Answer::of(request.header("idempotency-key", key).json(body)).await
    }

    async fn sell(&self, key: &str, given: &Given, quantity: i64) -> Answer {
        self.sell_as(key, &sale(given, quantity, 10_000 * quantity)).await
    }

    async fn offers(&self) -> Answer {
        Answer::of(self.app.http.get(self.app.url("/api/entrance/walk-ins")).bearer_auth(&self.shift)).await
    }

    async fn scan(&self, qr: &str, people: usize) -> Answer {
        let ask = json!({ "qr_code": qr, "people": people, "nonce": qr[..60] });
        Answer::of(self.app.http.post(self.app.url("/api/entrance/scan")).bearer_auth(&self.shift).json(&ask)).await
    }
}

fn sale(given: &Given, quantity: i64, amount: i64) -> Value {
    json!({ "items": [{ "product_id": given.product_id, "quantity": quantity }], "amount": amount })
}

async fn till<'a>(door: &Door<'a>, gate: &str, who: &str) -> Till<'a> {
    let phone = door.device(gate).await;
    Till { app: door.app, shift: phone.shift(who).await, id: phone.id }
}

async fn allow(door: &Door<'_>) {
    door.call(Method::PUT, RULES, json!({ "exhibition": null, "walk_ins": true })).await.expect(200);
    door.app.refresh().await;
}

async fn change(app: &TestApp, sql: &str) {
    app.db.execute(sql).await;
    app.refresh().await;
}

/// What the visitor's browser is given when it opens the link to its tickets.
async fn opened(app: &TestApp, sold: &Answer) -> String {
    let url = sold.text("tickets_url");
    let path = &url[url.find("/xyz/").unwrap()..];
    let page = app.http.get(app.url(path)).send().await.unwrap();
    page.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn whoever_pays_cash_walks_in() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let door = Door::of(&app).await;
    let north = till(&door, "north", "kim").await;
    north.offers().await.refused(403, "walk_in.not_allowed");
    north.sell("1", &adult, 2).await.refused(403, "walk_in.not_allowed");
    allow(&door).await;
    let offers = north.offers().await.expect(200);
    assert_eq!(
        (&offers.body["products"][0]["free"], &offers.body["till"]["taken"]),
        (&json!(10), &json!(0)),
        "{}",
        offers.body
    );

    let sold = north.sell("1", &adult, 2).await.expect(201);
    assert_eq!((&sold.body["tickets"], &sold.body["amount"]), (&json!(2), &json!(20_000)));
    assert!(sold.text("tickets_url_svg").contains("<svg"));
    assert_eq!(app.stock(adult.stock_id).await, (0, 2));
    // Asked again, it is the same sale; with another body it is none.
    assert_eq!(north.sell("1", &adult, 2).await.expect(201).text("order_number"), sold.text("order_number"));
    north.sell("1", &adult, 1).await.refused(422, "idempotency.key_reused");
    assert_eq!(app.stock(adult.stock_id).await, (0, 2));

    let entered = north.scan(&sold.text("qr_code"), 2).await.expect(200);
    assert_eq!((entered.text("entrance_status"), &entered.body["group"]["admitted"]), ("allowed".into(), &json!(2)));
    assert!(entered.body["customer_name"].is_null(), "nobody gave a name");
    let one = north.sell("2", &adult, 1).await.expect(201);
    let entered = north.scan(&one.text("qr_code"), 1).await.expect(200);
    assert_eq!((entered.text("reason"), &entered.body["group"]), ("ok".into(), &json!(null)));

    // The visitor's phone reads the link, and finds the tickets.
    let cookie = opened(&app, &one).await;
    let number = one.text("order_number");
    let look = app.http.get(app.url(&format!("/api/orders/{number}"))).header("cookie", cookie);
    let order = Answer::of(look).await.expect(200);
    assert_eq!((order.text("status"), order.text("payment_method")), ("paid".into(), "cash".into()));

    let recorded = "select string_agg(distinct actor || ' ' || cause, ', ') from order_events";
    assert_eq!(app.db.one::<String>(recorded).await, "staff walk_in");
    let told = door.call(Method::GET, &format!("/api/admin/orders/{number}"), json!({})).await.expect(200);
    let events = told.body["events"].as_array().unwrap();
    assert!(events.iter().all(|event| event["staff"] == "kim"), "{events:?}");
    app.finish().await;
}

#[tokio::test]
async fn only_what_is_left_of_today_is_sold() {
    let app = TestApp::start().await;
    let adult = app.given(places(3)).await;
    let dated = app.given(Kind { slot_places: Some(2), ..places(50) }).await;
    let door = Door::of(&app).await;
    allow(&door).await;
    let north = till(&door, "north", "kim").await;

    north.sell_as("a", &sale(&adult, 2, 19_999)).await.refused(409, "walk_in.amount_changed");
    let refused = north.sell_as("b", &sale(&dated, 1, 10_000)).await.refused(422, "request.invalid");
    assert_eq!(refused.body["errors"][0]["field"], "slot_id", "its day is another one");
    north.sell_as("c", &sale(&adult, 0, 0)).await.refused(422, "request.invalid");
    north.sell_as("d", &json!({ "items": [], "amount": 0 })).await.refused(422, "request.invalid");
    north.sell("e", &adult, 4).await.refused(409, "stock.sold_out");
    assert_eq!(app.stock(adult.stock_id).await, (0, 0), "nothing was kept");

    // The sale on the network is over; the door is open.
    change(&app, "update exhibitions set sale_end_at = now() - interval '1 hour'").await;
    app.visitor(1).order(&adult, 1).await.refused(409, "sale.ended");
    north.sell("f", &adult, 1).await.expect(201);
    change(&app, "update slots set visit_date = (now() at time zone 'Asia/Seoul')::date").await;
    north.sell("g", &dated, 2).await.expect(201);
    north.sell("h", &dated, 1).await.refused(409, "stock.sold_out");

    change(&app, &format!("update products set sale_end_at = now() where id = {}", adult.product_id)).await;
    north.sell("i", &adult, 1).await.refused(409, "walk_in.not_now");
    let offers = north.offers().await.expect(200);
    let ids: Vec<i64> = offers.body["products"].as_array().unwrap().iter().map(|p| p["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [i64::from(dated.product_id)]);
    change(&app, "update products set sale_end_at = null; update exhibitions set paused = true").await;
    north.sell("j", &adult, 1).await.refused(409, "sale.paused");
    change(&app, "update exhibitions set paused = false, starts_on = current_date + 7").await;
    north.sell("k", &adult, 1).await.refused(409, "walk_in.not_open");
    // What was sold before is answered as before, whatever holds today.
    north.sell("f", &adult, 1).await.expect(201);
    app.finish().await;
}

#[tokio::test]
async fn cash_is_counted_and_goes_back_from_hand_to_hand() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let door = Door::of(&app).await;
    allow(&door).await;
    let (north, south) = (till(&door, "north", "kim").await, till(&door, "south", "lee").await);
    let sold = north.sell("1", &adult, 2).await.expect(201);
    // Keys are a device's own.
    assert_ne!(south.sell("1", &adult, 2).await.expect(201).text("order_number"), sold.text("order_number"));
    south.sell("2", &adult, 1).await.expect(201);

    let number = sold.text("order_number");
    let cookie = opened(&app, &sold).await;
    let path = app.url(&format!("/api/orders/{number}/refund"));
    let quote = Answer::of(app.http.get(&path).header("cookie", &cookie)).await.expect(200);
    assert_eq!(
        (quote.body["tickets"][0]["refused_because"].as_str(), &quote.body["amount"]),
        (Some("at_the_desk"), &json!(0))
    );
    let asked =
        app.http.post(&path).header("cookie", &cookie).header("idempotency-key", "r").json(&json!({ "amount": 0 }));
    Answer::of(asked).await.refused(409, "refund.at_the_desk");

    let first: uuid::Uuid = quote.body["tickets"][0]["ticket_id"].as_str().unwrap().parse().unwrap();
    let admin = |body: Value| {
        let url = app.url(&format!("/api/admin/exhibitions/xyz/orders/{number}/refund"));
        app.http.post(url).bearer_auth(&door.admin).header("idempotency-key", "k").json(&body)
    };
    let back = Answer::of(admin(json!({ "ticket_ids": [first], "reason": "changed their mind" }))).await.expect(200);
    assert_eq!((back.text("state"), &back.body["amount"]), ("by_hand".into(), &json!(10_000)));
    assert_eq!(app.tick("refunds").await, 0, "no provider is asked for it");
    app.sweep().await;

    let tills = door.call(Method::GET, "/api/admin/exhibitions/xyz/walk-ins", json!({})).await.expect(200);
    assert_eq!(tills.body["all"], json!({ "orders": 3, "taken": 50_000, "given_back": 10_000 }));
    let of = |at: usize| (tills.body["tills"][at]["gate"].clone(), tills.body["tills"][at]["staff"].clone());
    assert_eq!([of(0), of(1)], [(json!("north"), json!("kim")), (json!("south"), json!("lee"))]);
    assert_eq!(south.offers().await.expect(200).body["till"], json!({ "orders": 2, "taken": 30_000, "given_back": 0 }));
    let before =
        door.call(Method::GET, "/api/admin/exhibitions/xyz/walk-ins?day=2020-01-01", json!({})).await.expect(200);
    assert_eq!(before.body["all"]["orders"], 0);

    let today = app.app().clock.today_in_seoul();
    let books = format!("/api/admin/exhibitions/xyz/settlement?from={today}&until={today}");
    let books = door.call(Method::GET, &books, json!({})).await.expect(200);
    let day = &books.body["days"][0];
    assert_eq!(
        (&day["provider"], &day["gross"], &day["payments"], &day["refunds"], &day["net"]),
        (&json!("cash"), &json!(50_000), &json!(3), &json!(10_000), &json!(40_000))
    );
    app.finish().await;
}

/// The control is a gate that names every try anew: it sells as often as it asks.
#[tokio::test]
async fn a_sale_asked_for_many_times_at_once_is_one() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let door = Door::of(&app).await;
    allow(&door).await;
    let (north, south) = (till(&door, "north", "kim").await, till(&door, "south", "lee").await);
    let numbers = race(8, async |_| north.sell("once", &adult, 1).await.expect(201).text("order_number")).await;
    assert!(numbers.iter().all(|number| *number == numbers[0]), "{numbers:?}");
    assert_eq!(app.stock(adult.stock_id).await, (0, 1));
    race(8, async |at| south.sell(&format!("{at}"), &adult, 1).await.expect(201)).await;
    assert_eq!(app.stock(adult.stock_id).await, (0, 9), "the naive gate must sell too often");
    app.finish().await;
}

#[tokio::test]
async fn only_a_device_on_shift_sells_and_not_without_end() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let door = Door::of(&app).await;
    allow(&door).await;
    let north = till(&door, "north", "kim").await;
    let body = sale(&adult, 1, 10_000);
    let ask = |token: &str| app.http.post(app.url("/api/entrance/walk-ins")).bearer_auth(token).json(&body);
    Answer::of(ask(&door.admin).header("idempotency-key", "x")).await.refused(403, "auth.forbidden");
    Answer::of(ask(&north.shift)).await.refused(400, "idempotency.key_required");
    for n in 0..20 {
        north.sell_as(&format!("w{n}"), &sale(&adult, 1, 1)).await.refused(409, "walk_in.amount_changed");
    }
    north.sell("x", &adult, 1).await.refused(429, "walk_in.too_many");
    door.revoke(&north.id).await;
    north.sell("x", &adult, 1).await.refused(403, "device.off_shift");
    assert_eq!(app.stock(adult.stock_id).await, (0, 0));
    app.finish().await;
}
