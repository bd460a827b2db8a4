//! What admins watch: figures that are kept up, and a board of this second.

use std::time::Duration;

use admit::admin::Role;
use admit::observability::pulse::{BEAT, What};
use reqwest::Method;
use serde_json::{Value, json};

use crate::devices::{Door, codes};
use crate::entry_rules::rules;
use crate::support::given::places;
use crate::support::{Answer, Kind, TestApp};

pub async fn figures(app: &TestApp, token: &str) -> Value {
    // Until there is nothing more to read: a transaction that began before hides what came after it for a moment.
    app.until("the figures have read everything", async || {
        app.tick("figures").await;
        let left = "select count(*) from order_events e, figures_cursor c where (e.changed, e.id) > (c.changed, c.id)";
        app.db.one::<i64>(left).await == 0
    })
    .await;
    app.tick("entrances").await;
    app.refresh().await;
    let call = app.http.get(app.url("/api/admin/dashboard?exhibition=xyz")).bearer_auth(token);
    Answer::of(call).await.expect(200).body
}

#[tokio::test]
async fn the_dashboard_says_what_was_sold_given_back_and_let_in() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), open_holds_max: 20, ..places(30) }).await;
    app.given(Kind { code: "other", ..places(5) }).await;
    let door = Door::of(&app).await;
    let empty = figures(&app, &door.admin).await;
    assert_eq!((&empty["total_orders"], &empty["success"]["reservation"]["rate"]), (&json!(0), &json!(null)));
    assert_eq!(empty["hours"].as_array().unwrap().len(), 48);

    let visitor = app.visitor(1);
    let (two, three) = (visitor.held(&adult, 2).await, app.visitor(2).held(&adult, 3).await);
    visitor.pay(&two).await.expect(200);
    app.visitor(2).pay(&three).await.expect(200);
    let lapses = app.visitor(3).held(&adult, 1).await;
    app.advance(Duration::from_secs(3600)).await;
    app.tick("expire").await;
    let _ = lapses;
    // One ticket of three goes back.
    let ticket: uuid::Uuid = app
        .db
        .one(&format!(
            "select t.id from tickets t join orders o on o.id = t.order_id where o.number = '{}' and ticket_no = 1",
            three.number
        ))
        .await;
    let refund = format!("/api/admin/exhibitions/xyz/orders/{}/refund", three.number);
    let refund = app
        .http
        .post(app.url(&refund))
        .bearer_auth(app.access_token("boss").await)
        .header("idempotency-key", "r")
        .json(&json!({ "ticket_ids": [ticket], "reason": "ill" }));
    Answer::of(refund).await.expect(200);

    let token = app.access_token("boss").await;
    let said = figures(&app, &token).await;
    let product = &said["products"][0];
    assert_eq!(
        [&said["total_orders"], &said["total_revenue"], &said["refunds"], &said["products_sold"]["adult"]],
        [&json!(2), &json!(50_000), &json!({ "count": 1, "amount": 10_000 }), &json!(4)]
    );
    assert_eq!(
        (&product["sold"], &product["given_back"], &product["revenue"], &product["free"]),
        (&json!(5), &json!(1), &json!(50_000), &json!(26))
    );
    let slot = &said["slots"][0];
    assert_eq!((&slot["sold"], &slot["given_back"], &slot["free"]), (&json!(5), &json!(1), &json!(16)));
    assert_eq!(said["conversion"], json!({ "placed": 3, "attempted": 2, "paid": 2, "room": null }));
    let sum =
        |list: &str, of: &str| said[list].as_array().unwrap().iter().map(|h| h[of].as_i64().unwrap()).sum::<i64>();
    assert_eq!(
        [sum("hours", "placed"), sum("hours", "paid"), sum("hours", "revenue"), sum("days", "refunded")],
        [3, 2, 50_000, 10_000]
    );

    // What cost nothing and goes back is counted as well, though no money moves.
    let gift = app.http.post(app.url("/api/admin/exhibitions/xyz/complimentary")).bearer_auth(&token);
    let gift = gift.header("idempotency-key", "g").json(
        &json!({ "items": [{ "product_id": adult.product_id, "quantity": 2 }], "visit_date": adult.date, "reason": "press" }),
    );
    let number = Answer::of(gift).await.expect(201).text("order_number");
    let ids: Vec<uuid::Uuid> = {
        let client = app.db.client().await;
        let of = "select t.id from tickets t join orders o on o.id = t.order_id where o.number = $1";
        client.query(of, &[&number]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    let refund =
        app.http.post(app.url(&format!("/api/admin/exhibitions/xyz/orders/{number}/refund"))).bearer_auth(&token);
    let refund = refund.header("idempotency-key", "g").json(&json!({ "ticket_ids": ids, "reason": "not needed" }));
    Answer::of(refund).await.expect(200);
    let said = figures(&app, &token).await;
    assert_eq!((&said["products"][0]["sold"], &said["products"][0]["given_back"]), (&json!(7), &json!(3)));
    assert_eq!(said["refunds"]["count"], 1);

    // Read once and for all: another round changes nothing, whoever runs it.
    assert_eq!(app.tick("figures").await, 0);
    assert_eq!(figures(&app, &token).await["total_orders"], 3);

    // What only the processes count is written down by them, and added up.
    admit::dashboard::beat(app.app()).await.unwrap();
    admit::dashboard::save(app.app()).await.unwrap();
    admit::dashboard::save(app.app()).await.unwrap();
    let said = figures(&app, &token).await;
    let all_of = |of: i64| json!({ "rate": 1.0, "of": of, "today": { "rate": 1.0, "of": of } });
    assert_eq!(said["success"]["reservation"], all_of(3), "gifts are no reservations");
    assert_eq!(said["success"]["payment"], all_of(2));

    // The day after, what was is of the whole sale alone, and what goes wrong is of today.
    app.advance(Duration::from_secs(24 * 3600)).await;
    let token = app.access_token("boss").await;
    app.app().pulse.count(adult.exhibition_id, What::Failed);
    admit::dashboard::beat(app.app()).await.unwrap();
    admit::dashboard::save(app.app()).await.unwrap();
    let said = figures(&app, &token).await;
    assert_eq!(said["success"]["reservation"], json!({ "rate": 0.75, "of": 4, "today": { "rate": 0.0, "of": 1 } }));
    assert_eq!(said["success"]["payment"], json!({ "rate": 1.0, "of": 2, "today": { "rate": null, "of": 0 } }));
    app.finish().await;
}

#[tokio::test]
async fn entrances_belong_to_their_hour_and_go_when_they_are_undone() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { per_order_max: 20, open_holds_max: 20, ..places(50) }).await;
    let door = Door::of(&app).await;
    let qr = codes(&app, &adult, 2).await;
    let north = door.device("north").await;
    let shift = north.shift("kim").await;
    let scan = async |qr: &str, nonce: &str| {
        let ask = json!({ "qr_code": qr, "nonce": nonce });
        Answer::of(app.http.post(app.url("/api/entrance/scan")).bearer_auth(&shift).json(&ask)).await.expect(200)
    };
    scan(&qr[0], "1").await;
    scan(&qr[1], "2").await;
    scan(&qr[1], "3").await;
    assert_eq!(figures(&app, &door.admin).await["entrance_count"], 2);
    let undo = app.http.post(app.url("/api/entrance/undo")).bearer_auth(&shift).json(&json!({ "nonce": "2" }));
    Answer::of(undo).await.expect(200);
    let said = figures(&app, &door.admin).await;
    assert_eq!((&said["entrance_count"], &said["days"][0]["entrances"]), (&json!(1), &json!(1)));
    // A day on which nobody bought and somebody came is a day.
    let came = "insert into figures_hours (exhibition_id, at, entrances)
                select exhibition_id, at - interval '5 days', 7 from figures_hours limit 1";
    app.db.execute(came).await;
    let said = figures(&app, &door.admin).await;
    let days = said["days"].as_array().unwrap();
    let day = |day: &Value| (day["paid"].as_i64().unwrap() > 0, day["entrances"].as_i64().unwrap());
    let days: Vec<_> = days.iter().map(day).collect();
    assert_eq!(days, [(true, 1), (false, 7)], "{said}");
    app.db.execute("delete from figures_hours where entrances = 7").await;
    admit::dashboard::beat(app.app()).await.unwrap();
    admit::dashboard::save(app.app()).await.unwrap();
    assert_eq!(figures(&app, &door.admin).await["success"]["scan"]["of"], 3);

    // Who is inside: one came and stayed. They go, and another comes.
    let inside = async |people: i64| {
        // Counted anew after two seconds at most.
        app.until(&format!("{people} inside"), async || figures(&app, &door.admin).await["people_inside"] == people)
            .await;
    };
    inside(1).await;
    let reentry = json!({ "exhibition": rules(json!({ "reentry": true })), "products": {} });
    door.call(Method::PUT, "/api/admin/exhibitions/xyz/entry-rules", reentry).await.expect(200);
    let moves = async |qr: &str, direction: &str| {
        let ask = json!({ "qr_code": qr, "direction": direction });
        let scan = app.http.post(app.url("/api/entrance/scan")).bearer_auth(&shift).json(&ask);
        assert_eq!(Answer::of(scan).await.expect(200).text("reason"), "ok");
    };
    moves(&qr[1], "in").await;
    inside(2).await;
    moves(&qr[0], "out").await;
    inside(1).await;
    moves(&qr[1], "out").await;
    inside(0).await;
    app.finish().await;
}

