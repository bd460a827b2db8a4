//! What operations shows: every kind of difference of the stock with what explains it, and who is there.

use std::time::Duration;

use admit::admin::Role;
use admit::payments::Provider;
use admit::stock::redis;
use reqwest::Method;
use serde_json::{Value, json};

use crate::devices::Door;
use crate::support::given::places;
use crate::support::servers::OwnRedis;
use crate::support::{Answer, Given, Kind, Options, TestApp};

async fn get(app: &TestApp, token: &str, path: &str) -> Answer {
    Answer::of(app.http.get(app.url(path)).bearer_auth(token)).await
}

/// An admin who looks at the stock.
struct Eye<'a> {
    app: &'a TestApp,
    token: String,
}

impl<'a> Eye<'a> {
    async fn of(app: &'a TestApp) -> Eye<'a> {
        app.account("boss", Role::Admin, &["xyz"]).await;
        Eye { app, token: app.access_token("boss").await }
    }

    async fn look(&self) -> Value {
        get(self.app, &self.token, "/api/admin/exhibitions/xyz/stock").await.expect(200).body
    }

    async fn stock(&self, stock_id: i32) -> Value {
        let body = self.look().await;
        body["stocks"].as_array().unwrap().iter().find(|one| one["stock_id"] == stock_id).unwrap().clone()
    }

    /// The difference and its causes, as `cause places`.
    async fn told(&self, stock_id: i32) -> (Value, Vec<String>) {
        let one = self.stock(stock_id).await;
        let causes = one["explained"].as_array().unwrap().iter();
        let causes = causes.map(|one| format!("{} {}", one["cause"].as_str().unwrap(), one["places"])).collect();
        (one["difference"].clone(), causes)
    }

    async fn expect(&self, stock_id: i32, difference: Value, causes: &[&str]) {
        assert_eq!(self.told(stock_id).await, (difference, causes.iter().map(|c| (*c).to_owned()).collect()));
    }

    async fn last_repair(&self) -> Value {
        let mut repair = self.look().await["repairs"][0].clone();
        assert!(repair.as_object_mut().unwrap().remove("at").unwrap().is_string());
        repair
    }

    /// Rounds of the audit until nothing is left to explain.
    async fn repaired(&self, stock_id: i32) -> usize {
        for round in 1..=6 {
            self.app.tick("audit").await;
            if self.told(stock_id).await.1.is_empty() {
                return round;
            }
        }
        panic!("not repaired: {}", self.stock(stock_id).await);
    }
}

/// A take, and then nothing.
async fn taken(app: &TestApp, given: &Given, hold_id: u8, quantity: i32) {
    let ask = redis::Ask {
        code: given.code,
        hold_id: &[hold_id; 16],
        fingerprint: &[1; 16],
        person: &[2; 16],
        places: quantity,
        allowed: None,
        open_holds_max: None,
        pass: redis::Pass::None,
        lines: &[admit::stock::Line { stock_id: given.stock_id, quantity }],
    };
    redis::take(&app.app().redis, &ask, app.app().clock.now_ms()).await.unwrap();
}

async fn freed(app: &TestApp, given: &Given, places: i32) {
    let epoch = redis::levels(&app.app().redis, given.code, true).await.unwrap().unwrap().epoch;
    let freed = redis::Freed { epoch, stocks: vec![(given.stock_id, places)], people: vec![] };
    redis::release(&app.app().redis, given.code, &freed).await.unwrap();
}

#[tokio::test]
async fn takes_that_postgres_does_not_know_explain_their_places_and_are_given_back() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), ..places(50) }).await;
    let eye = Eye::of(&app).await;
    let (stock, slot) = (adult.stock_id, adult.slot_stock_id.unwrap());
    let paid = app.visitor(1).held(&adult, 3).await;
    app.visitor(1).pay(&paid).await.expect(200);
    app.visitor(2).held(&adult, 2).await;
    app.until("Redis was told", async || app.stores_agree().await).await;
    let one = eye.stock(slot).await;
    let of = |name: &str| one[name].as_i64().unwrap();
    assert_eq!((of("total"), of("held"), of("sold"), of("free"), of("redis_free")), (20, 2, 3, 15, 15));
    assert_eq!((of("counted_held"), of("counted_sold"), of("in_flight"), of("difference")), (2, 3, 0, 0));
    assert_eq!((&one["slot_id"], one["date"].is_string()), (&json!(adult.slot_id), true));
    eye.expect(stock, json!(0), &[]).await;
    let quick = get(&app, &eye.token, "/api/admin/exhibitions/xyz/stock?recount=false").await.expect(200);
    assert_eq!((&quick.body["recounted"], quick.body["stocks"][0]["counted_sold"].is_null()), (&json!(false), true));

    taken(&app, &adult, 7, 2).await;
    eye.expect(stock, json!(-2), &["in_flight -2"]).await;
    let body = eye.look().await;
    assert_eq!(
        (&body["takes_in_flight"], &body["redis"], &body["recounted"]),
        (&json!(1), &json!("ready"), &json!(true))
    );
    assert!(body["oldest_take_ms"].as_i64().unwrap() < 10_000);
    app.tick("audit").await;
    eye.expect(stock, json!(-2), &["in_flight -2"]).await;

    app.advance(Duration::from_secs(21)).await;
    taken(&app, &adult, 8, 1).await;
    eye.expect(stock, json!(-3), &["in_flight -1", "abandoned -2"]).await;
    app.tick("audit").await;
    eye.expect(stock, json!(-1), &["in_flight -1"]).await;
    assert_eq!(
        eye.last_repair().await,
        json!({ "done": "given_back", "cause": "abandoned", "found": [{ "stock_id": stock, "places": 2 }], "takes": 1 })
    );
    app.advance(Duration::from_secs(21)).await;
    assert_eq!(eye.repaired(stock).await, 1);

    // Places of holds past their deadline are free nowhere yet.
    app.advance(Duration::from_secs(601)).await;
    let eye = Eye::of(&app).await;
    eye.expect(stock, json!(0), &["lapsed 2"]).await;
    eye.expect(slot, json!(0), &["lapsed 2"]).await;
    app.tick("expire").await;
    app.until("Redis was told", async || app.stores_agree().await).await;
    eye.expect(slot, json!(0), &[]).await;
    app.finish().await;
}

