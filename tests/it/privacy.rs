//! Personal data goes when its period ends or its person asks, never while it is needed; and nothing else changes.

use std::time::Duration;

use admit::admin::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::refunds::{paid, refund};
use crate::support::browser::Browser;
use crate::support::given::places;
use crate::support::visitor::Held;
use crate::support::{Answer, Given, Kind, TestApp, Visitor};

const REQUESTS: &str = "privacy/requests";
/// Contacts that say whose they are, by what became of their orders.
const UNPAID: &str = "select count(*) from contacts c join orders o on o.id = c.order_id
    where c.erased_at is null and o.state in ('expired', 'cancelled', 'refunded')";
pub const PAID: &str = "select count(*) from contacts c join orders o on o.id = c.order_id
    where c.erased_at is null and o.state in ('paid', 'partially_refunded')";

/// An exhibition whose last day is so many days from now.
pub async fn ends_in(app: &TestApp, given: &Given, days: i32) {
    app.db
        .execute(&format!(
            "update exhibitions set ends_on = (admit_now() at time zone 'Asia/Seoul')::date + {days} where id = {}",
            given.exhibition_id
        ))
        .await;
    app.refresh().await;
}

pub async fn days(app: &TestApp, n: u64) {
    app.advance(Duration::from_secs(n * 86_400)).await;
}

pub async fn with_mail(visitor: &Visitor<'_>, given: &Given, quantity: i64) -> Held {
    let mut ask = visitor.ask(given, quantity);
    ask["customer_email"] = json!("hong@example.org");
    ask["consent"] = json!({ "version": admit::orders::consent::VERSION, "marketing": true });
    Held::from(&Answer::of(visitor.post("/api/orders").json(&ask)).await.expect(201))
}

pub async fn expired(app: &TestApp, visitor: &Visitor<'_>, given: &Given) -> Held {
    let order = visitor.held(given, 1).await;
    app.advance(Duration::from_secs(700)).await;
    app.tick("expire").await;
    order
}

/// What must be the same whoever is forgotten.
async fn books(app: &TestApp) -> String {
    app.db
        .one(
            "select string_agg(line, e'\n' order by line) from (
                 select format('%s %s %s', number, state, total_won) as line from orders
                 union all select format('attempt %s %s %s', provider_order_id, state, amount_won - refunded_won) from attempts
                 union all select format('refund %s %s %s', id, state, amount_won) from refunds
                 union all select format('ticket %s %s %s', id, state, entries) from tickets
                 union all select format('stock %s %s %s', id, held, sold) from stock) all_of_it",
        )
        .await
}

/// Up to an hour before, and an hour after.
pub async fn around(app: &TestApp, what: &str, due: &str, still: &str) {
    let (there, sums) = (app.db.one::<i64>(still).await, books(app).await);
    assert!(there > 0, "{what}: nothing is there");
    let left: i64 = app.db.one(&format!("select extract(epoch from ({due}) - admit_now())::bigint")).await;
    assert!(left > 3_600, "{what}: due in {left} s");
    app.advance(Duration::from_secs(left as u64 - 3_600)).await;
    app.tick("retention").await;
    assert_eq!(app.db.one::<i64>(still).await, there, "{what}: too early");
    app.advance(Duration::from_secs(7_200)).await;
    app.tick("retention").await;
    assert_eq!(app.db.one::<i64>(still).await, 0, "{what}: still there");
    assert_eq!(books(app).await, sums, "{what}: the books");
    app.sweep().await;
}

