//! Step injection: every message that an instance sends on the whole way from an order to its refund, to Postgres, to
//! Redis and to the provider, is in turn lost, left unanswered, repeated, and the last the instance ever sends. Visitors
//! insist, as their browsers do, and everything must end as if nothing had happened.

use std::time::Duration;

use admit::payments::Provider;
use reqwest::RequestBuilder;
use serde_json::json;

use crate::support::given::places;
use crate::support::lines::{Break, Lines};
use crate::support::visitor::{Held, Visitor};
use crate::support::{Answer, Given, Kind, Options, TestApp};
use crate::torture::{SHORT, seeds};

const BREAKS: [Break; 4] = [Break::Failed, Break::Lost, Break::Repeated, Break::KilledAfter];
/// Whole tables are swept after every so many walks.
const SWEEP_EVERY: usize = 8;
/// Whoever helps those whose instance is broken; it reaches everything directly.
const HELPER: usize = 0;
const BROKEN: usize = 1;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    TossCard,
    TossDeposit,
    Stripe,
    /// Orders lapse before their money is heard of: one has its places again, one finds them gone.
    LateToss,
    LateStripe,
}

impl Way {
    fn provider(self) -> Provider {
        match self {
            Way::TossCard | Way::TossDeposit | Way::LateToss => Provider::Toss,
            Way::Stripe | Way::LateStripe => Provider::Stripe,
        }
    }

    /// How the order of a walk ends that was not dropped, what of it is kept, and how often the provider charges.
    fn end(self) -> (&'static str, i64, i64) {
        match self {
            Way::TossCard | Way::TossDeposit | Way::Stripe => ("partially_refunded", 10_000, 1),
            Way::LateToss | Way::LateStripe => ("paid", 20_000, 2),
        }
    }
}

/// One visitor on the way, and the instance whose messages break.
struct Walk<'a> {
    app: &'a TestApp,
    given: &'a Given,
    /// Two places and no more.
    tight: &'a Given,
    lines: &'a Lines,
    way: Way,
    n: usize,
    /// Names the break in whatever fails.
    context: String,
}

