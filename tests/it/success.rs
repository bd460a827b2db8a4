//! The figures of success, conversion and people: what counts, what does not, and what is found when a figure is wrong.

use std::time::Duration;

use admit::admin::Role;
use admit::waiting_room::model::Config;
use reqwest::Method;
use serde_json::{Value, json};

use crate::dashboard::figures;
use crate::deposits;
use crate::devices::{Door, codes};
use crate::support::given::places;
use crate::support::lines::host_of;
use crate::support::proxy::Proxy;
use crate::support::visitor::Held;
use crate::support::{Answer, Kind, Options, TestApp, db};
use crate::waiting_room::{Guest, open_room, tick};

/// What an admin is shown, once all that the processes counted is written down.
async fn shown(app: &TestApp) -> Value {
    for instance in &app.instances {
        admit::dashboard::beat(&instance.app).await.unwrap();
        admit::dashboard::save(&instance.app).await.unwrap();
    }
    figures(app, &app.access_token("boss").await).await
}

/// How many were tried, and how many of them failed.
async fn tried(app: &TestApp, what: &str) -> (i64, i64) {
    let said = &shown(app).await["success"][what];
    let of = said["of"].as_i64().unwrap();
    let failed = said["rate"].as_f64().map_or(0.0, |rate| of as f64 * (1.0 - rate));
    (of, failed.round() as i64)
}

#[tokio::test]
async fn a_payment_counts_once_as_it_first_ended() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let door = Door::of(&app).await;
    app.visitor(1).pay(&app.visitor(1).held(&adult, 1).await).await.expect(200);
    assert_eq!(tried(&app, "payment").await, (1, 0));

    // The bank's refusal is a certain end.
    let order = app.visitor(2).held(&adult, 1).await;
    app.simulate("faults", json!({ "op": "confirm", "kind": "fail", "count": 1, "code": "REJECT_CARD_PAYMENT" })).await;
    app.visitor(2).pay(&order).await.refused(409, "payment.declined");
    assert_eq!(tried(&app, "payment").await, (2, 0));

    // In doubt, and paid after all: one payment, and it was in doubt.
    let order = app.visitor(3).held(&adult, 1).await;
    app.simulate("faults", json!({ "op": "confirm", "kind": "drop_after", "count": 1 })).await;
    app.simulate("faults", json!({ "op": "query", "kind": "error_before", "count": 1 })).await;
    app.visitor(3).pay(&order).await.expect(202);
    assert_eq!(tried(&app, "payment").await, (3, 1));
    app.settle_everything().await;
    assert_eq!(app.visitor(3).read(&order).await.body["status"], "paid");
    assert_eq!(tried(&app, "payment").await, (3, 1));

    // An account to pay into was an end; what becomes of it is none.
    deposits::reversed(&app, &app.visitor(4), &adult, 1).await;
    assert_eq!(tried(&app, "payment").await, (4, 1));

    // Money in hand was at no provider.
    let order = app.visitor(5).held(&adult, 1).await;
    let transfer = json!({ "amount": order.total, "note": "seen on the statement" });
    door.call(Method::POST, &format!("/api/admin/orders/{}/transfer", order.number), transfer).await.expect(200);
    let rules = json!({ "exhibition": null, "walk_ins": true });
    door.call(Method::PUT, "/api/admin/exhibitions/xyz/entry-rules", rules).await.expect(200);
    app.refresh().await;
    let shift = door.device("north").await.shift("kim").await;
    let ask = json!({ "items": [{ "product_id": adult.product_id, "quantity": 1 }], "amount": 10_000 });
    let sale = app.http.post(app.url("/api/entrance/walk-ins")).bearer_auth(&shift).header("idempotency-key", "w");
    Answer::of(sale.json(&ask)).await.expect(201);
    assert_eq!(tried(&app, "payment").await, (4, 1));
    app.settle_everything().await;
    app.finish().await;
}

#[tokio::test]
async fn an_absent_provider_is_a_failure_and_the_live_board_says_so() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    app.account("boss", Role::Admin, &["xyz"]).await;
    let board = || {
        let exhibition = app.app().catalogue.current().by_code("xyz").unwrap();
        serde_json::to_value(admit::dashboard::live::board(app.app(), &exhibition)).unwrap()
    };
    admit::dashboard::beat(app.app()).await.unwrap();
    assert_eq!(board()["payment_success"], json!(null), "nobody has paid");
    app.visitor(9).pay(&app.visitor(9).held(&adult, 1).await).await.expect(200);
    let mut bought = Vec::new();
    for n in 0..4 {
        let order = app.visitor(n).held(&adult, 1).await;
        let (order_id, payment_key) = app.visitor(n).authorised(&order).await;
        bought.push((order, order_id, payment_key));
    }
    app.simulate("outage", json!({ "kind": "refuse" })).await;
    for (n, (order, order_id, payment_key)) in bought.iter().enumerate() {
        let answer = app.visitor(n).confirm(order, order_id, payment_key, &format!("k{n}")).await;
        // By the fourth the breaker is open.
        assert_eq!(answer.status, if n < 3 { 202 } else { 503 }, "{}", answer.body);
    }
    app.visitor(3).initialize(&bought[3].0).await.refused(503, "payment.provider_away");
    assert_eq!(tried(&app, "payment").await, (6, 5));
    let seen = board();
    assert_eq!((&seen["payment_success"], &seen["providers"][0]["state"]), (&json!(1.0 / 6.0), &json!("open")));
    assert!(seen["doubted_per_s"].as_f64().unwrap() > 0.0 && seen["paid_per_s"].as_f64().unwrap() > 0.0, "{seen}");

    let url = format!("{}/_sim/outage", app.simulator.base_url());
    assert!(app.http.delete(url).send().await.unwrap().status().is_success());
    app.settle_everything().await;
    assert_eq!(app.db.one::<i64>("select count(*) from orders where state = 'paid'").await, 4);
    assert_eq!(tried(&app, "payment").await, (6, 5), "known later is in doubt all the same");
    app.finish().await;
}

