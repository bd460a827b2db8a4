//! The rules of entry: plain cases, thousands of generated ones that the device's evaluator must answer alike, and how they
//! hold at the door.

use std::io::Write;
use std::process::{Command, Stdio};

use admit::admin::Role;
use admit::entrance::rules::{
    Direction, Entries, Past, Presented, Reason, Rules, Visit, against, day_number, day_of, judge, second_of,
};
use jiff::civil::{Date, Time, date, time};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};

use crate::devices::Door;
use crate::support::given::places;
use crate::support::{Kind, TestApp};

fn at(text: &str) -> i64 {
    let local: jiff::civil::DateTime = text.parse().unwrap();
    local.to_zoned(jiff::tz::TimeZone::get("Asia/Seoul").unwrap()).unwrap().timestamp().as_second()
}

fn presented<'a>(rules: &'a Rules, visit: Visit, past: Past) -> Presented<'a> {
    Presented { against: None, visit, past, rules, gate: "north", direction: Direction::In }
}

#[test]
fn what_speaks_against_a_ticket_in_its_order() {
    let table = [
        (1, 1, "valid", "paid", None),
        (1, 1, "valid", "partially_refunded", None),
        (1, 1, "valid", "held", Some(Reason::NotPaid)),
        (1, 1, "valid", "confirming", Some(Reason::NotPaid)),
        (1, 1, "valid", "awaiting_deposit", Some(Reason::NotPaid)),
        (1, 1, "valid", "expired", Some(Reason::Cancelled)),
        (1, 1, "valid", "cancelled", Some(Reason::Cancelled)),
        (1, 1, "valid", "refunded", Some(Reason::Refunded)),
        (1, 1, "refunded", "held", Some(Reason::Refunded)),
        (1, 1, "cancelled", "held", Some(Reason::Cancelled)),
        (1, 1, "blocked", "held", Some(Reason::Blocked)),
        (1, 1, "something new", "paid", Some(Reason::Blocked)),
        (1, 2, "blocked", "held", Some(Reason::Reissued)),
        (2, 1, "blocked", "held", Some(Reason::Unknown)),
    ];
    for (code, version, ticket, order, reason) in table {
        assert_eq!(against(code, version, ticket, order), reason, "{code} {version} {ticket} {order}");
    }
}

#[test]
fn days_and_hours() {
    let day = date(2026, 11, 21);
    let undated = Visit::Undated { from: day, until: date(2026, 11, 23) };
    let slot = Visit::Slot { date: day, start: time(10, 0, 0, 0), end: time(12, 0, 0, 0) };
    let night = Visit::Slot { date: day, start: time(0, 10, 0, 0), end: time(2, 0, 0, 0) };
    let table = [
        (undated, "2026-11-20T23:59:59", Reason::TooEarly),
        (undated, "2026-11-21T00:00:00", Reason::Ok),
        (undated, "2026-11-23T23:59:59", Reason::Ok),
        (undated, "2026-11-24T00:00:00", Reason::TooLate),
        (Visit::Day(day), "2026-11-21T00:00:00", Reason::Ok),
        (Visit::Day(day), "2026-11-21T23:59:59", Reason::Ok),
        (Visit::Day(day), "2026-11-22T00:00:00", Reason::WrongDate),
        (slot, "2026-11-20T11:00:00", Reason::WrongDate),
        (slot, "2026-11-21T09:29:59", Reason::TooEarly),
        (slot, "2026-11-21T09:30:00", Reason::Ok),
        (slot, "2026-11-21T12:00:00", Reason::Ok),
        (slot, "2026-11-21T12:00:01", Reason::TooLate),
        (slot, "2026-11-22T10:00:00", Reason::WrongDate),
        (night, "2026-11-20T23:39:00", Reason::WrongDate),
        (night, "2026-11-20T23:40:00", Reason::Ok),
    ];
    let rules = Rules::default();
    for (visit, now, reason) in table {
        let answer = judge(&presented(&rules, visit, Past::default()), at(now));
        assert_eq!(answer, (reason, reason == Reason::Ok), "{visit:?} at {now}");
    }
    // Wider on both sides.
    let wide = Rules { early_min: 60, late_min: 15, ..Rules::default() };
    for (now, reason) in [
        ("2026-11-21T09:00:00", Reason::Ok),
        ("2026-11-21T12:15:00", Reason::Ok),
        ("2026-11-21T12:15:01", Reason::TooLate),
    ] {
        assert_eq!(judge(&presented(&wide, slot, Past::default()), at(now)).0, reason, "{now}");
    }
}

