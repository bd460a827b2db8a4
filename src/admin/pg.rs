//! All SQL of staff accounts and refresh tokens.

use std::net::IpAddr;

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
                           order by e.code),
                    u.revision, u.totp_confirmed_at is not null, u.email_key_id, u.email_sealed
               from admin_users u ",
            $condition
        )
    };
}

const BY_NAME: Statement = Statement::new("admin.user_by_name", user_where!("where u.username = $1"));

const BY_ID: Statement = Statement::new("admin.user_by_id", user_where!("where u.id = $1"));

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
    // A second factor that was begun with the old password is not confirmed any more.
    "update admin_users
        set password_hash = $2, pin_hash = null, totp_key_id = case when totp_confirmed_at is not null then totp_key_id end,
            totp_sealed = case when totp_confirmed_at is not null then totp_sealed end
      where username = $1 returning id",
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

/// Not where one is in force.
const BEGIN_TOTP: Statement = Statement::new(
    "admin.begin_totp",
    "update admin_users set totp_key_id = $2, totp_sealed = $3 where id = $1 and totp_confirmed_at is null",
);

const TOTP: Statement = Statement::new(
    "admin.totp",
    "select totp_key_id, totp_sealed, totp_confirmed_at is not null from admin_users
      where id = $1 and totp_sealed is not null",
);

const CONFIRM_TOTP: Statement = Statement::new(
    "admin.confirm_totp",
    "update admin_users set totp_confirmed_at = admit_now(), totp_step = $2 where id = $1 and totp_confirmed_at is null",
);

const USE_TOTP: Statement =
    Statement::new("admin.use_totp", "update admin_users set totp_step = $2 where id = $1 and totp_step < $2");

const REMOVE_TOTP: Statement = Statement::new(
    "admin.remove_totp",
    "update admin_users set totp_key_id = null, totp_sealed = null, totp_confirmed_at = null where id = $1",
);

const SIGNED_IN_FROM: Statement =
    Statement::new("admin.signed_in_from", "update refresh_tokens set address = $2, agent = $3 where family_id = $1");

/// Sign-ins that go on: a family with a token that can still be spent.
const SIGN_INS: Statement = Statement::new(
    "admin.sign_ins",
    "select family_id, min(created_at), max(created_at),
            (array_agg(host(address) order by created_at) filter (where address is not null))[1],
            (array_agg(agent order by created_at) filter (where agent is not null))[1]
       from refresh_tokens where user_id = $1 group by family_id
     having bool_or(spent_at is null and revoked_at is null and expires_at > $2)
      order by max(created_at) desc",
);

const END_OWN: Statement = Statement::new(
    "admin.end_own_sign_in",
    "update refresh_tokens set revoked_at = admit_now() where family_id = $1 and user_id = $2 and revoked_at is null",
);

const CHANGE: Statement = Statement::new(
    "admin.change_user",
    "update admin_users
        set role = $2, disabled_at = case when $3 then coalesce(disabled_at, admit_now()) end, revision = revision + 1
      where id = $1",
);

/// In one order, so that two who step down at once wait for each other.
const LOCK_OWNERS: Statement = Statement::new(
    "admin.lock_owners",
    "select id from admin_users where role = 'super_admin' and disabled_at is null order by id for update",
);

/// At the devices of the gates.
const END_SHIFTS: Statement = Statement::new(
    "admin.end_shifts",
    "update shifts set ended_at = admit_now() where staff_id = $1 and ended_at is null",
);

pub const STATEMENTS: &[&Statement] = &[
    &END_SHIFTS,
    &BEGIN_TOTP,
    &TOTP,
    &CONFIRM_TOTP,
    &USE_TOTP,
    &REMOVE_TOTP,
    &SIGNED_IN_FROM,
    &SIGN_INS,
    &END_OWN,
    &CHANGE,
    &LOCK_OWNERS,
    &BY_NAME,
    &BY_ID,
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
    pub revision: i32,
    /// Signs in with a second factor.
    pub second_factor: bool,
    /// The address of its mailbox, sealed, and the key's id (`mailbox::open`).
    pub email: Option<(String, Vec<u8>)>,
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
        revision: row.get(7),
        second_factor: row.get(8),
        email: row.get::<_, Option<String>>(9).zip(row.get(10)),
    })
}

