//! What a visitor finds beside the way to a ticket: what is said before the sale, giving back, the visit in a calendar and
//! on paper, terms and consent, and what search engines read.

use std::time::Duration;

use admit::admin::Role;
use admit::orders::consent::VERSION;
use serde_json::{Value, json};

use crate::refunds::{carried, paid};
use crate::support::browser::{AGREED, Browser, Page};
use crate::support::given::places;
use crate::support::{Kind, TestApp};

#[tokio::test]
async fn the_exhibition_page_is_the_same_for_everybody_and_says_what_can_be_done() {
    let app = TestApp::start().await;
    app.given(Kind { person_limit: Some(4), ..places(5) }).await;
    app.db.execute("update exhibitions set name_en = 'Tate </script> & \"friends\"', venue_en = 'Hall'").await;
    app.refresh().await;
    let nobody = Browser::new(&app);
    let page = nobody.get("/xyz").await.expect(200, &["href=\"/xyz/order\"", "1인 최대 4매", "마감 임박 5", "환불"]);
    assert_eq!(page.header("cache-control"), "public, max-age=1");
    for personal in ["<form", "set-cookie", "nonce"] {
        assert!(!page.body.contains(personal) && page.headers.get("set-cookie").is_none(), "{personal}");
    }
    let english = Page::of(app.http.get(app.url("/xyz")).header("accept-language", "en")).await;
    let event = english.body.split("application/ld+json\">").nth(1).unwrap().split("</script>").next().unwrap();
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(event["name"], "Tate </script> & \"friends\"", "escaped where it stands, and whole when it is read");
    assert_eq!((&event["@type"], &event["offers"][0]["price"]), (&json!("ExhibitionEvent"), &json!(10_000)));

    for (change, words) in [
        ("paused = true", "잠시 예매를 멈췄습니다"),
        ("paused = false, sale_start_at = now() + interval '1 hour'", "id=\"opens\""),
        ("sale_start_at = now() - interval '2 days', sale_end_at = now() - interval '1 day'", "예매 기간이 끝났습니다"),
    ] {
        app.db.execute(&format!("update exhibitions set {change}")).await;
        app.refresh().await;
        let page = nobody.get("/xyz").await.expect(200, &[words]);
        assert!(!page.body.contains("href=\"/xyz/order\""), "{change}");
        nobody.get("/xyz/order").await.expect(200, &["지금은 예매할 수 없습니다"]);
    }
    app.finish().await;
}

#[tokio::test]
async fn places_in_others_hands_may_come_back() {
    let app = TestApp::start().await;
    let given = app.given(places(2)).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&given, 2).await;
    app.refresh().await;
    let nobody = Browser::new(&app);
    nobody.get("/xyz").await.expect(200, &["다른 분들이 결제하고 계십니다", "id=\"watch\""]);
    visitor.pay(&order).await.expect(200);
    app.refresh().await;
    nobody.get("/xyz").await.expect(200, &["매진", "id=\"watch\""]);
    app.finish().await;
}

#[tokio::test]
async fn nothing_is_ordered_without_consent_and_what_was_agreed_to_is_kept() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let browser = Browser::new(&app);
    let quantity = format!("q{}", given.product_id);
    let order = async |agreed: &[(&'static str, &'static str)]| {
        let key = browser.get("/xyz/order").await.hidden("key");
        let mut fields = vec![("key", key.as_str()), (quantity.as_str(), "1"), ("customer_name", "홍길동")];
        fields.push(("customer_phone", "010-1234-5678"));
        fields.extend_from_slice(agreed);
        browser.send("/xyz/order", &fields).await
    };
    let all = [("agree_terms", "on"), ("agree_privacy", "on"), ("over_14", "on"), ("legal_version", VERSION)];
    for without in 0..all.len() {
        let rest: Vec<_> = all.iter().enumerate().filter(|(n, _)| *n != without).map(|(_, field)| *field).collect();
        order(&rest).await.expect(422, &["동의해 주셔야", "aria-invalid=\"true\""]);
    }
    // To texts that have changed since.
    let old = [all[0], all[1], all[2], ("legal_version", "2020-01-01")];
    order(&old).await.expect(422, &["동의해 주셔야"]);
    assert_eq!(app.stock(given.stock_id).await, (0, 0));
    assert_eq!(order(&[&all[..], &[("marketing", "on")]].concat()).await.status, 303);
    let kept = "select consent_version || marketing::text from contacts";
    assert_eq!(app.db.one::<String>(kept).await, format!("{VERSION}true"));
    browser.get("/terms").await.expect(200, &[VERSION, "이용약관"]);
    browser.get("/privacy").await.expect(200, &[VERSION, "개인정보"]);
    app.finish().await;
}

