//! Requests of people about their data: asked again, about orders without a number, and what must not be told by them.

use std::time::Duration;

use admit::admin::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::privacy::{days, ends_in};
use crate::support::given::places;
use crate::support::servers::OwnRedis;
use crate::support::{Answer, Given, Kind, Options, TestApp};

struct Owner<'a> {
    app: &'a TestApp,
    token: String,
}

impl<'a> Owner<'a> {
    async fn of(app: &'a TestApp) -> Owner<'a> {
        app.account("owner", Role::SuperAdmin, &[]).await;
        Owner { app, token: app.access_token("owner").await }
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        let request = self.app.http.request(method, self.app.url(&format!("/api/admin/{path}")));
        Answer::of(request.bearer_auth(&self.token).json(&body)).await
    }

    async fn asked(&self, kind: &str, who: Value) -> Answer {
        let mut body = json!({ "kind": kind, "verified_by": "phone" });
        body.as_object_mut().unwrap().extend(who.as_object().unwrap().clone());
        self.call(Method::POST, "privacy/requests", body).await
    }

    async fn erase(&self, id: &str) -> Answer {
        self.call(Method::POST, &format!("privacy/requests/{id}/erase"), json!({})).await
    }
}

async fn erased(app: &TestApp) -> i64 {
    app.db.one("select count(*) from contacts where erased_at is not null").await
}

/// A gift: an order of nobody's number.
async fn gift(app: &TestApp, desk: &Desk<'_>, given: &Given, key: &str) -> String {
    let ask = json!({ "items": [{ "product_id": given.product_id, "quantity": 1 }], "reason": "press" });
    let request = app.http.post(app.url("/api/admin/exhibitions/xyz/complimentary")).bearer_auth(&desk.admin);
    Answer::of(request.header("idempotency-key", key).json(&ask)).await.expect(201).text("order_number")
}

#[tokio::test]
async fn whoever_asks_again_is_forgotten_with_what_they_ordered_in_between() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    ends_in(&app, &adult, 1).await;
    let visitor = app.visitor(1);
    let first = visitor.held(&adult, 1).await;
    visitor.pay(&first).await.expect(200);
    let owner = Owner::of(&app).await;
    let phone = json!({ "phone": visitor.phone });
    let id = owner.asked("erase", phone.clone()).await.expect(201).text("id");
    assert_eq!(owner.erase(&id).await.expect(200).text("state"), "waiting");
    app.advance(Duration::from_secs(5)).await;
    let second = visitor.held(&adult, 1).await;
    visitor.pay(&second).await.expect(200);
    // It is not meant, until they say so again.
    let meant = async || {
        let shown = owner.call(Method::GET, &format!("privacy/requests/{id}"), json!({})).await.expect(200);
        shown.body["orders"].as_array().unwrap().len()
    };
    assert_eq!(meant().await, 1);
    app.advance(Duration::from_secs(5)).await;
    let again = owner.asked("erase", phone.clone()).await.expect(200);
    assert_eq!((again.text("id"), again.text("state")), (id.clone(), "waiting".into()));
    assert_eq!(meant().await, 2);
    let told: Value = app
        .db
        .one("select jsonb_agg(after -> 'again' order by id) from admin_audit where action = 'privacy.request'")
        .await;
    assert_eq!(told, json!([false, true]));
    // Without anybody at the page: the day after the visit.
    days(&app, 2).await;
    app.tick("retention").await;
    assert_eq!(erased(&app).await, 2);
    let ended = "select state || ' ' || orders_erased from privacy_requests";
    assert_eq!(app.db.one::<String>(ended).await, "done 2");
    app.finish().await;
}

/// The same copy asked for again is the same, and for as long as it was.
#[tokio::test]
async fn a_copy_that_is_asked_for_again_is_no_other() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    app.visitor(1).held(&adult, 1).await;
    let owner = Owner::of(&app).await;
    let phone = json!({ "phone": app.visitor(1).phone });
    let first = owner.asked("export", phone.clone()).await.expect(201);
    app.advance(Duration::from_secs(60)).await;
    let again = owner.asked("export", phone).await.expect(200);
    assert_eq!((again.text("id"), again.text("asked_at")), (first.text("id"), first.text("asked_at")));
    assert_eq!(app.db.one::<i64>("select count(*) from admin_audit where action = 'privacy.request'").await, 1);
    app.finish().await;
}

