//! The waiting room while something is away, came back with less than it had, or was told lies.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use admit::platform::http::ClientAddress;
use admit::platform::redis::Script;
use admit::platform::texts::Language;
use admit::waiting_room::model::{Config, Lane, Phase};
use admit::waiting_room::redis::Account;
use admit::waiting_room::token::{self, Pass, QueueToken};
use admit::waiting_room::{invite, join, leader, pg};
use axum::http::HeaderMap;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::support::given::places;
use crate::support::lines::host_of;
use crate::support::proxy::Proxy;
use crate::support::servers::OwnRedis;
use crate::support::visitor::Held;
use crate::support::{Answer, Given, Kind, Options, TestApp, db, race};
use crate::waiting_room::{Guest, move_room, open_room, tick};

/// Numbers begin this far above the highest that is known, after a loss.
const JUMP: u64 = 50_000;

fn config() -> Config {
    Config { capacity: 2, slack: 1, rate_per_min: 6_000, draw: false, ..Config::default() }
}

/// The same rounds as `tick`, whatever becomes of them.
async fn tick_anyway(app: &TestApp, rounds: usize) {
    for _ in 0..rounds {
        app.clock.fetch_add(250, Ordering::Relaxed);
        let _ = leader::tick(app.app()).await;
        for instance in &app.instances {
            let _ = instance.app.rooms.refresh(&instance.app).await;
        }
    }
}

fn pass_by(app: &TestApp, ms: i64) {
    app.clock.fetch_add(ms, Ordering::Relaxed);
}

/// Guests with numbers 1 to `count`.
async fn joined<'a>(app: &'a TestApp, given: &Given, count: usize) -> Vec<Guest<'a>> {
    let mut guests: Vec<Guest> = (0..count).map(|_| Guest::new(app, given)).collect();
    for (n, guest) in guests.iter_mut().enumerate() {
        assert_eq!(guest.join().await.expect(200).body["number"], json!(n + 1));
    }
    guests
}

fn number(answer: &Answer) -> u64 {
    answer.body["number"].as_u64().unwrap_or_else(|| panic!("{}", answer.body))
}

static ACT: Script = Script::new("test.act", "return { 'act', redis.call('zcard', KEYS[1]) }");

async fn active(app: &TestApp, given: &Given) -> i64 {
    let redis = &app.app().redis;
    let reply = redis.run(&ACT, vec![redis.key(given.code, "wr:act")], Vec::new()).await.unwrap();
    reply[1].as_i64().unwrap()
}

async fn forget(app: &TestApp, given: &Given, rest: &str) {
    static FORGET: Script = Script::new("test.forget_one", "redis.call('del', KEYS[1]) return { 'gone' }");
    let redis = &app.app().redis;
    redis.run(&FORGET, vec![redis.key(given.code, rest)], Vec::new()).await.unwrap();
}

async fn row(app: &TestApp, given: &Given) -> pg::RoomRow {
    pg::one(&app.app().pg.get().await.unwrap(), given.exhibition_id).await.unwrap().unwrap()
}

/// Redis is there again, and the stock has been counted anew.
async fn counted(app: &TestApp, given: &Given) {
    app.until("the stock is counted", async || {
        let _ = admit::stock::audit::tick(app.app()).await;
        admit::stock::redis::levels(&app.app().redis, given.code, false).await.is_ok_and(|levels| levels.is_some())
    })
    .await;
}

fn refused_for_now(answer: Answer, codes: &[&str]) {
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(codes.contains(&answer.code()), "{}", answer.body);
    let wait: u64 = answer.retry_after.expect("Retry-After").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait} s");
}

