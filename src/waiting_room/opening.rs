//! What happens to a room by itself: it gathers and opens on schedule, its cohort is closed and drawn, a drained one
//! ends, the safety net opens and closes. Done by the leader, committed in Postgres first, recorded like an admin's act.

use jiff::Timestamp;

use super::beacon::{self, Beacon};
use super::cohort;
use super::commitment;
use super::draw;
use super::leader::Leading;
use super::model::Phase;
use super::moves::{self, Reason};
use super::pg::{self, RoomRow};
use super::redis::{Look, RoomKeys};
use crate::admin::audit::Actor;
use crate::app::App;
use crate::error::{Kind, Result};

/// A drained room has been empty this long before it ends: somebody may be between two polls. [ms]
const DRAINED_MS: i64 = 30_000;

/// True when the room has changed: the next tick begins with its new row.
pub async fn advance(app: &App, keys: RoomKeys<'_>, row: &RoomRow, look: &Look, leading: &mut Leading) -> Result<bool> {
    let now = app.clock.now();
    let now_ms = now.as_millisecond();
    let empty = leading.gathered.waiting.iter().all(|n| *n == 0) && look.active == 0 && look.late_waiting == 0;
    if !empty {
        leading.empty_since_ms = now_ms;
    }
    let draws = row.draw.committed.is_some();
    // Also while stopped: a stop before the draw must not be the end of it.
    let closed = row.phase == Phase::Frozen || (row.phase == Phase::Stopped && past_freeze(row, now));
    if draws && closed {
        if row.draw.cohort.is_none() {
            cohort::close(app, keys, row, look).await?;
            return Ok(true);
        }
        if row.draw.drawn.is_none() && hold_draw(app, row).await? {
            return Ok(true);
        }
    }
    match due(row, now, now_ms - leading.empty_since_ms, leading.gathered.totals().arrivals_per_s) {
        Some((to, part)) => change(app, row, to, part).await,
        None => Ok(false),
    }
}

fn past_freeze(row: &RoomRow, now: Timestamp) -> bool {
    commitment::freeze_at(&row.config).is_some_and(|at| at <= now)
}

/// The move that is due, and on whose behalf.
fn due(row: &RoomRow, now: Timestamp, empty_ms: i64, arrivals_per_s: f64) -> Option<(Phase, &'static str)> {
    let config = &row.config;
    let past = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
    let (draws, drawn) = (row.draw.committed.is_some(), row.draw.drawn.is_some());
    // A rehearsal has nothing to do with the net: it is empty before the first visitor comes, and after the last.
    let net = if row.rehearsal_ends_at.is_some() { 0.0 } else { f64::from(config.safety_on_per_s) };
    match row.phase {
        _ if past(row.rehearsal_ends_at) => Some((Phase::Ended, "rehearsal")),
        Phase::Idle | Phase::Bypass if past(config.prequeue_at) && commitment::may_gather(config, now) => {
            Some((Phase::Prequeue, "schedule"))
        }
        Phase::Idle | Phase::Bypass if past(config.opens_at) && !config.draw => Some((Phase::Open, "schedule")),
        Phase::Prequeue if draws && past_freeze(row, now) => Some((Phase::Frozen, "schedule")),
        Phase::Prequeue if !draws && past(config.opens_at) => Some((Phase::Open, "schedule")),
        Phase::Frozen if drawn && past(config.opens_at) => Some((Phase::Open, "schedule")),
        Phase::Bypass if net > 0.0 && arrivals_per_s > net => Some((Phase::Open, "safety_net")),
        Phase::Open if net > 0.0 && empty_ms >= i64::from(config.safety_off_after_s) * 1000 && arrivals_per_s < net => {
            Some((Phase::Bypass, "safety_net"))
        }
        Phase::Drain if empty_ms >= DRAINED_MS => Some((Phase::Ended, "drained")),
        _ => None,
    }
}

/// False when it cannot be, or an admin was quicker.
async fn change(app: &App, row: &RoomRow, to: Phase, part: &str) -> Result<bool> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    match moves::make(app, &transaction, row, to, Reason::default(), &Actor::system(part)).await {
        Ok(_) => {
            transaction.commit().await?;
            Ok(true)
        }
        // Too close to the opening for a draw, or changed meanwhile: the next round looks again.
        Err(error) if matches!(error.kind, Kind::Invalid | Kind::Conflict | Kind::Stale) => {
            tracing::warn!(%error, exhibition = row.code, to = to.as_str(), part, "a scheduled move was not made");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// True when it has been drawn now.
async fn hold_draw(app: &App, row: &RoomRow) -> Result<bool> {
    let value = match beacon::value(app, row).await? {
        Beacon::NotYet => return Ok(false),
        Beacon::Value(value) => Some(value),
        Beacon::Missing => None,
    };
    let Some(cohort) = &row.draw.cohort else { return Ok(false) };
    let server_seed = commitment::server_seed(app, row)?;
    let beacon_value = value.as_deref().unwrap_or_default();
    let seed = draw::draw_seed(&row.code, beacon_value, &server_seed, &cohort.root, cohort.m);
    let client = app.pg.get().await?;
    let drawn = pg::drawn(&client, row.exhibition_id, row.run, value.as_deref(), &seed).await?;
    tracing::info!(exhibition = row.code, m = cohort.m, weak = value.is_none(), "the order is drawn");
    Ok(drawn)
}
