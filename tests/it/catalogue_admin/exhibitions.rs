//! Exhibitions: from a draft to a ticket, archived, copied, paused.

use std::time::Duration;

use admit::admin::Role;
use admit::catalogue::Catalogue;
use serde_json::json;

use super::{EXHIBITIONS, PRODUCTS, SALES, SLOTS, adult, field, id, is, public, revision};
use crate::support::browser::Browser;
use crate::support::given::places;
use crate::support::{Answer, Given, Kind, Options, TestApp};

#[tokio::test]
async fn an_exhibition_goes_from_a_draft_to_a_ticket() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    let owner = app.owner().await;

    let made = owner.post(EXHIBITIONS, app.new_exhibition("spring")).await.expect(201);
    assert_eq!((made.text("stage"), revision(&made)), ("draft".into(), 1));
    assert_eq!((&made.body["hold_ttl_s"], &made.body["payment_provider"]), (&json!(600), &json!("toss")));
    let product = owner.post(PRODUCTS, adult("spring", 50)).await.expect(201);
    assert_eq!((&product.body["offered"], &product.body["active"]), (&json!(50), &json!(true)));
    let ask =
        json!({ "exhibition": "spring", "date": app.day(3), "start_time": "10:00", "end_time": "12:00", "total": 5 });
    let slot = owner.post(SLOTS, ask).await.expect(201);
    assert_eq!(slot.text("start_time"), "10:00:00");
    let given = Given {
        code: "spring",
        exhibition_id: app.db.one("select id from exhibitions where code = 'spring'").await,
        product_id: id(&product),
        stock_id: app.db.one("select max(stock_id) from products").await,
        slot_id: Some(id(&slot)),
        slot_stock_id: Some(app.db.one("select max(stock_id) from slots").await),
        date: Some(app.day(3)),
    };

    // Nobody but its admins knows a draft.
    let nobody = Browser::new(&app);
    for path in ["/api/exhibitions/spring", "/api/exhibitions/spring/products", "/api/exhibitions/spring/queue/state"] {
        public(&app, path).await.refused(404, "catalogue.unknown_exhibition");
    }
    for path in ["/spring", "/spring/order", "/spring/queue"] {
        assert_eq!(nobody.get(path).await.status, 404, "{path}");
    }
    nobody.get("/").await.expect(200, &[]).without("/spring");
    nobody.get("/sitemap.xml").await.expect(200, &["/xyz"]).without("/spring");
    assert!(!public(&app, "/api/exhibitions").await.body.to_string().contains("spring"));
    app.visitor(1).order(&given, 1).await.refused(404, "catalogue.unknown_exhibition");

    let published = owner.set("spring", json!({ "stage": "published" })).await.expect(200);
    assert_eq!((published.text("stage"), published.text("name_ko")), ("published".into(), "새 전시".into()));
    public(&app, "/api/exhibitions/spring").await.expect(200);
    nobody.get("/").await.expect(200, &["/spring"]);
    let order = app.visitor(1).held(&given, 2).await;
    app.visitor(1).pay(&order).await.expect(200);
    assert_eq!(app.db.one::<i64>("select count(*) from tickets").await, 2);
    app.visitor(2).order(&given, 4).await.refused(409, "stock.sold_out");
    let slot = owner.slot("spring", given.slot_id.unwrap()).await;
    assert_eq!((&slot["sold"], &slot["held"]), (&json!(2), &json!(0)));
    assert_eq!(field(owner.set("spring", json!({ "stage": "draft" })).await), is("stage", "illegal_move"));
    app.finish().await;
}

#[tokio::test]
async fn an_archived_exhibition_sells_nothing_and_keeps_its_orders() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    let visitor = app.visitor(1);
    let (held, paid) = (visitor.held(&adult, 1).await, app.visitor(2).held(&adult, 2).await);
    app.visitor(2).pay(&paid).await.expect(200);

    let seen = revision(&admin.exhibition("xyz").await);
    let ended = admin.delete(&format!("{EXHIBITIONS}/xyz"), seen).await.expect(200);
    assert_eq!(ended.text("outcome"), "archived");
    assert_eq!(public(&app, "/api/exhibitions").await.expect(200).body["exhibitions"], json!([]));
    Browser::new(&app).get("/").await.expect(200, &[]).without("/xyz");
    app.visitor(3).order(&adult, 1).await.refused(409, "sale.ended");
    assert_eq!(public(&app, "/api/exhibitions/xyz/products").await.expect(200).body["products"][0]["state"], "ended");

    // What was begun goes on: paying, reading, giving back.
    visitor.pay(&held).await.expect(200);
    app.visitor(2).read(&paid).await.expect(200);
    let refund = app.http.post(app.url(&format!("/api/orders/{}/refund", paid.number))).bearer_auth(&paid.token);
    let refund = refund.header("idempotency-key", "back").json(&json!({ "reason": "x", "preview": true }));
    assert_ne!(Answer::of(refund).await.status, 404);
    assert_eq!(app.db.one::<i64>("select count(*) from tickets where state = 'valid'").await, 3);
    // By mistake: back again.
    admin.set("xyz", json!({ "stage": "published" })).await.expect(200);
    app.visitor(3).order(&adult, 1).await.expect(201);
    app.finish().await;
}

