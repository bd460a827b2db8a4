//! More than the machine can do. Does the safety net open a room by itself and close it again, and does the brake hold the
//! line back until orders are well again?

mod brake;
mod course;
mod door;
mod net;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::catalogue::Choice;
use crate::cli::{Common, Overload, Part};
use crate::context::Context;
use crate::engine::{self, Window};
use crate::queue::Queue;
use crate::report::{Arrivals, Phase, Report};
use crate::room::Room;
use crate::scenarios::sale_day::{Calls, Day, Manner, Plan, Progress, Records};
use crate::shop::Shop;
use crate::tally::Outcome;
use crate::{Failure, catalogue, machine};

const RATE: u32 = 600;
const SECONDS: u32 = 10;
/// Calls of a crowd that may be under way at once: as many as are inside, for what waits in the generator does not weigh
/// on the machine. One pool for Admit, one for the simulator.
const CONNECTIONS: usize = 4_096;
/// … and of those who come every day, whom the crowd must not hold up in the generator.
const CONNECTIONS_ASIDE: usize = 256;
/// Between seeing the tickets and ordering one.
const CHOOSING_MS: u64 = 500;

pub async fn run(common: Common, options: Overload) -> Result<Report, Failure> {
    let mut context = Context::open(common, true).await?;
    let fitting = (machine::files_max().saturating_sub(128 + 2 * CONNECTIONS_ASIDE) / 2).min(CONNECTIONS);
    let crowd = context.shop(context.options.connections.map_or(fitting, |wanted| wanted as usize))?;
    let everyday = context.shop(CONNECTIONS_ASIDE)?;
    // The roomiest alone: looking for another day would be load that is not of the crowd's making.
    let mut choices = catalogue::choices(&crowd.site, &options.exhibition).await?;
    choices.truncate(1);
    enough(&context, &options, &choices)?;
    let mut room = Room::of(&context.demo, &options.exhibition).await?;
    let outcome = tried(&mut context, &mut room, &options, [crowd, everyday], choices).await;
    context.give_back(room).await;
    outcome?;
    context.require_winners();
    Ok(context.close("overload").await)
}

async fn tried(
    context: &mut Context,
    room: &mut Room,
    options: &Overload,
    [crowd, everyday]: [Arc<Shop>; 2],
    choices: Vec<Choice>,
) -> Result<(), Failure> {
    if options.part != Part::Brake {
        net::tried(context, room, options, [&crowd, &everyday], &choices).await?;
    }
    if options.part != Part::Net {
        brake::tried(context, room, options, [&crowd, &everyday], &choices).await?;
    }
    Ok(())
}

fn enough(context: &Context, options: &Overload, choices: &[Choice]) -> Result<(), Failure> {
    let seconds = context.options.seconds_or(SECONDS);
    let rush = f64::from(options.rush_per_s) * seconds;
    let crowd = context.options.rate_or(RATE) * seconds;
    let most = match options.part {
        Part::Net => rush,
        Part::Brake => crowd,
        Part::Both => rush + crowd,
    };
    let places = choices.first().map_or(0, Choice::places);
    // Everyday visitors, and those who try an order without a pass, are a fraction of the crowd.
    if (places as f64) < most * 1.5 {
        return Err(format!("{most:.0} visitors and more, and {places} places of the kind there is most of"));
    }
    if options.part != Part::Brake && options.rush_per_s <= options.net_per_s {
        return Err(format!(
            "a rush of {} a second does not reach the net at {}",
            options.rush_per_s, options.net_per_s
        ));
    }
    Ok(())
}

/// What the visitors of one crowd share. Nobody goes on after `until`.
fn day(shop: &Arc<Shop>, code: &str, choices: &[Choice], until: Instant) -> Arc<Day> {
    Arc::new(Day {
        calls: Calls::new(Arc::clone(&shop.ledger)),
        queue: Queue::new(code),
        products: shop.site.get(&format!("/api/exhibitions/{code}/products"), &[]),
        shop: Arc::clone(shop),
        choices: choices.to_vec(),
        // Nobody is away in this run, so nobody waits this long.
        claim_window: Duration::from_secs(120),
        until,
        records: Records::default(),
        progress: Progress::default(),
    })
}

/// Everybody stays until the tickets are there.
fn plan() -> Plan {
    Plan { manner: Manner::Stays, choosing_ms: CHOOSING_MS, seed: rand::random() }
}

/// One crowd on its schedule, with its own pool; the steps of the visits are taken by whoever watches the run.
async fn come<F, V>(
    context: &Context,
    name: &str,
    shop: &Shop,
    (window, until): (Window, Instant),
    rate: f64,
    visit: F,
) -> Phase
where
    F: Fn() -> V,
    V: Future<Output = Outcome> + Send + 'static,
{
    let drain = until.saturating_duration_since(window.end()) + Duration::from_millis(context.options.timeout_ms);
    let schedule = window.schedule(rate, context.options.poisson);
    let recorder = engine::open_loop_within(window, schedule, drain, visit).await;
    let mut phase = Phase::new(name, Arrivals::Open(rate), &recorder, &shop.site.take_waits());
    phase.connections_opened = shop.site.opened();
    phase.resent = shop.site.resent();
    phase
}

/// Shares of what was tried, in percent.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}
