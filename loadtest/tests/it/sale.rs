//! A visitor of the sale day against a shop that answers by script.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use loadtest::catalogue::{Choice, Product};
use loadtest::demo::Demo;
use loadtest::queue::Queue;
use loadtest::scenarios::sale_day::{Calls, Day, Manner, Plan, Progress, Records, visit};
use loadtest::shop::Shop;
use loadtest::tally::Outcome;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::local::server;

const PATIENCE: Duration = Duration::from_secs(20);
const AGAIN_NOW: &str = "Retry-After: 0\r\n";

/// What was asked, in order: "METHOD path", and the headers of interest.
type Heard = Arc<Mutex<Vec<(String, String, String)>>>;

/// The replies to each call, the last of them for ever: status, more headers, body.
type Script = BTreeMap<&'static str, Vec<(u16, &'static str, String)>>;

async fn shop(script: Script) -> (SocketAddr, Heard) {
    let heard = Heard::default();
    let (log, script) = (Arc::clone(&heard), Arc::new(script));
    let addr = server(move |mut stream| {
        let (log, script) = (Arc::clone(&log), Arc::clone(&script));
        async move {
            let mut buf = vec![0; 16 * 1024];
            while let Ok(read @ 1..) = stream.read(&mut buf).await {
                let text = String::from_utf8_lossy(&buf[..read]).into_owned();
                let call = text.split(" HTTP/1.1").next().unwrap_or_default().to_owned();
                let field = |name: &str| {
                    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    line.unwrap_or_default().to_owned()
                };
                let entry = (call.clone(), field("X-Queue-Pass"), field("Idempotency-Key"));
                let before = {
                    let mut log = log.lock().expect("log");
                    log.push(entry);
                    log.iter().filter(|(one, ..)| *one == call).count() - 1
                };
                let replies = script.get(call.as_str()).expect("a call that is in the script");
                let (status, more, body) = &replies[before.min(replies.len() - 1)];
                let head = format!("HTTP/1.1 {status} x\r\n{more}Content-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all((head + body).as_bytes()).await;
            }
        }
    })
    .await;
    (addr, heard)
}

fn told(state: &str, more: serde_json::Value) -> String {
    let mut told = json!({"state": state, "poll_after_ms": 5, "stale": false, "number": 4, "rank": 4,
        "server_time": "2026-11-21T10:00:10Z"});
    told.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    told.to_string()
}

fn day(addr: SocketAddr) -> Arc<Day> {
    let demo: Demo = serde_json::from_value(json!({
        "base_url": format!("http://{addr}"), "toss_simulator_url": format!("http://{addr}"),
        "redis_url": "redis://127.0.0.1:1", "postgres_url": "postgres://127.0.0.1:1/x",
        "accounts": {"staff": {"username": "s", "password": "p"}},
    }))
    .expect("a demo");
    let shop = Arc::new(Shop::new(&demo, 4, Duration::from_secs(5), Arc::default()).expect("loopback"));
    let product = json!({"id": 7, "dated": false, "price": 16_000, "available_quantity": 100, "state": "on_sale"});
    let product: Product = serde_json::from_value(product).expect("a product");
    Arc::new(Day {
        calls: Calls::new(Arc::clone(&shop.ledger)),
        queue: Queue::new("bbb"),
        choices: vec![Choice { code: "bbb".into(), product, slot: None, quantity: 1 }],
        products: shop.site.get("/api/exhibitions/bbb/products", &[]),
        shop,
        claim_window: Duration::from_secs(45),
        until: Instant::now() + PATIENCE,
        records: Records::default(),
        progress: Progress::default(),
    })
}

#[tokio::test]
async fn a_visitor_waits_claims_buys_and_puts_up_with_what_goes_wrong() {
    let one = |status, body: String| vec![(status, "", body)];
    let problem = |code: &str| json!({"code": code}).to_string();
    let eta = json!({"eta": {"from_s": 0, "to_s": 20}, "queue_token": "t1"});
    let order = |status: &str| {
        let tickets = if status == "paid" { json!([{"qr_code": "q"}]) } else { json!([]) };
        json!({"order_number": "N1", "order_token": "o1", "total_amount": 16_000, "status": status, "tickets": tickets})
            .to_string()
    };
    let (addr, heard) = shop(BTreeMap::from([
        ("GET /bbb/queue", vec![(503, AGAIN_NOW, "<html>".into()), (200, "", "<html>".into())]),
        ("POST /api/exhibitions/bbb/queue/join", one(200, told("waiting", eta))),
        (
            "GET /api/exhibitions/bbb/queue/status",
            vec![
                (200, "", told("waiting", json!({"eta": {"from_s": 100, "to_s": 200}}))),
                (200, "", told("your_turn", json!({"claim_left_ms": 44_000}))),
            ],
        ),
        (
            "POST /api/exhibitions/bbb/queue/claim",
            vec![
                (200, "", told("admitted", json!({"pass": "p1"}))),
                (200, "", told("admitted", json!({"pass": "p2"}))),
            ],
        ),
        ("GET /api/exhibitions/bbb/products", one(200, json!({"products": []}).to_string())),
        (
            "POST /api/orders",
            vec![
                (503, AGAIN_NOW, problem("server.redis_away")),
                (403, "", problem("waiting_room.pass_ended")),
                (201, "", order("holding")),
            ],
        ),
        ("POST /api/payments/initialize", one(200, json!({"order_id": "T1", "amount": 16_000}).to_string())),
        ("POST /_sim/authorise", one(200, json!({"paymentKey": "k"}).to_string())),
        ("POST /api/payments/confirm", one(202, order("confirming"))),
        ("GET /api/orders/N1", one(200, order("paid"))),
    ]))
    .await;
    let day = day(addr);
    let plan = Plan { manner: Manner::Stays, choosing_ms: 1, seed: 1 };
    assert_eq!(visit(Arc::clone(&day), plan).await, Outcome::Success);

    let seen = day.records.take().remove(0);
    // 10:00:10, and 44 of 45 seconds left.
    assert_eq!((seen.rank, seen.called_ms), (Some(4), Some(1_795_255_209_000)));
    let held: Vec<bool> = seen.promises.iter().map(|promise| promise.holds(1_795_255_215_000)).collect();
    assert_eq!((held, seen.passes_again, seen.late_first, seen.away), (vec![true, false], 1, false, false));
    let told_to_wait = day.calls.troubles().told_to_wait;
    let names: Vec<&str> = told_to_wait.keys().map(String::as_str).collect();
    assert_eq!(names, ["503 at queue page", "503 server.redis_away at order"]);
    let heard = heard.lock().expect("log");
    let orders: Vec<_> = heard.iter().filter(|(call, ..)| call == "POST /api/orders").collect();
    let passes: Vec<&str> = orders.iter().map(|(_, pass, _)| pass.as_str()).collect();
    assert_eq!(passes, ["p1", "p1", "p2"]);
    assert!(
        orders.iter().all(|(.., key)| !key.is_empty() && *key == orders[0].2),
        "one order, however often it is sent"
    );
    let steps = day.shop.ledger.take_steps();
    assert_eq!((steps["5 order"].count, steps["2 poll"].count, steps["from join to pass"].count), (3, 2, 1));
}

#[tokio::test]
async fn whoever_abandons_stops_asking_and_whoever_is_refused_says_why() {
    let waiting = told("waiting", json!({"queue_token": "t1"}));
    let script = |join: Vec<(u16, &'static str, String)>| {
        BTreeMap::from([
            ("GET /bbb/queue", vec![(200, "", String::new())]),
            ("POST /api/exhibitions/bbb/queue/join", join),
            ("GET /api/exhibitions/bbb/queue/status", vec![(200, "", told("waiting", json!({})))]),
        ])
    };
    let (addr, heard) = shop(script(vec![(200, "", waiting)])).await;
    let abandons = Plan { manner: Manner::Abandons { after_polls: 2 }, choosing_ms: 1, seed: 1 };
    let left = day(addr);
    assert_eq!(visit(Arc::clone(&left), abandons).await, Outcome::Left);
    assert!(left.records.take()[0].away);
    let polls = heard.lock().expect("log").iter().filter(|(call, ..)| call.ends_with("/status")).count();
    assert_eq!(polls, 2);

    let (addr, _) = shop(script(vec![(409, "", json!({"code": "queue.closed"}).to_string())])).await;
    let stays = Plan { manner: Manner::Stays, ..abandons };
    assert_eq!(visit(day(addr), stays).await, Outcome::Refused("409 queue.closed".into()));
}
