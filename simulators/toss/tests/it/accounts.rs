use crate::support::{Bank, bank_with_receiver};
use serde_json::{Value, json};

fn account(order_id: &str) -> Value {
    json!({ "amount": 30_000, "orderId": order_id, "orderName": "입장권", "customerName": "김하늘", "bank": "20" })
}

const REFUND_ACCOUNT: fn() -> Value =
    || json!({ "bank": "88", "accountNumber": "110123456789", "holderName": "김하늘" });

#[tokio::test]
async fn a_confirmed_account_is_not_yet_paid() {
    let (bank, receiver) = bank_with_receiver(&[]).await;
    let key = bank.authorise_by("order-0001", 30_000, "VIRTUAL_ACCOUNT").await;
    let issued = bank.confirm(&key, "order-0001", 30_000).await.json;
    assert_eq!((&issued["status"], &issued["method"]), (&json!("WAITING_FOR_DEPOSIT"), &json!("가상계좌")));
    assert_eq!((&issued["approvedAt"], &issued["card"]), (&Value::Null, &Value::Null));
    let account = &issued["virtualAccount"];
    assert!(account["accountNumber"].as_str().expect("number").starts_with('X'));
    assert!(account["dueDate"].as_str().expect("date").ends_with("+09:00"));
    assert_eq!((&account["expired"], &account["depositorName"]), (&json!(false), &Value::Null));
    assert_eq!(bank.counts().await["approved_amount"], 0);

    bank.control("deposit", json!({ "orderId": "order-0001" })).await;
    let paid = bank.get("/v1/payments/orders/order-0001").await.json;
    assert_eq!(paid["status"], "DONE");
    assert!(paid["approvedAt"].is_string());
    assert_eq!(bank.counts().await["approved_amount"], 30_000);

    let arrived = receiver.wait_for(4).await;
    let callbacks: Vec<&Value> =
        arrived.iter().map(|(_, body)| body).filter(|body| body["secret"].is_string()).collect();
    assert_eq!(callbacks.len(), 2, "each change arrives in both shapes");
    for callback in callbacks {
        assert_eq!(callback["secret"], issued["secret"]);
        assert!(callback.get("eventType").is_none() && callback.get("paymentKey").is_none());
        assert!(callback["transactionKey"].is_string() && callback["createdAt"].is_string());
    }
}

#[tokio::test]
async fn an_account_can_be_had_without_a_window() {
    let bank = Bank::open().await;
    let issued = bank.post("/v1/virtual-accounts", account("order-0001")).await;
    assert_eq!((issued.status, &issued.json["status"]), (200, &json!("WAITING_FOR_DEPOSIT")));
    assert!(issued.json["secret"].is_string());
    assert_eq!(issued.json["virtualAccount"]["bankCode"], "20");
    assert_eq!(bank.post("/v1/virtual-accounts", account("order-0001")).await.code(), (400, "DUPLICATED_ORDER_ID"));
    for (change, code) in [
        (json!({ "bank": "없는은행" }), "INVALID_BANK"),
        (json!({ "validHours": 2_161 }), "EXCEED_MAX_VALID_HOURS"),
        (json!({ "validHours": 5, "dueDate": "2030-01-01T00:00:00" }), "INVALID_VALID_HOURS_WITH_DUE_DATE_AND_SINGLE"),
        (json!({ "dueDate": "2999-01-01T00:00:00" }), "EXCEED_MAX_DUE_DATE"),
        (json!({ "orderName": "" }), "INVALID_ORDER_NAME"),
        (json!({ "orderId": "a b c d" }), "INVALID_ORDER_ID"),
        (json!({ "customerName": null }), "INVALID_REQUEST"),
    ] {
        let mut body = account("order-0002");
        body.as_object_mut().expect("object").extend(change.as_object().expect("object").clone());
        assert_eq!(bank.post("/v1/virtual-accounts", body).await.code(), (400, code), "{change}");
    }
}

#[tokio::test]
async fn a_due_date_passes_in_silence() {
    let (bank, receiver) = bank_with_receiver(&[]).await;
    bank.post("/v1/virtual-accounts", account("order-0001")).await;
    receiver.wait_for(2).await;
    bank.advance_s(168 * 3_600).await;
    let over = bank.get("/v1/payments/orders/order-0001").await.json;
    assert_eq!((&over["status"], &over["virtualAccount"]["expired"]), (&json!("WAITING_FOR_DEPOSIT"), &json!(true)));
    assert_eq!(bank.post("/_sim/deposit", json!({ "orderId": "order-0001" })).await.status, 409);
    assert_eq!(bank.counts().await["webhooks"]["created"], 2);
}

