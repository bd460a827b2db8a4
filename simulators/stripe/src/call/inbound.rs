//! What of a request every call needs.

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, request::Parts};
use simulator_common::Text;
use simulator_common::socket::Cut;
use std::convert::Infallible;

pub struct Inbound {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub authorization: Option<String>,
    pub idempotency_key: Option<Text>,
    /// The version the caller is written for; any will do, and is named in the answer.
    pub version: Option<String>,
    pub is_form: bool,
    pub cut: Cut,
}

impl<S: Sync> FromRequestParts<S> for Inbound {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let text =
            |name: &str| parts.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let cut = parts.extensions.get::<ConnectInfo<Cut>>().map(|info| info.0.clone());
        Ok(Self {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            authorization: text(AUTHORIZATION.as_str()),
            idempotency_key: text("idempotency-key").filter(|key| !key.is_empty()).map(Text::from),
            version: text("stripe-version"),
            // Bare bodies of hand-written calls pass as well.
            is_form: text(CONTENT_TYPE.as_str())
                .is_none_or(|kind| kind.starts_with("application/x-www-form-urlencoded")),
            cut: cut.unwrap_or_default(),
        })
    }
}
