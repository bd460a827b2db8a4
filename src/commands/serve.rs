//! `admit serve`.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};

use super::Outcome;
use crate::config::Settings;

/// Connections the kernel may queue while we are busy; nginx keeps its own alive, so this is for bursts.
const BACKLOG: u32 = 4096;
/// A stopping instance goes on answering this long, telling each caller to come back on another connection, so that
/// the proxy's idle connections are gone before the port closes.
const LAST_CALLS: Duration = Duration::from_millis(1_500);

pub async fn run(settings: Settings) -> Outcome {
    super::init_logs(&settings.log);
    let address = settings.listen;
    let (app, writer) = super::start(settings).await?;
    super::private_port(&app).await?;
    let listener = listen(address).map_err(|e| format!("ADMIT_LISTEN: cannot listen on {address}: {e}"))?;
    tracing::info!(%address, "serving");

    let (routes, _) = app.routes();
    let stopping = app.lifecycle.stopping();
    let signals = app.lifecycle.clone();
    app.lifecycle.spawn(async move {
        if let Err(error) = signals.stop_on_signal().await {
            tracing::error!(%error, "cannot listen for signals");
        }
    });
    let served = axum::serve(listener, routes.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move {
            stopping.cancelled().await;
            tokio::time::sleep(LAST_CALLS).await;
        });
    // Half of the time is for requests, half for what they leave behind.
    let patience = Duration::from_secs(app.settings.shutdown_s) / 2;
    let stopped = app.lifecycle.stopping();
    let served = async move { served.await };
    tokio::select! {
        ended = served => ended.map_err(|e| format!("serving ended: {e}"))?,
        () = async { stopped.cancelled().await; tokio::time::sleep(patience).await } => {
            tracing::warn!("some requests did not end in time");
        }
    }
    super::stop(app, writer).await;
    Ok(())
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
