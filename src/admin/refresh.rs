//! Refresh tokens: 256 random bits, stored as a digest, used once, 30 days from each use.
//!
//! All tokens that descend from one sign-in are a family. Whoever shows a spent token may be a thief, or the owner
//! after a thief: the family ends, and both have to know the password. Every change happens under the lock of the
//! user's row, so that ending a family cannot miss a token that is being made at that moment.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deadpool_postgres::GenericClient;
use jiff::{SignedDuration, Timestamp};
use std::net::IpAddr;
use uuid::Uuid;

use super::addresses;
use super::pg::{self, UserRow};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::ids;
use crate::platform::secrets::sha256;

const VALID: SignedDuration = SignedDuration::from_hours(30 * 24);
const TOKEN_CHARS: usize = 43;

pub(super) fn digest(token: &str) -> Option<[u8; 32]> {
    if token.len() != TOKEN_CHARS {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    Some(sha256(&[&bytes]))
}

/// Where somebody signed in.
pub struct From<'a> {
    pub address: IpAddr,
    /// What their browser says it is.
    pub agent: &'a str,
}

async fn make(client: &impl GenericClient, family_id: Uuid, user_id: i32, now: Timestamp) -> Result<String> {
    let token = URL_SAFE_NO_PAD.encode(ids::random_bytes::<32>());
    let digest = digest(&token).ok_or_else(|| Error::bug("a fresh refresh token has no digest"))?;
    pg::add_token(client, &digest, family_id, user_id, now, now + VALID).await?;
    Ok(token)
}

/// The first token of a new family. Old ones of the user that have ended by themselves are cleared away.
pub async fn begin(client: &impl GenericClient, user_id: i32, from: &From<'_>, now: Timestamp) -> Result<String> {
    pg::sweep(client, user_id, now).await?;
    let family_id = ids::row_id(now);
    let token = make(client, family_id, user_id, now).await?;
    pg::signed_in_from(client, family_id, from.address, from.agent).await?;
    Ok(token)
}

fn invalid() -> Error {
    Error::unauthenticated("auth.invalid_token")
}

/// Spends a token for its successor.
pub async fn renew(app: &App, address: IpAddr, token: &str) -> Result<(UserRow, String)> {
    let digest = digest(token).ok_or_else(invalid)?;
    let now = app.clock.now();
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let found = pg::find_token(&transaction, &digest).await?.ok_or_else(invalid)?;
    let user = pg::lock(&transaction, found.user_id).await?.ok_or_else(invalid)?;
    // Not spent: where the control room is open, the sign-in goes on.
    addresses::expect(app, address, user.role)?;
    if !user.disabled && pg::spend_token(&transaction, &digest, now).await? {
        let next = make(&transaction, found.family_id, user.id, now).await?;
        transaction.commit().await?;
        return Ok((user, next));
    }
    // Read again: what was found before the lock may have been spent since.
    let found = pg::find_token(&transaction, &digest).await?.ok_or_else(invalid)?;
    if user.disabled || (found.spent && !found.revoked) {
        pg::end_family(&transaction, found.family_id, now).await?;
        transaction.commit().await?;
        tracing::warn!(user.id = user.id, user.disabled = user.disabled, "refresh token refused; its family has ended");
        return Err(invalid());
    }
    if !found.revoked && found.expires_at <= now {
        return Err(Error::unauthenticated("auth.expired_token"));
    }
    Err(invalid())
}

/// Ends the family; a token that is not ours has none, and that is all the caller wants.
pub async fn end(app: &App, token: &str) -> Result<()> {
    let Some(digest) = digest(token) else { return Ok(()) };
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    if let Some(found) = pg::find_token(&transaction, &digest).await? {
        pg::lock(&transaction, found.user_id).await?;
        pg::end_family(&transaction, found.family_id, app.clock.now()).await?;
        transaction.commit().await?;
    }
    Ok(())
}
