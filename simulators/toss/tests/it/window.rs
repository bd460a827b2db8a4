use crate::support::{Bank, Reply};
use reqwest::Method;
use serde_json::json;

const ASK: &str = "clientKey=test_ck_DEMO000000000000000000&customerKey=c-1&method=CARD&amount=154000&currency=KRW\
                   &orderId=order-0001&orderName=%EB%B4%84%3Cb%3E&successUrl=http%3A%2F%2Fshop.test%2Fback%3Fseat%3D1\
                   &failUrl=https%3A%2F%2Fshop.test%2Ffail";

/// Opens the window as the script does and follows to the page.
async fn open(bank: &Bank, ask: &str) -> (String, Reply) {
    let opened = bank.send(bank.request(Method::GET, &format!("/_sim/window?{ask}"))).await;
    assert_eq!(opened.status, 303, "{}", opened.text);
    let path = opened.header("location").to_owned();
    let key = path.split('/').nth(3).expect("a key").to_owned();
    let page = bank.send(bank.request(Method::GET, &path)).await;
    (key, page)
}

async fn press(bank: &Bank, key: &str, button: &str, form: &str) -> Reply {
    let request = bank.request(Method::POST, &format!("/_sim/checkout/{key}/{button}"));
    bank.send(request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned())).await
}

#[tokio::test]
async fn paying_redirects_with_the_four_parameters() {
    let bank = Bank::open().await;
    let (key, page) = open(&bank, ASK).await;
    for part in ["id=\"pay\"", "id=\"fail\"", "id=\"cancel\"", "154,000원", "봄&lt;b&gt;", "결제하기"] {
        assert!(page.text.contains(part), "{part} in {}", page.text);
    }
    assert!(!page.text.contains("{{"), "no placeholder left");
    let paid = press(&bank, &key, "pay", "method=EASY_PAY").await;
    assert_eq!(paid.status, 303);
    let expected =
        format!("http://shop.test/back?seat=1&paymentType=NORMAL&orderId=order-0001&paymentKey={key}&amount=154000");
    assert_eq!(paid.header("location"), expected);
    assert_eq!(bank.counts().await["approved"], 0, "authenticated, not charged");
    assert_eq!(press(&bank, &key, "pay", "").await.header("location"), expected, "pressed twice");
    let confirmed = bank.confirm(&key, "order-0001", 154_000).await.json;
    assert_eq!(confirmed["easyPay"]["provider"], "토스페이");
    assert_eq!(press(&bank, &key, "pay", "").await.status, 400, "already processed");
}

#[tokio::test]
async fn the_payment_type_is_optional() {
    let bank = Bank::open().await;
    bank.control("options", json!({ "payment_type_on_redirect": false })).await;
    let (key, _) = open(&bank, ASK).await;
    assert!(!press(&bank, &key, "pay", "").await.header("location").contains("paymentType"));
}

#[tokio::test]
async fn a_refused_card_names_the_order_and_a_turned_away_buyer_does_not() {
    let bank = Bank::open().await;
    let (key, _) = open(&bank, ASK).await;
    let cancelled = press(&bank, &key, "cancel", "").await;
    let location = cancelled.header("location");
    assert!(location.starts_with("https://shop.test/fail?code=PAY_PROCESS_CANCELED&message=%"), "{location}");
    assert!(!location.contains("orderId"), "{location}");
    let failed = press(&bank, &key, "fail", "code=PAY_PROCESS_ABORTED").await;
    assert!(failed.header("location").starts_with("https://shop.test/fail?code=PAY_PROCESS_ABORTED&"));
    assert!(failed.header("location").ends_with("&orderId=order-0001"));
    assert_eq!(press(&bank, &key, "fail", "").await.status, 303);
    assert_eq!(press(&bank, &key, "fail", "code=ANYTHING").await.status, 400);
    assert_eq!(bank.get(&format!("/v1/payments/{key}")).await.json["status"], "READY");
    bank.advance_s(30 * 60).await;
    assert_eq!(bank.get(&format!("/v1/payments/{key}")).await.json["status"], "EXPIRED");
    assert_eq!(press(&bank, &key, "pay", "").await.status, 400, "thirty minutes are over");
}

