//! Stripe: payment intents that the buyer authorises and Admit captures. Facts and their sources: docs/external/stripe.md.

mod answer;
mod books;
mod codes;
mod notice;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_lc_rs::hmac;
use axum::body::Bytes;
use axum::http::HeaderMap;
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

use self::answer::{Intent, Refund, intent, parse_intent};
use self::codes::{Refusal, Refused, cancel_refusal, confirm_refusal};
use super::model::{
    CancelAsk, CancelOutcome, ConfirmAsk, ConfirmOutcome, FindOutcome, NoticeOutcome, OpenAsk, OpenOutcome,
    PaymentGateway, Provider, Status, TransactionPage,
};
use super::wire::{belongs, path_segment};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::observability::Metrics;

/// The version whose shapes are read here, whatever the account's own is.
const VERSION: &str = "2025-09-30.clover";
/// A capture asks the buyer's bank; Stripe's own libraries wait as long.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A look-up may be repeated, so it need not wait as long.
const FIND_TIMEOUT: Duration = Duration::from_secs(10);
/// A page of the books is the largest answer: a hundred rows of some 4 KB.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What was refunded is in the charge.
const WITH_CHARGE: (&str, &str) = ("expand[]", "latest_charge");
/// Stripe takes 500 characters.
const REASON_CHARS_MAX: usize = 200;

pub struct Stripe {
    http: Client,
    base_url: String,
    secret_key: String,
    webhook_keys: Vec<hmac::Key>,
    metrics: Metrics,
}

/// What came back over the wire.
enum Answer {
    Done(Bytes),
    Refused(Box<Refusal>),
    /// No answer, or one that cannot be read: anything may have happened.
    Nothing(String),
}

