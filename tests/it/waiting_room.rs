//! The waiting room through HTTP, Postgres and Redis: join, wait, be called, claim, order, make room.

use std::time::Duration;

use admit::platform::redis::Script;
use admit::waiting_room::model::{Config, Phase};
use admit::waiting_room::{moves, pg};
use serde_json::{Value, json};

use crate::support::given::places;
use crate::support::servers;
use crate::support::{Answer, Given, Kind, Options, TestApp, race};

const TICK: Duration = Duration::from_millis(250);

/// A room of an exhibition, opened as an admin would.
pub async fn open_room(app: &TestApp, given: &Given, config: Config) {
    move_room(app, given, &config, &[Phase::Open]).await;
    tick(app, 20).await;
}

pub async fn move_room(app: &TestApp, given: &Given, config: &Config, to: &[Phase]) {
    let id = app.app().catalogue.current().by_code(given.code).unwrap().id;
    let mut client = app.app().pg.get().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    pg::create_if_missing(&transaction, id, config).await.unwrap();
    let by = admit::admin::audit::Actor::system("test");
    for phase in to {
        let room = pg::one(&transaction, id).await.unwrap().unwrap();
        let why = moves::Reason { ko: "점검 중", en: "maintenance" };
        moves::make(app.app(), &transaction, &room, *phase, why, &by).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

/// So many rounds of the leader and of every instance, a quarter of a second apart.
pub async fn tick(app: &TestApp, rounds: usize) {
    for _ in 0..rounds {
        app.advance(TICK).await;
        app.tick("rooms").await;
        for instance in &app.instances {
            instance.app.rooms.refresh(&instance.app).await.unwrap();
        }
    }
}

/// Somebody in the queue, without cookies: the token is in hand.
pub struct Guest<'a> {
    app: &'a TestApp,
    code: &'static str,
    pub token: Option<String>,
    pub pass: Option<String>,
}

impl<'a> Guest<'a> {
    pub fn new(app: &'a TestApp, given: &Given) -> Guest<'a> {
        Guest { app, code: given.code, token: None, pass: None }
    }

    async fn call(&mut self, method: reqwest::Method, what: &str, body: Option<Value>) -> Answer {
        let url = self.app.url(&format!("/api/exhibitions/{}/queue/{what}", self.code));
        let mut request = self.app.http.request(method, url);
        if let Some(token) = &self.token {
            request = request.header("x-queue-token", token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = Answer::of(request).await;
        for (field, slot) in [("queue_token", &mut self.token), ("pass", &mut self.pass)] {
            if let Some(text) = answer.body[field].as_str() {
                *slot = Some(text.to_owned());
            }
        }
        answer
    }

    pub async fn join(&mut self) -> Answer {
        self.call(reqwest::Method::POST, "join", None).await
    }
    pub async fn status(&mut self) -> Answer {
        self.call(reqwest::Method::GET, "status", None).await
    }
    pub async fn claim(&mut self) -> Answer {
        self.call(reqwest::Method::POST, "claim", None).await
    }
    pub async fn extend(&mut self) -> Answer {
        self.call(reqwest::Method::POST, "claim", Some(json!({ "extend": true }))).await
    }
    pub async fn proof(&mut self) -> Answer {
        self.call(reqwest::Method::GET, "proof", None).await
    }
    pub async fn leave(&mut self) -> Answer {
        self.call(reqwest::Method::POST, "leave", None).await
    }

    pub async fn order(&self, given: &Given, n: usize) -> Answer {
        let visitor = self.app.visitor(n);
        let mut request = self.app.http.post(self.app.url("/api/orders")).json(&visitor.ask(given, 1));
        if let Some(pass) = &self.pass {
            request = request.header("x-queue-pass", pass);
        }
        Answer::of(request).await
    }

    pub fn state(answer: &Answer) -> &str {
        answer.body["state"].as_str().unwrap_or_default()
    }
}

pub fn config() -> Config {
    Config { capacity: 2, slack: 0, rate_per_min: 6_000, draw: false, ..Config::default() }
}

#[tokio::test]
async fn whoever_waits_is_called_enters_buys_and_makes_room_for_the_next() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, config()).await;

    let mut guests: Vec<Guest> = (0..4).map(|_| Guest::new(&app, &adult)).collect();
    for (n, guest) in guests.iter_mut().enumerate() {
        let joined = guest.join().await.expect(200);
        assert_eq!(joined.body["number"], json!(n + 1));
        assert!(joined.body["receipt"].as_str().is_some_and(|r| r.split('.').count() == 5));
        assert_eq!(Guest::state(&joined), "waiting");
        // Again, from the same device: the same number.
        assert_eq!(guest.join().await.expect(200).body["number"], json!(n + 1));
    }
    guests[3].order(&adult, 9).await.refused(403, "waiting_room.pass_required");
    tick(&app, 2).await;
    let states =
        [guests[0].status().await, guests[1].status().await, guests[2].status().await, guests[3].status().await];
    let states: Vec<&str> = states.iter().map(Guest::state).collect();
    assert_eq!(states, ["your_turn", "your_turn", "waiting", "waiting"], "the capacity is two");
    tick(&app, 4).await;
    assert_eq!(guests[3].status().await.body["ahead"], json!(1));

    let claimed = guests[0].claim().await.expect(200);
    assert_eq!(Guest::state(&claimed), "admitted");
    let again = guests[0].claim().await.expect(200);
    assert_eq!(again.body["pass_expires_at"], claimed.body["pass_expires_at"], "a repeat gives the same");
    guests[1].claim().await.expect(200);
    assert_eq!(Guest::state(&guests[2].claim().await.expect(200)), "waiting", "nobody claims before the turn");
    tick(&app, 4).await;
    assert_eq!(Guest::state(&guests[2].status().await), "waiting", "the room is full");

    let order = guests[0].order(&adult, 1).await.expect(201);
    guests[0].order(&adult, 2).await.refused(409, "waiting_room.pass_in_use");
    let held = crate::support::visitor::Held::from(&order);
    app.visitor(1).pay(&held).await.expect(200);
    app.until("the pass has ended", async || {
        tick(&app, 1).await;
        Guest::state(&guests[2].status().await) == "your_turn"
    })
    .await;
    guests[0].order(&adult, 3).await.refused(403, "waiting_room.pass_ended");
    assert_eq!(Guest::state(&guests[0].claim().await.expect(200)), "over");
    let mut again = Guest::new(&app, &adult);
    assert_eq!(again.join().await.expect(200).body["number"], json!(5), "back again, at the end");
    guests[1].leave().await.expect(204);
    tick(&app, 2).await;
    assert_eq!(Guest::state(&guests[3].status().await), "your_turn", "somebody left");
    app.finish().await;
}

/// Every instance has seen somebody who polls; whoever leaves is ahead of nobody within seconds, and comes back to the
/// place that was theirs.
#[tokio::test]
async fn whoever_leaves_the_line_is_ahead_of_nobody_and_keeps_the_place() {
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, Config { capacity: 1, ..config() }).await;
    let mut guests: Vec<Guest> = (0..4).map(|_| Guest::new(&app, &adult)).collect();
    for guest in &mut guests {
        guest.join().await.expect(200);
    }
    tick(&app, 2).await;
    guests[0].claim().await.expect(200);
    for guest in &mut guests {
        guest.status().await.expect(200);
        let elsewhere = format!("http://{}/api/exhibitions/{}/queue/status", app.instances[1].address, adult.code);
        let token = guest.token.clone().unwrap();
        Answer::of(app.http.get(elsewhere).header("x-queue-token", token)).await.expect(200);
    }
    tick(&app, 24).await;
    assert_eq!(guests[3].status().await.body["ahead"], json!(2));
    guests[1].leave().await.expect(204);
    tick(&app, 8).await;
    assert_eq!(guests[3].status().await.body["ahead"], json!(1), "gone, though the other instance saw them too");
    assert_eq!(guests[1].join().await.expect(200).body["number"], json!(2));
    tick(&app, 8).await;
    assert_eq!(guests[3].status().await.body["ahead"], json!(2), "back in the same place");
    guests[0].leave().await.expect(204);
    tick(&app, 4).await;
    let states = [guests[1].status().await, guests[2].status().await];
    assert_eq!(states.each_ref().map(Guest::state), ["your_turn", "waiting"]);
    app.finish().await;
}

#[tokio::test]
async fn without_a_room_nothing_changes() {
    let app = TestApp::start().await;
    let adult = app.given(places(5)).await;
    let mut guest = Guest::new(&app, &adult);
    assert_eq!(Guest::state(&guest.status().await.expect(200)), "open");
    assert_eq!(Guest::state(&guest.join().await.expect(200)), "open");
    guest.order(&adult, 1).await.expect(201);
    app.finish().await;
}

#[tokio::test]
async fn tokens_and_passes_of_elsewhere_open_nothing() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let other = app.given(Kind { code: "other", ..places(100) }).await;
    open_room(&app, &adult, config()).await;
    open_room(&app, &other, config()).await;
    let mut guest = Guest::new(&app, &adult);
    guest.join().await.expect(200);
    tick(&app, 2).await;
    guest.claim().await.expect(200);

    let mut stranger = Guest { token: guest.token.clone(), pass: guest.pass.clone(), ..Guest::new(&app, &other) };
    stranger.status().await.refused(401, "queue.invalid_token");
    stranger.order(&other, 1).await.refused(403, "waiting_room.invalid_pass");
    for absurd in ["", "x", "..", &"a".repeat(5_000), "AQAAAAE"] {
        let mut forger = Guest { token: Some(absurd.to_owned()), ..Guest::new(&app, &adult) };
        forger.status().await.refused(401, "queue.invalid_token");
        forger.claim().await.refused(401, "queue.invalid_token");
        forger.pass = Some(absurd.to_owned());
        forger.order(&adult, 1).await.refused(403, "waiting_room.invalid_pass");
    }
    // One pass, twenty orders at once: one wins.
    let answers = race(20, |n| guest.order(&adult, 100 + n)).await;
    let won = answers.iter().filter(|a| a.status == 201).count();
    assert_eq!(won, 1, "{:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());
    assert!(answers.iter().all(|a| a.status == 201 || a.code() == "waiting_room.pass_in_use"));

    // After the pass has lapsed, with its hold, it opens nothing.
    app.advance(Duration::from_secs(1_200)).await;
    app.tick("expire").await;
    guest.order(&adult, 300).await.refused(403, "waiting_room.pass_ended");
    app.finish().await;
}

#[tokio::test]
async fn somebody_who_blinked_is_late_and_not_lost() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, Config { capacity: 1, ..config() }).await;
    let mut guests: Vec<Guest> = (0..3).map(|_| Guest::new(&app, &adult)).collect();
    for guest in &mut guests {
        guest.join().await.expect(200);
    }
    tick(&app, 2).await;
    let called = guests[0].status().await;
    assert_eq!(Guest::state(&called), "your_turn");
    assert!(
        called.body["claim_left_ms"].as_i64().is_some_and(|ms| (100_000..=120_000).contains(&ms)),
        "{}",
        called.body
    );
    for _ in 0..10 {
        app.advance(Duration::from_secs(13)).await;
        guests[2].status().await.expect(200);
        let second = guests[1].status().await.expect(200);
        tick(&app, 8).await;
        if Guest::state(&second) == "your_turn" {
            break;
        }
    }
    // The next is called, and asks for more time, which helps once.
    let longer = guests[1].extend().await.expect(200);
    assert!(longer.body["claim_left_ms"].as_i64().is_some_and(|ms| ms > 200_000), "{}", longer.body);
    assert_eq!(longer.body["extendable"], json!(false));
    // Meanwhile the first one's time runs out. Who is silent holds nobody up: the next was called before that.
    for _ in 0..5 {
        app.advance(Duration::from_secs(13)).await;
        guests[1].status().await.expect(200);
        guests[2].status().await.expect(200);
        tick(&app, 8).await;
    }
    let first = guests[0].status().await;
    assert_eq!(Guest::state(&first), "late", "{}", first.body);
    let knock = guests[0].claim().await.expect(200);
    assert_eq!(Guest::state(&knock), "late");
    guests[1].claim().await.expect(200);
    guests[1].leave().await.expect(204);
    tick(&app, 3).await;
    assert_eq!(Guest::state(&guests[0].status().await), "your_turn", "the late one goes before those behind");
    assert_eq!(Guest::state(&guests[0].claim().await.expect(200)), "admitted");
    assert_eq!(Guest::state(&guests[2].status().await), "waiting");
    app.finish().await;
}

