//! SQL of the addresses of accounts, and of what they are told.

use deadpool_postgres::GenericClient;
use uuid::Uuid;

use super::Sealed;
use crate::error::Result;
use crate::platform::pg::Statement;

const SET: Statement =
    Statement::new("admin.set_email", "update admin_users set email_key_id = $2, email_sealed = $3 where id = $1");

const TELL: Statement = Statement::new(
    "admin.tell",
    "with notice as (
         insert into account_notices (id, user_id, what, language, email_key_id, email_sealed, created_at)
         values ($1, $2, $3, $4, $5, $6, admit_now())
         returning id
     )
     insert into outbox (kind, order_id, exhibition_id, next_try_at, created_at)
     select 'account_notice', id, 0, admit_now(), admit_now() from notice",
);

const NOTICE: Statement = Statement::new(
    "admin.notice",
    "select user_id, what, language, email_key_id, email_sealed from account_notices where id = $1",
);

pub const STATEMENTS: &[&Statement] = &[&SET, &TELL, &NOTICE];

pub async fn set(client: &impl GenericClient, user_id: i32, sealed: Option<&Sealed>) -> Result<()> {
    let (key_id, sealed) = sealed.map(|(key_id, sealed)| (key_id, sealed)).unzip();
    SET.execute(client, &[&user_id, &key_id, &sealed]).await?;
    Ok(())
}

/// `at`: where it is told, if not where the account is written to.
pub async fn tell(
    client: &impl GenericClient,
    id: Uuid,
    user_id: i32,
    what: &str,
    language: &str,
    at: Option<&Sealed>,
) -> Result<()> {
    let (key_id, sealed) = at.map(|(key_id, sealed)| (key_id, sealed)).unzip();
    TELL.execute(client, &[&id, &user_id, &what, &language, &key_id, &sealed]).await?;
    Ok(())
}

pub struct NoticeRow {
    pub user_id: i32,
    pub what: String,
    pub language: String,
    /// Null: where the account is written to.
    pub at: Option<Sealed>,
}

pub async fn notice(client: &impl GenericClient, id: Uuid) -> Result<Option<NoticeRow>> {
    let row = NOTICE.query_opt(client, &[&id]).await?;
    Ok(row.map(|row| NoticeRow {
        user_id: row.get(0),
        what: row.get(1),
        language: row.get(2),
        at: row.get::<_, Option<String>>(3).zip(row.get(4)),
    }))
}
