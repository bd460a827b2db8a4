//! Attempts: a bounded number at once, and nothing but a 2xx counts.

use super::{Attempt, Job, LOG_MAX, Relaxed, WAITING_MAX};
use crate::settings::SignatureClock;
use crate::sim::{Due, Sim};
use simulator_common::clock::{HOUR_MS, MINUTE_MS};
use simulator_common::lock;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::{Receiver, error::TrySendError};
use tokio::sync::{Semaphore, watch};

/// Three days, after which Stripe gives up.
const TRY_FOR_MS: i64 = 72 * HOUR_MS;

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
        // A full queue is a receiver that cannot keep up: the event takes the ladder.
        Err(TrySendError::Full(job)) => retry(sim, job),
        Ok(()) | Err(TrySendError::Closed(_)) => {}
    }
}

/// Puts an event by until then, unless too many wait already.
pub fn wait(sim: &Sim, at_ms: i64, job: Job) {
    let tally = &sim.webhooks.tally;
    if tally.waiting.fetch_add(1, Relaxed) >= WAITING_MAX {
        tally.waiting.fetch_sub(1, Relaxed);
        tally.given_up.fetch_add(1, Relaxed);
        return;
    }
    sim.agenda.at(at_ms, Due::Deliver(job));
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
    if matches!(outcome, Ok(200..=299)) {
        tally.delivered.fetch_add(1, Relaxed);
    } else {
        retry(sim, job);
    }
    if let Some(older) = then {
        enqueue(sim, *older);
    }
}

async fn send(sim: &Sim, url: &str, job: &Job) -> Result<u16, String> {
    let now_ms = sim.clock.now_ms();
    let t = match sim.options().signature_clock {
        SignatureClock::Simulated => now_ms / 1_000,
        SignatureClock::Real => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64),
    };
    let signature = lock(&sim.webhooks.secrets).header(now_ms, t, &job.body);
    let call = async {
        let request = sim.webhooks.client.post(url).header("content-type", "application/json; charset=utf-8");
        let request = request.header("stripe-signature", signature).body(job.body.clone());
        let mut response = request.send().await.map_err(|error| error.to_string())?;
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
        Some(wait_ms) => wait(sim, sim.clock.now_ms() + wait_ms, Job { retried: job.retried + 1, ..job }),
        None => {
            sim.webhooks.tally.given_up.fetch_add(1, Relaxed);
        }
    }
}

/// Growing pauses within three days: Stripe documents no more. Here 1, 3, 9, ... 243 minutes, then twelve hours.
fn retry_wait_ms(retried: u32) -> Option<i64> {
    let pause = |n: u32| 3i64.checked_pow(n).map_or(12 * HOUR_MS, |minutes| (minutes * MINUTE_MS).min(12 * HOUR_MS));
    let total: i64 = (0..=retried.min(100)).map(pause).sum();
    (total <= TRY_FOR_MS).then(|| pause(retried))
}

fn note(sim: &Sim, job: &Job, outcome: &Result<u16, String>) {
    let mut log = lock(&sim.webhooks.log);
    if log.len() == LOG_MAX {
        log.pop_front();
    }
    log.push_back(Attempt {
        event_id: job.event_id.clone(),
        payment_intent: job.about.clone(),
        event: job.event,
        status: job.status,
        retried: job.retried,
        at: sim.clock.now_ms() / 1_000,
        http_status: outcome.as_ref().ok().copied(),
        error: outcome.as_ref().err().cloned(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_grows_and_ends_within_three_days() {
        let waits: Vec<i64> = (0..100).map_while(retry_wait_ms).collect();
        assert!(waits.is_sorted());
        assert_eq!((waits.len(), waits.iter().sum::<i64>()), (11, 3_964 * MINUTE_MS));
        assert!(waits.iter().sum::<i64>() + 12 * HOUR_MS > TRY_FOR_MS, "no room for another");
    }
}