#[tokio::test]
async fn what_nothing_explains_is_said_and_counted_anew() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let eye = Eye::of(&app).await;
    let stock = adult.stock_id;
    // A release that was lost, or somebody's hand.
    for (wrong, places) in [(-2, "unexplained -2"), (3, "unexplained 3")] {
        freed(&app, &adult, wrong).await;
        taken(&app, &adult, 7, 1).await;
        eye.expect(stock, json!(wrong - 1), &["in_flight -1", places]).await;
        // The rebuild forgets the take as well, which the writer refuses by its epoch.
        assert!(eye.repaired(stock).await > 1, "one look is not enough to call a difference real");
        assert_eq!(
            eye.last_repair().await,
            json!({ "done": "rebuilt", "cause": "audit", "found": [{ "stock_id": stock, "places": wrong }], "takes": 0 })
        );
    }
    // Another epoch: takes would be refused one by one.
    app.db.execute("update stock set epoch = epoch + 1").await;
    eye.expect(stock, json!(0), &["rebuilding 0"]).await;
    let body = eye.look().await;
    assert_eq!(
        (&body["redis"], body["epoch"].as_i64().unwrap()),
        (&json!("rebuilding"), body["redis_epoch"].as_i64().unwrap() + 1)
    );
    eye.repaired(stock).await;
    assert_eq!(eye.last_repair().await["cause"], "epoch");

    // Lost altogether.
    let key = app.app().redis.key(adult.code, "stock");
    app.app().redis.unlink(vec![key]).await.unwrap();
    eye.expect(stock, Value::Null, &["rebuilding 0"]).await;
    assert_eq!(eye.repaired(stock).await, 1);
    assert_eq!(eye.last_repair().await, json!({ "done": "rebuilt", "cause": "unready", "found": [], "takes": 0 }));

    // A row that is not what its tickets add up to: the worst of all, and no repair of Redis mends it.
    app.db.execute("update stock set sold = sold + 1").await;
    eye.expect(stock, json!(1), &["unexplained 1", "rows_differ 1"]).await;
    app.db.execute("update stock set sold = sold - 1").await;
    eye.expect(stock, json!(0), &[]).await;

    let refused = app.db.client().await.execute("update stock_repairs set takes = 0", &[]).await;
    assert!(refused.unwrap_err().as_db_error().unwrap().message().contains("append-only"));
    app.db.execute("insert into stock_repairs (exhibition_id, at, done, cause, stocks, places, takes) values (1, now() - interval '181 days', 'rebuilt', 'x', '{}', '{}', 0)").await;
    let before: i64 = app.db.one("select count(*) from stock_repairs").await;
    app.tick("purge").await;
    assert_eq!(app.db.one::<i64>("select count(*) from stock_repairs").await, before - 1);
    app.finish().await;
}

