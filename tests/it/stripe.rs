//! Stripe behind the same port: the buyer authorises, and Admit captures once the places are sure.

use std::time::Duration;

use admit::payments::Provider;
use aws_lc_rs::hmac;
use serde_json::{Value, json};

use crate::refunds::refund;
use crate::support::given::places;
use crate::support::visitor::{Held, Visitor};
use crate::support::{Answer, Given, Options, TestApp};

const WEBHOOK_SECRET: &str = "whsec_DEMO000000000000000000000000";

/// An exhibition whose money goes through Stripe.
async fn with_stripe(count: i32) -> (TestApp, Given) {
    let app = TestApp::start_with(Options { stripe: true, ..Options::default() }).await;
    let given = app.given(places(count)).await;
    provider(&app, "payment_provider = 'stripe'").await;
    (app, given)
}

async fn provider(app: &TestApp, change: &str) {
    app.db.execute(&format!("update exhibitions set {change}")).await;
    app.refresh().await;
}

/// An attempt that is open at Stripe: our order id and Stripe's payment intent.
async fn opened(visitor: &Visitor<'_>, order: &Held) -> (String, String) {
    let opened = visitor.initialize(order).await.expect(200);
    assert_eq!(opened.body["provider"], "stripe");
    let client_secret = opened.text("client_secret");
    let intent = client_secret.split("_secret_").next().unwrap().to_owned();
    (opened.text("order_id"), intent)
}

/// The same after the buyer has paid in Stripe's form.
async fn authorised(app: &TestApp, visitor: &Visitor<'_>, order: &Held) -> (String, String) {
    let (order_id, intent) = opened(visitor, order).await;
    app.simulate_stripe("authorise", json!({ "payment_intent": intent })).await;
    (order_id, intent)
}

async fn pay(app: &TestApp, visitor: &Visitor<'_>, order: &Held) -> (Answer, String) {
    let (order_id, intent) = authorised(app, visitor, order).await;
    (visitor.confirm(order, &order_id, &intent, &format!("pay-{order_id}")).await, intent)
}

/// The intent as Stripe has it now.
async fn at_stripe(app: &TestApp, intent: &str) -> Value {
    let url = format!("{}/v1/payment_intents/{intent}", app.stripe.as_ref().unwrap().base_url());
    let request = app.http.get(url).bearer_auth("sk_test_DEMO000000000000000000");
    request.send().await.unwrap().json().await.unwrap()
}

/// Recovery, until the order is in this state.
async fn recovered(app: &TestApp, visitor: &Visitor<'_>, order: &Held, state: &str) {
    app.until(state, async || {
        app.advance(Duration::from_secs(2)).await;
        app.tick("recover").await;
        visitor.read(order).await.body["status"] == state
    })
    .await;
}

async fn carried(app: &TestApp) {
    app.until("the refunds are carried", async || {
        app.tick("refunds").await;
        app.advance(Duration::from_secs(30)).await;
        app.db.one::<i64>("select count(*) from refunds where state = 'pending'").await == 0
    })
    .await;
}

async fn webhooks_worked(app: &TestApp) {
    app.until("the webhooks are worked", async || {
        app.webhooks().await;
        app.db.one::<i64>("select count(*) from inbox where state = 'received'").await == 0
    })
    .await;
}

fn signed(app: &TestApp, secret: &str, age_s: i64, body: &str) -> reqwest::RequestBuilder {
    let at = app.app().clock.now().as_second() - age_s;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), format!("{at}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let request = app.http.post(app.url("/api/webhooks/stripe")).header("content-type", "application/json");
    request.header("stripe-signature", format!("t={at},v1={hex},v0=00")).body(body.to_owned())
}

fn event(id: &str, kind: &str, order_id: &str) -> String {
    let object =
        json!({ "object": "payment_intent", "status": "requires_capture", "metadata": { "order_id": order_id } });
    json!({ "id": id, "type": kind, "data": { "object": object } }).to_string()
}

