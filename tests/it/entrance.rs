//! Scans at the door: once each, whatever the gates, and every refusal with its reason.

use std::time::Duration;

use admit::admin::Role;
use serde_json::{Value, json};

use crate::support::db::Database;
use crate::support::given::places;
use crate::support::proxy::Proxy;
use crate::support::{Answer, Given, Kind, Options, TestApp, race};
use crate::tickets::{bought, text};

pub struct Gate<'a> {
    app: &'a TestApp,
    name: String,
    token: String,
    instance: usize,
}

impl TestApp {
    pub async fn gate(&self, user: &str, name: &str) -> Gate<'_> {
        Gate { app: self, name: name.to_owned(), token: self.access_token(user).await, instance: 0 }
    }
}

impl Gate<'_> {
    async fn send(&self, mut ask: Value) -> Answer {
        ask["gate"] = json!(self.name);
        let url = format!("http://{}/api/entrance/scan", self.app.instances[self.instance].address);
        Answer::of(self.app.http.post(url).bearer_auth(&self.token).json(&ask)).await
    }

    async fn scan(&self, code: &str) -> Answer {
        self.send(json!({ "qr_code": code })).await.expect(200)
    }

    async fn scan_once(&self, code: &str, nonce: &str) -> Answer {
        self.send(json!({ "qr_code": code, "nonce": nonce })).await
    }

    /// The reason, which must go with its status and a record of its own.
    pub async fn reason(&self, code: &str) -> String {
        let before: i64 = self.app.db.one("select count(*) from scans").await;
        let answer = self.scan(code).await;
        let reason = answer.text("reason");
        assert_eq!(answer.text("entrance_status"), if reason == "ok" { "allowed" } else { "refused" });
        assert!(!answer.text("message").is_empty());
        let newest = "select reason || ':' || allowed from scans order by id desc limit 1";
        assert_eq!(self.app.db.one::<String>(newest).await, format!("{reason}:{}", reason == "ok"));
        assert_eq!(self.app.db.one::<i64>("select count(*) from scans").await, before + 1);
        reason
    }
}

async fn opened(options: Options) -> (TestApp, Given) {
    let app = TestApp::start_with(options).await;
    let adult = app.given(Kind { open_holds_max: 100, per_order_max: 100, ..places(1_000) }).await;
    app.account("gate-1", Role::Staff, &["xyz"]).await;
    (app, adult)
}

async fn codes(app: &TestApp, n: usize, given: &Given, quantity: i64) -> Vec<String> {
    bought(app, n, given, quantity).await.1.iter().map(|ticket| text(ticket, "qr_code")).collect()
}

#[tokio::test]
async fn a_ticket_is_let_in_once() {
    let (app, adult) = opened(Options::default()).await;
    let (order, tickets) = bought(&app, 1, &adult, 2).await;
    let code = text(&tickets[0], "qr_code");
    let (north, south) = (app.gate("gate-1", "north").await, app.gate("gate-1", "남문").await);

    let allowed = north.scan(&code).await;
    assert_eq!((allowed.text("entrance_status"), allowed.text("reason")), ("allowed".into(), "ok".into()));
    assert_eq!((allowed.text("order_number"), allowed.text("customer_name")), (order.number.clone(), "홍*동".into()));
    assert_eq!(
        (allowed.text("product"), &allowed.body["ticket_no"], &allowed.body["of"]),
        ("성인".into(), &json!(1), &json!(2))
    );
    assert!(allowed.body.get("first_scan").is_none());

    let refused = south.scan(&format!(" {code}\n")).await;
    assert_eq!((refused.text("entrance_status"), refused.text("reason")), ("refused".into(), "already_used".into()));
    assert_eq!(refused.body["first_scan"]["gate"], "north");
    let used: String = app
        .db
        .one("select to_char(used_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS') from tickets where ticket_no = 1")
        .await;
    assert!(refused.body["first_scan"]["at"].as_str().unwrap().starts_with(&used), "{}", refused.body);
    assert_eq!(south.reason(&text(&tickets[1], "qr_code")).await, "ok");

    let seen = app.visitor(1).read(&order).await.expect(200);
    assert!(seen.body["tickets"][0]["used_at"].is_string());
    assert_eq!(app.db.one::<i64>("select count(*) from scans").await, 3);
    app.finish().await;
}

