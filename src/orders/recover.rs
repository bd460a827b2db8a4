//! Recovery: an attempt whose outcome is unknown is asked about until it is known. The normal path of webhooks too:
//! whatever they say, only Toss's answer counts.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::SignedDuration;

use super::deposits;
use super::inbox::outcome::Outcome;
use super::model::{AttemptState, Order, Origin};
use super::pg::{self, Attempt};
use super::settle::{self, Settled};
use crate::app::App;
use crate::error::{Error, Result};
use crate::payments::pg::Ended;
use crate::payments::{self, ConfirmOutcome, FindOutcome, Payment, Status};

/// A payment that was authenticated can be confirmed for ten minutes.
const CONFIRM_WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// After the window and this much more, a payment that Toss does not know will never be.
const GRACE: SignedDuration = SignedDuration::from_mins(2);
/// At 50 ms a question and 64 at a time, a backlog of 10,000 is asked about in some 10 seconds.
const BATCH: i64 = 200;
/// Questions at once. More would wait for connections of the pool, which the sale needs too.
const AT_ONCE: usize = 64;

/// One round over attempts that are due to be asked about.
pub async fn tick(app: &App) -> Result<usize> {
    let mut due = Vec::new();
    for (provider, room) in app.gateways.room(BATCH) {
        due.extend(pg::claim_unresolved(&app.pg.get().await?, provider, room).await?);
    }
    // Together: when Toss has been slow, what can still be confirmed has only minutes left.
    let asked = together(app, due, |app, attempt| async move {
        match resolve(&app, &attempt, None).await {
            Ok(settled) => usize::from(settled.is_some()),
            Err(error) => {
                tracing::warn!(%error, order_id = attempt.provider_order_id, "an attempt stays unresolved");
                0
            }
        }
    });
    Ok(asked.await.into_iter().sum())
}

/// Does the same with the items of a claimed batch, many at the same time, and waits for all.
pub async fn together<T, F, Fut, R>(app: &App, items: Vec<T>, act: F) -> Vec<R>
where
    T: Send + 'static,
    F: Fn(App, T) -> Fut,
    Fut: Future<Output = R> + Send + 'static,
    R: Send + 'static,
{
    let (mut items, mut running, mut done) = (items.into_iter(), FuturesUnordered::new(), Vec::new());
    loop {
        let free = AT_ONCE - running.len();
        running.extend(items.by_ref().take(free).map(|item| app.lifecycle.spawn(act(app.clone(), item))));
        match running.next().await {
            Some(Ok(result)) => done.push(result),
            Some(Err(error)) => tracing::error!(%error, "a task of a worker panicked"),
            None => break,
        }
    }
    done
}

/// Asks Toss and settles what it says. None: still not known.
pub async fn resolve(app: &App, attempt: &Attempt, payment_key: Option<&str>) -> Result<Option<Settled>> {
    let order = order_of(app, attempt).await?;
    let origin = Origin::new("worker", "recovery", &attempt.provider_order_id);
    let key = payment_key.or(attempt.payment_key.as_deref());
    match app.gateways.of(attempt.provider)?.find(key, &attempt.provider_order_id).await {
        FindOutcome::Found(payment) => by_status(app, &order, attempt, &payment, &origin).await,
        FindOutcome::NotFound if is_over(app, attempt) => {
            settle::declined(app, &order, attempt, "NOT_FOUND_PAYMENT", "", &origin).await.map(Some)
        }
        FindOutcome::NotFound | FindOutcome::Unknown { .. } => Ok(None),
    }
}

pub async fn order_of(app: &App, attempt: &Attempt) -> Result<Order> {
    let client = app.pg.get().await?;
    let order = pg::by_id(app, &client, attempt.order_id).await?;
    order.ok_or_else(|| Error::bug("an attempt without its order"))
}

fn is_over(app: &App, attempt: &Attempt) -> bool {
    attempt.sent_at.is_some_and(|at| app.clock.now() > at + CONFIRM_WINDOW + GRACE)
}

pub async fn by_status(
    app: &App,
    order: &Order,
    attempt: &Attempt,
    payment: &Payment,
    origin: &Origin,
) -> Result<Option<Settled>> {
    let right_sum = payment.total_won == i64::from(attempt.amount_won) && payment.currency == "KRW";
    // An order id may have several payments at Toss; how another one ended says nothing about this attempt's.
    let is_ours = attempt.payment_key.as_deref().is_none_or(|key| key == payment.payment_key);
    let decline = |code: &'static str| settle::declined(app, order, attempt, code, "", origin);
    match payment.status {
        Status::Captured | Status::PartlyCancelled | Status::Cancelled
            if right_sum && is_ours && attempt.state == AttemptState::Accepted =>
        {
            super::refunds::returned::notice(app, order, attempt, payment, origin).await?;
            settle::accepted(app, order, attempt, payment, origin).await.map(Some)
        }
        Status::Captured if right_sum => settle::accepted(app, order, attempt, payment, origin).await.map(Some),
        // Captured, and a part returned over there before we knew: first the one, then the other.
        Status::PartlyCancelled if right_sum && is_ours => {
            let settled = settle::accepted(app, order, attempt, payment, origin).await?;
            let order = order_of(app, attempt).await?;
            super::refunds::returned::notice(app, &order, attempt, payment, origin).await?;
            Ok(Some(settled))
        }
        Status::Captured => {
            tracing::error!(
                order_id = attempt.provider_order_id,
                total = payment.total_won,
                "Toss captured another sum"
            );
            Ok(None)
        }
        Status::Dead if is_ours => {
            let code = payment.failure_code.as_deref().unwrap_or("ABORTED");
            settle::declined(app, order, attempt, code, "", origin).await.map(Some)
        }
        // Captured and given back in full at Toss: nothing is kept.
        Status::Cancelled if is_ours && attempt.state != AttemptState::Accepted => decline("CANCELED").await.map(Some),
        Status::AwaitingDeposit if is_ours && right_sum => {
            deposits::by_account(app, order, attempt, payment, origin).await
        }
        // We meant to confirm and do not know whether the call arrived: it may be repeated, and the visitor waits.
        Status::Pending if right_sum && is_ours && attempt.sent_at.is_some() && !is_over(app, attempt) => {
            send_again(app, order, attempt, &payment.payment_key, origin).await
        }
        // Not captured, and too late to be by us: Toss lets it expire.
        Status::Pending | Status::Dead if is_over(app, attempt) => decline("EXPIRED").await.map(Some),
        _ => Ok(None),
    }
}

