//! Accounts that cannot be taken, and whose owners cannot be kept out: tries, passwords by mail, recovery codes, addresses.

use std::collections::BTreeSet;
use std::time::Duration;

use admit::admin::Role;
use admit::admin::users;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::account_links::{ask, complete, link};
use crate::admin::PASSWORD;
use crate::control_room::{boss, code};
use crate::notifications::{mails, text};
use crate::support::given::places;
use crate::support::{Answer, Options, TestApp, race};

pub const OTHER: &str = "quite another password";

/// Somebody at a page of ours: an address, and the cookies that their browser keeps.
#[derive(Clone, Default)]
pub struct Person {
    pub address: Option<String>,
    pub cookies: Vec<String>,
}

pub fn stranger(n: usize) -> Person {
    Person { address: Some(format!("203.0.113.{n}")), cookies: Vec::new() }
}

impl Person {
    pub fn request(&self, app: &TestApp, method: Method, path: &str) -> reqwest::RequestBuilder {
        let mut call = app.http.request(method, app.url(path)).header("sec-fetch-site", "same-origin");
        if let Some(address) = &self.address {
            call = call.header("x-forwarded-for", address);
        }
        if self.cookies.is_empty() { call } else { call.header("cookie", self.cookies.join("; ")) }
    }

    pub async fn login(&self, app: &TestApp, name: &str, password: &str, code: Option<&str>) -> Answer {
        let ask = json!({ "username": name, "password": password, "code": code, "keep_in_cookie": true });
        Answer::of(self.request(app, Method::POST, "/api/auth/login").json(&ask)).await
    }

    /// The same, in a browser that keeps what it is given.
    pub async fn sign_in(&mut self, app: &TestApp, name: &str, password: &str, code: Option<&str>) {
        let ask = json!({ "username": name, "password": password, "code": code, "keep_in_cookie": true });
        let reply = self.request(app, Method::POST, "/api/auth/login").json(&ask).send().await.unwrap();
        assert_eq!(reply.status(), 200, "{name}");
        self.keep(&reply);
    }

    pub fn keep(&mut self, reply: &reqwest::Response) {
        let cookies = reply.headers().get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
        self.cookies.extend(cookies.map(|cookie| cookie.split(';').next().unwrap().to_owned()));
    }

    /// Forgets the sign-in itself: what is left opens nothing.
    pub fn known_only(&self) -> Person {
        let cookies = self.cookies.iter().filter(|cookie| cookie.starts_with("staff_browser_")).cloned().collect();
        Person { cookies, ..self.clone() }
    }
}

pub async fn shop() -> TestApp {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    app.account("runs", Role::Admin, &["xyz"]).await;
    app
}

/// Puts a second factor in force: its secret, and the recovery codes.
pub async fn factor(app: &TestApp, name: &str) -> (String, Vec<String>) {
    let token = app.access_token(name).await;
    let call = |method: Method, body: Value| {
        Answer::of(app.http.request(method, app.url("/api/auth/second-factor")).bearer_auth(&token).json(&body))
    };
    let secret = call(Method::POST, json!({ "password": PASSWORD })).await.expect(200).text("secret");
    let now = code(&secret, app.app().clock.now().as_second());
    let codes = call(Method::PUT, json!({ "code": now })).await.expect(200).body["recovery_codes"].clone();
    let codes = codes.as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()).collect();
    app.advance(Duration::from_secs(60)).await;
    (secret, codes)
}

pub fn shown(app: &TestApp, secret: &str) -> String {
    code(secret, app.app().clock.now().as_second())
}

pub async fn with_email(app: &TestApp, name: &str) {
    let token = app.access_token(name).await;
    let call = app.http.put(app.url("/api/auth/email")).bearer_auth(token);
    Answer::of(call.json(&json!({ "password": PASSWORD, "email": " runs@example.org " }))).await.expect(204);
}