#[tokio::test]
async fn what_is_authorised_is_captured_once_and_gives_tickets() {
    let (app, given) = with_stripe(10).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&given, 2).await;
    let first = visitor.initialize(&order).await.expect(200);
    assert_eq!(first.body["client_key"], "pk_test_DEMO000000000000000000");
    assert_eq!(first.text("sdk_url"), format!("{}/v3/", app.stripe.as_ref().unwrap().base_url()));
    let (order_id, intent) = authorised(&app, &visitor, &order).await;
    assert_eq!(app.stripe_counts().await["captured"], 0, "only reserved");
    let paid = visitor.confirm(&order, &order_id, &intent, "k").await.expect(200);
    assert_eq!(paid.body["tickets"].as_array().unwrap().len(), 2);
    visitor.confirm(&order, &order_id, &intent, "k").await.expect(200);
    visitor.confirm(&order, &order_id, &intent, "another").await.expect(200);
    let counts = app.stripe_counts().await;
    assert_eq!((counts["captured"].as_i64(), counts["captured_amount"].as_i64()), (Some(1), Some(order.total)));
    let kept: String = app.db.one("select string_agg(answer::text, ' ') from provider_answers").await;
    assert!(kept.contains(&intent) && !kept.contains("_secret_") && !kept.contains("last4\": \"4"), "{kept}");
    app.finish().await;
}

#[tokio::test]
async fn the_same_key_opens_one_payment() {
    let (app, given) = with_stripe(10).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&given, 1).await;
    let ask = || {
        let body = json!({ "order_number": order.number, "amount": order.total });
        let request = visitor.post("/api/payments/initialize").bearer_auth(&order.token);
        Answer::of(request.header("idempotency-key", "open").json(&body))
    };
    // The answer is lost: the repeat finds the payment that Stripe has made.
    app.simulate_stripe("faults", json!({ "op": "create", "kind": "drop_after", "count": 1 })).await;
    ask().await.refused(503, "payment.provider_away");
    let first = ask().await.expect(200);
    assert_eq!(ask().await.text("client_secret"), first.text("client_secret"));
    assert_eq!(app.stripe_counts().await["intents"], 1);
    app.simulate_stripe("faults", json!({ "op": "create", "kind": "fail", "count": 1 })).await;
    visitor.initialize(&order).await.refused(503, "payment.provider_away");
    app.finish().await;
}

/// Stripe gives the same key the same answer for a day, a failure too.
#[tokio::test]
async fn a_repeat_is_not_stuck_with_a_failure() {
    let (app, given) = with_stripe(10).await;
    let visitor = app.visitor(1);
    for kind in ["error_after", "fail"] {
        let order = visitor.held(&given, 1).await;
        let ask = || {
            let body = json!({ "order_number": order.number, "amount": order.total });
            let request = visitor.post("/api/payments/initialize").bearer_auth(&order.token);
            Answer::of(request.header("idempotency-key", "open").json(&body))
        };
        app.simulate_stripe("faults", json!({ "op": "create", "kind": kind, "count": 1 })).await;
        ask().await.refused(503, "payment.provider_away");
        assert!(ask().await.expect(200).body["client_secret"].is_string(), "{kind}");
        visitor.cancel(&order).await.expect(200);
    }
    app.finish().await;
}

#[tokio::test]
async fn what_is_declined_or_never_authorised_keeps_the_hold() {
    let (app, given) = with_stripe(10).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&given, 1).await;
    let (order_id, intent) = opened(&visitor, &order).await;
    let ask = json!({ "payment_intent": intent, "outcome": "decline", "code": "insufficient_funds" });
    app.simulate_stripe("authorise", ask).await;
    let refused = visitor.confirm(&order, &order_id, &intent, "k").await.refused(409, "payment.declined");
    assert!(refused.text("detail").contains("insufficient_funds"), "{}", refused.body);
    // Nobody has done anything in the form.
    let (order_id, intent) = opened(&visitor, &order).await;
    visitor.confirm(&order, &order_id, &intent, "k2").await.refused(409, "payment.declined");
    // The bank refuses at the capture.
    let (order_id, intent) = authorised(&app, &visitor, &order).await;
    app.simulate_stripe("faults", json!({ "op": "capture", "kind": "fail", "count": 1 })).await;
    visitor.confirm(&order, &order_id, &intent, "k3").await.refused(409, "payment.declined");
    // Taken back at the dashboard in between.
    let (order_id, intent) = authorised(&app, &visitor, &order).await;
    app.simulate_stripe("dashboard-cancel", json!({ "payment_intent": intent })).await;
    visitor.confirm(&order, &order_id, &intent, "k4").await.refused(409, "payment.declined");
    assert_eq!(visitor.read(&order).await.body["status"], "held");
    assert_eq!(app.stripe_counts().await["captured"], 0);
    pay(&app, &visitor, &order).await.0.expect(200);
    app.finish().await;
}

