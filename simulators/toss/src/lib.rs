//! A local stand-in for Toss Payments, for development, tests and load tests. It is a program of its own and
//! shares no types with Admit: both sides know only what travels over HTTP.
//!
//! | Module | Holds |
//! |---|---|
//! | `sim`, `store`, `payment`, `ledger`, `counts` | what the company knows |
//! | `clock`, `agenda` | deadlines on a clock that can be scaled and moved |
//! | `call`, `auth`, `idempotency`, `faults`, `limits` | what happens around every call |
//! | `api` | the REST calls under `/v1` |
//! | `webhooks` | events, delivery, retries |
//! | `window` | the browser's script and the payment page |
//! | `controls` | `/_sim/`: what a tester does to it |
//!
//! Whatever the reference leaves open is a switch in `settings::Options`.

mod agenda;
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
mod socket;
mod store;
mod text;
mod webhooks;
mod window;

pub use settings::{AmountMismatch, Options, SecretFor, Settings};

use crate::sim::Sim;
use crate::socket::{Cut, CuttableListener};
use crate::webhooks::Webhooks;
use axum::Router;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A simulator at work. Dropped, it stops too, without waiting for anybody.
pub struct Running {
    pub addr: SocketAddr,
    stop: watch::Sender<bool>,
    server: Option<JoinHandle<()>>,
}

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
    tokio::spawn(webhooks::run(sim.clone(), queue, concurrency, stopped.clone()));
    let service = routes(sim).into_make_service_with_connect_info::<Cut>();
    let serving = axum::serve(CuttableListener(listener), service).with_graceful_shutdown(until(stopped));
    let server = tokio::spawn(async move {
        // The listener above never gives up, so neither does the server.
        let _ = serving.await;
    });
    Ok(Running { addr, stop, server: Some(server) })
}

fn routes(sim: Arc<Sim>) -> Router {
    Router::new()
        .merge(api::routes())
        .merge(window::routes())
        .merge(controls::routes())
        .fallback(async || refusal::refuse("NOT_FOUND"))
        .with_state(sim)
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that nobody holds the switch any more: the same as thrown.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

impl Running {
    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Stops listening, gives calls in flight two seconds, and returns.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        if let Some(mut server) = self.server.take()
            && tokio::time::timeout(Duration::from_secs(2), &mut server).await.is_err()
        {
            server.abort();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}
