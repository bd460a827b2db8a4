//! The REST API under `/v1`, as Toss documents and measures it.

pub mod cancel;
pub mod confirm;
pub mod deposits;
pub mod open;
mod query;
mod transactions;
mod virtual_accounts;

use crate::refusal::refuse;
use crate::sim::Sim;
use axum::Router;
use axum::routing::{get, post};
use std::sync::Arc;

pub fn routes() -> Router<Arc<Sim>> {
    Router::new()
        .route("/v1/payments", post(open::create))
        .route("/v1/payments/confirm", post(confirm::confirm))
        .route("/v1/payments/orders/{order_id}", get(query::by_order))
        .route("/v1/payments/{payment_key}", get(query::by_key))
        .route("/v1/payments/{payment_key}/cancel", post(cancel::cancel))
        .route("/v1/virtual-accounts", post(virtual_accounts::issue))
        .route("/v1/transactions", get(transactions::page))
        .method_not_allowed_fallback(async || refuse("NOT_FOUND_HTTP_METHOD"))
}
