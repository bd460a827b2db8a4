//! Messages as admins see them: what was given up is sent again once, or set aside, and nothing else is touched.

use std::collections::BTreeSet;
use std::time::Duration;

use admit::admin::Role;
use admit::notifications::outbox::MessageKind;
use admit::notifications::pg as worker;
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin::PASSWORD;
use crate::notifications::{held_by_mail, mails};
use crate::support::given::places;
use crate::support::{Answer, Given, Kind, Options, TestApp, race};

const OUTBOX: &str = "/api/admin/outbox";

async fn call(app: &TestApp, token: &str, method: Method, path: &str, body: Value) -> Answer {
    let request = app.http.request(method.clone(), app.url(path)).bearer_auth(token);
    Answer::of(if method == Method::GET { request } else { request.json(&body) }).await
}

async fn list(app: &TestApp, token: &str, query: &str) -> Answer {
    call(app, token, Method::GET, &format!("{OUTBOX}{query}"), Value::Null).await
}

async fn replay(app: &TestApp, token: &str, body: Value) -> Answer {
    call(app, token, Method::POST, &format!("{OUTBOX}/replay"), body).await
}

fn ids(answer: &Answer) -> Vec<i64> {
    let messages = answer.body["messages"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    messages.iter().map(|message| message["id"].as_i64().unwrap()).collect()
}

/// A paid order of somebody with an address, whose mail waits: its number.
async fn mailed(app: &TestApp, given: &Given, n: usize) -> String {
    let visitor = app.visitor(n);
    let order = held_by_mail(&visitor, given, 1, "홍길동", "ko").await;
    visitor.pay(&order).await.expect(200);
    order.number
}

/// The last try of whatever waits, while the mailbox is gone.
async fn given_up(app: &TestApp) {
    std::fs::remove_dir_all(&app.mail.0).unwrap();
    let last = "update outbox set tries = 12 * (1 + replays) - 1, next_try_at = admit_now() where state = 'pending'";
    app.db.execute(last).await;
    while app.tick("outbox").await > 0 {}
    std::fs::create_dir_all(&app.mail.0).unwrap();
}

async fn delivered(app: &TestApp) {
    while app.tick("outbox").await > 0 {}
}

#[tokio::test]
async fn what_was_given_up_is_listed_sent_again_and_set_aside_by_whoever_may() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let elsewhere = app.given(Kind { code: "abc", ..places(50) }).await;
    for (name, role, home) in
        [("here", Role::Admin, "xyz"), ("afar", Role::Admin, "abc"), ("helper", Role::Support, "xyz")]
    {
        app.account(name, role, &[home]).await;
    }
    app.account("owner", Role::SuperAdmin, &[]).await;
    let (here, afar) = (app.access_token("here").await, app.access_token("afar").await);
    let (helper, owner) = (app.access_token("helper").await, app.access_token("owner").await);
    let mut numbers = Vec::new();
    for n in 0..3 {
        numbers.push(mailed(&app, &adult, n).await);
    }
    mailed(&app, &elsewhere, 9).await;
    given_up(&app).await;
    // Of no exhibition, and of no use by now.
    app.db
        .execute(
            "insert into outbox (kind, order_id, exhibition_id, state, tries, outcome, next_try_at, created_at, done_at)
             values ('one_time_code', gen_random_uuid(), 0, 'dead', 12, 'timeout', now(), now(), now())",
        )
        .await;

    let dead = list(&app, &here, "?state=dead").await.expect(200);
    let all = ids(&dead);
    assert_eq!((all.len(), dead.body["next"].is_null()), (3, true));
    assert!(all.is_sorted_by(|a, b| a > b), "the newest first: {all:?}");
    let one = &dead.body["messages"][2];
    assert_eq!(
        (&one["kind"], &one["outcome"], &one["tries"], &one["replays"], &one["can_be_sent_again"]),
        (&json!("order_paid"), &json!("not_written_to_file"), &json!(12), &json!(0), &json!(true)),
    );
    assert_eq!((&one["order_number"], &one["exhibition_code"]), (&json!(numbers[0]), &json!("xyz")));
    assert_eq!(one["address"], "h***@example.org", "masked");
    assert_eq!(
        (
            &dead.body["counts"]["dead"],
            &dead.body["counts"]["pending"],
            dead.body["counts"]["oldest_dead_at"].is_string()
        ),
        (&json!(3), &json!(0), true)
    );
    // Who sees what.
    assert_eq!(ids(&list(&app, &afar, "?state=dead").await.expect(200)).len(), 1);
    assert_eq!(ids(&list(&app, &owner, "?state=dead").await.expect(200)).len(), 5, "and what belongs to none");
    assert_eq!(ids(&list(&app, &owner, "?state=dead&exhibition=xyz").await.expect(200)), all);
    list(&app, &here, "?exhibition=abc").await.refused(422, "request.invalid");
    list(&app, &helper, "").await.refused(403, "auth.forbidden");
    list(&app, &here, "?state=lost").await.refused(400, "request.malformed_query");
    // Narrowed, and by pages.
    let of_one = list(&app, &here, &format!("?order_number={}", numbers[1].to_lowercase())).await.expect(200);
    assert_eq!(ids(&of_one), [all[1]]);
    assert!(ids(&list(&app, &afar, &format!("?order_number={}", numbers[1])).await.expect(200)).is_empty());
    assert!(ids(&list(&app, &here, "?kind=refund").await.expect(200)).is_empty());
    let first = list(&app, &here, "?limit=2").await.expect(200);
    let rest = list(&app, &here, &format!("?limit=2&before={}", first.body["next"])).await.expect(200);
    assert_eq!([ids(&first), ids(&rest)].concat(), all);
    assert!(rest.body["counts"].is_null() && rest.body["next"].is_null());

    // Another exhibition's is as good as not there; a lapsed code is of no use.
    let code: i64 = app.db.one("select id from outbox where kind = 'one_time_code'").await;
    let refused = replay(&app, &afar, json!({ "ids": [all[0]] })).await.expect(200);
    assert_eq!(
        refused.body,
        json!({ "replayed": [], "skipped": [{ "id": all[0], "because": "unknown" }], "more": false })
    );
    let refused = replay(&app, &owner, json!({ "ids": [code] })).await.expect(200);
    assert_eq!(refused.body["skipped"], json!([{ "id": code, "because": "of_no_use" }]));
    replay(&app, &here, json!({})).await.refused(422, "request.invalid");
    assert_eq!(
        app.db.one::<i64>("select count(*) from admin_audit where action <> 'user.sign_in'").await,
        0,
        "nothing was done"
    );

    let again = json!({ "ids": [all[0], code, all[0]] });
    let done = replay(&app, &here, again.clone()).await.expect(200);
    assert_eq!(
        done.body,
        json!({ "replayed": [all[0]], "skipped": [{ "id": code, "because": "unknown" }], "more": false })
    );
    let waits = replay(&app, &here, json!({ "ids": [all[0]] })).await.expect(200);
    assert_eq!(waits.body["skipped"], json!([{ "id": all[0], "because": "on_its_way" }]));
    assert_eq!(ids(&list(&app, &here, "?state=pending").await.expect(200)), [all[0]]);
    delivered(&app).await;
    assert_eq!(mails(&app).len(), 1);
    let sent = replay(&app, &here, json!({ "ids": [all[0]] })).await.expect(200);
    assert_eq!(sent.body["skipped"], json!([{ "id": all[0], "because": "done" }]));
    delivered(&app).await;
    assert_eq!(mails(&app).len(), 1, "what was sent is not sent twice");

    // Set aside, with a reason; and taken up again after all.
    let aside = async |body: Value| call(&app, &here, Method::POST, &format!("{OUTBOX}/set-aside"), body).await;
    aside(json!({ "ids": [all[1]], "reason": " " })).await.refused(422, "request.invalid");
    let gone = aside(json!({ "ids": [all[1], all[0]], "reason": "they were called" })).await.expect(200);
    assert_eq!(gone.body, json!({ "set_aside": [all[1]], "skipped": [{ "id": all[0], "because": "done" }] }));
    let listed = list(&app, &here, "?state=set_aside").await.expect(200);
    assert_eq!(
        (ids(&listed), &listed.body["messages"][0]["set_aside_because"]),
        (vec![all[1]], &json!("they were called"))
    );
    assert_eq!(ids(&list(&app, &here, "?state=dead").await.expect(200)), [all[2]]);
    app.tick("gauges").await;
    delivered(&app).await;
    assert_eq!(mails(&app).len(), 1, "nobody sends it");
    replay(&app, &here, json!({ "ids": [all[1]] })).await.expect(200);
    let whole = replay(&app, &here, json!({ "exhibition": "xyz" })).await.expect(200);
    assert_eq!((&whole.body["replayed"], &whole.body["more"]), (&json!([all[2]]), &json!(false)));
    replay(&app, &here, json!({ "exhibition": "abc" })).await.refused(422, "request.invalid");
    delivered(&app).await;
    assert_eq!(mails(&app).len(), 3);
    assert_eq!(ids(&list(&app, &here, "?state=done").await.expect(200)), all);

    let recorded: String = app
        .db
        .one(
            "select string_agg(user_name || ' ' || action || ' ' || e.code || ' ' || jsonb_array_length(before -> 'messages'), ', ' order by a.id)
               from admin_audit a join exhibitions e on e.id = a.exhibition_id",
        )
        .await;
    let row = |action: &str| format!("here outbox.{action} xyz 1");
    assert_eq!(recorded, [row("replay"), row("set_aside"), row("replay"), row("replay")].join(", "));
    app.finish().await;
}

