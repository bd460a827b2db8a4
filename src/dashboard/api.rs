//! The dashboard, and the live board as a stream.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State as AppState;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::live::LiveBoard;
use super::pg::{self, DayFigures, HourFigures, Totals};
use crate::admin::access::{Support, SupportOf};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Result};
use crate::platform::clock::seoul_day;
use crate::platform::http::Query;

const HOURS: i64 = 48;
const DAYS_MAX: i64 = 400;
/// A stream ends by itself and is opened anew: whoever lost their rights meanwhile is refused then.
const STREAM: Duration = Duration::from_secs(15 * 60);

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(dashboard)).routes(routes!(live))
}

#[derive(Deserialize)]
struct Which {
    exhibition: String,
}

#[derive(Serialize, ToSchema)]
struct Dashboard {
    exhibition_code: String,
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    currency: &'static str,
    /// Paid.
    total_orders: i64,
    /// Paid for them, what was given back included.
    total_revenue: i64,
    today_orders: i64,
    today_revenue: i64,
    refunds: Refunds,
    /// How often somebody was let in.
    entrance_count: i64,
    /// Places sold and not given back, by type of product.
    products_sold: BTreeMap<String, i64>,
    products: Vec<ProductFigures>,
    slots: Vec<SlotFigures>,
    /// The last 48.
    hours: Vec<HourFigures>,
    /// The newest first.
    days: Vec<DayFigures>,
    conversion: Conversion,
    success: Successes,
}

#[derive(Serialize, ToSchema)]
struct Refunds {
    count: i64,
    /// Whole won.
    amount: i64,
}

#[derive(Serialize, ToSchema)]
struct ProductFigures {
    id: i32,
    name_ko: String,
    name_en: String,
    r#type: String,
    price: i32,
    sold: i64,
    given_back: i64,
    /// Whole won, what was given back included.
    revenue: i64,
    free: i64,
    offered: i32,
    total: i32,
}

#[derive(Serialize, ToSchema)]
struct SlotFigures {
    id: i32,
    #[schema(value_type = String, format = Date)]
    date: jiff::civil::Date,
    #[schema(value_type = Option<String>)]
    start_time: Option<jiff::civil::Time>,
    #[schema(value_type = Option<String>)]
    end_time: Option<jiff::civil::Time>,
    sold: i64,
    given_back: i64,
    free: i64,
    offered: i32,
    total: i32,
}

/// From the waiting room to a ticket. Null where no room is open: nobody counted.
#[derive(Serialize, ToSchema)]
struct Conversion {
    joined: Option<u32>,
    admitted: Option<u32>,
    placed: i64,
    paid: i64,
}

/// Shares of 1; null: nothing was tried.
#[derive(Serialize, ToSchema)]
struct Successes {
    /// Orders that were placed, of all that could have been: sold out, a limit or a mistake of the visitor's is no failure.
    reservation: Success,
    /// Payments that came to a certain end at once, accepted or refused by the bank; doubt and an absent provider are failures.
    payment: Success,
    /// Scans that were answered, with whatever verdict.
    scan: Success,
}

#[derive(Serialize, ToSchema)]
struct Success {
    rate: Option<f64>,
    of: i64,
}

impl Success {
    fn new(of: i64, failed: i64) -> Success {
        Success { rate: (of > 0).then(|| (of - failed) as f64 / of as f64), of }
    }
}