impl Walk<'_> {
    fn at(&self) -> usize {
        if self.lines.is_dead() { HELPER } else { BROKEN }
    }

    fn visitor(&self) -> Visitor<'_> {
        self.app.visitor(self.n).at(self.at())
    }

    /// Repeats the same call with the same key until somebody answers for good.
    async fn insist(&self, build: impl Fn(&Visitor) -> RequestBuilder) -> Answer {
        let mut last = None;
        for _ in 0..200 {
            let (at, visitor) = (self.at(), self.visitor());
            let heard = tokio::select! {
                heard = Answer::heard(build(&visitor)) => heard,
                // The dead say nothing; what comes from them over the test's own connection was never heard.
                () = self.lines.died(), if at == BROKEN => continue,
            };
            match heard {
                Ok(answer) if answer.status == 503 => last = Some(answer),
                Ok(answer) if answer.status == 202 && answer.body["status"] == "confirming" => self.time().await,
                Ok(answer) if answer.status == 409 && answer.code().ends_with("in_progress") => self.time().await,
                Ok(answer) => return answer,
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{}: nobody answers for good: {last:?}", self.context);
    }

    async fn time(&self) {
        self.app.advance(Duration::from_secs(3)).await;
        self.work("recover").await;
    }

    /// One round by whoever is alive. A round that fails is made again by the next.
    async fn work(&self, worker: &str) {
        let at = self.at();
        webhooks_to(self.app, self.way, at).await;
        tokio::select! {
            _ = self.app.try_tick_on(at, worker) => {}
            () = self.lines.died(), if at == BROKEN => {}
        }
    }

    /// Rounds of a worker until the database says so.
    async fn until_worked(&self, worker: &str, done: &str) {
        for _ in 0..100 {
            self.work(worker).await;
            if self.app.db.one::<bool>(done).await {
                return;
            }
            self.app.advance(Duration::from_secs(6)).await;
            // Places whose take, or whose return, was not heard of.
            let _ = self.app.try_tick_on(HELPER, "audit").await;
        }
        panic!("{}: {worker} never came to: {done}", self.context);
    }

    fn key(&self, call: &str) -> String {
        format!("{call}-{}", self.n)
    }

    async fn hold(&self, call: &str, given: &Given) -> Held {
        let (key, ask) = (self.key(call), self.visitor().ask(given, 2));
        let order = self.insist(|v| v.post("/api/orders").header("idempotency-key", &key).json(&ask)).await;
        Held::from(&order.expect(201))
    }

    /// Opens an attempt, and pays at the provider as a buyer does: order id and payment key.
    async fn authorised(&self, order: &Held) -> (String, String) {
        let (key, ask) = (self.key("open"), json!({ "order_number": order.number, "amount": order.total }));
        let opened = self
            .insist(|v| {
                let request = v.post("/api/payments/initialize").bearer_auth(&order.token);
                request.header("idempotency-key", &key).json(&ask)
            })
            .await
            .expect(200);
        let order_id = opened.text("order_id");
        if self.way.provider() == Provider::Stripe {
            let intent = opened.text("client_secret").split("_secret_").next().unwrap().to_owned();
            self.app.simulate_stripe("authorise", json!({ "payment_intent": intent })).await;
            return (order_id, intent);
        }
        let method = if self.way == Way::TossDeposit { "가상계좌" } else { "카드" };
        let ask = json!({ "orderId": order_id, "amount": order.total, "method": method });
        let payment_key = self.app.simulate("authorise", ask).await["paymentKey"].as_str().unwrap().to_owned();
        (order_id, payment_key)
    }

    async fn paid(&self, order: &Held) {
        let (order_id, payment_key) = self.authorised(order).await;
        let key = self.key("pay");
        let ask = json!({ "payment_key": payment_key, "order_id": order_id, "amount": order.total });
        let confirm = async || {
            self.insist(|v| {
                let request = v.post("/api/payments/confirm").bearer_auth(&order.token);
                request.header("idempotency-key", &key).json(&ask)
            })
            .await
        };
        let answer = confirm().await;
        if self.way == Way::TossDeposit {
            assert_eq!(answer.body["status"], "awaiting_deposit", "{}: {}", self.context, answer.body);
            self.app.simulate("deposit", json!({ "orderId": order_id })).await;
            self.until_worked("webhooks", &self.order_is(order, "paid")).await;
        } else {
            assert_eq!(answer.status, 200, "{}: {}", self.context, answer.body);
        }
        self.noticed(&order_id).await;
    }

    /// The provider's notice has come, and what has come is worked.
    async fn noticed(&self, order_id: &str) {
        let noticed = format!("select exists (select from inbox where order_id = '{order_id}')");
        self.app
            .until("the webhooks of a payment", async || {
                let noticed: bool = self.app.db.one(&noticed).await;
                if !noticed {
                    webhooks_to(self.app, self.way, self.at()).await;
                    // The provider repeats a notice that nobody took, by its own clock.
                    self.app.advance(Duration::from_secs(10)).await;
                }
                noticed
            })
            .await;
        let worked = "select not exists (select from inbox where state = 'received')";
        self.until_worked("webhooks", worked).await;
    }

    fn order_is(&self, order: &Held, state: &str) -> String {
        format!("select state = '{state}' from orders where number = '{}'", order.number)
    }

    async fn one_refunded(&self, order: &Held) {
        let path = format!("/api/orders/{}/refund", order.number);
        let shown = self.insist(|v| v.get(&path).bearer_auth(&order.token)).await.expect(200);
        let first = &shown.body["tickets"][0];
        let amount = first["price"].as_i64().unwrap() - first["fee"].as_i64().unwrap();
        let account = json!({ "bank": "20", "account_number": "110123456789", "holder": "홍길동" });
        let body = json!({ "ticket_ids": [first["ticket_id"]], "amount": amount, "account": account });
        let key = self.key("refund");
        let answer =
            self.insist(|v| v.post(&path).bearer_auth(&order.token).header("idempotency-key", &key).json(&body)).await;
        assert_eq!(answer.status, 200, "{}: {}", self.context, answer.body);
        self.until_worked("refunds", "select not exists (select from refunds where state = 'pending')").await;
    }

    /// An order that has lapsed, and whose buyer has said yes at the provider.
    async fn lapsed(&self, call: &str, given: &Given) -> (Held, String, String) {
        let order = self.hold(call, given).await;
        // What is authorised can be charged for ten minutes.
        self.app.advance(Duration::from_secs(400)).await;
        let (order_id, payment_key) = self.authorised(&order).await;
        self.app.advance(Duration::from_secs(201)).await;
        self.until_worked("expire", &self.order_is(&order, "expired")).await;
        (order, order_id, payment_key)
    }

    /// The money is taken, and only the provider's notice tells of it.
    async fn charged(&self, order: &Held, order_id: &str, payment_key: &str) {
        if self.way.provider() == Provider::Stripe {
            self.app.simulate_stripe("dashboard-capture", json!({ "payment_intent": payment_key })).await;
        } else {
            crate::payments::approve_at_toss(self.app, order_id, payment_key, order.total).await;
        }
        self.noticed(order_id).await;
    }

    async fn late(&self) {
        let (order, order_id, payment_key) = self.lapsed("seated", self.given).await;
        self.charged(&order, &order_id, &payment_key).await;
        self.until_worked("recover", &self.order_is(&order, "paid")).await;

        let (order, order_id, payment_key) = self.lapsed("refunded", self.tight).await;
        let other = self.app.visitor(1_000_000 + self.n).at(HELPER);
        let mut taken = other.order(self.tight, 2).await;
        while taken.status == 409 {
            self.app.advance(Duration::from_secs(6)).await;
            let _ = self.app.try_tick_on(HELPER, "audit").await;
            taken = other.order(self.tight, 2).await;
        }
        self.charged(&order, &order_id, &payment_key).await;
        let returned = format!(
            "select exists (select from refunds r join orders o on o.id = r.order_id
                             where o.number = '{}' and r.reason = 'late_and_full' and r.state = 'done')",
            order.number
        );
        self.until_worked("refunds", &returned).await;
        other.cancel(&Held::from(&taken.expect(201))).await.expect(200);
    }

    async fn all(&self) {
        if matches!(self.way, Way::LateToss | Way::LateStripe) {
            return self.late().await;
        }
        let dropped = self.hold("dropped", self.given).await;
        let path = format!("/api/orders/{}/cancel", dropped.number);
        self.insist(|v| v.post(&path).bearer_auth(&dropped.token)).await.expect(200);
        let order = self.hold("bought", self.given).await;
        self.paid(&order).await;
        self.one_refunded(&order).await;

        let read = |order: Held| async move { self.app.visitor(self.n).at(HELPER).read(&order).await.expect(200) };
        assert_eq!(read(dropped).await.body["status"], "cancelled", "{}", self.context);
        let bought = read(order).await;
        assert_eq!(bought.body["status"], "partially_refunded", "{}: {}", self.context, bought.body);
        let valid: i64 = self.app.db.one("select count(*) from tickets where state = 'valid'").await;
        let walks: i64 = self.app.db.one("select count(*) from orders where state = 'partially_refunded'").await;
        assert_eq!(valid, walks, "{}: one of two tickets each", self.context);
    }
}

