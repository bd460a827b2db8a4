//! The door besides the scan: second thoughts, a supervisor's word, search and numbers, groups, two gates at once.

use std::time::Duration;

use admit::tickets::number;
use serde_json::{Value, json};

use crate::devices::{Door, codes};
use crate::offline::{opened, ticket, used_at_gate};
use crate::support::given::places;
use crate::support::{Answer, Kind, TestApp, race};

#[tokio::test]
async fn second_thoughts_within_a_quarter_of_an_hour() {
    let (app, adult) = opened().await;
    let qr = codes(&app, &adult, 2).await;
    let door = Door::of(&app).await;
    let (north, south) = (door.device("north").await, door.device("south").await);
    let ((n, _), (s, _)) = (north.shift_id("kim").await, south.shift_id("lee").await);
    let post = async |token: &str, path: &str, body: Value| {
        Answer::of(app.http.post(app.url(&format!("/api/entrance/{path}"))).bearer_auth(token).json(&body)).await
    };
    let scan = async |token: &str, nonce: &str, direction: &str| {
        let ask = json!({ "qr_code": qr[0], "nonce": nonce, "direction": direction });
        post(token, "scan", ask).await.expect(200).text("reason")
    };
    assert_eq!(scan(&n, "1", "in").await, "ok");
    post(&s, "undo", json!({ "nonce": "1" })).await.refused(404, "entrance.nothing_to_undo");
    post(&n, "undo", json!({ "nonce": "1" })).await.expect(200);
    post(&n, "undo", json!({ "nonce": "1" })).await.expect(200);
    assert_eq!(used_at_gate(&app, &qr[0]).await, None);
    assert_eq!(scan(&s, "2", "in").await, "ok");
    assert_eq!(scan(&n, "3", "in").await, "already_used");
    post(&n, "undo", json!({ "nonce": "3" })).await.refused(404, "entrance.nothing_to_undo");
    // Of a device on shift alone.
    let boss = app.access_token("boss").await;
    post(&boss, "undo", json!({ "nonce": "2" })).await.refused(403, "auth.forbidden");

    let sign = |nonce: &str, who: &str| json!({ "nonce": nonce, "username": who, "password": crate::admin::PASSWORD, "why": "a friend of the house" });
    post(&n, "force", sign("3", "lee")).await.refused(403, "auth.forbidden");
    let mut wrong = sign("3", "boss");
    wrong["password"] = json!("guess");
    post(&n, "force", wrong).await.refused(401, "auth.invalid_credentials");
    let mut silent = sign("3", "boss");
    silent["why"] = json!(" ");
    post(&n, "force", silent).await.refused(422, "request.invalid");
    let forced = post(&n, "force", sign("3", "boss")).await.expect(200);
    assert_eq!(
        (forced.text("entrance_status"), forced.text("reason"), &forced.body["forced"]),
        ("allowed".into(), "already_used".into(), &json!(true))
    );
    post(&n, "force", sign("3", "boss")).await.expect(200);
    let recorded = "select count(*) || ' ' || string_agg(reason, '') from scans where forced";
    assert_eq!(app.db.one::<String>(recorded).await, "1 already_used");
    assert_eq!(app.db.one::<i64>("select count(*) from admin_audit where action = 'entry.force'").await, 1);
    post(&n, "undo", json!({ "nonce": "3" })).await.expect(200);
    assert_eq!(app.db.one::<i16>("select entries from tickets where ticket_no = 1").await, 1);
    // What is no ticket is not let in by anybody.
    post(&n, "scan", json!({ "qr_code": "https://example.org", "nonce": "4" })).await.expect(200);
    post(&n, "force", sign("4", "boss")).await.refused(409, "entrance.cannot_be_forced");
    post(&n, "force", sign("never", "boss")).await.refused(404, "entrance.nothing_to_force");
    app.advance(Duration::from_secs(15 * 60 + 1)).await;
    post(&s, "undo", json!({ "nonce": "2" })).await.refused(409, "entrance.too_late_to_undo");
    assert_eq!(scan(&n, "5", "in").await, "already_used");
    app.finish().await;
}

