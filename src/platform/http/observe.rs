//! The one outer layer: gives the request its id, times and counts it, logs it once, and turns an `Error` into words.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::extract::{language_of, own_path};
use super::{cors, problem};
use crate::app::App;
use crate::error::{Error, Kind};
use crate::platform::ids;
use crate::platform::secrets::hex;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// One success in a hundred is logged.
const SUCCESS_LOG_SHARE: u64 = 100;

/// The id of the request, for events and log lines of whoever handles it.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

impl axum::extract::FromRequestParts<App> for RequestId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &App) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<RequestId>().cloned().unwrap_or(RequestId(String::new())))
    }
}

fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(REQUEST_ID)
        .and_then(|v| v.to_str().ok())
        .filter(|v| {
            (8..=64).contains(&v.len()) && v.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
        .map_or_else(|| hex(&ids::random_bytes::<16>()), str::to_owned)
}

pub async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    let language = language_of(request.headers());
    let method = known_method(request.method());
    let route = request.extensions().get::<MatchedPath>().map(|p| p.as_str().to_owned());
    let traceparent = request.headers().get(TRACEPARENT).cloned();
    let reads_pages = !request.uri().path().starts_with("/api/")
        && request
            .headers()
            .get(header::ACCEPT)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"));
    // Where a page that refuses leads to in the other language: back to itself, if asking twice does nothing.
    let here = if request.method() == Method::GET { own_path(request.uri().path()) } else { "/".to_owned() };
    let page = reads_pages.then_some(here);
    request.extensions_mut().insert(RequestId(id.clone()));
    let origin = cors::listed_origin(&app, request.headers());

    let mut response = match &origin {
        Some(_) if cors::is_preflight(&request) => cors::preflight(),
        _ => next.run(request).await,
    };

    let mut error = response.extensions_mut().remove::<Error>();
    if error.is_none() {
        // axum's own answers for a path or method that we do not have.
        error = match response.status() {
            StatusCode::NOT_FOUND if route.is_none() => Some(Error::not_found("request.not_found")),
            StatusCode::METHOD_NOT_ALLOWED => Some(Error::method_not_allowed("request.method_not_allowed")),
            _ => None,
        };
    }
    if let Some(error) = &error {
        let allow = response.headers().get(header::ALLOW).cloned();
        response = problem::render(error, language, &id, page.as_deref());
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    let headers = response.headers_mut();
    cors::answer(&app, headers, origin.as_ref());
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    if let Some(value) = traceparent {
        headers.insert(TRACEPARENT, value);
    }
    if app.lifecycle.is_stopping() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    security_headers(headers);

    let status = response.status();
    let elapsed = started.elapsed();
    let route = route.unwrap_or_else(|| "none".to_owned());
    app.metrics.http(method, &route, status.as_u16(), elapsed);
    if route.starts_with("/api/") {
        app.pulse.answered(status.is_server_error(), elapsed);
    }
    log(&id, method, &route, status, elapsed, error.as_ref());
    response
}

/// Anybody may invent methods; labels of metrics are not for inventing.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn security_headers(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // Pages that need more say so themselves.
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; img-src 'self'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"),
        );
    }
}

fn log(id: &str, method: &str, route: &str, status: StatusCode, elapsed: std::time::Duration, error: Option<&Error>) {
    static SUCCESSES: AtomicU64 = AtomicU64::new(0);
    let elapsed_ms = elapsed.as_secs_f64() * 1000.0;
    let status = status.as_u16();
    match error {
        Some(error) => {
            let source = error.source.as_deref().unwrap_or_default();
            macro_rules! line {
                ($level:ident) => {
                    tracing::$level!(
                        request_id = id,
                        method,
                        route,
                        status,
                        elapsed_ms,
                        code = error.code,
                        source,
                        "refused"
                    )
                };
            }
            match error.kind {
                Kind::Bug => line!(error),
                Kind::Unavailable => line!(warn),
                _ => line!(debug),
            }
        }
        None if SUCCESSES.fetch_add(1, Ordering::Relaxed).is_multiple_of(SUCCESS_LOG_SHARE) => {
            tracing::info!(request_id = id, method, route, status, elapsed_ms, "answered");
        }
        None => {}
    }
}
