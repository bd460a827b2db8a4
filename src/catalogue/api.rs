//! The public reads: identical for everybody, ready in memory, cacheable for a second.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State as AppState;
use axum::http::{HeaderValue, Response, header};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::model::{Exhibition, Product, Shot, Slot};
use super::{pg, picture};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::Path;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(detail))
        .routes(routes!(products))
        .routes(routes!(show_picture))
}

#[derive(Serialize, ToSchema)]
pub struct ExhibitionList {
    exhibitions: Vec<ExhibitionListed>,
    /// When this picture was taken (UTC).
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
}

#[derive(Serialize, ToSchema)]
struct ExhibitionListed {
    #[serde(flatten)]
    summary: ExhibitionSummary,
    slots: Vec<SlotShown>,
}

#[derive(Serialize, ToSchema)]
struct ExhibitionSummary {
    code: String,
    name: String,
    name_en: String,
    description: String,
    description_en: String,
    venue: String,
    venue_en: String,
    #[schema(value_type = String, format = Date)]
    starts_on: Date,
    #[schema(value_type = String, format = Date)]
    ends_on: Date,
    #[schema(value_type = String, format = DateTime)]
    sale_start: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    sale_end: Timestamp,
    paused: bool,
    /// Why, where somebody has said.
    pause_reason: Option<String>,
    pause_reason_en: Option<String>,
    /// None: there is no picture.
    picture: Option<Shot>,
}

#[derive(Serialize, ToSchema)]
pub struct ExhibitionDetail {
    #[serde(flatten)]
    summary: ExhibitionSummary,
    /// Places one person may hold or own; null: no limit.
    person_limit: Option<i32>,
    /// How long a hold lasts before it lapses. [seconds]
    hold_ttl_s: i32,
    slots: Vec<SlotShown>,
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// Redis was away: counts are the last that Postgres knew.
    stale: bool,
}

#[derive(Serialize, ToSchema)]
struct SlotShown {
    id: i32,
    /// Visit date in Asia/Seoul.
    #[schema(value_type = String, format = Date)]
    date: Date,
    /// Null: all day. `HH:MM:SS` in Asia/Seoul.
    #[schema(value_type = Option<String>)]
    start_time: Option<jiff::civil::Time>,
    #[schema(value_type = Option<String>)]
    end_time: Option<jiff::civil::Time>,
    capacity: i32,
    available_quantity: i64,
    /// on_sale, held_by_others, sold_out, not_yet, paused or ended.
    state: &'static str,
}

#[derive(Serialize, ToSchema)]
pub struct ProductList {
    products: Vec<ProductShown>,
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    stale: bool,
}

#[derive(Serialize, ToSchema)]
struct ProductShown {
    id: i32,
    name: String,
    name_en: String,
    /// The kind of ticket: adult, youth, child, …
    r#type: String,
    /// True: an order needs a visit date.
    dated: bool,
    /// Whole won.
    price: i32,
    currency: &'static str,
    available_quantity: i64,
    per_order_max: i32,
    /// Places that one person may hold or own over all orders; null: no limit of its own.
    per_person_max: Option<i32>,
    /// on_sale, held_by_others, sold_out, not_yet, paused or ended.
    state: &'static str,
    #[schema(value_type = String, format = DateTime)]
    sale_start: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    sale_end: Timestamp,
}

fn summary(e: &Exhibition) -> ExhibitionSummary {
    ExhibitionSummary {
        code: e.code.clone(),
        name: e.name_ko.clone(),
        name_en: e.name_en.clone(),
        description: e.description_ko.clone(),
        description_en: e.description_en.clone(),
        venue: e.venue_ko.clone(),
        venue_en: e.venue_en.clone(),
        starts_on: e.starts_on,
        ends_on: e.ends_on,
        sale_start: e.sale_start,
        sale_end: e.sale_end,
        paused: e.is_paused(),
        pause_reason: e.pause_reason().map(|pause| pause.reason_ko.clone()),
        pause_reason_en: e.pause_reason().map(|pause| pause.reason_en.clone()),
        picture: e.picture.clone(),
    }
}

fn slot_shown(e: &Exhibition, slot: &Slot, now: Timestamp, today: Date) -> SlotShown {
    SlotShown {
        id: slot.id,
        date: slot.date,
        start_time: slot.start_time,
        end_time: slot.end_time,
        capacity: e.stock.get(&slot.stock_id).map_or(0, |a| a.level.total.min(a.level.offered)),
        available_quantity: e.free(slot.stock_id),
        state: e.slot_state(slot, now, today).as_str(),
    }
}

