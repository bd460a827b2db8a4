//! Reads what Toss says of a payment, and leaves out what must not be kept.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::payments::model::{Arrival, CashReceipt, DepositAccount, Payment, Receipts, Status};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TossPayment {
    payment_key: String,
    order_id: String,
    status: String,
    total_amount: f64,
    #[serde(default)]
    balance_amount: Option<f64>,
    #[serde(default)]
    currency: Option<String>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    secret: Option<String>,
    #[serde(default)]
    failure: Option<Failure>,
    #[serde(default)]
    virtual_account: Option<VirtualAccount>,
    #[serde(default)]
    receipt: Option<Link>,
    #[serde(default)]
    cash_receipt: Option<TossCashReceipt>,
    #[serde(default)]
    culture_expense: Option<bool>,
}

#[derive(Deserialize)]
struct Link {
    url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TossCashReceipt {
    r#type: String,
    #[serde(default)]
    receipt_url: Option<String>,
}

impl TossPayment {
    fn receipts(&mut self) -> Receipts {
        let cash = self.cash_receipt.take();
        Receipts {
            url: self.receipt.take().map(|link| link.url).and_then(address),
            cash: cash.map(|cash| CashReceipt { kind: cash.r#type, url: cash.receipt_url.and_then(address) }),
            culture_expense: self.culture_expense.unwrap_or(false),
        }
    }
}

/// Shown to visitors as a link, so nothing but a web address.
fn address(url: String) -> Option<String> {
    reqwest::Url::parse(&url).is_ok_and(|parsed| parsed.scheme() == "https").then_some(url)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VirtualAccount {
    account_number: String,
    #[serde(default)]
    bank_code: Option<String>,
    #[serde(default)]
    bank: Option<String>,
    #[serde(default)]
    due_date: Option<String>,
    #[serde(default)]
    expired: bool,
    #[serde(default)]
    refund_status: Option<String>,
}

impl VirtualAccount {
    fn arrival(&self) -> Arrival {
        match self.refund_status.as_deref() {
            Some("PENDING") => Arrival::UnderWay,
            Some("COMPLETED") => Arrival::Arrived,
            Some("FAILED" | "PARTIAL_FAILED") => Arrival::Bounced,
            _ => Arrival::Unsaid,
        }
    }
}

impl From<VirtualAccount> for DepositAccount {
    fn from(account: VirtualAccount) -> DepositAccount {
        DepositAccount {
            bank: account.bank_code.or(account.bank).unwrap_or_default(),
            number: account.account_number,
            due_at: account.due_date.as_deref().and_then(instant),
            expired: account.expired,
        }
    }
}

/// With an offset or without one; without it is Korean time.
pub fn instant(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| format!("{text}+09:00").parse().ok())
}

#[derive(Deserialize)]
struct Failure {
    code: Option<String>,
}

pub fn parse_payment(body: &[u8]) -> Option<Payment> {
    let mut raw: Value = serde_json::from_slice(body).ok()?;
    let mut toss = TossPayment::deserialize(&raw).ok()?;
    let receipts = toss.receipts();
    redact(&mut raw);
    Some(Payment {
        payment_key: toss.payment_key,
        order_id: toss.order_id,
        status: match toss.status.as_str() {
            "READY" | "IN_PROGRESS" => Status::Pending,
            "WAITING_FOR_DEPOSIT" => Status::AwaitingDeposit,
            "DONE" => Status::Captured,
            "PARTIAL_CANCELED" => Status::PartlyCancelled,
            "CANCELED" => Status::Cancelled,
            "ABORTED" | "EXPIRED" => Status::Dead,
            _ => Status::Other,
        },
        total_won: toss.total_amount as i64,
        balance_won: toss.balance_amount.map(|won| won as i64),
        currency: toss.currency.unwrap_or_else(|| "KRW".into()),
        method: toss.method,
        secret: toss.secret,
        failure_code: toss.failure.and_then(|f| f.code),
        arrival: toss.virtual_account.as_ref().map(VirtualAccount::arrival).unwrap_or_default(),
        account: toss.virtual_account.map(DepositAccount::from),
        receipts,
        raw,
    })
}

/// Names, phone numbers, accounts and the webhook secret are not for the record.
fn redact(raw: &mut Value) {
    match raw {
        Value::Object(map) => {
            // Toss sends every field it knows, most of them empty.
            map.retain(|_, value| !value.is_null());
            for (key, value) in map.iter_mut() {
                let private = matches!(
                    key.as_str(),
                    "secret"
                        | "customerName"
                        | "customerMobilePhone"
                        | "customerEmail"
                        | "accountNumber"
                        | "depositorName"
                        | "holderName"
                        | "number"
                        | "refundReceiveAccount"
                        | "customerIdentityNumber"
                        | "issueNumber"
                );
                if private {
                    *value = json!("(removed)");
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_without_private_parts() {
        let body = br#"{"paymentKey":"k","orderId":"o","status":"DONE","totalAmount":5000.0,"balanceAmount":5000,
            "secret":"ps_x","card":{"number":"12345678****123*"},"somethingNew":[{"customerName":"N"}]}"#;
        let payment = parse_payment(body).unwrap();
        assert_eq!(
            (payment.total_won, payment.status, payment.secret.as_deref()),
            (5000, Status::Captured, Some("ps_x"))
        );
        let raw = payment.raw.to_string();
        assert!(!raw.contains("ps_x") && !raw.contains("12345678") && !raw.contains("\"N\""), "{raw}");
    }

    #[test]
    fn receipts_are_read_and_only_web_addresses_are_links() {
        let body = br#"{"paymentKey":"k","orderId":"o","status":"DONE","totalAmount":5000,"cultureExpense":true,
            "receipt":{"url":"https://dashboard.tosspayments.com/receipt?x=1"},
            "cashReceipt":{"type":"\uc18c\ub4dd\uacf5\uc81c","receiptUrl":"javascript:alert(1)","issueNumber":"123"}}"#;
        let payment = parse_payment(body).unwrap();
        let cash = CashReceipt { kind: "소득공제".into(), url: None };
        let url = Some("https://dashboard.tosspayments.com/receipt?x=1".into());
        assert_eq!(payment.receipts, Receipts { url, cash: Some(cash), culture_expense: true });
        assert!(!payment.raw.to_string().contains("123"), "{}", payment.raw);
    }

    #[test]
    fn due_dates_come_with_an_offset_and_without() {
        let with = instant("2026-11-28T21:00:00+09:00").unwrap();
        assert_eq!(instant("2026-11-28T21:00:00"), Some(with));
        assert_eq!(instant("tomorrow"), None);
        let body = br#"{"paymentKey":"k","orderId":"o","status":"WAITING_FOR_DEPOSIT","totalAmount":5000,
            "virtualAccount":{"accountNumber":"X123","bankCode":"20","dueDate":"2026-11-28T21:00:00+09:00"}}"#;
        let payment = parse_payment(body).unwrap();
        let account = payment.account.unwrap();
        assert_eq!((account.number.as_str(), account.bank.as_str(), account.due_at), ("X123", "20", Some(with)));
        assert!(!payment.raw.to_string().contains("X123"));
    }
}
