//! The calls of an admin: make a device, see them, take one back.

use axum::extract::State as AppState;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::pg::{self, Listed, NewDevice};
use super::{DEVICES_MAX, NAME_CHARS_MAX, enrolment};
use crate::admin::access::AdminOf;
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::entrance::api::GATE_CHARS_MAX;
use crate::error::{Error, FieldError, Result};
use crate::orders::contact::has_control;
use crate::platform::http::{Json, Path};
use crate::platform::ids;
use crate::tickets::picture;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(revoke))
}

fn private(status: StatusCode, body: impl Serialize) -> Response {
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, no_store, axum::Json(body)).into_response()
}

#[derive(Deserialize, ToSchema)]
struct DeviceAsk {
    /// Where it stands: 1 to 40 characters.
    gate: String,
    /// What the phone is called among the staff: 1 to 40 characters.
    name: String,
}

fn checked(text: &str, field: &str, chars_max: usize, errors: &mut Vec<FieldError>) -> String {
    let text = text.trim();
    let code = if text.is_empty() {
        "required"
    } else if has_control(text) {
        "control_characters"
    } else if text.chars().count() > chars_max {
        "too_long"
    } else {
        return text.to_owned();
    };
    errors.push(FieldError { field: field.to_owned(), code });
    String::new()
}

#[derive(Serialize, ToSchema)]
struct DeviceMade {
    id: Uuid,
    /// Opened on the phone, it enrols it: once. Nobody can show it again.
    enrol_url: String,
    /// The same as a QR code.
    enrol_svg: String,
    #[schema(value_type = String, format = DateTime)]
    enrol_until: Timestamp,
}

/// Makes a device for a gate, to be enrolled within 15 minutes.
#[utoipa::path(post, path = "/api/admin/exhibitions/{code}/devices", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition.")), request_body = DeviceAsk,
    responses((status = 201, body = DeviceMade),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 409, description = "device.too_many"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn add(AppState(app): AppState<App>, admin: AdminOf, Json(ask): Json<DeviceAsk>) -> Result<Response> {
    let mut errors = Vec::new();
    let gate = checked(&ask.gate, "gate", GATE_CHARS_MAX, &mut errors);
    let name = checked(&ask.name, "name", NAME_CHARS_MAX, &mut errors);
    if !errors.is_empty() {
        return Err(Error::fields(errors));
    }
    let (id, enrolment) = (ids::row_id(app.clock.now()), enrolment());
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let new = NewDevice {
        id,
        exhibition_id: admin.exhibition.id,
        gate: &gate,
        name: &name,
        enrol_digest: &enrolment.digest,
        created_by: admin.user.id,
    };
    let enrol_until = pg::add(&transaction, &new).await?;
    let after = json!({ "device": id, "gate": gate, "name": name });
    record(&transaction, &admin, "device.add", Value::Null, after).await?;
    transaction.commit().await?;
    // After the hash: no server, log or referrer ever sees it.
    let enrol_url = format!("{}/entrance#enrol={}", app.settings.base_url, enrolment.token);
    let made = DeviceMade { id, enrol_svg: picture::svg(&enrol_url)?, enrol_url, enrol_until };
    Ok(private(StatusCode::CREATED, made))
}

#[derive(Serialize, ToSchema)]
struct DeviceList {
    /// Newest first, revoked ones among them; 400 at most.
    devices: Vec<DeviceListed>,
}

#[derive(Serialize, ToSchema)]
struct DeviceListed {
    id: Uuid,
    gate: String,
    name: String,
    /// waiting (to be enrolled), lapsed (was not), enrolled or revoked.
    state: &'static str,
    /// Who is on shift there.
    staff: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    enrolled_at: Option<Timestamp>,
    /// Scans it decided without a network and has not handed in, as it last said.
    waiting: i32,
    /// Within ten seconds, while it is online.
    #[schema(value_type = Option<String>, format = DateTime)]
    seen_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
}

fn listed(device: Listed, now: Timestamp) -> DeviceListed {
    let state = match (device.revoked_at, device.enrolled_at) {
        (Some(_), _) => "revoked",
        (None, Some(_)) => "enrolled",
        (None, None) if device.enrol_until <= now => "lapsed",
        (None, None) => "waiting",
    };
    DeviceListed {
        id: device.id,
        gate: device.gate,
        name: device.name,
        state,
        staff: device.staff,
        waiting: device.waiting,
        created_at: device.created_at,
        enrolled_at: device.enrolled_at,
        seen_at: device.seen_at,
        revoked_at: device.revoked_at,
    }
}

/// The devices of an exhibition.
#[utoipa::path(get, path = "/api/admin/exhibitions/{code}/devices", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition.")),
    responses((status = 200, body = DeviceList),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn list(AppState(app): AppState<App>, admin: AdminOf) -> Result<Response> {
    let now = app.clock.now();
    let devices = pg::list(&app.pg.get().await?, admin.exhibition.id, 2 * DEVICES_MAX).await?;
    let devices = devices.into_iter().map(|device| listed(device, now)).collect();
    Ok(private(StatusCode::OK, DeviceList { devices }))
}

#[derive(Deserialize)]
struct Named {
    device_id: Uuid,
}

/// Takes a device back: from its next call on it is refused, and wipes what it has.
#[utoipa::path(post, path = "/api/admin/exhibitions/{code}/devices/{device_id}/revoke", tag = "admin",
    security(("staff" = [])), params(("code" = String, Path, description = "Code of the exhibition."),
        ("device_id" = Uuid, Path, description = "As it was listed.")),
    responses((status = 204, description = "it is revoked"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"),
        (status = 404, description = "catalogue.unknown_exhibition, device.none"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn revoke(AppState(app): AppState<App>, admin: AdminOf, Path(named): Path<Named>) -> Result<StatusCode> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let revoked = pg::revoke(&transaction, named.device_id, admin.exhibition.id).await?;
    let revoked = revoked.ok_or_else(|| Error::not_found("device.none"))?;
    if revoked.now {
        let before = json!({ "device": named.device_id, "gate": revoked.gate, "name": revoked.name });
        record(&transaction, &admin, "device.revoke", before, Value::Null).await?;
    }
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn record(
    transaction: &deadpool_postgres::Transaction<'_>,
    admin: &AdminOf,
    action: &'static str,
    before: Value,
    after: Value,
) -> Result<()> {
    let by = &Actor::from(admin);
    audit::record(transaction, &Entry { by, action, exhibition_id: Some(admin.exhibition.id), before, after }).await
}
