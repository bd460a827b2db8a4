//! Every metric Admit exports, by name, in one place.

pub mod pulse;

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::error::{Error, Result};
use crate::waiting_room::gather::Totals;
use crate::waiting_room::model::Snap;

const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const ENTRIES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Counted where Redis is called, which knows nothing of the app.
pub fn redis_call() {
    counter!("admit_redis_calls_total").increment(1);
}

/// Records into the process's recorder; `render` is what `/metrics` answers.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Installs the recorder of this process, once; later calls share it (tests start many apps).
    pub fn install() -> Result<Metrics> {
        static HANDLE: std::sync::OnceLock<std::result::Result<PrometheusHandle, String>> = std::sync::OnceLock::new();
        let handle = HANDLE.get_or_init(|| {
            let recorder = recorder().map_err(|e| e.to_string())?;
            let handle = recorder.handle();
            metrics::set_global_recorder(recorder).map_err(|e| e.to_string())?;
            describe();
            Ok(handle)
        });
        handle.clone().map(|handle| Metrics { handle }).map_err(Error::bug)
    }

    pub fn render(&self) -> String {
        if let Some(bytes) = resident_bytes() {
            gauge!("process_resident_memory_bytes").set(bytes as f64);
        }
        self.handle.render()
    }

    /// Every few seconds, or histograms keep every sample.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    pub fn http(&self, method: &str, route: &str, status: u16, elapsed: Duration) {
        let (method, route) = (method.to_owned(), route.to_owned());
        counter!("http_requests_total", "method" => method.clone(), "route" => route.clone(), "status" => status.to_string())
            .increment(1);
        histogram!("http_request_duration_seconds", "method" => method, "route" => route).record(elapsed);
    }

    pub fn batch(&self, entries: usize, elapsed: Duration) {
        histogram!("admit_writer_batch_entries").record(entries as f64);
        histogram!("admit_writer_batch_seconds").record(elapsed);
    }

    pub fn writer_waiting(&self, entries: usize) {
        gauge!("admit_writer_waiting_entries").set(entries as f64);
    }

    pub fn unknown_commit(&self, outcome: &'static str) {
        counter!("admit_writer_unknown_commits_total", "outcome" => outcome).increment(1);
    }

    pub fn take(&self, outcome: &'static str) {
        counter!("admit_takes_total", "outcome" => outcome).increment(1);
    }

    pub fn rebuild(&self, exhibition: &str, cause: &str) {
        counter!("admit_stock_rebuilds_total", "exhibition" => exhibition.to_owned(), "cause" => cause.to_owned())
            .increment(1);
    }

    pub fn audit(&self, difference: i64, given_back: usize) {
        gauge!("admit_stock_difference_places").set(difference as f64);
        counter!("admit_audit_given_back_total").increment(given_back as u64);
    }

    pub fn gateway(&self, operation: &'static str, outcome: &'static str, elapsed: Duration) {
        counter!("admit_gateway_calls_total", "operation" => operation, "outcome" => outcome).increment(1);
        histogram!("admit_gateway_seconds", "operation" => operation).record(elapsed);
    }

    pub fn settled(&self, outcome: &'static str) {
        counter!("admit_settlements_total", "outcome" => outcome).increment(1);
    }

    pub fn money_differences(&self, provider: &'static str, count: usize) {
        gauge!("admit_money_differences", "provider" => provider).set(count as f64);
    }

    /// What of the dashboard's figures differed from the history at the last comparison, in kinds.
    pub fn figures_differ(&self, count: usize) {
        gauge!("admit_figures_differences").set(count as f64);
    }

    /// How long the oldest event has waited that the dashboard's figures do not tell of yet.
    pub fn figures_behind(&self, seconds: f64) {
        gauge!("admit_figures_behind_seconds").set(seconds);
    }

    pub fn scan(&self, reason: &'static str) {
        counter!("admit_scans_total", "reason" => reason).increment(1);
    }

    pub fn delivery(&self, channel: &'static str, outcome: &'static str) {
        counter!("admit_deliveries_total", "channel" => channel, "outcome" => outcome).increment(1);
    }

    /// 0 closed, 1 half open, 2 open.
    pub fn breaker(&self, provider: &'static str, level: u8) {
        gauge!("admit_provider_breaker", "provider" => provider).set(f64::from(level));
    }

    pub fn breaker_change(&self, provider: &'static str, to: &'static str) {
        counter!("admit_provider_breaker_changes_total", "provider" => provider, "to" => to).increment(1);
    }

    /// What waits: how much, and for how long the oldest of it has. `what` is `webhooks`, `payments`, `refunds`, or `messages`
    /// with the channel for a provider.
    pub fn backlog(&self, what: &'static str, provider: &'static str, waiting: i64, oldest_s: f64) {
        gauge!("admit_backlog_waiting", "what" => what, "provider" => provider).set(waiting as f64);
        gauge!("admit_backlog_oldest_seconds", "what" => what, "provider" => provider).set(oldest_s);
    }

    /// What waits for a person: `webhooks_dead`, `messages_dead`, `refunds_failed`, `refunds_bounced`, `refunds_needs_account`.
    pub fn stuck(&self, what: &'static str, provider: &'static str, count: i64) {
        gauge!("admit_stuck", "what" => what, "provider" => provider).set(count as f64);
    }

    pub fn webhook(&self, outcome: &'static str) {
        counter!("admit_webhooks_total", "outcome" => outcome).increment(1);
    }

    pub fn joined(&self, exhibition: &str, people: usize) {
        counter!("admit_queue_joins_total", "exhibition" => exhibition.to_owned()).increment(people as u64);
    }

    pub fn claimed(&self, exhibition: &str, outcome: &'static str) {
        counter!("admit_queue_claims_total", "exhibition" => exhibition.to_owned(), "outcome" => outcome).increment(1);
    }

    /// The leader's view of a room; `totals` when the instances were asked in this tick.
    pub fn room(&self, exhibition: &str, snap: &Snap, called: u32, totals: Option<Totals>) {
        let gauge = |name: &'static str, value: f64| gauge!(name, "exhibition" => exhibition.to_owned()).set(value);
        gauge("admit_queue_numbers", snap.lanes.iter().map(|lane| f64::from(lane.seq)).sum());
        gauge("admit_queue_alive", snap.lanes.iter().map(|lane| f64::from(lane.alive)).sum());
        gauge("admit_queue_active", f64::from(snap.active));
        gauge("admit_queue_late", f64::from(snap.late));
        gauge("admit_queue_claim_share", snap.claim_share);
        gauge("admit_queue_brake", snap.brake);
        gauge("admit_queue_rate_per_second", snap.rate_per_s);
        counter!("admit_queue_called_total", "exhibition" => exhibition.to_owned()).increment(called.into());
        if let Some(totals) = totals {
            gauge("admit_queue_polls_per_second", totals.polls_per_s);
            gauge("admit_queue_arrivals_per_second", totals.arrivals_per_s);
        }
    }

    pub fn eta(&self, exhibition: &str, inside: bool) {
        let outcome = if inside { "inside" } else { "outside" };
        counter!("admit_queue_eta_total", "exhibition" => exhibition.to_owned(), "outcome" => outcome).increment(1);
    }

    pub fn worker(&self, worker: &'static str, outcome: &'static str, elapsed: Duration) {
        counter!("admit_worker_ticks_total", "worker" => worker, "outcome" => outcome).increment(1);
        histogram!("admit_worker_tick_seconds", "worker" => worker).record(elapsed);
    }
}

