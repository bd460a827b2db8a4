//! Carries owed money to the provider, until it is there: what was asked for, and what nobody asked for and everybody is
//! owed (it came twice, or too late with no room left).

use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::pg::{self, Refund};
use crate::orders::recover::together;
use crate::orders::settle::about_account;
use crate::payments::{CancelAsk, CancelOutcome, FindOutcome, RefundAccount};
use crate::platform::ids;

const BATCH: i64 = 20;
/// Two weeks of hourly tries would be too long for a key that Toss forgets after 15 days; this is about a day.
const TRIES_MAX: i32 = 24;

pub async fn tick(app: &App) -> Result<usize> {
    let mut due = Vec::new();
    for (provider, room) in app.gateways.room(BATCH) {
        due.extend(pg::claim_refunds(&app.pg.get().await?, provider, room).await?);
    }
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
    let account = account(app, refund)?;
    let ask = CancelAsk {
        payment_key,
        order_id: &refund.provider_order_id,
        amount_won: Some(i64::from(refund.amount_won)),
        reason: reason(refund),
        account: account.as_ref(),
        idempotency_key: &key,
    };
    // Whatever was tried before may have been done: a key that changed, or that the provider has forgotten, would pay twice.
    let mut seen = if refund.is_first_try() { Seen::Nothing } else { look(app, refund, payment_key).await? };
    let mut outcome = None;
    if matches!(seen, Seen::Nothing) && refund.to_account && account.is_none() {
        // It went with the first try, which has come back: its owner must name one again.
        pg::ask_for_account(&app.pg.get().await?, refund.id).await?;
        return Ok(true);
    }
    if let Seen::Nothing = seen {
        let said = app.gateways.of(refund.provider)?.cancel(&ask).await;
        seen = match &said {
            CancelOutcome::Done => Seen::Returned,
            CancelOutcome::Refused { .. } | CancelOutcome::Unknown { .. } => look(app, refund, payment_key).await?,
        };
        outcome = Some(said);
    }
    let client = app.pg.get().await?;
    match seen {
        Seen::Returned => {
            pg::finish_refund(&client, refund).await?;
            app.metrics.settled("refunded");
            Ok(true)
        }
        Seen::PartGone(gone_won) => {
            tracing::warn!(refund = %refund.id, gone_won, "the provider has returned a part of it by itself");
            pg::shrink_refund(&client, refund.id, gone_won, ids::row_id(app.clock.now())).await
        }
        // The key stays, however often: nobody knows yet what became of it.
        Seen::Unknown => pg::retry_refund(&client, refund, false, "not known", false).await.map(|()| false),
        Seen::Nothing => {
            let (code, new_key, hopeless) = match outcome {
                Some(CancelOutcome::Refused { code, again }) => (code, true, !again),
                Some(CancelOutcome::Unknown { why }) => (why, false, false),
                Some(CancelOutcome::Done) | None => return Ok(true),
            };
            let dead = hopeless || refund.tries >= TRIES_MAX;
            if dead {
                tracing::error!(refund = %refund.id, code, "a refund failed for good: somebody must look at it");
            }
            pg::retry_refund(&client, refund, new_key, &code, dead).await.map(|()| false)
        }
    }
}

fn account(app: &App, refund: &Refund) -> Result<Option<RefundAccount>> {
    let Some((key_id, sealed)) = &refund.account else { return Ok(None) };
    let plain = app.secrets.open(key_id, &about_account(refund.id), sealed)?;
    serde_json::from_slice(&plain).map(Some).map_err(Error::bug)
}

/// What the provider has given back already, on top of those refunds that are done.
enum Seen {
    /// This sum.
    Returned,
    /// So much less is left than we thought that this refund cannot be made whole.
    PartGone(i32),
    Nothing,
    /// The provider does not say.
    Unknown,
}

/// Refunds of one attempt go one after the other, so what is gone is this one's, or went without us.
async fn look(app: &App, refund: &Refund, payment_key: &str) -> Result<Seen> {
    let found = app.gateways.of(refund.provider)?.find(Some(payment_key), &refund.provider_order_id).await;
    let FindOutcome::Found(payment) = found else { return Ok(Seen::Unknown) };
    let Some(balance_won) = payment.balance_won else { return Ok(Seen::Unknown) };
    let gone_won = i64::from(refund.captured_won - refund.done_won) - balance_won;
    let amount_won = i64::from(refund.amount_won);
    Ok(match gone_won {
        gone_won if gone_won >= amount_won => Seen::Returned,
        gone_won if gone_won > 0 && balance_won < amount_won => {
            Seen::PartGone(i32::try_from(gone_won).map_err(Error::bug)?)
        }
        _ => Seen::Nothing,
    })
}

/// Shown to the card holder by the provider.
fn reason(refund: &Refund) -> &str {
    match (refund.kind.as_str(), refund.reason.as_str()) {
        ("visitor", "visitor") => "관람객 요청으로 취소되었습니다",
        ("visitor" | "admin", given) => given,
        (_, "late_and_full") => "예약 시간이 지나고 남은 자리가 없어 자동 환불되었습니다",
        (_, "paid_twice") => "중복 결제로 자동 환불되었습니다",
        _ => "취소된 주문의 결제로 자동 환불되었습니다",
    }
}
