//! Many wait and ask where they stand. Answered from memory: what does Redis notice of it, and what does a waiting
//! visitor cost?

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::cli::{Common, Polls};
use crate::context::Context;
use crate::crowd::{Crowd, stride};
use crate::demo;
use crate::engine::Window;
use crate::memory;
use crate::queue::{Queue, state_of};
use crate::redis::Redis;
use crate::report::Report;
use crate::room::{FULL, Room};
use crate::scenarios::join;
use crate::shop::Shop;
use crate::tally::Outcome;

const RATE: u32 = 20_000;
const SECONDS: u32 = 20;
const WARMUP: u32 = 3;
const CONNECTIONS_CLOSED: u32 = 64;
const CONNECTIONS_OPEN: u32 = 256;
/// Devices that join at once while the room is filled.
const JOINERS: usize = 64;
/// Joins that fail in a row and mean that the room will not be filled.
const FAILURES_MAX: u64 = 2_000;
/// From the last join until every instance has told Redis of everybody and learnt of all the others.
const SETTLE: Duration = Duration::from_secs(3);
/// Redis with nobody polling.
const IDLE: Duration = Duration::from_secs(5);
/// From the issue.
const RATE_TARGET: f64 = 40_000.0;
const INSTANCE_MB_TARGET: f64 = 150.0;
const REDIS_BYTES_TARGET: f64 = 10.0;
/// What Redis may use beside the visitors: bitmaps of a room, pictures, histories.
const REDIS_CONSTANT_BYTES: f64 = 4.0 * 1024.0 * 1024.0;

pub async fn run(common: Common, options: Polls) -> Result<Report, Failure> {
    let mut context = Context::open(common, false).await?;
    context.instance_mb_target = INSTANCE_MB_TARGET;
    let default = if options.closed { CONNECTIONS_CLOSED } else { CONNECTIONS_OPEN };
    let shop = context.shop(context.options.connections_or(default).max(JOINERS))?;
    let mut room = Room::of(&context.demo, &options.exhibition).await?;
    let outcome = match room.open_anew(&FULL).await {
        Ok(()) => polled(&mut context, &shop, &options).await,
        opened => opened,
    };
    context.give_back(room).await;
    outcome?;
    context.require_winners();
    Ok(context.close("polls").await)
}

async fn polled(context: &mut Context, shop: &Arc<Shop>, options: &Polls) -> Result<(), Failure> {
    let common = &context.options;
    let (rate, seconds, warmup) = (common.rate_or(RATE), common.seconds_or(SECONDS), common.warmup_or(WARMUP));
    let workers = common.connections_or(CONNECTIONS_CLOSED);
    let queue = Arc::new(Queue::new(&options.exhibition));
    let inside = queue.occupy(&shop.site).await?;
    let mut redis = Redis::connect(&demo::redis(&context.demo.redis_url)?).await?;
    let memory_before = redis.used_memory().await?;
    let begun = Instant::now();
    let crowd = Arc::new(fill(shop, &queue, options.waiting as usize).await?);
    context.figure("people waiting", crowd.len() as f64, "");
    context.figure("joined over HTTP at", crowd.len() as f64 / begun.elapsed().as_secs_f64(), "/s");
    context.require("every number is given once", crowd.numbers.twice == 0, format!("{} twice", crowd.numbers.twice));
    tokio::time::sleep(SETTLE).await;
    let memory_joined = redis.used_memory().await?;
    let now = Instant::now();
    eprintln!("{} wait; {:.0} s with nobody polling", crowd.len(), IDLE.as_secs_f64());
    let idle_per_s = commands_per_s(&mut redis, now, now + IDLE).await?;

    let seen = Arc::new(Seen::default());
    let visit = visits(shop, &queue, &crowd, &seen);
    let window = Window::soon(warmup, seconds);
    let (phase, polling_per_s) = tokio::join!(
        async {
            if options.closed {
                context.closed_phase("polls", shop, window, workers, visit).await
            } else {
                context.open_phase("polls", shop, window, rate, visit).await
            }
        },
        commands_per_s(&mut redis, window.measured_from(), window.end()),
    );
    let polling_per_s = polling_per_s?;
    let memory_polled = redis.used_memory().await?;

    context.figure("Redis commands/s with nobody polling", idle_per_s, "/s");
    context.figure("Redis commands/s while polling", polling_per_s, "/s");
    context.figure("… which is more by", polling_per_s - idle_per_s, "/s");
    let thousands = (phase.finished_per_s / 1_000.0).max(0.001);
    context.figure("… for each thousand polls", (polling_per_s - idle_per_s) / thousands, "commands");
    let each = |after: f64| (after - memory_before) / crowd.len() as f64;
    context.figure("Redis memory for each who waits, after the joins", each(memory_joined), "bytes");
    context.figure("Redis memory for each who waits, after the polls", each(memory_polled), "bytes");
    let more = memory_joined.max(memory_polled) - memory_before;
    let allowed = REDIS_BYTES_TARGET * crowd.len() as f64 + REDIS_CONSTANT_BYTES;
    let detail = format!("{:.1} MB more, target 10 bytes for each and 4 MB", more / 1_048_576.0);
    context.target("Redis memory for those who wait", more <= allowed, detail);
    seen.tell(context);

    let resident = memory::read(&context.demo).await;
    for one in &resident {
        if let Some(mb) = one.mb {
            context.figure(format!("memory of {} while they wait", one.url), mb, "MB");
        }
    }
    if let Some(most) = resident.iter().filter_map(|one| one.mb).max_by(f64::total_cmp) {
        let detail = format!("{most} MB at most, target {INSTANCE_MB_TARGET} MB");
        context.target("memory of one instance while they wait", most < INSTANCE_MB_TARGET, detail);
    }
    let failed = phase.tally.failures();
    context.require("every poll is answered by a place in line", failed == 0, format!("{failed} were not"));
    let per_s = phase.succeeded_per_s;
    if options.closed || rate >= RATE_TARGET {
        let detail = format!("{per_s:.0}/s, target {RATE_TARGET:.0}/s");
        context.target("polls a second", per_s >= RATE_TARGET * 0.99, detail);
    }
    context.phases.push(phase);
    queue.vacate(&shop.site, &inside).await
}