#[tokio::test]
async fn a_paused_room_calls_nobody_and_says_why_and_a_drained_one_takes_nobody_more() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, Config { capacity: 1, ..config() }).await;
    let (mut first, mut second) = (Guest::new(&app, &adult), Guest::new(&app, &adult));
    first.join().await.expect(200);
    second.join().await.expect(200);
    tick(&app, 2).await;
    first.claim().await.expect(200);
    move_room(&app, &adult, &config(), &[Phase::Paused]).await;
    tick(&app, 3).await;
    let paused = second.status().await;
    assert_eq!((Guest::state(&paused), paused.body["reason"].as_str()), ("paused", Some("점검 중")));
    first.order(&adult, 1).await.expect(201);
    move_room(&app, &adult, &config(), &[Phase::Stopped]).await;
    tick(&app, 3).await;
    assert_eq!(Guest::state(&second.status().await), "stopped");
    move_room(&app, &adult, &config(), &[Phase::Drain]).await;
    tick(&app, 3).await;
    Guest::new(&app, &adult).join().await.refused(409, "queue.closed");
    assert_eq!(Guest::state(&second.status().await), "waiting");
    app.finish().await;
}

#[tokio::test]
async fn numbers_are_given_once_though_redis_loses_everything() {
    let own = servers::OwnRedis::start().await;
    let app = TestApp::start_with(Options { redis_url: Some(own.url()), ..Options::default() }).await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, Config { capacity: 1, ..config() }).await;
    let mut guests: Vec<Guest> = (0..3).map(|_| Guest::new(&app, &adult)).collect();
    for guest in &mut guests {
        guest.join().await.expect(200);
    }
    tick(&app, 8).await;
    guests[0].claim().await.expect(200);
    own.cli(&["flushall"]).await;
    guests[1].join().await.expect(200);
    let mut late_comer = Guest::new(&app, &adult);
    late_comer.join().await.refused(503, "queue.checking");
    tick(&app, 6).await;
    late_comer.join().await.refused(503, "queue.checking");
    // Those who have numbers come first, and keep them.
    let kept = guests[2].status().await.expect(200);
    assert_eq!((kept.body["number"].clone(), kept.body["queue_token"].is_string()), (json!(3), true));
    app.advance(Duration::from_secs(11)).await;
    for guest in &mut guests {
        guest.status().await.expect(200);
    }
    tick(&app, 8).await;
    let number = late_comer.join().await.expect(200).body["number"].as_u64().unwrap();
    assert!(number > 10_000, "far beyond what was given before: {number}");
    // The pass is good again, once the stock has been counted anew.
    app.tick("audit").await;
    app.until("the pass is good again", async || guests[0].order(&adult, 1).await.status == 201).await;
    app.finish().await;
}

