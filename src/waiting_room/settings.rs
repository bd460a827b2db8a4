//! Whether a room may be set like this, now.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::commitment::{self, GATHERS};
use super::model::{Config, Phase};
use super::pg::RoomRow;
use crate::error::{Error, FieldError, Result};
use crate::platform::http::extract::laid_over;

/// Nothing is scheduled further ahead, so that no sum of times runs over.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(400 * 24);

/// The settings with what was asked for laid over.
pub fn changed(config: &Config, asked: Map<String, Value>) -> Result<Config> {
    let mut config = laid_over(config, asked).map_err(|mut error| {
        for one in &mut error.fields {
            one.field = format!("config.{}", one.field);
        }
        error
    })?;
    // Postgres keeps microseconds; what comes back must equal what went in.
    for at in [&mut config.prequeue_at, &mut config.opens_at].into_iter().flatten() {
        *at = Timestamp::from_millisecond(at.as_millisecond()).map_err(Error::bug)?;
    }
    Ok(config)
}

/// The settings for an exhibition like this one, so many days later. The schedule moves as far, or is left out whole where it
/// would have passed or be too far ahead; during a rehearsal it is not this room's own. [days]
pub fn copied(room: &RoomRow, days: i32, now: Timestamp) -> Config {
    let by = SignedDuration::from_hours(24 * i64::from(days));
    let moved = |at: Timestamp| at.checked_add(by).ok().filter(|at| *at > now && at.duration_since(now) <= AHEAD_MAX);
    let schedule = [room.config.prequeue_at, room.config.opens_at].map(|at| at.map(moved));
    let whole = room.rehearsal_ends_at.is_none() && schedule.iter().all(|at| *at != Some(None));
    let [prequeue_at, opens_at] = schedule.map(|at| at.flatten().filter(|_| whole));
    Config { prequeue_at, opens_at, ..room.config.clone() }
}

pub fn check(room: &RoomRow, config: &Config, now: Timestamp) -> Result<()> {
    let mut errors: Vec<FieldError> = Vec::new();
    let mut refuse = |field: &str, code| errors.push(FieldError { field: format!("config.{field}"), code });
    for field in config.out_of_bounds() {
        // One bound is between two settings; the first is named.
        refuse(field.split(' ').next().unwrap_or(field), "out_of_range");
    }
    let before = &room.config;
    for (field, at, was) in
        [("prequeue_at", config.prequeue_at, before.prequeue_at), ("opens_at", config.opens_at, before.opens_at)]
    {
        match at {
            Some(at) if at.duration_since(now) > AHEAD_MAX => refuse(field, "out_of_range"),
            // What was set before and has come since may stay.
            Some(at) if at <= now && Some(at) != was => refuse(field, "past"),
            _ => {}
        }
    }
    // A rehearsal has an opening of its own, and no schedule beside it: see below.
    if let Some(prequeue_at) = config.prequeue_at.filter(|_| room.rehearsal_ends_at.is_none()) {
        match config.opens_at {
            // The schedule could not begin its draw.
            None if config.draw => refuse("opens_at", "required"),
            Some(opens_at) if opens_at <= prequeue_at => refuse("opens_at", "too_soon"),
            Some(_) if config.draw => {
                let gathers = commitment::freeze_at(config).map(|at| at.duration_since(prequeue_at));
                if gathers.is_none_or(|gathers| gathers < GATHERS) {
                    refuse("opens_at", "too_soon");
                }
            }
            _ => {}
        }
    }
    if !errors.is_empty() {
        return Err(Error::fields(errors));
    }
    let late: Vec<&str> = [
        ("draw", config.draw != before.draw),
        ("beacon", config.beacon != before.beacon),
        ("opens_at", config.opens_at != before.opens_at),
        ("freeze_lead_s", config.freeze_lead_s != before.freeze_lead_s),
        // The schedule comes back when the rehearsal is over.
        ("prequeue_at", room.rehearsal_ends_at.is_some() && config.prequeue_at != before.prequeue_at),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect();
    if !late.is_empty() && !matches!(room.phase, Phase::Idle | Phase::Bypass) {
        return Err(Error::conflict("room.too_late")
            .with("phase", room.phase.as_str())
            .with("fields", late.join(", ")));
    }
    Ok(())
}