impl Stripe {
    /// None: there are no keys.
    pub fn new(settings: &Settings) -> Result<Option<Stripe>> {
        let settings = &settings.stripe;
        if !settings.is_set() {
            return Ok(None);
        }
        let http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(READ_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(256)
            .build()
            .map_err(Error::bug)?;
        let webhook_key = |secret: &str| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        Ok(Some(Stripe {
            http,
            base_url: settings.stripe_api_url.trim_end_matches('/').to_owned(),
            secret_key: settings.stripe_secret_key.clone(),
            webhook_keys: settings.webhook_secrets().map(webhook_key).collect(),
            metrics: Metrics::install()?,
        }))
    }

    fn get(&self, path: &str, query: &[(&str, String)]) -> std::result::Result<RequestBuilder, String> {
        let url = Url::parse_with_params(&format!("{}{path}", self.base_url), query).map_err(|e| e.to_string())?;
        Ok(self.http.get(url).timeout(FIND_TIMEOUT))
    }

    fn post(&self, path: &str, key: &str, form: &[(&str, &str)]) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base_url)).header("idempotency-key", key).form(form)
    }

    async fn call(&self, operation: &'static str, request: RequestBuilder) -> Answer {
        let started = Instant::now();
        let answer = read(request.bearer_auth(&self.secret_key).header("stripe-version", VERSION)).await;
        let outcome = match &answer {
            Answer::Done(_) => "payment",
            Answer::Refused(_) => "refused",
            Answer::Nothing(_) => "nothing",
        };
        self.metrics.gateway(operation, outcome, started.elapsed());
        answer
    }

    async fn retrieve(&self, payment_key: &str) -> Looked {
        let path = format!("/v1/payment_intents/{}", path_segment(payment_key));
        let (name, value) = WITH_CHARGE;
        let request = match self.get(&path, &[(name, value.to_owned())]) {
            Ok(request) => request,
            Err(why) => return Looked::Unknown(why),
        };
        match self.call("find", request).await {
            Answer::Done(body) => match parse_intent(&body) {
                Some(intent) => Looked::Intent(Box::new(intent)),
                None => Looked::Unknown("200 with a body that is no payment".into()),
            },
            Answer::Refused(refusal) if refusal.is_missing() => Looked::Missing,
            Answer::Refused(refusal) => Looked::Unknown(refusal.why()),
            Answer::Nothing(why) => Looked::Unknown(why),
        }
    }

    /// By our order id. The index behind it is up to a minute late, so finding nothing says nothing.
    async fn search(&self, order_id: &str) -> FindOutcome {
        let query = [
            ("query", format!("metadata['order_id']:'{}'", order_id.replace(['\\', '\''], ""))),
            ("expand[]", "data.latest_charge".to_owned()),
        ];
        let request = match self.get("/v1/payment_intents/search", &query) {
            Ok(request) => request,
            Err(why) => return FindOutcome::Unknown { why },
        };
        let body = match self.call("find", request).await {
            Answer::Done(body) => body,
            Answer::Refused(refusal) => return FindOutcome::Unknown { why: refusal.why() },
            Answer::Nothing(why) => return FindOutcome::Unknown { why },
        };
        #[derive(Deserialize)]
        struct Page {
            data: Vec<Value>,
        }
        let Ok(page) = serde_json::from_slice::<Page>(&body) else {
            return FindOutcome::Unknown { why: "200 with a body that is no page".into() };
        };
        let found = page.data.into_iter().filter_map(intent).find(|intent| intent.payment.order_id == order_id);
        match found {
            Some(intent) => FindOutcome::Found(Box::new(intent.payment)),
            None => FindOutcome::Unknown { why: "not in the index, perhaps not yet".into() },
        }
    }

    /// The intent was not to be captured when it was asked: it was before, or the buyer has not authorised it.
    async fn look(&self, ask: &ConfirmAsk<'_>, refusal: &Refusal) -> ConfirmOutcome {
        let unknown = |why: String| ConfirmOutcome::Unknown { why, answered: true };
        let intent = match self.retrieve(ask.payment_key).await {
            Looked::Intent(intent) => intent,
            Looked::Missing => return unknown(format!("{}, and then nothing was there", refusal.why())),
            Looked::Unknown(why) => return unknown(why),
        };
        if let Err(why) = belongs(&intent.payment, Some(ask.payment_key), ask.order_id, ask.amount_won) {
            return unknown(why);
        }
        let code = || intent.payment.failure_code.clone().unwrap_or_else(|| refusal.name().to_owned());
        match intent.stage.as_str() {
            "succeeded" if intent.payment.status == Status::Captured => {
                ConfirmOutcome::Accepted(Box::new(intent.payment))
            }
            "canceled" | "requires_payment_method" | "requires_confirmation" | "requires_action" => {
                ConfirmOutcome::Declined { code: code(), message: refusal.message.clone() }
            }
            stage => unknown(format!("{}: {stage}", refusal.why())),
        }
    }

    async fn refund(&self, ask: &CancelAsk<'_>, key: &str) -> CancelOutcome {
        let reason: String = ask.reason.chars().take(REASON_CHARS_MAX).collect();
        let amount = ask.amount_won.map(|amount| amount.to_string());
        let mut form = vec![
            ("payment_intent", ask.payment_key),
            ("reason", "requested_by_customer"),
            ("metadata[reason]", reason.as_str()),
            // What becomes of the refund later names the order.
            ("metadata[order_id]", ask.order_id),
        ];
        form.extend(amount.as_deref().map(|amount| ("amount", amount)));
        match self.call("cancel", self.post("/v1/refunds", key, &form)).await {
            Answer::Done(body) => match serde_json::from_slice::<Refund>(&body) {
                Ok(refund) if refund.payment_intent.as_deref() != Some(ask.payment_key) => {
                    CancelOutcome::Unknown { why: "an answer about another payment".into() }
                }
                Ok(refund) => match refund.status.as_str() {
                    // Pending: Stripe carries it from here.
                    "succeeded" | "pending" | "requires_action" => CancelOutcome::Done,
                    "failed" | "canceled" => CancelOutcome::Refused {
                        code: refund.failure_reason.unwrap_or_else(|| "refund_failed".into()),
                        again: true,
                    },
                    other => CancelOutcome::Unknown { why: format!("a refund that is {other}") },
                },
                Err(_) => CancelOutcome::Unknown { why: "200 with a body that is no refund".into() },
            },
            Answer::Refused(refusal) => cancel_refusal(&refusal),
            Answer::Nothing(why) => CancelOutcome::Unknown { why },
        }
    }

    /// Ends an intent that nobody has captured, with its authorisation; of a captured one all that is left goes back.
    async fn end(&self, ask: &CancelAsk<'_>) -> CancelOutcome {
        let path = format!("/v1/payment_intents/{}/cancel", path_segment(ask.payment_key));
        let request = self.post(&path, ask.idempotency_key, &[("cancellation_reason", "abandoned")]);
        let refusal = match self.call("cancel", request).await {
            Answer::Done(body) => match parse_intent(&body) {
                Some(intent) if intent.payment.status == Status::Dead => return CancelOutcome::Done,
                _ => return CancelOutcome::Unknown { why: "cancelled, but the answer does not say so".into() },
            },
            Answer::Refused(refusal) if refusal.is_about_state() => refusal,
            Answer::Refused(refusal) => return cancel_refusal(&refusal),
            Answer::Nothing(why) => return CancelOutcome::Unknown { why },
        };
        match self.retrieve(ask.payment_key).await {
            Looked::Intent(intent) => match intent.payment.status {
                Status::Dead | Status::Cancelled => CancelOutcome::Done,
                // A key belongs to one endpoint.
                Status::Captured | Status::PartlyCancelled => {
                    self.refund(ask, &format!("{}-rest", ask.idempotency_key)).await
                }
                _ => cancel_refusal(&refusal),
            },
            Looked::Missing => cancel_refusal(&refusal),
            Looked::Unknown(why) => CancelOutcome::Unknown { why },
        }
    }
}