fn recorder() -> Result<PrometheusRecorder> {
    let buckets = |suffix: &str, values: &[f64]| (Matcher::Suffix(suffix.to_owned()), values.to_vec());
    let mut builder = PrometheusBuilder::new();
    for (matcher, values) in [buckets("_seconds", &SECONDS), buckets("_entries", &ENTRIES)] {
        builder = builder.set_buckets_for_metric(matcher, &values).map_err(Error::bug)?;
    }
    Ok(builder.build_recorder())
}

fn describe() {
    describe_gauge!(
        "admit_money_differences",
        "What a provider's books and ours said differently at the last comparison."
    );
    describe_gauge!(
        "admit_figures_differences",
        "Kinds of figures of the dashboard that differed from the history last night."
    );
    describe_gauge!(
        "admit_figures_behind_seconds",
        "How long the oldest event has waited that the dashboard's figures do not tell of yet."
    );
    describe_counter!("http_requests_total", "Answered requests by method, route and status.");
    describe_histogram!("http_request_duration_seconds", "From the request's head to its answer.");
    describe_histogram!("admit_writer_batch_entries", "Entries of one commit of the stock writer.");
    describe_histogram!("admit_writer_batch_seconds", "Time of one batch, locks and commit included.");
    describe_gauge!("admit_writer_waiting_entries", "Entries waiting for the stock writer.");
    describe_counter!("admit_writer_unknown_commits_total", "Commits whose connection died, by what was found out.");
    describe_counter!("admit_takes_total", "Takes by outcome.");
    describe_counter!("admit_stock_rebuilds_total", "Rebuilds of an exhibition's stock in Redis, by cause.");
    describe_gauge!("admit_stock_difference_places", "Places by which Redis and Postgres differed in the last audit.");
    describe_counter!("admit_audit_given_back_total", "Abandoned takes given back by the audit.");
    describe_counter!("admit_gateway_calls_total", "Calls to the payment provider by operation and outcome.");
    describe_histogram!("admit_gateway_seconds", "Time of calls to the payment provider.");
    describe_counter!("admit_settlements_total", "Ends of attempts to pay.");
    describe_counter!("admit_scans_total", "Scans by reason.");
    describe_counter!("admit_deliveries_total", "Messages by channel and outcome.");
    describe_counter!("admit_webhooks_total", "Webhooks by outcome.");
    describe_gauge!("admit_provider_breaker", "Breaker of a provider: 0 closed, 1 half open, 2 open.");
    describe_counter!("admit_provider_breaker_changes_total", "Changes of a provider's breaker, by where to.");
    describe_gauge!(
        "admit_backlog_waiting",
        "Webhooks, payments in doubt, refunds and messages that wait, by provider or channel."
    );
    describe_gauge!("admit_backlog_oldest_seconds", "How long the oldest of them has waited.");
    describe_gauge!(
        "admit_stuck",
        "Dead webhooks and messages, failed refunds and refunds without an account, by provider or channel."
    );
    describe_counter!("admit_queue_joins_total", "Numbers given out.");
    describe_counter!("admit_queue_claims_total", "Claims by outcome.");
    describe_gauge!("admit_queue_numbers", "Numbers given out in this run, all lanes.");
    describe_gauge!("admit_queue_alive", "People who wait and were seen lately.");
    describe_gauge!("admit_queue_active", "People inside.");
    describe_gauge!("admit_queue_late", "Late returners who wait to be called again.");
    describe_gauge!("admit_queue_claim_share", "Share of those called who claim.");
    describe_gauge!("admit_queue_brake", "1: full rate; below: lowered, since orders are slow or fail.");
    describe_gauge!("admit_queue_rate_per_second", "People called per second at most.");
    describe_counter!("admit_queue_called_total", "People called, late ones included.");
    describe_gauge!("admit_queue_polls_per_second", "Polls answered by all instances.");
    describe_gauge!("admit_queue_arrivals_per_second", "Orders and page loads of all instances.");
    describe_counter!(
        "admit_queue_eta_total",
        "Calls of people who were last in line when noted, by whether they came within the band shown then."
    );
    describe_counter!("admit_redis_calls_total", "Calls to Redis by this process; pipelined ones count each.");
    describe_counter!("admit_worker_ticks_total", "Worker rounds by worker and outcome.");
    describe_histogram!("admit_worker_tick_seconds", "Time of worker rounds.");
    describe_gauge!("process_resident_memory_bytes", "Resident memory.");
}

fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    // Linux on the platforms Admit is built for.
    Some(pages * 4096)
}
