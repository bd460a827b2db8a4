//! Rooms as admins run them: who may, what is legal, what is promised, and what stays on record.

use std::time::Duration;

use admit::admin::Role;
use admit::config::DrandSettings;
use admit::platform::ids::row_id;
use admit::platform::secrets::hex;
use admit::platform::texts::Language;
use admit::waiting_room::beacon::{self, Beacon};
use admit::waiting_room::chain::{self, Facts};
use admit::waiting_room::model::{BeaconKind, Config, Lane, Phase};
use admit::waiting_room::pg::{self, Manual, RoomRow};
use admit::waiting_room::{commitment, draw, invite, notice};
use deadpool_postgres::Client;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::given::places;
use crate::support::{Answer, Options, TestApp, race};

const ROOM: &str = "/api/admin/exhibitions/xyz/room";
const SAID: (&str, &str) = ("잠시 멈춥니다", "A short break");

fn tag(revision: i64) -> String {
    format!("\"{revision}\"")
}

/// Somebody with an access token.
struct Caller<'a> {
    app: &'a TestApp,
    token: String,
}

impl Caller<'_> {
    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        Answer::of(request.bearer_auth(&self.token)).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(self.app.http.get(self.app.url(path))).await
    }

    async fn put(&self, revision: i64, config: Value) -> Answer {
        let ask = json!({ "config": config });
        self.send(self.app.http.put(self.app.url(ROOM)).header("if-match", tag(revision)).json(&ask)).await
    }

    /// To another phase, as it was seen.
    async fn moves(&self, revision: i64, ask: Value) -> Answer {
        let request = self.app.http.post(self.app.url(&format!("{ROOM}/phase")));
        self.send(request.header("if-match", tag(revision)).json(&ask)).await
    }

    async fn post(&self, call: &str, ask: Value) -> Answer {
        self.send(self.app.http.post(self.app.url(&format!("{ROOM}/{call}"))).json(&ask)).await
    }

    async fn room(&self) -> Answer {
        self.get(ROOM).await.expect(200)
    }

    async fn revision(&self) -> i64 {
        self.room().await.body["revision"].as_i64().unwrap()
    }

    /// To another phase, from whatever revision there is.
    async fn to(&self, phase: Phase) -> Answer {
        let revision = self.revision().await;
        self.moves(revision, json!({ "to": phase, "reason_ko": SAID.0, "reason_en": SAID.1 })).await
    }

    async fn set(&self, config: Value) -> Answer {
        let revision = self.revision().await;
        self.put(revision, config).await
    }

    async fn beacon(&self, value: &str) -> Answer {
        self.post("beacon", json!({ "value": value })).await
    }
}

impl TestApp {
    async fn caller(&self, username: &str, role: Role, exhibitions: &[&str]) -> Caller<'_> {
        self.account(username, role, exhibitions).await;
        self.signed_in(username).await
    }

    async fn signed_in(&self, username: &str) -> Caller<'_> {
        Caller { app: self, token: self.access_token(username).await }
    }

    async fn pg(&self) -> Client {
        self.app().pg.get().await.unwrap()
    }

    async fn room_row(&self, exhibition_id: i32) -> RoomRow {
        pg::one(&self.pg().await, exhibition_id).await.unwrap().unwrap()
    }

    /// An instant from now, as JSON.
    fn ahead(&self, seconds: i64) -> Value {
        json!(self.app().clock.now() + SignedDuration::from_secs(seconds))
    }

    /// Must be refused by the database, with these words.
    async fn forbidden_sql(&self, sql: &str, says: &str) {
        let error = self.db.client().await.batch_execute(sql).await.expect_err(sql);
        let said = error.as_db_error().map(|db| format!("{} {:?}", db.message(), db.constraint())).unwrap_or_default();
        assert!(said.contains(says), "{sql}: {said}");
    }
}

fn field(answer: Answer) -> (String, String) {
    let error = answer.refused(422, "request.invalid").body["errors"][0].clone();
    (error["field"].as_str().unwrap().to_owned(), error["code"].as_str().unwrap().to_owned())
}

fn is(name: &str, code: &str) -> (String, String) {
    (name.to_owned(), code.to_owned())
}

#[tokio::test]
async fn only_admins_of_the_exhibition_and_super_admins_run_its_room() {
    let app = TestApp::start().await;
    app.given(places(5)).await;
    app.given(crate::support::Kind { code: "other", ..places(5) }).await;
    let staff = app.caller("gate-1", Role::Staff, &["xyz"]).await;
    let foreign = app.caller("foreign", Role::Admin, &["other"]).await;
    let admin = app.caller("admin-1", Role::Admin, &["xyz"]).await;
    let owner = app.caller("owner", Role::SuperAdmin, &[]).await;

    let calls: [(&str, &str, Value); 6] = [
        ("GET", "", json!(null)),
        ("PUT", "", json!({ "config": {} })),
        ("POST", "/phase", json!({ "to": "bypass" })),
        ("POST", "/beacon", json!({ "value": "1" })),
        ("POST", "/invites", json!({ "count": 1 })),
        ("GET", "/audit", json!(null)),
    ];
    for (method, path, body) in &calls {
        let request = |code: &str| {
            let url = app.url(&format!("/api/admin/exhibitions/{code}/room{path}"));
            let request = app.http.request(method.parse().unwrap(), url);
            if body.is_null() { request } else { request.json(body) }
        };
        Answer::of(request("xyz")).await.refused(401, "auth.required");
        Answer::of(request("xyz").bearer_auth("x")).await.refused(401, "auth.invalid_token");
        staff.send(request("xyz")).await.refused(403, "auth.forbidden");
        staff.send(request("nowhere")).await.refused(403, "auth.forbidden");
        foreign.send(request("xyz")).await.refused(403, "auth.forbidden");
        admin.send(request("other")).await.refused(403, "auth.forbidden");
        admin.send(request("nowhere")).await.refused(404, "catalogue.unknown_exhibition");
        owner.send(request("%00")).await.refused(404, "catalogue.unknown_exhibition");
        for caller in [&admin, &owner] {
            let answer = caller.send(request("xyz")).await;
            assert!(!matches!(answer.status, 401 | 403 | 404 | 500..), "{method} {path}: {}", answer.body);
        }
    }
    assert_eq!(app.db.one::<i64>("select count(*) from rooms").await, 1, "of xyz");
    app.finish().await;
}

