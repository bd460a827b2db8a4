//! Exhibitions: listed, made, copied, changed, published, archived.

use axum::extract::State as AppState;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::pg::exhibitions::{self as pg, ExhibitionRow};
use super::settings::{self, ExhibitionSettings};
use super::{EXHIBITIONS_MAX, End, Ended, Follow, copy, difference, follow, record};
use crate::admin::Exhibitions;
use crate::admin::access::{AdminOf, Owner, Support, SupportOf};
use crate::admin::audit::Actor;
use crate::app::App;
use crate::catalogue::model::{Shot, Stage};
use crate::error::{Error, Result};
use crate::platform::http::extract::{laid_over, read, tagged};
use crate::platform::http::{IfMatch, Json};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(look, change, end))
}

#[derive(Serialize, ToSchema)]
struct ExhibitionShown {
    /// Its address; never changes.
    code: String,
    /// The ETag, for the next change.
    revision: i64,
    #[serde(flatten)]
    settings: ExhibitionSettings,
    /// Set and taken away by calls of its own, which do not change the revision.
    picture: Option<Shot>,
    /// The ETag of the picture and its texts, for the next change of them; none: there is no picture.
    picture_tag: String,
}

impl From<ExhibitionRow> for ExhibitionShown {
    fn from(row: ExhibitionRow) -> ExhibitionShown {
        let picture_tag = Shot::tag(row.picture.as_ref());
        ExhibitionShown {
            code: row.code,
            revision: row.revision,
            settings: row.settings,
            picture: row.picture,
            picture_tag,
        }
    }
}

fn shown(status: StatusCode, row: ExhibitionRow) -> Result<Response> {
    tagged(status, row.revision, ExhibitionShown::from(row))
}

#[derive(Serialize, ToSchema)]
struct ExhibitionsShown {
    /// By code, drafts and archived ones among them; 500 at most.
    exhibitions: Vec<ExhibitionShown>,
}

/// The exhibitions that the caller may enter.
#[utoipa::path(get, path = "/api/admin/exhibitions", tag = "admin", security(("staff" = [])),
    responses((status = 200, body = ExhibitionsShown),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 503, description = "server.database_away")))]
async fn list(AppState(app): AppState<App>, by: Support) -> Result<Response> {
    let ids = match &by.user.exhibitions {
        Exhibitions::All => None,
        Exhibitions::Of(ids) => Some(ids.as_slice()),
    };
    let rows = pg::list(&app.pg.get().await?, ids).await?;
    let body = ExhibitionsShown { exhibitions: rows.into_iter().map(ExhibitionShown::from).collect() };
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response())
}

