//! Signing in with name and password.

use super::access::{Exhibitions, StaffUser};
use super::pg::{self, UserRow};
use super::refresh::From;
use super::users::is_username;
use super::{Role, access, refresh, totp};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::ClientAddress;
use crate::platform::secrets::{Purpose, hex};

/// Tries on one name from everywhere, in multiples of what one address has: enough that a stranger who guesses does
/// not lock the owner out, few enough that guessing is hopeless.
const ALL_ADDRESSES_FACTOR: u32 = 10;

/// What a signed-in user gets.
pub struct Session {
    pub user: UserRow,
    pub access_token: String,
    pub refresh_token: String,
}

pub fn staff(user: &UserRow) -> StaffUser {
    let exhibitions = match user.role {
        Role::SuperAdmin => Exhibitions::All,
        Role::Admin | Role::Support | Role::Staff => Exhibitions::Of(user.exhibition_ids.clone()),
    };
    StaffUser { id: user.id, name: user.username.clone(), role: user.role, exhibitions }
}

fn session(app: &App, user: UserRow, refresh_token: String) -> Result<Session> {
    let access_token = access::issue(app.secrets.access_token_key(), &staff(&user), app.clock.now())?;
    Ok(Session { user, access_token, refresh_token })
}

pub async fn check_rate(app: &App, caller: ClientAddress, username: &str) -> Result<()> {
    if caller.exempt {
        return Ok(());
    }
    let per_minute = app.settings.logins_per_minute;
    let who = |parts: &[&[u8]]| hex(&app.secrets.mac(Purpose::IdempotencyKey, parts)[..16]);
    let here = who(&[b"login", username.as_bytes(), caller.address.to_string().as_bytes()]);
    let anywhere = who(&[b"login", username.as_bytes()]);
    let anybody = who(&[b"login address", caller.address.to_string().as_bytes()]);
    let loose = per_minute.saturating_mul(ALL_ADDRESSES_FACTOR);
    let now_ms = app.clock.now_ms();
    for (who, limit) in [(here, per_minute), (anywhere, loose), (anybody, loose)] {
        if let Some(wait) = app.redis.rate_limit("login", &who, limit, now_ms).await {
            return Err(Error::too_many("auth.too_many", wait));
        }
    }
    Ok(())
}

/// For calls that anybody may make and that try something secret.
pub async fn limit_address(app: &App, caller: ClientAddress) -> Result<()> {
    if caller.exempt {
        return Ok(());
    }
    let who = app.secrets.mac(Purpose::IdempotencyKey, &[b"enrol", caller.address.to_string().as_bytes()]);
    match app.redis.rate_limit("login", &hex(&who[..16]), app.settings.logins_per_minute, app.clock.now_ms()).await {
        Some(wait) => Err(Error::too_many("auth.too_many", wait)),
        None => Ok(()),
    }
}

/// Who this is, without a session of their own: for a shift at a device.
pub async fn check(app: &App, caller: ClientAddress, username: &str, password: &str) -> Result<StaffUser> {
    verified(app, caller, username, password).await.map(|user| staff(&user))
}

/// Whoever is signed in proves to be themselves.
pub async fn check_own(app: &App, caller: ClientAddress, by: &StaffUser, password: &str) -> Result<()> {
    let user = check(app, caller, &by.name, password).await?;
    if user.id == by.id { Ok(()) } else { Err(Error::unauthenticated("auth.invalid_credentials")) }
}

/// One answer and one amount of work for an unknown name, a disabled user and a wrong password.
async fn verified(app: &App, caller: ClientAddress, username: &str, password: &str) -> Result<UserRow> {
    let username = username.trim().to_lowercase();
    check_rate(app, caller, &username).await?;
    let refused = || Error::unauthenticated("auth.invalid_credentials");
    let client = app.pg.get().await?;
    // What cannot be a name is not looked up; Postgres would refuse some of it.
    let user = if is_username(&username) { pg::by_name(&client, &username).await? } else { None };
    // Not held while the password is being checked.
    drop(client);
    let Some(user) = user else {
        app.passwords.verify_nobody(password).await?;
        return Err(refused());
    };
    if !app.passwords.verify(password, &user.password_hash).await? || user.disabled {
        return Err(refused());
    }
    Ok(user)
}

/// What somebody signs in with, and on what.
pub struct SignIn<'a> {
    pub username: &'a str,
    pub password: &'a str,
    /// Of the second factor, where there is one.
    pub code: Option<&'a str>,
    pub agent: &'a str,
}

pub async fn sign_in(app: &App, caller: ClientAddress, ask: SignIn<'_>) -> Result<Session> {
    let user = verified(app, caller, ask.username, ask.password).await?;
    // After the password: whoever does not know it learns nothing of the second factor.
    totp::require(app, &app.pg.get().await?, user.id, ask.code).await?;
    // Under the user's lock, and only if nothing has changed while the password was being checked: a new password or
    // a disabled account ends every family, also one that is just being made.
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let now = pg::lock(&transaction, user.id).await?;
    if now.is_none_or(|now| now.disabled || now.password_hash != user.password_hash) {
        return Err(Error::unauthenticated("auth.invalid_credentials"));
    }
    let from = From { address: caller.address, agent: ask.agent };
    let refresh_token = refresh::begin(&transaction, user.id, &from, app.clock.now()).await?;
    transaction.commit().await?;
    drop(client);
    session(app, user, refresh_token)
}

pub async fn renew(app: &App, token: &str) -> Result<Session> {
    let (user, refresh_token) = refresh::renew(app, token).await?;
    session(app, user, refresh_token)
}
