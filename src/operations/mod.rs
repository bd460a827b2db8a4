//! Operations: what whoever runs a sale looks at when something may be wrong, and who is there.
//!
//! Owns no table and changes nothing. Promises that a look is of one instant, costs a bounded time, and disturbs no sale: one
//! exhibition at a time, in one snapshot, under a time limit of its own. Messages and webhooks are shown by those who own them
//! (`notifications::outbox`, `orders::inbox`); repairs are made by the audit of the stock alone.

pub mod online;
pub mod providers;
pub mod stock;

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

pub fn routes() -> OpenApiRouter<App> {
    stock::routes().merge(online::routes()).merge(providers::routes())
}
