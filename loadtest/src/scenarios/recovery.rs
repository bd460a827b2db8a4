//! The provider answers nobody in the middle of a sale: so many payments end unknown. Once it is back, how long until every
//! one of them is known?

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::catalogue::{self, Choice};
use crate::cli::{Common, Recovery};
use crate::context::Context;
use crate::engine::Window;
use crate::report::{Course, Report};
use crate::scenarios::holds::enough;
use crate::scenarios::prepare;
use crate::shop::{Shop, read};
use crate::tally::Outcome;
use crate::{Failure, machine};

const RATE: u32 = 1_000;
/// Every confirm of the crowd is under way until its connection is cut, each over a connection of its own.
const CONNECTIONS: usize = 16_384;
/// From the issue.
const TARGET_S: f64 = 60.0;
/// How long the provider keeps a call before it cuts it. The crowd is inside by then: the first call that fails opens the
/// breaker soon after, and who comes later is sent to nobody.
const CUT_AFTER_S: u64 = 25;
/// Admit tells a visitor after ten seconds that it is not known yet.
const TIMEOUT_MS: u64 = 20_000;
const UNKNOWN_WITHIN: Duration = Duration::from_secs(120);
const CLEARED_WITHIN: Duration = Duration::from_secs(300);
/// Enough that every instance has seen the provider answer.
const PAID_BEFORE: u64 = 100;
/// Its longest pause, and a little.
const CLOSED_WITHIN: Duration = Duration::from_secs(90);
const LOOK_GAP: Duration = Duration::from_millis(500);
const SENT: &str = "select count(*) from attempts where state = 'sent'";
const UNRESOLVED: &str = "select count(*) from attempts where state in ('sent', 'unknown')";

pub async fn run(common: Common, options: Recovery) -> Result<Report, Failure> {
    let rate = common.rate_or(RATE);
    let seconds = f64::from(options.unknown) / rate;
    if seconds > (CUT_AFTER_S - 5) as f64 {
        return Err(format!("{rate:.0}/s are too few: the first would be cut before the last comes"));
    }
    let fitting = (machine::files_max().saturating_sub(256) / 2).min(CONNECTIONS);
    let mut context = Context::open(common, true).await?;
    context.options.timeout_ms = context.options.timeout_ms.max(TIMEOUT_MS);
    let shop = context.shop(context.options.connections.map_or(fitting, |wanted| wanted as usize))?;
    let choice = Arc::new(catalogue::hot(&shop.site, "aaa", context.options.product_id.as_deref()).await?);
    enough(&choice, options.unknown.into())?;
    let outcome = tried(&mut context, &shop, choice, rate, seconds, options.after).await;
    // Whatever happened, the provider is to be there for the next run.
    control(&shop, "DELETE", "/_sim/faults", "").await?;
    control(&shop, "DELETE", "/_sim/outage", "").await?;
    outcome?;
    Ok(context.close("recovery").await)
}

async fn tried(
    context: &mut Context,
    shop: &Arc<Shop>,
    choice: Arc<Choice>,
    rate: f64,
    seconds: f64,
    after: bool,
) -> Result<(), Failure> {
    let before = context.one(UNRESOLVED).await?;
    if before > 0 {
        return Err(format!("{before} payments are unknown already"));
    }
    // A breaker that is still open from before would send nobody to the provider.
    let begun = Instant::now();
    while prepare::paid(shop, &choice, PAID_BEFORE).await.is_err() && begun.elapsed() < CLOSED_WITHIN {
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let kind = if after { "timeout_after" } else { "timeout_before" };
    let delay_ms = CUT_AFTER_S * 1_000;
    let fault = format!(r#"{{"op":"confirm","kind":"{kind}","count":1000000,"delay_ms":{delay_ms}}}"#);
    control(shop, "POST", "/_sim/faults", &fault).await?;
    if after {
        // Or recovery would learn of the first before the last has paid.
        let silent = r#"{"op":"query","kind":"error_before","count":1000000}"#;
        control(shop, "POST", "/_sim/faults", silent).await?;
    }
    let visit = || {
        let (shop, choice) = (Arc::clone(shop), Arc::clone(&choice));
        async move { sent(&shop, &choice).await.map_or_else(|outcome| outcome, |()| Outcome::Success) }
    };
    let phase = context.open_phase("confirms that nobody answers", shop, Window::soon(0.0, seconds), rate, visit).await;
    context.phases.push(phase);
    // From here on the provider is away altogether, so that nobody learns anything before the clock starts.
    control(shop, "POST", "/_sim/outage", r#"{"kind":"refuse"}"#).await?;
    let begun = Instant::now();
    while context.one(SENT).await? > 0 && begun.elapsed() < UNKNOWN_WITHIN {
        tokio::time::sleep(LOOK_GAP).await;
    }
    let unknown = context.one(UNRESOLVED).await?;
    context.figure("payments unknown", unknown as f64, "");
    context.require("payments are unknown", unknown > 0, format!("{unknown}"));
    control(shop, "DELETE", "/_sim/faults", "").await?;
    control(shop, "DELETE", "/_sim/outage", "").await?;
    cleared(context).await
}

/// From the moment the provider is back.
async fn cleared(context: &mut Context) -> Result<(), Failure> {
    let (back, mut rows) = (Instant::now(), Vec::new());
    let left = loop {
        let left = context.one(UNRESOLVED).await?;
        rows.push(vec![back.elapsed().as_secs_f64(), left as f64]);
        if left == 0 || back.elapsed() > CLEARED_WITHIN {
            break left;
        }
        tokio::time::sleep(LOOK_GAP).await;
    };
    let took_s = back.elapsed().as_secs_f64();
    context.figure("known after", took_s, "s");
    context.require("every payment is known", left == 0, format!("{left} left"));
    context.target("backlog", left == 0 && took_s < TARGET_S, format!("{took_s:.1} s, target {TARGET_S:.0} s"));
    context.courses.push(Course {
        name: "payments unknown once the provider is back".into(),
        columns: vec!["s", "unknown"],
        rows,
    });
    Ok(())
}

/// As far as a visitor comes whose provider says nothing: told that it is not known yet.
async fn sent(shop: &Shop, choice: &Choice) -> Result<(), Outcome> {
    let ready = shop.authorised(choice).await?;
    let begun = Instant::now();
    let request = shop.confirm_request(&ready.held, &ready.checkout, &ready.authorised);
    let (_, status): (serde::de::IgnoredAny, u16) = read(&shop.site, &request).await?;
    shop.ledger.step("4 confirm", begun);
    if status == 202 { Ok(()) } else { Err(Outcome::Refused(format!("{status} from a provider that says nothing"))) }
}

async fn control(shop: &Shop, method: &str, path: &str, json: &str) -> Result<(), Failure> {
    let request = shop.toss.request(method, path, &[], json);
    let status = shop.toss.call(&request, |status, _| status).await.map_err(|fault| format!("{path}: {fault:?}"))?;
    if status == 200 { Ok(()) } else { Err(format!("{method} {path}: {status}")) }
}
