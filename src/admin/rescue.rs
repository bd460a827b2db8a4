//! What admins do for somebody who cannot get in: an account that strangers try is unlocked, a mailbox is named by which its
//! owner helps themselves.

use axum::extract::State as AppState;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::access::Admin;
use super::people::{found, locked, not_oneself, record};
use super::{mailbox, tries, users};
use crate::app::App;
use crate::error::Result;
use crate::platform::http::{Json, Path, RequestLanguage};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(unlock)).routes(routes!(set_email))
}

/// Forgets what was tried on an account: wrong passwords, codes and PINs. Nobody waits any more, strangers neither.
#[utoipa::path(post, path = "/api/admin/users/{username}/unlock", tag = "admin", security(("staff" = [])),
    params(("username" = String, Path,)),
    responses((status = 204, description = "nothing is counted"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "user.unknown"),
        (status = 503, description = "server.database_away")))]
async fn unlock(AppState(app): AppState<App>, admin: Admin, Path(username): Path<String>) -> Result<StatusCode> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let user = found(&transaction, &admin, &username).await?;
    let user = locked(&transaction, &admin, user).await?;
    let tried = tries::pg::of_users(&transaction, &[user.id]).await?;
    users::forget_tries(&transaction, user.id).await?;
    let before = json!({ "failed": tried.get(&user.id).map_or(0, |row| row.failed) });
    record(&transaction, &admin, "user.unlock", (before, json!({ "username": username, "failed": 0 }))).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
struct UserEmailAsk {
    /// Empty or null: none.
    email: Option<String>,
}

/// Sets where an account is written to. A link that was mailed to the address of before ends, and that address is told.
#[utoipa::path(put, path = "/api/admin/users/{username}/email", tag = "admin", security(("staff" = [])), request_body = UserEmailAsk,
    params(("username" = String, Path,)),
    responses((status = 204, description = "it is set"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "user.unknown"), (status = 409, description = "user.oneself"),
        (status = 422, description = "request.invalid"), (status = 503, description = "server.database_away")))]
async fn set_email(
    AppState(app): AppState<App>,
    admin: Admin,
    Path(username): Path<String>,
    RequestLanguage(language): RequestLanguage,
    Json(ask): Json<UserEmailAsk>,
) -> Result<StatusCode> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let user = found(&transaction, &admin, &username).await?;
    // One's own with the password, not by a page that was left open.
    not_oneself(&admin, &user)?;
    let email = mailbox::checked(ask.email.as_deref())?;
    let user = locked(&transaction, &admin, user).await?;
    mailbox::set(&app, &transaction, &user, email.as_deref(), language).await?;
    let before = json!({ "email": user.email.is_some() });
    record(&transaction, &admin, "user.email", (before, json!({ "username": username, "email": email.is_some() })))
        .await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