#[test]
fn in_and_out_and_in_again() {
    let day = Visit::Day(date(2026, 11, 21));
    let (ten, eleven, noon) = (at("2026-11-21T10:00:00"), at("2026-11-21T11:00:00"), at("2026-11-21T12:00:00"));
    let inside = Past::default().moved(Direction::In, true, ten);
    let left = inside.moved(Direction::Out, false, eleven);
    let once = Rules::default();
    let reentry = Rules { reentry: true, gap_s: 600, ..Rules::default() };
    let twice = Rules { entries: Entries::Daily, per_day: 2, ..Rules::default() };
    let elsewhere = Rules { gates: Some(vec!["south".into()]), ..Rules::default() };
    let table = [
        (&once, inside, noon, (Reason::AlreadyUsed, false)),
        (&once, left, noon, (Reason::AlreadyUsed, false)),
        (&reentry, inside, noon, (Reason::AlreadyInside, false)),
        (&reentry, left, noon, (Reason::Ok, false)),
        (&reentry, left, eleven + 599, (Reason::TooSoon, false)),
        (&reentry, left, eleven + 600, (Reason::Ok, false)),
        // Yesterday's exit was forgotten: nobody is inside since yesterday, but the one entry is used.
        (&reentry, inside, at("2026-11-22T10:00:00"), (Reason::AlreadyUsed, false)),
        (&twice, inside, noon, (Reason::Ok, true)),
        (&twice, inside.moved(Direction::In, true, eleven), noon, (Reason::UsedUp, false)),
        (&elsewhere, Past::default(), noon, (Reason::WrongGate, false)),
    ];
    for (rules, past, now, answer) in table {
        assert_eq!(judge(&presented(rules, day, past), now), answer, "{rules:?} {past:?} {now}");
    }
    let out =
        |past, against| judge(&Presented { against, direction: Direction::Out, ..presented(&once, day, past) }, noon).0;
    assert_eq!(out(inside, None), Reason::Ok);
    assert_eq!(out(inside, Some(Reason::Refunded)), Reason::Ok, "nobody is kept in");
    assert_eq!(out(left, None), Reason::NotInside);
    assert_eq!(out(Past::default(), Some(Reason::Unknown)), Reason::Unknown);
}

#[test]
fn names_of_reasons_are_read_back() {
    for reason in Reason::ALL {
        assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
    }
    assert_eq!(Reason::parse("Ok"), None);
}

/// Cases that meet: few days, few gates, hours near the edges of slots and gaps.
struct Dice(StdRng);

impl Dice {
    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.0.random_range(0..all.len())].clone()
    }

    fn rules(&mut self) -> Rules {
        Rules {
            early_min: self.of(&[0, 1, 30, 60, 1440]),
            late_min: self.of(&[0, 1, 30, 1440]),
            gates: self.of(&[None, Some(vec!["north".into()]), Some(vec!["south".into(), "남문".into()])]),
            entries: self.of(&[Entries::Once, Entries::Daily]),
            per_day: self.0.random_range(1..4),
            reentry: self.0.random(),
            gap_s: self.of(&[0, 1, 60, 3600, 86_400]),
        }
    }

    fn day(&mut self) -> Date {
        self.of(&[date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 22), date(2028, 2, 29)])
    }

    fn now(&mut self) -> i64 {
        let edge = self.of(&["00:00:00", "00:10:00", "09:30:00", "10:00:00", "12:00:00", "12:01:00", "23:59:59"]);
        at(&format!("{}T{edge}", self.day())) + self.0.random_range(-2..3)
    }

    fn visit(&mut self) -> Visit {
        let (one, other) = (self.day(), self.day());
        match self.0.random_range(0..3) {
            0 => Visit::Undated { from: one.min(other), until: one.max(other) },
            1 => Visit::Day(one),
            _ => {
                let (start, end) = self.of(&[((0, 10), (2, 0)), ((10, 0), (12, 0)), ((9, 0), (23, 59))]);
                let time = |(hour, minute)| Time::new(hour, minute, 0, 0).unwrap();
                Visit::Slot { date: one, start: time(start), end: time(end) }
            }
        }
    }

    /// Mostly one that a ticket can have, told by moves; sometimes any.
    fn past(&mut self, now: i64) -> Past {
        if self.0.random_range(0..5) == 0 {
            return Past {
                entries: self.0.random_range(0..4),
                day: self.of(&[0, day_of(now), day_of(now) - 1, day_of(now) + 1]),
                entries_day: self.0.random_range(0..4),
                inside: self.0.random(),
                last_in: self.of(&[0, now, now - 60, now + 60, now - 86_400]),
                last_out: self.of(&[0, now, now - 60, now - 86_400]),
            };
        }
        let mut past = Past::default();
        let mut then = now - self.of(&[86_400, 7200, 120]);
        for _ in 0..self.0.random_range(0..4) {
            let direction = if past.inside && self.0.random() { Direction::Out } else { Direction::In };
            past = past.moved(direction, direction == Direction::In && self.0.random_range(0..4) > 0, then);
            then += self.of(&[1, 59, 60, 3600]);
        }
        past
    }
}