/// An order without a number is found by a digest of its own: corrected, it is still the one that was asked for.
#[tokio::test]
async fn a_gift_that_is_corrected_is_still_forgotten() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    ends_in(&app, &adult, 2).await;
    let desk = Desk::of(&app).await;
    let (one, other) = (gift(&app, &desk, &adult, "a").await, gift(&app, &desk, &adult, "b").await);
    let owner = Owner::of(&app).await;
    let asked = owner.asked("erase", json!({ "order_number": one })).await.expect(201);
    let id = asked.text("id");
    assert_eq!(owner.erase(&id).await.expect(200).text("state"), "waiting");
    desk.patch(&one, json!({ "customer_email": "guest@example.org" })).await.expect(200);
    // A number would make it one of many orders: that is said, and nothing is changed.
    let number = json!({ "customer_name": "손님", "customer_phone": "010-7777-1234" });
    desk.patch(&one, number.clone()).await.refused(409, "order.erasure_asked");
    desk.patch(&other, number.clone()).await.expect(200);
    days(&app, 3).await;
    app.tick("retention").await;
    let row = "select state || ' ' || orders_erased from privacy_requests";
    assert_eq!(app.db.one::<String>(row).await, "done 1");
    let gone = "select o.number from contacts c join orders o on o.id = c.order_id where c.erased_at is not null";
    assert_eq!(app.db.one::<String>(gone).await, one);
    app.finish().await;
}

/// A request that is entered while its order gets a number: one of the two sees the other. The control enters it as it was done
/// before, by what was read first, and is a request of nobody.
#[tokio::test]
async fn a_request_for_an_order_that_is_being_corrected_is_not_lost() {
    for naive in [false, true] {
        let app = TestApp::start().await;
        let adult = app.given(places(50)).await;
        let desk = Desk::of(&app).await;
        let number = gift(&app, &desk, &adult, "a").await;
        let owner = Owner::of(&app).await;
        // As a correction does it (`care::change`), held at its last moment.
        let mut at_the_desk = app.db.client().await;
        let correction = at_the_desk.transaction().await.unwrap();
        let theirs = format!("(select id from orders where number = '{number}')");
        correction
            .batch_execute(&format!(
                "select from orders where id = {theirs} for update;
                 select from contacts where order_id = {theirs} for update;
                 update contacts set phone_digest = decode(repeat('ab', 32), 'hex') where order_id = {theirs}"
            ))
            .await
            .unwrap();
        if naive {
            app.db
                .execute(&format!(
                    "insert into privacy_requests (id, kind, phone_digest, verified_by, asked_by, asked_at)
                     select gen_random_uuid(), 'erase', phone_digest, 'phone', 1, admit_now()
                       from contacts where order_id = {theirs}"
                ))
                .await;
            correction.commit().await.unwrap();
        } else {
            let asking = owner.asked("erase", json!({ "order_number": number }));
            let corrected = async {
                app.until("the request waits", async || {
                    let waiting = "select count(*) from pg_stat_activity
                                    where datname = current_database() and wait_event_type = 'Lock'";
                    app.db.one::<i64>(waiting).await > 0
                })
                .await;
                correction.commit().await.unwrap();
            };
            let (asked, ()) = tokio::join!(asking, corrected);
            asked.refused(503, "server.busy");
            owner.asked("erase", json!({ "order_number": number })).await.expect(201);
        }
        let nobodys = "select count(*) from privacy_requests r
                        where not exists (select from contacts c where c.phone_digest = r.phone_digest)";
        assert_eq!(app.db.one::<i64>(nobodys).await, i64::from(naive));
        app.finish().await;
    }
}