/// The control resets rows without looking at them, as one is tempted to.
#[tokio::test]
async fn a_dead_letter_is_sent_again_once_however_many_ask() {
    const LETTERS: usize = 6;
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    let adult = app.given(places(50)).await;
    app.account("here", Role::Admin, &["xyz"]).await;
    let here = app.access_token("here").await;
    for n in 0..LETTERS {
        mailed(&app, &adult, n).await;
    }
    given_up(&app).await;
    let all = ids(&list(&app, &here, "?state=dead").await.expect(200));
    let by_ids = async || replay(&app, &here, json!({ "ids": all })).await.expect(200);
    // Several ask while workers send what was asked for.
    race(24, async |n| match n % 4 {
        0 | 1 => drop(by_ids().await),
        2 => drop(replay(&app, &here, json!({ "exhibition": "xyz" })).await.expect(200)),
        _ => {
            app.tick_on(n % 8 / 4, "outbox").await;
        }
    })
    .await;
    for _ in 0..3 {
        tokio::join!(app.tick_on(0, "outbox"), app.tick_on(1, "outbox"), by_ids());
    }
    delivered(&app).await;
    assert_eq!(mails(&app).len(), LETTERS);
    assert_eq!(app.db.one::<i64>("select sum(replays)::bigint from outbox").await, LETTERS as i64);

    // Two admins, one after the other, with a worker in between.
    app.db.execute("update outbox set state = 'dead'").await;
    for _ in 0..2 {
        by_ids().await;
        delivered(&app).await;
    }
    assert_eq!(mails(&app).len(), 2 * LETTERS, "each once");
    app.db.execute("update outbox set state = 'dead'").await;
    for _ in 0..2 {
        app.db.execute("update outbox set state = 'pending', tries = 0, next_try_at = admit_now()").await;
        delivered(&app).await;
    }
    assert_eq!(mails(&app).len(), 4 * LETTERS, "the control sends each twice");
    app.finish().await;
}

