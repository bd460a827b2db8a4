//! Dashboard: what admins watch. The live board is of this second; the dashboard is of hours and days.
//!
//! Owns the tables `figures_*`. Promises that a board costs the stores the same however many look at it, and that the
//! figures are kept up as things happen, not added up when somebody asks. Refuses to change anything.

pub mod api;
pub mod figures;
pub mod live;
pub mod messages;
pub mod pg;
pub mod redis;

use crate::app::App;
use crate::error::Result;
use crate::observability::pulse::Picture;

/// Processes that were heard of lately, by name.
pub type Heard = Vec<(String, Picture)>;

/// Twice a second in every process: says how it is doing, and hears how the others are.
pub async fn beat(app: &App) -> Result<()> {
    let now_ms = app.clock.now_ms();
    let mut picture = app.pulse.beat(now_ms);
    picture.writer_waiting = app.writer.waiting();
    picture.providers = app.gateways.states().map(|(name, state)| (name.to_owned(), state.to_owned())).collect();
    let heard = redis::tell(&app.redis, &app.pulse.name, &picture, now_ms).await?;
    app.boards.heard(heard, now_ms);
    Ok(())
}

/// The last word of a process that ends.
pub async fn end(app: &App) -> Result<()> {
    app.pulse.beat(app.clock.now_ms());
    save(app).await
}

/// Writes down for good what this process counted and nobody else can count: what failed, and what was scanned.
pub async fn save(app: &App) -> Result<()> {
    let counts = app.pulse.take_unsaved();
    if counts.is_empty() {
        return Ok(());
    }
    let saved = async { pg::save(&app.pg.get().await?, &counts).await };
    saved.await.inspect_err(|_| app.pulse.put_back(&counts))
}
