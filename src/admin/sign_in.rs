//! Signing in with name and password.

use deadpool_postgres::GenericClient;
use serde_json::{Value, json};
use uuid::Uuid;

use super::access::{Exhibitions, StaffUser};
use super::browser::Browser;
use super::mailbox::{self, Notice};
use super::own::record;
use super::pg::{self, UserRow};
use super::refresh::From;
use super::totp::Proof;
use super::tries::{self, Claimant, What, Whence};
use super::users::is_username;
use super::{Role, access, addresses, refresh, rules, totp};
use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::platform::http::ClientAddress;

/// Tries from one address, or at one device, on whatever names, in multiples of what one name has: people share both.
const ALL_NAMES_FACTOR: u32 = 10;

/// What a signed-in user gets.
pub struct Session {
    pub user: UserRow,
    pub access_token: String,
    pub refresh_token: String,
    /// Nothing but setting up a second factor is open to them.
    pub must_set_up: bool,
}

pub fn staff(user: &UserRow) -> StaffUser {
    let exhibitions = match user.role {
        Role::SuperAdmin => Exhibitions::All,
        Role::Admin | Role::Support | Role::Staff => Exhibitions::Of(user.exhibition_ids.clone()),
    };
    StaffUser {
        id: user.id,
        name: user.username.clone(),
        role: user.role,
        exhibitions,
        must_set_up: false,
        request_id: String::new(),
    }
}

async fn session(app: &App, client: &impl GenericClient, user: UserRow, refresh_token: String) -> Result<Session> {
    let needed = rules::pg::read(client).await?.second_factor_from;
    let must_set_up = !user.second_factor && needed.is_some_and(|least| user.role.is_at_least(least));
    let signed = StaffUser { must_set_up, ..staff(&user) };
    let access_token = access::issue(app.secrets.access_token_key(), &signed, app.clock.now())?;
    Ok(Session { user, access_token, refresh_token, must_set_up })
}

/// In front of everything else: a courtesy to others that Redis counts, and does not when it is away. What guessing comes to is
/// counted by `tries`.
pub async fn check_rate(app: &App, by: &Claimant) -> Result<()> {
    if by.exempt {
        return Ok(());
    }
    let (per_minute, now_ms) = (app.settings.logins_per_minute, app.clock.now_ms());
    let limits = [(by.key(app), per_minute), (by.any_name_key(app), per_minute.saturating_mul(ALL_NAMES_FACTOR))];
    for (who, limit) in limits {
        if let Some(wait) = app.redis.rate_limit("login", &who, limit, now_ms).await {
            return Err(Error::too_many("auth.too_many", wait));
        }
    }
    Ok(())
}

/// For calls that anybody may make and that try something secret; each kind of them for itself.
pub async fn limit_address(app: &App, caller: ClientAddress, kind: &str) -> Result<()> {
    if caller.exempt {
        return Ok(());
    }
    let who = tries::network_key(app, kind, caller.address);
    match app.redis.rate_limit("login", &who, app.settings.logins_per_minute, app.clock.now_ms()).await {
        Some(wait) => Err(Error::too_many("auth.too_many", wait)),
        None => Ok(()),
    }
}

/// Who this is at an enrolled device, without a session of their own: for a shift, or a word that forces an entry.
pub async fn check(
    app: &App,
    caller: ClientAddress,
    device: Uuid,
    username: &str,
    password: &str,
) -> Result<StaffUser> {
    let by = Claimant::new(app, caller, username, Whence::Device(device));
    verified(app, &by, password).await.map(|user| staff(&user))
}

/// Whoever is signed in proves to be themselves.
pub async fn check_own(app: &App, caller: ClientAddress, by: &StaffUser, password: &str) -> Result<UserRow> {
    let claimant = Claimant::new(app, caller, &by.name, Whence::SignedIn);
    let user = verified(app, &claimant, password).await?;
    if user.id == by.id { Ok(user) } else { Err(Error::unauthenticated("auth.invalid_credentials")) }
}