#[tokio::test]
async fn an_unknown_outcome_ends_paid_exactly_once() {
    for kind in [
        "drop_after",
        "error_after",
        "timeout_after",
        "empty_body",
        "html_body",
        "drop_before",
        "error_before",
        "rate_limited",
    ] {
        let (app, given) = with_stripe(10).await;
        let visitor = app.visitor(1);
        let order = visitor.held(&given, 1).await;
        let (order_id, intent) = authorised(&app, &visitor, &order).await;
        app.simulate_stripe("faults", json!({ "op": "capture", "kind": kind, "count": 1, "delay_ms": 50 })).await;
        app.simulate_stripe("faults", json!({ "op": "retrieve", "kind": "error_before", "count": 1 })).await;
        let answer = visitor.confirm(&order, &order_id, &intent, "k").await.expect(202);
        assert_eq!(answer.body["status"], "confirming", "{kind}");
        assert_eq!(app.stock(given.stock_id).await, (1, 0), "{kind}: the place is kept meanwhile");
        app.advance(Duration::from_secs(5)).await;
        recovered(&app, &visitor, &order, "paid").await;
        let counts = app.stripe_counts().await;
        assert_eq!((counts["captured"].as_i64(), counts["refunded"].as_i64()), (Some(1), Some(0)), "{kind}");
        visitor.confirm(&order, &order_id, &intent, "k").await.expect(200);
        app.finish().await;
    }
}

#[tokio::test]
async fn money_goes_back_in_part_and_in_full() {
    let (app, given) = with_stripe(10).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&given, 3).await;
    let (paid, _) = pay(&app, &visitor, &order).await;
    let tickets = paid.expect(200).body["tickets"].clone();
    let one = json!({ "ticket_ids": [tickets[0]["id"]], "amount": 10_000 });
    refund(&visitor, &order, "r1", one).await.expect(200);
    carried(&app).await;
    assert_eq!(app.stripe_counts().await["refunded_amount"], 10_000);
    assert_eq!(visitor.read(&order).await.body["status"], "partially_refunded");
    app.simulate_stripe("refunds", json!({ "pending": true })).await;
    refund(&visitor, &order, "r2", json!({ "amount": 20_000 })).await.expect(200);
    carried(&app).await;
    assert_eq!(app.stripe_counts().await["refunded_amount"], 30_000);
    assert_eq!(visitor.read(&order).await.body["status"], "refunded");
    app.finish().await;
}

#[tokio::test]
async fn a_refund_whose_answer_is_lost_is_made_once() {
    for kind in ["drop_after", "error_after", "drop_before", "rate_limited", "html_body", "fail"] {
        let (app, given) = with_stripe(10).await;
        let visitor = app.visitor(1);
        let order = visitor.held(&given, 2).await;
        let (paid, _) = pay(&app, &visitor, &order).await;
        let ticket = paid.expect(200).body["tickets"][0]["id"].clone();
        refund(&visitor, &order, "r", json!({ "ticket_ids": [ticket], "amount": 10_000 })).await.expect(200);
        app.simulate_stripe("faults", json!({ "op": "refund", "kind": kind, "count": 2 })).await;
        carried(&app).await;
        let counts = app.stripe_counts().await;
        assert_eq!(
            (counts["refunded"].as_i64(), counts["refunded_amount"].as_i64()),
            (Some(1), Some(10_000)),
            "{kind}"
        );
        app.finish().await;
    }
}

