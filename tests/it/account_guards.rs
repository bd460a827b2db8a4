//! Guards of accounts against what comes between: a try that nobody judged, many names from one place, a password that is replaced
//! while a change by the old one is on its way, a mailbox that is somebody else's.

use std::time::Duration;

use admit::admin::Role;
use admit::admin::users;
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin::PASSWORD;
use crate::control_room::{boss, code};
use crate::devices::Door;
use crate::notifications::{mails, text};
use crate::support::given::places;
use crate::support::{Answer, Options, TestApp, race};

const OTHER: &str = "quite another password";

async fn shop() -> TestApp {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    app.account("runs", Role::Admin, &["xyz"]).await;
    app
}

/// Where rate limits are spared.
const HERE: &str = "127.0.0.1";

async fn from(app: &TestApp, address: &str, path: &str, body: Value) -> Answer {
    Answer::of(app.http.post(app.url(path)).header("x-forwarded-for", address).json(&body)).await
}

async fn login(app: &TestApp, address: &str, name: &str, password: &str) -> Answer {
    from(app, address, "/api/auth/login", json!({ "username": name, "password": password })).await
}

async fn own(app: &TestApp, token: &str, method: Method, path: &str, body: Value) -> Answer {
    Answer::of(app.http.request(method, app.url(path)).bearer_auth(token).json(&body)).await
}

/// A hash that nothing can be compared with: nobody judges the try, as when too many sign in at once.
async fn unjudgeable(app: &TestApp, name: &str, on: bool) {
    let sql = if on {
        "alter table admin_users add column if not exists kept text; update admin_users set kept = password_hash, password_hash = 'x'"
    } else {
        "update admin_users set password_hash = kept"
    };
    app.db.execute(&format!("{sql} where username = '{name}'")).await;
}

#[tokio::test]
async fn a_try_that_nobody_judged_takes_back_itself_alone() {
    let app = shop().await;
    let failed = async |source: &str| -> i64 {
        app.db.one(&format!("select coalesce(max(failed), 0)::int8 from sign_in_tries where source = '{source}'")).await
    };
    for _ in 0..4 {
        login(&app, HERE, "runs", "a wrong password").await.refused(401, "auth.invalid_credentials");
    }
    unjudgeable(&app, "runs", true).await;
    for _ in 0..3 {
        assert_eq!(login(&app, HERE, "runs", PASSWORD).await.status, 500);
    }
    unjudgeable(&app, "runs", false).await;
    assert_eq!((failed("address").await, failed("strangers").await), (4, 4));
    login(&app, HERE, "runs", "a wrong password").await.refused(401, "auth.invalid_credentials");
    assert_eq!((failed("address").await, failed("strangers").await), (5, 5));
    login(&app, HERE, "runs", PASSWORD).await.refused(429, "auth.locked");

    // Of somebody who is signed in, and of a device, the same.
    let token = login(&app, "203.0.113.2", "runs", PASSWORD).await.expect(200).text("access_token");
    let pin = |password: &str| {
        own(&app, &token, Method::PUT, "/api/auth/pin", json!({ "password": password, "pin": "112233" }))
    };
    for _ in 0..4 {
        pin("a wrong password").await.refused(401, "auth.invalid_credentials");
    }
    unjudgeable(&app, "runs", true).await;
    assert_eq!(pin(PASSWORD).await.status, 500);
    unjudgeable(&app, "runs", false).await;
    assert_eq!(failed("known").await, 4);
    pin("a wrong password").await.refused(401, "auth.invalid_credentials");
    pin(PASSWORD).await.refused(429, "auth.locked");
    // Right, it forgets.
    app.advance(Duration::from_secs(31)).await;
    pin(PASSWORD).await.expect(204);
    assert_eq!(failed("known").await, 0);
    app.finish().await;
}

#[tokio::test]
async fn a_crowd_that_is_sent_away_counts_nothing() {
    let app = shop().await;
    let answers = race(200, async |n| login(&app, HERE, &format!("nobody-{n}"), "x").await).await;
    let count = |code: &str| answers.iter().filter(|answer| answer.code() == code).count() as i64;
    let (wrong, busy) = (count("auth.invalid_credentials"), count("auth.busy"));
    assert_eq!(wrong + busy, 200);
    let counted = "select coalesce(sum(failed), 0)::int8 from sign_in_tries where source = 'address'";
    assert_eq!(app.db.one::<i64>(counted).await, wrong, "{busy} were told to come back");
    app.finish().await;
}

