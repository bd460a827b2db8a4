//! What happens to every API call around its own work, in this order: authentication, rate limit, forced error,
//! faults at the edge, idempotency, latency, the work, faults on the way back.
//!
//! The work runs in a task of its own: a client that hangs up does not undo its payment.

mod deliver;

use crate::auth;
use crate::codes;
use crate::faults::{self, Fault, Kind, Op};
use crate::idempotency::{Answer, Bound, KEY_MAX};
use crate::ids;
use crate::refusal::{Refusal, refuse};
use crate::sim::Sim;
use axum::Extension;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::header::{ACCEPT_LANGUAGE, AUTHORIZATION};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, request::Parts};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use simulator_common::Text;
use simulator_common::keys::Begin;
use simulator_common::outage::Away;
use simulator_common::socket::Cut;
use std::convert::Infallible;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, atomic::AtomicU64};
use std::time::Duration;

/// The body is no part of a key's scope: every call under one key asks for the same.
const SAME: &str = "";

/// What of a request every call needs.
pub struct Inbound {
    method: Method,
    path: String,
    authorization: Option<String>,
    idempotency_key: Option<HeaderValue>,
    test_code: Option<String>,
    english: bool,
    cut: Cut,
}

#[derive(Clone, Copy)]
pub struct Caller {
    pub pair: usize,
    pub english: bool,
}

impl<S: Sync> FromRequestParts<S> for Inbound {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let text = |headers: &HeaderMap, name: &str| {
            headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let cut = parts.extensions.get::<ConnectInfo<Cut>>().map(|info| info.0.clone());
        Ok(Self {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            authorization: text(&parts.headers, AUTHORIZATION.as_str()),
            idempotency_key: parts.headers.get("idempotency-key").cloned(),
            test_code: text(&parts.headers, "tosspayments-test-code"),
            english: text(&parts.headers, ACCEPT_LANGUAGE.as_str()).is_some_and(|tag| tag.starts_with("en")),
            cut: cut.unwrap_or_default(),
        })
    }
}

/// The outcome of a call before anything is written to the socket.
struct Outcome {
    answer: Answer,
    trace: String,
}

impl Inbound {
    /// Runs one call. `order` names the order it is about, `work` gets the decline that a fault asks for.
    pub async fn run<Work, Doing>(
        self,
        sim: Arc<Sim>,
        op: Op,
        order: impl FnOnce(&Sim) -> Option<String>,
        work: Work,
    ) -> Response
    where
        Work: FnOnce(Arc<Sim>, Caller, Option<Refusal>) -> Doing + Send + 'static,
        Doing: Future<Output = Result<Bytes, Refusal>> + Send,
    {
        count(&sim, op).fetch_add(1, Relaxed);
        let caller = match self.admit(&sim, op) {
            Ok(caller) => caller,
            Err(refusal) => return self.respond(refused(&refusal, self.english)),
        };
        let fault = sim.faults.take(op, || order(&sim).into_iter().collect());
        if let Some(fault) = fault.as_ref().filter(|fault| fault.is_before()) {
            return self.deliver(&sim, fault, refused(&faults::refusal(fault), self.english)).await;
        }
        let outcome = self.once(&sim, op, caller, fault.clone(), work).await;
        match fault {
            Some(fault) => self.deliver(&sim, &fault, outcome).await,
            None => self.respond(outcome),
        }
    }

    fn admit(&self, sim: &Sim, op: Op) -> Result<Caller, Refusal> {
        let pair = auth::pair_of_secret(&sim.settings, self.authorization.as_deref())?;
        if !sim.limits.allow(op, sim.clock.now_ms(), sim.options().rate_limit_per_min) {
            return Err(refuse("TOO_MANY_REQUESTS"));
        }
        // Before any lookup, so that a dummy body will do; nothing is bound to an idempotency key.
        if let Some(name) = self.test_code.as_deref().filter(|_| auth::is_test(&sim.settings, pair)) {
            return Err(codes::find(name).map_or_else(|| refuse("INVALID_TEST_CODE"), Refusal::of));
        }
        if let Some(key) = self.bound_key()
            && !(1..=KEY_MAX).contains(&key.len())
        {
            return Err(refuse("INVALID_IDEMPOTENCY_KEY"));
        }
        Ok(Caller { pair, english: self.english })
    }

    /// The idempotency key where it counts: GET ignores it.
    fn bound_key(&self) -> Option<&HeaderValue> {
        self.idempotency_key.as_ref().filter(|_| self.method != Method::GET)
    }

