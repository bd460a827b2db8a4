use crate::support::{Bank, ask, bank_with_receiver};
use serde_json::{Value, json};

#[tokio::test]
async fn a_confirm_answers_the_whole_payment() {
    let bank = Bank::open().await;
    let key = bank.authorise("order-0001", 154_000).await;
    assert_eq!(bank.get(&format!("/v1/payments/{key}")).await.json["status"], "IN_PROGRESS");
    assert_eq!(bank.counts().await["approved_amount"], 0);

    let reply = bank.confirm(&key, "order-0001", 154_000).await;
    assert_eq!(reply.status, 200);
    let paid = &reply.json;
    for (field, value) in [
        ("status", json!("DONE")),
        ("method", json!("카드")),
        ("totalAmount", json!(154_000)),
        ("balanceAmount", json!(154_000)),
        ("suppliedAmount", json!(140_000)),
        ("vat", json!(14_000)),
        ("version", json!("2022-11-16")),
        ("currency", json!("KRW")),
        ("orderId", json!("order-0001")),
        ("paymentKey", json!(key)),
    ] {
        assert_eq!(paid[field], value, "{field}");
    }
    for absent in ["virtualAccount", "transfer", "mobilePhone", "giftCertificate", "easyPay", "cashReceipt", "cancels"]
    {
        assert_eq!(paid.get(absent), Some(&Value::Null), "{absent} is null, not left out");
    }
    assert!(paid["secret"].as_str().expect("secret").starts_with("ps_"));
    assert!(paid["lastTransactionKey"].as_str().expect("key").starts_with("txrd_a01"));
    assert_eq!(paid["card"]["approveNo"], "00000000");
    assert!(!reply.header("x-tosspayments-trace-id").is_empty());
    assert_shapes(paid);
    let counts = bank.counts().await;
    assert_eq!(
        (&counts["confirms"], &counts["approved"], &counts["approved_amount"]),
        (&json!(1), &json!(1), &json!(154_000))
    );
}

/// `tgen_` + 14 digits + 5 characters, and `yyyy-MM-ddTHH:mm:ss+09:00`.
fn assert_shapes(paid: &Value) {
    let key = paid["paymentKey"].as_str().expect("key");
    assert!(key.len() == 24 && key.starts_with("tgen_") && key[5..19].bytes().all(|b| b.is_ascii_digit()), "{key}");
    for field in ["requestedAt", "approvedAt"] {
        let at = paid[field].as_str().expect("time");
        assert!(at.len() == 25 && at.ends_with("+09:00") && &at[10..11] == "T", "{at}");
    }
}

#[tokio::test]
async fn vat_is_an_eleventh_rounded() {
    let bank = Bank::open().await;
    for (order, total, supplied, vat) in
        [("vat-0001", 163_020, 148_200, 14_820), ("vat-0002", 9_026, 8_205, 821), ("vat-0003", 1_000, 909, 91)]
    {
        let key = bank.authorise(order, total).await;
        let paid = bank.confirm(&key, order, total).await.json;
        assert_eq!((&paid["suppliedAmount"], &paid["vat"]), (&json!(supplied), &json!(vat)));
    }
}

#[tokio::test]
async fn a_key_is_good_for_its_own_order_and_amount() {
    let bank = Bank::open().await;
    let key = bank.authorise("order-0001", 1_000).await;
    assert_eq!(bank.confirm(&key, "order-0002", 1_000).await.code(), (403, "FORBIDDEN_REQUEST"));
    assert_eq!(bank.confirm(&key, "order-0001", 999).await.code(), (403, "FORBIDDEN_REQUEST"));
    assert_eq!(bank.confirm("tgen_other", "order-0001", 1_000).await.code(), (404, "NOT_FOUND_PAYMENT_SESSION"));
    bank.control("options", json!({ "amount_mismatch": "INVALID_REQUEST" })).await;
    assert_eq!(bank.confirm(&key, "order-0001", 999).await.code(), (400, "INVALID_REQUEST"));
    assert_eq!(bank.counts().await["approved"], 0);
    assert_eq!(bank.confirm(&key, "order-0001", 1_000).await.status, 200, "a mismatch spoils nothing");
}

#[tokio::test]
async fn malformed_confirms_are_refused_and_numbers_may_be_strings() {
    let bank = Bank::open().await;
    let key = bank.authorise("order-0001", 1_000).await;
    for body in [
        json!({}),
        json!([]),
        json!({ "paymentKey": key, "orderId": "order-0001" }),
        json!({ "paymentKey": key, "orderId": "order-0001", "amount": "a lot" }),
        json!({ "paymentKey": key, "orderId": "order-0001", "amount": 1000.5 }),
        json!({ "paymentKey": 7, "orderId": "order-0001", "amount": 1000 }),
    ] {
        assert_eq!(bank.post("/v1/payments/confirm", body.clone()).await.code(), (400, "INVALID_REQUEST"), "{body}");
    }
    let body = json!({ "paymentKey": key, "orderId": "order-0001", "amount": "1000" });
    assert_eq!(bank.post("/v1/payments/confirm", body).await.status, 200);
}