#[tokio::test]
async fn a_take_that_is_an_order_is_confirmed_late_and_redis_away_is_said() {
    let mut own = OwnRedis::start().await;
    let app = TestApp::start_with(Options { redis_url: Some(own.url()), ..Options::default() }).await;
    let adult = app.given(places(50)).await;
    let eye = Eye::of(&app).await;
    app.visitor(1).held(&adult, 2).await;
    app.until("Redis was told", async || app.stores_agree().await).await;
    // As if the commit's word to Redis had been lost: the take is still in flight, and a row in Postgres.
    let row = app.db.client().await.query_one("select hold_id, taken_at_ms from orders", &[]).await.unwrap();
    let (hold_id, at_ms): (Vec<u8>, i64) = (row.get(0), row.get(1));
    let flight = app.app().redis.key(adult.code, "flight");
    let record = format!("{at_ms}|ab|-|2|-|{}:2", adult.stock_id);
    own.cli(&["hset", &flight, &admit::platform::secrets::hex(&hold_id), &record]).await;
    eye.expect(adult.stock_id, json!(0), &[]).await;
    assert_eq!(eye.look().await["takes_in_flight"], 1);
    app.advance(Duration::from_secs(21)).await;
    app.tick("audit").await;
    assert_eq!(eye.look().await["takes_in_flight"], 0);
    assert_eq!(eye.last_repair().await, json!({ "done": "confirmed", "cause": "not_told", "found": [], "takes": 1 }));

    own.kill().await;
    eye.expect(adult.stock_id, Value::Null, &["redis_away 0"]).await;
    assert_eq!(eye.look().await["redis"], "away");
    own.run().await;
    app.until("Redis is back and counted", async || {
        let _ = app.try_tick_on(0, "audit").await;
        eye.told(adult.stock_id).await.1.is_empty()
    })
    .await;
    app.finish().await;
    own.kill().await;
}

