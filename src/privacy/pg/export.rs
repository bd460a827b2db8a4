//! SQL of what is given out about one order besides what its page in the control room shows.

use deadpool_postgres::GenericClient;
use serde_json::Value;
use uuid::Uuid;

use crate::error::Result;
use crate::platform::pg::Statement;

const CONSENT: Statement =
    Statement::new("privacy.consent", "select consent_version, marketing from contacts where order_id = $1");

const ANSWERS: Statement = Statement::new(
    "privacy.answers",
    "select p.answer from attempts a join provider_answers p on p.attempt_id = a.id
      where a.order_id = $1 and a.provider <> 'cash' order by a.n, p.at",
);

const ACCOUNTS: Statement = Statement::new(
    "privacy.accounts",
    "select id, account_key_id, account_sealed, reason from refunds
      where order_id = $1 and (account_sealed is not null or kind = 'visitor') order by created_at",
);

pub const STATEMENTS: &[&Statement] = &[&CONSENT, &ANSWERS, &ACCOUNTS];

/// What was agreed to, and whether news are wanted.
pub async fn consent(client: &impl GenericClient, order_id: Uuid) -> Result<(Option<String>, bool)> {
    let row = CONSENT.query_one(client, &[&order_id]).await?;
    Ok((row.get(0), row.get(1)))
}

/// What the provider said of its payments, as far as that is kept.
pub async fn answers(client: &impl GenericClient, order_id: Uuid) -> Result<Vec<Value>> {
    Ok(ANSWERS.query(client, &[&order_id]).await?.iter().map(|row| row.get(0)).collect())
}

/// What somebody said when they wanted their money back.
pub struct Said {
    pub refund_id: Uuid,
    /// Key id and sealed account.
    pub account: Option<(String, Vec<u8>)>,
    pub reason: String,
}

pub async fn said(client: &impl GenericClient, order_id: Uuid) -> Result<Vec<Said>> {
    let said = |r: &tokio_postgres::Row| Said {
        refund_id: r.get(0),
        account: r.get::<_, Option<String>>(1).zip(r.get(2)),
        reason: r.get(3),
    };
    Ok(ACCOUNTS.query(client, &[&order_id]).await?.iter().map(said).collect())
}