#[tokio::test]
async fn an_exhibition_without_a_room_shows_what_it_would_begin_with() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let admin = app.caller("admin-1", Role::Admin, &["xyz"]).await;
    let shown = admin.room().await.body;
    assert_eq!(shown["phase"], "idle");
    assert_eq!(shown["legal_moves"], json!(["bypass", "prequeue", "open"]));
    assert_eq!((&shown["revision"], &shown["run"], &shown["epoch"]), (&json!(1), &json!(1), &json!(1)));
    assert_eq!(shown["config"], json!(Config::default()));
    assert_eq!(shown["draw"]["seed_hash"], "");
    assert_eq!(app.db.one::<i64>("select count(*) from rooms").await, 0, "looking makes nothing");

    // The same as what is there after the first change.
    admin.put(1, json!({})).await.expect(200);
    let row = app.room_row(given.exhibition_id).await;
    let none = RoomRow::none(given.exhibition_id, "xyz", row.phase_at);
    assert_eq!(RoomRow { revision: 1, ..row }, none);
    app.finish().await;
}

#[tokio::test]
async fn settings_are_changed_live_and_only_those_that_were_sent() {
    let app = TestApp::start().await;
    app.given(places(5)).await;
    let admin = app.caller("admin-1", Role::Admin, &["xyz"]).await;
    let shown = admin.put(1, json!({ "capacity": 5000, "draw": false, "unheard_of": 1 })).await.expect(200).body;
    assert_eq!((&shown["revision"], &shown["config"]["capacity"]), (&json!(2), &json!(5000)));
    assert_eq!(shown["config"]["rate_per_min"], 1_200);
    admin.to(Phase::Open).await.expect(200);
    let shown = admin.set(json!({ "rate_per_min": 77, "brake_error_pct": 9 })).await.expect(200).body;
    assert_eq!(
        (&shown["config"]["rate_per_min"], &shown["config"]["capacity"], &shown["phase"]),
        (&json!(77), &json!(5000), &json!("open"))
    );
    // A whole one, as it was shown, changes nothing but the revision.
    let again = admin.set(shown["config"].clone()).await.expect(200).body;
    assert_eq!((&again["config"], &again["revision"]), (&shown["config"], &json!(5)));

    // What a draw is announced with is for before.
    for (name, value) in
        [("draw", json!(true)), ("beacon", json!("drand")), ("opens_at", app.ahead(3600)), ("freeze_lead_s", json!(61))]
    {
        let late = admin.set(json!({ name: value })).await.refused(409, "room.too_late");
        assert!(late.text("detail").contains(name), "{}", late.body);
    }
    assert_eq!(admin.revision().await, 5);
    app.finish().await;
}

#[tokio::test]
async fn settings_out_of_bounds_are_refused_by_the_call_and_by_the_table() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let admin = app.caller("admin-1", Role::Admin, &["xyz"]).await;
    admin.put(1, json!({})).await.expect(200);
    for (name, _, least, most) in Config::default().bounds() {
        let Some(name) = Some(name).filter(|name| !name.contains(' ')) else { continue };
        // Whatever the other of the two wants.
        let beside = |value: i64| match name {
            "idle_s" => json!({ name: value, "hard_s": 14_400.min(value.max(120)) }),
            "hard_s" => json!({ name: value, "idle_s": 60 }),
            _ => json!({ name: value }),
        };
        for (value, fits) in [(least, true), (most, true), (least - 1, false), (most + 1, false)] {
            let answer = admin.set(beside(value.into())).await;
            if fits {
                answer.expect(200);
            } else {
                assert_eq!(field(answer), is(&format!("config.{name}"), "out_of_range"), "{value}");
                let sql = format!("update rooms set {name} = {value} where exhibition_id = {}", given.exhibition_id);
                app.forbidden_sql(&sql, "violates check constraint").await;
            }
        }
        for value in [json!(1.5), json!("1"), json!(null), json!(3_000_000_000_i64), json!([])] {
            assert_eq!(field(admin.set(json!({ name: value })).await), is(&format!("config.{name}"), "malformed"));
        }
        for value in [i32::MIN, i32::MAX] {
            assert_eq!(field(admin.set(json!({ name: value })).await).1, "out_of_range", "{name}");
        }
    }
    assert_eq!(field(admin.set(json!({ "idle_s": 600, "hard_s": 599 })).await), is("config.hard_s", "out_of_range"));
    assert_eq!(field(admin.set(json!({ "hard_s": i32::MAX, "idle_s": i32::MIN })).await).1, "out_of_range");
    assert_eq!(field(admin.set(json!({ "beacon": "dice" })).await), is("config.beacon", "malformed"));
    assert_eq!(field(admin.set(json!({ "draw": "yes" })).await), is("config.draw", "malformed"));
    assert_eq!(
        field(admin.send(app.http.put(app.url(ROOM)).header("if-match", tag(1)).json(&json!({}))).await).0,
        "config"
    );
    assert_eq!(field(admin.put(1, json!([])).await), is("config", "malformed"));
    admin.put(99, json!({})).await.refused(412, "request.changed_meanwhile");
    app.finish().await;
}

#[tokio::test]
async fn a_schedule_leaves_time_for_what_it_promises() {
    let app = TestApp::start().await;
    app.given(places(5)).await;
    let admin = app.caller("admin-1", Role::Admin, &["xyz"]).await;
    for (config, refused) in [
        (json!({ "opens_at": app.ahead(-1) }), is("config.opens_at", "past")),
        (json!({ "prequeue_at": "2020-01-01T00:00:00Z", "draw": false }), is("config.prequeue_at", "past")),
        (json!({ "prequeue_at": "-009998-01-02T00:00:00Z", "draw": false }), is("config.prequeue_at", "past")),
        (json!({ "opens_at": "9999-12-30T00:00:00Z" }), is("config.opens_at", "out_of_range")),
        (json!({ "opens_at": "tomorrow" }), is("config.opens_at", "malformed")),
        (json!({ "opens_at": 1_900_000_000 }), is("config.opens_at", "malformed")),
        (json!({ "prequeue_at": app.ahead(600) }), is("config.opens_at", "required")),
        (json!({ "prequeue_at": app.ahead(600), "opens_at": app.ahead(689) }), is("config.opens_at", "too_soon")),
        (
            json!({ "prequeue_at": app.ahead(600), "opens_at": app.ahead(600), "draw": false }),
            is("config.opens_at", "too_soon"),
        ),
    ] {
        assert_eq!(field(admin.set(config.clone()).await), refused, "{config}");
    }
    let plan = json!({ "prequeue_at": app.ahead(600), "opens_at": app.ahead(691) });
    let shown = admin.set(plan).await.expect(200).body;
    let at = |name: &str| shown["config"][name].as_str().unwrap().parse::<Timestamp>().unwrap();
    let freeze_at: Timestamp = shown["freeze_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(at("opens_at").duration_since(freeze_at).as_secs(), 60);

    // What has come since may stay, and a schedule that has passed is none once the room rests.
    app.advance(Duration::from_secs(700)).await;
    admin.set(json!({ "capacity": 10 })).await.expect(200);
    let shown = admin.to(Phase::Bypass).await.expect(200).body;
    assert_eq!((&shown["config"]["prequeue_at"], &shown["config"]["opens_at"]), (&json!(null), &json!(null)));
    app.finish().await;
}

#[tokio::test]
async fn every_move_that_is_not_in_the_table_is_refused() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let admin = app.caller("admin-1", Role::Admin, &["xyz"]).await;
    admin.put(1, json!({ "draw": false })).await.expect(200);
    for from in Phase::ALL.into_iter().filter(|phase| *phase != Phase::Frozen) {
        app.db
            .execute(&format!("update rooms set phase = '{}', reason_ko = 'x', reason_en = 'x'", from.as_str()))
            .await;
        let legal = admin.room().await.body["legal_moves"].clone();
        for to in Phase::ALL {
            if from.may_become(to) && to != Phase::Frozen {
                assert!(legal.as_array().unwrap().contains(&json!(to)), "{from:?} {to:?}");
                continue;
            }
            let refused = admin.to(to).await.refused(409, "room.illegal_move").text("detail");
            let rest = legal.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect::<Vec<_>>();
            for word in [from.as_str(), to.as_str(), &rest.join(", ")] {
                assert!(refused.contains(word), "{word} in {refused}");
            }
            // The table of moves is also in the statement itself.
            let moved = pg::move_to(&app.pg().await, given.exhibition_id, 2, to, "x", "x").await.unwrap();
            assert!(moved.is_none(), "{from:?} {to:?}");
        }
        assert_eq!(admin.room().await.body["phase"], from.as_str());
    }
    assert_eq!(field(admin.moves(2, json!({ "to": "closed" })).await), is("to", "malformed"));
    admin.post("phase", json!({ "to": "open" })).await.refused(428, "request.if_match_required");
    admin.moves(1, json!({ "to": "open" })).await.refused(412, "request.changed_meanwhile");
    app.finish().await;
}

