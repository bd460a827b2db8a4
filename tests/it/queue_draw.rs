//! A whole draw on the clock of the test: announced, gathered for, closed, held, opened, and verified by somebody who
//! has nothing but what was published.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use admit::platform::redis::Script;
use admit::platform::secrets::hex;
use admit::waiting_room::draw::{self, NOBODY, RankTable};
use admit::waiting_room::model::{BeaconKind, Config, Phase};
use admit::waiting_room::token::{self, QueueToken};
use admit::waiting_room::{commitment, leader, pg, redis};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::given::places;
use crate::support::servers::OwnRedis;
use crate::support::tempdir::TempDir;
use crate::support::{Answer, Given, Options, TestApp};
use crate::waiting_room::{Guest, move_room, tick};

const VERIFY_PY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web/assets/verify_draw.py");
/// From the first look at the room. [s]
pub const GATHERS_AT: i64 = 5;
pub const FREEZE_AT: i64 = 70;
pub const OPENS_AT: i64 = 130;

/// A sale with a draw, and the instants of its schedule.
pub struct Sale {
    pub app: TestApp,
    pub given: Given,
    pub config: Config,
    pub began: Timestamp,
}

impl Sale {
    pub async fn announced(options: Options, beacon: BeaconKind) -> Sale {
        let app = TestApp::start_with(options).await;
        let given = app.given(places(1_000)).await;
        let began = app.app().clock.now();
        let after = |s: i64| Some(began + SignedDuration::from_secs(s));
        let config = Config {
            capacity: 5,
            slack: 1,
            rate_per_min: 60_000,
            draw: true,
            beacon,
            prequeue_at: after(GATHERS_AT),
            opens_at: after(OPENS_AT),
            freeze_lead_s: (OPENS_AT - FREEZE_AT) as i32,
            ..Config::default()
        };
        move_room(&app, &given, &config, &[]).await;
        tick(&app, 4).await;
        Sale { app, given, config, began }
    }

    /// To so many seconds of the schedule, and a few rounds there.
    pub async fn at(&self, second: i64) {
        let left = (self.began + SignedDuration::from_secs(second)).duration_since(self.app.app().clock.now());
        assert!(left.is_positive(), "{second} s have passed already");
        self.app.advance(left.unsigned_abs()).await;
        tick(&self.app, 5).await;
    }

    pub async fn row(&self) -> pg::RoomRow {
        pg::one(&self.app.app().pg.get().await.unwrap(), self.given.exhibition_id).await.unwrap().unwrap()
    }

    async fn get(&self, what: &str) -> Value {
        let url = self.app.url(&format!("/api/exhibitions/xyz/queue/{what}"));
        Answer::of(self.app.http.get(url)).await.expect(200).body
    }

    /// The draw as it is public, which is the same everywhere; and nothing that is not public is anywhere.
    pub async fn shown(&self) -> Value {
        let draw = self.get("draw").await;
        let state = self.get("state").await;
        for (field, value) in state["draw"].as_object().unwrap() {
            assert_eq!(&draw[field], value, "{field}");
        }
        let row = self.row().await;
        if row.draw.committed.is_some() && row.draw.drawn.is_none() {
            let secret = hex(&commitment::server_seed(self.app.app(), &row).unwrap());
            let snap = redis::snap(&self.app.app().redis, "xyz").await.unwrap().unwrap();
            let page = self.app.http.get(self.app.url("/xyz/queue/draw")).send().await.unwrap().text().await.unwrap();
            for text in [draw.to_string(), state.to_string(), String::from_utf8_lossy(&snap).into_owned(), page] {
                assert!(!text.contains(&secret), "the server's seed is out: {text}");
            }
            assert_eq!(
                (&draw["server_seed"], &draw["seed"], &draw["beacon_value"]),
                (&json!(""), &json!(""), &json!(""))
            );
        }
        draw
    }

    pub fn guest(&self) -> Guest<'_> {
        Guest::new(&self.app, &self.given)
    }
}

/// Somebody who joined, with the receipt.
struct Joined<'a> {
    guest: Guest<'a>,
    number: u32,
    receipt: String,
}

