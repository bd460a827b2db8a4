//! The events. Each shows its object as it was when the event happened, so a retry delivers an old state.

use super::{Job, Relaxed};
use crate::ids;
use crate::intent::Intent;
use crate::sim::{Cause, Sim};
use serde_json::{Value, json};
use simulator_common::Text;

/// The account's version, which events are written in.
pub const API_VERSION: &str = "2025-09-30.clover";

/// What money depends on; an endpoint that is told everything gets the other ones too.
const WANTED: [&str; 8] = [
    "payment_intent.amount_capturable_updated",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "charge.refunded",
    "refund.updated",
    "charge.refund.updated",
    "charge.dispute.created",
];

impl Sim {
    /// An event about the payment `about`; none if nobody listens for it. `status` is for the log.
    pub fn event(
        &self,
        name: &'static str,
        about: &Text,
        status: &'static str,
        object: impl FnOnce() -> Value,
        previous: Option<Value>,
        cause: &Cause,
    ) -> Option<Job> {
        self.webhooks.url()?;
        if !WANTED.contains(&name) && !self.options().all_events {
            return None;
        }
        let event_id = ids::first_generation("evt");
        let mut data = json!({ "object": object() });
        if let Some(previous) = previous {
            data["previous_attributes"] = previous;
        }
        let body = json!({
            "id": event_id,
            "object": "event",
            "api_version": API_VERSION,
            "created": self.clock.now_ms() / 1_000,
            "data": data,
            "livemode": false,
            "pending_webhooks": 1,
            "request": { "id": cause.request, "idempotency_key": cause.idempotency_key },
            "type": name,
        });
        self.webhooks.tally.created.fetch_add(1, Relaxed);
        Some(Job {
            event_id,
            about: about.clone(),
            event: name,
            status,
            // Written for eyes: a receiver that checks the signature of its own rendering fails, as it should.
            body: serde_json::to_vec_pretty(&body).unwrap_or_default().into(),
            retried: 0,
            generation: self.webhooks.generation.load(Relaxed),
            then: None,
        })
    }

    pub fn intent_event(&self, name: &'static str, intent: &Intent, cause: &Cause) -> Option<Job> {
        self.event(name, &intent.id, intent.status.name(), || intent.to_json(), None, cause)
    }
}
