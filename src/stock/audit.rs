//! The audit: compares Redis with Postgres and repairs by hold id, never by count. What no hold id explains and what
//! stays for several rounds leads to a rebuild, which needs no explanation.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use crate::app::App;
use crate::error::Result;
use crate::stock::model::InFlight;
use crate::stock::pg::Repair;
use crate::stock::redis::Levels;
use crate::stock::{pg, rebuild, redis};

/// The writer refuses entries older than 10 s, so a take this old that is no order never will be one.
pub const ABANDONED_MS: i64 = 20_000;
/// Rounds (of one second) that a difference must keep its sign before it counts as real: what is on its way between
/// a commit and Redis lasts milliseconds.
const ROUNDS: u32 = 4;

#[derive(Default)]
pub struct Audit {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Of the server that has an exhibition's keys.
    run_ids: HashMap<i32, String>,
    /// Exhibition and stock -> (sign, rounds).
    drifting: HashMap<(i32, i32), (i64, u32)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub given_back: usize,
    pub confirmed: usize,
    pub rebuilt: usize,
    /// Sum of absolute differences over all stocks, before repair.
    pub difference: i64,
}

/// One round over all exhibitions. Idempotent; several workers may run it at once. One that fails leaves the others
/// their round.
pub async fn tick(app: &App) -> Result<Report> {
    let mut report = Report::default();
    let mut failed = None;
    for exhibition in app.catalogue.current().exhibitions() {
        if let Err(error) = audit_one(app, exhibition.id, &exhibition.code, &mut report).await {
            // One server for all, and it is away: each of them would wait for it.
            if error.code == "server.redis_away" && !app.redis.is_cluster() {
                return Err(error);
            }
            tracing::warn!(exhibition = exhibition.code, %error, "not audited");
            failed = Some(error);
        }
    }
    app.metrics.audit(report.difference, report.given_back);
    match failed {
        Some(error) => Err(error),
        None => Ok(report),
    }
}

async fn audit_one(app: &App, exhibition_id: i32, code: &str, report: &mut Report) -> Result<()> {
    let run_id = app.redis.run_id(code).await?;
    if app.audit.knows_other_than(exhibition_id, &run_id) {
        // It may have come back older than it went: count anew rather than guess.
        rebuild::rebuild(app, exhibition_id, code, "redis_restarted").await?;
        report.rebuilt += 1;
        app.audit.remember(exhibition_id, run_id);
        return Ok(());
    }
    app.audit.remember(exhibition_id, run_id);
    let Some(levels) = redis::levels(&app.redis, code, true).await? else {
        rebuild::rebuild(app, exhibition_id, code, "unready").await?;
        report.rebuilt += 1;
        return Ok(());
    };
    let ids: Vec<_> = levels.in_flight.iter().map(|take| take.hold_id).collect();
    let mut client = app.pg.get().await?;
    let snapshot = client
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let truth = pg::levels(&snapshot, exhibition_id).await?;
    let known = pg::known_takes(&snapshot, &ids).await?;
    snapshot.commit().await?;
    drop(client);

    let now_ms = app.clock.now_ms();
    let old = |take: &&InFlight| now_ms - take.at_ms > ABANDONED_MS;
    let is_known = |take: &&InFlight| known.contains(&(take.hold_id, take.at_ms));
    let committed: Vec<_> = levels.in_flight.iter().filter(old).filter(is_known).map(|t| t.hold_id).collect();
    if !committed.is_empty() {
        report.confirmed += committed.len();
        let confirmed = redis::confirm(&app.redis, code, &committed).await?;
        let takes = i32::try_from(confirmed).unwrap_or(i32::MAX);
        record(app, exhibition_id, "confirmed", "not_told", Vec::new(), takes).await;
    }
    let mut given = Vec::new();
    for take in levels.in_flight.iter().filter(old).filter(|take| !is_known(take)) {
        if redis::give_back(&app.redis, code, &take.hold_id, Some(take.at_ms)).await? {
            given.push(take);
        }
    }
    report.given_back += given.len();
    let takes = i32::try_from(given.len()).unwrap_or(i32::MAX);
    record(app, exhibition_id, "given_back", "abandoned", places(&given), takes).await;

    let unknown: Vec<&InFlight> = levels.in_flight.iter().filter(|take| !is_known(take)).collect();
    let epoch = truth.values().map(|l| l.epoch).max().unwrap_or(0);
    let mut differences = differences(&levels, &unknown, truth.iter().map(|(id, l)| (*id, i64::from(l.free()))));
    if levels.epoch != epoch || truth.values().any(|level| level.epoch != epoch) {
        // A rebuild that raised the epoch and died before it set Redis, or a stock that was added meanwhile.
        differences.insert(0, -1);
    }
    report.difference += differences.values().map(|d| d.abs()).sum::<i64>();
    if app.audit.is_real(exhibition_id, &differences) {
        tracing::warn!(exhibition = code, ?differences, "Redis and Postgres differ");
        // By 0 an epoch that differs, which is no stock's.
        let cause = if differences.contains_key(&0) { "epoch" } else { "audit" };
        let mut found: Vec<(i32, i64)> = differences.into_iter().filter(|(stock_id, _)| *stock_id > 0).collect();
        found.sort_unstable();
        rebuild::rebuild_since(app, exhibition_id, code, cause, found).await?;
        report.rebuilt += 1;
    }
    Ok(())
}

