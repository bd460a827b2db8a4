//! Who is there: people who have signed in and called of late, and the devices of the gates with whoever is on shift.

pub mod pg;

use std::collections::HashMap;

use axum::extract::State as AppState;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::admin::access::{ACCESS_S, Admin};
use crate::admin::people::may_run_user;
use crate::admin::{self, Role};
use crate::app::App;
use crate::error::Result;
use crate::observability::pulse::PEOPLE_MS;
use crate::orders::api::private;

/// A page that is open renews its sign-in when its access token ends, and a little before.
const RENEWED: SignedDuration = SignedDuration::from_secs(ACCESS_S + 60);
/// 200 an exhibition may have.
const DEVICES_MAX: i64 = 2_000;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

#[derive(Serialize, ToSchema)]
struct Online {
    #[schema(value_type = String, format = DateTime)]
    server_time: Timestamp,
    /// Oneself and whom one may run, the last seen first.
    people: Vec<PersonOnline>,
    /// In use, of the exhibitions that one may enter; 2,000 at most.
    devices: Vec<DeviceOnline>,
    shifts_open: usize,
}

#[derive(Serialize, ToSchema)]
struct PersonOnline {
    username: String,
    role: Role,
    /// Codes; of a super admin none: all are theirs.
    exhibitions: Vec<String>,
    /// Sign-ins that were renewed in the last 16 minutes.
    sign_ins: i64,
    /// When one of them was renewed last.
    #[schema(value_type = Option<String>, format = DateTime)]
    renewed_at: Option<Timestamp>,
    /// Their last call, if it was in the last five minutes. Null: none was heard of.
    #[schema(value_type = Option<String>, format = DateTime)]
    seen_at: Option<Timestamp>,
    oneself: bool,
}

#[derive(Serialize, ToSchema)]
struct DeviceOnline {
    id: Uuid,
    exhibition_code: String,
    gate: String,
    name: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    seen_at: Option<Timestamp>,
    /// Since it was last heard of, within ten seconds.
    lag_s: Option<i64>,
    /// Scans it decided without a network and has not handed in, as it last said.
    waiting: i32,
    /// Who is on shift there.
    staff: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    shift_began_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    shift_ends_at: Option<Timestamp>,
}

/// People who are signed in and devices that are in use: of everything for a super admin, else of one's own exhibitions.
#[utoipa::path(get, path = "/api/admin/online", tag = "admin", security(("staff" = [])),
    responses((status = 200, body = Online),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 503, description = "server.starting, server.database_away")))]
async fn show(AppState(app): AppState<App>, by: Admin) -> Result<Response> {
    let now = app.clock.now();
    let snapshot = app.catalogue.current();
    snapshot.ready()?;
    let codes: HashMap<i32, String> = snapshot
        .exhibitions()
        .iter()
        .filter(|one| by.user.may_enter(one.id))
        .map(|one| (one.id, one.code.clone()))
        .collect();
    let ids: Vec<i32> = codes.keys().copied().collect();
    let client = app.pg.get().await?;
    let signed_in = pg::signed_in(&client, now, now - RENEWED).await?;
    let users = admin::pg::list(&client).await?;
    let devices = pg::devices(&client, &ids, DEVICES_MAX).await?;
    drop(client);
    let signed_in: HashMap<i32, (i64, Timestamp)> =
        signed_in.into_iter().map(|(id, sign_ins, at)| (id, (sign_ins, at))).collect();
    let seen = seen(&app);
    let online = users.into_iter().filter(|user| user.id == by.user.id || may_run_user(&by, user)).filter_map(|user| {
        let (sign_in, seen_ms) = (signed_in.get(&user.id), seen.get(&user.id));
        if sign_in.is_none() && seen_ms.is_none() {
            return None;
        }
        Some(PersonOnline {
            oneself: user.id == by.user.id,
            exhibitions: if user.role == Role::SuperAdmin { Vec::new() } else { user.exhibition_codes },
            username: user.username,
            role: user.role,
            sign_ins: sign_in.map_or(0, |one| one.0),
            renewed_at: sign_in.map(|one| one.1),
            seen_at: seen_ms.and_then(|ms| Timestamp::from_millisecond(*ms).ok()),
        })
    });
    let mut people: Vec<PersonOnline> = online.collect();
    people.sort_by_key(|one| std::cmp::Reverse(one.seen_at.max(one.renewed_at)));
    let devices: Vec<DeviceOnline> = devices.into_iter().filter_map(|device| shown(device, &codes, now)).collect();
    let shifts_open = devices.iter().filter(|device| device.staff.is_some()).count();
    Ok(private(axum::Json(Online { server_time: now, people, devices, shifts_open })))
}

/// When each of the staff called last, whichever process it was.
fn seen(app: &App) -> HashMap<i32, i64> {
    let now_ms = app.clock.now_ms();
    let known = app.boards.known();
    let mut seen: HashMap<i32, i64> = HashMap::new();
    for (id, at_ms) in known.1.iter().flat_map(|(_, picture)| &picture.people) {
        let last = seen.entry(*id).or_insert(*at_ms);
        *last = (*last).max(*at_ms);
    }
    seen.retain(|_, at_ms| now_ms - *at_ms < PEOPLE_MS);
    seen
}

fn shown(device: pg::DeviceRow, codes: &HashMap<i32, String>, now: Timestamp) -> Option<DeviceOnline> {
    Some(DeviceOnline {
        exhibition_code: codes.get(&device.exhibition_id)?.clone(),
        lag_s: device.seen_at.map(|at| now.duration_since(at).as_secs().max(0)),
        id: device.id,
        gate: device.gate,
        name: device.name,
        seen_at: device.seen_at,
        waiting: device.waiting,
        staff: device.staff,
        shift_began_at: device.began_at,
        shift_ends_at: device.ends_at,
    })
}