#[tokio::test]
async fn only_signed_events_are_heard() {
    let (app, given) = with_stripe(10).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&given, 1).await;
    let (order_id, _) = opened(&visitor, &order).await;
    let body = event("evt_1", "payment_intent.amount_capturable_updated", &order_id);
    let bare = app.http.post(app.url("/api/webhooks/stripe")).body(body.clone());
    Answer::of(bare).await.refused(403, "webhook.forged");
    Answer::of(signed(&app, "whsec_somebody_elses", 0, &body)).await.refused(403, "webhook.forged");
    Answer::of(signed(&app, WEBHOOK_SECRET, 301, &body)).await.refused(403, "webhook.forged");
    let moved = signed(&app, WEBHOOK_SECRET, 0, &body).body(body.replace("evt_1", "evt_2"));
    Answer::of(moved).await.refused(403, "webhook.forged");
    assert_eq!(app.db.one::<i64>("select count(*) from inbox").await, 0);
    for _ in 0..2 {
        Answer::of(signed(&app, WEBHOOK_SECRET, 299, &body)).await.expect(200);
    }
    Answer::of(signed(&app, WEBHOOK_SECRET, 0, &event("evt_3", "payout.paid", &order_id))).await.expect(200);
    Answer::of(signed(&app, WEBHOOK_SECRET, 0, "[]")).await.refused(400, "request.malformed_json");
    assert_eq!(app.db.one::<i64>("select count(*) from inbox").await, 1, "once, however often it comes");
    webhooks_worked(&app).await;
    assert_eq!(visitor.read(&order).await.body["status"], "held");
    app.finish().await;
}

#[tokio::test]
async fn a_secret_may_be_rolled() {
    let both = Some(format!("whsec_new, {WEBHOOK_SECRET}"));
    let app = TestApp::start_with(Options { stripe: true, stripe_webhook_secret: both, ..Options::default() }).await;
    let given = app.given(places(10)).await;
    provider(&app, "payment_provider = 'stripe'").await;
    app.simulate_stripe("webhook-url", json!({ "url": app.url("/api/webhooks/stripe") })).await;
    let heard = async |n: i64| {
        app.until("the webhook has come", async || app.db.one::<i64>("select count(*) from inbox").await >= n).await;
    };
    // Each payment is told of when it is authorised and when it is captured.
    pay(&app, &app.visitor(1), &app.visitor(1).held(&given, 1).await).await.0.expect(200);
    heard(2).await;
    app.simulate_stripe("webhook-secret", json!({ "secret": "whsec_new", "keep_old_s": 3600 })).await;
    pay(&app, &app.visitor(2), &app.visitor(2).held(&given, 1).await).await.0.expect(200);
    heard(4).await;
    app.simulate_stripe("webhook-secret", json!({ "secret": "whsec_new" })).await;
    pay(&app, &app.visitor(3), &app.visitor(3).held(&given, 1).await).await.0.expect(200);
    heard(6).await;
    webhooks_worked(&app).await;
    app.finish().await;
}

#[tokio::test]
async fn a_refund_made_at_the_dashboard_is_noticed() {
    let (app, given) = with_stripe(10).await;
    app.simulate_stripe("webhook-url", json!({ "url": app.url("/api/webhooks/stripe") })).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&given, 2).await;
    let (paid, intent) = pay(&app, &visitor, &order).await;
    paid.expect(200);
    app.simulate_stripe("dashboard-refund", json!({ "payment_intent": intent, "amount": 5_000 })).await;
    let told = "select count(*) from inbox where kind = 'charge.refunded'";
    app.until("the webhook has come", async || app.db.one::<i64>(told).await == 1).await;
    webhooks_worked(&app).await;
    assert_eq!(visitor.read(&order).await.body["status"], "partially_refunded");
    app.simulate_stripe("dashboard-refund", json!({ "payment_intent": intent })).await;
    app.until("the webhook has come", async || app.db.one::<i64>(told).await == 2).await;
    webhooks_worked(&app).await;
    assert_eq!(visitor.read(&order).await.body["status"], "refunded");
    assert_eq!(app.stock(given.stock_id).await, (0, 0));
    app.finish().await;
}

