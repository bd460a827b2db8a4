//! Rehearsals: simulated visitors go through the room as real ones would, and nothing of them stays.

use std::time::Duration;

use admit::admin::Role;
use admit::waiting_room::bits::Bits;
use admit::waiting_room::model::{Phase, Rehearsal};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::given::places;
use crate::support::{Answer, Kind, Options, TestApp, servers};
use crate::waiting_room::{Guest, open_room, tick};

const ROOM: &str = "/api/admin/exhibitions/xyz/room";
const TICK: Duration = Duration::from_millis(500);

/// Somebody with an access token.
struct Caller<'a> {
    app: &'a TestApp,
    token: String,
}

impl Caller<'_> {
    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = self.app.http.request(method.parse().unwrap(), self.app.url(&format!("{ROOM}{path}")));
        let request = if let Some(body) = body { request.json(&body) } else { request };
        Answer::of(request.bearer_auth(&self.token)).await
    }

    /// Of the room as it is.
    async fn changes(&self, method: &str, path: &str, body: Value) -> Answer {
        let seen = self.room().await["revision"].as_i64().unwrap();
        self.changes_as(seen, method, path, body).await
    }

    async fn changes_as(&self, seen: i64, method: &str, path: &str, body: Value) -> Answer {
        let request = self.app.http.request(method.parse().unwrap(), self.app.url(&format!("{ROOM}{path}")));
        Answer::of(request.bearer_auth(&self.token).header("if-match", format!("\"{seen}\"")).json(&body)).await
    }

    async fn room(&self) -> Value {
        self.send("GET", "", None).await.expect(200).body
    }

    async fn set(&self, config: Value) -> Answer {
        self.changes("PUT", "", json!({ "config": config })).await
    }

    async fn to(&self, phase: Phase) -> Answer {
        self.changes("POST", "/phase", json!({ "to": phase, "reason_ko": "x", "reason_en": "x" })).await
    }

    /// Begins one with these, laid over what every test agrees with.
    async fn rehearse(&self, over: Value) -> Answer {
        let mut ask = json!({ "people": 200, "arrive_s": 20, "abandon_pct": 20, "stay_s": 10, "during_sale": true });
        ask.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        self.changes("POST", "/rehearsal", ask).await
    }

    async fn end(&self) -> Answer {
        self.send("DELETE", "/rehearsal", None).await
    }

    async fn figures(&self) -> Value {
        self.room().await["rehearsal"]["figures"].clone()
    }
}

impl TestApp {
    async fn of_staff(&self, username: &str, role: Role) -> Caller<'_> {
        self.account(username, role, &["xyz"]).await;
        self.signed_in_again(username).await
    }

    /// A token lasts a quarter of an hour.
    async fn signed_in_again(&self, username: &str) -> Caller<'_> {
        Caller { app: self, token: self.access_token(username).await }
    }

    /// The leader and every instance, half a second later.
    async fn half_a_second(&self, leader: usize) {
        self.advance(TICK).await;
        self.tick_on(leader, "rooms").await;
        self.refresh().await;
    }

    fn picture(&self) -> admit::waiting_room::model::Snap {
        self.app().rooms.of("xyz").unwrap().view().snap.clone()
    }

    fn in_seconds(&self, seconds: i64) -> Value {
        json!(self.app().clock.now() + SignedDuration::from_secs(seconds))
    }

    /// Ranks that have been let in.
    async fn claimed(&self, run: u32) -> Bits {
        let key = self.app().redis.key("xyz", &format!("wr:{run}:claimed:0"));
        Bits::from_bytes(&self.app().redis.get_bytes(&key).await.unwrap().unwrap_or_default())
    }
}

