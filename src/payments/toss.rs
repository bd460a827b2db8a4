//! Toss Payments. Facts and their sources: docs/external/toss.md.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::model::{
    CancelAsk, CancelOutcome, ConfirmAsk, ConfirmOutcome, FindOutcome, Payment, PaymentGateway, Status,
};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::observability::Metrics;

/// Toss names 60 s as the least a client should wait for an approval.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A look-up may be repeated, so it need not wait as long.
const FIND_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 256 * 1024;

pub struct Toss {
    http: Client,
    base_url: String,
    authorization: String,
    metrics: Metrics,
}

impl Toss {
    pub fn new(settings: &Settings) -> Result<Toss> {
        let http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(READ_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(256)
            .build()
            .map_err(Error::bug)?;
        Ok(Toss {
            http,
            base_url: settings.toss_api_url.trim_end_matches('/').to_owned(),
            authorization: authorization(&settings.toss_secret_key),
            metrics: Metrics::install()?,
        })
    }

    async fn call(&self, operation: &'static str, request: RequestBuilder) -> Answer {
        let started = Instant::now();
        let answer = read(request.header("authorization", &self.authorization)).await;
        let outcome = match &answer {
            Answer::Payment(_) => "payment",
            Answer::Refused { .. } => "refused",
            Answer::Nothing(_) => "nothing",
        };
        self.metrics.gateway(operation, outcome, started.elapsed());
        answer
    }
}

/// `Basic base64(key:)`: the colon is part of it.
fn authorization(secret_key: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{secret_key}:")))
}

/// What came back over the wire.
enum Answer {
    Payment(Box<Payment>),
    Refused {
        status: StatusCode,
        code: String,
        message: String,
    },
    /// No answer, or one that cannot be read: anything may have happened.
    Nothing(String),
}

async fn read(request: RequestBuilder) -> Answer {
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Answer::Nothing(error.without_url().to_string()),
    };
    let status = response.status();
    let body = match response.bytes().await {
        Ok(body) if body.len() <= ANSWER_BYTES_MAX => body,
        Ok(body) => return Answer::Nothing(format!("an answer of {} bytes", body.len())),
        Err(error) => return Answer::Nothing(error.without_url().to_string()),
    };
    if status == StatusCode::OK {
        return match parse_payment(&body) {
            Some(payment) => Answer::Payment(Box::new(payment)),
            None => Answer::Nothing("200 with a body that is no payment".into()),
        };
    }
    #[derive(Deserialize)]
    struct Refusal {
        code: String,
        #[serde(default)]
        message: String,
    }
    match serde_json::from_slice::<Refusal>(&body) {
        Ok(refusal) => Answer::Refused { status, code: refusal.code, message: refusal.message },
        Err(_) => Answer::Nothing(format!("{status} without an error object")),
    }
}

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
}

#[derive(Deserialize)]
struct Failure {
    code: Option<String>,
}

