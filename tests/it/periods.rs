//! What of the inventory of personal data (`docs/decisions/0019-personal-data.md`) ends by itself, column by column: each is there
//! an hour before its period ends and gone an hour after, so that none is forgotten behind the others of its row.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::deposits::{awaiting, told};
use crate::desk::Desk;
use crate::erasing::Privacy;
use crate::payments::send_webhook;
use crate::privacy::{ends_in, expired, with_mail};
use crate::refunds::{carried, paid, refund};
use crate::support::given::places;
use crate::support::{Answer, Given, Kind, TestApp};

/// A name, and the rows that say something of a person.
type Said = (&'static str, &'static str);

/// Of every contact. What nobody is counted or found by any more is zeros.
const CONTACT: [Said; 7] = [
    ("contacts.sealed", "contacts where octet_length(sealed) > 0"),
    ("contacts.phone_digest", "contacts where octet_length(phone_digest) > 0"),
    ("contacts.name_index", "contacts where name_index is not null"),
    ("contacts.tail_index", "contacts where tail_index is not null"),
    ("contacts.marketing", "contacts where marketing"),
    ("orders.person_key", "orders where person_key <> decode(repeat('00', 16), 'hex')"),
    ("orders.fingerprint", "orders where fingerprint <> decode(repeat('00', 16), 'hex')"),
];

async fn count(app: &TestApp, rows: &str) -> i64 {
    app.db.one(&format!("select count(*) from {rows}")).await
}

/// `due` is asked for once, before anything has gone.
async fn around(app: &TestApp, worker: &str, due: &str, each: &[Said]) {
    let mut there = Vec::new();
    for (name, rows) in each {
        there.push(count(app, rows).await);
        assert!(there.last() > Some(&0), "{name}: nothing is there");
    }
    let left_s: i64 = app.db.one(&format!("select extract(epoch from ({due}) - admit_now())::bigint")).await;
    assert!(left_s > 3_600, "due in {left_s} s");
    app.advance(Duration::from_secs(left_s as u64 - 3_600)).await;
    app.tick(worker).await;
    for ((name, rows), there) in each.iter().zip(there) {
        assert_eq!(count(app, rows).await, there, "{name}: too early");
    }
    app.advance(Duration::from_secs(7_200)).await;
    app.tick(worker).await;
    for (name, rows) in each {
        assert_eq!(count(app, rows).await, 0, "{name}: still there");
    }
    app.sweep().await;
}

/// The first moment in Seoul at which an exhibition is over for so long.
fn over(for_so_long: &str) -> String {
    format!(
        "select ((ends_on + interval '{for_so_long}')::date + 1)::timestamp at time zone 'Asia/Seoul'
           from exhibitions where code = 'xyz'"
    )
}

/// Paid into an account of its own.
async fn paid_in(app: &TestApp, n: usize, given: &Given) {
    let (_, order_id) = awaiting(app, &app.visitor(n), given, 1).await;
    app.simulate("deposit", json!({ "orderId": order_id })).await;
    told(app, &order_id, "DONE").await;
}

/// Paid by a transfer, and given back by hand.
async fn given_back_by_hand(app: &TestApp, desk: &Desk<'_>, n: usize, given: &Given) {
    let order = app.visitor(n).held(given, 1).await;
    let came = json!({ "amount": order.total, "note": "seen" });
    let paid =
        desk.call(&desk.admin, Method::POST, &format!("orders/{}/transfer", order.number), came).await.expect(200);
    let url = app.url(&format!("/api/admin/exhibitions/xyz/orders/{}/refund", order.number));
    let ask = json!({ "ticket_ids": [paid.body["tickets"][0]["id"]], "reason": "cannot come" });
    let back = app.http.post(url).bearer_auth(&desk.admin).header("idempotency-key", "by hand").json(&ask);
    assert_eq!(Answer::of(back).await.expect(200).text("state"), "by_hand");
}

