//! Visitors are masked: what can be read in the control room shows nobody, unless the look goes on record.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::admin::PASSWORD;
use crate::arrivals::on_its_way;
use crate::audited::told;
use crate::desk::{Desk, order_of};
use crate::exports::fetched;
use crate::support::TestApp;
use crate::support::given::places;

/// Reads that leave no word in the log: what is set, counts and sums, the catalogue, and lists that show nobody in the clear and
/// that are looked at all day. Whatever else can be read is recorded before it is answered; a new call is one or the other.
const PLAIN: [&str; 29] = [
    "account-rules",
    "audit",
    "dashboard",
    "exhibitions",
    "exhibitions/{code}",
    "exhibitions/{code}/bulk-refunds",
    "exhibitions/{code}/bulk-refunds/{bulk_id}",
    "exhibitions/{code}/devices",
    "exhibitions/{code}/differences",
    "exhibitions/{code}/entry-conflicts",
    "exhibitions/{code}/entry-rules",
    "exhibitions/{code}/gate-board",
    "exhibitions/{code}/live",
    "exhibitions/{code}/orders/{order_number}/refund",
    "exhibitions/{code}/picture",
    "exhibitions/{code}/room",
    "exhibitions/{code}/room/audit",
    "exhibitions/{code}/settlement",
    "exhibitions/{code}/stock",
    "exhibitions/{code}/walk-ins",
    "online",
    "orders",
    "outbox",
    "products",
    "providers",
    "sales",
    "slots",
    "users",
    "webhooks",
];
/// Requests of people: the list and each of them name nobody but by the request's id; what is done with one is recorded.
const REQUESTS: [&str; 2] = ["privacy/requests", "privacy/requests/{request_id}"];

/// What of the visitors of the story stands in a text in the clear, however it is written.
fn clear(app: &TestApp, text: &str) -> Vec<String> {
    let plain: String = text.chars().filter(|c| !" -.()".contains(*c)).collect();
    let phones = (1..=10).map(|n| app.visitor(n).phone.replace('-', "")[1..].to_owned());
    let others = ["홍길동", "hong@", "press@", "110123456789"].map(str::to_owned);
    phones.chain(others).filter(|one| plain.contains(one.as_str())).collect()
}

/// Every address that a path stands for in the story.
async fn addresses(app: &TestApp, path: &str) -> Vec<String> {
    let mut all = vec![path.to_owned()];
    while let Some((from, until)) = all[0].find('{').zip(all[0].find('}')) {
        let name = all[0][from + 1..until].to_owned();
        let what = match name.as_str() {
            "code" => "code from exhibitions",
            "order_number" => "number from orders",
            "refund_id" => "id::text from refunds",
            "ticket_id" => "id::text from tickets",
            "bulk_id" => "id::text from bulk_refunds",
            "device_id" => "id::text from devices",
            "conflict_id" => "id::text from entry_conflicts",
            "product_id" => "id::text from products",
            "slot_id" => "id::text from slots",
            "request_id" => "id::text from privacy_requests",
            "username" => "username from admin_users",
            _ => panic!("say what {{{name}}} of {path} is"),
        };
        let values: Vec<String> = app.db.one(&format!("select array(select {what})")).await;
        assert!(!values.is_empty(), "the story has no {name}");
        let place = format!("{{{name}}}");
        let filled = |one: &String| values.iter().map(|value| one.replace(&place, value)).collect::<Vec<_>>();
        all = all.iter().flat_map(filled).collect();
    }
    all
}

/// What a call must be asked with.
fn query(app: &TestApp, path: &str) -> String {
    match path.rsplit('/').next().unwrap() {
        "products" | "slots" | "dashboard" => "?exhibition=xyz".to_owned(),
        "settlement" => format!("?from={0}&until={0}", app.app().clock.today_in_seoul()),
        _ => String::new(),
    }
}