#[tokio::test]
async fn while_redis_is_away_polls_go_on_and_nobody_is_let_in() {
    let mut own = OwnRedis::start().await;
    let proxy = Proxy::start(&format!("127.0.0.1:{}", own.port)).await;
    let options = Options { redis_url: Some(format!("redis://{}/0", proxy.address)), ..Options::default() };
    let app = TestApp::start_with(options).await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, config()).await;
    let mut guests = joined(&app, &adult, 5).await;
    tick(&app, 4).await;
    guests[0].claim().await.expect(200);
    tick(&app, 4).await;
    let before = guests[4].status().await.expect(200);

    proxy.cut();
    let first = guests[4].status().await.expect(200);
    assert_eq!(first.body["stale"], json!(false), "a picture of a moment ago");
    pass_by(&app, 3_500);
    let still = guests[4].status().await.expect(200);
    for field in ["state", "number", "rank", "ahead"] {
        assert_eq!(still.body[field], before.body[field], "{field}");
    }
    assert_eq!(still.body["stale"], json!(true));
    let state = Answer::of(app.http.get(app.url("/api/exhibitions/xyz/queue/state"))).await.expect(200);
    assert_eq!(state.body["stale"], json!(true));
    assert_eq!(Guest::state(&guests[1].status().await.expect(200)), "your_turn");
    Answer::of(app.http.get(app.url("/api/exhibitions/xyz/queue/draw"))).await.expect(200);

    refused_for_now(Guest::new(&app, &adult).join().await, &["queue.no_joins_now", "server.redis_away"]);
    refused_for_now(guests[1].claim().await, &["server.redis_away"]);
    refused_for_now(guests[0].leave().await, &["server.redis_away"]);
    refused_for_now(guests[0].order(&adult, 1).await, &["server.redis_away"]);
    refused_for_now(guests[3].order(&adult, 2).await, &["server.redis_away"]);
    // Whoever has a number is told it without Redis.
    assert_eq!(number(&guests[2].join().await.expect(200)), 3);
    tick_anyway(&app, 2).await;
    assert_eq!(guests[4].status().await.expect(200).body["stale"], json!(true));

    proxy.mend();
    app.until("Redis is heard of again", async || app.app().redis.run_id("xyz").await.is_ok()).await;
    app.until("every connection is new", async || app.app().redis.connections() >= 4).await;
    // Until the leader has looked at this Redis nobody knows what it has lost.
    refused_for_now(Guest::new(&app, &adult).join().await, &["queue.checking"]);
    app.until("all goes on", async || {
        tick_anyway(&app, 1).await;
        guests[4].status().await.body["stale"] == json!(false)
    })
    .await;
    let mut newcomer = Guest::new(&app, &adult);
    app.until("joins go on", async || {
        tick_anyway(&app, 1).await;
        newcomer.join().await.status == 200
    })
    .await;
    assert_eq!(number(&newcomer.status().await), 6, "nothing was lost: no gap");
    assert_eq!(row(&app, &adult).await.epoch, 1);
    assert_eq!(Guest::state(&guests[1].claim().await.expect(200)), "admitted");
    guests[0].order(&adult, 1).await.expect(201);
    app.finish().await;
    own.kill().await;
}

#[tokio::test]
async fn redis_restarted_with_all_it_had_begins_an_epoch_and_loses_nobody() {
    let mut own = OwnRedis::start().await;
    let app = TestApp::start_with(Options { redis_url: Some(own.url()), ..Options::default() }).await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, config()).await;
    let mut guests = joined(&app, &adult, 6).await;
    tick(&app, 4).await;
    guests[0].claim().await.expect(200);
    guests[1].claim().await.expect(200);
    tick(&app, 8).await;
    own.cli(&["save"]).await;
    own.kill().await;
    own.run().await;
    app.until("Redis is heard of again", async || app.app().redis.run_id("xyz").await.is_ok()).await;
    app.until("the leader has looked", async || {
        tick_anyway(&app, 1).await;
        row(&app, &adult).await.epoch == 2
    })
    .await;
    app.until("the picture is of the new epoch", async || {
        tick_anyway(&app, 1).await;
        app.app().rooms.of("xyz").unwrap().view().snap.epoch == 2
    })
    .await;
    // Those who have numbers come first, also when an admin changes something meanwhile.
    refused_for_now(Guest::new(&app, &adult).join().await, &["queue.checking"]);
    move_room(&app, &adult, &config(), &[Phase::Paused, Phase::Open]).await;
    tick_anyway(&app, 4).await;
    refused_for_now(Guest::new(&app, &adult).join().await, &["queue.checking"]);
    assert_eq!(active(&app, &adult).await, 2, "whoever was inside is inside");
    for (n, guest) in guests.iter_mut().enumerate() {
        assert_eq!(number(&guest.status().await.expect(200)), n as u64 + 1);
        let sealed = QueueToken::open(&app.app().secrets, "xyz", guest.token.as_ref().unwrap()).unwrap();
        assert_eq!((sealed.epoch, u64::from(sealed.number)), (2, n as u64 + 1));
    }
    counted(&app, &adult).await;
    app.until("a pass is as good as before", async || guests[0].order(&adult, 1).await.status == 201).await;
    guests[1].leave().await.expect(204);
    app.until("the next is called", async || {
        tick_anyway(&app, 4).await;
        Guest::state(&guests[2].status().await) == "your_turn"
    })
    .await;
    pass_by(&app, 10_000);
    tick_anyway(&app, 4).await;
    let newcomer = number(&Guest::new(&app, &adult).join().await.expect(200));
    assert_eq!(newcomer, 6 + JUMP + 1, "far beyond what anybody had");
    app.finish().await;
    own.kill().await;
}