#[tokio::test]
async fn what_could_not_be_done_for_a_reason_of_ours_is_a_failure_and_sold_out_is_none() {
    let db = db::Database::create().await;
    let proxy = Proxy::start(&host_of(&db.url, 5432)).await;
    let url = db.url.replace(&host_of(&db.url, 5432), &proxy.address.to_string());
    let app = TestApp::start_on(db, Options { database_url: Some(url), ..Options::default() }).await;
    let adult = app.given(Kind { person_limit: Some(3), open_holds_max: 20, ..places(4) }).await;
    let door = Door::of(&app).await;
    let qr = codes(&app, &adult, 2).await;
    app.visitor(2).order(&adult, 3).await.refused(409, "stock.sold_out");
    app.visitor(1).order(&adult, 2).await.refused(409, "stock.person_limit");
    app.visitor(2).order(&adult, 0).await.refused(422, "request.invalid");
    assert_eq!(tried(&app, "reservation").await, (1, 0));

    let shift = door.device("north").await.shift("kim").await;
    let scan = async |qr: &str| {
        let ask = json!({ "qr_code": qr, "nonce": uuid::Uuid::new_v4() });
        Answer::of(app.http.post(app.url("/api/entrance/scan")).bearer_auth(&shift).json(&ask)).await
    };
    assert_eq!(scan(&qr[0]).await.expect(200).text("reason"), "ok");
    assert_eq!(scan(&qr[0]).await.expect(200).text("reason"), "already_used", "an answer as well");
    assert_eq!(tried(&app, "scan").await, (2, 0));

    proxy.cut();
    app.visitor(3).order(&adult, 1).await.refused(503, "server.database_away");
    scan(&qr[1]).await.refused(503, "server.database_away");
    proxy.mend();
    app.until("the database is back", async || scan(&qr[1]).await.status == 200).await;
    app.until("the sale's connections are back", async || admit::dashboard::save(app.app()).await.is_ok()).await;
    let (scans, failed) = tried(&app, "scan").await;
    assert!(failed >= 1 && scans == 3 + failed, "{failed} of {scans}");
    assert_eq!(tried(&app, "reservation").await, (2, 1));
    app.finish().await;
}

#[tokio::test]
async fn conversion_follows_people_from_the_line_to_a_ticket() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { open_holds_max: 20, ..places(50) }).await;
    app.account("boss", Role::Admin, &["xyz"]).await;
    // Who buys before there is a line is no part of it.
    app.visitor(90).held(&adult, 1).await;
    app.visitor(91).pay(&app.visitor(91).held(&adult, 1).await).await.expect(200);
    let before = json!({ "placed": 2, "attempted": 1, "paid": 1, "room": null });
    assert_eq!(shown(&app).await["conversion"], before);

    open_room(&app, &adult, Config { capacity: 4, slack: 0, rate_per_min: 6_000, draw: false, ..Config::default() })
        .await;
    let mut guests: Vec<Guest> = (0..5).map(|_| Guest::new(&app, &adult)).collect();
    for guest in &mut guests {
        guest.join().await.expect(200);
        guest.join().await.expect(200);
    }
    app.until("four are called", async || {
        tick(&app, 1).await;
        Guest::state(&guests[3].status().await) == "your_turn"
    })
    .await;
    for guest in guests.iter_mut().take(4) {
        assert_eq!(Guest::state(&guest.claim().await.expect(200)), "admitted");
        guest.claim().await.expect(200);
    }
    // One pays; one is refused by the bank, twice; one thinks better of it and orders again; one only looks.
    let orders: Vec<Held> = {
        let mut orders = Vec::new();
        for (n, guest) in guests.iter().take(3).enumerate() {
            orders.push(Held::from(&guest.order(&adult, n).await.expect(201)));
        }
        orders
    };
    app.visitor(0).pay(&orders[0]).await.expect(200);
    for _ in 0..2 {
        let refusal = json!({ "op": "confirm", "kind": "fail", "count": 1, "code": "REJECT_CARD_PAYMENT" });
        app.simulate("faults", refusal).await;
        app.visitor(1).pay(&orders[1]).await.refused(409, "payment.declined");
    }
    app.visitor(2).cancel(&orders[2]).await.expect(200);
    app.until("the pass is free again", async || guests[2].order(&adult, 2).await.status == 201).await;

    let said = shown(&app).await;
    let room = json!({ "joined": 5, "admitted": 4, "placed": 3, "attempted": 2, "paid": 1 });
    assert_eq!(said["conversion"], json!({ "placed": 6, "attempted": 3, "paid": 2, "room": room }));

    // What a release before has read already is told the same by the migration.
    let (_, told_anew) =
        include_str!("../../sql/migrations/V28__conversion.sql").split_once("-- What the figures have read").unwrap();
    let reset = "update figures_hours set attempted = 0, came_placed = 0, came_attempted = 0, came_paid = 0; delete from figures_passes;";
    app.db.execute(&format!("begin; {reset} -- {told_anew} commit")).await;
    assert_eq!(shown(&app).await["conversion"], said["conversion"]);
    app.sweep().await;

    // A process that was killed knew of somebody: whoever ordered was let in.
    app.db.execute("update figures_hours set joined = 0, admitted = 0").await;
    let room = shown(&app).await["conversion"]["room"].clone();
    assert_eq!(room, json!({ "joined": 3, "admitted": 3, "placed": 3, "attempted": 2, "paid": 1 }));
    app.finish().await;
}