async fn send_again(
    app: &App,
    order: &Order,
    attempt: &Attempt,
    payment_key: &str,
    origin: &Origin,
) -> Result<Option<Settled>> {
    match super::pay::call_gateway(app, attempt, payment_key).await {
        ConfirmOutcome::Accepted(payment) => settle::accepted(app, order, attempt, &payment, origin).await.map(Some),
        ConfirmOutcome::AwaitingDeposit(payment) => {
            settle::awaiting(app, order, attempt, &payment, origin).await.map(Some)
        }
        ConfirmOutcome::Declined { code, message } => {
            settle::declined(app, order, attempt, &code, &message, origin).await.map(Some)
        }
        ConfirmOutcome::Unknown { answered, .. } => {
            if answered {
                pg::raise_try(&app.pg.get().await?, attempt.id).await?;
            }
            Ok(None)
        }
    }
}

/// Webhooks are retried for a while, then left for somebody to look at.
const WEBHOOK_TRIES_MAX: i32 = 12;
/// Events that end in one statement, without a call to Toss.
const KNOWN_BATCH: i64 = 500;

/// One round over stored webhooks.
pub async fn webhooks(app: &App) -> Result<usize> {
    let client = app.pg.get().await?;
    let known = payments::pg::finish_known(&client, KNOWN_BATCH).await?;
    for _ in 0..known {
        app.metrics.webhook("processed");
    }
    let mut events = Vec::new();
    for (provider, room) in app.gateways.room(BATCH) {
        events.extend(payments::pg::claim(&client, provider, room).await?);
    }
    drop(client);
    let count = events.len() + known as usize;
    let ended = together(app, events, |app, event| async move { one_webhook(&app, &event).await }).await;
    let ended: Vec<Ended> = ended.into_iter().flatten().collect();
    if !ended.is_empty() {
        payments::pg::finish(&app.pg.get().await?, &ended).await?;
    }
    Ok(count)
}

/// None: to be tried again.
async fn one_webhook(app: &App, event: &payments::pg::Event) -> Option<Ended> {
    let (state, outcome) = match webhook(app, event).await {
        Ok(Some(outcome)) => ("processed", outcome),
        Ok(None) if event.tries < WEBHOOK_TRIES_MAX => return None,
        Ok(None) => ("dead", Outcome::StillUnknown),
        Err(error) if event.tries < WEBHOOK_TRIES_MAX => {
            tracing::warn!(%error, event = event.id, "a webhook will be tried again");
            return None;
        }
        Err(error) => {
            tracing::warn!(%error, event = event.id, "a webhook is given up");
            ("dead", Outcome::Failed(error.code))
        }
    };
    app.metrics.webhook(if state == "dead" { "dead" } else { "processed" });
    Some(Ended { id: event.id, state, outcome: outcome.as_str() })
}

/// None: to be tried again.
async fn webhook(app: &App, event: &payments::pg::Event) -> Result<Option<Outcome>> {
    let text = |key: &str| event.body.get(key).and_then(|v| v.as_str());
    let Some(order_id) = text("order_id") else { return Ok(Some(Outcome::NoOrder)) };
    let client = app.pg.get().await?;
    let attempt = pg::attempt_by_provider_order(&client, order_id).await?;
    drop(client);
    // Toss is asked only about what is ours.
    let Some(attempt) = attempt else { return Ok(Some(Outcome::UnknownOrder)) };
    let settled = match app.gateways.of(attempt.provider)?.find(attempt.payment_key.as_deref(), order_id).await {
        FindOutcome::Found(payment) => {
            let order = order_of(app, &attempt).await?;
            let origin = Origin::new("worker", "webhook", &attempt.provider_order_id);
            // Nothing to do for a payment nobody has confirmed: the webhook said more than Toss does.
            if payment.status == Status::Pending {
                return Ok(Some(Outcome::NotConfirmed));
            }
            by_status(app, &order, &attempt, &payment, &origin).await?
        }
        FindOutcome::NotFound => return Ok(Some(Outcome::UnknownToProvider)),
        FindOutcome::Unknown { .. } => return Ok(None),
    };
    Ok(Some(settled.map_or(Outcome::NothingToDo, Outcome::from)))
}