/// A row is fenced by its number of tries, which a replay must not begin anew: the control does.
#[tokio::test]
async fn a_worker_of_before_the_replay_ends_nothing_and_the_tries_begin_anew() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    app.account("here", Role::Admin, &["xyz"]).await;
    let here = app.access_token("here").await;
    mailed(&app, &adult, 1).await;
    let client = app.app().pg.get().await.unwrap();
    // Claimed by a worker that then hangs, while the others try until it is given up.
    let slow = worker::claim(&client, 10, 120).await.unwrap().remove(0);
    assert_eq!(slow.tries, 1);
    given_up(&app).await;
    replay(&app, &here, json!({ "ids": [slow.id] })).await.expect(200);
    assert_eq!(worker::claim(&client, 10, 120).await.unwrap()[0].tries, 13);
    let state = async || app.db.one::<String>("select state from outbox").await;
    worker::finish(&client, &slow, "done", "sent").await.unwrap();
    assert_eq!(state().await, "pending", "whoever lost the lease changes nothing");
    app.db.execute("update outbox set tries = 0, next_try_at = admit_now()").await;
    worker::claim(&client, 10, 120).await.unwrap();
    worker::finish(&client, &slow, "done", "sent").await.unwrap();
    assert_eq!(state().await, "done", "the control is ended by a worker that never sent it");

    // Sent again it is tried as often as the first time, at the same pace.
    app.db.execute("update outbox set state = 'dead', tries = 12, replays = 0").await;
    replay(&app, &here, json!({ "ids": [slow.id] })).await.expect(200);
    std::fs::remove_dir_all(&app.mail.0).unwrap();
    assert_eq!(app.tick("outbox").await, 1);
    let pause = "select extract(epoch from next_try_at - admit_now())::int from outbox";
    assert!((25..=30).contains(&app.db.one::<i32>(pause).await), "as after a first try");
    let mut tries = 1;
    while state().await == "pending" {
        app.db.execute("update outbox set next_try_at = admit_now()").await;
        assert_eq!(app.tick("outbox").await, 1);
        tries += 1;
    }
    assert_eq!((tries, state().await), (12, "dead".into()));
    std::fs::create_dir_all(&app.mail.0).unwrap();
    drop(client);
    app.advance(Duration::from_secs(1)).await;
    app.finish().await;
}