#[tokio::test]
async fn a_second_confirm_charges_nothing() {
    let bank = Bank::open().await;
    let key = bank.paid("order-0001", 1_000).await;
    assert_eq!(bank.confirm(&key, "order-0001", 1_000).await.code(), (400, "ALREADY_PROCESSED_PAYMENT"));
    assert_eq!(bank.counts().await["approved_amount"], 1_000);
}

#[tokio::test]
async fn of_twenty_confirms_at_once_one_charges() {
    let bank = Bank::open().await;
    bank.control("options", json!({ "latency_ms": 20 })).await;
    let key = bank.authorise("order-0001", 1_000).await;
    let calls = (0..20).map(|_| {
        let request = bank.request(reqwest::Method::POST, "/v1/payments/confirm");
        let request = request.basic_auth(crate::support::SECRET_KEY, Some("")).json(&ask(&key, "order-0001", 1_000));
        tokio::spawn(async move { request.send().await.expect("an answer").status().as_u16() })
    });
    let mut won = 0;
    for call in calls.collect::<Vec<_>>() {
        won += usize::from(call.await.expect("no panic") == 200);
    }
    assert_eq!(won, 1);
    assert_eq!(bank.counts().await["approved"], 1);
}

#[tokio::test]
async fn an_order_is_paid_once_whatever_the_key() {
    let bank = Bank::open().await;
    let first = bank.authorise("order-0001", 1_000).await;
    let second = bank.authorise("order-0001", 1_000).await;
    assert_eq!(bank.confirm(&first, "order-0001", 1_000).await.status, 200);
    assert_eq!(bank.confirm(&second, "order-0001", 1_000).await.code(), (400, "DUPLICATED_ORDER_ID"));
    assert_eq!(bank.get("/v1/payments/orders/order-0001").await.json["paymentKey"], json!(first));
    assert_eq!(bank.get("/_sim/payments/order-0001").await.json["payments"].as_array().map(Vec::len), Some(2));
    let again = bank.post("/_sim/authorise", json!({ "orderId": "order-0001", "amount": 1_000 })).await;
    assert_eq!(again.status, 400, "a paid order opens no window");
}

#[tokio::test]
async fn ten_minutes_after_authentication_it_is_over() {
    let (bank, receiver) = bank_with_receiver(&[]).await;
    let early = bank.authorise("order-0001", 1_000).await;
    let late = bank.authorise("order-0002", 1_000).await;
    bank.advance_s(9 * 60 + 50).await;
    assert_eq!(bank.confirm(&early, "order-0001", 1_000).await.status, 200);
    bank.advance_s(10).await;
    assert_eq!(bank.confirm(&late, "order-0002", 1_000).await.code(), (404, "NOT_FOUND_PAYMENT_SESSION"));
    let expired = bank.get(&format!("/v1/payments/{late}")).await.json;
    assert_eq!((&expired["status"], &expired["method"]), (&json!("EXPIRED"), &Value::Null));
    assert_eq!(expired["failure"]["code"], "EXPIRED_PAYMENT");
    receiver.wait_for(2).await;
    let mut statuses = receiver.statuses();
    statuses.sort();
    assert_eq!(statuses, ["DONE", "EXPIRED"]);
}

#[tokio::test]
async fn small_and_large_amounts_have_limits() {
    let bank = Bank::open().await;
    for (order, amount, method, code) in [
        ("order-0001", 99, "CARD", "BELOW_MINIMUM_AMOUNT"),
        ("order-0002", 199, "TRANSFER", "BELOW_MINIMUM_AMOUNT"),
        ("order-0003", 10_000_001, "TRANSFER", "EXCEEDS_TRANSFER_AMOUNT_MAXIMUM"),
    ] {
        let key = bank.authorise_by(order, amount, method).await;
        assert_eq!(bank.confirm(&key, order, amount).await.code(), (400, code));
        assert_eq!(bank.get(&format!("/v1/payments/{key}")).await.json["status"], "ABORTED");
    }
}

#[tokio::test]
async fn every_method_has_its_own_object() {
    let bank = Bank::open().await;
    for (n, (method, korean, object)) in [
        ("EASY_PAY", "간편결제", "easyPay"),
        ("TRANSFER", "계좌이체", "transfer"),
        ("MOBILE_PHONE", "휴대폰", "mobilePhone"),
        ("문화상품권", "문화상품권", "giftCertificate"),
    ]
    .into_iter()
    .enumerate()
    {
        let order = format!("method-{n}");
        let key = bank.authorise_by(&order, 5_000, method).await;
        let paid = bank.confirm(&key, &order, 5_000).await.json;
        assert_eq!(paid["method"], korean);
        assert!(paid[object].is_object(), "{method}");
        assert_eq!(paid["card"], Value::Null);
    }
}

#[tokio::test]
async fn a_reset_forgets_everything() {
    let bank = Bank::open().await;
    let key = bank.paid("order-0001", 1_000).await;
    bank.control("reset", json!({})).await;
    assert_eq!(bank.get(&format!("/v1/payments/{key}")).await.code(), (404, "NOT_FOUND_PAYMENT"));
    assert_eq!(bank.counts().await["approved"], 0);
}
