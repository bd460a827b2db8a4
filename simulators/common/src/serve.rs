//! A simulator at work: its server, and the switch that ends it.

use crate::socket::{Cut, CuttableListener};
use axum::Router;
use std::net::SocketAddr;
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

/// Serves until the switch is thrown or dropped.
pub fn serve(listener: TcpListener, addr: SocketAddr, routes: Router, stop: watch::Sender<bool>) -> Running {
    let service = routes.into_make_service_with_connect_info::<Cut>();
    let stopped = stop.subscribe();
    let serving = axum::serve(CuttableListener(listener), service).with_graceful_shutdown(until(stopped));
    let server = tokio::spawn(async move {
        // The listener above never gives up, so neither does the server.
        let _ = serving.await;
    });
    Running { addr, stop, server: Some(server) }
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

/// Returns when the program is asked to end.
#[cfg(unix)]
pub async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Returns when the program is asked to end.
#[cfg(not(unix))]
pub async fn asked_to_stop() {
    let _ = tokio::signal::ctrl_c().await;
}
