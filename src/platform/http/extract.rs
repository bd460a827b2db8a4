//! Extractors. What is refused here is refused with a code, before any handler runs.

use std::convert::Infallible;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use serde_json::{Map, Value};

use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::texts::Language;

/// Largest body of any call. [bytes]
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// A JSON body: 415 for another content type, 413 when too long, 400 when it is not JSON, 422 when it is not ours.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &App) -> Result<Json<T>> {
        if !is_json(request.headers()) {
            return Err(Error::unsupported_media_type("request.content_type"));
        }
        let body = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX)
            .await
            .map_err(|_| Error::too_large("request.too_large").with("limit", "64 KB"))?;
        parse_json(&body).map(Json)
    }
}

pub fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let text =
        std::str::from_utf8(body).map_err(|_| Error::malformed("request.malformed_json").because("invalid UTF-8"))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        match inner.classify() {
            // Of a number where one of some words belongs serde_json says that it is no JSON; also of what no value of ours holds, such
            // as 1e400.
            Category::Syntax if serde_json::from_str::<IgnoredAny>(text).is_ok() => Error::field(path, "malformed"),
            Category::Data => {
                let missing = inner.to_string();
                let field = missing
                    .strip_prefix("missing field `")
                    .and_then(|rest| rest.split('`').next())
                    .map_or(path.clone(), |name| if path == "." { name.to_owned() } else { format!("{path}.{name}") });
                let code = if missing.starts_with("missing field") { "required" } else { "malformed" };
                Error::field(field, code)
            }
            _ => Error::malformed("request.malformed_json").because(inner),
        }
    })?;
    deserializer.end().map_err(|e| Error::malformed("request.malformed_json").because(e))?;
    Ok(value)
}

/// What there is with what was asked for laid over: a caller that knows fewer fields resets none.
pub fn laid_over<T: Serialize + DeserializeOwned>(known: &T, asked: Map<String, Value>) -> Result<T> {
    let Value::Object(mut whole) = serde_json::to_value(known).map_err(Error::bug)? else {
        return Err(Error::bug("settings that are no object"));
    };
    whole.extend(asked);
    read(&whole)
}

/// One of the things that a body says.
pub fn read<T: DeserializeOwned>(asked: &Map<String, Value>) -> Result<T> {
    parse_json(&serde_json::to_vec(asked).map_err(Error::bug)?)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// Path segments; what does not parse names nothing we have.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Path<T>> {
        axum::extract::Path::from_request_parts(parts, app)
            .await
            .map(|axum::extract::Path(value)| Path(value))
            .map_err(|rejection| Error::not_found("request.not_found").because(rejection))
    }
}

pub struct Query<T>(pub T);

/// The tags of what the caller has already, as sent.
pub struct IfNoneMatch(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> std::result::Result<IfNoneMatch, Infallible> {
        let tags = parts.headers.get(header::IF_NONE_MATCH);
        Ok(IfNoneMatch(tags.and_then(|tags| tags.to_str().ok()).map(str::to_owned)))
    }
}

/// The state that the caller has seen, from the ETag of a reply. Every change of what several people may change at the
/// same time asks for it.
#[derive(Clone, Debug)]
pub struct IfMatch(pub String);

impl IfMatch {
    /// Nothing has changed in between.
    pub fn expect(&self, state: impl ToString) -> Result<()> {
        if self.0 == state.to_string() { Ok(()) } else { Err(changed_meanwhile()) }
    }
}

/// Somebody else was faster.
pub fn changed_meanwhile() -> Error {
    Error::stale("request.changed_meanwhile")
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<IfMatch> {
        let tag = parts.headers.get(header::IF_MATCH).and_then(|tag| tag.to_str().ok());
        let tag = tag.ok_or_else(|| Error::unseen("request.if_match_required"))?.trim();
        // nginx marks a tag as weak where it compresses. What is no tag of ours was never seen here.
        Ok(IfMatch(tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"').to_owned()))
    }
}

/// A reply about one thing, named by its revision for the next change, and kept by nobody on the way.
pub fn tagged(status: StatusCode, revision: impl Display, body: impl Serialize) -> Result<Response> {
    let tags = [
        (header::ETAG, HeaderValue::from_str(&format!("\"{revision}\"")).map_err(Error::bug)?),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((status, tags, axum::Json(body)).into_response())
}

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Query<T>> {
        axum::extract::Query::from_request_parts(parts, app)
            .await
            .map(|axum::extract::Query(value)| Query(value))
            .map_err(|rejection| Error::malformed("request.malformed_query").because(rejection))
    }
}

/// A caller's `Idempotency-Key`: 1 to 255 visible ASCII characters.
pub struct IdempotencyKey(pub String);

impl IdempotencyKey {
    fn read(headers: &HeaderMap) -> Result<Option<IdempotencyKey>> {
        let mut values = headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else { return Ok(None) };
        let text = value.to_str().unwrap_or_default().trim();
        let shaped = (1..=255).contains(&text.len()) && text.bytes().all(|b| (0x20..0x7f).contains(&b));
        if !shaped || values.next().is_some() {
            return Err(Error::malformed("idempotency.malformed_key").with("limit", 255));
        }
        Ok(Some(IdempotencyKey(text.to_owned())))
    }
}

impl FromRequestParts<App> for IdempotencyKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<IdempotencyKey> {
        IdempotencyKey::read(&parts.headers)?.ok_or_else(|| Error::malformed("idempotency.key_required"))
    }
}

impl axum::extract::OptionalFromRequestParts<App> for IdempotencyKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Option<IdempotencyKey>> {
        IdempotencyKey::read(&parts.headers)
    }
}

