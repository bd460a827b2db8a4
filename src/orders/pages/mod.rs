//! The few pages a visitor needs: exhibitions, the queue, the order form, payment, tickets. Small, without inline script or
//! style, usable by keyboard and (all but the payment window itself) without JavaScript. They call the same use cases
//! as the API.

mod browse;
mod calendar;
mod companion;
mod complete;
mod draw;
mod form;
mod form_view;
pub mod frame;
pub mod legal;
mod lookup;
mod mine;
mod paper;
mod payment;
mod picker;
mod queue;
mod queue_line;
#[cfg(test)]
mod queue_states;
mod queue_view;
mod refund;
mod share;
pub mod words;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use serde::Deserialize;

use super::model::Order;
use super::{pg, token};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::ids;

pub fn routes() -> Router<App> {
    Router::new()
        .route("/", get(browse::home))
        .route("/orders", get(lookup::form).post(lookup::look_up))
        .route("/orders/code", post(mine::ask))
        .route("/orders/code/{id}", get(mine::code).post(mine::enter))
        .route("/orders/mine", get(mine::list))
        .route("/orders/mine/close", post(mine::close))
        .route("/orders/mine/{number}", get(mine::open))
        .route("/{code}", get(browse::exhibition))
        .route("/terms", get(legal::terms))
        .route("/privacy", get(legal::privacy))
        .route("/sw.js", get(share::service_worker))
        .route("/robots.txt", get(share::robots))
        .route("/sitemap.xml", get(share::sitemap))
        .route("/{code}/order", get(form::show).post(form::order))
        .route("/{code}/queue", get(queue::show))
        .route("/{code}/queue/draw", get(draw::draw))
        .route("/{code}/queue/{verb}", get(queue::back).post(queue::act))
        .route("/{code}/payment/{order_number}", get(payment::payment))
        .route("/{code}/complete/{order_number}", get(complete::complete))
        .route("/{code}/complete/{order_number}/tickets.pdf", get(paper::file))
        .route("/{code}/complete/{order_number}/calendar.ics", get(calendar::file))
        .route("/{code}/complete/{order_number}/reissue", post(companion::reissue))
        .route("/{code}/ticket/{ticket_id}", get(companion::show))
        .route("/{code}/complete/{order_number}/news", post(complete::no_news))
        .route("/{code}/refund/{order_number}", get(refund::show).post(refund::refund))
        .route("/{code}/refund/{order_number}/account/{refund_id}", post(refund::name_account))
        .route("/{code}/fail/{order_number}", get(complete::fail))
}

/// Proof in a link: instant of expiry and mac, as `token::link` writes them.
#[derive(Deserialize, Default)]
struct Proof {
    e: Option<i64>,
    s: Option<String>,
}

/// How the caller of an order's page may see it.
enum Access {
    /// By the cookie of this browser.
    Cookie,
    /// By a link that is good for this page: the browser gets the cookie and goes on without the proof in its address.
    Link,
}

/// The order of a page, for whoever may see it. `purpose` is what a link must have been signed for.
async fn of_exhibition(app: &App, code: &str, number: &str) -> Result<Order> {
    let unknown = || Error::not_found("order.unknown");
    if !ids::is_order_number(number) {
        return Err(unknown());
    }
    let client = app.pg.get().await?;
    pg::by_number(app, &client, number).await?.filter(|order| order.facts.code == code).ok_or_else(unknown)
}

async fn visible(
    app: &App,
    headers: &HeaderMap,
    code: &str,
    number: &str,
    purpose: &str,
    proof: &Proof,
) -> Result<(Order, Access)> {
    let order = of_exhibition(app, code, number).await?;
    if let (Some(until_s), Some(mac)) = (proof.e, proof.s.as_deref())
        && token::link_ok(app, purpose, order.facts.id, until_s, mac)
    {
        return Ok((order, Access::Link));
    }
    if token::authorised(app, headers, &order) {
        return Ok((order, Access::Cookie));
    }
    Err(Error::unauthenticated("order.token_required"))
}