#[tokio::test]
async fn one_device_tries_so_many_names_a_minute_and_no_more() {
    let app = TestApp::start_with(Options { exempt: false, ..Options::default() }).await;
    app.given(places(1)).await;
    let door = Door::of(&app).await;
    let (north, south) = (door.device("north").await, door.device("south").await);
    let mut codes = Vec::new();
    for n in 0..40 {
        codes.push(north.begins(&format!("nobody-{n}"), "a wrong password").await.code().to_owned());
    }
    let count = |code: &str| codes.iter().filter(|said| *said == code).count();
    let (judged, refused) = (count("auth.invalid_credentials"), count("auth.too_many"));
    // Thirty, and one more for each two seconds that it took.
    assert!(judged >= 30 && refused >= 3 && judged + refused == 40, "{codes:?}");
    // Another device has turns of its own.
    south.begins("kim", PASSWORD).await.expect(200);
    app.advance(Duration::from_secs(60)).await;
    north.begins("kim", PASSWORD).await.expect(200);
    app.finish().await;
}

#[tokio::test]
async fn a_network_of_one_person_is_one_address() {
    let app = TestApp::start_with(Options { exempt: false, ..Options::default() }).await;
    let nearby = |n: usize| format!("2001:db8:1:1::{n:x}");
    let answers = async |path: &str, body: &dyn Fn(usize) -> Value| {
        let mut codes = Vec::new();
        for n in 1..=40 {
            codes.push(from(&app, &nearby(n), path, body(n)).await.code().to_owned());
        }
        codes.iter().filter(|code| *code == "auth.too_many").count()
    };
    // Of thirty a minute, and of three; one more for each so many seconds that it took.
    let name = |n: usize| json!({ "username": format!("nobody-{n}"), "password": OTHER });
    assert!((3..=10).contains(&answers("/api/auth/login", &name).await));
    assert!((34..=37).contains(&answers("/api/auth/password-reset", &name).await));
    let link = |_: usize| json!({ "token": "A".repeat(43), "password": OTHER });
    assert!((34..=37).contains(&answers("/api/auth/password-reset/complete", &link).await));
    let enrol = |_: usize| json!({ "token": "A".repeat(43) });
    assert!((34..=37).contains(&answers("/api/entrance/enrol", &enrol).await));
    // The next network has its own.
    for path in ["/api/auth/login", "/api/auth/password-reset"] {
        assert_ne!(from(&app, "2001:db8:1:2::1", path, name(1)).await.status, 429, "{path}");
    }
    app.finish().await;
}

/// What a change by the old password could have changed.
const STATE: &str =
    "select concat_ws(' ', email_sealed is not null, pin_hash, totp_sealed is not null, totp_confirmed_at is not null,
                            (select count(*) from recovery_codes where used_at is null),
                            (select md5(string_agg(digest::text, '' order by digest)) from recovery_codes))
                       from admin_users where username = 'runs'";

/// A call that has passed its check when another sets the password before it has the account's lock.
async fn overtaken(app: &TestApp, call: impl Future<Output = Answer>) -> Answer {
    let hash: String = app.db.one("select password_hash from admin_users where username = 'runs'").await;
    let other = app.app().passwords.hash(OTHER).await.unwrap();
    let mut client = app.db.client().await;
    let resets = client.transaction().await.unwrap();
    resets.execute("select 1 from admin_users where username = 'runs' for update", &[]).await.unwrap();
    let (answer, ()) = tokio::join!(call, async {
        let waits =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        app.until("somebody waits for the account", async || app.db.one::<i64>(waits).await > 0).await;
        let set = "update admin_users set password_hash = $1 where username = 'runs'";
        resets.execute(set, &[&other]).await.unwrap();
        resets.commit().await.unwrap();
    });
    app.db.execute(&format!("update admin_users set password_hash = '{hash}' where username = 'runs'")).await;
    answer
}

