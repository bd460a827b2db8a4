//! Runs `sql/invariants.sql`: after tests and load runs, by `admit doctor --sweep`, and those of the figures every night.

use super::pg::{self, SessionLimits};
use crate::error::Result;

const FILE: &str = include_str!("../../sql/invariants.sql");
/// Rows shown per broken invariant.
const SHOWN_MAX: usize = 3;

/// Name and query of every invariant.
pub fn all() -> Vec<(&'static str, &'static str)> {
    FILE.split("-- invariant: ")
        .skip(1)
        .filter_map(|block| block.split_once('\n'))
        .map(|(name, sql)| (name.trim(), sql.trim().trim_end_matches(';')))
        .collect()
}

/// Every broken invariant with its first rows; in one snapshot.
pub async fn sweep(url: &str) -> Result<Vec<String>> {
    sweep_of(url, "").await
}

/// Of those alone whose name begins so.
pub async fn sweep_of(url: &str, beginning: &str) -> Result<Vec<String>> {
    let client = pg::connect(url, SessionLimits { statement_ms: 0, lock_ms: 3_000 }, "admit invariants").await?;
    // Unlike everything else, a sweep reads whole tables.
    client.batch_execute("set enable_seqscan = on; set plan_cache_mode = auto").await?;
    client.batch_execute("begin isolation level repeatable read read only").await?;
    let mut broken = Vec::new();
    for (name, sql) in all().into_iter().filter(|(name, _)| name.starts_with(beginning)) {
        let rows = client.query(&format!("select to_jsonb(v)::text from ({sql}) as v"), &[]).await?;
        if !rows.is_empty() {
            let shown: Vec<String> = rows.iter().take(SHOWN_MAX).map(|row| row.get(0)).collect();
            broken.push(format!("{name}: {} rows, e.g. {}", rows.len(), shown.join(" ")));
        }
    }
    client.batch_execute("commit").await?;
    Ok(broken)
}
