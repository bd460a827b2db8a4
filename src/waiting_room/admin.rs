//! The calls of an admin: look at a room, set it, move it, enter its beacon, invite, and see who did what.

use axum::extract::State as AppState;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::model::{BeaconKind, Config, DrawShown, Phase};
use super::moves::{self, Reason};
use super::pg::{self, Manual, RoomRow};
use super::rehearsal::{self, RehearsalShown};
use super::{beacon, commitment, invite, settings};
use crate::admin::access::AdminOf;
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::error::{Error, FieldError, Result};
use crate::platform::http::extract::{changed_meanwhile, tagged};
use crate::platform::http::{IfMatch, Json, Query};
use crate::platform::secrets::hex;
use crate::platform::texts::has_control;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(look, configure))
        .routes(routes!(change_phase))
        .routes(routes!(enter_beacon))
        .routes(routes!(make_invites))
        .routes(routes!(look_back))
        .merge(rehearsal::routes())
}

const REASON_CHARS_MAX: usize = 300;
const BEACON_CHARS_MAX: usize = 200;
/// From this many hex digits on, what is entered for a beacon is taken for bytes.
const HEX_DIGITS_MIN: usize = 32;
const NOTE_CHARS_MAX: usize = 100;
const INVITES_MAX: i64 = 500;
const AUDIT_PAGE: i64 = 50;

/// A room as its admins see it.
#[derive(Serialize, ToSchema)]
pub struct RoomShown {
    exhibition_code: String,
    phase: Phase,
    #[schema(value_type = String, format = DateTime)]
    phase_since: Timestamp,
    /// Where it can go from here.
    legal_moves: Vec<Phase>,
    /// One more with every change, and what its ETag says.
    revision: i64,
    run: u32,
    epoch: u32,
    reason_ko: String,
    reason_en: String,
    config: Config,
    /// When the cohort is closed.
    #[schema(value_type = Option<String>, format = DateTime)]
    freeze_at: Option<Timestamp>,
    draw: DrawShown,
    /// When the beacon's named round is made; null: nothing was announced.
    #[schema(value_type = Option<String>, format = DateTime)]
    beacon_at: Option<Timestamp>,
    /// When the cohort of this run was closed, and when it was drawn.
    #[schema(value_type = Option<String>, format = DateTime)]
    closed_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    drawn_at: Option<Timestamp>,
    /// Whether Admit checks the beacon's own signature; else the draw rests on the organiser's word for its value.
    beacon_verified: bool,
    /// Of a manual beacon: how many admins have entered its value, 2 at most.
    beacon_entries: u8,
    /// The one that goes on, or else the last.
    rehearsal: Option<RehearsalShown>,
}

pub(super) async fn shown(app: &App, client: &impl GenericClient, room: &RoomRow) -> Result<Response> {
    let manual = room.draw.manual.as_ref();
    let committed = room.draw.committed.as_ref();
    let beacon_at = committed.map(|committed| beacon::round_at(app, room.config.beacon, committed.round));
    let body = RoomShown {
        exhibition_code: room.code.clone(),
        phase: room.phase,
        phase_since: room.phase_at,
        legal_moves: moves::legal(room),
        revision: room.revision,
        run: room.run,
        epoch: room.epoch,
        reason_ko: room.reason_ko.clone(),
        reason_en: room.reason_en.clone(),
        config: room.config.clone(),
        freeze_at: commitment::freeze_at(&room.config),
        draw: commitment::shown(app, room)?,
        beacon_at: beacon_at.transpose()?,
        closed_at: room.draw.cohort.as_ref().map(|cohort| cohort.frozen_at),
        drawn_at: room.draw.drawn.as_ref().map(|drawn| drawn.at),
        beacon_verified: beacon::is_verified(room.config.beacon),
        beacon_entries: manual.map_or(0, |manual| 1 + u8::from(manual.second.is_some())),
        rehearsal: pg::last_rehearsal(client, room.exhibition_id, room.run).await?.map(RehearsalShown::from),
    };
    tagged(StatusCode::OK, room.revision, body)
}

fn private(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], axum::Json(body)).into_response()
}

