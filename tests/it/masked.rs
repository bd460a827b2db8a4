//! Visitors are masked: what can be read in the control room shows nobody, unless the look goes on record.

use reqwest::RequestBuilder;
use serde_json::json;

use crate::arrivals::on_its_way;
use crate::audited::told;
use crate::exports::fetched;
use crate::support::TestApp;
use crate::support::given::places;

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
        status
    };
    for path in story.routes.iter().filter_map(|route| route.strip_prefix("GET ")) {
        let mut answered = false;
        for address in addresses(&app, path).await {
            answered |= look(&format!("{address}{}", query(&app, path))).await == 200;
        }
        assert!(answered, "{path} never answered: say in `query` what it is asked with");
    }
    // They would have been found; the number is the corrected one.
    let file = json!({ "format": "csv", "unmasked": true, "why": "lost post" });
    let table = fetched(&app, &story.token, "xyz", &file).await.text().await.unwrap();
    let shown = clear(&app, &table);
    assert!(["1010000003", "홍길동", "hong@"].iter().all(|one| shown.iter().any(|shown| shown == one)), "{shown:?}");
    app.finish().await;
}
