//! The description of the API, generated from the handlers, for programs (`/api/openapi.json`) and for people
//! (`/docs`). The page is written by us from the same document: renderers in JavaScript weigh a megabyte and ask for
//! inline styles that our pages forbid.

use std::sync::OnceLock;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use axum::routing::get;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};

use super::problem::{FieldProblem, Problem};
use super::{RequestLanguage, docs, refusals};
use crate::app::App;
use crate::error::Result;

const ABOUT: &str = "Reservations for exhibitions: list, order, pay, receive one QR ticket per person, enter.\n\n\
    Amounts are whole won. Instants are RFC 3339 in UTC; visit dates are days in Asia/Seoul. Errors are RFC 9457 \
    problem documents with a stable `code` (see /docs/problems) and a `detail` in Korean or English by \
    Accept-Language. Calls that create or move money take an Idempotency-Key: the same key and body give the same \
    answer.";

const ORDER_TOKEN: &str = "The `order_token` of `POST /api/orders`.";
const ORDER_COOKIE: &str = "The same token, as the cookie that was set with the order; its name ends in the order's \
    number, in small letters. A browser that changes something with it must come from our own pages.";
const QUEUE_TOKEN: &str =
    "The place in line: queue_token of the reply to the join, or of the latest reply that had one.";
const QUEUE_COOKIE: &str = "The same, as the join gives it to browsers. Small letters.";
const TICKET_LINK: &str = "A signed link to the ticket: `e`, the unix time of its end, and `s`, its signature.";
const DEVICE: &str = "The `credential` of `POST /api/entrance/enrol`.";
const STAFF: &str = "The `access_token` of `POST /api/auth/login`, a JWT for 15 minutes; for scans also the \
    `shift_token` of `POST /api/entrance/shift`.";

/// Where the handlers' descriptions are collected into.
pub fn base() -> OpenApi {
    let bearer = |about: &str| {
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about)).build())
    };
    let cookie = ApiKey::Cookie(ApiKeyValue::with_description("admit_{order_number}", ORDER_COOKIE));
    let queue_token = ApiKey::Header(ApiKeyValue::with_description("X-Queue-Token", QUEUE_TOKEN));
    let queue_cookie = ApiKey::Cookie(ApiKeyValue::with_description("admit_q_{code}", QUEUE_COOKIE));
    let device = ApiKey::Header(ApiKeyValue::with_description("X-Admit-Device", DEVICE));
    let link = ApiKey::Query(ApiKeyValue::with_description("s", TICKET_LINK));
    OpenApiBuilder::new()
        .info(InfoBuilder::new().title("Admit").version(env!("CARGO_PKG_VERSION")).description(Some(ABOUT)).build())
        .components(Some(
            ComponentsBuilder::new()
                .schema_from::<Problem>()
                .schema_from::<FieldProblem>()
                .security_scheme("order_token", bearer(ORDER_TOKEN))
                .security_scheme("order_cookie", SecurityScheme::ApiKey(cookie))
                .security_scheme("queue_token", SecurityScheme::ApiKey(queue_token))
                .security_scheme("queue_cookie", SecurityScheme::ApiKey(queue_cookie))
                .security_scheme("ticket_link", SecurityScheme::ApiKey(link))
                .security_scheme("device", SecurityScheme::ApiKey(device))
                .security_scheme("staff", bearer(STAFF))
                .build(),
        ))
        .build()
}

/// The whole document, rendered once.
pub(super) fn document() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let mut document = crate::app::api_routes().into_openapi();
        refusals::add(&mut document);
        // Plain maps and strings always serialise; a test reads it back.
        document.to_json().unwrap_or_default()
    })
}

pub fn routes() -> Router<App> {
    Router::new()
        .route("/api/openapi.json", get(json))
        .route("/docs", get(api_page))
        .route("/docs/problems", get(problems_page))
        .merge(super::assets::routes())
}

async fn json() -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from_static(document().as_bytes())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
    response
}

async fn api_page() -> Result<Response<Body>> {
    Ok(page(docs::api(document())?))
}

async fn problems_page(RequestLanguage(language): RequestLanguage) -> Result<Response<Body>> {
    Ok(page(docs::problems(language)?))
}

fn page(body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-language"));
    response
}