#[tokio::test]
async fn a_draft_without_orders_goes_and_its_code_can_be_used_again() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    for round in 0..3 {
        owner.post(EXHIBITIONS, app.new_exhibition("spring")).await.expect(201);
        let twice = owner.post(EXHIBITIONS, app.new_exhibition("spring")).await;
        assert_eq!(field(twice), is("code", "taken"));
        let ask = json!({ "exhibition": "spring", "kind": "open", "name_ko": "자유", "name_en": "Open", "price_won": 0, "dated": false, "total": 3 });
        let product = owner.post(PRODUCTS, ask).await.expect(201);
        if round < 2 {
            let ended = owner.delete(&format!("{EXHIBITIONS}/spring"), 1).await.expect(200);
            assert_eq!(ended.text("outcome"), "deleted");
            assert_eq!(app.db.one::<i64>("select count(*) from stock").await, 0);
            continue;
        }
        // Redis remembers what was before, and sells what is now.
        owner.set("spring", json!({ "stage": "published" })).await.expect(200);
        let given = Given {
            code: "spring",
            exhibition_id: 0,
            product_id: id(&product),
            stock_id: app.db.one("select id from stock").await,
            slot_id: None,
            slot_stock_id: None,
            date: None,
        };
        app.visitor(1).order(&given, 3).await.expect(201);
        app.visitor(2).order(&given, 1).await.refused(409, "stock.sold_out");
    }
    app.finish().await;
}

