//! Virtual accounts: issued, paid in, lapsed, taken back by the bank, given up; and money that has no account to go to.

use std::time::Duration;

use admit::stock::Line;
use admit::stock::redis::{self, Ask, Pass, Take};
use serde_json::{Value, json};

use crate::refunds::{preview, refund};
use crate::support::given::places;
use crate::support::visitor::{Held, Visitor};
use crate::support::{Answer, Given, Kind, Options, TestApp};

pub async fn awaiting(app: &TestApp, visitor: &Visitor<'_>, given: &Given, quantity: i64) -> (Held, String) {
    let order = visitor.held(given, quantity).await;
    let order_id = visitor.initialize(&order).await.expect(200).text("order_id");
    let ask = json!({ "orderId": order_id, "amount": order.total, "method": "가상계좌" });
    let payment_key = app.simulate("authorise", ask).await["paymentKey"].as_str().unwrap().to_owned();
    let answer = visitor.confirm(&order, &order_id, &payment_key, "k").await.expect(200);
    assert_eq!(answer.body["status"], "awaiting_deposit");
    assert!(answer.body["deposit"]["account_number"].as_str().is_some_and(|number| number.starts_with('X')));
    let again = visitor.confirm(&order, &order_id, &payment_key, "k").await.expect(200);
    assert_eq!(again.body["deposit"], answer.body["deposit"], "a repeat gets the same account");
    (order, order_id)
}

async fn worked(app: &TestApp) {
    app.until("the webhooks are worked", async || {
        app.advance(Duration::from_secs(2)).await;
        app.tick("webhooks").await;
        app.db.one::<i64>("select count(*) from inbox where state = 'received'").await == 0
    })
    .await;
}

pub async fn told(app: &TestApp, order_id: &str, status: &str) {
    let secret =
        app.db.one::<String>(&format!("select secret from attempts where provider_order_id = '{order_id}'")).await;
    let event = json!({ "createdAt": "2026-11-21T09:03:11.104233", "secret": secret, "status": status,
        "transactionKey": uuid::Uuid::new_v4().simple().to_string(), "orderId": order_id });
    Answer::of(app.http.post(app.url("/api/webhooks/toss")).json(&event)).await.expect(200);
    worked(app).await;
}

/// Paid in, and taken back by the bank.
pub async fn reversed(app: &TestApp, visitor: &Visitor<'_>, given: &Given, quantity: i64) -> (Held, String) {
    let (order, order_id) = awaiting(app, visitor, given, quantity).await;
    app.simulate("deposit", json!({ "orderId": order_id })).await;
    told(app, &order_id, "DONE").await;
    app.simulate("deposit-reverse", json!({ "orderId": order_id })).await;
    told(app, &order_id, "WAITING_FOR_DEPOSIT").await;
    (order, order_id)
}

/// What the tax office wants is handed to the provider's window, and what the provider made of it shown.
#[tokio::test]
async fn receipts_are_asked_for_and_shown_to_the_owner() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    app.db.execute("update exhibitions set culture_expense = true, deposit_h = 48").await;
    app.refresh().await;
    let visitor = app.visitor(1);
    let order = visitor.held(&given, 1).await;
    let ask = json!({ "order_number": order.number, "amount": order.total, "cash_receipt": "expense_proof" });
    let open = |body: Value| Answer::of(visitor.post("/api/payments/initialize").bearer_auth(&order.token).json(&body));
    open(json!({ "order_number": order.number, "amount": order.total, "cash_receipt": "both" })).await.expect(422);
    let opened = open(ask).await.expect(200);
    let account = &opened.body["window"]["virtualAccount"];
    assert_eq!((&account["validHours"], &account["isCulturalExpenses"]), (&json!(48), &json!(true)));
    let kind = account["cashReceipt"]["type"].as_str().unwrap();
    let order_id = opened.text("order_id");
    let paid = json!({ "orderId": order_id, "amount": order.total, "method": "가상계좌", "validHours": 48,
        "cultureExpense": true, "cashReceipt": { "type": kind } });
    let payment_key = app.simulate("authorise", paid).await["paymentKey"].as_str().unwrap().to_owned();
    visitor.confirm(&order, &order_id, &payment_key, "k").await.expect(200);
    let page = visitor.get(&format!("/{}/complete/{}", given.code, order.number)).bearer_auth(&order.token);
    let page = page.send().await.unwrap().text().await.unwrap();
    let number = visitor.read(&order).await.body["deposit"]["account_number"].as_str().unwrap().to_owned();
    assert!(page.contains(&number), "the waiting order's page says where to pay in");
    app.simulate("deposit", json!({ "orderId": order_id })).await;
    told(&app, &order_id, "DONE").await;
    let read = visitor.read(&order).await;
    let receipts = &read.body["receipts"];
    assert_eq!((&receipts["cash"]["kind"], &receipts["culture_expense"]), (&json!("지출증빙"), &json!(true)));
    let page = visitor.get(&format!("/{}/complete/{}", given.code, order.number)).bearer_auth(&order.token);
    let page = page.send().await.unwrap().text().await.unwrap();
    assert!(page.contains(&receipts["cash"]["url"].as_str().unwrap().replace('&', "&#38;")), "{page}");
    app.finish().await;
}

