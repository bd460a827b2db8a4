//! Accounts, as admins run them. A super admin runs all; an admin those who support visitors or stand at the gates of
//! their exhibitions, and nobody else.

use axum::extract::State as AppState;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Role;
use super::access::{Admin, Exhibitions};
use super::audit::{self, Actor, Entry};
use super::own::{SignInList, SignInShown};
use super::pg::{self, UserRow};
use super::tries::pg::TriesRow;
use super::users::{self, NewUser};
use super::{mailbox, totp, tries};
use crate::app::App;
use crate::error::{Error, FieldError, Result};
use crate::platform::http::extract::tagged;
use crate::platform::http::{IfMatch, Json, Path, RequestLanguage};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(change))
        .routes(routes!(set_password))
        .routes(routes!(remove_second_factor))
        .routes(routes!(sign_ins, end_sign_ins))
}

#[derive(Serialize, ToSchema)]
struct UserList {
    users: Vec<UserShown>,
}

#[derive(Serialize, ToSchema)]
struct UserShown {
    username: String,
    role: Role,
    /// Codes; of a super admin none: all are theirs.
    exhibitions: Vec<String>,
    disabled: bool,
    /// Signs in with a second factor.
    second_factor: bool,
    /// Where it is written to, in part.
    email: Option<String>,
    /// What those whom the account does not know have tried on it within a day; null: nothing.
    tries: Option<TriesShown>,
    /// Raised by every change.
    revision: i32,
}

#[derive(Serialize, ToSchema)]
struct TriesShown {
    /// Wrong passwords and codes.
    failed: i64,
    /// Of them, codes: somebody knows the password.
    codes: i64,
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Until then nobody is let in but in browsers and at devices that the account knows.
    #[schema(value_type = Option<String>, format = DateTime)]
    locked_until: Option<Timestamp>,
}

fn user_shown(app: &App, user: UserRow, tries: Option<&TriesRow>) -> Result<UserShown> {
    Ok(UserShown {
        email: mailbox::masked(app, &user)?,
        tries: tries.map(|row| TriesShown {
            failed: row.failed,
            codes: row.codes,
            since: row.since,
            locked_until: row.locked_until,
        }),
        exhibitions: if user.role == Role::SuperAdmin { Vec::new() } else { user.exhibition_codes },
        username: user.username,
        role: user.role,
        disabled: user.disabled,
        second_factor: user.second_factor,
        revision: user.revision,
    })
}

fn private(status: StatusCode, body: impl Serialize) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}

/// Whether somebody may run an account of this role that belongs to these exhibitions.
fn may_run(admin: &Admin, role: Role, exhibition_ids: &[i32]) -> bool {
    match &admin.user.exhibitions {
        Exhibitions::All => true,
        Exhibitions::Of(own) => {
            // Whoever belongs to no exhibition belongs to nobody's admins.
            matches!(role, Role::Support | Role::Staff)
                && !exhibition_ids.is_empty()
                && exhibition_ids.iter().all(|id| own.contains(id))
        }
    }
}

pub fn may_run_user(admin: &Admin, user: &UserRow) -> bool {
    may_run(admin, user.role, &user.exhibition_ids)
}

fn forbidden() -> Error {
    Error::forbidden("auth.forbidden")
}

/// One's own password and second factor are changed with the password, not by a page that was left open.
pub(super) fn not_oneself(admin: &Admin, user: &UserRow) -> Result<()> {
    if user.id == admin.user.id { Err(Error::conflict("user.oneself")) } else { Ok(()) }
}

pub(super) async fn found(client: &impl GenericClient, admin: &Admin, username: &str) -> Result<UserRow> {
    let user = if users::is_username(username) { pg::by_name(client, username).await? } else { None };
    // Whom one may not run, one does not know.
    let user = user.filter(|user| may_run_user(admin, user));
    user.ok_or_else(|| Error::not_found("user.unknown").with("username", username))
}

