//! `admit serve` as a process of its own, killed with SIGKILL in the middle of orders and payments: what was answered
//! stays true, nothing is sold twice, and the workers find everything that was left half done.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use reqwest::RequestBuilder;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::support::given::places;
use crate::support::process::Process;
use crate::support::visitor::Held;
use crate::support::{Answer, Given, Kind, TestApp, Visitor};

const KILLS: usize = 6;
/// Visitors who are under way at once.
const TOGETHER: usize = 16;
/// Longer than any of these tests takes; what hangs fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// One visitor and how they take it when nobody answers, decided beforehand so that a seed means something.
#[derive(Clone, Copy)]
struct Plan {
    n: usize,
    /// Repeats the same call with the same key until somebody answers; the others ask once.
    insists: bool,
    cancels: bool,
}

fn plans(random: &mut SmallRng, visitors: usize) -> Vec<Plan> {
    (0..visitors).map(|n| Plan { n, insists: random.random_bool(0.8), cancels: random.random_bool(0.2) }).collect()
}

/// None: the process was killed before it answered.
async fn ask(request: RequestBuilder, insists: bool) -> Option<Answer> {
    for _ in 0..500 {
        match Answer::heard(request.try_clone().unwrap()).await {
            Ok(answer) if answer.status != 503 => return Some(answer),
            _ if !insists => return None,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    panic!("nobody answered a visitor who insisted");
}

/// Kills the process after some more events, starts it again, and so on: by what has happened, not by a clock, so that
/// a slow machine kills as much in the middle as a fast one.
async fn kill_now_and_then(
    app: &TestApp,
    process: &mut Process,
    mut events: UnboundedReceiver<()>,
    random: &mut SmallRng,
) {
    for _ in 0..KILLS {
        for _ in 0..random.random_range(3..12) {
            events.recv().await.expect("the visitors were gone before the kills");
        }
        process.kill().await;
        process.restart(app).await;
    }
}

/// An order that a visitor was told of, and the state they were told last; None: the last call was never answered.
type Told = Option<(Held, Option<&'static str>)>;

async fn visit(visitor: Visitor<'_>, given: &Given, plan: Plan, events: &UnboundedSender<()>) -> Told {
    let order = visitor.post("/api/orders").header("idempotency-key", format!("killed-{}", plan.n));
    let answer = ask(order.json(&visitor.ask(given, 1)), plan.insists).await?;
    let _ = events.send(());
    if answer.status == 409 {
        answer.refused(409, "stock.sold_out");
        return None;
    }
    let order = Held::from(&answer.expect(201));
    if !plan.cancels {
        return Some((order, Some("held")));
    }
    let cancel = visitor.post(&format!("/api/orders/{}/cancel", order.number)).bearer_auth(&order.token);
    let cancelled = ask(cancel, plan.insists).await.map(|answer| answer.expect(200));
    let _ = events.send(());
    Some((order, cancelled.map(|_| "cancelled")))
}

async fn states(app: &TestApp) -> HashMap<String, String> {
    let rows = app.db.client().await.query("select number, state from orders", &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Lapsed holds end, and the audit makes rounds as a worker would, until Redis is right again. None of the killed
/// processes is there to help.
async fn everything_lapses(app: &TestApp) {
    app.advance(Duration::from_secs(3600)).await;
    while app.tick("expire").await > 0 {}
    app.until("the audit has put Redis right", async || {
        app.tick("audit").await;
        app.stores_agree().await
    })
    .await;
}

/// What is counted in a process is written down every ten seconds, and when it ends.
#[tokio::test]
async fn what_was_counted_last_is_written_down_at_the_stop() {
    let app = TestApp::start().await;
    let adult = app.given(places(5)).await;
    let mut process = Process::serve(&app).await;
    app.visitor(1).at_base(process.base()).order(&adult, 1).await.expect(201);
    app.visitor(2).at_base(process.base()).order(&adult, 1).await.expect(201);
    process.stop().await;
    assert_eq!(app.db.one::<i64>("select coalesce(sum(tried), 0) from figures_hours").await, 2);
    app.finish().await;
}

#[tokio::test]
async fn orders_that_were_answered_survive_kills_and_no_place_is_sold_twice() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(60), ..places(70) }).await;
    let mut random = SmallRng::seed_from_u64(1);
    let mut process = Process::serve(&app).await;
    let base = process.base();

    let (tell, events) = unbounded_channel();
    let sale = futures_util::stream::iter(plans(&mut random, 120))
        .map(|plan| visit(app.visitor(plan.n).at_base(base.clone()), &adult, plan, &tell))
        .buffer_unordered(TOGETHER)
        .collect::<Vec<Told>>();
    let killing = kill_now_and_then(&app, &mut process, events, &mut random);
    let (told, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(sale, killing) }).await.unwrap();
    let told: Vec<_> = told.into_iter().flatten().collect();

    // Whatever one of the killed processes has answered, the one that is there now knows.
    let kept = states(&app).await;
    assert!(kept.len() <= 120, "a key made two orders");
    for (order, state) in &told {
        let read = app.visitor(0).at_base(base.clone()).read(order).await.expect(200);
        assert_eq!(read.body["status"], kept[&order.number].as_str());
        assert!(state.is_none_or(|state| state == kept[&order.number]), "{state:?}: {}", read.body);
    }
    let held = kept.values().filter(|state| *state == "held").count();
    assert!(held <= 60, "{held} places of 60 were sold");
    process.kill().await;

    // What was taken and never written is given back 20 s later.
    app.advance(Duration::from_secs(21)).await;
    app.tick("audit").await;
    let levels = admit::stock::redis::levels(&app.app().redis, adult.code, true).await.unwrap().unwrap();
    assert!(levels.in_flight.is_empty(), "{:?}", levels.in_flight);
    everything_lapses(&app).await;
    let levels = admit::stock::redis::levels(&app.app().redis, adult.code, true).await.unwrap().unwrap();
    assert_eq!((levels.free[&adult.stock_id], levels.free[&adult.slot_stock_id.unwrap()]), (70, 60));
    app.finish().await;
}

/// Orders and pays. The order's number if the visitor was told that it is paid.
async fn buy(visitor: Visitor<'_>, given: &Given, plan: Plan, events: &UnboundedSender<()>) -> Option<String> {
    let order = visitor.post("/api/orders").header("idempotency-key", format!("killed-{}", plan.n));
    let order = Held::from(&ask(order.json(&visitor.ask(given, 1)), true).await?.expect(201));
    let initialize = visitor.post("/api/payments/initialize").header("idempotency-key", format!("open-{}", plan.n));
    let amount = json!({ "order_number": order.number, "amount": order.total });
    let opened = ask(initialize.bearer_auth(&order.token).json(&amount), true).await?.expect(200);
    let order_id = opened.text("order_id");
    let payment_key = visitor.authorise(&order, &order_id).await;

    let confirm = visitor.post("/api/payments/confirm").header("idempotency-key", format!("pay-{}", plan.n));
    let body = json!({ "payment_key": payment_key, "order_id": order_id, "amount": order.total });
    let _ = events.send(());
    let answer = ask(confirm.bearer_auth(&order.token).json(&body), plan.insists).await?;
    match answer.status {
        200 => Some(order.number),
        // A process that is dead now was asking Toss: whoever repeats the call learns that it is not known yet.
        202 => None,
        _ => {
            answer.refused(409, "idempotency.in_progress");
            None
        }
    }
}

#[tokio::test]
async fn payments_whose_process_was_killed_are_settled_by_recovery() {
    let app = TestApp::start().await;
    let adult = app.given(places(80)).await;
    // Long enough that a kill finds calls to Toss under way.
    app.simulate("options", json!({ "latency_ms": 40 })).await;
    let mut random = SmallRng::seed_from_u64(2);
    let mut process = Process::serve(&app).await;
    let base = process.base();

    let (tell, events) = unbounded_channel();
    let sale = futures_util::stream::iter(plans(&mut random, 70))
        .map(|plan| buy(app.visitor(plan.n).at_base(base.clone()), &adult, plan, &tell))
        .buffer_unordered(TOGETHER)
        .collect::<Vec<Option<String>>>();
    let killing = kill_now_and_then(&app, &mut process, events, &mut random);
    let (paid, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(sale, killing) }).await.unwrap();
    process.kill().await;

    let unsettled: i64 = app.db.one("select count(*) from attempts where state in ('sent', 'unknown')").await;
    assert!(unsettled > 0, "no kill met a payment");
    app.simulate("options", json!({ "latency_ms": 0 })).await;
    app.settle_everything().await;

    let kept = states(&app).await;
    for number in paid.iter().flatten() {
        assert_eq!(kept[number], "paid");
    }
    // Nobody cancels here and nothing is late: every payment that Toss has taken is a ticket, and none was taken twice.
    app.assert_books_agree("after the kills").await;
    let counts = app.simulator_counts().await;
    let paid = kept.values().filter(|state| *state == "paid").count() as i64;
    assert_eq!((counts["approved"].as_i64(), counts["cancelled"].as_i64()), (Some(paid), Some(0)));
    assert_eq!(app.db.one::<i64>("select count(*) from tickets where state = 'valid'").await, paid);
    everything_lapses(&app).await;
    assert_eq!(app.redis_free(&adult).await, Some(80 - paid));
    app.finish().await;
}