#[tokio::test]
async fn messages_of_an_older_release_are_placed_and_found() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    app.account("here", Role::Admin, &["xyz"]).await;
    let here = app.access_token("here").await;
    let number = mailed(&app, &adult, 1).await;
    mailed(&app, &adult, 2).await;
    // A refund and a mail sent again are about their order, not their own id.
    let path = format!("/api/admin/orders/{number}/resend");
    call(&app, &here, Method::POST, &path, json!({})).await.expect(200);
    let ticket: uuid::Uuid = app.db.one("select t.id from tickets t order by t.id limit 1").await;
    let refund = app.url(&format!("/api/admin/exhibitions/xyz/orders/{number}/refund"));
    let asked = app.http.post(refund).bearer_auth(&here).header("idempotency-key", "r");
    Answer::of(asked.json(&json!({ "ticket_ids": [ticket], "reason": "ill" }))).await.expect(200);
    app.db
        .execute(
            "insert into outbox (kind, order_id, next_try_at, created_at, state, outcome)
             values ('one_time_code', gen_random_uuid(), now(), now(), 'done', 'too_late')",
        )
        .await;
    assert_eq!(app.db.one::<i64>("select count(*) from outbox where exhibition_id is null").await, 1);
    app.db.execute("update outbox set exhibition_id = null").await;
    assert!(ids(&list(&app, &here, "").await.expect(200)).is_empty());
    assert_eq!(app.tick("message_index").await, 5);
    assert_eq!(app.tick("message_index").await, 0);
    let listed = list(&app, &here, "").await.expect(200);
    let mut kinds: Vec<&str> =
        listed.body["messages"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["order_paid", "order_paid", "refund", "resend"]);
    let of_order = list(&app, &here, &format!("?order_number={number}")).await.expect(200);
    assert_eq!(ids(&of_order).len(), 3, "{}", of_order.body);
    assert!(of_order.body["messages"].as_array().unwrap().iter().all(|one| one["order_number"] == number.as_str()));
    app.finish().await;
}

