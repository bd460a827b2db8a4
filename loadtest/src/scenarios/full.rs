//! Whole purchases. A success is an order paid, with every ticket and its code in hand.

use std::sync::Arc;

use crate::Failure;
use crate::catalogue;
use crate::cli::{Common, Full};
use crate::context::Context;
use crate::engine::Window;
use crate::report::Report;
use crate::scenarios::holds::enough;
use crate::tally::Outcome;

const RATE: u32 = 1_500;
const SECONDS: u32 = 30;
const WARMUP: u32 = 5;
/// Each purchase waits for the bank: 1,500/s at a bank of 50 ms are 75 at once when all is well, and a
/// pool that is too small would measure itself.
const CONNECTIONS: u32 = 1_024;

pub async fn run(common: Common, options: Full) -> Result<Report, Failure> {
    let (rate, seconds, warmup) = (common.rate_or(RATE), common.seconds_or(SECONDS), common.warmup_or(WARMUP));
    let files_max = crate::machine::files_max();
    // Two pools, one for Admit and one for the simulator.
    let fitting = (files_max.saturating_sub(128) / 2).min(CONNECTIONS as usize);
    let mut context = Context::open(common, true).await?;
    let shop = context.shop(context.options.connections.map_or(fitting, |wanted| wanted as usize))?;
    let mut choice = catalogue::hot(&shop.site, &options.exhibition, context.options.product_id.as_deref()).await?;
    choice.quantity = options.quantity;
    enough(&choice, rate * (seconds + warmup) * f64::from(choice.quantity))?;
    context.notes.push(format!("{}, {} per order", choice.name(), choice.quantity));
    let choice = Arc::new(choice);
    let visit = || {
        let (shop, choice) = (Arc::clone(&shop), Arc::clone(&choice));
        async move {
            match shop.buy(&choice).await {
                Ok(_) => Outcome::Success,
                Err(outcome) => outcome,
            }
        }
    };
    let phase = context.open_phase("full purchases", &shop, Window::soon(warmup, seconds), rate, visit).await;
    context.phases.push(phase);
    context.require_winners();
    Ok(context.close("full").await)
}
