//! The picture of an exhibition: set and taken away by its admins.

use std::sync::{Arc, LazyLock};

use axum::extract::{Request, State as AppState};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::access::AdminOf;
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::catalogue::model::Shot;
use crate::catalogue::pg;
use crate::catalogue::picture::{self, BYTES_MAX};
use crate::error::{Error, FieldError, Result};
use crate::platform::http::Query;
use crate::platform::texts::has_control;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(set_picture, remove_picture))
}

const ALT_CHARS_MAX: usize = 200;
/// Reading one takes much memory for a moment: the second waits.
static READING: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(1)));

#[derive(Deserialize, IntoParams)]
struct PictureQuery {
    /// What the picture shows, for whoever does not see it. At most 200 characters.
    alt_ko: Option<String>,
    alt_en: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct PictureShown {
    picture: Option<Shot>,
}

fn alt(text: Option<String>, field: &str, errors: &mut Vec<FieldError>) -> String {
    let text = text.unwrap_or_default().trim().to_owned();
    let code = if text.is_empty() {
        "required"
    } else if has_control(&text) {
        "control_characters"
    } else if text.chars().count() > ALT_CHARS_MAX {
        "too_long"
    } else {
        return text;
    };
    errors.push(FieldError { field: field.to_owned(), code });
    text
}

/// Sets the picture of an exhibition.
///
/// The body is the file: JPEG, PNG or WebP, at most 8 MB, 640 to 10,000 pixels wide and 40 million in all, its height
/// 0.25 to 1.5 times its width.
/// It is turned upright and written anew; what the camera noted beside it is not kept.
#[utoipa::path(put, path = "/api/admin/exhibitions/{code}/picture", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."), PictureQuery),
    request_body(content = Vec<u8>, content_type = "image/jpeg"),
    responses((status = 200, body = PictureShown),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 413, description = "request.too_large"),
        (status = 422, description = "request.invalid, picture.unreadable, picture.out_of_bounds"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn set_picture(
    AppState(app): AppState<App>,
    admin: AdminOf,
    Query(query): Query<PictureQuery>,
    request: Request,
) -> Result<axum::Json<PictureShown>> {
    let mut errors = Vec::new();
    let alt_ko = alt(query.alt_ko, "alt_ko", &mut errors);
    let alt_en = alt(query.alt_en, "alt_en", &mut errors);
    if !errors.is_empty() {
        return Err(Error::fields(errors));
    }
    let file = axum::body::to_bytes(request.into_body(), BYTES_MAX)
        .await
        .map_err(|_| Error::too_large("request.too_large").with("limit", "8 MB"))?;
    let reading = READING.clone().acquire_owned().await.map_err(Error::bug)?;
    let prepared = tokio::task::spawn_blocking(move || {
        // Held by the work, not by a caller who may have gone.
        let _reading = reading;
        picture::prepare(&file)
    });
    let picture = prepared.await.map_err(Error::bug)??;
    let shot = Shot::new(&picture.digest, picture.height, alt_ko, alt_en);
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let before = pg::set_picture(&transaction, admin.exhibition.id, &picture, &shot).await?;
    record(&transaction, &admin, before, Some(&picture.digest)).await?;
    transaction.commit().await?;
    Ok(axum::Json(PictureShown { picture: Some(shot) }))
}

/// Takes the picture of an exhibition away.
///
/// It is deleted; copies that nginx keeps go within ten minutes, those in browsers when they are cleared.
#[utoipa::path(delete, path = "/api/admin/exhibitions/{code}/picture", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition.")),
    responses((status = 204, description = "there is none now"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn remove_picture(AppState(app): AppState<App>, admin: AdminOf) -> Result<StatusCode> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let before = pg::remove_picture(&transaction, admin.exhibition.id).await?;
    if before.is_some() {
        record(&transaction, &admin, before, None).await?;
    }
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn record(
    transaction: &deadpool_postgres::Transaction<'_>,
    admin: &AdminOf,
    before: Option<String>,
    after: Option<&str>,
) -> Result<()> {
    let entry = Entry {
        by: &Actor::from(admin),
        action: "exhibition.picture",
        exhibition_id: Some(admin.exhibition.id),
        before: json!({ "picture": before }),
        after: json!({ "picture": after }),
    };
    audit::record(transaction, &entry).await
}
