//! Attempts: a bounded number at once, ten seconds each, and nothing but a plain 200 counts.

use super::events::retry_wait_ms;
use super::{Attempt, Job, LOG_MAX, Relaxed, Sim};
use crate::clock::kst;
use crate::sim::Due;
use simulator_common::lock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, error::TrySendError};
use tokio::sync::{Semaphore, watch};

/// Works the queue off until the simulator stops.
pub async fn run(sim: Arc<Sim>, mut queue: Receiver<Job>, concurrency: usize, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(concurrency));
    loop {
        let job = tokio::select! {
            job = queue.recv() => job,
            _ = stop.wait_for(|stopped| *stopped) => None,
        };
        let Some(job) = job else { return };
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let sim = sim.clone();
        tokio::spawn(async move {
            attempt(&sim, job).await;
            drop(slot);
        });
    }
}

pub fn enqueue(sim: &Sim, job: Job) {
    match sim.webhooks.queue.try_send(job) {
        // A full queue is a receiver that cannot keep up: the event takes the ladder, nothing is lost.
        Err(TrySendError::Full(job)) => retry(sim, job),
        Ok(()) | Err(TrySendError::Closed(_)) => {}
    }
}

/// One attempt, and whatever follows from it.
pub async fn attempt(sim: &Arc<Sim>, mut job: Job) {
    let Some(url) = sim.webhooks.url() else {
        return;
    };
    if job.generation != sim.webhooks.generation.load(Relaxed) {
        return;
    }
    let then = job.then.take();
    let tally = &sim.webhooks.tally;
    tally.in_flight.fetch_add(1, Relaxed);
    let outcome = send(sim, &url, &job).await;
    tally.in_flight.fetch_sub(1, Relaxed);
    if job.generation != sim.webhooks.generation.load(Relaxed) {
        return;
    }
    note(sim, &job, &outcome);
    if matches!(outcome, Ok(200)) {
        tally.delivered.fetch_add(1, Relaxed);
    } else {
        retry(sim, job);
    }
    if let Some(older) = then {
        enqueue(sim, *older);
    }
}

async fn send(sim: &Sim, url: &str, job: &Job) -> Result<u16, String> {
    let call = async {
        let mut response = sim
            .webhooks
            .client
            .post(url)
            .header("content-type", "application/json;charset=UTF-8")
            .header("tosspayments-webhook-transmission-time", kst(sim.clock.now_ms()))
            .header("tosspayments-webhook-transmission-retried-count", job.retried)
            .header("tosspayments-webhook-transmission-id", &*job.transmission_id)
            .body(job.body.clone())
            .send()
            .await
            .map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        // A short body is read to its end so that the connection can serve the next event.
        for _ in 0..4 {
            match response.chunk().await {
                Ok(Some(_)) => {}
                _ => break,
            }
        }
        Ok(status)
    };
    let limit = Duration::from_millis(sim.options().webhook_timeout_ms);
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
}

fn retry(sim: &Sim, job: Job) {
    sim.webhooks.tally.failed_attempts.fetch_add(1, Relaxed);
    match retry_wait_ms(job.retried) {
        Some(wait_ms) => {
            let job = Job { retried: job.retried + 1, ..job };
            sim.agenda.at(sim.clock.now_ms() + wait_ms, Due::Deliver(job));
        }
        None => {
            sim.webhooks.tally.given_up.fetch_add(1, Relaxed);
        }
    }
}

fn note(sim: &Sim, job: &Job, outcome: &Result<u16, String>) {
    let mut log = lock(&sim.webhooks.log);
    if log.len() == LOG_MAX {
        log.pop_front();
    }
    log.push_back(Attempt {
        transmission_id: job.transmission_id.clone(),
        order_id: job.order_id.clone(),
        event: job.event,
        status: job.status,
        retried: job.retried,
        at: kst(sim.clock.now_ms()),
        http_status: outcome.as_ref().ok().copied(),
        error: outcome.as_ref().err().cloned(),
    });
}