fn product_shown(e: &Exhibition, product: &Product, now: Timestamp) -> ProductShown {
    let (sale_start, sale_end) = e.window(product);
    ProductShown {
        id: product.id,
        name: product.name_ko.clone(),
        name_en: product.name_en.clone(),
        r#type: product.kind.clone(),
        dated: product.dated,
        price: product.price_won,
        currency: "KRW",
        available_quantity: e.free(product.stock_id),
        per_order_max: product.per_order_max,
        per_person_max: product.per_person_max,
        state: e.product_state(product, now).as_str(),
        sale_start,
        sale_end,
    }
}

fn json(value: &impl Serialize) -> Bytes {
    // Plain structs of strings and numbers always serialise.
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}

/// The slots that are still to come.
fn slots_shown(e: &Exhibition, now: Timestamp, today: Date) -> Vec<SlotShown> {
    e.slots.iter().filter(|s| s.date >= today).map(|s| slot_shown(e, s, now, today)).collect()
}

pub(super) fn list_body<'e>(
    exhibitions: impl Iterator<Item = &'e Arc<Exhibition>>,
    as_of: Timestamp,
    today: Date,
) -> Bytes {
    let listed = |e: &Arc<Exhibition>| ExhibitionListed { summary: summary(e), slots: slots_shown(e, as_of, today) };
    json(&ExhibitionList { exhibitions: exhibitions.map(listed).collect(), as_of })
}

pub(super) fn detail_body(e: &Exhibition, now: Timestamp, today: Date, stale: bool) -> Bytes {
    json(&ExhibitionDetail {
        summary: summary(e),
        person_limit: e.person_limit,
        hold_ttl_s: e.hold_ttl_s,
        slots: slots_shown(e, now, today),
        as_of: now,
        stale,
    })
}

pub(super) fn products_body(e: &Exhibition, now: Timestamp, stale: bool) -> Bytes {
    json(&ProductList { products: e.products.iter().map(|p| product_shown(e, p, now)).collect(), as_of: now, stale })
}

fn public(body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=1"));
    response
}

/// All exhibitions.
#[utoipa::path(get, path = "/api/exhibitions", tag = "catalogue",
    responses((status = 200, body = ExhibitionList), (status = 503, description = "server.starting")))]
async fn list(AppState(app): AppState<App>) -> Result<Response<Body>> {
    let snapshot = app.catalogue.current();
    snapshot.ready()?;
    Ok(public(snapshot.list.clone()))
}

/// One exhibition with its slots.
#[utoipa::path(get, path = "/api/exhibitions/{code}", tag = "catalogue", params(("code" = String, Path,)),
    responses((status = 200, body = ExhibitionDetail), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting")))]
async fn detail(AppState(app): AppState<App>, Path(code): Path<String>) -> Result<Response<Body>> {
    Ok(public(app.catalogue.current().shown(&code)?.detail.clone()))
}

/// Products of an exhibition with what is free now.
#[utoipa::path(get, path = "/api/exhibitions/{code}/products", tag = "catalogue", params(("code" = String, Path,)),
    responses((status = 200, body = ProductList), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting")))]
async fn products(AppState(app): AppState<App>, Path(code): Path<String>) -> Result<Response<Body>> {
    Ok(public(app.catalogue.current().shown(&code)?.products.clone()))
}

/// Pictures that no page shows any more, or that never were, looked for at once.
static UNSHOWN: Semaphore = Semaphore::const_new(2);

/// A picture, by the address that the catalogue gives. It never changes.
#[utoipa::path(get, path = "/pictures/{file}", tag = "catalogue", params(("file" = String, Path,)),
    responses((status = 200, body = Vec<u8>, content_type = "image/jpeg"),
        (status = 404, description = "request.not_found"),
        (status = 503, description = "server.busy, server.database_away")))]
async fn show_picture(AppState(app): AppState<App>, Path(file): Path<String>) -> Result<Response<Body>> {
    let unknown = || Error::not_found("request.not_found");
    let (digest, width) = picture::parse(&file).ok_or_else(unknown)?;
    let shown = |e: &Arc<Exhibition>| e.picture.as_ref().is_some_and(|shot| shot.url.contains(digest));
    let known = app.catalogue.current().exhibitions().iter().any(shown);
    // What is shown nowhere may still be asked for, but not by many at once: the pool is the sale's.
    let busy = |_| Error::unavailable("server.busy", "too many pictures that are shown nowhere");
    let _turn = if known { None } else { Some(UNSHOWN.try_acquire().map_err(busy)?) };
    let body = pg::picture(&app.pg.get().await?, digest, width).await?.ok_or_else(unknown)?;
    let mut response = Response::new(Body::from(Bytes::from(body)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    Ok(response)
}