/// What is no order number is asked of nobody: a NUL in it is none of Postgres's business.
#[tokio::test]
async fn what_is_no_order_number_finds_nothing_anywhere() {
    let app = TestApp::start().await;
    app.given(places(5)).await;
    let owner = Owner::of(&app).await;
    for odd in ["%00", "ORD20261121-%00000000000", "' or 1=1", "ORD"] {
        let messages = owner.call(Method::GET, &format!("outbox?order_number={odd}"), json!({})).await.expect(200);
        assert_eq!(messages.body["messages"], json!([]), "{odd}");
        let events = owner.call(Method::GET, &format!("webhooks?order_number={odd}"), json!({})).await.expect(200);
        assert_eq!(events.body["events"], json!([]), "{odd}");
    }
    for odd in ["\u{0}", "ORD20261121-\u{0}000000000", "' or 1=1"] {
        owner.asked("erase", json!({ "order_number": odd })).await.refused(404, "privacy.nobody");
    }
    app.finish().await;
}

/// Histories stay for good: they do not say that orders were one person's.
#[tokio::test]
async fn the_histories_of_forgotten_orders_name_no_common_request() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { open_holds_max: 5, ..places(50) }).await;
    let visitor = app.visitor(1);
    for _ in 0..3 {
        let mut ask = visitor.ask(&adult, 1);
        ask["consent"] = json!({ "version": admit::orders::consent::VERSION, "marketing": true });
        Answer::of(visitor.post("/api/orders").json(&ask)).await.expect(201);
    }
    app.advance(Duration::from_secs(700)).await;
    app.tick("expire").await;
    let owner = Owner::of(&app).await;
    let id = owner.asked("erase", json!({ "phone": visitor.phone })).await.expect(201).text("id");
    // News end before the contacts do, so that both are in the histories.
    app.db.execute("update orders set closed_at = admit_now() + interval '1 hour' where state = 'expired'").await;
    owner.erase(&id).await.expect(200);
    app.db.execute("update orders set closed_at = admit_now() where state = 'expired'").await;
    app.advance(Duration::from_secs(1)).await;
    owner.erase(&id).await.expect(200);
    assert_eq!(erased(&app).await, 3);
    for kind in ["contact_erased", "news_withdrawn"] {
        let rows = app.db.client().await;
        let sql = "select correlation_id from order_events where kind = $1";
        let rows = rows.query(sql, &[&kind]).await.unwrap();
        let names: std::collections::BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!((rows.len(), names.len()), (3, 3), "{kind}: each its own");
        assert!(names.iter().all(|name| name.len() == 32 && !name.contains(&id[..8])), "{names:?}");
    }
    app.sweep().await;
    app.finish().await;
}

/// A copy is written order by order. What is corrected to another person's number while it is read is theirs, and not in it.
#[tokio::test]
async fn an_order_that_becomes_another_person_s_while_a_copy_is_read_is_not_in_it() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { open_holds_max: 5, ..places(50) }).await;
    let visitor = app.visitor(1);
    let mut mine = Vec::new();
    for _ in 0..3 {
        mine.push(visitor.held(&adult, 1).await.number);
    }
    let other = app.visitor(2).held(&adult, 1).await.number;
    let owner = Owner::of(&app).await;
    let id = owner.asked("export", json!({ "phone": visitor.phone })).await.expect(201).text("id");
    // Whoever writes the first order waits here, with the list of all of them in their hand.
    let held_up = app.db.client().await;
    held_up.batch_execute("begin; lock table scans in access exclusive mode").await.unwrap();
    let url = app.url(&format!("/api/admin/privacy/requests/{id}/export"));
    let reading = async { app.http.get(url).bearer_auth(&owner.token).send().await.unwrap().text().await.unwrap() };
    let corrected = async {
        app.until("the copy is half written", async || {
            let waiting = "select count(*) from pg_stat_activity
                            where datname = current_database() and wait_event_type = 'Lock'";
            app.db.one::<i64>(waiting).await > 0
        })
        .await;
        app.db
            .execute(&format!(
                "update contacts set phone_digest = (select phone_digest from contacts c join orders o on o.id = c.order_id
                                                      where o.number = '{other}')
                  where order_id = (select id from orders where number = '{}')",
                mine[1]
            ))
            .await;
        held_up.batch_execute("commit").await.unwrap();
    };
    let (text, ()) = tokio::join!(reading, corrected);
    let copy: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let numbers: Vec<&str> =
        copy["orders"].as_array().unwrap().iter().map(|order| order["order_number"].as_str().unwrap()).collect();
    assert_eq!(numbers, [&mine[0], &mine[2]], "and the document is whole");
    app.finish().await;
}