#[tokio::test]
async fn one_ticket_at_two_gates_at_the_same_instant() {
    let (mut app, adult) = opened(Options::default()).await;
    app.add_instance().await;
    let mut all = Vec::new();
    for n in 0..2 {
        all.extend(codes(&app, n, &adult, 100).await);
    }
    let (north, mut south) = (app.gate("gate-1", "north").await, app.gate("gate-1", "south").await);
    south.instance = 1;
    let answers = race(400, |n| {
        let gate = if n % 2 == 0 { &north } else { &south };
        gate.scan(&all[n / 2])
    })
    .await;
    for pair in answers.chunks(2) {
        let mut reasons: Vec<String> = pair.iter().map(|a| a.text("reason")).collect();
        reasons.sort();
        assert_eq!(reasons, ["already_used", "ok"]);
        let winner = if pair[0].text("reason") == "ok" { "north" } else { "south" };
        let loser = pair.iter().find(|a| a.text("reason") == "already_used").unwrap();
        assert_eq!(loser.body["first_scan"]["gate"], winner);
    }
    assert_eq!(app.db.one::<i64>("select count(*) from scans where allowed").await, 200);
    assert_eq!(app.db.one::<i64>("select count(*) from scans").await, 400);
    assert_eq!(app.db.one::<i64>("select count(*) from tickets where used_at is not null").await, 200);
    app.finish().await;
}

#[tokio::test]
async fn the_same_nonce_gets_the_same_answer_and_one_record() {
    let (mut app, adult) = opened(Options::default()).await;
    app.add_instance().await;
    let all = codes(&app, 1, &adult, 40).await;
    let gate = app.gate("gate-1", "north").await;

    let first = gate.scan_once(&all[0], "n-1").await.expect(200);
    assert_eq!(first.text("reason"), "ok");
    app.advance(Duration::from_secs(30)).await;
    assert_eq!(gate.scan_once(&all[0], "n-1").await.expect(200).body, first.body);
    let refused = gate.scan_once(&all[0], "n-2").await.expect(200);
    assert_eq!(refused.text("reason"), "already_used");
    assert_eq!(gate.scan_once(&all[0], "n-2").await.expect(200).body, refused.body);
    let garbage = gate.scan_once("garbage", "n-3").await.expect(200);
    assert_eq!(gate.scan_once("garbage", "n-3").await.expect(200).body, garbage.body);
    assert_eq!(app.db.one::<i64>("select count(*) from scans").await, 3);

    // Another code under a nonce that was used: neither its answer nor a record.
    gate.scan_once(&all[1], "n-1").await.refused(422, "entrance.nonce_reused");
    assert_eq!(app.db.one::<i64>("select count(*) from scans").await, 3);
    assert_eq!(app.db.one::<i64>("select count(*) from tickets where used_at is not null").await, 1);

    // Many at once, over both instances: every nonce has one record and one answer.
    let mut other = app.gate("gate-1", "north").await;
    other.instance = 1;
    let answers = race(200, |n| {
        let (ticket, gate) = (2 + n / 5 % 38, if n % 2 == 0 { &gate } else { &other });
        let nonce = format!("at-once-{ticket}");
        let code = &all[ticket];
        async move { gate.scan_once(code, &nonce).await.expect(200) }
    })
    .await;
    assert!(answers.iter().all(|a| a.text("reason") == "ok"), "{answers:?}");
    assert_eq!(app.db.one::<i64>("select count(*) from scans").await, 3 + 38);

    // One nonce for different tickets at once: one of them has it, and no ticket is used without its record.
    let rest = codes(&app, 2, &adult, 30).await;
    let answers = race(30, |n| {
        let (gate, code) = (if n % 2 == 0 { &gate } else { &other }, &rest[n]);
        async move { gate.scan_once(code, "fought-over").await }
    })
    .await;
    assert_eq!(answers.iter().filter(|a| a.status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|a| a.code() == "entrance.nonce_reused").count(), 29);
    assert_eq!(app.db.one::<i64>("select count(*) from tickets where used_at is not null").await, 1 + 38 + 1);
    app.finish().await;
}

