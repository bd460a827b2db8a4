//! Devices without a network: what they know, what they hand in, and what becomes of it.

use std::collections::HashMap;
use std::time::Duration;

use admit::tickets::{code, number};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::devices::{Door, Phone, codes};
use crate::support::given::places;
use crate::support::{Answer, Given, Kind, TestApp, race};

const RECORD: usize = 44;

/// A page as it is framed, checked the way a device checks it.
struct Page {
    cursor: String,
    more: bool,
    anew: bool,
    records: Vec<[u8; RECORD]>,
}

impl Page {
    pub fn read(bytes: &[u8]) -> Page {
        let (body, check) = bytes.split_at(bytes.len() - 8);
        assert_eq!(&admit::platform::secrets::plain_sha256(body)[..8], check);
        assert_eq!(&body[..4], b"ADS1");
        let count = u32::from_be_bytes(body[4..8].try_into().unwrap()) as usize;
        let end = 18 + body[17] as usize;
        let records: Vec<[u8; RECORD]> = body[end..].chunks(RECORD).map(|r| r.try_into().unwrap()).collect();
        assert_eq!(records.len(), count);
        Page {
            cursor: String::from_utf8(body[18..end].to_vec()).unwrap(),
            more: body[16] & 1 == 1,
            anew: body[16] & 2 == 2,
            records,
        }
    }
}

/// What a device has heard of tickets, by key.
#[derive(Default)]
struct Known {
    shift: String,
    after: Option<String>,
    records: HashMap<[u8; 8], [u8; RECORD]>,
}

impl Known {
    /// Until there is no more; how many records came.
    pub async fn sync(&mut self, phone: &Phone<'_>) -> usize {
        let mut came = 0;
        loop {
            let query = self.after.as_ref().map_or(String::new(), |after| format!("?after={after}"));
            let url = phone.app.url(&format!("/api/entrance/tickets{query}"));
            let reply = phone.app.http.get(url).bearer_auth(&self.shift).send().await.unwrap();
            assert_eq!(reply.status(), 200);
            let page = Page::read(&reply.bytes().await.unwrap());
            came += page.records.len();
            if page.anew {
                self.records.clear();
            }
            for record in page.records {
                self.records.insert(record[..8].try_into().unwrap(), record);
            }
            self.after = Some(page.cursor);
            if !page.more {
                return came;
            }
        }
    }

    pub fn standing(&self, qr: &str, version: u16) -> Option<u8> {
        self.records.get(&number::key(ticket(qr), version)).map(|record| record[24])
    }
}

pub fn ticket(qr: &str) -> Uuid {
    code::read(qr).unwrap().claims.ticket_id
}

pub async fn opened() -> (TestApp, Given) {
    let app = TestApp::start().await;
    let adult = app.given(Kind { per_order_max: 20, open_holds_max: 20, ..places(200) }).await;
    (app, adult)
}

impl Phone<'_> {
    pub async fn hand_in(&self, scans: Vec<Value>) -> Answer {
        self.call(Method::POST, "/api/entrance/uploads", json!({ "scans": scans })).await
    }

    /// Outcomes, in order.
    pub async fn outcomes(&self, scans: Vec<Value>) -> Vec<String> {
        let taken = self.hand_in(scans).await.expect(200);
        let results = taken.body["results"].as_array().unwrap().clone();
        results.iter().map(|r| r["outcome"].as_str().unwrap().to_owned()).collect()
    }

    pub async fn shift_id(&self, username: &str) -> (String, Uuid) {
        let begun = self.begins(username, crate::admin::PASSWORD).await.expect(200);
        (begun.text("shift_token"), begun.text("shift_id").parse().unwrap())
    }
}

/// An admission that a device decided `ago_s` seconds ago.
pub fn decided(app: &TestApp, qr: &str, nonce: &str, shift: Uuid, ago_s: i64) -> Value {
    let at = app.app().clock.now_ms() - ago_s * 1000;
    json!({ "nonce": nonce, "asked": null, "shift": shift, "ticket": ticket(qr), "version": 1, "typed": null,
        "direction": "in", "at": at, "device_at": at, "reason": "ok", "undone_at": null })
}

pub fn with(mut scan: Value, change: Value) -> Value {
    for (name, value) in change.as_object().unwrap() {
        scan[name] = value.clone();
    }
    scan
}