enum Looked {
    Intent(Box<Intent>),
    Missing,
    Unknown(String),
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
        return Answer::Done(body);
    }
    #[derive(Deserialize)]
    struct Whole {
        error: Part,
    }
    #[derive(Deserialize)]
    struct Part {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        code: Option<String>,
        #[serde(default)]
        decline_code: Option<String>,
        #[serde(default)]
        message: Option<String>,
    }
    match serde_json::from_slice::<Whole>(&body) {
        Ok(Whole { error }) => Answer::Refused(Box::new(Refusal {
            status,
            kind: error.kind,
            code: error.code.unwrap_or_default(),
            decline_code: error.decline_code,
            message: error.message.unwrap_or_default(),
        })),
        Err(_) => Answer::Nothing(format!("{status} without an error object")),
    }
}

#[async_trait]
impl PaymentGateway for Stripe {
    fn provider(&self) -> Provider {
        Provider::Stripe
    }

    async fn open(&self, ask: &OpenAsk<'_>) -> OpenOutcome {
        let amount = ask.amount_won.to_string();
        // Manual: what the buyer does only reserves the money, and the places are made sure of before it is taken.
        let form = [
            ("amount", amount.as_str()),
            ("currency", "krw"),
            ("capture_method", "manual"),
            ("automatic_payment_methods[enabled]", "true"),
            ("description", ask.order_name),
            ("metadata[order_id]", ask.order_id),
        ];
        let body = match self.call("open", self.post("/v1/payment_intents", ask.idempotency_key, &form)).await {
            Answer::Done(body) => body,
            // The first call with this key is still under way.
            Answer::Refused(refusal) if refusal.is_running() => {
                return OpenOutcome::Unknown { why: refusal.why(), answered: false };
            }
            Answer::Refused(refusal) if refusal.status.is_client_error() => {
                return OpenOutcome::Refused { code: refusal.name().to_owned() };
            }
            Answer::Refused(refusal) => return OpenOutcome::Unknown { why: refusal.why(), answered: true },
            Answer::Nothing(why) => return OpenOutcome::Unknown { why, answered: false },
        };
        let unknown = |why: String| OpenOutcome::Unknown { why, answered: true };
        let Some(intent) = parse_intent(&body) else {
            let why = "200 with a body that is no payment".into();
            return OpenOutcome::Unknown { why, answered: false };
        };
        if let Err(why) = belongs(&intent.payment, None, ask.order_id, ask.amount_won) {
            return unknown(why);
        }
        match intent.client_secret {
            Some(client_secret) => OpenOutcome::Opened { payment_key: intent.payment.payment_key, client_secret },
            None => unknown("an intent without its secret".into()),
        }
    }

    async fn confirm(&self, ask: &ConfirmAsk<'_>) -> ConfirmOutcome {
        let path = format!("/v1/payment_intents/{}/capture", path_segment(ask.payment_key));
        let request = self.post(&path, ask.idempotency_key, &[WITH_CHARGE]);
        let refusal = match self.call("confirm", request).await {
            Answer::Done(body) => {
                let Some(intent) = parse_intent(&body) else {
                    let why = "200 with a body that is no payment".into();
                    return ConfirmOutcome::Unknown { why, answered: false };
                };
                let payment = Box::new(intent.payment);
                return match belongs(&payment, Some(ask.payment_key), ask.order_id, ask.amount_won) {
                    Err(why) => ConfirmOutcome::Unknown { why, answered: true },
                    Ok(()) if payment.status == Status::Captured => ConfirmOutcome::Accepted(payment),
                    Ok(()) => ConfirmOutcome::Unknown { why: format!("captured but {}", intent.stage), answered: true },
                };
            }
            Answer::Refused(refusal) => refusal,
            Answer::Nothing(why) => return ConfirmOutcome::Unknown { why, answered: false },
        };
        match confirm_refusal(&refusal) {
            Refused::Declined => ConfirmOutcome::Declined { code: refusal.name().to_owned(), message: refusal.message },
            Refused::Look => self.look(ask, &refusal).await,
            Refused::Unknown { answered } => ConfirmOutcome::Unknown { why: refusal.why(), answered },
        }
    }

    async fn find(&self, payment_key: Option<&str>, order_id: &str) -> FindOutcome {
        let Some(payment_key) = payment_key else { return self.search(order_id).await };
        match self.retrieve(payment_key).await {
            Looked::Intent(intent) if intent.payment.order_id == order_id => {
                FindOutcome::Found(Box::new(intent.payment))
            }
            // The key is another order's: there is no payment of this order under it.
            Looked::Intent(_) | Looked::Missing => FindOutcome::NotFound,
            Looked::Unknown(why) => FindOutcome::Unknown { why },
        }
    }

    async fn cancel(&self, ask: &CancelAsk<'_>) -> CancelOutcome {
        match ask.amount_won {
            Some(_) => self.refund(ask, ask.idempotency_key).await,
            None => self.end(ask).await,
        }
    }

    async fn transactions(
        &self,
        from: Timestamp,
        until: Timestamp,
        after: Option<&str>,
    ) -> std::result::Result<TransactionPage, String> {
        books::page(self, from, until, after).await
    }

    fn notice(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> NoticeOutcome {
        notice::read(&self.webhook_keys, headers, body, now)
    }
}
