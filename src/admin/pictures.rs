//! The picture of an exhibition: set, described and taken away by its admins.

use std::sync::{Arc, LazyLock};

use axum::extract::{Request, State as AppState};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::access::{AdminOf, SupportOf};
use super::catalogue::pg::exhibitions as rows;
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::catalogue::model::Shot;
use crate::catalogue::pg;
use crate::catalogue::picture::{self, BYTES_MAX, Picture};
use crate::error::{Error, FieldError, Result};
use crate::platform::http::extract::tagged;
use crate::platform::http::{IfMatch, Query};
use crate::platform::texts::has_control;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(look, set_picture, remove_picture))
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
    /// The ETag, for the next change; none: there is no picture.
    picture_tag: String,
}

fn shown(picture: Option<Shot>) -> Result<Response> {
    let picture_tag = Shot::tag(picture.as_ref());
    tagged(StatusCode::OK, picture_tag.clone(), PictureShown { picture, picture_tag })
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

/// The picture of an exhibition as it is now.
#[utoipa::path(get, path = "/api/admin/exhibitions/{code}/picture", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition.")),
    responses((status = 200, body = PictureShown, headers(("etag" = String, description = "Of the picture and its texts."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn look(AppState(app): AppState<App>, by: SupportOf) -> Result<Response> {
    shown(rows::one(&app.pg.get().await?, by.exhibition.id).await?.picture)
}

/// Sets the picture of an exhibition, or what is said of it.
///
/// An empty body leaves the picture that there is, and changes its texts alone. Else the body is the file: JPEG, PNG or WebP, at most 8 MB, 640 to 10,000 pixels wide and 40 million in all, its height
/// 0.25 to 1.5 times its width.
/// It is turned upright and written anew; what the camera noted beside it is not kept.
#[utoipa::path(put, path = "/api/admin/exhibitions/{code}/picture", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."), PictureQuery,
        ("If-Match" = String, Header, description = "The ETag of what the caller has seen.")),
    request_body(content = Vec<u8>, content_type = "image/jpeg"),
    responses((status = 200, body = PictureShown, headers(("etag" = String, description = "Of the picture and its texts."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 413, description = "request.too_large"),
        (status = 422, description = "request.invalid, picture.unreadable, picture.out_of_bounds"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn set_picture(
    AppState(app): AppState<App>,
    admin: AdminOf,
    seen: IfMatch,
    Query(query): Query<PictureQuery>,
    request: Request,
) -> Result<Response> {
    let id = admin.exhibition.id;
    // Before a file is read for nothing; what counts is asked again under the lock.
    seen.expect(Shot::tag(rows::one(&app.pg.get().await?, id).await?.picture.as_ref()))?;
    let mut errors = Vec::new();
    let alt_ko = alt(query.alt_ko, "alt_ko", &mut errors);
    let alt_en = alt(query.alt_en, "alt_en", &mut errors);
    if !errors.is_empty() {
        return Err(Error::fields(errors));
    }
    let sent = prepared(request).await?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let before = locked(&transaction, id, &seen).await?;
    let shot = match (&sent, &before) {
        (Some(sent), _) => Shot::new(&sent.digest, sent.height, alt_ko, alt_en),
        (None, Some(now)) => Shot { alt: alt_ko, alt_en, ..now.clone() },
        (None, None) => return Err(Error::invalid("picture.unreadable")),
    };
    if before.as_ref() == Some(&shot) {
        return shown(before);
    }
    match &sent {
        Some(picture) => pg::set_picture(&transaction, id, picture, &shot).await?,
        None => pg::show_picture(&transaction, id, &shot).await?,
    }
    record(&transaction, &admin, before.as_ref(), Some(&shot)).await?;
    transaction.commit().await?;
    shown(Some(shot))
}

/// None: no file was sent.
async fn prepared(request: Request) -> Result<Option<Picture>> {
    let file = axum::body::to_bytes(request.into_body(), BYTES_MAX)
        .await
        .map_err(|_| Error::too_large("request.too_large").with("limit", "8 MB"))?;
    if file.is_empty() {
        return Ok(None);
    }
    let reading = READING.clone().acquire_owned().await.map_err(Error::bug)?;
    let prepared = tokio::task::spawn_blocking(move || {
        // Held by the work, not by a caller who may have gone.
        let _reading = reading;
        picture::prepare(&file)
    });
    prepared.await.map_err(Error::bug)?.map(Some)
}

/// What is shown now, which is what was seen, and stays so until the end of the transaction.
async fn locked(
    transaction: &deadpool_postgres::Transaction<'_>,
    exhibition_id: i32,
    seen: &IfMatch,
) -> Result<Option<Shot>> {
    let now = rows::lock(transaction, exhibition_id).await?.picture;
    seen.expect(Shot::tag(now.as_ref()))?;
    Ok(now)
}

/// Takes the picture of an exhibition away.
///
/// It is deleted; copies that nginx keeps go within ten minutes, those in browsers when they are cleared.
#[utoipa::path(delete, path = "/api/admin/exhibitions/{code}/picture", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."),
        ("If-Match" = String, Header, description = "The ETag of what the caller has seen.")),
    responses((status = 204, description = "there is none now"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn remove_picture(AppState(app): AppState<App>, admin: AdminOf, seen: IfMatch) -> Result<StatusCode> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let before = locked(&transaction, admin.exhibition.id, &seen).await?;
    if before.is_some() {
        pg::remove_picture(&transaction, admin.exhibition.id).await?;
        record(&transaction, &admin, before.as_ref(), None).await?;
    }
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn told(shot: Option<&Shot>) -> Value {
    let texts = |of: fn(&Shot) -> &String| shot.map(of);
    json!({ "picture": shot.map(Shot::digest), "alt_ko": texts(|shot| &shot.alt), "alt_en": texts(|shot| &shot.alt_en) })
}

async fn record(
    transaction: &deadpool_postgres::Transaction<'_>,
    admin: &AdminOf,
    before: Option<&Shot>,
    after: Option<&Shot>,
) -> Result<()> {
    let entry = Entry {
        by: &Actor::from(admin),
        action: "exhibition.picture",
        exhibition_id: Some(admin.exhibition.id),
        before: told(before),
        after: told(after),
    };
    audit::record(transaction, &entry).await
}
