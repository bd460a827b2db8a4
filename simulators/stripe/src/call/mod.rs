//! What happens to every API call around its own work, in this order: authentication, rate limit, parameters, faults
//! at the edge, idempotency, latency, the work, faults on the way back.
//!
//! The work runs in a task of its own: a client that hangs up does not undo its payment.

mod deliver;
mod inbound;

pub use inbound::Inbound;

use crate::auth::{self, Who};
use crate::expand;
use crate::faults::{self, Fault, Kind, Op};
use crate::form::Params;
use crate::ids;
use crate::refusal::{Refusal, api_error, invalid, rate_limited};
use crate::sim::{Bound, Cause, Sim};
use crate::webhooks::Job;
use axum::Extension;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::Value;
use simulator_common::keys::{Begin, Claim};
use simulator_common::outage::Away;
use simulator_common::socket::Cut;
use simulator_common::{Text, lock};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const KEY_MAX: usize = 255;

/// What a call's own work gets to see.
pub struct Ask {
    pub params: Params,
    pub who: Who,
    pub cause: Cause,
    /// A confirm is to be declined, by this name: the only failure that leaves a trace.
    pub decline: Option<String>,
    expand: Vec<String>,
}

/// An answer and the events it caused; a refusal may have caused some too.
pub type Worked = (Result<Value, Refusal>, Vec<Job>);

/// The outcome of a call before anything is written to the socket.
struct Outcome {
    status: StatusCode,
    body: Bytes,
    request: Text,
    /// The request whose answer this is, if it is a stored one.
    replayed: Option<Text>,
}

impl Ask {
    pub fn server_only(&self) -> Result<(), Refusal> {
        if self.who == Who::Server { Ok(()) } else { Err(auth::secret_key_required()) }
    }
}

impl Inbound {
    /// Runs one call. `subject` is the id in its path, if there is one.
    pub async fn run<Work>(self, sim: Arc<Sim>, op: Op, subject: Option<String>, body: Bytes, work: Work) -> Response
    where
        Work: FnOnce(&Sim, &Ask) -> Worked + Send + 'static,
    {
        sim.counts.call(op);
        let request = ids::request();
        let ask = match self.admit(&sim, op, &request, &body) {
            Ok(ask) => ask,
            Err(refusal) => return self.respond(refused(&refusal, request)),
        };
        let fault = sim.faults.take(op, || names(&sim, subject.as_deref(), &ask.params));
        if let Some(fault) = fault.as_ref().filter(|fault| fault.is_before()) {
            return self.deliver(&sim, fault, refused(&faults::refusal(fault), request)).await;
        }
        let outcome = self.once(&sim, op, ask, fault.clone(), request, work).await;
        match fault {
            Some(fault) => self.deliver(&sim, &fault, outcome).await,
            None => self.respond(outcome),
        }
    }

    fn admit(&self, sim: &Sim, op: Op, request: &Text, body: &Bytes) -> Result<Ask, Refusal> {
        if !body.is_empty() && !self.is_form {
            let message = "Invalid request (check that your POST content type is application/x-www-form-urlencoded).";
            return Err(invalid(message));
        }
        let params = Params::read(&self.query, body)?;
        let who = auth::who(&sim.settings, self.authorization.as_deref(), params.text("key"))?;
        if who == Who::Browser && op != Op::Retrieve {
            return Err(auth::secret_key_required());
        }
        if !sim.limits.allow(sim.clock.now_ms(), sim.options().rate_limit_per_s) {
            return Err(rate_limited());
        }
        let key = self.bound_key();
        if key.as_ref().is_some_and(|key| key.len() > KEY_MAX) {
            return Err(invalid(format!("Idempotency keys can be at most {KEY_MAX} characters long.")));
        }
        let expand = expand::paths(&params)?;
        Ok(Ask { params, who, cause: Cause::of(request, key), decline: None, expand })
    }

    /// The idempotency key where it counts: GET is idempotent by itself and ignores it.
    fn bound_key(&self) -> Option<Text> {
        self.idempotency_key.clone().filter(|_| self.method != Method::GET)
    }

    async fn once<Work>(
        &self,
        sim: &Arc<Sim>,
        op: Op,
        ask: Ask,
        fault: Option<Fault>,
        request: Text,
        work: Work,
    ) -> Outcome
    where
        Work: FnOnce(&Sim, &Ask) -> Worked + Send + 'static,
    {
        let claim = match self.claim(sim, &ask, &request) {
            Ok(claim) => claim,
            Err(outcome) => return *outcome,
        };
        let (task_sim, task_request) = (sim.clone(), request.clone());
        let task = tokio::spawn(async move { perform(&task_sim, op, ask, fault, task_request, claim, work).await });
        // The work panicked: its outcome is unknown, and so says the answer.
        task.await.unwrap_or_else(|_| refused(&api_error(500), request))
    }

