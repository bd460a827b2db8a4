//! Entrance scans beside a sale: each ticket once, so every answer should be "allowed".

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use base64::Engine as _;
use serde::Deserialize;

use crate::Failure;
use crate::catalogue;
use crate::cli::{Common, Scans};
use crate::context::Context;
use crate::demo::Account;
use crate::engine::Window;
use crate::login::log_in;
use crate::report::Report;
use crate::scenarios::holds::{enough, hold_phase};
use crate::scenarios::prepare;
use crate::shop::Shop;
use crate::tally::Outcome;

const RATE: u32 = 3_000;
const SECONDS: u32 = 20;
const WARMUP: u32 = 3;
const CONNECTIONS: u32 = 256;
/// A token is renewed this long before it ends, so that no scan ever meets an expired one.
const RENEW_BEFORE: Duration = Duration::from_secs(60);
const RENEW_GAP_MIN: Duration = Duration::from_secs(20);

pub async fn run(common: Common, options: Scans) -> Result<Report, Failure> {
    let (rate, seconds, warmup) = (common.rate_or(RATE), common.seconds_or(SECONDS), common.warmup_or(WARMUP));
    let connections = common.connections_or(CONNECTIONS);
    let mut context = Context::open(common, true).await?;
    let (gates, sale) = (context.shop(connections)?, context.shop(connections)?);
    let choice = catalogue::hot(&sale.site, "aaa", context.options.product_id.as_deref()).await?;
    // Poisson arrivals may be a few more than the rate says.
    let wanted = (rate * (seconds + warmup) * 1.02) as usize + 200;
    let beside = f64::from(options.beside_holds);
    enough(&choice, wanted as f64 + beside * (seconds + warmup))?;
    let tickets = prepare::tickets(&sale, &choice, wanted, options.per_order).await?;
    context.notes.push(format!("{}: {} tickets bought beforehand", choice.name(), tickets.len()));
    let token = log_in_and_renew(&gates, &context.demo.accounts.staff).await?;
    let quoted: Result<Vec<String>, _> = tickets.iter().map(|ticket| serde_json::to_string(&ticket.qr_code)).collect();
    let crowd = Arc::new(Crowd {
        codes: quoted.map_err(|error| error.to_string())?,
        next: AtomicUsize::new(0),
        gates: options.gates as usize,
        nonce: rand::random(),
        token,
    });

    let window = Window::soon(warmup, seconds);
    let visit = || {
        let (shop, crowd) = (Arc::clone(&gates), Arc::clone(&crowd));
        async move { crowd.scan(&shop).await }
    };
    let scanning = context.open_phase("scans", &gates, window, rate, visit);
    let (scans, holds) = if options.beside_holds == 0 {
        (scanning.await, None)
    } else {
        let (scans, mut holds) =
            tokio::join!(scanning, hold_phase(&context, "holds beside", &sale, &choice, window, beside));
        holds.cpu.clear();
        (scans, Some(holds))
    };
    let others = scans.tally.failures() + scans.tally.sold_out;
    context.require(
        "tickets are let in",
        scans.tally.success > 0,
        format!("{} allowed, {others} not", scans.tally.success),
    );
    context.target("every ticket is let in", others == 0, format!("{others} were not"));
    context.phases.push(scans);
    context.phases.extend(holds);
    context.require_winners();
    Ok(context.close("scans").await)
}

struct Crowd {
    /// JSON strings, quotes included.
    codes: Vec<String>,
    next: AtomicUsize,
    gates: usize,
    nonce: u64,
    token: Arc<RwLock<String>>,
}

impl Crowd {
    async fn scan(&self, shop: &Shop) -> Outcome {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(code) = self.codes.get(number) else {
            return Outcome::Refused("the generator ran out of tickets".into());
        };
        let bearer = self.token.read().map(|token| format!("Bearer {token}")).unwrap_or_default();
        let json = format!(
            r#"{{"qr_code":{code},"gate":"G{}","nonce":"{:016x}-{number:x}"}}"#,
            number % self.gates + 1,
            self.nonce
        );
        let request = shop.site.post("/api/entrance/scan", &[("Authorization", &bearer)], &json);
        shop.site.call(&request, judge).await.unwrap_or_else(Outcome::from)
    }
}

fn judge(status: u16, body: &[u8]) -> Outcome {
    #[derive(Deserialize)]
    struct Answer {
        entrance_status: String,
        reason: String,
    }
    if status != 200 {
        return Outcome::of_problem(status, body);
    }
    match serde_json::from_slice::<Answer>(body) {
        Ok(answer) if answer.entrance_status == "allowed" => Outcome::Success,
        Ok(answer) => Outcome::Refused(format!("scan {} {}", answer.entrance_status, answer.reason)),
        Err(error) => Outcome::Refused(format!("200 of another shape: {error}")),
    }
}

/// Logs in, and again before the token ends, for as long as the run lasts.
async fn log_in_and_renew(shop: &Arc<Shop>, staff: &Account) -> Result<Arc<RwLock<String>>, Failure> {
    let staff = staff.clone();
    let first = log_in(&shop.site, &staff).await?;
    let mut wait = renew_in(&first);
    let token = Arc::new(RwLock::new(first));
    let (kept, shop) = (Arc::clone(&token), Arc::clone(shop));
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(wait).await;
            match log_in(&shop.site, &staff).await {
                Ok(fresh) => {
                    wait = renew_in(&fresh);
                    if let Ok(mut kept) = kept.write() {
                        *kept = fresh;
                    }
                }
                Err(why) => {
                    eprintln!("renewing the staff login: {why}");
                    wait = RENEW_GAP_MIN;
                }
            }
        }
    });
    Ok(token)
}

/// From the token's own `exp`; without one, often enough for the shortest lifetime in use.
fn renew_in(token: &str) -> Duration {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let claims =
        token.split('.').nth(1).and_then(|part| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok());
    let ends = claims.and_then(|json| serde_json::from_slice::<Claims>(&json).ok()).map(|claims| claims.exp);
    let left = ends.map_or(180, |exp| exp.saturating_sub(jiff::Timestamp::now().as_second()));
    Duration::from_secs(u64::try_from(left).unwrap_or(0)).saturating_sub(RENEW_BEFORE).max(RENEW_GAP_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let exp = jiff::Timestamp::now().as_second() + 600;
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{exp}}}"#));
        let wait = renew_in(&format!("h.{claims}.s")).as_secs();
        assert!((535..=540).contains(&wait), "{wait}");
        assert_eq!(renew_in("opaque"), Duration::from_secs(120));
    }

    #[test]
    fn only_allowed_is_a_success() {
        assert_eq!(judge(200, br#"{"entrance_status":"allowed","reason":"ok"}"#), Outcome::Success);
        let again = judge(200, br#"{"entrance_status":"refused","reason":"already_used"}"#);
        assert_eq!(again, Outcome::Refused("scan refused already_used".into()));
    }
}
