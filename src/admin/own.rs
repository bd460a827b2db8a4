//! One's own account: where one is signed in, the second factor, and where one is written to.

use std::net::IpAddr;

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
use super::{mailbox, pg, recovery, sign_in, totp, tries};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::{ClientAddress, Json, Path, RequestLanguage};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(account))
        .routes(routes!(set_email))
        .routes(routes!(sign_ins))
        .routes(routes!(end_sign_in))
        .routes(routes!(begin_second_factor, confirm_second_factor, remove_second_factor))
        .routes(routes!(renew_recovery_codes))
}

fn private(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}

#[derive(Serialize, ToSchema)]
struct Account {
    username: String,
    /// Where it is written to, in part.
    email: Option<String>,
    second_factor: bool,
    recovery_codes_left: i64,
}

/// One's own account.
#[utoipa::path(get, path = "/api/auth/account", tag = "auth", security(("staff" = [])),
    responses((status = 200, body = Account),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 503, description = "server.database_away")))]
async fn account(AppState(app): AppState<App>, by: StaffUser) -> Result<Response> {
    let client = app.pg.get().await?;
    let user = pg::by_id(&client, by.id).await?.ok_or_else(|| Error::unauthenticated("auth.invalid_token"))?;
    let recovery_codes_left = recovery::pg::left(&client, by.id).await?;
    let email = mailbox::masked(&app, &user)?;
    Ok(private(Account { username: user.username, email, second_factor: user.second_factor, recovery_codes_left }))
}

#[derive(Deserialize, ToSchema)]
struct EmailAsk {
    /// Of whoever is signed in.
    password: String,
    /// Empty or null: none.
    email: Option<String>,
    /// Of the second factor, where there is one, or a recovery code: whoever reads the mailbox sets the password.
    code: Option<String>,
}

/// Sets where one's own account is written to: links to set a password, and what happens to it. The address of before is told.
#[utoipa::path(put, path = "/api/auth/email", tag = "auth", security(("staff" = [])), request_body = EmailAsk,
    responses((status = 204, description = "it is set"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token, auth.invalid_credentials, auth.code_required, auth.invalid_code"),
        (status = 422, description = "request.invalid"), (status = 429, description = "auth.too_many, auth.locked"),
        (status = 503, description = "auth.busy, server.database_away")))]
async fn set_email(
    AppState(app): AppState<App>,
    by: StaffUser,
    caller: ClientAddress,
    RequestLanguage(language): RequestLanguage,
    Json(ask): Json<EmailAsk>,
) -> Result<StatusCode> {
    let email = mailbox::checked(ask.email.as_deref())?;
    let judged = sign_in::check_own(&app, caller, &by, password(&ask.password)?).await?;
    let code = ask.code.as_deref().unwrap_or_default();
    if judged.second_factor && code.trim().is_empty() {
        return Err(Error::unauthenticated("auth.code_required"));
    }
    let counted = if judged.second_factor { Some(totp::counted(&app, caller, &judged).await?) } else { None };
    let moved: Result<()> = async {
        let mut client = app.pg.get().await?;
        let transaction = client.transaction().await?;
        let user = sign_in::lock_unchanged(&transaction, &judged).await?;
        totp::prove(&app, &transaction, user.id, code).await?;
        let change = (json!({ "email": user.email.is_some() }), json!({ "email": email.is_some() }));
        mailbox::set(&app, &transaction, &user, email.as_deref(), language).await?;
        record(&transaction, &by, caller.address, "user.email", change).await?;
        Ok(transaction.commit().await?)
    }
    .await;
    match counted {
        Some(counted) => tries::settle(&app, counted, moved).await?,
        None => moved?,
    }
    Ok(StatusCode::NO_CONTENT)
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
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    // One that is being renewed at this moment must not be missed.
    pg::lock(&transaction, by.id).await?;
    if !pg::end_own(&transaction, id, by.id).await? {
        return Err(Error::not_found("auth.unknown_sign_in"));
    }
    record(&transaction, &by, caller.address, "user.sign_out", (Value::Null, json!({ "sign_in": id }))).await?;
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
        (status = 409, description = "auth.second_factor_set"), (status = 429, description = "auth.too_many, auth.locked"),
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

#[derive(Serialize, ToSchema)]
struct RecoveryCodes {
    /// Each is good once in place of a code. Shown once.
    recovery_codes: Vec<String>,
}

/// Puts the second factor in force: from now on nobody signs in under this name without a code of it, or a recovery code.
#[utoipa::path(put, path = "/api/auth/second-factor", tag = "auth", security(("staff" = [])), request_body = ConfirmAsk,
    responses((status = 200, body = RecoveryCodes),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token, auth.invalid_code"),
        (status = 409, description = "auth.no_second_factor, auth.second_factor_set"), (status = 429, description = "auth.too_many"),
        (status = 503, description = "server.database_away")))]
async fn confirm_second_factor(
    AppState(app): AppState<App>,
    by: StaffUser,
    caller: ClientAddress,
    Json(ask): Json<ConfirmAsk>,
) -> Result<Response> {
    let recovery_codes = totp::confirm(&app, caller, &by, ask.code.trim()).await?;
    Ok(private(RecoveryCodes { recovery_codes }))
}

/// Ends the second factor.
#[utoipa::path(delete, path = "/api/auth/second-factor", tag = "auth", security(("staff" = [])), request_body = RemoveAsk,
    responses((status = 204, description = "the password alone is enough again"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token, auth.invalid_credentials, auth.code_required, auth.invalid_code"),
        (status = 429, description = "auth.too_many, auth.locked"), (status = 503, description = "auth.busy, server.database_away")))]
async fn remove_second_factor(
    AppState(app): AppState<App>,
    by: StaffUser,
    caller: ClientAddress,
    Json(ask): Json<RemoveAsk>,
) -> Result<StatusCode> {
    totp::remove(&app, caller, &by, password(&ask.password)?, &ask.code).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes other recovery codes; those of before are void.
#[utoipa::path(post, path = "/api/auth/second-factor/recovery-codes", tag = "auth", security(("staff" = [])), request_body = RemoveAsk,
    responses((status = 200, body = RecoveryCodes),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token, auth.invalid_credentials, auth.code_required, auth.invalid_code"),
        (status = 409, description = "auth.no_second_factor"), (status = 429, description = "auth.too_many, auth.locked"),
        (status = 503, description = "auth.busy, server.database_away")))]
async fn renew_recovery_codes(
    AppState(app): AppState<App>,
    by: StaffUser,
    caller: ClientAddress,
    Json(ask): Json<RemoveAsk>,
) -> Result<Response> {
    let recovery_codes = totp::renew_codes(&app, caller, &by, password(&ask.password)?, &ask.code).await?;
    Ok(private(RecoveryCodes { recovery_codes }))
}

/// What somebody does to their own account, in its transaction.
pub(super) async fn record(
    client: &impl GenericClient,
    by: &StaffUser,
    address: IpAddr,
    action: &'static str,
    (before, after): (Value, Value),
) -> Result<()> {
    let actor = Actor::themselves(by, address);
    audit::record(client, &Entry { by: &actor, action, exhibition_id: None, before, after }).await
}
