//! The visitor's calls: what would come back, give it back, where to.

use axum::Json as Reply;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::pg;
use super::quote::{self, Quote};
use super::request::{self, AccountAsk, RefundView, Request};
use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::api::{owned, private};
use crate::orders::model::Origin;
use crate::orders::writer::RefundKind;
use crate::platform::http::observe::RequestId;
use crate::platform::http::{IdempotencyKey, Json, Path, Query};

/// More tickets than an order can have.
pub const TICKETS_MAX: usize = 1_000;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(preview)).routes(routes!(refund)).routes(routes!(name_account))
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct PreviewAsk {
    /// Ids of tickets, comma separated; all where it is left out.
    ticket_ids: String,
}

impl PreviewAsk {
    pub(super) fn wanted(&self) -> Result<Vec<Uuid>> {
        let named = self.ticket_ids.split(',').map(str::trim).filter(|id| !id.is_empty());
        named.map(|id| id.parse().map_err(|_| Error::field("ticket_ids", "malformed"))).collect()
    }
}

#[derive(Serialize, ToSchema)]
struct Preview {
    #[serde(flatten)]
    quote: Quote,
    /// Refunds of before, the oldest first.
    refunds: Vec<RefundView>,
}

/// What would go back for tickets today, with the exhibition's table of fees. Changes nothing.
#[utoipa::path(get, path = "/api/orders/{order_number}/refund", tag = "orders",
    params(("order_number" = String, Path,), ("ticket_ids" = Option<String>, Query, description = "comma separated; all of the order where it is left out")),
    security(("order_token" = []), ("order_cookie" = [])),
    responses((status = 200, body = Preview), (status = 401, description = "order.token_required"),
              (status = 403, description = "order.wrong_token"), (status = 404, description = "order.unknown, refund.unknown_ticket"),
              (status = 409, description = "refund.not_paid"), (status = 410, description = "order.closed"),
              (status = 422, description = "request.invalid"), (status = 503, description = "server.database_away")))]
async fn preview(
    State(app): State<App>,
    headers: HeaderMap,
    Path(number): Path<String>,
    Query(ask): Query<PreviewAsk>,
) -> Result<Response> {
    let order = owned(&app, &headers, &number).await?;
    let quote = quote::quote(&app, &order, &ask.wanted()?).await?;
    let refunds = pg::of_order(&app.pg.get().await?, order.facts.id).await?;
    Ok(private(Reply(Preview { quote, refunds })))
}

#[derive(Deserialize, ToSchema)]
struct RefundBody {
    /// All tickets that can be given back, where it is left out.
    #[serde(default)]
    ticket_ids: Vec<Uuid>,
    /// Whole won: what the preview said would go back.
    amount: i32,
    #[serde(default)]
    reason: String,
    /// For what was paid into a virtual account.
    #[serde(default)]
    account: Option<AccountAsk>,
}

/// Gives tickets back within the exhibition's rules. They open no door from here on; the money follows.
#[utoipa::path(post, path = "/api/orders/{order_number}/refund", tag = "orders", request_body = RefundBody,
    params(("order_number" = String, Path,), ("Idempotency-Key" = String, Header, description = "the same key and body get the same refund")),
    security(("order_token" = []), ("order_cookie" = [])),
    responses((status = 200, body = RefundView), (status = 401, description = "order.token_required"),
              (status = 403, description = "order.wrong_token, request.cross_site"), (status = 404, description = "order.unknown, refund.unknown_ticket"),
              (status = 409, description = "refund.not_paid, refund.too_late, refund.at_the_desk, refund.ticket_used, refund.ticket_gone, refund.amount_changed, refund.nothing_back, refund.wrong_amount"),
              (status = 410, description = "order.closed"), (status = 422, description = "request.invalid, idempotency.key_reused"),
              (status = 503, description = "stock.busy, server.database_away, order.unknown_outcome")))]
async fn refund(
    State(app): State<App>,
    headers: HeaderMap,
    RequestId(request_id): RequestId,
    IdempotencyKey(key): IdempotencyKey,
    Path(number): Path<String>,
    Json(ask): Json<RefundBody>,
) -> Result<Response> {
    let order = owned(&app, &headers, &number).await?;
    request::text_is_fine("reason", &ask.reason)?;
    if ask.ticket_ids.len() > TICKETS_MAX {
        return Err(Error::field("ticket_ids", "too_many"));
    }
    let request = Request {
        kind: RefundKind::Visitor,
        ticket_ids: Vec::new(),
        amount_won: 0,
        reason: if ask.reason.trim().is_empty() { "visitor" } else { ask.reason.trim() },
        used_too: false,
        account: ask.account.map(AccountAsk::checked).transpose()?,
        key: &key,
    };
    let origin = Origin::new("visitor", "refund", request_id);
    let view = request::by_visitor(&app, &order, &ask.ticket_ids, ask.amount, request, origin).await?;
    Ok(private(Reply(view)))
}

/// Says where the money of a refund shall go that waits for it. The number is kept sealed until the money is there.
#[utoipa::path(post, path = "/api/orders/{order_number}/refunds/{refund_id}/account", tag = "orders", request_body = AccountAsk,
    params(("order_number" = String, Path,), ("refund_id" = Uuid, Path,)),
    security(("order_token" = []), ("order_cookie" = [])),
    responses((status = 200, body = RefundView), (status = 401, description = "order.token_required"),
              (status = 403, description = "order.wrong_token, request.cross_site"), (status = 404, description = "order.unknown, refund.unknown"),
              (status = 409, description = "refund.no_account_wanted"), (status = 422, description = "request.invalid"),
              (status = 503, description = "server.database_away")))]
async fn name_account(
    State(app): State<App>,
    headers: HeaderMap,
    Path((number, refund_id)): Path<(String, Uuid)>,
    Json(ask): Json<AccountAsk>,
) -> Result<Response> {
    let order = owned(&app, &headers, &number).await?;
    let sealed = request::seal(&app, refund_id, &ask.checked()?)?;
    let client = app.pg.get().await?;
    let named = pg::name_account(&client, refund_id, order.facts.id, &sealed).await?;
    let refunds = pg::of_order(&client, order.facts.id).await?;
    let view = refunds.into_iter().find(|refund| refund.id == refund_id);
    let view = view.ok_or_else(|| Error::not_found("refund.unknown"))?;
    if named { Ok(private(Reply(view))) } else { Err(Error::conflict("refund.no_account_wanted")) }
}