/// Figures of an exhibition, kept up as things happen; some seconds old.
#[utoipa::path(get, path = "/api/admin/dashboard", tag = "admin", security(("staff" = [])),
    params(("exhibition" = String, Query, description = "Code of the exhibition.")),
    responses((status = 200, body = Dashboard), (status = 400, description = "request.malformed_query"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn dashboard(AppState(app): AppState<App>, by: Support, Query(which): Query<Which>) -> Result<Response> {
    let exhibition = app.catalogue.current().known(&which.exhibition)?;
    if !by.user.may_enter(exhibition.id) {
        return Err(Error::forbidden("auth.forbidden"));
    }
    let now = app.clock.now();
    let today = seoul_day(app.clock.today_in_seoul())?.0;
    let until = now.round(jiff::TimestampRound::new().smallest(jiff::Unit::Hour).mode(jiff::RoundMode::Trunc));
    let until = until.map_err(Error::bug)?;
    let client = app.pg.get().await?;
    let totals = pg::totals(&client, exhibition.id, today).await?;
    let hours = pg::hours(&client, exhibition.id, until - SignedDuration::from_hours(HOURS - 1), until).await?;
    let days = pg::days(&client, exhibition.id, DAYS_MAX).await?;
    let (by_product, by_slot) = (pg::products(&client, exhibition.id).await?, pg::slots(&client, exhibition.id).await?);
    drop(client);
    let products = products(&exhibition, &by_product);
    let mut products_sold = BTreeMap::new();
    for product in &products {
        *products_sold.entry(product.r#type.clone()).or_default() += product.sold - product.given_back;
    }
    let body = Dashboard {
        exhibition_code: exhibition.code.clone(),
        as_of: now,
        currency: "KRW",
        total_orders: totals.paid,
        total_revenue: totals.revenue_won,
        today_orders: totals.today_paid,
        today_revenue: totals.today_won,
        refunds: Refunds { count: totals.refunds, amount: totals.refunded_won },
        entrance_count: totals.entrances,
        products_sold,
        products,
        slots: slots(&exhibition, &by_slot),
        hours,
        days,
        conversion: conversion(&app, &exhibition, &totals),
        success: Successes {
            reservation: Success::new(totals.tried, totals.failed),
            payment: Success::new(totals.sent, totals.doubted),
            scan: Success::new(totals.scanned, totals.scan_failed),
        },
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response())
}

fn products(e: &Exhibition, sold: &std::collections::HashMap<i32, pg::Sold>) -> Vec<ProductFigures> {
    let figures = e.products.iter().filter_map(|product| {
        let (stock, sold) = (e.stock.get(&product.stock_id)?, sold.get(&product.id).copied().unwrap_or_default());
        Some(ProductFigures {
            id: product.id,
            name_ko: product.name_ko.clone(),
            name_en: product.name_en.clone(),
            r#type: product.kind.clone(),
            price: product.price_won,
            sold: sold.sold,
            given_back: sold.given_back,
            revenue: sold.won,
            free: e.free(product.stock_id),
            offered: stock.level.offered,
            total: stock.level.total,
        })
    });
    figures.collect()
}

fn slots(e: &Exhibition, sold: &std::collections::HashMap<i32, pg::Sold>) -> Vec<SlotFigures> {
    let figures = e.slots.iter().filter_map(|slot| {
        let (stock, sold) = (e.stock.get(&slot.stock_id)?, sold.get(&slot.id).copied().unwrap_or_default());
        Some(SlotFigures {
            id: slot.id,
            date: slot.date,
            start_time: slot.start_time,
            end_time: slot.end_time,
            sold: sold.sold,
            given_back: sold.given_back,
            free: e.free(slot.stock_id),
            offered: stock.level.offered,
            total: stock.level.total,
        })
    });
    figures.collect()
}

fn conversion(app: &App, e: &Exhibition, totals: &Totals) -> Conversion {
    let lanes = app.rooms.of(&e.code).map(|room| {
        let view = room.view();
        let sum = |of: fn(&crate::waiting_room::model::LaneSnap) -> u32| view.snap.lanes.iter().map(of).sum::<u32>();
        (sum(|lane| lane.seq), sum(|lane| lane.serving))
    });
    Conversion {
        joined: lanes.map(|lanes| lanes.0),
        // Nobody behind the last number has been called.
        admitted: lanes.map(|lanes| lanes.1.min(lanes.0)),
        placed: totals.placed,
        paid: totals.paid,
    }
}

/// The live board: a picture as soon as it is opened and another whenever something newer is known, which is at least once a
/// second and about three times, as server-sent events (`board`). Each is
/// whole, so that whoever comes back has missed nothing. It ends after 15 minutes, or when the instance does: open it again.
#[utoipa::path(get, path = "/api/admin/exhibitions/{code}/live", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition.")),
    responses((status = 200, body = LiveBoard, content_type = "text/event-stream"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting")))]
async fn live(AppState(app): AppState<App>, by: SupportOf) -> Result<Response> {
    let board = app.boards.watch(&app, &by.exhibition.code);
    let (stopping, until) = (app.lifecycle.stopping(), tokio::time::Instant::now() + STREAM);
    let events = stream::unfold((board, true), move |(mut board, first)| {
        let (stopping, app) = (stopping.clone(), app.clone());
        async move {
            if !first {
                tokio::select! {
                    () = stopping.cancelled() => return None,
                    () = tokio::time::sleep_until(until) => return None,
                    changed = board.changed() => changed.ok()?,
                }
            }
            let picture = board.borrow_and_update().clone();
            let event = format!("event: board\nid: {}\ndata: {picture}\n\n", app.clock.now_ms());
            Some((Ok::<_, Infallible>(Bytes::from(event)), (board, false)))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx hands on each event as it comes.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}
