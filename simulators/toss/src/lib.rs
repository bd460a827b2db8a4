//! A local stand-in for Toss Payments, for development, tests and load tests. It is a program of its own and
//! shares no types with Admit: both sides know only what travels over HTTP.
//!
//! | Module | Holds |
//! |---|---|
//! | `sim`, `store`, `payment`, `ledger`, `counts` | what the company knows |
//! | `clock` | Korean time; the clock itself, like all machinery, is in `simulator_common` |
//! | `call`, `auth`, `idempotency`, `faults`, `limits` | what happens around every call |
//! | `api` | the REST calls under `/v1` |
//! | `webhooks` | events, delivery, retries |
//! | `window` | the browser's script and the payment page |
//! | `controls` | `/_sim/`: what a tester does to it |
//!
//! Whatever the reference leaves open is a switch in `settings::Options`.

mod api;
mod auth;
mod body;
mod call;
mod clock;
mod codes;
mod controls;
mod counts;
mod faults;
mod idempotency;
mod ids;
mod ledger;
mod limits;
mod method;
mod payment;
mod refusal;
mod settings;
mod sim;
mod store;
mod webhooks;
mod window;

pub use settings::{AmountMismatch, Options, SecretFor, Settings};
pub use simulator_common::serve::Running;

use crate::sim::Sim;
use crate::webhooks::Webhooks;
use axum::Router;
use axum::middleware::from_fn_with_state;
use simulator_common::serve::serve;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Listens on a real socket and serves until shut down. Several may run in one process.
pub async fn start(settings: Settings) -> io::Result<Running> {
    settings.check().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let listener = TcpListener::bind(settings.listen).await?;
    let addr = listener.local_addr()?;
    let origin = settings.public_url.clone().unwrap_or_else(|| format!("http://{addr}"));
    let (webhooks, queue) = Webhooks::new(settings.webhook_url.as_deref()).map_err(io::Error::other)?;
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
        .fallback(async || refusal::refuse("NOT_FOUND"))
        .with_state(sim)
}
