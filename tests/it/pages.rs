//! The pages as a browser sees them: forms, redirects, cookies, and what a visitor is told.

use std::time::Duration;

use serde_json::json;

use crate::support::browser::{Browser, Page, encoded};
use crate::support::given::places;
use crate::support::{Answer, Given, Kind, Options, TestApp};

fn fields<'a>(given: &Given, key: &'a str, phone: &'a str) -> Vec<(String, &'a str)> {
    vec![
        (format!("q{}", given.product_id), "2"),
        ("key".into(), key),
        ("customer_name".into(), "홍길동"),
        ("customer_phone".into(), phone),
        ("customer_email".into(), "hong@example.org"),
        ("agree_terms".into(), "on"),
        ("agree_privacy".into(), "on"),
        ("over_14".into(), "on"),
        ("legal_version".into(), admit::orders::consent::VERSION),
    ]
}

fn pairs<'a>(fields: &'a [(String, &'a str)]) -> Vec<(&'a str, &'a str)> {
    fields.iter().map(|(name, value)| (name.as_str(), *value)).collect()
}

#[tokio::test]
async fn a_ticket_is_bought_through_the_pages_alone() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), ..places(100) }).await;
    let browser = Browser::new(&app);
    browser.get("/").await.expect(200, &["href=\"/xyz\""]);
    browser.get("/xyz").await.expect(200, &["href=\"/xyz/order\""]);
    let form = browser.get("/xyz/order").await.expect(200, &["시험 전시"]);
    assert_eq!(form.header("cache-control"), "no-store");

    let (key, slot) = (form.hidden("key"), adult.slot_id.unwrap().to_string());
    let mut fields = fields(&adult, &key, "010-1234-5678");
    fields.push(("slot_id".into(), &slot));
    let placed = browser.send("/xyz/order", &pairs(&fields)).await;
    let pay = placed.next();
    assert!(pay.starts_with("/xyz/payment/ORD"), "{pay}");
    // The button pressed twice is one order.
    assert_eq!(browser.send("/xyz/order", &pairs(&fields)).await.next(), pay);
    assert_eq!(app.stock(adult.stock_id).await, (2, 0));

    let page = browser.get(&pay).await.expect(200, &["20,000원 결제하기"]);
    let sdk = app.settings().toss_sdk_url;
    assert!(page.body.contains(&format!("<script src=\"{sdk}\" defer>")));
    let csp = page.header("content-security-policy");
    assert!(csp.contains(&format!("script-src 'self' {};", app.simulator.base_url())), "{csp}");
    assert!(!csp.contains("unsafe"), "{csp}");
    assert_eq!(page.header("cross-origin-opener-policy"), "same-origin-allow-popups");

    // What the page's script does.
    let number = pay.rsplit('/').next().unwrap();
    let ask = json!({ "order_number": number, "amount": 20_000 });
    let opened = Answer::of(
        app.http.post(app.url("/api/payments/initialize")).header("cookie", browser.cookies("/")).json(&ask),
    )
    .await
    .expect(200);
    let order_id = opened.text("order_id");
    let reply = app.simulate("authorise", json!({ "orderId": order_id, "amount": 20_000 })).await;
    let back = format!(
        "/xyz/complete/{number}?paymentType=NORMAL&orderId={order_id}&paymentKey={}&amount=20000",
        reply["paymentKey"].as_str().unwrap()
    );
    let clean = browser.get(&back).await.next();
    assert_eq!(clean, format!("/xyz/complete/{number}"));
    // A reload of the way back charges nothing and leads to the same place.
    assert_eq!(browser.get(&back).await.next(), clean);
    let tickets = browser.get(&clean).await.expect(200, &["예매 완료"]);
    assert_eq!(tickets.body.matches("<svg").count(), 3, "one for each, and one for both together");
    assert_eq!(app.stock(adult.stock_id).await, (0, 2));
    assert_eq!(browser.get(&pay).await.next(), clean, "a paid order is not paid again");
    Browser::new(&app).get(&clean).await.expect(401, &["주문 조회"]);
    app.finish().await;
}