/// The same under its lock: it may have risen meanwhile.
pub(super) async fn locked(client: &impl GenericClient, admin: &Admin, user: UserRow) -> Result<UserRow> {
    let now = pg::lock(client, user.id).await?;
    now.filter(|now| may_run_user(admin, now)).ok_or_else(forbidden)
}

pub(super) async fn record(
    client: &impl GenericClient,
    admin: &Admin,
    action: &'static str,
    change: (Value, Value),
) -> Result<()> {
    let by = &Actor::from(admin);
    audit::record(client, &Entry { by, action, exhibition_id: None, before: change.0, after: change.1 }).await
}

/// Accounts that one may run.
#[utoipa::path(get, path = "/api/admin/users", tag = "admin", security(("staff" = [])),
    responses((status = 200, body = UserList),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 503, description = "server.database_away")))]
async fn list(AppState(app): AppState<App>, admin: Admin) -> Result<Response> {
    let client = app.pg.get().await?;
    let users: Vec<UserRow> = pg::list(&client).await?.into_iter().filter(|user| may_run_user(&admin, user)).collect();
    let ids: Vec<i32> = users.iter().map(|user| user.id).collect();
    let tries = tries::pg::of_users(&client, &ids).await?;
    let shown = |user: UserRow| {
        let tries = tries.get(&user.id);
        user_shown(&app, user, tries)
    };
    let users = users.into_iter().map(shown).collect::<Result<Vec<_>>>()?;
    Ok(private(StatusCode::OK, UserList { users }))
}

#[derive(Deserialize, ToSchema)]
struct CreateAsk {
    /// 3 to 32 characters: small letters, digits, and . _ - after the first.
    username: String,
    /// 12 characters and more.
    password: String,
    role: Role,
    /// Codes; of a super admin none.
    #[serde(default)]
    exhibitions: Vec<String>,
}

fn ids_of(app: &App, codes: &[String]) -> Vec<i32> {
    let catalogue = app.catalogue.current();
    // An unknown one is nobody's: refused as a field, or forbidden, but never taken.
    codes.iter().map(|code| catalogue.known(code).map_or(0, |exhibition| exhibition.id)).collect()
}

/// Makes an account.
#[utoipa::path(post, path = "/api/admin/users", tag = "admin", security(("staff" = [])), request_body = CreateAsk,
    responses((status = 201, body = UserShown),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 409, description = "user.exists"),
        (status = 422, description = "request.invalid"), (status = 503, description = "auth.busy, server.database_away")))]
async fn create(AppState(app): AppState<App>, admin: Admin, Json(ask): Json<CreateAsk>) -> Result<Response> {
    let user =
        NewUser { username: &ask.username, password: &ask.password, role: ask.role, exhibitions: &ask.exhibitions };
    users::check(&app.pg.get().await?, &user).await?;
    if !may_run(&admin, ask.role, &ids_of(&app, &ask.exhibitions)) {
        return Err(forbidden());
    }
    let hash = app.passwords.hash(user.password).await?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    users::insert(&transaction, &user, &hash).await?;
    let after = json!({ "username": ask.username, "role": ask.role, "exhibitions": ask.exhibitions });
    record(&transaction, &admin, "user.create", (Value::Null, after)).await?;
    let made = found(&transaction, &admin, &ask.username).await?;
    transaction.commit().await?;
    Ok(private(StatusCode::CREATED, user_shown(&app, made, None)?))
}

#[derive(Deserialize, ToSchema)]
struct ChangeAsk {
    role: Role,
    #[serde(default)]
    exhibitions: Vec<String>,
    disabled: bool,
}

