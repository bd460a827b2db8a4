//! The waiting page as a browser without JavaScript sees it: join, wait, be called, enter, order; and what it says when
//! things go otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use admit::waiting_room::invite;
use admit::waiting_room::model::{Config, Phase};
use jiff::SignedDuration;

use crate::support::browser::{AGREED, Browser, Page};
use crate::support::given::places;
use crate::support::{Given, TestApp};
use crate::waiting_room::{move_room, open_room, tick};

/// What a browser does here again and again.
trait InLine {
    async fn queue(&self) -> Page;
    async fn join(&self);
    async fn order(&self, given: &Given, phone: &str) -> Page;
}

impl InLine for Browser<'_> {
    async fn queue(&self) -> Page {
        self.get("/xyz/queue").await
    }

    async fn join(&self) {
        self.press("/xyz/queue/join").await.leads_to("/xyz/queue?told=joined");
    }

    async fn order(&self, given: &Given, phone: &str) -> Page {
        let key = self.get("/xyz/order").await.expect(200, &["예매하기"]).hidden("key");
        let quantity = format!("q{}", given.product_id);
        let mut fields =
            vec![(quantity.as_str(), "1"), ("key", &key), ("customer_name", "홍길동"), ("customer_phone", phone)];
        fields.extend(AGREED);
        self.ask(reqwest::Method::POST, "/xyz/order", Some(&fields)).await
    }
}

fn config() -> Config {
    Config { capacity: 1, slack: 0, rate_per_min: 6_000, draw: false, ..Config::default() }
}

#[tokio::test]
async fn people_wait_enter_and_order_without_a_script() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let (first, second) = (Browser::new(&app), Browser::new(&app));
    first.get("/xyz/order").await.expect(200, &["예매하기"]);
    first.queue().await.leads_to("/xyz");
    open_room(&app, &adult, config()).await;

    first.get("/xyz/order").await.leads_to("/xyz/queue");
    let outside = first.queue().await.expect(200, &["시험 전시", "줄 서기", "action=\"/xyz/queue/join\""]);
    assert_eq!(outside.headers["cache-control"], "no-store");
    first.join().await;
    second.join().await;
    tick(&app, 2).await;

    let waiting = second
        .queue()
        .await
        .expect(200, &["차례를 기다리고 있습니다", "1명", "<noscript><meta http-equiv=\"refresh\""]);
    assert!(second.has("admit_w_xyz"), "what was shown is remembered: {:?}", waiting.headers);
    second.press("/xyz/queue/claim").await.leads_to("/xyz/queue");
    second.get("/xyz/order").await.leads_to("/xyz/queue");

    first.queue().await.expect(200, &["입장하실 차례입니다", "지금 입장하기", "시간이 더 필요해요"]);
    first.press("/xyz/queue/extend").await.leads_to("/xyz/queue");
    first.queue().await.expect(200, &["지금 입장하기"]).without("/xyz/queue/extend");
    first.press("/xyz/queue/claim").await.leads_to("/xyz/order");
    first.queue().await.expect(200, &["입장하셨습니다", "href=\"/xyz/order\""]);
    let placed = first.order(&adult, "010-1111-2222").await;
    assert!(placed.next().starts_with("/xyz/payment/ORD"), "{}", placed.body);
    assert_eq!(app.stock(adult.stock_id).await, (1, 0));
    // The places are held: leaving now would lose them.
    first.press("/xyz/queue/leave").await.expect(409, &["role=\"alert\""]);
    tick(&app, 2).await;
    second.queue().await.expect(200, &["차례를 기다리고 있습니다"]);
    app.finish().await;
}

#[tokio::test]
async fn a_pass_that_is_none_leads_back_to_the_queue() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let browser = Browser::new(&app);
    let (quantity, key) = (format!("q{}", adult.product_id), "0123456789abcdef0123456789abcdef");
    let mut fields =
        vec![(quantity.as_str(), "1"), ("key", key), ("customer_name", "홍길동"), ("customer_phone", "010-1111-2222")];
    fields.extend(AGREED);
    open_room(&app, &adult, config()).await;
    browser.put("admit_p_xyz", "forged.pass.here");
    let back = browser.ask(reqwest::Method::POST, "/xyz/order", Some(&fields)).await;
    back.leads_to("/xyz/queue?told=back");
    assert!(!browser.has("admit_p_xyz"), "what opens nothing is forgotten");
    browser.get("/xyz/queue?told=back").await.expect(200, &["청구된 금액도 없습니다", "줄 서기"]);
    assert_eq!(app.stock(adult.stock_id).await, (0, 0));

    // A pass that was good, until it was given back.
    browser.join().await;
    tick(&app, 2).await;
    browser.press("/xyz/queue/claim").await.leads_to("/xyz/order");
    let pass = browser.jar.lock().unwrap()["admit_p_xyz"].1.clone();
    browser.press("/xyz/queue/leave").await.leads_to("/");
    assert!(!browser.has("admit_p_xyz"));
    browser.put("admit_p_xyz", &pass);
    browser.ask(reqwest::Method::POST, "/xyz/order", Some(&fields)).await.leads_to("/xyz/queue?told=back");
    assert_eq!(app.stock(adult.stock_id).await, (0, 0));
    app.finish().await;
}

