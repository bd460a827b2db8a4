//! One file per run; each decides its load and its promises, and leaves the rest to the context.

mod board;
mod fair;
mod full;
mod holds;
mod holds_max;
mod join;
mod last_places;
mod memory;
mod overload;
mod polls;
mod prepare;
mod products;
mod recipes;
mod recovery;
pub mod sale_day;
mod scans;
mod webhooks;

use crate::Failure;
use crate::cli::{Cli, Scenario};
use crate::report::Report;

pub async fn run(cli: Cli) -> Result<Report, Failure> {
    let common = cli.common;
    match cli.scenario {
        Scenario::Holds => holds::run(common).await,
        Scenario::HoldsMax(limits) => holds_max::run(common, limits).await,
        Scenario::Full(options) => full::run(common, options).await,
        Scenario::Products(options) => products::run(common, options).await,
        Scenario::Fair(options) => fair::run(common, options).await,
        Scenario::LastPlaces(options) => last_places::run(common, options).await,
        Scenario::Scans(options) => scans::run(common, options).await,
        Scenario::Memory => memory::run(common).await,
        Scenario::Join(options) => join::run(common, options).await,
        Scenario::Polls(options) => polls::run(common, options).await,
        Scenario::SaleDay(options) => sale_day::run(common, options).await,
        Scenario::Overload(options) => overload::run(common, options).await,
        Scenario::Recipes(options) => recipes::run(common, options).await,
        Scenario::Webhooks(options) => webhooks::run(common, options).await,
        Scenario::Recovery(options) => recovery::run(common, options).await,
        Scenario::Board(options) => board::run(common, options).await,
    }
}