/// Changes what an account may do, and whether it may sign in. Ends its sign-ins; access tokens end within 15 minutes. Of
/// whoever rises in rank the address is forgotten, for them to set anew.
#[utoipa::path(put, path = "/api/admin/users/{username}", tag = "admin", security(("staff" = [])), request_body = ChangeAsk,
    params(("username" = String, Path,), ("If-Match" = String, Header, description = "The revision of the account as it was listed.")),
    responses((status = 200, body = UserShown, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "user.unknown"),
        (status = 409, description = "user.last_owner"), (status = 422, description = "request.invalid"),
        (status = 503, description = "server.database_away")))]
async fn change(
    AppState(app): AppState<App>,
    admin: Admin,
    Path(username): Path<String>,
    RequestLanguage(language): RequestLanguage,
    seen: IfMatch,
    Json(ask): Json<ChangeAsk>,
) -> Result<Response> {
    let ids = ids_of(&app, &ask.exhibitions);
    let mut errors = Vec::new();
    if ids.contains(&0) {
        errors.push(FieldError { field: "exhibitions".into(), code: "unknown_exhibition" });
    } else if ask.role != Role::SuperAdmin && ids.is_empty() {
        errors.push(FieldError { field: "exhibitions".into(), code: "required" });
    }
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let known = found(&transaction, &admin, &username).await?;
    if !errors.is_empty() {
        return Err(Error::fields(errors));
    }
    if !may_run(&admin, ask.role, &ids) {
        return Err(forbidden());
    }
    // All owners in one order before any one of them: two who step down at once wait for each other.
    let others = if known.role == Role::SuperAdmin { pg::lock_owners(&transaction, known.id).await? } else { 1 };
    let was = pg::lock(&transaction, known.id).await?.ok_or_else(|| Error::bug("an account is gone"))?;
    if !may_run_user(&admin, &was) {
        return Err(forbidden());
    }
    seen.expect(was.revision)?;
    let steps_down = was.role == Role::SuperAdmin && !was.disabled && (ask.role != Role::SuperAdmin || ask.disabled);
    if steps_down && others == 0 {
        return Err(Error::conflict("user.last_owner"));
    }
    pg::change(&transaction, was.id, ask.role, ask.disabled).await?;
    pg::set_exhibitions(&transaction, was.id, &ask.exhibitions).await?;
    pg::end_all(&transaction, was.id).await?;
    pg::end_shifts(&transaction, was.id).await?;
    let mut before = json!({ "role": was.role, "exhibitions": was.exhibition_codes, "disabled": was.disabled });
    let mut after = json!({ "role": ask.role, "exhibitions": ask.exhibitions, "disabled": ask.disabled });
    // Whoever may write the address of somebody below them would read the links of somebody above.
    if was.email.is_some() && ask.role != was.role && ask.role.is_at_least(was.role) {
        mailbox::set(&app, &transaction, &was, None, language).await?;
        (before["email"], after["email"]) = (json!(true), json!(false));
    }
    let about = |mut value: Value| {
        value["username"] = json!(username);
        value
    };
    record(&transaction, &admin, "user.change", (about(before), about(after))).await?;
    let now = pg::lock(&transaction, was.id).await?.ok_or_else(|| Error::bug("an account is gone"))?;
    let tries = tries::pg::of_users(&transaction, &[now.id]).await?;
    transaction.commit().await?;
    let tries = tries.get(&now.id);
    tagged(StatusCode::OK, now.revision, user_shown(&app, now, tries)?)
}

#[derive(Deserialize, ToSchema)]
struct PasswordAsk {
    /// 12 characters and more.
    password: String,
    /// For an account that is taken back: whoever had it may have put their own address there, and ask for a link.
    #[serde(default)]
    forget_email: bool,
}

/// Sets another password, ends the PIN, every sign-in and every wait; if it is asked for, forgets the address as well.
#[utoipa::path(post, path = "/api/admin/users/{username}/password", tag = "admin", security(("staff" = [])), request_body = PasswordAsk,
    params(("username" = String, Path,)),
    responses((status = 204, description = "it is set"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "user.unknown"), (status = 409, description = "user.oneself"),
        (status = 422, description = "request.invalid"), (status = 503, description = "auth.busy, server.database_away")))]
