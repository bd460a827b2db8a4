//! `/v1/payment_intents`: create, look, confirm, capture, cancel, list.

use super::lists;
use crate::acts::attempt::{self, Fate};
use crate::acts::{self, cancel::REASONS};
use crate::auth::{self, Who};
use crate::call::{Ask, Inbound, Worked};
use crate::declines;
use crate::faults::Op;
use crate::intent::Status;
use crate::method::{Kind, Method, test_method};
use crate::refusal::{Refusal, invalid, missing};
use crate::sim::Sim;
use crate::store::{Entry, Held};
use crate::webhooks::Job;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use serde_json::Value;
use std::sync::Arc;

type Sims = State<Arc<Sim>>;

pub async fn create(State(sim): Sims, inbound: Inbound, body: Bytes) -> Response {
    inbound.run(sim, Op::Create, None, body, create_one).await
}

fn create_one(sim: &Sim, ask: &Ask) -> Worked {
    // A method that cannot be is refused before the intent exists.
    let tried = match asked_method(ask) {
        Ok(tried) => tried,
        Err(refusal) => return (Err(refusal), Vec::new()),
    };
    let confirm = match ask.params.flag("confirm") {
        Ok(confirm) => confirm,
        Err(refusal) => return (Err(refusal), Vec::new()),
    };
    let (entry, mut jobs) = match acts::create::create(sim, &ask.params, &ask.cause) {
        Ok(created) => created,
        Err(refusal) => return (Err(refusal), Vec::new()),
    };
    let (result, more) = sim.work(&entry, |held| {
        if !confirm {
            if let Some((method, _)) = tried {
                held.intent.method = Some(method);
                let now_ms = held.intent.created_ms;
                held.become_status(now_ms, Status::RequiresConfirmation);
            }
            return (Ok(held.intent.to_json()), Vec::new());
        }
        confirm_one(sim, ask, held, tried)
    });
    jobs.extend(more);
    (result, jobs)
}

pub async fn retrieve(State(sim): Sims, Path(id): Path<String>, inbound: Inbound, body: Bytes) -> Response {
    let subject = Some(id.clone());
    let work = move |sim: &Sim, ask: &Ask| {
        on_intent(sim, &id, |held| {
            let show = || {
                ask.params.only(&["client_secret"])?;
                let secret = ask.params.text("client_secret");
                if secret.is_some_and(|secret| secret != &*held.intent.client_secret) {
                    return Err(missing("payment_intent", &id, "client_secret"));
                }
                match (ask.who, secret) {
                    (Who::Server, _) => Ok(held.intent.to_json()),
                    (Who::Browser, Some(_)) => Ok(held.intent.to_public_json()),
                    (Who::Browser, None) => Err(auth::secret_key_required()),
                }
            };
            (show(), Vec::new())
        })
    };
    inbound.run(sim, Op::Retrieve, subject, body, work).await
}

pub async fn confirm(State(sim): Sims, Path(id): Path<String>, inbound: Inbound, body: Bytes) -> Response {
    let subject = Some(id.clone());
    let work = move |sim: &Sim, ask: &Ask| {
        let known = [
            "capture_method",
            "client_secret",
            "error_on_requires_action",
            "mandate_data",
            "off_session",
            "payment_method",
            "payment_method_data",
            "payment_method_options",
            "receipt_email",
            "return_url",
            "setup_future_usage",
            "shipping",
            "use_stripe_sdk",
        ];
        match ask.params.only(&known).and_then(|()| asked_method(ask)) {
            Ok(tried) => on_intent(sim, &id, |held| confirm_one(sim, ask, held, tried)),
            Err(refusal) => (Err(refusal), Vec::new()),
        }
    };
    inbound.run(sim, Op::Confirm, subject, body, work).await
}

/// The method a call names, with the fate of Stripe's test cards.
fn asked_method(ask: &Ask) -> Result<Option<(Method, Fate)>, Refusal> {
    if let Some(id) = ask.params.text("payment_method") {
        let unknown = || missing("PaymentMethod", id, "payment_method");
        return test_method(id).map(Some).ok_or_else(unknown);
    }
    let Some(name) = ask.params.inner("payment_method_data", "type") else {
        return Ok(None);
    };
    let unknown = || invalid(format!("Invalid payment method type: {name}")).param("payment_method_data[type]").early();
    Kind::parse(name).map(|kind| Some((Method::of(kind), Fate::Succeed))).ok_or_else(unknown)
}

fn confirm_one(sim: &Sim, ask: &Ask, held: &mut Held, tried: Option<(Method, Fate)>) -> Worked {
    match try_to_confirm(sim, ask, held, tried) {
        Ok((None, jobs)) => (Ok(held.intent.to_json()), jobs),
        Ok((Some(refusal), jobs)) => (Err(refusal), jobs),
        Err(refusal) => (Err(refusal), Vec::new()),
    }
}

