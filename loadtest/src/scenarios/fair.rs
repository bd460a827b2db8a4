//! Does a flood on one exhibition hurt another? Its visitors are timed alone, then beside the flood.

use std::time::Duration;

use crate::Failure;
use crate::catalogue;
use crate::cli::{Common, Fair};
use crate::context::Context;
use crate::engine::Window;
use crate::report::Report;
use crate::room::Room;
use crate::scenarios::holds::{enough, hold_phase};

const RATE: u32 = 300;
const SECONDS: u32 = 20;
const WARMUP: u32 = 3;
const CONNECTIONS: u32 = 256;
/// From the issue.
const RATIO_MAX: f64 = 2.0;
/// Between the phases, so that nothing of the first is still under way.
const REST: Duration = Duration::from_secs(2);

pub async fn run(common: Common, options: Fair) -> Result<Report, Failure> {
    let (rate, seconds, warmup) = (common.rate_or(RATE), common.seconds_or(SECONDS), common.warmup_or(WARMUP));
    let connections = common.connections_or(CONNECTIONS);
    let mut context = Context::open(common, true).await?;
    // The visitors of this run come without passes: how long they would wait is not the question here.
    let mut room = Room::of(&context.demo, "bbb").await?;
    let outcome = match room.close().await {
        Ok(()) => compared(&mut context, &options, connections, (rate, seconds, warmup)).await,
        closed => closed,
    };
    context.give_back(room).await;
    outcome?;
    context.require_winners();
    Ok(context.close("fair").await)
}

async fn compared(
    context: &mut Context,
    options: &Fair,
    connections: usize,
    (rate, seconds, warmup): (f64, f64, f64),
) -> Result<(), Failure> {
    // Two pools: a visitor of bbb must not wait inside the generator behind the flood.
    let (quiet, flood) = (context.shop(connections)?, context.shop(options.flood_connections as usize)?);
    let calm = catalogue::hot(&quiet.site, "bbb", None).await?;
    let hot = catalogue::hot(&flood.site, "aaa", context.options.product_id.as_deref()).await?;
    enough(&calm, rate * (seconds + warmup) * 2.0)?;
    enough(&hot, f64::from(options.flood) * (seconds + warmup))?;
    context.notes.push(format!("{}; the flood: {}", calm.name(), hot.name()));

    let alone = hold_phase(context, "bbb alone", &quiet, &calm, Window::soon(warmup, seconds), rate).await;
    tokio::time::sleep(REST).await;
    let window = Window::soon(warmup, seconds);
    let (mut beside, flooded) = tokio::join!(
        hold_phase(context, "bbb beside the flood", &quiet, &calm, window, rate),
        hold_phase(context, "the flood on aaa", &flood, &hot, window, f64::from(options.flood)),
    );
    // One table is enough for one window.
    beside.cpu.clear();

    let ratio = |before: f64, after: f64| after / before.max(0.001);
    let half = ratio(alone.success.p50_ms, beside.success.p50_ms);
    let tail = ratio(alone.success.p99_ms, beside.success.p99_ms);
    let detail = format!(
        "p50 {:.2} -> {:.2} ms ({half:.2}x), p99 {:.2} -> {:.2} ms ({tail:.2}x), target {RATIO_MAX}x",
        alone.success.p50_ms, beside.success.p50_ms, alone.success.p99_ms, beside.success.p99_ms
    );
    context.target("p99 of bbb beside the flood", tail <= RATIO_MAX, detail);
    let failed = beside.tally.failures();
    context.target("bbb is served beside the flood", failed == 0, format!("{failed} failures"));
    let won = alone.tally.success.min(beside.tally.success);
    context.require("bbb wins both times", won > 0, format!("{won} at least"));
    context.phases.extend([alone, beside, flooded]);
    Ok(())
}
