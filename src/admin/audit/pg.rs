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

/// By admin_audit_order.
const RECORD_OPENED: Statement = Statement::new(
    "audit.record_opened",
    "insert into admin_audit (at, user_id, user_name, role, action, exhibition_id, before, after, request_id, address)
     select admit_now(), $1::int, $2::text, $3::text, $4::text, $5::int, $6::jsonb, $7::jsonb, $8::text, $9::inet
      where not exists (
            select from admin_audit
             where after ->> 'order' = $7 ->> 'order' and user_id = $1 and action = $4
               and at > admit_now() - interval '1 hour')",
);

/// Newest first; $3: only actions that begin with it, by their first word, which is whole.
const PAGE: Statement = Statement::new(
    "audit.page",
    "select id, at, user_id, user_name, role, action, before, after, request_id, address, null::text
       from admin_audit
      where exhibition_id = $1 and starts_with(action, $3) and (split_part(action, '.', 1), id) < (split_part($3, '.', 1), $2)
        and (split_part(action, '.', 1), id) > (split_part($3, '.', 1), 0)
      order by split_part(action, '.', 1) desc, id desc limit $4",
);

/// $1: the exhibitions that the reader may enter; null: all, and what belongs to none. Few have the same order or address, and
/// few are of some kinds, so these are asked for by their own index, however the planner judges an "or null".
macro_rules! search {
    ($label:literal, $scope:literal) => {
        search!($label, $scope, "a.id desc")
    };
    ($label:literal, $scope:literal, $order:literal) => {
        Statement::new(
            $label,
            concat!(
                "select a.id, a.at, a.user_id, a.user_name, a.role, a.action, a.before, a.after, a.request_id, a.address, e.code
                   from admin_audit a left join exhibitions e on e.id = a.exhibition_id
                  where ($1::int[] is null or a.exhibition_id = any($1)) and a.id < $2
                    and ($3::text is null or e.code = $3) and ($4::text is null or a.user_name = $4)
                    and starts_with(a.action, $5) and ($6::text is null or a.request_id = $6)
                    and ($7::timestamptz is null or a.at >= $7) and ($8::timestamptz is null or a.at < $8)
                    and ",
                $scope,
                " order by ",
                $order,
                " limit $9"
            ),
        )
    };
}
const SEARCH: Statement = search!("audit.search", "$10::text is null and $11::inet is null");
/// $5 begins with a whole first word. Written for admin_audit_family alone: the planner would rather go through the newest of all.
const OF_FAMILY: Statement = search!(
    "audit.of_family",
    "$10::text is null and $11::inet is null and (split_part(a.action, '.', 1), a.id) < (split_part($5, '.', 1), $2)
        and (split_part(a.action, '.', 1), a.id) > (split_part($5, '.', 1), 0)",
    "split_part(a.action, '.', 1) desc, a.id desc"
);
const OF_ORDER: Statement =
    search!("audit.of_order", "a.after ->> 'order' = $10::text and ($11::inet is null or a.address = $11)");
const OF_ADDRESS: Statement = search!("audit.of_address", "$10::text is null and a.address = $11::inet");

pub const STATEMENTS: &[&Statement] = &[&RECORD, &RECORD_OPENED, &PAGE, &SEARCH, &OF_FAMILY, &OF_ORDER, &OF_ADDRESS];

/// What somebody looks for in the log; None: anything.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub exhibition: Option<String>,
    pub user: Option<String>,
    /// Actions that begin so.
    pub action: String,
    pub request_id: Option<String>,
    /// The number of the order that something was done to, whole.
    pub order: Option<String>,
    /// Where it was done from.
    pub address: Option<IpAddr>,
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
    write(client, &RECORD, entry).await
}

/// Unless the same person has opened the same order within an hour.
pub async fn record_opened(client: &impl GenericClient, entry: &Entry<'_>) -> Result<()> {
    write(client, &RECORD_OPENED, entry).await
}

async fn write(client: &impl GenericClient, statement: &Statement, entry: &Entry<'_>) -> Result<()> {
    let by = entry.by;
    statement
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
    let Wanted { exhibition, user, action, request_id, order, address, from, until } = wanted;
    let statement = match (order, address) {
        (Some(_), _) => &OF_ORDER,
        (None, Some(_)) => &OF_ADDRESS,
        // Looks at orders are most of the log: the newest of all are soon enough of theirs.
        (None, None) if action.contains('.') && !action.starts_with("order.") => &OF_FAMILY,
        (None, None) => &SEARCH,
    };
    let rows = statement
        .query(client, &[&within, &before, exhibition, user, action, request_id, from, until, &limit, order, address])
        .await?;
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
