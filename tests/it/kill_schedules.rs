//! Random schedules of faults around a process that is killed at its n-th message, again and again: messages to the stores
//! and the provider that fail, are lost or come twice, a provider that errs, webhooks twice and out of order, visitors who
//! insist or give up, two tabs, refunds. Each seed ends with both sides' books equal and every invariant kept.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use admit::payments::Provider;
use futures_util::StreamExt;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use reqwest::RequestBuilder;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::given::places;
use crate::support::lines::{Break, Lines};
use crate::support::process::Process;
use crate::support::visitor::{Held, Visitor};
use crate::support::{Answer, Given, Options, TestApp, race};
use crate::torture::{SHORT, seeds};

/// Of one seed: each a visitor with a plan of their own.
const SCHEDULES: usize = 40;
const TOGETHER: usize = 4;
const KILLS: [Break; 3] = [Break::KilledBefore, Break::KilledAfter, Break::KilledAfter];
const FAULTS: [Break; 3] = [Break::Failed, Break::Lost, Break::Repeated];
/// Between two faults, at most.
const MESSAGES: u64 = 16;
/// What hangs fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a visitor does, decided beforehand so that a seed means something.
#[derive(Clone, Copy)]
struct Plan {
    n: usize,
    quantity: i64,
    /// Repeats a call with the same key until somebody answers; the others ask once.
    insists: bool,
    cancels: bool,
    by_deposit: bool,
    tabs: usize,
    refunds: bool,
}

fn plan(random: &mut SmallRng, provider: Provider, n: usize) -> Plan {
    Plan {
        n,
        quantity: random.random_range(1..4),
        insists: random.random_bool(0.8),
        cancels: random.random_bool(0.15),
        by_deposit: provider == Provider::Toss && random.random_bool(0.3),
        tabs: if random.random_bool(0.3) { 2 } else { 1 },
        refunds: random.random_bool(0.5),
    }
}

struct Sale<'a> {
    app: &'a TestApp,
    given: &'a Given,
    provider: Provider,
    base: String,
    /// How often the process has died so far.
    kills: &'a AtomicUsize,
}