#[tokio::test]
async fn another_exhibition_is_copied_on_other_days_without_its_orders() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(7), person_limit: Some(4), ..places(40) }).await;
    let order = app.visitor(1).held(&adult, 2).await;
    app.visitor(1).pay(&order).await.expect(200);
    let owner = app.owner().await;
    // How last year's sale ended.
    let ended = json!({ "offered": 0, "active": false, "sale_end": app.instant(100) });
    owner.set_product(&adult, ended).await.expect(200);
    owner.set_slot(&adult, json!({ "closed": true, "offered": 2 })).await.expect(200);
    let over = json!({ "paused": true, "pause_reason_ko": "끝", "pause_reason_en": "Over" });
    owner.set("xyz", over).await.expect(200);
    let opened = jiff::Timestamp::from_millisecond(app.app().clock.now_ms() + 3_600_000).unwrap();
    let room = json!({ "rate_per_min": 77, "capacity": 9, "draw": false, "opens_at": opened.to_string() });
    owner.put_room("xyz", 1, room).await.expect(200);
    let rules = json!({ "exhibition": { "early_min": 5, "late_min": 1, "gates": null, "entries": "once", "per_day": 1, "reentry": false, "gap_s": 0 },
        "products": { adult.product_id.to_string(): { "early_min": 9, "late_min": 1, "gates": null, "entries": "once", "per_day": 1, "reentry": false, "gap_s": 0 } },
        "walk_ins": true });
    let set = app.http.put(app.url(&format!("{EXHIBITIONS}/xyz/entry-rules"))).bearer_auth(&owner.token);
    Answer::of(set.header("if-match", "\"1\"").json(&rules)).await.expect(200);

    let picture =
        crate::pictures::sent(&app, &owner.token, crate::pictures::ALT, crate::pictures::png(1600, 800, 1)).await;
    let picture = picture.expect(200).body["picture"].clone();

    let ask = json!({ "code": "next", "copy_from": "xyz", "first_day": app.day(99), "name_en": "The next one" });
    let made = owner.post(EXHIBITIONS, ask).await.expect(201);
    assert_eq!((made.text("stage"), made.text("starts_on")), ("draft".into(), app.day(99)));
    // It began yesterday: a hundred days on.
    assert_eq!((made.text("ends_on"), made.text("name_en")), (app.day(160), "The next one".into()));
    assert_eq!((&made.body["person_limit"], made.text("name_ko")), (&json!(4), "시험 전시".into()));
    let source = owner.exhibition("xyz").await;
    let instant = |answer: &Answer, field: &str| answer.text(field).parse::<jiff::Timestamp>().unwrap();
    let apart = instant(&made, "sale_start").duration_since(instant(&source, "sale_start"));
    assert_eq!(apart, jiff::SignedDuration::from_hours(24 * 100));
    assert_eq!(made.body["refund_rules"], source.body["refund_rules"]);
    // The picture goes on being shown where the first one takes it away.
    assert_eq!(made.body["picture"], picture);
    let url = app.url(&format!("{EXHIBITIONS}/xyz/picture"));
    let taken_away = app.as_seen(app.http.delete(&url).bearer_auth(&owner.token), &url, &owner.token).await;
    assert_eq!(taken_away.send().await.unwrap().status(), 204);
    assert_eq!(app.http.get(app.url(picture["url"].as_str().unwrap())).send().await.unwrap().status(), 200);

    let products = owner.get(&format!("{PRODUCTS}?exhibition=next")).await.expect(200);
    let [product] = products.body["products"].as_array().unwrap().as_slice() else { panic!("{}", products.body) };
    assert_eq!((&product["total"], &product["offered"], &product["sold"]), (&json!(40), &json!(40), &json!(0)));
    assert_eq!(product["active"], true);
    let slots = owner.get(&format!("{SLOTS}?exhibition=next")).await.expect(200);
    let [slot] = slots.body["slots"].as_array().unwrap().as_slice() else { panic!("{}", slots.body) };
    assert_eq!((&slot["date"], &slot["total"], &slot["sold"]), (&json!(app.day(105)), &json!(7), &json!(0)));
    assert_eq!((&slot["offered"], &slot["closed"]), (&json!(7), &json!(false)));
    assert_eq!((&made.body["paused"], made.text("pause_reason_en")), (&json!(false), String::new()));
    let room = owner.room("next").await;
    assert_eq!((room.text("phase"), revision(&room)), ("idle".into(), 1));
    assert_eq!((&room.body["config"]["rate_per_min"], &room.body["config"]["capacity"]), (&json!(77), &json!(9)));
    let opens: jiff::Timestamp = room.body["config"]["opens_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(opens.duration_since(opened).as_hours(), 24 * 100);
    let copied = owner.get(&format!("{EXHIBITIONS}/next/entry-rules")).await.expect(200);
    assert_eq!((&copied.body["exhibition"], &copied.body["walk_ins"]), (&rules["exhibition"], &json!(true)));
    assert_eq!(copied.body["products"][product["id"].to_string()]["early_min"], 9);

    // It sells on its own places.
    owner.set("next", json!({ "stage": "published", "sale_start": app.instant(-1) })).await.expect(200);
    let given = Given {
        code: "next",
        product_id: product["id"].as_i64().unwrap() as i32,
        date: Some(app.day(105)),
        ..adult.clone()
    };
    app.visitor(2).order(&given, 3).await.expect(201);
    for (ask, name, code) in [
        (
            json!({ "code": "other", "copy_from": "nowhere", "first_day": app.day(9) }),
            "copy_from",
            "unknown_exhibition",
        ),
        (json!({ "code": "other", "copy_from": "xyz" }), "first_day", "required"),
        (
            json!({ "code": "other", "copy_from": "xyz", "first_day": app.day(9), "ends_on": app.day(9) }),
            "ends_on",
            "slots_outside",
        ),
        (json!({ "code": "other", "copy_from": "xyz", "first_day": "9999-12-31" }), "first_day", "out_of_range"),
    ] {
        assert_eq!(field(owner.post(EXHIBITIONS, ask).await), is(name, code));
    }
    app.finish().await;
}

#[tokio::test]
async fn a_copy_has_the_people_where_they_are_asked_for_and_goes_until_its_room_is_set() {
    let app = TestApp::start().await;
    app.given(places(5)).await;
    let owner = app.owner().await;
    let kim = app.by("kim", Role::Admin, &["xyz"]).await;
    app.by("gone", Role::Admin, &["xyz"]).await;
    app.db.execute("update admin_users set disabled_at = admit_now() where username = 'gone'").await;
    let config = json!({ "rate_per_min": 77, "draw": false, "opens_at": app.instant(1) });
    owner.put_room("xyz", 1, config).await.expect(200);

    let copy = |code: &str, ahead: i64, people: bool| json!({ "code": code, "copy_from": "xyz", "first_day": app.day(ahead), "copy_people": people });
    owner.post(EXHIBITIONS, copy("alone", 99, false)).await.expect(201);
    kim.get(&format!("{EXHIBITIONS}/alone")).await.refused(403, "auth.forbidden");
    owner.post(EXHIBITIONS, copy("peopled", 99, true)).await.expect(201);
    // A token says whose exhibitions it is good for, until the next one.
    let kim = super::By { app: &app, token: app.access_token("kim").await };
    kim.get(&format!("{EXHIBITIONS}/peopled")).await.expect(200);
    assert_eq!(app.recorded().await.2["people"], json!(["kim"]), "who cannot sign in is not taken over");
    // It is the owner's to make one, also of an exhibition that somebody else runs.
    kim.post(EXHIBITIONS, copy("theirs", 99, false)).await.refused(403, "auth.forbidden");

    // A schedule that would have passed, or lies further ahead than any may, is none.
    for (code, ahead) in [("past", -9), ("far", 600)] {
        owner.post(EXHIBITIONS, copy(code, ahead, false)).await.expect(201);
        let room = owner.room(code).await;
        let config = &room.body["config"];
        assert_eq!((&config["opens_at"], &config["rate_per_min"]), (&json!(null), &json!(77)), "{code}");
    }
    // Nobody has done anything with the room of a copy: it goes with the draft. One that was set stays.
    let ended = owner.delete(&format!("{EXHIBITIONS}/alone"), 1).await.expect(200);
    assert_eq!(ended.text("outcome"), "deleted");
    assert_eq!(app.db.one::<i64>("select count(*) from rooms").await, 4);
    owner.put_room("far", 1, json!({ "rate_per_min": 78 })).await.expect(200);
    let ended = owner.delete(&format!("{EXHIBITIONS}/far"), 1).await.expect(200);
    assert_eq!(ended.text("outcome"), "archived");
    app.finish().await;
}

