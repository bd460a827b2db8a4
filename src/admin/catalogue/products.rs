//! Products: listed, made, changed, paused, put on offer, archived.

use axum::extract::State as AppState;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use deadpool_postgres::Transaction;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::fields::Fields;
use super::pg::exhibitions;
use super::pg::products::{self as pg, ProductRow};
use super::stocked::{Kind, changed, locked, restocked};
use super::{End, Ended, Follow, OfExhibition, difference, expect_room, follow, follows_total, record};
use crate::admin::access::{Admin, Support};
use crate::admin::audit::Actor;
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::extract::{laid_over, read, tagged};
use crate::platform::http::{IdempotencyKey, IfMatch, Json, Path, Query};
use crate::platform::secrets::{Purpose, sha256};
use crate::stock;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(change, end))
}

const KIND_CHARS_MAX: usize = 30;
const NAME_CHARS_MAX: usize = 60;
const PRICE_WON_MAX: i32 = 10_000_000;
const PER_ORDER_MAX: i32 = 100;
const POSITION_MAX: i32 = 10_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProductSettings {
    /// adult, youth, child, …: 1 to 30 of a-z, 0-9, hyphens and underscores.
    pub kind: String,
    /// 1 to 60 characters.
    pub name_ko: String,
    pub name_en: String,
    /// 0 to 10,000,000. Orders that were placed keep their price.
    pub price_won: i32,
    /// Whether an order needs a day of visit. Fixed once somebody has an order for it.
    pub dated: bool,
    /// Its places count toward the exhibition's limit per person.
    #[serde(default = "yes")]
    pub person_limited: bool,
    /// 1 to 100.
    #[serde(default = "per_order_max")]
    pub per_order_max: i32,
    /// Places of it that one person may hold or own, whatever the exhibition allows besides, 1 to 100; null: no limit of its own.
    /// Of whom has more already, nothing is taken away.
    #[serde(default)]
    pub per_person_max: Option<i32>,
    /// False: paused. No new orders; those that hold places can still be paid.
    #[serde(default = "yes")]
    pub active: bool,
    /// Its own time of sale; null: the exhibition's.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub sale_start: Option<Timestamp>,
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub sale_end: Option<Timestamp>,
    /// Lower ones are shown first.
    #[serde(default)]
    pub position: i32,
    /// Neither shown nor sold any more.
    #[serde(default)]
    pub archived: bool,
    /// Places that exist; never fewer than are held or sold.
    pub total: i32,
    /// Places that are on offer: may be fewer than are sold, and then nothing more is. Left out, it is all of them, or stays
    /// all of them.
    pub offered: i32,
}

fn yes() -> bool {
    true
}
fn per_order_max() -> i32 {
    10
}

impl ProductSettings {
    fn check(&mut self) -> Result<()> {
        for text in [&mut self.kind, &mut self.name_ko, &mut self.name_en] {
            *text = text.trim().to_owned();
        }
        let mut fields = Fields::default();
        fields.line("kind", &self.kind, 1..=KIND_CHARS_MAX);
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
        if !self.kind.bytes().all(plain) {
            fields.refuse("kind", "malformed");
        }
        fields.line("name_ko", &self.name_ko, 1..=NAME_CHARS_MAX);
        fields.line("name_en", &self.name_en, 1..=NAME_CHARS_MAX);
        fields.number("price_won", self.price_won, 0..=PRICE_WON_MAX);
        fields.number("per_order_max", self.per_order_max, 1..=PER_ORDER_MAX);
        fields.number("per_person_max", self.per_person_max.unwrap_or(1), 1..=PER_ORDER_MAX);
        fields.number("position", self.position, 0..=POSITION_MAX);
        fields.window(self.sale_start, self.sale_end);
        fields.places(self.total, self.offered);
        fields.done()
    }
}

#[derive(Serialize, ToSchema)]
struct ProductShown {
    id: i32,
    /// The ETag, for the next change.
    revision: i64,
    #[serde(flatten)]
    settings: ProductSettings,
    /// Places of unpaid orders.
    held: i32,
    /// Places of valid tickets.
    sold: i32,
}

impl From<ProductRow> for ProductShown {
    fn from(row: ProductRow) -> ProductShown {
        let ProductRow { id, revision, settings, held, sold, .. } = row;
        ProductShown { id, revision, settings, held, sold }
    }
}

fn shown(status: StatusCode, row: ProductRow) -> Result<Response> {
    tagged(status, row.revision, ProductShown::from(row))
}

