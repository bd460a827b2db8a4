//! The form of a control under `/_sim/`: JSON in, JSON out, and a slip answered with one sentence.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A control used wrongly: a status and one sentence.
#[derive(Debug)]
pub struct Slip {
    status: StatusCode,
    error: String,
}

pub type Control = Result<Json<Value>, Slip>;

impl Slip {
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }

    pub fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub fn unknown(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("no such {what}"))
    }
}

impl IntoResponse for Slip {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.error }))).into_response()
    }
}

/// Reads a control's body; none at all is an empty object. The content type does not matter, for curl's sake.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Slip> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Slip::bad(error.to_string()))
}
