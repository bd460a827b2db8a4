//! The last places of one slot, and everybody at once: exactly as many holds as places.

use std::sync::Arc;
use std::time::Duration;

use crate::Failure;
use crate::catalogue::{self, Choice, Wish};
use crate::cli::{Common, LastPlaces};
use crate::context::Context;
use crate::engine::{self, Window};
use crate::report::{Arrivals, Phase, Report};
use crate::scenarios::prepare;
use crate::schedule::Schedule;
use crate::shop::Shop;
use crate::{cpu, machine};

const CONNECTIONS: usize = 1_000;
/// The catalogue may be a second old in an instance and another in front of it.
const CATALOGUE_AGE: Duration = Duration::from_millis(2_500);
const CATALOGUE_READS_MAX: u32 = 12;

pub async fn run(common: Common, options: LastPlaces) -> Result<Report, Failure> {
    let mut context = Context::open(common, true).await?;
    let fitting = (machine::files_max().saturating_sub(128)).min(CONNECTIONS).min(options.buyers as usize);
    let connections = context.options.connections.map_or(fitting, |wanted| wanted as usize);
    let shop = context.shop(connections)?;
    let product = context.options.product_id.clone();
    let wish = Wish { slot: options.slot_id.as_deref(), product: product.as_deref(), places: options.places };
    let mut choice = settled(&shop, &wish).await?;
    if let Some(places) = options.places
        && choice.places() > places
    {
        eprintln!("holding {} of {} places first", choice.places() - places, choice.places());
        prepare::hold_down_to(&shop, &choice, choice.places(), places).await?;
        let slot = choice.slot.as_ref().map(|slot| slot.id.to_string().trim_matches('"').to_owned());
        let product = choice.product.id.to_string().trim_matches('"').to_owned();
        choice = settled(&shop, &Wish { slot: slot.as_deref(), product: Some(&product), places: None }).await?;
    }
    let places = options.places.unwrap_or_else(|| choice.places());
    if places != choice.places() || places < 1 {
        return Err(format!("{} has {} places, not {places}", choice.name(), choice.places()));
    }
    if i64::from(options.buyers) <= places {
        return Err(format!("{} buyers for {places} places are no race", options.buyers));
    }
    context.notes.push(format!(
        "{}: {places} places, {} buyers, {connections} connections",
        choice.name(),
        options.buyers
    ));
    let phase = race(&context, &shop, choice, connections, options.buyers).await?;
    judge(&mut context, &phase, places);
    context.phases.push(phase);
    Ok(context.close("last-places").await)
}

/// Reads the catalogue until it says the same twice: a count that is still moving is no start for a race.
async fn settled(shop: &Shop, wish: &Wish<'_>) -> Result<Choice, Failure> {
    let mut before = None;
    for _ in 0..CATALOGUE_READS_MAX {
        tokio::time::sleep(CATALOGUE_AGE).await;
        let choice = catalogue::scarce(&shop.site, "aaa", wish).await?;
        let seen = (choice.name(), choice.places());
        if before.as_ref() == Some(&seen) {
            return Ok(choice);
        }
        before = Some(seen);
    }
    Err("the free places keep moving: earlier holds are running out, try again later".into())
}

async fn race(
    context: &Context,
    shop: &Arc<Shop>,
    choice: Choice,
    connections: usize,
    buyers: u32,
) -> Result<Phase, Failure> {
    shop.site.prime(connections).await.map_err(|fault| format!("opening connections: {fault:?}"))?;
    shop.site.take_waits();
    eprintln!("{buyers} buyers at once");
    let choice = Arc::new(choice);
    let visit = || {
        let (shop, choice) = (Arc::clone(shop), Arc::clone(&choice));
        async move { shop.hold(&choice).await }
    };
    // As long as a call may take: the window only bounds what is counted as throughput.
    let window = Window::soon(0.0, context.options.timeout_ms as f64 / 1_000.0);
    let before = cpu::sample().await;
    let recorder = engine::open_loop(window, Schedule::burst(u64::from(buyers)), visit).await;
    let after = cpu::sample().await;
    let mut phase = Phase::new("last places", Arrivals::AtOnce, &recorder, &shop.site.take_waits());
    context.finish_phase(&mut phase, shop);
    // A race has no rate of its own: it lasts until the last buyer has an answer.
    phase.seconds = (recorder.all.quantiles().max_ms / 1_000.0).max(0.001);
    phase.finished_per_s = (phase.tally.total() as f64 / phase.seconds).round();
    phase.succeeded_per_s = (phase.tally.success as f64 / phase.seconds).round();
    phase.cpu = cpu::between(before, after);
    Ok(phase)
}

fn judge(context: &mut Context, phase: &Phase, places: i64) {
    let tally = &phase.tally;
    let held = i64::try_from(tally.success).unwrap_or(i64::MAX);
    context.require("exactly the places are held", held == places, format!("{held} of {places}"));
    context.require(
        "everybody else is told sold out",
        tally.failures() == 0,
        format!("{} sold out, {} otherwise", tally.sold_out, tally.failures()),
    );
    let errors = tally.server_error_count();
    context.require("no 5xx", errors == 0, format!("{errors}"));
}