/// The credential after `Authorization: Bearer`.
pub struct BearerToken(pub String);

pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|t| !t.is_empty() && t.len() <= 4096)
}

impl axum::extract::OptionalFromRequestParts<App> for BearerToken {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Option<BearerToken>> {
        Ok(bearer(&parts.headers).map(|token| BearerToken(token.to_owned())))
    }
}

pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    cookies(headers).find_map(|(n, v)| (n == name).then_some(v))
}

/// A path of ours as it may stand in a redirect or a link; anything else becomes the start page. Browsers read two slashes, a
/// backslash or a tab as the beginning of another host's name.
pub fn own_path(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.?=&%".contains(&b);
    if path.bytes().all(plain) { format!("/{}", path.trim_start_matches('/')) } else { "/".to_owned() }
}

/// Name and value of each.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

/// A form counts only when our own page sent it. Browsers say so in Sec-Fetch-Site or Origin, and no page of another
/// site can make them say it.
pub fn same_site(headers: &HeaderMap, base_url: &str) -> Result<()> {
    let value = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    let own = match (value(header::HeaderName::from_static("sec-fetch-site")), value(header::ORIGIN)) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            origin == base_url || (host.is_some() && host == value(header::HOST))
        }
        (None, None) => false,
    };
    if own { Ok(()) } else { Err(Error::forbidden("request.cross_site")) }
}

/// Where the call came from: the peer, or what a trusted proxy says of it.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress {
    pub address: IpAddr,
    /// Spared from rate limits and open-hold limits by `ADMIT_RATE_LIMIT_EXEMPT`.
    pub exempt: bool,
}

impl FromRequestParts<App> for ClientAddress {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<ClientAddress> {
        let peer = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map(|info| info.0.ip())
            .ok_or_else(|| Error::bug("no peer address"))?;
        let trusted = app.settings.trusted_proxies.iter().any(|n| n.contains(peer));
        let address = if trusted {
            // The last hop is the one our own proxy wrote.
            parts
                .headers
                .get("x-forwarded-for")
                .and_then(|v| v.to_str().ok())
                .and_then(|v| v.rsplit(',').next())
                .and_then(|v| v.trim().parse().ok())
                .unwrap_or(peer)
        } else {
            peer
        };
        let exempt = app.settings.rate_limit_exempt.iter().any(|n| n.contains(address));
        Ok(ClientAddress { address, exempt })
    }
}

pub struct RequestLanguage(pub Language);

pub const LANGUAGE_COOKIE: &str = "admit_language";

/// The language chosen on a page, else the browser's.
pub fn language_of(headers: &HeaderMap) -> Language {
    if let Some(chosen) = cookie(headers, LANGUAGE_COOKIE) {
        return Language::from_tag(chosen);
    }
    Language::accepted(headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()))
}

impl FromRequestParts<App> for RequestLanguage {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> std::result::Result<Self, Self::Rejection> {
        Ok(RequestLanguage(language_of(&parts.headers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    #[expect(dead_code)]
    struct Ask {
        quantity: u32,
        #[serde(default)]
        days: Vec<Day>,
    }

    #[derive(serde::Deserialize, Debug)]
    enum Day {
        Monday,
    }

    #[test]
    fn bodies_are_told_apart() {
        let code = |body: &[u8]| parse_json::<Ask>(body).unwrap_err();
        assert_eq!(code(b"{").code, "request.malformed_json");
        assert_eq!(code(b"\xff\xfe").code, "request.malformed_json");
        assert_eq!(code(b"{\"quantity\":1} x").code, "request.malformed_json");
        assert_eq!(code(b"{}").fields[0], crate::error::FieldError { field: "quantity".into(), code: "required" });
        assert_eq!(code(b"{\"quantity\":1.5}").fields[0].code, "malformed");
        assert_eq!(code(b"{\"quantity\":-1}").fields[0].field, "quantity");
        for day in ["1", "true", "null", "[]", "\"Sunday\""] {
            let refused = code(format!("{{\"quantity\":1,\"days\":[\"Monday\",{day}]}}").as_bytes());
            assert_eq!((refused.fields[0].field.as_str(), refused.fields[0].code), ("days[1]", "malformed"), "{day}");
        }
    }
}
