//! The calls by which somebody who has forgotten their password sets another.

use axum::extract::State as AppState;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::MINUTES;
use crate::admin::browser::Browser;
use crate::app::App;
use crate::error::Result;
use crate::platform::http::{ClientAddress, Json, RequestLanguage};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(ask)).routes(routes!(complete))
}

#[derive(Deserialize, ToSchema)]
struct ResetAsk {
    username: String,
}

#[derive(Serialize, ToSchema)]
struct ResetAsked {
    /// How long the link opens. [min]
    minutes: i32,
}

/// Asks for a link by which a password is set anew. It is mailed, if there is such an account and it has an address.
#[utoipa::path(post, path = "/api/auth/password-reset", tag = "auth", request_body = ResetAsk,
    responses((status = 202, body = ResetAsked, description = "whether or not there is such an account"),
        (status = 422, description = "request.invalid"), (status = 429, description = "auth.too_many"),
        (status = 503, description = "server.database_away")))]
async fn ask(
    AppState(app): AppState<App>,
    caller: ClientAddress,
    RequestLanguage(language): RequestLanguage,
    Json(ask): Json<ResetAsk>,
) -> Result<Response> {
    super::ask(&app, caller, &ask.username, language).await?;
    let body = ResetAsked { minutes: MINUTES };
    Ok((StatusCode::ACCEPTED, [(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response())
}

#[derive(Deserialize, ToSchema)]
struct CompleteAsk {
    /// What the link has behind `#/reset/`.
    token: String,
    /// 12 characters and more.
    password: String,
}

#[derive(Serialize, ToSchema)]
struct Completed {
    username: String,
}

/// Sets the password of whoever has the link, once. Every sign-in and the PIN end; a second factor stays, and is asked for when
/// signing in.
#[utoipa::path(post, path = "/api/auth/password-reset/complete", tag = "auth", request_body = CompleteAsk,
    responses((status = 200, body = Completed), (status = 403, description = "auth.not_from_here"),
        (status = 410, description = "auth.reset_over"), (status = 422, description = "request.invalid"),
        (status = 429, description = "auth.too_many"), (status = 503, description = "auth.busy, server.database_away")))]
async fn complete(
    AppState(app): AppState<App>,
    caller: ClientAddress,
    browser: Browser,
    Json(ask): Json<CompleteAsk>,
) -> Result<Response> {
    let username = super::complete(&app, caller, ask.token.trim(), &ask.password, browser.language).await?;
    // Strangers who go on guessing do not keep this browser out.
    let known = browser.known_by_mail(&app, &username)?;
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store")), (header::SET_COOKIE, known)];
    Ok((headers, axum::Json(Completed { username })).into_response())
}