fn parse_payment(body: &[u8]) -> Option<Payment> {
    let mut raw: Value = serde_json::from_slice(body).ok()?;
    let toss = TossPayment::deserialize(&raw).ok()?;
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
        balance_won: toss.balance_amount.unwrap_or(0.0) as i64,
        currency: toss.currency.unwrap_or_else(|| "KRW".into()),
        method: toss.method,
        secret: toss.secret,
        failure_code: toss.failure.and_then(|f| f.code),
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

/// What a refused confirm means. Status codes do not tell: a passing fault of the provider is sent as 400.
fn is_definite_refusal(status: StatusCode, code: &str) -> bool {
    const UNKNOWN: [&str; 4] =
        ["ALREADY_PROCESSED_PAYMENT", "PROVIDER_ERROR", "CARD_PROCESSING_ERROR", "IDEMPOTENT_REQUEST_PROCESSING"];
    const DEFINITE: [&str; 46] = [
        // The buyer's means refused.
        "EXCEED_MAX_CARD_INSTALLMENT_PLAN",
        "NOT_ALLOWED_POINT_USE",
        "INVALID_REJECT_CARD",
        "BELOW_MINIMUM_AMOUNT",
        "INVALID_CARD_EXPIRATION",
        "INVALID_STOPPED_CARD",
        "EXCEED_MAX_DAILY_PAYMENT_COUNT",
        "NOT_SUPPORTED_INSTALLMENT_PLAN_CARD_OR_MERCHANT",
        "INVALID_CARD_INSTALLMENT_PLAN",
        "NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN",
        "EXCEED_MAX_PAYMENT_AMOUNT",
        "INVALID_CARD_LOST_OR_STOLEN",
        "RESTRICTED_TRANSFER_ACCOUNT",
        "INVALID_CARD_NUMBER",
        "EXCEED_MAX_ONE_DAY_WITHDRAW_AMOUNT",
        "EXCEED_MAX_ONE_TIME_WITHDRAW_AMOUNT",
        "EXCEED_MAX_AMOUNT",
        "INVALID_ACCOUNT_INFO_RE_REGISTER",
        "NOT_AVAILABLE_PAYMENT",
        "EXCEED_MAX_MONTHLY_PAYMENT_AMOUNT",
        "EXCEEDS_TRANSFER_AMOUNT_MAXIMUM",
        "REJECT_ACCOUNT_PAYMENT",
        "REJECT_CARD_PAYMENT",
        "REJECT_CARD_COMPANY",
        "REJECT_TOSSPAY_INVALID_ACCOUNT",
        "EXCEED_MAX_AUTH_COUNT",
        "EXCEED_MAX_ONE_DAY_AMOUNT",
        "NOT_AVAILABLE_BANK",
        "INVALID_PASSWORD",
        "FDS_ERROR",
        // The ten minutes are over, or it is not this payment's key.
        "NOT_FOUND_PAYMENT_SESSION",
        "NOT_FOUND_PAYMENT",
        // Ours to mend, and refused before anything was charged.
        "INVALID_REQUEST",
        "INVALID_API_KEY",
        "NOT_FOUND_TERMINAL_ID",
        "INVALID_AUTHORIZE_AUTH",
        "INVALID_UNREGISTERED_SUBMALL",
        "NOT_REGISTERED_BUSINESS",
        "UNAPPROVED_ORDER_ID",
        "INVALID_IDEMPOTENCY_KEY",
        "UNAUTHORIZED_KEY",
        "FORBIDDEN_REQUEST",
        "INCORRECT_BASIC_AUTH_FORMAT",
        "PAY_PROCESS_CANCELED",
        "PAY_PROCESS_ABORTED",
        "INVALID_ORDER_ID",
    ];
    !status.is_server_error() && !UNKNOWN.contains(&code) && DEFINITE.contains(&code)
}

#[async_trait]
impl PaymentGateway for Toss {
    async fn confirm(&self, ask: &ConfirmAsk<'_>) -> ConfirmOutcome {
        let request = self
            .http
            .post(format!("{}/v1/payments/confirm", self.base_url))
            .header("idempotency-key", ask.idempotency_key)
            .json(&json!({ "paymentKey": ask.payment_key, "orderId": ask.order_id, "amount": ask.amount_won }));
        match self.call("confirm", request).await {
            Answer::Payment(payment) => match belongs(&payment, Some(ask.payment_key), ask.order_id, ask.amount_won) {
                Err(why) => ConfirmOutcome::Unknown { why, answered: true },
                Ok(()) if payment.status == Status::Captured => ConfirmOutcome::Accepted(payment),
                // An account was issued; nothing is paid. Until virtual accounts are offered this is a refusal, and a
                // deposit that comes all the same is settled or returned by its webhook.
                Ok(()) if payment.status == Status::AwaitingDeposit => {
                    ConfirmOutcome::Declined { code: "NOT_SUPPORTED_METHOD".into(), message: String::new() }
                }
                Ok(()) => {
                    ConfirmOutcome::Unknown { why: format!("confirmed but {:?}", payment.status), answered: true }
                }
            },
            Answer::Refused { status, code, message } if is_definite_refusal(status, &code) => {
                ConfirmOutcome::Declined { code, message }
            }
            Answer::Refused { status, code, .. } => ConfirmOutcome::Unknown {
                // Of a fault of theirs nobody knows whether it is bound to the key; a running call is.
                answered: status.is_client_error() && code != "IDEMPOTENT_REQUEST_PROCESSING",
                why: format!("{status} {code}"),
            },
            Answer::Nothing(why) => ConfirmOutcome::Unknown { why, answered: false },
        }
    }

    async fn find(&self, payment_key: Option<&str>, order_id: &str) -> FindOutcome {
        let url = match payment_key {
            Some(key) => format!("{}/v1/payments/{}", self.base_url, path_segment(key)),
            None => format!("{}/v1/payments/orders/{}", self.base_url, path_segment(order_id)),
        };
        match self.call("find", self.http.get(url).timeout(FIND_TIMEOUT)).await {
            Answer::Payment(payment) if payment.order_id == order_id => FindOutcome::Found(payment),
            // The key is another order's: there is no payment of this order under it.
            Answer::Payment(_) => FindOutcome::NotFound,
            Answer::Refused { code, .. } if code == "NOT_FOUND_PAYMENT" || code == "NOT_FOUND" => FindOutcome::NotFound,
            Answer::Refused { status, code, .. } => FindOutcome::Unknown { why: format!("{status} {code}") },
            Answer::Nothing(why) => FindOutcome::Unknown { why },
        }
    }

    async fn cancel(&self, ask: &CancelAsk<'_>) -> CancelOutcome {
        let request = self
            .http
            .post(format!("{}/v1/payments/{}/cancel", self.base_url, path_segment(ask.payment_key)))
            .header("idempotency-key", ask.idempotency_key)
            .json(&json!({ "cancelReason": ask.reason, "cancelAmount": ask.amount_won }));
        match self.call("cancel", request).await {
            Answer::Payment(payment) if payment.payment_key == ask.payment_key => CancelOutcome::Done,
            Answer::Payment(_) => CancelOutcome::Unknown { why: "an answer about another payment".into() },
            Answer::Refused { status, code, .. } => cancel_refusal(status, code),
            Answer::Nothing(why) => CancelOutcome::Unknown { why },
        }
    }
}

/// The caller looks at the payment after every refusal, so none of these decides alone. An answer that was read is
/// bound to its key, hence `again` means with a new one.
fn cancel_refusal(status: StatusCode, code: String) -> CancelOutcome {
    const FINAL: [&str; 12] = [
        "INVALID_REFUND_ACCOUNT_INFO",
        "INVALID_REFUND_ACCOUNT_NUMBER",
        "INVALID_BANK",
        "FORBIDDEN_BANK_REFUND_REQUEST",
        "EXCEED_CANCEL_AMOUNT_DISCOUNT_AMOUNT",
        "REFUND_REJECTED",
        "NOT_CANCELABLE_PAYMENT",
        "NOT_CANCELABLE_PAYMENT_FOR_DORMANT_USER",
        "EXCEED_MAX_REFUND_DUE",
        "EXCEED_CANCEL_LIMIT",
        "NOT_ALLOWED_PARTIAL_REFUND",
        "NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT",
    ];
    if code == "IDEMPOTENT_REQUEST_PROCESSING" || status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return CancelOutcome::Unknown { why: format!("{status} {code}") };
    }
    let again = !FINAL.contains(&code.as_str());
    CancelOutcome::Refused { code, again }
}