pub async fn actions(app: &TestApp) -> Vec<String> {
    let rows = app
        .db
        .client()
        .await
        .query("select action from admin_audit where action <> 'user.sign_in' order by id", &[])
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn strangers_who_guess_lock_out_strangers_and_not_the_owner() {
    let app = shop().await;
    let owner = boss(&app, "owner", Role::SuperAdmin, &[]).await;
    let mut home = stranger(1);
    home.sign_in(&app, "runs", PASSWORD, None).await;
    let home = home.known_only();
    let mut other = stranger(2);
    other.sign_in(&app, "owner", PASSWORD, None).await;
    let other = other.known_only();

    // One address: five, whether or not there is such a name, and then not even the right one.
    let guesser = Person::default();
    let mut waits = Vec::new();
    for name in ["runs", "nobody-at-all"] {
        for _ in 0..5 {
            guesser.login(&app, name, "a wrong password", None).await.refused(401, "auth.invalid_credentials");
        }
        let refused = guesser.login(&app, name, PASSWORD, None).await.refused(429, "auth.locked");
        assert!(refused.retry_after.clone().unwrap().parse::<u64>().unwrap() <= 30);
        waits.push(refused.text("detail"));
    }
    assert_eq!(waits[0], waits[1]);
    stranger(3).login(&app, "runs", PASSWORD, None).await.expect(200);

    // Many addresses: thirty together.
    for n in 10..35 {
        stranger(n).login(&app, "runs", "a wrong password", None).await.refused(401, "auth.invalid_credentials");
    }
    stranger(99).login(&app, "runs", PASSWORD, None).await.refused(429, "auth.locked");
    // A browser that another account knows is a stranger to this one, and so is one that pretends.
    other.login(&app, "runs", PASSWORD, None).await.refused(429, "auth.locked");
    let (name, value) = home.cookies[0].split_once('=').unwrap();
    let theirs = other.cookies[0].split_once('=').unwrap().1;
    let cut = &value[..value.len() - 1];
    for (n, forged) in [theirs, cut, "s.99999999999.00000000000000000000000000000000.x", ""].into_iter().enumerate() {
        let pretends = Person { cookies: vec![format!("{name}={forged}")], ..stranger(200 + n) };
        pretends.login(&app, "runs", PASSWORD, None).await.refused(429, "auth.locked");
    }
    // The owner, where they have signed in before: from home, and from the very address of the attack.
    home.login(&app, "runs", PASSWORD, None).await.expect(200);
    Person { address: None, ..home.clone() }.login(&app, "runs", PASSWORD, None).await.expect(200);
    // What they mistype themselves is counted on their browser, and is over with the right one.
    for _ in 0..2 {
        Person { address: None, ..home.clone() }.login(&app, "runs", "mistyped", None).await.expect(401);
    }
    Person { address: None, ..home.clone() }.login(&app, "runs", PASSWORD, None).await.expect(200);
    assert_eq!(app.db.one::<i64>("select count(*) from sign_in_tries where source = 'known'").await, 0);

    // Admins see it, and end it.
    let seen = async || {
        let users = owner.call(Method::GET, "/api/admin/users", json!({})).await.expect(200).body["users"].clone();
        users.as_array().unwrap().iter().find(|user| user["username"] == "runs").unwrap()["tries"].clone()
    };
    let tries = seen().await;
    assert_eq!((&tries["failed"], &tries["codes"]), (&json!(30), &json!(0)), "{tries}");
    assert!(tries["since"].is_string() && tries["locked_until"].is_string(), "{tries}");
    owner.call(Method::POST, "/api/admin/users/runs/unlock", json!({})).await.expect(204);
    assert!(seen().await.is_null());
    stranger(97).login(&app, "runs", PASSWORD, None).await.expect(200);
    let log = actions(&app).await;
    // A known browser that somebody guesses in waits by itself.
    let borrowed = Person { address: None, ..home.clone() };
    for _ in 0..5 {
        borrowed.login(&app, "runs", "a wrong password", None).await.refused(401, "auth.invalid_credentials");
    }
    borrowed.login(&app, "runs", PASSWORD, None).await.refused(429, "auth.locked");
    stranger(96).login(&app, "runs", PASSWORD, None).await.expect(200);
    assert_eq!(log.iter().filter(|action| *action == "user.lock").count(), 2, "{log:?}");
    assert_eq!(log.last().unwrap(), "user.unlock");
    let what = "select after->>'source' || ' ' || (after->>'failed') from admin_audit where action = 'user.lock' order by id offset 1 limit 1";
    assert_eq!(app.db.one::<String>(what).await, "strangers 30");
    app.finish().await;
}

#[tokio::test]
async fn waits_grow_end_by_themselves_and_are_forgotten() {
    let app = shop().await;
    let guess = async || Person::default().login(&app, "runs", "a wrong password", None).await;
    let wait = |answer: &Answer| answer.retry_after.clone().unwrap().parse::<u64>().unwrap();
    for _ in 0..5 {
        guess().await.refused(401, "auth.invalid_credentials");
    }
    for expected in [30, 60, 120] {
        let refused = guess().await.refused(429, "auth.locked");
        assert!((expected - 20..=expected).contains(&wait(&refused)), "{expected}: {}", wait(&refused));
        app.advance(Duration::from_secs(expected + 1)).await;
        // One try, and the next wait is twice as long.
        guess().await.refused(401, "auth.invalid_credentials");
    }
    guess().await.refused(429, "auth.locked");
    app.advance(Duration::from_secs(25 * 3600)).await;
    for _ in 0..5 {
        guess().await.refused(401, "auth.invalid_credentials");
    }
    guess().await.refused(429, "auth.locked");
    app.advance(Duration::from_secs(26 * 3600)).await;
    app.tick("purge").await;
    assert_eq!(app.db.one::<i64>("select count(*) from sign_in_tries").await, 0);
    app.finish().await;
}

/// Counts when it has judged: what many at once all get past.
async fn counts_afterwards(app: &TestApp, at_once: usize, allowed: i64) -> usize {
    app.db.execute("create table naive (failed bigint); insert into naive values (0)").await;
    let all_have_looked = Barrier::new(at_once);
    let judged = race(at_once, async |_| {
        let may = app.db.one::<i64>("select failed from naive").await < allowed;
        all_have_looked.wait().await;
        if may {
            app.db.execute("update naive set failed = failed + 1").await;
        }
        may
    })
    .await;
    judged.into_iter().filter(|may| *may).count()
}

#[tokio::test]
async fn many_guesses_at_once_are_not_more_tries() {
    let app = shop().await;
    let judged = |answers: &[Answer]| {
        let count = |status: u16, code: &str| answers.iter().filter(|a| a.status == status && a.code() == code).count();
        (count(401, "auth.invalid_credentials"), count(429, "auth.locked"))
    };
    let one_address = race(200, async |_| Person::default().login(&app, "runs", "a wrong password", None).await).await;
    assert_eq!(judged(&one_address), (5, 195));
    let many = race(200, async |n| stranger(n).login(&app, "runs", "a wrong password", None).await).await;
    assert_eq!(judged(&many), (25, 175));
    assert_eq!(counts_afterwards(&app, 50, 5).await, 50, "the naive way lets them all try");
    app.finish().await;
}

#[tokio::test]
async fn codes_after_a_right_password_are_counted_strictly() {
    let app = shop().await;
    with_email(&app, "runs").await;
    let (secret, _) = factor(&app, "runs").await;
    let mut home = stranger(1);
    home.sign_in(&app, "runs", PASSWORD, Some(&shown(&app, &secret))).await;
    let home = home.known_only();
    app.advance(Duration::from_secs(60)).await;

    // Whoever asks for no code has tried none.
    for n in 0..8 {
        stranger(50 + n).login(&app, "runs", PASSWORD, None).await.refused(401, "auth.code_required");
    }
    let guesses = race(50, async |n| stranger(100 + n).login(&app, "runs", PASSWORD, Some("000000")).await).await;
    let invalid = guesses.iter().filter(|answer| answer.code() == "auth.invalid_code").count();
    let locked = guesses.iter().filter(|answer| answer.code() == "auth.locked").count();
    assert_eq!((invalid, locked), (5, 45));
    let right = shown(&app, &secret);
    stranger(2).login(&app, "runs", PASSWORD, Some(&right)).await.refused(429, "auth.locked");
    // Where the owner has signed in before, their own mistakes count alone.
    home.login(&app, "runs", PASSWORD, Some("000000")).await.refused(401, "auth.invalid_code");
    home.login(&app, "runs", PASSWORD, Some(&right)).await.expect(200);
    // They are told that somebody knows their password: once.
    app.tick("outbox").await;
    let told: Vec<String> = mails(&app).into_iter().filter(|mail| mail.contains("account_notice")).collect();
    assert_eq!(told.len(), 1);
    // Whatever the guesser's browser speaks.
    let plain = text(&told[0], "text/plain");
    assert!(plain.contains("맞는 비밀번호 뒤에") && plain.contains("The right password was entered"), "{plain}");
    app.finish().await;
}

#[tokio::test]
async fn a_recovery_code_opens_once_and_is_told() {
    let app = shop().await;
    with_email(&app, "runs").await;
    let (secret, codes) = factor(&app, "runs").await;
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), 10);
    assert!(codes.iter().all(|code| code.len() == 11 && code.as_bytes()[5] == b'-'), "{codes:?}");
    let kept: Vec<u8> = app.db.one("select digest from recovery_codes limit 1").await;
    assert_eq!(kept.len(), 32);

    let at_once = race(4, async |n| stranger(n).login(&app, "runs", PASSWORD, Some(&codes[0])).await.status).await;
    assert_eq!(at_once.iter().filter(|status| **status == 200).count(), 1, "{at_once:?}");
    let token = stranger(9)
        .login(&app, "runs", PASSWORD, Some(&codes[1].replace('-', " ")))
        .await
        .expect(200)
        .text("access_token");
    let mine = Answer::of(app.http.get(app.url("/api/auth/account")).bearer_auth(&token)).await.expect(200);
    assert_eq!(mine.body["recovery_codes_left"], 8);
    assert_eq!((mine.text("email"), &mine.body["second_factor"]), ("r***@example.org".into(), &json!(true)));
    let used = actions(&app).await.into_iter().filter(|action| action == "user.recovery_code").count();
    assert_eq!(used, 2);
    app.tick("outbox").await;
    assert_eq!(mails(&app).iter().filter(|mail| mail.contains("account_notice")).count(), 2);

    // Others in their place: those of before are void.
    let path = "/api/auth/second-factor/recovery-codes";
    let renew = |code: String| {
        let ask = json!({ "password": PASSWORD, "code": code });
        Answer::of(app.http.post(app.url(path)).bearer_auth(&token).json(&ask))
    };
    renew("000000".into()).await.refused(401, "auth.invalid_code");
    let fresh = renew(shown(&app, &secret)).await.expect(200).body["recovery_codes"].clone();
    app.advance(Duration::from_secs(60)).await;
    stranger(8).login(&app, "runs", PASSWORD, Some(&codes[2])).await.refused(401, "auth.invalid_code");
    stranger(8).login(&app, "runs", PASSWORD, fresh[0].as_str()).await.expect(200);
    // They go with the second factor.
    let end = app.http.delete(app.url("/api/auth/second-factor")).bearer_auth(&token);
    Answer::of(end.json(&json!({ "password": PASSWORD, "code": fresh[1] }))).await.expect(204);
    assert_eq!(app.db.one::<i64>("select count(*) from recovery_codes").await, 0);
    app.finish().await;
}

