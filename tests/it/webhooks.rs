//! The inbox: whatever comes, in whatever order and however often, only what the provider says counts; nothing is lost,
//! and what was given up can be sent back.

use std::time::Duration;

use admit::admin::Role;
use admit::payments::Provider;
use admit::payments::model::Notice;
use admit::payments::pg::{Stored, store};
use serde_json::{Value, json};

use crate::payments::{approve_at_toss, send_webhook};
use crate::support::given::places;
use crate::support::{Answer, Kind, Options, TestApp, race};

async fn list(app: &TestApp, token: &str, query: &str) -> Answer {
    Answer::of(app.http.get(app.url(&format!("/api/admin/webhooks{query}"))).bearer_auth(token)).await
}

async fn replay(app: &TestApp, token: &str, event_id: i64) -> Answer {
    let request = app.http.post(app.url("/api/admin/webhook-replay")).bearer_auth(token);
    Answer::of(request.json(&json!({ "event_id": event_id }))).await
}

fn ids(answer: &Answer) -> Vec<i64> {
    answer.body["events"].as_array().unwrap().iter().map(|event| event["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn what_was_given_up_is_sent_back_by_an_admin_and_settles() {
    let app = TestApp::start().await;
    let adult = app.given(places(5)).await;
    app.given(Kind { code: "abc", ..places(5) }).await;
    for (name, role, exhibitions) in [
        ("gate-1", Role::Staff, &["xyz"][..]),
        ("here", Role::Admin, &["xyz"]),
        ("elsewhere", Role::Admin, &["abc"]),
        ("boss", Role::SuperAdmin, &[]),
    ] {
        app.account(name, role, exhibitions).await;
    }
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    approve_at_toss(&app, &order_id, &payment_key, order.total).await;
    send_webhook(&app, &order_id, &payment_key, "DONE").await.expect(200);
    // The twelfth try is the last.
    app.db.execute("update inbox set tries = 11").await;
    app.simulate("faults", json!({ "op": "query", "kind": "error_before", "count": 1 })).await;
    app.webhooks().await;

    let (boss, here) = (app.access_token("boss").await, app.access_token("here").await);
    let dead = list(&app, &here, "?state=dead").await.expect(200);
    let event = &dead.body["events"][0];
    let id = event["id"].as_i64().unwrap();
    assert_eq!((event["tries"].as_i64(), event["status"].as_str()), (Some(12), Some("DONE")), "{event}");
    assert_eq!((event["order_id"].as_str(), event["replays"].as_i64()), (Some(order_id.as_str()), Some(0)));
    assert!(event["processed_at"].is_string() && dead.body["next"].is_null());
    // Counted for whoever may see it, whatever the list is narrowed to, and with its first page alone.
    let counted = async |token: &str, query: &str| list(&app, token, query).await.expect(200).body["counts"].clone();
    assert_eq!(counted(&here, "?state=processed").await, json!({ "received": 0, "dead": 1 }));
    assert_eq!(counted(&boss, "?exhibition=abc").await, json!({ "received": 0, "dead": 0 }));
    assert_eq!(counted(&boss, &format!("?before={id}")).await, Value::Null);
    app.tick("gauges").await;

    // Who may not see it cannot send it back either.
    let (gate, elsewhere) = (app.access_token("gate-1").await, app.access_token("elsewhere").await);
    list(&app, &gate, "").await.refused(403, "auth.forbidden");
    replay(&app, &gate, id).await.refused(403, "auth.forbidden");
    assert_eq!(ids(&list(&app, &elsewhere, "").await.expect(200)), Vec::<i64>::new());
    assert_eq!(counted(&elsewhere, "").await, json!({ "received": 0, "dead": 0 }));
    replay(&app, &elsewhere, id).await.refused(404, "webhook.unknown");
    replay(&app, &boss, id + 1_000).await.refused(404, "webhook.unknown");
    list(&app, &boss, "?state=lost").await.refused(400, "request.malformed_query");

    let waiting = replay(&app, &here, id).await.expect(200);
    assert_eq!((waiting.text("state"), waiting.body["tries"].as_i64()), ("received".into(), Some(0)));
    replay(&app, &here, id).await.refused(409, "webhook.waiting");
    assert_eq!(counted(&boss, "").await, json!({ "received": 1, "dead": 0 }));
    assert_eq!(ids(&list(&app, &boss, "?state=received").await), [id]);
    assert_eq!(app.tick("webhooks").await, 1);
    assert_eq!(visitor.read(&order).await.body["status"], "paid");

    // Once more: Toss is asked, and nothing changes.
    let asked = app.simulator_counts().await["queries"].as_i64().unwrap();
    replay(&app, &boss, id).await.expect(200);
    assert_eq!(app.tick("webhooks").await, 1);
    assert_eq!(app.simulator_counts().await["queries"], asked + 1);
    let done = list(&app, &boss, "?state=processed&limit=1").await.expect(200);
    assert_eq!(done.body["events"][0]["replays"], 2);
    assert_eq!(app.db.one::<i64>("select count(*) from tickets").await, 1);
    let written: String = app
        .db
        .one("select string_agg(user_name, ' ' order by id) from admin_audit where action = 'webhook.replay'")
        .await;
    assert_eq!(written, "here boss");
    app.finish().await;
}

#[tokio::test]
async fn pages_of_events_go_back_from_the_newest() {
    let app = TestApp::start().await;
    let adult = app.given(places(5)).await;
    app.account("boss", Role::SuperAdmin, &[]).await;
    let boss = app.access_token("boss").await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    for _ in 0..5 {
        send_webhook(&app, &order_id, &payment_key, "DONE").await.expect(200);
    }
    let first = list(&app, &boss, "?limit=3").await.expect(200);
    let next = first.body["next"].as_i64().unwrap();
    let rest = list(&app, &boss, &format!("?limit=3&before={next}")).await.expect(200);
    let all = [ids(&first), ids(&rest)].concat();
    assert_eq!((all.len(), rest.body["next"].is_null()), (5, true));
    assert!(all.is_sorted_by(|a, b| a > b), "{all:?}");
    app.advance(Duration::from_secs(2)).await;
    app.finish().await;
}

#[tokio::test]
async fn duplicates_disorder_and_forgeries_change_nothing() {
    let app = TestApp::start().await;
    let adult = app.given(places(5)).await;
    let (buyer, other) = (app.visitor(1), app.visitor(2));
    let paid = buyer.held(&adult, 1).await;
    let (order_id, payment_key) = buyer.authorised(&paid).await;
    buyer.confirm(&paid, &order_id, &payment_key, "k").await.expect(200);
    let held = other.held(&adult, 1).await;
    let (held_id, held_key) = other.authorised(&held).await;

    let statuses =
        ["CANCELED", "ABORTED", "EXPIRED", "DONE", "PARTIAL_CANCELED", "WAITING_FOR_DEPOSIT", "IN_PROGRESS", "READY"];
    race(16, |n| send_webhook(&app, &order_id, &payment_key, statuses[n % 8])).await;
    race(8, |n| send_webhook(&app, &held_id, &held_key, statuses[n])).await;
    // Another merchant's, one nobody ever opened, and an attempt of ours under a number it never had.
    for stranger in ["their-order-77", "ORD20250101-0000000000-1", &format!("{}-9", paid.number)] {
        send_webhook(&app, stranger, &payment_key, "DONE").await.expect(200);
    }
    assert_eq!(app.db.one::<i64>("select count(*) from inbox").await, 24);
    app.advance(Duration::from_secs(2)).await;
    while app.tick("webhooks").await > 0 {}
    assert_eq!(app.db.one::<i64>("select count(*) from inbox where state = 'processed'").await, 24);
    assert_eq!(buyer.read(&paid).await.body["status"], "paid");
    assert_eq!(other.read(&held).await.body["status"], "held");
    let counts = app.simulator_counts().await;
    assert_eq!((counts["approved"].as_i64(), counts["cancelled_amount"].as_i64()), (Some(1), Some(0)));
    app.finish().await;
}

#[tokio::test]
async fn a_batch_is_judged_event_by_event() {
    let app = TestApp::start().await;
    let adult = app.given(places(5)).await;
    let visitor = app.visitor(1);
    let (order_id, _) = visitor.authorised(&visitor.held(&adult, 1).await).await;
    app.db.execute("update attempts set secret = 'right'").await;
    let event = |event_id: &str, order_id: &str, secret: Option<&str>| {
        let notice = Notice {
            kind: "deposit_callback",
            order_id: order_id.to_owned(),
            status: Some("DONE".into()),
            event_id: event_id.to_owned(),
            secret: secret.map(str::to_owned),
        };
        (Provider::Toss, notice)
    };
    let batch = [
        event("a", &order_id, Some("right")),
        event("b", "ORD20250101-0000000000-1", None),
        event("a", &order_id, Some("right")),
        event("c", &order_id, Some("wrong")),
        event("d", &order_id, None),
    ];
    let client = app.app().pg.get().await.unwrap();
    let stored = store(&client, &batch).await.unwrap();
    assert_eq!(stored, [Stored::New, Stored::NotOurs, Stored::Repeated, Stored::NotOurs, Stored::New]);
    let stored = store(&client, &batch[..1]).await.unwrap();
    assert_eq!(stored, [Stored::Repeated]);
    let many: Vec<_> = (0..25).map(|n| event(&format!("e{n}"), &order_id, None)).collect();
    let stored = store(&client, &many).await.unwrap();
    let of = |what: Stored| stored.iter().filter(|one| **one == what).count();
    assert_eq!((of(Stored::New), of(Stored::Enough)), (18, 7), "twenty wait, two of them from before");
    drop(client);
    app.advance(Duration::from_secs(2)).await;
    app.finish().await;
}

#[tokio::test]
async fn a_flood_is_stored_before_it_is_answered() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let mut opened = Vec::new();
    for n in 0..20 {
        let visitor = app.visitor(n);
        opened.push(visitor.authorised(&visitor.held(&adult, 1).await).await);
    }
    race(300, |n| {
        let (app, (order_id, payment_key)) = (&app, &opened[n % 20]);
        async move {
            send_webhook(app, order_id, payment_key, "DONE").await.expect(200);
        }
    })
    .await;
    assert_eq!(app.db.one::<i64>("select count(*) from inbox").await, 300);
    app.advance(Duration::from_secs(2)).await;
    app.finish().await;
}

#[tokio::test]
async fn where_addresses_are_named_others_are_not_listened_to() {
    let networks = vec!["13.124.18.147".parse().unwrap(), "3.36.0.0/16".parse().unwrap()];
    let app = TestApp::start_with(Options { webhook_addresses: networks, ..Options::default() }).await;
    let adult = app.given(places(5)).await;
    let visitor = app.visitor(1);
    let (order_id, _) = visitor.authorised(&visitor.held(&adult, 1).await).await;
    let from = |address: &str| {
        let event = json!({ "eventType": "PAYMENT_STATUS_CHANGED", "data": { "orderId": order_id, "status": "DONE", "at": address } });
        Answer::of(app.http.post(app.url("/api/webhooks/toss")).header("x-forwarded-for", address).json(&event))
    };
    from("203.0.113.9").await.refused(403, "webhook.forged");
    send_webhook(&app, &order_id, "k", "DONE").await.refused(403, "webhook.forged");
    assert_eq!(app.db.one::<i64>("select count(*) from inbox").await, 0);
    from("13.124.18.147").await.expect(200);
    from("3.36.173.151").await.expect(200);
    assert_eq!(app.db.one::<i64>("select count(*) from inbox").await, 2);
    app.advance(Duration::from_secs(2)).await;
    app.finish().await;
}

#[tokio::test]
async fn what_has_served_its_time_goes_and_what_may_change_stays() {
    let app = TestApp::start().await;
    let adult = app.given(places(5)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    visitor.confirm(&order, &order_id, &payment_key, "k").await.expect(200);
    send_webhook(&app, &order_id, &payment_key, "DONE").await.expect(200);
    app.webhooks().await;
    let lost = app.visitor(2);
    let given_up = lost.held(&adult, 1).await;
    let (lost_id, lost_key) = lost.authorised(&given_up).await;
    app.simulate("faults", json!({ "op": "confirm", "kind": "fail", "count": 1, "code": "REJECT_CARD_PAYMENT" })).await;
    lost.confirm(&given_up, &lost_id, &lost_key, "lost").await.refused(409, "payment.declined");
    lost.cancel(&given_up).await.expect(200);
    let keys = async || app.db.one::<i64>("select count(confirm_key) from attempts").await;
    let events = async || app.db.one::<i64>("select count(*) from inbox").await;
    assert_eq!((app.tick("purge").await, keys().await, events().await), (0, 2, 1));
    app.advance(Duration::from_secs(31 * 86_400)).await;
    assert_eq!((app.tick("purge").await, keys().await), (1, 1), "the cancelled order's key; a paid order may change");
    app.advance(Duration::from_secs(61 * 86_400)).await;
    assert_eq!((app.tick("purge").await, keys().await, events().await), (2, 0, 0), "the exhibition is over");
    // The attempt itself still knows.
    visitor.confirm(&order, &order_id, &payment_key, "k").await.expect(200);
    assert_eq!(app.simulator_counts().await["approved"], 1);
    app.finish().await;
}

#[tokio::test]
async fn a_lost_answer_is_found_by_its_key() {
    let app = TestApp::start().await;
    let adult = app.given(places(5)).await;
    let visitor = app.visitor(1);
    let outcome = async |key: &str| -> Answer {
        Answer::of(app.http.get(app.url("/api/payments/outcome")).header("idempotency-key", key)).await
    };
    let said = |answer: &Answer| -> Value { json!([answer.body["state"], answer.body["status"], answer.body["code"]]) };
    outcome("never used").await.refused(404, "payment.unknown_key");
    Answer::of(app.http.get(app.url("/api/payments/outcome"))).await.refused(400, "idempotency.key_required");

    let order = visitor.held(&adult, 1).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    app.simulate("faults", json!({ "op": "confirm", "kind": "fail", "count": 1, "code": "REJECT_CARD_PAYMENT" })).await;
    visitor.confirm(&order, &order_id, &payment_key, "first").await.refused(409, "payment.declined");
    let answer = outcome("first").await.expect(200);
    assert_eq!(said(&answer), json!(["declined", 409, "payment.declined"]));
    assert_eq!((answer.text("order_number"), answer.text("payment_status")), (order.number.clone(), "pending".into()));

    let (order_id, payment_key) = visitor.authorised(&order).await;
    app.simulate("faults", json!({ "op": "confirm", "kind": "drop_after", "count": 1 })).await;
    app.simulate("faults", json!({ "op": "query", "kind": "error_before", "count": 1 })).await;
    visitor.confirm(&order, &order_id, &payment_key, "second").await.expect(202);
    assert_eq!(said(&outcome("second").await.expect(200)), json!(["confirming", 202, null]));
    app.until("it is paid", async || {
        app.advance(Duration::from_secs(2)).await;
        app.tick("recover").await;
        said(&outcome("second").await) == json!(["paid", 200, null])
    })
    .await;
    assert!(!outcome("second").await.body.to_string().contains("홍길동"));
    app.finish().await;
}

#[tokio::test]
async fn outcomes_are_not_for_guessing() {
    let app = TestApp::start_with(Options { exempt: false, ..Options::default() }).await;
    app.given(places(1)).await;
    let look = |n: usize| {
        let key = format!("guess-{n}");
        Answer::of(app.http.get(app.url("/api/payments/outcome")).header("idempotency-key", key))
    };
    let mut refused = None;
    for n in 0..105 {
        let answer = look(n).await;
        if answer.status == 429 {
            refused = Some(answer.refused(429, "order.too_many_lookups"));
            break;
        }
        answer.refused(404, "payment.unknown_key");
    }
    assert!(refused.unwrap().retry_after.is_some());
    app.finish().await;
}
