//! Signing in, staying signed in, signing out.

use axum::extract::State as AppState;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::access::{ACCESS_S, StaffUser};
use super::browser::{self, Browser};
use super::password::PASSWORD_BYTES_MAX;
use super::sign_in::{self, Session, SignIn};
use super::{Role, pin, refresh};
use crate::app::App;
use crate::error::{Error, FieldError, Result};
use crate::platform::http::{ClientAddress, Json};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(login)).routes(routes!(renew)).routes(routes!(logout)).routes(routes!(set_pin))
}

const USERNAME_BYTES_MAX: usize = 128;

#[derive(Deserialize, ToSchema)]
struct LoginAsk {
    username: String,
    password: String,
    /// Six digits of the second factor, where there is one, or a recovery code.
    #[serde(default)]
    code: Option<String>,
    /// For pages of ours: the refresh token goes into a cookie that no script can read, and not into the answer.
    #[serde(default)]
    keep_in_cookie: bool,
}

#[derive(Deserialize, ToSchema)]
struct RefreshAsk {
    /// Left out by pages of ours, which have it in a cookie.
    #[serde(default)]
    refresh_token: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct SessionShown {
    /// Send as `Authorization: Bearer …`.
    access_token: String,
    token_type: &'static str,
    /// [seconds]
    expires_in: i64,
    /// Good for one refresh within 30 days; null where it is kept in a cookie.
    refresh_token: Option<String>,
    username: String,
    role: Role,
    /// Codes of the exhibitions the user belongs to; for a super admin all.
    exhibitions: Vec<String>,
    /// Signs in with a second factor.
    second_factor: bool,
    /// Their rank needs one and they have none: until they have set it up, nothing but `/api/auth` is open to them.
    second_factor_needed: bool,
}

/// `known`: what makes the browser one that the account knows.
fn shown(app: &App, session: Session, in_cookie: bool, known: Option<HeaderValue>) -> Result<Response> {
    let cookie = in_cookie.then(|| browser::kept(app, &session.refresh_token)).transpose()?;
    let body = SessionShown {
        access_token: session.access_token,
        token_type: "Bearer",
        expires_in: ACCESS_S,
        refresh_token: Some(session.refresh_token).filter(|_| !in_cookie),
        username: session.user.username,
        role: session.user.role,
        exhibitions: session.user.exhibition_codes,
        second_factor: session.user.second_factor,
        second_factor_needed: session.must_set_up,
    };
    let mut response =
        ([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], axum::Json(body)).into_response();
    for cookie in cookie.into_iter().chain(known) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

impl LoginAsk {
    fn check(&self) -> Result<()> {
        let field = |name: &str, value: &str, bytes_max: usize| {
            let code = if value.is_empty() {
                "required"
            } else if value.len() > bytes_max {
                "too_long"
            } else {
                return None;
            };
            Some(FieldError { field: name.to_owned(), code })
        };
        let errors: Vec<FieldError> = [
            field("username", &self.username, USERNAME_BYTES_MAX),
            field("password", &self.password, PASSWORD_BYTES_MAX),
        ]
        .into_iter()
        .flatten()
        .collect();
        if errors.is_empty() { Ok(()) } else { Err(Error::fields(errors)) }
    }
}

/// Signs in.
#[utoipa::path(post, path = "/api/auth/login", tag = "auth", request_body = LoginAsk,
    responses((status = 200, body = SessionShown),
        (status = 401, description = "auth.invalid_credentials, auth.code_required, auth.invalid_code: the password was right"),
        (status = 403, description = "request.cross_site, auth.not_from_here"), (status = 422, description = "request.invalid"),
        (status = 429, description = "auth.too_many, auth.locked"), (status = 503, description = "auth.busy, server.database_away")))]
async fn login(
    AppState(app): AppState<App>,
    caller: ClientAddress,
    browser: Browser,
    Json(ask): Json<LoginAsk>,
) -> Result<Response> {
    ask.check()?;
    if ask.keep_in_cookie {
        browser.own()?;
    }
    let with =
        SignIn { username: &ask.username, password: &ask.password, code: ask.code.as_deref(), browser: &browser };
    let session = sign_in::sign_in(&app, caller, with).await?;
    let known = ask.keep_in_cookie.then(|| browser.known_by_sign_in(&app, &session.user.username)).transpose()?;
    shown(&app, session, ask.keep_in_cookie, known)
}

/// Spends a refresh token for new tokens.
///
/// A token that was spent before ends every token of its sign-in.
#[utoipa::path(post, path = "/api/auth/refresh", tag = "auth", request_body = RefreshAsk,
    responses((status = 200, body = SessionShown),
        (status = 401, description = "auth.invalid_token, auth.expired_token"), (status = 403, description = "request.cross_site, auth.not_from_here"),
        (status = 422, description = "request.invalid"), (status = 503, description = "server.database_away")))]
async fn renew(
    AppState(app): AppState<App>,
    caller: ClientAddress,
    browser: Browser,
    Json(ask): Json<RefreshAsk>,
) -> Result<Response> {
    let in_cookie = ask.refresh_token.is_none();
    let token = browser.token(ask.refresh_token)?.ok_or_else(|| Error::field("refresh_token", "required"))?;
    shown(&app, sign_in::renew(&app, caller, &token).await?, in_cookie, None)
}

/// Signs out: ends every refresh token of this sign-in. The access token ends by itself within 15 minutes.
#[utoipa::path(post, path = "/api/auth/logout", tag = "auth", request_body = RefreshAsk,
    responses((status = 204, description = "signed out, or never signed in"), (status = 403, description = "request.cross_site"),
        (status = 503, description = "server.database_away")))]
async fn logout(AppState(app): AppState<App>, browser: Browser, Json(ask): Json<RefreshAsk>) -> Result<Response> {
    if let Some(token) = browser.token(ask.refresh_token)? {
        refresh::end(&app, &token).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, browser::forgotten(&app)?)]).into_response())
}

#[derive(Deserialize, ToSchema)]
struct PinAsk {
    /// Of whoever is signed in.
    password: String,
    /// Six digits, not all the same and not in a row; null: no PIN any more.
    pin: Option<String>,
}

/// Sets one's own PIN, with which shifts begin at enrolled devices. A new password ends it.
#[utoipa::path(put, path = "/api/auth/pin", tag = "auth", request_body = PinAsk, security(("staff" = [])),
    responses((status = 204, description = "it is set"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token, auth.invalid_credentials"),
        (status = 422, description = "request.invalid"), (status = 429, description = "auth.too_many, auth.locked"),
        (status = 503, description = "auth.busy, server.database_away")))]
async fn set_pin(
    AppState(app): AppState<App>,
    by: StaffUser,
    caller: ClientAddress,
    Json(ask): Json<PinAsk>,
) -> Result<StatusCode> {
    if ask.password.len() > PASSWORD_BYTES_MAX {
        return Err(Error::unauthenticated("auth.invalid_credentials"));
    }
    pin::set(&app, caller, &by, &ask.password, ask.pin.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
