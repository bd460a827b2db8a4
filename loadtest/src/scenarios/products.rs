//! The product list through nginx, or the exhibition's page (`--page`): by arrivals, or (`--closed`) as fast as it goes.

use std::sync::Arc;

use crate::Failure;
use crate::catalogue;
use crate::cli::{Common, Products};
use crate::context::Context;
use crate::engine::Window;
use crate::report::Report;
use crate::tally::Outcome;

const RATE: u32 = 10_000;
const SECONDS: u32 = 15;
const WARMUP: u32 = 3;
/// More visitors than this only lengthen the queue of a two-core machine.
const CONNECTIONS_CLOSED: u32 = 64;
const CONNECTIONS_OPEN: u32 = 256;

pub async fn run(common: Common, options: Products) -> Result<Report, Failure> {
    let (rate, seconds, warmup) = (common.rate_or(RATE), common.seconds_or(SECONDS), common.warmup_or(WARMUP));
    let default = if options.closed { CONNECTIONS_CLOSED } else { CONNECTIONS_OPEN };
    let connections = common.connections_or(default);
    let mut context = Context::open(common, false).await?;
    let shop = context.shop(connections)?;
    let listed = catalogue::products(&shop.site, &options.exhibition).await?.len();
    context.notes.push(format!("{} lists {listed} products", options.exhibition));
    context.require("the list has products", listed > 0, format!("{listed}"));
    let code = &options.exhibition;
    let judge = if options.page { judge_page } else { judge };
    let path = if options.page { format!("/{code}") } else { format!("/api/exhibitions/{code}/products") };
    // nginx answers nothing with a query from memory.
    let path = if options.uncached { path + "?fresh" } else { path };
    context.notes.push(format!("reads {path}"));
    let request = Arc::new(shop.site.get(&path, &[]));
    let seen = Arc::clone(&shop);
    let visit = move || {
        let (shop, request) = (Arc::clone(&seen), Arc::clone(&request));
        async move { shop.site.call(&request, judge).await.unwrap_or_else(Outcome::from) }
    };
    let window = Window::soon(warmup, seconds);
    let phase = if options.closed {
        context.closed_phase("products", &shop, window, connections, visit).await
    } else {
        context.open_phase("products", &shop, window, rate, visit).await
    };
    context.phases.push(phase);
    context.require_winners();
    Ok(context.close("products").await)
}

/// The whole list was parsed once beforehand; here its beginning and end have to be there.
fn judge(status: u16, body: &[u8]) -> Outcome {
    match status {
        200 if body.starts_with(b"{") && body.trim_ascii_end().ends_with(b"}") => Outcome::Success,
        200 => Outcome::Refused("200 that is not a list".into()),
        _ => Outcome::of_problem(status, body),
    }
}

fn judge_page(status: u16, body: &[u8]) -> Outcome {
    match status {
        200 if body.starts_with(b"<!doctype html>") && body.trim_ascii_end().ends_with(b"</html>") => Outcome::Success,
        200 => Outcome::Refused("200 that is not a page".into()),
        _ => Outcome::of_problem(status, body),
    }
}
