//! Walks over the calls of the control room: nobody overwrites what they have not seen, and nobody is told what there is elsewhere.

use std::collections::BTreeMap;

use admit::admin::Role;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::audited::told;
use crate::control_room::{boss, fill, table};
use crate::desk::Desk;
use crate::support::given::places;
use crate::support::{Answer, Kind, TestApp, race};

/// Changes that want no `If-Match`, and why.
const UNSEEN: [(&str, &str); 5] = [
    ("DELETE exhibitions/{code}/room/rehearsal", "ends what runs, whatever it is"),
    ("PUT users/{username}/email", "one value, said as a whole, of which nobody sees more than a part"),
    ("DELETE users/{username}/second-factor", "ends it, whatever it is"),
    ("DELETE users/{username}/sign-ins", "ends them all"),
    ("DELETE privacy/requests/{request_id}", "moves one way, from a state that it must be in"),
];

/// What those that want it are asked, so that they would do something.
fn change(route: &str) -> Value {
    match route {
        "PUT account-rules" => json!({ "second_factor_from": null }),
        "PUT exhibitions/{code}" => json!({ "name_en": "Another" }),
        "PUT exhibitions/{code}/entry-rules" => json!({ "exhibition": null, "walk_ins": true }),
        "PUT exhibitions/{code}/picture" => Value::Null,
        "PUT exhibitions/{code}/room" => json!({ "config": {} }),
        "PATCH orders/{order_number}" => json!({ "customer_name": "김철수" }),
        "PUT products/{product_id}" => json!({ "price_won": 1 }),
        "PUT sales" => json!({ "paused": true, "reason_ko": "점검", "reason_en": "Repairs" }),
        "PUT slots/{slot_id}" => json!({ "closed": true }),
        "PUT users/{username}" => json!({ "role": "support", "exhibitions": ["xyz"], "disabled": false }),
        deleting if deleting.starts_with("DELETE ") => Value::Null,
        _ => panic!("say in `change` what {route} is asked"),
    }
}

#[tokio::test]
async fn no_change_overwrites_what_was_not_seen() {
    let app = TestApp::start().await;
    let given = app.given(Kind { slot_places: Some(9), ..places(9) }).await;
    let order = app.visitor(1).held(&given, 1).await;
    app.account("owner", Role::SuperAdmin, &[]).await;
    let token = app.access_token("owner").await;
    let mut left: BTreeMap<&str, &str> = UNSEEN.into_iter().collect();
    for (method, path) in table().into_keys().filter(|(method, _)| *method != Method::GET && *method != Method::POST) {
        let short = path.strip_prefix("/api/admin/").unwrap().to_owned();
        let route = format!("{method} {short}");
        let real = path
            .replace("{order_number}", &order.number)
            .replace("{product_id}", &given.product_id.to_string())
            .replace("{slot_id}", &given.slot_id.unwrap().to_string());
        // Of accounts only this wants somebody to be there.
        let real = if route == "PUT users/{username}" { real.replace("{username}", "owner") } else { real };
        let ask = async |tag: Option<&str>, body: &Value| {
            let call = app.http.request(method.clone(), app.url(&fill(&real))).bearer_auth(&token);
            let call = if let Some(tag) = tag { call.header("if-match", tag) } else { call };
            Answer::of(if body.is_null() { call } else { call.json(body) }).await
        };
        if left.remove(route.as_str()).is_some() {
            let answer = ask(None, &json!({ "never": true })).await;
            assert!(answer.status != 428 && answer.status < 500, "{route} wants it after all: {}", answer.body);
            continue;
        }
        let body = change(&route);
        ask(None, &body).await.refused(428, "request.if_match_required");
        for stale in ["\"999999\"", "*", "\"\"", "nonsense"] {
            let answer = ask(Some(stale), &body).await;
            assert_eq!((answer.status, answer.code()), (412, "request.changed_meanwhile"), "{route} {stale}");
        }
    }
    assert!(left.is_empty(), "there are no such calls: {left:?}");
    let done = "select count(*) from admin_audit where action not in ('user.sign_in', 'user.sign_out')";
    assert_eq!(app.db.one::<i64>(done).await, 0, "nothing was done");
    app.finish().await;
}

