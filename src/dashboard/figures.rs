//! Keeps the figures up: reads the history of orders from where it left off, in the order in which transactions ended.

use super::pg;
use crate::app::App;
use crate::error::Result;

/// Events of one round: some ten milliseconds.
const BATCH: i64 = 5_000;

/// One round; how many events it read.
pub async fn tick(app: &App) -> Result<usize> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let read = pg::fold(&transaction, BATCH).await?;
    transaction.commit().await?;
    Ok(read)
}

/// Entrances of the last two days.
pub async fn entrances(app: &App) -> Result<usize> {
    pg::entrances(&app.pg.get().await?).await.map(|_| 0)
}
