//! A held order whose money came as a bank transfer to the organiser, outside of any provider. Paid like a walk-in: an
//! attempt of the provider `cash`, opened, accepted and settled in one entry of the stock writer, and given back by hand.

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
use crate::orders::model::{OrderState, Origin};
use crate::orders::pg;
use crate::orders::refunds::request::sentence;
use crate::orders::settle::ticket_key;
use crate::orders::walk_in::{attempt_in_hand, paid_in_hand};
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

/// Pays a held order with money that came as a bank transfer outside of the provider. Asked again, it is the same payment.
#[utoipa::path(post, path = "/api/admin/orders/{order_number}/transfer", tag = "admin", security(("staff" = [])),
    params(("order_number" = String, Path,)), request_body = TransferAsk,
    responses((status = 200, body = history::OrderShown),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "order.unknown"),
        (status = 409, description = "payment.nothing_to_pay, payment.in_progress, payment.already_paid, order.illegal_move"),
        (status = 410, description = "order.expired, order.closed: nothing was written"),
        (status = 422, description = "request.invalid, payment.amount_mismatch"),
        (status = 503, description = "stock.busy, server.starting, server.database_away, order.unknown_outcome")))]
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
        OrderState::Expired => return Err(Error::gone("order.expired")),
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
    let (task_app, held) = (app.clone(), order.clone());
    // Goes on to its end when the caller has gone away.
    let task = app
        .lifecycle
        .spawn(async move { paid_in_hand(&task_app, held, ("transfer", who), origin, ticket_key_id).await });
    task.await.map_err(Error::bug)??;
    let order = order_of(&app, &by.user, &number).await?;
    history::shown(&app, &order).await
}
