//! The way back: an answer as Toss writes it, or whatever a fault makes of it.

use super::{Inbound, Outcome, refused};
use crate::faults::{self, Fault, Kind};
use crate::idempotency::Answer;
use crate::sim::Sim;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;

/// A client waits a minute at most; two minutes of silence outlast it.
const SILENCE_MS: u64 = 120_000;

impl Inbound {
    pub(super) async fn deliver(&self, sim: &Sim, fault: &Fault, outcome: Outcome) -> Response {
        let status = |usual: u16| StatusCode::from_u16(fault.status.unwrap_or(usual)).unwrap_or_default();
        match fault.kind {
            Kind::Slow | Kind::Fail | Kind::ErrorBefore | Kind::RateLimited => self.respond(outcome),
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
            Kind::ErrorAfter => self.respond(refused(&faults::refusal(fault), self.english)),
            Kind::EmptyBody => plain(status(500), "application/json;charset=UTF-8", ""),
            Kind::HtmlBody => {
                plain(status(502), "text/html", "<html><head><title>502 Bad Gateway</title></head><body></body></html>")
            }
            Kind::UnknownFields => {
                let body = from_the_future(&outcome.answer.body);
                self.respond(Outcome { answer: Answer { body, ..outcome.answer }, ..outcome })
            }
        }
    }

    pub(super) fn respond(&self, outcome: Outcome) -> Response {
        let mut response = Response::new(Body::from(outcome.answer.body));
        *response.status_mut() = outcome.answer.status;
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/json;charset=UTF-8"));
        headers.insert("cache-control", HeaderValue::from_static("no-cache, no-store, max-age=0, must-revalidate"));
        if let Ok(trace) = HeaderValue::from_str(&outcome.trace) {
            headers.insert("x-tosspayments-trace-id", trace);
        }
        if let Some(key) = self.bound_key() {
            headers.insert("idempotency-key", key.clone());
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

/// Toss may add fields and enum values without a new version; a client has to bear both.
fn from_the_future(body: &Bytes) -> Bytes {
    let Ok(Value::Object(mut object)) = serde_json::from_slice(body) else {
        return body.clone();
    };
    object.insert("fieldOfTomorrow".into(), json!({ "nested": [1, "two", null], "amount": 1.5 }));
    object.insert("type".into(), json!("TYPE_OF_TOMORROW"));
    if let Some(Value::Object(card)) = object.get_mut("card") {
        card.insert("cardType".into(), json!("미래카드"));
        card.insert("wallet".into(), Value::Null);
    }
    Value::Object(object).to_string().into()
}