fn visit_json(visit: Visit) -> Value {
    match visit {
        Visit::Undated { from, until } => json!({ "from_day": day_number(from), "until_day": day_number(until) }),
        Visit::Day(day) => json!({ "day": day_number(day) }),
        Visit::Slot { date, start, end } => {
            json!({ "day": day_number(date), "start": second_of(start), "end": second_of(end) })
        }
    }
}

#[test]
fn the_evaluator_of_devices_gives_the_same_answers() {
    const CASES: usize = 6_000;
    const STANDINGS: &[(&str, Option<Reason>)] = &[
        ("valid", None),
        ("valid", None),
        ("valid", None),
        ("valid", None),
        ("valid", None),
        ("not_paid", Some(Reason::NotPaid)),
        ("cancelled", Some(Reason::Cancelled)),
        ("refunded", Some(Reason::Refunded)),
        ("blocked", Some(Reason::Blocked)),
        ("reissued", Some(Reason::Reissued)),
        ("unknown", Some(Reason::Unknown)),
    ];
    let mut dice = Dice(StdRng::seed_from_u64(20_261_129));
    let (mut input, mut expected) = (String::new(), Vec::new());
    let mut reasons = std::collections::BTreeMap::<&str, usize>::new();
    for _ in 0..CASES {
        let ((standing, against), rules, now) = (dice.of(STANDINGS), dice.rules(), dice.now());
        let (visit, past) = (dice.visit(), dice.past(now));
        let direction = dice.of(&[Direction::In, Direction::In, Direction::In, Direction::Out]);
        let presented =
            Presented { against, visit, past, rules: &rules, gate: dice.of(&["north", "남문"]), direction };
        let (reason, counts) = judge(&presented, now);
        let after = past.moved(direction, counts, now);
        *reasons.entry(reason.as_str()).or_default() += 1;
        let case = json!({ "standing": standing, "visit": visit_json(visit), "past": past, "rules": rules,
            "gate": presented.gate, "direction": direction, "now": now });
        input.push_str(&format!("{case}\n"));
        expected.push(format!("{} {counts} {}", reason.as_str(), json!(after)));
    }
    // A reason that never came up was not compared.
    for reason in [
        "ok",
        "already_used",
        "used_up",
        "already_inside",
        "too_soon",
        "not_inside",
        "wrong_gate",
        "too_early",
        "too_late",
        "wrong_date",
    ] {
        assert!(reasons.get(reason).is_some_and(|n| *n >= 20), "{reason}: {reasons:?}");
    }
    let mut node = Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gate/rules.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Node, which ./dev test installs");
    let mut stdin = node.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).map(|()| input));
    let output = node.wait_with_output().unwrap();
    let input = writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), CASES);
    for ((case, expected), answer) in input.lines().zip(&expected).zip(answers.lines()) {
        let (judged, after) = answer.split_once(" {").map(|(j, a)| (j, format!("{{{a}"))).expect("an answer");
        let after: Value = serde_json::from_str(&after).unwrap();
        let (expected_judged, expected_after) = expected.split_once(" {").unwrap();
        let expected_after: Value = serde_json::from_str(&format!("{{{expected_after}")).unwrap();
        assert_eq!((judged, &after), (expected_judged, &expected_after), "{case}");
    }
}

const RULES: &str = "/api/admin/exhibitions/xyz/entry-rules";

pub fn rules(change: Value) -> Value {
    let mut rules = json!({ "early_min": 30, "late_min": 0, "gates": null, "entries": "once", "per_day": 1,
        "reentry": false, "gap_s": 0 });
    for (name, value) in change.as_object().unwrap() {
        rules[name] = value.clone();
    }
    rules
}

