//! The gate's page and what makes it an app: its worker and its manifest. The same for every phone: who it is, it knows by
//! itself.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::get;

use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::pages::frame::{CSP, Frame, PageLanguage, page};
use crate::orders::pages::words;
use crate::platform::http::assets;
use crate::platform::texts::{self, Language};

/// In the order in which they need each other.
const SCRIPTS: [&str; 12] = [
    "gate_rules.js",
    "gate_codes.js",
    "gate_records.js",
    "gate_store.js",
    "gate_judge.js",
    "gate_sync.js",
    "gate_seoul.js",
    "gate_camera.js",
    "gate_verdict.js",
    "gate_aside.js",
    "gate_till.js",
    "entrance.js",
];
/// What the page needs besides, also without a network: a decoder and a signature check for browsers that have none.
const BESIDES: [&str; 6] =
    ["app.css", "entrance.css", "icon.svg", "zxing_reader.js", "zxing_reader.wasm", "noble_ed25519.js"];
const TEXTS: &str = "page.gate.";

#[derive(askama::Template)]
#[template(path = "entrance.html")]
struct EntrancePage {
    frame: Frame,
    /// All texts of the page as JSON, for its scripts.
    words: String,
    scripts: Vec<&'static str>,
}

pub fn routes() -> Router<App> {
    Router::new()
        .route("/entrance", get(show))
        .route("/entrance/sw.js", get(worker))
        .route("/entrance/manifest.webmanifest", get(manifest))
}

fn script_words(language: Language) -> Result<String> {
    let all: BTreeMap<&str, &str> = texts::beginning_with(language, TEXTS)
        .into_iter()
        .filter_map(|(key, text)| Some((key.strip_prefix(TEXTS)?, text)))
        .collect();
    serde_json::to_string(&all).map_err(Error::bug)
}

async fn show(PageLanguage(language): PageLanguage) -> Result<Response<Body>> {
    let frame = Frame::new(language, words::text(language, "page.gate.title"), "/entrance");
    let scripts = SCRIPTS.iter().map(|name| assets::url(name)).collect();
    let mut response = page(&EntrancePage { frame, words: script_words(language)?, scripts }, StatusCode::OK)?;
    let headers = response.headers_mut();
    headers.insert("permissions-policy", HeaderValue::from_static("camera=(self)"));
    // The decoder for browsers that have none of their own.
    let policy = CSP.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'");
    let policy = format!("{policy}; manifest-src 'self'; worker-src 'self'");
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_str(&policy).map_err(Error::bug)?);
    Ok(response)
}

/// Always asked for anew: its address has no hash, so that one replaces the other.
fn fresh(body: String, kind: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn worker_script() -> Result<String> {
    let urls: Vec<&str> = SCRIPTS.iter().chain(&BESIDES).map(|name| assets::url(name)).collect();
    let urls = serde_json::to_string(&urls).map_err(Error::bug)?;
    Ok(include_str!("../../web/gate_sw.js").replace("{assets}", &urls))
}

/// Keeps this page for where there is no network. It lies below the page and is allowed the page itself.
async fn worker() -> Result<Response<Body>> {
    let mut response = fresh(worker_script()?, "text/javascript; charset=utf-8");
    let headers = response.headers_mut();
    headers.insert("service-worker-allowed", HeaderValue::from_static("/entrance"));
    // What it may fetch is its own policy's to say, not that of the page which asked for it.
    let policy = HeaderValue::from_static("default-src 'none'; connect-src 'self'");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

fn manifest_in(language: Language) -> String {
    let json = |text: &str| serde_json::Value::from(text).to_string();
    include_str!("../../web/gate.webmanifest")
        .replace("{name}", &json(texts::text(language, "page.gate.title")))
        .replace("{short_name}", &json(texts::text(language, "page.gate.short_title")))
        .replace("{lang}", &json(language.tag()))
        .replace("{icon}", &json(assets::url("icon.svg")))
        .replace("{maskable}", &json(assets::url("icon_maskable.svg")))
}

async fn manifest(PageLanguage(language): PageLanguage) -> Response<Body> {
    let mut response = fresh(manifest_in(language), "application/manifest+json");
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("cookie, accept-language"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_the_page_needs_is_there() {
        for name in SCRIPTS.iter().chain(&BESIDES) {
            assert_ne!(assets::url(name), "/assets/missing", "{name}");
        }
        let worker = worker_script().unwrap();
        assert!(worker.contains("/assets/gate_rules.") && !worker.contains("{assets}"));
    }

    #[test]
    fn the_manifest_can_be_read() {
        for language in [Language::Ko, Language::En] {
            let manifest: serde_json::Value = serde_json::from_str(&manifest_in(language)).unwrap();
            assert_eq!(manifest["scope"], "/entrance");
            assert_eq!(manifest["lang"], language.tag());
            assert!(!manifest.to_string().contains("missing"));
        }
    }

    #[test]
    fn every_reason_has_words_for_a_phone_without_a_network() {
        for reason in super::super::rules::Reason::ALL {
            assert!(texts::knows(&format!("page.gate.why.{}", reason.as_str())), "{reason:?}");
        }
    }
}
