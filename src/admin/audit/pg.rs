//! The record of what admins did.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde_json::Value;
use std::net::IpAddr;

use super::Entry;
use crate::error::Result;
use crate::platform::pg::Statement;

const RECORD: Statement = Statement::new(
    "audit.record",
    "insert into admin_audit (at, user_id, user_name, role, action, exhibition_id, before, after, request_id, address)
     values (admit_now(), $1, $2, $3, $4, $5, $6, $7, $8, $9)",
);

/// Newest first; $3: only actions that begin with it.
const PAGE: Statement = Statement::new(
    "audit.page",
    "select id, at, user_id, user_name, role, action, before, after, request_id, address, null::text
       from admin_audit
      where exhibition_id = $1 and id < $2 and starts_with(action, $3)
      order by id desc limit $4",
);

/// $1: the exhibitions that the reader may enter; null: all, and what belongs to none.
const SEARCH: Statement = Statement::new(
    "audit.search",
    "select a.id, a.at, a.user_id, a.user_name, a.role, a.action, a.before, a.after, a.request_id, a.address, e.code
       from admin_audit a left join exhibitions e on e.id = a.exhibition_id
      where ($1::int[] is null or a.exhibition_id = any($1)) and a.id < $2
        and ($3::text is null or e.code = $3) and ($4::text is null or a.user_name = $4)
        and starts_with(a.action, $5) and ($6::text is null or a.request_id = $6)
        and ($7::timestamptz is null or a.at >= $7) and ($8::timestamptz is null or a.at < $8)
      order by a.id desc limit $9",
);

pub const STATEMENTS: &[&Statement] = &[&RECORD, &PAGE, &SEARCH];

/// What somebody looks for in the log; None: anything.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub exhibition: Option<String>,
    pub user: Option<String>,
    /// Actions that begin so.
    pub action: String,
    pub request_id: Option<String>,
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

pub struct AuditRow {
    pub id: i64,
    pub at: Timestamp,
    pub user_id: Option<i32>,
    pub user_name: String,
    pub role: String,
    pub action: String,
    pub before: Value,
    pub after: Value,
    pub request_id: String,
    pub address: Option<IpAddr>,
    pub exhibition_code: Option<String>,
}

/// In the transaction of the change itself: neither is there without the other.
pub async fn record(client: &impl GenericClient, entry: &Entry<'_>) -> Result<()> {
    let by = entry.by;
    RECORD
        .execute(
            client,
            &[
                &by.user_id,
                &by.name,
                &by.role,
                &entry.action,
                &entry.exhibition_id,
                &entry.before,
                &entry.after,
                &by.request_id,
                &by.address,
            ],
        )
        .await?;
    Ok(())
}

/// Entries of one exhibition before the given id, newest first.
pub async fn page(
    client: &impl GenericClient,
    exhibition_id: i32,
    before: i64,
    actions: &str,
    limit: i64,
) -> Result<Vec<AuditRow>> {
    Ok(PAGE.query(client, &[&exhibition_id, &before, &actions, &limit]).await?.iter().map(read).collect())
}

/// Entries before the given id, newest first; `within`: the exhibitions whose entries the reader may see.
pub async fn search(
    client: &impl GenericClient,
    within: Option<&[i32]>,
    wanted: &Wanted,
    before: i64,
    limit: i64,
) -> Result<Vec<AuditRow>> {
    let Wanted { exhibition, user, action, request_id, from, until } = wanted;
    let rows =
        SEARCH.query(client, &[&within, &before, exhibition, user, action, request_id, from, until, &limit]).await?;
    Ok(rows.iter().map(read).collect())
}

fn read(r: &tokio_postgres::Row) -> AuditRow {
    AuditRow {
        id: r.get(0),
        at: r.get(1),
        user_id: r.get(2),
        user_name: r.get(3),
        role: r.get(4),
        action: r.get(5),
        before: r.get(6),
        after: r.get(7),
        request_id: r.get(8),
        address: r.get(9),
        exhibition_code: r.get(10),
    }
}