/// An answer counts only if it is about this order, this payment and this sum.
fn belongs(
    payment: &Payment,
    payment_key: Option<&str>,
    order_id: &str,
    amount_won: i64,
) -> std::result::Result<(), String> {
    if payment.order_id != order_id || payment_key.is_some_and(|key| key != payment.payment_key) {
        return Err(format!("an answer about another payment ({})", payment.order_id));
    }
    if payment.total_won != amount_won || payment.currency != "KRW" {
        return Err(format!("an answer about {} {}", payment.total_won, payment.currency));
    }
    Ok(())
}

/// Keys and ids are ours or Toss's, but they travelled through a browser.
fn path_segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_vector_of_the_authorization_header() {
        assert_eq!(
            authorization("test_sk_DEMO000000000000000000"),
            "Basic dGVzdF9za19ERU1PMDAwMDAwMDAwMDAwMDAwMDAwOg=="
        );
    }

    #[test]
    fn codes_decide_and_not_statuses() {
        assert!(is_definite_refusal(StatusCode::FORBIDDEN, "REJECT_CARD_PAYMENT"));
        assert!(is_definite_refusal(StatusCode::NOT_FOUND, "NOT_FOUND_PAYMENT_SESSION"));
        assert!(!is_definite_refusal(StatusCode::BAD_REQUEST, "PROVIDER_ERROR"));
        assert!(!is_definite_refusal(StatusCode::BAD_REQUEST, "ALREADY_PROCESSED_PAYMENT"));
        assert!(!is_definite_refusal(StatusCode::BAD_REQUEST, "A_CODE_OF_TOMORROW"));
        assert!(!is_definite_refusal(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN_PAYMENT_ERROR"));
    }

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
    fn path_segments_cannot_leave_their_segment() {
        assert_eq!(path_segment("../x?y=1#z"), "..%2Fx%3Fy%3D1%23z");
    }
}
