//! Many slots at once, and what becomes of what is taken away.

use admit::admin::Role;
use serde_json::{Value, json};

use super::{PRODUCTS, SLOTS, adult, field, id, is, public};
use crate::support::given::places;
use crate::support::{Answer, Given, Kind, TestApp};

#[tokio::test]
async fn a_pattern_makes_what_is_missing_at_once() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(9), ..places(500) }).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    let pattern = format!("{SLOTS}/pattern");
    let times = json!([{ "start": "10:00", "end": "12:00" }, { "start": "14:00", "end": "16:30" }]);
    let mut ask = json!({ "exhibition": "xyz", "from": app.day(7), "until": app.day(20), "weekdays": ["sat", "sun"], "times": times, "total": 8, "dry_run": true });

    let before = app.catalogue_rows().await;
    let planned = admin.post(&pattern, ask.clone()).await.expect(200);
    assert_eq!((planned.body["made"].as_array().unwrap().len(), &planned.body["made"][0]["id"]), (8, &Value::Null));
    assert_eq!(app.catalogue_rows().await, before);
    ask["dry_run"] = json!(false);
    let made = admin.post(&pattern, ask.clone()).await.expect(200);
    assert_eq!((made.body["made"].as_array().unwrap().len(), made.body["existing"].as_array().unwrap().len()), (8, 0));
    let one = made.body["made"][1].clone();
    assert_eq!((&one["start_time"], &one["end_time"]), (&json!("14:00:00"), &json!("16:30:00")));
    assert_eq!(app.recorded().await.0, "slot.pattern");
    // The same again, and with one more time: what is there is left alone.
    let again = admin.post(&pattern, ask.clone()).await.expect(200);
    assert_eq!(
        (again.body["made"].as_array().unwrap().len(), again.body["existing"].as_array().unwrap().len()),
        (0, 8)
    );
    ask["times"] = json!([{ "start": "10:00", "end": "11:00" }, { "start": "18:00", "end": "20:00" }]);
    ask["total"] = json!(3);
    let more = admin.post(&pattern, ask).await.expect(200);
    assert_eq!((more.body["made"].as_array().unwrap().len(), more.body["existing"].as_array().unwrap().len()), (4, 4));
    assert_eq!(admin.slot("xyz", one["id"].as_i64().unwrap() as i32).await["total"], 8);

    // On sale: Redis knows them.
    let mut order = app.visitor(1).ask(&adult, 8);
    order["visit_date"] = one["date"].clone();
    order["slot_id"] = one["id"].clone();
    Answer::of(app.visitor(1).post("/api/orders").json(&order)).await.expect(201);
    order["customer_phone"] = json!("010-7777-7777");
    order["items"][0]["quantity"] = json!(1);
    Answer::of(app.visitor(2).post("/api/orders").json(&order)).await.refused(409, "stock.sold_out");

    let base = json!({ "exhibition": "xyz", "from": app.day(0), "until": app.day(60), "total": 1 });
    let quarters: Vec<Value> =
        (0..48).map(|n| json!({ "start": format!("{:02}:{:02}", n / 2, n % 2 * 30), "end": format!("{:02}:{:02}", n / 2, n % 2 * 30 + 15) })).collect();
    for (change, name, code) in [
        (json!({ "until": app.day(61) }), "until", "outside_dates"),
        (json!({ "from": app.day(9), "until": app.day(8) }), "until", "before_start"),
        (json!({ "times": quarters }), "until", "too_many"),
        (json!({ "times": [{ "start": "10:00", "end": "10:00" }] }), "times[0].end", "before_start"),
        (
            json!({ "times": [{ "start": "10:00", "end": "11:00" }, { "start": "10:00", "end": "12:00" }] }),
            "times[1].start",
            "named_twice",
        ),
        (json!({ "times": vec![quarters[0].clone(); 49] }), "times", "too_many"),
        (json!({ "total": -1 }), "total", "out_of_range"),
        (json!({ "weekdays": ["someday"] }), "weekdays[0]", "malformed"),
    ] {
        let before = app.catalogue_rows().await;
        let mut ask = base.clone();
        ask.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(field(admin.post(&pattern, ask).await), is(name, code));
        assert_eq!(app.catalogue_rows().await, before);
    }
    app.finish().await;
}

