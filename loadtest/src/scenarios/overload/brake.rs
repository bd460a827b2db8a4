//! The brake: a room so wide that everybody who comes is called at once, and more of them than the machine serves. Orders
//! grow slow, fewer are called, orders are well again, and in the end the rate is what it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::course::{Course, Stage};
use super::watch::Watch;
use super::{RATE, SECONDS, come, day, percent, plan};
use crate::Failure;
use crate::catalogue::{self, Choice};
use crate::cli::Overload;
use crate::context::Context;
use crate::cpu;
use crate::engine::Window;
use crate::report::Phase;
use crate::room::Room;
use crate::scenarios::holds;
use crate::scenarios::sale_day::visit;
use crate::shop::Shop;

/// Orders before the crowd comes, to compare with.
const BEFORE_S: f64 = 8.0;
const EVERYDAY_PER_S: f64 = 40.0;
/// Wide enough for everybody of a run.
const CAPACITY: i64 = 200_000;
/// Only slowness is to bring the brake on; what fails is told.
const ERROR_PCT: i64 = 100;
/// Whoever came last has so long to finish.
const GRACE: Duration = Duration::from_secs(5);
/// Orders may fail while the brake bites, but not many.
const FAILED_PCT: f64 = 1.0;

pub async fn tried(
    context: &mut Context,
    room: &mut Room,
    options: &Overload,
    [shop, aside]: [&Arc<Shop>; 2],
    choices: &[Choice],
) -> Result<(), Failure> {
    let (rate, seconds) = (context.options.rate_or(RATE), context.options.seconds_or(SECONDS));
    let flood = flood(context, options, seconds).await?;
    room.open_anew(&[
        ("capacity", CAPACITY),
        ("rate_per_min", options.rate_per_min.into()),
        ("brake_p99_ms", options.brake_p99_ms.into()),
        ("brake_error_pct", ERROR_PCT),
    ])
    .await?;
    context.ledger.take_steps();
    let everyday = Window::soon(0.0, BEFORE_S + seconds + f64::from(options.rest_s));
    let start = everyday.start + Duration::from_secs_f64(BEFORE_S);
    let crowd = Window { start, length: Duration::from_secs_f64(seconds), ..everyday };
    let limit_ms = options.brake_p99_ms;
    eprintln!("the brake at {limit_ms} ms: {rate:.0} visitors/s for {seconds} s, and {} s after", options.rest_s);
    let until = everyday.end() + GRACE;
    let days = [shop, aside].map(|shop| day(shop, &options.exhibition, choices, until));
    let mut watch = Watch::new(room, &days, everyday.start, BEFORE_S + seconds);
    let over = AtomicBool::new(false);
    let [crowd_day, everyday_day] = &days;
    let loads = async {
        let loads = tokio::join!(
            come(context, "the crowd", shop, (crowd, until), rate, || visit(Arc::clone(crowd_day), plan())),
            come(context, "everyday visitors", aside, (everyday, until), EVERYDAY_PER_S, || {
                visit(Arc::clone(everyday_day), plan())
            }),
            flooded(context, flood.as_ref(), crowd, f64::from(options.flood)),
            cpu::over(crowd),
        );
        over.store(true, Ordering::Relaxed);
        loads
    };
    let ((mut came, everyday, flooded, cpu), watched) = tokio::join!(loads, watch.until(&over));
    watched?;
    came.cpu = cpu;
    came.steps = watch.steps();
    judge(context, &watch, (BEFORE_S, BEFORE_S + seconds), limit_ms);
    let (success, all) = (came.tally.success, came.tally.total());
    context.figure("brake: of the crowd, through before the run ended", percent(success, all), "%");
    crowd_day.calls.troubles().tell(context);
    context.courses.push(watch.table());
    context.phases.extend([came, everyday].into_iter().chain(flooded));
    Ok(())
}

/// Holds on another exhibition, with a pool of their own.
async fn flood(
    context: &Context,
    options: &Overload,
    seconds: f64,
) -> Result<Option<(Arc<Shop>, Arc<Choice>)>, Failure> {
    if options.flood == 0 {
        return Ok(None);
    }
    let shop = context.shop(holds::CONNECTIONS as usize)?;
    let choice = catalogue::hot(&shop.site, "aaa", context.options.product_id.as_deref()).await?;
    holds::enough(&choice, f64::from(options.flood) * seconds)?;
    Ok(Some((shop, Arc::new(choice))))
}

async fn flooded(
    context: &Context,
    flood: Option<&(Arc<Shop>, Arc<Choice>)>,
    window: Window,
    rate: f64,
) -> Option<Phase> {
    let (shop, choice) = flood?;
    let hold = || {
        let (shop, choice) = (Arc::clone(shop), Arc::clone(choice));
        async move { shop.hold(&choice).await }
    };
    Some(come(context, "the flood on aaa", shop, (window, window.end()), rate, hold).await)
}

fn judge(context: &mut Context, watch: &Watch<'_>, (begun_s, over_s): (f64, f64), limit_ms: u32) {
    let course: &Course = &watch.course;
    let bite = course.first_bite_s().map(|at| at - begun_s);
    let detail = match bite {
        Some(s) => format!("{s:.2} s after the crowd began to come, lowest factor {:.2}", course.lowest()),
        None => format!("it did not: is a p99 above {limit_ms} ms reached? a higher --rate, or --flood"),
    };
    context.require("the brake bites", bite.is_some_and(|s| s >= 0.0), detail);
    if let Some(bite) = bite {
        context.figure("brake: from the crowd's beginning until it bites", bite, "s");
    }
    context.figure("brake: lowest factor", course.lowest(), "");
    context.figure("brake: mean factor while the crowd came", course.mean(begun_s, over_s), "");
    context.figure("brake: how often it came down", course.bites() as f64, "");
    let back = course.back_s().map(|at| at - over_s);
    let detail = back.map_or("it is still on".into(), |s| format!("{s:.2} s after the last of the crowd came"));
    context.target("the full rate is back by the end of the run", bite.is_none() || back.is_some(), detail);
    if let Some(back) = back {
        context.figure("brake: from the crowd's end until the full rate is back", back, "s");
    }
    for stage in Stage::ALL {
        let orders = watch.orders(stage);
        let quantiles = orders.times.quantiles();
        if quantiles.count > 0 {
            context.figure(
                format!("p99 of {}, {} of them", stage.order_step(), quantiles.count),
                quantiles.p99_ms,
                "ms",
            );
        }
    }
    let (tried, failed) = watch.tried();
    let share = percent(failed, tried);
    context.figure("orders that failed: 5xx, or no answer", share, "%");
    let detail = format!("{failed} of {tried} tries, {share:.2} %, target below {FAILED_PCT} %");
    context.target("orders do not fail under the crowd", share < FAILED_PCT, detail);
    let (tried, failed) = watch.paid();
    let share = percent(failed, tried);
    let detail = format!("{failed} of {tried} tries, {share:.2} %, target below {FAILED_PCT} %");
    context.target("nor do initialize and confirm", share < FAILED_PCT, detail);
    let slow = |stage: Stage| watch.orders(stage).times.quantiles().p99_ms;
    let well = Stage::Well;
    if watch.orders(well).times.quantiles().count > 0 {
        let detail = format!("p99 {:.1} ms with the brake off again, limit {limit_ms} ms", slow(well));
        context.target("orders are well in the end", slow(well) <= f64::from(limit_ms), detail);
    }
}