#[tokio::test]
async fn what_hangs_on_a_contact_goes_with_it() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { person_limit: Some(5), ..places(50) }).await;
    ends_in(&app, &adult, 20).await;
    let desk = Desk::of(&app).await;
    let visitor = app.visitor(1);
    let bought = with_mail(&visitor, &adult, 2).await;
    let tickets = visitor.pay(&bought).await.expect(200).body["tickets"].clone();
    let ask = json!({ "ticket_ids": [tickets[0]["id"]], "amount": 10_000, "reason": "홍길동, 010-1000-0001" });
    refund(&visitor, &bought, "r", ask).await.expect(200);
    carried(&app).await;
    paid_in(&app, 2, &adult).await;
    given_back_by_hand(&app, &desk, 3, &adult).await;
    app.tick("outbox").await;
    app.db
        .execute(&format!(
            "update orders set pass_sid = decode(repeat('01', 16), 'hex');
             -- Whoever ends a refund takes the account away; this one was forgotten.
             update refunds set account_key_id = 't1', account_sealed = 'x' where state = 'by_hand';
             insert into room_notices (id, exhibition_id, run, lane, number, key_id, sealed, created_at)
             values (gen_random_uuid(), {}, 1, 0, 1, 't1', 'x', admit_now())",
            adult.exhibition_id
        ))
        .await;
    let account = ("refunds.account_sealed", "refunds where account_sealed is not null");
    // That order was given back whole: its contact goes first.
    around(&app, "retention", "select max(closed_at) + interval '30 days' from orders", &[account]).await;

    let mut each = CONTACT.to_vec();
    each.extend([
        ("orders.pass_sid", "orders where pass_sid is not null"),
        ("person_counters", "person_counters"),
        ("refunds.reason", "refunds where kind = 'visitor' and reason <> 'visitor'"),
        ("deposit_accounts", "deposit_accounts"),
        ("room_notices", "room_notices where sealed is not null"),
    ]);
    around(&app, "retention", &over("90 days"), &each).await;
    app.finish().await;
}

#[tokio::test]
async fn what_came_to_nothing_says_nothing_after_a_month() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { person_limit: Some(5), ..places(50) }).await;
    let visitor = app.visitor(1);
    with_mail(&visitor, &adult, 1).await;
    app.db.execute("update orders set pass_sid = decode(repeat('01', 16), 'hex')").await;
    app.advance(Duration::from_secs(700)).await;
    app.tick("expire").await;
    let mut each = CONTACT.to_vec();
    each.extend([("orders.pass_sid", "orders where pass_sid is not null"), ("person_counters", "person_counters")]);
    around(&app, "retention", "select max(closed_at) + interval '30 days' from orders", &each).await;
    app.finish().await;
}

/// A bank account is kept no longer than money goes to it.
#[tokio::test]
async fn whoever_pays_by_hand_forgets_the_account() {
    let app = TestApp::start().await;
    let adult = app.given(places(5)).await;
    let desk = Desk::of(&app).await;
    let visitor = app.visitor(1);
    let bought = paid(&visitor, &adult, 1).await;
    refund(&visitor, &bought.order, "r", json!({ "amount": 10_000 })).await.expect(200);
    app.simulate("faults", json!({ "op": "cancel", "kind": "fail", "code": "NOT_CANCELABLE_PAYMENT", "count": 1 }))
        .await;
    carried(&app).await;
    app.db.execute("update refunds set account_key_id = 't1', account_sealed = 'x' where state = 'failed'").await;
    assert_eq!(count(&app, "refunds where account_sealed is not null").await, 1);
    let id: uuid::Uuid = app.db.one("select id from refunds").await;
    let path = format!("exhibitions/xyz/orders/{}/refunds/{id}/paid-by-hand", bought.order.number);
    let paid = desk.call(&desk.admin, Method::POST, &path, json!({ "note": "transfer" })).await.expect(200);
    assert_eq!(paid.text("state"), "by_hand");
    assert_eq!(count(&app, "refunds where account_sealed is not null").await, 0);
    app.finish().await;
}

#[tokio::test]
async fn what_leads_to_a_payer_goes_column_by_column() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    ends_in(&app, &adult, 20).await;
    let desk = Desk::of(&app).await;
    let visitor = app.visitor(1);
    let bought = visitor.held(&adult, 1).await;
    let (order_id, payment_key) = visitor.authorised(&bought).await;
    app.simulate("faults", json!({ "op": "confirm", "kind": "fail", "count": 1, "code": "REJECT_CARD_PAYMENT" })).await;
    visitor.confirm(&bought, &order_id, &payment_key, "declined").await.refused(409, "payment.declined");
    visitor.pay(&bought).await.expect(200);
    paid_in(&app, 2, &adult).await;
    given_back_by_hand(&app, &desk, 3, &adult).await;
    app.db
        .execute(&format!(
            "-- As Stripe's attempts have one.
             update attempts set client_secret = 'pi_secret' where state = 'accepted' and provider = 'toss';
             insert into scans (id, exhibition_id, gate, staff_id, allowed, reason, scanned_at, reply)
             values (gen_random_uuid(), {0}, 'n', 1, true, 'ok', admit_now(), '{{}}');
             insert into entry_conflicts (id, exhibition_id, kind, scan_id, created_at, decided_at, decided_by, decision, note)
             select gen_random_uuid(), {0}, 'unknown', id, admit_now(), admit_now(), 1, 'honest', 'a friend' from scans",
            adult.exhibition_id
        ))
        .await;
    let each = [
        ("attempts.payment_key", "attempts where payment_key is not null"),
        ("attempts.receipts", "attempts where receipts is not null"),
        ("attempts.secret", "attempts where secret is not null"),
        ("attempts.client_secret", "attempts where client_secret is not null"),
        ("attempts.failure_message", "attempts where failure_message is not null"),
        ("provider_answers", "provider_answers"),
        ("refunds.reason of staff", "refunds where kind = 'admin' and reason <> ''"),
        ("entry_conflicts.note", "entry_conflicts where note is not null"),
    ];
    around(&app, "retention", &over("5 years"), &each).await;
    app.finish().await;
}

