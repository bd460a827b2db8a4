//! What a simulator is started with, and the switches that can be thrown while it runs.

use serde::{Deserialize, Serialize};
use simulator_common::address::is_http_url;
use std::net::{Ipv4Addr, SocketAddr};

#[derive(Clone, Debug)]
pub struct Settings {
    /// Port 0 picks a free one; `Running::addr` tells which.
    pub listen: SocketAddr,
    /// Origin under which a browser reaches the simulator; `http://{listen}` if absent.
    pub public_url: Option<String>,
    /// Without one, no webhook is sent.
    pub webhook_url: Option<String>,
    pub client_key: String,
    pub secret_key: String,
    pub widget_client_key: String,
    pub widget_secret_key: String,
    /// Time the bank takes for confirm, cancel and query, in real milliseconds.
    pub latency_ms: u64,
    /// Simulated seconds per real second, for every deadline and the webhook retries.
    pub time_scale: f64,
    /// Webhooks in flight at once; the rest queue.
    pub webhook_concurrency: usize,
    /// Stored answers kept for replay; the oldest go first, so that a long benchmark does not eat the machine.
    pub idempotency_max: usize,
    pub options: Options,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            public_url: None,
            webhook_url: None,
            client_key: "test_ck_DEMO000000000000000000".into(),
            secret_key: "test_sk_DEMO000000000000000000".into(),
            widget_client_key: "test_gck_DEMO000000000000000000".into(),
            widget_secret_key: "test_gsk_DEMO000000000000000000".into(),
            latency_ms: 0,
            time_scale: 1.0,
            webhook_concurrency: 64,
            idempotency_max: 200_000,
            options: Options::default(),
        }
    }
}

impl Settings {
    pub fn check(&self) -> Result<(), String> {
        if !(self.time_scale.is_finite() && self.time_scale > 0.0) {
            return Err(format!("time_scale must be a positive number, not {}", self.time_scale));
        }
        if self.webhook_concurrency == 0 || self.idempotency_max == 0 {
            return Err("webhook_concurrency and idempotency_max must be at least 1".into());
        }
        let keys = [&self.client_key, &self.secret_key, &self.widget_client_key, &self.widget_secret_key];
        if keys.iter().enumerate().any(|(n, key)| key.is_empty() || keys[..n].contains(key)) {
            return Err("the four API keys must be present and differ from one another".into());
        }
        if let Some(url) = self.webhook_url.as_deref().filter(|url| !is_http_url(url)) {
            return Err(format!("webhook_url must be an absolute http(s) address, not {url}"));
        }
        Ok(())
    }
}

/// Behaviour that Toss does not document, or that a test wants different; `POST /_sim/options` changes it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    pub latency_ms: u64,
    /// An answer must come within this; Toss gives ten seconds.
    pub webhook_timeout_ms: u64,
    /// Calls per minute and API; 0 is no limit, Toss's test environment has 100.
    pub rate_limit_per_min: u32,
    pub secret: SecretFor,
    /// Whether a later query still shows `secret`.
    pub secret_on_get: bool,
    /// Whether the success redirect carries `paymentType`.
    pub payment_type_on_redirect: bool,
    pub amount_mismatch: AmountMismatch,
    /// Two confirms at once send `DONE` and `ABORTED`, as one merchant saw it.
    pub aborted_pair: bool,
    /// Whether 5xx answers are bound to an idempotency key too.
    pub replay_5xx: bool,
    /// Whether `DEPOSIT_CALLBACK` is registered beside `PAYMENT_STATUS_CHANGED`.
    pub deposit_callback: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            latency_ms: 0,
            webhook_timeout_ms: 10_000,
            rate_limit_per_min: 0,
            secret: SecretFor::Every,
            secret_on_get: true,
            payment_type_on_redirect: true,
            amount_mismatch: AmountMismatch::ForbiddenRequest,
            aborted_pair: false,
            replay_5xx: false,
            deposit_callback: true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretFor {
    Every,
    VirtualAccount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AmountMismatch {
    ForbiddenRequest,
    InvalidRequest,
}
