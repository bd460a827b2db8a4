//! One's own account: where one is signed in, and the second factor.

use axum::extract::State as AppState;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::access::StaffUser;
use super::audit::{self, Actor, Entry};
use super::password::PASSWORD_BYTES_MAX;
use super::pg::SignInRow;
use super::{pg, totp};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::observe::RequestId;
use crate::platform::http::{ClientAddress, Json, Path};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(sign_ins)).routes(routes!(end_sign_in)).routes(routes!(
        begin_second_factor,
        confirm_second_factor,
        remove_second_factor
    ))
}

fn private(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}

#[derive(Serialize, ToSchema)]
pub struct SignInList {
    pub sign_ins: Vec<SignInShown>,
}

#[derive(Serialize, ToSchema)]
pub struct SignInShown {
    pub id: Uuid,
    #[schema(value_type = String, format = DateTime)]
    pub began_at: Timestamp,
    /// When it was last renewed; within 15 minutes of its last use.
    #[schema(value_type = String, format = DateTime)]
    pub renewed_at: Timestamp,
    pub address: Option<String>,
    /// What the browser says it is.
    pub agent: Option<String>,
}

impl From<SignInRow> for SignInShown {
    fn from(row: SignInRow) -> SignInShown {
        SignInShown {
            id: row.id,
            began_at: row.began_at,
            renewed_at: row.renewed_at,
            address: row.address,
            agent: row.agent,
        }
    }
}

/// Where one is signed in, the last used first.
#[utoipa::path(get, path = "/api/auth/sign-ins", tag = "auth", security(("staff" = [])),
    responses((status = 200, body = SignInList),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 503, description = "server.database_away")))]
async fn sign_ins(AppState(app): AppState<App>, by: StaffUser) -> Result<Response> {
    let rows = pg::sign_ins(&app.pg.get().await?, by.id, app.clock.now()).await?;
    Ok(private(SignInList { sign_ins: rows.into_iter().map(SignInShown::from).collect() }))
}

/// Ends one of one's own sign-ins. Its access token ends by itself within 15 minutes.
#[utoipa::path(delete, path = "/api/auth/sign-ins/{sign_in_id}", tag = "auth", security(("staff" = [])),
    params(("sign_in_id" = Uuid, Path,)),
    responses((status = 204, description = "it has ended"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 404, description = "auth.unknown_sign_in"), (status = 503, description = "server.database_away")))]
async fn end_sign_in(
    AppState(app): AppState<App>,
    by: StaffUser,
    caller: ClientAddress,
    request: RequestId,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    // One that is being renewed at this moment must not be missed.
    pg::lock(&transaction, by.id).await?;
    if !pg::end_own(&transaction, id, by.id).await? {
        return Err(Error::not_found("auth.unknown_sign_in"));
    }
    let actor = Actor::themselves(&by, &request, caller);
    record(&transaction, &actor, "user.sign_out", Value::Null, json!({ "sign_in": id })).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
struct BeginAsk {
    /// Of whoever is signed in.
    password: String,
}

#[derive(Serialize, ToSchema)]
struct Begun {
    /// For typing it into an authenticator app.
    secret: String,
    otpauth_url: String,
    /// The same as a QR.
    qr_svg: String,
}

#[derive(Deserialize, ToSchema)]
struct ConfirmAsk {
    /// Six digits that the app shows.
    code: String,
}

#[derive(Deserialize, ToSchema)]
struct RemoveAsk {
    password: String,
    code: String,
}

fn password(given: &str) -> Result<&str> {
    if given.len() > PASSWORD_BYTES_MAX { Err(Error::unauthenticated("auth.invalid_credentials")) } else { Ok(given) }
}

/// Begins a second factor: the secret for an authenticator app. It is in force once a code of it was confirmed.
#[utoipa::path(post, path = "/api/auth/second-factor", tag = "auth", security(("staff" = [])), request_body = BeginAsk,
    responses((status = 200, body = Begun),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token, auth.invalid_credentials"),
        (status = 409, description = "auth.second_factor_set"), (status = 429, description = "auth.too_many"),
        (status = 503, description = "auth.busy, server.database_away")))]
async fn begin_second_factor(
    AppState(app): AppState<App>,
    by: StaffUser,
    caller: ClientAddress,
    Json(ask): Json<BeginAsk>,
) -> Result<Response> {
    let begun = totp::begin(&app, caller, &by, password(&ask.password)?).await?;
    Ok(private(Begun { secret: begun.secret, otpauth_url: begun.otpauth_url, qr_svg: begun.qr_svg }))
}

/// Puts the second factor in force.
#[utoipa::path(put, path = "/api/auth/second-factor", tag = "auth", security(("staff" = [])), request_body = ConfirmAsk,
    responses((status = 204, description = "from now on nobody signs in under this name without a code"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token, auth.invalid_code"),
        (status = 409, description = "auth.no_second_factor, auth.second_factor_set"), (status = 429, description = "auth.too_many"),
        (status = 503, description = "server.database_away")))]
async fn confirm_second_factor(
    AppState(app): AppState<App>,
    by: StaffUser,
    caller: ClientAddress,
    request: RequestId,
    Json(ask): Json<ConfirmAsk>,
) -> Result<StatusCode> {
    let actor = Actor::themselves(&by, &request, caller);
    totp::confirm(&app, caller, (&by, &actor), ask.code.trim()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the second factor.
#[utoipa::path(delete, path = "/api/auth/second-factor", tag = "auth", security(("staff" = [])), request_body = RemoveAsk,
    responses((status = 204, description = "the password alone is enough again"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token, auth.invalid_credentials, auth.code_required, auth.invalid_code"),
        (status = 429, description = "auth.too_many"), (status = 503, description = "auth.busy, server.database_away")))]
async fn remove_second_factor(
    AppState(app): AppState<App>,
    by: StaffUser,
    caller: ClientAddress,
    request: RequestId,
    Json(ask): Json<RemoveAsk>,
) -> Result<StatusCode> {
    let actor = Actor::themselves(&by, &request, caller);
    totp::remove(&app, caller, (&by, &actor), password(&ask.password)?, &ask.code).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// In the transaction of what somebody did to their own account.
pub(super) async fn record(
    client: &impl GenericClient,
    by: &Actor,
    action: &'static str,
    before: Value,
    after: Value,
) -> Result<()> {
    audit::record(client, &Entry { by, action, exhibition_id: None, before, after }).await
}