async fn set_password(
    AppState(app): AppState<App>,
    admin: Admin,
    Path(username): Path<String>,
    RequestLanguage(language): RequestLanguage,
    Json(ask): Json<PasswordAsk>,
) -> Result<StatusCode> {
    let user = found(&app.pg.get().await?, &admin, &username).await?;
    not_oneself(&admin, &user)?;
    if let Some(error) = users::password_error(&ask.password) {
        return Err(Error::fields(vec![error]));
    }
    let hash = app.passwords.hash(&ask.password).await?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    // They may have risen while the password was being hashed.
    let user = locked(&transaction, &admin, user).await?;
    users::replace_password(&transaction, &user, &hash).await?;
    tries::pg::clear(&transaction, user.id, None).await?;
    let (mut before, mut after) = (json!({}), json!({ "username": username }));
    if ask.forget_email {
        mailbox::set(&app, &transaction, &user, None, language).await?;
        (before["email"], after["email"]) = (json!(user.email.is_some()), json!(false));
    }
    record(&transaction, &admin, "user.password", (before, after)).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends somebody's second factor, for whoever has lost their phone. They sign in by their password alone until they set another.
#[utoipa::path(delete, path = "/api/admin/users/{username}/second-factor", tag = "admin", security(("staff" = [])),
    params(("username" = String, Path,)),
    responses((status = 204, description = "there is none"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "user.unknown"),
        (status = 409, description = "user.oneself"), (status = 503, description = "server.database_away")))]
async fn remove_second_factor(
    AppState(app): AppState<App>,
    admin: Admin,
    Path(username): Path<String>,
) -> Result<StatusCode> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let user = found(&transaction, &admin, &username).await?;
    not_oneself(&admin, &user)?;
    let user = locked(&transaction, &admin, user).await?;
    totp::end(&transaction, user.id).await?;
    record(
        &transaction,
        &admin,
        "user.second_factor",
        (json!({ "second_factor": user.second_factor }), json!({ "username": username, "second_factor": false })),
    )
    .await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where somebody is signed in. Goes into the audit log.
#[utoipa::path(get, path = "/api/admin/users/{username}/sign-ins", tag = "admin", security(("staff" = [])),
    params(("username" = String, Path,)),
    responses((status = 200, body = SignInList),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "user.unknown"),
        (status = 503, description = "server.database_away")))]
async fn sign_ins(AppState(app): AppState<App>, admin: Admin, Path(username): Path<String>) -> Result<Response> {
    let client = app.pg.get().await?;
    let user = found(&client, &admin, &username).await?;
    // Where somebody works from, and when.
    record(&client, &admin, "user.sign_ins", (Value::Null, json!({ "username": username }))).await?;
    let rows = pg::sign_ins(&client, user.id, app.clock.now()).await?;
    Ok(private(StatusCode::OK, SignInList { sign_ins: rows.into_iter().map(SignInShown::from).collect() }))
}

/// Ends every sign-in of somebody. Access tokens end by themselves within 15 minutes.
#[utoipa::path(delete, path = "/api/admin/users/{username}/sign-ins", tag = "admin", security(("staff" = [])),
    params(("username" = String, Path,)),
    responses((status = 204, description = "they have ended"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "user.unknown"),
        (status = 503, description = "server.database_away")))]
async fn end_sign_ins(AppState(app): AppState<App>, admin: Admin, Path(username): Path<String>) -> Result<StatusCode> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let user = found(&transaction, &admin, &username).await?;
    // A sign-in that is being renewed at this moment must not be missed.
    pg::lock(&transaction, user.id).await?;
    pg::end_all(&transaction, user.id).await?;
    record(&transaction, &admin, "user.sign_out", (Value::Null, json!({ "username": username }))).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
