//! What the buyer's browser sees: the SDK script, the payment window and its redirects.
//!
//! The script only navigates; every decision is a plain form, so the page works without JavaScript.

mod page;
mod redirect;

use crate::api::open::{Opening, authenticate, open};
use crate::auth::pair_of_client;
use crate::body::Fields;
use crate::codes;
use crate::method::Method;
use crate::refusal::{Refusal, refuse};
use crate::sim::Sim;
use crate::store::{Entry, Held};
use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde_json::{Map, Value};
use simulator_common::lock;
use std::collections::HashMap;
use std::sync::Arc;

const SDK: &str = include_str!("sdk.js");
/// Codes a window may end with when the buyer's card or account is refused.
const FAILURES: [&str; 2] = ["REJECT_CARD_COMPANY", "PAY_PROCESS_ABORTED"];

pub fn routes() -> Router<Arc<Sim>> {
    Router::new()
        .route("/v2/standard", get(sdk))
        .route("/_sim/window", get(window))
        .route("/v1/payments/{payment_key}/checkout", get(checkout))
        .route("/_sim/checkout/{payment_key}", get(checkout))
        .route("/_sim/checkout/{payment_key}/pay", post(pay))
        .route("/_sim/checkout/{payment_key}/fail", post(fail))
        .route("/_sim/checkout/{payment_key}/cancel", post(cancel))
}

type Sims = State<Arc<Sim>>;
type Pairs = HashMap<String, String>;

async fn sdk() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "application/javascript; charset=utf-8"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, SDK)
}

/// Opens a payment for the script and goes to its page. Opened twice, it is two payments, as at Toss.
async fn window(State(sim): Sims, Query(asked): Query<Pairs>) -> Response {
    match open_window(&sim, asked) {
        Ok(entry) => {
            Redirect::to(&format!("/v1/payments/{}/checkout", lock(&entry).object.payment_key)).into_response()
        }
        Err(refusal) => page::refused(&refusal),
    }
}

fn open_window(sim: &Sim, mut asked: Pairs) -> Result<Entry, Refusal> {
    let client_key = asked.remove("clientKey").unwrap_or_default();
    let pair = pair_of_client(&sim.settings, &client_key).ok_or_else(|| refuse("UNAUTHORIZED_KEY"))?;
    let valid_hours = asked.get("validHours").and_then(|hours| hours.parse().ok());
    let opener = asked.remove("opener");
    let mut opening = Opening::read(&Fields::from(typed(asked)), pair)?;
    opening.valid_hours = valid_hours.filter(|hours| (1..=2_160).contains(hours)).unwrap_or(opening.valid_hours);
    opening.opener = opener.filter(|origin| simulator_common::address::is_http_url(origin));
    if opening.opener.is_none() && opening.success_url.is_none() {
        return Err(refuse("INVALID_SUCCESS_URL"));
    }
    if opening.opener.is_none() && opening.fail_url.is_none() {
        return Err(refuse("INCORRECT_FAIL_URL_FORMAT"));
    }
    open(sim, opening)
}

/// A query carries text; flags and metadata become what the API would have got.
fn typed(asked: Pairs) -> Map<String, Value> {
    let value = |name: &str, text: String| match name {
        "metadata" => serde_json::from_str(&text).unwrap_or(Value::Null),
        "useEscrow" | "cultureExpense" => Value::Bool(text == "true"),
        _ => Value::String(text),
    };
    asked.into_iter().map(|(name, text)| (name.clone(), value(&name, text))).collect()
}

async fn checkout(State(sim): Sims, Path(key): Path<String>) -> Response {
    let Some(entry) = sim.store.get(&key) else {
        return page::refused(&refuse("NOT_FOUND_PAYMENT"));
    };
    let (html, jobs) = {
        let mut held = lock(&entry);
        let jobs = sim.expire_if_due(&mut held).unwrap_or_default();
        (page::checkout(&held, held.terms.deadline_ms - sim.clock.now_ms()), jobs)
    };
    sim.publish(jobs).await;
    html
}

async fn pay(State(sim): Sims, Path(key): Path<String>, Form(chosen): Form<Pairs>) -> Response {
    let method = chosen.get("method").and_then(|text| Method::parse(text));
    decide(&sim, &key, |held| {
        authenticate(&sim, held, method)?;
        Ok(redirect::success(held, sim.options().payment_type_on_redirect))
    })
    .await
}

async fn fail(State(sim): Sims, Path(key): Path<String>, Form(chosen): Form<Pairs>) -> Response {
    let code = chosen.get("code").map_or(FAILURES[0], String::as_str);
    let refusal = FAILURES.iter().find(|known| **known == code).and_then(|known| codes::find(known));
    decide(&sim, &key, |held| match refusal {
        Some(code) => Ok(redirect::failure(held, &Refusal::of(code), true)),
        None => Err(refuse("INVALID_REQUEST")),
    })
    .await
}

/// The buyer turns away: the payment stays READY until its thirty minutes are over.
async fn cancel(State(sim): Sims, Path(key): Path<String>) -> Response {
    decide(&sim, &key, |held| Ok(redirect::failure(held, &refuse("PAY_PROCESS_CANCELED"), false))).await
}

async fn decide(sim: &Arc<Sim>, key: &str, choose: impl FnOnce(&mut Held) -> Result<Response, Refusal>) -> Response {
    let Some(entry) = sim.store.get(key) else {
        return page::refused(&refuse("NOT_FOUND_PAYMENT"));
    };
    let (response, jobs) = {
        let mut held = lock(&entry);
        let jobs = sim.expire_if_due(&mut held).unwrap_or_default();
        (choose(&mut held).unwrap_or_else(|refusal| page::refused(&refusal)), jobs)
    };
    sim.publish(jobs).await;
    response
}