#[tokio::test]
async fn a_refused_form_comes_back_as_it_was_filled_in() {
    let app = TestApp::start_with(Options { exempt: false, ..Options::default() }).await;
    let adult = app.given(Kind { slot_places: Some(20), ..places(4) }).await;
    let browser = Browser::new(&app);
    let fresh = async || browser.get("/xyz/order").await.hidden("key");

    let key = fresh().await;
    let mut sent = fields(&adult, &key, "02-123-4567");
    sent[2].1 = "<script>alert(1)</script>";
    let page = browser.send("/xyz/order", &pairs(&sent)).await.expect(422, &["예매가 접수되지 않았습니다"]);
    for words in [
        "010-1234-5678과 같은",
        "날짜 지정 티켓의 방문일을 선택",
        "value=\"02-123-4567\"",
        "<option selected>2</option>",
        "&#60;script&#62;",
    ] {
        assert!(page.body.contains(words), "{words} in {}", page.body);
    }
    assert!(!page.body.contains("<script>alert"));
    assert_ne!(page.hidden("key"), key, "what was refused is asked anew");

    let slot = adult.slot_id.unwrap().to_string();
    let order = async |quantity: &'static str, phone: &'static str| {
        let key = fresh().await;
        let mut sent = fields(&adult, &key, phone);
        sent[0].1 = quantity;
        sent.push(("slot_id".into(), &slot));
        browser.send("/xyz/order", &pairs(&sent)).await
    };
    order("0", "010-1111-1111").await.expect(422, &["티켓을 한 장 이상"]);
    order("11", "010-1111-1111").await.expect(422, &["한 번에 예매하실 수 있는 매수"]);
    order("two", "010-1111-1111").await.expect(400, &["양식을 읽을 수 없습니다"]);
    order("3", "010-1111-1111").await.next();
    order("1", "010-1111-1111").await.expect(409, &["아직 결제하지 않은 예매"]);
    app.refresh().await;
    order("2", "010-2222-2222").await.expect(409, &["청구된 금액은 없습니다"]);
    assert_eq!(app.stock(adult.stock_id).await, (3, 0));
    app.finish().await;
}

#[tokio::test]
async fn forms_that_are_not_ours_are_turned_away() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let key = Browser::new(&app).get("/xyz/order").await.hidden("key");
    let sent = fields(&adult, &key, "010-1234-5678");
    let post = |path: &str| {
        app.http
            .post(app.url(path))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(encoded(&pairs(&sent)))
    };

    Page::of(post("/xyz/order").header("sec-fetch-site", "cross-site")).await.expect(403, &["다른 사이트"]);
    Page::of(post("/xyz/order").header("origin", "https://evil.example")).await.expect(403, &["다른 사이트"]);
    Page::of(post("/xyz/order")).await.expect(403, &["다른 사이트"]);
    Page::of(post("/orders")).await.expect(403, &["다른 사이트"]);
    Page::of(post("/nowhere/order").header("sec-fetch-site", "same-origin"))
        .await
        .expect(404, &["전시를 찾을 수 없습니다"]);
    let raw = |kind: &str, body: Vec<u8>| {
        app.http
            .post(app.url("/xyz/order"))
            .header("sec-fetch-site", "same-origin")
            .header("content-type", kind)
            .body(body)
    };
    Page::of(raw("application/json", b"{}".to_vec())).await.expect(415, &[]);
    Page::of(raw("application/x-www-form-urlencoded", b"key=%ff%fe".to_vec())).await.expect(400, &["양식"]);
    Page::of(raw("application/x-www-form-urlencoded", b"key=short".to_vec())).await.expect(400, &["양식"]);
    Page::of(raw("application/x-www-form-urlencoded", vec![b'a'; 70_000])).await.expect(413, &[]);
    // The same-origin form itself is fine.
    Page::of(post("/xyz/order").header("origin", "http://localhost:8080")).await.next();
    assert_eq!(app.stock(adult.stock_id).await, (2, 0));
    app.finish().await;
}