/// What only the processes know: there is no other truth to compare it with.
const COUNTED: [&str; 8] = ["tried", "failed", "sent", "doubted", "scanned", "scan_failed", "joined", "admitted"];
const KEYS: [&str; 6] = ["exhibition_id", "at", "product_id", "day", "slot_id", "sid"];

#[tokio::test]
async fn a_wrong_figure_is_found_whatever_it_is() {
    let app = TestApp::start().await;
    let (adult, open) = (app.given(Kind { slot_places: Some(20), ..places(30) }).await, app.given(places(30)).await);
    let door = Door::of(&app).await;
    let qr = codes(&app, &open, 1).await;
    let shift = door.device("north").await.shift("kim").await;
    let ask = json!({ "qr_code": qr[0], "nonce": "1" });
    let scanned = app.http.post(app.url("/api/entrance/scan")).bearer_auth(&shift).json(&ask);
    Answer::of(scanned).await.expect(200);
    app.visitor(2).pay(&app.visitor(2).held(&adult, 2).await).await.expect(200);
    app.visitor(3).held(&adult, 1).await;
    // With a pass, as if a room had been open.
    app.db.execute("update orders set pass_sid = decode(repeat('ab', 16), 'hex')").await;
    shown(&app).await;
    app.sweep().await;

    let client = app.db.client().await;
    let columns = "select table_name::text, column_name::text from information_schema.columns
                    where table_name in ('figures_hours', 'figures_products', 'figures_slots', 'figures_passes') and table_schema = 'public'";
    let mut compared = 0;
    for row in client.query(columns, &[]).await.unwrap() {
        let (table, column): (&str, &str) = (row.get(0), row.get(1));
        if COUNTED.contains(&column) || KEYS.contains(&column) {
            continue;
        }
        for by in [1, -1] {
            // An entrance too few is told anew by the worker, see below; a step is within its bounds.
            if (column, by) == ("entrances", -1) || (column, by) == ("step", 1) {
                continue;
            }
            app.db.execute(&format!("update {table} set {column} = {column} + {by}")).await;
            let broken = admit::platform::invariants::sweep(&app.db.url).await.unwrap();
            assert!(broken.len() == 1 && broken[0].starts_with("the figures"), "{table}.{column} by {by}: {broken:?}");
            app.db.execute(&format!("update {table} set {column} = {column} - {by}")).await;
            compared += 1;
        }
    }
    assert!(compared >= 30, "{compared}");
    let entrances = async || app.db.one::<i64>("select sum(entrances) from figures_hours").await;
    assert_eq!(entrances().await, 1);
    app.db.execute("update figures_hours set entrances = 0").await;
    app.tick("entrances").await;
    assert_eq!(entrances().await, 1);

    // Every night, and once, whichever worker it is.
    let checked = async || shown(&app).await["checked"]["differences"].clone();
    assert_eq!(checked().await, json!(null));
    app.db.execute("update figures_hours set paid = paid + 1; update figures_slots set sold = sold + 1").await;
    app.tick("figures_check").await;
    assert_eq!(checked().await, json!(2));
    assert!(app.app().metrics.render().contains("admit_figures_differences 2"));
    app.db.execute("update figures_hours set paid = paid - 1; update figures_slots set sold = sold - 1").await;
    app.tick("figures_check").await;
    assert_eq!(checked().await, json!(2), "not twice in a night");
    app.advance(Duration::from_secs(24 * 3600)).await;
    app.tick("figures_check").await;
    assert_eq!(checked().await, json!(0));
    app.finish().await;
}
