//! What holds for all accounts: from which rank on a second factor is needed. Whoever needs one and has none may sign in, set it
//! up, and do nothing else; a rule that is new is heard of with the next access token, within 15 minutes.

pub mod pg;

use axum::extract::State as AppState;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Role;
use super::access::Owner;
use super::audit::{self, Actor, Entry};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::extract::tagged;
use crate::platform::http::{IfMatch, Json};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read, change))
}

#[derive(Serialize, Deserialize, ToSchema)]
struct AccountRules {
    /// super_admin, admin or support: of that rank and above nobody does anything without one. Null: whoever likes.
    second_factor_from: Option<Role>,
}

fn shown(from: Option<Role>, revision: i32) -> Result<Response> {
    tagged(StatusCode::OK, revision, AccountRules { second_factor_from: from })
}

/// What holds for all accounts.
#[utoipa::path(get, path = "/api/admin/account-rules", tag = "admin", security(("staff" = [])),
    responses((status = 200, body = AccountRules, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 503, description = "server.database_away")))]
async fn read(AppState(app): AppState<App>, _by: Owner) -> Result<Response> {
    let rules = pg::read(&app.pg.get().await?).await?;
    shown(rules.second_factor_from, rules.revision)
}

/// Changes it.
#[utoipa::path(put, path = "/api/admin/account-rules", tag = "admin", security(("staff" = [])), request_body = AccountRules,
    params(("If-Match" = String, Header, description = "the ETag of what was read")),
    responses((status = 200, body = AccountRules, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 503, description = "server.database_away")))]
async fn change(
    AppState(app): AppState<App>,
    by: Owner,
    seen: IfMatch,
    Json(ask): Json<AccountRules>,
) -> Result<Response> {
    // Those at the gates have a PIN and a device.
    if ask.second_factor_from == Some(Role::Staff) {
        return Err(Error::field("second_factor_from", "malformed"));
    }
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let was = pg::lock(&transaction).await?;
    seen.expect(was.revision)?;
    pg::change(&transaction, ask.second_factor_from).await?;
    let (before, after) = (was.second_factor_from, ask.second_factor_from);
    let entry = Entry {
        by: &Actor::from(&by),
        action: "user.rules",
        exhibition_id: None,
        before: json!({ "second_factor_from": before }),
        after: json!({ "second_factor_from": after }),
    };
    audit::record(&transaction, &entry).await?;
    transaction.commit().await?;
    shown(after, was.revision + 1)
}