fn count(figures: &Value, names: &[&str]) -> u64 {
    names.iter().map(|name| figures[*name].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn simulated_visitors_go_through_and_a_real_one_among_them_is_called_in_order() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let admin = app.of_staff("admin-1", Role::Admin).await;
    admin.set(json!({ "capacity": 50, "slack": 0, "rate_per_min": 6_000, "draw": false })).await.expect(200);
    let begun = admin.rehearse(json!({})).await.expect(200).body;
    assert_eq!(
        (&begun["phase"], &begun["run"], &begun["rehearsal"]["running"]),
        (&json!("open"), &json!(2), &json!(true))
    );
    assert_eq!(begun["legal_moves"], json!(["paused", "drain", "stopped", "ended"]));

    let mut guest = Guest::new(&app, &adult);
    let (mut number, mut ahead, mut turn) = (0, u64::MAX, false);
    // New rooms are looked for once a second.
    while app.app().rooms.of("xyz").is_none() {
        app.half_a_second(0).await;
    }
    for round in 0..600 {
        app.half_a_second(0).await;
        let snap = app.picture();
        assert!(snap.active <= 50, "{}", snap.active);
        if round == 24 {
            let joined = guest.join().await.expect(200);
            assert_eq!(
                (Guest::state(&joined), &joined.body["rehearsal"]),
                ("waiting", &json!(true)),
                "{}",
                joined.body
            );
            number = joined.body["number"].as_u64().unwrap() as u32;
            assert!((60..200).contains(&number), "{number}");
        }
        if round > 24 && !turn {
            let status = guest.status().await.expect(200);
            turn = Guest::state(&status) == "your_turn";
            let claimed = app.claimed(2).await;
            if turn {
                assert!(snap.lanes[0].serving >= number);
                assert_eq!(Guest::state(&guest.claim().await.expect(200)), "admitted");
                guest.leave().await.expect(204);
            } else {
                assert_eq!(Guest::state(&status), "waiting");
                assert!(claimed.iter_ones().all(|rank| rank < number), "{number}: {claimed:?}");
                let now = status.body["ahead"].as_u64().unwrap();
                // Those who came a moment before are known a second later.
                if round > 30 {
                    assert!(now <= ahead, "{now} after {ahead}");
                    ahead = now;
                }
            }
        }
        if round % 20 == 0 {
            let figures = admin.figures().await;
            let parts = count(&figures, &["waiting", "called", "inside", "done", "abandoned"]);
            assert_eq!(parts, count(&figures, &["joined"]), "{figures}");
            if count(&figures, &["done", "abandoned"]) == 200 {
                break;
            }
        }
    }
    assert!(turn, "the real one was called");
    let figures = admin.figures().await;
    assert_eq!(count(&figures, &["done", "abandoned"]), 200, "{figures}");
    assert!((20..=60).contains(&count(&figures, &["abandoned"])), "{figures}");
    assert_eq!(app.picture().lanes[0].seq, 201, "each joined once");
    app.finish().await;
}

#[tokio::test]
async fn nothing_of_a_rehearsal_stays() {
    let own = servers::OwnRedis::start().await;
    let app = TestApp::start_with(Options { redis_url: Some(own.url()), ..Options::default() }).await;
    // Signs of life go by themselves.
    let left_in_redis = async || {
        let keys = own.cli(&["keys", &format!("{}:{{xyz}}:wr:2:*", app.redis_prefix)]).await;
        keys.lines().filter(|key| !key.is_empty() && !key.contains(":live:")).map(str::to_owned).collect::<Vec<_>>()
    };
    let adult = app.given(places(100)).await;
    let admin = app.of_staff("admin-1", Role::Admin).await;
    let config = json!({ "capacity": 5, "slack": 0, "rate_per_min": 6_000, "draw": false });
    admin.set(config).await.expect(200);
    admin.rehearse(json!({ "people": 50, "arrive_s": 10, "abandon_pct": 0, "stay_s": 600 })).await.expect(200);
    let mut guest = Guest::new(&app, &adult);
    guest.order(&adult, 1).await.expect(201);
    for _ in 0..60 {
        app.half_a_second(0).await;
    }
    guest.order(&adult, 2).await.refused(403, "waiting_room.pass_required");
    guest.join().await.expect(200);
    assert_eq!(count(&admin.figures().await, &["inside"]), 5);
    assert_eq!(app.picture().active, 5);
    assert!(!left_in_redis().await.is_empty());

    let ended = admin.end().await.expect(200).body;
    assert_eq!((&ended["phase"], &ended["run"]), (&json!("idle"), &json!(3)));
    assert_eq!((&ended["rehearsal"]["running"], &ended["rehearsal"]["run"]), (&json!(false), &json!(2)));
    assert_eq!(count(&ended["rehearsal"]["figures"], &["inside"]), 5, "how it went can still be seen");
    admin.end().await.refused(409, "room.no_rehearsal");
    tick(&app, 2).await;
    guest.order(&adult, 3).await.expect(201);
    guest.status().await.refused(410, "queue.other_run");
    assert_eq!((app.picture().active, app.picture().rehearsal), (0, false), "nobody is inside");
    assert_eq!(left_in_redis().await, Vec::<String>::new());

    // The next run begins with number 1, and nobody of the last is served in it.
    admin.to(Phase::Open).await.expect(200);
    tick(&app, 8).await;
    let mut guests: Vec<Guest> = (0..7).map(|_| Guest::new(&app, &adult)).collect();
    for (n, guest) in guests.iter_mut().enumerate() {
        let joined = guest.join().await.expect(200);
        assert_eq!((Guest::state(&joined), &joined.body["number"]), ("waiting", &json!(n + 1)), "{}", joined.body);
        assert_eq!(joined.body["rehearsal"], json!(null));
    }
    tick(&app, 4).await;
    assert_eq!(app.picture().lanes[0].serving, 5, "the capacity is five");
    app.finish().await;
}

#[tokio::test]
async fn a_draw_is_rehearsed_and_the_schedule_of_the_day_outlives_it() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    app.db.execute("update exhibitions set sale_start_at = now() + interval '3 hours'").await;
    app.refresh().await;
    let admin = app.of_staff("admin-1", Role::Admin).await;
    let schedule = json!({ "prequeue_at": app.in_seconds(7_200), "opens_at": app.in_seconds(10_000), "freeze_lead_s": 20,
                           "capacity": 100, "rate_per_min": 6_000 });
    let set = admin.set(schedule).await.expect(200).body;
    admin.to(Phase::Bypass).await.expect(200);
    let begun = admin.rehearse(json!({ "during_sale": false, "arrive_s": 60 })).await.expect(200).body;
    assert_eq!((&begun["phase"], &begun["config"]["prequeue_at"]), (&json!("prequeue"), &json!(null)));
    assert!(begun["draw"]["seed_hash"].as_str().is_some_and(|hash| hash.len() == 64));
    admin.set(json!({ "prequeue_at": app.in_seconds(7_200) })).await.refused(409, "room.too_late");
    admin.set(json!({ "capacity": 120 })).await.expect(200);
    let mut guest = Guest::new(&app, &adult);
    let draw = async || Answer::of(app.http.get(app.url("/api/exhibitions/xyz/queue/draw"))).await.expect(200).body;

    for _ in 0..8 {
        app.half_a_second(0).await;
    }
    assert_eq!(Guest::state(&guest.join().await.expect(200)), "prequeue");
    app.until("the room has opened", async || {
        app.half_a_second(0).await;
        guest.status().await.expect(200);
        app.picture().phase == Phase::Open
    })
    .await;
    let drawn = draw().await;
    assert_eq!((&drawn["rehearsal"], drawn["seed"].as_str().unwrap().len()), (&json!(true), 64));
    let cohort = drawn["m"].as_u64().unwrap();
    assert!((100..150).contains(&cohort), "a good half of them, and one: {cohort}");
    for path in ["/xyz/queue", "/xyz/queue/draw"] {
        let page = app.http.get(app.url(path)).send().await.unwrap().text().await.unwrap();
        assert!(page.contains("예행연습"), "{path}: {page}");
    }
    app.until("people are inside", async || {
        app.half_a_second(0).await;
        count(&admin.figures().await, &["inside"]) > 20
    })
    .await;

    // Also by the call that moves a room anywhere.
    let ended = admin.to(Phase::Ended).await.expect(200).body;
    assert_eq!((&ended["phase"], &ended["run"]), (&json!("bypass"), &json!(3)), "armed as before");
    for name in ["prequeue_at", "opens_at"] {
        assert_eq!(ended["config"][name], set["config"][name]);
    }
    assert_eq!((&ended["config"]["capacity"], &ended["draw"]["seed_hash"]), (&json!(120), &json!("")));
    tick(&app, 2).await;
    assert_eq!(draw().await["rehearsal"], json!(false));

    // The day itself begins on schedule.
    app.advance(Duration::from_secs(7_201)).await;
    tick(&app, 2).await;
    let admin = app.signed_in_again("admin-1").await;
    assert_eq!(admin.room().await["phase"], "prequeue");
    app.finish().await;
}

