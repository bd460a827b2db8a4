//! Links that set a password, by mail and by hand.

use std::time::Duration;

use admit::admin::{Role, users};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::account_security::{OTHER, Person, actions, factor, shop, shown, stranger, with_email};
use crate::admin::PASSWORD;
use crate::control_room::boss;
use crate::notifications::{mails, text};
use crate::support::process::command;
use crate::support::{Answer, Options, TestApp, race};

/// The token of the newest link in the mailbox.
pub fn link(app: &TestApp) -> String {
    let mut links: Vec<(std::time::SystemTime, String)> = std::fs::read_dir(&app.mail.0)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.metadata().unwrap().modified().unwrap(), std::fs::read_to_string(entry.path()).unwrap()))
        .filter(|(_, mail)| mail.contains("<password_reset."))
        .collect();
    links.sort();
    let plain = text(&links.last().expect("no link was mailed").1, "text/plain");
    plain.split("http://localhost:8080/admin#/reset/").nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
}

pub async fn ask(app: &TestApp, person: &Person, name: &str) -> Answer {
    let call = person.request(app, Method::POST, "/api/auth/password-reset");
    Answer::of(call.header("accept-language", "en").json(&json!({ "username": name }))).await
}

pub async fn complete(app: &TestApp, token: &str, password: &str) -> Answer {
    let call = Person::default().request(app, Method::POST, "/api/auth/password-reset/complete");
    Answer::of(call.json(&json!({ "token": token, "password": password }))).await
}

#[tokio::test]
async fn a_forgotten_password_is_set_by_mail_once() {
    let app = shop().await;
    app.account("silent", Role::Admin, &["xyz"]).await;
    with_email(&app, "runs").await;
    let (secret, _) = factor(&app, "runs").await;
    let session = stranger(1).login(&app, "runs", PASSWORD, Some(&shown(&app, &secret))).await.expect(200);
    let refresh: i64 = app.db.one("select count(*) from refresh_tokens where revoked_at is null").await;
    assert!(refresh > 0 && session.body["refresh_token"].is_null());
    app.advance(Duration::from_secs(60)).await;

    // One answer for everybody; a letter for whom there is one.
    let mut answers: Vec<Value> = Vec::new();
    for name in [" Runs ", "silent", "nobody-at-all", "' or 1=1", ""] {
        answers.push(ask(&app, &Person::default(), name).await.expect(202).body);
    }
    answers.dedup();
    assert_eq!(answers, [json!({ "minutes": 30 })]);
    app.tick("outbox").await;
    let letters: Vec<String> = mails(&app).into_iter().filter(|mail| mail.contains("<password_reset.")).collect();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].contains("To: runs@example.org") && letters[0].contains("Set a new password"), "{}", letters[0]);
    let token = link(&app);
    let kept: Vec<u8> = app.db.one("select digest from password_resets where user_id is not null").await;
    assert_ne!(kept, token.as_bytes());

    // What is wrong with the password costs no link.
    complete(&app, &token, "short").await.refused(422, "request.invalid");
    complete(&app, "x", OTHER).await.refused(410, "auth.reset_over");
    complete(&app, &"A".repeat(43), OTHER).await.refused(410, "auth.reset_over");
    let both = race(6, async |n| complete(&app, &token, &format!("{OTHER} {n}")).await).await;
    let won: Vec<usize> = (0..6).filter(|n| both[*n].status == 200).collect();
    assert_eq!(won.len(), 1, "{:?}", both.iter().map(|a| a.status).collect::<Vec<_>>());
    assert_eq!(both.iter().filter(|a| a.code() == "auth.reset_over").count(), 5);
    assert_eq!(naive_completes(&app, 6).await, 6, "the naive way opens for all");
    let set = format!("{OTHER} {}", won[0]);

    assert_eq!(app.db.one::<i64>("select count(*) from refresh_tokens where revoked_at is null").await, 0);
    stranger(2).login(&app, "runs", PASSWORD, None).await.refused(401, "auth.invalid_credentials");
    // The second factor is still asked for.
    stranger(2).login(&app, "runs", &set, None).await.refused(401, "auth.code_required");
    stranger(2).login(&app, "runs", &set, Some(&shown(&app, &secret))).await.expect(200);
    app.tick("outbox").await;
    assert_eq!(mails(&app).iter().filter(|mail| mail.contains("account_notice")).count(), 1, "they are told");
    assert_eq!(actions(&app).await.last().unwrap(), "user.password_reset");
    app.finish().await;
}

