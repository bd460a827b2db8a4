//! A campaign of random visitors, clocks, faults and restarts over two instances. Short by default; longer through
//! `./dev torture --seeds N`. Every seed ends with all invariants swept.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use admit::platform::redis::Script;
use admit::waiting_room::model::{Config, Phase};
use admit::waiting_room::{chain, leader, pg};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use crate::queue_simulation::{Crowd, people, simulate};
use crate::support::given::places;
use crate::support::servers::OwnRedis;
use crate::support::visitor::Held;
use crate::support::{Answer, Given, Kind, Options, TestApp, race};
use crate::waiting_room::{move_room, open_room};

/// Seeds of the run that `./dev test` makes; a campaign begins where it ended.
pub const SHORT: u64 = 2;

pub fn seeds() -> u64 {
    std::env::var("ADMIT_TORTURE_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// What one visitor does with an order, decided beforehand so that a seed means something.
#[derive(Clone, Copy)]
enum Fate {
    Pay,
    PayTwice,
    Cancel,
    Leave,
}

/// Three phones in a row are one person's.
const PHONES: usize = 3;
const PER_PERSON: i32 = 4;

async fn visit(app: &TestApp, given: &crate::support::Given, n: usize, quantity: i64, fate: Fate, key: bool) {
    let visitor = app.visitor(n / PHONES).at(n % 2);
    let answer = if key {
        visitor.order_keyed(given, quantity, &format!("torture-{n}")).await
    } else {
        visitor.order(given, quantity).await
    };
    assert!(matches!(answer.status, 201 | 409 | 503), "{}", answer.body);
    if answer.status != 201 {
        return;
    }
    let order = Held::from(&answer);
    match fate {
        Fate::Leave => {}
        Fate::Cancel => {
            let status = visitor.cancel(&order).await.status;
            assert!(matches!(status, 200 | 410 | 503), "cancel: {status}");
        }
        Fate::Pay | Fate::PayTwice => {
            let opened = visitor.initialize(&order).await;
            if opened.status != 200 {
                assert!(matches!(opened.status, 409 | 410 | 503), "{}", opened.body);
                return;
            }
            let order_id = opened.text("order_id");
            let paid = app.simulate("authorise", json!({ "orderId": order_id, "amount": order.total })).await;
            let payment_key = paid["paymentKey"].as_str().unwrap();
            let times = if matches!(fate, Fate::PayTwice) { 2 } else { 1 };
            race(times, |k| {
                let visitor = app.visitor(n / PHONES).at((n + k) % 2);
                let (order, order_id) = (order.clone(), order_id.clone());
                async move {
                    let answer = visitor.confirm(&order, &order_id, payment_key, &format!("t-{order_id}-{k}")).await;
                    assert!(matches!(answer.status, 200 | 202 | 409 | 410 | 503), "{}", answer.body);
                }
            })
            .await;
        }
    }
}

async fn campaign(seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    // One kind of limit per person after the other, and none; of callers that are spared limits no open holds are counted.
    let exempt = seed.is_multiple_of(2);
    let app = TestApp::start_with(Options { instances: 2, exempt, ..Options::default() }).await;
    app.with_webhooks().await;
    let kind = match seed % 3 {
        0 => Kind { person_limit: Some(6), ..places(80) },
        1 => Kind { per_person_max: Some(PER_PERSON), ..places(80) },
        _ => places(80),
    };
    let slot_places = Some(random.random_range(20..60));
    let given = app.given(Kind { slot_places, open_holds_max: 2, ..kind.clone() }).await;
    for round in 0..4 {
        for (op, kind) in [
            ("confirm", "drop_after"),
            ("confirm", "error_before"),
            ("confirm", "fail"),
            ("query", "error_before"),
            ("cancel", "drop_after"),
        ] {
            if random.random_bool(0.4) {
                app.simulate("faults", json!({ "op": op, "kind": kind, "count": random.random_range(1..4) })).await;
            }
        }
        let plans: Vec<_> = (0..30)
            .map(|n| {
                let fate = match random.random_range(0..10) {
                    0..5 => Fate::Pay,
                    5 => Fate::PayTwice,
                    6 | 7 => Fate::Cancel,
                    _ => Fate::Leave,
                };
                (round * 30 + n, random.random_range(1..4), fate, random.random_bool(0.5))
            })
            .collect();
        let rebuild = random.random_bool(0.5);
        let sale = race(plans.len(), |n| {
            let (visitor, quantity, fate, key) = plans[n];
            visit(&app, &given, visitor, quantity, fate, key)
        });
        let upset = async {
            if rebuild {
                admit::stock::rebuild::rebuild(app.app(), given.exhibition_id, given.code, "torture").await.unwrap();
            }
        };
        tokio::join!(sale, upset);
        app.advance(Duration::from_secs(random.random_range(1..700))).await;
        for worker in ["expire", "recover", "webhooks", "refunds", "audit"] {
            race(2, |at| app.tick_on(at, worker)).await;
        }
        app.sweep().await;
    }
    app.http.delete(format!("{}/_sim/faults", app.simulator.base_url())).send().await.unwrap();
    app.settle_everything().await;
    app.assert_books_agree(&format!("seed {seed}")).await;
    if kind.per_person_max.is_some() {
        let most: i64 = app
            .db
            .one(
                "select coalesce(max(n), 0) from (select sum(i.quantity) as n from orders o join order_items i on i.order_id = o.id
                  where o.state in ('held', 'confirming', 'awaiting_deposit', 'paid') group by o.person_key) p",
            )
            .await;
        assert!(most <= i64::from(PER_PERSON), "seed {seed}: somebody has {most}");
    }
    app.finish().await;
}

#[tokio::test]
async fn torture_ends_with_every_invariant_kept() {
    for seed in 0..seeds() {
        campaign(seed).await;
    }
}

/// A simulated crowd for every tenth seed, since one takes a minute and more; `ADMIT_QUEUE_PEOPLE` says how many people it is.
#[tokio::test]
async fn torture_of_a_crowd_loses_nobody() {
    for seed in 1..=seeds() / 10 {
        simulate(seed, Crowd { people: people(), draw: true, room: 1.0 }).await;
        simulate(seed, Crowd { people: people() / 10, draw: false, room: 3.0 }).await;
    }
}

/// Somebody in the line, at whichever instance answers.
#[derive(Default)]
struct Waiter {
    number: Option<u64>,
    token: Option<String>,
    pass: Option<String>,
    order: Option<Held>,
    done: bool,
}

impl Waiter {
    async fn call(&mut self, app: &TestApp, at: usize, what: &str) -> Answer {
        let url = format!("http://{}/api/exhibitions/xyz/queue/{what}", app.instances[at].address);
        let request = if what == "status" { app.http.get(url) } else { app.http.post(url) };
        let request = match &self.token {
            Some(token) => request.header("x-queue-token", token),
            None => request,
        };
        let answer = Answer::of(request).await;
        assert!(answer.status < 500 || answer.status == 503, "{what}: {}", answer.body);
        for (field, slot) in [("queue_token", &mut self.token), ("pass", &mut self.pass)] {
            if let Some(text) = answer.body[field].as_str() {
                *slot = Some(text.to_owned());
            }
        }
        if let (Some(number), false) = (answer.body["number"].as_u64(), self.done) {
            assert_eq!(*self.number.get_or_insert(number), number, "a number has changed");
        }
        answer
    }

    /// Asks, and does what there is to do: goes in, orders, pays or goes.
    async fn turn(&mut self, app: &TestApp, given: &Given, n: usize, random: &mut SmallRng) {
        let at = random.random_range(0..2);
        if self.number.is_none() {
            self.call(app, at, "join").await;
            return;
        }
        let Some(order) = self.order.clone() else {
            let state = self.call(app, at, "status").await.body["state"].clone();
            if state == "your_turn" || state == "late" {
                let claimed = self.call(app, at, "claim").await;
                // After a loss somebody may find that their turn is over; nobody is told so without having been inside.
                self.done |= claimed.body["state"] == "over";
            }
            let Some(pass) = &self.pass else { return };
            if random.random_bool(0.5) {
                return;
            }
            let visitor = app.visitor(n).at(at);
            let request = visitor.post("/api/orders").header("x-queue-pass", pass).json(&visitor.ask(given, 1));
            let answer = Answer::of(request).await;
            match (answer.status, answer.code()) {
                (201, _) => self.order = Some(Held::from(&answer)),
                (503, _) => {}
                // Lost with Redis, and somebody else's room by now: that turn is gone.
                (403, "waiting_room.pass_ended") => self.done = true,
                _ => panic!("{}", answer.body),
            }
            return;
        };
        let visitor = app.visitor(n).at(at);
        if random.random_bool(0.7) {
            let opened = visitor.initialize(&order).await;
            if opened.status == 200 {
                let order_id = opened.text("order_id");
                let payment_key = visitor.authorise(&order, &order_id).await;
                let paid = visitor.confirm(&order, &order_id, &payment_key, &format!("q-{order_id}")).await;
                assert!(matches!(paid.status, 200 | 202 | 409 | 410 | 503), "{}", paid.body);
            } else {
                assert!(matches!(opened.status, 409 | 410 | 503), "{}", opened.body);
            }
        } else {
            let status = visitor.cancel(&order).await.status;
            assert!(matches!(status, 200 | 409 | 410 | 503), "cancel: {status}");
            self.call(app, at, "leave").await;
        }
        self.done = true;
    }
}

static INSIDE: Script = Script::new("test.inside", "return { 'inside', redis.call('zcard', KEYS[1]) }");
static DELETE: Script = Script::new("test.delete", "redis.call('del', KEYS[1]) return { 'gone' }");

/// A sale behind a room whose Redis loses its last seconds, all it has, or one key, and whose leader is deposed.
async fn queue_campaign(seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut own = OwnRedis::start().await;
    let app = TestApp::start_with(Options { instances: 2, redis_url: Some(own.url()), ..Options::default() }).await;
    app.with_webhooks().await;
    let given = app.given(places(200)).await;
    let config = Config {
        capacity: random.random_range(2..7),
        slack: random.random_range(0..3),
        rate_per_min: 6_000,
        claim_window_s: 45,
        draw: false,
        ..Config::default()
    };
    open_room(&app, &given, config.clone()).await;
    let most = i64::from(config.capacity + config.slack);
    let redis = app.app().redis.clone();
    let mut waiters: Vec<Waiter> = (0..40).map(|_| Waiter::default()).collect();
    let (mut served, mut leads) = ([0, 0], 0);
    for round in 0..600 {
        let calm = round >= 60;
        match random.random_range(0..100) {
            _ if calm => {}
            0..4 => drop(own.cli(&["flushall"]).await),
            4..7 => drop(own.cli(&["save"]).await),
            7..10 => {
                own.kill().await;
                own.run().await;
            }
            10..14 => {
                let key = ["room", "seq:0", "serve", "fence", "snap"][random.random_range(0..5)];
                let key = redis.key("xyz", &format!("wr:{key}"));
                let _ = redis.run(&DELETE, vec![key], Vec::new()).await;
            }
            14..20 => {
                leads = 1 - leads;
                let _ = redis.run(&DELETE, vec![redis.key("xyz", "wr:lead")], Vec::new()).await;
            }
            20..23 => move_room(&app, &given, &config, &[Phase::Paused, Phase::Open]).await,
            23..25 => move_room(&app, &given, &config, &[Phase::Stopped, Phase::Open]).await,
            25..28 => app.advance(Duration::from_secs(random.random_range(5..60))).await,
            _ => {}
        }
        if round % 10 == 0 {
            app.advance(Duration::from_millis(1_000)).await;
            for worker in ["expire", "recover", "webhooks", "refunds"] {
                app.tick(worker).await;
            }
        }
        let _ = admit::stock::audit::tick(app.app()).await;
        for _ in 0..4 {
            app.clock.fetch_add(250, Ordering::Relaxed);
            let _ = leader::tick(&app.instances[leads].app).await;
            for instance in &app.instances {
                let _ = instance.app.rooms.refresh(&instance.app).await;
            }
        }
        for (n, waiter) in waiters.iter_mut().enumerate() {
            // One comes each round, and nobody is in a hurry.
            if !waiter.done && n <= round && (calm || random.random_bool(0.4)) {
                waiter.turn(&app, &given, n, &mut random).await;
            }
        }
        let stranger = app.visitor(900).order(&given, 1).await;
        assert!(matches!(stranger.status, 403 | 503), "past the room: {}", stranger.body);
        if let Ok(reply) = redis.run(&INSIDE, vec![redis.key("xyz", "wr:act")], Vec::new()).await {
            let inside = reply[1].as_i64().unwrap();
            assert!(inside <= most, "{inside} inside, {most} at most");
        }
        let row = pg::one(&app.app().pg.get().await.unwrap(), given.exhibition_id).await.unwrap().unwrap();
        assert!(row.serving[0] >= served[0], "the serving rank went back");
        served = row.serving;
        let mut owners: BTreeMap<u64, usize> = BTreeMap::new();
        for (n, waiter) in waiters.iter().enumerate() {
            let taken = waiter.number.and_then(|number| owners.insert(number, n));
            assert_eq!(taken, None, "a number was given twice");
        }
        if calm && waiters.iter().all(|waiter| waiter.done) {
            break;
        }
        if calm && round % 60 == 0 {
            app.advance(Duration::from_secs(60)).await;
        }
    }

    let left: Vec<Option<u64>> = waiters.iter().filter(|w| !w.done).map(|w| w.number).collect();
    assert!(left.is_empty(), "seed {seed}: nobody comes to {left:?}");
    let bought: i64 = app.db.one("select count(*) from orders").await;
    assert!(bought >= 30, "{bought} of 40 came through");
    let client = app.app().pg.get().await.unwrap();
    let rows = pg::log_page(&client, given.exhibition_id, 1, 0, 10_000).await.unwrap();
    drop(client);
    let head = chain::verify(chain::genesis("xyz", 1), 1, &rows).unwrap();
    let row = pg::one(&app.app().pg.get().await.unwrap(), given.exhibition_id).await.unwrap().unwrap();
    assert_eq!(row.log_head, Some(head));
    app.settle_everything().await;
    app.assert_books_agree(&format!("queue seed {seed}")).await;
    app.finish().await;
    own.kill().await;
}

#[tokio::test]
async fn torture_of_a_waiting_room_lets_nobody_past_and_forgets_nobody() {
    for seed in 0..seeds() {
        queue_campaign(seed).await;
    }
}
