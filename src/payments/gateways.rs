//! The providers of this process. An attempt stays with the provider that it was opened with.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::model::{PaymentGateway, Provider};
use super::stripe::Stripe;
use super::toss::Toss;
use crate::config::Settings;
use crate::error::{Error, Result};

pub struct Gateways(BTreeMap<Provider, Arc<dyn PaymentGateway>>);

impl Gateways {
    pub fn new(settings: &Settings) -> Result<Gateways> {
        let toss: Arc<dyn PaymentGateway> = Arc::new(Toss::new(settings)?);
        let mut all = BTreeMap::from([(Provider::Toss, toss)]);
        if let Some(stripe) = Stripe::new(settings)? {
            all.insert(Provider::Stripe, Arc::new(stripe));
        }
        Ok(Gateways(all))
    }

    pub fn has(&self, provider: Provider) -> bool {
        self.0.contains_key(&provider)
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn PaymentGateway>> {
        self.0.values()
    }

    /// Unavailable: its keys are not set here, though an attempt was opened with it.
    pub fn of(&self, provider: Provider) -> Result<&dyn PaymentGateway> {
        let known = self.0.get(&provider).map(AsRef::as_ref);
        known.ok_or_else(|| Error::unavailable("payment.provider_away", format!("{} has no keys", provider.as_str())))
    }
}

/// What a browser needs of a provider.
pub struct InBrowser<'a> {
    pub client_key: &'a str,
    pub sdk_url: &'a str,
}

pub fn in_browser(settings: &Settings, provider: Provider) -> InBrowser<'_> {
    match provider {
        Provider::Toss => InBrowser { client_key: &settings.toss_client_key, sdk_url: &settings.toss_sdk_url },
        Provider::Stripe => {
            InBrowser { client_key: &settings.stripe.stripe_publishable_key, sdk_url: &settings.stripe.stripe_sdk_url }
        }
    }
}
