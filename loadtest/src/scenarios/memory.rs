//! Resident memory of each instance, without any load.

use crate::Failure;
use crate::cli::Common;
use crate::context::Context;
use crate::report::Report;

pub async fn run(options: Common) -> Result<Report, Failure> {
    let mut context = Context::open(options, false).await?;
    if context.demo.metrics_urls.is_empty() {
        return Err("the demo file names no metrics_urls".into());
    }
    let (read, all) = (context.memory_read(), context.demo.metrics_urls.len());
    context.require("every instance tells its memory", read == all, format!("{read} of {all}"));
    Ok(context.close("memory").await)
}
