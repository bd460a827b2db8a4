//! The gate board for devices, and with the devices themselves for admins.

use axum::extract::State as AppState;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::Counts;
use crate::admin::access::AdminOf;
use crate::app::App;
use crate::entrance::conflicts;
use crate::entrance::devices::{self, DEVICES_MAX, Device};
use crate::entrance::reply::private;
use crate::error::Result;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(counts)).routes(routes!(board))
}

#[derive(Serialize, ToSchema)]
struct CountsShown {
    #[serde(flatten)]
    counts: Counts,
    /// Unix ms.
    server_time: i64,
}

/// What happens at the gates of the device's exhibition today.
#[utoipa::path(get, path = "/api/entrance/counts", tag = "entrance", security(("device" = [])),
    responses((status = 200, body = CountsShown), (status = 401, description = "device.unknown"),
        (status = 403, description = "device.revoked"), (status = 503, description = "server.database_away")))]
async fn counts(AppState(app): AppState<App>, device: Device) -> Result<Response> {
    let counts = app.gate_board.counts(&app, device.exhibition_id).await?;
    Ok(private(CountsShown { counts, server_time: app.clock.now_ms() }))
}

#[derive(Serialize, ToSchema)]
struct GateBoard {
    counts: Counts,
    /// Enrolled and not revoked.
    devices: Vec<DeviceLag>,
    /// Admissions that wait for somebody to decide on them.
    open_conflicts: i64,
    #[schema(value_type = String, format = DateTime)]
    server_time: Timestamp,
}

#[derive(Serialize, ToSchema)]
struct DeviceLag {
    id: Uuid,
    gate: String,
    name: String,
    staff: Option<String>,
    /// Since it was last heard of, within ten seconds.
    lag_s: i64,
    /// Scans it decided without a network and has not handed in, as it last said.
    waiting: i32,
}

/// The gate board: people inside, scans a minute, refusals by reason, per gate and in all, and the devices.
#[utoipa::path(get, path = "/api/admin/exhibitions/{code}/gate-board", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition.")),
    responses((status = 200, body = GateBoard),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn board(AppState(app): AppState<App>, admin: AdminOf) -> Result<Response> {
    let (now, id) = (app.clock.now(), admin.exhibition.id);
    let counts = app.gate_board.counts(&app, id).await?;
    let client = app.pg.get().await?;
    let listed = devices::pg::list(&client, id, 2 * DEVICES_MAX).await?;
    let open_conflicts = conflicts::pg::open(&client, id).await?;
    let devices = listed.into_iter().filter(|d| d.revoked_at.is_none()).filter_map(|d| {
        let seen_at = d.seen_at?;
        let lag_s = now.duration_since(seen_at).as_secs().max(0);
        Some(DeviceLag { id: d.id, gate: d.gate, name: d.name, staff: d.staff, lag_s, waiting: d.waiting })
    });
    Ok(private(GateBoard { counts, devices: devices.collect(), open_conflicts, server_time: now }))
}
