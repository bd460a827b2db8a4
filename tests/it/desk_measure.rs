//! How long a search, the dashboard and the dry run of a bulk refund take among a million orders, and what an export of all
//! of them costs. Not run by default:
//! `cargo test --test it -- --ignored desk_measure --nocapture`, with `ADMIT_MEASURE_ORDERS` for another number and
//! `ADMIT_MEASURE_KEEP` to keep the database.

use std::time::{Duration, Instant};

use admit::admin::Role;
use admit::orders::consent::Consent;
use admit::orders::contact::{self, Contact};
use bytes::Bytes;
use futures_util::SinkExt;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, TestApp};

const RUNS: usize = 100;
/// The first of each kind, which prepare statements on their connections, are told apart.
const FIRST: usize = 3;
const SURNAMES: &str = "김김김김이이이박박최정강조윤장임한오서신권황안송류전홍고문양손배백허유남심노하곽성차주우구민진";
const SYLLABLES: &str = "민서지현수영준우진하은혜정미경성재호윤아연주원희도예";

fn contact(n: u64) -> Contact {
    let pick = |text: &str, at: u64| text.chars().nth(at as usize % text.chars().count()).unwrap();
    // Any bits will do, as long as they are the same each time.
    let bits = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    // Some given names are more frequent than others.
    let skewed = |bits: u64| (bits % 26) * (bits / 31 % 26) / 26;
    let name: String = [pick(SURNAMES, bits), pick(SYLLABLES, skewed(bits >> 11)), pick(SYLLABLES, skewed(bits >> 27))]
        .iter()
        .collect();
    let phone = format!("+8210{:08}", (bits >> 17) % 100_000_000);
    Contact { name, phone, email: n.is_multiple_of(2).then(|| format!("visitor{n}@example.org")) }
}

pub struct Sample {
    number: String,
    payment_key: Option<String>,
    contact: Contact,
    day: String,
}

/// `largest`: the part of the orders that one exhibition has.
pub async fn filled(app: &TestApp, orders: &str, largest: &str) -> Vec<Sample> {
    let sql = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/loadtest/data/orders.sql")).unwrap();
    app.db.execute(&sql.replace("$ORDERS", orders).replace("$LARGEST", largest)).await;
    let client = app.db.client().await;
    let rows = client.query("select id, n, exhibition from made", &[]).await.unwrap();
    let copy =
        "copy contacts (order_id, phone_digest, key_id, sealed, name_index, tail_index, index_version) from stdin";
    let sink = client.copy_in::<_, Bytes>(copy).await.unwrap();
    futures_util::pin_mut!(sink);
    for rows in rows.chunks(1_000) {
        let mut text = String::new();
        for row in rows {
            let (id, n, exhibition): (Uuid, i32, i32) = (row.get(0), row.get(1), row.get(2));
            let contact = contact(n as u64);
            let digest = contact::phone_digest(app.app(), &contact.phone);
            let sealed = contact::seal(app.app(), (exhibition, id), &contact, &digest, Consent::default()).unwrap();
            let hex = admit::platform::secrets::hex;
            let (name, tail) = (sealed.index.name.unwrap(), sealed.index.tail.unwrap());
            let (digest, body) = (hex(&sealed.phone_digest), hex(&sealed.sealed));
            text.push_str(&format!("{id}\t\\\\x{digest}\t{}\t\\\\x{body}\t{name}\t{tail}\t1\n", sealed.key_id));
        }
        sink.send(text.into()).await.unwrap();
    }
    sink.finish().await.unwrap();
    let samples = client
        .query(
            "select o.number, a.payment_key, m.n, (o.created_at at time zone 'Asia/Seoul')::date::text
               from made m join orders o on o.id = m.id left join attempts a on a.order_id = o.id order by random() limit 200",
            &[],
        )
        .await
        .unwrap();
    client.batch_execute("analyze").await.unwrap();
    let sample = |row: &tokio_postgres::Row| Sample {
        number: row.get(0),
        payment_key: row.get(1),
        contact: contact(row.get::<_, i32>(2) as u64),
        day: row.get(3),
    };
    samples.iter().map(sample).collect()
}