/// The radio of a slot, as it stands in the page.
fn radio(page: &Page, slot: &str) -> String {
    let after = page.body.split(&format!("name=\"slot_id\" value=\"{slot}\"")).nth(1);
    after.unwrap_or_else(|| panic!("no {slot} in {}", page.body)).split('>').next().unwrap().to_owned()
}

/// A calendar where a day has one slot, days that unfold where it has several: radios both times.
#[tokio::test]
async fn a_day_is_chosen_among_radios() {
    let app = TestApp::start().await;
    let given = app.given(Kind { slot_places: Some(20), open_holds_max: 9, ..places(100) }).await;
    let (browser, slot) = (Browser::new(&app), given.slot_id.unwrap().to_string());
    let day = given.date.clone().unwrap().rsplit('-').next().unwrap().parse::<u8>().unwrap();
    let order = async |slot: &str, phone: &str| {
        let (key, quantity) = (browser.get("/xyz/order").await.hidden("key"), format!("q{}", given.product_id));
        let mut fields = vec![("key", key.as_str()), (quantity.as_str(), "1"), ("customer_name", "홍길동")];
        fields.extend([("customer_phone", phone), ("slot_id", slot)]);
        fields.extend(AGREED);
        browser.send("/xyz/order", &fields).await
    };

    let page = browser.get("/xyz/order").await.expect(200, &["class=\"days\"", "role=\"radiogroup\""]);
    let shown = radio(&page, &slot);
    assert!(shown.contains(&format!("월 {day}일 (")) && shown.contains("· 남은 자리 20\""), "{shown}");
    assert!(!shown.contains("checked") && !shown.contains("disabled"), "{shown}");
    page.without("<select name=\"slot_id\"").without("value=\"\" checked").without("class=\"times\"");
    let refused = order(&slot, "02-123-4567").await.expect(422, &["010-1234-5678과 같은"]);
    assert!(radio(&refused, &slot).contains("checked"), "the day stays chosen");
    order("", "010-1111-1111").await.expect(422, &["날짜 지정 티켓의 방문일", "aria-invalid=\"true\""]);
    order(&slot, "010-1111-1111").await.next();

    // Times on the same day, one of them full, and a ticket without a date.
    app.db
        .execute(
            "update slots set start_time = '10:00', end_time = '11:00';
             with s as (
                 insert into stock (exhibition_id, total, offered, epoch)
                 select exhibition_id, n, n, epoch from stock cross join generate_series(0, 1) n
                  where id = (select stock_id from slots) returning id, exhibition_id, total
             )
             insert into slots (exhibition_id, stock_id, visit_date, start_time, end_time)
             select s.exhibition_id, s.id, visit_date, start_time + (s.total + 1) * interval '1 hour',
                    end_time + (s.total + 1) * interval '1 hour' from s, slots;
             with s as (
                 insert into stock (exhibition_id, total, offered, epoch)
                 select exhibition_id, 5, 5, epoch from stock limit 1 returning id, exhibition_id
             )
             insert into products (exhibition_id, stock_id, kind, name_ko, name_en, price_won, dated)
             select exhibition_id, id, 'open', '자유', 'Open', 1000, false from s",
        )
        .await;
    admit::stock::rebuild::rebuild(app.app(), given.exhibition_id, "xyz", "test").await.unwrap();
    app.refresh().await;
    let page = browser.get("/xyz/order").await;
    let page = page.expect(200, &["class=\"times\"", "<b>12:00–13:00</b>", "3회 중 2회 예매 가능"]);
    let page = page.without("class=\"days\"");
    let last = app.db.one::<i32>("select id from slots where start_time = '12:00'").await.to_string();
    let full = app.db.one::<i32>("select id from slots where start_time = '11:00'").await.to_string();
    assert!(radio(&page, "").contains("checked"), "no date, until one is chosen");
    assert!(radio(&page, &full).contains("disabled"));
    let refused = order(&last, "02-123-4567").await.expect(422, &["<details class=\"day\" data-day open>"]);
    assert!(radio(&refused, &last).contains("checked") && !radio(&refused, "").contains("checked"));
    let full_now = order(&full, "010-2222-2222").await.expect(409, &["매진"]);
    assert!(radio(&full_now, &full).contains("checked"), "what was chosen is not taken away unasked");
    order(&last, "010-2222-2222").await.next();
    assert_eq!(app.db.one::<i64>(&format!("select count(*) from orders where slot_id = {last}")).await, 1);
    app.finish().await;
}

