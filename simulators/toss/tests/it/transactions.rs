use crate::support::Bank;
use serde_json::json;

const RANGE: &str = "startDate=2000-01-01T00:00:00&endDate=2100-01-01T00:00:00";

#[tokio::test]
async fn one_row_per_approval_and_cancel_page_by_page() {
    let bank = Bank::open().await;
    for n in 0..5 {
        bank.paid(&format!("order-000{n}"), 1_000 + n).await;
    }
    let key = bank.paid("order-0009", 9_000).await;
    bank.cancel(&key, json!({ "cancelReason": "일부", "cancelAmount": 2_000 })).await;

    let mut seen = vec![];
    let mut after = String::new();
    loop {
        let page = bank.get(&format!("/v1/transactions?{RANGE}&limit=3{after}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let rows = page.json.as_array().expect("rows").clone();
        let Some(last) = rows.last() else { break };
        after = format!("&startingAfter={}", last["transactionKey"].as_str().expect("key"));
        seen.extend(rows);
    }
    assert_eq!(seen.len(), 7);
    assert_eq!((&seen[6]["status"], &seen[6]["amount"]), (&json!("PARTIAL_CANCELED"), &json!(2_000)));
    assert_eq!((&seen[5]["status"], &seen[5]["orderId"]), (&json!("DONE"), &json!("order-0009")));
    assert!(seen[0]["transactionAt"].as_str().expect("time").ends_with("+09:00"));
}

#[tokio::test]
async fn malformed_questions_are_refused() {
    let bank = Bank::open().await;
    for query in [
        "",
        "startDate=2026-01-01T00:00:00",
        "startDate=yesterday&endDate=today",
        "startDate=2027-01-01T00:00:00&endDate=2026-01-01T00:00:00",
        &format!("{RANGE}&limit=0"),
        &format!("{RANGE}&limit=5001"),
        &format!("{RANGE}&startingAfter=txrd_a01unknown"),
    ] {
        assert_eq!(bank.get(&format!("/v1/transactions?{query}")).await.code(), (400, "INVALID_REQUEST"), "{query}");
    }
    let empty = "startDate=2000-01-01T00:00:00&endDate=2001-01-01T00:00:00";
    assert_eq!(bank.get(&format!("/v1/transactions?{empty}")).await.text, "[]");
}
