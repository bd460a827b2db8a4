//! Orders as files: what they say, who may have them, and how often.

use std::collections::BTreeMap;
use std::io::Cursor;

use admit::admin::Role;
use calamine::{Data, Reader, Xlsx};
use jiff::civil::date;
use jiff::{SignedDuration, Unit};
use serde_json::{Value, json};

use crate::desk::{Desk, order_of};
use crate::support::given::places;
use crate::support::{Answer, Kind, TestApp, race};

/// Asked for, and then fetched.
pub async fn fetched(app: &TestApp, token: &str, code: &str, ask: &Value) -> reqwest::Response {
    let url = asked(app, token, code, ask).await.expect(201).text("url");
    app.http.get(app.url(&url)).send().await.unwrap()
}

async fn asked(app: &TestApp, token: &str, code: &str, ask: &Value) -> Answer {
    let url = app.url(&format!("/api/admin/exhibitions/{code}/exports"));
    Answer::of(app.http.post(url).bearer_auth(token).json(ask)).await
}

fn lines(text: &str) -> Vec<Vec<String>> {
    let text = text.strip_prefix('\u{feff}').expect("a mark for Excel");
    text.split_terminator("\r\n").map(cells).collect()
}

/// A line of CSV in its cells.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    cells.push(cell);
    cells
}

/// Sheets by name, with their rows.
fn sheets(bytes: &[u8]) -> Vec<(String, Vec<Vec<Data>>)> {
    let mut book: Xlsx<_> = calamine::open_workbook_from_rs(Cursor::new(bytes)).unwrap();
    let rows = |range: calamine::Range<Data>| range.rows().map(<[Data]>::to_vec).collect();
    book.worksheets().into_iter().map(|(name, range)| (name, rows(range))).collect()
}

const MOMENTS: [usize; 2] = [4, 5];
const DAY: usize = 6;
const TIME: usize = 7;
const NUMBERS: [usize; 2] = [2, 8];

/// A cell of a spreadsheet as the CSV has it; panics where it is not of its column's kind.
fn as_csv(column: usize, cell: &Data) -> String {
    match cell {
        Data::Empty => String::new(),
        Data::Float(number) => {
            assert!(NUMBERS.contains(&column), "a number in column {column}: {number}");
            number.to_string()
        }
        Data::DateTime(at) => {
            let seconds = (at.as_f64() * 86_400.0).round() as i64;
            let at = date(1899, 12, 30).at(0, 0, 0, 0) + SignedDuration::from_secs(seconds);
            match column {
                DAY => at.date().to_string(),
                TIME => at.strftime("%H:%M").to_string(),
                _ => {
                    assert!(MOMENTS.contains(&column), "a date in column {column}: {at}");
                    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
                }
            }
        }
        Data::String(text) => {
            let dated = MOMENTS.contains(&column) || [DAY, TIME].contains(&column) || NUMBERS.contains(&column);
            assert!(!dated, "text in column {column}: {text}");
            // In a CSV a mark keeps it from being a formula; here its kind does.
            let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
            if formula { format!("'{text}") } else { text.clone() }
        }
        other => panic!("column {column}: {other:?}"),
    }
}

