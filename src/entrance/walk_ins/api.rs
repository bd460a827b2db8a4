//! The till of a device: what it can sell now, a sale, and what it has taken today.

use axum::extract::State as AppState;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::civil::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Till, pg};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::entrance::devices::shift::OnShift;
use crate::entrance::reply::private;
use crate::error::{Error, Result};
use crate::orders::ask::ItemAsk;
use crate::orders::model::Order;
use crate::orders::read::order_url;
use crate::orders::walk_in::{self, Seller, WalkInAsk};
use crate::platform::clock::seoul_day;
use crate::platform::http::observe::RequestId;
use crate::platform::http::{IdempotencyKey, Json, RequestLanguage};
use crate::tickets::{self, picture};

/// A device sells as fast as somebody counts money; a stolen one must not empty the exhibition.
pub const PER_MINUTE: u32 = 20;
/// How long the link to the tickets opens that the visitor takes along; the visit is today. [s]
const LINK_S: i64 = 24 * 3600;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(offers, sell))
}

#[derive(Serialize, ToSchema)]
struct Offers {
    products: Vec<ProductOffered>,
    /// Of today, and not over.
    slots: Vec<SlotOffered>,
    /// Of this device today.
    till: Till,
    currency: &'static str,
}

#[derive(Serialize, ToSchema)]
struct ProductOffered {
    id: i32,
    name_ko: String,
    name_en: String,
    /// Whole won.
    price: i32,
    /// True: it is for one of the slots.
    dated: bool,
    free: i64,
    per_order_max: i32,
}

#[derive(Serialize, ToSchema)]
struct SlotOffered {
    id: i32,
    /// Null: the whole day.
    #[schema(value_type = Option<String>)]
    start_time: Option<Time>,
    #[schema(value_type = Option<String>)]
    end_time: Option<Time>,
    free: i64,
}

/// What this gate can sell now, and what it has taken today.
#[utoipa::path(get, path = "/api/entrance/walk-ins", tag = "entrance", security(("staff" = [])),
    responses((status = 200, body = Offers),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden, device.off_shift, walk_in.not_allowed"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn offers(AppState(app): AppState<App>, by: OnShift) -> Result<Response> {
    let exhibition = app.catalogue.current().by_id(by.staff.home())?;
    if !exhibition.walk_ins {
        return Err(Error::forbidden("walk_in.not_allowed"));
    }
    let client = app.entrance_pg.get().await?;
    let till = pg::of_device(&client, exhibition.id, seoul_day(app.clock.today_in_seoul())?, by.at.device_id).await?;
    Ok(private(offered(&app, &exhibition, app.clock.now(), till)))
}

fn offered(app: &App, e: &Exhibition, now: Timestamp, till: Till) -> Offers {
    let sold = e.products.iter().filter(|product| walk_in::closed_for(app, e, product, now).is_none());
    let products = sold.map(|p| ProductOffered {
        id: p.id,
        name_ko: p.name_ko.clone(),
        name_en: p.name_en.clone(),
        price: p.price_won,
        dated: p.dated,
        free: e.free(p.stock_id),
        per_order_max: p.per_order_max,
    });
    let slots = walk_in::slots_left(app, e).map(|slot| SlotOffered {
        id: slot.id,
        start_time: slot.start_time,
        end_time: slot.end_time,
        free: e.free(slot.stock_id),
    });
    Offers { products: products.collect(), slots: slots.collect(), till, currency: "KRW" }
}

#[derive(Deserialize, ToSchema)]
struct SaleAsk {
    items: Vec<ItemAsk>,
    /// Of today; needed only where several are left.
    #[serde(default)]
    slot_id: Option<i64>,
    /// Whole won: what was taken from the visitor.
    amount: i64,
}

#[derive(Serialize, ToSchema)]
struct Sale {
    order_number: String,
    /// Whole won.
    amount: i32,
    currency: &'static str,
    /// How many people it is for.
    tickets: usize,
    /// Scan this to let them in: the ticket's code, or the group's. Null: they have been given back since.
    qr_code: Option<String>,
    /// The visitor's own page of the tickets; opens for 24 hours.
    tickets_url: String,
    /// The same as a QR for the visitor's phone.
    tickets_url_svg: String,
}

/// Sells what is left of today for cash that is in hand. The same key and body get the same order, and no second one.
#[utoipa::path(post, path = "/api/entrance/walk-ins", tag = "entrance", security(("staff" = [])), request_body = SaleAsk,
    params(("Idempotency-Key" = String, Header,)),
    responses((status = 201, body = Sale),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden, device.off_shift, walk_in.not_allowed"),
        (status = 409, description = "stock.sold_out, sale.paused, walk_in.not_open, walk_in.not_now, walk_in.amount_changed: nothing was sold"),
        (status = 410, description = "order.expired, order.closed: nothing was sold"),
        (status = 422, description = "request.invalid, idempotency.key_reused"),
        (status = 429, description = "walk_in.too_many: 20 a minute for each device"),
        (status = 503, description = "stock.busy, stock.unready, server.redis_away, server.database_away, server.starting, order.unknown_outcome")))]
async fn sell(
    AppState(app): AppState<App>,
    by: OnShift,
    RequestLanguage(language): RequestLanguage,
    RequestId(request_id): RequestId,
    IdempotencyKey(key): IdempotencyKey,
    Json(ask): Json<SaleAsk>,
) -> Result<Response> {
    let device = by.at.device_id;
    if let Some(wait) = app.redis.rate_limit("walk_ins", &device.to_string(), PER_MINUTE, app.clock.now_ms()).await {
        return Err(Error::too_many("walk_in.too_many", wait));
    }
    let seller = Seller {
        staff_id: by.staff.id,
        shift_id: by.at.shift_id,
        device_id: device,
        gate: by.at.gate.clone(),
        language,
        request_id,
        key,
    };
    let ask = WalkInAsk { items: ask.items, slot_id: ask.slot_id, amount_won: ask.amount };
    let order = walk_in::sell(&app, by.staff.home(), ask, seller).await?;
    Ok((StatusCode::CREATED, private(sale(&app, &order).await?)).into_response())
}

async fn sale(app: &App, order: &Order) -> Result<Sale> {
    let exhibition = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    let client = app.pg.get().await?;
    let views = tickets::of_order(app, &client, order.facts.id, &exhibition).await?;
    let group = tickets::group_code(app, order.facts.id, &exhibition, &views)?;
    let url = order_url(app, order, LINK_S);
    Ok(Sale {
        order_number: order.facts.number.clone(),
        amount: order.facts.total_won,
        currency: "KRW",
        tickets: views.len(),
        qr_code: group.or_else(|| views.iter().find_map(|view| view.qr_code.clone())),
        tickets_url_svg: picture::svg(&url)?,
        tickets_url: url,
    })
}
