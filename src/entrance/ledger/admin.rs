//! An admin stops a ticket at the doors, and lets it go again. Nothing else about it changes.

use axum::extract::State as AppState;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::pg;
use crate::admin::access::AdminOf;
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::Path;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(block)).routes(routes!(unblock))
}

#[derive(Deserialize)]
struct Named {
    ticket_id: Uuid,
}

/// Stops a ticket: from then on every gate refuses it. It stays paid for.
#[utoipa::path(post, path = "/api/admin/exhibitions/{code}/tickets/{ticket_id}/block", tag = "admin",
    security(("staff" = [])), params(("code" = String, Path, description = "Code of the exhibition."),
        ("ticket_id" = Uuid, Path, description = "Id of the ticket.")),
    responses((status = 204, description = "it is blocked"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"),
        (status = 404, description = "catalogue.unknown_exhibition, ticket.unknown"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn block(AppState(app): AppState<App>, admin: AdminOf, Path(named): Path<Named>) -> Result<StatusCode> {
    set(&app, &admin, named.ticket_id, true).await
}

/// Lets a stopped ticket go again.
#[utoipa::path(post, path = "/api/admin/exhibitions/{code}/tickets/{ticket_id}/unblock", tag = "admin",
    security(("staff" = [])), params(("code" = String, Path, description = "Code of the exhibition."),
        ("ticket_id" = Uuid, Path, description = "Id of the ticket.")),
    responses((status = 204, description = "it is not blocked"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"),
        (status = 404, description = "catalogue.unknown_exhibition, ticket.unknown"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn unblock(AppState(app): AppState<App>, admin: AdminOf, Path(named): Path<Named>) -> Result<StatusCode> {
    set(&app, &admin, named.ticket_id, false).await
}

async fn set(app: &App, admin: &AdminOf, ticket_id: Uuid, blocked: bool) -> Result<StatusCode> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let changed = pg::block(&transaction, ticket_id, admin.exhibition.id, blocked).await?;
    if changed.ok_or_else(|| Error::not_found("ticket.unknown"))? {
        let (by, action) = (&Actor::from(admin), if blocked { "ticket.block" } else { "ticket.unblock" });
        let after = json!({ "ticket": ticket_id });
        let entry = Entry { by, action, exhibition_id: Some(admin.exhibition.id), before: Value::Null, after };
        audit::record(&transaction, &entry).await?;
    }
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