#[tokio::test]
async fn figures_that_nobody_keeps_up_are_said_to_be_old() {
    let app = TestApp::start().await;
    let adult = app.given(places(30)).await;
    app.account("boss", Role::Admin, &["xyz"]).await;
    let token = app.access_token("boss").await;
    // What was there before is read.
    figures(&app, &token).await;
    app.visitor(1).held(&adult, 1).await;
    app.advance(Duration::from_secs(90)).await;
    let behind = |said: &Value| {
        let at = |name: &str| said[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        at("as_of").duration_since(at("figures_as_of")).as_secs()
    };
    let call = app.http.get(app.url("/api/admin/dashboard?exhibition=xyz")).bearer_auth(app.access_token("boss").await);
    let said = Answer::of(call).await.expect(200).body;
    assert_eq!(said["conversion"]["placed"], 0, "nobody has added it up");
    assert!((89..120).contains(&behind(&said)), "{said}");
    // Until: other tests of this process set it as well.
    let gauge = async |what: &str, fine: &dyn Fn(f64) -> bool| {
        app.until(what, async || {
            app.tick("gauges").await;
            let told = app.app().metrics.render();
            let told = told.lines().find_map(|line| line.strip_prefix("admit_figures_behind_seconds "));
            fine(told.unwrap().parse().unwrap())
        })
        .await;
    };
    gauge("the metric says so", &|seconds| seconds >= 89.0).await;

    let said = figures(&app, &app.access_token("boss").await).await;
    assert_eq!((&said["conversion"]["placed"], &said["figures_as_of"]), (&json!(1), &said["as_of"]));
    gauge("nothing is unread", &|seconds| seconds == 0.0).await;
    app.finish().await;
}

/// The control is a reader that remembers the highest number it has seen: it misses what commits late.
#[tokio::test]
async fn an_event_that_commits_late_is_not_missed() {
    let app = TestApp::start().await;
    let adult = app.given(places(30)).await;
    app.account("boss", Role::Admin, &["xyz"]).await;
    let token = app.access_token("boss").await;
    app.visitor(1).held(&adult, 1).await;
    // An event with an early number, in a transaction that is still under way while later ones come and go.
    let mut slow = app.db.client().await;
    let open = slow.transaction().await.unwrap();
    let order: uuid::Uuid = app.db.one("select id from orders").await;
    open.execute(
        "insert into order_events (order_id, kind, actor, cause, correlation_id, at) values ($1, 'declined', 'test', 'late', '', now())",
        &[&order],
    )
    .await
    .unwrap();
    app.visitor(2).held(&adult, 1).await;
    while app.tick("figures").await > 0 {}
    let naive: i64 = app.db.one("select max(id) from order_events").await;
    open.commit().await.unwrap();
    let missed: i64 = app.db.one(&format!("select count(*) from order_events where id > {naive}")).await;
    assert_eq!(missed, 0, "the naive reader must lose the late one");
    let declined = async || app.db.one::<i64>("select coalesce(sum(declined), 0) from figures_hours").await;
    assert_eq!(declined().await, 0);
    assert_eq!(figures(&app, &token).await["conversion"]["placed"], 2);
    assert_eq!(declined().await, 1);
    app.finish().await;
}

/// A correction moves no order: alone in its hour it is read like every other event, and counts as nothing.
#[tokio::test]
async fn an_event_that_moves_nothing_is_read_alone() {
    let app = TestApp::start().await;
    let adult = app.given(places(30)).await;
    app.account("boss", Role::Admin, &["xyz"]).await;
    let token = app.access_token("boss").await;
    app.visitor(1).held(&adult, 1).await;
    figures(&app, &token).await;
    app.db
        .execute(
            "insert into order_events (order_id, kind, actor, cause, correlation_id, at)
             select id, 'contact_corrected', 'support', 'desk', '', now() + interval '3 hours' from orders",
        )
        .await;
    let read = figures(&app, &token).await;
    assert_eq!((&read["conversion"]["placed"], app.tick("figures").await), (&json!(1), 0), "{read}");
    app.finish().await;
}

/// The next pictures of a live board.
pub async fn pictures(app: &TestApp, at: usize, token: &str, count: usize) -> Vec<Value> {
    let url = format!("http://{}/api/admin/exhibitions/xyz/live", app.instances[at].address);
    let mut reply = app.http.get(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(
        (reply.status().as_u16(), reply.headers()["content-type"].to_str().unwrap()),
        (200, "text/event-stream")
    );
    let mut text = String::new();
    while text.matches("\n\n").count() < count {
        let Ok(Some(more)) = reply.chunk().await else { break };
        text.push_str(std::str::from_utf8(&more).unwrap());
    }
    let data = |event: &str| {
        event.lines().find_map(|line| line.strip_prefix("data: ")).map(|d| serde_json::from_str(d).unwrap())
    };
    text.split("\n\n").filter_map(data).collect()
}

#[tokio::test]
async fn the_live_board_shows_this_second_of_every_instance() {
    let mut app = TestApp::start().await;
    app.add_instance().await;
    let adult = app.given(Kind { open_holds_max: 20, ..places(30) }).await;
    app.account("helps", Role::Support, &["xyz"]).await;
    app.account("gates", Role::Staff, &["xyz"]).await;
    let token = app.access_token("helps").await;
    let gates = app.access_token("gates").await;
    let closed = app.http.get(app.url("/api/admin/exhibitions/xyz/live")).bearer_auth(&gates);
    Answer::of(closed).await.refused(403, "auth.forbidden");

    let first = app.visitor(1).held(&adult, 2).await;
    app.visitor(2).at(1).held(&adult, 1).await;
    app.visitor(1).pay(&first).await.expect(200);
    app.tick("expire").await;
    for _ in 0..2 {
        for instance in &app.instances {
            admit::dashboard::beat(&instance.app).await.unwrap();
        }
    }
    app.refresh().await;
    // Whoever watches at another instance sees the same.
    for at in 0..2 {
        let seen = pictures(&app, at, &token, 2).await;
        assert_eq!(seen.len(), 2);
        let board = &seen[0];
        let per_s = |name: &str| (board[name].as_f64().unwrap() * 2.0 * BEAT.as_secs_f64()).round() as i64;
        assert_eq!((per_s("placed_per_s"), per_s("paid_per_s")), (2, 1), "in two beats: {board}");
        let stock = &board["stocks"][0];
        assert_eq!(
            (&stock["sold"], &stock["held"], &stock["free"], &stock["name_en"]),
            (&json!(2), &json!(1), &json!(27), &json!("Adult"))
        );
        assert_eq!(board["instances"].as_array().unwrap().len(), 2);
        assert_eq!(board["providers"][0], json!({ "name": "toss", "state": "closed" }));
        assert!(board["p95_ms"].as_f64().unwrap() > 0.0 && board["error_rate"].as_f64() == Some(0.0));
        assert!(board["room"].is_null());
        assert!(seen[1]["at"].as_i64() > seen[0]["at"].as_i64(), "one after the other");
    }
    // The instance that was watched dies; at another one it goes on.
    app.kill(0);
    assert_eq!(pictures(&app, 0, &token, 1).await.len(), 1);
    app.finish().await;
}

/// Counted by the workers, not by who watches: whoever shows a board asks Postgres nothing.
#[tokio::test]
async fn the_live_board_tells_which_messages_wait_fail_and_were_given_up() {
    let mut app = TestApp::start().await;
    app.add_instance().await;
    app.given(places(5)).await;
    app.given(Kind { code: "other", ..places(5) }).await;
    app.account("helps", Role::Support, &["xyz"]).await;
    let token = app.access_token("helps").await;
    // Told, and heard by the others in the next beat.
    let beats = async || {
        for _ in 0..2 {
            for instance in &app.instances {
                admit::dashboard::beat(&instance.app).await.unwrap();
            }
        }
    };
    // The first picture of a board that was watched before may be an older one.
    let shown = async || pictures(&app, 1, &token, 2).await[1]["messages"].clone();
    beats().await;
    assert_eq!(shown().await, Value::Null, "nobody has counted");

    app.db
        .execute(
            "insert into outbox (kind, order_id, exhibition_id, state, tries, outcome, next_try_at, created_at, done_at, set_aside_why)
             select 'order_paid', gen_random_uuid(), e.id, s.state, 1, s.outcome, now() + interval '1 hour', now(),
                    case when s.state <> 'pending' then now() end, case when s.state = 'set_aside' then 'they were called' end
               from exhibitions e join (values ('xyz', 'pending', null), ('xyz', 'pending', 'timeout'), ('xyz', 'pending', 'refused'),
                    ('xyz', 'dead', 'timeout'), ('xyz', 'set_aside', 'timeout'), ('xyz', 'done', null), ('other', 'dead', 'timeout'))
                    as s (code, state, outcome) using (code)",
        )
        .await;
    app.tick("message_counts").await;
    beats().await;
    let counted = shown().await;
    let figures = ["pending", "failing", "dead", "set_aside"].map(|name| counted[name].as_i64().unwrap());
    assert_eq!(figures, [3, 2, 1, 1]);
    let age_ms = |counted: &Value| counted["age_ms"].as_i64().unwrap();
    let young_ms = age_ms(&counted);

    // What is not counted anew gets old, and says so.
    app.advance(Duration::from_secs(4)).await;
    app.db.execute("delete from outbox").await;
    beats().await;
    let old = shown().await;
    assert_eq!(old["dead"], 1);
    assert!(age_ms(&old) >= 4_000 && age_ms(&old) > young_ms, "{old}");
    app.tick("message_counts").await;
    beats().await;
    let none = shown().await;
    assert!(["pending", "failing", "dead", "set_aside"].iter().all(|name| none[name] == 0), "{none}");
    assert!(age_ms(&none) < age_ms(&old), "{none}");
    app.finish().await;
}

#[tokio::test]
async fn a_board_costs_the_same_however_many_watch_it() {
    let app = TestApp::start().await;
    app.given(places(30)).await;
    app.account("boss", Role::Admin, &["xyz"]).await;
    let token = app.access_token("boss").await;
    let watching: Vec<_> = (0..50).map(|_| pictures(&app, 0, &token, 2)).collect();
    let seen = futures_util::future::join_all(watching).await;
    assert!(seen.iter().all(|pictures| pictures.len() == 2));
    let mut instants: Vec<i64> = seen.iter().map(|pictures| pictures[1]["at"].as_i64().unwrap()).collect();
    instants.sort_unstable();
    instants.dedup();
    assert!(instants.len() <= 3, "all see the same pictures: {instants:?}");
    app.finish().await;
}

#[tokio::test]
async fn figures_are_for_whoever_may_enter() {
    let app = TestApp::start().await;
    let adult = app.given(places(30)).await;
    let other = app.given(Kind { code: "other", ..places(5) }).await;
    app.account("boss", Role::Admin, &["xyz"]).await;
    let token = app.access_token("boss").await;
    let ask = |query: &str| {
        app.http.request(Method::GET, app.url(&format!("/api/admin/dashboard{query}"))).bearer_auth(&token)
    };
    Answer::of(ask("?exhibition=other")).await.refused(403, "auth.forbidden");
    Answer::of(ask("?exhibition=none")).await.refused(404, "catalogue.unknown_exhibition");
    // Without a name it is all that the caller may enter, together and one by one.
    app.account("owner", Role::SuperAdmin, &[]).await;
    app.visitor(1).pay(&app.visitor(1).held(&adult, 2).await).await.expect(200);
    app.visitor(2).pay(&app.visitor(2).held(&other, 1).await).await.expect(200);
    figures(&app, &token).await;
    let one = Answer::of(ask("")).await.expect(200).body;
    assert_eq!(
        (&one["exhibition_code"], &one["total_orders"], &one["today_revenue"]),
        (&json!(null), &json!(1), &json!(20_000))
    );
    let owner = app.access_token("owner").await;
    let all = app.http.get(app.url("/api/admin/dashboard")).bearer_auth(&owner);
    let all = Answer::of(all).await.expect(200).body;
    let sum = |list: &str, of: &str| all[list].as_array().unwrap().iter().map(|h| h[of].as_i64().unwrap()).sum::<i64>();
    assert_eq!(
        [&all["total_orders"], &all["today_revenue"], &all["products_sold"]["adult"], &all["conversion"]["paid"]],
        [&json!(2), &json!(30_000), &json!(3), &json!(2)]
    );
    assert_eq!(
        [sum("hours", "paid"), sum("days", "revenue"), sum("exhibitions", "today_revenue")],
        [2, 30_000, 30_000]
    );
    let codes = |said: &Value| -> Vec<String> {
        said["exhibitions"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap().to_owned()).collect()
    };
    let mut known = codes(&all);
    known.sort();
    assert_eq!((codes(&one), known), (vec!["xyz".to_owned()], vec!["other".to_owned(), "xyz".to_owned()]));
    // Of one there is nothing about the others.
    assert_eq!(Answer::of(ask("?exhibition=xyz")).await.expect(200).body["exhibitions"], json!([]));
    app.finish().await;
}
