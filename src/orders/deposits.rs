//! Virtual accounts: what becomes of one that waits for money, and of one that shall take none any more. A webhook tells
//! of a deposit; these ticks find what was not heard, since an account that lapses tells nobody.

use super::model::{AttemptState, Order, Origin};
use super::pay;
use super::pg::{self, Attempt};
use super::recover::{by_status, order_of, together};
use super::settle::{self, Settled};
use crate::app::App;
use crate::error::Result;
use crate::payments::{CancelOutcome, FindOutcome, Payment, Status};

const BATCH: i64 = 50;

/// One round over accounts whose time to pay in is over.
pub async fn tick(app: &App) -> Result<usize> {
    let client = app.pg.get().await?;
    let due = pg::claim_deposits(&client, BATCH).await?;
    let closing = pg::claim_closings(&client, BATCH).await?;
    drop(client);
    let looked = together(app, due, |app, attempt| async move { note(&attempt, look(&app, &attempt).await) }).await;
    let closed =
        together(app, closing, |app, attempt| async move { note(&attempt, close(&app, &attempt).await) }).await;
    Ok(looked.into_iter().chain(closed).filter(|done| *done).count())
}

fn note(attempt: &Attempt, outcome: Result<bool>) -> bool {
    outcome.unwrap_or_else(|error| {
        tracing::warn!(%error, order_id = attempt.provider_order_id, "a virtual account waits for the next round");
        false
    })
}

async fn look(app: &App, attempt: &Attempt) -> Result<bool> {
    let order = order_of(app, attempt).await?;
    let origin = Origin::new("worker", "deposit", &attempt.provider_order_id);
    let found = app.gateways.of(attempt.provider)?.find(attempt.payment_key.as_deref(), &attempt.provider_order_id);
    match found.await {
        FindOutcome::Found(payment) => Ok(by_status(app, &order, attempt, &payment, &origin).await?.is_some()),
        FindOutcome::NotFound | FindOutcome::Unknown { .. } => Ok(false),
    }
}

/// The provider still waits for the money, or waits for it again.
pub async fn by_account(
    app: &App,
    order: &Order,
    attempt: &Attempt,
    payment: &Payment,
    origin: &Origin,
) -> Result<Option<Settled>> {
    match attempt.state {
        AttemptState::Accepted => settle::reversed(app, order, attempt, origin).await.map(Some),
        AttemptState::AwaitingDeposit if app.clock.now() >= order.expires_at => {
            settle::lapsed(app, order, attempt, origin).await.map(Some)
        }
        AttemptState::AwaitingDeposit | AttemptState::Declined => Ok(None),
        AttemptState::Ready | AttemptState::Sent | AttemptState::Unknown => {
            settle::awaiting(app, order, attempt, payment, origin).await.map(Some)
        }
    }
}

/// Tells the provider that nobody shall pay in any more. Money that came first is settled or goes back.
async fn close(app: &App, attempt: &Attempt) -> Result<bool> {
    let gateway = app.gateways.of(attempt.provider)?;
    let Some(payment_key) = attempt.payment_key.as_deref() else { return done(app, attempt).await };
    let payment = match gateway.find(Some(payment_key), &attempt.provider_order_id).await {
        FindOutcome::Found(payment) => payment,
        FindOutcome::NotFound => return done(app, attempt).await,
        FindOutcome::Unknown { .. } => return Ok(false),
    };
    match payment.status {
        Status::AwaitingDeposit => {
            match pay::close_there(gateway, attempt, payment_key, "주문이 취소되어 가상계좌를 닫습니다").await
            {
                CancelOutcome::Done => done(app, attempt).await,
                CancelOutcome::Refused { .. } if payment.account.as_ref().is_some_and(|a| a.expired) => {
                    done(app, attempt).await
                }
                CancelOutcome::Refused { .. } | CancelOutcome::Unknown { .. } => Ok(false),
            }
        }
        Status::Captured => {
            let order = order_of(app, attempt).await?;
            let origin = Origin::new("worker", "deposit", &attempt.provider_order_id);
            settle::accepted(app, &order, attempt, &payment, &origin).await?;
            done(app, attempt).await
        }
        _ => done(app, attempt).await,
    }
}

async fn done(app: &App, attempt: &Attempt) -> Result<bool> {
    pg::closed(&app.pg.get().await?, attempt.id).await?;
    Ok(true)
}