#[tokio::test]
async fn every_refusal_has_its_reason_and_its_record() {
    let (app, adult) = opened(Options::default()).await;
    let dated = app.given(Kind { slot_places: Some(50), open_holds_max: 100, ..places(100) }).await;
    let abc = app.given(Kind { code: "abc", open_holds_max: 100, ..places(100) }).await;
    let gate = app.gate("gate-1", "main").await;
    let code = codes(&app, 1, &adult, 1).await.remove(0);

    // What is not ours, or only looks like it.
    for garbage in
        ["", " ", "garbage", "AD1.", "https://example.org/x", "홍길동", "a\u{0}b", &"A".repeat(10_240), &code[..127]]
    {
        assert_eq!(gate.reason(garbage).await, "unknown", "{garbage:.20}");
    }
    for at in [10, 30, 60, 100, 127] {
        let other = if code.as_bytes()[at] == b'A' { "B" } else { "A" };
        let mut forged = code.clone();
        forged.replace_range(at..=at, other);
        assert_eq!(gate.reason(&forged).await, "bad_signature", "{at}");
    }

    // Another exhibition's ticket: its staff see no name; a super admin belongs everywhere.
    let foreign = codes(&app, 2, &abc, 1).await.remove(0);
    let answer = gate.scan(&foreign).await;
    assert_eq!(
        (answer.text("reason"), &answer.body["customer_name"], &answer.body["order_number"]),
        ("wrong_exhibition".into(), &Value::Null, &Value::Null)
    );
    let recorded = format!(
        "select count(*) from scans where reason = 'wrong_exhibition' and exhibition_id = {}",
        adult.exhibition_id
    );
    assert_eq!(app.db.one::<i64>(&recorded).await, 1);
    app.account("owner", Role::SuperAdmin, &[]).await;
    let owner = app.gate("owner", "main").await;
    assert_eq!(owner.reason("garbage").await, "unknown");
    assert_eq!(owner.reason(&foreign).await, "ok");

    // What the books say.
    for (sql, reason) in [
        ("update tickets set version = 2", "reissued"),
        ("update tickets set version = 0", "unknown"),
        ("update tickets set version = 1, state = 'refunded'", "refunded"),
        ("update tickets set state = 'cancelled'", "cancelled"),
        ("update tickets set state = 'blocked'", "blocked"),
        ("update tickets set state = 'valid'; update orders set state = 'confirming'", "not_paid"),
        ("update orders set state = 'awaiting_deposit'", "not_paid"),
        ("update orders set state = 'cancelled'", "cancelled"),
        ("update orders set state = 'refunded'", "refunded"),
        (
            "update orders set state = 'paid'; update exhibitions set starts_on = current_date + 2, ends_on = current_date + 3",
            "too_early",
        ),
        ("update exhibitions set starts_on = current_date - 9, ends_on = current_date - 8", "too_late"),
    ] {
        app.db.execute(sql).await;
        assert_eq!(gate.reason(&code).await, reason, "{sql}");
    }
    app.db.execute("update exhibitions set starts_on = current_date - 1, ends_on = current_date + 60").await;
    assert_eq!(gate.reason(&code).await, "ok");

    // Days and hours: five days ahead, then on the day at noon.
    let slot = codes(&app, 3, &dated, 3).await;
    assert_eq!(gate.reason(&slot[0]).await, "wrong_date");
    let now = app.app().clock.now();
    let day: jiff::civil::Date = dated.date.as_deref().unwrap().parse().unwrap();
    let noon = day.at(12, 0, 0, 0).to_zoned(admit::platform::clock::seoul()).unwrap().timestamp();
    app.advance(noon.duration_since(now).try_into().unwrap()).await;
    let gate = app.gate("gate-1", "main").await;
    assert_eq!(gate.reason(&slot[0]).await, "ok");
    for (start, end, reason) in [("12:40", "14:00", "too_early"), ("10:00", "11:00", "too_late")] {
        app.db.execute(&format!("update slots set start_time = '{start}', end_time = '{end}'")).await;
        assert_eq!(gate.reason(&slot[1]).await, reason);
    }
    app.db.execute("update slots set start_time = '12:20', end_time = '14:00'").await;
    assert_eq!(gate.reason(&slot[1]).await, "ok");
    assert_eq!(gate.reason(&slot[1]).await, "already_used");
    app.finish().await;
}