fn report(name: &str, times: Vec<Duration>, rows: usize) {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let first = times[..FIRST].iter().max().copied().unwrap_or_default();
    let (mut times, rows) = (times[FIRST..].to_vec(), rows / times.len());
    times.sort();
    let at = |of_100: usize| ms(times[(times.len() * of_100 / 100).min(times.len() - 1)]);
    println!("{name:32} {:9.1} {:9.1} {:9.1} {:9.1} {rows:6}", ms(first), at(50), at(95), at(100));
}

/// Resident memory of this process: now, and its peak since the last call.
fn memory_mb() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    let read = (of("VmRSS:"), of("VmHWM:"));
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    read
}

#[tokio::test]
#[ignore = "a measurement of some minutes"]
async fn a_million_orders() {
    let app = TestApp::start().await;
    let began = Instant::now();
    let orders = std::env::var("ADMIT_MEASURE_ORDERS").unwrap_or_else(|_| "1000000".into());
    let samples = filled(&app, &orders, "0.6").await;
    println!(
        "{} orders, {} tickets after {:?}",
        count(&app, "orders").await,
        count(&app, "tickets").await,
        began.elapsed()
    );
    app.refresh().await;
    app.account("owner", Role::SuperAdmin, &[]).await;
    let token = app.access_token("owner").await;
    let search = async |body: &Value| {
        Answer::of(app.http.post(app.url("/api/admin/orders/search")).bearer_auth(&token).json(body)).await.expect(200)
    };
    let middle: Uuid =
        app.db.one("select id from orders order by id offset (select count(*) / 2 from orders) limit 1").await;
    let middle = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, middle.as_bytes());
    let began = Instant::now();
    let mut read = 0;
    loop {
        match app.tick("figures").await {
            0 => break,
            events => read += events,
        }
    }
    println!("figures: {read} events folded in {:.1?}", began.elapsed());
    type Kind<'a> = (&'a str, Box<dyn Fn(&Sample) -> Value>);
    let mut kinds: Vec<Kind<'_>> = vec![
        ("all", Box::new(|_| json!({}))),
        ("all, from the middle on", Box::new(move |_| json!({ "before": middle }))),
        ("the largest exhibition", Box::new(|_| json!({ "exhibition": "many-1" }))),
        ("the smallest exhibition", Box::new(|_| json!({ "exhibition": "many-5" }))),
        ("one day", Box::new(|s| json!({ "from": s.day, "until": s.day }))),
        ("order number", Box::new(|s| json!({ "q": s.number }))),
        ("its day", Box::new(|s| json!({ "q": s.number[..11] }))),
        ("its day and a character", Box::new(|s| json!({ "q": s.number[..13] }))),
        ("its day and three characters", Box::new(|s| json!({ "q": s.number[..15] }))),
        ("payment key", Box::new(|s| json!({ "q": s.payment_key.clone().unwrap_or_else(|| "none".into()) }))),
        ("phone", Box::new(|s| json!({ "q": s.contact.phone }))),
        ("last digits", Box::new(|s| json!({ "q": s.contact.phone[9..] }))),
        ("name", Box::new(|s| json!({ "q": s.contact.name }))),
        ("name, refunded", Box::new(|s| json!({ "q": s.contact.name, "state": "refunded" }))),
        ("of a slot", Box::new(|_| json!({ "slot_id": 1 }))),
        ("of a slot, refunded", Box::new(|_| json!({ "slot_id": 1, "state": "refunded" }))),
        ("of a slot, expired", Box::new(|_| json!({ "slot_id": 1, "state": "expired" }))),
        ("no such name", Box::new(|s| json!({ "q": format!("{}x", s.contact.name) }))),
    ];
    for state in
        ["held", "confirming", "awaiting_deposit", "paid", "partially_refunded", "refunded", "expired", "cancelled"]
    {
        kinds.push((state, Box::new(move |_| json!({ "state": state }))));
    }
    println!("{:32} {:>9} {:>9} {:>9} {:>9} {:>6}", "search", "first ms", "p50 ms", "p95 ms", "worst ms", "rows");
    for (name, ask) in kinds {
        let (mut times, mut rows) = (Vec::new(), 0);
        for sample in samples.iter().cycle().take(RUNS + FIRST) {
            let began = Instant::now();
            let answer = search(&ask(sample)).await;
            times.push(began.elapsed());
            rows += answer.body["orders"].as_array().unwrap().len();
        }
        report(name, times, rows);
    }
    let mut times = Vec::new();
    for _ in 0..RUNS + FIRST {
        let began = Instant::now();
        let asked = app.http.get(app.url("/api/admin/dashboard?exhibition=many-1")).bearer_auth(&token);
        Answer::of(asked).await.expect(200);
        times.push(began.elapsed());
    }
    report("the dashboard", times, 0);
    let (mut times, mut orders) = (Vec::new(), 0);
    for slot in 1..=10 {
        let began = Instant::now();
        let body = json!({ "slot_ids": [slot], "reason": "closed", "dry_run": true });
        let url = app.url("/api/admin/exhibitions/many-1/bulk-refunds");
        let said = Answer::of(app.http.post(url).bearer_auth(&token).json(&body)).await.expect(200);
        times.push(began.elapsed());
        orders += said.body["orders"].as_u64().unwrap() as usize;
    }
    report("dry run, bulk refund of a slot", times, orders);
    // The worst that a day can be: all slots of an exhibition are on it.
    let day = app.day(1);
    app.db
        .execute(&format!(
            "update slots set visit_date = '{day}', start_time = time '09:00' + id * interval '10 minutes',
                              end_time = time '09:10' + id * interval '10 minutes'
              where exhibition_id = (select id from exhibitions where code = 'many-1')"
        ))
        .await;
    app.refresh().await;
    for (name, ask) in [
        ("a day of 30 slots", json!({ "exhibition": "many-1", "visit_date": day })),
        ("a day of 30 slots, paid", json!({ "exhibition": "many-1", "visit_date": day, "state": "paid" })),
    ] {
        let (mut times, mut rows) = (Vec::new(), 0);
        for _ in 0..RUNS + FIRST {
            let began = Instant::now();
            rows += search(&ask).await.body["orders"].as_array().unwrap().len();
            times.push(began.elapsed());
        }
        report(name, times, rows);
    }
    let wants = |format: &str| json!({ "format": format });
    let of_a_day = json!({ "format": "csv", "visit_date": day });
    for (code, ask) in
        [("many-5", wants("csv")), ("many-1", wants("csv")), ("many-1", wants("xlsx")), ("many-1", of_a_day)]
    {
        memory_mb();
        let (before, _) = memory_mb();
        let began = Instant::now();
        let mut reply = crate::exports::fetched(&app, &token, code, &ask).await;
        let rows: i64 = app
            .db
            .one(&format!(
                "select count(*) from orders o join exhibitions e on e.id = o.exhibition_id where e.code = '{code}'"
            ))
            .await;
        let mut bytes = 0usize;
        while let Some(chunk) = reply.chunk().await.unwrap() {
            bytes += chunk.len();
        }
        let (elapsed, (after, peak)): (Duration, _) = (began.elapsed(), memory_mb());
        println!(
            "export of {code} as {ask}: {rows} rows, {} MB in {elapsed:.1?}: {:.0} rows/s; memory {before} MB before, {peak} MB at its peak, {after} MB after",
            bytes / 1_000_000,
            rows as f64 / elapsed.as_secs_f64()
        );
    }
    if std::env::var("ADMIT_MEASURE_KEEP").is_ok() {
        println!("kept: {}", app.db.url);
    } else {
        app.db.drop().await;
    }
}

async fn count(app: &TestApp, table: &str) -> i64 {
    app.db.one(&format!("select count(*) from {table}")).await
}
