//! Groups at a gate without a network, and clocks, devices and uploads that are not as they should be.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::devices::{Door, Phone, codes};
use crate::offline::{conflicts, decided, opened, ticket, used_at_gate, with};
use crate::support::given::places;
use crate::support::{Answer, Given, Kind};

/// A group at a phone: its order, its code, and what the phone may say of it.
struct Party<'a> {
    phone: &'a Phone<'a>,
    token: String,
    shift: Uuid,
    order: Uuid,
    qr: String,
}

impl<'a> Party<'a> {
    async fn of(
        phone: &'a Phone<'a>,
        adult: &Given,
        (token, shift): &(String, Uuid),
        visitor: usize,
        people: i64,
    ) -> Party<'a> {
        let visitor = phone.app.visitor(visitor);
        let order = visitor.held(adult, people).await;
        let qr = visitor.pay(&order).await.expect(200).text("group_qr_code");
        Party { phone, token: token.clone(), shift: *shift, order: ticket(&qr), qr }
    }

    /// The server judges; what it answers may be lost.
    async fn asks(&self, nonce: &str, people: usize) -> Answer {
        self.posts("scan", json!({ "qr_code": self.qr, "nonce": nonce, "people": people })).await
    }

    async fn posts(&self, path: &str, body: Value) -> Answer {
        let url = self.phone.app.url(&format!("/api/entrance/{path}"));
        Answer::of(self.phone.app.http.post(url).bearer_auth(&self.token).json(&body)).await
    }

    /// The phone let one of them in by itself.
    fn admits(&self, no: i16, nonce: &str, asked: Option<&str>, ago_s: i64) -> Value {
        let scan = decided(self.phone.app, &self.qr, nonce, self.shift, ago_s);
        with(scan, json!({ "ticket": null, "group": { "order": self.order, "no": no }, "asked": asked }))
    }

    /// The phone let somebody else in by that question.
    fn not(&self, no: i16, nonce: &str, asked: &str, ago_s: i64) -> Value {
        let scan = self.admits(no, nonce, Some(asked), ago_s);
        let at = scan["at"].clone();
        with(scan, json!({ "undone_at": at }))
    }

    /// Numbers and entries of those who are in.
    async fn inside(&self) -> String {
        let used = "select coalesce(string_agg(ticket_no || ':' || entries, ' ' order by ticket_no), '') from tickets";
        self.phone.app.db.one(&format!("{used} where used_at is not null and order_id = '{}'", self.order)).await
    }
}

#[tokio::test]
async fn a_group_whose_answer_got_lost_comes_in_once() {
    let (app, adult) = opened().await;
    let door = Door::of(&app).await;
    let phone = door.device("north").await;
    let shift = phone.shift_id("kim").await;
    // The server let the first two in, and so did the phone.
    let party = Party::of(&phone, &adult, &shift, 1, 4).await;
    party.asks("q", 2).await.expect(200);
    let scans = vec![
        party.admits(1, "a1", Some("q"), 1),
        party.admits(2, "a2", Some("q"), 1),
        party.not(3, "a3", "q", 1),
        party.not(4, "a4", "q", 1),
    ];
    assert_eq!(phone.outcomes(scans.clone()).await, ["known", "known", "recorded", "recorded"]);
    assert_eq!(phone.outcomes(scans).await, ["known"; 4]);
    assert_eq!(party.inside().await, "1:1 2:1");
    assert_eq!(party.asks("q2", 2).await.expect(200).body["group"]["free"], 0, "the other two may still come");

    // Two were in already, as the phone alone knew; the server let the same two in for the next ones.
    let party = Party::of(&phone, &adult, &shift, 2, 4).await;
    app.advance(Duration::from_secs(60)).await;
    let mut scans = vec![party.admits(1, "b1", None, 30), party.admits(2, "b2", None, 30)];
    party.asks("r", 2).await.expect(200);
    assert_eq!(party.inside().await, "1:1 2:1");
    scans.extend([party.admits(3, "b3", Some("r"), 0), party.admits(4, "b4", Some("r"), 0)]);
    scans.extend([party.not(1, "b5", "r", 0), party.not(2, "b6", "r", 0)]);
    phone.outcomes(scans).await;
    assert_eq!(party.inside().await, "1:1 2:1 3:1 4:1", "four people, four entries");
    assert_eq!(conflicts(&door).await, Vec::<Value>::new());

    // The question comes after what was decided: nobody is let in by it any more.
    let party = Party::of(&phone, &adult, &shift, 3, 3).await;
    let scans = vec![party.admits(1, "c1", Some("t"), 1), party.admits(2, "c2", Some("t"), 1)];
    assert_eq!(phone.outcomes(scans).await, ["recorded", "recorded"]);
    party.asks("t", 2).await.refused(422, "entrance.nonce_reused");
    assert_eq!(party.inside().await, "1:1 2:1");

    // The control: with no word that they are a group's, the same scans are others than the server's.
    let party = Party::of(&phone, &adult, &shift, 4, 3).await;
    party.asks("s", 2).await.expect(200);
    let number = |no: i16| format!("select id from tickets where order_id = '{}' and ticket_no = {no}", party.order);
    let mut scans = Vec::new();
    for no in 1..=2 {
        let id: Uuid = app.db.one(&number(no)).await;
        scans.push(with(party.admits(no, &format!("d{no}"), None, 0), json!({ "group": null, "ticket": id })));
    }
    assert_eq!(phone.outcomes(scans).await, ["conflict", "conflict"]);
    assert_eq!(party.inside().await, "1:2 2:2", "counted twice");
    app.finish().await;
}