#[tokio::test]
async fn a_payment_link_opens_once_it_is_proved() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let placed = visitor.order(&adult, 1).await.expect(201);
    let url = placed.text("payment_url");
    let path = url.strip_prefix("http://localhost:8080").unwrap();
    let (clean, query) = path.split_once('?').unwrap();
    let browser = Browser::new(&app);

    browser.get(clean).await.expect(401, &["확인이 필요합니다"]);
    browser.get(&format!("{path}x")).await.expect(401, &[]);
    browser.get(&format!("{clean}?e=99999999999&{}", query.split('&').nth(1).unwrap())).await.expect(401, &[]);
    browser.get(&format!("{clean}?e=soon&s=1")).await.expect(400, &[]);
    browser.get("/xyz/payment/ORD20250101-0000000000").await.expect(404, &["주문을 찾을 수 없습니다"]);
    browser.get("/xyz/payment/%2e%2e").await.expect(404, &[]);
    // A link for paying does not open the tickets.
    browser.get(&path.replace("/payment/", "/complete/")).await.expect(401, &[]);

    let opened = browser.get(path).await;
    assert_eq!(opened.next(), clean);
    let cookie = opened.header("set-cookie");
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    browser.get(clean).await.expect(200, &["결제하기"]);

    // Time passes: the page says so, and that nothing was charged.
    app.advance(Duration::from_secs(11 * 60)).await;
    browser.get(clean).await.expect(200, &["청구된 금액은 없습니다"]);
    browser.get(&clean.replace("/payment/", "/complete/")).await.expect(200, &["결제 시간이 지났습니다"]);
    app.tick("expire").await;
    browser.get(&clean.replace("/payment/", "/complete/")).await.expect(200, &["결제 시간이 지났습니다"]);
    app.advance(Duration::from_secs(2 * 3600)).await;
    Browser::new(&app).get(path).await.expect(401, &[]);
    app.finish().await;
}

#[tokio::test]
async fn a_declined_payment_says_so_and_can_be_tried_again() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    let browser = Browser::of(&app, &order);
    let (order_id, key) = visitor.authorised(&order).await;
    app.simulate("faults", json!({ "op": "confirm", "kind": "fail", "code": "REJECT_CARD_COMPANY" })).await;

    let back =
        |amount: i64| format!("/xyz/complete/{}?orderId={order_id}&paymentKey={key}&amount={amount}", order.number);
    browser.get(&back(1)).await.expect(422, &["결제 금액이 주문 금액과 달라"]);
    browser
        .get(&back(order.total).replace(&order_id, "ORD20250101-0000000000-1"))
        .await
        .expect(404, &["청구된 금액은 없습니다"]);
    let failed = browser.get(&back(order.total)).await.next();
    assert_eq!(failed, format!("/xyz/fail/{}?code=REJECT_CARD_COMPANY", order.number));
    browser.get(&failed).await.expect(200, &["청구된 금액은 없습니다"]).expect(200, &["다시 결제하기"]);
    Browser::new(&app).get(&failed).await.expect(401, &[]);
    let said =
        browser.get(&format!("{failed}&message=%3Cb%3Elimit%3C%2Fb%3E")).await.expect(200, &["&#60;b&#62;limit"]);
    assert!(!said.body.contains("<b>limit"));
    browser
        .get(&format!("/xyz/fail/{}?code=PAY_PROCESS_CANCELED", order.number))
        .await
        .expect(200, &["결제를 취소하셨습니다"]);

    visitor.pay(&order).await.expect(200);
    assert_eq!(browser.get(&failed).await.next(), format!("/xyz/complete/{}", order.number));
    app.finish().await;
}

#[tokio::test]
async fn while_the_outcome_is_unknown_the_page_waits() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    let browser = Browser::of(&app, &order);
    let (order_id, key) = visitor.authorised(&order).await;
    app.simulate("faults", json!({ "op": "confirm", "kind": "drop_after", "count": 9 })).await;
    app.simulate("faults", json!({ "op": "query", "kind": "drop_before", "count": 9 })).await;

    let back = format!("/xyz/complete/{}?orderId={order_id}&paymentKey={key}&amount={}", order.number, order.total);
    let clean = browser.get(&back).await.next();
    let waiting = browser.get(&clean).await.expect(200, &["다시 결제하지 마세요"]);
    assert!(waiting.body.contains("<noscript><meta http-equiv=\"refresh\" content=\"3\"></noscript>"));
    assert_eq!(browser.get(&back).await.next(), clean);

    app.http.delete(format!("{}/_sim/faults", app.simulator.base_url())).send().await.unwrap();
    app.advance(Duration::from_secs(60)).await;
    app.until("recovery has settled it", async || {
        app.tick("recover").await;
        browser.get(&clean).await.body.contains("<svg")
    })
    .await;
    app.finish().await;
}

