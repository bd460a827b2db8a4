//! Whoever asks is forgotten, and gets a copy of what there is.

use std::time::Duration;

use admit::admin::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::privacy::{PAID, around, days, ends_in, expired, with_mail};
use crate::support::given::places;
use crate::support::visitor::Held;
use crate::support::{Answer, Kind, TestApp};

pub struct Privacy<'a> {
    app: &'a TestApp,
    token: String,
}

impl<'a> Privacy<'a> {
    pub async fn of(app: &'a TestApp) -> Privacy<'a> {
        app.account("owner", Role::SuperAdmin, &[]).await;
        Privacy { app, token: app.access_token("owner").await }
    }

    pub async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        let request = self.app.http.request(method, self.app.url(&format!("/api/admin/privacy/requests{path}")));
        Answer::of(request.bearer_auth(&self.token).json(&body)).await
    }

    pub async fn asked(&self, kind: &str, phone: &str) -> Answer {
        self.call(Method::POST, "", json!({ "kind": kind, "verified_by": "phone", "phone": phone })).await
    }

    async fn audited(&self) -> Vec<String> {
        let rows = self.app.db.client().await;
        let rows = rows.query("select action from admin_audit where action like 'privacy.%' order by id", &[]).await;
        rows.unwrap().iter().map(|row| row.get(0)).collect()
    }
}