/// What was done is done: a record that could not be written is logged.
async fn record(app: &App, exhibition_id: i32, done: &str, cause: &str, found: Vec<(i32, i64)>, takes: i32) {
    if takes == 0 {
        return;
    }
    let repair = Repair { done: done.into(), cause: cause.into(), found, takes };
    let written = async { pg::repaired(&app.pg.get().await?, exhibition_id, &repair).await };
    if let Err(error) = written.await {
        tracing::warn!(exhibition_id, %error, ?repair, "a repair is not on record");
    }
}

/// Places of these takes, by stock.
pub fn places(takes: &[&InFlight]) -> Vec<(i32, i64)> {
    let mut sums = BTreeMap::<i32, i64>::new();
    for line in takes.iter().flat_map(|take| &take.lines) {
        *sums.entry(line.stock_id).or_default() += i64::from(line.quantity);
    }
    sums.into_iter().collect()
}

/// Redis free + in flight - Postgres free, per stock, where it is not zero. A stock that Redis lacks counts too.
fn differences(levels: &Levels, unknown: &[&InFlight], truth: impl Iterator<Item = (i32, i64)>) -> HashMap<i32, i64> {
    let in_flight: HashMap<i32, i64> = places(unknown).into_iter().collect();
    truth
        .filter_map(|(stock_id, free)| {
            let seen = levels.free.get(&stock_id).map_or(-1, |n| n + in_flight.get(&stock_id).copied().unwrap_or(0));
            (seen != free).then_some((stock_id, seen - free))
        })
        .collect()
}

impl Audit {
    fn knows_other_than(&self, exhibition_id: i32, run_id: &str) -> bool {
        self.state.lock().is_ok_and(|state| state.run_ids.get(&exhibition_id).is_some_and(|known| known != run_id))
    }

    fn remember(&self, exhibition_id: i32, run_id: String) {
        if let Ok(mut state) = self.state.lock() {
            state.run_ids.insert(exhibition_id, run_id);
        }
    }

    /// Remembers this round's differences; true when one has kept its sign long enough to be real.
    fn is_real(&self, exhibition_id: i32, differences: &HashMap<i32, i64>) -> bool {
        let Ok(mut state) = self.state.lock() else { return false };
        state.drifting.retain(|(exhibition, stock), _| *exhibition != exhibition_id || differences.contains_key(stock));
        let mut real = false;
        for (stock_id, difference) in differences {
            let entry = state.drifting.entry((exhibition_id, *stock_id)).or_insert((0, 0));
            *entry = if entry.0 == difference.signum() { (entry.0, entry.1 + 1) } else { (difference.signum(), 1) };
            real |= entry.1 >= ROUNDS;
        }
        if real {
            state.drifting.retain(|(exhibition, _), _| *exhibition != exhibition_id);
        }
        real
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stock::model::Line;

    #[test]
    fn a_take_in_flight_explains_its_own_places() {
        let take = InFlight { hold_id: [1; 16], at_ms: 0, lines: vec![Line { stock_id: 5, quantity: 2 }] };
        let levels = Levels { epoch: 1, free: HashMap::from([(5, 8), (6, 4)]), in_flight: vec![take.clone()] };
        assert!(differences(&levels, &[&take], [(5, 10), (6, 4)].into_iter()).is_empty());
        assert_eq!(differences(&levels, &[], [(5, 10), (6, 4)].into_iter()), HashMap::from([(5, -2)]));
        assert_eq!(differences(&levels, &[&take], [(7, 3)].into_iter()), HashMap::from([(7, -4)]));
    }

    #[test]
    fn only_a_lasting_difference_is_real() {
        let audit = Audit::default();
        let (up, down) = (HashMap::from([(1, 2)]), HashMap::from([(1, -1)]));
        assert!(!audit.is_real(1, &up));
        assert!(!audit.is_real(1, &down));
        assert!(!audit.is_real(1, &down));
        assert!(!audit.is_real(1, &HashMap::new()));
        for _ in 0..ROUNDS - 1 {
            assert!(!audit.is_real(1, &down));
        }
        assert!(audit.is_real(1, &down));
    }
}
