//! Follows refunds into bank accounts until the money is there: the bank may send it back days after the provider has
//! paid it out, and no event tells of that.

use super::pg;
use crate::app::App;
use crate::error::Result;
use crate::orders::pg::Attempt;
use crate::orders::recover::{self, together};
use crate::payments::{Arrival, Payment};

const BATCH: i64 = 50;

/// One round over refunds whose arrival is to be asked about.
pub async fn tick(app: &App) -> Result<usize> {
    let mut due = Vec::new();
    for (provider, room) in app.gateways.room(BATCH) {
        due.extend(pg::claim_looks(&app.pg.get().await?, provider, room).await?);
    }
    let looked = together(app, due, |app, attempt| async move {
        recover::resolve(&app, &attempt, None).await.map(|_| ()).inspect_err(|error| {
            tracing::warn!(%error, order_id = attempt.provider_order_id, "a refund's arrival is asked about again later");
        })
    });
    Ok(looked.await.into_iter().filter(Result::is_ok).count())
}

/// What the provider says of the latest refund.
pub async fn note(app: &App, attempt: &Attempt, payment: &Payment) -> Result<()> {
    match payment.arrival {
        Arrival::Unsaid | Arrival::UnderWay => Ok(()),
        Arrival::Arrived => pg::arrived(&app.pg.get().await?, attempt.id).await,
        Arrival::Bounced => {
            let bounced = pg::bounced(&app.pg.get().await?, attempt.id).await?;
            if let Some(refund_id) = bounced {
                tracing::error!(order_id = attempt.provider_order_id, %refund_id, "a bank has sent a refund back: somebody must pay it");
                app.metrics.settled("refund_bounced");
            }
            Ok(())
        }
    }
}
