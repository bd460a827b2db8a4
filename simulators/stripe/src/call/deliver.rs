//! The way back: an answer as Stripe writes it, or whatever a fault makes of it.

use super::{Inbound, Outcome, pretty};
use crate::faults::{Fault, Kind};
use crate::sim::Sim;
use crate::webhooks::API_VERSION;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;

/// A client waits eighty seconds at most; two minutes of silence outlast it.
const SILENCE_MS: u64 = 120_000;

impl Inbound {
    pub(super) async fn deliver(&self, sim: &Sim, fault: &Fault, outcome: Outcome) -> Response {
        let status = |usual: u16| StatusCode::from_u16(fault.status.unwrap_or(usual)).unwrap_or_default();
        match fault.kind {
            Kind::Slow | Kind::Fail | Kind::ErrorBefore | Kind::ErrorAfter | Kind::RateLimited => self.respond(outcome),
            Kind::TimeoutBefore | Kind::TimeoutAfter => {
                let silence = Duration::from_millis(fault.delay_ms.unwrap_or(SILENCE_MS));
                let mut stop = sim.stop.clone();
                tokio::select! {
                    () = tokio::time::sleep(silence) => {}
                    _ = stop.wait_for(|stopped| *stopped) => {}
                }
                self.cut.now();
                self.respond(outcome)
            }
            Kind::DropBefore | Kind::DropAfter => {
                self.cut.now();
                self.respond(outcome)
            }
            Kind::EmptyBody => plain(status(500), "application/json", ""),
            Kind::HtmlBody => {
                plain(status(502), "text/html", "<html><head><title>502 Bad Gateway</title></head><body></body></html>")
            }
            Kind::UnknownFields => {
                let body = from_the_future(&outcome.body);
                self.respond(Outcome { body, ..outcome })
            }
        }
    }

    pub(super) fn respond(&self, outcome: Outcome) -> Response {
        let mut response = Response::new(Body::from(outcome.body));
        *response.status_mut() = outcome.status;
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("cache-control", HeaderValue::from_static("no-cache, no-store"));
        headers.insert("access-control-allow-origin", HeaderValue::from_static("*"));
        let mut put = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        put("request-id", &outcome.request);
        put("stripe-version", self.version.as_deref().unwrap_or(API_VERSION));
        if let Some(key) = &self.idempotency_key {
            put("idempotency-key", key);
            put("original-request", outcome.replayed.as_ref().unwrap_or(&outcome.request));
        }
        if outcome.replayed.is_some() {
            put("idempotent-replayed", "true");
        }
        match outcome.status {
            StatusCode::CONFLICT => put("stripe-should-retry", "true"),
            StatusCode::TOO_MANY_REQUESTS => put("stripe-rate-limited-reason", "global-rate"),
            _ => {}
        }
        response
    }
}

fn plain(status: StatusCode, content_type: &'static str, body: &'static str) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
    response
}

/// Stripe adds fields and enum values without a new version; a client has to bear both.
fn from_the_future(body: &Bytes) -> Bytes {
    let Ok(Value::Object(mut object)) = serde_json::from_slice(body) else {
        return body.clone();
    };
    object.insert("field_of_tomorrow".into(), json!({ "nested": [1, "two", null], "amount": 1.5 }));
    object.insert("capture_method".into(), json!("capture_of_tomorrow"));
    if let Some(Value::Object(error)) = object.get_mut("error") {
        error.insert("advice_code".into(), json!("advice_of_tomorrow"));
    }
    pretty(&Value::Object(object))
}
