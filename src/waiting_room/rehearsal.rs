//! Rehearsals: an admin sees the whole thing, with simulated visitors, before the day. Each is a run of its own, says
//! so to everybody who looks, ends by itself, and leaves the room as it found it but for the number of the run.
//!
//! The visitors are in `crowd.rs`. They join, wait, are called and let in like everybody, and order nothing.

use axum::extract::State as AppState;
use axum::response::Response;
use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::admin::{locked, shown};
use super::commitment::{self, GATHERS};
use super::model::{Config, Figures, Lane, Phase, Rehearsal};
use super::pg::{self, Begun, RehearsalRow, RoomRow};
use super::redis::{self, Look};
use super::token;
use crate::admin::access::AdminOf;
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, FieldError, Result};
use crate::platform::http::extract::changed_meanwhile;
use crate::platform::http::{IfMatch, Json};

/// No rehearsal lasts longer, however slow the room is set. [ms]
const LASTS_MAX_MS: i64 = 4 * 3_600_000;
/// Left to whoever looks on, beyond what the crowd should take. [ms]
const LOOKING_ON_MS: i64 = 300_000;
/// Before something real begins there must be as much left after the opening. [ms]
const LEAST_MS: i64 = 60_000;
/// The commitment wants `GATHERS` from its own look at the clock. [ms]
const GATHERS_MS: i64 = GATHERS.as_millis() as i64 + 5_000;
/// What a simulated visitor takes to claim, on average. [s]
const CLAIMS_S: f64 = 8.0;
/// Sessions that are ended at once.
const CLEAR_BATCH: usize = 4_096;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(begin_rehearsal, end_rehearsal))
}

/// A rehearsal and how it goes.
#[derive(Serialize, ToSchema)]
pub struct RehearsalShown {
    run: u32,
    running: bool,
    #[serde(flatten)]
    asked: Rehearsal,
    /// Who began it.
    user_name: String,
    #[schema(value_type = String, format = DateTime)]
    began_at: Timestamp,
    /// When it ends by itself.
    #[schema(value_type = String, format = DateTime)]
    ends_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// As of a second ago.
    figures: Figures,
}

impl From<RehearsalRow> for RehearsalShown {
    fn from(row: RehearsalRow) -> RehearsalShown {
        RehearsalShown {
            run: row.run,
            running: row.ended_at.is_none(),
            asked: row.asked,
            user_name: row.user_name,
            began_at: row.began_at,
            ends_at: row.ends_at,
            ended_at: row.ended_at,
            figures: row.figures,
        }
    }
}

#[derive(Deserialize, ToSchema)]
struct RehearsalAsk {
    // Not flattened: then a field that is wrong would not be named.
    /// How many come: 1 to 100,000.
    #[schema(minimum = 1, maximum = 100_000)]
    people: i32,
    /// They arrive evenly within this time: 10 to 3,600. [s]
    #[schema(minimum = 10, maximum = 3_600)]
    arrive_s: i32,
    /// Share of those who lose patience, or do not come when they are called: 0 to 90. [%]
    #[schema(minimum = 0, maximum = 90)]
    abandon_pct: i32,
    /// Whoever is let in stays about so long, from half of it to one and a half: 10 to 600. [s]
    #[schema(minimum = 10, maximum = 600)]
    stay_s: i32,
    /// Also while tickets are on sale, or will be before it is over. Real visitors then wait in line with the simulated.
    #[serde(default)]
    during_sale: bool,
}

impl RehearsalAsk {
    fn checked(&self) -> Result<Rehearsal> {
        let RehearsalAsk { people, arrive_s, abandon_pct, stay_s, .. } = *self;
        let asked = Rehearsal { people, arrive_s, abandon_pct, stay_s };
        let outside = |(_, value, least, most): &(_, i32, i32, i32)| !(*least..=*most).contains(value);
        let fields = asked.bounds().into_iter().filter(outside);
        let errors: Vec<FieldError> =
            fields.map(|(field, ..)| FieldError { field: field.to_owned(), code: "out_of_range" }).collect();
        if errors.is_empty() { Ok(asked) } else { Err(Error::fields(errors)) }
    }
}