/// Numbers of the orders that a request is about, with what would become of each.
fn meant(answer: &Answer) -> Vec<(String, String)> {
    let orders = answer.body["orders"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    let one = |o: &Value| {
        (o["order_number"].as_str().unwrap().to_owned(), o["kept_for"].as_str().unwrap_or("goes").to_owned())
    };
    orders.iter().map(one).collect()
}

#[tokio::test]
async fn whoever_asks_is_forgotten_as_far_as_they_may_be_and_the_rest_follows() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { open_holds_max: 5, ..places(50) }).await;
    let elsewhere = app.given(Kind { code: "abc", ..places(50) }).await;
    ends_in(&app, &adult, 10).await;
    ends_in(&app, &elsewhere, 40).await;
    let (visitor, other) = (app.visitor(1), app.visitor(2));
    let lapsed = expired(&app, &visitor, &adult).await;
    let bought = with_mail(&visitor, &adult, 1).await;
    visitor.pay(&bought).await.expect(200);
    let there = visitor.held(&elsewhere, 1).await;
    visitor.pay(&there).await.expect(200);
    let held = visitor.held(&adult, 1).await;
    let others = other.held(&adult, 1).await;
    app.tick("outbox").await;
    let privacy = Privacy::of(&app).await;

    privacy.asked("erase", "010-9999-9999").await.refused(404, "privacy.nobody");
    privacy.asked("erase", "12").await.refused(422, "request.invalid");
    let both = json!({ "kind": "erase", "verified_by": "phone", "phone": visitor.phone, "order_number": held.number });
    privacy.call(Method::POST, "", both).await.refused(422, "request.invalid");
    privacy
        .call(Method::POST, "", json!({ "kind": "erase", "verified_by": "phone" }))
        .await
        .refused(422, "request.invalid");
    let asked = privacy.asked("erase", &visitor.phone).await.expect(201);
    let plan = |answer: &Answer, of: &[(&Held, &str)]| {
        let of: Vec<_> = of.iter().map(|(order, fate)| (order.number.clone(), (*fate).to_owned())).collect();
        assert_eq!(meant(answer), of);
    };
    let all = [(&lapsed, "goes"), (&bought, "visit"), (&there, "visit"), (&held, "under_way")];
    plan(&asked, &all);
    let ends: String = app.db.one("select ends_on::text from exhibitions where code = 'xyz'").await;
    let records: String =
        app.db.one("select (ends_on + interval '5 years')::date::text from exhibitions where code = 'xyz'").await;
    assert_eq!(
        (&asked.body["orders"][1]["kept_until"], &asked.body["orders"][1]["payment_until"]),
        (&json!(ends), &json!(records))
    );
    assert_eq!(asked.body["orders"][0]["payment_until"], Value::Null);
    assert_eq!(app.db.one::<i64>("select count(*) from contacts where erased_at is not null").await, 0, "a dry run");
    // By one of the orders it is the same person, and the same request.
    let by_order = json!({ "kind": "erase", "verified_by": "email", "order_number": held.number.to_lowercase() });
    let again = privacy.call(Method::POST, "", by_order).await.expect(200);
    let id = asked.text("id");
    assert_eq!(again.text("id"), id);
    // What is ordered from now on is not meant.
    app.advance(Duration::from_secs(5)).await;
    let later = visitor.held(&adult, 1).await;

    let erase = format!("/{id}/erase");
    for _ in 0..2 {
        let done = privacy.call(Method::POST, &erase, json!({})).await.expect(200);
        assert_eq!((done.text("state"), &done.body["orders_erased"]), ("waiting".into(), &json!(1)));
        plan(&done, &all[1..]);
    }
    app.sweep().await;
    assert_eq!(app.db.one::<i64>("select count(*) from contacts where marketing").await, 0, "no news");
    assert_eq!(privacy.audited().await, ["privacy.request", "privacy.request", "privacy.erase", "privacy.erase"]);
    let said: Value = app.db.one("select jsonb_agg(after) from admin_audit where action like 'privacy.%'").await;
    assert!(!said.to_string().contains("10000001") && !said.to_string().contains("홍길동"), "{said}");

    // The unpaid order lapses, the exhibition ends, and on the next day nobody needs the contact.
    app.advance(Duration::from_secs(700)).await;
    app.tick("expire").await;
    days(&app, 1).await;
    app.tick("retention").await;
    let now = Privacy::of(&app).await.call(Method::GET, &format!("/{id}"), json!({})).await.expect(200);
    plan(&now, &[(&bought, "visit"), (&there, "visit")]);
    for given in [&adult, &elsewhere] {
        let over = "select (ends_on + 1)::timestamp at time zone 'Asia/Seoul' from exhibitions where id =";
        let (over, of) = (
            format!("{over} {}", given.exhibition_id),
            format!("{PAID} and o.exhibition_id = {}", given.exhibition_id),
        );
        around(&app, "without ninety days", &over, &of).await;
    }
    let privacy = Privacy::of(&app).await;
    let over = privacy.call(Method::GET, &format!("/{id}"), json!({})).await.expect(200);
    assert_eq!((over.text("state"), &over.body["orders_erased"], meant(&over).len()), ("done".into(), &json!(4), 0));
    let who = "select count(*) from privacy_requests where phone_digest is not null";
    assert_eq!(app.db.one::<i64>(who).await, 0, "nor who it was");
    privacy.call(Method::POST, &erase, json!({})).await.expect(200);
    privacy.call(Method::DELETE, &format!("/{id}"), json!({})).await.refused(409, "privacy.over");
    let left = "select string_agg(o.number, ',') from contacts c join orders o on o.id = c.order_id where o.number in";
    let left = format!("{left} ('{}', '{}') and c.phone_digest <> ''", others.number, later.number);
    let left: Option<String> = app.db.one(&left).await;
    // Theirs have come to nothing as well, forty days ago, and are gone by the ordinary period.
    assert_eq!(left, None);

    // Withdrawn, nothing happens, and the same may be asked again.
    ends_in(&app, &elsewhere, 9).await;
    let late = visitor.held(&elsewhere, 1).await;
    let second = privacy.asked("erase", &visitor.phone).await.expect(201);
    plan(&second, &[(&late, "under_way")]);
    let path = format!("/{}", second.text("id"));
    for _ in 0..2 {
        privacy.call(Method::DELETE, &path, json!({})).await.expect(204);
    }
    privacy.call(Method::POST, &format!("{path}/erase"), json!({})).await.refused(409, "privacy.over");
    let third = privacy.asked("export", &visitor.phone).await.expect(201);
    privacy.call(Method::POST, &format!("/{}/erase", third.text("id")), json!({})).await.refused(409, "privacy.over");
    let list = privacy.call(Method::GET, "", json!({})).await.expect(200);
    let states: Vec<_> =
        list.body["requests"].as_array().unwrap().iter().map(|r| r["state"].as_str().unwrap()).collect();
    assert_eq!((states, &list.body["periods"]["contacts_days"]), (vec!["open", "withdrawn", "done"], &json!(90)));
    app.finish().await;
}