/// So many join, as fast as they are let.
async fn fill(shop: &Arc<Shop>, queue: &Arc<Queue>, count: usize) -> Result<Crowd, Failure> {
    eprintln!("{count} people join");
    let crowd = Arc::new(Mutex::new(Crowd::default()));
    let visit = join::visits(shop, queue, &crowd);
    let (left, failures) = (Arc::new(AtomicUsize::new(count)), Arc::new(AtomicU64::new(0)));
    let mut joiners = tokio::task::JoinSet::new();
    for _ in 0..JOINERS.min(count) {
        let (visit, left, failures) = (visit.clone(), Arc::clone(&left), Arc::clone(&failures));
        joiners.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                let outcome = visit().await;
                if outcome == Outcome::Success {
                    failures.store(0, Ordering::Relaxed);
                    continue;
                }
                left.fetch_add(1, Ordering::Relaxed);
                if failures.fetch_add(1, Ordering::Relaxed) >= FAILURES_MAX {
                    return Err(format!("joins fail: {outcome:?}"));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        });
    }
    while let Some(done) = joiners.join_next().await {
        done.map_err(|error| error.to_string())??;
    }
    let mut crowd = crowd.lock().map_err(|error| error.to_string())?;
    Ok(std::mem::take(&mut *crowd))
}

/// Commands a second between two instants, our own question not counted.
async fn commands_per_s(redis: &mut Redis, from: Instant, upto: Instant) -> Result<f64, Failure> {
    tokio::time::sleep_until(from.into()).await;
    let (before, begun) = (redis.commands_processed().await?, Instant::now());
    tokio::time::sleep_until(upto.into()).await;
    let after = redis.commands_processed().await?;
    Ok((after - before - 1.0).max(0.0) / begun.elapsed().as_secs_f64())
}

fn visits(
    shop: &Arc<Shop>,
    queue: &Arc<Queue>,
    crowd: &Arc<Crowd>,
    seen: &Arc<Seen>,
) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>> + Clone + Send + use<> {
    let (shop, queue, crowd, seen) = (Arc::clone(shop), Arc::clone(queue), Arc::clone(crowd), Arc::clone(seen));
    let (turns, step) = (Arc::new(AtomicUsize::new(0)), stride(crowd.len()));
    move || {
        let turn = turns.fetch_add(1, Ordering::Relaxed) % crowd.len();
        let request = crowd.member(turn * step % crowd.len()).map(|(token, _)| queue.status(&shop.site, token));
        let (shop, seen) = (Arc::clone(&shop), Arc::clone(&seen));
        Box::pin(async move {
            let Some(request) = request else { return Outcome::Overrun };
            shop.site.call(&request, |status, body| seen.judge(status, body)).await.unwrap_or_else(Outcome::from)
        })
    }
}

/// States of those who wait, or are called and do not come. Anything else would mean that the poll measured something
/// else.
const STATES: [&str; 4] = ["waiting", "your_turn", "late", "prequeue"];

#[derive(Default)]
struct Seen {
    states: [AtomicU64; STATES.len()],
    stale: AtomicU64,
}

impl Seen {
    fn judge(&self, status: u16, body: &[u8]) -> Outcome {
        if status != 200 {
            return Outcome::of_problem(status, body);
        }
        let state = state_of(body).unwrap_or("without a state");
        let Some(at) = STATES.iter().position(|one| *one == state) else {
            return Outcome::Refused(format!("200 {state}"));
        };
        self.states[at].fetch_add(1, Ordering::Relaxed);
        // Third field of the reply.
        let stale = br#""stale":true"#;
        let is_stale = body[..body.len().min(100)].windows(stale.len()).any(|part| part == stale);
        self.stale.fetch_add(u64::from(is_stale), Ordering::Relaxed);
        Outcome::Success
    }

    fn tell(&self, context: &mut Context) {
        for (name, count) in STATES.iter().zip(&self.states) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                context.figure(format!("polls answered {name}, warm-up included"), count as f64, "");
            }
        }
        let stale = self.stale.load(Ordering::Relaxed);
        context.target("every answer is fresh", stale == 0, format!("{stale} were older than three seconds"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_wait_count() {
        let seen = Seen::default();
        let body = |state: &str, stale: bool| format!(r#"{{"state":"{state}","poll_after_ms":30000,"stale":{stale}}}"#);
        assert_eq!(seen.judge(200, body("waiting", false).as_bytes()), Outcome::Success);
        assert_eq!(seen.judge(200, body("late", true).as_bytes()), Outcome::Success);
        assert_eq!(seen.judge(200, body("open", false).as_bytes()), Outcome::Refused("200 open".into()));
        assert_eq!(seen.judge(200, b"<html>"), Outcome::Refused("200 without a state".into()));
        assert_eq!(seen.judge(410, br#"{"code":"queue.other_run"}"#), Outcome::Refused("410 queue.other_run".into()));
        let states: Vec<u64> = seen.states.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        assert_eq!((states, seen.stale.load(Ordering::Relaxed)), (vec![1, 0, 1, 0], 1));
    }
}
