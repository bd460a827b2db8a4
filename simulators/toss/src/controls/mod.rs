//! Controls under `/_sim/`: what a tester does to the bank. Not part of Toss, and never served by it.

mod acts;
mod views;

use crate::sim::Sim;
use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

pub fn routes() -> Router<Arc<Sim>> {
    Router::new()
        .route("/_sim/health", get(async || Json(json!({ "ok": true }))))
        .route("/_sim/authorise", post(acts::authorise))
        .route("/_sim/faults", get(views::faults).post(acts::add_fault).delete(acts::clear_faults))
        .route("/_sim/webhooks", get(views::webhooks).post(acts::webhooks))
        .route("/_sim/webhook-url", post(acts::webhook_url))
        .route("/_sim/options", get(views::options).post(acts::options))
        .route("/_sim/clock", get(views::clock).post(acts::clock))
        .route("/_sim/deposit", post(acts::deposit))
        .route("/_sim/deposit-reverse", post(acts::deposit_reverse))
        .route("/_sim/dashboard-cancel", post(acts::dashboard_cancel))
        .route("/_sim/reset", post(acts::reset))
        .route("/_sim/payments", get(views::payments))
        .route("/_sim/payments/{order_id}", get(views::payments_of_order))
        .route("/_sim/counts", get(views::counts))
        .method_not_allowed_fallback(async || {
            Slip::new(StatusCode::METHOD_NOT_ALLOWED, "this control has other methods")
        })
}

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

    fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    fn unknown(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("no such {what}"))
    }
}

impl IntoResponse for Slip {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.error }))).into_response()
    }
}

/// Reads a control's body; none at all is an empty object. The content type does not matter, for curl's sake.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Slip> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Slip::bad(error.to_string()))
}