#[tokio::test]
async fn an_order_without_a_number_is_meant_alone() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let desk = Desk::of(&app).await;
    ends_in(&app, &adult, 1).await;
    let gift = async |key: &str| {
        let ask = json!({ "items": [{ "product_id": adult.product_id, "quantity": 1 }], "reason": "press" });
        let request = app.http.post(app.url("/api/admin/exhibitions/xyz/complimentary")).bearer_auth(&desk.admin);
        Answer::of(request.header("idempotency-key", key).json(&ask)).await.expect(201).text("order_number")
    };
    let (one, other) = (gift("a").await, gift("b").await);
    days(&app, 3).await;
    let privacy = Privacy::of(&app).await;
    let ask = json!({ "kind": "erase", "verified_by": "document", "order_number": one });
    let asked = privacy.call(Method::POST, "", ask).await.expect(201);
    assert_eq!(meant(&asked), [(one.clone(), "goes".to_owned())]);
    let done = privacy.call(Method::POST, &format!("/{}/erase", asked.text("id")), json!({})).await.expect(200);
    assert_eq!(done.text("state"), "done");
    let left: String = app
        .db
        .one("select o.number from contacts c join orders o on o.id = c.order_id where c.erased_at is null")
        .await;
    assert_eq!(left, other);
    app.finish().await;
}

/// An order goes to another person at the moment in which its former one is forgotten. What judges under the order's lock
/// leaves it alone; what decided before erases somebody who has not asked.
#[tokio::test]
async fn an_order_that_becomes_another_person_s_meanwhile_stays_beside_one_who_erases_what_they_saw() {
    for naive in [false, true] {
        let app = TestApp::start().await;
        let adult = app.given(places(50)).await;
        let order = expired(&app, &app.visitor(1), &adult).await;
        let other = expired(&app, &app.visitor(2), &adult).await;
        let privacy = Privacy::of(&app).await;
        let asked = privacy.asked("erase", &app.visitor(1).phone).await.expect(201);
        // As a correction by staff (`care::change`) does it, held at its last moment.
        let mut desk = app.db.client().await;
        let correction = desk.transaction().await.unwrap();
        correction
            .batch_execute(&format!(
                "select from orders where number = '{0}' for update;
                 select from contacts where order_id = (select id from orders where number = '{0}') for update;
                 update orders set person_key = (select person_key from orders where number = '{1}') where number = '{0}';
                 update contacts set phone_digest = (select phone_digest from contacts c join orders o on o.id = c.order_id
                                                      where o.number = '{1}')
                  where order_id = (select id from orders where number = '{0}')",
                order.number, other.number
            ))
            .await
            .unwrap();
        let erasing = async {
            if naive {
                let seen =
                    "update contacts set erased_at = admit_now(), sealed = '', phone_digest = '', name_index = null,
                                   tail_index = null, marketing = false
                             where order_id in (select c.order_id from contacts c join orders o on o.id = c.order_id
                                                 where o.state = 'expired' and c.phone_digest = (
                                                       select phone_digest from privacy_requests))";
                app.db.execute(seen).await;
            } else {
                privacy.call(Method::POST, &format!("/{}/erase", asked.text("id")), json!({})).await.expect(200);
            }
        };
        let corrected = async {
            app.until("the erasure waits", async || {
                let waiting = "select count(*) from pg_stat_activity
                                where datname = current_database() and wait_event_type = 'Lock'";
                app.db.one::<i64>(waiting).await > 0
            })
            .await;
            correction.commit().await.unwrap();
        };
        tokio::join!(erasing, corrected);
        let erased = format!(
            "select erased_at is not null from contacts where order_id = (select id from orders where number = '{}')",
            order.number
        );
        assert_eq!(app.db.one::<bool>(&erased).await, naive);
        if !naive {
            days(&app, 1).await;
            app.tick("retention").await;
            let state: String = app.db.one("select state from privacy_requests").await;
            assert_eq!(state, "done", "nothing is theirs any more");
        }
        app.finish().await;
    }
}

