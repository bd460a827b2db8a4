//! Toss Payments. Facts and their sources: docs/external/toss.md.

mod answer;
mod books;
mod codes;
mod fees;
mod notice;
mod window;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::http::HeaderMap;
use base64::Engine;
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::answer::parse_payment;
use self::codes::{cancel_refusal, is_definite_refusal};
pub use self::fees::Fees;
pub use self::window::window;
use super::model::{
    CancelAsk, CancelOutcome, ConfirmAsk, ConfirmOutcome, FindOutcome, NoticeOutcome, OpenAsk, OpenOutcome, Payment,
    PaymentGateway, Provider, Status, TransactionPage,
};
use super::wire::{belongs, path_segment};
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
    fees: Fees,
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
            fees: settings.toss_fees.clone(),
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

#[async_trait]
impl PaymentGateway for Toss {
    fn provider(&self) -> Provider {
        Provider::Toss
    }

    async fn open(&self, _: &OpenAsk<'_>) -> OpenOutcome {
        OpenOutcome::InBrowser
    }

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
                Ok(()) if payment.status == Status::AwaitingDeposit => ConfirmOutcome::AwaitingDeposit(payment),
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
            .json(&CancelBody::of(ask));
        match self.call("cancel", request).await {
            Answer::Payment(payment) if payment.payment_key == ask.payment_key => CancelOutcome::Done,
            Answer::Payment(_) => CancelOutcome::Unknown { why: "an answer about another payment".into() },
            Answer::Refused { status, code, .. } => cancel_refusal(status, code),
            Answer::Nothing(why) => CancelOutcome::Unknown { why },
        }
    }

    async fn transactions(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<&str>,
    ) -> Result<TransactionPage, String> {
        books::page(self, from, until, after).await
    }

    fn notice(&self, headers: &HeaderMap, body: &[u8], _: Timestamp) -> NoticeOutcome {
        notice::read(headers, body)
    }
}

/// What a cancel is asked with; without a sum it is all that is left.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CancelBody<'a> {
    cancel_reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_amount: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_receive_account: Option<Account<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Account<'a> {
    bank: &'a str,
    account_number: &'a str,
    holder_name: &'a str,
}

impl<'a> CancelBody<'a> {
    fn of(ask: &CancelAsk<'a>) -> CancelBody<'a> {
        CancelBody {
            cancel_reason: ask.reason,
            cancel_amount: ask.amount_won,
            refund_receive_account: ask.account.map(|account| Account {
                bank: &account.bank,
                account_number: &account.number,
                holder_name: &account.holder,
            }),
        }
    }
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
}
