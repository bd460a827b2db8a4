//! The rulebook of a device: everything but the tickets that it needs to decide by itself.

use axum::extract::State as AppState;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Rulebook, pg};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::entrance::devices::shift::OnShift;
use crate::entrance::rules::{Rules, day_number, second_of};
use crate::error::{Error, Result};
use crate::platform::http::IfNoneMatch;
use crate::platform::secrets::{hex, sha256};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(rulebook))
}

#[derive(Serialize, ToSchema)]
struct RulebookOfDevice {
    exhibition: ExhibitionShown,
    /// Where this device stands.
    gate: String,
    keys: Vec<KeyShown>,
    rules: Rules,
    products: Vec<ProductShown>,
    slots: Vec<SlotShown>,
    /// This gate may sell what is left, for cash.
    walk_ins: bool,
}

#[derive(Serialize, ToSchema)]
struct ExhibitionShown {
    id: i32,
    code: String,
    /// Days since 2020-01-01, in Asia/Seoul.
    from_day: i64,
    until_day: i64,
}

#[derive(Serialize, ToSchema)]
struct KeyShown {
    id: i16,
    /// Ed25519, 32 bytes, base64url without padding.
    public_key: String,
    /// From then on its codes are forgeries (Unix ms).
    retired_at: Option<i64>,
}

#[derive(Serialize, ToSchema)]
struct ProductShown {
    id: i32,
    name_ko: String,
    name_en: String,
    /// Null: those of the exhibition.
    rules: Option<Rules>,
}

#[derive(Serialize, ToSchema)]
struct SlotShown {
    id: i32,
    day: i64,
    /// Seconds of the day; null: the whole day.
    start: Option<i64>,
    end: Option<i64>,
}

fn compose(app: &App, exhibition: &Exhibition, gate: String, mut book: Rulebook) -> RulebookOfDevice {
    let key = |key: crate::tickets::keys::PublicKey| KeyShown {
        id: key.id,
        public_key: URL_SAFE_NO_PAD.encode(key.public),
        retired_at: key.retired_at.map(jiff::Timestamp::as_millisecond),
    };
    let products = exhibition.all_products().map(|p| ProductShown {
        id: p.id,
        name_ko: p.name_ko.clone(),
        name_en: p.name_en.clone(),
        rules: book.products.remove(&p.id),
    });
    let slots = exhibition.slots.iter().map(|s| {
        let hours = s.start_time.zip(s.end_time).map(|(start, end)| (second_of(start), second_of(end)));
        SlotShown { id: s.id, day: day_number(s.date), start: hours.map(|h| h.0), end: hours.map(|h| h.1) }
    });
    RulebookOfDevice {
        exhibition: ExhibitionShown {
            id: exhibition.id,
            code: exhibition.code.clone(),
            from_day: day_number(exhibition.starts_on),
            until_day: day_number(exhibition.ends_on),
        },
        gate,
        keys: app.keys.public_keys().into_iter().map(key).collect(),
        products: products.collect(),
        slots: slots.collect(),
        rules: book.exhibition.unwrap_or_default(),
        walk_ins: book.walk_ins,
    }
}

/// Rules, products, slots and public keys: what a device needs to judge tickets without a network.
#[utoipa::path(get, path = "/api/entrance/rulebook", tag = "entrance", security(("staff" = [])),
    params(("if-none-match" = Option<String>, Header, description = "The ETag of the one it has.")),
    responses((status = 200, body = RulebookOfDevice, headers(("etag" = String, description = "Names this state of it."))),
        (status = 304, description = "nothing has changed"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden, device.off_shift"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn rulebook(AppState(app): AppState<App>, by: OnShift, IfNoneMatch(has): IfNoneMatch) -> Result<Response> {
    let exhibition = app.catalogue.current().by_id(by.staff.home())?;
    let book = pg::of(&app.entrance_pg.get().await?, exhibition.id).await?;
    let rulebook = compose(&app, &exhibition, by.at.gate, book);
    if rulebook.keys.is_empty() {
        return Err(Error::unavailable("server.starting", "no signing keys yet"));
    }
    let body = serde_json::to_vec(&rulebook).map_err(Error::bug)?;
    let etag = format!("\"{}\"", hex(&sha256(&[&body])[..12]));
    // nginx marks a tag as weak where it compresses.
    let known = has.is_some_and(|has| has.ends_with(&etag));
    let tags = [
        (header::ETAG, HeaderValue::from_str(&etag).map_err(Error::bug)?),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    if known {
        return Ok((StatusCode::NOT_MODIFIED, tags).into_response());
    }
    Ok((tags, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
}
