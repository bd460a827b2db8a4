//! Time passes until no money is on its way, and both sides' books are compared.

use std::time::Duration;

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

    /// What we believe to keep is what Toss has given us.
    pub async fn assert_books_agree(&self, context: &str) {
        let charged: i64 = self
            .db
            .one("select coalesce(sum(amount_won - refunded_won), 0)::bigint from attempts where state = 'accepted'")
            .await;
        let counts = self.simulator_counts().await;
        let at_toss = counts["approved_amount"].as_i64().unwrap()
            - counts["cancelled_amount"].as_i64().unwrap()
            - counts["reversed_amount"].as_i64().unwrap();
        assert_eq!(charged, at_toss, "{context}");
    }
}