/// The room to be changed: there from now on, and nobody else's until the transaction ends.
pub(super) async fn locked(client: &impl GenericClient, admin: &AdminOf) -> Result<RoomRow> {
    pg::create_if_missing(client, admin.exhibition.id, &Config::default()).await?;
    // A draft may have been deleted since the caller's call came in.
    pg::lock(client, admin.exhibition.id).await?.ok_or_else(|| Error::not_found("catalogue.unknown_exhibition"))
}

/// Shows the room of an exhibition.
///
/// An exhibition that never had one shows the settings it would begin with. The seeds of a draw are shown with the draw.
#[utoipa::path(get, path = "/api/admin/exhibitions/{code}/room", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition.")),
    responses((status = 200, body = RoomShown, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn look(AppState(app): AppState<App>, admin: AdminOf) -> Result<Response> {
    let client = app.pg.get().await?;
    let room = pg::one(&client, admin.exhibition.id).await?;
    let none = || RoomRow::none(admin.exhibition.id, &admin.exhibition.code, app.clock.now());
    shown(&app, &client, &room.unwrap_or_else(none)).await
}

#[derive(Deserialize, ToSchema)]
struct RoomAsk {
    /// Settings that are left out stay as they are.
    #[schema(value_type = Config)]
    config: Map<String, Value>,
}

/// Changes settings of a room.
///
/// They count at once. What a draw was announced with (`draw`, `beacon`, `opens_at`, `freeze_lead_s`) can be changed in
/// the phases idle and bypass only.
#[utoipa::path(put, path = "/api/admin/exhibitions/{code}/room", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."),
        ("If-Match" = String, Header, description = "The ETag of what the caller has seen.")), request_body = RoomAsk,
    responses((status = 200, body = RoomShown, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 409, description = "room.too_late"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn configure(
    AppState(app): AppState<App>,
    admin: AdminOf,
    seen: IfMatch,
    Json(ask): Json<RoomAsk>,
) -> Result<Response> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let room = locked(&transaction, &admin).await?;
    seen.expect(room.revision)?;
    let config = settings::changed(&room.config, ask.config)?;
    settings::check(&room, &config, app.clock.now())?;
    let changed = pg::set_config(&transaction, room.exhibition_id, room.revision, &config)
        .await?
        .ok_or_else(changed_meanwhile)?;
    let entry = Entry {
        by: &Actor::from(&admin),
        action: "room.config",
        exhibition_id: Some(room.exhibition_id),
        before: json!(room.config),
        after: json!(changed.config),
    };
    audit::record(&transaction, &entry).await?;
    transaction.commit().await?;
    shown(&app, &client, &changed).await
}

#[derive(Deserialize, ToSchema)]
struct PhaseAsk {
    to: Phase,
    /// Why, for those who wait: at most 300 characters. Pausing and stopping need it in both languages.
    reason_ko: Option<String>,
    reason_en: Option<String>,
}

fn trimmed(text: Option<&String>) -> &str {
    text.map_or("", |text| text.trim())
}

impl PhaseAsk {
    fn check(&self) -> Result<()> {
        let needed = matches!(self.to, Phase::Paused | Phase::Stopped);
        let field = |name: &str, text: Option<&String>| {
            let text = trimmed(text);
            let code = if text.is_empty() && needed {
                "required"
            } else if has_control(text) {
                "control_characters"
            } else if text.chars().count() > REASON_CHARS_MAX {
                "too_long"
            } else {
                return None;
            };
            Some(FieldError { field: name.to_owned(), code })
        };
        let errors: Vec<FieldError> =
            [field("reason_ko", self.reason_ko.as_ref()), field("reason_en", self.reason_en.as_ref())]
                .into_iter()
                .flatten()
                .collect();
        if errors.is_empty() { Ok(()) } else { Err(Error::fields(errors)) }
    }
}

/// Moves the room to another phase.
///
/// Moving to `prequeue` with a draw publishes its commitment, so `opens_at` must be far enough ahead. An announced draw
/// comes before anybody is served. `ended` → `idle` begins a new run.
#[utoipa::path(post, path = "/api/admin/exhibitions/{code}/room/phase", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."),
        ("If-Match" = String, Header, description = "The ETag of what the caller has seen.")), request_body = PhaseAsk,
    responses((status = 200, body = RoomShown, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 409, description = "room.illegal_move"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn change_phase(
    AppState(app): AppState<App>,
    admin: AdminOf,
    seen: IfMatch,
    Json(ask): Json<PhaseAsk>,
) -> Result<Response> {
    ask.check()?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let room = locked(&transaction, &admin).await?;
    seen.expect(room.revision)?;
    let why = Reason { ko: trimmed(ask.reason_ko.as_ref()), en: trimmed(ask.reason_en.as_ref()) };
    let moved = moves::make(&app, &transaction, &room, ask.to, why, &Actor::from(&admin)).await?;
    transaction.commit().await?;
    shown(&app, &client, &moved).await
}

#[derive(Deserialize, ToSchema)]
struct BeaconAsk {
    /// At most 200 characters. An even number of hex digits, 32 or more, stands for the bytes; anything else for its
    /// own UTF-8, without spaces around it.
    value: String,
}

impl BeaconAsk {
    fn bytes(&self) -> Result<Vec<u8>> {
        let text = self.value.trim();
        let refuse = |code| Err(Error::field("value", code));
        if text.is_empty() {
            return refuse("required");
        }
        if text.chars().count() > BEACON_CHARS_MAX {
            return refuse("too_long");
        }
        if has_control(text) {
            return refuse("control_characters");
        }
        let digits = text.as_bytes();
        if digits.len() < HEX_DIGITS_MIN || digits.len() % 2 == 1 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Ok(digits.to_vec());
        }
        let half = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
        Ok(digits.chunks(2).map(|pair| half(pair[0]) << 4 | half(pair[1])).collect())
    }
}

/// Enters the value of a manual beacon.
///
/// It counts once two different admins have entered the same, after the cohort was closed and the named second has
/// passed. Until then the first may correct theirs.
#[utoipa::path(post, path = "/api/admin/exhibitions/{code}/room/beacon", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition.")), request_body = BeaconAsk,
    responses((status = 200, body = RoomShown, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 409, description = "room.beacon_differs, room.beacon_not_wanted"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn enter_beacon(AppState(app): AppState<App>, admin: AdminOf, Json(ask): Json<BeaconAsk>) -> Result<Response> {
    let value = ask.bytes()?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let room = locked(&transaction, &admin).await?;
    let not_wanted = || Err(Error::conflict("room.beacon_not_wanted"));
    let named =
        room.draw.committed.as_ref().map(|committed| beacon::round_at(&app, BeaconKind::Manual, committed.round));
    match named.transpose()? {
        Some(at) if room.config.beacon == BeaconKind::Manual && at <= app.clock.now() => {}
        _ => return not_wanted(),
    }
    // Another admin's value is not shown before it is agreed on: the second is to look for themselves.
    let after = match pg::enter_manual(&transaction, room.exhibition_id, admin.user.id, &value).await? {
        Manual::NotWanted => return not_wanted(),
        Manual::Differs => return Err(Error::conflict("room.beacon_differs")),
        Manual::First => json!({ "entries": 1 }),
        Manual::Agreed => json!({ "entries": 2, "value": hex(&value) }),
    };
    let entry = Entry {
        by: &Actor::from(&admin),
        action: "room.beacon",
        exhibition_id: Some(room.exhibition_id),
        before: json!({ "entries": u8::from(room.draw.manual.is_some()) }),
        after,
    };
    audit::record(&transaction, &entry).await?;
    let room = pg::one(&transaction, room.exhibition_id).await?.ok_or_else(|| Error::bug("a room that is gone"))?;
    transaction.commit().await?;
    shown(&app, &client, &room).await
}

#[derive(Deserialize, ToSchema)]
struct InvitesAsk {
    /// 1 to 500.
    #[schema(minimum = 1, maximum = 500)]
    count: i64,
    /// For whom, kept in the record of this call: at most 100 characters.
    note: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Invites {
    run: u32,
    /// Each serves one device.
    links: Vec<String>,
}

/// Makes links into the lane of the invited, for the present run of the room.
///
/// Admit keeps none of them: store the reply. Where numbers of this run have been given already, gathering begins a new
/// run, for which the links are no good: make them then.
#[utoipa::path(post, path = "/api/admin/exhibitions/{code}/room/invites", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition.")), request_body = InvitesAsk,
    responses((status = 200, body = Invites),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 409, description = "room.too_late"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn make_invites(AppState(app): AppState<App>, admin: AdminOf, Json(ask): Json<InvitesAsk>) -> Result<Response> {
    let note = trimmed(ask.note.as_ref());
    let mut errors = Vec::new();
    let mut refuse = |field: &str, code| errors.push(FieldError { field: field.into(), code });
    if !(1..=INVITES_MAX).contains(&ask.count) {
        refuse("count", "out_of_range");
    }
    if has_control(note) {
        refuse("note", "control_characters");
    } else if note.chars().count() > NOTE_CHARS_MAX {
        refuse("note", "too_long");
    }
    if !errors.is_empty() {
        return Err(Error::fields(errors));
    }
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let room = locked(&transaction, &admin).await?;
    if room.phase == Phase::Ended {
        return Err(Error::conflict("room.too_late").with("phase", room.phase.as_str()).with("fields", "invites"));
    }
    let invites: Vec<_> = (0..ask.count).map(|_| invite::make(&app, &room.code, room.run)).collect();
    let ids: Vec<String> = invites.iter().map(|(id, _)| hex(id)).collect();
    let entry = Entry {
        by: &Actor::from(&admin),
        action: "room.invites",
        exhibition_id: Some(room.exhibition_id),
        before: Value::Null,
        after: json!({ "run": room.run, "count": ask.count, "note": note, "ids": ids }),
    };
    audit::record(&transaction, &entry).await?;
    transaction.commit().await?;
    let links = invites.iter().map(|(_, invite)| invite::link(&app, &room.code, invite)).collect();
    Ok(private(Invites { run: room.run, links }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// `next` of the page before; absent: from the newest on.
    before: Option<i64>,
}

#[derive(Serialize, ToSchema)]
struct AuditPage {
    /// Newest first.
    entries: Vec<AuditEntry>,
    /// Send as `before` for the next page; null: this was the last.
    next: Option<i64>,
}

#[derive(Serialize, ToSchema)]
struct AuditEntry {
    id: i64,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    user_name: String,
    /// super_admin, admin, or system for what Admit did by itself.
    role: String,
    /// room.config, room.phase, room.beacon, room.invites or room.rehearsal.
    action: String,
    #[schema(value_type = Object)]
    before: Value,
    #[schema(value_type = Object)]
    after: Value,
    /// Names the call in the logs.
    request_id: String,
    #[schema(value_type = Option<String>)]
    address: Option<std::net::IpAddr>,
}

/// Shows who changed what about the room, newest first.
#[utoipa::path(get, path = "/api/admin/exhibitions/{code}/room/audit", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."), AuditQuery),
    responses((status = 200, body = AuditPage),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn look_back(AppState(app): AppState<App>, admin: AdminOf, Query(query): Query<AuditQuery>) -> Result<Response> {
    let client = app.pg.get().await?;
    let before = query.before.unwrap_or(i64::MAX);
    let mut rows = audit::pg::page(&client, admin.exhibition.id, before, "room.", AUDIT_PAGE + 1).await?;
    drop(client);
    let more = rows.len() as i64 > AUDIT_PAGE;
    rows.truncate(AUDIT_PAGE as usize);
    let next = if more { rows.last().map(|row| row.id) } else { None };
    let entry = |row: audit::pg::AuditRow| AuditEntry {
        id: row.id,
        at: row.at,
        user_name: row.user_name,
        role: row.role,
        action: row.action,
        before: row.before,
        after: row.after,
        request_id: row.request_id,
        address: row.address,
    };
    Ok(private(AuditPage { entries: rows.into_iter().map(entry).collect(), next }))
}