/// Whatever the source writes to the outbox: kinds in statements, and those that the stock writer is told.
fn written_kinds() -> BTreeSet<String> {
    let mut kinds = BTreeSet::new();
    let mut folders = vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for insert in text.split("insert into outbox ").skip(1) {
                let picked = insert.split_once("select ").unwrap().1;
                match picked.strip_prefix('\'') {
                    Some(kind) => drop(kinds.insert(kind.split('\'').next().unwrap().to_owned())),
                    None => assert!(picked.starts_with("n.kind"), "{}: whose kind is it?", path.display()),
                }
            }
            for told in text.split(".rows.outbox(").skip(1) {
                kinds.insert(told.split('"').nth(1).unwrap().to_owned());
            }
        }
    }
    kinds
}

#[test]
fn every_kind_that_is_written_is_in_the_list_and_has_words() {
    let listed: BTreeSet<String> = MessageKind::ALL.iter().map(|kind| kind.as_str().to_owned()).collect();
    assert_eq!(written_kinds(), listed);
    let page = include_str!("../../web/assets/admin_outbox.js");
    let kinds = page.split("KINDS = [").nth(1).unwrap().split(']').next().unwrap();
    for kind in &listed {
        assert!(kinds.contains(&format!("\"{kind}\"")), "the page knows no {kind}");
        assert!(admit::platform::texts::knows(&format!("page.admin.mail.{kind}")), "{kind} has no words");
    }
}

/// Somebody with an address who has forgotten their password.
async fn forgot(app: &TestApp, name: &str) {
    let token = app.access_token(name).await;
    let address = json!({ "password": PASSWORD, "email": format!("{name}@example.org") });
    Answer::of(app.http.put(app.url("/api/auth/email")).bearer_auth(token).json(&address)).await.expect(204);
    let asked = app.http.post(app.url("/api/auth/password-reset")).json(&json!({ "username": name }));
    Answer::of(asked).await.expect(202);
}

/// What an alarm counts.
async fn dead_by_the_gauge(app: &TestApp) -> i64 {
    let client = app.app().pg.get().await.unwrap();
    let rows = admit::orders::gauges::STATEMENTS[0].query(&client, &[]).await.unwrap();
    rows.iter().find(|row| row.get::<_, &str>(0) == "messages_dead").map_or(0, |row| row.get(2))
}

#[tokio::test]
async fn letters_about_accounts_that_die_are_listed_and_can_be_set_aside() {
    let app = TestApp::start().await;
    app.given(places(5)).await;
    app.account("here", Role::Admin, &["xyz"]).await;
    app.account("owner", Role::SuperAdmin, &[]).await;
    let (here, owner) = (app.access_token("here").await, app.access_token("owner").await);
    forgot(&app, "here").await;
    let client = app.app().pg.get().await.unwrap();
    let user: i32 = app.db.one("select id from admin_users where username = 'here'").await;
    admit::admin::mailbox::pg::tell(&client, uuid::Uuid::now_v7(), user, "codes_tried", "en", None).await.unwrap();
    drop(client);
    assert_eq!(app.db.one::<i64>("select count(*) from outbox where exhibition_id is null").await, 0);
    app.db.execute("update outbox set state = 'dead', outcome = 'refused', tries = 12, done_at = admit_now()").await;

    let dead = list(&app, &owner, "?state=dead").await.expect(200);
    let all = ids(&dead);
    let kinds: BTreeSet<&str> =
        dead.body["messages"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, BTreeSet::from(["account_notice", "password_reset"]));
    assert_eq!((all.len() as i64, &dead.body["counts"]["dead"]), (2, &json!(2)), "what is counted is in the list");
    assert_eq!(dead_by_the_gauge(&app).await, 2);
    let narrowed = list(&app, &owner, "?state=dead&kind=password_reset").await.expect(200);
    assert_eq!(ids(&narrowed).len(), 1);
    let mine = list(&app, &here, "?state=dead").await.expect(200);
    assert_eq!((ids(&mine).len(), &mine.body["counts"]["dead"]), (0, &json!(0)), "a super admin's");
    let skipped = replay(&app, &owner, json!({ "ids": all })).await.expect(200);
    assert!(skipped.body["skipped"].as_array().unwrap().iter().all(|one| one["because"] == "of_no_use"));
    let aside = json!({ "ids": all, "reason": "they were called" });
    let gone = call(&app, &owner, Method::POST, &format!("{OUTBOX}/set-aside"), aside).await.expect(200);
    assert_eq!(gone.body["set_aside"].as_array().map(Vec::len), Some(2));
    let none = list(&app, &owner, "?state=dead").await.expect(200);
    assert_eq!((ids(&none).len(), &none.body["counts"]["dead"], dead_by_the_gauge(&app).await), (0, &json!(0), 0));
    app.finish().await;
}

