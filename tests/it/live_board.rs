//! What the live board says of a sale that is paused, of one in trouble, and of a line; and that it goes on when what sent it is dead.

use std::time::Duration;

use admit::admin::Role;
use admit::orders::worker::{WORKERS, run};
use admit::waiting_room::model::Config;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::dashboard::pictures;
use crate::support::given::places;
use crate::support::lines::host_of;
use crate::support::process::Process;
use crate::support::proxy::Proxy;
use crate::support::{Answer, Kind, Options, TestApp, db};
use crate::waiting_room::{Guest, open_room, tick};

/// The picture that somebody gets who looks now.
async fn picture(app: &TestApp, token: &str) -> Value {
    app.refresh().await;
    admit::dashboard::beat(app.app()).await.unwrap();
    // The board itself is made in the background, and the first picture may be one of before.
    pictures(app, 0, token, 2).await.remove(1)
}

#[tokio::test]
async fn the_live_board_says_who_has_paused_what() {
    let app = TestApp::start().await;
    app.given(Kind { slot_places: Some(20), ..places(30) }).await;
    app.account("owner", Role::SuperAdmin, &[]).await;
    let token = app.access_token("owner").await;
    let paused = async || {
        let said = picture(&app, &token).await;
        (said["paused"].clone(), said["paused_by"].clone(), said["pause_reason_en"].clone())
    };
    assert_eq!(paused().await, (json!(false), json!([]), json!(null)));

    let sales = async |revision: i64, ask: Value| {
        let call = app.http.put(app.url("/api/admin/sales")).bearer_auth(&token);
        Answer::of(call.header("if-match", format!("\"{revision}\"")).json(&ask)).await.expect(200);
    };
    sales(1, json!({ "paused": true, "reason_ko": "점검", "reason_en": "Maintenance" })).await;
    assert_eq!(paused().await, (json!(true), json!(["all_sales"]), json!("Maintenance")));
    let building = "update exhibitions set paused = true, pause_reason_ko = '공사', pause_reason_en = 'Building work'";
    app.db.execute(building).await;
    assert_eq!(paused().await, (json!(true), json!(["all_sales", "exhibition"]), json!("Maintenance")));
    sales(2, json!({ "paused": false })).await;
    assert_eq!(paused().await, (json!(true), json!(["exhibition"]), json!("Building work")));
    app.db.execute("update exhibitions set paused = false").await;
    assert_eq!(paused().await, (json!(false), json!([]), json!(null)));

    // A product that is not sold, and a slot that does not take place.
    let stocks = async || {
        let said = picture(&app, &token).await;
        [0, 1].map(|n| (said["stocks"][n]["paused"].clone(), said["stocks"][n]["closed"].clone()))
    };
    let (on, off) = (json!(true), json!(false));
    assert_eq!(stocks().await, [(off.clone(), off.clone()), (off.clone(), off.clone())]);
    app.db.execute("update products set active = false; update slots set closed = true").await;
    assert_eq!(stocks().await, [(on.clone(), off.clone()), (off, on)]);
    app.finish().await;
}

fn worker<'a>(board: &'a Value, name: &str) -> &'a Value {
    board["workers"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap()
}

#[tokio::test]
async fn a_board_without_workers_says_which_are_missing() {
    let app = TestApp::start().await;
    app.given(places(5)).await;
    app.account("boss", Role::Admin, &["xyz"]).await;
    let said = picture(&app, &app.access_token("boss").await).await;
    let silent = |name| json!({ "name": name, "outcome": "silent", "age_ms": null, "took_ms": null });
    assert_eq!(said["workers"], WORKERS.iter().map(|worker| silent(worker.name)).collect::<Value>());
    app.finish().await;
}

/// A worker without a name would be shown as it is called in the code.
#[test]
fn every_worker_has_a_name_on_the_board() {
    for language in ["ko", "en"] {
        let texts = std::fs::read_to_string(format!("web/locales/{language}.json")).unwrap();
        let texts: Value = serde_json::from_str(&texts).unwrap();
        let family = "page.admin.worker.";
        let mut told: Vec<&str> =
            texts.as_object().unwrap().keys().filter_map(|key| key.strip_prefix(family)).collect();
        let mut known = WORKERS.map(|worker| worker.name);
        told.sort_unstable();
        known.sort_unstable();
        assert_eq!(told, known, "{language}");
    }
}