/// What is counted anew after people were forgotten says so, in words.
#[tokio::test]
async fn a_count_anew_for_retention_has_a_cause_that_is_read() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    app.visitor(1).held(&adult, 1).await;
    app.advance(Duration::from_secs(700)).await;
    app.tick("expire").await;
    ends_in(&app, &adult, 1).await;
    days(&app, 120).await;
    app.tick("retention").await;
    let owner = Owner::of(&app).await;
    let shown = owner.call(Method::GET, "exhibitions/xyz/stock", json!({})).await.expect(200);
    let cause = shown.body["repairs"][0]["cause"].as_str().unwrap();
    assert_eq!(cause, "retention");
    assert!(admit::platform::texts::knows(&format!("page.admin.stock.reason.{cause}")));
    app.finish().await;
}

/// Redis away at the end of one exhibition's walk keeps no other exhibition, no request and nothing that is too old.
#[tokio::test]
async fn what_one_part_of_retention_cannot_do_keeps_nothing_else() {
    let mut own = OwnRedis::start().await;
    let app = TestApp::start_with(Options { redis_url: Some(own.url()), ..Options::default() }).await;
    let adult = app.given(places(50)).await;
    let elsewhere = app.given(Kind { code: "abc", ..places(50) }).await;
    for (n, given) in [(1, &adult), (2, &elsewhere)] {
        let order = app.visitor(n).held(given, 1).await;
        app.visitor(n).pay(&order).await.expect(200);
        ends_in(&app, given, 1).await;
    }
    let late = app.given(Kind { code: "late", ..places(50) }).await;
    ends_in(&app, &late, 100).await;
    let order = app.visitor(3).held(&late, 1).await;
    app.visitor(3).pay(&order).await.expect(200);
    let owner = Owner::of(&app).await;
    let id = owner.asked("erase", json!({ "phone": app.visitor(3).phone })).await.expect(201).text("id");
    owner.erase(&id).await.expect(200);
    days(&app, 105).await;

    own.kill().await;
    app.try_tick_on(0, "retention").await.expect_err("the people of two exhibitions are still counted in Redis");
    assert_eq!(erased(&app).await, 3, "of both, and of whoever asked");
    assert_eq!(app.db.one::<i64>("select count(*) from refresh_tokens").await, 0, "of 92 days");
    let open = "select count(*) from retention_walks where what = 'contacts' and done_at is null";
    assert_eq!(app.db.one::<i64>(open).await, 2);
    let told: Value = app.db.one("select after from admin_audit where action = 'privacy.retention'").await;
    assert_eq!((&told["contacts"], &told["requested"]), (&json!(2), &json!(1)), "what was done is on record");

    own.run().await;
    app.until("both are counted anew", async || {
        app.advance(Duration::from_secs(61)).await;
        let _ = app.try_tick_on(0, "retention").await;
        app.db.one::<i64>(open).await == 0
    })
    .await;
    app.until("the third is, too", async || {
        let _ = app.try_tick_on(0, "audit").await;
        app.stores_agree().await
    })
    .await;
    app.finish().await;
}

/// It is no answer until it was taken; a download that broke is tried again on the same day.
#[tokio::test]
async fn a_copy_that_is_taken_late_may_be_fetched_again_that_day() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let visitor = app.visitor(1);
    visitor.held(&adult, 1).await;
    let asked = Owner::of(&app).await.asked("export", json!({ "phone": visitor.phone })).await.expect(201);
    let path = format!("privacy/requests/{}", asked.text("id"));
    let look = async || {
        app.tick("retention").await;
        let owner = Owner::of(&app).await;
        let one = owner.call(Method::GET, &path, json!({})).await.expect(200).body;
        (one["state"].clone(), one["due_on"].is_string())
    };
    days(&app, 15).await;
    assert_eq!(look().await, (json!("open"), true), "overdue");
    for _ in 0..2 {
        let owner = Owner::of(&app).await;
        owner.call(Method::GET, &format!("{path}/export"), json!({})).await.expect(200);
        assert_eq!(look().await, (json!("open"), false));
    }
    days(&app, 1).await;
    assert_eq!(look().await, (json!("done"), false));
    app.tick("expire").await;
    app.finish().await;
}

