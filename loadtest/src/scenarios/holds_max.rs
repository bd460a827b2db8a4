//! The highest rate of holds that is sustained: grow until something breaks, halve the gap, prove it.

use std::time::Duration;

use crate::Failure;
use crate::catalogue;
use crate::cli::{Common, HoldsMax};
use crate::context::Context;
use crate::engine::Window;
use crate::report::{Phase, Report};
use crate::scenarios::holds::{CONNECTIONS, enough, hold_phase};

const RATE: u32 = 4_000;
/// Short, because a million places have to last for the whole search and the proof.
const STEP_SECONDS: u32 = 4;
const WARMUP: u32 = 1;
/// The answer is this exact; finer would be noise.
const PRECISION: f64 = 1.06;
/// Of the attempts in a step, this share may fail before it counts as broken.
const FAILED_SHARE_MAX: f64 = 0.001;
/// A proof that fails is tried again a little lower, so often.
const PROOFS_MAX: u32 = 4;
const STEPS_MAX: u32 = 24;
const RATE_MAX: f64 = 200_000.0;
const PROOF_WARMUP: f64 = 2.0;
const REST: Duration = Duration::from_secs(2);

pub async fn run(options: Common, limits: HoldsMax) -> Result<Report, Failure> {
    if !(1.01..=4.0).contains(&limits.growth) {
        return Err("--growth is between 1.01 and 4".into());
    }
    let first = options.rate_or(RATE);
    let (seconds, warmup) = (options.seconds_or(STEP_SECONDS), options.warmup_or(WARMUP));
    let mut context = Context::open(options, true).await?;
    let (mut good, mut bad, mut rate) = (0.0, f64::INFINITY, first);
    for _ in 0..STEPS_MAX {
        let step = Step { rate, warmup, seconds, spare: rate * proof_seconds(&limits) };
        match step.run(&mut context, &limits).await? {
            Found::Holds => good = rate,
            Found::Broken(_) => bad = rate,
            Found::NoPlaces(why) => {
                context.notes.push(format!("the search ended at {rate:.0}/s: {why}"));
                break;
            }
        }
        rate = match (good > 0.0, bad.is_finite()) {
            (_, false) => (good * limits.growth).min(RATE_MAX),
            (true, true) => (good * bad).sqrt(),
            (false, true) => bad / 2.0,
        };
        if bad <= good * PRECISION || rate < 1.0 || good >= RATE_MAX {
            break;
        }
    }
    prove(&mut context, &limits, good).await?;
    context.require_winners();
    Ok(context.close("holds-max").await)
}

fn proof_seconds(limits: &HoldsMax) -> f64 {
    PROOF_WARMUP + f64::from(limits.sustain)
}

/// A rate that held for seconds is only the answer once it holds for as long as promised.
async fn prove(context: &mut Context, limits: &HoldsMax, found: f64) -> Result<(), Failure> {
    let mut rate = found;
    let mut why_not = "no rate held".to_owned();
    for _ in 0..PROOFS_MAX {
        if rate < 1.0 {
            break;
        }
        let step = Step { rate, warmup: PROOF_WARMUP, seconds: f64::from(limits.sustain), spare: 0.0 };
        match step.run(context, limits).await? {
            Found::Holds => {
                let detail = format!("{rate:.0}/s for {} s, p99 under {} ms", limits.sustain, limits.p99_limit_ms);
                context.require("highest sustained", true, detail);
                return Ok(());
            }
            Found::Broken(why) => why_not = format!("{rate:.0}/s was not sustained: {why}"),
            Found::NoPlaces(why) => {
                why_not = format!("{rate:.0}/s was found and not proven: {why}");
                break;
            }
        }
        context.notes.push(why_not.clone());
        rate /= PRECISION;
    }
    context.require("highest sustained", false, why_not);
    Ok(())
}

struct Step {
    rate: f64,
    warmup: f64,
    seconds: f64,
    /// Places that have to be left afterwards.
    spare: f64,
}

enum Found {
    Holds,
    Broken(String),
    NoPlaces(Failure),
}

impl Step {
    /// Each step has a pool of its own, and the system a rest before it.
    async fn run(&self, context: &mut Context, limits: &HoldsMax) -> Result<Found, Failure> {
        let Step { rate, warmup, seconds, spare } = *self;
        let shop = context.shop(context.options.connections_or(CONNECTIONS))?;
        tokio::time::sleep(REST).await;
        let choice = catalogue::hot(&shop.site, "aaa", context.options.product_id.as_deref()).await?;
        if let Err(why) = enough(&choice, rate * (warmup + seconds) + spare) {
            return Ok(Found::NoPlaces(why));
        }
        let name = format!("holds at {rate:.0}/s");
        let phase = hold_phase(context, &name, &shop, &choice, Window::soon(warmup, seconds), rate).await;
        let broken = broken(&phase, limits, rate);
        let verdict = broken.as_deref().unwrap_or("holds");
        eprintln!("  p99 {:.1} ms, {:.0}/s: {verdict}", phase.success.p99_ms, phase.succeeded_per_s);
        context.phases.push(phase);
        Ok(broken.map_or(Found::Holds, Found::Broken))
    }
}

fn broken(phase: &Phase, limits: &HoldsMax, rate: f64) -> Option<String> {
    let failed = phase.tally.failures() as f64 / phase.tally.total().max(1) as f64;
    if phase.tally.sold_out > 0 {
        Some("sold out".into())
    } else if phase.success.p99_ms > limits.p99_limit_ms {
        Some(format!("p99 {:.1} ms", phase.success.p99_ms))
    } else if phase.succeeded_per_s < rate * limits.min_share {
        Some(format!("{:.0}/s succeeded", phase.succeeded_per_s))
    } else if failed > FAILED_SHARE_MAX {
        Some(format!("{:.2} % failed", failed * 100.0))
    } else {
        None
    }
}