/// Letters of what happened to accounts: to whom, and what they say.
fn notices(app: &TestApp) -> Vec<(String, String)> {
    let to = |mail: &str| mail.lines().find_map(|line| line.strip_prefix("To: ")).unwrap().trim().to_owned();
    let mut all: Vec<_> = mails(app)
        .into_iter()
        .filter(|mail| mail.contains("<account_notice."))
        .map(|mail| (to(&mail), text(&mail, "text/plain")))
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn whoever_reads_the_mailbox_of_before_is_told_that_the_account_has_another() {
    let app = shop().await;
    let owner = boss(&app, "owner", Role::SuperAdmin, &[]).await;
    let token = app.access_token("runs").await;
    let own = async |language: &str, email: &str| {
        let call = app.http.put(app.url("/api/auth/email")).bearer_auth(&token).header("accept-language", language);
        Answer::of(call.json(&json!({ "password": PASSWORD, "email": email }))).await.expect(204);
    };
    let by_owner = async |email: Value| {
        let call = app.http.put(app.url("/api/admin/users/runs/email")).bearer_auth(&owner.token);
        Answer::of(call.json(&json!({ "email": email }))).await.expect(204);
    };
    // The first address follows nothing, and the same once more is no news.
    own("en", "first@example.org").await;
    own("en", " first@example.org ").await;
    assert_eq!(app.tick("outbox").await, 0);

    own("en", "second@example.org").await;
    app.tick("outbox").await;
    let told = notices(&app);
    let [(to, said)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(to, "first@example.org");
    assert!(said.contains("no longer the address of the account") && said.contains("tell your admin now"), "{said}");
    assert!(said.contains("runs") && !said.contains("second@") && !said.contains("#/reset/"), "{said}");

    // Set by an admin, and taken away before the first letter is out: each of them at its own address.
    by_owner(json!("third@example.org")).await;
    by_owner(Value::Null).await;
    by_owner(Value::Null).await;
    let kept: i64 = app
        .db
        .one("select count(*) from account_notices where position('example.org' in encode(email_sealed, 'escape')) > 0")
        .await;
    assert_eq!(kept, 0, "sealed");
    app.tick("outbox").await;
    let told = notices(&app);
    let to: Vec<&str> = told.iter().map(|(to, _)| to.as_str()).collect();
    assert_eq!(to, ["first@example.org", "second@example.org", "third@example.org"]);
    assert!(told[2].1.contains("관리자에게 알려 주세요") && !told[2].1.contains("example.org"), "{}", told[2].1);
    app.finish().await;
}

/// Of an account, all that could change.
const STATE: &str =
    "select concat_ws(' ', totp_confirmed_at is not null, pin_hash, email_sealed is not null, password_hash,
                            (select count(*) from refresh_tokens where revoked_at is null),
                            (select count(*) from recovery_codes where used_at is null))
                       from admin_users where username = 'runs'";

/// A call while the audit log refuses: nothing must have happened.
async fn unchanged(app: &TestApp, what: &str, answer: impl Future<Output = Answer>) {
    let before: String = app.db.one(STATE).await;
    app.db.execute("alter table admin_audit add constraint refuses check (action not like 'user.%') not valid").await;
    let answer = answer.await;
    assert_eq!(answer.status, 500, "{what}: {}", answer.body);
    app.db.execute("alter table admin_audit drop constraint refuses").await;
    assert_eq!(app.db.one::<String>(STATE).await, before, "{what}");
}

#[tokio::test]
async fn what_cannot_be_recorded_does_not_happen() {
    let app = shop().await;
    with_email(&app, "runs").await;
    let owner = boss(&app, "owner", Role::SuperAdmin, &[]).await;
    let token = app.access_token("runs").await;
    let own = |method: Method, path: &str, body: Value| {
        Answer::of(app.http.request(method, app.url(path)).bearer_auth(&token).json(&body))
    };
    let secret =
        own(Method::POST, "/api/auth/second-factor", json!({ "password": PASSWORD })).await.expect(200).text("secret");
    let now = shown(&app, &secret);
    let factor = "/api/auth/second-factor";
    unchanged(&app, "on", own(Method::PUT, factor, json!({ "code": now }))).await;
    let codes = own(Method::PUT, factor, json!({ "code": now })).await.expect(200).body["recovery_codes"].clone();
    let proof = |code: &Value| json!({ "password": PASSWORD, "code": code });
    unchanged(&app, "off", own(Method::DELETE, factor, proof(&codes[0]))).await;
    let renew = "/api/auth/second-factor/recovery-codes";
    unchanged(&app, "codes", own(Method::POST, renew, proof(&codes[0]))).await;
    let person = stranger(1);
    let code = codes[0].as_str();
    unchanged(&app, "sign-in", person.login(&app, "runs", PASSWORD, code)).await;
    person.login(&app, "runs", PASSWORD, code).await.expect(200);
    let none = json!({ "password": PASSWORD, "email": null, "code": codes[1] });
    unchanged(&app, "e-mail", own(Method::PUT, "/api/auth/email", none)).await;
    let pin = json!({ "password": PASSWORD, "pin": "112233" });
    unchanged(&app, "PIN", own(Method::PUT, "/api/auth/pin", pin)).await;
    let id: uuid::Uuid = app.db.one("select family_id from refresh_tokens where revoked_at is null and user_id = (select id from admin_users where username = 'runs') limit 1").await;
    let path = format!("/api/auth/sign-ins/{id}");
    unchanged(&app, "one's sign-in", own(Method::DELETE, &path, json!({}))).await;
    for (method, rest, body) in [
        (Method::DELETE, "second-factor", json!({})),
        (Method::PUT, "email", json!({ "email": null })),
        (Method::DELETE, "sign-ins", json!({})),
        (Method::POST, "password", json!({ "password": OTHER })),
        (Method::POST, "unlock", json!({})),
    ] {
        let path = format!("/api/admin/users/runs/{rest}");
        unchanged(&app, rest, owner.call(method, &path, body)).await;
    }
    ask(&app, &Person::default(), "runs").await.expect(202);
    app.tick("outbox").await;
    let link = link(&app);
    unchanged(&app, "link", complete(&app, &link, OTHER)).await;
    assert!(notices(&app).iter().all(|(_, said)| said.contains("복구 코드")), "nobody is told of what did not happen");
    complete(&app, &link, OTHER).await.expect(200);
    app.finish().await;
}

#[tokio::test]
async fn the_control_room_is_open_to_its_addresses_alone() {
    let list = ["198.51.100.0/24", "2001:db8:7::/48"].map(|network| network.parse().unwrap()).to_vec();
    let app = TestApp::start_with(Options { admin_addresses: list, ..Options::default() }).await;
    app.given(places(1)).await;
    app.account("runs", Role::Admin, &["xyz"]).await;
    app.account("gate-1", Role::Staff, &["xyz"]).await;
    let from = |address: &str| Person { address: Some(address.to_owned()), cookies: Vec::new() };

    for inside in ["198.51.100.7", "2001:db8:7::1", "::ffff:198.51.100.9", "203.0.113.1, 198.51.100.8"] {
        let person = from(inside);
        let token = person.login(&app, "runs", PASSWORD, None).await.expect(200).text("access_token");
        let users = person.request(&app, Method::GET, "/api/admin/users").bearer_auth(&token);
        Answer::of(users).await.expect(200);
        assert_eq!(person.request(&app, Method::GET, "/admin").send().await.unwrap().status(), 200, "{inside}");
    }
    let mut home = from("198.51.100.7");
    home.sign_in(&app, "runs", PASSWORD, None).await;
    let token = home.login(&app, "runs", PASSWORD, None).await.expect(200).text("access_token");
    // The last hop is what our own proxy has written; what stands before it is the caller's invention.
    for outside in
        ["203.0.113.1", "2001:db8:8::1", "198.51.100.7, 203.0.113.2", "198.51.100.7, 127.0.0.1", "::ffff:203.0.113.3"]
    {
        let person = from(outside);
        let taken_along = Person { address: person.address.clone(), ..home.clone() };
        for (method, path) in [
            (Method::GET, "/api/admin/users"),
            (Method::POST, "/api/admin/users"),
            (Method::GET, "/api/admin/exhibitions/none/live"),
            (Method::GET, "/api/admin/dashboard"),
            (Method::GET, "/api/exports/0000"),
        ] {
            Answer::of(person.request(&app, method.clone(), path).bearer_auth(&token))
                .await
                .refused(403, "auth.not_from_here");
            Answer::of(person.request(&app, method, path)).await.refused(403, "auth.not_from_here");
        }
        let page = person.request(&app, Method::GET, "/admin").header("accept", "text/html").send().await.unwrap();
        assert_eq!(page.status(), 403, "{outside}");
        let page = page.text().await.unwrap();
        assert!(page.contains("이 주소에서는 관리 화면을") && !page.contains("admin_session"), "{page}");
        // Of names and passwords nothing is learnt.
        let mut said = Vec::new();
        for (name, password) in
            [("runs", PASSWORD), ("runs", "a wrong password"), ("nobody-at-all", "x"), ("gate-1", "x")]
        {
            said.push(person.login(&app, name, password, None).await.refused(403, "auth.not_from_here").text("detail"));
        }
        said.dedup();
        assert_eq!(said.len(), 1);
        Answer::of(taken_along.request(&app, Method::POST, "/api/auth/refresh").json(&json!({})))
            .await
            .refused(403, "auth.not_from_here");
        person.login(&app, "gate-1", PASSWORD, None).await.expect(200);
        let scan = person.request(&app, Method::POST, "/api/entrance/scan").json(&json!({ "qr_code": "x" }));
        let gate = person.login(&app, "gate-1", PASSWORD, None).await.expect(200).text("access_token");
        Answer::of(scan.bearer_auth(gate)).await.expect(200);
        for open in ["/", "/entrance", "/api/exhibitions"] {
            assert_eq!(person.request(&app, Method::GET, open).send().await.unwrap().status(), 200, "{open}");
        }
    }
    // A refusal from outside has spent nothing: at home the sign-in goes on.
    Answer::of(home.request(&app, Method::POST, "/api/auth/refresh").json(&json!({}))).await.expect(200);
    // A link opens at home only.
    let mut client = app.app().pg.get().await.unwrap();
    let token = users::unlock(&mut client, "runs", app.app().clock.now()).await.unwrap();
    drop(client);
    let set = |person: &Person| {
        let call = person.request(&app, Method::POST, "/api/auth/password-reset/complete");
        Answer::of(call.json(&json!({ "token": token, "password": OTHER })))
    };
    set(&from("203.0.113.1")).await.refused(403, "auth.not_from_here");
    set(&home).await.expect(200);
    app.finish().await;
}

#[tokio::test]
async fn a_rank_that_needs_a_second_factor_does_nothing_without_one() {
    let app = shop().await;
    app.account("helps", Role::Support, &["xyz"]).await;
    let owner = boss(&app, "owner", Role::SuperAdmin, &[]).await;
    let rules = "/api/admin/account-rules";
    let put = |body: Value, tag: &str| {
        let call = app.http.put(app.url(rules)).bearer_auth(&owner.token).header("if-match", tag);
        Answer::of(call.json(&body))
    };
    let none = owner.call(Method::GET, rules, json!({})).await.expect(200);
    assert!(none.body["second_factor_from"].is_null());
    put(json!({ "second_factor_from": "staff" }), "\"1\"").await.refused(422, "request.invalid");
    put(json!({ "second_factor_from": "king" }), "\"1\"").await.refused(422, "request.invalid");
    put(json!({ "second_factor_from": "admin" }), "\"7\"").await.refused(412, "request.changed_meanwhile");
    put(json!({ "second_factor_from": "admin" }), "\"1\"").await.expect(200);

    let session = app.login("runs", PASSWORD).await.expect(200);
    assert_eq!(session.body["second_factor_needed"], true);
    let token = session.text("access_token");
    let call = |method: Method, path: &str, body: Value| {
        Answer::of(app.http.request(method, app.url(path)).bearer_auth(&token).json(&body))
    };
    for path in ["/api/admin/users", "/api/admin/exhibitions", "/api/admin/dashboard"] {
        call(Method::GET, path, json!({})).await.refused(403, "auth.second_factor_needed");
    }
    let scan = json!({ "qr_code": "x" });
    call(Method::POST, "/api/entrance/scan", scan).await.refused(403, "auth.second_factor_needed");
    call(Method::GET, "/api/auth/account", json!({})).await.expect(200);
    // Those below do as before.
    let helps = app.login("helps", PASSWORD).await.expect(200);
    assert_eq!(helps.body["second_factor_needed"], false);

    let factor = "/api/auth/second-factor";
    let secret = call(Method::POST, factor, json!({ "password": PASSWORD })).await.expect(200).text("secret");
    call(Method::PUT, factor, json!({ "code": shown(&app, &secret) })).await.expect(200);
    let again = json!({ "refresh_token": session.text("refresh_token") });
    let renewed = Answer::of(app.http.post(app.url("/api/auth/refresh")).json(&again)).await.expect(200);
    assert_eq!(renewed.body["second_factor_needed"], false);
    let users = app.http.get(app.url("/api/admin/users")).bearer_auth(renewed.text("access_token"));
    Answer::of(users).await.expect(200);
    assert!(actions(&app).await.iter().any(|action| action == "user.rules"));
    app.finish().await;
}
