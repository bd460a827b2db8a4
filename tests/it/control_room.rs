//! The control room: who may do what, accounts and sign-ins, the second factor, and the log of it all.

use std::collections::BTreeMap;
use std::time::Duration;

use admit::admin::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin::PASSWORD;
use crate::support::given::places;
use crate::support::{Answer, Kind, TestApp, race};

/// What `docs/roles.md` says: each call and its least role.
pub fn table() -> BTreeMap<(Method, String), Role> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/roles.md")).unwrap();
    let line = |line: &str| {
        let (call, role) = line.strip_prefix("| `")?.split_once("` | ")?;
        let (method, path) = call.split_once(' ')?;
        Some(((method.parse().ok()?, path.to_owned()), Role::parse(role.trim_end_matches([' ', '|']))?))
    };
    text.lines().filter_map(line).collect()
}

#[tokio::test]
async fn every_call_is_open_to_its_ranks_and_to_nobody_else() {
    let app = TestApp::start().await;
    app.given(places(5)).await;
    app.given(Kind { code: "other", ..places(5) }).await;
    let document: Value = app.http.get(app.url("/api/openapi.json")).send().await.unwrap().json().await.unwrap();
    let mut calls = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|_| path.starts_with("/api/admin")) {
            calls.push((method.to_uppercase().parse::<Method>().unwrap(), path.clone()));
        }
    }
    let table = table();
    let missing: Vec<_> = calls.iter().filter(|call| !table.contains_key(call)).collect();
    assert!(missing.is_empty() && table.len() == calls.len(), "not in docs/roles.md: {missing:?}");

    let mut tokens = Vec::new();
    for (name, role, home) in [
        ("owner", Role::SuperAdmin, "xyz"),
        ("runs", Role::Admin, "xyz"),
        ("helps", Role::Support, "xyz"),
        ("gates", Role::Staff, "xyz"),
        ("stranger", Role::Admin, "other"),
    ] {
        app.account(name, role, if role == Role::SuperAdmin { &[] } else { std::slice::from_ref(&home) }).await;
        tokens.push((name, role, app.access_token(name).await));
    }
    for ((method, path), least) in table {
        let of_one = path.contains("{code}");
        let url = fill(&path);
        let ask = |token: Option<&str>| {
            let call = app.http.request(method.clone(), app.url(&url)).header("idempotency-key", "roles");
            // Nobody's body: whoever may call is told what is wrong with it, and nothing happens.
            let call = if method == Method::GET { call } else { call.json(&json!({ "never": true })) };
            Answer::of(match token {
                Some(token) => call.bearer_auth(token),
                None => call,
            })
        };
        ask(None).await.refused(401, "auth.required");
        for (name, role, token) in &tokens {
            let answer = ask(Some(token)).await;
            let may = role.is_at_least(least) && !(of_one && *name == "stranger");
            let refused = answer.status == 403 && answer.code() == "auth.forbidden";
            assert_eq!(refused, !may, "{method} {path} as {name}: {} {}", answer.status, answer.body);
            assert!(answer.status < 500, "{method} {path} as {name}: {}", answer.body);
        }
    }
    app.finish().await;
}

/// An address with something in every place, of the exhibition `xyz` or of nothing at all.
pub fn fill(path: &str) -> String {
    let mut filled = path.replace("{code}", "xyz").replace("{username}", "nobody");
    while let (Some(from), Some(until)) = (filled.find('{'), filled.find('}')) {
        let number = matches!(&filled[from..=until], "{product_id}" | "{slot_id}" | "{stock_id}");
        let value = if number { "0".to_owned() } else { uuid::Uuid::nil().to_string() };
        filled.replace_range(from..=until, &value);
    }
    filled
}

pub struct Boss<'a> {
    app: &'a TestApp,
    pub token: String,
}

impl Boss<'_> {
    pub async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        Answer::of(self.app.http.request(method, self.app.url(path)).bearer_auth(&self.token).json(&body)).await
    }

    /// Changes an account as it was seen.
    pub async fn change(&self, username: &str, seen: i64, body: Value) -> Answer {
        let request = self.app.http.put(self.app.url(&format!("/api/admin/users/{username}")));
        let request = request.bearer_auth(&self.token).header("if-match", format!("\"{seen}\""));
        Answer::of(request.json(&body)).await
    }
}

pub async fn boss<'a>(app: &'a TestApp, name: &str, role: Role, exhibitions: &[&str]) -> Boss<'a> {
    app.account(name, role, exhibitions).await;
    Boss { app, token: app.access_token(name).await }
}