#[tokio::test]
async fn money_that_comes_for_somebody_who_is_forgotten_still_gets_its_ticket() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { person_limit: Some(2), ..places(5) }).await;
    app.db.execute("update exhibitions set hold_ttl_s = 60").await;
    app.refresh().await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 2).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    app.advance(Duration::from_secs(70)).await;
    app.tick("expire").await;
    let privacy = Privacy::of(&app).await;
    let asked = privacy.asked("erase", &visitor.phone).await.expect(201);
    let done = privacy.call(Method::POST, &format!("/{}/erase", asked.text("id")), json!({})).await.expect(200);
    assert_eq!(done.text("state"), "done");
    assert_eq!(app.db.one::<i64>("select count(*) from person_counters").await, 0);
    app.sweep().await;
    // In time for Toss, too late for the hold: places are taken again, and nobody's limit is asked.
    let answer = visitor.confirm(&order, &order_id, &payment_key, "k").await.expect(200);
    assert_eq!(answer.text("status"), "paid");
    app.sweep().await;
    app.assert_books_agree("after a payment for nobody").await;
    // They come back as somebody new.
    let again = visitor.held(&adult, 2).await;
    visitor.pay(&again).await.expect(200);
    app.finish().await;
}

#[tokio::test]
async fn a_copy_has_everything_of_one_person_and_nothing_of_others() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let elsewhere = app.given(Kind { code: "abc", ..places(50) }).await;
    let visitor = app.visitor(1);
    let bought = with_mail(&visitor, &adult, 2).await;
    let answer = visitor.pay(&bought).await.expect(200);
    let there = visitor.held(&elsewhere, 1).await;
    let others = app.visitor(2).held(&elsewhere, 1).await;
    app.tick("outbox").await;
    app.account("gate-7", Role::Staff, &["xyz"]).await;
    let gate = app.access_token("gate-7").await;
    let ask = json!({ "qr_code": answer.body["tickets"][0]["qr_code"], "gate": "north" });
    Answer::of(app.http.post(app.url("/api/entrance/scan")).bearer_auth(gate).json(&ask)).await.expect(200);
    let privacy = Privacy::of(&app).await;
    let asked = privacy.asked("export", &visitor.phone).await.expect(201);
    let path = format!("/api/admin/privacy/requests/{}/export", asked.text("id"));
    let get = async |token: &str| app.http.get(app.url(&path)).bearer_auth(token).send().await.unwrap();
    let reply = get(&privacy.token).await;
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.headers()["cache-control"], "no-store");
    assert!(
        reply.headers()["content-disposition"].to_str().unwrap().starts_with("attachment; filename=\"personal-data-")
    );
    let text = reply.text().await.unwrap();
    let copy: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert_eq!(copy["format"], "admit.personal_data.1");
    let orders = copy["orders"].as_array().unwrap();
    let numbers: Vec<_> = orders.iter().map(|order| order["order_number"].as_str().unwrap()).collect();
    assert_eq!(numbers, [&bought.number, &there.number]);
    let one = &orders[0];
    assert_eq!(one["contact"], json!({ "name": "홍길동", "phone": "+821010000001", "email": "hong@example.org" }));
    assert_eq!(one["consents"], json!({ "terms_and_privacy": admit::orders::consent::VERSION, "news": true }));
    for (part, n) in [
        ("items", 1),
        ("tickets", 2),
        ("attempts", 1),
        ("provider_answers", 1),
        ("messages", 1),
        ("scans", 1),
        ("refunds", 0),
    ] {
        assert_eq!(one[part].as_array().map(Vec::len), Some(n), "{part}: {one}");
    }
    assert!(!text.contains("gate-7") && !text.contains(&others.number) && !text.contains("payment_url"), "{text}");
    assert_eq!(privacy.audited().await, ["privacy.request", "privacy.export"]);

    // Whoever was forgotten meanwhile is in no copy; after ten days it is not known who asked.
    app.db.execute("update exhibitions set ends_on = starts_on").await;
    app.advance(Duration::from_secs(86_400)).await;
    let privacy = Privacy::of(&app).await;
    let erase = privacy.asked("erase", &visitor.phone).await.expect(201);
    privacy.call(Method::POST, &format!("/{}/erase", erase.text("id")), json!({})).await.expect(200);
    let copy: Value = get(&privacy.token).await.json().await.unwrap();
    assert!(!copy.to_string().contains(&bought.number), "{copy}");
    days(&app, 10).await;
    app.tick("retention").await;
    let privacy = Privacy::of(&app).await;
    assert_eq!(get(&privacy.token).await.status(), 409);
    app.tick("expire").await;
    app.finish().await;
}
