//! All SQL of staff accounts and refresh tokens.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::Role;
use crate::error::{Error, Result};
use crate::platform::pg::Statement;

macro_rules! user_where {
    ($condition:literal) => {
        concat!(
            "select u.id, u.username, u.password_hash, u.role, u.disabled_at is not null,
                    array(select x.exhibition_id from admin_user_exhibitions x where x.user_id = u.id order by 1),
                    array(select e.code from exhibitions e
                           where u.role = 'super_admin' or e.id in
                                 (select x.exhibition_id from admin_user_exhibitions x where x.user_id = u.id)
                           order by e.code)
               from admin_users u ",
            $condition
        )
    };
}

const BY_NAME: Statement = Statement::new("admin.user_by_name", user_where!("where u.username = $1"));

/// The lock under which a user's refresh tokens change, so that ending them misses none that is just being made.
const LOCK: Statement = Statement::new("admin.lock_user", user_where!("where u.id = $1 for update of u"));

const LIST: Statement = Statement::new("admin.list_users", user_where!("order by u.username"));

const KNOWN_CODES: Statement =
    Statement::new("admin.known_codes", "select code from exhibitions where code = any($1::text[])");

const CREATE: Statement = Statement::new(
    "admin.create_user",
    "insert into admin_users (username, password_hash, role) values ($1, $2, $3)
     on conflict on constraint admin_user_once do nothing returning id",
);

const ENSURE: Statement = Statement::new(
    "admin.ensure_user",
    "insert into admin_users as u (username, password_hash, role) values ($1, $2, $3)
     on conflict on constraint admin_user_once do update
        set password_hash = excluded.password_hash, role = excluded.role, disabled_at = null
     returning id",
);

const LEAVE: Statement = Statement::new(
    "admin.leave_exhibitions",
    "delete from admin_user_exhibitions x using exhibitions e
      where x.user_id = $1 and e.id = x.exhibition_id and e.code <> all ($2::text[])",
);

const JOIN: Statement = Statement::new(
    "admin.join_exhibitions",
    "insert into admin_user_exhibitions (user_id, exhibition_id)
     select $1, id from exhibitions where code = any($2::text[])
     on conflict do nothing",
);

const SET_PASSWORD: Statement = Statement::new(
    "admin.set_password",
    "update admin_users set password_hash = $2, pin_hash = null where username = $1 returning id",
);

/// Also forgives what went wrong before.
const SET_PIN: Statement = Statement::new(
    "admin.set_pin",
    "update admin_users set pin_hash = $2, pin_failures = 0, pin_failed_at = null where id = $1",
);

/// Counts a try before it is judged. Null: too many of late, and this one is not judged; none: nobody has a PIN here.
const TRY_PIN: Statement = Statement::new(
    "admin.try_pin",
    "with one as materialized (
         select id, pin_hash, pin_failures,
                pin_failed_at is not null and pin_failed_at > admit_now() - make_interval(mins => $3) as lately
           from admin_users where username = $1 and pin_hash is not null and disabled_at is null for update
     ), tried as (
         update admin_users u
            set pin_failures = case when one.lately then one.pin_failures + 1 else 1 end, pin_failed_at = admit_now()
           from one where u.id = one.id and not (one.lately and one.pin_failures >= $2)
     )
     select id, case when lately and pin_failures >= $2 then null else pin_hash end from one",
);

const RIGHT_PIN: Statement =
    Statement::new("admin.right_pin", "update admin_users set pin_failures = 0, pin_failed_at = null where id = $1");

const DISABLE: Statement = Statement::new(
    "admin.disable_user",
    "update admin_users set disabled_at = coalesce(disabled_at, admit_now()) where username = $1 returning id",
);

const ADD_TOKEN: Statement = Statement::new(
    "admin.add_refresh_token",
    "insert into refresh_tokens (digest, family_id, user_id, created_at, expires_at) values ($1, $2, $3, $4, $5)",
);

const FIND_TOKEN: Statement = Statement::new(
    "admin.find_refresh_token",
    "select family_id, user_id, spent_at is not null, revoked_at is not null, expires_at
       from refresh_tokens where digest = $1",
);

const SPEND_TOKEN: Statement = Statement::new(
    "admin.spend_refresh_token",
    "update refresh_tokens set spent_at = $2
      where digest = $1 and spent_at is null and revoked_at is null and expires_at > $2",
);

const END_FAMILY: Statement = Statement::new(
    "admin.end_refresh_family",
    "update refresh_tokens set revoked_at = $2 where family_id = $1 and revoked_at is null",
);

const END_ALL: Statement = Statement::new(
    "admin.end_refresh_tokens_of_user",
    "update refresh_tokens set revoked_at = admit_now() where user_id = $1 and revoked_at is null",
);

const SWEEP: Statement =
    Statement::new("admin.sweep_refresh_tokens", "delete from refresh_tokens where user_id = $1 and expires_at <= $2");

pub const STATEMENTS: &[&Statement] = &[
    &BY_NAME,
    &LOCK,
    &LIST,
    &KNOWN_CODES,
    &CREATE,
    &ENSURE,
    &LEAVE,
    &JOIN,
    &SET_PASSWORD,
    &SET_PIN,
    &TRY_PIN,
    &RIGHT_PIN,
    &DISABLE,
    &ADD_TOKEN,
    &FIND_TOKEN,
    &SPEND_TOKEN,
    &END_FAMILY,
    &END_ALL,
    &SWEEP,
];