#[tokio::test]
async fn a_deposit_makes_tickets_and_a_forged_one_does_not() {
    let app = TestApp::start().await;
    let given = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let (order, order_id) = awaiting(&app, &visitor, &given, 2).await;
    assert_eq!(app.stock(given.stock_id).await, (2, 0));
    // Places are kept for days, not minutes.
    app.advance(Duration::from_secs(3600)).await;
    app.tick("expire").await;
    assert_eq!(visitor.read(&order).await.body["status"], "awaiting_deposit");
    let forged = json!({ "createdAt": "2026-11-21T09:03:11", "secret": "ps_forged", "status": "DONE",
        "transactionKey": "T", "orderId": order_id });
    Answer::of(app.http.post(app.url("/api/webhooks/toss")).json(&forged)).await.expect(200);
    assert_eq!(app.db.one::<i64>("select count(*) from inbox").await, 0, "another secret than the payment's");
    // With the right secret and nothing paid in: Toss is asked, and says so.
    told(&app, &order_id, "DONE").await;
    assert_eq!(visitor.read(&order).await.body["status"], "awaiting_deposit");
    app.simulate("deposit", json!({ "orderId": order_id })).await;
    told(&app, &order_id, "DONE").await;
    let read = visitor.read(&order).await;
    assert_eq!((read.body["status"].as_str(), read.body["tickets"].as_array().map(Vec::len)), (Some("paid"), Some(2)));
    assert_eq!(app.stock(given.stock_id).await, (0, 2));
    let answers = app.db.one::<String>("select string_agg(answer::text, ' ') from provider_answers").await;
    assert!(answers.contains("\"accountNumber\": \"(removed)\""), "{answers}");
    app.finish().await;
}

#[tokio::test]
async fn an_account_that_nobody_pays_into_lapses_and_is_closed() {
    let app = TestApp::start().await;
    let given = app.given(places(1)).await;
    let visitor = app.visitor(1);
    let (order, _) = awaiting(&app, &visitor, &given, 1).await;
    app.visitor(2).order(&given, 1).await.refused(409, "stock.sold_out");
    app.advance(Duration::from_secs(8 * 24 * 3600)).await;
    app.until("the account lapses", async || {
        app.advance(Duration::from_secs(601)).await;
        app.tick("deposits").await;
        visitor.read(&order).await.body["status"] == "expired"
    })
    .await;
    app.until("the account is closed", async || {
        app.advance(Duration::from_secs(301)).await;
        app.tick("deposits").await;
        app.db.one::<i64>("select count(*) from deposit_accounts").await == 0
    })
    .await;
    app.until("the place is free", async || app.redis_free(&given).await == Some(1)).await;
    app.finish().await;
}

#[tokio::test]
async fn a_deposit_whose_notice_is_lost_is_found() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let visitor = app.visitor(1);
    let (order, order_id) = awaiting(&app, &visitor, &given, 1).await;
    app.simulate("deposit", json!({ "orderId": order_id })).await;
    app.until("the deposit is found", async || {
        app.advance(Duration::from_secs(12 * 3600)).await;
        app.tick("deposits").await;
        visitor.read(&order).await.body["status"] == "paid"
    })
    .await;
    app.finish().await;
}

#[tokio::test]
async fn a_deposit_that_the_bank_takes_back_closes_the_door_until_it_is_there_again() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let visitor = app.visitor(1);
    let (order, order_id) = reversed(&app, &visitor, &given, 1).await;
    assert_eq!(visitor.read(&order).await.body["status"], "awaiting_deposit");
    assert_eq!(app.db.one::<String>("select state from tickets").await, "blocked");
    assert_eq!(app.stock(given.stock_id).await, (1, 0));
    app.simulate("deposit", json!({ "orderId": order_id })).await;
    told(&app, &order_id, "DONE").await;
    assert_eq!(visitor.read(&order).await.body["status"], "paid");
    assert_eq!(app.db.one::<String>("select state from tickets").await, "valid");
    app.finish().await;
}