#[tokio::test]
async fn a_pause_refuses_new_orders_everywhere_within_a_second_and_lets_people_pay() {
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    // Whoever asks whether it is paused may get a place.
    let adult = app.given(places(5_000)).await;
    let other = app.given(Kind { code: "other", ..places(5_000) }).await;
    let owner = app.owner().await;
    // As every process does.
    let elsewhere = app.instances[1].app.clone();
    let fresh = tokio::spawn(Catalogue::keep_fresh(elsewhere));
    let refuses = async |given: &Given, n: usize| app.visitor(n).at(1).order(given, 1).await.code() == "sale.paused";
    let mut n = 100;
    let mut soon = async |given: &Given, paused: bool| {
        let began = std::time::Instant::now();
        app.until("it is known elsewhere", async || {
            n += 1;
            refuses(given, n).await == paused
        })
        .await;
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    };

    let held = app.visitor(1).held(&adult, 1).await;
    owner.set_product(&adult, json!({ "active": false })).await.expect(200);
    app.visitor(2).order(&adult, 1).await.refused(409, "sale.paused");
    soon(&adult, true).await;
    app.visitor(1).pay(&held).await.expect(200);
    owner.set_product(&adult, json!({ "active": true })).await.expect(200);
    soon(&adult, false).await;

    let held = app.visitor(3).held(&adult, 1).await;
    assert_eq!(field(owner.set("xyz", json!({ "paused": true })).await), is("pause_reason_ko", "required"));
    let why = json!({ "paused": true, "pause_reason_ko": " 안전 점검 ", "pause_reason_en": "Safety check" });
    owner.set("xyz", why).await.expect(200);
    let shown = public(&app, "/api/exhibitions/xyz").await.expect(200);
    assert_eq!(
        (shown.text("pause_reason"), shown.text("pause_reason_en")),
        ("안전 점검".into(), "Safety check".into())
    );
    Browser::new(&app).get("/xyz").await.expect(200, &["안전 점검"]);
    Browser::new(&app).get("/other").await.expect(200, &[]).without("안전 점검");
    assert_eq!(field(owner.set("xyz", json!({ "pause_reason_en": "" })).await), is("pause_reason_en", "required"));
    app.visitor(4).order(&adult, 1).await.refused(409, "sale.paused");
    app.visitor(5).order(&other, 1).await.expect(201);
    soon(&adult, true).await;
    app.visitor(3).pay(&held).await.expect(200);
    owner.set("xyz", json!({ "paused": false })).await.expect(200);
    assert_eq!(public(&app, "/api/exhibitions/xyz").await.expect(200).body["pause_reason"], json!(null));

    let held = app.visitor(6).held(&adult, 1).await;
    let pause = json!({ "paused": true, "reason_ko": "점검", "reason_en": "Maintenance" });
    assert_eq!(
        owner.get(SALES).await.expect(200).body,
        json!({ "revision": 1, "paused": false, "reason_ko": "", "reason_en": "" })
    );
    assert_eq!(field(owner.put(SALES, 1, json!({ "paused": true })).await), is("reason_ko", "required"));
    owner.put(SALES, 1, pause).await.expect(200);
    for given in [&adult, &other] {
        app.visitor(7).order(given, 1).await.refused(409, "sale.paused");
        soon(given, true).await;
    }
    let shown = public(&app, "/api/exhibitions/xyz").await.expect(200);
    assert_eq!((&shown.body["paused"], shown.text("pause_reason")), (&json!(true), "점검".into()));
    app.visitor(6).pay(&held).await.expect(200);
    assert_eq!(app.recorded().await.0, "sales.change");
    owner.put(SALES, 2, json!({ "paused": false })).await.expect(200);
    soon(&other, false).await;
    fresh.abort();
    app.finish().await;
}
