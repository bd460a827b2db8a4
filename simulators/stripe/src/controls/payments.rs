//! Controls that do something to one payment: as its buyer, at the dashboard, or as the bank.

use super::views;
use crate::acts::attempt::{self, Fate};
use crate::acts::{cancel, capture, dispute, refund};
use crate::declines::UNAUTHENTICATED;
use crate::method::{self, Kind, Method};
use crate::refund::Status;
use crate::refusal::Refusal;
use crate::sim::{Cause, Sim};
use crate::store::{Entry, Held};
use crate::webhooks::Job;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use simulator_common::control::{Control, Slip, read};
use simulator_common::lock;
use std::collections::BTreeMap;
use std::sync::Arc;

type Sims = State<Arc<Sim>>;

impl From<Refusal> for Slip {
    fn from(refusal: Refusal) -> Self {
        Slip::new(refusal.status, refusal.in_short())
    }
}

/// A payment by its id, or the latest one with a pair of metadata, and what the control needs besides.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    payment_intent: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    outcome: Option<Outcome>,
    method: Option<String>,
    code: Option<String>,
    amount: Option<i64>,
    reason: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Succeed,
    Decline,
    TurnAway,
    RequireAction,
    Process,
}

impl Which {
    fn find(&self, sim: &Sim) -> Result<Entry, Slip> {
        let found = match (&self.payment_intent, &self.metadata) {
            (Some(id), _) => sim.store.intent(id),
            (None, Some(pairs)) if pairs.len() == 1 => {
                pairs.iter().next().and_then(|(key, value)| sim.store.by_metadata(key, value).pop())
            }
            _ => return Err(Slip::bad("name the payment_intent, or one pair of its metadata")),
        };
        found.ok_or_else(|| Slip::unknown("payment intent"))
    }

    fn sum(&self) -> Result<Option<i64>, Slip> {
        match self.amount {
            Some(amount) if amount <= 0 => Err(Slip::bad("amount must be positive")),
            amount => Ok(amount),
        }
    }
}

/// The buyer pays, or does not, without a browser.
pub async fn authorise(State(sim): Sims, body: Bytes) -> Control {
    let which: Which = read(&body)?;
    let entry = which.find(&sim)?;
    let decline = method::decline(which.code.as_deref()).ok_or_else(|| Slip::bad("no such code"))?;
    let fate = match which.outcome.unwrap_or(Outcome::Succeed) {
        Outcome::Succeed => Fate::Succeed,
        Outcome::Decline => Fate::Decline(decline),
        Outcome::TurnAway => Fate::TurnAway(UNAUTHENTICATED),
        Outcome::RequireAction => Fate::NeedAction,
        Outcome::Process => Fate::Process,
    };
    let by = match which.method.as_deref() {
        None => None,
        Some(name) => Some(Kind::parse(name).ok_or_else(|| Slip::bad("no such method"))?),
    };
    act(&sim, &entry, |sim, held| {
        let kind = by.or(held.intent.offered.first().copied()).filter(|kind| held.intent.offered.contains(kind));
        let kind = kind.ok_or_else(|| Slip::bad("this payment does not offer that method"))?;
        let (_, jobs) = attempt::attempt(sim, held, Method::of(kind), fate, &Cause::dashboard())?;
        Ok(jobs)
    })
    .await
}

/// The merchant refunds in Stripe's own dashboard: our system learns of it by webhook only.
pub async fn dashboard_refund(State(sim): Sims, body: Bytes) -> Control {
    let which: Which = read(&body)?;
    let entry = which.find(&sim)?;
    let amount = which.sum()?;
    act(&sim, &entry, |sim, held| {
        let ask = refund::Ask { amount, reason: Some("requested_by_customer"), metadata: Map::new() };
        Ok(refund::refund(sim, held, ask, &Cause::dashboard())?.1)
    })
    .await
}

pub async fn dashboard_cancel(State(sim): Sims, body: Bytes) -> Control {
    let entry = read::<Which>(&body)?.find(&sim)?;
    act(&sim, &entry, |sim, held| Ok(cancel::cancel(sim, held, Some("requested_by_customer"), &Cause::dashboard())?))
        .await
}

pub async fn dashboard_capture(State(sim): Sims, body: Bytes) -> Control {
    let which: Which = read(&body)?;
    let entry = which.find(&sim)?;
    let amount = which.sum()?;
    act(&sim, &entry, |sim, held| Ok(capture::capture(sim, held, amount, &Cause::dashboard())?)).await
}

pub async fn dispute(State(sim): Sims, body: Bytes) -> Control {
    let which: Which = read(&body)?;
    let entry = which.find(&sim)?;
    let reason = which.reason.as_deref().unwrap_or("fraudulent");
    act(&sim, &entry, |sim, held| dispute::dispute(sim, held, reason).map_err(conflict)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settle {
    refund: String,
    status: Status,
    failure_reason: Option<String>,
}

/// A pending refund arrives or fails; one that had succeeded may still fail.
pub async fn settle_refund(State(sim): Sims, body: Bytes) -> Control {
    let Settle { refund, status, failure_reason } = read(&body)?;
    let entry = sim.store.owner(&refund).ok_or_else(|| Slip::unknown("refund"))?;
    act(&sim, &entry, |sim, held| refund::settle(sim, held, &refund, status, failure_reason, false).map_err(conflict))
        .await
}

fn conflict(why: &'static str) -> Slip {
    Slip::new(StatusCode::CONFLICT, why)
}

async fn act(sim: &Arc<Sim>, entry: &Entry, act: impl FnOnce(&Sim, &mut Held) -> Result<Vec<Job>, Slip>) -> Control {
    let (done, jobs) = sim.work(entry, |held| match act(sim, held) {
        Ok(jobs) => (Ok(()), jobs),
        Err(slip) => (Err(slip), Vec::new()),
    });
    sim.publish(jobs).await;
    done?;
    let shown: Value = views::show(&lock(entry));
    Ok(Json(json!(shown)))
}
