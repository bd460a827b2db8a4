//! The ticks of `admit work`. Each takes no input, does a bounded batch and can be repeated, so that several workers
//! may run at once and the normal path is the recovery path.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use super::model::Origin;
use super::writer::{Ask, Entry, Reply};
use super::{books, care, deposits, gauges, pg, purge, recover, refunds};
use crate::app::App;
use crate::error::Result;

type Tick = for<'a> fn(&'a App) -> Pin<Box<dyn Future<Output = Result<usize>> + Send + 'a>>;

pub struct Worker {
    pub name: &'static str,
    pub every: Duration,
    pub tick: Tick,
}

/// All workers; names label metrics and let a test run one round.
pub const WORKERS: [Worker; 21] = [
    Worker { name: "expire", every: Duration::from_millis(500), tick: |app| Box::pin(expire(app)) },
    Worker { name: "recover", every: Duration::from_secs(1), tick: |app| Box::pin(recover::tick(app)) },
    Worker { name: "webhooks", every: Duration::from_millis(500), tick: |app| Box::pin(recover::webhooks(app)) },
    Worker { name: "refunds", every: Duration::from_secs(1), tick: |app| Box::pin(refunds::carry::tick(app)) },
    Worker { name: "arrivals", every: Duration::from_secs(60), tick: |app| Box::pin(refunds::arrival::tick(app)) },
    Worker { name: "books", every: Duration::from_secs(60), tick: |app| Box::pin(books::reconcile::tick(app)) },
    Worker { name: "deposits", every: Duration::from_secs(5), tick: |app| Box::pin(deposits::tick(app)) },
    Worker {
        name: "outbox",
        every: Duration::from_millis(500),
        tick: |app| Box::pin(crate::notifications::deliver(app)),
    },
    Worker {
        name: "message_index",
        every: Duration::from_secs(60),
        tick: |app| Box::pin(crate::notifications::outbox::place(app)),
    },
    Worker {
        name: "message_counts",
        every: Duration::from_secs(2),
        tick: |app| Box::pin(crate::notifications::outbox::counts::tick(app)),
    },
    Worker { name: "audit", every: Duration::from_secs(1), tick: |app| Box::pin(audit(app)) },
    Worker { name: "gauges", every: Duration::from_secs(5), tick: |app| Box::pin(gauges::tick(app)) },
    Worker {
        name: "figures",
        every: Duration::from_secs(1),
        tick: |app| Box::pin(crate::dashboard::figures::tick(app)),
    },
    Worker {
        name: "entrances",
        every: Duration::from_secs(10),
        tick: |app| Box::pin(crate::dashboard::figures::entrances(app)),
    },
    Worker {
        name: "figures_check",
        every: Duration::from_secs(300),
        tick: |app| Box::pin(crate::dashboard::figures::check(app)),
    },
    Worker { name: "purge", every: Duration::from_secs(3600), tick: |app| Box::pin(purge::tick(app)) },
    Worker {
        name: "retention",
        every: Duration::from_secs(600),
        tick: |app| Box::pin(crate::privacy::retention::tick(app)),
    },
    Worker { name: "bulk_refunds", every: Duration::from_secs(2), tick: |app| Box::pin(care::bulk::carry::tick(app)) },
    Worker { name: "contact_index", every: Duration::from_secs(60), tick: |app| Box::pin(care::index::tick(app)) },
    Worker {
        name: "changes",
        every: Duration::from_secs(600),
        tick: |app| Box::pin(crate::entrance::sync::forget(app)),
    },
    Worker { name: "rooms", every: ROOMS, tick: |app| Box::pin(rooms(app)) },
];

/// Four times a second somebody is called, or nobody.
const ROOMS: Duration = Duration::from_millis(250);

/// Always "nothing more to do": the pace of a room is its own.
async fn rooms(app: &App) -> Result<usize> {
    crate::waiting_room::leader::tick(app).await.map(|_| 0)
}

async fn audit(app: &App) -> Result<usize> {
    crate::stock::audit::tick(app).await.map(|report| report.given_back + report.rebuilt)
}

const EXPIRE_BATCH: i64 = 500;

/// Lapsed holds give their places back, exactly once: each goes through the stock writer, which judges again.
pub async fn expire(app: &App) -> Result<usize> {
    let client = app.pg.get().await?;
    let ids = pg::lapsed(&client, EXPIRE_BATCH).await?;
    let orders = pg::by_ids(app, &client, &ids).await?;
    drop(client);
    let mut tasks = Vec::with_capacity(orders.len());
    for order in orders {
        let app = app.clone();
        // Together, so that they share commits.
        tasks.push(app.lifecycle.clone().spawn(async move {
            let origin = Origin::new("worker", "expiry", &order.facts.number);
            app.writer.submit(Entry { facts: order.facts, ask: Ask::Expire, origin }).await
        }));
    }
    let mut released = 0;
    for task in tasks {
        match task.await {
            Ok(Reply::Released) => released += 1,
            Ok(Reply::Failed(error)) => tracing::warn!(%error, "a lapsed hold stays for the next round"),
            _ => {}
        }
    }
    Ok(released)
}

/// Runs one worker until the process stops. A panic ends its round, not the worker.
pub async fn run(app: App, worker: &'static Worker) {
    let stopping = app.lifecycle.stopping();
    loop {
        let started = Instant::now();
        app.pulse.began(worker.name, app.clock.now_ms());
        let round_app = app.clone();
        let outcome = match app.lifecycle.spawn(async move { (worker.tick)(&round_app).await }).await {
            Ok(Ok(0)) => "idle",
            Ok(Ok(_)) => "worked",
            Ok(Err(error)) => {
                tracing::warn!(worker = worker.name, %error, "a round failed");
                "failed"
            }
            Err(error) => {
                tracing::error!(worker = worker.name, %error, "a round panicked");
                "panicked"
            }
        };
        app.metrics.worker(worker.name, outcome, started.elapsed());
        app.pulse.worked(worker.name, outcome, started.elapsed(), app.clock.now_ms());
        // With something to do there is probably more.
        let pause = if outcome == "worked" { worker.every / 10 } else { jitter(worker.every) };
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// 85 % to 115 %, so that several workers do not march in step.
fn jitter(every: Duration) -> Duration {
    every.mul_f64(0.85 + 0.3 * rand::random::<f64>())
}