/// Replaces the rules with what each has made of those that all have read.
async fn naive_rules(app: &TestApp, at_once: usize) -> usize {
    app.db.execute("create table naive (gates text[]); insert into naive values ('{}')").await;
    let all_have_read = Barrier::new(at_once);
    race(at_once, async |n| {
        let read: Vec<String> = app.db.one("select gates from naive").await;
        all_have_read.wait().await;
        let gates: Vec<String> = read.into_iter().chain([format!("g{n}")]).collect();
        app.db.execute(&format!("update naive set gates = '{{{}}}'", gates.join(","))).await;
    })
    .await;
    usize::try_from(app.db.one::<i32>("select cardinality(gates) from naive").await).unwrap()
}

#[tokio::test]
async fn of_several_who_change_the_rules_at_once_nobody_loses_theirs() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    app.account("owner", Role::SuperAdmin, &[]).await;
    let token = app.access_token("owner").await;
    let url = app.url("/api/admin/exhibitions/xyz/entry-rules");
    let read = async || {
        let reply = app.http.get(&url).bearer_auth(&token).send().await.unwrap();
        let tag = reply.headers()["etag"].to_str().unwrap().to_owned();
        (tag, reply.json::<Value>().await.unwrap())
    };
    let with = |book: &Value, gate: String| {
        let gates = book["exhibition"]["gates"].as_array().cloned().unwrap_or_default();
        let gates: Vec<Value> = gates.into_iter().chain([json!(gate)]).collect();
        json!({ "exhibition": { "early_min": 30, "late_min": 0, "gates": gates, "entries": "once", "per_day": 1,
            "reentry": false, "gap_s": 0 } })
    };
    // Each adds a gate to what is there, and reads again when it was refused.
    let tries = race(6, async |n| {
        for tries in 1.. {
            let (tag, book) = read().await;
            let put = app.http.put(&url).bearer_auth(&token).header("if-match", &tag);
            let answer = Answer::of(put.json(&with(&book, format!("g{n}")))).await;
            if answer.status == 200 {
                return tries;
            }
            answer.refused(412, "request.changed_meanwhile");
        }
        unreachable!()
    })
    .await;
    let (tag, book) = read().await;
    assert_eq!(book["exhibition"]["gates"].as_array().unwrap().len(), 6, "{book} after {tries:?}");
    assert_eq!(naive_rules(&app, 6).await, 1, "the naive way loses all but one");
    // The same again changes nothing, and is no other revision.
    let put = app.http.put(&url).bearer_auth(&token).header("if-match", &tag).json(&book).send().await.unwrap();
    assert_eq!((put.status().as_u16(), put.headers()["etag"].to_str().unwrap()), (200, tag.as_str()));
    let recorded = "select count(*) from admin_audit where action = 'entry.rules'";
    assert_eq!(app.db.one::<i64>(recorded).await, 6);
    app.finish().await;
}

#[tokio::test]
async fn an_order_is_given_up_as_it_was_seen_or_not_at_all() {
    let app = TestApp::start().await;
    let adult = app.given(places(5)).await;
    let desk = Desk::of(&app).await;
    let order = app.visitor(1).held(&adult, 1).await;
    let (tag, _) = desk.read(&order.number).await;
    // Somebody corrects it after the tag was compared, before the writer has its lock.
    let mut client = app.db.client().await;
    let corrects = client.transaction().await.unwrap();
    let lock = "select id from orders where number = $1 for update";
    let id: uuid::Uuid = corrects.query_one(lock, &[&order.number]).await.unwrap().get(0);
    let gone = json!({ "state": "cancelled" });
    let (answer, ()) = tokio::join!(desk.patch_as(&desk.admin, &order.number, &tag, gone.clone()), async {
        let waits = "select count(*) from pg_stat_activity
                      where datname = current_database() and application_name = 'admit stock writer' and wait_event_type = 'Lock'";
        app.until("the writer waits for the order", async || app.db.one::<i64>(waits).await > 0).await;
        let event = "insert into order_events (order_id, kind, actor, cause, correlation_id, at)
                     values ($1, 'contact_changed', 'support', 'name', '', admit_now())";
        corrects.execute(event, &[&id]).await.unwrap();
        corrects.commit().await.unwrap();
    });
    answer.refused(412, "request.changed_meanwhile");
    assert_eq!((app.stock(adult.stock_id).await, desk.audited("order.cancel").await), ((1, 0), 0));
    let (tag, _) = desk.read(&order.number).await;
    desk.patch_as(&desk.admin, &order.number, &tag, gone).await.expect(200);
    assert_eq!((app.stock(adult.stock_id).await, desk.audited("order.cancel").await), ((0, 0), 1));
    app.finish().await;
}