impl Sale<'_> {
    /// None: nobody answered somebody who does not ask twice.
    async fn ask(&self, plan: Plan, request: RequestBuilder) -> Option<Answer> {
        let mut last = None;
        for _ in 0..2_000 {
            match Answer::heard(request.try_clone().unwrap()).await {
                Ok(answer) if answer.status != 503 => {
                    let known = [200, 201, 202, 409, 410].contains(&answer.status);
                    assert!(known, "visitor {}: {} {}", plan.n, answer.status, answer.body);
                    return Some(answer);
                }
                _ if !plan.insists => return None,
                refused => last = Some(refused),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("nobody answered a visitor who insisted: {last:?}");
    }

    /// One schedule to its end: whether the process died meanwhile.
    async fn meets_a_kill(&self, plan: Plan) -> bool {
        let before = self.kills.load(Ordering::Relaxed);
        self.visit(plan).await;
        self.kills.load(Ordering::Relaxed) > before
    }

    async fn visit(&self, plan: Plan) -> Option<()> {
        let visitor = self.app.visitor(plan.n).at_base(self.base.clone());
        let order = visitor.post("/api/orders").header("idempotency-key", format!("order-{}", plan.n));
        let order = self.ask(plan, order.json(&visitor.ask(self.given, plan.quantity))).await?;
        let order = Held::from(&order.expect(201));
        if plan.cancels {
            let cancel = visitor.post(&format!("/api/orders/{}/cancel", order.number)).bearer_auth(&order.token);
            return self.ask(plan, cancel).await.map(|_| ());
        }
        let (order_id, payment_key) = self.authorised(plan, &visitor, &order).await?;
        let body = json!({ "payment_key": payment_key, "order_id": order_id, "amount": order.total });
        race(plan.tabs, |tab| {
            let confirm = visitor.post("/api/payments/confirm").header("idempotency-key", format!("{order_id}-{tab}"));
            self.ask(plan, confirm.bearer_auth(&order.token).json(&body))
        })
        .await;
        if plan.by_deposit {
            let url = format!("{}/_sim/deposit", self.app.simulator.base_url());
            // There may be no account: nobody has confirmed.
            self.app.http.post(url).json(&json!({ "orderId": order_id })).send().await.unwrap();
        }
        if plan.refunds {
            self.refund(plan, &visitor, &order).await?;
        }
        Some(())
    }

    /// Opens an attempt and pays at the provider as a buyer does.
    async fn authorised(&self, plan: Plan, visitor: &Visitor<'_>, order: &Held) -> Option<(String, String)> {
        let open = visitor.post("/api/payments/initialize").header("idempotency-key", format!("open-{}", plan.n));
        let ask = json!({ "order_number": order.number, "amount": order.total });
        let opened = self.ask(plan, open.bearer_auth(&order.token).json(&ask)).await?;
        if opened.status != 200 {
            return None;
        }
        let order_id = opened.text("order_id");
        if self.provider == Provider::Stripe {
            let intent = opened.text("client_secret").split("_secret_").next().unwrap().to_owned();
            self.app.simulate_stripe("authorise", json!({ "payment_intent": intent })).await;
            return Some((order_id, intent));
        }
        let method = if plan.by_deposit { "가상계좌" } else { "카드" };
        let ask = json!({ "orderId": order_id, "amount": order.total, "method": method });
        let reply = self.app.simulate("authorise", ask).await;
        Some((order_id, reply["paymentKey"].as_str().unwrap().to_owned()))
    }

    /// All that can be given back, if the order is paid by now.
    async fn refund(&self, plan: Plan, visitor: &Visitor<'_>, order: &Held) -> Option<()> {
        let path = format!("/api/orders/{}/refund", order.number);
        let shown = self.ask(plan, visitor.get(&path).bearer_auth(&order.token)).await?;
        if shown.status == 200 {
            let account = json!({ "bank": "20", "account_number": "110123456789", "holder": "홍길동" });
            let body = json!({ "amount": shown.body["amount"], "account": account });
            let request = visitor.post(&path).header("idempotency-key", format!("refund-{}", plan.n));
            self.ask(plan, request.bearer_auth(&order.token).json(&body)).await?;
        }
        Some(())
    }
}

/// Breaks messages and kills the process until the sale is over: by what it sends, not by a clock.
async fn kill_again_and_again(
    app: &TestApp,
    process: &mut Process,
    mut lines: Lines,
    random: &mut SmallRng,
    over: &CancellationToken,
    kills: &AtomicUsize,
) {
    loop {
        let how = *if random.random_bool(0.75) { &KILLS } else { &FAULTS }.choose(random).unwrap();
        lines.arm(random.random_range(1..MESSAGES), how);
        let fired = app.until("a message breaks", async || lines.fired() || over.is_cancelled());
        fired.await;
        if over.is_cancelled() {
            return;
        }
        if lines.is_dead() {
            process.kill().await;
            kills.fetch_add(1, Ordering::Relaxed);
            lines = Lines::lay(&app.settings()).await;
            process.restart_with(app, lines.settings(app.settings())).await;
        }
    }
}

/// Faults of the provider and of its webhooks.
async fn upset(app: &TestApp, provider: Provider, seed: u64, random: &mut SmallRng, base: &str) {
    let share = random.random_range(0.0..0.1);
    let kinds = ["drop_after", "drop_before", "error_after", "error_before", "empty_body", "rate_limited"];
    let probabilities: serde_json::Map<String, serde_json::Value> =
        kinds.map(|kind| (kind.to_owned(), json!(share / 2.0))).into_iter().collect();
    let faults = json!({ "seed": seed, "probabilities": probabilities, "count": 100 });
    let url = |name: &str| json!({ "url": format!("{base}/api/webhooks/{name}") });
    let mode = ["normal", "off", "twice", "reverse_order"].choose(random).unwrap();
    match provider {
        Provider::Toss => {
            app.simulate("webhook-url", url("toss")).await;
            app.simulate("random", faults).await;
            app.simulate("options", json!({ "latency_ms": 20 })).await;
            app.simulate("webhooks", json!({ "mode": mode })).await;
        }
        _ => {
            app.simulate_stripe("webhook-url", url("stripe")).await;
            app.simulate_stripe("random", faults).await;
            app.simulate_stripe("options", json!({ "latency_ms": 20 })).await;
            app.simulate_stripe("webhooks", json!({ "mode": mode })).await;
        }
    }
}

async fn calm(app: &TestApp, provider: Provider) {
    let base = match provider {
        Provider::Toss => app.simulator.base_url(),
        _ => app.stripe.as_ref().unwrap().base_url(),
    };
    app.http.delete(format!("{base}/_sim/random")).send().await.unwrap();
}

struct Outcome {
    kills: usize,
    /// Visitors during whose visit the process died.
    met: usize,
}

/// One seed: a sale whose only process dies all the time.
async fn schedules(seed: u64) -> Outcome {
    let provider = if seed.is_multiple_of(2) { Provider::Toss } else { Provider::Stripe };
    let app = TestApp::start_with(Options { stripe: provider == Provider::Stripe, ..Options::default() }).await;
    let given = app.given(places(1_000)).await;
    app.db.execute(&format!("update exhibitions set payment_provider = '{}'", provider.as_str())).await;
    app.refresh().await;
    let mut random = SmallRng::seed_from_u64(seed);
    let plans: Vec<Plan> = (0..SCHEDULES).map(|n| plan(&mut random, provider, n)).collect();

    let lines = Lines::lay(&app.settings()).await;
    let mut process = Process::serve_with(&app, lines.settings(app.settings())).await;
    let base = process.base();
    upset(&app, provider, seed, &mut random, &base).await;
    let kills = AtomicUsize::new(0);
    let sale = Sale { app: &app, given: &given, provider, base, kills: &kills };
    let over = CancellationToken::new();
    let visits = async {
        let visits = futures_util::stream::iter(plans).map(|plan| sale.meets_a_kill(plan)).buffer_unordered(TOGETHER);
        let met = visits.filter(|met| std::future::ready(*met)).count().await;
        over.cancel();
        met
    };
    let killing = kill_again_and_again(&app, &mut process, lines, &mut random, &over, &kills);
    let (met, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(visits, killing) }).await.expect("an end");
    let kills = kills.into_inner();
    assert!(kills > 0, "seed {seed}: nobody was killed");
    process.kill().await;

    calm(&app, provider).await;
    app.settle_everything().await;
    app.reconciled().await;
    app.settle_everything().await;
    app.assert_books_agree(&format!("seed {seed} after {kills} kills")).await;
    app.advance(Duration::from_secs(3600)).await;
    while app.tick("expire").await > 0 {}
    app.until("the audit has put Redis right", async || {
        app.tick("audit").await;
        app.stores_agree().await
    })
    .await;
    app.finish().await;
    Outcome { kills, met }
}

#[tokio::test]
async fn schedules_of_kills_end_with_equal_books() {
    schedules(0).await;
    schedules(1).await;
}

#[tokio::test]
async fn torture_of_a_killed_process_ends_with_equal_books() {
    let mut all = Outcome { kills: 0, met: 0 };
    for seed in SHORT..seeds() {
        let Outcome { kills, met } = schedules(seed).await;
        println!("seed {seed}: {SCHEDULES} schedules end well after {kills} kills, met by {met} of them");
        all = Outcome { kills: all.kills + kills, met: all.met + met };
    }
    println!("{} schedules met one of {} kills", all.met, all.kills);
}
