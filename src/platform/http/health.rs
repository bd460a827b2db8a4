//! What load balancers and people on call ask: is it alive, is it ready, what does it count.
//!
//! Readiness is about this process alone. Redis, Postgres or Toss being away makes nobody unready: taking every
//! instance out at once would turn a partial outage into a whole one.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::app::App;

/// Scripts in Redis are told the time by whoever calls; instances that disagree by more would judge deadlines
/// differently. [ms]
pub const CLOCK_OFFSET_MAX_MS: i64 = 500;
/// Longer than this, and the question itself says too little about the offset.
const CLOCK_ASK: Duration = Duration::from_millis(300);

#[derive(Serialize)]
struct Health {
    /// ready, or why not: starting, clock_offset, stopping.
    status: &'static str,
    checks: Checks,
}

#[derive(Serialize)]
struct Checks {
    /// The catalogue has been read once; later outages are bridged from memory.
    catalogue: bool,
    /// Null: Redis did not say.
    clock_offset_ms: Option<i64>,
    redis: &'static str,
    stopping: bool,
}

pub fn routes() -> Router<App> {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).route("/health", get(readyz))
}

pub fn private_routes() -> Router<App> {
    routes().route("/metrics", get(metrics))
}

async fn livez() -> &'static str {
    "ok"
}

async fn readyz(State(app): State<App>) -> (StatusCode, Json<Health>) {
    let offset = clock_offset_ms(&app).await;
    let checks = Checks {
        catalogue: app.catalogue.current().ready().is_ok(),
        clock_offset_ms: offset,
        redis: if offset.is_some() { "up" } else { "away" },
        stopping: app.lifecycle.stopping().is_cancelled(),
    };
    let status = verdict(&checks);
    let code = if status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(Health { status, checks }))
}

fn verdict(checks: &Checks) -> &'static str {
    if checks.stopping {
        "stopping"
    } else if !checks.catalogue {
        "starting"
    } else if checks.clock_offset_ms.is_some_and(|offset| offset.abs() > CLOCK_OFFSET_MAX_MS) {
        "clock_offset"
    } else {
        "ready"
    }
}

/// Ours minus Redis's, taken in the middle of the call; None when Redis does not answer in time.
async fn clock_offset_ms(app: &App) -> Option<i64> {
    let before = app.clock.now_ms();
    let theirs = tokio::time::timeout(CLOCK_ASK, app.redis.time_ms()).await.ok()?.ok()?;
    let after = app.clock.now_ms();
    Some(before + (after - before) / 2 - theirs)
}

async fn metrics(State(app): State<App>) -> Response<Body> {
    let mut response = Response::new(Body::from(app.metrics.render()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_concerns_this_process_makes_it_unready() {
        let ready = || Checks { catalogue: true, clock_offset_ms: Some(3), redis: "up", stopping: false };
        assert_eq!(verdict(&ready()), "ready");
        assert_eq!(verdict(&Checks { clock_offset_ms: None, redis: "away", ..ready() }), "ready");
        assert_eq!(verdict(&Checks { clock_offset_ms: Some(-501), ..ready() }), "clock_offset");
        assert_eq!(verdict(&Checks { catalogue: false, ..ready() }), "starting");
        assert_eq!(verdict(&Checks { catalogue: false, stopping: true, ..ready() }), "stopping");
    }
}
