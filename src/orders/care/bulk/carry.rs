//! Works bulk refunds off, an order at a time through the one way in which tickets are given back. An order is done when no
//! ticket of it is left to give back, so whatever was interrupted goes on where it was, and nothing goes back twice.

use super::pg::{self, Due};
use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::orders::model::{OrderState, Origin};
use crate::orders::recover::together;
use crate::orders::refunds::quote;
use crate::orders::refunds::request::{self, Request};
use crate::orders::writer::RefundKind;

/// Orders of one round: they share commits of the stock writer, and leave it to others in between.
const BATCH: i64 = 50;
/// With the pauses between them some minutes; what is refused then is for somebody to look at.
const TRIES_MAX: i32 = 8;

pub async fn tick(app: &App) -> Result<usize> {
    let due = pg::claim(&app.pg.get().await?, BATCH).await?;
    let some = !due.is_empty();
    let done = together(app, due, |app, due| async move {
        one(&app, &due).await.inspect_err(|error| tracing::warn!(%error, "a bulk refund goes on later")).is_ok()
    });
    let done = done.await.into_iter().filter(|done| *done).count();
    if !some {
        end(app).await?;
    }
    Ok(done)
}

async fn one(app: &App, due: &Due) -> Result<()> {
    match give_back(app, due).await {
        Ok((tickets, amount_won)) => pg::finish(&app.pg.get().await?, due, tickets, amount_won).await,
        // A deposit that was taken back may be paid again for a day: it is waited for.
        Err(error) if error.code == "payment.in_progress" => pg::wait(&app.pg.get().await?, due, error.code).await,
        // Nothing changes by waiting.
        Err(error) if matches!(error.code, "refund.at_the_desk" | "bulk_refund.slot_open") => {
            pg::fail(&app.pg.get().await?, due, error.code).await
        }
        // Somebody gave a ticket back, or used it, since it was read: what is left is read anew.
        Err(error) if due.tries < TRIES_MAX && matches!(error.kind, Kind::Unavailable | Kind::Conflict) => {
            pg::later(&app.pg.get().await?, due, error.code).await
        }
        Err(error) => {
            tracing::error!(%error, order_id = %due.order_id, "an order of a bulk refund was not given back");
            pg::fail(&app.pg.get().await?, due, error.code).await
        }
    }
}

/// Tickets and won that went back.
async fn give_back(app: &App, due: &Due) -> Result<(i32, i64)> {
    let client = app.pg.get().await?;
    let gone = || Error::bug("a bulk refund of what is not there");
    let bulk = pg::by_id(&client, due.bulk_id).await?.ok_or_else(gone)?;
    let order = crate::orders::pg::by_id(app, &client, due.order_id).await?.ok_or_else(gone)?;
    // As Postgres has it: a worker's catalogue may be older than the closing, and an order that fails here fails for good.
    let open = pg::is_open(&client, &bulk.slot_ids).await?;
    drop(client);
    match order.state {
        OrderState::Paid | OrderState::PartiallyRefunded => {}
        // Its deposit was taken back, and may come again.
        OrderState::Confirming | OrderState::AwaitingDeposit => return Err(Error::conflict("payment.in_progress")),
        _ => return Ok((0, 0)),
    }
    // Whoever was to come can come after all.
    if open {
        return Err(Error::conflict("bulk_refund.slot_open"));
    }
    let priced = quote::priced(app, &order).await?;
    let of_slots = priced.rows.iter().filter(|(row, _)| {
        matches!(row.state.as_str(), "valid" | "blocked")
            && row.used_at.is_none()
            && row.slot_id.is_some_and(|id| bulk.slot_ids.contains(&id))
    });
    let (ticket_ids, prices): (Vec<_>, Vec<i32>) = of_slots.map(|(row, price)| (row.id, *price)).unzip();
    if ticket_ids.is_empty() {
        return Ok((0, 0));
    }
    // From hand to hand: nobody has it in their hand here. Whoever pays it out writes it down.
    if priced.paid_by.cash && prices.iter().any(|price| *price > 0) {
        return Err(Error::conflict("refund.at_the_desk"));
    }
    let (tickets, amount_won) = (i32::try_from(ticket_ids.len()).map_err(Error::bug)?, prices.iter().sum());
    // Of these very tickets: another set of them is another request.
    let first = ticket_ids.iter().min().copied().unwrap_or_default();
    let key = format!("bulk:{}:{first}:{tickets}", bulk.id);
    let request = Request {
        kind: RefundKind::Admin,
        ticket_ids: ticket_ids.clone(),
        amount_won,
        reason: &bulk.reason,
        used_too: false,
        account: None,
        key: &key,
    };
    let asked = request::fingerprint(app, &request, &ticket_ids, amount_won)?;
    let origin = Origin::new("worker", "bulk_refund", bulk.id.to_string());
    request::submit(app, &order, request, &asked, origin).await?;
    Ok((tickets, i64::from(amount_won)))
}

/// Ends those of which nothing is left and to which nothing can be added: whoever had placed an order for these slots before
/// they were closed may still pay it.
async fn end(app: &App) -> Result<()> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    for (id, exhibition_id, slots) in pg::running(&transaction).await? {
        // Before the orders are gathered: one that is paid in between is seen by one of the two.
        let open = pg::may_be_paid(&transaction, exhibition_id, &slots).await?;
        if pg::gather(&transaction, id, exhibition_id, &slots).await? == 0 && !open {
            pg::end(&transaction, id).await?;
        }
    }
    transaction.commit().await.map_err(Error::from)
}
