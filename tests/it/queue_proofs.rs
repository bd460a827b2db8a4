//! Proofs that a number stands in the closed cohort: everybody gets their own, nobody another's, and whoever has one
//! can check it without us.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use admit::admin::audit::{self, Actor, Entry};
use admit::platform::secrets::{hex, unhex};
use admit::waiting_room::draw::{self, Hash, RankTable};
use admit::waiting_room::model::{BeaconKind, Config, Phase};
use admit::waiting_room::{invite, pg};
use futures_util::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::queue_draw::{FREEZE_AT, GATHERS_AT, OPENS_AT, Sale};
use crate::support::given::places;
use crate::support::proxy::Proxy;
use crate::support::tempdir::TempDir;
use crate::support::{Answer, Kind, Options, servers};
use crate::waiting_room::{Guest, move_room, open_room, tick};

const VERIFY_PY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web/assets/verify_draw.py");
/// Two chunks, of which one is not full.
const PEOPLE: usize = 1_200;
/// Calls under way at once.
const AT_ONCE: usize = 20;

fn hash(value: &Value) -> Hash {
    unhex(value.as_str().unwrap()).unwrap()
}

/// By the words of the proof alone.
fn holds(proof: &Value) -> bool {
    let number = |name: &str| proof[name].as_u64().unwrap() as u32;
    let owner = draw::account_digest(number("device"), &unhex(proof["salt"].as_str().unwrap()).unwrap());
    let leaf = draw::leaf(proof["exhibition_code"].as_str().unwrap(), number("number"), &owner);
    let steps: Vec<Hash> = proof["steps"].as_array().unwrap().iter().map(hash).collect();
    let (index, m) = (number("index") as usize, number("m") as usize);
    leaf == hash(&proof["leaf"])
        && index + 1 == number("number") as usize
        && draw::verify_proof(&leaf, index, m, &steps, &hash(&proof["root"]))
}