#[tokio::test]
async fn a_ticket_without_its_qr_is_found_and_let_in_by_its_number() {
    let (app, adult) = opened().await;
    let qr = codes(&app, &adult, 2).await;
    let door = Door::of(&app).await;
    let phone = door.device("north").await;
    let (token, _) = phone.shift_id("kim").await;
    let find = async |q: &str| {
        let request = app.http.post(app.url("/api/entrance/search")).bearer_auth(&token).json(&json!({ "q": q }));
        Answer::of(request).await
    };
    let found = async |q: &str| find(q).await.expect(200).body["found"].as_array().unwrap().clone();
    let order: String = app.db.one("select number from orders").await;
    let typed = number::of(ticket(&qr[0]), 1);
    for q in [order.as_str(), &order.to_lowercase(), &order[12..], &order[12..16], "010-1000-0001"] {
        let all = found(q).await;
        assert_eq!(all.len(), 2, "{q}");
        assert_eq!(
            (&all[0]["number"], &all[0]["customer_name"], &all[0]["reason"]),
            (&json!(typed), &json!("홍*동"), &json!("ok"))
        );
    }
    assert_eq!(found(&typed).await.len(), 1);
    assert_eq!(found(&typed[..4].to_lowercase()).await.len(), 1);
    for none in ["ZZZZZZZZ", "010-9999-9999", "홍길동이", "' or 1=1 --"] {
        assert_eq!(found(none).await.len(), 0, "{none}");
    }
    for odd in ["", "abc", "   a   ", &"x".repeat(41)] {
        find(odd).await.refused(422, "entrance.search_length");
    }
    assert_eq!(phone.scan(&token, &typed.to_lowercase().replace('-', " ")).await.expect(200).text("reason"), "ok");
    assert_eq!(phone.scan(&token, &qr[0]).await.expect(200).text("reason"), "already_used");
    assert_eq!(phone.scan(&token, "ZZZZ-ZZZZ").await.expect(200).text("reason"), "unknown");
    // A re-issued ticket has another number, and another exhibition's is nobody's here.
    app.db.execute(&format!("update tickets set version = 2 where id = '{}'", ticket(&qr[1]))).await;
    assert_eq!(phone.scan(&token, &number::of(ticket(&qr[1]), 1)).await.expect(200).text("reason"), "unknown");
    assert_eq!(phone.scan(&token, &number::of(ticket(&qr[1]), 2)).await.expect(200).text("reason"), "ok");
    let staff = app.access_token("kim").await;
    let outside = app.http.post(app.url("/api/entrance/search")).bearer_auth(&staff).json(&json!({ "q": "abcd" }));
    Answer::of(outside).await.refused(403, "auth.forbidden");
    app.finish().await;
}

/// Two hundred tickets, each at two gates at the same moment, on two instances.
#[tokio::test]
async fn two_hundred_tickets_at_two_gates_at_the_same_instant() {
    let mut app = TestApp::start().await;
    let adult = app.given(Kind { per_order_max: 20, open_holds_max: 20, ..places(200) }).await;
    app.add_instance().await;
    let door = Door::of(&app).await;
    let (north, south) = (door.device("north").await, door.device("south").await);
    let (n, s) = (north.shift("kim").await, south.shift("lee").await);
    let mut all = Vec::new();
    for visitor in 1..=10 {
        let (_, tickets) = crate::tickets::bought(&app, visitor, &adult, 20).await;
        all.extend(tickets.iter().map(|t| crate::tickets::text(t, "qr_code")));
    }
    let scans = race(400, |n_| {
        let (token, instance) = if n_ % 2 == 0 { (&n, 0) } else { (&s, 1) };
        let url = format!("http://{}/api/entrance/scan", app.instances[instance].address);
        let ask = json!({ "qr_code": all[n_ / 2] });
        Answer::of(app.http.post(url).bearer_auth(token).json(&ask))
    })
    .await;
    for pair in scans.chunks(2) {
        let mut reasons: Vec<String> = pair.iter().map(|a| a.text("reason")).collect();
        reasons.sort();
        assert_eq!(reasons, ["already_used", "ok"]);
    }
    assert_eq!(app.db.one::<i64>("select count(*) from scans where allowed").await, 200);
    assert!(naive_doors(&app, 200).await > 200, "gates that look first and write then must lose this race");
    app.finish().await;
}

/// How many two gates let in that look first and write then.
async fn naive_doors(app: &TestApp, tickets: usize) -> usize {
    app.db
        .execute(&format!("create table naive as select n, false as used from generate_series(1, {tickets}) n"))
        .await;
    let let_in = race(16, |gate| async move {
        let client = app.db.client().await;
        let mut let_in = 0;
        for n in (1..=tickets as i32).filter(|n| *n as usize % 8 == gate / 2) {
            if !client.query_one("select used from naive where n = $1", &[&n]).await.unwrap().get::<_, bool>(0) {
                client.execute("update naive set used = true where n = $1", &[&n]).await.unwrap();
                let_in += 1;
            }
        }
        let_in
    })
    .await;
    let_in.iter().sum()
}