/// Twelve tries are three minutes for a letter that somebody waits for: a mail server that was restarted is away for longer.
#[tokio::test]
async fn a_link_that_somebody_waits_for_is_tried_for_as_long_as_it_opens() {
    let app = TestApp::start().await;
    app.account("runs", Role::SuperAdmin, &[]).await;
    forgot(&app, "runs").await;
    let row = async || app.db.one::<String>("select state || ' ' || outcome from outbox").await;
    std::fs::remove_dir_all(&app.mail.0).unwrap();
    for _ in 0..30 {
        assert_eq!(app.tick("outbox").await, 1);
        app.advance(Duration::from_secs(20)).await;
    }
    assert_eq!(row().await, "pending not_written_to_file");
    std::fs::create_dir_all(&app.mail.0).unwrap();
    app.tick("outbox").await;
    assert_eq!((mails(&app).len(), row().await), (1, "done sent".into()));

    // Never there again, it ends when the link would.
    app.db.execute("update outbox set state = 'pending', next_try_at = admit_now()").await;
    app.advance(Duration::from_secs(30 * 60)).await;
    app.tick("outbox").await;
    assert_eq!((mails(&app).len(), row().await), (1, "done too_late".into()));
    app.finish().await;
}

/// What a mail server refuses for good is not asked a hundred times, whoever waits.
#[tokio::test]
async fn a_link_that_cannot_be_written_is_given_up() {
    let app = TestApp::start().await;
    app.account("runs", Role::SuperAdmin, &[]).await;
    forgot(&app, "runs").await;
    app.db.execute("update admin_users set email_key_id = 'gone'; update outbox set tries = 11").await;
    assert_eq!(app.tick("outbox").await, 1);
    let row = "select state || ' ' || outcome from outbox";
    assert_eq!(app.db.one::<String>(row).await, "dead not_written");
    app.finish().await;
}

/// Every worker counts every two seconds, beside a sale: never by going through what was sent.
#[tokio::test]
async fn messages_are_counted_by_the_index_of_what_is_not_done() {
    let app = TestApp::start().await;
    app.given(places(5)).await;
    app.db
        .execute(
            "insert into outbox (kind, order_id, exhibition_id, state, outcome, next_try_at, created_at, done_at)
             select 'order_paid', gen_random_uuid(), e.id, case n % 500 when 0 then 'dead' when 1 then 'pending' else 'done' end,
                    case n % 500 when 0 then 'timeout' end, now(), now(), case when n % 500 <> 1 then now() end
               from exhibitions e, generate_series(1, 20000) n;
             analyze outbox",
        )
        .await;
    let all = admit::notifications::outbox::pg::STATEMENTS;
    let counts = all.iter().find(|statement| statement.name == "messages.by_exhibition").unwrap();
    let plan = app.db.client().await.query(&format!("explain {}", counts.sql), &[]).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    assert!(!plan.iter().any(|line| line.contains("Seq Scan")), "{plan:#?}");
    app.db.execute("delete from outbox").await;
    app.finish().await;
}