#[tokio::test]
async fn the_safety_net_opens_when_too_many_come_and_closes_when_nobody_does() {
    let app = TestApp::start().await;
    let adult = app.given(places(1_000)).await;
    let net = Config { safety_on_per_s: 10, safety_off_after_s: 30, ..config() };
    move_room(&app, &adult, &net, &[Phase::Bypass]).await;
    tick(&app, 20).await;
    let guest = Guest::new(&app, &adult);
    guest.order(&adult, 1).await.expect(201);
    tick(&app, 8).await;
    guest.order(&adult, 2).await.expect(201);
    for n in 0..40 {
        let reply = app.http.get(app.url(&format!("/{}/order", adult.code))).send().await.unwrap();
        assert_eq!(reply.status(), 200, "page load {n}");
    }
    tick(&app, 12).await;
    guest.order(&adult, 3).await.refused(403, "waiting_room.pass_required");
    let audited: i64 = app.db.one("select count(*) from admin_audit where user_name = 'safety_net'").await;
    assert_eq!(audited, 1);
    app.advance(Duration::from_secs(40)).await;
    tick(&app, 150).await;
    guest.order(&adult, 4).await.expect(201);
    app.finish().await;
}

#[tokio::test]
async fn the_invited_have_a_lane_and_one_link_serves_one_device() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, Config { capacity: 2, invited_share_pct: 50, ..config() }).await;
    let mut general: Vec<Guest> = (0..4).map(|_| Guest::new(&app, &adult)).collect();
    for guest in &mut general {
        guest.join().await.expect(200);
    }
    let (_, invite) = admit::waiting_room::invite::make(app.app(), adult.code, 1);
    let ask = json!({ "invite": invite });
    let mut invited = Guest::new(&app, &adult);
    let joined = invited.call(reqwest::Method::POST, "join", Some(ask.clone())).await.expect(200);
    assert_eq!((joined.body["lane"].as_str(), joined.body["number"].as_u64()), (Some("invited"), Some(1)));
    let mut second = Guest::new(&app, &adult);
    second.call(reqwest::Method::POST, "join", Some(ask)).await.refused(409, "queue.invite_used");
    let forged = json!({ "invite": "A".repeat(39) });
    second.call(reqwest::Method::POST, "join", Some(forged)).await.refused(403, "queue.invalid_invite");
    tick(&app, 8).await;
    assert_eq!(Guest::state(&invited.status().await), "your_turn");
    assert_eq!(Guest::state(&general[0].status().await), "your_turn");
    assert_eq!(Guest::state(&general[1].status().await), "waiting", "the other half is the invited one's");
    app.finish().await;
}