async fn nothing_is_out_of_place(app: &TestApp, way: Way, context: &str) {
    app.settle_everything().await;
    app.until("the stores agree", async || {
        app.tick("audit").await;
        app.stores_agree().await
    })
    .await;
    let ours: i64 = app
        .db
        .one("select coalesce(sum(amount_won - refunded_won), 0)::bigint from attempts where state = 'accepted'")
        .await;
    let (state, kept_won, charges) = way.end();
    let orders: i64 = app.db.one(&format!("select count(*) from orders where state = '{state}'")).await;
    let there = app.at_provider(way.provider()).await;
    let expected = ((ours, orders * charges), orders * kept_won);
    assert_eq!((there, ours), expected, "{context}: money and charges there, money here");
}

/// A second instance, whose messages may break.
async fn breakable(app: &mut TestApp) -> Lines {
    let lines = Lines::lay(&app.settings()).await;
    let settings = lines.settings(app.settings());
    assert_eq!(app.add_instance_with(settings).await, BROKEN);
    lines
}

async fn webhooks_to(app: &TestApp, way: Way, at: usize) {
    let base = format!("http://{}/api/webhooks", app.instances[at].address);
    match way.provider() {
        Provider::Toss => app.simulate("webhook-url", json!({ "url": format!("{base}/toss") })).await,
        _ => app.simulate_stripe("webhook-url", json!({ "url": format!("{base}/stripe") })).await,
    };
}