/// Looks whether the password is right, and changes the account when its turn comes.
async fn naive(app: &TestApp) -> Answer {
    let hash: String = app.db.one("select password_hash from admin_users where username = 'runs'").await;
    assert!(app.app().passwords.verify(PASSWORD, &hash).await.unwrap());
    app.db.execute("update admin_users set pin_hash = 'naive' where username = 'runs'").await;
    Answer { status: 204, body: Value::Null, retry_after: None, content_type: String::new() }
}

#[tokio::test]
async fn whoever_passed_with_the_old_password_changes_nothing_after_it() {
    let app = shop().await;
    let token = app.access_token("runs").await;
    let call = |method: Method, path: &'static str, more: Value| {
        let mut body = json!({ "password": PASSWORD });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        own(&app, &token, method, path, body)
    };
    let late = async |what: &str, answer: Answer, before: String| {
        answer.refused(401, "auth.invalid_credentials");
        assert_eq!(app.db.one::<String>(STATE).await, before, "{what}");
    };
    let before = app.db.one::<String>(STATE).await;
    let (email, pin, factor) = ("/api/auth/email", "/api/auth/pin", "/api/auth/second-factor");
    let mine = json!({ "email": "mine@example.org" });
    late("email", overtaken(&app, call(Method::PUT, email, mine)).await, before.clone()).await;
    late("pin", overtaken(&app, call(Method::PUT, pin, json!({ "pin": "112233" }))).await, before.clone()).await;
    late("begin", overtaken(&app, call(Method::POST, factor, json!({}))).await, before).await;

    let secret = call(Method::POST, factor, json!({})).await.expect(200).text("secret");
    let now = || code(&secret, app.app().clock.now().as_second());
    own(&app, &token, Method::PUT, factor, json!({ "code": now() })).await.expect(200);
    app.advance(Duration::from_secs(60)).await;
    let before = app.db.one::<String>(STATE).await;
    let proof = || json!({ "code": now() });
    late("end", overtaken(&app, call(Method::DELETE, factor, proof())).await, before.clone()).await;
    let renew = "/api/auth/second-factor/recovery-codes";
    late("codes", overtaken(&app, call(Method::POST, renew, proof())).await, before).await;

    overtaken(&app, naive(&app)).await;
    let pin: Option<String> = app.db.one("select pin_hash from admin_users where username = 'runs'").await;
    assert_eq!(pin.as_deref(), Some("naive"), "the naive way changes it all the same");
    app.finish().await;
}

#[tokio::test]
async fn a_second_factor_that_was_begun_ends_with_the_password() {
    let app = shop().await;
    let token = app.access_token("runs").await;
    let factor = "/api/auth/second-factor";
    let begun = own(&app, &token, Method::POST, factor, json!({ "password": PASSWORD })).await.expect(200);
    let mut client = app.app().pg.get().await.unwrap();
    users::set_password(&mut client, &app.app().passwords, "runs", OTHER).await.unwrap();
    drop(client);
    let now = code(&begun.text("secret"), app.app().clock.now().as_second());
    own(&app, &token, Method::PUT, factor, json!({ "code": now })).await.refused(409, "auth.no_second_factor");
    login(&app, "203.0.113.9", "runs", OTHER).await.expect(200);
    app.finish().await;
}

#[tokio::test]
async fn an_account_that_is_taken_back_keeps_no_mailbox_of_others() {
    let app = shop().await;
    app.account("helps", Role::Support, &["xyz"]).await;
    let owner = boss(&app, "owner", Role::SuperAdmin, &[]).await;
    let has = async |name: &str| -> bool {
        app.db.one(&format!("select email_sealed is not null from admin_users where username = '{name}'")).await
    };
    let users = "/api/admin/users";
    let set = async |name: &str| {
        let path = format!("{users}/{name}/email");
        owner.call(Method::PUT, &path, json!({ "email": "theirs@example.org" })).await.expect(204);
    };
    set("runs").await;
    let path = format!("{users}/runs/password");
    owner.call(Method::POST, &path, json!({ "password": OTHER })).await.expect(204);
    assert!(has("runs").await);
    owner.call(Method::POST, &path, json!({ "password": OTHER, "forget_email": true })).await.expect(204);
    assert!(!has("runs").await);
    let last = "select before || jsonb_build_object('to', after) from admin_audit order by id desc limit 1";
    let said: Value = app.db.one(last).await;
    assert_eq!(said, json!({ "email": true, "to": { "username": "runs", "email": false } }));

    // Whoever could write the address of somebody below them would read the links of somebody above.
    set("helps").await;
    let change = |role: &str| json!({ "role": role, "exhibitions": ["xyz"], "disabled": false });
    owner.change("helps", 1, change("support")).await.expect(200);
    owner.change("helps", 2, change("staff")).await.expect(200);
    assert!(has("helps").await, "the same rank, or a lower one");
    let risen = owner.change("helps", 3, change("admin")).await.expect(200);
    assert!(risen.body["email"].is_null() && !has("helps").await, "{}", risen.body);
    app.finish().await;
}