#[tokio::test]
async fn differences_of_money_go_five_years_after_they_were_settled_and_not_before() {
    let app = TestApp::start().await;
    app.db
        .execute(
            "insert into money_differences (provider, day, kind, payment_key, order_id, ours_won, theirs_won, noticed_at, resolved_at)
             select 'toss', '2026-11-01', 'amount', k, 'ORD-1', 1, 2, admit_now() - interval '9 years', resolved
               from (values ('settled', admit_now()), ('open', null)) as d (k, resolved)",
        )
        .await;
    let settled = ("money_differences", "money_differences where resolved_at is not null");
    let due = "select max(resolved_at) + interval '5 years' from money_differences";
    around(&app, "retention", due, &[settled]).await;
    assert_eq!(count(&app, "money_differences").await, 1, "somebody still looks for that money");
    app.finish().await;
}

#[tokio::test]
async fn webhooks_go_ninety_days_after_they_were_worked() {
    let app = TestApp::start().await;
    let adult = app.given(places(5)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    visitor.confirm(&order, &order_id, &payment_key, "k").await.expect(200);
    send_webhook(&app, &order_id, &payment_key, "DONE").await.expect(200);
    app.webhooks().await;
    app.db
        .execute(
            "insert into inbox (provider, transmission_id, kind, order_id, body, received_at, state, next_try_at)
             select provider, 'dead', kind, order_id, body, received_at, 'dead', next_try_at from inbox",
        )
        .await;
    let due = "select max(processed_at) + interval '90 days' from inbox";
    around(&app, "purge", due, &[("inbox", "inbox where state = 'processed'")]).await;
    assert_eq!(count(&app, "inbox where state = 'dead'").await, 1, "somebody must look at it");
    app.finish().await;
}

#[tokio::test]
async fn what_limits_count_goes_after_a_day() {
    let app = TestApp::start().await;
    app.login("nobody-at-all", "a wrong password").await.refused(401, "auth.invalid_credentials");
    let reset = app.http.post(app.url("/api/auth/password-reset")).json(&json!({ "username": "nobody-at-all" }));
    Answer::of(reset).await.expect(202);
    app.db
        .execute(
            "insert into account_notices (id, user_id, what, language, created_at)
             values (gen_random_uuid(), 1, 'recovery_code', 'ko', admit_now());
             insert into one_time_codes (id, who, phone_digest, key_id, sealed, created_at)
             values (gen_random_uuid(), 'x', 'x', 't1', 'x', admit_now())",
        )
        .await;
    let each = [
        ("sign_in_tries", "sign_in_tries"),
        ("password_resets", "password_resets"),
        ("account_notices", "account_notices"),
        ("one_time_codes", "one_time_codes"),
    ];
    around(&app, "purge", "select max(created_at) + interval '25 hours' from one_time_codes", &each).await;
    app.finish().await;
}

/// Whoever asks to be forgotten need not wait for the day.
#[tokio::test]
async fn a_request_to_erase_takes_codes_along_and_leaves_those_of_others() {
    let app = TestApp::start().await;
    let adult = app.given(places(5)).await;
    expired(&app, &app.visitor(1), &adult).await;
    for n in [1, 2] {
        let digest = admit::orders::contact::phone_digest(app.app(), &format!("+82101000000{n}"));
        let add = "insert into one_time_codes (id, who, phone_digest, key_id, sealed, created_at)
                   values (gen_random_uuid(), 'x', $1, 't1', 'x', admit_now())";
        app.db.client().await.execute(add, &[&digest.as_slice()]).await.unwrap();
    }
    let privacy = Privacy::of(&app).await;
    let asked = privacy.asked("erase", &app.visitor(1).phone).await.expect(201);
    assert_eq!(count(&app, "one_time_codes").await, 2);
    privacy.call(Method::POST, &format!("/{}/erase", asked.text("id")), json!({})).await.expect(200);
    assert_eq!(count(&app, "one_time_codes").await, 1);
    app.finish().await;
}