/// Breaks the first message of a walk, then the second of another, and so on until a walk has no n-th message.
async fn every_step(way: Way, breaks: &[Break]) {
    let stripe = way.provider() == Provider::Stripe;
    let options = Options { stripe, ..Options::default() };
    let mut app = TestApp::start_with(options).await;
    let given = app.given(places(100_000)).await;
    let tight = app.given(Kind { code: "tgt", places: 2, ..Kind::default() }).await;
    if stripe {
        app.db.execute("update exhibitions set payment_provider = 'stripe'").await;
        app.refresh().await;
    }
    let mut walks = 0;
    for how in breaks.iter().copied() {
        let mut lines = breakable(&mut app).await;
        for n in 1.. {
            let context = format!("{way:?}, message {n} {how:?}");
            webhooks_to(&app, way, BROKEN).await;
            lines.arm(n, how);
            let walk = Walk {
                app: &app,
                given: &given,
                tight: &tight,
                lines: &lines,
                way,
                n: walks,
                context: context.clone(),
            };
            walk.all().await;
            lines.disarm();
            walks += 1;
            nothing_is_out_of_place(&app, way, &context).await;
            if walks % SWEEP_EVERY == 0 || !lines.fired() {
                app.sweep().await;
            }
            if !lines.fired() {
                let least = if how == Break::Repeated { 8 } else { 25 };
                assert!(n > least, "{context}: a walk has more steps than that");
                break;
            }
            if lines.is_dead() {
                app.kill(BROKEN);
                lines = breakable(&mut app).await;
            }
        }
        app.kill(BROKEN);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_card_payment_survives_the_loss_of_every_step() {
    every_step(Way::TossCard, &BREAKS).await;
}

#[tokio::test]
async fn a_deposit_survives_the_loss_of_every_step() {
    every_step(Way::TossDeposit, &BREAKS).await;
}

#[tokio::test]
async fn a_payment_at_stripe_survives_the_loss_of_every_step() {
    every_step(Way::Stripe, &BREAKS).await;
}

#[tokio::test]
async fn late_money_survives_the_loss_of_every_step() {
    every_step(Way::LateToss, &BREAKS).await;
}

#[tokio::test]
async fn torture_of_late_money_at_stripe() {
    if seeds() > SHORT {
        every_step(Way::LateStripe, &BREAKS).await;
    }
}

/// Much like a message that fails, and half as many walks again.
#[tokio::test]
async fn torture_of_processes_that_die_before_a_message() {
    if seeds() > SHORT {
        for way in [Way::TossCard, Way::TossDeposit, Way::Stripe, Way::LateToss, Way::LateStripe] {
            every_step(way, &[Break::KilledBefore]).await;
        }
    }
}
