//! Signing in, staying signed in, and everything that must not.

use std::time::Duration;

use admit::admin::Role;
use admit::admin::users::{self, NewUser};
use serde_json::{Value, json};

use crate::support::given::places;
use crate::support::{Answer, Options, TestApp};

pub const PASSWORD: &str = "열려라 참깨, 열려라 참깨";

impl TestApp {
    /// An account with the password of all tests.
    pub async fn account(&self, username: &str, role: Role, exhibitions: &[&str]) -> i32 {
        let exhibitions: Vec<String> = exhibitions.iter().map(|code| (*code).to_owned()).collect();
        let user = NewUser { username, password: PASSWORD, role, exhibitions: &exhibitions };
        let mut client = self.app().pg.get().await.unwrap();
        users::ensure(&mut client, &self.app().passwords, &user).await.unwrap()
    }

    pub async fn login(&self, username: &str, password: &str) -> Answer {
        let ask = json!({ "username": username, "password": password });
        Answer::of(self.http.post(self.url("/api/auth/login")).json(&ask)).await
    }

    pub async fn access_token(&self, username: &str) -> String {
        self.login(username, PASSWORD).await.expect(200).text("access_token")
    }

    /// A change of what is there now: with its tag, if it has one and may be read.
    pub async fn as_seen(&self, change: reqwest::RequestBuilder, url: &str, token: &str) -> reqwest::RequestBuilder {
        let read = self.http.get(url).bearer_auth(token).send().await.unwrap();
        match read.headers().get("etag") {
            Some(tag) => change.header("if-match", tag),
            None => change,
        }
    }

    async fn auth(&self, verb: &str, refresh_token: &str) -> Answer {
        let ask = json!({ "refresh_token": refresh_token });
        Answer::of(self.http.post(self.url(&format!("/api/auth/{verb}"))).json(&ask)).await
    }

    /// A call that only staff may make, with this token.
    async fn staff_call(&self, token: Option<&str>) -> Answer {
        let call = self.http.post(self.url("/api/entrance/scan")).json(&json!({ "qr_code": "x" }));
        Answer::of(match token {
            Some(token) => call.header("authorization", format!("Bearer {token}")),
            None => call,
        })
        .await
    }
}

#[tokio::test]
async fn a_user_signs_in_and_stays_signed_in() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    app.account("gate-1", Role::Staff, &["xyz"]).await;
    app.account("owner", Role::SuperAdmin, &[]).await;

    let session = app.login("gate-1", PASSWORD).await.expect(200);
    assert_eq!((session.text("token_type"), session.body["expires_in"].as_i64()), ("Bearer".into(), Some(900)));
    assert_eq!((session.text("role"), &session.body["exhibitions"]), ("staff".into(), &json!(["xyz"])));
    assert_eq!(app.login(" Owner ", PASSWORD).await.expect(200).body["exhibitions"], json!(["xyz"]));

    let access = session.text("access_token");
    app.staff_call(Some(&access)).await.expect(200);
    app.advance(Duration::from_secs(16 * 60)).await;
    app.staff_call(Some(&access)).await.refused(401, "auth.expired_token");

    let renewed = app.auth("refresh", &session.text("refresh_token")).await.expect(200);
    app.staff_call(Some(&renewed.text("access_token"))).await.expect(200);
    app.advance(Duration::from_secs(29 * 24 * 3600)).await;
    let renewed = app.auth("refresh", &renewed.text("refresh_token")).await.expect(200);
    app.advance(Duration::from_secs(30 * 24 * 3600)).await;
    app.auth("refresh", &renewed.text("refresh_token")).await.refused(401, "auth.expired_token");
    app.finish().await;
}