#[tokio::test]
async fn a_group_is_taken_back_whole_and_what_became_of_its_tickets_is_a_conflict() {
    let (app, adult) = opened().await;
    let other = app.given(Kind { code: "abc", ..places(5) }).await;
    let door = Door::of(&app).await;
    let phone = door.device("north").await;
    let shift = phone.shift_id("kim").await;
    let party = Party::of(&phone, &adult, &shift, 1, 4).await;
    // Nobody was asked: each scan has a name of its own.
    phone.outcomes(vec![party.admits(1, "a1", None, 1), party.admits(2, "a2", None, 1)]).await;
    assert_eq!(party.inside().await, "1:1 2:1");
    party.posts("undo", json!({ "nonce": "a1", "asked": "a1", "others": ["a2"] })).await.expect(200);
    assert_eq!(party.inside().await, "");
    // More tickets than one question lets in.
    app.db
        .execute(&format!(
            "insert into tickets (id, order_id, exhibition_id, product_id, ticket_no, of_total, key_id, issued_at)
             select gen_random_uuid(), order_id, exhibition_id, product_id, 150, 150, key_id, now()
               from tickets where order_id = '{}' and ticket_no = 1",
            party.order
        ))
        .await;
    phone.outcomes(vec![party.admits(3, "b1", Some("q"), 1), party.admits(150, "b2", Some("q"), 1)]).await;
    assert_eq!(party.inside().await, "3:1 150:1");
    party.posts("undo", json!({ "nonce": "b1", "asked": "q", "others": ["b2"] })).await.expect(200);
    assert_eq!(party.inside().await, "");
    let crowd: Vec<String> = (0..100).map(|n| format!("n{n}")).collect();
    party.posts("undo", json!({ "nonce": "b1", "others": crowd })).await.refused(422, "request.invalid");
    app.db.execute("delete from scans where ticket_id in (select id from tickets where ticket_no = 150)").await;
    app.db.execute("delete from tickets where ticket_no = 150").await;

    // Re-issued after it was let in, the ticket is found all the same, and its new code is no second entry.
    app.db
        .execute(&format!("update tickets set version = 2 where order_id = '{}' and ticket_no = 1", party.order))
        .await;
    let foreign = Party::of(&phone, &other, &shift, 2, 2).await;
    let scans = vec![
        party.admits(1, "c1", None, 1),
        party.admits(9, "c2", None, 1),
        foreign.admits(1, "c3", None, 1),
        party.admits(0, "c4", None, 1),
        party.admits(2, "c5", None, 1),
    ];
    assert_eq!(phone.outcomes(scans).await, ["conflict", "conflict", "conflict", "rejected", "recorded"]);
    let kinds: Vec<Value> = conflicts(&door).await.iter().map(|c| c["kind"].clone()).collect();
    assert_eq!(kinds, [json!("unknown"), json!("unknown"), json!("cancelled")]);
    assert_eq!((party.inside().await, foreign.inside().await), ("1:1 2:1".into(), String::new()));
    app.finish().await;
}

