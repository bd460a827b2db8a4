//! Those who asked to be told: their places are kept alive without a poll, and the mail goes out shortly before the turn.

use super::bits::Bits;
use super::leader::Leading;
use super::model::{LANES, Lane};
use super::pg::{self, RoomRow};
use super::redis::Look;
use crate::app::App;
use crate::error::Result;

/// How long before the turn somebody is told, and has to keep the place alive alone. [s]
const TELL_BEFORE_S: f64 = 300.0;
/// How often they are looked at. [ms]
const EVERY_MS: i64 = 5_000;
const PAGE: i64 = 1_000;

pub async fn tick(app: &App, row: &RoomRow, look: &Look, leading: &mut Leading, now_ms: i64) -> Result<()> {
    if (now_ms - leading.parked_ms).abs() < EVERY_MS {
        return Ok(());
    }
    leading.parked_ms = now_ms;
    let Some(room) = app.rooms.of(&row.code) else { return Ok(()) };
    let mut pinned: [Bits; LANES] = Default::default();
    let mut due = Vec::new();
    let mut after = (Lane::General, 0);
    let client = app.pg.get().await?;
    loop {
        let page = pg::parked(&client, row.exhibition_id, row.run, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = (last.lane, last.number);
        let view = room.view().clone();
        for parked in &page {
            let lane = parked.lane as usize;
            match view.rank_of(parked.lane, parked.number) {
                Some(rank) if leading.soon(lane, look.serving[lane], rank, TELL_BEFORE_S) => due.push(parked.id),
                Some(rank) => pinned[lane].set(rank),
                // Before a draw places are kept under their numbers.
                None => pinned[lane].set(parked.number),
            }
        }
    }
    leading.gathered.pinned = pinned;
    pg::due(&client, &due).await?;
    Ok(())
}
