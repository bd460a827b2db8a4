//! Time passes until no money is on its way, and both sides' books are compared.

use std::time::Duration;

use admit::orders::books::reconcile;
use admit::payments::Provider;

use super::TestApp;

impl TestApp {
    /// Time passes and workers run until no attempt, refund or webhook is open.
    pub async fn settle_everything(&self) {
        for _ in 0..60 {
            let open: i64 = self
                .db
                .one(
                    "select (select count(*) from attempts where state in ('sent', 'unknown'))
                          + (select count(*) from refunds where state = 'pending')
                          + (select count(*) from attempts where close_at is not null)
                          + (select count(*) from inbox where state = 'received')",
                )
                .await;
            if open == 0 {
                return;
            }
            self.advance(Duration::from_secs(60)).await;
            for worker in ["recover", "webhooks", "refunds", "deposits", "expire", "audit"] {
                self.tick(worker).await;
            }
        }
        let what: Option<String> = self
            .db
            .one(
                "select string_agg(line, e'\n') from (
                     select format('attempt %s %s checks %s sent %s', provider_order_id, state, checks, sent_at) from attempts
                      where state in ('sent', 'unknown')
                     union all select format('refund %s %s try %s', reason, failure_code, tries) from refunds where state = 'pending'
                     union all select format('webhook %s tries %s', body, tries) from inbox where state = 'received') as open (line)",
            )
            .await;
        panic!("open after an hour:\n{}", what.unwrap_or_default());
    }

    /// What we believe to keep is what the providers have given us.
    pub async fn assert_books_agree(&self, context: &str) {
        // Cash is in no books but ours.
        for provider in [Provider::Toss, Provider::Stripe] {
            let (kept, _) = self.at_provider(provider).await;
            let charged: i64 = self
                .db
                .one(&format!(
                    "select coalesce(sum(amount_won - refunded_won), 0)::bigint from attempts
                      where state = 'accepted' and provider = '{}'",
                    provider.as_str()
                ))
                .await;
            assert_eq!(charged, kept, "{}: {context}", provider.as_str());
        }
    }

    /// What a provider keeps of ours, in won, and how many payments it has ever charged.
    pub async fn at_provider(&self, provider: Provider) -> (i64, i64) {
        let counts = match provider {
            Provider::Toss => self.simulator_counts().await,
            Provider::Stripe if self.stripe.is_none() => return (0, 0),
            _ => self.stripe_counts().await,
        };
        let number = |name: &str| counts[name].as_i64().unwrap_or_else(|| panic!("{name}: {counts}"));
        match provider {
            Provider::Toss => {
                let kept = number("approved_amount") - number("cancelled_amount") - number("reversed_amount");
                (kept, number("approved"))
            }
            _ => {
                let returned = number("refunded_amount") - number("refunds_failed_amount");
                (number("captured_amount") - returned, number("captured"))
            }
        }
    }

    /// What went back over there while no webhook came is in our books as well.
    pub async fn reconciled(&self) {
        let today = self.app().clock.today_in_seoul();
        for day in [today.yesterday().unwrap(), today] {
            for provider in Provider::ALL.into_iter().filter(|provider| self.app().gateways.has(*provider)) {
                self.until("the books agree", async || {
                    let gateway = self.app().gateways.of(provider).unwrap();
                    let left = reconcile::day_of(self.app(), gateway, day).await;
                    if let Ok(left) = &left
                        && !left.is_empty()
                    {
                        eprintln!("{} differs on {day}: {left:?}", provider.as_str());
                    }
                    let agrees = left.is_ok_and(|left| left.is_empty());
                    if !agrees {
                        // Until the breaker lets the books be read, and answers are newer than what they are about.
                        self.advance(Duration::from_secs(61)).await;
                    }
                    agrees
                })
                .await;
            }
        }
    }
}
