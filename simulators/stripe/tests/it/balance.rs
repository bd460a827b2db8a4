use crate::support::Stripe;
use serde_json::json;

const BALANCE: &str = "/v1/balance_transactions";

#[tokio::test]
async fn every_movement_is_booked_with_its_fee() {
    let stripe = Stripe::open().await;
    let id = stripe.paid("order-0001", 30_000).await;
    let refund = stripe.refund(&id, "amount=10000").await.text_of("id");
    let rows = stripe.get(BALANCE).await.json["data"].clone();
    let expected = [
        json!({ "type": "refund", "reporting_category": "refund", "amount": -10_000, "fee": 0, "net": -10_000, "source": refund }),
        json!({ "type": "charge", "reporting_category": "charge", "amount": 30_000, "fee": 1_080, "net": 28_920,
                "currency": "krw", "status": "pending", "object": "balance_transaction" }),
    ];
    for (n, row) in expected.iter().enumerate() {
        for (name, value) in row.as_object().expect("fields") {
            assert_eq!(&rows[n][name], value, "{name} of row {n}");
        }
    }
    assert_eq!(rows[1]["fee_details"][0]["type"], "stripe_fee");
    assert_eq!(rows[1]["source"], stripe.charge_of(&id).await["id"]);
    stripe.advance_s(7 * 86_400).await;
    let row = format!("{BALANCE}/{}", rows[1]["id"].as_str().expect("an id"));
    assert_eq!(stripe.get(&row).await.json["status"], "available");
    assert_eq!(stripe.get(&format!("{BALANCE}/txn_nobody")).await.code(), (404, "resource_missing"));
}

#[tokio::test]
async fn a_report_is_read_by_type_time_and_page() {
    let stripe = Stripe::open().await;
    for n in 0..3 {
        stripe.paid(&format!("order-{n}"), 1_000 + n).await;
        stripe.advance_s(10).await;
    }
    let amounts = async |query: &str| -> Vec<i64> {
        let rows = stripe.get(&format!("{BALANCE}?{query}")).await.json;
        rows["data"].as_array().expect("data").iter().map(|row| row["amount"].as_i64().expect("an amount")).collect()
    };
    assert_eq!(amounts("type=charge").await, [1_002, 1_001, 1_000]);
    assert!(amounts("type=refund").await.is_empty());
    let page = stripe.get(&format!("{BALANCE}?limit=2")).await.json;
    assert_eq!(page["has_more"], json!(true));
    let (second, at) = (page["data"][1]["id"].as_str().expect("an id"), page["data"][1]["created"].clone());
    assert_eq!(amounts(&format!("starting_after={second}")).await, [1_000]);
    assert_eq!(amounts(&format!("created[gte]={at}")).await, [1_002, 1_001]);
    assert_eq!(amounts(&format!("created[lt]={at}")).await, [1_000]);
    let source = page["data"][0]["source"].as_str().expect("a source");
    assert_eq!(amounts(&format!("source={source}")).await, [1_002]);
    let expanded = stripe.get(&format!("{BALANCE}?expand[]=data.source.payment_intent")).await.json;
    assert_eq!(expanded["data"][0]["source"]["payment_intent"]["metadata"]["order_id"], "order-2");
}

#[tokio::test]
async fn wallets_make_payments_and_not_charges() {
    let stripe = Stripe::open().await;
    let id = stripe.intent("order-0001", 1_000).await;
    stripe.control("authorise", json!({ "payment_intent": id, "method": "kakao_pay" })).await;
    stripe.capture(&id).await;
    stripe.refund(&id, "").await;
    let charge = stripe.charge_of(&id).await;
    assert!(charge["id"].as_str().expect("an id").starts_with("py_"));
    assert_eq!(charge["payment_method_details"]["type"], "kakao_pay");
    let rows = stripe.get(BALANCE).await.json["data"].clone();
    assert_eq!((&rows[0]["type"], &rows[1]["type"]), (&json!("payment_refund"), &json!("payment")));
    assert_eq!((&rows[0]["reporting_category"], &rows[1]["reporting_category"]), (&json!("refund"), &json!("charge")));
}
