//! The admin's calls: what the rules would give back; any tickets, any sum up to what was paid; and what becomes of a
//! refund that failed: a second try, or the word that it was paid by hand. Recorded.

use axum::Json as Reply;
use axum::extract::State;
use axum::response::Response;
use deadpool_postgres::GenericClient;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::api::PreviewAsk;
use super::pg;
use super::quote::{self, Quote};
use super::request::{self, AccountAsk, RefundView, Request};
use crate::admin::access::AdminOf;
use crate::admin::audit::{self, Act, Actor, Entry};
use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::api::{find, private};
use crate::orders::model::{Order, Origin};
use crate::orders::writer::RefundKind;
use crate::platform::http::{IdempotencyKey, Json, Path, Query};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(quoted, refund)).routes(routes!(retry)).routes(routes!(paid_by_hand))
}

#[derive(Deserialize, ToSchema)]
struct AdminRefundAsk {
    /// Tickets that end with it; none: only money goes back.
    #[serde(default)]
    ticket_ids: Vec<Uuid>,
    /// Whole won, such as what the rules give back. Left out: what the tickets cost, without a fee.
    #[serde(default)]
    amount: Option<i32>,
    reason: String,
    /// Also tickets that have been used.
    #[serde(default)]
    used_too: bool,
    #[serde(default)]
    account: Option<AccountAsk>,
}

async fn order_of(app: &App, admin: &AdminOf, number: &str) -> Result<Order> {
    let order = find(app, number).await?;
    if order.facts.exhibition_id != admin.exhibition.id {
        return Err(Error::not_found("order.unknown"));
    }
    Ok(order)
}

/// What the exhibition's rules give back for tickets today, and what they keep. Changes nothing, and binds no admin.
#[utoipa::path(get, path = "/api/admin/exhibitions/{code}/orders/{order_number}/refund", tag = "admin",
    params(("code" = String, Path,), ("order_number" = String, Path,),
        ("ticket_ids" = Option<String>, Query, description = "comma separated; all of the order where it is left out")),
    security(("staff" = [])),
    responses((status = 200, body = Quote), (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
              (status = 403, description = "auth.forbidden"),
              (status = 404, description = "catalogue.unknown_exhibition, order.unknown, refund.unknown_ticket"),
              (status = 409, description = "refund.not_paid"), (status = 410, description = "order.closed"),
              (status = 422, description = "request.invalid"), (status = 503, description = "server.starting, server.database_away")))]
async fn quoted(
    State(app): State<App>,
    admin: AdminOf,
    path: Path<(String, String)>,
    Query(ask): Query<PreviewAsk>,
) -> Result<Response> {
    let Path((_, number)) = path;
    let order = order_of(&app, &admin, &number).await?;
    Ok(private(Reply(quote::at_the_desk(&app, &order, &ask.wanted()?).await?)))
}

/// Gives money back on behalf of the exhibition, whatever its rules say.
#[utoipa::path(post, path = "/api/admin/exhibitions/{code}/orders/{order_number}/refund", tag = "admin", request_body = AdminRefundAsk,
    params(("code" = String, Path,), ("order_number" = String, Path,), ("Idempotency-Key" = String, Header,)),
    security(("staff" = [])),
    responses((status = 200, body = RefundView), (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
              (status = 403, description = "auth.forbidden"),
              (status = 404, description = "catalogue.unknown_exhibition, order.unknown, refund.unknown_ticket"),
              (status = 409, description = "refund.not_paid, refund.ticket_used, refund.ticket_gone, refund.wrong_amount"),
              (status = 410, description = "order.closed"), (status = 422, description = "request.invalid, idempotency.key_reused"),
              (status = 503, description = "stock.busy, server.database_away, order.unknown_outcome")))]
async fn refund(
    State(app): State<App>,
    admin: AdminOf,
    IdempotencyKey(key): IdempotencyKey,
    path: Path<(String, String)>,
    Json(ask): Json<AdminRefundAsk>,
) -> Result<Response> {
    let Path((_, number)) = path;
    let reason = &request::sentence("reason", &ask.reason)?;
    let order = order_of(&app, &admin, &number).await?;
    let priced = quote::priced(&app, &order).await?;
    if ask.ticket_ids.iter().any(|id| !priced.rows.iter().any(|(row, _)| row.id == *id)) {
        return Err(Error::not_found("refund.unknown_ticket"));
    }
    let price: i32 =
        priced.rows.iter().filter(|(row, _)| ask.ticket_ids.contains(&row.id)).map(|(_, price)| price).sum();
    let amount_won = ask.amount.unwrap_or(price);
    if amount_won < 0 || (amount_won == 0 && ask.ticket_ids.is_empty()) {
        return Err(Error::field("amount", "out_of_range"));
    }
    let key = format!("admin:{key}");
    let request = Request {
        kind: RefundKind::Admin,
        ticket_ids: ask.ticket_ids.clone(),
        amount_won,
        reason,
        used_too: ask.used_too,
        account: ask.account.map(AccountAsk::checked).transpose()?,
        key: &key,
    };
    let asked = request::fingerprint(&app, &request, &ask.ticket_ids, amount_won)?;
    let origin = Origin::new(admin.user.role.as_str(), "refund", admin.request_id.clone()).recorded(Act {
        by: Actor::from(&admin),
        action: "order.refund",
        exhibition_id: admin.exhibition.id,
        before: json!(null),
        after: json!({ "order": number, "amount": amount_won, "price": price, "tickets": ask.ticket_ids }),
    });
    Ok(private(Reply(request::submit(&app, &order, request, &asked, origin).await?)))
}

