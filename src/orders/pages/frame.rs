//! What all pages share: language, the frame around the content, and the headers of their answers.

use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::Next;

use super::words;
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::extract::{LANGUAGE_COOKIE, cookie, language_of, own_path};
use crate::platform::texts::{Language, filled};

const LANGUAGE_MAX_AGE_S: u32 = 365 * 24 * 3600;

/// The language a visitor chose on our pages, else what the browser asks for.
pub struct PageLanguage(pub Language);

impl FromRequestParts<App> for PageLanguage {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> std::result::Result<Self, Self::Rejection> {
        let chosen = cookie(&parts.headers, LANGUAGE_COOKIE).filter(|tag| matches!(*tag, "ko" | "en"));
        Ok(PageLanguage(chosen.map_or_else(|| language_of(&parts.headers), Language::from_tag)))
    }
}

/// `?lang=en` on any page remembers the choice and leads back to the page.
pub async fn switch_language(request: Request, next: Next) -> Response<Body> {
    let chosen = match request.uri().query() {
        Some("lang=ko") => Some("ko"),
        Some("lang=en") => Some("en"),
        _ => None,
    };
    match chosen {
        Some(tag) if request.method() == Method::GET && !request.uri().path().starts_with("/api/") => {
            let cookie =
                format!("{LANGUAGE_COOKIE}={tag}; Path=/; Max-Age={LANGUAGE_MAX_AGE_S}; SameSite=Lax; HttpOnly");
            go(request.uri().path(), Some(cookie))
        }
        _ => next.run(request).await,
    }
}

/// The frame around a page's content, as `layout.html` shows it.
pub struct Frame {
    pub language: Language,
    pub title: String,
    /// Path of this page, for the link that switches the language.
    pub here: String,
    /// Reload by itself after so many seconds.
    pub refresh_s: Option<u32>,
}

impl Frame {
    pub fn new(language: Language, title: impl Into<String>, here: impl Into<String>) -> Frame {
        Frame { language, title: title.into(), here: here.into(), refresh_s: None }
    }

    pub fn t(&self, key: &'static str) -> &'static str {
        words::text(self.language, key)
    }

    pub fn tag(&self) -> &'static str {
        self.language.tag()
    }

    pub fn other_tag(&self) -> &'static str {
        self.language.pick("en", "ko")
    }

    /// Who sells: label and value.
    pub fn seller(&self) -> Vec<(&'static str, &'static str)> {
        super::legal::seller_lines(self.language)
    }

    /// A text with one place to fill.
    pub fn f(&self, key: &'static str, name: &'static str, value: impl std::fmt::Display) -> String {
        filled(self.language, key, &[(name, value.to_string())])
    }
}

/// What the page may load; `'self'` alone unless it says otherwise.
pub const CSP: &str = "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; \
                       frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// The same for everybody who reads its language: no cookie, form, nonce or token is in it, so nginx answers with one
/// copy for a second, and has browsers ask each time.
pub fn public_page(template: &impl askama::Template) -> Result<Response<Body>> {
    let mut response = page(template, StatusCode::OK)?;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=1"));
    Ok(response)
}

/// No copy of a page is kept: each shows a moment, and most show somebody's order.
pub fn page(template: &impl askama::Template, status: StatusCode) -> Result<Response<Body>> {
    let body = template.render().map_err(Error::bug)?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    Ok(response)
}

/// A page that says why something was refused, with the status of the error and when to try again.
pub fn refusal(template: &impl askama::Template, error: &Error) -> Result<Response<Body>> {
    let mut response = page(template, error.kind.status())?;
    if let Some(after) = error.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    Ok(response)
}

/// A file of an order's, for its owner to keep. The name is one of ours.
pub fn file(body: impl Into<Body>, kind: &'static str, name: &str) -> Result<Response<Body>> {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let disposition = format!("attachment; filename=\"{name}\"");
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_str(&disposition).map_err(Error::bug)?);
    Ok(response)
}

/// On to another of our pages; only ever called with paths, never with what a caller sent as an address.
pub fn go(path: &str, cookie: Option<String>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_str(&own_path(path)).unwrap_or(HeaderValue::from_static("/")));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}