#[tokio::test]
async fn news_are_stopped_where_the_tickets_are() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let visitor = app.visitor(1);
    let bought = paid(&visitor, &given, 1).await;
    let (browser, page) = (Browser::of(&app, &bought.order), format!("/xyz/complete/{}", bought.order.number));
    app.db.execute("update contacts set marketing = true").await;
    browser.get(&page).await.expect(200, &["소식 그만 받기"]);
    Browser::new(&app).send(&format!("{page}/news"), &[]).await.expect(401, &[]);
    browser.send(&format!("{page}/news"), &[]).await.leads_to(&page);
    assert!(!browser.get(&page).await.body.contains("소식 그만 받기"));
    assert_eq!(app.db.one::<i64>("select count(*) from order_events where kind = 'news_withdrawn'").await, 1);
    app.finish().await;
}

#[tokio::test]
async fn tickets_are_given_back_once_the_fee_was_shown() {
    let app = TestApp::start().await;
    let given = app.given(Kind { slot_places: Some(10), ..places(10) }).await;
    app.db
        .execute("update exhibitions set refund_rules = '[{\"days_before\": 1, \"fee_pct\": 10}]', refund_free_h = 0")
        .await;
    app.refresh().await;
    let visitor = app.visitor(1);
    let bought = paid(&visitor, &given, 2).await;
    let (browser, page) = (Browser::of(&app, &bought.order), format!("/xyz/refund/{}", bought.order.number));
    Browser::new(&app).get(&page).await.expect(401, &[]);
    browser.get(&page).await.expect(200, &["관람일 1일 전까지", "10%", &bought.tickets[0], &bought.tickets[1]]);
    let offer = browser.get(&format!("{page}?t={}", bought.tickets[0])).await;
    let offer = offer.expect(200, &["1,000원", "9,000원 환불받고 취소하기"]);
    let key = offer.hidden("key");
    assert_eq!(app.db.one::<i64>("select count(*) from refunds").await, 0, "looking changes nothing");

    let sent = [("t", bought.tickets[0].as_str()), ("key", &key), ("amount", "9000")];
    let wrong = [sent[0], sent[1], ("amount", "10000")];
    browser.send(&page, &wrong).await.expect(409, &["9,000원 환불받고 취소하기", "role=\"alert\""]);
    browser.send(&page, &sent).await.leads_to(&page);
    browser.send(&page, &sent).await.leads_to(&page);
    carried(&app).await;
    assert_eq!(app.simulator_counts().await["cancelled_amount"], 9_000, "pressed twice, given back once");
    browser.get(&page).await.expect(200, &["환불 완료", "9,000원", "이미 취소된 티켓"]);
    browser.get(&format!("{page}?t={}", bought.tickets[0])).await.expect(200, &["환불 금액 확인하기"]);
    browser.get(&format!("{page}?t=nonsense")).await.expect(400, &[]);

    // On the day itself it is too late.
    app.advance(Duration::from_secs(5 * 86_400)).await;
    app.refresh().await;
    browser.get(&page).await.expect(200, &["취소할 수 있는 티켓이 없습니다"]);
    let late = [("t", bought.tickets[1].as_str()), ("key", &key), ("amount", "9000")];
    assert!(matches!(browser.send(&page, &late).await.status, 409 | 422));
    app.finish().await;
}

#[tokio::test]
async fn money_that_was_paid_in_needs_an_account_to_go_to() {
    let app = TestApp::start().await;
    let given = app.given(places(5)).await;
    let visitor = app.visitor(1);
    let (order, order_id) = crate::deposits::awaiting(&app, &visitor, &given, 1).await;
    app.simulate("deposit", json!({ "orderId": order_id })).await;
    crate::deposits::told(&app, &order_id, "DONE").await;
    let ticket = visitor.read(&order).await.body["tickets"][0]["id"].as_str().unwrap().to_owned();
    let (browser, page) = (Browser::of(&app, &order), format!("/xyz/refund/{}", order.number));
    let key = browser.get(&format!("{page}?t={ticket}")).await.expect(200, &["name=\"account_number\""]).hidden("key");
    let ask = async |bank: &str, number: &str| {
        let fields = [("t", ticket.as_str()), ("key", &key), ("amount", "10000"), ("bank", bank)];
        let fields = [&fields[..], &[("account_number", number), ("holder", "홍길동")]].concat();
        browser.send(&page, &fields).await
    };
    ask("", "1002123456789").await.expect(422, &["은행을 선택해 주세요", "value=\"홍길동\""]);
    ask("20", "none").await.expect(422, &["계좌 번호를 숫자로"]);
    ask("20", "1002-123-456789").await.leads_to(&page);
    carried(&app).await;
    assert_eq!(app.simulator_counts().await["cancelled_amount"], 10_000);
    browser.get(&page).await.expect(200, &["환불 완료"]);
    app.finish().await;
}

