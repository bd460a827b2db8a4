//! What the buyer's browser sees: the script at `/v3/`, the payment window and its redirects.
//!
//! The script only navigates; every decision is a plain form, so the page works without JavaScript.

mod page;

use crate::acts::attempt::{self, Fate};
use crate::call::Worked;
use crate::declines::UNAUTHENTICATED;
use crate::intent::Status;
use crate::method::{self, Kind, Method};
use crate::refusal::{Refusal, invalid, missing};
use crate::sim::{Cause, Sim};
use crate::store::Held;
use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde_json::Value;
use simulator_common::address::{is_http_url, with_query};
use std::collections::HashMap;
use std::sync::Arc;

const SCRIPT: &str = include_str!("stripe.js");

pub fn routes() -> Router<Arc<Sim>> {
    Router::new()
        .route("/v3", get(script))
        .route("/v3/", get(script))
        .route("/v3/stripe.js", get(script))
        .route("/window/{intent}", get(window))
        .route("/window/{intent}/{button}", post(press))
}

type Sims = State<Arc<Sim>>;
type Pairs = HashMap<String, String>;

async fn script() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, SCRIPT)
}

/// What a browser has to bring along, on the page and with every button.
struct Visit<'a> {
    client_secret: &'a str,
    return_url: &'a str,
}

impl<'a> Visit<'a> {
    fn read(pairs: &'a Pairs) -> Result<Self, Refusal> {
        let text = |name: &str| pairs.get(name).map_or("", String::as_str);
        let visit = Self { client_secret: text("client_secret"), return_url: text("return_url") };
        if is_http_url(visit.return_url) {
            Ok(visit)
        } else {
            Err(invalid("return_url must be an absolute http(s) address.").code("url_invalid").param("return_url"))
        }
    }

    fn may_see(&self, held: &Held) -> Result<(), Refusal> {
        let known = self.client_secret == &*held.intent.client_secret;
        if known { Ok(()) } else { Err(missing("payment_intent", &held.intent.id, "client_secret")) }
    }
}

async fn window(State(sim): Sims, Path(id): Path<String>, Query(asked): Query<Pairs>) -> Response {
    let visit = match Visit::read(&asked) {
        Ok(visit) => visit,
        Err(refusal) => return page::refused(&refusal),
    };
    let Some(entry) = sim.store.intent(&id) else {
        return page::refused(&missing("payment_intent", &id, "intent"));
    };
    let (html, jobs) = sim.work(&entry, |held| {
        let shown = visit.may_see(held).and_then(|()| attempt::open(held));
        let html = match shown {
            Ok(()) => page::checkout(held, visit.client_secret, visit.return_url),
            Err(refusal) => page::refused(&refusal),
        };
        (html, Vec::new())
    });
    sim.publish(jobs).await;
    html
}

async fn press(State(sim): Sims, Path((id, button)): Path<(String, String)>, Form(chosen): Form<Pairs>) -> Response {
    let visit = match Visit::read(&chosen) {
        Ok(visit) => visit,
        Err(refusal) => return page::refused(&refusal),
    };
    let Some(entry) = sim.store.intent(&id) else {
        return page::refused(&missing("payment_intent", &id, "intent"));
    };
    let ((result, way_back), jobs) = sim.work(&entry, |held| {
        let (result, jobs) = decide(&sim, held, &visit, &button, &chosen);
        ((result, way_back(held, visit.return_url)), jobs)
    });
    sim.publish(jobs).await;
    match result {
        Ok(_) => Redirect::to(&way_back).into_response(),
        Err(refusal) => page::refused(&refusal),
    }
}

fn decide(sim: &Sim, held: &mut Held, visit: &Visit<'_>, button: &str, chosen: &Pairs) -> Worked {
    let mut tried = || {
        visit.may_see(held)?;
        let paid = matches!(held.intent.status, Status::RequiresCapture | Status::Succeeded);
        if button == "pay" && paid {
            // A second press changes nothing.
            return Ok(Vec::new());
        }
        let kind = chosen.get("method").map(|name| Kind::parse(name)).unwrap_or(held.intent.offered.first().copied());
        let kind = kind.filter(|kind| held.intent.offered.contains(kind));
        let kind = kind.ok_or_else(|| invalid("This way to pay is not offered.").param("method"))?;
        let fate = match button {
            "pay" => Fate::Succeed,
            "fail" => {
                let decline = method::decline(chosen.get("code").map(String::as_str));
                Fate::Decline(decline.ok_or_else(|| invalid("No such decline.").param("code"))?)
            }
            "cancel" => Fate::TurnAway(UNAUTHENTICATED),
            _ => return Err(missing("button", button, "button")),
        };
        held.intent.return_url = Some(visit.return_url.to_owned());
        // The script at the buyer's makes the request, not the server.
        attempt::attempt(sim, held, Method::of(kind), fate, &Cause::dashboard()).map(|(_, jobs)| jobs)
    };
    match tried() {
        Ok(jobs) => (Ok(Value::Null), jobs),
        Err(refusal) => (Err(refusal), Vec::new()),
    }
}

/// The redirect with exactly Stripe's query.
fn way_back(held: &Held, return_url: &str) -> String {
    let status = match held.intent.status {
        Status::Succeeded | Status::RequiresCapture => "succeeded",
        Status::Processing => "pending",
        _ => "failed",
    };
    let pairs = [
        ("payment_intent", &*held.intent.id),
        ("payment_intent_client_secret", &*held.intent.client_secret),
        ("redirect_status", status),
    ];
    with_query(return_url, &pairs)
}