/// What the program that everybody can download says: exit code, standard output, standard error.
fn python(dir: &Path, draw: &Value, proof: &Value, more: &[&str]) -> (Option<i32>, String, String) {
    let (draw_file, proof_file) = (dir.join("draw.json"), dir.join("proof.json"));
    std::fs::write(&draw_file, draw.to_string()).unwrap();
    std::fs::write(&proof_file, proof.to_string()).unwrap();
    let output = Command::new("python3")
        .arg(VERIFY_PY)
        .arg(draw_file)
        .arg("--proof")
        .arg(proof_file)
        .args(more)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn everybody_of_a_closed_cohort_can_prove_it() {
    let redis = Proxy::start(servers::redis_url().split('/').nth(2).unwrap()).await;
    let options = Options { redis_url: Some(format!("redis://{}/0", redis.address)), ..Options::default() };
    let sale = Sale::announced(options, BeaconKind::Local).await;
    let address = |code: &str| sale.app.url(&format!("/api/exhibitions/{code}/queue/proof"));
    sale.at(GATHERS_AT + 1).await;
    let mut people: Vec<(u32, String, Guest)> = Vec::new();
    while people.len() < PEOPLE {
        let mut guests: Vec<Guest> = (0..AT_ONCE).map(|_| sale.guest()).collect();
        let answers = join_all(guests.iter_mut().map(|guest| guest.join())).await;
        for (guest, answer) in guests.into_iter().zip(answers) {
            let body = answer.expect(200).body;
            people.push((body["number"].as_u64().unwrap() as u32, body["receipt"].as_str().unwrap().to_owned(), guest));
        }
    }
    let (_, invitation) = invite::make(sale.app.app(), "xyz", 1);
    let invited = sale.app.http.post(sale.app.url("/api/exhibitions/xyz/queue/join"));
    let invited = Answer::of(invited.json(&json!({ "invite": invitation }))).await.expect(200).body;
    assert_eq!(invited["lane"], json!("invited"));
    people[0].2.proof().await.refused(409, "queue.not_closed_yet");
    sale.guest().proof().await.refused(401, "queue.token_required");

    sale.at(FREEZE_AT + 1).await;
    let closed = sale.shown().await;
    assert_eq!((&closed["m"], &closed["seed"]), (&json!(PEOPLE), &json!("")));
    let mut proofs = Vec::new();
    for some in people.chunks_mut(AT_ONCE) {
        let answers = join_all(some.iter_mut().map(|(.., guest)| guest.proof())).await;
        for ((number, receipt, _), answer) in some.iter().zip(answers) {
            let proof = answer.expect(200).body;
            for (field, value) in [("number", json!(number)), ("run", json!(1)), ("exhibition_code", json!("xyz"))] {
                assert_eq!(proof[field], value, "{proof}");
            }
            assert_eq!((&proof["m"], &proof["root"]), (&closed["m"], &closed["root"]));
            assert!(holds(&proof), "{proof}");
            let [device, salt, leaf] = [&proof["device"], &proof["salt"], &proof["leaf"]].map(|v| v.to_string());
            let of_receipt = format!("{number}.{device}.{salt}.{leaf}.").replace('"', "");
            assert!(receipt.starts_with(&of_receipt), "{receipt} is not of {of_receipt}");
            proofs.push(proof);
        }
    }
    assert!(proofs.iter().any(|proof| proof["number"] == json!(1_025)), "the second chunk is among them");
    for (at, byte) in [(0, 0), (3, 31), (10, 5)] {
        let mut proof = proofs[7].clone();
        let mut step = hash(&proof["steps"][at]);
        step[byte] ^= 1;
        proof["steps"][at] = json!(hex(&step));
        assert!(!holds(&proof), "a tampered step {at} passed");
    }

    // Nobody who is not in it, and nobody for another.
    let mut late = sale.guest();
    assert_eq!(late.join().await.expect(200).body["number"], json!(PEOPLE + 1));
    late.proof().await.refused(404, "queue.not_in_draw");
    let with = |code: &str, token: &str| sale.app.http.get(address(code)).header("x-queue-token", token);
    Answer::of(with("xyz", invited["queue_token"].as_str().unwrap())).await.refused(404, "queue.not_in_draw");
    let other = sale.app.given(Kind { code: "other", ..places(5) }).await;
    Answer::of(with("other", people[0].2.token.as_ref().unwrap())).await.refused(401, "queue.token_required");
    open_room(&sale.app, &other, Config { draw: false, ..Config::default() }).await;
    Answer::of(with("other", people[0].2.token.as_ref().unwrap())).await.refused(401, "queue.invalid_token");
    let mut elsewhere = Guest::new(&sale.app, &other);
    elsewhere.join().await.expect(200);
    elsewhere.proof().await.refused(404, "queue.not_in_draw");
    Answer::of(with("xyz", elsewhere.token.as_ref().unwrap())).await.refused(401, "queue.invalid_token");
    let joined = sale.app.http.post(sale.app.url("/api/exhibitions/xyz/queue/join")).send().await.unwrap();
    let cookies: Vec<&str> = joined.headers().get_all("set-cookie").iter().map(|c| c.to_str().unwrap()).collect();
    let device = cookies.iter().find(|c| c.starts_with("admit_d_xyz=")).unwrap().split(';').next().unwrap();
    let foreign = with("xyz", people[0].2.token.as_ref().unwrap()).header("cookie", device);
    Answer::of(foreign).await.refused(403, "queue.other_device");

    // By the cookie, and while Redis is away.
    redis.cut();
    let cookie = format!("admit_q_xyz={}", people[0].2.token.as_ref().unwrap());
    let reply = sale.app.http.get(address("xyz")).header("cookie", cookie).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), &reply.headers()["cache-control"]), (200, &"no-store".parse().unwrap()));
    assert_eq!(reply.json::<Value>().await.unwrap(), proofs[0]);
    redis.mend();
    sale.app.until("Redis is heard of again", async || sale.app.app().redis.run_id("xyz").await.is_ok()).await;

    // The program, before the draw and after it.
    let dir = TempDir::new();
    let proof = &proofs[1_100];
    let (code, out, said) = python(&dir.0, &closed, proof, &["--m", "1200"]);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{said}");
    for words in ["GOOD", "below root", "as you noted beforehand: m.", "still to come"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let round_at = closed["round"].as_i64().unwrap() - sale.began.as_second();
    sale.at(round_at + 2).await;
    let drawn = sale.shown().await;
    let table = RankTable::draw(&hash(&drawn["seed"]), PEOPLE as u32);
    let number = proof["number"].as_u64().unwrap() as u32;
    let (code, out, said) = python(&dir.0, &drawn, proof, &[]);
    assert_eq!((code, out), (Some(0), format!("{number}\t{}\n", table.rank_of(number))), "{said}");
    let mut forged = proof.clone();
    forged["steps"][4] = json!("07".repeat(32));
    let (code, out, said) = python(&dir.0, &drawn, &forged, &[]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{said}");
    assert!(said.starts_with("BAD: The steps do NOT lead"), "{said}");
    assert_eq!(people[1_100].2.proof().await.expect(200).body, *proof, "the draw changes nothing of it");
    drop(people);
    drop(late);
    drop(elsewhere);
    sale.app.finish().await;
}

#[tokio::test]
async fn proofs_last_beyond_the_sale_until_the_next_cohort_is_closed() {
    let sale = Sale::announced(Options::default(), BeaconKind::Local).await;
    let kept = async || {
        let counts = "select string_agg(distinct run::text, ',' order by run::text) from ";
        let leaves: Option<String> = sale.app.db.one(&format!("{counts} room_leaves")).await;
        let cohorts: Option<String> = sale.app.db.one(&format!("{counts} room_cohorts")).await;
        assert_eq!(leaves, cohorts);
        leaves.unwrap_or_default()
    };
    sale.at(GATHERS_AT + 1).await;
    let mut guests: Vec<Guest> = (0..3).map(|_| sale.guest()).collect();
    for guest in &mut guests {
        guest.join().await.expect(200);
    }
    sale.at(OPENS_AT + 1).await;
    assert_eq!(sale.row().await.phase, Phase::Open);
    let proof = guests[2].proof().await.expect(200).body;
    move_room(&sale.app, &sale.given, &sale.config, &[Phase::Drain, Phase::Ended]).await;
    tick(&sale.app, 4).await;
    assert_eq!(guests[2].proof().await.expect(200).body, proof, "whoever wants it when all is over");
    move_room(&sale.app, &sale.given, &sale.config, &[Phase::Idle]).await;
    tick(&sale.app, 4).await;
    guests[2].proof().await.refused(410, "queue.other_run");
    assert_eq!(kept().await, "1");

    // Another sale of the same exhibition.
    let client = sale.app.app().pg.get().await.unwrap();
    let room = sale.row().await;
    let opens_at = sale.app.app().clock.now() + SignedDuration::from_secs(100);
    let config = Config { opens_at: Some(opens_at), prequeue_at: None, freeze_lead_s: 60, ..sale.config.clone() };
    pg::set_config(&client, room.exhibition_id, room.revision, &config).await.unwrap().unwrap();
    let (by, exhibition_id) = (Actor::system("test"), room.exhibition_id);
    let entry = Entry {
        by: &by,
        action: "room.config",
        exhibition_id: Some(exhibition_id),
        before: json!({}),
        after: json!({}),
    };
    audit::record(&client, &entry).await.unwrap();
    move_room(&sale.app, &sale.given, &config, &[Phase::Prequeue]).await;
    tick(&sale.app, 4).await;
    let mut guest = sale.guest();
    guest.join().await.expect(200);
    guest.proof().await.refused(409, "queue.not_closed_yet");
    assert_eq!(kept().await, "1");
    sale.app.advance(Duration::from_secs(41)).await;
    tick(&sale.app, 6).await;
    assert_eq!(kept().await, "2");
    let proof = guest.proof().await.expect(200).body;
    assert!(holds(&proof) && proof["run"] == json!(2) && proof["steps"] == json!([]), "{proof}");

    // What is kept is never changed; a cohort that a version before closed has nothing.
    let refused = sale.app.db.client().await.batch_execute("update room_leaves set leaves = leaves").await.unwrap_err();
    assert!(refused.as_db_error().is_some_and(|e| e.message().contains("append-only")), "{refused}");
    sale.app.db.execute("delete from room_leaves; delete from room_cohorts").await;
    guest.proof().await.refused(404, "queue.no_proof");
    drop(guests);
    drop(guest);
    sale.app.finish().await;
}
