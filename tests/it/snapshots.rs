//! What pages say, word for word and in both languages, kept beside this file: a change that nobody meant is seen in review.
//! After one that was meant: `INSTA_UPDATE=always cargo test --test it snapshots`.

use crate::support::browser::{AGREED, Browser, Page};
use crate::support::given::places;
use crate::support::visitor::Held;
use crate::support::{Kind, Options, TestApp};

/// What differs from run to run, and what no reader sees.
const FILTERS: [(&str, &str); 15] = [
    (r"tgen_[0-9A-Za-z]+", "[payment]"),
    (r"ORD\d{8}-[0-9A-Z]{10}", "[number]"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[id]"),
    (r"\d{4}년 \d{1,2}월 \d{1,2}일 \(.\)", "[day]"),
    (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]* \d{1,2} [A-Z][a-z]+ \d{4}", "[day]"),
    (r"\d{4}-\d{2}-\d{2}", "[date]"),
    (r"\b\d{2}:\d{2}", "[time]"),
    (r">(9|10)( min|분)<", ">[minutes]<"),
    (r"\b1[78]\d{11}\b", "[ms]"),
    (r"\b[0-9a-f]{32}\b", "[key]"),
    (r"/assets/([a-z]+)\.[0-9a-f]{8}\.", "/assets/$1.[hash]."),
    (r"(?s)<svg.*?</svg>", "<svg/>"),
    (r"e=\d+&#38;s=[A-Za-z0-9_-]+", "[proof]"),
    (
        r"\d{4}년 \d{1,2}월|(January|February|March|April|May|June|July|August|September|October|November|December) \d{4}",
        "[month]",
    ),
    (r"(번호|number) [0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}\b", "$1 [ticket number]"),
];

/// What lies between the header and the footer.
#[track_caller]
fn keep(name: &str, page: &Page) {
    let main = page.body.split("<main").nth(1).and_then(|rest| rest.split("</main>").next()).expect("a page");
    let main = main.split_once('>').unwrap().1.trim();
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (pattern, instead) in FILTERS {
        settings.add_filter(pattern, instead);
    }
    settings.bind(|| insta::assert_snapshot!(name, main));
}

async fn pages(language: &str) {
    let app = TestApp::start_with(Options { exempt: false, ..Options::default() }).await;
    let adult = app.given(Kind { person_limit: Some(4), ..places(50) }).await;
    let browser = Browser::new(&app);
    browser.put("admit_language", language);
    let keep = |name: &str, page: &Page| keep(&format!("{name}.{language}"), page);
    keep("exhibition", &browser.get("/xyz").await.expect(200, &[]));
    keep("form", &browser.get("/xyz/order").await.expect(200, &[]));
    let quantity = format!("q{}", adult.product_id);
    let mut wrong =
        vec![(quantity.as_str(), "9"), ("key", "0123456789abcdef0123456789abcdef"), ("customer_phone", "1")];
    keep("form_refused", &browser.send("/xyz/order", &wrong).await.expect(422, &[]));
    wrong.truncate(2);
    wrong[0].1 = "2";
    wrong.extend([("customer_name", "홍길동"), ("customer_phone", "010-1234-5678")]);
    wrong.extend(AGREED);
    let placed = browser.send("/xyz/order", &wrong).await.next();
    keep("payment", &browser.get(&placed).await.expect(200, &[]));
    keep("held", &browser.get(&placed.replace("/payment/", "/complete/")).await.expect(200, &[]));
    // A second one, from the browser that has the first open, and from another.
    wrong[1].1 = "fedcba9876543210fedcba9876543210";
    let way = format!("<a href=\"{placed}\">");
    keep("form_open_booking", &browser.send("/xyz/order", &wrong).await.expect(409, &[&way]));
    let again = Browser::new(&app);
    again.put("admit_language", language);
    again.send("/xyz/order", &wrong).await.expect(409, &["<a href=\"/orders\">"]).without(&placed);

    let visitor = app.visitor(1);
    let order = Held::from(&visitor.order(&adult, 1).await.expect(201));
    visitor.pay(&order).await.expect(200);
    let owner = Browser::of(&app, &order);
    owner.put("admit_language", language);
    keep("tickets", &owner.get(&format!("/xyz/complete/{}", order.number)).await.expect(200, &[]));
    keep("refund", &owner.get(&format!("/xyz/refund/{}", order.number)).await.expect(200, &[]));
    keep("lookup", &browser.get("/orders").await.expect(200, &[]));
    let code = browser.send("/orders/code", &[("phone", &visitor.phone), ("email", "a@example.org")]).await.next();
    keep("code", &browser.get(&code).await.expect(200, &[]));
    keep("nobody_s_order", &browser.get(&format!("/xyz/complete/{}", order.number)).await.expect(401, &[]));
    app.finish().await;
}

#[tokio::test]
async fn pages_say_in_korean_what_they_said() {
    pages("ko").await;
}

#[tokio::test]
async fn pages_say_in_english_what_they_said() {
    pages("en").await;
}
