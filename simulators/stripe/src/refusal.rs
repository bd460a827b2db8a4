//! Stripe's error object: `{"error": {"type", "code", "message", "param", "doc_url", ...}}`.

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

#[derive(Clone, Debug)]
pub struct Refusal {
    pub status: StatusCode,
    /// Refused before execution began: nothing is bound to an idempotency key.
    pub early: bool,
    error: Box<Map<String, Value>>,
}

impl Refusal {
    pub fn new(status: u16, kind: &str, message: impl Into<String>) -> Self {
        let mut error = Map::new();
        error.insert("type".into(), kind.into());
        error.insert("message".into(), message.into().into());
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, early: false, error: Box::new(error) }
    }

    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.error.insert(name.into(), value.into());
        self
    }

    pub fn code(self, code: &str) -> Self {
        let page = format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-"));
        self.with("code", code).with("doc_url", page)
    }

    pub fn param(self, param: &str) -> Self {
        self.with("param", param)
    }

    pub fn early(mut self) -> Self {
        self.early = true;
        self
    }

    pub fn body(&self, request_id: &str) -> Value {
        let mut error = (*self.error).clone();
        error.insert("request_log_url".into(), format!("https://dashboard.stripe.com/test/logs/{request_id}").into());
        json!({ "error": error })
    }

    /// Code and message in one line, for controls.
    pub fn in_short(&self) -> String {
        let part = |name: &str| self.error.get(name).and_then(Value::as_str).unwrap_or("");
        let code = if part("code").is_empty() { part("type") } else { part("code") };
        format!("{code}: {}", part("message"))
    }

    pub fn message(&self) -> &str {
        self.error.get("message").and_then(Value::as_str).unwrap_or("")
    }
}

/// A request that cannot be right, with the state it met.
pub fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "invalid_request_error", message)
}

pub fn missing(object: &str, id: &str, param: &str) -> Refusal {
    Refusal::new(404, "invalid_request_error", format!("No such {object}: '{id}'"))
        .code("resource_missing")
        .param(param)
}

pub fn api_error(status: u16) -> Refusal {
    Refusal::new(status, "api_error", "An error occurred on our side. We have been notified. (Simulated.)")
}

pub fn rate_limited() -> Refusal {
    let message = "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.";
    Refusal::new(429, "invalid_request_error", message).code("rate_limit").early()
}

pub fn unrecognised(method: &Method, path: &str) -> Refusal {
    let message = format!(
        "Unrecognized request URL ({method}: {path}). If you are trying to list objects, remove the trailing slash. \
         If you are trying to retrieve an object, make sure you passed a valid (non-empty) identifier."
    );
    Refusal::new(404, "invalid_request_error", message)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let request_id = crate::ids::request();
        let headers = [("content-type", "application/json"), ("request-id", &*request_id)];
        let body = serde_json::to_vec_pretty(&self.body(&request_id)).unwrap_or_default();
        (self.status, headers, body).into_response()
    }
}
