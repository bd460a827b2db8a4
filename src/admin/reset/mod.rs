//! A password set anew by whoever reads the account's mail, or was handed a link by `admit user unlock`.
//!
//! Promises that asking tells nobody whether there is such an account, that a link opens once, for half an hour, and only
//! while it is the newest (one that was mailed ends none that was handed over), and that it never ends a second factor. Only a digest of the token is kept; the letter derives it
//! anew from the row's id.

pub mod api;
pub mod pg;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deadpool_postgres::GenericClient;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::audit::{self, Actor, Entry};
use super::mailbox::{self, Notice};
use super::pg::{self as accounts, UserRow};
use super::tries::{self, What};
use super::users::{self, is_username};
use super::{addresses, refresh, sign_in};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::ClientAddress;
use crate::platform::ids;
use crate::platform::secrets::{Purpose, sha256};
use crate::platform::texts::Language;

/// How long a link opens. [min]
pub const MINUTES: i32 = 30;
/// Links of an account within that time. Whoever asks for more finds the last one in the mailbox, still open: so a
/// stranger who asks again and again fills no mailbox, and keeps nobody from a link.
const LINKS_MAX: i64 = 3;

/// Where a link leads: behind the `#`, which no server and no Referer gets to see.
pub fn link(base_url: &str, token: &str) -> String {
    format!("{base_url}/admin#/reset/{token}")
}

fn token_of(app: &App, id: Uuid) -> [u8; 32] {
    app.secrets.mac(Purpose::PasswordReset, &[id.as_bytes()])
}

/// Asks for a link. The same answer and the same work whether or not there is such an account.
pub async fn ask(app: &App, caller: ClientAddress, username: &str, language: Language) -> Result<()> {
    sign_in::limit_address(app, caller, "password reset").await?;
    let name = username.trim().to_lowercase();
    let id = ids::row_id(app.clock.now());
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let known = if is_username(&name) { accounts::by_name(&transaction, &name).await? } else { None };
    // One after the other, or many at once would all find that few were asked for before. Nobody's lock is locked alike.
    let locked = accounts::lock(&transaction, known.map_or(0, |user| user.id)).await?;
    let user_id = locked.filter(|user| !user.disabled && user.email.is_some()).map(|user| user.id);
    let lately = pg::lately(&transaction, user_id).await?;
    let user_id = user_id.filter(|_| lately < LINKS_MAX);
    pg::add(&transaction, id, user_id, &sha256(&[&token_of(app, id)]), language.tag(), false).await?;
    pg::mail(&transaction, id).await?;
    Ok(transaction.commit().await?)
}

/// What the letter needs.
pub struct Wish {
    pub user: UserRow,
    pub link: String,
    pub until: Timestamp,
    pub language: Language,
}

/// None: the link would come too late.
pub async fn wish(app: &App, client: &impl GenericClient, id: Uuid) -> Result<Option<Wish>> {
    let Some(row) = pg::told(client, id).await? else { return Ok(None) };
    let until = row.created_at + SignedDuration::from_mins(MINUTES.into());
    let user = accounts::by_id(client, row.user_id).await?.filter(|user| !user.disabled && until > app.clock.now());
    let link = link(&app.settings.base_url, &URL_SAFE_NO_PAD.encode(token_of(app, id)));
    Ok(user.map(|user| Wish { user, link, until, language: Language::from_tag(&row.language) }))
}

/// In a transaction under the account's lock: a link that is handed over instead of mailed.
pub async fn by_hand(client: &impl GenericClient, user_id: i32, now: Timestamp) -> Result<String> {
    let token: [u8; 32] = ids::random_bytes();
    pg::add(client, ids::row_id(now), Some(user_id), &sha256(&[&token]), Language::default().tag(), true).await?;
    Ok(URL_SAFE_NO_PAD.encode(token))
}

/// Sets the password of whoever has the link: their name. Every sign-in ends; a second factor stays, and so does what was
/// counted of its codes, or each link would be worth new guesses at them.
pub async fn complete(
    app: &App,
    caller: ClientAddress,
    token: &str,
    password: &str,
    language: Language,
) -> Result<String> {
    if let Some(error) = users::password_error(password) {
        return Err(Error::fields(vec![error]));
    }
    sign_in::limit_address(app, caller, "password link").await?;
    // Unknown, used, too old, or followed by a newer one: one answer.
    let over = || Error::gone("auth.reset_over");
    let digest = refresh::digest(token).ok_or_else(over)?;
    let open = pg::open(&app.pg.get().await?, &digest).await?;
    let user_id = open.ok_or_else(over)?;
    let hash = app.passwords.hash(password).await?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let user = accounts::lock(&transaction, user_id).await?.filter(|user| !user.disabled).ok_or_else(over)?;
    addresses::expect(app, caller.address, user.role)?;
    if !pg::spend(&transaction, &digest).await? {
        return Err(over());
    }
    users::replace_password(&transaction, &user, &hash).await?;
    tries::pg::clear(&transaction, user.id, Some(What::Password)).await?;
    let by = &Actor::themselves(&sign_in::staff(&user), caller.address);
    let after = json!({ "username": user.username, "second_factor": user.second_factor });
    let action = "user.password_reset";
    audit::record(&transaction, &Entry { by, action, exhibition_id: None, before: Value::Null, after }).await?;
    mailbox::tell(&transaction, app.clock.now(), &user, Notice::PasswordReset, language).await?;
    transaction.commit().await?;
    Ok(user.username)
}
