//! A local stand-in for Stripe, for development, tests and load tests. It is a program of its own and shares no
//! types with Admit: both sides know only what travels over HTTP.
//!
//! | Module | Holds |
//! |---|---|
//! | `sim`, `store`, `intent`, `charge`, `refund`, `ledger`, `counts` | what the company knows |
//! | `acts` | what can happen to a payment, whoever asks for it: each act changes everything or nothing |
//! | `call`, `auth`, `form`, `expand`, `faults`, `limits` | what happens around every call |
//! | `api` | the REST calls under `/v1` |
//! | `webhooks` | events, signatures, delivery, retries |
//! | `window` | the browser's script and the payment page |
//! | `controls` | `/_sim/`: what a tester does to it |
//!
//! The machinery below all that (clock, fault engine, idempotency keys, sockets) is in `simulator_common`.

mod acts;
mod api;
mod auth;
mod call;
mod charge;
mod controls;
mod counts;
mod declines;
mod expand;
mod faults;
mod form;
mod ids;
mod intent;
mod ledger;
mod limits;
mod method;
mod refund;
mod refusal;
mod settings;
mod sim;
mod store;
mod webhooks;
mod window;

pub use settings::{Options, Settings, SignatureClock};
pub use simulator_common::serve::Running;

use crate::sim::Sim;
use crate::webhooks::Webhooks;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use simulator_common::serve::serve;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Far beyond any call that Stripe documents: fifty pairs of metadata with 500 characters each.
const BODY_MAX: usize = 256 * 1024;

/// Listens on a real socket and serves until shut down. Several may run in one process.
pub async fn start(settings: Settings) -> io::Result<Running> {
    settings.check().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let listener = TcpListener::bind(settings.listen).await?;
    let addr = listener.local_addr()?;
    let origin = settings.public_url.clone().unwrap_or_else(|| format!("http://{addr}"));
    let (webhooks, queue) = Webhooks::new(&settings).map_err(io::Error::other)?;
    let (stop, stopped) = watch::channel(false);
    let concurrency = settings.webhook_concurrency;
    let sim = Arc::new(Sim::new(settings, origin.trim_end_matches('/').to_owned(), webhooks, stopped.clone()));

    tokio::spawn(sim.clone().keep_time());
    tokio::spawn(webhooks::run(sim.clone(), queue, concurrency, stopped));
    Ok(serve(listener, addr, routes(sim), stop))
}

fn routes(sim: Arc<Sim>) -> Router {
    Router::new()
        .merge(api::routes())
        .merge(window::routes())
        .layer(from_fn_with_state(sim.clone(), call::unless_away))
        .merge(controls::routes())
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .fallback(async |method: Method, uri: Uri| refusal::unrecognised(&method, uri.path()))
        .with_state(sim)
}
