//! All SQL of the stock's reading side and of the rebuild.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::GenericClient;

use super::model::{HoldId, Level, PersonKey};
use crate::error::Result;
use crate::platform::pg::Statement;

const LOCK: Statement =
    Statement::new("stock.lock", "select id from stock where exhibition_id = $1 order by id for update");

const RAISE_EPOCH: Statement = Statement::new(
    "stock.raise_epoch",
    "update stock set epoch = newest.epoch + 1
       from (select max(epoch) as epoch from stock where exhibition_id = $1) as newest
      where exhibition_id = $1
     returning stock.id, total, offered, held, sold, stock.epoch",
);

const LEVELS: Statement =
    Statement::new("stock.levels", "select id, total, offered, held, sold, epoch from stock where exhibition_id = $1");

const KNOWN_TAKES: Statement =
    // Takes of new orders, and takes that seated a lapsed order again.
    Statement::new(
        "stock.known_takes",
        "select hold_id, taken_at_ms from orders where hold_id = any($1)
         union all select seat_id, seat_at_ms from attempts where seat_id = any($1)",
    );

const PEOPLE: Statement = Statement::new(
    "stock.people",
    "select person_key, used, open_holds from person_counters
      where exhibition_id = $1 and person_key > $2 and (used > 0 or open_holds > 0)
      order by person_key limit $3",
);

const PERSON: Statement = Statement::new(
    "stock.person",
    "select used, open_holds from person_counters where exhibition_id = $1 and person_key = $2",
);

pub const STATEMENTS: [&Statement; 6] = [&LOCK, &RAISE_EPOCH, &LEVELS, &KNOWN_TAKES, &PEOPLE, &PERSON];

/// Places and open holds of one person, as committed.
pub async fn person(client: &impl GenericClient, exhibition_id: i32, person: &PersonKey) -> Result<(i32, i32)> {
    let row = PERSON.query_opt(client, &[&exhibition_id, &person.as_slice()]).await?;
    Ok(row.map_or((0, 0), |row| (row.get(0), row.get(1))))
}

fn level(row: &tokio_postgres::Row) -> (i32, Level) {
    (
        row.get(0),
        Level { total: row.get(1), offered: row.get(2), held: row.get(3), sold: row.get(4), epoch: row.get(5) },
    )
}

/// Locks the exhibition's stock in the one order everybody uses, raises its epoch, and reads it. In a transaction.
pub async fn raise_epoch(client: &impl GenericClient, exhibition_id: i32) -> Result<HashMap<i32, Level>> {
    LOCK.query(client, &[&exhibition_id]).await?;
    Ok(RAISE_EPOCH.query(client, &[&exhibition_id]).await?.iter().map(level).collect())
}

pub async fn levels(client: &impl GenericClient, exhibition_id: i32) -> Result<HashMap<i32, Level>> {
    Ok(LEVELS.query(client, &[&exhibition_id]).await?.iter().map(level).collect())
}

/// Those of the given takes, by hold id and instant, that are orders.
pub async fn known_takes(client: &impl GenericClient, ids: &[HoldId]) -> Result<HashSet<(HoldId, i64)>> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_slice()).collect();
    let rows = KNOWN_TAKES.query(client, &[&ids]).await?;
    Ok(rows.iter().filter_map(|row| Some((row.get::<_, &[u8]>(0).try_into().ok()?, row.get(1)))).collect())
}

/// A page of persons with something to count, after the given key.
pub async fn people(
    client: &impl GenericClient,
    exhibition_id: i32,
    after: &[u8],
    limit: i64,
) -> Result<Vec<(PersonKey, i32, i32)>> {
    let rows = PEOPLE.query(client, &[&exhibition_id, &after, &limit]).await?;
    Ok(rows.iter().filter_map(|row| Some((row.get::<_, &[u8]>(0).try_into().ok()?, row.get(1), row.get(2)))).collect())
}