#[tokio::test]
async fn a_malformed_scan_is_refused_and_not_recorded() {
    let (app, _) = opened(Options::default()).await;
    let token = app.access_token("gate-1").await;
    let send = async |ask: Value| {
        Answer::of(app.http.post(app.url("/api/entrance/scan")).bearer_auth(&token).json(&ask)).await
    };
    for (ask, field, code) in [
        (json!({}), "qr_code", "required"),
        (json!({ "qr_code": 7 }), "qr_code", "malformed"),
        (json!({ "qr_code": null }), "qr_code", "malformed"),
        (json!({ "qr_code": "x", "gate": " " }), "gate", "required"),
        (json!({ "qr_code": "x", "gate": "a".repeat(41) }), "gate", "too_long"),
        (json!({ "qr_code": "x", "gate": "a\u{0}b" }), "gate", "control_characters"),
        (json!({ "qr_code": "x", "nonce": "" }), "nonce", "nonce"),
        (json!({ "qr_code": "x", "nonce": "a b" }), "nonce", "nonce"),
        (json!({ "qr_code": "x", "nonce": "가" }), "nonce", "nonce"),
        (json!({ "qr_code": "x", "nonce": "a".repeat(65) }), "nonce", "nonce"),
    ] {
        let refused = send(ask).await.refused(422, "request.invalid");
        assert_eq!(
            (&refused.body["errors"][0]["field"], &refused.body["errors"][0]["code"]),
            (&json!(field), &json!(code))
        );
    }
    send(json!({ "qr_code": "x".repeat(70_000) })).await.refused(413, "request.too_large");
    let get = Answer::of(app.http.get(app.url("/api/entrance/scan"))).await;
    get.refused(405, "request.method_not_allowed");
    assert_eq!(app.db.one::<i64>("select count(*) from scans").await, 0);
    assert_eq!(
        send(json!({ "qr_code": "x", "gate": null, "nonce": null })).await.expect(200).text("reason"),
        "unknown"
    );
    assert_eq!(app.db.one::<String>("select gate from scans").await, "main");
    app.finish().await;
}

#[tokio::test]
async fn a_forgotten_visitor_still_comes_in() {
    let (app, adult) = opened(Options::default()).await;
    let code = codes(&app, 1, &adult, 1).await.remove(0);
    app.db.execute("update contacts set sealed = '', phone_digest = '', name_index = null, tail_index = null, erased_at = now()").await;
    let answer = app.gate("gate-1", "main").await.scan(&code).await;
    assert_eq!((answer.text("reason"), &answer.body["customer_name"]), ("ok".into(), &Value::Null));
    app.finish().await;
}

#[tokio::test]
async fn the_message_is_in_the_language_of_the_call() {
    let (app, adult) = opened(Options::default()).await;
    let code = codes(&app, 1, &adult, 1).await.remove(0);
    let token = app.access_token("gate-1").await;
    let send = async |language: &str| {
        let call = app.http.post(app.url("/api/entrance/scan")).bearer_auth(&token).header("accept-language", language);
        Answer::of(call.json(&json!({ "qr_code": code, "gate": "north" }))).await.expect(200)
    };
    assert_eq!(send("en").await.text("product"), "Adult");
    let (ko, en) = (send("ko").await, send("en").await);
    assert_eq!((ko.text("product"), en.text("product")), ("성인".into(), "Adult".into()));
    assert!(ko.text("message").contains("north") && en.text("message").contains("north"));
    assert_ne!(ko.text("message"), en.text("message"));
    for answer in [ko, en] {
        assert!(!answer.text("message").contains(['{', '}']), "{}", answer.body);
    }
    app.finish().await;
}