#[tokio::test]
async fn everything_is_there_the_day_before_its_period_ends_and_gone_the_day_after() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { person_limit: Some(5), ..places(50) }).await;
    ends_in(&app, &adult, 20).await;
    let desk = Desk::of(&app).await;
    let bought = with_mail(&app.visitor(1), &adult, 2).await;
    let answer = app.visitor(1).pay(&bought).await.expect(200);
    let back = paid(&app.visitor(2), &adult, 1).await;
    let ask = json!({ "ticket_ids": back.tickets, "amount": 10_000, "reason": "홍길동, 010-1000-0002" });
    refund(&app.visitor(2), &back.order, "r", ask).await.expect(200);
    crate::refunds::carried(&app).await;
    let given_up = app.visitor(3).held(&adult, 1).await;
    app.visitor(3).cancel(&given_up).await.expect(200);
    expired(&app, &app.visitor(4), &adult).await;
    app.tick("outbox").await;
    app.account("gate-7", Role::Staff, &["xyz"]).await;
    let scan = json!({ "qr_code": answer.body["tickets"][0]["qr_code"], "gate": "north" });
    let gate = app.access_token("gate-7").await;
    Answer::of(app.http.post(app.url("/api/entrance/scan")).bearer_auth(gate).json(&scan)).await.expect(200);
    // What hangs on no order, or is staff's.
    let rules = "exhibitions/xyz/entry-rules";
    desk.call(&desk.owner, Method::PUT, rules, json!({ "exhibition": null, "walk_ins": true })).await.expect(200);
    let reveal = format!("orders/{}/reveal", bought.number);
    desk.call(&desk.support, Method::POST, &reveal, json!({ "why": "called" })).await.expect(200);
    let copy = json!({ "kind": "export", "verified_by": "phone", "phone": app.visitor(1).phone });
    let copy = desk.call(&desk.owner, Method::POST, REQUESTS, copy).await.expect(201).text("id");
    desk.call(&desk.owner, Method::GET, &format!("{REQUESTS}/{copy}/export"), json!({})).await.expect(200);
    // One that nobody takes is not answered by its age.
    let untaken = json!({ "kind": "export", "verified_by": "phone", "phone": app.visitor(2).phone });
    desk.call(&desk.owner, Method::POST, REQUESTS, untaken).await.expect(201);
    app.db
        .execute(&format!(
            "insert into room_notices (id, exhibition_id, run, lane, number, key_id, sealed, created_at)
             values (gen_random_uuid(), {0}, 1, 0, 1, 't1', 'x', admit_now());
             insert into entry_conflicts (id, exhibition_id, kind, scan_id, created_at, decided_at, decided_by, decision, note)
             select gen_random_uuid(), {0}, 'double', id, admit_now(), admit_now(), 1, 'honest', 'a friend' from scans limit 1;
             insert into provider_transactions (provider, key, payment_key, kind, amount_won, at)
             values ('toss', 'k', 'p', 'payment', 1, admit_now())",
            adult.exhibition_id
        ))
        .await;
    assert_eq!(app.tick("retention").await, 0, "nothing is due");

    let taken = "from privacy_requests where phone_digest is not null and carried_at is not null";
    around(
        &app,
        "who asked for a copy",
        "select ((max(asked_at) at time zone 'Asia/Seoul')::date + 11)::timestamp at time zone 'Asia/Seoul' from privacy_requests",
        &format!("select count(*) {taken}"),
    )
    .await;
    let open = "select count(*) from privacy_requests where ended_at is null and phone_digest is not null";
    assert_eq!(app.db.one::<i64>(open).await, 1, "nobody has answered it");
    around(&app, "contacts of what came to nothing", "select max(closed_at) + interval '30 days' from orders", UNPAID)
        .await;
    let words: i64 = app.db.one("select count(*) from refunds where reason <> 'visitor'").await;
    assert_eq!((words, app.db.one::<i64>(PAID).await), (0, 1), "the visitor's words went, and nobody else");
    around(
        &app,
        "sign-ins",
        "select max(created_at) + interval '92 days' from refresh_tokens",
        "select count(*) from refresh_tokens",
    )
    .await;
    let seoul = |days: &str| {
        format!(
            "select ((ends_on + {days} + 1)::timestamp at time zone 'Asia/Seoul') from exhibitions where code = 'xyz'"
        )
    };
    around(
        &app,
        "contacts of those who came",
        &seoul("90"),
        "select (select count(*) from contacts where octet_length(sealed) > 0 or octet_length(phone_digest) > 0
                    or marketing or name_index is not null)
              + (select count(*) from person_counters) + (select count(*) from room_notices where sealed is not null)
              + (select count(*) from orders where person_key <> decode(repeat('00', 16), 'hex') or has_email)",
    )
    .await;
    forgotten_everywhere(&app, &desk, &bought, &answer).await;
    around(
        &app,
        "who looked at whose data",
        "select at + interval '2 years' from admin_audit where action = 'order.reveal'",
        "select count(*) from admin_audit where action = 'order.reveal'",
    )
    .await;
    let stays = "select count(*) from admin_audit where action = 'entry.rules' and address is null";
    assert_eq!(app.db.one::<i64>(stays).await, 1, "what an invariant rests on stays, without its address");
    around(
        &app,
        "that somebody asked",
        "select max(ended_at) + interval '3 years' from privacy_requests",
        "select count(*) from privacy_requests where ended_at is not null",
    )
    .await;
    assert_eq!(app.db.one::<i64>(open).await, 1, "not even after years");
    around(
        &app,
        "the provider's books",
        "select max(at) + interval '5 years' from provider_transactions",
        "select count(*) from provider_transactions",
    )
    .await;
    around(
        &app,
        "what leads to a payer",
        &seoul("0").replace("(ends_on + 0 + 1)", "((ends_on + interval '5 years')::date + 1)"),
        "select (select count(*) from attempts where payment_key is not null or receipts is not null or secret is not null)
              + (select count(*) from provider_answers) + (select count(*) from entry_conflicts where note is not null)",
    )
    .await;
    let told: Value =
        app.db.one("select after from admin_audit where action = 'privacy.retention' order by id desc limit 1").await;
    assert_eq!((&told["payments"], &told["contacts"]), (&json!(4), &Value::Null), "{told}");
    app.finish().await;
}