#[tokio::test]
async fn an_unknown_name_and_a_wrong_password_get_one_answer() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    app.account("gate-1", Role::Staff, &["xyz"]).await;
    let mut details = Vec::new();
    for (username, password) in [
        ("gate-1", "열려라 들깨 열려라"),
        ("nobody", PASSWORD),
        ("' or 1=1 --", "x"),
        ("홍길동", "x"),
        ("gate\u{0}1", "\u{0}"),
    ] {
        let answer = app.login(username, password).await.refused(401, "auth.invalid_credentials");
        details.push(answer.text("detail"));
    }
    details.dedup();
    assert_eq!(details.len(), 1);

    let field = |answer: Answer| answer.refused(422, "request.invalid").body["errors"][0].clone();
    assert_eq!(field(app.login("", PASSWORD).await)["field"], "username");
    assert_eq!(field(app.login("gate-1", &"a".repeat(257)).await)["code"], "too_long");
    let ask = json!({ "username": "gate-1" });
    let missing = Answer::of(app.http.post(app.url("/api/auth/login")).json(&ask)).await;
    assert_eq!(field(missing)["field"], "password");
    assert_eq!(app.db.one::<i64>("select count(*) from refresh_tokens").await, 0);
    app.finish().await;
}

#[tokio::test]
async fn forged_access_tokens_are_refused() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    app.account("gate-1", Role::Staff, &["xyz"]).await;
    let good = app.access_token("gate-1").await;
    let (head, rest) = good.split_once('.').unwrap();
    let (claims, _) = rest.split_once('.').unwrap();
    // {"alg":"none","typ":"JWT"}
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.");
    app.staff_call(None).await.refused(401, "auth.required");
    let cut = &good[..good.len() - 4];
    for token in [none.as_str(), &format!("{head}.{claims}."), cut, "x", "a.b.c", "", &"a".repeat(6000)] {
        app.staff_call(Some(token)).await.refused(401, "auth.invalid_token");
    }
    let basic = app.http.post(app.url("/api/entrance/scan")).header("authorization", "Basic Zm9vOmJhcg==");
    Answer::of(basic.json(&json!({ "qr_code": "x" }))).await.refused(401, "auth.invalid_token");
    app.finish().await;
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_its_family() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    app.account("gate-1", Role::Staff, &["xyz"]).await;
    let other = app.login("gate-1", PASSWORD).await.expect(200).text("refresh_token");
    let first = app.login("gate-1", PASSWORD).await.expect(200).text("refresh_token");
    let second = app.auth("refresh", &first).await.expect(200).text("refresh_token");

    app.auth("refresh", &first).await.refused(401, "auth.invalid_token");
    app.auth("refresh", &second).await.refused(401, "auth.invalid_token");
    app.auth("refresh", &other).await.expect(200);
    for garbage in ["", "x", &"a".repeat(43), &"!".repeat(43), &"a".repeat(5000), "\u{0}"] {
        app.auth("refresh", garbage).await.refused(401, "auth.invalid_token");
    }
    let stored: Vec<u8> = app.db.one("select digest from refresh_tokens limit 1").await;
    assert_eq!(stored.len(), 32);
    app.finish().await;
}

#[tokio::test]
async fn of_many_refreshes_at_once_one_wins_and_the_family_ends() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    app.account("gate-1", Role::Staff, &["xyz"]).await;
    let token = app.login("gate-1", PASSWORD).await.expect(200).text("refresh_token");
    let answers = crate::support::race(12, |_| app.auth("refresh", &token)).await;
    let won: Vec<&Answer> = answers.iter().filter(|a| a.status == 200).collect();
    assert_eq!(won.len(), 1);
    app.auth("refresh", &won[0].text("refresh_token")).await.refused(401, "auth.invalid_token");
    assert_eq!(app.db.one::<i64>("select count(*) from refresh_tokens where revoked_at is null").await, 0);
    app.finish().await;
}