#[tokio::test]
async fn a_hundred_thousand_orders_are_the_same_in_both_files_row_by_row() {
    let app = TestApp::start().await;
    crate::desk_measure::filled(&app, "100000", "1.0").await;
    app.refresh().await;
    app.account("owner", Role::SuperAdmin, &[]).await;
    let token = app.access_token("owner").await;
    let csv = fetched(&app, &token, "many-1", &json!({ "format": "csv", "unmasked": true, "why": "a test" })).await;
    let table = lines(&csv.text().await.unwrap());
    assert_eq!(table.len(), 100_001);

    let ask = json!({ "format": "xlsx", "unmasked": true, "why": "a test" });
    let reply = fetched(&app, &token, "many-1", &ask).await;
    let kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    assert_eq!(reply.headers()["content-type"], kind);
    assert_eq!(reply.headers()["content-disposition"], "attachment; filename=\"many-1-orders.xlsx\"");
    let sheets = sheets(&reply.bytes().await.unwrap());
    assert_eq!((sheets.len(), sheets[0].0.as_str(), sheets[0].1.len()), (1, "주문", 100_001));
    for (n, (row, line)) in sheets[0].1.iter().zip(&table).enumerate().skip(1) {
        let row: Vec<String> = row.iter().enumerate().map(|(column, cell)| as_csv(column, cell)).collect();
        assert_eq!(&row, line, "row {n}");
    }

    // And what both say is true.
    let client = app.db.client().await;
    let truth =
        client.query("select number, state, total_won, paid_at from orders order by id desc", &[]).await.unwrap();
    for (row, line) in truth.iter().zip(&table[1..]) {
        let paid_at: Option<jiff::Timestamp> = row.get(3);
        let paid_at = paid_at.map(|at| at.to_zoned(jiff::tz::TimeZone::get("Asia/Seoul").unwrap()));
        let paid_at = paid_at.map(|at| at.strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default();
        let (number, state, won): (&str, &str, i32) = (row.get(0), row.get(1), row.get(2));
        let said = (line[0].as_str(), line[1].as_str(), line[2].as_str(), line[5].as_str());
        assert_eq!(said, (number, state, won.to_string().as_str(), paid_at.as_str()));
    }
    assert!(truth.len() == 100_000 && table.iter().skip(1).all(|line| line[11].starts_with("010-")));
    app.db.drop().await;
}

#[tokio::test]
async fn a_spreadsheet_speaks_the_language_of_whoever_asks_and_holds_no_formula() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(50), ..places(50) }).await;
    let desk = Desk::of(&app).await;
    let names = ["=HYPERLINK(\"x\")", "+82 10", "-1", "@SUM(A1)"];
    for (n, name) in names.iter().enumerate() {
        order_of(&app.visitor(n), &adult, name, None).await;
    }
    let ask = json!({ "format": "xlsx", "unmasked": true, "why": "a test" });
    for (language, name, head) in [("ko", "주문", "주문 번호"), ("en", "Orders", "Order number")] {
        let url = app.url("/api/admin/exhibitions/xyz/exports");
        let post = app.http.post(url).bearer_auth(&desk.admin).header("accept-language", language).json(&ask);
        let url = Answer::of(post).await.expect(201).text("url");
        let file = app.http.get(app.url(&url)).send().await.unwrap().bytes().await.unwrap();
        let sheets = sheets(&file);
        assert_eq!((sheets[0].0.as_str(), &sheets[0].1[0][0]), (name, &Data::String(head.into())));
        let said: Vec<String> = sheets[0].1[1..].iter().rev().map(|row| row[10].to_string()).collect();
        assert_eq!(said, names);
        let day: jiff::civil::Date = adult.date.as_ref().unwrap().parse().unwrap();
        let days = day.since((Unit::Day, date(1899, 12, 30))).unwrap().get_days();
        let Data::DateTime(shown) = &sheets[0].1[1][DAY] else { panic!("{:?}", sheets[0].1[1]) };
        assert_eq!((shown.as_f64(), &sheets[0].1[1][2]), (f64::from(days), &Data::Float(10_000.0)));
    }
    app.finish().await;
}