#[tokio::test]
async fn the_visit_goes_into_a_calendar_and_onto_paper() {
    let app = TestApp::start().await;
    let given = app.given(Kind { slot_places: Some(10), ..places(10) }).await;
    app.db.execute("update slots set start_time = '10:00', end_time = '11:30'").await;
    app.refresh().await;
    let visitor = app.visitor(1);
    let held = visitor.held(&given, 1).await;
    let early = Browser::of(&app, &held);
    for file in ["calendar.ics", "tickets.pdf"] {
        let page = format!("/xyz/complete/{}", held.number);
        early.get(&format!("{page}/{file}")).await.leads_to(&page);
    }
    early.send(&format!("/xyz/complete/{}/news", held.number), &[]).await;
    visitor.cancel(&held).await.expect(200);
    let bought = paid(&visitor, &given, 2).await;
    let (browser, page) = (Browser::of(&app, &bought.order), format!("/xyz/complete/{}", bought.order.number));
    browser.get(&page).await.expect(200, &["calendar.ics", "tickets.pdf", "/xyz/refund/"]);
    let file = browser.get(&format!("{page}/calendar.ics")).await;
    let file =
        file.expect(200, &["BEGIN:VEVENT\r\n", "SUMMARY:시험 전시", &bought.order.number, "T010000Z", "T023000Z"]);
    assert_eq!(file.header("content-type"), "text/calendar; charset=utf-8");
    let paper = browser.get(&format!("{page}/tickets.pdf")).await.expect(200, &["%PDF-", "/Count 2"]);
    assert_eq!(paper.header("content-type"), "application/pdf");
    for file in ["calendar.ics", "tickets.pdf"] {
        let stranger = Browser::new(&app);
        stranger.get(&format!("{page}/{file}")).await.expect(401, &[]);
    }
    app.finish().await;
}

/// A link opens one ticket and nothing of the order; a new code ends it, and the old code at the door.
#[tokio::test]
async fn a_companion_gets_one_ticket_and_a_leaked_code_is_replaced() {
    let app = TestApp::start().await;
    let given = app.given(places(10)).await;
    let visitor = app.visitor(1);
    let bought = paid(&visitor, &given, 2).await;
    let (browser, page) = (Browser::of(&app, &bought.order), format!("/xyz/complete/{}", bought.order.number));
    let body = browser.get(&page).await.expect(200, &["새 QR 받기"]).body;
    let link = body.split("href=\"http://localhost:8080/xyz/ticket/").nth(1).unwrap().split('"').next().unwrap();
    let link = format!("/xyz/ticket/{}", link.replace("&#38;", "&").replace("&amp;", "&"));
    let stranger = Browser::new(&app);
    let one = stranger.get(&link).await.expect(200, &["<svg", "시험 전시"]);
    assert_eq!(one.body.matches("<svg").count(), 1);
    for private in [bought.order.number.as_str(), "홍길동", &bought.tickets[1]] {
        assert!(!one.body.contains(private), "{private}");
    }
    stranger.get(&link.replace(&bought.tickets[0], &bought.tickets[1])).await.expect(403, &[]);
    stranger.get(link.split('?').next().unwrap()).await.expect(403, &[]);

    let code = async || visitor.read(&bought.order).await.body["tickets"][0]["qr_code"].as_str().unwrap().to_owned();
    let old = code().await;
    let new_code = [("t", bought.tickets[0].as_str())];
    stranger.send(&format!("{page}/reissue"), &new_code).await.expect(401, &[]);
    browser.send(&format!("{page}/reissue"), &new_code).await.leads_to(&page);
    let new = code().await;
    assert_ne!(old, new);
    stranger.get(&link).await.expect(403, &[]);
    app.account("gate-1", Role::Staff, &["xyz"]).await;
    let gate = app.gate("gate-1", "north").await;
    assert_eq!((gate.reason(&old).await.as_str(), gate.reason(&new).await.as_str()), ("reissued", "ok"));
    browser.send(&format!("{page}/reissue"), &new_code).await.expect(409, &["새 QR을 드릴 수 없습니다"]);
    app.finish().await;
}

#[tokio::test]
async fn machines_are_told_what_to_read() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    let nobody = Browser::new(&app);
    nobody
        .get("/robots.txt")
        .await
        .expect(200, &["Disallow: /*/refund/", "Sitemap: http://localhost:8080/sitemap.xml"]);
    nobody.get("/sitemap.xml").await.expect(200, &["<loc>http://localhost:8080/xyz</loc>"]);
    let worker = nobody.get("/sw.js").await.expect(200, &["/assets/app."]);
    assert_eq!(worker.header("cache-control"), "no-cache");
    assert_eq!(worker.header("content-type"), "text/javascript; charset=utf-8");
    assert!(worker.header("content-security-policy").contains("connect-src 'self'"), "or it may fetch nothing");
    app.finish().await;
}