#[tokio::test]
async fn accounts_are_run_by_whoever_may() {
    let app = TestApp::start().await;
    app.given(places(5)).await;
    app.given(Kind { code: "other", ..places(5) }).await;
    let owner = boss(&app, "owner", Role::SuperAdmin, &[]).await;
    let runs = boss(&app, "runs", Role::Admin, &["xyz"]).await;
    let new = |name: &str, role: &str, home: &str| json!({ "username": name, "password": "a long enough one", "role": role, "exhibitions": [home] });
    let users = "/api/admin/users";

    runs.call(Method::POST, users, new("gate-9", "staff", "xyz")).await.expect(201);
    runs.call(Method::POST, users, new("gate-9", "staff", "xyz")).await.refused(409, "user.exists");
    runs.call(Method::POST, users, new("boss-2", "admin", "xyz")).await.refused(403, "auth.forbidden");
    runs.call(Method::POST, users, new("gate-8", "staff", "other")).await.refused(403, "auth.forbidden");
    let wrong = json!({ "username": "A", "password": "short", "role": "staff", "exhibitions": ["none"] });
    let refused = owner.call(Method::POST, users, wrong).await.refused(422, "request.invalid");
    assert_eq!(refused.body["errors"].as_array().unwrap().len(), 3, "{}", refused.body);
    owner.call(Method::POST, users, new("boss-2", "admin", "other")).await.expect(201);
    let seen = |answer: Answer| -> Vec<String> {
        let all = answer.expect(200).body["users"].as_array().unwrap().clone();
        all.iter().map(|user| user["username"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(seen(runs.call(Method::GET, users, json!({})).await), ["gate-9"]);
    assert_eq!(seen(owner.call(Method::GET, users, json!({})).await), ["boss-2", "gate-9", "owner", "runs"]);

    // What the account was when it was read; a second change of the same reading is refused.
    let session = app.login("gate-9", "a long enough one").await.expect(200);
    let change = |disabled: bool| json!({ "role": "support", "exhibitions": ["xyz"], "disabled": disabled });
    let one = format!("{users}/gate-9");
    let changed = runs.change("gate-9", 1, change(false)).await.expect(200);
    assert_eq!((changed.text("role"), &changed.body["revision"]), ("support".into(), &json!(2)));
    runs.change("gate-9", 1, change(true)).await.refused(412, "request.changed_meanwhile");
    runs.change("boss-2", 1, change(true)).await.refused(404, "user.unknown");
    let again =
        app.http.post(app.url("/api/auth/refresh")).json(&json!({ "refresh_token": session.text("refresh_token") }));
    Answer::of(again).await.refused(401, "auth.invalid_token");
    runs.call(Method::POST, &format!("{one}/password"), json!({ "password": "x" }))
        .await
        .refused(422, "request.invalid");
    runs.call(Method::POST, &format!("{one}/password"), json!({ "password": "quite another one" })).await.expect(204);
    app.login("gate-9", "a long enough one").await.refused(401, "auth.invalid_credentials");
    app.login("gate-9", "quite another one").await.expect(200);
    runs.change("gate-9", 2, change(true)).await.expect(200);
    app.login("gate-9", "quite another one").await.refused(401, "auth.invalid_credentials");

    // The owner cannot be locked out by themselves, nor two owners by each other at the same moment.
    let down = || json!({ "role": "admin", "exhibitions": ["xyz"], "disabled": false });
    owner.change("owner", 1, down()).await.refused(409, "user.last_owner");
    let second = boss(&app, "second", Role::SuperAdmin, &[]).await;
    let both = race(2, async |n| {
        let (by, whom) = if n == 0 { (&owner, "owner") } else { (&second, "second") };
        by.change(whom, 1, down()).await.status
    })
    .await;
    assert_eq!(both.iter().filter(|status| **status == 200).count(), 1, "{both:?}");
    let left = "select count(*) from admin_users where role = 'super_admin' and disabled_at is null";
    assert_eq!(app.db.one::<i64>(left).await, 1);
    app.finish().await;
}

/// The code of a secret as it is shown for typing in, at an instant.
pub fn code(secret: &str, at_s: i64) -> String {
    let (mut bits, mut buffer, mut bytes) = (0, 0u32, Vec::new());
    for letter in secret.bytes() {
        let value = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|l| *l == letter).unwrap();
        buffer = buffer << 5 | value as u32;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits & 255) as u8);
        }
    }
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let tag = aws_lc_rs::hmac::sign(&key, &(at_s / 30).to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let word = u32::from_be_bytes(tag[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", word % 1_000_000)
}

#[tokio::test]
async fn with_a_second_factor_a_password_alone_opens_nothing() {
    let app = TestApp::start().await;
    app.given(places(5)).await;
    let runs = boss(&app, "runs", Role::Admin, &["xyz"]).await;
    let factor = "/api/auth/second-factor";
    runs.call(Method::POST, factor, json!({ "password": "wrong" })).await.refused(401, "auth.invalid_credentials");
    let begun = runs.call(Method::POST, factor, json!({ "password": PASSWORD })).await.expect(200);
    assert!(begun.text("otpauth_url").starts_with("otpauth://totp/Admit:runs?secret="));
    let secret = begun.text("secret");
    let now = || code(&secret, app.app().clock.now().as_second());
    // Not in force before a code was seen.
    app.login("runs", PASSWORD).await.expect(200);
    runs.call(Method::PUT, factor, json!({ "code": "000000" })).await.refused(401, "auth.invalid_code");
    let used = now();
    runs.call(Method::PUT, factor, json!({ "code": used })).await.expect(200);
    runs.call(Method::POST, factor, json!({ "password": PASSWORD })).await.refused(409, "auth.second_factor_set");

    let sign_in = async |password: &str, code: &str| {
        let ask = json!({ "username": "runs", "password": password, "code": code });
        Answer::of(app.http.post(app.url("/api/auth/login")).json(&ask)).await
    };
    app.login("runs", PASSWORD).await.refused(401, "auth.code_required");
    sign_in("wrong", &now()).await.refused(401, "auth.invalid_credentials");
    sign_in(PASSWORD, &used).await.refused(401, "auth.invalid_code");
    app.advance(Duration::from_secs(60)).await;
    // The same code at the same moment opens one door.
    let shown = now();
    let opened = race(4, async |_| sign_in(PASSWORD, &shown).await.status).await;
    assert_eq!(opened.iter().filter(|status| **status == 200).count(), 1, "{opened:?}");
    let owner = boss(&app, "owner", Role::SuperAdmin, &[]).await;
    owner.call(Method::DELETE, "/api/admin/users/runs/second-factor", json!({})).await.expect(204);
    app.login("runs", PASSWORD).await.expect(200);
    let kept = "select count(*) from admin_users where totp_sealed is not null";
    assert_eq!(app.db.one::<i64>(kept).await, 0);
    app.finish().await;
}

#[tokio::test]
async fn a_page_signs_in_by_a_cookie_that_other_sites_cannot_use() {
    let app = TestApp::start().await;
    app.given(places(5)).await;
    app.account("runs", Role::Admin, &["xyz"]).await;
    let ask = json!({ "username": "runs", "password": PASSWORD, "keep_in_cookie": true });
    let post = |path: &str, site: &str| app.http.post(app.url(path)).header("sec-fetch-site", site);
    Answer::of(post("/api/auth/login", "cross-site").json(&ask)).await.refused(403, "request.cross_site");
    let reply = post("/api/auth/login", "same-origin").header("user-agent", "A phone").json(&ask).send().await.unwrap();
    let cookie = reply.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("Path=/api/auth; ") && cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    let body: Value = reply.json().await.unwrap();
    assert!(body["refresh_token"].is_null() && body["access_token"].is_string());
    let cookie = cookie.split(';').next().unwrap();
    let renew = |site: &str| post("/api/auth/refresh", site).header("cookie", cookie).json(&json!({}));
    Answer::of(renew("cross-site")).await.refused(403, "request.cross_site");
    let renewed = renew("same-origin").send().await.unwrap();
    assert_eq!(renewed.status(), 200);
    let next = renewed.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let token = renewed.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();

    // One's own sign-ins: seen, and ended.
    let mine = Answer::of(app.http.get(app.url("/api/auth/sign-ins")).bearer_auth(&token)).await.expect(200);
    let list = mine.body["sign_ins"].as_array().unwrap();
    assert_eq!((list.len(), &list[0]["agent"], &list[0]["address"]), (1, &json!("A phone"), &json!("127.0.0.1")));
    let id = list[0]["id"].as_str().unwrap().to_owned();
    app.account("other", Role::Admin, &["xyz"]).await;
    let other = app.access_token("other").await;
    let end = |token: &str| app.http.delete(app.url(&format!("/api/auth/sign-ins/{id}"))).bearer_auth(token);
    Answer::of(end(&other)).await.refused(404, "auth.unknown_sign_in");
    Answer::of(end(&token)).await.expect(204);
    Answer::of(post("/api/auth/refresh", "same-origin").header("cookie", next).json(&json!({})))
        .await
        .refused(401, "auth.invalid_token");
    app.finish().await;
}

#[tokio::test]
async fn what_was_done_is_found_by_whoever_may_look() {
    let app = TestApp::start().await;
    app.given(places(5)).await;
    app.given(Kind { code: "other", ..places(5) }).await;
    let owner = boss(&app, "owner", Role::SuperAdmin, &[]).await;
    let runs = boss(&app, "runs", Role::Admin, &["xyz"]).await;
    for code in ["xyz", "other"] {
        let path = format!("/api/admin/exhibitions/{code}/entry-rules");
        let set = app.http.put(app.url(&path)).bearer_auth(&owner.token).header("if-match", "\"1\"");
        Answer::of(set.json(&json!({ "exhibition": null, "walk_ins": true }))).await.expect(200);
    }
    let new = json!({ "username": "gate-9", "password": "a long enough one", "role": "staff", "exhibitions": ["xyz"] });
    runs.call(Method::POST, "/api/admin/users", new).await.expect(201);

    let seen = async |by: &Boss<'_>, query: &str| -> Vec<String> {
        let found = by.call(Method::GET, &format!("/api/admin/audit?{query}"), json!({})).await.expect(200);
        let line = |e: &Value| {
            format!(
                "{} {} {}",
                e["user"].as_str().unwrap(),
                e["action"].as_str().unwrap(),
                e["exhibition_code"].as_str().unwrap_or("-")
            )
        };
        found.body["entries"].as_array().unwrap().iter().map(line).collect()
    };
    let all = [
        "runs user.create -",
        "owner entry.rules other",
        "owner entry.rules xyz",
        "runs user.sign_in -",
        "owner user.sign_in -",
    ];
    assert_eq!(seen(&owner, "").await, all);
    assert_eq!(seen(&runs, "").await, all[2..3], "only their exhibition");
    assert_eq!(seen(&runs, "exhibition=other").await, Vec::<String>::new());
    assert_eq!(seen(&owner, "action=entry.&exhibition=other").await, all[1..2]);
    assert_eq!(seen(&owner, "user=runs").await, [all[0], all[3]]);
    let today = app.app().clock.today_in_seoul();
    assert_eq!(seen(&owner, &format!("from={today}&until={today}")).await, all);
    assert_eq!(seen(&owner, "until=2020-01-01").await, Vec::<String>::new());
    let entry = owner.call(Method::GET, "/api/admin/audit?action=entry.", json!({})).await.expect(200);
    let entry = &entry.body["entries"][0];
    assert_eq!((&entry["before"]["walk_ins"], &entry["after"]["walk_ins"]), (&json!(false), &json!(true)));
    let by_request = format!("request_id={}", entry["request_id"].as_str().unwrap());
    assert_eq!(seen(&owner, &by_request).await, all[1..2]);

    // By the order, and by where it was done from.
    let row = |action: &str, order: Value, address: &str| {
        format!(
            "insert into admin_audit (at, user_name, role, action, exhibition_id, before, after, request_id, address)
             select admit_now(), 'system', 'system', '{action}', id, 'null', '{order}', '', '{address}' from exhibitions where code = 'other'"
        )
    };
    let number = "ORD20261121-K7QM2X9P01";
    app.db.execute(&row("order.open", json!({ "order": number }), "2001:db8::7")).await;
    app.db.execute(&row("order.refund", json!({ "order": number }), "203.0.113.7")).await;
    app.db.execute(&row("order.open", json!({ "order": "ORD20261121-OTHERS0000" }), "203.0.113.7")).await;
    let (opened, refunded) = ("system order.open other", "system order.refund other");
    assert_eq!(seen(&owner, &format!("order={}", number.to_lowercase())).await, [refunded, opened]);
    assert_eq!(seen(&runs, &format!("order={number}")).await, Vec::<String>::new());
    assert_eq!(seen(&owner, &format!("order={number}&action=order.open")).await, [opened]);
    assert_eq!(seen(&owner, &format!("order={number}&address=203.0.113.7")).await, [refunded]);
    assert_eq!(seen(&owner, "order=ORD20261121-NOBODYS000").await, Vec::<String>::new());
    assert_eq!(seen(&owner, "address=203.0.113.7").await, [opened, refunded]);
    assert_eq!(seen(&owner, "address=2001:DB8:0::7").await, [opened]);
    assert_eq!(seen(&owner, "address=127.0.0.1").await, all);
    let wrong =
        owner.call(Method::GET, "/api/admin/audit?address=here", json!({})).await.refused(422, "request.invalid");
    assert_eq!(wrong.body["errors"][0]["field"], "address");

    // More than one page of the export, line by line.
    app.db
        .execute(
            "insert into admin_audit (at, user_name, role, action, before, after, request_id)
         select now(), 'system', 'system', '=cmd', 'null', 'null', '' from generate_series(1, 1200)",
        )
        .await;
    let csv = app
        .http
        .get(app.url("/api/admin/audit.csv"))
        .bearer_auth(&owner.token)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let lines: Vec<&str> = csv.trim_start_matches('\u{feff}').lines().collect();
    // The export itself first of all.
    assert_eq!(lines.len(), 1 + 1 + 1200 + 3 + all.len());
    assert!(lines[1].contains("audit.export") && lines[2].contains("\"'=cmd\""), "{} {}", lines[1], lines[2]);
    assert!(lines[1207].contains("entry.rules"), "{}", lines[1207]);
    app.finish().await;
}