#[tokio::test]
async fn an_order_is_found_again_by_number_and_phone() {
    let app = TestApp::start_with(Options { exempt: false, ..Options::default() }).await;
    let adult = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 1).await;
    visitor.pay(&order).await.expect(200);
    let browser = Browser::new(&app);
    browser.get("/orders").await.expect(200, &["주문 조회"]);
    let find =
        async |number: &str, phone: &str| browser.send("/orders", &[("order_number", number), ("phone", phone)]).await;

    find(&order.number, "02-123").await.expect(422, &["휴대전화 번호를 입력"]);
    find(&order.number, "010-9999-9999").await.expect(404, &["주문을 찾을 수 없습니다"]);
    find("ORD20250101-0000000000", &visitor.phone).await.expect(404, &["주문을 찾을 수 없습니다"]);
    let found = find(&order.number.to_lowercase(), &visitor.phone).await;
    browser.get(&found.next()).await.expect(200, &["<svg"]);
    for _ in 0..12 {
        find("x", &visitor.phone).await;
    }
    find(&order.number, &visitor.phone).await.expect(429, &["너무 여러 번"]);
    app.finish().await;
}

#[tokio::test]
async fn pages_speak_both_languages_and_load_only_what_is_there() {
    let app = TestApp::start().await;
    app.given(places(10)).await;
    let browser = Browser::new(&app);
    for path in ["/", "/xyz", "/xyz/order", "/terms", "/privacy", "/orders", "/docs", "/docs/problems", "/nothing/here"]
    {
        let page = browser.get(path).await;
        for attribute in ["src=\"", "href=\""] {
            for asset in page.body.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
                if asset.starts_with("/assets/") {
                    let file = browser.get(asset).await.expect(200, &[]);
                    assert!(file.header("cache-control").contains("immutable"), "{asset}");
                }
            }
        }
        for inline in ["<style", " style=", "onclick", "<script>"] {
            assert!(!page.body.contains(inline), "{inline} on {path}");
        }
        // The list of calls has grown with the API, and its page with it.
        assert!(page.body.len() < 560 * 1024, "{path} weighs {}", page.body.len());
    }
    browser.get("/assets/app.00000000.css").await.expect(404, &[]);

    let english =
        Page::of(app.http.get(app.url("/xyz")).header("accept-language", "en")).await.expect(200, &["Test exhibition"]);
    assert!(english.body.contains("lang=\"en\""));
    let switched = browser.get("/xyz?lang=en").await;
    assert_eq!(switched.next(), "/xyz");
    browser.get("/xyz/order").await.expect(200, &["Book tickets"]);
    assert_eq!(browser.get("//evil.example/?lang=en").await.next(), "/evil.example/", "never another host");
    for path in ["//evil.example/x", "/\\evil.example"] {
        browser.get(path).await.expect(404, &["?lang="]).without("href=\"//evil").without("href=\"/\\");
    }
    app.finish().await;
}

#[tokio::test]
async fn health_is_about_this_process() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    let get = async |path: &str| Answer::of(app.http.get(app.url(path))).await;
    assert_eq!(get("/livez").await.expect(200).body, "ok");
    assert_eq!(get("/readyz").await.expect(200).body["status"], "ready");
    assert_eq!(get("/health").await.expect(200).body["checks"]["redis"], "up");
    get("/metrics").await.expect(404);
    // A clock that runs away from the one of Redis.
    app.advance(Duration::from_secs(2)).await;
    assert_eq!(get("/readyz").await.expect(503).body["status"], "clock_offset");
    app.finish().await;
}
