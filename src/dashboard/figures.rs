//! Keeps the figures up: reads the history of orders from where it left off, in the order in which transactions ended.

use jiff::Timestamp;
use jiff::civil::time;

use super::pg;
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::clock::seoul;
use crate::platform::invariants;

/// Events of one round: some ten milliseconds.
const BATCH: i64 = 5_000;

/// One round; how many events it read.
pub async fn tick(app: &App) -> Result<usize> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let read = pg::fold::fold(&transaction, BATCH).await?;
    transaction.commit().await?;
    Ok(read)
}

/// How far the figures are behind the history, as a metric. Not a part of their own round: one that fails must not hide it.
pub async fn behind(app: &App) -> Result<()> {
    let unread = pg::fold::unread(&app.pg.get().await?).await?;
    let now = app.clock.now();
    app.metrics.figures_behind(now.duration_since(unread.unwrap_or(now)).as_secs_f64().max(0.0));
    Ok(())
}

/// Entrances of the last two days.
pub async fn entrances(app: &App) -> Result<usize> {
    pg::entrances(&app.pg.get().await?).await.map(|_| 0)
}

/// When nobody buys, the figures are compared with the whole history: it reads all events.
const CHECK_AT: jiff::civil::Time = time(4, 0, 0, 0);

/// Once a night; what differs is told by a metric and to admins.
pub async fn check(app: &App) -> Result<usize> {
    if !pg::check::claim(&app.pg.get().await?, due(app.clock.now())?).await? {
        return Ok(0);
    }
    let differences = invariants::sweep_of(&app.settings.database.database_url, "the figures").await?;
    for difference in &differences {
        tracing::error!(difference, "a figure of the dashboard is not what the history adds up to");
    }
    app.metrics.figures_differ(differences.len());
    pg::check::note(&app.pg.get().await?, &differences).await?;
    Ok(0)
}

/// The last time that the hour came.
fn due(now: Timestamp) -> Result<Timestamp> {
    let now = now.to_zoned(seoul());
    let day = if now.time() < CHECK_AT { now.date().yesterday().map_err(Error::bug)? } else { now.date() };
    day.to_datetime(CHECK_AT).to_zoned(seoul()).map(|at| at.timestamp()).map_err(Error::bug)
}
