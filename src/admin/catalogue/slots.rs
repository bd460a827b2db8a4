//! Slots: listed, made, changed, put on offer, closed, deleted.

use std::ops::RangeInclusive;

use axum::extract::State as AppState;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use deadpool_postgres::Transaction;
use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::fields::Fields;
use super::pg::exhibitions::{self, ExhibitionRow};
use super::pg::slots::{self as pg, SlotRow};
use super::stocked::{Kind, changed, locked, restocked};
use super::{End, Ended, Follow, OfExhibition, expect_room, follow, follows_total, record};
use crate::admin::access::{Admin, Support};
use crate::admin::audit::Actor;
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::extract::{laid_over, read, tagged};
use crate::platform::http::{IfMatch, Json, Path, Query};
use crate::stock;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(change, end))
}

/// When a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
pub struct Hours {
    #[schema(value_type = String, format = Date)]
    pub date: Date,
    /// Null, as the end: all day.
    #[schema(value_type = Option<String>)]
    pub start_time: Option<Time>,
    #[schema(value_type = Option<String>)]
    pub end_time: Option<Time>,
}

impl Hours {
    pub fn check(&self, days: &RangeInclusive<Date>, fields: &mut Fields) {
        if !days.contains(&self.date) {
            fields.refuse("date", "outside_dates");
        }
        match (self.start_time, self.end_time) {
            (None, None) => {}
            (Some(start), Some(end)) if start < end => {}
            (Some(_), Some(_)) => fields.refuse("end_time", "before_start"),
            (Some(_), None) => fields.refuse("end_time", "required"),
            (None, Some(_)) => fields.refuse("start_time", "required"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SlotSettings {
    /// In Asia/Seoul, one of the exhibition's days. It and the hours are fixed once somebody has an order.
    #[schema(value_type = String, format = Date)]
    pub date: Date,
    /// `HH:MM` in Asia/Seoul; null, as the end: all day.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub start_time: Option<Time>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub end_time: Option<Time>,
    /// Nothing is sold of it.
    #[serde(default)]
    pub closed: bool,
    /// Places that exist; never fewer than are held or sold.
    pub total: i32,
    /// Places that are on offer: may be fewer than are sold, and then nothing more is. Left out, it is all of them, or stays
    /// all of them.
    pub offered: i32,
}

impl SlotSettings {
    pub fn new(hours: Hours, (total, offered): (i32, i32)) -> SlotSettings {
        let Hours { date, start_time, end_time } = hours;
        SlotSettings { date, start_time, end_time, closed: false, total, offered }
    }

    pub fn hours(&self) -> Hours {
        Hours { date: self.date, start_time: self.start_time, end_time: self.end_time }
    }

    fn check(&self, exhibition: &ExhibitionRow) -> Result<()> {
        let mut fields = Fields::default();
        self.hours().check(&days(exhibition), &mut fields);
        fields.places(self.total, self.offered);
        fields.done()
    }
}

pub fn days(exhibition: &ExhibitionRow) -> RangeInclusive<Date> {
    exhibition.settings.starts_on..=exhibition.settings.ends_on
}

#[derive(Serialize, ToSchema)]
pub struct SlotShown {
    id: i32,
    /// The ETag, for the next change.
    revision: i64,
    #[serde(flatten)]
    settings: SlotSettings,
    /// Places of unpaid orders.
    held: i32,
    /// Places of valid tickets.
    sold: i32,
}

impl From<SlotRow> for SlotShown {
    fn from(row: SlotRow) -> SlotShown {
        let SlotRow { id, revision, settings, held, sold, .. } = row;
        SlotShown { id, revision, settings, held, sold }
    }
}

fn shown(status: StatusCode, row: SlotRow) -> Result<Response> {
    tagged(status, row.revision, SlotShown::from(row))
}

#[derive(Serialize, ToSchema)]
struct SlotsShown {
    /// By day and hour.
    slots: Vec<SlotShown>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SlotsQuery {
    /// Code of the exhibition.
    exhibition: String,
    /// First and last day to be listed; absent: all.
    #[param(value_type = Option<String>, format = Date)]
    from: Option<Date>,
    #[param(value_type = Option<String>, format = Date)]
    until: Option<Date>,
}

/// The slots of an exhibition.
#[utoipa::path(get, path = "/api/admin/slots", tag = "admin", security(("staff" = [])), params(SlotsQuery),
    responses((status = 200, body = SlotsShown),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn list(AppState(app): AppState<App>, by: Support, Query(query): Query<SlotsQuery>) -> Result<Response> {
    let exhibition = by.user.enter(&app, &query.exhibition)?;
    let rows = pg::list(&app.pg.get().await?, exhibition.id, query.from, query.until).await?;
    let body = SlotsShown { slots: rows.into_iter().map(SlotShown::from).collect() };
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response())
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body")]
struct SlotAsk {
    #[serde(flatten)]
    of: OfExhibition,
    #[serde(flatten)]
    settings: SlotSettings,
}

/// Makes a slot.
#[utoipa::path(post, path = "/api/admin/slots", tag = "admin", security(("staff" = [])), request_body = SlotAsk,
    responses((status = 201, body = SlotShown, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn create(
    AppState(app): AppState<App>,
    admin: Admin,
    Json(mut asked): Json<Map<String, Value>>,
) -> Result<Response> {
    let of: OfExhibition = read(&asked)?;
    let exhibition = admin.user.enter(&app, &of.exhibition)?;
    follows_total(&mut asked, 0, 0);
    let settings: SlotSettings = read(&asked)?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let locked = exhibitions::lock(&transaction, exhibition.id).await?;
    settings.check(&locked)?;
    if pg::is_there(&transaction, locked.id, &settings.hours(), 0).await? {
        return Err(Error::field("start_time", "taken"));
    }
    expect_room(&transaction, locked.id, 1, "exhibition").await?;
    let stock_id = stock::pg::add_one(&transaction, locked.id, (settings.total, settings.offered)).await?;
    let ids = pg::insert(&transaction, locked.id, &[(stock_id, settings)]).await?;
    let id = *ids.first().ok_or_else(|| Error::bug("a slot that was not made"))?;
    let made = pg::one(&transaction, id).await?;
    let after = json!({ "slot": id, "settings": made.settings });
    record(&transaction, &Actor::from(&admin), "slot.create", Some(locked.id), (Value::Null, after)).await?;
    transaction.commit().await?;
    follow(&app, locked.id, &locked.code, Follow::NewStock).await;
    shown(StatusCode::CREATED, made)
}

#[derive(Deserialize)]
struct Named {
    slot_id: i32,
}

impl Kind for SlotSettings {
    const NAME: &'static str = "slot";
    const CHANGED: &'static str = "slot.change";
    const UNKNOWN: &'static str = "catalogue.unknown_slot";

    async fn one(transaction: &Transaction<'_>, id: i32) -> Result<SlotRow> {
        pg::one(transaction, id).await
    }
}

/// Changes a slot: what is left out stays as it is. It counts within a second, everywhere; what is on offer at once.
#[utoipa::path(put, path = "/api/admin/slots/{slot_id}", tag = "admin", security(("staff" = [])),
    params(("slot_id" = i32, Path, description = "As it was listed."),
        ("If-Match" = String, Header, description = "The ETag of what the caller has seen.")),
    request_body = SlotSettings,
    responses((status = 200, body = SlotShown, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_slot"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn change(
    AppState(app): AppState<App>,
    admin: Admin,
    Path(named): Path<Named>,
    seen: IfMatch,
    Json(mut asked): Json<Map<String, Value>>,
) -> Result<Response> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let (exhibition, before) = locked::<SlotSettings>(&transaction, &admin, named.slot_id, &seen).await?;
    follows_total(&mut asked, before.settings.total, before.settings.offered);
    let settings: SlotSettings = laid_over(&before.settings, asked)?;
    settings.check(&exhibition)?;
    if settings == before.settings {
        return shown(StatusCode::OK, before);
    }
    let same = settings.hours() == before.settings.hours();
    // Also closing has the lock of its places, until no order is added to it any more (`orders::writer`).
    let stock = restocked(&transaction, &before, same, (settings.total, settings.offered)).await?;
    if !same && pg::is_ordered(&transaction, before.id).await? {
        return Err(Error::field("date", "fixed"));
    }
    if !same && pg::is_there(&transaction, exhibition.id, &settings.hours(), before.id).await? {
        return Err(Error::field("start_time", "taken"));
    }
    pg::update(&transaction, before.id, stock.0, &settings).await?;
    shown(StatusCode::OK, changed(&app, transaction, &admin, &exhibition, &before, stock).await?)
}

/// Deletes a slot that nobody has an order for. Any other is closed instead.
#[utoipa::path(delete, path = "/api/admin/slots/{slot_id}", tag = "admin", security(("staff" = [])),
    params(("slot_id" = i32, Path, description = "As it was listed."),
        ("If-Match" = String, Header, description = "The ETag of what the caller has seen.")),
    responses((status = 200, body = Ended),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_slot"),
        (status = 409, description = "catalogue.slot_ordered"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn end(
    AppState(app): AppState<App>,
    admin: Admin,
    Path(named): Path<Named>,
    seen: IfMatch,
) -> Result<axum::Json<Ended>> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let (exhibition, before) = locked::<SlotSettings>(&transaction, &admin, named.slot_id, &seen).await?;
    stock::pg::lock(&transaction, &[before.stock_id]).await?;
    if pg::is_ordered(&transaction, before.id).await? {
        return Err(Error::conflict("catalogue.slot_ordered"));
    }
    pg::delete(&transaction, before.id).await?;
    stock::pg::remove(&transaction, &[before.stock_id]).await?;
    let gone = json!({ "slot": before.id, "settings": before.settings });
    record(&transaction, &Actor::from(&admin), "slot.delete", Some(exhibition.id), (gone, Value::Null)).await?;
    transaction.commit().await?;
    follow(&app, exhibition.id, &exhibition.code, Follow::Nothing).await;
    Ok(axum::Json(Ended { outcome: End::Deleted }))
}
