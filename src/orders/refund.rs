//! Refunds that nobody asked for and everybody is owed: money that came twice, or too late with no room left.

use super::pg::{self, Refund};
use super::recover::together;
use crate::app::App;
use crate::error::Result;
use crate::payments::{CancelAsk, CancelOutcome, FindOutcome};

const BATCH: i64 = 20;
/// Two weeks of hourly tries would be too long for a key that Toss forgets after 15 days; this is about a day.
const TRIES_MAX: i32 = 24;

pub async fn tick(app: &App) -> Result<usize> {
    let client = app.pg.get().await?;
    let due = pg::claim_refunds(&client, BATCH).await?;
    drop(client);
    let done = together(app, due, |app, refund| async move {
        one(&app, &refund).await.unwrap_or_else(|error| {
            tracing::warn!(%error, refund = %refund.id, "a refund will be tried again");
            false
        })
    });
    Ok(done.await.into_iter().filter(|done| *done).count())
}

async fn one(app: &App, refund: &Refund) -> Result<bool> {
    let Some(payment_key) = refund.payment_key.as_deref() else {
        tracing::error!(refund = %refund.id, "a refund without a payment key");
        return Ok(false);
    };
    let key = format!("refund-{}-{}", refund.id, refund.attempt_no);
    let ask = CancelAsk {
        payment_key,
        amount_won: i64::from(refund.amount_won),
        reason: reason(&refund.reason),
        idempotency_key: &key,
    };
    let outcome = app.gateway.cancel(&ask).await;
    let returned = match &outcome {
        CancelOutcome::Done => true,
        CancelOutcome::Refused { .. } | CancelOutcome::Unknown { .. } => is_returned(app, refund, payment_key).await,
    };
    let client = app.pg.get().await?;
    if returned {
        pg::finish_refund(&client, refund).await?;
        app.metrics.settled("refunded");
        return Ok(true);
    }
    let (code, new_key, hopeless) = match outcome {
        CancelOutcome::Refused { code, again } => (code, true, !again),
        CancelOutcome::Unknown { why } => (why, false, false),
        CancelOutcome::Done => return Ok(true),
    };
    let dead = hopeless || refund.tries >= TRIES_MAX;
    if dead {
        tracing::error!(refund = %refund.id, code, "a refund failed for good: somebody must look at it");
    }
    pg::retry_refund(&client, refund.id, new_key, &code, dead).await?;
    Ok(false)
}

/// Whether Toss has given this sum back already.
async fn is_returned(app: &App, refund: &Refund, payment_key: &str) -> bool {
    match app.gateway.find(Some(payment_key), &refund.provider_order_id).await {
        FindOutcome::Found(payment) => payment.balance_won <= i64::from(refund.captured_won - refund.amount_won),
        FindOutcome::NotFound | FindOutcome::Unknown { .. } => false,
    }
}

/// Shown to the card holder by Toss.
fn reason(cause: &str) -> &'static str {
    match cause {
        "late_and_full" => "예약 시간이 지나고 남은 자리가 없어 자동 환불되었습니다",
        "paid_twice" => "중복 결제로 자동 환불되었습니다",
        _ => "취소된 주문의 결제로 자동 환불되었습니다",
    }
}
