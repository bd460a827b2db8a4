//! SQL of counted tries.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;

use super::{FORGOTTEN_HOURS, What};
use crate::error::Result;
use crate::platform::pg::Statement;

/// In one order, so that two that share a counter wait for each other.
const LOCK: Statement = Statement::new(
    "admin.lock_tries",
    "select case when failed_at > admit_now() - make_interval(hours => $2) then failed else 0 end,
            extract(epoch from locked_until - admit_now())::float8, locked_until
       from sign_in_tries where id = any($1::bytea[]) order by id for update",
);

const ADD: Statement = Statement::new(
    "admin.add_try",
    "insert into sign_in_tries (id, what, source, failed, since, failed_at) values ($1, $2, $3, 0, admit_now(), admit_now())
     on conflict do nothing",
);

const COUNT: Statement = Statement::new(
    "admin.count_try",
    "update sign_in_tries
        set user_id = $2, failed = $3, since = case when $3 = 1 then admit_now() else since end, failed_at = admit_now(),
            locked_until = case when $4::float8 > 0 then admit_now() + make_interval(secs => $4) end
      where id = $1",
);

const FORGET: Statement = Statement::new("admin.forget_tries", "delete from sign_in_tries where id = $1");

/// The wait that this try began ends with it; one that another has begun since stays.
const TAKE_BACK: Statement = Statement::new(
    "admin.take_back_try",
    "update sign_in_tries set failed = failed - 1, locked_until = case when failed = $2 then $3 else locked_until end
      where id = $1 and failed > 0",
);

const OF_USERS: Statement = Statement::new(
    "admin.tries_of_users",
    "select user_id, sum(failed)::int8, coalesce(sum(failed) filter (where what = 'code'), 0)::int8, min(since),
            max(locked_until) filter (where locked_until > admit_now())
       from sign_in_tries
      where user_id = any($1::int[]) and source = 'strangers' and failed > 0
        and failed_at > admit_now() - make_interval(hours => $2)
      group by user_id",
);

/// Locked in the order of those who count.
const CLEAR: Statement = Statement::new(
    "admin.clear_tries",
    "with gone as materialized (
         select id from sign_in_tries where user_id = $1 and ($2::text is null or what = $2) order by id for update
     )
     delete from sign_in_tries t using gone where t.id = gone.id",
);

pub const STATEMENTS: &[&Statement] = &[&LOCK, &ADD, &COUNT, &FORGET, &TAKE_BACK, &OF_USERS, &CLEAR];

pub struct CounterRow {
    pub failed: i32,
    /// Not above 0: no longer.
    pub locked_for_s: Option<f64>,
    pub locked_until: Option<Timestamp>,
}

/// In a transaction; in the order of the ids, those that there are.
pub async fn lock(client: &impl GenericClient, ids: &[&[u8]]) -> Result<Vec<CounterRow>> {
    let rows = LOCK.query(client, &[&ids, &FORGOTTEN_HOURS]).await?;
    let read = |row: &tokio_postgres::Row| CounterRow {
        failed: row.get(0),
        locked_for_s: row.get(1),
        locked_until: row.get(2),
    };
    Ok(rows.iter().map(read).collect())
}

pub async fn add(client: &impl GenericClient, id: &[u8], what: What, source: &str) -> Result<()> {
    ADD.execute(client, &[&id, &what.as_str(), &source]).await?;
    Ok(())
}

pub async fn count(
    client: &impl GenericClient,
    id: &[u8],
    user_id: Option<i32>,
    failed: i32,
    wait_s: i64,
) -> Result<()> {
    COUNT.execute(client, &[&id, &user_id, &failed, &(wait_s as f64)]).await?;
    Ok(())
}

pub async fn forget(client: &impl GenericClient, id: &[u8]) -> Result<()> {
    FORGET.execute(client, &[&id]).await?;
    Ok(())
}

pub async fn take_back(client: &impl GenericClient, id: &[u8], failed: i32, until: Option<Timestamp>) -> Result<()> {
    TAKE_BACK.execute(client, &[&id, &failed, &until]).await?;
    Ok(())
}

/// What strangers have tried on an account of late.
#[derive(Clone, Copy)]
pub struct TriesRow {
    pub failed: i64,
    /// Of them, codes after a right password.
    pub codes: i64,
    pub since: Timestamp,
    pub locked_until: Option<Timestamp>,
}

pub async fn of_users(client: &impl GenericClient, ids: &[i32]) -> Result<HashMap<i32, TriesRow>> {
    let rows = OF_USERS.query(client, &[&ids, &FORGOTTEN_HOURS]).await?;
    let read = |row: &tokio_postgres::Row| {
        (row.get(0), TriesRow { failed: row.get(1), codes: row.get(2), since: row.get(3), locked_until: row.get(4) })
    };
    Ok(rows.iter().map(read).collect())
}

/// Everything that was counted on an account, or what was of one kind; how many counters that were.
pub async fn clear(client: &impl GenericClient, user_id: i32, what: Option<What>) -> Result<u64> {
    CLEAR.execute(client, &[&user_id, &what.map(What::as_str)]).await
}
