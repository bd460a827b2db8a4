//! SQL of what holds for all accounts.

use deadpool_postgres::GenericClient;

use crate::admin::Role;
use crate::error::Result;
use crate::platform::pg::Statement;

const READ: Statement =
    Statement::new("admin.account_rules", "select second_factor_from, revision from account_rules where id");

const LOCK: Statement = Statement::new(
    "admin.lock_account_rules",
    "select second_factor_from, revision from account_rules where id for update",
);

const CHANGE: Statement = Statement::new(
    "admin.change_account_rules",
    "update account_rules set second_factor_from = $1, revision = revision + 1 where id",
);

pub const STATEMENTS: &[&Statement] = &[&READ, &LOCK, &CHANGE];

pub struct Rules {
    /// None: nobody needs one.
    pub second_factor_from: Option<Role>,
    pub revision: i32,
}

fn rules(row: &tokio_postgres::Row) -> Rules {
    let from: Option<&str> = row.get(0);
    Rules { second_factor_from: from.and_then(Role::parse), revision: row.get(1) }
}

pub async fn read(client: &impl GenericClient) -> Result<Rules> {
    READ.query_one(client, &[]).await.map(|row| rules(&row))
}

/// In a transaction.
pub async fn lock(client: &impl GenericClient) -> Result<Rules> {
    LOCK.query_one(client, &[]).await.map(|row| rules(&row))
}

pub async fn change(client: &impl GenericClient, second_factor_from: Option<Role>) -> Result<()> {
    CHANGE.execute(client, &[&second_factor_from.map(Role::as_str)]).await?;
    Ok(())
}
