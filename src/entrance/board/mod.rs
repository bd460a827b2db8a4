//! The gate board: how many people are inside, how fast the gates work, what they refuse, and which devices are heard of.

pub mod api;
pub mod pg;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::clock::seoul;

/// Scans a minute are those of the last minutes, divided. [min]
const RATE_MINUTES: i64 = 5;
/// However many screens look: the scans of an exhibition's day are counted this often at most.
const FRESH: Duration = Duration::from_secs(2);

/// Today, in Asia/Seoul.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Counts {
    /// Let in and not yet out, as far as people are scanned out.
    pub inside: i64,
    pub admitted_today: i64,
    pub left_today: i64,
    pub refused_today: i64,
    /// Of the last five minutes.
    pub per_minute: f64,
    /// How often each reason refused.
    pub refusals: HashMap<String, i64>,
    /// By name.
    pub gates: Vec<GateCounts>,
}

#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct GateCounts {
    pub gate: String,
    pub admitted: i64,
    pub left: i64,
    pub refused: i64,
    pub per_minute: f64,
}

/// What was counted last of each exhibition.
#[derive(Clone, Default)]
pub struct Board(Arc<std::sync::Mutex<HashMap<i32, Latest>>>);

type Latest = Arc<Mutex<Option<(Instant, Counts)>>>;

impl Board {
    pub async fn counts(&self, app: &App, exhibition_id: i32) -> Result<Counts> {
        let latest = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(exhibition_id).or_default())
        };
        // One counts, the others wait for it.
        let mut latest = latest.lock().await;
        if let Some((at, counts)) = latest.as_ref()
            && at.elapsed() < FRESH
        {
            return Ok(counts.clone());
        }
        let counts = counted(app, exhibition_id, app.clock.now()).await?;
        *latest = Some((Instant::now(), counts.clone()));
        Ok(counts)
    }
}

async fn counted(app: &App, exhibition_id: i32, now: Timestamp) -> Result<Counts> {
    let midnight = now.to_zoned(seoul()).start_of_day().map_err(Error::bug)?.timestamp();
    let recent = now - SignedDuration::from_mins(RATE_MINUTES);
    let rows = pg::tallies(&app.pg.get().await?, exhibition_id, midnight, recent).await?;
    Ok(summed(rows))
}

fn summed(rows: Vec<pg::Tally>) -> Counts {
    let mut counts = Counts::default();
    let mut gates: HashMap<String, GateCounts> = HashMap::new();
    for row in rows {
        let gate =
            gates.entry(row.gate.clone()).or_insert_with(|| GateCounts { gate: row.gate, ..GateCounts::default() });
        match (row.allowed, row.out) {
            (true, false) => gate.admitted += row.scans,
            (true, true) => gate.left += row.scans,
            (false, _) => {
                gate.refused += row.scans;
                *counts.refusals.entry(row.reason).or_default() += row.scans;
            }
        }
        gate.per_minute += row.recent as f64 / RATE_MINUTES as f64;
    }
    counts.gates = gates.into_values().collect();
    counts.gates.sort_by(|a, b| a.gate.cmp(&b.gate));
    // Tenths are as exact as five minutes are.
    let tenths = |rate: f64| (rate * 10.0).round() / 10.0;
    for gate in &mut counts.gates {
        gate.per_minute = tenths(gate.per_minute);
        counts.admitted_today += gate.admitted;
        counts.left_today += gate.left;
        counts.refused_today += gate.refused;
        counts.per_minute += gate.per_minute;
    }
    counts.per_minute = tenths(counts.per_minute);
    counts.inside = (counts.admitted_today - counts.left_today).max(0);
    counts
}