#[tokio::test]
async fn without_room_nothing_is_captured_and_the_reservation_ends() {
    let (app, given) = with_stripe(1).await;
    let (late, quick) = (app.visitor(1), app.visitor(2));
    let order = late.held(&given, 1).await;
    let (order_id, intent) = authorised(&app, &late, &order).await;
    app.advance(Duration::from_secs(610)).await;
    assert_eq!(app.tick("expire").await, 1);
    app.until("the place is free", async || app.redis_free(&given).await == Some(1)).await;
    let taken = quick.held(&given, 1).await;
    late.confirm(&order, &order_id, &intent, "k").await.refused(410, "order.expired");
    app.until("Stripe has let go", async || at_stripe(&app, &intent).await["status"] == "canceled").await;
    late.confirm(&order, &order_id, &intent, "k2").await.refused(409, "payment.declined");
    pay(&app, &quick, &taken).await.0.expect(200);
    let counts = app.stripe_counts().await;
    assert_eq!((counts["captured"].as_i64(), counts["refunded"].as_i64()), (Some(1), Some(0)));
    app.finish().await;
}

/// A bank may refuse a refund days after it was made: the money is owed again, and somebody must look at it.
#[tokio::test]
async fn a_refund_that_fails_later_is_owed_again() {
    let (app, given) = with_stripe(10).await;
    let url = app.url("/api/webhooks/stripe");
    app.simulate_stripe("webhook-url", json!({ "url": url })).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&given, 2).await;
    let (paid, intent) = pay(&app, &visitor, &order).await;
    let tickets = paid.expect(200).body["tickets"].clone();
    for (key, ticket) in [("r1", &tickets[0]), ("r2", &tickets[1])] {
        refund(&visitor, &order, key, json!({ "ticket_ids": [ticket["id"]], "amount": 10_000 })).await.expect(200);
        carried(&app).await;
    }
    webhooks_worked(&app).await;
    app.reconciled().await;
    app.advance(Duration::from_secs(3 * 24 * 3600)).await;
    let url = format!("{}/v1/refunds?payment_intent={intent}", app.stripe.as_ref().unwrap().base_url());
    let listed: Value =
        app.http.get(url).bearer_auth("sk_test_DEMO000000000000000000").send().await.unwrap().json().await.unwrap();
    let refund_id = &listed["data"][0]["id"];
    app.simulate_stripe("refund-settle", json!({ "refund": refund_id, "status": "failed" })).await;
    app.until("the notice is there", async || {
        app.db.one::<i64>("select count(*) from inbox where kind like 'refund.%'").await > 0
    })
    .await;
    webhooks_worked(&app).await;
    let state = |state: &'static str| format!("select count(*) from refunds where state = '{state}'");
    assert_eq!((app.db.one::<i64>(&state("failed")).await, app.db.one::<i64>(&state("done")).await), (1, 1));
    assert_eq!(app.db.one::<i32>("select refunded_won from attempts").await, 10_000);
    app.assert_books_agree("one refund came back").await;
    // The day's books say the same.
    app.reconciled().await;
    // The tickets stay ended; the money goes out once more.
    app.db
        .execute(
            "update refunds set state = 'pending', try = try + 1, next_try_at = admit_now() where state = 'failed'",
        )
        .await;
    carried(&app).await;
    assert_eq!(app.at_provider(Provider::Stripe).await, (0, 1));
    assert_eq!(visitor.read(&order).await.body["status"], "refunded");
    app.finish().await;
}

#[tokio::test]
async fn money_that_came_too_late_goes_back() {
    let (app, given) = with_stripe(1).await;
    app.simulate_stripe("webhook-url", json!({ "url": app.url("/api/webhooks/stripe") })).await;
    let (late, quick) = (app.visitor(1), app.visitor(2));
    let order = late.held(&given, 1).await;
    let (_, intent) = authorised(&app, &late, &order).await;
    app.advance(Duration::from_secs(610)).await;
    assert_eq!(app.tick("expire").await, 1);
    app.until("the place is free", async || app.redis_free(&given).await == Some(1)).await;
    let taken = quick.held(&given, 1).await;
    // Somebody captures it at Stripe's own pages.
    app.simulate_stripe("dashboard-capture", json!({ "payment_intent": intent })).await;
    let told = "select count(*) from inbox where kind = 'payment_intent.succeeded'";
    app.until("the webhook has come", async || app.db.one::<i64>(told).await == 1).await;
    webhooks_worked(&app).await;
    carried(&app).await;
    assert_eq!(app.stripe_counts().await["refunded_amount"], order.total);
    pay(&app, &quick, &taken).await.0.expect(200);
    app.finish().await;
}