#[tokio::test]
async fn a_room_walks_through_its_phases_and_says_why_it_halts() {
    let app = TestApp::start().await;
    app.given(places(5)).await;
    let admin = app.caller("admin-1", Role::Admin, &["xyz"]).await;
    admin.put(1, json!({ "draw": false })).await.expect(200);
    admin.to(Phase::Open).await.expect(200);
    for to in ["paused", "stopped"] {
        let ask = |ko: &str, en: &str| json!({ "to": to, "reason_ko": ko, "reason_en": en });
        assert_eq!(field(admin.moves(3, json!({ "to": to })).await), is("reason_ko", "required"));
        for (ko, en, refused) in [
            ("점검", " ", is("reason_en", "required")),
            ("", "check", is("reason_ko", "required")),
            ("점검\u{7}", "check", is("reason_ko", "control_characters")),
            ("점검", "check\u{202e}", is("reason_en", "control_characters")),
            ("점검\n", "a\nb", is("reason_en", "control_characters")),
            (&"가".repeat(301), "check", is("reason_ko", "too_long")),
        ] {
            assert_eq!(field(admin.moves(3, ask(ko, en)).await), refused);
        }
    }
    let long = "가".repeat(300);
    let ask = json!({ "to": "paused", "reason_ko": long, "reason_en": " <b>check</b> " });
    let shown = admin.moves(3, ask).await.expect(200).body;
    assert_eq!((&shown["reason_ko"], &shown["reason_en"]), (&json!(long), &json!("<b>check</b>")));
    let shown = admin.moves(4, json!({ "to": "open", "reason_ko": null })).await.expect(200).body;
    assert_eq!((&shown["reason_ko"], &shown["reason_en"]), (&json!(""), &json!("")));
    for to in [Phase::Stopped, Phase::Drain, Phase::Ended, Phase::Idle] {
        admin.to(to).await.expect(200);
    }
    app.forbidden_sql("update rooms set phase = 'paused', reason_en = ''", "room_says_why").await;
    app.finish().await;
}