#[tokio::test]
async fn the_brake_lowers_the_rate_while_orders_fail() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, config()).await;
    let room = app.app().rooms.of(adult.code).unwrap();
    assert_eq!(room.view().snap.brake, 1.0);
    for _ in 0..6 {
        let now_ms = app.app().clock.now_ms();
        (0..50).for_each(|_| room.pace.record(Duration::from_secs(3), true, now_ms));
        tick(&app, 5).await;
    }
    let braked = room.view().snap.brake;
    assert!(braked <= 0.25, "{braked}");
    tick(&app, 60).await;
    assert!(room.view().snap.brake > braked * 1.5, "it lets go by itself");
    app.finish().await;
}

#[tokio::test]
async fn whoever_parks_is_kept_alive_and_told_by_mail() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, Config { capacity: 1, ..config() }).await;
    let (mut first, mut parked, mut third) =
        (Guest::new(&app, &adult), Guest::new(&app, &adult), Guest::new(&app, &adult));
    for guest in [&mut first, &mut parked, &mut third] {
        guest.join().await.expect(200);
    }
    tick(&app, 8).await;
    first.claim().await.expect(200);
    parked
        .call(reqwest::Method::POST, "park", Some(json!({ "email": "no address" })))
        .await
        .refused(422, "request.invalid");
    let ask = json!({ "email": "waiting@example.org" });
    parked.call(reqwest::Method::POST, "park", Some(ask)).await.expect(200);
    // Silent for minutes, and yet ahead of the third.
    for _ in 0..8 {
        app.advance(Duration::from_secs(18)).await;
        third.status().await.expect(200);
        tick(&app, 24).await;
    }
    app.tick("outbox").await;
    let mails = std::fs::read_dir(&app.mail.0).unwrap().count();
    assert_eq!(mails, 1, "told before the turn");
    app.finish().await;
}