/// What a call is asked so that it would do something to what is there.
fn would_do(path: &str, ids: &BTreeMap<&str, String>) -> Value {
    match path.strip_prefix("/api/admin/").unwrap() {
        "products/{product_id}" => json!({ "price_won": 8_000 }),
        "slots/{slot_id}" => json!({ "closed": true }),
        "orders/{order_number}" => json!({ "customer_name": "김철수" }),
        "orders/{order_number}/reveal" => json!({ "why": "called" }),
        "orders/{order_number}/transfer" => json!({ "amount": 10_000, "note": "bank" }),
        "exhibitions/{code}/orders/{order_number}/refund" => {
            json!({ "ticket_ids": [ids["ticket_id"]], "reason": "ill" })
        }
        "exhibitions/{code}/orders/{order_number}/refunds/{refund_id}/paid-by-hand" => json!({ "note": "cash" }),
        "exhibitions/{code}/entry-conflicts/{conflict_id}/decide" => json!({ "decision": "honest" }),
        "users/{username}" => json!({ "role": "staff", "exhibitions": ["other"], "disabled": true }),
        "users/{username}/email" => json!({ "email": "mine@example.org" }),
        "users/{username}/password" => json!({ "password": "quite another one" }),
        _ => json!({}),
    }
}

#[tokio::test]
async fn what_there_is_elsewhere_is_told_to_nobody() {
    let app = TestApp::start().await;
    told(&app).await;
    // Everything of `xyz`, asked for by an admin of `other` under an exhibition of their own.
    let stranger = boss(&app, "stranger", Role::Admin, &["other"]).await;
    let of_xyz = "(select id from exhibitions where code = 'xyz')";
    let mut ids = BTreeMap::new();
    for (name, what) in [
        ("product_id", "id::text from products where exhibition_id = $x"),
        ("slot_id", "id::text from slots where exhibition_id = $x"),
        ("order_number", "number from orders where exhibition_id = $x and state in ('paid', 'partially_refunded')"),
        ("ticket_id", "t.id::text from tickets t join orders o on o.id = t.order_id where o.exhibition_id = $x"),
        ("refund_id", "r.id::text from refunds r join orders o on o.id = r.order_id where o.exhibition_id = $x"),
        ("bulk_id", "id::text from bulk_refunds where exhibition_id = $x"),
        ("device_id", "id::text from devices where exhibition_id = $x"),
        ("conflict_id", "id::text from entry_conflicts where exhibition_id = $x"),
        ("request_id", "id::text from privacy_requests where true"),
        ("username", "username from admin_users where username = 'kim'"),
    ] {
        let sql = format!("select {} limit 1", what.replace("$x", of_xyz));
        ids.insert(name, app.db.one::<String>(&sql).await);
    }
    let done = "select count(*) from admin_audit";
    let before: i64 = app.db.one(done).await;
    let mut asked = 0;
    for (method, path) in table().into_keys() {
        let own = path.replace("{code}", "other");
        if !own.contains('{') {
            continue;
        }
        let theirs = ids.iter().fold(own.clone(), |path, (name, id)| path.replace(&format!("{{{name}}}"), id));
        assert!(!theirs.contains('{'), "say what there is in {path}");
        let ask = async |url: &str| {
            let call = app.http.request(method.clone(), app.url(url)).bearer_auth(&stranger.token);
            let call = call.header("if-match", "\"1\"").header("idempotency-key", format!("walk-{asked}"));
            let answer = match method {
                Method::GET => Answer::of(call).await,
                _ => Answer::of(call.json(&would_do(&path, &ids))).await,
            };
            (answer.status, answer.code().to_owned())
        };
        let (nothing, somebodys) = (ask(&fill(&own)).await, ask(&theirs).await);
        assert_eq!(nothing, somebodys, "{method} {path}");
        assert!(matches!(nothing.0, 403 | 404), "{method} {path}: {nothing:?}");
        asked += 1;
    }
    assert!(asked > 20, "{asked}");
    assert_eq!(app.db.one::<i64>(done).await, before, "nothing was done");
    app.finish().await;
}