/// One answer and one amount of work for an unknown name, a disabled user and a wrong password.
async fn verified(app: &App, by: &Claimant, password: &str) -> Result<UserRow> {
    check_rate(app, by).await?;
    let client = app.pg.get().await?;
    // What cannot be a name is not looked up; Postgres would refuse some of it.
    let user = if is_username(&by.name) { pg::by_name(&client, &by.name).await? } else { None };
    // Not held while the password is being checked.
    drop(client);
    let counted = tries::count(app, by, user.as_ref(), What::Password).await?;
    let hash = user.as_ref().map(|user| user.password_hash.as_str());
    let judged = match app.passwords.judge(by.is_stranger(), password, hash).await {
        Ok(right) => user
            .filter(|user| right && !user.disabled)
            .ok_or_else(|| Error::unauthenticated("auth.invalid_credentials")),
        Err(error) => Err(error),
    };
    tries::settle(app, counted, judged).await
}

/// In a transaction: the lock of somebody whose password was judged before it, and still is theirs. Whoever passed with the old
/// one just before it was replaced changes nothing any more.
pub async fn lock_unchanged(client: &impl GenericClient, judged: &UserRow) -> Result<UserRow> {
    let now = pg::lock(client, judged.id).await?;
    now.filter(|now| !now.disabled && now.password_hash == judged.password_hash)
        .ok_or_else(|| Error::unauthenticated("auth.invalid_credentials"))
}

/// What somebody signs in with, and in which browser.
pub struct SignIn<'a> {
    pub username: &'a str,
    pub password: &'a str,
    /// Of the second factor, where there is one.
    pub code: Option<&'a str>,
    pub browser: &'a Browser,
}

/// Where the control room is closed, whatever is not let in is refused in the same words: a stranger learns neither of a
/// name nor of a password.
pub async fn sign_in(app: &App, caller: ClientAddress, ask: SignIn<'_>) -> Result<Session> {
    let by = Claimant::new(app, caller, ask.username, Whence::Browser(ask.browser));
    let user = match verified(app, &by, ask.password).await {
        Err(error) if error.kind == Kind::Unauthenticated && !addresses::within(app, by.address) => {
            return Err(addresses::refused());
        }
        other => other?,
    };
    addresses::expect(app, by.address, user.role)?;
    let code = ask.code.map(str::trim).filter(|code| !code.is_empty());
    let (code, counted) = match (user.second_factor, code) {
        (false, _) => (None, None),
        // After the password: whoever does not know it learns nothing of the second factor.
        (true, None) => return Err(Error::unauthenticated("auth.code_required")),
        (true, Some(code)) => (Some(code), Some(tries::count(app, &by, Some(&user), What::Code).await?)),
    };
    let begun = begin(app, caller, &ask, user, code).await;
    match counted {
        Some(counted) => tries::settle(app, counted, begun).await,
        None => begun,
    }
}

/// Under the user's lock, and only if nothing has changed while the password was being checked: a new password or a disabled
/// account ends every family, also one that is just being made.
async fn begin(
    app: &App,
    caller: ClientAddress,
    ask: &SignIn<'_>,
    user: UserRow,
    code: Option<&str>,
) -> Result<Session> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let now = lock_unchanged(&transaction, &user).await?;
    if now.second_factor != user.second_factor {
        return Err(Error::unauthenticated("auth.invalid_credentials"));
    }
    let by = StaffUser { request_id: ask.browser.request_id.clone(), ..staff(&user) };
    let change = (Value::Null, json!({ "second_factor": code.is_some() }));
    record(&transaction, &by, caller.address, "user.sign_in", change).await?;
    if let Some(code) = code
        && let Proof::Recovery { left } = totp::prove(app, &transaction, user.id, code).await?
    {
        let change = (Value::Null, json!({ "left": left }));
        record(&transaction, &by, caller.address, "user.recovery_code", change).await?;
        mailbox::tell(&transaction, app.clock.now(), &user, Notice::RecoveryCode, ask.browser.language).await?;
    }
    let from = From { address: caller.address, agent: &ask.browser.agent };
    let refresh_token = refresh::begin(&transaction, user.id, &from, app.clock.now()).await?;
    let session = session(app, &transaction, user, refresh_token).await?;
    transaction.commit().await?;
    Ok(session)
}

pub async fn renew(app: &App, caller: ClientAddress, token: &str) -> Result<Session> {
    let (user, refresh_token) = refresh::renew(app, caller.address, token).await?;
    session(app, &app.pg.get().await?, user, refresh_token).await
}