pub async fn by_name(client: &impl GenericClient, username: &str) -> Result<Option<UserRow>> {
    BY_NAME.query_opt(client, &[&username]).await?.as_ref().map(user).transpose()
}

pub async fn by_id(client: &impl GenericClient, id: i32) -> Result<Option<UserRow>> {
    BY_ID.query_opt(client, &[&id]).await?.as_ref().map(user).transpose()
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

/// A second factor as it is kept.
pub struct Totp {
    pub key_id: String,
    pub sealed: Vec<u8>,
    pub confirmed: bool,
}

/// False: one is in force.
pub async fn begin_totp(client: &impl GenericClient, user_id: i32, key_id: &str, sealed: &[u8]) -> Result<bool> {
    Ok(BEGIN_TOTP.execute(client, &[&user_id, &key_id, &sealed]).await? == 1)
}

pub async fn totp(client: &impl GenericClient, user_id: i32) -> Result<Option<Totp>> {
    let row = TOTP.query_opt(client, &[&user_id]).await?;
    Ok(row.map(|row| Totp { key_id: row.get(0), sealed: row.get(1), confirmed: row.get(2) }))
}

pub async fn confirm_totp(client: &impl GenericClient, user_id: i32, step: i64) -> Result<()> {
    CONFIRM_TOTP.execute(client, &[&user_id, &step]).await?;
    Ok(())
}

/// False: this code, or a later one, was used.
pub async fn use_totp(client: &impl GenericClient, user_id: i32, step: i64) -> Result<bool> {
    Ok(USE_TOTP.execute(client, &[&user_id, &step]).await? == 1)
}

pub async fn remove_totp(client: &impl GenericClient, user_id: i32) -> Result<()> {
    REMOVE_TOTP.execute(client, &[&user_id]).await?;
    Ok(())
}

pub async fn signed_in_from(client: &impl GenericClient, family_id: Uuid, address: IpAddr, agent: &str) -> Result<()> {
    SIGNED_IN_FROM.execute(client, &[&family_id, &address, &agent]).await?;
    Ok(())
}

/// A sign-in that goes on.
pub struct SignInRow {
    pub id: Uuid,
    pub began_at: Timestamp,
    pub renewed_at: Timestamp,
    pub address: Option<String>,
    pub agent: Option<String>,
}

pub async fn sign_ins(client: &impl GenericClient, user_id: i32, now: Timestamp) -> Result<Vec<SignInRow>> {
    let rows = SIGN_INS.query(client, &[&user_id, &now]).await?;
    let read = |row: &Row| SignInRow {
        id: row.get(0),
        began_at: row.get(1),
        renewed_at: row.get(2),
        address: row.get(3),
        agent: row.get(4),
    };
    Ok(rows.iter().map(read).collect())
}

/// False: nobody's of this user, or ended before.
pub async fn end_own(client: &impl GenericClient, family_id: Uuid, user_id: i32) -> Result<bool> {
    Ok(END_OWN.execute(client, &[&family_id, &user_id]).await? > 0)
}

/// Under its lock.
pub async fn change(client: &impl GenericClient, id: i32, role: Role, disabled: bool) -> Result<()> {
    CHANGE.execute(client, &[&id, &role.as_str(), &disabled]).await?;
    Ok(())
}

/// In a transaction: how many super admins besides this one can sign in.
pub async fn lock_owners(client: &impl GenericClient, id: i32) -> Result<usize> {
    let rows = LOCK_OWNERS.query(client, &[]).await?;
    Ok(rows.iter().filter(|row| row.get::<_, i32>(0) != id).count())
}

pub async fn end_shifts(client: &impl GenericClient, user_id: i32) -> Result<()> {
    END_SHIFTS.execute(client, &[&user_id]).await?;
    Ok(())
}
