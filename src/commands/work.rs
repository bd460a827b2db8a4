//! `admit work`.

use super::Outcome;
use crate::config::Settings;
use crate::orders::worker::{self, WORKERS};

pub async fn run(settings: Settings) -> Outcome {
    super::init_logs(&settings.log);
    let (app, writer) = super::start(settings).await?;
    super::private_port(&app).await?;
    for worker in &WORKERS {
        app.lifecycle.spawn(worker::run(app.clone(), worker));
    }
    tracing::info!(workers = WORKERS.len(), "working");
    app.lifecycle.stop_on_signal().await.map_err(|e| format!("cannot listen for signals: {e}"))?;
    super::stop(app, writer).await;
    Ok(())
}
