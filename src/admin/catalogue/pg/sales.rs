//! The one row about everything that is sold.

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;

use super::super::sales::SalesSettings;
use crate::error::Result;
use crate::platform::pg::Statement;

const LOOK: Statement =
    Statement::new("admin_catalogue.sales", "select revision, paused, reason_ko, reason_en from sales");

const LOCK: Statement =
    Statement::new("admin_catalogue.lock_sales", "select revision, paused, reason_ko, reason_en from sales for update");

const SET: Statement = Statement::new(
    "admin_catalogue.set_sales",
    "update sales set paused = $1, reason_ko = $2, reason_en = $3, revision = revision + 1 returning revision",
);

pub const STATEMENTS: &[&Statement] = &[&LOOK, &LOCK, &SET];

fn read(r: &Row) -> (i64, SalesSettings) {
    (r.get(0), SalesSettings { paused: r.get(1), reason_ko: r.get(2), reason_en: r.get(3) })
}

/// With its revision.
pub async fn look(client: &impl GenericClient) -> Result<(i64, SalesSettings)> {
    Ok(read(&LOOK.query_one(client, &[]).await?))
}

pub async fn lock(client: &impl GenericClient) -> Result<(i64, SalesSettings)> {
    Ok(read(&LOCK.query_one(client, &[]).await?))
}

/// The new revision.
pub async fn set(client: &impl GenericClient, sales: &SalesSettings) -> Result<i64> {
    Ok(SET.query_one(client, &[&sales.paused, &sales.reason_ko, &sales.reason_en]).await?.get(0))
}