#[tokio::test]
async fn the_page_says_why_it_goes_no_further() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, config()).await;
    let (first, second) = (Browser::new(&app), Browser::new(&app));
    first.join().await;
    second.join().await;
    tick(&app, 2).await;

    move_room(&app, &adult, &config(), &[Phase::Paused]).await;
    tick(&app, 3).await;
    second
        .queue()
        .await
        .expect(200, &["입장을 잠시 멈췄습니다", "점검 중", "번호와 순서는 그대로"])
        .without("id=\"eta\"");
    second.get("/xyz/queue?lang=en").await.leads_to("/xyz/queue");
    second.queue().await.expect(200, &["The line is paused", "maintenance", "lang=\"en\""]);
    move_room(&app, &adult, &config(), &[Phase::Stopped]).await;
    tick(&app, 3).await;
    second.queue().await.expect(200, &["Booking is interrupted"]);
    Browser::new(&app).queue().await.expect(200, &["새로 줄을 서실 수 없습니다"]).without("/xyz/queue/join");
    first.press("/xyz/queue/claim").await;

    move_room(&app, &adult, &config(), &[Phase::Open]).await;
    tick(&app, 3).await;
    app.advance(Duration::from_secs(200)).await;
    tick(&app, 3).await;
    first.queue().await.expect(200, &["차례가 지났지만", "맨 뒤로 가지 않습니다", "다시 입장하기"]);
    first.press("/xyz/queue/claim").await.leads_to("/xyz/queue?told=late");
    first.get("/xyz/queue?told=late").await.expect(200, &["다시 입장 순서에 넣어 드렸습니다"]);

    move_room(&app, &adult, &config(), &[Phase::Drain]).await;
    tick(&app, 3).await;
    let refused =
        Browser::new(&app).press("/xyz/queue/join").await.expect(409, &["role=\"alert\"", "새로 줄을 서실 수"]);
    assert!(refused.body.contains("url=/xyz/queue\""), "a reload leads to the page, not to the form");
    app.finish().await;
}

#[tokio::test]
async fn what_is_not_ours_is_turned_away_and_absurd_cookies_say_nothing() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, config()).await;
    let browser = Browser::new(&app);
    let foreign = app.http.post(app.url("/xyz/queue/join")).header("sec-fetch-site", "cross-site").body("");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    browser.press("/nowhere/queue/join").await.expect(404, &["전시를 찾을 수 없습니다"]);
    browser.press("/xyz/queue/jump").await.expect(404, &[]);
    browser.get("/nowhere/queue").await.expect(404, &[]);
    browser.get("/nowhere/queue/draw").await.expect(404, &[]);
    for form in ["join", "claim", "extend", "leave", "park"] {
        browser.get(&format!("/xyz/queue/{form}")).await.leads_to("/xyz/queue");
    }
    browser.press("/xyz/queue/claim").await.expect(401, &["role=\"alert\"", "줄 서기"]);

    let long = "a".repeat(4_000);
    for absurd in ["", "x", "..", "%00", "\"><script>", long.as_str()] {
        for name in ["admit_q_xyz", "admit_d_xyz", "admit_p_xyz", "admit_w_xyz", "admit_i_xyz"] {
            browser.put(name, absurd);
        }
        browser.queue().await.expect(200, &["줄 서기"]).without("\"><script>");
    }
    *browser.jar.lock().unwrap() = BTreeMap::new();
    browser.get("/xyz/queue?told=joined").await.expect(200, &["쿠키가 필요합니다"]);
    browser
        .get("/xyz/queue?told=%3Cb%3E&still=x")
        .await
        .expect(200, &["자동 새로 고침을 껐습니다"])
        .without("http-equiv");

    // Two in line; what has been shown to the second is one ahead, and a tampered cookie changes only its own page.
    let other = Browser::new(&app);
    browser.join().await;
    other.join().await;
    other.put("admit_w_xyz", "2.4294967295.0");
    other.queue().await.expect(200, &["http-equiv"]);
    app.finish().await;
}