#[tokio::test]
async fn a_table_of_all_orders_says_what_they_are_row_by_row() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { person_limit: None, ..places(5_000) }).await;
    let elsewhere = app.given(Kind { code: "abc", ..places(50) }).await;
    let desk = Desk::of(&app).await;
    let names = ["홍길동", "=HYPERLINK(\"x\")", "+82", "-1", "@SUM(A1)", "Kim, \"the\" \t Lee"];
    let mut placed = Vec::new();
    for batch in 0..20 {
        let orders = race(60, async |n| {
            let visitor = app.visitor(batch * 60 + n);
            (order_of(&visitor, &adult, names[n % 5], (n % 2 == 0).then_some("a@example.org")).await, visitor.phone, n)
        })
        .await;
        placed.extend(orders);
    }
    app.visitor(9_000).held(&elsewhere, 1).await;
    app.visitor(3).pay(&placed[3].0).await.expect(200);
    let refused = async |token: &str, ask: Value| asked(&app, token, "xyz", &ask).await.status;
    let export = async |ask: Value| {
        let mut whole = json!({ "format": "csv" });
        whole.as_object_mut().unwrap().extend(ask.as_object().unwrap().clone());
        fetched(&app, &desk.admin, "xyz", &whole).await
    };
    let rows = lines;
    let table = export(json!({})).await;
    assert_eq!(table.headers()["content-type"], "text/csv; charset=utf-8");
    let table = rows(&table.text().await.unwrap());
    assert_eq!(table.len(), 1 + placed.len());
    let column = |name: &str| table[0].iter().position(|cell| cell == name).unwrap_or_else(|| panic!("{:?}", table[0]));
    let by_number: BTreeMap<&str, &Vec<String>> = table[1..].iter().map(|row| (row[0].as_str(), row)).collect();
    assert_eq!(by_number.len(), placed.len(), "nothing twice");
    for (order, phone, n) in &placed {
        let row = by_number[order.number.as_str()];
        let cell = |name: &str| row[column(name)].as_str();
        let state = if *order.number == placed[3].0.number { "paid" } else { "held" };
        assert_eq!(
            (cell("state"), cell("total_won"), cell("places"), cell("products")),
            (state, "10000", "1", "성인 1")
        );
        assert_eq!(cell("customer_phone"), format!("010-****-{}", &phone[9..]));
        assert_eq!(cell("customer_email"), if n % 2 == 0 { "a***@example.org" } else { "" });
        assert!(!cell("customer_name").starts_with(['=', '+', '-', '@']), "{row:?}");
    }
    assert!(!table.iter().flatten().any(|cell| cell.starts_with(['=', '+', '-', '@', '\t', '\r'])));
    assert_eq!(rows(&export(json!({ "state": "paid" })).await.text().await.unwrap()).len(), 2);
    assert_eq!(rows(&export(json!({ "until": "2020-01-01" })).await.text().await.unwrap()).len(), 1);
    assert_eq!(rows(&export(json!({ "q": "0003" })).await.text().await.unwrap()).len(), 2);
    assert_eq!(refused(&desk.admin, json!({ "format": "csv", "state": "none" })).await, 422);
    assert_eq!(refused(&desk.admin, json!({ "format": "pdf" })).await, 422);
    assert_eq!(refused(&desk.support, json!({ "format": "csv" })).await, 403);
    // Masked ones are on record as well, one each; what is refused is not.
    let masked = "select count(*) from admin_audit where action = 'order.export' and after -> 'unmasked' = 'false'";
    assert_eq!((app.db.one::<i64>(masked).await, desk.audited("order.export").await), (4, 4));

    assert_eq!(refused(&desk.admin, json!({ "format": "csv", "unmasked": true })).await, 422);
    let ask = json!({ "unmasked": true, "why": "lost post", "q": "0000", "state": "held" });
    let clear = export(ask).await.text().await.unwrap();
    assert!(clear.contains("홍길동") && clear.contains("010-1000-0000"), "{clear}");
    let clear = export(json!({ "unmasked": true, "why": "all" })).await.text().await.unwrap();
    assert!(clear.contains("\"'=HYPERLINK(\"\"x\"\")\"") && clear.contains("\"'@SUM(A1)\""));
    assert_eq!(clear.split_terminator("\r\n").count(), 1 + placed.len());
    let recorded: Value =
        app.db.one("select after from admin_audit where action = 'order.export' order by id offset 4 limit 1").await;
    let by = json!(["payment_key", "phone_tail", "name"]);
    let filters = json!({ "state": "held", "from": null, "until": null, "visit_date": null, "slot_id": null, "q": true, "by": by });
    assert_eq!(
        recorded,
        json!({ "why": "lost post", "format": "csv", "unmasked": true, "columns": 15, "filters": filters })
    );
    assert_eq!(desk.audited("order.export").await, 6);
    // Read on by nobody, its turn comes back.
    for _ in 0..10 {
        let answer = asked(&app, &desk.admin, "xyz", &json!({ "format": "xlsx" })).await;
        if answer.status == 201 {
            drop(app.http.get(app.url(&answer.text("url"))).send().await.unwrap());
        }
    }
    app.until("an export has its turn again", async || {
        let answer = asked(&app, &desk.admin, "xyz", &json!({ "format": "csv", "state": "paid" })).await;
        answer.status == 201 && app.http.get(app.url(&answer.text("url"))).send().await.unwrap().status() == 200
    })
    .await;
    app.finish().await;
}

#[tokio::test]
async fn a_file_is_fetched_once_and_at_once() {
    let app = TestApp::start().await;
    let adult = app.given(places(5)).await;
    let desk = Desk::of(&app).await;
    app.visitor(1234).held(&adult, 1).await;
    let url = asked(&app, &desk.admin, "xyz", &json!({ "format": "csv", "q": "1234" })).await.expect(201).text("url");
    assert!(!url.contains("1234"), "{url}");
    let fetch = async |url: &str| Answer::of(app.http.get(app.url(url))).await;
    // However many come at the same time.
    let all = race(4, async |_| app.http.get(app.url(&url)).send().await.unwrap().status().as_u16()).await;
    assert_eq!(
        (all.iter().filter(|s| **s == 200).count(), all.iter().filter(|s| **s == 404).count()),
        (1, 3),
        "{all:?}"
    );
    fetch(&url).await.refused(404, "export.unknown");
    fetch("/api/exports/0000").await.refused(404, "export.unknown");
    let kept = asked(&app, &desk.admin, "xyz", &json!({ "format": "csv", "q": "홍길동" })).await.expect(201);
    assert!(kept.body["expires_at"].is_string());
    app.finish().await;
}

#[tokio::test]
async fn whoever_only_asks_what_a_file_is_like_leaves_it_to_be_fetched() {
    let app = TestApp::start().await;
    let adult = app.given(places(5)).await;
    let desk = Desk::of(&app).await;
    app.visitor(1).held(&adult, 1).await;
    let url = asked(&app, &desk.admin, "xyz", &json!({ "format": "csv" })).await.expect(201).text("url");
    for _ in 0..2 {
        let head = app.http.head(app.url(&url)).send().await.unwrap();
        assert_eq!(
            (head.status().as_u16(), head.headers()["content-type"].to_str().unwrap()),
            (200, "text/csv; charset=utf-8")
        );
    }
    let text = app.http.get(app.url(&url)).send().await.unwrap().text().await.unwrap();
    assert_eq!(lines(&text).len(), 2, "{text}");
    assert_eq!(app.http.head(app.url(&url)).send().await.unwrap().status(), 404, "once");
    app.finish().await;
}