fn names(body: &Value) -> Vec<&str> {
    let mut names: Vec<&str> =
        body["people"].as_array().unwrap().iter().map(|one| one["username"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn people_and_devices_are_there_while_they_are_heard_of() {
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    app.given(places(50)).await;
    app.given(Kind { code: "abc", ..places(50) }).await;
    let door = Door::of(&app).await;
    app.account("afar", Role::Admin, &["abc"]).await;
    app.account("owner", Role::SuperAdmin, &[]).await;
    let (afar, owner) = (app.access_token("afar").await, app.access_token("owner").await);
    let kim = app.access_token("kim").await;
    let phone = door.device("north").await;
    let idle = door.device("south").await;
    phone.shift("lee").await;
    let online = async |token: &str| get(&app, token, "/api/admin/online").await.expect(200).body;

    let mine = online(&door.admin).await;
    assert_eq!(names(&mine), ["boss", "kim"], "lee is on shift and has signed in nowhere else");
    assert_eq!(mine["shifts_open"], 1);
    let of = |body: &Value, list: &str, key: &str, name: &str| {
        body[list].as_array().unwrap().iter().find(|one| one[key] == name).cloned().unwrap_or_default()
    };
    let device = of(&mine, "devices", "id", &phone.id);
    assert_eq!(
        (&device["staff"], &device["gate"], &device["exhibition_code"]),
        (&json!("lee"), &json!("north"), &json!("xyz"))
    );
    assert!(device["lag_s"].as_i64().unwrap() < 10 && device["shift_began_at"].is_string());
    assert_eq!(of(&mine, "devices", "id", &idle.id)["staff"], Value::Null);
    let one = of(&mine, "people", "username", "kim");
    assert_eq!((&one["role"], &one["sign_ins"], &one["oneself"]), (&json!("staff"), &json!(1), &json!(false)));
    assert!(one["seen_at"].is_null() && one["renewed_at"].is_string(), "signed in, and made no call");
    assert_eq!(of(&mine, "people", "username", "boss")["oneself"], true);
    // Another exhibition's admin sees neither them nor their devices; a super admin everything.
    let theirs = online(&afar).await;
    assert_eq!((names(&theirs), theirs["devices"].as_array().unwrap().len()), (vec!["afar"], 0));
    let all = online(&owner).await;
    assert_eq!((names(&all), all["devices"].as_array().unwrap().len()), (vec!["afar", "boss", "kim", "owner"], 2));

    // A call at another instance is heard of by the pulse.
    let elsewhere = format!("http://{}/api/entrance/keys", app.instances[1].address);
    let _ = app.http.get(elsewhere).bearer_auth(&kim).send().await.unwrap();
    let scan = format!("http://{}/api/entrance/scan", app.instances[1].address);
    let _ = app.http.post(scan).bearer_auth(&kim).json(&json!({ "qr_code": "x" })).send().await.unwrap();
    for instance in [1, 0] {
        admit::dashboard::beat(&app.instances[instance].app).await.unwrap();
    }
    assert!(of(&online(&door.admin).await, "people", "username", "kim")["seen_at"].is_string());

    // Ended, taken back, and gone by themselves.
    door.call(Method::DELETE, "/api/admin/users/kim/sign-ins", json!({})).await.expect(204);
    door.revoke(&idle.id).await;
    app.advance(Duration::from_secs(6 * 60)).await;
    let left = online(&door.admin).await;
    assert_eq!((names(&left), left["devices"].as_array().unwrap().len()), (vec!["boss"], 1));
    assert!(of(&left, "devices", "id", &phone.id)["lag_s"].as_i64().unwrap() >= 360);
    app.advance(Duration::from_secs(11 * 60)).await;
    let boss = app.access_token("boss").await;
    assert_eq!(names(&online(&boss).await), ["boss"]);
    app.advance(Duration::from_secs(12 * 3600)).await;
    let boss = app.access_token("boss").await;
    assert_eq!(online(&boss).await["shifts_open"], 0);
    app.finish().await;
}

/// A page that is looked at again and again does not queue up behind itself.
#[tokio::test]
async fn who_comes_while_tickets_are_counted_is_answered_without() {
    let app = TestApp::start().await;
    app.given(places(50)).await;
    let eye = Eye::of(&app).await;
    let counting = app.app().counting.0.try_acquire().unwrap();
    let many = crate::support::race(8, async |_| eye.look().await["recounted"].clone()).await;
    assert_eq!(many, vec![json!(false); 8]);
    drop(counting);
    assert_eq!(eye.look().await["recounted"], true);
    app.finish().await;
}

/// Told by the process that answers, and by those that it has heard of a moment ago: the worst of them.
#[tokio::test]
async fn a_provider_that_is_cut_off_is_said() {
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    app.given(places(5)).await;
    let eye = Eye::of(&app).await;
    let state = async || get(&app, &eye.token, "/api/admin/providers").await.expect(200).body;
    assert_eq!(state().await, json!({ "providers": [{ "name": "toss", "state": "closed" }] }));
    app.simulate("outage", json!({ "kind": "refuse" })).await;
    let (here, there) = (&app.instances[0].app, &app.instances[1].app);
    for _ in 0..5 {
        there.gateways.of(Provider::Toss).unwrap().find(None, "ORD20261121-0000000000-1").await;
    }
    assert_eq!(state().await["providers"][0]["state"], "closed", "nobody has said so");
    admit::dashboard::beat(there).await.unwrap();
    admit::dashboard::beat(here).await.unwrap();
    assert_eq!(state().await["providers"][0]["state"], "open");
    // Nothing is heard of the other any more; its word is too old.
    app.advance(Duration::from_secs(6)).await;
    assert_eq!(state().await["providers"][0]["state"], "closed");
    for _ in 0..5 {
        here.gateways.of(Provider::Toss).unwrap().find(None, "ORD20261121-0000000000-1").await;
    }
    assert_eq!(state().await["providers"][0]["state"], "open", "of itself it needs no word");
    let url = format!("{}/_sim/outage", app.simulator.base_url());
    assert!(app.http.delete(url).send().await.unwrap().status().is_success());
    app.finish().await;
}