pub struct UserRow {
    pub id: i32,
    pub username: String,
    pub password_hash: String,
    pub role: Role,
    pub disabled: bool,
    pub exhibition_ids: Vec<i32>,
    /// What the user may see; for a super admin all there are.
    pub exhibition_codes: Vec<String>,
}

fn user(row: &Row) -> Result<UserRow> {
    let role: &str = row.get(3);
    Ok(UserRow {
        id: row.get(0),
        username: row.get(1),
        password_hash: row.get(2),
        role: Role::parse(role).ok_or_else(|| Error::bug(format!("unknown role {role}")))?,
        disabled: row.get(4),
        exhibition_ids: row.get(5),
        exhibition_codes: row.get(6),
    })
}

pub async fn by_name(client: &impl GenericClient, username: &str) -> Result<Option<UserRow>> {
    BY_NAME.query_opt(client, &[&username]).await?.as_ref().map(user).transpose()
}

/// In a transaction.
pub async fn lock(client: &impl GenericClient, id: i32) -> Result<Option<UserRow>> {
    LOCK.query_opt(client, &[&id]).await?.as_ref().map(user).transpose()
}

pub async fn list(client: &impl GenericClient) -> Result<Vec<UserRow>> {
    LIST.query(client, &[]).await?.iter().map(user).collect()
}

pub async fn known_codes(client: &impl GenericClient, codes: &[String]) -> Result<Vec<String>> {
    Ok(KNOWN_CODES.query(client, &[&codes]).await?.iter().map(|row| row.get(0)).collect())
}

/// None when the name is taken.
pub async fn create(client: &impl GenericClient, username: &str, hash: &str, role: Role) -> Result<Option<i32>> {
    Ok(CREATE.query_opt(client, &[&username, &hash, &role.as_str()]).await?.map(|row| row.get(0)))
}

pub async fn ensure(client: &impl GenericClient, username: &str, hash: &str, role: Role) -> Result<i32> {
    Ok(ENSURE.query_one(client, &[&username, &hash, &role.as_str()]).await?.get(0))
}

pub async fn set_exhibitions(client: &impl GenericClient, user_id: i32, codes: &[String]) -> Result<()> {
    LEAVE.execute(client, &[&user_id, &codes]).await?;
    JOIN.execute(client, &[&user_id, &codes]).await?;
    Ok(())
}

pub async fn set_password(client: &impl GenericClient, username: &str, hash: &str) -> Result<Option<i32>> {
    Ok(SET_PASSWORD.query_opt(client, &[&username, &hash]).await?.map(|row| row.get(0)))
}

pub async fn disable(client: &impl GenericClient, username: &str) -> Result<Option<i32>> {
    Ok(DISABLE.query_opt(client, &[&username]).await?.map(|row| row.get(0)))
}

pub struct TokenRow {
    pub family_id: Uuid,
    pub user_id: i32,
    pub spent: bool,
    pub revoked: bool,
    pub expires_at: Timestamp,
}

pub async fn add_token(
    client: &impl GenericClient,
    digest: &[u8],
    family_id: Uuid,
    user_id: i32,
    created_at: Timestamp,
    expires_at: Timestamp,
) -> Result<()> {
    ADD_TOKEN.execute(client, &[&digest, &family_id, &user_id, &created_at, &expires_at]).await?;
    Ok(())
}

pub async fn find_token(client: &impl GenericClient, digest: &[u8]) -> Result<Option<TokenRow>> {
    Ok(FIND_TOKEN.query_opt(client, &[&digest]).await?.map(|row| TokenRow {
        family_id: row.get(0),
        user_id: row.get(1),
        spent: row.get(2),
        revoked: row.get(3),
        expires_at: row.get(4),
    }))
}

/// False when it was spent, revoked or expired before.
pub async fn spend_token(client: &impl GenericClient, digest: &[u8], now: Timestamp) -> Result<bool> {
    Ok(SPEND_TOKEN.execute(client, &[&digest, &now]).await? == 1)
}

pub async fn end_family(client: &impl GenericClient, family_id: Uuid, now: Timestamp) -> Result<()> {
    END_FAMILY.execute(client, &[&family_id, &now]).await?;
    Ok(())
}

pub async fn end_all(client: &impl GenericClient, user_id: i32) -> Result<()> {
    END_ALL.execute(client, &[&user_id]).await?;
    Ok(())
}

pub async fn sweep(client: &impl GenericClient, user_id: i32, now: Timestamp) -> Result<()> {
    SWEEP.execute(client, &[&user_id, &now]).await?;
    Ok(())
}

pub async fn set_pin(client: &impl GenericClient, user_id: i32, hash: Option<&str>) -> Result<()> {
    SET_PIN.execute(client, &[&user_id, &hash]).await?;
    Ok(())
}

/// Somebody whose PIN is being tried.
pub struct Tried {
    pub id: i32,
    /// None: too many were wrong of late.
    pub hash: Option<String>,
}

pub async fn try_pin(client: &impl GenericClient, username: &str, max: i32, minutes: i32) -> Result<Option<Tried>> {
    let row = TRY_PIN.query_opt(client, &[&username, &max, &minutes]).await?;
    Ok(row.map(|row| Tried { id: row.get(0), hash: row.get(1) }))
}

pub async fn right_pin(client: &impl GenericClient, user_id: i32) -> Result<()> {
    RIGHT_PIN.execute(client, &[&user_id]).await?;
    Ok(())
}