    async fn once<Work, Doing>(
        &self,
        sim: &Arc<Sim>,
        op: Op,
        caller: Caller,
        fault: Option<Fault>,
        work: Work,
    ) -> Outcome
    where
        Work: FnOnce(Arc<Sim>, Caller, Option<Refusal>) -> Doing + Send + 'static,
        Doing: Future<Output = Result<Bytes, Refusal>> + Send,
    {
        let trace: Text = ids::trace_id().into();
        let claim = match self.bound_key() {
            None => None,
            Some(key) => {
                let key = String::from_utf8_lossy(key.as_bytes());
                let scope = format!("{}\n{} {}\n{key}", caller.pair, self.method, self.path);
                match sim.idempotency.begin(sim.clock.now_ms(), scope, SAME.into()) {
                    Begin::Fresh(claim) => Some(claim),
                    // Nothing but the scope counts, so a key is never one for something else.
                    Begin::Running | Begin::Other(_) => {
                        return refused(&refuse("IDEMPOTENT_REQUEST_PROCESSING"), caller.english);
                    }
                    Begin::Replay(Bound { answer, trace: first }) => {
                        sim.counts.replays.fetch_add(1, Relaxed);
                        return Outcome { answer, trace: format!("{trace},{first}") };
                    }
                }
            }
        };
        let (task_sim, task_trace) = (sim.clone(), trace.clone());
        let task = tokio::spawn(async move {
            let answer = perform(&task_sim, op, caller, fault, work).await;
            if let Some(claim) = claim
                && (!answer.status.is_server_error() || task_sim.options().replay_5xx)
            {
                claim.finish(Bound { answer: answer.clone(), trace: task_trace });
            }
            answer
        });
        match task.await {
            Ok(answer) => Outcome { answer, trace: trace.to_string() },
            // The work panicked: its outcome is unknown, and so says the answer.
            Err(_) => refused(&refuse("UNKNOWN_ERROR"), caller.english),
        }
    }
}

async fn perform<Work, Doing>(sim: &Arc<Sim>, op: Op, caller: Caller, fault: Option<Fault>, work: Work) -> Answer
where
    Work: FnOnce(Arc<Sim>, Caller, Option<Refusal>) -> Doing,
    Doing: Future<Output = Result<Bytes, Refusal>>,
{
    let slow_ms = fault.as_ref().filter(|fault| fault.kind == Kind::Slow).map_or(0, |f| f.delay_ms.unwrap_or(5_000));
    let wait_ms = sim.options().latency_ms + slow_ms;
    if wait_ms > 0 {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    }
    let decline = fault.filter(|fault| fault.kind == Kind::Fail).map(|fault| faults::refusal(&fault));
    let done = match decline {
        // Only a confirm that is declined leaves a trace.
        Some(refusal) if op != Op::Confirm => Err(refusal),
        decline => work(sim.clone(), caller, decline).await,
    };
    match done {
        Ok(body) => Answer { status: StatusCode::OK, body },
        Err(refusal) => Answer { status: refusal.status, body: refusal.body(caller.english) },
    }
}

fn refused(refusal: &Refusal, english: bool) -> Outcome {
    let answer = Answer { status: refusal.status, body: refusal.body(english) };
    Outcome { answer, trace: ids::trace_id() }
}

fn count(sim: &Sim, op: Op) -> &AtomicU64 {
    match op {
        Op::Confirm => &sim.counts.confirms,
        Op::Query => &sim.counts.queries,
        Op::Cancel => &sim.counts.cancels,
        Op::Create => &sim.counts.creates,
        Op::Transactions => &sim.counts.transactions,
    }
}

/// Turns everybody away while an outage lasts. Outermost: neither counted nor authenticated.
pub async fn unless_away(
    State(sim): State<Arc<Sim>>,
    cut: Option<Extension<ConnectInfo<Cut>>>,
    request: Request,
    next: Next,
) -> Response {
    match sim.outage.meet(sim.clock.now_ms()) {
        None => return next.run(request).await,
        Some(Away::Refuse) => {}
        Some(Away::Drop) => cut.map(|cut| cut.0.0.now()).unwrap_or_default(),
    }
    let refusal = refuse("FAILED_INTERNAL_SYSTEM_PROCESSING");
    Refusal { status: StatusCode::SERVICE_UNAVAILABLE, ..refusal }.into_response()
}