#[tokio::test]
async fn redis_restarted_without_its_last_writes_gives_no_number_twice() {
    let mut own = OwnRedis::start().await;
    let options = Options { instances: 2, redis_url: Some(own.url()), ..Options::default() };
    let app = TestApp::start_with(options).await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, config()).await;
    let mut guests = joined(&app, &adult, 3).await;
    own.cli(&["save"]).await;
    // What follows Redis will not remember: three more numbers, two calls, a claim.
    for n in 4..=6 {
        guests.push(Guest::new(&app, &adult));
        assert_eq!(number(&guests[n - 1].join().await.expect(200)), n as u64);
    }
    tick(&app, 8).await;
    guests[0].claim().await.expect(200);
    assert_eq!(Guest::state(&guests[1].status().await), "your_turn");
    own.kill().await;
    own.run().await;
    app.until("Redis is heard of again", async || app.app().redis.run_id("xyz").await.is_ok()).await;
    app.until("the leader has looked", async || {
        tick_anyway(&app, 2).await;
        app.instances.iter().all(|i| i.app.rooms.of("xyz").unwrap().view().snap.epoch == 2)
    })
    .await;
    for (n, guest) in guests.iter_mut().enumerate() {
        assert_eq!(number(&guest.status().await.expect(200)), n as u64 + 1);
    }
    tick_anyway(&app, 8).await;
    // Called is called, whatever Redis remembers of it.
    assert_eq!(row(&app, &adult).await.serving[0], 2);
    assert_eq!(Guest::state(&guests[1].claim().await.expect(200)), "admitted");
    counted(&app, &adult).await;
    app.until("the lost pass is good again", async || guests[0].order(&adult, 1).await.status == 201).await;
    assert_eq!(active(&app, &adult).await, 2);
    pass_by(&app, 10_000);
    tick_anyway(&app, 4).await;
    let answers = race(20, |n| {
        let (app, at) = (&app, n % 2);
        async move {
            let url = format!("http://{}/api/exhibitions/xyz/queue/join", app.instances[at].address);
            number(&Answer::of(app.http.post(url)).await.expect(200))
        }
    })
    .await;
    let distinct: BTreeSet<u64> = answers.iter().copied().collect();
    assert_eq!(distinct.len(), 20);
    assert!(distinct.iter().all(|n| *n > 6 + JUMP), "{distinct:?}");
    app.finish().await;
    own.kill().await;
}

/// The counter sends its batch while Redis is away; it arrives at one that has lost numbers, before the leader has seen
/// it. Whether the instance has heard by then what others have given out or not.
#[tokio::test]
async fn a_join_that_waits_for_redis_gets_no_number_that_was_given_before() {
    a_join_waits_for_redis(true).await;
    a_join_waits_for_redis(false).await;
}

async fn a_join_waits_for_redis(told: bool) {
    let mut own = OwnRedis::start().await;
    let options = Options { instances: 2, redis_url: Some(own.url()), ..Options::default() };
    let app = TestApp::start_with(options).await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, config()).await;
    let mut guests = joined(&app, &adult, 2).await;
    // A device from a block that is leased already, so that nothing but the join itself needs Redis.
    let other = app.instances[1].app.clone();
    let exhibition = other.catalogue.current().by_code("xyz").unwrap();
    let client = ClientAddress { address: std::net::Ipv4Addr::LOCALHOST.into(), exempt: true };
    let headers = HeaderMap::new();
    let warm = join::join(&other, &exhibition, &headers, client, None, Language::Ko).await.unwrap();
    assert_eq!(warm.status.number, Some(3));
    own.cli(&["save"]).await;
    // Given out by the first instance: the other never sees a token with a number above 3.
    for n in 4..=6 {
        guests.push(Guest::new(&app, &adult));
        assert_eq!(number(&guests.last_mut().unwrap().join().await.expect(200)), n);
    }
    if told {
        tick(&app, 4).await;
    }
    own.kill().await;
    let waiting = async {
        let tries = (0..10).map(|_| join::join(&other, &exhibition, &headers, client, None, Language::Ko));
        futures_util::future::join_all(tries).await
    };
    let ((), answers) = tokio::join!(own.run(), waiting);
    for seen in answers.into_iter().flatten() {
        let number = seen.status.number.unwrap();
        assert!(number > 6, "number {number} was somebody's already");
    }
    app.until("the leader has looked", async || {
        tick_anyway(&app, 1).await;
        row(&app, &adult).await.epoch == 2
    })
    .await;
    counted(&app, &adult).await;
    app.finish().await;
    own.kill().await;
}