#[tokio::test]
async fn of_two_admins_at_once_one_wins_and_the_other_is_told() {
    let app = TestApp::start().await;
    app.given(places(5)).await;
    let one = app.caller("admin-1", Role::Admin, &["xyz"]).await;
    let two = app.caller("admin-2", Role::Admin, &["xyz"]).await;
    // The row itself is made by whoever comes first.
    let answers = race(8, |n| {
        let caller = if n % 2 == 0 { &one } else { &two };
        caller.put(1, json!({ "capacity": 100 + n, "draw": false }))
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for lost in answers.into_iter().filter(|answer| answer.status != 200) {
        lost.refused(412, "request.changed_meanwhile");
    }
    let answers = race(8, |n| {
        let to = if n % 2 == 0 { "open" } else { "prequeue" };
        one.moves(2, json!({ "to": to }))
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(one.revision().await, 3);
    assert_eq!(
        app.db.one::<i64>("select count(*) from admin_audit where action <> 'user.sign_in'").await,
        2,
        "refusals change nothing"
    );
    app.finish().await;
}

#[tokio::test]
async fn every_change_is_on_record_for_good() {
    let app = TestApp::start().await;
    app.given(places(5)).await;
    let admin = app.caller("admin-1", Role::Admin, &["xyz"]).await;
    let owner = app.caller("owner", Role::SuperAdmin, &[]).await;
    let ask = json!({ "config": { "capacity": 7, "draw": false } });
    let request =
        app.http.put(app.url(ROOM)).header("if-match", tag(1)).header("x-request-id", "room-change-1").json(&ask);
    admin.send(request.header("x-forwarded-for", "203.0.113.9")).await.expect(200);
    owner.to(Phase::Open).await.expect(200);
    admin.to(Phase::Prequeue).await.refused(409, "room.illegal_move");
    admin.post("invites", json!({ "count": 2, "note": "언론" })).await.expect(200);

    let page = admin.get(&format!("{ROOM}/audit")).await.expect(200).body;
    let entries = page["entries"].as_array().unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["room.invites", "room.phase", "room.config"]);
    let config = &entries[2];
    assert_eq!((&config["user_name"], &config["role"]), (&json!("admin-1"), &json!("admin")));
    assert_eq!((&config["request_id"], &config["address"]), (&json!("room-change-1"), &json!("203.0.113.9")));
    assert_eq!((&config["before"]["capacity"], &config["after"]["capacity"]), (&json!(300), &json!(7)));
    assert_eq!((&entries[1]["user_name"], &entries[1]["role"]), (&json!("owner"), &json!("super_admin")));
    assert_eq!((&entries[1]["before"]["phase"], &entries[1]["after"]["phase"]), (&json!("idle"), &json!("open")));
    assert_eq!((&entries[0]["after"]["count"], &entries[0]["after"]["note"]), (&json!(2), &json!("언론")));
    assert_eq!(page["next"], json!(null));

    // Pages meet without a gap.
    for capacity in 1..=60 {
        admin.set(json!({ "capacity": capacity })).await.expect(200);
    }
    let first = admin.get(&format!("{ROOM}/audit")).await.expect(200).body;
    let next = first["next"].as_i64().unwrap();
    let second = admin.get(&format!("{ROOM}/audit?before={next}")).await.expect(200).body;
    let ids = |page: &Value| page["entries"].as_array().unwrap().iter().map(|e| e["id"].as_i64().unwrap()).collect();
    let (first, second): (Vec<i64>, Vec<i64>) = (ids(&first), ids(&second));
    assert_eq!((first.len(), second.len()), (50, 13));
    assert!(first.iter().chain(&second).is_sorted_by(|a, b| a > b));
    for bad in ["x", "1.5", "99999999999999999999"] {
        admin.get(&format!("{ROOM}/audit?before={bad}")).await.refused(400, "request.malformed_query");
    }
    admin.get(&format!("{ROOM}/audit?before=-5")).await.expect(200);

    for sql in ["update admin_audit set user_name = 'x'", "delete from admin_audit", "truncate admin_audit"] {
        app.forbidden_sql(sql, "admin_audit is append-only").await;
    }
    app.finish().await;
}

#[tokio::test]
async fn a_draw_is_committed_to_before_anybody_gathers() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let admin = app.caller("admin-1", Role::Admin, &["xyz"]).await;
    assert_eq!(field(admin.to(Phase::Prequeue).await), is("opens_at", "required"));
    admin.set(json!({ "opens_at": app.ahead(89) })).await.expect(200);
    assert_eq!(field(admin.to(Phase::Prequeue).await), is("opens_at", "too_soon"));
    assert_eq!(app.room_row(given.exhibition_id).await.phase, Phase::Idle, "all or nothing");
    let opens_at = app.app().clock.now() + SignedDuration::from_secs(120);
    admin.set(json!({ "opens_at": opens_at })).await.expect(200);
    let shown = admin.to(Phase::Prequeue).await.expect(200).body;

    // The named second is the first one 15 s after the freeze.
    let named = shown["draw"]["round"].as_i64().unwrap();
    assert!((named * 1000 - (opens_at.as_millisecond() - 45_000)).abs() < 1_000, "{named}");
    let room = app.room_row(given.exhibition_id).await;
    let seed = commitment::server_seed(app.app(), &room).unwrap();
    assert_eq!(shown["draw"]["seed_hash"], hex(&draw::seed_hash(&seed)));
    assert_eq!(beacon::value(app.app(), &room).await.unwrap(), Beacon::NotYet);
    // Another commitment's seed does not pass for this one's.
    let mut other = room.clone();
    other.run += 1;
    assert!(commitment::server_seed(app.app(), &other).is_err());

    // Nothing tells the seed before the draw, and nobody is served.
    admin.to(Phase::Open).await.refused(409, "room.illegal_move");
    let client = app.pg().await;
    let root = [7; 32];
    assert!(!pg::freeze(&client, given.exhibition_id, room.run, 3, &root).await.unwrap(), "people may still join");
    let shown = admin.to(Phase::Frozen).await.expect(200).body;
    assert_eq!(shown["legal_moves"], json!(["stopped"]));
    assert!(pg::freeze(&client, given.exhibition_id, room.run, 3, &root).await.unwrap());
    assert!(!pg::freeze(&client, given.exhibition_id, room.run, 4, &root).await.unwrap(), "closed once");
    admin.to(Phase::Open).await.refused(409, "room.illegal_move");
    let replies = [
        admin.room().await.body.to_string(),
        admin.get(&format!("{ROOM}/audit")).await.body.to_string(),
        app.db.one::<String>("select string_agg(to_jsonb(r)::text, '') from rooms r").await,
        app.db.one::<String>("select string_agg(to_jsonb(a)::text, '') from admin_audit a").await,
    ];
    for reply in replies {
        assert!(!reply.contains(&hex(&seed)), "{reply}");
    }

    app.advance(Duration::from_secs(121)).await;
    let Beacon::Value(value) = beacon::value(app.app(), &room).await.unwrap() else { panic!("no local value") };
    assert_eq!(Beacon::Value(value.clone()), beacon::value(app.app(), &room).await.unwrap());
    let draw_seed = draw::draw_seed("xyz", &value, &seed, &root, 3);
    let drawn = async |beacon: Option<&[u8]>, seed: &[u8; 32]| {
        pg::drawn(&client, given.exhibition_id, room.run, beacon, seed).await.unwrap()
    };
    assert!(!pg::drawn(&client, given.exhibition_id, room.run + 1, Some(&value), &draw_seed).await.unwrap());
    assert!(drawn(Some(&value), &draw_seed).await);
    assert!(!drawn(Some(&value), &[1; 32]).await, "never drawn again");
    assert!(!drawn(None, &[1; 32]).await);
    let shown = admin.room().await.body;
    assert_eq!(shown["legal_moves"], json!(["open", "stopped"]));
    assert_eq!(
        shown["draw"],
        json!({ "beacon": "local", "round": named, "seed_hash": hex(&draw::seed_hash(&seed)), "m": 3, "root": hex(&root),
                "beacon_value": hex(&value), "server_seed": hex(&seed), "seed": hex(&draw_seed), "weak": false })
    );
    admin.to(Phase::Open).await.expect(200);

    for (set, says) in [
        ("draw_seed = '\\x00'", "a draw is never changed"),
        ("weak = true, beacon_value = null", "a draw is never changed"),
        ("m = 4", "a draw is never changed"),
        ("root = decode(repeat('00', 32), 'hex')", "a draw is never changed"),
        ("seed_hash = decode(repeat('00', 32), 'hex')", "a draw is never changed"),
        ("beacon_round = beacon_round + 1", "a draw is never changed"),
        ("run = 0", "never goes back"),
        ("serving_general = -1", "never goes back"),
    ] {
        app.forbidden_sql(&format!("update rooms set {set}"), says).await;
    }
    app.finish().await;
}

#[tokio::test]
async fn a_weak_draw_says_so_and_a_stop_is_not_the_end_of_a_draw() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let admin = app.caller("admin-1", Role::Admin, &["xyz"]).await;
    admin.set(json!({ "opens_at": app.ahead(200) })).await.expect(200);
    admin.to(Phase::Prequeue).await.expect(200);
    let shown = admin.to(Phase::Stopped).await.expect(200).body;
    assert_eq!(shown["legal_moves"], json!(["ended"]), "nobody is served before the draw");
    let client = app.pg().await;
    assert!(!pg::drawn(&client, given.exhibition_id, 1, None, &[5; 32]).await.unwrap(), "nothing to draw from");
    assert!(pg::freeze(&client, given.exhibition_id, 1, 0, &[7; 32]).await.unwrap());
    assert!(pg::drawn(&client, given.exhibition_id, 1, None, &[5; 32]).await.unwrap());
    let shown = admin.room().await.body;
    assert_eq!((&shown["draw"]["weak"], &shown["draw"]["beacon_value"]), (&json!(true), &json!("")));
    assert_eq!(shown["legal_moves"], json!(["open", "paused", "drain", "ended"]));
    admin.to(Phase::Open).await.expect(200);
    app.finish().await;
}

#[tokio::test]
async fn without_a_draw_nothing_is_committed_and_nobody_is_frozen() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let admin = app.caller("admin-1", Role::Admin, &["xyz"]).await;
    admin.set(json!({ "draw": false })).await.expect(200);
    let shown = admin.to(Phase::Prequeue).await.expect(200).body;
    assert_eq!((&shown["draw"]["seed_hash"], &shown["draw"]["round"]), (&json!(""), &json!(0)));
    assert_eq!(shown["legal_moves"], json!(["open", "stopped", "ended"]));
    admin.to(Phase::Frozen).await.refused(409, "room.illegal_move");
    assert!(!pg::freeze(&app.pg().await, given.exhibition_id, 1, 1, &[0; 32]).await.unwrap());
    admin.to(Phase::Open).await.expect(200);
    app.forbidden_sql("update rooms set phase = 'frozen'", "room_frozen_to_draw").await;
    app.forbidden_sql("update rooms set draw_seed = decode(repeat('00', 32), 'hex')", "room_drawn").await;
    app.forbidden_sql(
        "update rooms set m = 1, root = decode(repeat('00', 32), 'hex'), frozen_at = now()",
        "room_cohort",
    )
    .await;
    app.forbidden_sql("update rooms set seed_hash = decode(repeat('00', 32), 'hex')", "room_commitment").await;
    app.finish().await;
}