impl<'a> Joined<'a> {
    async fn now(sale: &'a Sale) -> Joined<'a> {
        let mut guest = sale.guest();
        let answer = guest.join().await.expect(200);
        assert_eq!(Guest::state(&answer), "prequeue");
        let number = answer.body["number"].as_u64().unwrap() as u32;
        // Nothing before the draw, and one's own number after it.
        let drawn = sale.row().await.draw.drawn.is_some();
        assert_eq!(answer.body["rank"], if drawn { json!(number) } else { Value::Null });
        assert!(answer.body["ahead"].is_null(), "{}", answer.body);
        Joined { guest, number, receipt: answer.body["receipt"].as_str().unwrap().to_owned() }
    }

    /// The leaf, if the receipt is genuine: by its own words and the key that is published.
    fn leaf(&self, receipt_key: &str) -> [u8; 32] {
        let parts: Vec<&str> = self.receipt.split('.').collect();
        assert_eq!(parts[0], self.number.to_string());
        let salt: [u8; 16] = unhex(parts[2]).try_into().unwrap();
        let leaf = draw::leaf("xyz", self.number, &draw::account_digest(parts[1].parse().unwrap(), &salt));
        assert_eq!(hex(&leaf), parts[3]);
        let message =
            [b"admit receipt v1".as_slice(), &3u16.to_be_bytes(), b"xyz", &1u32.to_be_bytes(), &leaf].concat();
        let signature = URL_SAFE_NO_PAD.decode(parts[4]).unwrap();
        UnparsedPublicKey::new(&ED25519, unhex(receipt_key)).verify(&message, &signature).expect("a genuine receipt");
        leaf
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Somebody has the ranks computed by the program that is published, from what was noted beforehand.
fn verified(draw: &Value, noted: &[(&str, &Value)]) -> (BTreeMap<u32, u32>, String) {
    let dir = TempDir::new();
    let file = dir.0.join("draw.json");
    std::fs::write(&file, draw.to_string()).unwrap();
    let mut command = Command::new("python3");
    command.arg(VERIFY_PY).arg(file);
    for (name, value) in noted {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        command.arg(format!("--{name}")).arg(text);
    }
    let output = command.output().expect("python3");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let ranks = lines.lines().map(|line| {
        let (number, rank) = line.split_once('\t').unwrap();
        (number.parse().unwrap(), rank.parse().unwrap())
    });
    (ranks.collect(), said)
}

/// The root over a cohort, from receipts; numbers of nobody have the salt that only the server knows.
fn root(sale: &Sale, cohort: &[Joined<'_>], m: u32, receipt_key: &str) -> String {
    let leaves: BTreeMap<u32, [u8; 32]> = cohort.iter().map(|one| (one.number, one.leaf(receipt_key))).collect();
    let nobody = |number: u32| {
        let salt = token::salt(&sale.app.app().secrets, "xyz", 1, number);
        draw::leaf("xyz", number, &draw::account_digest(NOBODY, &salt))
    };
    let all: Vec<[u8; 32]> = (1..=m).map(|n| leaves.get(&n).copied().unwrap_or_else(|| nobody(n))).collect();
    hex(&draw::merkle_root(&all))
}

async fn poll(cohort: &mut [Joined<'_>]) {
    for one in cohort {
        one.guest.status().await.expect(200);
    }
}

/// What each is told, and what their tokens say, is what was computed.
async fn ranks_are(sale: &Sale, people: &mut [Joined<'_>], ranks: &BTreeMap<u32, u32>) {
    for one in people {
        let rank = ranks.get(&one.number).copied().unwrap_or(one.number);
        let answer = one.guest.status().await.expect(200);
        assert_eq!(answer.body["rank"], json!(rank), "number {}", one.number);
        let token = QueueToken::open(&sale.app.app().secrets, "xyz", one.guest.token.as_ref().unwrap()).unwrap();
        assert_eq!((token.number, token.rank), (one.number, rank));
    }
}

/// Everybody asks, is called by rank, claims and leaves, until nobody waits.
async fn all_are_served(sale: &Sale, people: &mut [Joined<'_>], ranks: &BTreeMap<u32, u32>) {
    let rank_of = |number: u32| ranks.get(&number).copied().unwrap_or(number);
    people.sort_by_key(|one| rank_of(one.number));
    let (mut served, mut rounds) = (0, 0);
    while served < people.len() {
        tick(&sale.app, 2).await;
        let mut states = Vec::new();
        for one in &mut people[served..] {
            states.push(Guest::state(&one.guest.status().await.expect(200)).to_owned());
        }
        let called = states.iter().take_while(|state| *state == "your_turn").count();
        assert!(called <= 5, "{called} at once");
        assert!(states[called..].iter().all(|state| state == "waiting"), "out of turn: {states:?}");
        for one in &mut people[served..served + called] {
            assert_eq!(Guest::state(&one.guest.claim().await.expect(200)), "admitted");
            one.guest.leave().await.expect(204);
        }
        served += called;
        rounds += 1;
        assert!(rounds < 200, "{served} of {} are served", people.len());
    }
}

static FORGET: Script = Script::new("test.no_leader", "redis.call('del', KEYS[1]) return { 'gone' }");

#[tokio::test]
async fn a_draw_is_announced_gathered_for_closed_held_and_verified() {
    let options = Options { instances: 2, ..Options::default() };
    let sale = Sale::announced(options, BeaconKind::Local).await;
    let before = sale.shown().await;
    assert_eq!((&before["seed_hash"], &before["m"]), (&json!(""), &json!(0)));
    sale.guest().order(&sale.given, 1).await.expect(201);

    sale.at(GATHERS_AT + 1).await;
    assert_eq!(sale.row().await.phase, Phase::Prequeue);
    let announced = sale.shown().await;
    assert_eq!(announced["seed_hash"].as_str().unwrap().len(), 64, "{announced}");
    assert_eq!((&announced["m"], &announced["root"], &announced["weak"]), (&json!(0), &json!(""), &json!(false)));
    let freeze_at = (sale.began + SignedDuration::from_secs(FREEZE_AT)).as_second();
    assert!(announced["round"].as_i64().unwrap() >= freeze_at + 15, "everybody has seen the root by then");

    // Fifty people come by and by, to either instance.
    let mut cohort = Vec::new();
    for n in 0..50 {
        cohort.push(Joined::now(&sale).await);
        assert_eq!(cohort[n].number, n as u32 + 1);
        if n % 10 == 0 {
            sale.app.advance(Duration::from_secs(8)).await;
            tick(&sale.app, 2).await;
            poll(&mut cohort).await;
            assert_eq!(sale.shown().await, announced, "nothing changes while people gather");
        }
    }
    cohort[0].guest.order(&sale.given, 2).await.refused(403, "waiting_room.pass_required");
    cohort[0].guest.claim().await.refused(409, "queue.not_drawn_yet");

    sale.at(FREEZE_AT + 1).await;
    assert_eq!(sale.row().await.phase, Phase::Frozen);
    let closed = sale.shown().await;
    assert_eq!(closed["m"], json!(50));
    assert_eq!((&closed["seed_hash"], &closed["round"]), (&announced["seed_hash"], &announced["round"]));
    let receipt_key = closed["receipt_key"].as_str().unwrap().to_owned();
    assert_eq!(closed["root"], json!(root(&sale, &cohort, 50, &receipt_key)), "the root is over those with receipts");
    // Whoever comes now stands behind the cohort.
    let mut latecomers = Vec::new();
    for n in 51..=55 {
        latecomers.push(Joined::now(&sale).await);
        assert_eq!(latecomers.last().unwrap().number, n);
    }
    cohort[7].guest.claim().await.refused(409, "queue.not_drawn_yet");
    poll(&mut cohort).await;

    // The leader changes hands before the round is there.
    let round_at = announced["round"].as_i64().unwrap() - sale.began.as_second();
    sale.at(round_at - 4).await;
    assert_eq!(sale.shown().await, closed);
    let redis = &sale.app.app().redis;
    let depose = async || redis.run(&FORGET, vec![redis.key("xyz", "wr:lead")], Vec::new()).await.unwrap();
    depose().await;
    let other = &sale.app.instances[1].app;
    assert_eq!(leader::tick(other).await.unwrap(), 1);
    sale.at(round_at + 1).await;
    assert_eq!(sale.shown().await, closed, "whoever leads has not looked yet");
    while sale.row().await.draw.drawn.is_none() {
        assert_eq!(leader::tick(other).await.unwrap(), 1);
    }
    depose().await;
    tick(&sale.app, 4).await;
    let drawn = sale.shown().await;
    for field in ["seed_hash", "round", "m", "root"] {
        assert_eq!(drawn[field], closed[field], "{field} stays as it was promised");
    }
    let server_seed: [u8; 32] = unhex(drawn["server_seed"].as_str().unwrap()).try_into().unwrap();
    assert_eq!(json!(hex(&draw::seed_hash(&server_seed))), announced["seed_hash"]);
    let noted = [("seed-hash", &announced["seed_hash"]), ("root", &closed["root"]), ("m", &closed["m"])];
    let (ranks, said) = verified(&drawn, &noted);
    assert!(said.contains("GOOD") && said.contains("as you noted beforehand: seed_hash, root, m."), "{said}");
    assert_eq!(ranks.len(), 50);
    assert!((1..=50).any(|n| ranks[&n] != n), "drawn, not as they came");
    let seed: [u8; 32] = unhex(drawn["seed"].as_str().unwrap()).try_into().unwrap();
    let table = RankTable::draw(&seed, 50);
    assert!(ranks.iter().all(|(number, rank)| table.rank_of(*number) == *rank));
    ranks_are(&sale, &mut cohort, &ranks).await;
    ranks_are(&sale, &mut latecomers, &ranks).await;

    // Known, and still nobody goes in before the time.
    let first = cohort.iter().position(|one| ranks[&one.number] == 1).unwrap();
    let early = cohort[first].guest.claim().await.expect(200);
    assert_eq!((Guest::state(&early), early.body["pass"].is_null()), ("prequeue", true));
    sale.at(OPENS_AT - 3).await;
    assert_eq!(sale.row().await.phase, Phase::Frozen);
    poll(&mut cohort).await;
    poll(&mut latecomers).await;
    sale.at(OPENS_AT).await;
    assert_eq!(sale.row().await.phase, Phase::Open);
    let opened = sale.row().await.phase_at.duration_since(sale.config.opens_at.unwrap());
    assert!((0..3).contains(&opened.as_secs()), "opened {opened} after the time");
    assert_eq!(sale.shown().await, drawn, "and stays so");
    cohort.append(&mut latecomers);
    all_are_served(&sale, &mut cohort, &ranks).await;
    drop(cohort);
    drop(latecomers);
    sale.app.finish().await;
}

#[tokio::test]
async fn a_draw_survives_the_loss_of_redis_before_and_after() {
    let own = OwnRedis::start().await;
    let options = Options { redis_url: Some(own.url()), ..Options::default() };
    let sale = Sale::announced(options, BeaconKind::Local).await;
    sale.at(GATHERS_AT + 1).await;
    let announced = sale.shown().await;
    let mut cohort = Vec::new();
    for _ in 0..20 {
        cohort.push(Joined::now(&sale).await);
    }
    let mut silent = Joined::now(&sale).await;
    tick(&sale.app, 8).await;
    // Before the freeze: who has which number is put back from tokens.
    own.cli(&["flushall"]).await;
    sale.app.advance(Duration::from_millis(250)).await;
    tick(&sale.app, 8).await;
    assert_eq!(sale.row().await.epoch, 2);
    poll(&mut cohort).await;
    sale.app.advance(Duration::from_secs(10)).await;
    tick(&sale.app, 4).await;
    for _ in 0..3 {
        cohort.push(Joined::now(&sale).await);
    }
    let highest = cohort.last().unwrap().number;
    assert!(highest > 50_000, "numbers jump: {highest}");
    tick(&sale.app, 4).await;

    sale.at(FREEZE_AT + 1).await;
    let closed = sale.shown().await;
    assert_eq!((&closed["m"], &closed["seed_hash"]), (&json!(highest), &announced["seed_hash"]));
    let receipt_key = closed["receipt_key"].as_str().unwrap().to_owned();
    let expected = root(&sale, &cohort, highest, &receipt_key);
    assert_eq!(closed["root"], json!(expected), "every receipt is under the root, those from before the loss as well");
    poll(&mut cohort).await;
    // Proved across the 50,000 numbers that nobody has; whoever did not come back is there by number alone.
    for one in &mut cohort {
        let proof = one.guest.proof().await.expect(200).body;
        assert_eq!((&proof["number"], &proof["root"]), (&json!(one.number), &closed["root"]));
        assert_eq!(proof["leaf"], json!(hex(&one.leaf(&receipt_key))));
    }
    let proof = silent.guest.proof().await.expect(200).body;
    assert_eq!((&proof["number"], &proof["device"]), (&json!(silent.number), &json!(NOBODY)));
    assert_ne!(proof["leaf"], json!(hex(&silent.leaf(&receipt_key))), "the receipt says what was lost");
    drop(silent);
    let round_at = announced["round"].as_i64().unwrap() - sale.began.as_second();
    sale.at(round_at + 1).await;
    let drawn = sale.shown().await;
    let (ranks, _) = verified(&drawn, &[("root", &closed["root"])]);
    ranks_are(&sale, &mut cohort, &ranks).await;

    // After the draw: nobody's rank changes, and it is not drawn again.
    own.cli(&["flushall"]).await;
    tick(&sale.app, 8).await;
    assert_eq!(sale.shown().await, drawn);
    ranks_are(&sale, &mut cohort, &ranks).await;
    tick(&sale.app, 4).await;
    // A stranger who comes after that stands behind everybody.
    sale.app.advance(Duration::from_secs(10)).await;
    tick(&sale.app, 4).await;
    let last = Joined::now(&sale).await;
    assert!(last.number > highest);
    cohort.push(last);
    sale.at(OPENS_AT).await;
    assert_eq!(sale.row().await.phase, Phase::Open);
    // Opened, and lost once more: the first to be called are the first of the draw.
    poll(&mut cohort).await;
    tick(&sale.app, 8).await;
    own.cli(&["flushall"]).await;
    tick(&sale.app, 8).await;
    poll(&mut cohort).await;
    all_are_served(&sale, &mut cohort, &ranks).await;
    assert_eq!(sale.shown().await, drawn);
    drop(cohort);
    // The stock was lost, too.
    sale.app
        .until("the stock is counted", async || {
            let _ = admit::stock::audit::tick(sale.app.app()).await;
            sale.app.redis_free(&sale.given).await.is_some()
        })
        .await;
    sale.app.finish().await;
}

#[tokio::test]
async fn without_its_beacon_a_draw_is_weak_says_so_and_opens_late() {
    let sale = Sale::announced(Options::default(), BeaconKind::Manual).await;
    sale.at(GATHERS_AT + 1).await;
    let announced = sale.shown().await;
    let mut cohort = Vec::new();
    for _ in 0..8 {
        cohort.push(Joined::now(&sale).await);
    }
    sale.at(FREEZE_AT + 1).await;
    // Long past the round, and past the opening: somebody may still enter it.
    for second in [FREEZE_AT + 30, OPENS_AT + 1, OPENS_AT + 60, OPENS_AT + 115] {
        sale.at(second).await;
        poll(&mut cohort).await;
        let shown = sale.shown().await;
        assert_eq!((&shown["seed"], &shown["weak"], &shown["m"]), (&json!(""), &json!(false), &json!(8)));
        assert_eq!(sale.row().await.phase, Phase::Frozen);
        assert_eq!(Guest::state(&cohort[0].guest.status().await), "prequeue");
        cohort[0].guest.order(&sale.given, 1).await.refused(403, "waiting_room.pass_required");
    }
    sale.at(OPENS_AT + 121).await;
    tick(&sale.app, 4).await;
    let drawn = sale.shown().await;
    assert_eq!((&drawn["weak"], &drawn["beacon_value"]), (&json!(true), &json!("")));
    assert_eq!(drawn["seed_hash"], announced["seed_hash"]);
    let (ranks, said) = verified(&drawn, &[("seed-hash", &announced["seed_hash"])]);
    assert!(said.contains("weaker guarantee"), "{said}");
    assert_eq!(sale.row().await.phase, Phase::Open);
    ranks_are(&sale, &mut cohort, &ranks).await;
    all_are_served(&sale, &mut cohort, &ranks).await;
    drop(cohort);
    sale.app.finish().await;
}

#[tokio::test]
async fn a_stop_before_the_draw_is_not_the_end_of_it() {
    let sale = Sale::announced(Options::default(), BeaconKind::Local).await;
    sale.at(GATHERS_AT + 1).await;
    let mut cohort = Vec::new();
    for _ in 0..8 {
        cohort.push(Joined::now(&sale).await);
    }
    sale.at(FREEZE_AT - 10).await;
    move_room(&sale.app, &sale.given, &sale.config, &[Phase::Stopped]).await;
    tick(&sale.app, 3).await;
    assert_eq!(Guest::state(&cohort[0].guest.status().await), "stopped");
    sale.guest().join().await.refused(409, "queue.closed");
    cohort[0].guest.order(&sale.given, 1).await.refused(403, "waiting_room.pass_required");
    assert_eq!(sale.shown().await["root"], json!(""), "the time has not come");
    // The promise holds through the stop: closed and drawn on time.
    sale.at(FREEZE_AT + 1).await;
    assert_eq!(sale.shown().await["m"], json!(8));
    sale.at(OPENS_AT + 30).await;
    let drawn = sale.shown().await;
    assert_eq!((sale.row().await.phase, &drawn["weak"]), (Phase::Stopped, &json!(false)));
    let (ranks, _) = verified(&drawn, &[]);
    ranks_are(&sale, &mut cohort, &ranks).await;
    assert_eq!(Guest::state(&cohort[0].guest.status().await), "stopped");
    move_room(&sale.app, &sale.given, &sale.config, &[Phase::Open]).await;
    tick(&sale.app, 4).await;
    poll(&mut cohort).await;
    all_are_served(&sale, &mut cohort, &ranks).await;
    drop(cohort);
    sale.app.finish().await;
}