#[tokio::test]
async fn a_place_is_kept_for_whoever_leaves_an_address() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, config()).await;
    let (first, browser) = (Browser::new(&app), Browser::new(&app));
    first.join().await;
    browser.join().await;
    tick(&app, 2).await;
    let park = async |email: &str| {
        let fields = [("email", email)];
        browser.ask(reqwest::Method::POST, "/xyz/queue/park", Some(&fields)).await
    };
    park("nobody").await.expect(422, &["value=\"nobody\"", "aria-invalid=\"true\"", "id=\"mail\" open"]);
    park("").await.expect(422, &["aria-invalid=\"true\""]);
    park("hong@example.org").await.leads_to("/xyz/queue?told=parked");
    browser.get("/xyz/queue?told=parked").await.expect(200, &["이메일로 알려 드리겠습니다"]);
    browser.press("/xyz/queue/leave").await.leads_to("/");
    app.finish().await;
}

#[tokio::test]
async fn an_invitation_leaves_the_address_and_opens_its_lane() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    open_room(&app, &adult, Config { invited_share_pct: 20, ..config() }).await;
    let (_, invite) = invite::make(app.app(), "xyz", 1);
    let browser = Browser::new(&app);
    browser.get(&format!("/xyz/queue?invite={invite}")).await.leads_to("/xyz/queue");
    let hidden = browser.queue().await.expect(200, &["줄 서기"]).hidden("invite");
    assert_eq!(hidden, invite);
    let fields = [("invite", hidden.as_str())];
    let joined = browser.ask(reqwest::Method::POST, "/xyz/queue/join", Some(&fields)).await;
    joined.leads_to("/xyz/queue?told=joined");
    browser.queue().await.expect(200, &["초대"]);
    let forged = Browser::new(&app);
    let fields = [("invite", "AQAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")];
    forged.ask(reqwest::Method::POST, "/xyz/queue/join", Some(&fields)).await.expect(403, &["role=\"alert\""]);
    app.finish().await;
}

#[tokio::test]
async fn a_draw_is_promised_closed_held_and_shown() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let early = Browser::new(&app);
    early.get("/xyz/queue/draw").await.expect(200, &["순서 추첨이 없습니다"]);
    let opens_at = app.app().clock.now() + SignedDuration::from_secs(300);
    let config = Config { draw: true, opens_at: Some(opens_at), freeze_lead_s: 60, ..config() };
    move_room(&app, &adult, &config, &[Phase::Prequeue]).await;
    tick(&app, 6).await;

    early.queue().await.expect(200, &["곧 예매가 시작됩니다", "추첨으로 정합니다", "줄 서기"]);
    early.join().await;
    early.queue().await.expect(200, &["대기실에 들어오셨습니다", "접수 번호", "data-left=", "/xyz/queue/draw"]);
    let before = early.get("/xyz/queue/draw").await.expect(200, &["서버 값의 지문", "아직 추첨하지 않았습니다"]);
    let before = before.without("명단의 지문</dt>").without("draw-json");
    let promised = before.body.split("<code>").nth(1).unwrap().split('<').next().unwrap().to_owned();

    app.advance(Duration::from_secs(245)).await;
    app.until("the cohort is closed", async || {
        tick(&app, 1).await;
        early.queue().await.body.contains("순서를 추첨하고 있습니다")
    })
    .await;
    let closed = early.get("/xyz/queue/draw").await.expect(200, &["명단의 지문</dt>", "아직 추첨하지 않았습니다"]);
    closed.expect(200, &["id=\"mine\"", "data-m=\"1\"", "src=\"/assets/draw.", "내 번호 {number}번이 마감한 명단에"]);
    let proof = early.get("/api/exhibitions/xyz/queue/proof").await.expect(200, &["\"number\":1,", "\"steps\":[]"]);
    assert_eq!(proof.headers["cache-control"], "no-store");
    early.get("/xyz/queue/draw?lang=en").await.leads_to("/xyz/queue/draw");
    early.get("/xyz/queue/draw").await.expect(200, &["Your number {number} is among the closed entries"]);
    early.get("/xyz/queue/draw?lang=ko").await.leads_to("/xyz/queue/draw");

    app.advance(Duration::from_secs(60)).await;
    app.until("it is open", async || {
        tick(&app, 1).await;
        early.queue().await.body.contains("입장하실 차례입니다")
    })
    .await;
    let after = early.get("/xyz/queue/draw").await.expect(200, &["id=\"verify\"", "draw-json", "draw.", &promised]);
    let json = after.body.split("id=\"draw-json\">").nth(1).unwrap().split("</script>").next().unwrap();
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!((json["m"].as_i64(), json["exhibition_code"].as_str()), (Some(1), Some("xyz")));
    assert_eq!(json["seed_hash"], promised.as_str());
    let public = app.http.get(app.url("/api/exhibitions/xyz/queue/draw")).send().await.unwrap();
    let public: serde_json::Value = public.json().await.unwrap();
    assert_eq!(json["seed"], public["seed"]);
    app.finish().await;
}
