use crate::support::Stripe;
use serde_json::json;

const INTENTS: &str = "/v1/payment_intents";
const WEEK_S: u32 = 7 * 86_400;

#[tokio::test]
async fn an_intent_begins_with_nothing_paid() {
    let stripe = Stripe::open().await;
    let form = "amount=30000&currency=krw&capture_method=manual&automatic_payment_methods[enabled]=true\
                &metadata[order_id]=ORD-1&metadata[attempt]=2&description=%EB%B4%84%20%EC%A0%84%EC%8B%9C\
                &receipt_email=a%40b.kr&statement_descriptor_suffix=ADMIT";
    let made = stripe.post(INTENTS, form).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let id = made.text_of("id");
    assert!(id.starts_with("pi_3") && made.text_of("client_secret").starts_with(&format!("{id}_secret_")));
    let expected = json!({
        "object": "payment_intent", "status": "requires_payment_method", "amount": 30_000, "amount_capturable": 0,
        "amount_received": 0, "currency": "krw", "capture_method": "manual", "description": "봄 전시",
        "metadata": { "order_id": "ORD-1", "attempt": "2" }, "receipt_email": "a@b.kr", "livemode": false,
        "statement_descriptor_suffix": "ADMIT", "latest_charge": null, "last_payment_error": null,
        "automatic_payment_methods": { "enabled": true, "allow_redirects": "always" },
        "payment_method_types": ["card", "kr_card", "kakao_pay", "naver_pay"],
    });
    for (name, value) in expected.as_object().expect("fields") {
        assert_eq!(&made.json[name], value, "{name}");
    }
    assert_eq!(stripe.look(&id).await, made.json);
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_name() {
    let stripe = Stripe::open().await;
    for (form, code, param) in [
        ("currency=krw", "parameter_missing", "amount"),
        ("amount=1000", "parameter_missing", "currency"),
        ("amount=ten&currency=krw", "parameter_invalid_integer", "amount"),
        ("amount=0&currency=krw", "parameter_invalid_integer", "amount"),
        ("amount=100000000&currency=krw", "amount_too_large", "amount"),
        ("amount=1000&currency=usd", "invalid_request_error", "currency"),
        ("amount=1000&currency=krw&colour=red", "parameter_unknown", "colour"),
        ("amount=1000&currency=krw&capture_method=never", "invalid_request_error", "capture_method"),
        ("amount=1000&currency=krw&receipt_email=nobody", "email_invalid", "receipt_email"),
        ("amount=1000&currency=krw&expand[]=customer.mother", "invalid_request_error", "expand"),
    ] {
        let refused = stripe.post(INTENTS, form).await;
        assert_eq!(refused.code(), (400, code), "{form}");
        assert_eq!(refused.json["error"]["param"], param, "{form}");
    }
    assert_eq!(stripe.counts().await["intents"], 0);
}

#[tokio::test]
async fn authorised_first_and_captured_by_the_server() {
    let stripe = Stripe::open().await;
    let id = stripe.authorised("order-0001", 30_000).await;
    let held = stripe.look(&id).await;
    assert_eq!((&held["status"], &held["amount_capturable"]), (&json!("requires_capture"), &json!(30_000)));
    let charge = stripe.charge_of(&id).await;
    assert_eq!(
        (&charge["captured"], &charge["paid"], &charge["amount"]),
        (&json!(false), &json!(true), &json!(30_000))
    );
    assert_eq!(charge["balance_transaction"], json!(null), "no money has moved");
    let before = charge["payment_method_details"]["card"]["capture_before"].as_i64().expect("a time");
    assert_eq!(before - held["created"].as_i64().expect("a time"), i64::from(WEEK_S));

    let taken = stripe.capture(&id).await;
    assert_eq!((taken.status, &taken.json["status"]), (200, &json!("succeeded")));
    assert_eq!((&taken.json["amount_received"], &taken.json["amount_capturable"]), (&json!(30_000), &json!(0)));
    let charge = stripe.charge_of(&id).await;
    assert_eq!((&charge["captured"], &charge["amount_captured"]), (&json!(true), &json!(30_000)));
    assert_eq!(charge["payment_method_details"]["card"]["last4"], "4242");
    assert!(charge["balance_transaction"].as_str().expect("a movement").starts_with("txn_"));

    let again = stripe.capture(&id).await;
    assert_eq!(again.code(), (400, "payment_intent_unexpected_state"));
    assert_eq!(again.json["error"]["payment_intent"]["status"], "succeeded");
    let counts = stripe.counts().await;
    assert_eq!((&counts["captured"], &counts["captured_amount"]), (&json!(1), &json!(30_000)));
}

#[tokio::test]
async fn a_part_is_captured_and_the_rest_released() {
    let stripe = Stripe::open().await;
    let id = stripe.authorised("order-0001", 30_000).await;
    let path = format!("{INTENTS}/{id}/capture");
    assert_eq!(stripe.post(&path, "amount_to_capture=30001").await.code(), (400, "amount_too_large"));
    let taken = stripe.post(&path, "amount_to_capture=20000").await;
    assert_eq!((&taken.json["amount"], &taken.json["amount_received"]), (&json!(30_000), &json!(20_000)));
    let charge = stripe.charge_of(&id).await;
    assert_eq!((&charge["amount_captured"], &charge["amount_refunded"]), (&json!(20_000), &json!(10_000)));
    assert_eq!(charge["refunded"], json!(false));
    assert_eq!(stripe.refund(&id, "amount=20001").await.status, 400, "only what was captured comes back");
    assert_eq!(stripe.refund(&id, "").await.json["amount"], 20_000);
    assert_eq!(stripe.charge_of(&id).await["refunded"], json!(true));
}

#[tokio::test]
async fn nothing_is_captured_that_was_not_authorised() {
    let stripe = Stripe::open().await;
    let id = stripe.intent("order-0001", 1_000).await;
    let early = stripe.capture(&id).await;
    assert_eq!(early.code(), (400, "payment_intent_unexpected_state"));
    assert!(early.text.contains("it has a status of requires_payment_method"), "{}", early.text);
    assert_eq!(stripe.capture("pi_nobody").await.code(), (404, "resource_missing"));
}

#[tokio::test]
async fn cancelling_releases_the_money_and_is_final() {
    let stripe = Stripe::open().await;
    let id = stripe.authorised("order-0001", 1_000).await;
    let path = format!("{INTENTS}/{id}/cancel");
    assert_eq!(stripe.post(&path, "cancellation_reason=bored").await.status, 400);
    let gone = stripe.post(&path, "cancellation_reason=abandoned").await;
    assert_eq!((&gone.json["status"], &gone.json["cancellation_reason"]), (&json!("canceled"), &json!("abandoned")));
    assert_eq!((&gone.json["amount_capturable"], gone.json["canceled_at"].is_i64()), (&json!(0), true));
    let charge = stripe.charge_of(&id).await;
    assert_eq!((&charge["captured"], &charge["refunded"]), (&json!(false), &json!(true)));
    assert_eq!(stripe.post(&path, "").await.code(), (400, "payment_intent_unexpected_state"));
    assert_eq!(stripe.capture(&id).await.code(), (400, "payment_intent_unexpected_state"));
    let late = stripe.try_control("authorise", json!({ "payment_intent": id })).await;
    assert_eq!(late.status, 400);
    let paid = stripe.paid("order-0002", 1_000).await;
    let kept = stripe.post(&format!("{INTENTS}/{paid}/cancel"), "").await;
    assert_eq!(kept.code(), (400, "payment_intent_unexpected_state"));
}

#[tokio::test]
async fn an_authorisation_lapses_after_seven_days() {
    let stripe = Stripe::open().await;
    let id = stripe.authorised("order-0001", 1_000).await;
    stripe.advance_s(WEEK_S - 60).await;
    assert_eq!(stripe.status_of(&id).await, "requires_capture");
    stripe.advance_s(60).await;
    let lapsed = stripe.look(&id).await;
    assert_eq!((&lapsed["status"], &lapsed["cancellation_reason"]), (&json!("canceled"), &json!("automatic")));
    assert_eq!(stripe.capture(&id).await.code(), (400, "payment_intent_unexpected_state"));
    assert_eq!(stripe.counts().await["expired"], 1);
}

#[tokio::test]
async fn a_server_may_confirm_with_test_cards() {
    let stripe = Stripe::open().await;
    let confirm = async |id: &str, form: &str| stripe.post(&format!("{INTENTS}/{id}/confirm"), form).await;
    let id = stripe.intent("order-0001", 1_000).await;
    let nothing = confirm(&id, "return_url=https://shop.test/back").await;
    assert_eq!(nothing.code(), (400, "payment_intent_unexpected_state"), "no method yet");
    assert_eq!(confirm(&id, "payment_method=pm_card_visa").await.json["error"]["param"], "return_url");
    let form = |card: &str| format!("payment_method={card}&return_url=https://shop.test/back");

    let declined = confirm(&id, &form("pm_card_chargeDeclinedInsufficientFunds")).await;
    assert_eq!(declined.code(), (402, "card_declined"));
    let error = &declined.json["error"];
    assert_eq!((&error["type"], &error["decline_code"]), (&json!("card_error"), &json!("insufficient_funds")));
    assert_eq!(error["payment_intent"]["status"], "requires_payment_method");
    let tried = stripe.look(&id).await;
    assert_eq!(tried["last_payment_error"]["decline_code"], "insufficient_funds");
    assert_eq!(stripe.charge_of(&id).await["status"], "failed");

    let waits = confirm(&id, &form("pm_card_authenticationRequired")).await;
    assert_eq!(waits.json["status"], "requires_action");
    let url = waits.json["next_action"]["redirect_to_url"]["url"].as_str().expect("a window");
    assert!(url.starts_with(&format!("{}/window/{id}?", stripe.running.base_url())), "{url}");

    let paid = confirm(&id, &form("pm_card_mastercard")).await;
    assert_eq!((paid.status, &paid.json["status"]), (200, &json!("requires_capture")));
    assert_eq!((&paid.json["last_payment_error"], &paid.json["next_action"]), (&json!(null), &json!(null)));
    assert_eq!(confirm(&id, &form("pm_card_visa")).await.code(), (400, "payment_intent_unexpected_state"));
}

#[tokio::test]
async fn automatic_capture_pays_at_once() {
    let stripe = Stripe::open().await;
    let form = "amount=1000&currency=krw&payment_method_types[]=card&payment_method=pm_card_visa";
    let waiting = stripe.post(INTENTS, form).await;
    assert_eq!(waiting.json["status"], "requires_confirmation");
    let done = stripe.post(&format!("{INTENTS}/{}/confirm", waiting.text_of("id")), "").await;
    assert_eq!((&done.json["status"], &done.json["amount_received"]), (&json!("succeeded"), &json!(1_000)));
    let at_once = stripe.post(INTENTS, &format!("{form}&confirm=true")).await;
    assert_eq!(at_once.json["status"], "succeeded");
}

#[tokio::test]
async fn a_payment_may_take_its_time() {
    let stripe = Stripe::open().await;
    let id = stripe.intent("order-0001", 1_000).await;
    let by_order = json!({ "metadata": { "order_id": "order-0001" }, "outcome": "process" });
    stripe.control("authorise", by_order).await;
    assert_eq!(stripe.status_of(&id).await, "processing");
    assert_eq!(stripe.post(&format!("{INTENTS}/{id}/cancel"), "").await.status, 400);
    stripe.control("authorise", json!({ "payment_intent": id, "outcome": "decline", "code": "do_not_honor" })).await;
    assert_eq!(stripe.status_of(&id).await, "requires_payment_method");
    stripe.control("authorise", json!({ "payment_intent": id, "outcome": "turn_away" })).await;
    let tried = stripe.look(&id).await;
    assert_eq!(tried["last_payment_error"]["code"], "payment_intent_authentication_failure");
}

#[tokio::test]
async fn ids_become_objects_on_request() {
    let stripe = Stripe::open().await;
    let id = stripe.paid("order-0001", 1_000).await;
    let path = format!("{INTENTS}/{id}?expand[]=latest_charge.balance_transaction");
    let shown = stripe.get(&path).await.json;
    assert_eq!(shown["latest_charge"]["object"], "charge");
    assert_eq!(shown["latest_charge"]["balance_transaction"]["amount"], 1_000);
    let refund = stripe.refund(&id, "expand[]=payment_intent&expand[]=charge").await.json;
    assert_eq!((&refund["payment_intent"]["id"], &refund["charge"]["object"]), (&json!(id), &json!("charge")));
}

#[tokio::test]
async fn lists_are_paged_newest_first() {
    let stripe = Stripe::open().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(stripe.intent(&format!("order-{n}"), 1_000).await);
        stripe.advance_s(10).await;
    }
    ids.reverse();
    let page = async |query: &str| stripe.get(&format!("{INTENTS}?{query}")).await.json;
    let ids_of = |page: &serde_json::Value| -> Vec<String> {
        page["data"].as_array().expect("data").iter().map(|one| one["id"].as_str().expect("id").to_owned()).collect()
    };
    let first = page("limit=2").await;
    assert_eq!(
        (ids_of(&first), &first["has_more"], &first["object"]),
        (ids[..2].to_vec(), &json!(true), &json!("list"))
    );
    let rest = page(&format!("limit=100&starting_after={}", ids[1])).await;
    assert_eq!((ids_of(&rest), &rest["has_more"]), (ids[2..].to_vec(), &json!(false)));
    assert_eq!(ids_of(&page(&format!("limit=2&ending_before={}", ids[3])).await), ids[1..3].to_vec());
    let third = stripe.look(&ids[2]).await["created"].clone();
    assert_eq!(ids_of(&page(&format!("created[gte]={third}")).await), ids[..3].to_vec());
    assert_eq!(ids_of(&page(&format!("created[lt]={third}")).await), ids[3..].to_vec());
    for wrong in ["limit=0", "limit=101", "limit=x", "starting_after=pi_nobody", "created[near]=1"] {
        assert_eq!(stripe.get(&format!("{INTENTS}?{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn the_number_of_payments_is_bounded() {
    let settings = stripe_simulator::Settings { intents_max: 1, ..Default::default() };
    let stripe = Stripe::with(settings).await;
    stripe.intent("order-0001", 1_000).await;
    assert_eq!(stripe.post(INTENTS, "amount=1000&currency=krw").await.code(), (503, "api_error"));
    stripe.control("reset", json!({})).await;
    stripe.intent("order-0002", 1_000).await;
}