#[tokio::test]
async fn the_live_board_leaves_out_slots_whose_day_is_over() {
    let app = TestApp::start().await;
    app.given(Kind { slot_places: Some(20), ..places(30) }).await;
    app.account("boss", Role::Admin, &["xyz"]).await;
    let token = app.access_token("boss").await;
    let stocks = async |days_from_today: i32| {
        let day = format!("(now() at time zone 'Asia/Seoul')::date + {days_from_today}");
        app.db.execute(&format!("update slots set visit_date = {day}")).await;
        picture(&app, &token).await["stocks"].as_array().unwrap().clone()
    };
    let today = stocks(0).await;
    assert_eq!(today.len(), 2, "until the day ends, people buy for it");
    // What a stock has not is not told.
    assert_eq!((today[0].get("date"), today[1].get("name_ko"), today[1].get("start_time")), (None, None, None));
    let over = stocks(-1).await;
    assert_eq!((over.len(), &over[0]["name_en"]), (1, &json!("Adult")));
    // The dashboard goes on telling what was sold for it.
    let figures = app.http.get(app.url("/api/admin/dashboard?exhibition=xyz")).bearer_auth(&token);
    assert_eq!(Answer::of(figures).await.expect(200).body["slots"].as_array().unwrap().len(), 1);
    app.finish().await;
}

#[tokio::test]
async fn the_live_board_shows_a_sale_in_trouble() {
    let db = db::Database::create().await;
    let proxy = Proxy::start(&host_of(&db.url, 5432)).await;
    let url = db.url.replace(&host_of(&db.url, 5432), &proxy.address.to_string());
    let app = TestApp::start_on(db, Options { database_url: Some(url), ..Options::default() }).await;
    let adult = app.given(Kind { open_holds_max: 20, ..places(60) }).await;
    app.account("boss", Role::Admin, &["xyz"]).await;
    let token = app.access_token("boss").await;

    // Five in the line, four of them inside, and nobody lets more in while orders are slow.
    let config = Config { capacity: 4, slack: 0, rate_per_min: 6_000, draw: false, ..Config::default() };
    open_room(&app, &adult, config).await;
    let mut guests: Vec<Guest> = (0..5).map(|_| Guest::new(&app, &adult)).collect();
    for guest in &mut guests {
        guest.join().await.expect(200);
    }
    app.until("four are called", async || {
        tick(&app, 1).await;
        Guest::state(&guests[3].status().await) == "your_turn"
    })
    .await;
    for guest in guests.iter_mut().take(4) {
        guest.claim().await.expect(200);
    }
    let pace = app.app().rooms.of("xyz").unwrap();
    for _ in 0..6 {
        let now_ms = app.app().clock.now_ms();
        (0..50).for_each(|_| pace.pace.record(Duration::from_secs(3), true, now_ms));
        tick(&app, 5).await;
    }
    guests[4].status().await;
    tick(&app, 5).await;
    let room = picture(&app, &token).await["room"].clone();
    assert_eq!(
        (&room["phase"], &room["waiting"], &room["active"], &room["capacity"], &room["stale"]),
        (&json!("open"), &json!(1), &json!(4), &json!(4), &json!(false)),
        "{room}"
    );
    let (rate, brake) = (room["rate_per_s"].as_f64().unwrap(), room["brake"].as_f64().unwrap());
    assert!(brake < 1.0 && (rate - 100.0 * brake).abs() < 1e-6, "lowered by the brake: {room}");

    // One pays, one is refused by the bank, one cannot order since Postgres is away.
    let held: Vec<_> = {
        let mut held = Vec::new();
        for (n, guest) in guests.iter().take(2).enumerate() {
            held.push(crate::support::visitor::Held::from(&guest.order(&adult, n).await.expect(201)));
        }
        held
    };
    app.visitor(0).pay(&held[0]).await.expect(200);
    let refusal = json!({ "op": "confirm", "kind": "fail", "count": 1, "code": "REJECT_CARD_PAYMENT" });
    app.simulate("faults", refusal).await;
    app.visitor(1).pay(&held[1]).await.refused(409, "payment.declined");
    proxy.cut();
    guests[2].order(&adult, 2).await.refused(503, "server.database_away");
    proxy.mend();
    app.until("the database is back", async || guests[3].order(&adult, 3).await.status == 201).await;

    // The provider goes: five answers fail, and nobody is sent there any more.
    let (order_id, payment_key) = app.visitor(1).authorised(&held[1]).await;
    app.simulate("outage", json!({ "kind": "refuse" })).await;
    app.visitor(1).confirm(&held[1], &order_id, &payment_key, "again").await.expect(202);
    app.until("the breaker is open", async || {
        app.advance(Duration::from_secs(2)).await;
        app.tick("recover").await;
        app.app().gateways.states().any(|(_, state)| state == "open")
    })
    .await;

    // A worker as it runs in production.
    for worker in &WORKERS {
        if worker.name == "expire" {
            app.app().lifecycle.spawn(run(app.app().clone(), worker));
        }
    }
    let seen = {
        let mut seen = Value::Null;
        app.until("the worker's round is on the board", async || {
            seen = picture(&app, &token).await;
            ["idle", "worked"].contains(&worker(&seen, "expire")["outcome"].as_str().unwrap())
        })
        .await;
        seen
    };
    for figure in ["placed_per_s", "paid_per_s", "declined_per_s", "doubted_per_s", "failed_per_s", "error_rate"] {
        assert!(seen[figure].as_f64().unwrap() > 0.0, "{figure}: {seen}");
    }
    // Paid and refused ended at once; one is in doubt.
    assert_eq!(seen["payment_success"], json!(2.0 / 3.0));
    assert_eq!(seen["providers"], json!([{ "name": "toss", "state": "open" }]));
    let expire = worker(&seen, "expire");
    assert!(expire["age_ms"].is_i64() && expire["took_ms"].is_u64(), "{expire}");
    assert_eq!(worker(&seen, "recover")["outcome"], "silent", "of the others nothing is heard");

    let url = format!("{}/_sim/outage", app.simulator.base_url());
    assert!(app.http.delete(url).send().await.unwrap().status().is_success());
    app.settle_everything().await;
    app.finish().await;
}

