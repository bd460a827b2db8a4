//! SQL of recovery codes.

use deadpool_postgres::GenericClient;

use crate::error::Result;
use crate::platform::pg::Statement;

const REMOVE: Statement =
    Statement::new("admin.remove_recovery_codes", "delete from recovery_codes where user_id = $1");

const ADD: Statement = Statement::new(
    "admin.add_recovery_codes",
    "insert into recovery_codes (user_id, digest, made_at) select $1, unnest($2::bytea[]), admit_now() on conflict do nothing",
);

const SPEND: Statement = Statement::new(
    "admin.spend_recovery_code",
    "update recovery_codes set used_at = admit_now() where user_id = $1 and digest = $2 and used_at is null",
);

const LEFT: Statement = Statement::new(
    "admin.recovery_codes_left",
    "select count(*) from recovery_codes where user_id = $1 and used_at is null",
);

pub const STATEMENTS: &[&Statement] = &[&REMOVE, &ADD, &SPEND, &LEFT];

pub async fn remove(client: &impl GenericClient, user_id: i32) -> Result<()> {
    REMOVE.execute(client, &[&user_id]).await?;
    Ok(())
}

pub async fn add(client: &impl GenericClient, user_id: i32, digests: &[&[u8]]) -> Result<()> {
    ADD.execute(client, &[&user_id, &digests]).await?;
    Ok(())
}

/// False: it is none, or was used.
pub async fn spend(client: &impl GenericClient, user_id: i32, digest: &[u8]) -> Result<bool> {
    Ok(SPEND.execute(client, &[&user_id, &digest]).await? == 1)
}

pub async fn left(client: &impl GenericClient, user_id: i32) -> Result<i64> {
    Ok(LEFT.query_one(client, &[&user_id]).await?.get(0))
}