#[tokio::test]
async fn a_deposit_can_be_reversed() {
    let (bank, receiver) = bank_with_receiver(&[]).await;
    bank.control("options", json!({ "deposit_callback": false })).await;
    bank.post("/v1/virtual-accounts", account("order-0001")).await;
    bank.control("deposit", json!({ "orderId": "order-0001" })).await;
    bank.control("deposit-reverse", json!({ "orderId": "order-0001" })).await;
    let back = bank.get("/v1/payments/orders/order-0001").await.json;
    assert_eq!((&back["status"], &back["approvedAt"]), (&json!("WAITING_FOR_DEPOSIT"), &Value::Null));
    let counts = bank.counts().await;
    assert_eq!((&counts["approved_amount"], &counts["reversed_amount"]), (&json!(30_000), &json!(30_000)));
    receiver.wait_for(3).await;
    assert_eq!(bank.post("/_sim/deposit-reverse", json!({ "orderId": "order-0001" })).await.status, 409);
}

#[tokio::test]
async fn before_its_deposit_only_the_whole_can_be_cancelled() {
    let bank = Bank::open().await;
    let key = bank.post("/v1/virtual-accounts", account("order-0001")).await.json["paymentKey"].clone();
    let key = key.as_str().expect("key");
    let part = json!({ "cancelReason": "일부", "cancelAmount": 1_000 });
    assert_eq!(bank.cancel(key, part).await.code(), (403, "NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT"));
    let whole = bank.cancel(key, json!({ "cancelReason": "변심" })).await.json;
    assert_eq!(whole["status"], "CANCELED");
    assert_eq!(bank.counts().await["cancelled_amount"], 0, "there was no money to give back");
}

#[tokio::test]
async fn a_deposit_is_refunded_to_an_account() {
    let bank = Bank::open().await;
    let key = bank.post("/v1/virtual-accounts", account("order-0001")).await.json["paymentKey"].clone();
    let key = key.as_str().expect("key");
    bank.control("deposit", json!({ "orderId": "order-0001" })).await;
    assert_eq!(bank.cancel(key, json!({ "cancelReason": "변심" })).await.code(), (400, "INVALID_REQUEST"));
    for (field, value, code) in [
        ("bank", "없음", "INVALID_BANK"),
        ("accountNumber", "12-34", "INVALID_REFUND_ACCOUNT_NUMBER"),
        ("holderName", "", "INVALID_REFUND_ACCOUNT_INFO"),
    ] {
        let mut to = REFUND_ACCOUNT();
        to[field] = value.into();
        let reply = bank.cancel(key, json!({ "cancelReason": "변심", "refundReceiveAccount": to })).await;
        assert_eq!(reply.code(), (400, code));
    }
    let body = json!({ "cancelReason": "변심", "cancelAmount": 10_000, "refundReceiveAccount": REFUND_ACCOUNT() });
    let part = bank.cancel(key, body).await.json;
    assert_eq!(
        (&part["status"], &part["virtualAccount"]["refundStatus"]),
        (&json!("PARTIAL_CANCELED"), &json!("PENDING"))
    );
    bank.advance_s(2 * 86_400).await;
    let later = bank.get(&format!("/v1/payments/{key}")).await.json;
    assert_eq!(later["virtualAccount"]["refundStatus"], "COMPLETED");
    let body = json!({ "cancelReason": "변심", "refundReceiveAccount": REFUND_ACCOUNT() });
    assert_eq!(bank.cancel(key, body).await.json["virtualAccount"]["refundStatus"], "PENDING");
    bank.control("refund-bounce", json!({ "orderId": "order-0001" })).await;
    bank.advance_s(2 * 86_400).await;
    let bounced = bank.get(&format!("/v1/payments/{key}")).await.json;
    assert_eq!((&bounced["virtualAccount"]["refundStatus"], &bounced["balanceAmount"]), (&json!("FAILED"), &json!(0)));
}

#[tokio::test]
async fn the_secret_can_be_scarce() {
    let bank = Bank::open().await;
    bank.control("options", json!({ "secret": "virtual_account", "secret_on_get": false })).await;
    let card = bank.authorise("order-0001", 1_000).await;
    assert_eq!(bank.confirm(&card, "order-0001", 1_000).await.json["secret"], Value::Null);
    let issued = bank.post("/v1/virtual-accounts", account("order-0002")).await.json;
    assert!(issued["secret"].is_string());
    assert_eq!(bank.get("/v1/payments/orders/order-0002").await.json["secret"], Value::Null);
}