#[tokio::test]
async fn a_manual_beacon_counts_when_two_admins_have_entered_the_same() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let one = app.caller("admin-1", Role::Admin, &["xyz"]).await;
    app.account("admin-2", Role::Admin, &["xyz"]).await;
    app.account("admin-3", Role::SuperAdmin, &[]).await;
    one.set(json!({ "beacon": "manual", "opens_at": app.ahead(300), "freeze_lead_s": 120 })).await.expect(200);
    one.beacon("1").await.refused(409, "room.beacon_not_wanted");
    let announced = one.to(Phase::Prequeue).await.expect(200).body;
    // Fifteen seconds after the cohort is to be closed, on a whole second; nothing else has happened yet.
    let beacon_at: Timestamp = announced["beacon_at"].as_str().unwrap().parse().unwrap();
    assert!((194..=196).contains(&(beacon_at.as_second() - app.app().clock.now().as_second())), "{beacon_at}");
    assert!(announced["closed_at"].is_null() && announced["drawn_at"].is_null());
    one.beacon("1").await.refused(409, "room.beacon_not_wanted");
    for (value, code) in [
        (String::new(), "required"),
        ("   ".into(), "required"),
        ("7".repeat(201), "too_long"),
        ("1\u{0}2".into(), "control_characters"),
    ] {
        assert_eq!(field(one.beacon(&value).await), is("value", code));
    }
    app.advance(Duration::from_secs(181)).await;
    one.to(Phase::Frozen).await.expect(200);
    // Closed, but the named second has not come.
    assert!(pg::freeze(&app.pg().await, given.exhibition_id, 1, 2, &[3; 32]).await.unwrap());
    one.beacon("03 11 17").await.refused(409, "room.beacon_not_wanted");
    app.advance(Duration::from_secs(16)).await;

    let two = app.signed_in("admin-2").await;
    let three = app.signed_in("admin-3").await;
    let row = async || app.room_row(given.exhibition_id).await;
    let value = async || beacon::value(app.app(), &row().await).await.unwrap();
    assert_eq!(one.beacon("03 11 18").await.expect(200).body["beacon_entries"], 1);
    assert_eq!(value().await, Beacon::NotYet, "one is not enough");
    two.beacon("03 11 17").await.refused(409, "room.beacon_differs");
    // The first may correct theirs, as often as they like: that is still one.
    assert_eq!(one.beacon(" 03 11 17 ").await.expect(200).body["beacon_entries"], 1);
    assert_eq!(one.beacon("03 11 17").await.expect(200).body["beacon_entries"], 1);
    assert_eq!(value().await, Beacon::NotYet);
    let records = two.get(&format!("{ROOM}/audit")).await.body.to_string();
    assert!(!records.contains(&hex(b"03 11 17")) && !records.contains("03 11 17"), "the second looks for themselves");
    // Two at once: one agrees, the other is not needed any more.
    let (a, b) = tokio::join!(two.beacon("03 11 17"), three.beacon("03 11 17"));
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    assert_eq!(value().await, Beacon::Value(b"03 11 17".to_vec()));
    one.beacon("03 11 18").await.refused(409, "room.beacon_not_wanted");
    let agreed = one.room().await.body;
    assert_eq!((&agreed["beacon_entries"], &agreed["drawn_at"]), (&json!(2), &Value::Null));
    assert_eq!(agreed["closed_at"], json!(row().await.draw.cohort.unwrap().frozen_at));
    assert!(pg::drawn(&app.pg().await, given.exhibition_id, 1, Some(b"03 11 17".as_slice()), &[4; 32]).await.unwrap());
    assert_eq!(one.room().await.body["drawn_at"], json!(row().await.draw.drawn.unwrap().at));
    assert_eq!(app.db.one::<i64>("select count(*) from admin_audit where action = 'room.beacon'").await, 4);
    assert!(!beacon::is_verified(BeaconKind::Manual) && !beacon::is_verified(BeaconKind::Local));
    app.finish().await;
}

#[tokio::test]
async fn hex_and_text_of_a_manual_beacon_are_told_apart_and_its_absence_ends_the_wait() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let one = app.caller("admin-1", Role::Admin, &["xyz"]).await;
    let two = app.account("admin-2", Role::Admin, &["xyz"]).await;
    one.set(json!({ "beacon": "manual", "opens_at": app.ahead(200) })).await.expect(200);
    one.to(Phase::Prequeue).await.expect(200);
    one.to(Phase::Frozen).await.expect(200);
    let client = app.pg().await;
    assert_eq!(
        pg::enter_manual(&client, given.exhibition_id, two, b"x").await.unwrap(),
        Manual::NotWanted,
        "the cohort is open"
    );
    assert!(pg::freeze(&client, given.exhibition_id, 1, 2, &[3; 32]).await.unwrap());
    app.advance(Duration::from_secs(160)).await;
    for (text, bytes) in [
        ("ABCDEF0123456789abcdef0123456789".to_owned(), b"\xab\xcd\xef\x01\x23\x45\x67\x89".repeat(2)),
        ("0".repeat(31), vec![b'0'; 31]),
        ("1234".into(), b"1234".to_vec()),
        ("당첨 번호 7".into(), "당첨 번호 7".into()),
        ("가".repeat(200), "가".repeat(200).into_bytes()),
    ] {
        one.beacon(&text).await.expect(200);
        let manual = app.room_row(given.exhibition_id).await.draw.manual.unwrap();
        assert_eq!((manual.value, manual.second), (bytes, None));
    }
    // Until two minutes after the opening; then people have waited long enough.
    let room = app.room_row(given.exhibition_id).await;
    app.advance(Duration::from_secs(155)).await;
    assert_eq!(beacon::value(app.app(), &room).await.unwrap(), Beacon::NotYet);
    app.advance(Duration::from_secs(10)).await;
    assert_eq!(beacon::value(app.app(), &room).await.unwrap(), Beacon::Missing);
    app.forbidden_sql(&format!("update rooms set manual_second = {}", room.draw.manual.unwrap().by), "room_manual")
        .await;
    app.finish().await;
}