#[tokio::test]
async fn redis_lost_right_after_the_opening_gives_no_number_twice() {
    let mut own = OwnRedis::start().await;
    let options = Options { instances: 2, redis_url: Some(own.url()), ..Options::default() };
    let app = TestApp::start_with(options).await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, config()).await;
    // Within the second in which nothing has been written down.
    let guests = joined(&app, &adult, 3).await;
    own.cli(&["flushall"]).await;
    tick_anyway(&app, 6).await;
    pass_by(&app, 10_000);
    tick_anyway(&app, 6).await;
    for at in [1, 0] {
        let url = format!("http://{}/api/exhibitions/xyz/queue/join", app.instances[at].address);
        let newcomer = number(&Answer::of(app.http.post(url)).await.expect(200));
        assert!(newcomer > 3, "number {newcomer} is somebody's");
    }
    drop(guests);
    counted(&app, &adult).await;
    app.finish().await;
    own.kill().await;
}

#[tokio::test]
async fn redis_lost_whole_keeps_who_was_called_and_lets_passes_in_once() {
    let mut own = OwnRedis::start().await;
    let app = TestApp::start_with(Options { redis_url: Some(own.url()), ..Options::default() }).await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, Config { capacity: 4, slack: 0, ..config() }).await;
    let mut guests = joined(&app, &adult, 12).await;
    tick(&app, 4).await;
    for guest in &mut guests[..3] {
        assert_eq!(Guest::state(&guest.claim().await.expect(200)), "admitted");
    }
    // The third has bought, and made room; the fourth is called and has not come yet.
    let held = Held::from(&guests[2].order(&adult, 3).await.expect(201));
    app.visitor(3).pay(&held).await.expect(200);
    app.until("the pass has ended", async || active(&app, &adult).await == 2).await;
    tick(&app, 8).await;
    let served = row(&app, &adult).await.serving[0];
    assert_eq!(served, 5);
    for guest in &mut guests {
        guest.status().await.expect(200);
    }
    tick(&app, 8).await;

    own.cli(&["flushall"]).await;
    tick_anyway(&app, 6).await;
    assert_eq!(active(&app, &adult).await, 0);
    for guest in &mut guests[3..] {
        guest.status().await.expect(200);
    }
    assert_eq!(Guest::state(&guests[3].status().await), "your_turn", "called before, and still in time");
    assert_eq!(Guest::state(&guests[5].status().await), "waiting");
    assert_eq!(Guest::state(&guests[3].claim().await.expect(200)), "admitted");
    assert_eq!(active(&app, &adult).await, 1);
    counted(&app, &adult).await;
    // The passes of those who were inside are good again, each once.
    app.until("the first may order", async || guests[0].order(&adult, 1).await.status == 201).await;
    guests[1].order(&adult, 2).await.expect(201);
    guests[0].order(&adult, 11).await.refused(409, "waiting_room.pass_in_use");
    guests[1].order(&adult, 12).await.refused(409, "waiting_room.pass_in_use");
    assert!(active(&app, &adult).await <= 4);
    // Whoever was called meanwhile is let in as far as there is room, and not further.
    pass_by(&app, 5_000);
    for _ in 0..4 {
        for guest in &mut guests[4..] {
            let state = guest.status().await.expect(200);
            if Guest::state(&state) == "your_turn" {
                guest.claim().await.expect(200);
            }
        }
        tick_anyway(&app, 4).await;
        assert!(active(&app, &adult).await <= 4);
    }
    assert_eq!(active(&app, &adult).await, 4);
    assert!(row(&app, &adult).await.serving[0] >= served);
    app.finish().await;
    own.kill().await;
}

/// Passes are put back by their owners, who are slow to notice; meanwhile others are called, as far as room is not kept.
#[tokio::test]
async fn room_is_kept_for_passes_that_come_back_after_a_loss() {
    let mut own = OwnRedis::start().await;
    let app = TestApp::start_with(Options { redis_url: Some(own.url()), ..Options::default() }).await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, Config { capacity: 4, slack: 2, idle_s: 120, ..config() }).await;
    let mut guests = joined(&app, &adult, 12).await;
    tick(&app, 4).await;
    for guest in &mut guests[..4] {
        guest.claim().await.expect(200);
    }
    tick(&app, 8).await;
    own.cli(&["flushall"]).await;
    tick_anyway(&app, 6).await;
    // Those behind come at once whenever they are called.
    let mut rounds = async |seconds: usize| {
        for _ in 0..seconds {
            for guest in &mut guests[4..] {
                if Guest::state(&guest.status().await.expect(200)) == "your_turn" {
                    guest.claim().await.expect(200);
                }
            }
            pass_by(&app, 500);
            tick_anyway(&app, 2).await;
        }
        active(&app, &adult).await
    };
    // The machine's own time passes as well: a slow one must not reach the moment when somebody is given up.
    assert_eq!(rounds(10).await, 0, "nobody is called in the place of those who were inside");
    let mut inside = rounds(60).await;
    // A leader that lost its turn on a busy machine counts from anew.
    for _ in 0..60 {
        if inside < 2 {
            inside = rounds(1).await;
        }
    }
    assert_eq!(inside, 2, "half of them should be back by now");
    counted(&app, &adult).await;
    for (n, guest) in guests[..4].iter().enumerate() {
        guest.order(&adult, n).await.expect(201);
    }
    assert_eq!(active(&app, &adult).await, 6, "full up to its slack, and not further");
    app.finish().await;
    own.kill().await;
}

