//! SQL of the gate board.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;

use crate::error::Result;
use crate::platform::pg::Statement;

const TALLIES: Statement = Statement::new(
    "board.tallies",
    "select gate, allowed, direction = 'out', case when allowed then 'ok' else reason end, count(*),
            count(*) filter (where scanned_at > $3)
       from scans where exhibition_id = $1 and scanned_at >= $2 and undone_at is null and not apart
      group by 1, 2, 3, 4",
);

pub const STATEMENTS: &[&Statement] = &[&TALLIES];

/// Scans of one gate and outcome since midnight, and of the last minutes.
pub struct Tally {
    pub gate: String,
    pub allowed: bool,
    pub out: bool,
    pub reason: String,
    pub scans: i64,
    pub recent: i64,
}

pub async fn tallies(
    client: &impl GenericClient,
    exhibition_id: i32,
    since: Timestamp,
    recent: Timestamp,
) -> Result<Vec<Tally>> {
    let rows = TALLIES.query(client, &[&exhibition_id, &since, &recent]).await?;
    let tally = |row: &tokio_postgres::Row| Tally {
        gate: row.get(0),
        allowed: row.get(1),
        out: row.get(2),
        reason: row.get(3),
        scans: row.get(4),
        recent: row.get(5),
    };
    Ok(rows.iter().map(tally).collect())
}
