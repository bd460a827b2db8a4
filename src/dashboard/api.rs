//! The dashboard, and the live board as a stream.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
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
use super::pg::{self, DayFigures, HourFigures, Totals, Tries};
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
    exhibition: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Dashboard {
    /// Null: the sums of all that the caller may enter.
    exhibition_code: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// Orders are told of up to here: a second ago while all is well, long ago while no worker adds them up.
    #[schema(value_type = String, format = DateTime)]
    figures_as_of: Timestamp,
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
    /// Let in today and not yet out, as far as people are scanned out.
    people_inside: i64,
    /// Places sold and not given back, by type of product.
    products_sold: BTreeMap<String, i64>,
    /// Of one exhibition; of all there are `exhibitions`.
    products: Vec<ProductFigures>,
    slots: Vec<SlotFigures>,
    exhibitions: Vec<ExhibitionFigures>,
    /// The last 48.
    hours: Vec<HourFigures>,
    /// The newest first.
    days: Vec<DayFigures>,
    conversion: Conversion,
    success: Successes,
    /// The last nightly comparison of all figures with the history; null: none was made yet.
    checked: Option<Checked>,
}

#[derive(Serialize, ToSchema)]
struct Checked {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Kinds of figures that differed; `admit doctor --sweep` says more.
    differences: usize,
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

#[derive(Serialize, ToSchema)]
struct ExhibitionFigures {
    code: String,
    total_orders: i64,
    total_revenue: i64,
    today_orders: i64,
    today_revenue: i64,
    today_entrances: i64,
    people_inside: i64,
}

/// Orders of the whole sale, step by step; no step is more than the one before.
#[derive(Serialize, ToSchema)]
struct Conversion {
    placed: i64,
    /// Their payment began.
    attempted: i64,
    paid: i64,
    /// Null: nobody has ever waited.
    room: Option<RoomConversion>,
}

/// People of all openings of the waiting room but rehearsals, by their passes: each counts once at every step, however many orders they
/// place. Orders placed while no room was open are not among them.
#[derive(Serialize, ToSchema)]
struct RoomConversion {
    joined: i64,
    admitted: i64,
    placed: i64,
    attempted: i64,
    paid: i64,
}

impl From<&Totals> for Conversion {
    fn from(totals: &Totals) -> Conversion {
        // Whoever placed an order was let in, and had joined: what a process counted is lost when it is killed.
        let admitted = totals.admitted.max(totals.came_placed);
        let room = RoomConversion {
            joined: totals.joined.max(admitted),
            admitted,
            placed: totals.came_placed,
            attempted: totals.came_attempted,
            paid: totals.came_paid,
        };
        let (placed, attempted, paid) = (totals.placed, totals.attempted, totals.paid);
        Conversion { placed, attempted, paid, room: Some(room).filter(|room| room.joined > 0) }
    }
}

/// Shares of 1; null: nothing was tried.
#[derive(Serialize, ToSchema)]
struct Successes {
    /// Orders that were placed, of all that could have been: sold out, a limit or a mistake of the visitor's is no failure.
    reservation: Success,
    /// Payments that came to a certain end at once: accepted, refused by the bank, or an account to pay into; doubt and an absent provider
    /// are failures. Each attempt counts once. Cash and what staff marked as paid are not among them.
    payment: Success,
    /// Scans that were answered, with whatever verdict.
    scan: Success,
}

/// Of the whole sale, and of today in Asia/Seoul: what goes wrong today must not hide behind weeks that were fine.
#[derive(Serialize, ToSchema)]
struct Success {
    rate: Option<f64>,
    of: i64,
    today: Share,
}

#[derive(Serialize, ToSchema)]
struct Share {
    rate: Option<f64>,
    of: i64,
}

impl Share {
    fn new(of: i64, failed: i64) -> Share {
        Share { rate: (of > 0).then(|| (of - failed) as f64 / of as f64), of }
    }
}

impl Success {
    /// `of` tells how many were tried, and how many of them failed.
    fn new(totals: &Totals, of: impl Fn(&Tries) -> (i64, i64)) -> Success {
        let [whole, today] = [&totals.tries, &totals.today_tries].map(|tries| {
            let (tried, failed) = of(tries);
            Share::new(tried, failed)
        });
        Success { rate: whole.rate, of: whole.of, today }
    }
}

/// Figures of an exhibition, or of all that the caller may enter; kept up as things happen, some seconds old.
#[utoipa::path(get, path = "/api/admin/dashboard", tag = "admin", security(("staff" = [])),
    params(("exhibition" = Option<String>, Query, description = "Code of the exhibition; without it all together.")),
    responses((status = 200, body = Dashboard), (status = 400, description = "request.malformed_query"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn dashboard(AppState(app): AppState<App>, by: Support, Query(which): Query<Which>) -> Result<Response> {
    let catalogue = app.catalogue.current();
    let (one, all) = match &which.exhibition {
        Some(code) => {
            let exhibition = catalogue.known(code)?;
            if !by.user.may_enter(exhibition.id) {
                return Err(Error::forbidden("auth.forbidden"));
            }
            (Some(exhibition.clone()), vec![exhibition])
        }
        None => {
            catalogue.ready()?;
            let entered = catalogue.exhibitions().iter().filter(|exhibition| by.user.may_enter(exhibition.id));
            (None, entered.cloned().collect())
        }
    };
    let body = figures(&app, one.as_deref(), &all).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response())
}

/// Of `one`, or of all together.
async fn figures(app: &App, one: Option<&Exhibition>, all: &[Arc<Exhibition>]) -> Result<Dashboard> {
    let now = app.clock.now();
    let today = seoul_day(app.clock.today_in_seoul())?.0;
    let until = now.round(jiff::TimestampRound::new().smallest(jiff::Unit::Hour).mode(jiff::RoundMode::Trunc));
    let until = until.map_err(Error::bug)?;
    let ids: Vec<i32> = all.iter().map(|exhibition| exhibition.id).collect();
    let mut inside = HashMap::new();
    for id in &ids {
        inside.insert(*id, app.gate_board.counts(app, *id).await?.inside);
    }
    let client = app.pg.get().await?;
    // Before they are read: what is read into them meanwhile makes them no older.
    let figures_as_of = pg::fold::unread(&client).await?.map_or(now, |at| at.min(now));
    let by_exhibition = pg::totals(&client, &ids, today).await?;
    let hours = pg::hours(&client, &ids, until - SignedDuration::from_hours(HOURS - 1), until).await?;
    let days = pg::days(&client, &ids, DAYS_MAX).await?;
    let (by_product, by_slot) = (pg::products(&client, &ids).await?, pg::slots(&client, &ids).await?);
    let checked = pg::check::last(&client).await?.map(|(at, found)| Checked { at, differences: found.len() });
    drop(client);
    let mut products_sold = BTreeMap::new();
    for product in all.iter().flat_map(|exhibition| products(exhibition, &by_product)) {
        *products_sold.entry(product.r#type).or_default() += product.sold - product.given_back;
    }
    let totals: Totals = by_exhibition.values().copied().sum();
    let each = |exhibition: &Arc<Exhibition>| {
        let of = by_exhibition.get(&exhibition.id).copied().unwrap_or_default();
        ExhibitionFigures {
            code: exhibition.code.clone(),
            total_orders: of.paid,
            total_revenue: of.revenue_won,
            today_orders: of.today_paid,
            today_revenue: of.today_won,
            today_entrances: of.today_entrances,
            people_inside: inside[&exhibition.id],
        }
    };
    Ok(Dashboard {
        exhibition_code: one.map(|exhibition| exhibition.code.clone()),
        as_of: now,
        figures_as_of,
        currency: "KRW",
        total_orders: totals.paid,
        total_revenue: totals.revenue_won,
        today_orders: totals.today_paid,
        today_revenue: totals.today_won,
        refunds: Refunds { count: totals.refunds, amount: totals.refunded_won },
        entrance_count: totals.entrances,
        people_inside: inside.values().sum(),
        products_sold,
        products: one.map(|exhibition| products(exhibition, &by_product)).unwrap_or_default(),
        slots: one.map(|exhibition| slots(exhibition, &by_slot)).unwrap_or_default(),
        exhibitions: if one.is_some() { vec![] } else { all.iter().map(each).collect() },
        hours,
        days,
        conversion: Conversion::from(&totals),
        success: Successes {
            reservation: Success::new(&totals, |of| (of.tried, of.failed)),
            payment: Success::new(&totals, |of| (of.sent, of.doubted)),
            scan: Success::new(&totals, |of| (of.scanned, of.scan_failed)),
        },
        checked,
    })
}

fn products(e: &Exhibition, sold: &HashMap<i32, pg::Sold>) -> Vec<ProductFigures> {
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

fn slots(e: &Exhibition, sold: &HashMap<i32, pg::Sold>) -> Vec<SlotFigures> {
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