/// What Redis alone knew is lost: a pass that has bought is good once more, while it lasts and there is room.
#[tokio::test]
async fn after_a_loss_more_passes_than_there_is_room_for_come_back_in_vain() {
    let mut own = OwnRedis::start().await;
    let app = TestApp::start_with(Options { redis_url: Some(own.url()), ..Options::default() }).await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, Config { capacity: 2, slack: 1, ..config() }).await;
    let mut guests = joined(&app, &adult, 5).await;
    tick(&app, 4).await;
    // Five are let in one after the other, and each but the last two has bought.
    for (n, guest) in guests.iter_mut().enumerate() {
        app.until("the next is called", async || {
            tick(&app, 2).await;
            Guest::state(&guest.status().await) == "your_turn"
        })
        .await;
        assert_eq!(Guest::state(&guest.claim().await.expect(200)), "admitted");
        if n < 3 {
            let held = Held::from(&guest.order(&adult, n).await.expect(201));
            app.visitor(n).pay(&held).await.expect(200);
            // Redis is told after the commit.
            app.until("the pass has ended", async || guest.order(&adult, n).await.code() == "waiting_room.pass_ended")
                .await;
        }
    }
    own.cli(&["flushall"]).await;
    tick_anyway(&app, 8).await;
    counted(&app, &adult).await;
    let answers = race(5, |n| guests[n].order(&adult, 20 + n)).await;
    let won = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(won, 3, "capacity and slack: {:?}", answers.iter().map(Answer::code).collect::<Vec<_>>());
    assert!(answers.iter().all(|a| a.status == 201 || a.code() == "waiting_room.pass_ended"));
    assert_eq!(active(&app, &adult).await, 3);
    app.finish().await;
    own.kill().await;
}

#[tokio::test]
async fn while_postgres_is_away_the_line_goes_on() {
    let (app, proxy) = behind_proxy().await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, config()).await;
    let mut guests = joined(&app, &adult, 4).await;
    tick(&app, 4).await;
    guests[0].claim().await.expect(200);
    proxy.cut();
    pass_by(&app, 5_000);
    tick_anyway(&app, 4).await;
    let waiting = guests[3].status().await.expect(200);
    assert_eq!((Guest::state(&waiting), &waiting.body["stale"]), ("waiting", &json!(false)));
    assert_eq!(number(&Guest::new(&app, &adult).join().await.expect(200)), 5);
    assert_eq!(Guest::state(&guests[1].claim().await.expect(200)), "admitted");
    refused_for_now(guests[0].order(&adult, 1).await, &["server.database_away"]);
    guests[1].leave().await.expect(204);
    tick_anyway(&app, 8).await;
    assert_eq!(Guest::state(&guests[2].status().await.expect(200)), "your_turn", "somebody left");
    let log = Answer::of(app.http.get(app.url("/api/exhibitions/xyz/queue/log"))).await;
    refused_for_now(log, &["server.database_away"]);
    refused_for_now(guests[3].proof().await, &["server.database_away"]);
    proxy.mend();
    // The place that was taken was given back: the pass is free for the next try.
    app.until("orders go on", async || guests[0].order(&adult, 1).await.status == 201).await;
    tick_anyway(&app, 8).await;
    assert_eq!(row(&app, &adult).await.serving[0], 3, "what happened meanwhile is written down");
    app.finish().await;
}

async fn behind_proxy() -> (TestApp, Proxy) {
    let db = db::Database::create().await;
    let proxy = Proxy::start(&host_of(&db.url, 5432)).await;
    let url = db.url.replace(&host_of(&db.url, 5432), &proxy.address.to_string());
    (TestApp::start_on(db, Options { database_url: Some(url), ..Options::default() }).await, proxy)
}

async fn shown(app: &TestApp) -> Value {
    Answer::of(app.http.get(app.url("/api/exhibitions/xyz/queue/draw"))).await.expect(200).body
}

/// What is shown of the draw is committed in Postgres, at every moment.
async fn shown_is_committed(app: &TestApp, given: &Given) -> Value {
    let shown = shown(app).await;
    // By a connection of the test's own: the proxy is in nobody's way.
    let text = |column: &str| format!("select coalesce(encode({column}, 'hex'), '') from rooms");
    for (field, column) in [("seed_hash", "seed_hash"), ("root", "root"), ("seed", "draw_seed")] {
        let committed: String = app.db.one(&text(column)).await;
        let said = shown[field].as_str().unwrap();
        assert!(said.is_empty() || said == committed, "{field}: {said} is shown, {committed} is committed");
    }
    assert_eq!(row_count(app, given).await, 1);
    shown
}