#[tokio::test]
async fn a_running_attempt_stays_with_the_provider_it_was_opened_with() {
    let app = TestApp::start_with(Options { stripe: true, ..Options::default() }).await;
    let given = app.given(places(10)).await;
    let (one, other) = (app.visitor(1), app.visitor(2));
    let toss_order = one.held(&given, 1).await;
    let (toss_id, toss_key) = one.authorised(&toss_order).await;
    provider(&app, "payment_provider = 'stripe'").await;
    let stripe_order = other.held(&given, 1).await;
    let (stripe_id, intent) = authorised(&app, &other, &stripe_order).await;
    provider(&app, "payment_provider = 'toss'").await;
    one.confirm(&toss_order, &toss_id, &toss_key, "t").await.expect(200);
    other.confirm(&stripe_order, &stripe_id, &intent, "s").await.expect(200);
    assert_eq!(app.simulator_counts().await["approved"], 1);
    assert_eq!(app.stripe_counts().await["captured"], 1);
    // Where the money came in it goes out.
    refund(&other, &stripe_order, "r", json!({ "amount": 10_000 })).await.expect(200);
    carried(&app).await;
    assert_eq!(app.stripe_counts().await["refunded"], 1);
    app.finish().await;
}

#[tokio::test]
async fn the_canary_gets_its_share_and_needs_its_keys() {
    for (pct, keys, expected) in [(0, true, "toss"), (100, true, "stripe"), (100, false, "toss")] {
        let app = TestApp::start_with(Options { stripe: keys, ..Options::default() }).await;
        let given = app.given(places(10)).await;
        provider(&app, &format!("canary_provider = 'stripe', canary_pct = {pct}")).await;
        let visitor = app.visitor(1);
        let order = visitor.held(&given, 1).await;
        for _ in 0..4 {
            assert_eq!(visitor.initialize(&order).await.expect(200).body["provider"], expected, "{pct} {keys}");
        }
        if !keys {
            // The exhibition's own provider without keys is another matter: nothing can be paid.
            provider(&app, "payment_provider = 'stripe'").await;
            visitor.initialize(&order).await.refused(503, "payment.provider_away");
            Answer::of(app.http.post(app.url("/api/webhooks/stripe")).body("{}"))
                .await
                .refused(404, "payment.unknown_provider");
        }
        app.finish().await;
    }
}

#[tokio::test]
async fn the_pages_lead_to_stripe_and_back_and_believe_no_address() {
    let (app, given) = with_stripe(10).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&given, 1).await;
    let cookie = async |path: String| {
        // The link's proof becomes the cookie of the browser.
        let reply = app.http.get(app.url(&path)).send().await.unwrap();
        let to = reply.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        let cookie =
            reply.headers().get("set-cookie").map(|c| c.to_str().unwrap().split(';').next().unwrap().to_owned());
        (reply.status().as_u16(), to, cookie)
    };
    let opened_at = visitor.initialize(&order).await.expect(200);
    let checkout = opened_at.text("checkout_url").replace("http://localhost:8080", "");
    let (_, to, proof) = cookie(checkout).await;
    let page = app.http.get(app.url(&to.unwrap())).header("cookie", proof.unwrap()).send().await.unwrap();
    let stripe = app.stripe.as_ref().unwrap().base_url();
    let csp = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(csp.contains(&format!("script-src 'self' {stripe};")), "{csp}");
    assert!(page.text().await.unwrap().contains(&format!("<script src=\"{stripe}/v3/\" defer>")));

    let success = opened_at.text("success_url").replace("http://localhost:8080", "");
    let intent = opened_at.text("client_secret").split("_secret_").next().unwrap().to_owned();
    let clean = format!("/xyz/complete/{}", order.number);
    // An address that says "succeeded" pays nothing.
    let back = format!("{success}&payment_intent={intent}&redirect_status=succeeded");
    let (status, to, _) = cookie(back).await;
    assert_eq!((status, to), (303, Some(format!("/xyz/fail/{}?code=payment_intent_unexpected_state", order.number))));
    assert_eq!(visitor.read(&order).await.body["status"], "held");
    let (status, _, _) = cookie(format!("{success}&payment_intent=pi_of_nobody&redirect_status=succeeded")).await;
    assert_eq!(status, 404);

    let opened_at = visitor.initialize(&order).await.expect(200);
    let success = opened_at.text("success_url").replace("http://localhost:8080", "");
    let intent = opened_at.text("client_secret").split("_secret_").next().unwrap().to_owned();
    app.simulate_stripe("authorise", json!({ "payment_intent": intent })).await;
    // Another order's page confirms nothing of this one.
    let other = app.visitor(2).held(&given, 1).await;
    let (status, _, _) = cookie(format!("/xyz/complete/{}?payment_intent={intent}", other.number)).await;
    assert_eq!(status, 404);
    let back = format!("{success}&payment_intent={intent}&payment_intent_client_secret=x&redirect_status=failed");
    for _ in 0..2 {
        let (status, to, proof) = cookie(back.clone()).await;
        assert_eq!((status, to.as_deref(), proof.is_some()), (303, Some(clean.as_str()), true));
    }
    assert_eq!(visitor.read(&order).await.body["status"], "paid");
    assert_eq!(app.stripe_counts().await["captured"], 1);
    app.finish().await;
}

