//! Durable holds on one hot product: acknowledged only after their commit.

use std::sync::Arc;

use crate::Failure;
use crate::catalogue::{self, Choice};
use crate::cli::Common;
use crate::context::Context;
use crate::engine::Window;
use crate::report::{Phase, Report};
use crate::shop::Shop;

const RATE: u32 = 4_000;
const SECONDS: u32 = 30;
const WARMUP: u32 = 5;
pub const CONNECTIONS: u32 = 256;

pub async fn run(options: Common) -> Result<Report, Failure> {
    let (rate, seconds, warmup) = (options.rate_or(RATE), options.seconds_or(SECONDS), options.warmup_or(WARMUP));
    let mut context = Context::open(options, true).await?;
    let shop = context.shop(context.options.connections_or(CONNECTIONS))?;
    let choice = catalogue::hot(&shop.site, "aaa", context.options.product_id.as_deref()).await?;
    enough(&choice, rate * (seconds + warmup))?;
    context.notes.push(choice.name());
    let phase = hold_phase(&context, "holds", &shop, &choice, Window::soon(warmup, seconds), rate).await;
    context.phases.push(phase);
    context.require_winners();
    Ok(context.close("holds").await)
}

/// Refuses a run that would measure "sold out" instead of holds.
pub fn enough(choice: &Choice, wanted: f64) -> Result<(), Failure> {
    if (choice.places() as f64) < wanted {
        return Err(format!(
            "{} has {} places left and the run wants {wanted:.0}: wait until earlier holds run out, or ./dev reset",
            choice.name(),
            choice.places()
        ));
    }
    Ok(())
}

pub async fn hold_phase(
    context: &Context,
    name: &str,
    shop: &Arc<Shop>,
    choice: &Choice,
    window: Window,
    rate: f64,
) -> Phase {
    let choice = Arc::new(choice.clone());
    let visit = || {
        let (shop, choice) = (Arc::clone(shop), Arc::clone(&choice));
        async move { shop.hold(&choice).await }
    };
    context.open_phase(name, shop, window, rate, visit).await
}
