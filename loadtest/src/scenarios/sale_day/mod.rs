//! A sale day in minutes: many arrive, wait, are called, choose, pay and receive tickets, while things go wrong.

mod calls;
mod chaos;
mod fairness;
mod plan;
mod records;
mod visitor;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub use self::calls::{Calls, Kind};
pub use self::chaos::At;
pub use self::plan::{Manner, Plan};
pub use self::records::Records;
pub use self::visitor::{Day, Progress, visit};

use crate::cli::{Common, SaleDay};
use crate::context::Context;
use crate::engine::{self, Window};
use crate::queue::Queue;
use crate::report::{Arrivals, Phase, Report};
use crate::room::Room;
use crate::schedule::Schedule;
use crate::{Failure, catalogue, cpu, machine};

const SECONDS: u32 = 60;
/// Calls under way at once; a visitor waits between calls, so these are few of the people.
const CONNECTIONS: usize = 1_024;
/// From the issue.
const MEAN_MS: f64 = 200.0;
const P95_MS: f64 = 500.0;
const FINISHED_SHARE: f64 = 0.999;
const PROGRESS_GAP: Duration = Duration::from_secs(5);
/// Once all visitors are through, for what was to happen later.
const CHAOS_REST: Duration = Duration::from_secs(120);

pub async fn run(common: Common, options: SaleDay) -> Result<Report, Failure> {
    let mut context = Context::open(common, true).await?;
    let files_max = machine::files_max();
    // Two pools, one for Admit and one for the simulator.
    let fitting = (files_max.saturating_sub(128) / 2).min(CONNECTIONS);
    let shop = context.shop(context.options.connections.map_or(fitting, |wanted| wanted as usize))?;
    let choices = catalogue::choices(&shop.site, &options.exhibition).await?;
    // Places of a day are shared by the dated products, so the roomiest choice alone has to do for everybody.
    let most = choices.first().map_or(0, catalogue::Choice::places);
    if most < i64::from(options.visitors) {
        return Err(format!("{} visitors, and {most} places of the kind there is most of", options.visitors));
    }
    let mut room = Room::of(&context.demo, &options.exhibition).await?;
    let settings = [
        ("capacity", i64::from(options.capacity)),
        ("rate_per_min", i64::from(options.rate_per_min)),
        ("claim_window_s", i64::from(options.claim_window_s)),
    ];
    let outcome = match room.open_anew(&settings).await {
        Ok(()) => held(&mut context, &options, shop, choices).await,
        opened => opened,
    };
    context.give_back(room).await;
    outcome?;
    context.require_winners();
    Ok(context.close("sale-day").await)
}

async fn held(
    context: &mut Context,
    options: &SaleDay,
    shop: Arc<crate::shop::Shop>,
    choices: Vec<catalogue::Choice>,
) -> Result<(), Failure> {
    let seed = options.seed.unwrap_or_else(rand::random);
    let seconds = context.options.seconds_or(SECONDS);
    context.notes.push(format!(
        "{} visitors of {} within {seconds:.0} s, {} kinds of tickets, room for {}, {} called a minute at most, --seed {seed}",
        options.visitors,
        options.exhibition,
        choices.len(),
        options.capacity,
        options.rate_per_min
    ));
    let window = Window::soon(0.0, seconds);
    let patience = Duration::from_secs(u64::from(options.patience_s));
    let products = shop.site.get(&format!("/api/exhibitions/{}/products", options.exhibition), &[]);
    let day = Arc::new(Day {
        calls: Calls::new(Arc::clone(&shop.ledger)),
        queue: Queue::new(&options.exhibition),
        shop: Arc::clone(&shop),
        choices,
        products,
        claim_window: Duration::from_secs(u64::from(options.claim_window_s)),
        until: window.end() + patience,
        records: Records::default(),
        progress: Progress::default(),
    });
    let plans = plan::plans(options.visitors, options.abandon_pct, options.blink_pct, seed);
    let schedule = Schedule::scattered(u64::from(options.visitors), window.length.as_nanos() as u64, seed);
    let next = AtomicUsize::new(0);
    let come = || {
        let plan = plans[next.fetch_add(1, Ordering::Relaxed) % plans.len()];
        visit(Arc::clone(&day), plan)
    };
    let mut chaos = tokio::task::JoinSet::new();
    for at in &options.at {
        chaos.spawn(chaos::run(at.clone(), window.start));
    }
    let watching = tokio::spawn(watch(Arc::clone(&day), window.start));
    let drain = patience + Duration::from_millis(context.options.timeout_ms);
    let (recorder, cpu) = tokio::join!(engine::open_loop_within(window, schedule, drain, come), cpu::over(window));
    watching.abort();
    let rate = f64::from(options.visitors) / seconds;
    let mut phase = Phase::new("whole visits", Arrivals::Open(rate), &recorder, &shop.site.take_waits());
    context.finish_phase(&mut phase, &shop);
    phase.cpu = cpu;
    judge(context, &day, &phase, options.visitors);
    context.phases.push(phase);
    day.records.judge(context);
    after_chaos(context, chaos, options.at.len()).await;
    Ok(())
}

