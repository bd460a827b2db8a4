//! Refunds: money that goes back, on request or because it may not be kept.
//!
//! Owns `refunds` and `refund_tickets` together with the stock writer. Promises that a ticket ends in the commit that
//! owes its money, so that it opens no door while the money is under way; that one ticket is given back once; that a
//! repeat of a request finds the first; and that a refund that was promised is carried until the provider has it, or
//! somebody is asked to look. Refuses to decide what a visitor is owed: the exhibition's rules say so.

pub mod admin;
pub mod api;
pub mod arrival;
pub mod carry;
pub mod pg;
pub mod quote;
pub mod request;
pub mod returned;
pub mod rules;

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

pub fn routes() -> OpenApiRouter<App> {
    api::routes().merge(admin::routes())
}
