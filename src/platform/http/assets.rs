//! Style, scripts and pictures of the pages, embedded in the binary. The address of a file carries a hash of its
//! content, so it may be kept for ever; a page never meets the style of another release.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use axum::routing::get;
use rust_embed::RustEmbed;

use super::Path;
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::secrets::hex;

#[derive(RustEmbed)]
#[folder = "web/assets"]
struct Files;

struct Asset {
    url: String,
    kind: &'static str,
    body: Bytes,
}

/// By plain name.
fn assets() -> &'static BTreeMap<String, Asset> {
    static ASSETS: OnceLock<BTreeMap<String, Asset>> = OnceLock::new();
    ASSETS.get_or_init(|| {
        Files::iter()
            .filter_map(|name| {
                let file = Files::get(&name)?;
                let (stem, extension) = name.rsplit_once('.')?;
                // 32 bits: enough to tell releases of one file apart.
                let hash = hex(&file.metadata.sha256_hash()[..4]);
                let url = format!("/assets/{stem}.{hash}.{extension}");
                let body = Bytes::from(file.data.into_owned());
                Some((name.to_string(), Asset { url, kind: kind_of(extension), body }))
            })
            .collect()
    })
}

fn kind_of(extension: &str) -> &'static str {
    match extension {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        "py" => "text/x-python; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Where a file of `web/assets` is served. A name we do not have leads nowhere; a test looks at every page.
pub fn url(name: &str) -> &'static str {
    assets().get(name).map_or("/assets/missing", |asset| &asset.url)
}

pub fn routes() -> Router<App> {
    Router::new().route("/assets/{file}", get(asset))
}

async fn asset(Path(file): Path<String>) -> Result<Response<Body>> {
    let asset = assets()
        .values()
        .find(|asset| asset.url.strip_prefix("/assets/") == Some(file.as_str()))
        .ok_or_else(|| Error::not_found("request.not_found"))?;
    let mut response = Response::new(Body::from(asset.body.clone()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_a_page_names_is_there() {
        let mut named = 0;
        for entry in std::fs::read_dir("web/templates").unwrap() {
            let path = entry.unwrap().path();
            let Ok(page) = std::fs::read_to_string(&path) else { continue };
            for part in page.split("assets::url(\"").skip(1) {
                let name = part.split('"').next().unwrap();
                assert_ne!(url(name), "/assets/missing", "{name} in {}", path.display());
                named += 1;
            }
        }
        assert!(named > 0);
    }
}
