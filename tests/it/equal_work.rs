//! Whoever tries a name learns nothing of whether somebody has it: the same work is done for nobody as for somebody. Counted in runs
//! of argon2 and in statements, not by a clock; a measurement by the clock is beside it.

use std::time::{Duration, Instant};

use admit::admin::Role;
use admit::admin::users;
use serde_json::json;

use crate::admin::PASSWORD;
use crate::support::given::places;
use crate::support::lines::Lines;
use crate::support::{Answer, TestApp};

/// The instance whose messages are counted.
const COUNTED: usize = 1;
/// One that has a mailbox, one without, one that is closed, and nobody.
const NAMES: [&str; 4] = ["mailed", "silent", "closed", "nobody-at-all"];

async fn shop() -> (TestApp, Lines) {
    let mut app = TestApp::start().await;
    app.given(places(1)).await;
    for name in &NAMES[..3] {
        app.account(name, Role::Admin, &["xyz"]).await;
    }
    let token = app.access_token("mailed").await;
    let ask = json!({ "password": PASSWORD, "email": "mailed@example.org" });
    Answer::of(app.http.put(app.url("/api/auth/email")).bearer_auth(token).json(&ask)).await.expect(204);
    users::disable(&mut app.app().pg.get().await.unwrap(), "closed").await.unwrap();
    let lines = Lines::lay(&app.settings()).await;
    let settings = lines.settings(app.settings());
    assert_eq!(app.add_instance_with(settings).await, COUNTED);
    (app, lines)
}

async fn call(app: &TestApp, path: &str, body: serde_json::Value) -> Answer {
    let url = format!("http://{}/api/auth/{path}", app.instances[COUNTED].address);
    Answer::of(app.http.post(url).json(&body)).await
}

/// Nobody's password but for the closed account, whose right one is as good as a wrong one.
async fn login(app: &TestApp, name: &str) -> Answer {
    let password = if name == "closed" { PASSWORD } else { "a wrong password" };
    call(app, "login", json!({ "username": name, "password": password })).await
}

async fn ask(app: &TestApp, name: &str) -> Answer {
    call(app, "password-reset", json!({ "username": name })).await
}

/// Of each call one after the other: its status, runs of argon2, statements and scripts.
async fn work(app: &TestApp, lines: &Lines, times: usize, act: impl AsyncFn() -> Answer) -> Vec<(u16, u64, u64)> {
    let mut all = Vec::new();
    for _ in 0..times {
        lines.count();
        let runs = app.instances[COUNTED].app.passwords.runs();
        let answer = act().await;
        // What was refused in the middle of a transaction is rolled back after the answer.
        let open = "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'";
        app.until("nothing is open", async || app.db.one::<i64>(open).await == 0).await;
        all.push((answer.status, app.instances[COUNTED].app.passwords.runs() - runs, lines.sent()));
    }
    all
}

#[tokio::test]
async fn a_name_that_nobody_has_costs_what_every_name_costs() {
    let (app, lines) = shop().await;
    let mut of_logins = Vec::new();
    let mut of_links = Vec::new();
    for name in NAMES {
        // To the try that begins a wait, and those that are refused by it.
        of_logins.push(work(&app, &lines, 7, async || login(&app, name).await).await);
        // Beyond the third no letter is written.
        of_links.push(work(&app, &lines, 5, async || ask(&app, name).await).await);
    }
    let judged: Vec<(u16, u64)> = of_logins[0].iter().map(|(status, runs, _)| (*status, *runs)).collect();
    assert_eq!(judged, [(401, 1), (401, 1), (401, 1), (401, 1), (401, 1), (429, 0), (429, 0)]);
    assert!(of_logins[0].iter().all(|(.., sent)| *sent > 0) && of_links[0].iter().all(|(.., sent)| *sent > 4));
    for (at, name) in NAMES.iter().enumerate() {
        assert_eq!(of_logins[at], of_logins[0], "signing in as {name}");
        assert_eq!(of_links[at], of_links[0], "a link for {name}");
    }
    lines.disarm();
    app.finish().await;
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

/// One after the other, so that whatever else the machine does meets all of them.
async fn medians(app: &TestApp, what: &str, act: impl AsyncFn(&str) -> Answer) {
    let mut all = vec![Vec::new(); NAMES.len()];
    for _ in 0..200 {
        for (name, took) in NAMES.into_iter().zip(&mut all) {
            app.db.execute("delete from sign_in_tries; delete from password_resets").await;
            let began = Instant::now();
            act(name).await;
            took.push(began.elapsed());
        }
    }
    for (name, took) in NAMES.into_iter().zip(all) {
        println!("{what} {name}: median {:?}", median(took));
    }
}

#[tokio::test]
#[ignore = "a measurement, for a quiet machine"]
async fn how_long_a_name_takes() {
    let (app, _lines) = shop().await;
    medians(&app, "sign-in", async |name: &str| login(&app, name).await.expect(401)).await;
    medians(&app, "link", async |name: &str| ask(&app, name).await.expect(202)).await;
    app.db.drop().await;
}
