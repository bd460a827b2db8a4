//! Money that went back without us: a refund made in the provider's own pages. It is written down as it is, and when all
//! of a payment went back its tickets end. And money that came back: a bank may refuse a refund days after it was made.

use super::{arrival, quote};
use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::model::{Order, OrderState, Origin};
use crate::orders::pg::{self, Attempt};
use crate::orders::writer::{Ask, Entry, RefundAsk, RefundKind, Reply};
use crate::payments::Payment;
use crate::platform::ids;

/// Compares what the provider says has gone back with what we know of.
pub async fn notice(app: &App, order: &Order, attempt: &Attempt, payment: &Payment, origin: &Origin) -> Result<()> {
    arrival::note(app, attempt, payment).await?;
    let Some(balance_won) = payment.balance_won else { return Ok(()) };
    let returned = payment.total_won - balance_won;
    let client = app.pg.get().await?;
    if let Some(refund_id) = pg::failed_later(&client, attempt.id, returned).await? {
        tracing::error!(order = order.facts.number, %refund_id, "money that went back has come back: somebody must look at it");
        app.metrics.settled("refund_failed");
        return Ok(());
    }
    let known = pg::returning(&client, attempt.id).await?;
    let paid_by = pg::paid_attempt(&client, order.facts.id).await?;
    drop(client);
    if returned <= known || paid_by != Some(attempt.id) {
        return Ok(());
    }
    if !matches!(order.state, OrderState::Paid | OrderState::PartiallyRefunded) {
        return Ok(());
    }
    let priced = quote::priced(app, order).await?;
    let all = balance_won == 0;
    let open = priced.rows.iter().filter(|(row, _)| all && matches!(row.state.as_str(), "valid" | "blocked"));
    let ticket_ids: Vec<_> = open.map(|(row, _)| row.id).collect();
    let ending = quote::ending(app, order, &priced, &ticket_ids)?;
    let ask = RefundAsk {
        id: ids::row_id(app.clock.now()),
        kind: RefundKind::Provider,
        reason: "seen_at_provider".to_owned(),
        ticket_ids: ending.ticket_ids,
        lines: ending.lines,
        person_places: ending.person_places,
        price_won: ending.price_won,
        amount_won: i32::try_from(returned).map_err(Error::bug)?,
        used_too: true,
        request: None,
        account: None,
    };
    tracing::warn!(order = order.facts.number, amount = returned - known, "the provider has returned money by itself");
    let entry = Entry { facts: order.facts.clone(), ask: Ask::Refund(Box::new(ask)), origin: origin.clone() };
    match app.writer.submit(entry).await {
        Reply::Refunded | Reply::Already | Reply::Refused(_) => Ok(()),
        Reply::Failed(error) => Err(error),
        other => Err(Error::unavailable("payment.unsettled", format!("{other:?}"))),
    }
}
