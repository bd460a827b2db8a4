//! New devices join a room in which nobody is called: how many a second, and is every number given once?

use std::sync::{Arc, Mutex};

use crate::Failure;
use crate::cli::{Common, Join};
use crate::context::Context;
use crate::crowd::{Crowd, Numbers};
use crate::demo;
use crate::engine::Window;
use crate::queue::{Queue, TOKEN, Told};
use crate::redis::Redis;
use crate::report::Report;
use crate::room::{FULL, Room};
use crate::shop::{self, Shop};
use crate::tally::Outcome;

const RATE: u32 = 15_000;
const SECONDS: u32 = 20;
const WARMUP: u32 = 3;
const CONNECTIONS_CLOSED: u32 = 64;
const CONNECTIONS_OPEN: u32 = 256;
/// From the issue.
const RATE_TARGET: f64 = 15_000.0;
/// Joins that are repeated, by the token and by the device's cookie.
const REPEATED: usize = 1_000;

pub async fn run(common: Common, options: Join) -> Result<Report, Failure> {
    let mut context = Context::open(common, false).await?;
    let default = if options.closed { CONNECTIONS_CLOSED } else { CONNECTIONS_OPEN };
    let shop = context.shop(context.options.connections_or(default))?;
    let mut room = Room::of(&context.demo, &options.exhibition).await?;
    let outcome = match room.open_anew(&FULL).await {
        Ok(()) => joined(&mut context, &shop, &options).await,
        opened => opened,
    };
    context.give_back(room).await;
    outcome?;
    context.require_winners();
    Ok(context.close("join").await)
}

async fn joined(context: &mut Context, shop: &Arc<Shop>, options: &Join) -> Result<(), Failure> {
    let common = &context.options;
    let (rate, seconds, warmup) = (common.rate_or(RATE), common.seconds_or(SECONDS), common.warmup_or(WARMUP));
    let workers = common.connections_or(CONNECTIONS_CLOSED);
    let queue = Arc::new(Queue::new(&options.exhibition));
    let inside = queue.occupy(&shop.site).await?;
    let mut redis = Redis::connect(&demo::redis(&context.demo.redis_url)?).await?;
    let before = redis.used_memory().await?;

    let crowd = Arc::new(Mutex::new(Crowd::default()));
    let visit = visits(shop, &queue, &crowd);
    let window = Window::soon(warmup, seconds);
    let phase = if options.closed {
        context.closed_phase("joins", shop, window, workers, visit).await
    } else {
        context.open_phase("joins", shop, window, rate, visit).await
    };
    let after = redis.used_memory().await?;

    let crowd = std::mem::take(&mut *crowd.lock().map_err(|error| error.to_string())?);
    context.figure("devices joined, warm-up included", crowd.len() as f64, "");
    context.figure("Redis memory for each of them", (after - before) / crowd.len().max(1) as f64, "bytes");
    let (twice, examples) = (crowd.numbers.twice, &crowd.numbers.examples);
    context.require("every number is given once", twice == 0, format!("{twice} given again {examples:?}"));
    let failed = phase.tally.failures();
    context.target("every join succeeds", failed == 0, format!("{failed} failures"));
    let per_s = phase.succeeded_per_s;
    if options.closed || rate >= RATE_TARGET {
        let detail = format!("{per_s:.0}/s, target {RATE_TARGET:.0}/s");
        context.target("joins a second", per_s >= RATE_TARGET * 0.99, detail);
    }
    context.phases.push(phase);

    let (asked, same) = repeated_by_token(shop, &queue, &crowd).await;
    context.require("a repeated join gives the same number", same == asked, format!("{same} of {asked}, by the token"));
    let (asked, same, twice) = repeated_by_cookie(shop, &queue, crowd.numbers).await;
    let detail = format!("{same} of {asked}, by the device's cookie; {twice} numbers given again");
    context.require("a device without its token gets its number", same == asked && twice == 0, detail);
    queue.vacate(&shop.site, &inside).await
}

/// One more visit for each call: a device that nobody has seen joins.
pub fn visits(
    shop: &Arc<Shop>,
    queue: &Arc<Queue>,
    crowd: &Arc<Mutex<Crowd>>,
) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>> + Clone + Send + use<> {
    let request = Arc::new(queue.join(&shop.site, &[]));
    let (shop, crowd) = (Arc::clone(shop), Arc::clone(crowd));
    move || {
        let (shop, crowd, request) = (Arc::clone(&shop), Arc::clone(&crowd), Arc::clone(&request));
        Box::pin(async move {
            let take = |status, body: &[u8]| match crowd.lock() {
                Ok(mut crowd) => crowd.take(status, body),
                Err(error) => Outcome::Transport(error.to_string()),
            };
            shop.site.call(&request, take).await.unwrap_or_else(Outcome::from)
        })
    }
}

async fn repeated_by_token(shop: &Shop, queue: &Queue, crowd: &Crowd) -> (usize, usize) {
    let every = (crowd.len() / REPEATED).max(1);
    let members: Vec<(&str, u32)> = (0..crowd.len()).step_by(every).filter_map(|at| crowd.member(at)).collect();
    let mut same = 0;
    for (token, number) in &members {
        let told = shop::read::<Told>(&shop.site, &queue.join(&shop.site, &[(TOKEN, token)])).await;
        same += usize::from(told.is_ok_and(|(told, _)| told.number == Some(*number)));
    }
    (members.len(), same)
}

/// Devices of their own, since no cookie of the others was kept. Asked again without the token they are known by Redis
/// alone. How many asked, how many got the same, and numbers that others had already.
async fn repeated_by_cookie(shop: &Shop, queue: &Queue, mut numbers: Numbers) -> (usize, usize, u64) {
    let before = numbers.twice;
    let mut same = 0;
    for _ in 0..REPEATED {
        let join = queue.join(&shop.site, &[]);
        let first = shop.site.call_whole(&join, |reply| {
            let told = serde_json::from_slice::<Told>(reply.body).ok()?;
            let device = reply.fields("Set-Cookie").find(|cookie| cookie.starts_with("admit_d_"))?;
            Some((told.number?, device.split(';').next()?.to_owned()))
        });
        let Ok(Some((number, device))) = first.await else { continue };
        numbers.note(number);
        let again = shop::read::<Told>(&shop.site, &queue.join(&shop.site, &[("Cookie", &device)])).await;
        same += usize::from(again.is_ok_and(|(told, _)| told.number == Some(number)));
    }
    (REPEATED, same, numbers.twice - before)
}