#[tokio::test]
async fn the_books_tell_what_came_in_and_went_out() {
    let (app, given) = with_stripe(10).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&given, 2).await;
    let (paid, intent) = pay(&app, &visitor, &order).await;
    let ticket = paid.expect(200).body["tickets"][0]["id"].clone();
    refund(&visitor, &order, "r", json!({ "ticket_ids": [ticket], "amount": 10_000 })).await.expect(200);
    carried(&app).await;
    let gateway = app.app().gateways.of(admit::payments::Provider::Stripe).unwrap();
    let now = app.app().clock.now();
    let day = jiff::SignedDuration::from_hours(24);
    let page = gateway.transactions(now - day, now + day, None).await.unwrap();
    let mut rows: Vec<_> =
        page.rows.iter().map(|row| (row.amount_won, row.fee_won, row.payment_key.as_str())).collect();
    rows.sort();
    assert_eq!(rows, [(10_000, Some(0), intent.as_str()), (20_000, Some(720), intent.as_str())]);
    assert_eq!(page.next, None);
    assert!(gateway.transactions(now - day * 3, now - day * 2, None).await.unwrap().rows.is_empty());
    crate::books::next_day(&app).await;
    crate::books::compared(&app).await;
    assert_eq!(crate::books::kinds(&app).await, "", "both sides agree");
    app.finish().await;
}

/// Calls that overtake each other may be given two payments: every page goes on with the one that is noted.
#[tokio::test]
async fn of_two_payments_that_were_opened_at_once_one_goes_on() {
    let (app, given) = with_stripe(5).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&given, 1).await;
    app.simulate_stripe("faults", json!({ "op": "create", "kind": "slow", "count": 1, "delay_ms": 4_000 })).await;
    let repeat = async || {
        let ask = json!({ "order_number": order.number, "amount": order.total });
        let request = visitor.post("/api/payments/initialize").bearer_auth(&order.token).json(&ask);
        Answer::of(request.header("idempotency-key", "open-1")).await
    };
    let late = repeat();
    let meanwhile = async {
        let faults = format!("{}/_sim/faults", app.stripe.as_ref().unwrap().base_url());
        app.until("the first call is at Stripe", async || {
            let left: Value = app.http.get(&faults).send().await.unwrap().json().await.unwrap();
            left["faults"].as_array().is_some_and(Vec::is_empty)
        })
        .await;
        // Nobody knows what becomes of the first: its key must stay.
        repeat().await.refused(503, "payment.provider_away");
        app.simulate_stripe("faults", json!({ "op": "create", "kind": "rate_limited", "count": 1 })).await;
        repeat().await.refused(503, "payment.provider_away");
        repeat().await.expect(200).text("client_secret")
    };
    let (late, noted) = tokio::join!(late, meanwhile);
    assert_eq!(late.expect(200).text("client_secret"), noted);
    assert_eq!(app.stripe_counts().await["intents"], 2, "the race was run");
    let intent = noted.split("_secret_").next().unwrap().to_owned();
    app.simulate_stripe("authorise", json!({ "payment_intent": intent })).await;
    let order_id = repeat().await.expect(200).text("order_id");
    visitor.confirm(&order, &order_id, &intent, "k").await.expect(200);
    app.finish().await;
}