#[tokio::test]
async fn a_rehearsal_ends_by_itself_and_before_the_sale() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let admin = app.of_staff("admin-1", Role::Admin).await;
    admin.set(json!({ "draw": false, "safety_on_per_s": 100, "safety_off_after_s": 10 })).await.expect(200);
    let sale_in = async |seconds: i64| {
        let at = app.app().clock.now() + SignedDuration::from_secs(seconds);
        app.db.execute(&format!("update exhibitions set sale_start_at = '{at}'")).await;
        app.refresh().await;
        at
    };
    sale_in(-100).await;
    admin.rehearse(json!({ "during_sale": false })).await.refused(409, "room.sale_is_near");
    sale_in(50).await;
    admin.rehearse(json!({ "during_sale": false })).await.refused(409, "room.sale_is_near");
    let sale_at = sale_in(200).await;
    let begun = admin.rehearse(json!({ "during_sale": false })).await.expect(200).body;
    let ends_at: jiff::Timestamp = begun["rehearsal"]["ends_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(ends_at.as_millisecond(), sale_at.as_millisecond());
    for _ in 0..4 {
        app.half_a_second(0).await;
    }
    app.advance(Duration::from_secs(100)).await;
    tick(&app, 2).await;
    assert_eq!(admin.room().await["phase"], "open", "empty, but no safety net comes down in a rehearsal");
    app.advance(Duration::from_secs(100)).await;
    tick(&app, 3).await;
    let room = admin.room().await;
    assert_eq!((&room["phase"], &room["run"]), (&json!("idle"), &json!(3)));
    Guest::new(&app, &adult).order(&adult, 1).await.expect(201);
    let by: String = app
        .db
        .one(
            "select user_name || ' ' || role from admin_audit where action = 'room.rehearsal' order by id desc limit 1",
        )
        .await;
    assert_eq!(by, "rehearsal system");

    // Without anything to stand in the way of: as long as it takes, and some.
    let begun = admin.rehearse(json!({})).await.expect(200).body;
    let lasts_s = |shown: &Value| {
        let at = |name: &str| shown["rehearsal"][name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        at("ends_at").duration_since(at("began_at")).as_secs()
    };
    assert!((330..400).contains(&lasts_s(&begun)), "{begun}");
    admin.end().await.expect(200);
    // The schedule of the room counts, whatever was said of the sale.
    admin.set(json!({ "opens_at": app.in_seconds(100) })).await.expect(200);
    assert!(lasts_s(&admin.rehearse(json!({})).await.expect(200).body) <= 100);
    admin.end().await.expect(200);
    app.advance(Duration::from_secs(50)).await;
    admin.rehearse(json!({})).await.refused(409, "room.sale_is_near");
    app.finish().await;
}

#[tokio::test]
async fn it_is_refused_where_people_wait_and_to_whom_it_is_not_for_and_it_is_on_record() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let admin = app.of_staff("admin-1", Role::Admin).await;
    let gate = app.of_staff("gate-1", Role::Staff).await;
    app.given(Kind { code: "other", ..places(1) }).await;
    app.account("foreign", Role::Admin, &["other"]).await;
    for (method, body) in [("POST", Some(json!({}))), ("DELETE", None)] {
        let request = app.http.request(method.parse().unwrap(), app.url(&format!("{ROOM}/rehearsal")));
        Answer::of(request).await.refused(401, "auth.required");
        gate.send(method, "/rehearsal", body.clone()).await.refused(403, "auth.forbidden");
        let elsewhere = app.signed_in_again("foreign").await;
        elsewhere.send(method, "/rehearsal", body).await.refused(403, "auth.forbidden");
    }
    admin.end().await.refused(409, "room.no_rehearsal");

    let bounds = Rehearsal { people: 0, arrive_s: 0, abandon_pct: 0, stay_s: 0 }.bounds();
    for (name, _, least, most) in bounds {
        for value in [json!(least - 1), json!(most + 1), json!("1"), json!(1.5), json!(null), json!(3_000_000_000_i64)]
        {
            let refused = admin.rehearse(json!({ name: value })).await.refused(422, "request.invalid");
            assert_eq!(refused.body["errors"][0]["field"], name, "{value}");
        }
        let sql = |value: i32| {
            format!(
            "insert into room_rehearsals (exhibition_id, run, people, arrive_s, abandon_pct, stay_s, user_name, began_at,
                                          ends_at, was_phase)
             select {}, 99 + {value}, x.people, x.arrive_s, x.abandon_pct, x.stay_s, 'x', now(), now() + interval '1 s', 'idle'
               from jsonb_populate_record(null::room_rehearsals,
                    '{{\"people\":1,\"arrive_s\":10,\"abandon_pct\":0,\"stay_s\":10}}' || '{{\"{name}\":{value}}}'::jsonb) x",
            adult.exhibition_id
        )
        };
        for (value, fits) in [(least, true), (most, true), (least - 1, false), (most + 1, false)] {
            let outcome = app.db.client().await.batch_execute(&sql(value)).await;
            assert_eq!(outcome.is_ok(), fits, "{name} {value}: {outcome:?}");
            app.db.execute("delete from room_rehearsals").await;
        }
    }
    let ask = json!({ "people": 200, "arrive_s": 20, "abandon_pct": 20, "stay_s": 10, "during_sale": true });
    admin.changes_as(99, "POST", "/rehearsal", ask).await.refused(412, "request.changed_meanwhile");
    assert_eq!(app.db.one::<i64>("select count(*) from rooms").await, 0, "nothing was begun");

    open_room(&app, &adult, Default::default()).await;
    Guest::new(&app, &adult).join().await.expect(200);
    for phase in [Phase::Open, Phase::Paused, Phase::Stopped, Phase::Drain] {
        if phase != Phase::Open {
            admin.to(phase).await.expect(200);
        }
        admin.rehearse(json!({})).await.refused(409, "room.in_use");
    }
    admin.to(Phase::Ended).await.expect(200);
    let run = admin.room().await["run"].as_u64().unwrap();
    // Too slow a draw is another's fault: it has an opening of its own.
    let begun = admin.rehearse(json!({ "people": 1 })).await.expect(200).body;
    assert_eq!((&begun["phase"], begun["run"].as_u64()), (&json!("prequeue"), Some(run + 1)));
    admin.rehearse(json!({})).await.refused(409, "room.in_use");
    admin.to(Phase::Bypass).await.refused(409, "room.illegal_move");
    let ended = admin.end().await.expect(200).body;
    assert_eq!((&ended["phase"], ended["run"].as_u64()), (&json!("ended"), Some(run + 2)), "back to where it was");

    let page = admin.send("GET", "/audit", None).await.expect(200).body;
    let entries: Vec<&Value> =
        page["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == "room.rehearsal").collect();
    assert_eq!(entries.len(), 2);
    assert_eq!((&entries[1]["user_name"], &entries[1]["after"]["rehearsal"]["people"]), (&json!("admin-1"), &json!(1)));
    assert_eq!((&entries[0]["before"]["phase"], &entries[0]["after"]["phase"]), (&json!("prequeue"), &json!("ended")));
    let rests = app.db.client().await.batch_execute("update rooms set rehearsal_ends_at = now()").await;
    assert!(rests.is_err(), "a room that rests is in no rehearsal");
    tick(&app, 2).await;
    app.finish().await;
}

