//! The gate's page. The same for every phone: who it is, it knows by itself.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};

use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::pages::frame::{CSP, Frame, PageLanguage, page};
use crate::orders::pages::words;

#[derive(askama::Template)]
#[template(path = "entrance.html")]
struct EntrancePage {
    frame: Frame,
}

pub fn routes() -> axum::Router<App> {
    axum::Router::new().route("/entrance", axum::routing::get(show))
}

async fn show(PageLanguage(language): PageLanguage) -> Result<Response<Body>> {
    let frame = Frame::new(language, words::text(language, "page.gate.title"), "/entrance");
    let mut response = page(&EntrancePage { frame }, StatusCode::OK)?;
    let headers = response.headers_mut();
    headers.insert("permissions-policy", HeaderValue::from_static("camera=(self)"));
    // The decoder for browsers that have none of their own.
    let policy = CSP.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'");
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_str(&policy).map_err(Error::bug)?);
    Ok(response)
}