#[tokio::test]
async fn a_bad_request_opens_no_window() {
    let bank = Bank::open().await;
    for (from, to, code) in [
        ("test_ck_DEMO", "test_ck_OTHER", "UNAUTHORIZED_KEY"),
        ("http%3A%2F%2Fshop.test%2Fback", "javascript%3Aalert(1)%2F", "INCORRECT_SUCCESS_URL_FORMAT"),
        ("https%3A%2F%2Fshop.test%2Ffail", "%2Ffail", "INCORRECT_FAIL_URL_FORMAT"),
        ("amount=154000", "amount=0", "INVALID_REQUEST"),
        ("orderId=order-0001", "orderId=no", "INVALID_ORDER_ID"),
        ("method=CARD", "method=GOLD", "NOT_SUPPORTED_METHOD"),
        ("currency=KRW", "currency=USD", "INVALID_CURRENCY"),
    ] {
        let path = format!("/_sim/window?{}", ASK.replace(from, to));
        let reply = bank.send(bank.request(Method::GET, &path)).await;
        assert!((400..500).contains(&reply.status) && reply.text.contains(code), "{code}: {}", reply.text);
    }
    assert_eq!(bank.get("/_sim/payments").await.json["payments"], json!([]));
}

#[tokio::test]
async fn a_server_can_create_the_window() {
    let bank = Bank::open().await;
    let mut body = json!({ "method": "CARD", "amount": 15_000, "orderId": "order-0001", "orderName": "입장권",
        "successUrl": "http://shop.test/back", "failUrl": "http://shop.test/fail" });
    let made = bank.post("/v1/payments", body.clone()).await;
    assert_eq!(
        (made.status, &made.json["status"], &made.json["method"]),
        (200, &json!("READY"), &serde_json::Value::Null)
    );
    let checkout = made.json["checkout"]["url"].as_str().expect("url");
    let path = checkout.strip_prefix(&bank.running.base_url()).expect("our own origin");
    assert!(bank.send(bank.request(Method::GET, path)).await.text.contains("15,000원"));
    let key = made.json["paymentKey"].as_str().expect("key");
    assert_eq!(
        bank.confirm(key, "order-0001", 15_000).await.code(),
        (404, "NOT_FOUND_PAYMENT_SESSION"),
        "not authenticated"
    );
    press(&bank, key, "pay", "").await;
    assert_eq!(bank.confirm(key, "order-0001", 15_000).await.status, 200);
    body["successUrl"] = "/relative".into();
    assert_eq!(bank.post("/v1/payments", body.clone()).await.code(), (400, "INCORRECT_SUCCESS_URL_FORMAT"));
    body["successUrl"] = serde_json::Value::Null;
    assert_eq!(bank.post("/v1/payments", body).await.code(), (400, "INVALID_SUCCESS_URL"));
}

#[tokio::test]
async fn the_script_is_served_and_names_no_fixed_host() {
    let bank = Bank::open().await;
    let script = bank.send(bank.request(Method::GET, "/v2/standard")).await;
    assert!(script.header("content-type").starts_with("application/javascript"));
    assert!(script.text.contains("document.currentScript") && script.text.contains("@@ANONYMOUS"));
}

#[tokio::test]
async fn a_promise_is_answered_by_a_message_to_its_own_origin() {
    let bank = Bank::open().await;
    let ask = ASK.split("&successUrl").next().expect("a part").to_owned() + "&opener=http%3A%2F%2Fshop.test";
    let (key, _) = open(&bank, &ask).await;
    let turned_away = press(&bank, &key, "cancel", "").await;
    assert!(turned_away.text.contains("USER_CANCEL") && turned_away.text.contains(r#", "http://shop.test")"#));
    let paid = press(&bank, &key, "pay", "").await;
    assert!(paid.status == 200 && paid.text.contains(&key), "{}", paid.text);
}