#[tokio::test]
async fn the_visitors_outlive_their_leader_and_redis() {
    let own = servers::OwnRedis::start().await;
    let options = Options { instances: 2, redis_url: Some(own.url()), ..Options::default() };
    let app = TestApp::start_with(options).await;
    app.given(places(100)).await;
    let admin = app.of_staff("admin-1", Role::Admin).await;
    admin.set(json!({ "capacity": 100, "slack": 0, "rate_per_min": 6_000, "draw": false })).await.expect(200);
    admin.rehearse(json!({ "arrive_s": 30, "abandon_pct": 0 })).await.expect(200);
    for _ in 0..30 {
        app.half_a_second(0).await;
    }
    let before = admin.figures().await;
    assert!(count(&before, &["joined"]) > 80 && count(&before, &["inside"]) > 20, "{before}");
    // Another process leads: the same people go on.
    app.advance(Duration::from_secs(4)).await;
    for _ in 0..40 {
        app.until("the lease has ended", async || {
            app.half_a_second(1).await;
            app.picture().at_ms + 1_000 > app.app().clock.now_ms()
        })
        .await;
    }
    let after = admin.figures().await;
    assert_eq!(app.picture().lanes[0].seq, 200, "nobody joined twice: {after}");
    assert_eq!(count(&after, &["joined"]), 200, "{after}");
    assert!(count(&after, &["done"]) > 40, "{after}");

    // Redis is lost whole: whoever waits keeps the number.
    own.cli(&["flushall"]).await;
    let mut rounds = 0;
    while count(&admin.figures().await, &["done"]) < 200 {
        app.half_a_second(1).await;
        rounds += 1;
        assert!(rounds < 400, "{}", admin.figures().await);
    }
    assert!(app.picture().epoch > 1);
    admin.end().await.expect(200);
    app.tick("audit").await;
    app.until("the stock is counted again", async || {
        app.half_a_second(1).await;
        app.stores_agree().await
    })
    .await;
    app.finish().await;
}
