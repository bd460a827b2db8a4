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
    pub publishable_key: String,
    pub secret_key: String,
    pub webhook_secret: String,
    /// Simulated seconds per real second, for every deadline and the webhook retries.
    pub time_scale: f64,
    /// Webhooks in flight at once; the rest queue.
    pub webhook_concurrency: usize,
    /// Stored answers kept for replay; the oldest go first.
    pub idempotency_max: usize,
    /// Payment intents kept (a few KB each); beyond them creating one fails until a reset.
    pub intents_max: usize,
    pub options: Options,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            public_url: None,
            webhook_url: None,
            publishable_key: "pk_test_DEMO000000000000000000".into(),
            secret_key: "sk_test_DEMO000000000000000000".into(),
            webhook_secret: "whsec_DEMO000000000000000000000000".into(),
            time_scale: 1.0,
            webhook_concurrency: 64,
            idempotency_max: 200_000,
            intents_max: 1_000_000,
            options: Options::default(),
        }
    }
}

impl Settings {
    pub fn check(&self) -> Result<(), String> {
        if !(self.time_scale.is_finite() && self.time_scale > 0.0) {
            return Err(format!("time_scale must be a positive number, not {}", self.time_scale));
        }
        if self.webhook_concurrency == 0 || self.idempotency_max == 0 || self.intents_max == 0 {
            return Err("webhook_concurrency, idempotency_max and intents_max must be at least 1".into());
        }
        if self.publishable_key.is_empty() || self.secret_key.is_empty() || self.publishable_key == self.secret_key {
            return Err("the two API keys must be present and differ".into());
        }
        if self.webhook_secret.is_empty() {
            return Err("webhook_secret must be present".into());
        }
        if let Some(url) = self.webhook_url.as_deref().filter(|url| !is_http_url(url)) {
            return Err(format!("webhook_url must be an absolute http(s) address, not {url}"));
        }
        self.options.check()
    }
}

/// Behaviour that varies or that a test wants different; `POST /_sim/options` changes it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    pub latency_ms: u64,
    pub webhook_timeout_ms: u64,
    /// Calls per second; 0 is no limit, Stripe's test mode has 25.
    pub rate_limit_per_s: u32,
    /// How long a new or changed payment stays hidden from search, in simulated seconds. Stripe says "under a minute".
    pub search_lag_s: u32,
    /// Whether an endpoint for every event is simulated, not only for those that money depends on.
    pub all_events: bool,
    /// Whether 5xx answers are bound to an idempotency key, as Stripe does once execution began.
    pub replay_5xx: bool,
    /// Stripe's fee, in hundredths of a percent of what was captured.
    pub fee_bp: i64,
    pub fee_fixed: i64,
    /// Days until money in the balance is available.
    pub available_days: i64,
    /// Days until an authorisation lapses.
    pub authorisation_days: i64,
    /// Smallest amount; Stripe's rule depends on the settlement currency (about 50 US cents).
    pub amount_min: i64,
    pub signature_clock: SignatureClock,
}

/// Whose time a signature carries. A receiver whose clock does not follow the simulated one wants the real one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureClock {
    Simulated,
    Real,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            latency_ms: 0,
            webhook_timeout_ms: 10_000,
            rate_limit_per_s: 0,
            search_lag_s: 60,
            all_events: false,
            replay_5xx: true,
            fee_bp: 360,
            fee_fixed: 0,
            available_days: 7,
            authorisation_days: 7,
            amount_min: 1,
            signature_clock: SignatureClock::Simulated,
        }
    }
}

impl Options {
    pub fn check(&self) -> Result<(), String> {
        let sane = (0..=10_000).contains(&self.fee_bp)
            && (0..=1_000_000).contains(&self.fee_fixed)
            && (0..=365).contains(&self.available_days)
            && (1..=365).contains(&self.authorisation_days)
            && (1..=1_000_000).contains(&self.amount_min);
        if sane { Ok(()) } else { Err("fees, days or amount_min are out of range".into()) }
    }
}
