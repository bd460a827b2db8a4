//! How many messages wait, fail or were given up: counted by the workers every two seconds and told with their pulse, so
//! that a live board asks Postgres nothing, however many watch it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::pg;
use crate::app::App;
use crate::error::Result;
use crate::observability::pulse::Messages;

/// Always "nothing more to do". When Postgres is away, what was counted last stays, and the boards say how old it is.
pub async fn tick(app: &App) -> Result<usize> {
    if !app.pulse.may_count() {
        return Ok(0);
    }
    let client = app.pg.get().await?;
    let started = Instant::now();
    let rows = pg::by_exhibition(&client).await?;
    let took = started.elapsed();
    drop(client);
    let mut messages: BTreeMap<i32, Messages> = BTreeMap::new();
    for (exhibition_id, state, count) in rows {
        let of = messages.entry(exhibition_id).or_default();
        match state.as_str() {
            "pending" => of.pending = count,
            "failing" => of.failing = count,
            "dead" => of.dead = count,
            _ => of.set_aside = count,
        }
    }
    app.pulse.counted(messages, took, app.clock.now_ms());
    Ok(0)
}
