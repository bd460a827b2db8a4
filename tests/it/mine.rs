//! All orders of one person, by a code that is mailed to the address they were placed with.

use std::time::Duration;

use crate::notifications::{held_by_mail, mails, text};
use crate::support::TestApp;
use crate::support::browser::{Browser, Page};
use crate::support::given::places;

const EMAIL: &str = "hong@example.org";

/// Asks for a code: the page to enter it.
async fn asked(browser: &Browser<'_>, phone: &str, email: &str) -> String {
    browser.send("/orders/code", &[("phone", phone), ("email", email)]).await.next()
}

async fn entered(browser: &Browser<'_>, page: &str, code: &str) -> Page {
    browser.send(page, &[("code", code)]).await
}

/// The code of the newest mail.
async fn mailed(app: &TestApp, page: &str) -> String {
    app.tick("outbox").await;
    let mail = mails(app).into_iter().find(|mail| text(mail, "text/plain").contains(page)).expect("a mail");
    let plain = text(&mail, "text/plain");
    let code = plain.split("인증번호: ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert_eq!(code.len(), 6, "{plain}");
    code
}

#[tokio::test]
async fn whoever_reads_the_mail_sees_all_orders_made_with_it() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let visitor = app.visitor(1);
    let paid = held_by_mail(&visitor, &adult, 1, "홍길동", "ko").await;
    visitor.pay(&paid).await.expect(200);
    let held = held_by_mail(&visitor, &adult, 2, "홍길동", "ko").await;
    // With the same phone number and another address, or none: not this mailbox's business.
    let elsewhere = visitor.held(&adult, 1).await;
    let others = held_by_mail(&app.visitor(2), &adult, 1, "홍길동", "ko").await;

    let browser = Browser::new(&app);
    browser.get("/orders").await.expect(200, &["action=\"/orders/code\""]);
    browser.get("/orders/mine").await.leads_to("/orders");
    let page = asked(&browser, &visitor.phone, " Hong@Example.org ").await;
    browser.get(&page).await.expect(200, &["autocomplete=\"one-time-code\"", "10분"]);
    let code = mailed(&app, &page).await;
    entered(&browser, &page, "12345").await.expect(422, &["숫자 여섯 자리"]);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    entered(&browser, &page, wrong).await.expect(403, &["4번 더"]);
    browser.get("/orders/mine").await.leads_to("/orders");
    let spaced = format!(" {} {}", &code[..3], &code[3..]);
    entered(&browser, &page, &spaced).await.leads_to("/orders/mine");

    let list =
        browser.get("/orders/mine").await.expect(200, &[&paid.number, &held.number, "예매 완료", "결제 대기 중"]);
    assert!(list.body.find(&held.number) < list.body.find(&paid.number), "the newest first");
    let list = list.without(&elsewhere.number).without(&others.number);
    // Each opens in this browser, and the address keeps no proof.
    let (link, page_of_order) = (format!("/orders/mine/{}", paid.number), format!("/xyz/complete/{}", paid.number));
    assert!(list.body.contains(&format!("href=\"{link}\"")));
    let opened = browser.get(&link).await;
    opened.leads_to(&page_of_order);
    assert!(opened.header("set-cookie").contains("Max-Age=1800"), "no longer than the list");
    browser.get(&page_of_order).await.expect(200, &["<svg"]);
    browser.get(&format!("/orders/mine/{}", others.number)).await.expect(404, &[]);
    Browser::new(&app).get(&link).await.expect(404, &[]);

    // The code is used up, and the list is this browser's alone.
    let second = Browser::new(&app);
    entered(&second, &page, &code).await.expect(410, &["더 이상"]);
    second.get("/orders/mine").await.leads_to("/orders");
    second.put("admit_mine", &browser.jar.lock().unwrap()["admit_mine"].1.replace('.', ".A"));
    second.get("/orders/mine").await.leads_to("/orders");
    // Closed, it stays so even for somebody who has kept the cookie.
    second.put("admit_mine", &browser.jar.lock().unwrap()["admit_mine"].1.clone());
    second.get("/orders/mine").await.expect(200, &[&paid.number]);
    browser.send("/orders/mine/close", &[]).await.leads_to("/orders");
    assert!(!browser.has("admit_mine"));
    browser.get(&page_of_order).await.expect(401, &[]);
    second.get("/orders/mine").await.leads_to("/orders");
    app.finish().await;
}

