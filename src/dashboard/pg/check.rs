//! SQL of the nightly comparison of the figures with the history.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;

use crate::error::Result;
use crate::platform::pg::Statement;

/// One process alone, once a night.
pub(super) const CLAIM: Statement = Statement::new(
    "figures_check.claim",
    "update figures_check set began_at = admit_now() where began_at is null or began_at < $1",
);

pub(super) const NOTE: Statement =
    Statement::new("figures_check.note", "update figures_check set checked_at = admit_now(), differences = $1");

pub(super) const LAST: Statement = Statement::new(
    "figures_check.last",
    "select checked_at, differences from figures_check where checked_at is not null",
);

/// Whether it is this process's turn: nobody has begun since `due`.
pub async fn claim(client: &impl GenericClient, due: Timestamp) -> Result<bool> {
    Ok(CLAIM.execute(client, &[&due]).await? > 0)
}

pub async fn note(client: &impl GenericClient, differences: &[String]) -> Result<()> {
    NOTE.execute(client, &[&differences]).await.map(|_| ())
}

/// When the figures were compared last, and what differed.
pub async fn last(client: &impl GenericClient) -> Result<Option<(Timestamp, Vec<String>)>> {
    Ok(LAST.query_opt(client, &[]).await?.map(|row| (row.get(0), row.get(1))))
}