/// Redis hears of it at once: whoever has one open order is refused the next before anything is taken.
#[tokio::test]
async fn an_order_whose_deposit_was_taken_back_is_an_open_one_again() {
    let app = TestApp::start_with(Options { exempt: false, ..Options::default() }).await;
    let given = app.given(Kind { open_holds_max: 1, ..places(50) }).await;
    let visitor = app.visitor(1);
    let (_, order_id) = awaiting(&app, &visitor, &given, 1).await;
    let person: Vec<u8> = app.db.one("select person_key from orders").await;
    let person: [u8; 16] = person.try_into().unwrap();
    let take = async |n: u8| {
        let ask = Ask {
            code: given.code,
            hold_id: &[n; 16],
            fingerprint: &[4; 16],
            person: &person,
            places: 0,
            allowed: None,
            open_holds_max: Some(1),
            pass: Pass::None,
            lines: &[Line { stock_id: given.stock_id, quantity: 1 }],
        };
        let redis = &app.app().redis;
        let taken = redis::take(redis, &ask, app.app().clock.now_ms()).await.unwrap();
        redis::give_back(redis, given.code, &[n; 16], None).await.unwrap();
        taken
    };
    let heard = async |n: u8, refused: bool| {
        app.until("Redis has heard of it", async || (take(n).await == Take::OpenHolds) == refused).await;
    };
    heard(1, true).await;
    app.simulate("deposit", json!({ "orderId": order_id })).await;
    told(&app, &order_id, "DONE").await;
    heard(2, false).await;
    app.simulate("deposit-reverse", json!({ "orderId": order_id })).await;
    told(&app, &order_id, "WAITING_FOR_DEPOSIT").await;
    heard(3, true).await;
    app.finish().await;
}

#[tokio::test]
async fn money_that_comes_after_all_goes_back_to_an_account_that_is_named() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let visitor = app.visitor(1);
    let (order, order_id) = awaiting(&app, &visitor, &given, 1).await;
    // Paid in a moment before the order is cancelled: nobody has heard of it yet.
    app.simulate("deposit", json!({ "orderId": order_id })).await;
    visitor.cancel(&order).await.expect(200);
    app.until("the money is seen", async || {
        app.advance(Duration::from_secs(301)).await;
        app.tick("deposits").await;
        app.db.one::<i64>("select count(*) from refunds where state = 'needs_account'").await == 1
    })
    .await;
    let refund_id = app.db.one::<String>("select id::text from refunds").await;
    let url = format!("/api/orders/{}/refunds/{refund_id}/account", order.number);
    let name = async |body: Value| Answer::of(visitor.post(&url).bearer_auth(&order.token).json(&body)).await;
    name(json!({ "bank": "20", "account_number": "12-ab", "holder": "홍길동" })).await.refused(422, "request.invalid");
    name(json!({ "bank": "20", "account_number": "1002-123-456789", "holder": "홍길동" })).await.expect(200);
    app.until("the money is back", async || {
        app.advance(Duration::from_secs(30)).await;
        app.tick("refunds").await;
        app.db.one::<i64>("select count(*) from refunds where state = 'done'").await == 1
    })
    .await;
    assert_eq!(app.db.one::<i64>("select count(*) from refunds where account_sealed is not null").await, 0, "purged");
    assert_eq!(app.simulator_counts().await["cancelled_amount"], 10_000);
    app.finish().await;
}

#[tokio::test]
async fn a_ticket_paid_by_deposit_is_given_back_to_an_account() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let visitor = app.visitor(1);
    let (order, order_id) = awaiting(&app, &visitor, &given, 1).await;
    app.simulate("deposit", json!({ "orderId": order_id })).await;
    told(&app, &order_id, "DONE").await;
    assert_eq!(preview(&visitor, &order).await.expect(200).body["needs_account"], true);
    refund(&visitor, &order, "r", json!({ "amount": 10_000 })).await.refused(422, "request.invalid");
    let account = json!({ "bank": "88", "account_number": "110123456789", "holder": "홍길동" });
    refund(&visitor, &order, "r", json!({ "amount": 10_000, "account": account })).await.expect(200);
    app.until("the money is back", async || {
        app.advance(Duration::from_secs(30)).await;
        app.tick("refunds").await;
        app.db.one::<i64>("select count(*) from refunds where state = 'done'").await == 1
    })
    .await;
    app.finish().await;
}