#[tokio::test]
async fn many_slots_change_together_or_not_at_all() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(9), ..places(500) }).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    let times = json!([{ "start": "10:00", "end": "12:00" }, { "start": "14:00", "end": "16:30" }]);
    let ask = json!({ "exhibition": "xyz", "from": app.day(7), "until": app.day(20), "times": times, "total": 8 });
    let made = admin.post(&format!("{SLOTS}/pattern"), ask).await.expect(200).body["made"].clone();
    let slot = |n: usize| made[n]["id"].as_i64().unwrap() as i32;
    let mut order = app.visitor(1).ask(&adult, 5);
    order["slot_id"] = json!(slot(0));
    order["visit_date"] = made[0]["date"].clone();
    Answer::of(app.visitor(1).post("/api/orders").json(&order)).await.expect(201);

    let bulk = format!("{SLOTS}/bulk");
    let mut ask =
        json!({ "exhibition": "xyz", "filter": { "starts": ["10:00"] }, "set": { "offered": 6 }, "dry_run": true });
    let before = app.catalogue_rows().await;
    let planned = admin.post(&bulk, ask.clone()).await.expect(200);
    assert_eq!(
        (planned.body["changed"].as_array().unwrap().len(), &planned.body["changed"][0]["offered"]),
        (14, &json!(6))
    );
    assert_eq!(app.catalogue_rows().await, before);
    ask["dry_run"] = json!(false);
    admin.post(&bulk, ask.clone()).await.expect(200);
    let (action, was, is_now) = app.recorded().await;
    assert_eq!((action.as_str(), was["slots"].as_object().unwrap().len()), ("slot.bulk", 14));
    assert_eq!(is_now["slots"][slot(0).to_string()], json!({ "slot": slot(0), "offered": 6 }));
    app.until("told", async || app.stores_agree().await).await;
    let shown = admin.slot("xyz", slot(0)).await;
    assert_eq!((&shown["offered"], &shown["revision"], &shown["held"]), (&json!(6), &json!(2), &json!(5)));
    assert_eq!(admin.slot("xyz", slot(1)).await["offered"], 8);
    let again = admin.post(&bulk, ask).await.expect(200);
    assert_eq!((&again.body["changed"], &again.body["unchanged"]), (&json!([]), &json!(14)));

    // One of them has sold too many: nothing changes, of none.
    let before = app.catalogue_rows().await;
    let ask = json!({ "exhibition": "xyz", "ids": [slot(0), slot(2)], "set": { "total": 4 } });
    let refused = admin.post(&bulk, ask).await;
    assert!(refused.body["errors"][0]["detail"].as_str().unwrap().contains('5'), "{}", refused.body);
    assert_eq!(field(refused), is("set.total", "below_taken"));
    for (change, name, code) in [
        (json!({ "set": { "closed": true } }), "ids", "required"),
        (json!({ "ids": [slot(0)], "filter": {}, "set": { "closed": true } }), "ids", "required"),
        (json!({ "ids": [slot(0)], "set": {} }), "set", "required"),
        (json!({ "ids": [slot(0), 999_999], "set": { "closed": true } }), "ids", "unknown_slot"),
        (json!({ "ids": [slot(0)], "set": { "offered": -1 } }), "offered", "out_of_range"),
    ] {
        let mut ask = json!({ "exhibition": "xyz" });
        ask.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(field(admin.post(&bulk, ask).await), is(name, code));
    }
    assert_eq!(app.catalogue_rows().await, before);

    let ask = json!({ "exhibition": "xyz", "filter": { "from": app.day(7), "until": app.day(7) }, "set": { "closed": true } });
    assert_eq!(admin.post(&bulk, ask).await.expect(200).body["changed"].as_array().unwrap().len(), 2);
    order["customer_phone"] = json!("010-7777-7777");
    order["items"][0]["quantity"] = json!(1);
    let closed = Answer::of(app.visitor(2).post("/api/orders").json(&order)).await;
    assert_eq!(field(closed), is("visit_date", "closed"));
    app.finish().await;
}