/// Begins a rehearsal with simulated visitors.
///
/// From the phases idle, bypass and ended. A new run begins: invitations made before it are void. With a draw people
/// gather first, then the room opens; without one it opens at once. It ends by itself at `ends_at`, and before the sale or
/// the room's own schedule begins; then the room is where it was, schedule included, under another new run.
#[utoipa::path(post, path = "/api/admin/exhibitions/{code}/room/rehearsal", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."),
        ("If-Match" = String, Header, description = "The ETag of the room that the caller has seen.")), request_body = RehearsalAsk,
    responses((status = 200, body = super::admin::RoomShown, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 409, description = "room.in_use, room.sale_is_near"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn begin_rehearsal(
    AppState(app): AppState<App>,
    admin: AdminOf,
    seen: IfMatch,
    Json(ask): Json<RehearsalAsk>,
) -> Result<Response> {
    let asked = ask.checked()?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let room = locked(&transaction, &admin).await?;
    seen.expect(room.revision)?;
    if room.phase.needs_pass() {
        return Err(Error::conflict("room.in_use").with("phase", room.phase.as_str()));
    }
    let begun = begin(&app, &transaction, &admin, &room, &asked, ask.during_sale).await?;
    transaction.commit().await?;
    shown(&app, &client, &begun).await
}

async fn begin(
    app: &App,
    client: &impl GenericClient,
    admin: &AdminOf,
    room: &RoomRow,
    asked: &Rehearsal,
    during_sale: bool,
) -> Result<RoomRow> {
    let now_ms = app.clock.now_ms();
    let plan = Plan::new(&room.config, asked, now_ms);
    let opens_ms = plan.opens_ms.unwrap_or(now_ms);
    let real_ms = next_real(&admin.exhibition, &room.config, during_sale, now_ms);
    if real_ms.is_some_and(|real_ms| real_ms < opens_ms + LEAST_MS) {
        return Err(Error::conflict("room.sale_is_near"));
    }
    let ends_ms = real_ms.map_or(plan.ends_ms, |real_ms| plan.ends_ms.min(real_ms));
    let at = |ms: i64| Timestamp::from_millisecond(ms).map_err(Error::bug);
    let begun = Begun {
        asked,
        to: if plan.opens_ms.is_some() { Phase::Prequeue } else { Phase::Open },
        user_name: &admin.user.name,
        began_at: at(now_ms)?,
        ends_at: at(ends_ms)?,
        opens_at: plan.opens_ms.map(at).transpose()?,
    };
    let mut moved = pg::begin_rehearsal(client, room, &begun).await?.ok_or_else(changed_meanwhile)?;
    if moved.phase == Phase::Prequeue {
        let round = commitment::round(app, &moved.config)?;
        moved = commitment::commit(app, client, &moved, round).await?;
    }
    let entry = Entry {
        by: &Actor::from(admin),
        action: "room.rehearsal",
        exhibition_id: Some(room.exhibition_id),
        before: json!({ "phase": room.phase, "run": room.run }),
        after: json!({ "phase": moved.phase, "run": moved.run, "rehearsal": asked, "during_sale": during_sale,
            "ends_at": begun.ends_at }),
    };
    audit::record(client, &entry).await?;
    tracing::info!(exhibition = room.code, run = moved.run, people = asked.people, "a rehearsal begins");
    Ok(moved)
}

/// When a rehearsal opens and ends. [ms]
struct Plan {
    /// None: it opens at once.
    opens_ms: Option<i64>,
    ends_ms: i64,
}

impl Plan {
    /// Half of those who come gather for the draw; the others come behind it.
    fn new(config: &Config, asked: &Rehearsal, now_ms: i64) -> Plan {
        let arrive_ms = i64::from(asked.arrive_s) * 1000;
        let gather_ms = (arrive_ms / 2).max(GATHERS_MS);
        let opens_ms = config.draw.then(|| now_ms + gather_ms + i64::from(config.freeze_lead_s) * 1000);
        let served_per_s = (f64::from(config.rate_per_min) / 60.0)
            .min(f64::from(config.capacity) / (f64::from(asked.stay_s) + CLAIMS_S))
            .max(0.001);
        // Twice what it should take if all went well.
        let lasts_ms = (f64::from(asked.people) / served_per_s * 2_000.0) as i64;
        let all_there_ms = opens_ms.unwrap_or(now_ms).max(now_ms + arrive_ms);
        let ends_ms = all_there_ms.saturating_add(lasts_ms).saturating_add(LOOKING_ON_MS);
        Plan { opens_ms, ends_ms: ends_ms.min(opens_ms.unwrap_or(now_ms) + LASTS_MAX_MS) }
    }
}

/// When something begins that a rehearsal must not stand in the way of; now, if it has begun.
fn next_real(e: &Exhibition, config: &Config, during_sale: bool, now_ms: i64) -> Option<i64> {
    let windows = e.products.iter().filter(|product| product.active).map(|product| e.window(product));
    let sales = windows
        .chain([(e.sale_start, e.sale_end)])
        .filter(|(_, until)| !during_sale && until.as_millisecond() > now_ms)
        .map(|(from, _)| from.as_millisecond().max(now_ms));
    // What the schedule had before now has come, and is none any more.
    let schedule = [config.prequeue_at, config.opens_at];
    let schedule = schedule.into_iter().flatten().map(Timestamp::as_millisecond).filter(|ms| *ms > now_ms);
    sales.chain(schedule).min()
}

/// Ends the rehearsal of a room.
///
/// So does moving it to the phase ended. Nothing of it stays: the room goes back to where it was, under a new run.
#[utoipa::path(delete, path = "/api/admin/exhibitions/{code}/room/rehearsal", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition.")),
    responses((status = 200, body = super::admin::RoomShown, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 409, description = "room.no_rehearsal"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn end_rehearsal(AppState(app): AppState<App>, admin: AdminOf) -> Result<Response> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let room = locked(&transaction, &admin).await?;
    if room.rehearsal_ends_at.is_none() {
        return Err(Error::conflict("room.no_rehearsal"));
    }
    let ended = end(&transaction, &room, &Actor::from(&admin)).await?;
    transaction.commit().await?;
    shown(&app, &client, &ended).await
}

/// In a transaction, on a row that was read in it.
pub async fn end(client: &impl GenericClient, room: &RoomRow, by: &Actor) -> Result<RoomRow> {
    let moved = pg::end_rehearsal(client, room).await?.ok_or_else(changed_meanwhile)?;
    let figures = pg::rehearsal(client, room.exhibition_id, room.run).await?.map(|row| row.figures);
    let entry = Entry {
        by,
        action: "room.rehearsal",
        exhibition_id: Some(room.exhibition_id),
        before: json!({ "phase": room.phase, "run": room.run, "figures": figures }),
        after: json!({ "phase": moved.phase, "run": moved.run }),
    };
    audit::record(client, &entry).await?;
    tracing::info!(exhibition = room.code, run = room.run, by = by.role, "the rehearsal is over");
    Ok(moved)
}

/// Redis still has another run than the room: if that was a rehearsal, whoever is inside makes room, simulated or not.
/// Only an order in progress keeps its session. True when it was one.
pub async fn clear_out(app: &App, row: &RoomRow, look: &Look, now_ms: i64) -> Result<bool> {
    let client = app.pg.get().await?;
    if pg::rehearsal(&client, row.exhibition_id, look.run).await?.is_none() {
        return Ok(false);
    }
    drop(client);
    for lane in Lane::ALL {
        // The names of all who can be inside follow from their ranks, so nobody has to have kept them.
        let mut ranks = 1..=look.serving[lane as usize];
        loop {
            let batch = ranks.by_ref().take(CLEAR_BATCH);
            let sids: Vec<_> = batch.map(|rank| token::sid(&app.secrets, &row.code, look.run, lane, rank)).collect();
            if sids.is_empty() {
                break;
            }
            redis::end_idle(&app.redis, &row.code, &sids, now_ms).await?;
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rehearsal_lasts_as_long_as_its_crowd_takes() {
        let asked = Rehearsal { people: 1_200, arrive_s: 60, abandon_pct: 0, stay_s: 22 };
        let config = Config { capacity: 60, rate_per_min: 6_000, draw: false, ..Config::default() };
        // Two people a second: ten minutes, and as much again.
        let plan = Plan::new(&config, &asked, 0);
        assert_eq!((plan.opens_ms, plan.ends_ms), (None, 60_000 + 1_200_000 + LOOKING_ON_MS));
        let drawn = Plan::new(&Config { draw: true, freeze_lead_s: 60, ..config.clone() }, &asked, 0);
        assert_eq!(drawn.opens_ms, Some(GATHERS_MS + 60_000));
        assert_eq!(drawn.ends_ms, 95_000 + 1_200_000 + LOOKING_ON_MS);
        let slow = Plan::new(&Config { rate_per_min: 1, ..config }, &Rehearsal { people: 100_000, ..asked }, 0);
        assert_eq!(slow.ends_ms, LASTS_MAX_MS);
    }
}