#[tokio::test]
async fn rules_hold_from_the_next_scan_on_for_a_product_or_all() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { per_order_max: 10, ..places(10) }).await;
    let door = Door::of(&app).await;
    let qr = crate::devices::codes(&app, &adult, 4).await;
    let (north, south) = (door.device("north").await, door.device("south").await);
    let (n, s) = (north.shift("kim").await, south.shift("lee").await);
    assert_eq!(
        door.call(Method::GET, RULES, json!({})).await.expect(200).body,
        json!({ "exhibition": null, "products": {}, "walk_ins": false })
    );

    // A gate of its own for this product; the exhibition's rules do not reach it.
    let book = json!({ "exhibition": rules(json!({ "gates": ["east"] })),
        "products": { adult.product_id.to_string(): rules(json!({ "gates": ["south"], "entries": "daily", "per_day": 2, "gap_s": 60 })) },
        "walk_ins": false });
    let set = door.call(Method::PUT, RULES, book.clone()).await.expect(200);
    assert_eq!(set.body, book);
    let refused = north.scan(&n, &qr[0]).await.expect(200);
    assert_eq!(refused.text("reason"), "wrong_gate");
    assert!(refused.text("message").contains("south"), "{}", refused.body);
    assert_eq!(south.scan(&s, &qr[0]).await.expect(200).text("reason"), "ok");
    let soon = south.scan(&s, &qr[0]).await.expect(200);
    assert_eq!((soon.text("reason"), &soon.body["last_scan"]["gate"]), ("too_soon".into(), &json!("south")));
    app.advance(std::time::Duration::from_secs(60)).await;
    assert_eq!(south.scan(&s, &qr[0]).await.expect(200).text("reason"), "ok");
    app.advance(std::time::Duration::from_secs(60)).await;
    assert_eq!(south.scan(&s, &qr[0]).await.expect(200).text("reason"), "used_up");

    // In, out, and in again.
    let reentry = json!({ "exhibition": rules(json!({ "reentry": true })), "products": {} });
    door.call(Method::PUT, RULES, reentry).await.expect(200);
    let move_ = async |qr: &str, direction: &str| {
        let ask = json!({ "qr_code": qr, "direction": direction });
        let answer = app.http.post(app.url("/api/entrance/scan")).bearer_auth(&n).json(&ask);
        crate::support::Answer::of(answer).await.expect(200).text("reason")
    };
    assert_eq!(move_(&qr[1], "out").await, "not_inside");
    assert_eq!(move_(&qr[1], "in").await, "ok");
    assert_eq!(move_(&qr[1], "in").await, "already_inside");
    assert_eq!(move_(&qr[1], "out").await, "ok");
    assert_eq!(move_(&qr[1], "out").await, "not_inside");
    assert_eq!(move_(&qr[1], "in").await, "ok");
    let entries = "select entries from tickets where ticket_no = 2";
    assert_eq!(app.db.one::<i16>(entries).await, 1, "coming back uses no entry");
    // Without rules of its own it is as at the beginning.
    door.call(Method::PUT, RULES, json!({ "exhibition": null })).await.expect(200);
    assert_eq!(north.scan(&n, &qr[2]).await.expect(200).text("reason"), "ok");
    assert_eq!(north.scan(&n, &qr[2]).await.expect(200).text("reason"), "already_used");
    let audited = "select count(*) from admin_audit where action = 'entry.rules'";
    assert_eq!(app.db.one::<i64>(audited).await, 3);
    app.finish().await;
}

#[tokio::test]
async fn rules_that_make_no_sense_change_nothing() {
    let app = TestApp::start().await;
    let adult = app.given(places(1)).await;
    let door = Door::of(&app).await;
    for (change, field) in [
        (json!({ "early_min": -1 }), "exhibition.early_min"),
        (json!({ "late_min": 1441 }), "exhibition.late_min"),
        (json!({ "per_day": 0 }), "exhibition.per_day"),
        (json!({ "gap_s": 86_401 }), "exhibition.gap_s"),
        (json!({ "gates": [] }), "exhibition.gates"),
        (json!({ "gates": [" north"] }), "exhibition.gates"),
        (json!({ "gates": ["x".repeat(41)] }), "exhibition.gates"),
        (json!({ "gates": ["a\u{202e}b"] }), "exhibition.gates"),
    ] {
        let refused = door.call(Method::PUT, RULES, json!({ "exhibition": rules(change) })).await;
        assert_eq!(refused.refused(422, "request.invalid").body["errors"][0]["field"], field);
    }
    let foreign = json!({ "exhibition": null, "products": { "999999": rules(json!({})) } });
    door.call(Method::PUT, RULES, foreign).await.refused(422, "request.invalid");
    for odd in [
        json!({ "exhibition": { "early_min": 1 } }),
        json!({ "exhibition": rules(json!({ "entries": "twice" })) }),
        json!({ "exhibition": rules(json!({ "surprise": 1 })) }),
        json!([]),
    ] {
        assert!(matches!(door.call(Method::PUT, RULES, odd).await.status, 400 | 422));
    }
    app.account("gate", Role::Staff, &["xyz"]).await;
    let staff = Door { app: &app, admin: app.access_token("gate").await };
    staff.call(Method::PUT, RULES, json!({ "exhibition": null })).await.refused(403, "auth.forbidden");
    assert_eq!(app.db.one::<i64>("select count(*) from entry_rules").await, 0);
    assert!(adult.product_id > 0);
    app.finish().await;
}