pub async fn used_at_gate(app: &TestApp, qr: &str) -> Option<String> {
    app.db.one(&format!("select used_gate from tickets where id = '{}'", ticket(qr))).await
}

pub async fn conflicts(door: &Door<'_>) -> Vec<Value> {
    let path = "/api/admin/exhibitions/xyz/entry-conflicts";
    door.call(Method::GET, path, json!({})).await.expect(200).body["conflicts"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_device_knows_every_ticket_and_every_change() {
    let (app, adult) = opened().await;
    let qr = codes(&app, &adult, 5).await;
    let door = Door::of(&app).await;
    let phone = door.device("north").await;
    let shift = phone.shift("kim").await;
    let mut known = Known { shift: shift.clone(), ..Known::default() };
    assert_eq!(known.sync(&phone).await, 5);
    assert_eq!(known.standing(&qr[0], 1), Some(0));
    // Nothing has changed; the youngest transaction may be told once more.
    known.sync(&phone).await;
    assert_eq!(known.sync(&phone).await, 0);

    phone.scan(&shift, &qr[0]).await.expect(200);
    let path = |qr: &str, what: &str| format!("/api/admin/exhibitions/xyz/tickets/{}/{what}", ticket(qr));
    door.call(Method::POST, &path(&qr[1], "block"), json!({})).await.expect(204);
    app.db.execute(&format!("update tickets set version = 2 where id = '{}'", ticket(&qr[2]))).await;
    let changed = known.sync(&phone).await;
    assert_eq!(changed, 4, "let in, blocked, re-issued and its old code");
    let inside = known.records[&number::key(ticket(&qr[0]), 1)];
    assert_eq!((inside[25], u16::from_be_bytes([inside[30], inside[31]])), (1, 1));
    assert_eq!(known.standing(&qr[1], 1), Some(4));
    assert_eq!((known.standing(&qr[2], 1), known.standing(&qr[2], 2)), (Some(5), Some(0)));
    assert_eq!(phone.scan(&shift, &qr[1]).await.expect(200).text("reason"), "blocked");
    door.call(Method::POST, &path(&qr[1], "unblock"), json!({})).await.expect(204);
    assert_eq!(phone.scan(&shift, &qr[1]).await.expect(200).text("reason"), "ok");
    door.call(Method::POST, &path(&qr[1], "unblock"), json!({})).await.expect(204);
    let nobody = format!("/api/admin/exhibitions/xyz/tickets/{}/block", Uuid::nil());
    door.call(Method::POST, &nobody, json!({})).await.refused(404, "ticket.unknown");

    // A cursor that means nothing begins anew; a stranger gets nothing.
    let old = known.after.clone().unwrap();
    for ticket in 0..5 {
        app.db.execute(&format!("update tickets set blocked_at = null where ticket_no = {ticket} + 1")).await;
    }
    // What everybody knows by now may be forgotten; who does not, begins anew.
    known.sync(&phone).await;
    app.db.execute("update ticket_changes set at = at - interval '4 days'").await;
    assert!(app.tick("changes").await >= 10);
    assert_eq!(app.db.one::<i64>("select count(*) from ticket_changes").await, 0);
    assert_eq!(known.sync(&phone).await, 0, "up to date, it goes on where it was");
    for odd in ["", "x", "1-1.99999999999.00000000000000000000000000000000.", &old] {
        let mut lost = Known { shift: shift.clone(), after: Some(odd.into()), ..Known::default() };
        lost.records.insert([0; 8], [0; RECORD]);
        assert_eq!(lost.sync(&phone).await, 6, "{odd}");
        assert_eq!(lost.records.len(), 6, "what it had before is forgotten");
    }
    // Not by the device's credential alone, nor by a user's token: somebody is on shift at a device that stands.
    let ask = async |token: &str| Answer::of(app.http.get(app.url("/api/entrance/tickets")).bearer_auth(token)).await;
    phone.call(Method::GET, "/api/entrance/tickets", json!({})).await.refused(401, "auth.required");
    ask(&app.access_token("kim").await).await.refused(403, "auth.forbidden");
    door.revoke(&phone.id).await;
    ask(&shift).await.refused(403, "device.off_shift");
    app.finish().await;
}

/// Without the oldest transaction as the floor of the next pass, the slow one's change would be skipped for ever: its number
/// is lower than that of the change which was seen.
#[tokio::test]
async fn a_change_that_commits_late_is_not_missed() {
    let (app, adult) = opened().await;
    let qr = codes(&app, &adult, 2).await;
    let door = Door::of(&app).await;
    let phone = door.device("north").await;
    let mut known = Known { shift: phone.shift("kim").await, ..Known::default() };
    known.sync(&phone).await;

    let mut slow = app.db.client().await;
    let transaction = slow.transaction().await.unwrap();
    let block = |qr: &str| format!("update tickets set blocked_at = now() where id = '{}'", ticket(qr));
    transaction.batch_execute(&block(&qr[0])).await.unwrap();
    app.db.execute(&block(&qr[1])).await;
    known.sync(&phone).await;
    assert_eq!((known.standing(&qr[0], 1), known.standing(&qr[1], 1)), (Some(0), Some(4)));
    // The control: whoever goes on after the youngest change it has seen.
    let naive = "select max(changed::text::bigint) from ticket_changes";
    let seen: i64 = app.db.one(naive).await;
    transaction.commit().await.unwrap();
    let missed = format!("select count(*) from ticket_changes where changed::text::bigint > {seen}");
    assert_eq!(app.db.one::<i64>(&missed).await, 0, "the control must miss it");
    known.sync(&phone).await;
    assert_eq!(known.standing(&qr[0], 1), Some(4));
    app.finish().await;
}

#[tokio::test]
async fn many_tickets_come_in_pages_that_can_be_broken_off() {
    let (app, adult) = opened().await;
    let qr = codes(&app, &adult, 1).await;
    app.db
        .execute(&format!(
            "insert into tickets (id, order_id, exhibition_id, product_id, ticket_no, of_total, key_id, issued_at)
             select gen_random_uuid(), order_id, exhibition_id, product_id, n + 1, 25001, key_id, now()
               from tickets, generate_series(1, 25000) n where id = '{}'",
            ticket(&qr[0])
        ))
        .await;
    let door = Door::of(&app).await;
    let phone = door.device("north").await;
    let shift = phone.shift("kim").await;
    let first = app.http.get(app.url("/api/entrance/tickets")).bearer_auth(&shift);
    let page = Page::read(&first.send().await.unwrap().bytes().await.unwrap());
    assert_eq!((page.records.len(), page.more), (10_000, true));
    // In the middle of the pass something changes that was sent already: it comes again.
    let mut known = Known { shift, after: Some(page.cursor), ..Known::default() };
    for record in page.records {
        known.records.insert(record[..8].try_into().unwrap(), record);
    }
    app.db.execute(&format!("update tickets set blocked_at = now() where id = '{}'", ticket(&qr[0]))).await;
    known.sync(&phone).await;
    known.sync(&phone).await;
    assert_eq!(known.records.len(), 25_001);
    assert_eq!(known.standing(&qr[0], 1), Some(4));
    app.db.execute(&format!("delete from tickets where id <> '{}'", ticket(&qr[0]))).await;
    app.finish().await;
}

#[tokio::test]
async fn what_a_device_decided_is_written_down_once_in_any_order_of_arrival() {
    for first in ["north", "south"] {
        let (app, adult) = opened().await;
        let qr = codes(&app, &adult, 3).await;
        let door = Door::of(&app).await;
        let (north, south) = (door.device("north").await, door.device("south").await);
        let ((_, n), (_, s)) = (north.shift_id("kim").await, south.shift_id("lee").await);
        app.advance(Duration::from_secs(600)).await;
        // Both let in the first ticket, the north a minute earlier; each another one.
        let from_north = vec![decided(&app, &qr[0], "n1", n, 120), decided(&app, &qr[1], "n2", n, 110)];
        let from_south = vec![decided(&app, &qr[0], "s1", s, 60), decided(&app, &qr[2], "s2", s, 50)];
        let order = if first == "north" {
            [(&north, from_north), (&south, from_south)]
        } else {
            [(&south, from_south), (&north, from_north)]
        };
        let (one, other) = (&order[0], &order[1]);
        assert_eq!(one.0.outcomes(one.1.clone()).await, ["recorded", "recorded"]);
        assert_eq!(other.0.outcomes(other.1.clone()).await, ["conflict", "recorded"]);
        // Handed in again, and again at the same time.
        assert_eq!(one.0.outcomes(one.1.clone()).await, ["known", "known"]);
        let again = race(4, |_| other.0.outcomes(other.1.clone())).await;
        assert!(again.iter().all(|outcomes| outcomes == &["known", "known"]), "{again:?}");

        assert_eq!(
            used_at_gate(&app, &qr[0]).await.as_deref(),
            Some("north"),
            "the first by time, whoever is heard first"
        );
        let open = conflicts(&door).await;
        assert_eq!(open.len(), 1, "{open:?}");
        let conflict = &open[0];
        assert_eq!(conflict["kind"], "double");
        assert_eq!((&conflict["scan"]["gate"], &conflict["other"]["gate"]), (&json!("south"), &json!("north")));
        assert_eq!((&conflict["scan"]["staff"], &conflict["scan"]["device"]), (&json!("lee"), &json!("phone 7")));
        assert_eq!(app.db.one::<i64>("select count(*) from scans").await, 4);
        let board = door.call(Method::GET, "/api/admin/exhibitions/xyz/gate-board", json!({})).await.expect(200);
        assert_eq!((&board.body["open_conflicts"], &board.body["counts"]["inside"]), (&json!(1), &json!(4)));
        assert_eq!(board.body["devices"].as_array().unwrap().len(), 2);

        let decide = format!("/api/admin/exhibitions/xyz/entry-conflicts/{}/decide", conflict["id"].as_str().unwrap());
        let word = json!({ "decision": "fraud", "note": "two people, one ticket" });
        door.call(Method::POST, &decide, word.clone()).await.expect(204);
        door.call(Method::POST, &decide, word).await.refused(409, "entrance.decided");
        assert_eq!(conflicts(&door).await.len(), 0);
        app.finish().await;
    }
}

#[tokio::test]
async fn what_became_of_a_ticket_meanwhile_is_a_conflict_and_the_admission_stands() {
    let (app, adult) = opened().await;
    let qr = codes(&app, &adult, 6).await;
    let door = Door::of(&app).await;
    let phone = door.device("north").await;
    let (_, shift) = phone.shift_id("kim").await;
    app.advance(Duration::from_secs(600)).await;
    let block = format!("/api/admin/exhibitions/xyz/tickets/{}/block", ticket(&qr[0]));
    door.call(Method::POST, &block, json!({})).await.expect(204);
    app.db.execute(&format!("update tickets set version = 2 where id = '{}'", ticket(&qr[1]))).await;
    let scans = vec![
        decided(&app, &qr[0], "a", shift, 60),
        decided(&app, &qr[1], "b", shift, 59),
        with(decided(&app, &qr[2], "c", shift, 58), json!({ "ticket": Uuid::new_v4() })),
        with(decided(&app, &qr[3], "d", shift, 57), json!({ "reason": "already_used" })),
        with(decided(&app, &qr[3], "e", shift, 56), json!({ "ticket": null, "reason": "unknown" })),
        with(decided(&app, &qr[4], "f", shift, 55), json!({ "undone_at": app.app().clock.now_ms() })),
        with(
            decided(&app, &qr[5], "g", shift, 54),
            json!({ "ticket": null, "typed": number::of(ticket(&qr[5]), 1).to_lowercase() }),
        ),
    ];
    let outcomes = phone.outcomes(scans).await;
    assert_eq!(outcomes, ["conflict", "conflict", "conflict", "recorded", "recorded", "recorded", "recorded"]);
    let kinds: Vec<Value> = conflicts(&door).await.iter().map(|c| c["kind"].clone()).collect();
    assert_eq!(kinds, [json!("unknown"), json!("cancelled"), json!("cancelled")], "{:?}", conflicts(&door).await);
    let used = "select string_agg(ticket_no::text, ' ' order by ticket_no) from tickets where used_at is not null";
    assert_eq!(app.db.one::<String>(used).await, "1 2 6", "refused and taken back are not let in");
    app.finish().await;
}

#[tokio::test]
async fn an_answer_that_got_lost_is_not_a_second_admission() {
    let (app, adult) = opened().await;
    let qr = codes(&app, &adult, 3).await;
    let door = Door::of(&app).await;
    let phone = door.device("north").await;
    let (token, shift) = phone.shift_id("kim").await;
    let online = async |qr: &str, nonce: &str| {
        let ask = json!({ "qr_code": qr, "nonce": nonce });
        Answer::of(app.http.post(app.url("/api/entrance/scan")).bearer_auth(&token).json(&ask))
            .await
            .expect(200)
            .text("reason")
    };
    // The server let it in, the answer was lost, and the device decided the same.
    assert_eq!(online(&qr[0], "q0").await, "ok");
    // The server let it in; the device, knowing less, refused: nobody went in.
    assert_eq!(online(&qr[1], "q1").await, "ok");
    // The server refused it, the device let it in: that happened.
    assert_eq!(online(&qr[2], "q-").await, "ok");
    assert_eq!(online(&qr[2], "q2").await, "already_used");
    app.advance(Duration::from_secs(60)).await;
    let scans = vec![
        with(decided(&app, &qr[0], "d0", shift, 30), json!({ "asked": "q0" })),
        with(decided(&app, &qr[1], "d1", shift, 29), json!({ "asked": "q1", "reason": "blocked" })),
        with(decided(&app, &qr[2], "d2", shift, 28), json!({ "asked": "q2" })),
    ];
    assert_eq!(phone.outcomes(scans.clone()).await, ["known", "recorded", "conflict"]);
    // Asked, and decided before the question arrived: then it is not judged as well.
    let early = with(decided(&app, &qr[1], "d3", shift, 5), json!({ "asked": "q3" }));
    assert_eq!(phone.outcomes(vec![early.clone()]).await, ["recorded"]);
    let late = json!({ "qr_code": qr[1], "nonce": "q3" });
    Answer::of(app.http.post(app.url("/api/entrance/scan")).bearer_auth(&token).json(&late)).await.expect(422);
    assert_eq!(phone.outcomes(vec![early]).await, ["known"]);
    let undo = app.http.post(app.url("/api/entrance/undo")).bearer_auth(&token).json(&json!({ "nonce": "q3" }));
    Answer::of(undo).await.expect(200);
    assert_eq!(phone.outcomes(scans).await, ["known", "known", "known"]);
    assert_eq!(used_at_gate(&app, &qr[1]).await, None);
    assert_eq!(app.db.one::<i16>("select entries from tickets where ticket_no = 3").await, 2);
    // Taken back by either name: the device does not know which of the two it was written down under.
    let undo = json!({ "nonce": "d2", "asked": "q2" });
    let undo = app.http.post(app.url("/api/entrance/undo")).bearer_auth(&token).json(&undo);
    Answer::of(undo).await.expect(200);
    assert_eq!(app.db.one::<i16>("select entries from tickets where ticket_no = 3").await, 1);
    app.finish().await;
}

/// A device may say that it refused whom the server let in; only of that moment, and of that ticket.
#[tokio::test]
async fn an_upload_undoes_nothing_but_the_answer_that_got_lost() {
    let (app, adult) = opened().await;
    let qr = codes(&app, &adult, 2).await;
    let door = Door::of(&app).await;
    let phone = door.device("north").await;
    let (token, shift) = phone.shift_id("kim").await;
    let ask = json!({ "qr_code": qr[0], "nonce": "q0" });
    Answer::of(app.http.post(app.url("/api/entrance/scan")).bearer_auth(&token).json(&ask)).await.expect(200);
    app.advance(Duration::from_secs(3600)).await;
    let refused = json!({ "asked": "q0", "reason": "blocked" });
    let scans = vec![
        with(decided(&app, &qr[0], "later", shift, 1), refused.clone()),
        with(decided(&app, &qr[1], "other", shift, 3600), refused),
        with(decided(&app, &qr[1], "long", shift, 3000), json!({ "undone_at": app.app().clock.now_ms() })),
    ];
    assert_eq!(phone.outcomes(scans).await, ["recorded", "recorded", "recorded"]);
    assert_eq!(used_at_gate(&app, &qr[0]).await.as_deref(), Some("north"));
    assert_eq!(used_at_gate(&app, &qr[1]).await.as_deref(), Some("north"), "taken back after fifty minutes");
    app.finish().await;
}
