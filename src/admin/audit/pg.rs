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
    "select id, at, user_id, user_name, role, action, before, after, request_id, address
       from admin_audit
      where exhibition_id = $1 and id < $2 and starts_with(action, $3)
      order by id desc limit $4",
);

pub const STATEMENTS: &[&Statement] = &[&RECORD, &PAGE];

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
    let rows = PAGE.query(client, &[&exhibition_id, &before, &actions, &limit]).await?;
    let read = |r: &tokio_postgres::Row| AuditRow {
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
    };
    Ok(rows.iter().map(read).collect())
}