#[derive(Serialize, ToSchema)]
struct ProductsShown {
    /// As visitors see them; archived ones come last.
    products: Vec<ProductShown>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ProductsQuery {
    /// Code of the exhibition.
    exhibition: String,
}

/// The products of an exhibition.
#[utoipa::path(get, path = "/api/admin/products", tag = "admin", security(("staff" = [])), params(ProductsQuery),
    responses((status = 200, body = ProductsShown),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn list(AppState(app): AppState<App>, by: Support, Query(query): Query<ProductsQuery>) -> Result<Response> {
    let exhibition = by.user.enter(&app, &query.exhibition)?;
    let rows = pg::list(&app.pg.get().await?, exhibition.id).await?;
    let body = ProductsShown { products: rows.into_iter().map(ProductShown::from).collect() };
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response())
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body")]
struct ProductAsk {
    #[serde(flatten)]
    of: OfExhibition,
    #[serde(flatten)]
    settings: ProductSettings,
}

/// Makes a product. The same key and body get the same product.
#[utoipa::path(post, path = "/api/admin/products", tag = "admin", security(("staff" = [])), request_body = ProductAsk,
    params(("Idempotency-Key" = Option<String>, Header,)),
    responses((status = 201, body = ProductShown, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 422, description = "request.invalid, idempotency.key_reused"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn create(
    AppState(app): AppState<App>,
    admin: Admin,
    key: Option<IdempotencyKey>,
    Json(mut asked): Json<Map<String, Value>>,
) -> Result<Response> {
    let of: OfExhibition = read(&asked)?;
    let exhibition = admin.user.enter(&app, &of.exhibition)?;
    follows_total(&mut asked, 0, 0);
    let mut settings: ProductSettings = read(&asked)?;
    settings.check()?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let locked = exhibitions::lock(&transaction, exhibition.id).await?;
    let request = key.map(|key| request(&app, locked.id, &key, &settings)).transpose()?;
    if let Some((key, asked)) = &request
        && let Some((id, known)) = pg::by_request(&transaction, key).await?
    {
        let same = known == *asked;
        return if same {
            shown(StatusCode::CREATED, pg::one(&transaction, id).await?)
        } else {
            Err(Error::invalid("idempotency.key_reused"))
        };
    }
    expect_room(&transaction, locked.id, 1, "exhibition").await?;
    let stock_id = stock::pg::add_one(&transaction, locked.id, (settings.total, settings.offered)).await?;
    let id = pg::insert(&transaction, locked.id, stock_id, &settings).await?;
    if let Some((key, asked)) = &request {
        pg::set_request(&transaction, id, key, asked).await?;
    }
    let made = pg::one(&transaction, id).await?;
    let after = json!({ "product": id, "settings": made.settings });
    record(&transaction, &Actor::from(&admin), "product.create", Some(locked.id), (Value::Null, after)).await?;
    transaction.commit().await?;
    follow(&app, locked.id, &locked.code, Follow::NewStock).await;
    shown(StatusCode::CREATED, made)
}

/// The caller's key, which is of the exhibition, and a digest of what was asked for under it.
fn request(
    app: &App,
    of: i32,
    IdempotencyKey(key): &IdempotencyKey,
    asked: &ProductSettings,
) -> Result<(Vec<u8>, Vec<u8>)> {
    let key = app.secrets.mac(Purpose::IdempotencyKey, &[b"product", &of.to_be_bytes(), key.as_bytes()]);
    let asked = sha256(&[&serde_json::to_vec(asked).map_err(Error::bug)?]);
    Ok((key.to_vec(), asked.to_vec()))
}

#[derive(Deserialize)]
struct Named {
    product_id: i32,
}

impl Kind for ProductSettings {
    const NAME: &'static str = "product";
    const CHANGED: &'static str = "product.change";
    const UNKNOWN: &'static str = "catalogue.unknown_product";

    async fn one(transaction: &Transaction<'_>, id: i32) -> Result<ProductRow> {
        pg::one(transaction, id).await
    }
}

/// Changes a product: what is left out stays as it is. It counts within a second, everywhere; what is on offer at once.
#[utoipa::path(put, path = "/api/admin/products/{product_id}", tag = "admin", security(("staff" = [])),
    params(("product_id" = i32, Path, description = "As it was listed."),
        ("If-Match" = String, Header, description = "The ETag of what the caller has seen.")),
    request_body = ProductSettings,
    responses((status = 200, body = ProductShown, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_product"),
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
    let (exhibition, before) = locked::<ProductSettings>(&transaction, &admin, named.product_id, &seen).await?;
    follows_total(&mut asked, before.settings.total, before.settings.offered);
    let mut settings: ProductSettings = laid_over(&before.settings, asked)?;
    settings.check()?;
    if settings == before.settings {
        return shown(StatusCode::OK, before);
    }
    let same = settings.dated == before.settings.dated;
    let stock = restocked(&transaction, &before, same, (settings.total, settings.offered)).await?;
    if !same && pg::is_ordered(&transaction, before.id).await? {
        return Err(Error::field("dated", "fixed"));
    }
    pg::update(&transaction, before.id, stock.0, &settings).await?;
    shown(StatusCode::OK, changed(&app, transaction, &admin, &exhibition, &before, stock).await?)
}

/// Ends a product: one that nobody has an order for is deleted, any other archived.
#[utoipa::path(delete, path = "/api/admin/products/{product_id}", tag = "admin", security(("staff" = [])),
    params(("product_id" = i32, Path, description = "As it was listed."),
        ("If-Match" = String, Header, description = "The ETag of what the caller has seen.")),
    responses((status = 200, body = Ended),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_product"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn end(
    AppState(app): AppState<App>,
    admin: Admin,
    Path(named): Path<Named>,
    seen: IfMatch,
) -> Result<axum::Json<Ended>> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let (exhibition, before) = locked::<ProductSettings>(&transaction, &admin, named.product_id, &seen).await?;
    let by = Actor::from(&admin);
    stock::pg::lock(&transaction, &[before.stock_id]).await?;
    let outcome = if pg::is_ordered(&transaction, before.id).await? {
        let settings = ProductSettings { archived: true, ..before.settings.clone() };
        if !before.settings.archived {
            pg::update(&transaction, before.id, before.stock_id, &settings).await?;
            let change = difference(("product", before.id), &before.settings, &settings)?;
            record(&transaction, &by, "product.archive", Some(exhibition.id), change).await?;
        }
        End::Archived
    } else {
        pg::delete(&transaction, before.id).await?;
        stock::pg::remove(&transaction, &[before.stock_id]).await?;
        let gone = json!({ "product": before.id, "settings": before.settings });
        record(&transaction, &by, "product.delete", Some(exhibition.id), (gone, Value::Null)).await?;
        End::Deleted
    };
    transaction.commit().await?;
    follow(&app, exhibition.id, &exhibition.code, Follow::Nothing).await;
    Ok(axum::Json(Ended { outcome }))
}