#[tokio::test]
async fn what_somebody_has_an_order_for_stays() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), ..places(20) }).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    let order = app.visitor(1).held(&adult, 2).await;

    assert_eq!(field(admin.set_product(&adult, json!({ "dated": false })).await), is("dated", "fixed"));
    assert_eq!(field(admin.set_slot(&adult, json!({ "date": app.day(6) })).await), is("date", "fixed"));
    let slot = format!("{SLOTS}/{}", adult.slot_id.unwrap());
    admin.delete(&slot, 1).await.refused(409, "catalogue.slot_ordered");
    let ended = admin.delete(&format!("{PRODUCTS}/{}", adult.product_id), 1).await.expect(200);
    assert_eq!(ended.text("outcome"), "archived");
    assert_eq!(public(&app, "/api/exhibitions/xyz/products").await.expect(200).body["products"], json!([]));
    app.visitor(2).order(&adult, 1).await.refused(422, "request.invalid");
    // The order is what it was.
    app.visitor(1).pay(&order).await.expect(200);
    let read = app.visitor(1).read(&order).await.expect(200);
    assert!(read.body.to_string().contains("성인"), "{}", read.body);
    let ticket: uuid::Uuid = app.db.one("select id from tickets limit 1").await;
    let code = app.http.get(app.url(&format!("/api/tickets/{ticket}/qr.svg"))).bearer_auth(&order.token);
    Answer::of(code).await.expect(200);
    assert_eq!(admin.product("xyz", adult.product_id).await["archived"], true);
    admin.set_product(&adult, json!({ "archived": false })).await.expect(200);
    app.visitor(2).order(&adult, 1).await.expect(201);
    app.finish().await;
}

#[tokio::test]
async fn what_nobody_has_an_order_for_can_become_another_thing_or_go() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), ..places(20) }).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    // A place taken for the product as it was, before Postgres knows.
    let take = |stocks: &[i32]| {
        let lines: Vec<_> = stocks.iter().map(|id| admit::stock::Line { stock_id: *id, quantity: 1 }).collect();
        let redis = &app.app().redis;
        async move {
            let ask = admit::stock::redis::Ask {
                code: "xyz",
                hold_id: &[3; 16],
                fingerprint: &[4; 16],
                person: &[5; 16],
                places: 0,
                allowed: None,
                open_holds_max: None,
                pass: admit::stock::redis::Pass::None,
                lines: &lines,
            };
            admit::stock::redis::take(redis, &ask, 1).await.unwrap()
        }
    };
    admin.set_product(&adult, json!({ "dated": false })).await.expect(200);
    admin.set_slot(&adult, json!({ "date": app.day(6), "start_time": "10:00", "end_time": "11:00" })).await.expect(200);
    // Its places are others now: those of before can be had neither here nor there.
    let old = [adult.stock_id, adult.slot_stock_id.unwrap()];
    assert_eq!(take(&old).await, admit::stock::redis::Take::Unready);
    let left = format!("select count(*) from stock where id in ({}, {})", old[0], old[1]);
    assert_eq!(app.db.one::<i64>(&left).await, 0);
    app.visitor(1).order(&Given { date: None, ..adult.clone() }, 1).await.expect(201);

    let slot = format!("{SLOTS}/{}", adult.slot_id.unwrap());
    assert_eq!(admin.delete(&slot, 2).await.expect(200).text("outcome"), "deleted");
    admin.delete(&slot, 2).await.refused(404, "catalogue.unknown_slot");
    let made = admin.post(PRODUCTS, self::adult("xyz", 4)).await.expect(201);
    let path = format!("{PRODUCTS}/{}", id(&made));
    assert_eq!(admin.delete(&path, 1).await.expect(200).text("outcome"), "deleted");
    admin.put(&path, 1, json!({})).await.refused(404, "catalogue.unknown_product");
    app.finish().await;
}