#[tokio::test]
async fn with_a_second_factor_an_address_wants_its_code() {
    let app = shop().await;
    let token = app.access_token("runs").await;
    let factor = "/api/auth/second-factor";
    let begun = own(&app, &token, Method::POST, factor, json!({ "password": PASSWORD })).await.expect(200);
    let now = || code(&begun.text("secret"), app.app().clock.now().as_second());
    own(&app, &token, Method::PUT, factor, json!({ "code": now() })).await.expect(200);
    app.advance(Duration::from_secs(60)).await;
    let ask = |code: Value| {
        let body = json!({ "password": PASSWORD, "email": "mine@example.org", "code": code });
        own(&app, &token, Method::PUT, "/api/auth/email", body)
    };
    for none in [json!(null), json!(""), json!("  ")] {
        ask(none).await.refused(401, "auth.code_required");
    }
    ask(json!("000000")).await.refused(401, "auth.invalid_code");
    let set = "select email_sealed is not null from admin_users where username = 'runs'";
    assert!(!app.db.one::<bool>(set).await);
    ask(json!(now())).await.expect(204);
    assert!(app.db.one::<bool>(set).await);
    // Guessed no faster than where one signs in.
    for _ in 0..5 {
        ask(json!("000000")).await.refused(401, "auth.invalid_code");
    }
    ask(json!(now())).await.refused(429, "auth.locked");
    app.finish().await;
}

#[tokio::test]
async fn a_stranger_who_asks_for_a_link_ends_none_that_was_handed_over() {
    let app = shop().await;
    let token = app.access_token("runs").await;
    let email = json!({ "password": PASSWORD, "email": "runs@example.org" });
    own(&app, &token, Method::PUT, "/api/auth/email", email).await.expect(204);
    let by_hand = async || {
        let mut client = app.app().pg.get().await.unwrap();
        users::unlock(&mut client, "runs", app.app().clock.now()).await.unwrap()
    };
    let asked = async || {
        from(&app, "203.0.113.7", "/api/auth/password-reset", json!({ "username": "runs" })).await.expect(202);
        app.tick("outbox").await;
        let letters = mails(&app).into_iter().filter(|mail| mail.contains("<password_reset."));
        let links = letters.map(|mail| {
            let plain = text(&mail, "text/plain");
            plain.split("#/reset/").nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
        });
        links.collect::<Vec<String>>()
    };
    let complete = async |token: &str| {
        let body = json!({ "token": token, "password": OTHER });
        from(&app, HERE, "/api/auth/password-reset/complete", body).await
    };
    let first = by_hand().await;
    let mailed = asked().await;
    let open = "select count(*) from password_resets where over_at is null and user_id is not null";
    assert_eq!((mailed.len(), app.db.one::<i64>(open).await), (1, 2));
    // A newer one by hand ends both; a stranger who asks again ends the mailed one alone.
    let second = by_hand().await;
    complete(&first).await.refused(410, "auth.reset_over");
    complete(&mailed[0]).await.refused(410, "auth.reset_over");
    let mailed = asked().await;
    assert_eq!(app.db.one::<i64>(open).await, 2);
    complete(&second).await.expect(200);
    // With the password that it set, every other ends.
    for link in &mailed {
        complete(link).await.refused(410, "auth.reset_over");
    }
    assert_eq!(app.db.one::<i64>(open).await, 0);
    app.finish().await;
}