/// Looks whether a link is open, and marks it as used afterwards.
async fn naive_completes(app: &TestApp, at_once: usize) -> usize {
    app.db.execute("create table naive_link (used boolean); insert into naive_link values (false)").await;
    let all_have_looked = Barrier::new(at_once);
    let set = race(at_once, async |_| {
        let open = !app.db.one::<bool>("select used from naive_link").await;
        all_have_looked.wait().await;
        app.db.execute("update naive_link set used = true").await;
        open
    })
    .await;
    set.into_iter().filter(|open| *open).count()
}

#[tokio::test]
async fn of_several_links_the_newest_opens_and_not_for_long() {
    let app = shop().await;
    with_email(&app, "runs").await;
    let mailed = async || {
        ask(&app, &Person::default(), "runs").await.expect(202);
        app.tick("outbox").await;
        link(&app)
    };
    let first = mailed().await;
    let second = mailed().await;
    complete(&app, &first, OTHER).await.refused(410, "auth.reset_over");
    // Asked at the same moment: one of them is the newest, and opens.
    race(4, async |_| ask(&app, &Person::default(), "runs").await.expect(202)).await;
    assert_eq!(app.db.one::<i64>("select count(*) from password_resets where user_id is not null").await, 3);
    complete(&app, &second, OTHER).await.refused(410, "auth.reset_over");
    app.tick("outbox").await;
    let third = link(&app);
    // Whoever goes on asking fills no mailbox, and takes nothing from the link that there is.
    ask(&app, &Person::default(), "runs").await.expect(202);
    assert_eq!(app.tick("outbox").await, 0);
    app.advance(Duration::from_secs(31 * 60)).await;
    complete(&app, &third, OTHER).await.refused(410, "auth.reset_over");
    let fourth = mailed().await;
    // Another address, another password, a closed account: each ends it.
    let owner = boss(&app, "owner", Role::SuperAdmin, &[]).await;
    let address = json!({ "email": "other@example.org" });
    owner.call(Method::PUT, "/api/admin/users/runs/email", address).await.expect(204);
    complete(&app, &fourth, OTHER).await.refused(410, "auth.reset_over");
    let fifth = mailed().await;
    let change = json!({ "role": "admin", "exhibitions": ["xyz"], "disabled": true });
    owner.change("runs", 1, change).await.expect(200);
    complete(&app, &fifth, OTHER).await.refused(410, "auth.reset_over");
    // A letter that comes too late says nothing.
    let change = json!({ "role": "admin", "exhibitions": ["xyz"], "disabled": false });
    owner.change("runs", 2, change).await.expect(200);
    ask(&app, &Person::default(), "runs").await.expect(202);
    app.advance(Duration::from_secs(31 * 60)).await;
    app.tick("outbox").await;
    assert_eq!(app.db.one::<i64>("select count(*) from outbox where outcome = 'too_late'").await, 1);
    app.finish().await;
}

#[tokio::test]
async fn asking_for_links_is_limited_by_address() {
    let app = TestApp::start_with(Options { exempt: false, ..Options::default() }).await;
    for n in 0..3 {
        ask(&app, &stranger(1), &format!("somebody-{n}")).await.expect(202);
    }
    ask(&app, &stranger(1), "somebody-4").await.refused(429, "auth.too_many");
    ask(&app, &stranger(2), "somebody-4").await.expect(202);
    app.finish().await;
}