/// A drand network of one, whose relay answers what it is told to.
async fn drand() -> (DrandSettings, blst::min_sig::SecretKey, std::sync::Arc<std::sync::Mutex<(u16, String)>>) {
    let key = blst::min_sig::SecretKey::key_gen(&[9; 32], &[]).unwrap();
    let answer = std::sync::Arc::new(std::sync::Mutex::new((503, String::new())));
    let told = answer.clone();
    let router = axum::Router::new().fallback(move || {
        let (status, body) = told.lock().unwrap().clone();
        async move { (axum::http::StatusCode::from_u16(status).unwrap(), body) }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = DrandSettings {
        drand_url: format!("http://{}/", listener.local_addr().unwrap()),
        drand_public_key: hex(&key.sk_to_pk().to_bytes()),
        ..DrandSettings::default()
    };
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (settings, key, answer)
}

#[tokio::test]
async fn a_round_of_drand_is_believed_only_when_the_network_has_signed_it() {
    let (settings, key, answer) = drand().await;
    let app = TestApp::start_with(Options { drand: settings, ..Options::default() }).await;
    let given = app.given(places(5)).await;
    let admin = app.caller("admin-1", Role::Admin, &["xyz"]).await;
    admin.set(json!({ "beacon": "drand", "opens_at": app.ahead(120) })).await.expect(200);
    let shown = admin.to(Phase::Prequeue).await.expect(200).body;
    assert_eq!(shown["beacon_verified"], true);
    let room = app.room_row(given.exhibition_id).await;
    let round = room.draw.committed.as_ref().unwrap().round;
    let at = beacon::round_at(app.app(), BeaconKind::Drand, round).unwrap();
    let wanted = room.config.opens_at.unwrap() - SignedDuration::from_secs(45);
    assert!((0..3_000).contains(&(at.as_millisecond() - wanted.as_millisecond())), "{at} after {wanted}");

    let sha = |bytes: &[u8]| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec();
    let signed = |key: &blst::min_sig::SecretKey, round: i64| {
        key.sign(&sha(&round.to_be_bytes()), b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_", &[]).to_bytes().to_vec()
    };
    let told = |round: i64, signature: &[u8]| {
        json!({ "round": round, "randomness": hex(&sha(signature)), "signature": hex(signature) }).to_string()
    };
    let hears = async |status: u16, body: String| {
        *answer.lock().unwrap() = (status, body);
        app.advance(Duration::from_secs(2)).await;
        beacon::value(app.app(), &room).await.unwrap()
    };
    let good = signed(&key, round);
    // Whatever the relay says, a round that is still to come is not asked for.
    assert_eq!(hears(200, told(round, &good)).await, Beacon::NotYet);
    app.advance(Duration::from_secs(75)).await;
    let stranger = blst::min_sig::SecretKey::key_gen(&[8; 32], &[]).unwrap();
    let chosen = json!({ "round": round, "randomness": hex(&[7; 32]), "signature": hex(&good) }).to_string();
    for (status, body) in [
        (500, told(round, &good)),
        (302, told(round, &good)),
        (200, String::new()),
        (200, "[".repeat(15_000)),
        (200, told(round, &good).replace('{', &format!("{{\"x\":\"{}\",", "x".repeat(20_000)))),
        (200, told(round - 1, &signed(&key, round - 1))),
        (200, told(round, &signed(&key, round - 1))),
        (200, told(round, &signed(&stranger, round))),
        (200, told(round, &good[..47])),
        (200, chosen),
    ] {
        assert_eq!(hears(status, body.clone()).await, Beacon::NotYet, "{status} {body:.80}");
    }
    let Beacon::Value(value) = hears(200, told(round, &good)).await else { panic!("not believed") };
    assert_eq!(value, sha(&good));
    // One room asks at most once a second; without an answer in 120 s the draw goes on without it.
    assert_eq!(beacon::value(app.app(), &room).await.unwrap(), Beacon::NotYet);
    app.advance(Duration::from_secs(121)).await;
    assert_eq!(hears(404, String::new()).await, Beacon::Missing);
    app.finish().await;
}

#[tokio::test]
async fn a_new_run_keeps_the_settings_and_the_log_and_nothing_else() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let id = given.exhibition_id;
    let admin = app.caller("admin-1", Role::Admin, &["xyz"]).await;
    admin.set(json!({ "capacity": 9, "opens_at": app.ahead(300) })).await.expect(200);
    admin.to(Phase::Prequeue).await.expect(200);
    let client = app.pg().await;
    append(&client, id, 1, 3).await;
    let place = (Lane::General, 4);
    let parked = notice::seal(app.app(), id, 1, place, "hong@example.org", Language::Ko).unwrap();
    assert!(pg::park(&client, row_id(app.app().clock.now()), &parked).await.unwrap());
    assert!(pg::note_serving(&client, id, 1, [0, 0], [40, 2]).await.unwrap());
    admin.to(Phase::Ended).await.expect(200);
    assert_eq!(app.db.one::<i64>("select count(*) from room_notices where sealed is not null").await, 0);
    let shown = admin.to(Phase::Idle).await.expect(200).body;
    assert_eq!((&shown["run"], &shown["config"]["capacity"]), (&json!(2), &json!(9)));
    assert_eq!(shown["config"]["opens_at"], json!(null), "or it would open again by itself");
    let room = app.room_row(id).await;
    assert_eq!((room.draw, room.floors, room.serving, room.log_seq, room.log_head), Default::default());
    assert_eq!(pg::log_page(&client, id, 1, 0, 100).await.unwrap().len(), 3);
    // What belongs to the old run changes nothing any more.
    assert!(!pg::note_serving(&client, id, 1, [50, 50], [50, 50]).await.unwrap());
    let row = chain::next([0; 32], 1, 4, facts(4));
    assert!(!pg::append_log(&client, id, 1, &row).await.unwrap());

    // A safety net that has served people begins another run where a cohort gathers: none of them may be in it.
    for to in [Phase::Bypass, Phase::Open] {
        assert_eq!(admin.to(to).await.expect(200).body["run"], 2);
    }
    assert!(pg::note_serving(&client, id, 2, [7, 0], [9, 0]).await.unwrap());
    assert_eq!(admin.to(Phase::Bypass).await.expect(200).body["run"], 2, "the same people may come back");
    admin.set(json!({ "opens_at": app.ahead(300) })).await.expect(200);
    let shown = admin.to(Phase::Prequeue).await.expect(200).body;
    assert_eq!((&shown["run"], &shown["phase"]), (&json!(3), &json!("prequeue")));
    assert_eq!(shown["config"]["opens_at"].as_str().map(str::len), Some(shown["freeze_at"].as_str().unwrap().len()));
    let room = app.room_row(id).await;
    assert_eq!((room.serving, room.floors), ([0, 0], [0, 0]));
    assert!(commitment::server_seed(app.app(), &room).is_ok(), "sealed for the new run");
    app.finish().await;
}

#[tokio::test]
async fn what_was_served_and_given_never_goes_back() {
    let app = TestApp::start().await;
    let id = app.given(places(5)).await.exhibition_id;
    let client = app.pg().await;
    assert!(pg::create_if_missing(&client, id, &Config::default()).await.unwrap());
    assert!(!pg::create_if_missing(&client, id, &Config { capacity: 1, ..Config::default() }).await.unwrap());
    assert!(pg::note_serving(&client, id, 1, [10, 3], [20, 3]).await.unwrap());
    assert!(pg::note_serving(&client, id, 1, [9, 4], [15, 2]).await.unwrap());
    let room = app.room_row(id).await;
    assert_eq!((room.serving, room.floors), ([10, 4], [20, 4]), "a rank that was served was given");
    assert_eq!(pg::raise_epoch(&client, id, 1, [30, 1]).await.unwrap(), Some(2));
    assert_eq!(pg::raise_epoch(&client, id, 1, [99, 99]).await.unwrap(), None, "raised once");
    assert_eq!(app.room_row(id).await.floors, [30, 4]);
    assert_eq!(app.room_row(id).await.revision, 1, "an admin's change is not overtaken by a tick");
    // Beyond what a number can be.
    assert!(pg::note_serving(&client, id, 1, [u32::MAX, 0], [0, 0]).await.unwrap());
    app.forbidden_sql("update rooms set serving_general = 1", "never goes back").await;
    app.forbidden_sql("update rooms set floor_invited = 0, serving_invited = 0", "never goes back").await;
    app.forbidden_sql("update rooms set epoch = 1", "never goes back").await;
    app.finish().await;
}

fn facts(seq: i64) -> Facts {
    let n = u32::try_from(seq).unwrap();
    let at = Timestamp::from_millisecond(1_764_000_000_000 + seq * 1000).unwrap();
    Facts { at, phase: Phase::Open, serving: [n * 10, n], active: 5, waiting: 100 }
}

/// Rows of a log, as a leader writes them.
async fn append(client: &Client, id: i32, run: u32, count: i64) {
    let room = pg::one(client, id).await.unwrap().unwrap();
    let mut prev = room.log_head.unwrap_or_else(|| chain::genesis(&room.code, run));
    for seq in room.log_seq + 1..=room.log_seq + count {
        let row = chain::next(prev, run, seq, facts(seq));
        assert!(pg::append_log(client, id, run, &row).await.unwrap());
        prev = row.hash;
    }
}

#[tokio::test]
async fn a_changed_row_of_the_log_is_found_out() {
    let app = TestApp::start().await;
    let id = app.given(places(5)).await.exhibition_id;
    let client = app.pg().await;
    pg::create_if_missing(&client, id, &Config::default()).await.unwrap();
    append(&client, id, 1, 20).await;
    let start = chain::genesis("xyz", 1);
    let rows = pg::log_page(&client, id, 1, 0, 500).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.facts.clone()).collect::<Vec<_>>(), (1..=20).map(facts).collect::<Vec<_>>());
    assert_eq!(chain::verify(start, 1, &rows), Ok(app.room_row(id).await.log_head.unwrap()));
    let page = pg::log_page(&client, id, 1, 15, 3).await.unwrap();
    assert_eq!((page[0].seq, page.len(), chain::verify(rows[14].hash, 1, &page).is_ok()), (16, 3, true));

    // Of two leaders with the same next row one writes it; one that is behind writes nothing.
    let twins = race(2, |n| {
        let row = chain::next(rows[19].hash, 1, 21, Facts { active: n as u32, ..facts(21) });
        let app = &app;
        async move { pg::append_log(&app.pg().await, id, 1, &row).await.unwrap() }
    })
    .await;
    assert_eq!(twins.iter().filter(|won| **won).count(), 1);
    assert!(!pg::append_log(&client, id, 1, &chain::next(rows[18].hash, 1, 22, facts(22))).await.unwrap());

    // Finer than a millisecond is cut before it is hashed, so that what is shown can be hashed again.
    let at = facts(1).at + SignedDuration::from_nanos(1_234_567);
    assert_eq!(chain::next(start, 1, 1, Facts { at, ..facts(1) }).facts.at.as_nanosecond() % 1_000_000, 0);

    for sql in ["update room_log set active = 0", "delete from room_log", "truncate room_log"] {
        app.forbidden_sql(sql, "room_log is append-only").await;
    }
    app.sweep().await;
    // Somebody with every right over the database.
    let tampered = async |set: &str, back: &str| {
        let run = async |sql: &str| app.db.execute(&format!("set session_replication_role = replica; {sql}")).await;
        run(set).await;
        let rows = pg::log_page(&client, id, 1, 0, 500).await.unwrap();
        let found = chain::verify(start, 1, &rows);
        let swept = admit::platform::invariants::sweep(&app.db.url).await.unwrap();
        run(back).await;
        (found, swept.len())
    };
    let head = app.room_row(id).await.log_head.unwrap();
    for (set, back, seq, swept) in [
        (
            "update room_log set serving_general = 71 where seq = 7",
            "update room_log set serving_general = 70 where seq = 7",
            7,
            0,
        ),
        (
            "update room_log set at = at + interval '1 ms' where seq = 9",
            "update room_log set at = at - interval '1 ms' where seq = 9",
            9,
            0,
        ),
        ("update room_log set seq = 99 where seq = 21", "update room_log set seq = 21 where seq = 99", 99, 1),
        (
            "update room_log set prev_hash = hash, hash = prev_hash where seq = 5",
            "update room_log set prev_hash = hash, hash = prev_hash where seq = 5",
            5,
            1,
        ),
    ] {
        assert_eq!(tampered(set, back).await, (Err(seq), swept), "{set}");
    }
    let rows = pg::log_page(&client, id, 1, 0, 500).await.unwrap();
    assert_eq!(chain::verify(start, 1, &rows), Ok(head));
    app.finish().await;
}