static EXPIRES: Script = Script::new(
    "test.expires",
    "local of = redis.call('zrange', KEYS[1], 0, 0, 'withscores') return { 'expires', tonumber(of[2]) }",
);

/// What is refused lets nobody stay: taking places lengthens a pass to the end of the hold, and undoing it shortens it again.
#[tokio::test]
async fn a_refused_order_lengthens_no_pass() {
    let app = TestApp::start().await;
    let tour = app.given(Kind { per_person_max: Some(2), open_holds_max: 9, ..places(30) }).await;
    let other = app.visitor(1).held(&tour, 2).await;
    open_room(&app, &tour, Config { idle_s: 60, draw: false, ..Config::default() }).await;
    let mut guest = Guest::new(&app, &tour);
    guest.join().await.expect(200);
    app.until("it is their turn", async || {
        tick(&app, 1).await;
        Guest::state(&guest.status().await) == "your_turn"
    })
    .await;
    guest.claim().await.expect(200);
    let left_s = async || {
        let key = app.app().redis.key("xyz", "wr:act");
        let reply = app.app().redis.run(&EXPIRES, vec![key], vec![]).await.unwrap();
        let at_ms: i64 = reply[1].as_i64().unwrap();
        (at_ms - app.app().clock.now_ms()) / 1_000
    };
    guest.order(&tour, 1).await.refused(409, "stock.product_limit");
    app.until("the take is undone", async || left_s().await <= 60).await;
    // The same pass buys, as somebody else.
    guest.order(&tour, 2).await.expect(201);
    assert!(left_s().await > 600, "nobody is thrown out who holds places");
    app.visitor(1).cancel(&other).await.expect(200);
    app.finish().await;
}