/// Of a stream the first event.
async fn read(request: RequestBuilder) -> (u16, String) {
    let mut reply = request.send().await.unwrap();
    let status = reply.status().as_u16();
    let streams = reply.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream");
    let mut text = Vec::new();
    while let Some(more) = reply.chunk().await.unwrap() {
        text.extend_from_slice(&more);
        if streams && text.windows(2).any(|end| end == b"\n\n") {
            break;
        }
    }
    (status, String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn nobody_is_shown_in_the_clear_without_a_word_in_the_log() {
    let app = TestApp::start().await;
    let mut story = told(&app).await;
    let given = app.given(places(20)).await;
    on_its_way(&app, &app.visitor(8), &given).await;
    story.token = app.access_token("owner").await;
    admit::dashboard::beat(app.app()).await.unwrap();
    app.tick("figures").await;

    let opened = "select count(distinct after ->> 'order') from admin_audit
                   where action = 'order.open' and user_name = 'owner' and at > admit_now() - interval '1 hour'";
    let opened = usize::try_from(app.db.one::<i64>(opened).await).unwrap();
    let mut calls = 0;
    let mut look = async |path: &str| {
        calls += 1;
        let id = format!("look-{calls:04}");
        let request = app.http.get(app.url(path)).bearer_auth(&story.token).header("x-request-id", &id);
        let (status, text) = read(request).await;
        let recorded: bool =
            app.db.one(&format!("select exists (select from admin_audit where request_id = '{id}')")).await;
        let shown = clear(&app, &text);
        assert!(recorded || shown.is_empty(), "{path} shows {shown:?} to whoever asks");
        (status, recorded)
    };
    let mut plain: BTreeSet<&str> = PLAIN.into_iter().chain(REQUESTS).collect();
    for path in story.routes.iter().filter_map(|route| route.strip_prefix("GET ")) {
        let (mut answered, mut unrecorded) = (false, 0);
        let is_plain = plain.remove(path.strip_prefix("/api/admin/").unwrap());
        for address in addresses(&app, path).await {
            let (status, recorded) = look(&format!("{address}{}", query(&app, path))).await;
            assert!(!(is_plain && recorded), "{path} is recorded: it is not one of the plain ones");
            answered |= status == 200;
            unrecorded += usize::from(status == 200 && !recorded);
        }
        assert!(answered, "{path} never answered: say in `query` what it is asked with");
        // Who has opened an order within the hour is on record already.
        let twice = if path.ends_with("/orders/{order_number}") { opened } else { 0 };
        assert!(is_plain || unrecorded <= twice, "{path} is read without a word in the log");
    }
    assert!(plain.is_empty(), "there are no such calls: {plain:?}");
    // They would have been found; the number is the corrected one.
    let file = json!({ "format": "csv", "unmasked": true, "why": "lost post" });
    let table = fetched(&app, &story.token, "xyz", &file).await.text().await.unwrap();
    let shown = clear(&app, &table);
    assert!(["1010000003", "홍길동", "hong@"].iter().all(|one| shown.iter().any(|shown| shown == one)), "{shown:?}");
    app.finish().await;
}

/// What is read when the log cannot be written.
#[tokio::test]
async fn who_was_looked_at_is_on_record_before_it_is_answered() {
    let app = TestApp::start().await;
    let adult = app.given(places(20)).await;
    let desk = Desk::of(&app).await;
    let order = order_of(&app.visitor(1), &adult, "홍길동", None).await;
    let path = format!("orders/{}", order.number);
    let search = |q: &str| json!({ "q": q });
    let file = json!({ "format": "csv", "q": "홍길동" });
    let looks = [
        (Method::GET, path.as_str(), json!(null), "order.open"),
        (Method::POST, "orders/search", search("홍길동"), "order.search"),
        (Method::POST, "exhibitions/xyz/exports", file, "order.export"),
        (Method::GET, "audit.csv?user=helper", json!(null), "audit.export"),
        (Method::GET, "users/helper/sign-ins", json!(null), "user.sign_ins"),
    ];
    let full = "alter table admin_audit add constraint full_up check (false) not valid";
    app.db.execute(full).await;
    for (method, path, body, _) in &looks {
        let refused = desk.call(&desk.owner, method.clone(), path, body.clone()).await;
        assert!(refused.status >= 500, "{path}: {}", refused.body);
        assert!(!refused.body.to_string().contains("010-"), "{path}: {}", refused.body);
    }
    assert_eq!(app.login("helper", PASSWORD).await.status, 500);
    app.db.execute("alter table admin_audit drop constraint full_up").await;
    for (method, path, body, action) in &looks {
        let answer = desk.call(&desk.owner, method.clone(), path, body.clone()).await;
        assert!((200..300).contains(&answer.status), "{path}: {}", answer.body);
        assert_eq!(desk.audited(action).await, 1, "{action}");
    }
    // Another reader, another row; the same one again within the hour has one already.
    desk.read(&order.number).await;
    desk.read(&order.number).await;
    assert_eq!(desk.audited("order.open").await, 2);
    app.advance(Duration::from_secs(3_601)).await;
    let helper = app.access_token("helper").await;
    desk.call(&helper, Method::GET, &path, json!(null)).await.expect(200);
    assert_eq!(desk.audited("order.open").await, 3);
    // A number names nobody, and neither do days.
    for q in [order.number.as_str(), "ORD2026"] {
        desk.call(&helper, Method::POST, "orders/search", search(q)).await.expect(200);
    }
    assert_eq!(desk.audited("order.search").await, 1);
    for (q, by) in [("010-1000-0001", json!(["payment_key", "phone", "name"])), ("홍길동", json!(["name"]))] {
        desk.call(&helper, Method::POST, "orders/search", search(q)).await.expect(200);
        let last = "select after from admin_audit where action = 'order.search' order by id desc limit 1";
        assert_eq!(app.db.one::<serde_json::Value>(last).await, json!({ "by": by }));
    }
    // Nothing of what was typed is in the log, nor how somebody is called.
    let all: String = app.db.one("select string_agg(to_jsonb(a)::text, '') from admin_audit a").await;
    assert!(["홍길동", "10000001", "1000-0001"].iter().all(|typed| !all.contains(typed)), "{all}");
    // Whoever signs in is on record, and says from where.
    let signed = "select count(*) from admin_audit
                   where action = 'user.sign_in' and user_name = 'helper' and host(address) = '127.0.0.1' and request_id <> ''";
    assert_eq!(app.db.one::<i64>(signed).await, 2);
    app.finish().await;
}