async fn row_count(app: &TestApp, given: &Given) -> i64 {
    app.db.one(&format!("select count(*) from rooms where exhibition_id = {}", given.exhibition_id)).await
}

#[tokio::test]
async fn nothing_of_a_draw_is_shown_before_it_is_committed() {
    let (app, proxy) = behind_proxy().await;
    let adult = app.given(places(100)).await;
    let opens_at = app.app().clock.now() + jiff::SignedDuration::from_secs(60);
    let draw = Config { draw: true, opens_at: Some(opens_at), freeze_lead_s: 20, ..config() };
    move_room(&app, &adult, &draw, &[Phase::Prequeue]).await;
    tick(&app, 8).await;
    let mut guests = joined(&app, &adult, 5).await;
    assert_eq!(shown_is_committed(&app, &adult).await["root"], json!(""));

    // Away from before the freeze until long after the beacon: the cohort stays open, nothing is made up.
    proxy.cut();
    for _ in 0..5 {
        pass_by(&app, 10_000);
        tick_anyway(&app, 2).await;
        let shown = shown_is_committed(&app, &adult).await;
        assert_eq!((&shown["m"], &shown["root"], &shown["seed"]), (&json!(0), &json!(""), &json!("")));
        assert_eq!(Guest::state(&guests[0].status().await.expect(200)), "prequeue");
    }
    proxy.mend();
    // The cohort's commit is lost; then one whose answer is lost.
    app.until("frozen", async || {
        tick_anyway(&app, 1).await;
        row(&app, &adult).await.phase == Phase::Frozen
    })
    .await;
    proxy.lose(b"frozen_at = admit_now()");
    app.until("the trap has sprung", async || {
        tick_anyway(&app, 1).await;
        shown_is_committed(&app, &adult).await;
        proxy.sprung()
    })
    .await;
    proxy.lose_the_answer_to(b"drawn_at = admit_now()");
    app.until("drawn", async || {
        tick_anyway(&app, 1).await;
        !shown_is_committed(&app, &adult).await["seed"].as_str().unwrap().is_empty()
    })
    .await;
    let drawn = shown_is_committed(&app, &adult).await;
    assert_eq!((&drawn["m"], &drawn["weak"]), (&json!(5), &json!(false)));
    assert_eq!(guests[4].proof().await.expect(200).body["root"], drawn["root"], "kept once, with the freeze that held");
    app.until("open", async || {
        tick_anyway(&app, 1).await;
        row(&app, &adult).await.phase == Phase::Open
    })
    .await;
    tick_anyway(&app, 8).await;
    let mut ranks: Vec<u64> = Vec::new();
    for guest in &mut guests {
        ranks.push(guest.status().await.expect(200).body["rank"].as_u64().unwrap());
    }
    ranks.sort_unstable();
    assert_eq!(ranks, [1, 2, 3, 4, 5]);
    app.finish().await;
}

#[tokio::test]
async fn a_room_whose_key_is_gone_is_never_no_room() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, config()).await;
    let mut guests = joined(&app, &adult, 4).await;
    tick(&app, 4).await;
    guests[0].claim().await.expect(200);
    tick(&app, 8).await;
    forget(&app, &adult, "wr:room").await;
    let stranger = Guest::new(&app, &adult);
    for n in 0..20 {
        let answer = stranger.order(&adult, 50 + n).await;
        assert!(matches!(answer.status, 503 | 403), "nobody gets past: {}", answer.body);
        assert!(matches!(answer.code(), "stock.unready" | "waiting_room.pass_required"), "{}", answer.body);
    }
    app.until("the rebuild has told the phase", async || {
        stranger.order(&adult, 80).await.code() == "waiting_room.pass_required"
    })
    .await;
    refused_for_now(guests[1].claim().await, &["queue.checking"]);
    refused_for_now(Guest::new(&app, &adult).join().await, &["queue.checking"]);
    tick(&app, 6).await;
    guests[0].order(&adult, 1).await.expect(201);
    assert_eq!(Guest::state(&guests[1].claim().await.expect(200)), "admitted");
    assert_eq!(active(&app, &adult).await, 2);
    app.advance(Duration::from_secs(10)).await;
    tick(&app, 4).await;
    assert!(number(&Guest::new(&app, &adult).join().await.expect(200)) > 4);
    for (n, guest) in guests.iter_mut().enumerate() {
        assert_eq!(number(&guest.status().await.expect(200)), n as u64 + 1);
    }
    // Any other key of the room alone: refused for a moment, then mended, and never open. The line goes on.
    let all = ["seq:0", "seq:1", "serve", "fence", "lead", "snap", "server", "instances", "1:history", "1:alive:0"];
    let mut inside = guests.remove(1);
    guests.remove(0);
    for rest in all {
        forget(&app, &adult, &format!("wr:{rest}")).await;
        assert_eq!(stranger.order(&adult, 90).await.status, 403, "{rest}");
        let before = row(&app, &adult).await.serving[0];
        tick(&app, 6).await;
        assert_eq!(stranger.order(&adult, 91).await.code(), "waiting_room.pass_required", "{rest}");
        assert!(row(&app, &adult).await.serving[0] >= before, "{rest}");
        app.advance(Duration::from_secs(10)).await;
        tick(&app, 2).await;
        let mut next = Guest::new(&app, &adult);
        next.join().await.expect(200);
        guests.push(next);
        inside.leave().await.expect(204);
        let first = &mut guests[0];
        app.until(rest, async || {
            tick(&app, 2).await;
            Guest::state(&first.status().await) == "your_turn"
        })
        .await;
        assert_eq!(Guest::state(&first.claim().await.expect(200)), "admitted", "{rest}");
        inside = guests.remove(0);
    }
    app.finish().await;
}

