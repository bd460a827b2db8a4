//! An order whose money came as a bank transfer to the organiser, outside of any provider. Paid like a walk-in: an
//! attempt of the provider `cash`, opened, accepted and settled in one entry of the stock writer, and given back by hand.
//! Transfers come hours later: places of an order that has lapsed are taken again first, or nothing is written.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{history, order_of};
use crate::admin::access::Admin;
use crate::admin::audit::{Act, Actor};
use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::in_hand::{InHand, attempt_in_hand, paid_in_hand};
use crate::orders::model::{Order, OrderState, Origin};
use crate::orders::pg;
use crate::orders::refunds::request::sentence;
use crate::orders::settle::ticket_key;
use crate::platform::http::{Json, Path};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(transfer))
}

#[derive(Deserialize, ToSchema)]
struct TransferAsk {
    /// Whole won that came in; must be the order's total.
    amount: i64,
    /// How it was found, for the audit log; no account number.
    note: String,
}

/// Pays an order with money that came as a bank transfer outside of the provider. Asked again, it is the same payment.
///
/// One that has lapsed gets its places again, if there are as many and its slot is neither closed nor over.
#[utoipa::path(post, path = "/api/admin/orders/{order_number}/transfer", tag = "admin", security(("staff" = [])),
    params(("order_number" = String, Path,)), request_body = TransferAsk,
    responses((status = 200, body = history::OrderShown),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "order.unknown"),
        (status = 409, description = "payment.nothing_to_pay, payment.in_progress, payment.already_paid, order.illegal_move, \
            transfer.no_room, transfer.slot_closed, transfer.slot_over, stock.person_limit, stock.product_limit: nothing was written"),
        (status = 410, description = "order.closed, order.forgotten: nothing was written"),
        (status = 422, description = "request.invalid, payment.amount_mismatch"),
        (status = 503, description = "stock.busy, stock.unready, server.starting, server.database_away, server.redis_away, order.unknown_outcome")))]
async fn transfer(
    State(app): State<App>,
    by: Admin,
    Path(number): Path<String>,
    Json(ask): Json<TransferAsk>,
) -> Result<Response> {
    let note = sentence("note", &ask.note)?;
    let order = order_of(&app, &by.user, &number).await?;
    let facts = &order.facts;
    if facts.total_won == 0 {
        return Err(Error::conflict("payment.nothing_to_pay"));
    }
    if ask.amount != i64::from(facts.total_won) {
        return Err(Error::invalid("payment.amount_mismatch"));
    }
    let ticket_key_id = ticket_key(&app)?;
    match order.state {
        OrderState::Held => {}
        OrderState::Confirming | OrderState::AwaitingDeposit => return Err(Error::conflict("payment.in_progress")),
        OrderState::Expired => may_be_seated(&app, &order).await?,
        from => {
            let ours = pg::paid_attempt(&app.pg.get().await?, facts.id).await? == Some(attempt_in_hand(&app, &order)?);
            return match from {
                OrderState::Paid if ours => history::shown(&app, &order).await,
                OrderState::Paid => Err(Error::conflict("payment.already_paid")),
                _ => Err(Error::conflict("order.illegal_move").with("from", from.as_str())),
            };
        }
    }
    let origin = Origin::new(by.user.role.as_str(), "transfer", by.request_id.clone());
    let who = json!({ "staff": by.user.id, "transfer": true });
    let origin = origin.recorded(Act {
        by: Actor::from(&by),
        action: "order.transfer",
        exhibition_id: facts.exhibition_id,
        before: json!({ "order": number, "state": order.state.as_str() }),
        after: json!({ "order": number, "amount": facts.total_won, "note": note }),
    });
    let (task_app, unpaid) = (app.clone(), order.clone());
    let money = InHand { method: "transfer", who, late: true, ticket_key_id };
    // Goes on to its end when the caller has gone away.
    let task = app.lifecycle.spawn(async move { paid_in_hand(&task_app, unpaid, money, origin).await });
    task.await.map_err(Error::bug)??;
    let order = order_of(&app, &by.user, &number).await?;
    history::shown(&app, &order).await
}

/// Whether somebody can still come. How much room there is, is seen when the places are taken.
async fn may_be_seated(app: &App, order: &Order) -> Result<()> {
    let facts = &order.facts;
    if history::pg::contact(&app.pg.get().await?, facts.id).await?.forgotten {
        return Err(Error::gone("order.forgotten"));
    }
    let exhibition = app.catalogue.current().by_id(facts.exhibition_id)?;
    let today = app.clock.today_in_seoul();
    match facts.slot_id.and_then(|id| exhibition.slot(id)) {
        Some(slot) if slot.date < today || slot.is_over(app.clock.now()) => Err(Error::conflict("transfer.slot_over")),
        Some(slot) if slot.closed => Err(Error::conflict("transfer.slot_closed")),
        None if exhibition.ends_on < today => Err(Error::conflict("transfer.slot_over")),
        _ => Ok(()),
    }
}
