use crate::support::Bank;
use serde_json::{Value, json};

#[tokio::test]
async fn in_one_go_it_is_canceled_and_stays_so() {
    let bank = Bank::open().await;
    let key = bank.paid("order-0001", 11_000).await;
    let reply = bank.cancel(&key, json!({ "cancelReason": "고객 변심" })).await;
    let payment = &reply.json;
    assert_eq!((reply.status, &payment["status"], &payment["balanceAmount"]), (200, &json!("CANCELED"), &json!(0)));
    assert_eq!(
        (&payment["vat"], &payment["suppliedAmount"], &payment["totalAmount"]),
        (&json!(0), &json!(0), &json!(11_000))
    );
    let entry = &payment["cancels"][0];
    assert_eq!((&entry["cancelAmount"], &entry["refundableAmount"]), (&json!(11_000), &json!(0)));
    assert_eq!(entry["transactionKey"], payment["lastTransactionKey"]);
    assert_eq!(entry.get("receiptKey"), Some(&Value::Null));
    let again = bank.cancel(&key, json!({ "cancelReason": "고객 변심" })).await;
    assert_eq!(again.code(), (400, "ALREADY_CANCELED_PAYMENT"));
}

#[tokio::test]
async fn in_parts_it_stays_partial_to_the_end() {
    let bank = Bank::open().await;
    let key = bank.paid("order-0001", 10_000).await;
    let part = bank.cancel(&key, json!({ "cancelReason": "일부", "cancelAmount": 3_000 })).await.json;
    assert_eq!(
        (&part["status"], &part["balanceAmount"], &part["vat"]),
        (&json!("PARTIAL_CANCELED"), &json!(7_000), &json!(636))
    );
    let too_much = bank.cancel(&key, json!({ "cancelReason": "일부", "cancelAmount": 7_001 })).await;
    assert_eq!(too_much.code(), (403, "NOT_CANCELABLE_AMOUNT"));
    let rest = bank.cancel(&key, json!({ "cancelReason": "나머지" })).await.json;
    assert_eq!((&rest["status"], &rest["balanceAmount"]), (&json!("PARTIAL_CANCELED"), &json!(0)));
    assert_eq!(rest["cancels"].as_array().map(Vec::len), Some(2));
    let again = bank.cancel(&key, json!({ "cancelReason": "또" })).await;
    assert_eq!(again.code(), (403, "NOT_CANCELABLE_AMOUNT"), "not ALREADY_CANCELED_PAYMENT");
    assert_eq!(bank.counts().await["cancelled_amount"], 10_000);
}

#[tokio::test]
async fn the_balance_we_believe_in_is_a_lock() {
    let bank = Bank::open().await;
    let key = bank.paid("order-0001", 10_000).await;
    let wrong = json!({ "cancelReason": "변심", "cancelAmount": 1_000, "refundableAmount": 9_000 });
    assert_eq!(bank.cancel(&key, wrong).await.code(), (400, "NOT_MATCHES_REFUNDABLE_AMOUNT"));
    let right = json!({ "cancelReason": "변심", "cancelAmount": 1_000, "refundableAmount": 10_000 });
    assert_eq!(bank.cancel(&key, right).await.status, 200);
}

#[tokio::test]
async fn malformed_cancels_change_nothing() {
    let bank = Bank::open().await;
    let key = bank.paid("order-0001", 10_000).await;
    for body in [
        json!({}),
        json!({ "cancelReason": "" }),
        json!({ "cancelReason": "가".repeat(201) }),
        json!({ "cancelReason": "변심", "cancelAmount": 0 }),
        json!({ "cancelReason": "변심", "cancelAmount": -1 }),
        json!({ "cancelReason": "변심", "cancelAmount": 1.5 }),
        json!({ "cancelReason": "변심", "currency": "USD" }),
        json!({ "cancelReason": "변심", "cancelAmount": 100, "taxFreeAmount": 200 }),
    ] {
        assert_eq!(bank.cancel(&key, body.clone()).await.code(), (400, "INVALID_REQUEST"), "{body}");
    }
    assert_eq!(bank.get(&format!("/v1/payments/{key}")).await.json["balanceAmount"], 10_000);
}

#[tokio::test]
async fn what_was_never_paid_cannot_be_cancelled() {
    let bank = Bank::open().await;
    let key = bank.authorise("order-0001", 1_000).await;
    let body = json!({ "cancelReason": "변심" });
    assert_eq!(bank.cancel(&key, body.clone()).await.code(), (403, "NOT_CANCELABLE_PAYMENT"));
    assert_eq!(bank.cancel("tgen_unknown", body).await.code(), (404, "NOT_FOUND_PAYMENT"));
}

#[tokio::test]
async fn escrow_knows_no_parts_and_transfers_age() {
    let bank = Bank::open().await;
    let made = json!({ "orderId": "order-0001", "amount": 9_000, "method": "TRANSFER", "useEscrow": true });
    let made = bank.control("authorise", made).await;
    let key = made["paymentKey"].as_str().expect("key");
    bank.confirm(key, "order-0001", 9_000).await;
    let part = json!({ "cancelReason": "일부", "cancelAmount": 1_000 });
    assert_eq!(bank.cancel(key, part).await.code(), (403, "NOT_ALLOWED_PARTIAL_REFUND"));
    bank.advance_s(181 * 86_400).await;
    let late = bank.cancel(key, json!({ "cancelReason": "늦음" })).await;
    assert_eq!(late.code(), (403, "EXCEED_MAX_REFUND_DUE"));
}

#[tokio::test]
async fn the_dashboard_cancels_behind_our_back() {
    let (bank, receiver) = crate::support::bank_with_receiver(&[]).await;
    let key = bank.paid("order-0001", 10_000).await;
    receiver.wait_for(1).await;
    let done = bank.control("dashboard-cancel", json!({ "paymentKey": key, "amount": 4_000 })).await;
    assert_eq!((&done["status"], &done["balanceAmount"]), (&json!("PARTIAL_CANCELED"), &json!(6_000)));
    let arrived = receiver.wait_for(2).await;
    assert_eq!(arrived[1].1["data"]["balanceAmount"], 6_000);
    let refused = bank.post("/_sim/dashboard-cancel", json!({ "paymentKey": key, "amount": 6_001 })).await;
    assert_eq!(refused.status, 403);
}
