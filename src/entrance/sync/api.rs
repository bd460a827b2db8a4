//! A device asks what became of the tickets of its exhibition.

use axum::Extension;
use axum::extract::State as AppState;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::sync::Arc;
use tokio::sync::Semaphore;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Cursor, page, pg};
use crate::app::App;
use crate::entrance::devices;
use crate::entrance::devices::shift::OnShift;
use crate::error::{Error, Result};
use crate::platform::http::Query;

/// Pages that are read at the same time, so that fresh devices leave the connections to scans.
const READERS_MAX: usize = 2;

#[derive(Clone)]
struct Readers(Arc<Semaphore>);

pub fn routes() -> OpenApiRouter<App> {
    let readers = Readers(Arc::new(Semaphore::new(READERS_MAX)));
    OpenApiRouter::new().routes(routes!(tickets)).layer(Extension(readers))
}

#[derive(Deserialize)]
struct After {
    after: Option<String>,
    waiting: Option<u16>,
}

/// What changed of the tickets of the device's exhibition: 10,000 at most, and where to go on.
///
/// A binary page as docs/decisions/0014 describes it. Asked without a cursor, or with one that means nothing here, it
/// begins with the first ticket.
#[utoipa::path(get, path = "/api/entrance/tickets", tag = "entrance", security(("staff" = [])),
    params(("after" = Option<String>, Query, description = "The cursor of the page before."),
        ("waiting" = Option<u16>, Query, description = "How many scans it has not handed in, for the gate board.")),
    responses((status = 200, description = "a page", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden, device.off_shift"),
        (status = 503, description = "server.database_away")))]
async fn tickets(
    AppState(app): AppState<App>,
    Extension(readers): Extension<Readers>,
    by: OnShift,
    Query(asked): Query<After>,
) -> Result<Response> {
    let cursor = asked.after.as_deref().and_then(Cursor::read);
    let reading = readers.0.acquire().await.map_err(Error::bug)?;
    let client = app.entrance_pg.get().await?;
    let changes = pg::after(&client, by.staff.home(), cursor.as_ref()).await?;
    if let Some(waiting) = asked.waiting {
        devices::pg::waiting(&client, by.at.device_id, waiting.into()).await?;
    }
    drop((client, reading));
    let body = page(&changes, app.clock.now_ms());
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, body).into_response())
}
