//! SQL of links by which a password is set anew.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use uuid::Uuid;

use super::MINUTES;
use crate::error::Result;
use crate::platform::pg::Statement;

const LATELY: Statement = Statement::new(
    "admin.resets_lately",
    "select count(*) from password_resets
      where user_id = $1 and not by_hand and created_at > admit_now() - make_interval(mins => $2)",
);

/// Nobody's is over from the beginning.
const ADD: Statement = Statement::new(
    "admin.add_reset",
    "insert into password_resets (id, user_id, digest, language, created_at, over_at, by_hand)
     values ($1, $2, $3, $4, admit_now(), case when $2::int is null then admit_now() end, $5)",
);

const MAIL: Statement = Statement::new(
    "admin.mail_reset",
    "insert into outbox (kind, order_id, exhibition_id, next_try_at, created_at)
     select 'password_reset', id, 0, admit_now(), admit_now() from password_resets where id = $1 and user_id is not null",
);

const OPEN: Statement = Statement::new(
    "admin.open_reset",
    "select user_id from password_resets
      where digest = $1 and over_at is null and created_at > admit_now() - make_interval(mins => $2)",
);

/// Of many at once one: the row's lock decides.
const SPEND: Statement = Statement::new(
    "admin.spend_reset",
    "update password_resets set over_at = admit_now()
      where digest = $1 and over_at is null and created_at > admit_now() - make_interval(mins => $2)",
);

const END: Statement = Statement::new(
    "admin.end_resets",
    "update password_resets set over_at = admit_now() where user_id = $1 and over_at is null and ($2 or not by_hand)",
);

const TOLD: Statement = Statement::new(
    "admin.reset_told",
    "select user_id, language, created_at from password_resets where id = $1 and user_id is not null and over_at is null",
);

pub const STATEMENTS: &[&Statement] = &[&LATELY, &ADD, &MAIL, &OPEN, &SPEND, &END, &TOLD];

/// How many mailed ones were asked for while the first of them could still be open.
pub async fn lately(client: &impl GenericClient, user_id: Option<i32>) -> Result<i64> {
    Ok(LATELY.query_one(client, &[&user_id, &MINUTES]).await?.get(0))
}

/// The newest is the only one that opens, but that any stranger may ask for a mailed one, which ends none made by hand. Under the
/// account's lock. None: nobody's.
pub async fn add(
    client: &impl GenericClient,
    id: Uuid,
    user_id: Option<i32>,
    digest: &[u8],
    language: &str,
    by_hand: bool,
) -> Result<()> {
    END.execute(client, &[&user_id, &by_hand]).await?;
    ADD.execute(client, &[&id, &user_id, &digest, &language, &by_hand]).await?;
    Ok(())
}

/// In the same transaction.
pub async fn mail(client: &impl GenericClient, id: Uuid) -> Result<()> {
    MAIL.execute(client, &[&id]).await?;
    Ok(())
}

/// Whose it is, while it is open.
pub async fn open(client: &impl GenericClient, digest: &[u8]) -> Result<Option<i32>> {
    Ok(OPEN.query_opt(client, &[&digest, &MINUTES]).await?.map(|row| row.get(0)))
}

/// False: another was first, or too much time has passed.
pub async fn spend(client: &impl GenericClient, digest: &[u8]) -> Result<bool> {
    Ok(SPEND.execute(client, &[&digest, &MINUTES]).await? == 1)
}

/// The open ones of an account, if there are any.
pub async fn end(client: &impl GenericClient, user_id: i32) -> Result<()> {
    END.execute(client, &[&Some(user_id), &true]).await?;
    Ok(())
}

pub struct ResetRow {
    pub user_id: i32,
    pub language: String,
    pub created_at: Timestamp,
}

/// What a letter needs; None: it is over.
pub async fn told(client: &impl GenericClient, id: Uuid) -> Result<Option<ResetRow>> {
    let row = TOLD.query_opt(client, &[&id]).await?;
    Ok(row.map(|row| ResetRow { user_id: row.get(0), language: row.get(1), created_at: row.get(2) }))
}