fn judge(context: &mut Context, day: &Day, phase: &Phase, visitors: u32) {
    if let Some(all) = phase.steps.get(calls::ALL) {
        let detail = format!("{:.1} ms, target {MEAN_MS} ms", all.mean_ms);
        context.target("average response", all.mean_ms < MEAN_MS, detail);
        let detail = format!("{:.1} ms, target {P95_MS} ms", all.p95_ms);
        context.target("95th percentile of responses", all.p95_ms < P95_MS, detail);
    }
    let stayed = u64::from(visitors).saturating_sub(phase.tally.left);
    let finished = phase.tally.success;
    let share = fairness::share(finished, stayed);
    let detail = format!("{finished} of {stayed} who did not leave, {:.3} %, target above 99.9 %", share * 100.0);
    context.target("visitors go home with their tickets", share > FINISHED_SHARE, detail);
    let troubles = day.calls.troubles();
    let sum = |of: &std::collections::BTreeMap<String, u64>| of.values().sum::<u64>();
    let (waited, errors, broken) = (sum(&troubles.told_to_wait), sum(&troubles.server_errors), sum(&troubles.broken));
    context.figure("answers with a Retry-After that was followed", waited as f64, "");
    for (name, count) in &troubles.told_to_wait {
        context.figure(format!("    {name}"), *count as f64, "");
    }
    context.figure("calls without a whole answer, tried again", broken as f64, "");
    for (name, count) in troubles.broken.iter().chain(&troubles.server_errors) {
        context.figure(format!("    {name}"), *count as f64, "");
    }
    context.target("no 5xx but 503 with Retry-After", errors == 0, format!("{errors}"));
}

/// What was asked for has to have happened.
async fn after_chaos(context: &mut Context, mut chaos: tokio::task::JoinSet<chaos::Done>, asked: usize) {
    let deadline = Instant::now() + CHAOS_REST;
    let mut failed = asked;
    while let Ok(Some(done)) = tokio::time::timeout_at(deadline.into(), chaos.join_next()).await {
        let Ok(chaos::Done { at, succeeded, what }) = done else { continue };
        context.notes.push(format!("at {} s `{}`: {what}", at.second, at.command));
        failed -= usize::from(succeeded);
    }
    if asked > 0 {
        context.require("what was to go wrong went wrong", failed == 0, format!("{} of {asked}", asked - failed));
    }
}

async fn watch(day: Arc<Day>, start: Instant) {
    loop {
        tokio::time::sleep(PROGRESS_GAP).await;
        let of = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let Progress { arrived, inside, finished, left, failed } = &day.progress;
        let gone = of(finished) + of(left) + of(failed);
        eprintln!(
            "{:4.0} s: {} arrived, {} wait, {} inside, {} have tickets, {} left, {} failed",
            start.elapsed().as_secs_f64(),
            of(arrived),
            of(arrived).saturating_sub(gone + of(inside)),
            of(inside),
            of(finished),
            of(left),
            of(failed)
        );
    }
}