    /// The right to run once, or the answer that there is already.
    fn claim(&self, sim: &Sim, ask: &Ask, request: &Text) -> Result<Option<Claim<Bound>>, Box<Outcome>> {
        let Some(key) = self.bound_key() else {
            return Ok(None);
        };
        let no = |refusal: Refusal| Err(Box::new(refused(&refusal, request.clone())));
        // There is one account and one secret key, so the key alone is the scope.
        let asked = format!("{}\n{:016x}", self.path, ask.params.digest());
        match sim.keys.begin(sim.clock.now_ms(), key.to_string(), asked.into()) {
            Begin::Fresh(claim) => Ok(Some(claim)),
            Begin::Running => no(in_use(&key)),
            Begin::Other(first) => no(reused(&key, &self.path, &first)),
            Begin::Replay(Bound { status, body, request: first }) => {
                sim.counts.replays.fetch_add(1, Relaxed);
                Err(Box::new(Outcome { status, body, request: request.clone(), replayed: Some(first) }))
            }
        }
    }
}

async fn perform<Work>(
    sim: &Arc<Sim>,
    op: Op,
    mut ask: Ask,
    fault: Option<Fault>,
    request: Text,
    claim: Option<Claim<Bound>>,
    work: Work,
) -> Outcome
where
    Work: FnOnce(&Sim, &Ask) -> Worked,
{
    let is = |kind: Kind| fault.as_ref().filter(|fault| fault.kind == kind);
    let slow_ms = is(Kind::Slow).map_or(0, |fault| fault.delay_ms.unwrap_or(5_000));
    let wait_ms = sim.options().latency_ms + slow_ms;
    if wait_ms > 0 {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    }
    let (result, jobs) = match is(Kind::Fail) {
        Some(fault) if op != Op::Confirm => (Err(faults::refusal(fault)), Vec::new()),
        fault => {
            let name = |fault: &Fault| fault.code.clone().unwrap_or_else(|| "generic_decline".into());
            ask.decline = fault.map(name);
            work(sim, &ask)
        }
    };
    sim.publish(jobs).await;
    let early = result.as_ref().is_err_and(|refusal| refusal.early);
    let done = match result {
        Ok(mut value) => {
            ask.expand.iter().for_each(|path| expand::expand(sim, &mut value, path));
            Outcome { status: StatusCode::OK, body: pretty(&value), request: request.clone(), replayed: None }
        }
        Err(refusal) => refused(&refusal, request.clone()),
    };
    let replay_5xx = sim.options().replay_5xx;
    let sent = is(Kind::ErrorAfter).map(|fault| refused(&faults::refusal(fault), request.clone()));
    if let Some(claim) = claim.filter(|_| !early) {
        // An error that Stripe itself makes after the work is what a repeat will see, for a day.
        let kept = sent.as_ref().filter(|_| replay_5xx).unwrap_or(&done);
        if replay_5xx || !kept.status.is_server_error() {
            claim.finish(Bound { status: kept.status, body: kept.body.clone(), request });
        }
    }
    sent.unwrap_or(done)
}

fn in_use(key: &str) -> Refusal {
    let message = format!(
        "There is currently another in-progress request using this Idempotent Key (that probably means you submitted \
         twice, and the other request is still going through): {key}. Please try again later."
    );
    Refusal::new(409, "invalid_request_error", message).code("idempotency_key_in_use")
}

/// Same key, other parameters or another endpoint.
fn reused(key: &str, path: &str, first: &str) -> Refusal {
    let first = first.split('\n').next().unwrap_or_default();
    let rule = if first == path {
        "the same parameters they were first used with.".to_owned()
    } else {
        format!("the same endpoint they were first used for ('{path}' vs '{first}').")
    };
    let message = format!(
        "Keys for idempotent requests can only be used with {rule} Try using a key other than '{key}' if you meant to \
         execute a different request."
    );
    Refusal::new(400, "idempotency_error", message)
}

/// The names a call goes by for faults about one payment: the intent's id and the values of its metadata.
fn names(sim: &Sim, subject: Option<&str>, params: &Params) -> Vec<String> {
    let id = subject.or(params.text("payment_intent")).or(params.text("charge"));
    let values = |metadata: &serde_json::Map<String, Value>| {
        metadata.values().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    match id {
        None => params.metadata().map(|metadata| values(&metadata)).unwrap_or_default(),
        Some(id) => sim.store.owner(id).map_or_else(Vec::new, |entry| {
            let held = lock(&entry);
            let mut names = values(&held.intent.metadata);
            names.push(held.intent.id.to_string());
            names
        }),
    }
}

fn refused(refusal: &Refusal, request: Text) -> Outcome {
    let body = pretty(&refusal.body(&request));
    Outcome { status: refusal.status, body, request, replayed: None }
}

/// Stripe's answers are written for eyes too.
fn pretty(value: &Value) -> Bytes {
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text.into()
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
    api_error(503).into_response()
}