#[tokio::test]
async fn invitations_prove_themselves_for_one_exhibition_and_run() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let admin = app.caller("admin-1", Role::Admin, &["xyz"]).await;
    let made = admin.post("invites", json!({ "count": 500, "note": "후원회" })).await.expect(200).body;
    let links: Vec<&str> = made["links"].as_array().unwrap().iter().map(|link| link.as_str().unwrap()).collect();
    let mut ids = std::collections::BTreeSet::new();
    for link in &links {
        let text = link.strip_prefix("http://localhost:8080/xyz/queue?invite=").unwrap();
        assert!(invite::invite_ok(app.app(), "xyz", 1, text));
        assert!(!invite::invite_ok(app.app(), "xyz", 2, text) && !invite::invite_ok(app.app(), "abc", 1, text));
        ids.insert(hex(&invite::read(app.app(), "xyz", 1, text).unwrap()));
    }
    assert_eq!(ids.len(), 500);
    let recorded: Value = app.db.one("select after from admin_audit where action = 'room.invites'").await;
    let recorded = recorded["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, recorded);

    let good = links[0].rsplit('=').next().unwrap();
    for at in 0..good.len() - 1 {
        let mut bad = good.to_owned();
        bad.replace_range(at..=at, if good.as_bytes()[at] == b'A' { "B" } else { "A" });
        assert!(!invite::invite_ok(app.app(), "xyz", 1, &bad), "{at}");
    }
    for bad in ["", "x", &good[1..], &format!("{good}A"), &"A".repeat(39), &"가".repeat(13), &"=".repeat(39)] {
        assert!(!invite::invite_ok(app.app(), "xyz", 1, bad), "{bad}");
    }
    for (ask, refused) in [
        (json!({ "count": 0 }), is("count", "out_of_range")),
        (json!({ "count": 501 }), is("count", "out_of_range")),
        (json!({ "count": -1 }), is("count", "out_of_range")),
        (json!({ "count": 1e9 }), is("count", "malformed")),
        (json!({}), is("count", "required")),
        (json!({ "count": 1, "note": "a\nb" }), is("note", "control_characters")),
        (json!({ "count": 1, "note": "a".repeat(101) }), is("note", "too_long")),
    ] {
        assert_eq!(field(admin.post("invites", ask).await), refused);
    }
    app.db.execute("update rooms set phase = 'ended'").await;
    admin.post("invites", json!({ "count": 1 })).await.refused(409, "room.too_late");
    assert_eq!(app.room_row(given.exhibition_id).await.revision, 1, "invitations change nothing of the room");
    app.finish().await;
}

