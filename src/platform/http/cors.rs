//! Calls from browsers on other sites, by list (`ADMIT_CORS_ORIGINS`). Cookies are never part of them: what such a site
//! may see, it sees with a token of its own.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::Next;
use axum::response::IntoResponse;

use super::extract::same_site;
use crate::app::App;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
const HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, idempotency-key, x-request-id");
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after, x-request-id");
/// Browsers ask again after this long. [s]
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The caller's origin if it is on the list.
pub fn listed_origin(app: &App, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    app.settings.cors_origins.iter().any(|listed| listed == text).then(|| origin.clone())
}

pub fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

pub fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    response
}

pub fn answer(app: &App, headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
    if app.settings.cors_origins.is_empty() {
        return;
    }
    // Whoever asks: a shared cache must not hand one site's answer to another.
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

/// A browser sends our cookies whoever makes it call: they count from our own pages only. So a call that may change something
/// and comes with cookies from another site is refused before anybody reads them. Browsers say where such a call comes from;
/// a caller that says nothing is none.
pub async fn own_cookies(State(app): State<App>, request: Request, next: Next) -> Response<Body> {
    let headers = request.headers();
    let from_browser = headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
    let changes = !request.method().is_safe() && request.uri().path().starts_with("/api/");
    if changes
        && from_browser
        && headers.contains_key(header::COOKIE)
        && let Err(error) = same_site(headers, &app.settings.base_url)
    {
        return error.into_response();
    }
    next.run(request).await
}