#[tokio::test]
async fn anybody_may_check_a_ticket_with_the_published_keys() {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let (app, adult) = opened(Options::default()).await;
    let (_, tickets) = bought(&app, 1, &adult, 1).await;
    let reply = app.http.get(app.url("/api/entrance/keys")).send().await.unwrap();
    assert_eq!(reply.headers()["cache-control"], "public, max-age=60");
    let published: Value = reply.json().await.unwrap();
    let format = &published["format"];
    let number = |value: &Value| value.as_u64().unwrap() as usize;

    // By the published description alone.
    let code = text(&tickets[0], "qr_code");
    let bytes = URL_SAFE_NO_PAD.decode(code.strip_prefix(format["prefix"].as_str().unwrap()).unwrap()).unwrap();
    let field = |name: &str| {
        let field = format["fields"].as_array().unwrap().iter().find(|f| f["name"] == name).unwrap();
        &bytes[number(&field["at"])..number(&field["at"]) + number(&field["bytes"])]
    };
    let key = published["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|k| number(&k["id"]) == usize::from(field("key_id")[0]))
        .unwrap();
    assert_eq!(key["alg"], "Ed25519");
    let public = URL_SAFE_NO_PAD.decode(key["public_key"].as_str().unwrap()).unwrap();
    let signed = &bytes[..number(&format["signed_bytes"])];
    UnparsedPublicKey::new(&ED25519, public).verify(signed, field("signature")).unwrap();
    assert_eq!(uuid::Uuid::from_slice(field("ticket_id")).unwrap().to_string(), text(&tickets[0], "id"));
    app.finish().await;
}

#[tokio::test]
async fn scans_go_on_while_redis_is_away() {
    let mut redis = crate::support::servers::OwnRedis::start().await;
    let (app, adult) = opened(Options { redis_url: Some(redis.url()), ..Options::default() }).await;
    let code = codes(&app, 1, &adult, 1).await.remove(0);
    let gate = app.gate("gate-1", "main").await;
    redis.kill().await;
    assert_eq!(gate.reason(&code).await, "ok");
    assert_eq!(gate.reason(&code).await, "already_used");
    redis.run().await;
    app.finish().await;
}

#[tokio::test]
async fn a_lost_answer_is_found_again_under_its_nonce() {
    let db = Database::create().await;
    let (server, rest) = db.url.split_once('@').unwrap();
    let (target, database) = rest.split_once('/').unwrap();
    let proxy = Proxy::start(target).await;
    let database_url = Some(format!("{server}@{}/{database}", proxy.address));
    let app = TestApp::start_on(db, Options { database_url, ..Options::default() }).await;
    let adult = app.given(places(10)).await;
    app.account("gate-1", Role::Staff, &["xyz"]).await;
    let (_, tickets) = bought(&app, 1, &adult, 2).await;
    let (first, second) = (text(&tickets[0], "qr_code"), text(&tickets[1], "qr_code"));
    // The gate's name is in the write and not in the read.
    let gate = app.gate("gate-1", "the-far-gate").await;

    proxy.lose_the_answer_to(b"the-far-gate");
    let lost = gate.scan_once(&first, "n-1").await.refused(503, "server.database_away");
    assert!(lost.retry_after.is_some());
    app.until("the answer is lost", async || proxy.sprung()).await;
    assert_eq!(gate.scan_once(&first, "n-1").await.expect(200).text("reason"), "ok");
    assert_eq!(app.db.one::<i64>("select count(*) from scans").await, 1);

    proxy.lose(b"the-far-gate");
    gate.scan_once(&second, "n-2").await.refused(503, "server.database_away");
    assert_eq!(app.db.one::<i64>("select count(*) from tickets where used_at is not null").await, 1);
    assert_eq!(gate.scan_once(&second, "n-2").await.expect(200).text("reason"), "ok");

    proxy.cut();
    gate.scan_once(&second, "n-3").await.refused(503, "server.database_away");
    proxy.mend();
    assert_eq!(gate.scan_once(&second, "n-3").await.expect(200).text("reason"), "already_used");
    app.finish().await;
}