#[tokio::test]
async fn signing_out_a_new_password_and_disabling_end_what_was_given() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    app.account("gate-1", Role::Staff, &["xyz"]).await;
    let session = async || app.login("gate-1", PASSWORD).await.expect(200).text("refresh_token");

    let token = session().await;
    let next = app.auth("refresh", &token).await.expect(200).text("refresh_token");
    assert_eq!(app.auth("logout", &next).await.expect(204).body, Value::String(String::new()));
    app.auth("refresh", &next).await.refused(401, "auth.invalid_token");
    app.auth("logout", &next).await.expect(204);
    app.auth("logout", "never one of ours").await.expect(204);

    let token = session().await;
    let mut client = app.app().pg.get().await.unwrap();
    // The same account again, as seeding does at every start: its sign-ins go on.
    app.account("gate-1", Role::Staff, &["xyz"]).await;
    let token = app.auth("refresh", &token).await.expect(200).text("refresh_token");
    users::set_password(&mut client, &app.app().passwords, "gate-1", "다른 암호는 이러합니다만").await.unwrap();
    app.auth("refresh", &token).await.refused(401, "auth.invalid_token");
    app.login("gate-1", PASSWORD).await.refused(401, "auth.invalid_credentials");

    app.account("gate-1", Role::Staff, &["xyz"]).await;
    let (token, access) = (session().await, app.access_token("gate-1").await);
    users::disable(&mut client, "gate-1").await.unwrap();
    app.auth("refresh", &token).await.refused(401, "auth.invalid_token");
    app.login("gate-1", PASSWORD).await.refused(401, "auth.invalid_credentials");
    app.staff_call(Some(&access)).await.expect(200);
    app.advance(Duration::from_secs(16 * 60)).await;
    app.staff_call(Some(&access)).await.refused(401, "auth.expired_token");
    drop(client);
    app.finish().await;
}

#[tokio::test]
async fn guessing_is_slowed_down() {
    let app = TestApp::start_with(Options { exempt: false, ..Options::default() }).await;
    app.given(places(1)).await;
    app.account("gate-1", Role::Staff, &["xyz"]).await;
    for _ in 0..3 {
        app.login("gate-1", "a wrong password").await.refused(401, "auth.invalid_credentials");
    }
    let refused = app.login("gate-1", PASSWORD).await.refused(429, "auth.too_many");
    assert!(refused.retry_after.unwrap().parse::<u64>().unwrap() <= 60);
    app.login("nobody", "x").await.refused(401, "auth.invalid_credentials");
    // From another address the owner still gets in.
    let ask = json!({ "username": "gate-1", "password": PASSWORD });
    let elsewhere = app.http.post(app.url("/api/auth/login")).header("x-forwarded-for", "203.0.113.9");
    Answer::of(elsewhere.json(&ask)).await.expect(200);
    app.advance(Duration::from_secs(60)).await;
    app.login("gate-1", PASSWORD).await.expect(200);
    app.finish().await;
}

#[tokio::test]
async fn accounts_are_checked_before_they_are_made() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    let mut client = app.app().pg.get().await.unwrap();
    let passwords = &app.app().passwords;
    let none: [String; 0] = [];
    let (xyz, nowhere) = (["xyz".to_owned()], ["xyz".to_owned(), "nowhere".to_owned()]);
    let user = |username, password, role, exhibitions| NewUser { username, password, role, exhibitions };
    for (new, field, code) in [
        (user("Kim", PASSWORD, Role::Admin, &xyz[..]), "username", "username"),
        (user("kim", "short", Role::Admin, &xyz[..]), "password", "password_too_short"),
        (user("kim", PASSWORD, Role::Admin, &none[..]), "exhibitions", "required"),
        (user("kim", PASSWORD, Role::Staff, &nowhere[..]), "exhibitions", "unknown_exhibition"),
    ] {
        let error = users::create(&mut client, passwords, &new).await.unwrap_err();
        assert_eq!((error.fields[0].field.as_str(), error.fields[0].code), (field, code));
    }
    let kim = user("kim", PASSWORD, Role::Admin, &xyz[..]);
    users::create(&mut client, passwords, &kim).await.unwrap();
    assert_eq!(users::create(&mut client, passwords, &kim).await.unwrap_err().code, "user.exists");
    assert_eq!(users::disable(&mut client, "lee").await.unwrap_err().code, "user.unknown");
    let listed = users::list(&client).await.unwrap();
    assert_eq!((listed.len(), listed[0].username.as_str(), listed[0].exhibitions.as_slice()), (1, "kim", &xyz[..]));
    drop(client);
    app.finish().await;
}
