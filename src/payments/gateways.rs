//! The providers of this process. An attempt stays with the provider that it was opened with.

use std::collections::BTreeMap;
use std::time::Duration;

use super::breaker::{Guarded, State};
use super::model::{PaymentGateway, Provider, Wishes};
use super::stripe::Stripe;
use super::toss::Toss;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::observability::Metrics;
use crate::platform::clock::Clock;

pub struct Gateways(BTreeMap<Provider, Guarded>);

impl Gateways {
    pub fn new(settings: &Settings, clock: &Clock) -> Result<Gateways> {
        let mut all: Vec<Box<dyn PaymentGateway>> = vec![Box::new(Toss::new(settings)?)];
        if let Some(stripe) = Stripe::new(settings)? {
            all.push(Box::new(stripe));
        }
        let metrics = Metrics::install()?;
        let guarded =
            |one: Box<dyn PaymentGateway>| (one.provider(), Guarded::new(one, clock.clone(), metrics.clone()));
        Ok(Gateways(all.into_iter().map(guarded).collect()))
    }

    pub fn has(&self, provider: Provider) -> bool {
        self.0.contains_key(&provider)
    }

    pub fn all(&self) -> impl Iterator<Item = &dyn PaymentGateway> {
        self.0.values().map(|gateway| gateway as &dyn PaymentGateway)
    }

    /// Each with the state of its breaker.
    pub fn states(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(provider, gateway)| (provider.as_str(), gateway.state().as_str()))
    }

    /// Unavailable: its keys are not set here, though an attempt was opened with it.
    pub fn of(&self, provider: Provider) -> Result<&dyn PaymentGateway> {
        self.guarded(provider).map(|gateway| gateway as &dyn PaymentGateway)
    }

    fn guarded(&self, provider: Provider) -> Result<&Guarded> {
        let known = self.0.get(&provider);
        known.ok_or_else(|| Error::unavailable("payment.provider_away", format!("{} has no keys", provider.as_str())))
    }

    /// Before an attempt to pay is sent: refused while the provider does not answer, when nothing has happened yet.
    pub fn admit(&self, provider: Provider) -> Result<()> {
        self.guarded(provider)?.admit().map_err(|wait| away(provider, wait))
    }

    /// Before the buyer is sent to the provider's window.
    pub fn is_there(&self, provider: Provider) -> Result<()> {
        self.guarded(provider)?.closed_for().map_or(Ok(()), |wait| Err(away(provider, wait)))
    }

    /// How much of a worker's batch each provider can take: all, one call to find out whether it is back, or none. What
    /// is not claimed keeps its turn, so that a backlog is due at once when the provider is back.
    pub fn room(&self, most: i64) -> Vec<(Provider, i64)> {
        let room = |gateway: &Guarded| match (gateway.state(), gateway.closed_for()) {
            (State::Closed, _) => Some(most),
            (_, None) => Some(1),
            (_, Some(_)) => None,
        };
        self.0.iter().filter_map(|(provider, gateway)| room(gateway).map(|room| (*provider, room))).collect()
    }
}

fn away(provider: Provider, wait: Duration) -> Error {
    let seconds = wait.as_secs_f64().ceil().max(1.0);
    Error::unavailable("payment.provider_away", format!("the breaker of {} is open", provider.as_str()))
        .retry_after(Duration::from_secs_f64(seconds))
}

/// What a browser needs of a provider.
pub struct InBrowser<'a> {
    pub client_key: &'a str,
    pub sdk_url: &'a str,
}

/// What the provider's window is to be opened with for each method, in its own words; None: it has no such wishes.
pub fn window(provider: Provider, wishes: &Wishes) -> Option<serde_json::Value> {
    match provider {
        Provider::Toss => Some(super::toss::window(wishes)),
        Provider::Stripe | Provider::Cash => None,
    }
}

pub fn in_browser(settings: &Settings, provider: Provider) -> Result<InBrowser<'_>> {
    Ok(match provider {
        Provider::Toss => InBrowser { client_key: &settings.toss_client_key, sdk_url: &settings.toss_sdk_url },
        Provider::Stripe => {
            InBrowser { client_key: &settings.stripe.stripe_publishable_key, sdk_url: &settings.stripe.stripe_sdk_url }
        }
        Provider::Cash => return Err(Error::bug("cash is not paid in a browser")),
    })
}