async fn record(
    client: &impl GenericClient,
    admin: &AdminOf,
    action: &'static str,
    after: serde_json::Value,
) -> Result<()> {
    let by = &Actor::from(admin);
    let entry = Entry { by, action, exhibition_id: Some(admin.exhibition.id), before: json!(null), after };
    audit::record(client, &entry).await
}

#[derive(Deserialize, ToSchema)]
struct RetryAsk {
    /// Another account, where the first could not receive.
    #[serde(default)]
    account: Option<AccountAsk>,
}

/// Tries a refund again that the provider refused for good, after the cause was mended.
#[utoipa::path(post, path = "/api/admin/exhibitions/{code}/orders/{order_number}/refunds/{refund_id}/retry", tag = "admin", request_body = RetryAsk,
    params(("code" = String, Path,), ("order_number" = String, Path,), ("refund_id" = Uuid, Path,)),
    security(("staff" = [])),
    responses((status = 200, body = RefundView), (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
              (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition, order.unknown, refund.unknown"),
              (status = 409, description = "refund.not_failed"), (status = 422, description = "request.invalid"),
              (status = 503, description = "server.database_away")))]
async fn retry(
    State(app): State<App>,
    admin: AdminOf,
    path: Path<(String, String, Uuid)>,
    Json(ask): Json<RetryAsk>,
) -> Result<Response> {
    let Path((_, number, refund_id)) = path;
    let order = order_of(&app, &admin, &number).await?;
    let account = ask.account.map(AccountAsk::checked).transpose()?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let again = match account {
        Some(account) => {
            let sealed = request::seal(&app, refund_id, &account)?;
            pg::name_account(&transaction, refund_id, order.facts.id, &sealed).await?
        }
        None => pg::retry(&transaction, refund_id, order.facts.id).await?,
    };
    let view = one_of(&transaction, &order, refund_id).await?;
    if !again {
        return Err(Error::conflict("refund.not_failed"));
    }
    record(&transaction, &admin, "order.refund_retry", json!({ "order": number, "refund": refund_id })).await?;
    transaction.commit().await?;
    Ok(private(Reply(view)))
}

#[derive(Deserialize, ToSchema)]
struct PaidByHandAsk {
    /// How and by whom it was paid, for the record; not an account number.
    note: String,
}

/// Ends a refund that failed or that a bank sent back, and that staff have paid by another road.
#[utoipa::path(post, path = "/api/admin/exhibitions/{code}/orders/{order_number}/refunds/{refund_id}/paid-by-hand", tag = "admin",
    request_body = PaidByHandAsk,
    params(("code" = String, Path,), ("order_number" = String, Path,), ("refund_id" = Uuid, Path,)),
    security(("staff" = [])),
    responses((status = 200, body = RefundView), (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
              (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition, order.unknown, refund.unknown"),
              (status = 409, description = "refund.not_failed"), (status = 422, description = "request.invalid"),
              (status = 503, description = "server.database_away")))]
async fn paid_by_hand(
    State(app): State<App>,
    admin: AdminOf,
    path: Path<(String, String, Uuid)>,
    Json(ask): Json<PaidByHandAsk>,
) -> Result<Response> {
    let Path((_, number, refund_id)) = path;
    let note = request::sentence("note", &ask.note)?;
    let order = order_of(&app, &admin, &number).await?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let origin = Origin::new(admin.user.role.as_str(), "refund", admin.request_id.clone());
    let ended = pg::paid_by_hand(&transaction, refund_id, order.facts.id, &origin).await?;
    let view = one_of(&transaction, &order, refund_id).await?;
    if !ended {
        return Err(Error::conflict("refund.not_failed"));
    }
    let what = json!({ "order": number, "refund": refund_id, "amount": view.amount, "note": note });
    record(&transaction, &admin, "order.refund_paid_by_hand", what).await?;
    transaction.commit().await?;
    Ok(private(Reply(view)))
}

async fn one_of(client: &impl GenericClient, order: &Order, refund_id: Uuid) -> Result<RefundView> {
    let refunds = pg::of_order(client, order.facts.id).await?;
    refunds.into_iter().find(|refund| refund.id == refund_id).ok_or_else(|| Error::not_found("refund.unknown"))
}