#[derive(Deserialize, ToSchema)]
struct NewExhibition {
    /// Its address, for good: 2 to 31 of a-z, 0-9 and hyphens.
    code: String,
    /// Code of another that it is to be like: its texts, picture, limits, refund rules, rules of entry, waiting room, products and slots,
    /// as many days later as its first day is. It begins with all places on offer, nothing paused and no slot closed. Fields that
    /// are sent as well are laid over.
    copy_from: Option<String>,
    /// With `copy_from`: whoever belongs to that one belongs to this one as well, from their next access token on (15 minutes at most).
    #[serde(default)]
    copy_people: bool,
    /// Needed with `copy_from`.
    #[schema(value_type = Option<String>, format = Date)]
    first_day: Option<Date>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body")]
struct ExhibitionAsk {
    #[schema(inline)]
    #[serde(flatten)]
    new: NewExhibition,
    #[serde(flatten)]
    settings: ExhibitionSettings,
}

/// Makes an exhibition: a draft, that only its admins know.
#[utoipa::path(post, path = "/api/admin/exhibitions", tag = "admin", security(("staff" = [])), request_body = ExhibitionAsk,
    responses((status = 201, body = ExhibitionShown, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn create(AppState(app): AppState<App>, owner: Owner, Json(asked): Json<Map<String, Value>>) -> Result<Response> {
    let ask: NewExhibition = read(&asked)?;
    settings::check_code(&ask.code)?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let source = match &ask.copy_from {
        Some(code) => Some(copy::source(&transaction, code, ask.first_day, app.clock.now()).await?),
        None => None,
    };
    let mut settings = match &source {
        Some(source) => laid_over(&source.settings, asked)?,
        None => read::<ExhibitionSettings>(&asked)?,
    };
    settings.check(&app, None)?;
    if let Some(source) = &source {
        source.expect_within(&settings)?;
    }
    if pg::count(&transaction).await? >= EXHIBITIONS_MAX {
        return Err(Error::field("code", "too_many"));
    }
    let id = pg::insert(&transaction, &ask.code, &settings).await?.ok_or_else(|| Error::field("code", "taken"))?;
    let (mut what, mut people) = (Follow::Nothing, Vec::new());
    if let Some(source) = &source {
        copy::fill(&transaction, source, id).await?;
        if ask.copy_people {
            people = copy::take_over(&transaction, source, id).await?;
        }
        what = Follow::NewStock;
    }
    let made = pg::one(&transaction, id).await?;
    let room = source.as_ref().and_then(|source| source.room.as_ref());
    let after = json!({ "code": ask.code, "copy_from": ask.copy_from, "people": people, "room": room, "settings": made.settings });
    record(&transaction, &Actor::from(&owner), "exhibition.create", Some(id), (Value::Null, after)).await?;
    transaction.commit().await?;
    follow(&app, id, &ask.code, what).await;
    shown(StatusCode::CREATED, made)
}

/// One exhibition.
#[utoipa::path(get, path = "/api/admin/exhibitions/{code}", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition.")),
    responses((status = 200, body = ExhibitionShown, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn look(AppState(app): AppState<App>, by: SupportOf) -> Result<Response> {
    shown(StatusCode::OK, pg::one(&app.pg.get().await?, by.exhibition.id).await?)
}

/// Changes an exhibition: what is left out stays as it is. It counts within a second, everywhere.
#[utoipa::path(put, path = "/api/admin/exhibitions/{code}", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."),
        ("If-Match" = String, Header, description = "The ETag of what the caller has seen.")),
    request_body = ExhibitionSettings,
    responses((status = 200, body = ExhibitionShown, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn change(
    AppState(app): AppState<App>,
    admin: AdminOf,
    seen: IfMatch,
    Json(asked): Json<Map<String, Value>>,
) -> Result<Response> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let before = pg::lock(&transaction, admin.exhibition.id).await?;
    seen.expect(before.revision)?;
    let mut settings: ExhibitionSettings = laid_over(&before.settings, asked)?;
    settings.check(&app, Some(&before.settings))?;
    let days = settings.starts_on..=settings.ends_on;
    let outside = |(first, last)| !(days.contains(&first) && days.contains(&last));
    if pg::days(&transaction, before.id).await?.is_some_and(outside) {
        return Err(Error::field("ends_on", "slots_outside"));
    }
    if settings == before.settings {
        return shown(StatusCode::OK, before);
    }
    let after = write(&transaction, &Actor::from(&admin), "exhibition.change", &before, &settings).await?;
    transaction.commit().await?;
    follow(&app, after.id, &after.code, Follow::Nothing).await;
    shown(StatusCode::OK, after)
}

async fn write(
    transaction: &deadpool_postgres::Transaction<'_>,
    by: &Actor,
    action: &'static str,
    before: &ExhibitionRow,
    settings: &ExhibitionSettings,
) -> Result<ExhibitionRow> {
    let after = pg::update(transaction, before.id, settings).await?;
    let change = difference(("exhibition", before.id), &before.settings, &after.settings)?;
    record(transaction, by, action, Some(before.id), change).await?;
    Ok(after)
}

/// Ends an exhibition: a draft that nobody has an order for, with no devices and no room that was set or moved, is deleted, any
/// other archived.
#[utoipa::path(delete, path = "/api/admin/exhibitions/{code}", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."),
        ("If-Match" = String, Header, description = "The ETag of what the caller has seen.")),
    responses((status = 200, body = Ended),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn end(AppState(app): AppState<App>, admin: AdminOf, seen: IfMatch) -> Result<axum::Json<Ended>> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let before = pg::lock_whole(&transaction, admin.exhibition.id).await?;
    seen.expect(before.revision)?;
    let by = Actor::from(&admin);
    let outcome = if before.settings.stage == Stage::Draft && !pg::is_kept(&transaction, before.id).await? {
        pg::delete(&transaction, before.id).await?;
        let gone = json!({ "code": before.code, "settings": before.settings });
        record(&transaction, &by, "exhibition.delete", Some(before.id), (gone, Value::Null)).await?;
        End::Deleted
    } else {
        if before.settings.stage != Stage::Archived {
            let settings = ExhibitionSettings { stage: Stage::Archived, ..before.settings.clone() };
            write(&transaction, &by, "exhibition.archive", &before, &settings).await?;
        }
        End::Archived
    };
    transaction.commit().await?;
    follow(&app, before.id, &before.code, Follow::Nothing).await;
    Ok(axum::Json(Ended { outcome }))
}