#[tokio::test]
async fn one_code_lets_in_as_many_of_a_group_as_are_there() {
    let (app, adult) = opened().await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 4).await;
    let paid = visitor.pay(&order).await.expect(200);
    let all = paid.body["tickets"].as_array().unwrap().clone();
    let whole = paid.text("group_qr_code");
    let door = Door::of(&app).await;
    let phone = door.device("north").await;
    let (token, _) = phone.shift_id("kim").await;
    let post = async |path: &str, body: Value| {
        Answer::of(app.http.post(app.url(&format!("/api/entrance/{path}"))).bearer_auth(&token).json(&body)).await
    };
    let group = async |code: &str, nonce: &str, people: Option<i64>| {
        let ask = json!({ "qr_code": code, "nonce": nonce, "people": people });
        let answer = post("scan", ask).await.expect(200);
        let group = &answer.body["group"];
        (answer.text("entrance_status"), group["admitted"].as_i64().unwrap_or(-1), group["free"].as_i64().unwrap_or(-1))
    };
    let used = "select count(*) from tickets where used_at is not null";
    assert_eq!(group(&whole, "a", None).await, ("choose".into(), 0, 4));
    assert_eq!(app.db.one::<i64>("select count(*) from scans").await, 0, "a look is no scan");
    assert_eq!(group(&whole, "a", Some(5)).await, ("choose".into(), 0, 4), "nobody is let in rather than fewer");
    assert_eq!(group(&whole, "a", Some(3)).await, ("allowed".into(), 3, 1));
    // The answer was lost: the same three, not one more.
    assert_eq!(group(&whole, "a", Some(3)).await, ("allowed".into(), 3, 1));
    assert_eq!(app.db.one::<i64>(used).await, 3);
    // The fourth comes by a ticket of its own, and the code has nobody left.
    assert_eq!(phone.scan(&token, all[3]["qr_code"].as_str().unwrap()).await.expect(200).text("reason"), "ok");
    let nobody = post("scan", json!({ "qr_code": whole, "nonce": "b", "people": 1 })).await.expect(200);
    assert_eq!((nobody.text("entrance_status"), nobody.text("reason")), ("refused".into(), "already_used".into()));
    // Taken back, all three of them.
    post("undo", json!({ "nonce": "a" })).await.expect(200);
    assert_eq!(app.db.one::<i64>(used).await, 1);
    // At two gates at once nobody is let in twice, and who came too late is told how many are left.
    let (group_now, code) = (&group, &whole);
    let race = race(6, |n| async move { group_now(code, &format!("r{n}"), Some(2)).await }).await;
    let admitted: i64 = race.iter().map(|answer| answer.1.max(0)).sum();
    assert!((2..=3).contains(&admitted) && app.db.one::<i64>(used).await == 1 + admitted, "{race:?}");
    if admitted == 2 {
        assert_eq!(group(&whole, "last", Some(1)).await, ("allowed".into(), 1, 0));
    }

    // A ticket's re-issue makes the group's code void as well, and there is a new one.
    let other = app.visitor(2);
    let order = other.held(&adult, 2).await;
    let paid = other.pay(&order).await.expect(200);
    let old = paid.text("group_qr_code");
    app.db
        .execute(&format!(
            "update tickets set version = 2 where id = '{}'",
            paid.body["tickets"][0]["id"].as_str().unwrap()
        ))
        .await;
    let refused = post("scan", json!({ "qr_code": old })).await.expect(200);
    assert_eq!((refused.text("entrance_status"), refused.text("reason")), ("refused".into(), "reissued".into()));
    let fresh = other.read(&order).await.expect(200).text("group_qr_code");
    assert_eq!(group(&fresh, "c", Some(2)).await, ("allowed".into(), 2, 0));
    for odd in [json!(0), json!(101), json!(-1), json!("two")] {
        let refused = post("scan", json!({ "qr_code": fresh, "people": odd })).await;
        assert!(matches!(refused.status, 400 | 422), "{}", refused.body);
    }
    // Alone there is no group.
    let single = app.visitor(3).pay(&app.visitor(3).held(&adult, 1).await).await.expect(200);
    assert!(single.body.get("group_qr_code").is_none());
    app.finish().await;
}
