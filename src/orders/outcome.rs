//! What became of a confirm whose answer was lost, by the key it was sent with. Says what a repeat would be answered, and
//! does nothing.

use axum::Json as Reply;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::api::private;
use super::model::AttemptState;
use super::pay::{self, Confirmed};
use super::{lookup, pg, recover};
use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::platform::http::{ClientAddress, IdempotencyKey};
use crate::platform::pg::Statement;

const BY_KEY: Statement =
    Statement::new("orders.by_confirm_key", "select provider_order_id from attempts where confirm_key = $1");

pub const STATEMENTS: &[&Statement] = &[&BY_KEY];

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(outcome))
}

#[derive(Serialize, ToSchema)]
struct Outcome {
    /// Always confirm.
    operation: &'static str,
    /// paid, awaiting_deposit, confirming, declined or refunding.
    state: &'static str,
    order_number: String,
    /// Status of the answer that the same call would get now.
    status: u16,
    /// Its problem code, where it would be refused.
    code: Option<&'static str>,
    /// Of the order, as the order itself says it.
    payment_status: &'static str,
}

/// Tells what became of a confirm, by its `Idempotency-Key`.
///
/// Whoever knows the key made the call; the answer names no person. A key is known for at least a day, and as long as its
/// order can change.
#[utoipa::path(get, path = "/api/payments/outcome", tag = "payments", params(("Idempotency-Key" = String, Header,)),
    responses((status = 200, body = Outcome), (status = 404, description = "payment.unknown_key"),
              (status = 429, description = "order.too_many_lookups"),
              (status = 503, description = "server.starting, server.database_away")))]
async fn outcome(
    State(app): State<App>,
    client: ClientAddress,
    IdempotencyKey(key): IdempotencyKey,
) -> Result<Response> {
    let digest = pay::confirm_key(&app, &key);
    if !client.exempt
        && let Some(wait) = lookup::too_many(&app, client, &[&digest]).await
    {
        return Err(Error::too_many("order.too_many_lookups", wait));
    }
    let unknown = || Error::not_found("payment.unknown_key");
    let client = app.pg.get().await?;
    let order_id: String = BY_KEY.query_opt(&client, &[&digest]).await?.ok_or_else(unknown)?.get(0);
    let attempt = pg::attempt_by_provider_order(&client, &order_id).await?.ok_or_else(unknown)?;
    drop(client);
    let order = recover::order_of(&app, &attempt).await?;
    let (number, payment_status) = (order.facts.number.clone(), order.state.payment_status());
    let (state, status, code) = match pay::so_far(&app, order, &attempt, &digest).await {
        Ok(Confirmed::Paid(_)) => ("paid", 200, None),
        Ok(Confirmed::AwaitingDeposit(_)) => ("awaiting_deposit", 200, None),
        Ok(Confirmed::Confirming(_)) => ("confirming", 202, None),
        // Nothing is wrong with the payment; this look at it failed.
        Err(error) if matches!(error.kind, Kind::Unavailable | Kind::Bug) => return Err(error),
        Err(error) => {
            let state = match attempt.state {
                AttemptState::Accepted => "refunding",
                AttemptState::Declined => "declined",
                _ => "confirming",
            };
            (state, error.kind.status().as_u16(), Some(error.code))
        }
    };
    Ok(private(Reply(Outcome { operation: "confirm", state, order_number: number, status, code, payment_status })))
}
