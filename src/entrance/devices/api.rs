//! The calls of a device: enrol, begin and end a shift, and see how it stands.

use axum::extract::State as AppState;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::shift::{self, Claims};
use super::{Device, credential, digest, pg};
use crate::admin::password::PASSWORD_BYTES_MAX;
use crate::admin::{pin, sign_in};
use crate::app::App;
use crate::entrance::reply::private;
use crate::error::{Error, Result};
use crate::platform::clock::seoul;
use crate::platform::http::{ClientAddress, Json};
use crate::platform::ids;
use crate::platform::secrets::Purpose;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(enrol)).routes(routes!(begin_shift, end_shift)).routes(routes!(look))
}

#[derive(Deserialize, ToSchema)]
struct EnrolAsk {
    /// What the admin's QR says after `#enrol=`. Good once, for 15 minutes.
    token: String,
}

#[derive(Serialize, ToSchema)]
struct DeviceShown {
    id: Uuid,
    exhibition_code: String,
    gate: String,
    name: String,
    #[schema(value_type = String, format = DateTime)]
    enrolled_at: Timestamp,
}

impl From<Device> for DeviceShown {
    fn from(device: Device) -> DeviceShown {
        DeviceShown {
            id: device.id,
            exhibition_code: device.exhibition_code,
            gate: device.gate,
            name: device.name,
            enrolled_at: device.enrolled_at,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct Enrolled {
    /// Send as `X-Admit-Device`. Shown once; a device that loses it is enrolled anew.
    credential: String,
    device: DeviceShown,
}

/// Makes this phone the device that the token was made for.
#[utoipa::path(post, path = "/api/entrance/enrol", tag = "entrance", request_body = EnrolAsk,
    responses((status = 200, body = Enrolled), (status = 403, description = "device.invalid_enrolment"),
        (status = 429, description = "auth.too_many"), (status = 503, description = "server.database_away")))]
async fn enrol(AppState(app): AppState<App>, caller: ClientAddress, Json(ask): Json<EnrolAsk>) -> Result<Response> {
    sign_in::limit_address(&app, caller, "enrol").await?;
    let credential = credential();
    let client = app.entrance_pg.get().await?;
    // Unknown, spent, too old or taken back: one answer.
    let device = pg::enrol(&client, &digest(ask.token.trim()), &credential.digest).await?;
    let device = device.ok_or_else(|| Error::forbidden("device.invalid_enrolment"))?;
    Ok(private(Enrolled { credential: credential.token, device: device.into() }))
}

#[derive(Deserialize, ToSchema)]
struct ShiftAsk {
    username: String,
    /// Or else the PIN.
    password: Option<String>,
    pin: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct ShiftShown {
    /// Send as `Authorization: Bearer …` with each scan. It can do nothing else.
    shift_token: String,
    shift_id: Uuid,
    /// 32 bytes, base64url without padding: what the device keeps of tickets, it keeps encrypted with this, and forgets it
    /// with the shift. The same for this device in every shift.
    data_key: String,
    staff: String,
    gate: String,
    exhibition_code: String,
    #[schema(value_type = String, format = DateTime)]
    ends_at: Timestamp,
}

/// Begins a shift at this device, and ends that of whoever was there before.
#[utoipa::path(post, path = "/api/entrance/shift", tag = "entrance", request_body = ShiftAsk, security(("device" = [])),
    responses((status = 200, body = ShiftShown),
        (status = 401, description = "device.unknown, auth.invalid_credentials"),
        (status = 403, description = "device.revoked, device.pin_locked, auth.forbidden"), (status = 429, description = "auth.too_many, auth.locked"),
        (status = 503, description = "auth.busy, server.database_away")))]
async fn begin_shift(
    AppState(app): AppState<App>,
    device: Device,
    caller: ClientAddress,
    Json(ask): Json<ShiftAsk>,
) -> Result<Response> {
    let staff = match (&ask.password, &ask.pin) {
        (Some(password), None) if password.len() <= PASSWORD_BYTES_MAX => {
            sign_in::check(&app, caller, device.id, &ask.username, password).await?
        }
        (None, Some(pin)) => pin::check(&app, caller, device.id, &ask.username, pin).await?,
        _ => return Err(Error::unauthenticated("auth.invalid_credentials")),
    };
    if !staff.may_enter(device.exhibition_id) {
        return Err(Error::forbidden("auth.forbidden"));
    }
    let id = ids::row_id(app.clock.now());
    let client = app.entrance_pg.get().await?;
    let ends_at = pg::begin_shift(&client, id, device.id, staff.id, shift::HOURS).await?;
    let ends_at = ends_at.ok_or_else(|| Error::forbidden("device.revoked"))?;
    let claims = Claims {
        shift: id,
        device: device.id,
        gate: device.gate.clone(),
        exhibition: device.exhibition_id,
        staff: staff.id,
        name: staff.name.clone(),
        until: ends_at.as_second(),
    };
    Ok(private(ShiftShown {
        shift_token: shift::token(&app, &claims)?,
        shift_id: id,
        data_key: URL_SAFE_NO_PAD.encode(app.secrets.mac(Purpose::DeviceData, &[device.id.as_bytes()])),
        staff: staff.name,
        gate: device.gate,
        exhibition_code: device.exhibition_code,
        ends_at,
    }))
}

/// Ends the shift at this device, if there is one. Its token is good for nothing from then on.
#[utoipa::path(delete, path = "/api/entrance/shift", tag = "entrance", security(("device" = [])),
    responses((status = 204, description = "there is none now"), (status = 401, description = "device.unknown"),
        (status = 403, description = "device.revoked"), (status = 503, description = "server.database_away")))]
async fn end_shift(AppState(app): AppState<App>, device: Device) -> Result<StatusCode> {
    pg::end_shift(&app.entrance_pg.get().await?, device.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, ToSchema)]
struct Standing {
    device: DeviceShown,
    /// Today in Asia/Seoul, at this device.
    admitted_today: i64,
    refused_today: i64,
    #[schema(value_type = String, format = DateTime)]
    server_time: Timestamp,
}

/// How this device stands.
#[utoipa::path(get, path = "/api/entrance/device", tag = "entrance", security(("device" = [])),
    responses((status = 200, body = Standing), (status = 401, description = "device.unknown"),
        (status = 403, description = "device.revoked"), (status = 503, description = "server.database_away")))]
async fn look(AppState(app): AppState<App>, device: Device) -> Result<Response> {
    let now = app.clock.now();
    let midnight = now.to_zoned(seoul()).start_of_day().map_err(Error::bug)?.timestamp();
    let (admitted_today, refused_today) = pg::counts(&app.entrance_pg.get().await?, device.id, midnight).await?;
    Ok(private(Standing { device: device.into(), admitted_today, refused_today, server_time: now }))
}
