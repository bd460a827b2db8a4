use crate::support::{Reply, Stripe, with_receiver};
use reqwest::Method;
use serde_json::json;

const BACK: &str = "http%3A%2F%2Fshop.test%2Fback%3Fseat%3D1";

async fn secret_of(stripe: &Stripe, id: &str) -> String {
    stripe.look(id).await["client_secret"].as_str().expect("a secret").to_owned()
}

async fn open(stripe: &Stripe, id: &str) -> Reply {
    let secret = secret_of(stripe, id).await;
    let path = format!("/window/{id}?client_secret={secret}&return_url={BACK}");
    stripe.send(stripe.request(Method::GET, &path)).await
}

async fn press(stripe: &Stripe, id: &str, button: &str, form: &str) -> Reply {
    let secret = secret_of(stripe, id).await;
    let request = stripe.request(Method::POST, &format!("/window/{id}/{button}"));
    let body = format!("client_secret={secret}&return_url={BACK}&{form}");
    stripe.send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
}

#[tokio::test]
async fn paying_redirects_as_stripe_does() {
    let stripe = Stripe::open().await;
    let form = "amount=154000&currency=krw&capture_method=manual&description=%EB%B4%84%3Cb%3E";
    let id = stripe.post("/v1/payment_intents", form).await.text_of("id");
    let page = open(&stripe, &id).await;
    for part in ["id=\"pay\"", "id=\"fail\"", "id=\"cancel\"", "154,000원", "봄&lt;b&gt;", "kakao_pay"] {
        assert!(page.text.contains(part), "{part} in {}", page.text);
    }
    assert!(!page.text.contains("{{"), "no placeholder left");
    let paid = press(&stripe, &id, "pay", "method=kr_card").await;
    assert_eq!(paid.status, 303, "{}", paid.text);
    let secret = secret_of(&stripe, &id).await;
    let expected = format!(
        "http://shop.test/back?seat=1&payment_intent={id}&payment_intent_client_secret={secret}&redirect_status=succeeded"
    );
    assert_eq!(paid.header("location"), expected);
    assert_eq!(stripe.status_of(&id).await, "requires_capture", "authorised, not charged");
    assert_eq!(stripe.counts().await["captured"], 0);
    assert_eq!(stripe.charge_of(&id).await["payment_method_details"]["kr_card"]["last4"], "1234");
    assert_eq!(press(&stripe, &id, "pay", "").await.header("location"), expected, "pressed twice");
    assert_eq!(stripe.counts().await["authorised"], 1);
    assert_eq!(open(&stripe, &id).await.status, 400, "nothing left to pay");
}

#[tokio::test]
async fn automatic_capture_is_paid_by_the_window() {
    let stripe = Stripe::open().await;
    let id = stripe.post("/v1/payment_intents", "amount=1000&currency=krw").await.text_of("id");
    assert!(press(&stripe, &id, "pay", "").await.header("location").ends_with("redirect_status=succeeded"));
    assert_eq!(stripe.status_of(&id).await, "succeeded");
}

#[tokio::test]
async fn a_refused_card_and_a_buyer_who_turns_away() {
    let (stripe, receiver) = with_receiver(&[]).await;
    let id = stripe.intent("order-0001", 1_000).await;
    let failed = press(&stripe, &id, "fail", "code=insufficient_funds").await;
    assert!(failed.header("location").ends_with("redirect_status=failed"), "{}", failed.text);
    let event = receiver.wait_for_type("payment_intent.payment_failed").await;
    assert_eq!(event["data"]["object"]["last_payment_error"]["decline_code"], "insufficient_funds");
    assert_eq!(press(&stripe, &id, "fail", "code=whim").await.status, 400);
    assert!(press(&stripe, &id, "cancel", "").await.header("location").ends_with("redirect_status=failed"));
    let tried = stripe.look(&id).await;
    assert_eq!(tried["status"], "requires_payment_method", "another try is possible");
    assert_eq!(tried["last_payment_error"]["code"], "payment_intent_authentication_failure");
    assert!(press(&stripe, &id, "pay", "").await.header("location").ends_with("redirect_status=succeeded"));
}

#[tokio::test]
async fn only_who_has_the_secret_may_look_or_press() {
    let stripe = Stripe::open().await;
    let id = stripe.intent("order-0001", 1_000).await;
    for query in
        ["", "client_secret=x", &format!("client_secret=x&return_url={BACK}"), "return_url=javascript:alert(1)"]
    {
        let page = stripe.send(stripe.request(Method::GET, &format!("/window/{id}?{query}"))).await;
        assert!(page.status >= 400, "{query}");
    }
    let request = stripe.request(Method::POST, &format!("/window/{id}/pay"));
    let body = format!("client_secret=x&return_url={BACK}");
    let pressed = stripe.send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await;
    assert_eq!(pressed.status, 404);
    assert_eq!(stripe.status_of(&id).await, "requires_payment_method");
    assert_eq!(press(&stripe, &id, "pay", "method=cash").await.status, 400);
    assert_eq!(press(&stripe, &id, "jump", "").await.status, 404);
    stripe.post(&format!("/v1/payment_intents/{id}/cancel"), "").await;
    assert_eq!(open(&stripe, &id).await.status, 400);
}

#[tokio::test]
async fn action_leads_to_the_window() {
    let stripe = Stripe::open().await;
    let id = stripe.intent("order-0001", 1_000).await;
    let form = "payment_method=pm_card_threeDSecure2Required&return_url=https://shop.test/back";
    let waits = stripe.post(&format!("/v1/payment_intents/{id}/confirm"), form).await;
    let url = waits.json["next_action"]["redirect_to_url"]["url"].as_str().expect("a window").to_owned();
    let page = stripe.send(stripe.http.get(url)).await;
    assert_eq!(page.status, 200, "{}", page.text);
    press(&stripe, &id, "pay", "method=card").await;
    assert_eq!(stripe.status_of(&id).await, "requires_capture");
}

#[tokio::test]
async fn the_script_is_served_where_stripes_is() {
    let stripe = Stripe::open().await;
    for path in ["/v3", "/v3/", "/v3/stripe.js"] {
        let script = stripe.send(stripe.request(Method::GET, path)).await;
        assert_eq!((script.status, script.header("content-type")), (200, "text/javascript; charset=utf-8"), "{path}");
        for part in ["confirmPayment", "retrievePaymentIntent", "elements"] {
            assert!(script.text.contains(part), "{part}");
        }
    }
    stripe.control("reset", json!({})).await;
}