#[tokio::test]
async fn a_link_lets_its_owner_in_while_strangers_go_on() {
    let app = shop().await;
    for n in 1..=30 {
        stranger(n).login(&app, "runs", "a wrong password", None).await.refused(401, "auth.invalid_credentials");
    }
    stranger(31).login(&app, "runs", PASSWORD, None).await.refused(429, "auth.locked");
    // From the command line: what was tried is forgotten, and a link is handed over.
    let mut client = app.app().pg.get().await.unwrap();
    let token = users::unlock(&mut client, "runs", app.app().clock.now()).await.unwrap();
    assert_eq!(
        users::unlock(&mut client, "nobody-at-all", app.app().clock.now()).await.unwrap_err().code,
        "user.unknown"
    );
    drop(client);
    for n in 41..=70 {
        stranger(n).login(&app, "runs", "a wrong password", None).await.refused(401, "auth.invalid_credentials");
    }
    let mut owner = stranger(90);
    let call = owner.request(&app, Method::POST, "/api/auth/password-reset/complete");
    let reply = call.json(&json!({ "token": token, "password": OTHER })).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    owner.keep(&reply);
    // What was tried before was tried on the old password.
    for n in 101..=130 {
        stranger(n).login(&app, "runs", "a wrong password", None).await.refused(401, "auth.invalid_credentials");
    }
    stranger(91).login(&app, "runs", OTHER, None).await.refused(429, "auth.locked");
    owner.login(&app, "runs", OTHER, None).await.expect(200);
    // By a new password on the command line, too.
    let mut client = app.app().pg.get().await.unwrap();
    users::set_password(&mut client, &app.app().passwords, "runs", PASSWORD).await.unwrap();
    drop(client);
    stranger(92).login(&app, "runs", PASSWORD, None).await.expect(200);
    let log = actions(&app).await;
    for action in ["user.unlock", "user.password_reset", "user.password"] {
        assert!(log.iter().any(|done| done == action), "{action}: {log:?}");
    }
    app.finish().await;
}

/// As an operator runs it on the machine.
#[tokio::test]
async fn the_command_that_unlocks_prints_a_link_that_opens_once() {
    let app = shop().await;
    for n in 1..=30 {
        stranger(n).login(&app, "runs", "a wrong password", None).await.refused(401, "auth.invalid_credentials");
    }
    stranger(31).login(&app, "runs", PASSWORD, None).await.refused(429, "auth.locked");
    let ran = command(&app, &["user", "unlock", "runs"]).await;
    assert!(ran.succeeded, "{}", ran.complained);
    let (first, link) = ran.said.trim_end().split_once('\n').unwrap();
    assert!(first.starts_with("unlocked runs") && first.contains("30 minutes"), "{first}");
    let token = link.strip_prefix("http://localhost:8080/admin#/reset/").unwrap();
    stranger(32).login(&app, "runs", PASSWORD, None).await.expect(200);
    let by: String = app
        .db
        .one("select user_name || ' ' || (after->>'username') from admin_audit where action = 'user.unlock'")
        .await;
    assert!(by.ends_with(" runs") && !by.starts_with("runs"), "{by}");
    // Where the control room is reached is said, too; and the newest link is the only one.
    let elsewhere = ["user", "unlock", "runs", "--base-url", "https://tickets.example.org"];
    let again = command(&app, &elsewhere).await;
    let newest = again.said.trim_end().rsplit_once("https://tickets.example.org/admin#/reset/").unwrap().1.to_owned();
    complete(&app, token, OTHER).await.refused(410, "auth.reset_over");
    complete(&app, &newest, OTHER).await.expect(200);
    complete(&app, &newest, OTHER).await.refused(410, "auth.reset_over");
    stranger(33).login(&app, "runs", OTHER, None).await.expect(200);

    for wrong in [["user", "unlock", "nobody-at-all"].as_slice(), &["user", "unlock"], &["user", "unlock", "a' or 1=1"]]
    {
        let ran = command(&app, wrong).await;
        assert!(!ran.succeeded && ran.said.is_empty(), "{wrong:?}: {}", ran.said);
        assert!(!ran.complained.is_empty() && !ran.complained.contains("panicked"), "{}", ran.complained);
    }
    assert_eq!(actions(&app).await.iter().filter(|action| *action == "user.unlock").count(), 2);
    app.finish().await;
}

#[tokio::test]
async fn a_link_is_worth_no_new_guesses_at_codes() {
    let app = shop().await;
    factor(&app, "runs").await;
    let mut client = app.app().pg.get().await.unwrap();
    let token = users::unlock(&mut client, "runs", app.app().clock.now()).await.unwrap();
    drop(client);
    for n in 1..=5 {
        stranger(n).login(&app, "runs", PASSWORD, Some("000000")).await.refused(401, "auth.invalid_code");
    }
    let mut thief = stranger(9);
    let call = thief.request(&app, Method::POST, "/api/auth/password-reset/complete");
    let reply = call.json(&json!({ "token": token, "password": OTHER })).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    thief.keep(&reply);
    thief.login(&app, "runs", OTHER, Some("000000")).await.refused(429, "auth.locked");
    app.finish().await;
}
