//! Care: admins and people who support visitors look after orders.
//!
//! Owns the way to find an order by what somebody knows of it, and what staff may do to an order that its visitor cannot.
//! Promises that nobody sees an order of an exhibition that they may not enter, nor personal data in the clear without a
//! word in the audit log; that every change is on record; that places, money and limits stay true, since whatever
//! touches them goes through the stock writer or its locks. Refuses to move an order in any way that its visitor or its
//! payment could not have moved it.

pub mod bulk;
pub mod change;
pub mod complimentary;
pub mod export;
pub mod history;
pub mod index;
pub mod resend;
pub mod search;
pub mod transfer;

use utoipa_axum::router::OpenApiRouter;

use crate::admin::StaffUser;
use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::api::find;
use crate::orders::model::Order;

pub fn routes() -> OpenApiRouter<App> {
    search::routes()
        .merge(history::routes())
        .merge(change::routes())
        .merge(resend::routes())
        .merge(transfer::routes())
        .merge(complimentary::routes())
        .merge(export::routes())
        .merge(bulk::routes())
}

/// Another exhibition's order is as good as not there.
async fn order_of(app: &App, user: &StaffUser, number: &str) -> Result<Order> {
    let order = find(app, number).await?;
    if user.may_enter(order.facts.exhibition_id) { Ok(order) } else { Err(Error::not_found("order.unknown")) }
}