#[tokio::test]
async fn a_parked_visitor_is_told_once_and_forgotten() {
    let app = TestApp::start().await;
    let id = app.given(places(5)).await.exhibition_id;
    let client = app.pg().await;
    pg::create_if_missing(&client, id, &Config::default()).await.unwrap();
    let park = async |lane: Lane, number: u32, email: &str, language: Language| {
        let notice = notice::seal(app.app(), id, 1, (lane, number), email, language).unwrap();
        pg::park(&client, row_id(app.app().clock.now()), &notice).await.unwrap()
    };
    assert!(park(Lane::General, 5, "old@example.org", Language::Ko).await);
    assert!(park(Lane::General, 5, "hong@example.org", Language::En).await, "a corrected address");
    assert!(park(Lane::General, 70, "b@example.org", Language::Ko).await);
    assert!(park(Lane::Invited, 5, "c@example.org", Language::Ko).await);
    assert!(park(Lane::Invited, 6, "d@example.org", Language::Ko).await);
    pg::unpark(&client, id, 1, Lane::Invited, 6).await.unwrap();
    let waiting = pg::parked(&client, id, 1, (Lane::General, 0), 10).await.unwrap();
    let places: Vec<_> = waiting.iter().map(|one| (one.lane, one.number)).collect();
    assert_eq!(places, [(Lane::General, 5), (Lane::General, 70), (Lane::Invited, 5)]);
    assert_eq!(pg::parked(&client, id, 1, (Lane::General, 5), 1).await.unwrap(), waiting[1..2]);

    assert_eq!(pg::due(&client, &[waiting[0].id]).await.unwrap(), 1);
    assert_eq!(pg::due(&client, &[waiting[0].id, row_id(app.app().clock.now())]).await.unwrap(), 0, "told once");
    assert!(!park(Lane::General, 5, "late@example.org", Language::Ko).await, "it is on its way");
    assert_eq!(pg::parked(&client, id, 1, (Lane::General, 0), 10).await.unwrap().len(), 2);
    app.tick("outbox").await;
    let mails: Vec<String> = std::fs::read_dir(&app.mail.0)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .filter(|mail| mail.contains("Message-ID"))
        .collect();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].contains("hong@example.org") && mails[0].contains("Your turn for Test exhibition is near"));
    let link = mails[0].replace("=\r\n", "");
    assert!(link.contains("http://localhost:8080/xyz/queue"), "{link}");
    let state: String = app.db.one("select state from room_notices where number = 5 and lane = 0").await;
    assert_eq!(state, "sent");
    assert_eq!(app.db.one::<i64>("select count(*) from room_notices where sealed is not null").await, 2);
    assert!(!park(Lane::General, 5, "again@example.org", Language::Ko).await);

    // Erased between the decision and the mail: nobody is written to.
    assert_eq!(pg::due(&client, &[waiting[1].id]).await.unwrap(), 1);
    pg::unpark(&client, id, 1, Lane::General, 70).await.unwrap();
    app.tick("outbox").await;
    let outcome: String = app.db.one("select string_agg(outcome, ' ' order by id) from outbox").await;
    assert_eq!(outcome, "sent no_channel");
    app.finish().await;
}

#[tokio::test]
async fn the_demo_sells_bbb_behind_an_open_room() {
    let app = TestApp::start().await;
    let mut client = app.pg().await;
    let clock = app.app().clock.clone();
    admit::commands::seed_demo::seed(&mut client, &clock).await.unwrap();
    let rooms = pg::all(&client).await.unwrap();
    assert_eq!(rooms.len(), 1);
    let room = &rooms[0];
    assert_eq!((room.code.as_str(), room.phase, room.config.draw), ("bbb", Phase::Open, false));
    assert_eq!((room.config.capacity, room.config.rate_per_min), (2_000, 60_000));
    // What became of it since is nobody's to undo.
    app.refresh().await;
    let owner = app.caller("owner", Role::SuperAdmin, &[]).await;
    let drain = app.http.post(app.url("/api/admin/exhibitions/bbb/room/phase")).header("if-match", tag(2));
    owner.send(drain.json(&json!({ "to": "drain" }))).await.expect(200);
    admit::commands::seed_demo::seed(&mut client, &clock).await.unwrap();
    assert_eq!(pg::one(&client, room.exhibition_id).await.unwrap().unwrap().phase, Phase::Drain);
    drop(client);
    app.finish().await;
}