/// In at a gate nobody has heard of, out at another: the exit was refused there, and happened.
#[tokio::test]
async fn an_exit_that_was_refused_is_one_once_the_admission_is_heard_of() {
    let (app, adult) = opened().await;
    let qr = codes(&app, &adult, 1).await;
    let door = Door::of(&app).await;
    let rules = json!({ "exhibition": { "early_min": 30, "late_min": 0, "gates": null, "entries": "once", "per_day": 1,
        "reentry": true, "gap_s": 0 } });
    door.call(Method::PUT, "/api/admin/exhibitions/xyz/entry-rules", rules).await.expect(200);
    let (north, south) = (door.device("north").await, door.device("south").await);
    let ((_, n), (token, _)) = (north.shift_id("kim").await, south.shift_id("lee").await);
    app.advance(Duration::from_secs(600)).await;
    let move_ = async |direction: &str| {
        let ask = json!({ "qr_code": qr[0], "direction": direction });
        Answer::of(app.http.post(app.url("/api/entrance/scan")).bearer_auth(&token).json(&ask))
            .await
            .expect(200)
            .text("reason")
    };
    assert_eq!(move_("out").await, "not_inside");
    assert_eq!(north.outcomes(vec![decided(&app, &qr[0], "a", n, 60)]).await, ["recorded"]);
    assert_eq!(move_("in").await, "ok", "it is outside, and comes back");
    assert_eq!(app.db.one::<i16>("select entries from tickets").await, 1);
    app.finish().await;
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_held_within_the_shift() {
    let (app, adult) = opened().await;
    let qr = codes(&app, &adult, 2).await;
    let door = Door::of(&app).await;
    let phone = door.device("north").await;
    let (_, shift) = phone.shift_id("kim").await;
    let began = app.app().clock.now();
    app.advance(Duration::from_secs(3600)).await;
    let scans = vec![decided(&app, &qr[0], "past", shift, 5 * 3600), decided(&app, &qr[1], "future", shift, -5 * 3600)];
    assert_eq!(phone.outcomes(scans).await, ["recorded", "recorded"]);
    let times =
        "select string_agg(scanned_at::text || ' ' || (reply->>'clock_off'), ';' order by scanned_at) from scans";
    let times = app.db.one::<String>(times).await;
    let read: Vec<Timestamp> = app
        .db
        .client()
        .await
        .query("select scanned_at from scans order by scanned_at", &[])
        .await
        .unwrap()
        .iter()
        .map(|r| r.get(0))
        .collect();
    assert!(read[0].duration_since(began).abs() < jiff::SignedDuration::from_secs(5), "{times}");
    assert!(read[1] <= app.app().clock.now(), "{times}");
    assert_eq!(times.matches("true").count(), 2);
    app.finish().await;
}

#[tokio::test]
async fn a_revoked_device_hands_in_what_it_has_and_moves_no_ticket() {
    let (app, adult) = opened().await;
    let qr = codes(&app, &adult, 3).await;
    let door = Door::of(&app).await;
    let phone = door.device("north").await;
    let (_, shift) = phone.shift_id("kim").await;
    app.advance(Duration::from_secs(600)).await;
    door.revoke(&phone.id).await;
    let taken = phone.hand_in(vec![decided(&app, &qr[0], "a", shift, 60)]).await.expect(200);
    assert_eq!((&taken.body["wipe"], &taken.body["results"][0]["outcome"]), (&json!(true), &json!("conflict")));
    assert_eq!(used_at_gate(&app, &qr[0]).await, None, "nothing is admitted by a device that was taken back");
    let open = conflicts(&door).await;
    assert_eq!(open[0]["kind"], "revoked_device");
    // Somebody knows that it was honest: from then on it counts.
    let decide = format!("/api/admin/exhibitions/xyz/entry-conflicts/{}/decide", open[0]["id"].as_str().unwrap());
    door.call(Method::POST, &decide, json!({ "decision": "honest" })).await.expect(204);
    assert_eq!(used_at_gate(&app, &qr[0]).await.as_deref(), Some("north"));
    // Not for ever, and not without bound.
    app.db.execute("update devices set uploaded_revoked = 5000").await;
    phone.hand_in(vec![decided(&app, &qr[1], "b", shift, 60)]).await.refused(403, "device.revoked");
    app.db.execute("update devices set uploaded_revoked = 0").await;
    app.advance(Duration::from_secs(24 * 3600)).await;
    phone.hand_in(vec![decided(&app, &qr[1], "b", shift, 60)]).await.refused(403, "device.revoked");
    app.finish().await;
}

#[tokio::test]
async fn bad_uploads_are_named_and_hold_nothing_up() {
    let (app, adult) = opened().await;
    let qr = codes(&app, &adult, 2).await;
    let other = app.given(Kind { code: "abc", ..places(5) }).await;
    let foreign = codes(&app, &other, 1).await;
    let door = Door::of(&app).await;
    let phone = door.device("north").await;
    let (_, shift) = phone.shift_id("kim").await;
    let good = |nonce: &str| decided(&app, &qr[0], nonce, shift, 1);
    let scans = vec![
        with(good("a"), json!({ "nonce": "two words" })),
        with(good("b"), json!({ "nonce": "x".repeat(65) })),
        with(good("c"), json!({ "reason": "because" })),
        with(good("d"), json!({ "at": i64::MAX })),
        with(good("e"), json!({ "typed": "not a number" })),
        with(good("f"), json!({ "asked": "" })),
        with(good("g"), json!({ "ticket": ticket(&foreign[0]) })),
        good("h"),
    ];
    let taken = phone.hand_in(scans).await.expect(200);
    let codes: Vec<&str> =
        taken.body["results"].as_array().unwrap().iter().map(|r| r["code"].as_str().unwrap_or("-")).collect();
    assert_eq!(codes, ["nonce", "nonce", "reason", "instant", "number", "nonce", "-", "-"]);
    assert_eq!(taken.body["results"][6]["outcome"], "conflict", "a ticket of somewhere else is none of ours");
    assert_eq!(used_at_gate(&app, &foreign[0]).await, None);
    assert_eq!(used_at_gate(&app, &qr[0]).await.as_deref(), Some("north"));
    // Of no shift, or after it has ended: written down, and it moves no ticket.
    let stray = with(decided(&app, &qr[1], "z", shift, 1), json!({ "shift": Uuid::new_v4() }));
    assert_eq!(phone.outcomes(vec![stray]).await, ["conflict"]);
    phone.call(Method::DELETE, "/api/entrance/shift", json!({})).await.expect(204);
    app.advance(Duration::from_secs(600)).await;
    assert_eq!(phone.outcomes(vec![decided(&app, &qr[1], "late", shift, 1)]).await, ["conflict"]);
    assert_eq!(phone.outcomes(vec![decided(&app, &qr[1], "in time", shift, 601)]).await, ["rejected"]);
    assert_eq!(used_at_gate(&app, &qr[1]).await, None);
    assert_eq!(phone.outcomes(vec![decided(&app, &qr[1], "intime", shift, 601)]).await, ["recorded"]);
    assert_eq!(used_at_gate(&app, &qr[1]).await.as_deref(), Some("north"));
    let kinds: Vec<Value> = conflicts(&door).await.iter().map(|c| c["kind"].clone()).collect();
    assert_eq!(kinds, [json!("no_shift"), json!("no_shift"), json!("unknown")]);
    // The other exhibition's ticket has nothing to do with any of it, whatever is decided here.
    let claimed = format!("select count(*) from scans where ticket_id = '{}'", ticket(&foreign[0]));
    assert_eq!(app.db.one::<i64>(&claimed).await, 0);
    phone.hand_in(vec![]).await.refused(422, "request.invalid");
    phone.hand_in((0..101).map(|n| good(&format!("n{n}"))).collect()).await.refused(422, "request.invalid");
    for odd in [json!({}), json!({ "scans": 7 }), json!({ "scans": [{}] }), json!([])] {
        assert!(matches!(phone.call(Method::POST, "/api/entrance/uploads", odd).await.status, 400 | 422));
    }
    app.finish().await;
}

#[tokio::test]
async fn a_rulebook_comes_once_and_then_only_when_it_changed() {
    let (app, adult) = opened().await;
    let door = Door::of(&app).await;
    let phone = door.device("north").await;
    let shift = phone.shift("kim").await;
    let ask = async |tag: Option<&str>| {
        let mut request = app.http.get(app.url("/api/entrance/rulebook")).bearer_auth(&shift);
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        let reply = request.send().await.unwrap();
        (reply.status().as_u16(), reply.headers()["etag"].to_str().unwrap().to_owned(), reply.bytes().await.unwrap())
    };
    let (status, tag, body) = ask(None).await;
    let book: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &book["gate"], &book["exhibition"]["id"]), (200, &json!("north"), &json!(adult.exhibition_id)));
    assert_eq!(book["rules"]["early_min"], 30);
    assert_eq!(book["keys"].as_array().unwrap().len(), 1);
    assert_eq!(ask(Some(&tag)).await.0, 304);
    assert_eq!(ask(Some(&format!("W/{tag}"))).await.0, 304);
    let rules = json!({ "exhibition": { "early_min": 10, "late_min": 0, "gates": null, "entries": "once", "per_day": 1,
        "reentry": false, "gap_s": 0 } });
    door.call(Method::PUT, "/api/admin/exhibitions/xyz/entry-rules", rules).await.expect(200);
    let (status, other, _) = ask(Some(&tag)).await;
    assert_eq!((status, other != tag), (200, true));
    app.finish().await;
}