/// Ten days from the day in Seoul on which it was asked; what waits for an answer comes first, whatever page it is on.
#[tokio::test]
async fn a_request_says_by_which_day_it_is_to_be_answered() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let owner = Owner::of(&app).await;
    let mut ids = Vec::new();
    for (n, at) in [(1, "2025-03-11T00:01:00+09:00"), (2, "2025-03-10T23:59:00+09:00")] {
        app.visitor(n).held(&adult, 1).await;
        let id = owner.asked("export", json!({ "phone": app.visitor(n).phone })).await.expect(201).text("id");
        app.db.execute(&format!("update privacy_requests set asked_at = '{at}' where id = '{id}'")).await;
        ids.push(id);
    }
    let list = async |before: &str| {
        owner.call(Method::GET, &format!("privacy/requests{before}"), json!({})).await.expect(200).body
    };
    let told = |page: &Value| -> Vec<(Value, Value)> {
        let requests = page["requests"].as_array().unwrap().iter();
        requests.map(|one| (one["id"].clone(), one["due_on"].clone())).collect()
    };
    let due = |id: &str, day: &str| (json!(id), json!(day));
    let [later, sooner] = [ids[0].as_str(), ids[1].as_str()];
    assert_eq!(told(&list("").await), [due(sooner, "2025-03-20"), due(later, "2025-03-21")]);
    // Answered, it is due no longer, and behind those that are.
    owner.call(Method::GET, &format!("privacy/requests/{sooner}/export"), json!({})).await.expect(200);
    assert_eq!(told(&list("").await), [due(later, "2025-03-21"), (json!(sooner), Value::Null)]);

    // Asked for anew, an erasure that was carried out waits for an answer again, until it is carried out again.
    ends_in(&app, &adult, 1).await;
    app.visitor(3).held(&adult, 1).await;
    let phone = json!({ "phone": app.visitor(3).phone });
    let id = owner.asked("erase", phone.clone()).await.expect(201).text("id");
    let day = |answer: &Answer| answer.body["due_on"].clone();
    assert!(day(&owner.erase(&id).await.expect(200)).is_null());
    app.advance(Duration::from_secs(5)).await;
    assert!(day(&owner.asked("erase", phone).await.expect(200)).is_string());
    app.advance(Duration::from_secs(5)).await;
    let again = owner.erase(&id).await.expect(200);
    assert_eq!((again.text("state"), day(&again)), ("waiting".into(), Value::Null));

    // More than a page of each, and none twice or not at all.
    app.db
        .execute(
            "insert into privacy_requests (id, kind, phone_digest, verified_by, state, asked_by, asked_at, ended_at)
             select gen_random_uuid(), 'erase', case when n <= 70 then decode(lpad(n::text, 4, '0'), 'hex') end, 'phone',
                    case when n <= 70 then 'open' else 'withdrawn' end, 1, '2025-04-01'::timestamptz + n % 7 * interval '1 day',
                    case when n > 70 then now() end
               from generate_series(1, 130) n",
        )
        .await;
    let (mut all, mut before) = (Vec::new(), String::new());
    loop {
        let page = list(&before).await;
        all.extend(told(&page));
        match page["next"].as_str() {
            Some(next) => before = format!("?before={next}"),
            None => break,
        }
    }
    let unanswered: Vec<&str> = all.iter().map_while(|(_, due)| due.as_str()).collect();
    assert_eq!((all.len(), unanswered.len()), (133, 71));
    assert!(unanswered.is_sorted() && all[71..].iter().all(|(_, due)| due.is_null()), "{all:?}");
    assert!(all[71..].is_sorted_by(|a, b| a.0.as_str() > b.0.as_str()), "{all:?}");
    let mut once: Vec<&str> = all.iter().filter_map(|(id, _)| id.as_str()).collect();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), 133);
    owner.call(Method::GET, "privacy/requests?before=x.y", json!({})).await.refused(400, "request.malformed_query");
    app.finish().await;
}
