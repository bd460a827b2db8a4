//! Staff accounts, kept from the command line (`admit user`) and by `admit seed-demo`.

use deadpool_postgres::{Client, GenericClient};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Role;
use super::audit::{self, Actor, Entry};
use super::password::{PASSWORD_BYTES_MAX, Passwords};
use super::pg::{self, UserRow};
use super::{reset, tries};
use crate::error::{Error, FieldError, Result};

/// Below this a password is guessed, rate limit or not. [characters]
pub const PASSWORD_CHARS_MIN: usize = 12;

/// As the table's own check says.
pub fn is_username(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (3..=32).contains(&text.len())
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|b| plain(b) || matches!(b, b'.' | b'_' | b'-'))
}

/// An account to be: `exhibitions` are codes, needed by all but a super admin.
pub struct NewUser<'a> {
    pub username: &'a str,
    pub password: &'a str,
    pub role: Role,
    pub exhibitions: &'a [String],
}

pub fn password_error(password: &str) -> Option<FieldError> {
    let code = if password.chars().count() < PASSWORD_CHARS_MIN {
        "password_too_short"
    } else if password.len() > PASSWORD_BYTES_MAX {
        "too_long"
    } else {
        return None;
    };
    Some(FieldError { field: "password".into(), code })
}

/// What is wrong with an account to be.
pub async fn check(client: &impl GenericClient, user: &NewUser<'_>) -> Result<()> {
    let mut errors: Vec<FieldError> = password_error(user.password).into_iter().collect();
    let mut refuse = |field: &str, code| errors.push(FieldError { field: field.into(), code });
    if !is_username(user.username) {
        refuse("username", "username");
    }
    if user.role != Role::SuperAdmin && user.exhibitions.is_empty() {
        refuse("exhibitions", "required");
    }
    let known = pg::known_codes(client, user.exhibitions).await?;
    if user.exhibitions.iter().any(|code| !known.contains(code)) {
        refuse("exhibitions", "unknown_exhibition");
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::fields(errors)) }
}

/// Refuses a name that is taken.
pub async fn create(client: &mut Client, passwords: &Passwords, user: &NewUser<'_>) -> Result<i32> {
    check(client, user).await?;
    let hash = passwords.hash(user.password).await?;
    let transaction = client.transaction().await?;
    let id = insert(&transaction, user, &hash).await?;
    record(&transaction, "user.create", user.username).await?;
    transaction.commit().await?;
    Ok(id)
}

/// In a transaction. Refuses a name that is taken.
pub async fn insert(client: &impl GenericClient, user: &NewUser<'_>, hash: &str) -> Result<i32> {
    let id = pg::create(client, user.username, hash, user.role)
        .await?
        .ok_or_else(|| Error::conflict("user.exists").with("username", user.username))?;
    pg::set_exhibitions(client, id, user.exhibitions).await?;
    Ok(id)
}

/// Makes the account what it should be, whether it exists, is disabled, or neither. Where it has this password and
/// role already, its sign-ins go on; else they end.
pub async fn ensure(client: &mut Client, passwords: &Passwords, user: &NewUser<'_>) -> Result<i32> {
    check(client, user).await?;
    if let Some(known) = pg::by_name(client, user.username).await?
        && !known.disabled
        && known.role == user.role
        && passwords.verify(user.password, &known.password_hash).await?
    {
        let transaction = client.transaction().await?;
        pg::set_exhibitions(&transaction, known.id, user.exhibitions).await?;
        transaction.commit().await?;
        return Ok(known.id);
    }
    let hash = passwords.hash(user.password).await?;
    let transaction = client.transaction().await?;
    let id = pg::ensure(&transaction, user.username, &hash, user.role).await?;
    pg::set_exhibitions(&transaction, id, user.exhibitions).await?;
    pg::end_all(&transaction, id).await?;
    transaction.commit().await?;
    Ok(id)
}

fn unknown(username: &str) -> Error {
    Error::not_found("user.unknown").with("username", username)
}