#[tokio::test]
async fn of_two_leaders_one_calls() {
    let mut app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, config()).await;
    joined(&app, &adult, 3).await;
    let mut leads = [0, 0];
    for _ in 0..20 {
        app.advance(Duration::from_millis(250)).await;
        let (one, other) = tokio::join!(leader::tick(&app.instances[0].app), leader::tick(&app.instances[1].app));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(one + other <= 1, "both lead");
        leads = [leads[0] + one, leads[1] + other];
    }
    assert_eq!(leads, [20, 0], "the lease stays with whoever has it");
    assert_eq!(app.app().rooms.of("xyz").unwrap().view().snap.lanes[0].serving, 2);
    // It dies. The other waits for the lease to run out, and goes on where it was.
    let survivor = app.instances[1].app.clone();
    app.kill(0);
    assert_eq!(leader::tick(&survivor).await.unwrap(), 0);
    app.until("the lease has run out", async || leader::tick(&survivor).await.unwrap() == 1).await;
    tick(&app, 8).await;
    let snap = survivor.rooms.of("xyz").unwrap().view().snap.clone();
    assert_eq!((snap.lanes[0].serving, snap.epoch), (2, 1), "nothing was lost, nobody more is called");
    app.finish().await;
}

/// What is not genuine, made from what is.
fn lies(genuine: &str, random: &mut SmallRng) -> String {
    const LETTERS: &[u8] = b"ABCXYZabcxyz0189-_.=%+ ";
    let mut text: Vec<u8> = genuine.bytes().collect();
    match random.random_range(0..7) {
        0 => text.truncate(random.random_range(0..text.len())),
        1 => text.extend_from_slice(&genuine.as_bytes()[..random.random_range(1..20)]),
        2 => {
            let at = random.random_range(0..text.len());
            text[at] = LETTERS[random.random_range(0..LETTERS.len())];
        }
        3 => text.reverse(),
        4 => {
            text.remove(random.random_range(0..genuine.len()));
        }
        5 => text = (0..random.random_range(0..300)).map(|_| LETTERS[random.random_range(0..LETTERS.len())]).collect(),
        _ => {
            let (a, b) = (random.random_range(0..text.len()), random.random_range(0..text.len()));
            text.swap(a, b);
        }
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn lies_open_nothing_anywhere() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let other = app.given(Kind { code: "other", ..places(100) }).await;
    open_room(&app, &adult, Config { capacity: 5, invited_share_pct: 10, ..config() }).await;
    open_room(&app, &other, config()).await;
    let (mut guest, mut stranger) = (Guest::new(&app, &adult), Guest::new(&app, &other));
    guest.join().await.expect(200);
    stranger.join().await.expect(200);
    tick(&app, 4).await;
    guest.claim().await.expect(200);
    stranger.claim().await.expect(200);
    let secrets = &app.app().secrets;
    let account = Account { epoch: 1, index: 0 };
    let device = token::seal_device(secrets, "xyz", 1, account);
    let place = QueueToken::open(secrets, "xyz", guest.token.as_ref().unwrap()).unwrap();
    let invitation = invite::make(app.app(), "xyz", 1).1;
    let sealed = |token: QueueToken| token.seal(secrets, "xyz");
    let sid = token::sid(secrets, "xyz", 1, Lane::General, 1);
    let pass = Pass { sid, run: 1, epoch: 1, lane: Lane::General, rank: 1, hard_ms: i64::MAX / 4 };
    // Genuine, and of another kind, exhibition, run or rank.
    let foreign = [
        stranger.token.clone().unwrap(),
        stranger.pass.clone().unwrap(),
        token::seal_device(secrets, "other", 1, account),
        token::seal_device(secrets, "xyz", 2, account),
        sealed(QueueToken { run: 2, ..place }),
        sealed(QueueToken { run: 0, ..place }),
        invite::make(app.app(), "other", 1).1,
        invite::make(app.app(), "xyz", 2).1,
        Pass { rank: 2, ..pass }.issue(secrets, "xyz").unwrap(),
        Pass { lane: Lane::Invited, ..pass }.issue(secrets, "xyz").unwrap(),
        Pass { hard_ms: 1, ..pass }.issue(secrets, "xyz").unwrap(),
    ];
    let genuine = [guest.token.clone().unwrap(), guest.pass.clone().unwrap(), device, invitation];
    let mut random = SmallRng::seed_from_u64(7);
    let mut given_out = BTreeSet::from([1]);
    let before = active(&app, &adult).await;
    for round in 0..400 {
        let kind = random.random_range(0..genuine.len());
        let lie = match random.random_range(0..10) {
            0..3 => foreign[random.random_range(0..foreign.len())].clone(),
            // Of another kind than the place it is shown at.
            3 => genuine[(kind + 1) % genuine.len()].clone(),
            _ => lies(&genuine[kind], &mut random),
        };
        let calls = ["join", "status", "claim", "leave", "park", "state", "draw", "log", "orders", "page", "draw page"];
        let call = calls[random.random_range(0..calls.len())];
        let queue = |what: &str| app.url(&format!("/api/exhibitions/xyz/queue/{what}"));
        let http = &app.http;
        let mut request = match call {
            "join" => http.post(queue("join")),
            "claim" | "leave" => http.post(queue(call)),
            "park" => http.post(queue("park")).json(&json!({ "email": "hong@example.org" })),
            "orders" => http.post(app.url("/api/orders")).json(&app.visitor(round).ask(&adult, 1)),
            "page" => http.get(app.url("/xyz/queue")),
            "draw page" => http.get(app.url("/xyz/queue/draw")),
            get => http.get(queue(get)),
        };
        let by_header = random.random_bool(0.5);
        // An invitation means something to a join alone; elsewhere it is shown as a place.
        let shown_as = if kind == 3 && call != "join" { 0 } else { kind };
        if lie.trim() == genuine[shown_as] {
            continue;
        }
        request = match (shown_as, by_header) {
            (0, true) => request.header("x-queue-token", &lie),
            (0, false) => request.header("cookie", format!("admit_q_xyz={lie}")),
            (1, true) => request.header("x-queue-pass", &lie),
            (1, false) => request.header("cookie", format!("admit_p_xyz={lie}")),
            (2, _) => request.header("cookie", format!("admit_d_xyz={lie}")),
            _ => request.json(&json!({ "invite": lie })),
        };
        let answer = Answer::of(request).await;
        let said = format!("{call} with {lie:?} ({kind}, header: {by_header}): {} {}", answer.status, answer.body);
        assert!(answer.status < 500, "{said}");
        if let Some(text) = answer.body["queue_token"].as_str() {
            let token = QueueToken::open(secrets, "xyz", text).unwrap();
            assert!(call == "join" && given_out.insert(token.number), "somebody's place: {said}");
            assert_eq!(token.lane, Lane::General, "{said}");
        }
        assert!(answer.body["pass"].is_null(), "{said}");
        assert!(call != "orders" || matches!(answer.status, 401 | 403 | 400), "{said}");
        assert!(call != "claim" || matches!(answer.status, 401 | 403 | 410 | 400), "{said}");
    }
    assert_eq!(active(&app, &adult).await, before, "nobody was let in or thrown out");
    guest.order(&adult, 1).await.expect(201);
    for header in ["x-queue-token", "x-queue-pass"] {
        for bytes in [&b"\xff\xfe"[..], "가나다".as_bytes(), &[b'a'; 6_000]] {
            let value = reqwest::header::HeaderValue::from_bytes(bytes).unwrap();
            let status = app.http.get(app.url("/api/exhibitions/xyz/queue/status")).header(header, value);
            let answer = Answer::of(status).await;
            assert!((400..500).contains(&answer.status), "{header}: {}", answer.body);
        }
        let twice = app.http.get(app.url("/api/exhibitions/xyz/queue/status")).header(header, "a").header(header, "b");
        Answer::of(twice).await.refused(400, "queue.malformed_header");
    }
    for after in ["-1", "9223372036854775807", "9223372036854775808", "x", "", "1e3"] {
        let answer = Answer::of(app.http.get(app.url(&format!("/api/exhibitions/xyz/queue/log?after={after}")))).await;
        assert!(matches!(answer.status, 200 | 400 | 422), "{after}: {}", answer.body);
    }
    app.finish().await;
}
