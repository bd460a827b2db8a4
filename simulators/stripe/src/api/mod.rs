//! The REST API under `/v1`, as Stripe documents it.

mod balance;
mod charges;
mod intents;
mod lists;
mod refunds;
mod search;

use crate::refusal::unrecognised;
use crate::sim::Sim;
use axum::Router;
use axum::http::{Method, Uri};
use axum::routing::{get, post};
use std::sync::Arc;

pub fn routes() -> Router<Arc<Sim>> {
    Router::new()
        .route("/v1/payment_intents", post(intents::create).get(intents::list))
        .route("/v1/payment_intents/search", get(search::search))
        .route("/v1/payment_intents/{intent}", get(intents::retrieve))
        .route("/v1/payment_intents/{intent}/confirm", post(intents::confirm))
        .route("/v1/payment_intents/{intent}/capture", post(intents::capture))
        .route("/v1/payment_intents/{intent}/cancel", post(intents::cancel))
        .route("/v1/charges/{charge}", get(charges::retrieve))
        .route("/v1/refunds", post(refunds::create).get(refunds::list))
        .route("/v1/refunds/{refund}", get(refunds::retrieve))
        .route("/v1/balance_transactions", get(balance::list))
        .route("/v1/balance_transactions/{transaction}", get(balance::retrieve))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| unrecognised(&method, uri.path()))
}
