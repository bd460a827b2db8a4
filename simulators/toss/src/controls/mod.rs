//! Controls under `/_sim/`: what a tester does to the bank. Not part of Toss, and never served by it.

mod acts;
mod views;

use crate::sim::Sim;
use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde_json::json;
use simulator_common::control::Slip;
use std::sync::Arc;

pub fn routes() -> Router<Arc<Sim>> {
    Router::new()
        .route("/_sim/health", get(async || Json(json!({ "ok": true }))))
        .route("/_sim/authorise", post(acts::authorise))
        .route("/_sim/faults", get(views::faults).post(acts::add_fault).delete(acts::clear_faults))
        .route("/_sim/random", get(views::random).post(acts::random).delete(acts::end_random))
        .route("/_sim/outage", get(views::outage).post(acts::outage).delete(acts::end_outage))
        .route("/_sim/webhooks", get(views::webhooks).post(acts::webhooks))
        .route("/_sim/webhook-url", post(acts::webhook_url))
        .route("/_sim/options", get(views::options).post(acts::options))
        .route("/_sim/clock", get(views::clock).post(acts::clock))
        .route("/_sim/deposit", post(acts::deposit))
        .route("/_sim/deposit-reverse", post(acts::deposit_reverse))
        .route("/_sim/refund-bounce", post(acts::refund_bounce))
        .route("/_sim/dashboard-cancel", post(acts::dashboard_cancel))
        .route("/_sim/reset", post(acts::reset))
        .route("/_sim/payments", get(views::payments))
        .route("/_sim/payments/{order_id}", get(views::payments_of_order))
        .route("/_sim/counts", get(views::counts))
        .method_not_allowed_fallback(async || {
            Slip::new(StatusCode::METHOD_NOT_ALLOWED, "this control has other methods")
        })
}