/// Reads a board as the page does (`follow` in `admin_live.js`): whatever ends the stream, it is asked for again.
async fn follow(http: reqwest::Client, url: String, token: String, boards: UnboundedSender<Value>) {
    loop {
        let asked = http.get(&url).bearer_auth(&token).send().await;
        if let Ok(mut reply) = asked.and_then(reqwest::Response::error_for_status) {
            let mut text = String::new();
            while let Ok(Some(more)) = reply.chunk().await {
                text.push_str(std::str::from_utf8(&more).unwrap());
                while let Some((event, rest)) = text.split_once("\n\n") {
                    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
                    if boards.send(serde_json::from_str(data).unwrap()).is_err() {
                        return;
                    }
                    text = rest.to_owned();
                }
            }
        }
        if boards.is_closed() {
            return;
        }
        // The page's pause.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn a_board_is_young_and_goes_on_at_another_instance_when_its_own_is_killed() {
    let app = TestApp::start().await;
    app.given(places(30)).await;
    app.account("boss", Role::Admin, &["xyz"]).await;
    let token = app.access_token("boss").await;
    let mut first = Process::serve(&app).await;
    let second = Process::serve(&app).await;
    let hosts = [host_of(&first.base(), 80), host_of(&second.base(), 80)];
    let balancer = Proxy::before(&[&hosts[0], &hosts[1]]).await;
    let url = format!("http://{}/api/admin/exhibitions/xyz/live", balancer.address);
    let (tell, mut boards) = unbounded_channel();
    let reading = tokio::spawn(follow(app.http.clone(), url, token, tell));
    let mut next = async || {
        let next = tokio::time::timeout(Duration::from_secs(30), boards.recv()).await;
        next.expect("another picture in time").unwrap()
    };
    // Both beat, and what the picture shows is younger than a second by its own word.
    let young = |board: &Value| {
        let ages = board["instances"].as_array().unwrap().iter().map(|one| &one["age_ms"]);
        let ages: Vec<i64> =
            ages.chain([&board["heard_age_ms"], &board["stocks_age_ms"]]).map(|age| age.as_i64().unwrap()).collect();
        ages.len() == 4 && ages.iter().all(|age| *age <= 1_000)
    };
    let mut seen = 0;
    while !young(&next().await) {
        seen += 1;
        assert!(seen < 100, "no picture was young");
    }
    let last = next().await["at"].as_i64().unwrap();

    first.kill().await;
    // What had come before is read first.
    let mut later = 0;
    while later < 3 {
        let board = next().await;
        later += i32::from(board["at"].as_i64().unwrap() > last + 1_000);
    }
    // Nobody hears of the dead one any more, and its board does.
    let mut waited = 0;
    while next().await["instances"].as_array().unwrap().len() != 1 {
        waited += 1;
        assert!(waited < 200, "the dead one is still there");
    }
    reading.abort();
    drop(second);
    app.finish().await;
}