/// In a transaction, under the user's lock: with the password end the PIN, every sign-in, every shift, and an open link.
pub async fn replace_password(client: &impl GenericClient, user: &UserRow, hash: &str) -> Result<()> {
    pg::set_password(client, &user.username, hash).await?;
    pg::end_all(client, user.id).await?;
    pg::end_shifts(client, user.id).await?;
    reset::pg::end(client, user.id).await
}

async fn locked(client: &impl GenericClient, username: &str) -> Result<UserRow> {
    let known = if is_username(username) { pg::by_name(client, username).await? } else { None };
    let known = known.ok_or_else(|| unknown(username))?;
    pg::lock(client, known.id).await?.ok_or_else(|| unknown(username))
}

async fn record(client: &impl GenericClient, action: &'static str, username: &str) -> Result<()> {
    let (by, after) = (Actor::system("command line"), json!({ "username": username }));
    audit::record(client, &Entry { by: &by, action, exhibition_id: None, before: Value::Null, after }).await
}

/// Ends the user's sign-ins: whoever knew the old password is out within 15 minutes. Forgets what was tried on it.
pub async fn set_password(client: &mut Client, passwords: &Passwords, username: &str, password: &str) -> Result<()> {
    if let Some(error) = password_error(password) {
        return Err(Error::fields(vec![error]));
    }
    let hash = passwords.hash(password).await?;
    let transaction = client.transaction().await?;
    let user = locked(&transaction, username).await?;
    replace_password(&transaction, &user, &hash).await?;
    tries::pg::clear(&transaction, user.id, None).await?;
    record(&transaction, "user.password", username).await?;
    transaction.commit().await?;
    Ok(())
}

/// Forgets what was tried on an account, and gives the token of a link by which its password is set anew: a browser that
/// does so is let in however many go on guessing.
pub async fn unlock(client: &mut Client, username: &str, now: Timestamp) -> Result<String> {
    let transaction = client.transaction().await?;
    let user = locked(&transaction, username).await?;
    forget_tries(&transaction, user.id).await?;
    let token = reset::by_hand(&transaction, user.id, now).await?;
    record(&transaction, "user.unlock", username).await?;
    transaction.commit().await?;
    Ok(token)
}

/// In a transaction: wrong passwords, codes and PINs.
pub async fn forget_tries(client: &impl GenericClient, user_id: i32) -> Result<()> {
    tries::pg::clear(client, user_id, None).await?;
    pg::right_pin(client, user_id).await
}

/// No new sign-in, no refresh; an access token already given counts until it ends.
pub async fn disable(client: &mut Client, username: &str) -> Result<()> {
    let transaction = client.transaction().await?;
    let id = pg::disable(&transaction, username).await?.ok_or_else(|| unknown(username))?;
    pg::end_all(&transaction, id).await?;
    record(&transaction, "user.change", username).await?;
    transaction.commit().await?;
    Ok(())
}

/// An account as the list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub username: String,
    pub role: Role,
    pub exhibitions: Vec<String>,
    pub disabled: bool,
}

pub async fn list(client: &impl GenericClient) -> Result<Vec<Listed>> {
    let users = pg::list(client).await?.into_iter();
    Ok(users
        .map(|u| Listed { username: u.username, role: u.role, exhibitions: u.exhibition_codes, disabled: u.disabled })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["abc", "gate-1", "7up", "kim.min_su", &"a".repeat(32)] {
            assert!(is_username(good), "{good}");
        }
        for bad in ["ab", "-ab", "Gate", "홍길동", "a b c", "abc\0", &"a".repeat(33), ""] {
            assert!(!is_username(bad), "{bad}");
        }
    }

    #[test]
    fn passwords_have_a_length() {
        assert_eq!(password_error("short").unwrap().code, "password_too_short");
        assert_eq!(password_error(&"가".repeat(100)).unwrap().code, "too_long");
        assert!(password_error("열두 글자는 넘는 긴 암호").is_none());
    }
}
