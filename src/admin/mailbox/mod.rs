//! The mailbox of an account: its address, sealed, and what it is told of. Told through the outbox, in the transaction of
//! what there is to tell; an account without an address is told nothing.

pub mod pg;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;

use super::pg::UserRow;
use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::contact::{check_email, masked_email};
use crate::platform::ids;
use crate::platform::texts::Language;

/// Key id and sealed address.
pub type Sealed = (String, Vec<u8>);

/// What a letter is about.
#[derive(Clone, Copy)]
pub enum Notice {
    /// A password was set by a mailed link.
    PasswordReset,
    /// Somebody signed in with a recovery code.
    RecoveryCode,
    /// Somebody who knows the password has tried codes, too many of them.
    CodesTried,
    /// The account is written to elsewhere from now on, or nowhere; told at the address of before.
    EmailChanged,
}

impl Notice {
    pub fn as_str(self) -> &'static str {
        match self {
            Notice::PasswordReset => "password_reset",
            Notice::RecoveryCode => "recovery_code",
            Notice::CodesTried => "codes_tried",
            Notice::EmailChanged => "email_changed",
        }
    }
}

fn about(user_id: i32) -> Vec<u8> {
    [b"e-mail of an account ".as_slice(), &user_id.to_be_bytes()].concat()
}

pub fn open(app: &App, user: &UserRow) -> Result<Option<String>> {
    user.email.as_ref().map(|sealed| opened(app, user.id, sealed)).transpose()
}

/// An address that the account has, or has had.
pub fn opened(app: &App, user_id: i32, (key_id, sealed): &Sealed) -> Result<String> {
    String::from_utf8(app.secrets.open(key_id, &about(user_id), sealed)?).map_err(Error::bug)
}

/// Enough to tell whether it is the right one.
pub fn masked(app: &App, user: &UserRow) -> Result<Option<String>> {
    Ok(open(app, user)?.map(|email| masked_email(&email)))
}

/// As it was typed; empty: none.
pub fn checked(email: Option<&str>) -> Result<Option<String>> {
    let mut errors = Vec::new();
    let email = check_email(email, &mut errors);
    if errors.is_empty() { Ok(email) } else { Err(Error::field("email", "email")) }
}

/// In a transaction, with the account as it is under its lock. A link that was mailed to the address of before ends, and
/// whoever reads that mailbox is told: a thief who has taken an account takes its address first.
pub async fn set(
    app: &App,
    client: &impl GenericClient,
    user: &UserRow,
    email: Option<&str>,
    language: Language,
) -> Result<()> {
    let before = open(app, user)?;
    let sealed = email.map(|email| app.secrets.seal(&about(user.id), email.as_bytes())).transpose()?;
    pg::set(client, user.id, sealed.as_ref()).await?;
    if before.as_deref() != email
        && let Some(before) = &user.email
    {
        let notice = Notice::EmailChanged.as_str();
        pg::tell(client, ids::row_id(app.clock.now()), user.id, notice, language.tag(), Some(before)).await?;
    }
    super::reset::pg::end(client, user.id).await
}

/// In the transaction of what it is told of.
pub async fn tell(
    client: &impl GenericClient,
    now: Timestamp,
    user: &UserRow,
    notice: Notice,
    language: Language,
) -> Result<()> {
    if user.email.is_none() {
        return Ok(());
    }
    pg::tell(client, ids::row_id(now), user.id, notice.as_str(), language.tag(), None).await
}