/// Its pages go on without its person.
async fn forgotten_everywhere(app: &TestApp, desk: &Desk<'_>, order: &Held, answer: &Answer) {
    let (support, owner, admin) =
        (app.access_token("helper").await, app.access_token("owner").await, app.access_token("boss").await);
    let path = format!("orders/{}", order.number);
    let shown = desk.call(&support, Method::GET, &path, json!({})).await.expect(200);
    assert_eq!(
        shown.body["contact"],
        json!({ "customer_name": "", "customer_phone": "", "customer_email": null,
        "marketing": false, "forgotten": true })
    );
    let kinds: Vec<_> = shown.body["events"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.last(), Some(&"contact_erased"));
    let why = json!({ "why": "x" });
    desk.call(&support, Method::POST, &format!("{path}/reveal"), why).await.refused(410, "order.forgotten");
    desk.call(&support, Method::POST, &format!("{path}/resend"), json!({})).await.refused(409, "order.no_address");
    let found = |q: &str| desk.call(&owner, Method::POST, "orders/search", json!({ "q": q }));
    let by_number = found(&order.number).await.expect(200);
    assert_eq!(by_number.body["orders"][0]["customer_name"], Value::Null, "{}", by_number.body);
    for q in ["010-1000-0001", "0001", "홍길동"] {
        assert_eq!(found(q).await.expect(200).body["orders"], json!([]), "{q}");
    }
    let file = json!({ "format": "csv", "unmasked": true, "why": "x" });
    let csv = crate::exports::fetched(app, &admin, "xyz", &file).await.text().await.unwrap();
    assert_eq!(csv.lines().count(), 1 + 4);
    assert!(csv.contains(&order.number) && !csv.contains("홍길동"), "{csv}");

    let visitor = app.visitor(1);
    let read = visitor.read(order).await.expect(200);
    assert_eq!(
        (read.text("status"), &read.body["tickets"][0]["id"]),
        ("paid".into(), &answer.body["tickets"][0]["id"])
    );
    let page = Browser::of(app, order).get(&format!("/xyz/complete/{}", order.number)).await;
    page.expect(200, &[&order.number]).without("홍길동");
    let lookup = json!({ "order_number": order.number, "phone": visitor.phone });
    Answer::of(visitor.post("/api/orders/lookup").json(&lookup)).await.refused(404, "order.unknown");
}

#[tokio::test]
async fn nobody_is_forgotten_while_money_is_on_its_way_to_them() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let visitor = app.visitor(1);
    let bought = paid(&visitor, &adult, 2).await;
    refund(&visitor, &bought.order, "r", json!({ "ticket_ids": [bought.tickets[0]], "amount": 10_000 }))
        .await
        .expect(200);
    let other = paid(&app.visitor(2), &adult, 1).await;
    ends_in(&app, &adult, 1).await;
    days(&app, 93).await;
    app.tick("retention").await;
    let left: Vec<String> = app
        .db
        .client()
        .await
        .query("select o.number from contacts c join orders o on o.id = c.order_id where c.erased_at is null", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(left, std::slice::from_ref(&bought.order.number), "{} is forgotten", other.order.number);
    crate::refunds::carried(&app).await;
    // Looked at again after midnight.
    days(&app, 1).await;
    app.tick("retention").await;
    assert_eq!(app.db.one::<i64>(PAID).await, 0);
    // An end that was moved is waited for anew.
    let walks = "select count(*) from retention_walks where done_at is null";
    assert_eq!(app.db.one::<i64>(walks).await, 0);
    ends_in(&app, &adult, -91).await;
    app.tick("retention").await;
    assert_eq!(
        app.db
            .one::<i64>("select count(*) from retention_walks where ends_on < (select ends_on from exhibitions)")
            .await,
        0
    );
    app.finish().await;
}

/// The log may be shortened where it is two years old, and nowhere else, whoever tries.
#[tokio::test]
async fn the_log_of_two_years_cannot_be_shortened() {
    let app = TestApp::start().await;
    let client = app.db.client().await;
    let row = "insert into admin_audit (at, user_name, role, action, before, after, request_id, address)
               select admit_now() - make_interval(days => d), 'system', 'system', a, 'null', 'null', '', '127.0.0.1'
                 from unnest(array[729, 732]) d, unnest(array['order.reveal', 'entry.rules']) a";
    client.batch_execute(row).await.unwrap();
    let kept =
        async |sql: &str| client.execute(sql, &[]).await.map_err(|e| e.as_db_error().map(|e| e.message().to_owned()));
    let young = "at > admit_now() - interval '2 years'";
    let refused = Err(Some("admin_audit is append-only".to_owned()));
    assert_eq!(kept(&format!("delete from admin_audit where {young} and action = 'order.reveal'")).await, refused);
    assert_eq!(kept(&format!("update admin_audit set address = null where {young}")).await, refused);
    assert_eq!(kept("delete from admin_audit where action = 'entry.rules'").await, refused);
    assert_eq!(kept(&format!("update admin_audit set user_name = 'x' where not {young}")).await, refused);
    assert_eq!(kept("truncate admin_audit").await, refused);
    assert_eq!(kept(&format!("delete from admin_audit where not {young} and action = 'order.reveal'")).await, Ok(1));
    assert_eq!(
        kept(&format!("update admin_audit set address = null where not {young} and action = 'entry.rules'")).await,
        Ok(1)
    );
    app.finish().await;
}
