use clap::Args;

use super::check_url;

/// Stripe is there when its secret key is.
#[derive(Args, Clone, Default)]
pub struct StripeSettings {
    /// Stripe publishable key, `pk_test_…` or `pk_live_…`; shown to browsers.
    #[arg(long, env = "STRIPE_PUBLISHABLE_KEY", default_value = "")]
    pub stripe_publishable_key: String,
    /// Stripe secret or restricted key of the same account; without it nothing is paid through Stripe. [secret]
    #[arg(long, env = "STRIPE_SECRET_KEY", hide_env_values = true, default_value = "", hide_default_value = true)]
    pub stripe_secret_key: String,
    /// Secret of the webhook endpoint, `whsec_…`; while it is rolled both, comma separated. [secret]
    #[arg(long, env = "STRIPE_WEBHOOK_SECRET", hide_env_values = true, default_value = "", hide_default_value = true)]
    pub stripe_webhook_secret: String,
    /// Stripe's REST API; a simulator in development.
    #[arg(long, env = "STRIPE_API_URL", default_value = "https://api.stripe.com")]
    pub stripe_api_url: String,
    /// Script that the payment page loads.
    #[arg(long, env = "STRIPE_SDK_URL", default_value = "https://js.stripe.com/v3/")]
    pub stripe_sdk_url: String,
}

/// The one in force and the one before, or the one to come.
const WEBHOOK_SECRETS_MAX: usize = 2;

impl StripeSettings {
    pub fn is_set(&self) -> bool {
        !self.stripe_secret_key.is_empty()
    }

    pub fn webhook_secrets(&self) -> impl Iterator<Item = &str> {
        self.stripe_webhook_secret.split(',').map(str::trim).filter(|secret| !secret.is_empty())
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if !self.is_set() {
            return Ok(());
        }
        if self.stripe_publishable_key.is_empty() {
            return Err("STRIPE_PUBLISHABLE_KEY is missing, but STRIPE_SECRET_KEY is set".into());
        }
        let secrets = self.webhook_secrets().count();
        if secrets == 0 {
            return Err("STRIPE_WEBHOOK_SECRET is missing, but STRIPE_SECRET_KEY is set".into());
        }
        if secrets > WEBHOOK_SECRETS_MAX || self.webhook_secrets().any(|secret| !secret.starts_with("whsec_")) {
            return Err("STRIPE_WEBHOOK_SECRET must be whsec_…, or two of them with a comma between".into());
        }
        let kind = |key: &str, names: &[&str]| {
            let mut parts = key.split('_');
            let named = parts.next().is_some_and(|name| names.contains(&name));
            parts.next().filter(|kind| named && matches!(*kind, "test" | "live")).map(str::to_owned)
        };
        let publishable = kind(&self.stripe_publishable_key, &["pk"]);
        let secret = kind(&self.stripe_secret_key, &["sk", "rk"]);
        let (Some(publishable), Some(secret)) = (publishable, secret) else {
            return Err(
                "STRIPE_PUBLISHABLE_KEY must begin with pk_test_ or pk_live_, STRIPE_SECRET_KEY with sk_test_, \
                        sk_live_, rk_test_ or rk_live_"
                    .into(),
            );
        };
        if publishable != secret {
            return Err(format!(
                "STRIPE_PUBLISHABLE_KEY is a {publishable} key but STRIPE_SECRET_KEY is a {secret} key"
            ));
        }
        check_url("STRIPE_API_URL", &self.stripe_api_url)?;
        check_url("STRIPE_SDK_URL", &self.stripe_sdk_url)
    }

    pub(super) fn check_production(&self) -> Result<(), String> {
        if !self.is_set() {
            return Ok(());
        }
        let all = [&self.stripe_publishable_key, &self.stripe_secret_key, &self.stripe_webhook_secret];
        if all.iter().any(|key| key.contains("DEMO")) {
            return Err("a Stripe key or STRIPE_WEBHOOK_SECRET is a demo one; production mode refuses it".into());
        }
        let to_stripe = self.stripe_api_url.trim_end_matches('/') == "https://api.stripe.com";
        if self.stripe_publishable_key.starts_with("pk_live_") != to_stripe {
            return Err(
                "STRIPE_API_URL and the Stripe keys disagree: live keys go to Stripe itself and to nowhere else, \
                        test keys belong to development mode"
                    .into(),
            );
        }
        Ok(())
    }
}