#[tokio::test]
async fn a_stranger_learns_nothing_and_runs_out_of_tries() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let visitor = app.visitor(1);
    held_by_mail(&visitor, &adult, 1, "홍길동", "ko").await;
    let browser = Browser::new(&app);

    let ask =
        async |phone: &str, email: &str| browser.send("/orders/code", &[("phone", phone), ("email", email)]).await;
    ask("02-123", "x").await.expect(422, &["휴대전화 번호를 입력", "이메일"]);
    ask(&visitor.phone, "").await.expect(422, &["aria-invalid"]);
    assert_eq!(app.db.one::<i64>("select count(*) from one_time_codes").await, 0);
    // Right phone and wrong address, or nobody at all: the same page, and no mail.
    for (phone, email) in [(visitor.phone.as_str(), "eve@example.org"), ("010-7777-7777", EMAIL)] {
        let page = asked(&browser, phone, email).await;
        browser.get(&page).await.expect(200, &["autocomplete=\"one-time-code\""]);
        entered(&browser, &page, "123456").await.expect(403, &["4번 더"]);
    }
    app.tick("outbox").await;
    assert_eq!(mails(&app).len(), 0);

    // Five guesses, also when they come at once; then not even the right code helps.
    let page = asked(&browser, &visitor.phone, EMAIL).await;
    let code = mailed(&app, &page).await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let guesses = futures_util::future::join_all((0..20).map(|_| entered(&browser, &page, wrong))).await;
    assert_eq!(guesses.iter().filter(|page| page.status == 403).count(), 4, "the fifth says that it was the last");
    assert_eq!(app.db.one::<i32>("select max(tries) from one_time_codes").await, 5);
    entered(&browser, &page, &code).await.expect(410, &["새 인증번호"]);

    // Late.
    let page = asked(&browser, &visitor.phone, EMAIL).await;
    let code = mailed(&app, &page).await;
    app.advance(Duration::from_secs(601)).await;
    entered(&browser, &page, &code).await.expect(410, &["더 이상"]);
    // And so is a mail that could not be sent in time.
    let sent = mails(&app).len();
    asked(&browser, &visitor.phone, EMAIL).await;
    app.advance(Duration::from_secs(601)).await;
    app.tick("outbox").await;
    assert_eq!(mails(&app).len(), sent);

    // Five in an hour.
    let many = futures_util::future::join_all((0..10).map(|_| ask(&visitor.phone, EMAIL))).await;
    assert_eq!(many.iter().filter(|page| page.status == 303).count(), 2, "three were asked for above");
    let refused = ask(&visitor.phone, EMAIL).await.expect(429, &["분 뒤에"]);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() <= 3_600);
    // Ten in a day, and twenty of one phone number.
    app.advance(Duration::from_secs(3_601)).await;
    for _ in 0..5 {
        asked(&browser, &visitor.phone, EMAIL).await;
    }
    app.advance(Duration::from_secs(3_601)).await;
    ask(&visitor.phone, EMAIL).await.expect(429, &["분 뒤에"]);
    for n in 0..9 {
        asked(&browser, &visitor.phone, &format!("{n}@example.org")).await;
    }
    ask(&visitor.phone, "late@example.org").await.expect(429, &["분 뒤에"]);
    app.advance(Duration::from_secs(26 * 3_600)).await;
    app.tick("purge").await;
    assert_eq!(app.db.one::<i64>("select count(*) from one_time_codes").await, 0);
    app.finish().await;
}

#[tokio::test]
async fn one_of_two_browsers_that_enter_the_code_at_once_gets_the_list() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let visitor = app.visitor(1);
    held_by_mail(&visitor, &adult, 1, "홍길동", "ko").await;
    let browsers: Vec<Browser<'_>> = (0..4).map(|_| Browser::new(&app)).collect();
    let page = asked(&browsers[0], &visitor.phone, EMAIL).await;
    let code = mailed(&app, &page).await;
    let pages = futures_util::future::join_all(browsers.iter().map(|browser| entered(browser, &page, &code))).await;
    assert_eq!(pages.iter().filter(|page| page.status == 303).count(), 1);
    assert_eq!(browsers.iter().filter(|browser| browser.has("admit_mine")).count(), 1);
    // Half an hour later it is closed.
    app.advance(Duration::from_secs(1_801)).await;
    for browser in &browsers {
        browser.get("/orders/mine").await.leads_to("/orders");
    }
    app.finish().await;
}