fn try_to_confirm(
    sim: &Sim,
    ask: &Ask,
    held: &mut Held,
    tried: Option<(Method, Fate)>,
) -> Result<attempt::Attempted, Refusal> {
    attempt::open(held)?;
    let return_url = acts::create::return_url(&ask.params)?.or(held.intent.return_url.clone());
    let kept = held.intent.method.clone().map(|method| {
        let fate = test_method(&method.id).map_or(Fate::Succeed, |(_, fate)| fate);
        (method, fate)
    });
    let Some((method, fate)) = tried.or(kept) else {
        let message = "You cannot confirm this PaymentIntent because it's missing a payment method. You can either \
                       update the PaymentIntent with a payment method and then confirm it again, or confirm it again \
                       directly with a payment method or ConfirmationToken.";
        return Err(invalid(message).code("payment_intent_unexpected_state"));
    };
    if !held.intent.offered.contains(&method.kind) {
        let message =
            format!("The PaymentMethod provided ({}) is not allowed for this PaymentIntent.", method.kind.name());
        return Err(invalid(message).param("payment_method"));
    }
    if held.intent.automatic == Some(true) && return_url.is_none() {
        let message = "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because \
                       some of these payment methods might redirect your customer off of your page, you must provide a \
                       `return_url`.";
        return Err(invalid(message).param("return_url"));
    }
    held.intent.return_url = return_url;
    let fate = match ask.decline.as_deref() {
        Some(name) => Fate::Decline(declines::find(name).unwrap_or(declines::GENERIC)),
        None => fate,
    };
    attempt::attempt(sim, held, method, fate, &ask.cause)
}

pub async fn capture(State(sim): Sims, Path(id): Path<String>, inbound: Inbound, body: Bytes) -> Response {
    let subject = Some(id.clone());
    let work = move |sim: &Sim, ask: &Ask| {
        let known =
            ["amount_to_capture", "final_capture", "metadata", "statement_descriptor", "statement_descriptor_suffix"];
        let amount = ask.params.only(&known).and_then(|()| acts::create::amount(&ask.params, "amount_to_capture", 1));
        match amount {
            Ok(amount) => changing(sim, &id, |held| acts::capture::capture(sim, held, amount, &ask.cause)),
            Err(refusal) => (Err(refusal), Vec::new()),
        }
    };
    inbound.run(sim, Op::Capture, subject, body, work).await
}

pub async fn cancel(State(sim): Sims, Path(id): Path<String>, inbound: Inbound, body: Bytes) -> Response {
    let subject = Some(id.clone());
    let work = move |sim: &Sim, ask: &Ask| {
        let reason = ask.params.only(&["cancellation_reason"]);
        match reason.and_then(|()| ask.params.one_of("cancellation_reason", &REASONS)) {
            Ok(reason) => changing(sim, &id, |held| acts::cancel::cancel(sim, held, reason, &ask.cause)),
            Err(refusal) => (Err(refusal), Vec::new()),
        }
    };
    inbound.run(sim, Op::Cancel, subject, body, work).await
}

pub async fn list(State(sim): Sims, inbound: Inbound, body: Bytes) -> Response {
    let work = |sim: &Sim, ask: &Ask| {
        let mut jobs = Vec::new();
        let page = || {
            ask.params.only(&["limit", "starting_after", "ending_before", "created"])?;
            let cut = lists::cut(&ask.params)?;
            let range = ask.params.range("created")?;
            sim.store.intents(range, &cut).ok_or_else(|| lists::unknown("payment_intent", &cut))
        };
        let result = page().map(|(entries, more)| {
            let data = entries.iter().map(|entry| show(sim, entry, &mut jobs)).collect();
            lists::list("/v1/payment_intents", data, more)
        });
        (result, jobs)
    };
    inbound.run(sim, Op::List, None, body, work).await
}

/// An intent as a page shows it; what fell due meanwhile is done first.
pub fn show(sim: &Sim, entry: &Entry, jobs: &mut Vec<Job>) -> Value {
    let (shown, more) = sim.work(entry, |held| (held.intent.to_json(), Vec::new()));
    jobs.extend(more);
    shown
}

fn changing(sim: &Sim, id: &str, act: impl FnOnce(&mut Held) -> Result<Vec<Job>, Refusal>) -> Worked {
    on_intent(sim, id, |held| match act(held) {
        Ok(jobs) => (Ok(held.intent.to_json()), jobs),
        Err(refusal) => (Err(refusal), Vec::new()),
    })
}

fn on_intent(sim: &Sim, id: &str, act: impl FnOnce(&mut Held) -> Worked) -> Worked {
    match sim.store.intent(id) {
        Some(entry) => sim.work(&entry, act),
        None => (Err(missing("payment_intent", id, "intent")), Vec::new()),
    }
}
