//! All SQL of the stock's reading side and of the rebuild.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::GenericClient;
use jiff::Timestamp;

use super::model::{HoldId, Level, PersonKey};
use super::offer::Offer;
use crate::error::{Error, Result};
use crate::platform::pg::Statement;

const LOCK: Statement =
    Statement::new("stock.lock", "select id from stock where exhibition_id = $1 order by id for update");

const LOCK_THESE: Statement = Statement::new(
    "stock.lock_these",
    "select id, total, offered, held, sold, epoch from stock where id = any($1::int[]) order by id for update",
);

const SET_OFFERS: Statement = Statement::new(
    "stock.set_offers",
    "update stock s set total = n.total, offered = n.offered
       from unnest($1::int[], $2::int[], $3::int[]) as n (id, total, offered) where s.id = n.id",
);

/// The epoch is read under the lock of all rows that have one: a rebuild that comes later finds these. Where there is none,
/// Redis may still remember rows that were deleted: the first begins at the time, which is above whatever those had come to.
const ADD: Statement = Statement::new(
    "stock.add",
    "insert into stock (exhibition_id, total, offered, epoch)
     select $1, n.total, n.offered,
            coalesce((select max(epoch) from stock where exhibition_id = $1), (extract(epoch from admit_now()) * 1000)::bigint)
       from unnest($2::int[], $3::int[]) as n (total, offered)
     returning id",
);

const COUNT: Statement = Statement::new("stock.count", "select count(*) from stock where exhibition_id = $1");

const REMOVE: Statement =
    Statement::new("stock.remove", "delete from stock where id = any($1::int[]) and held = 0 and sold = 0");

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

const REPAIRED: Statement = Statement::new(
    "stock.repaired",
    "insert into stock_repairs (exhibition_id, at, done, cause, stocks, places, takes)
     values ($1, admit_now(), $2, $3, $4, $5, $6)",
);

const REPAIRS: Statement = Statement::new(
    "stock.repairs",
    "select at, done, cause, stocks, places, takes from stock_repairs where exhibition_id = $1 order by id desc limit $2",
);

pub const STATEMENTS: &[&Statement] = &[
    &LOCK,
    &LOCK_THESE,
    &SET_OFFERS,
    &ADD,
    &COUNT,
    &REMOVE,
    &RAISE_EPOCH,
    &LEVELS,
    &KNOWN_TAKES,
    &PEOPLE,
    &PERSON,
    &REPAIRED,
    &REPAIRS,
];

/// What was found wrong with an exhibition's count in Redis, and what was done about it.
#[derive(Clone, Debug)]
pub struct Repair {
    /// rebuilt, given_back or confirmed.
    pub done: String,
    pub cause: String,
    /// Stock id and places: what Redis had more than it should, or what was given back.
    pub found: Vec<(i32, i64)>,
    pub takes: i32,
}

pub async fn repaired(client: &impl GenericClient, exhibition_id: i32, repair: &Repair) -> Result<()> {
    let (stocks, places): (Vec<i32>, Vec<i64>) = repair.found.iter().copied().unzip();
    let Repair { done, cause, takes, .. } = repair;
    REPAIRED.execute(client, &[&exhibition_id, done, cause, &stocks, &places, takes]).await?;
    Ok(())
}

/// The newest first.
pub async fn repairs(client: &impl GenericClient, exhibition_id: i32, limit: i64) -> Result<Vec<(Timestamp, Repair)>> {
    let rows = REPAIRS.query(client, &[&exhibition_id, &limit]).await?;
    let repair = |r: &tokio_postgres::Row| {
        let (stocks, places): (Vec<i32>, Vec<i64>) = (r.get(3), r.get(4));
        let found = stocks.into_iter().zip(places).collect();
        (r.get(0), Repair { done: r.get(1), cause: r.get(2), found, takes: r.get(5) })
    };
    Ok(rows.iter().map(repair).collect())
}

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

/// Locks these in the one order everybody uses, and reads them. In a transaction.
pub async fn lock(client: &impl GenericClient, ids: &[i32]) -> Result<HashMap<i32, Level>> {
    Ok(LOCK_THESE.query(client, &[&ids]).await?.iter().map(level).collect())
}

/// Under their lock.
pub async fn set_offers(client: &impl GenericClient, offers: &[Offer]) -> Result<()> {
    let ids: Vec<i32> = offers.iter().map(|offer| offer.stock_id).collect();
    let totals: Vec<i32> = offers.iter().map(|offer| offer.total).collect();
    let offered: Vec<i32> = offers.iter().map(|offer| offer.offered).collect();
    SET_OFFERS.execute(client, &[&ids, &totals, &offered]).await?;
    Ok(())
}

/// New rows for so many places in all and on offer: their ids, in the same order. In a transaction, which has the locks of all
/// the exhibition's stock from then on; Redis knows them after a rebuild.
pub async fn add(client: &impl GenericClient, exhibition_id: i32, places: &[(i32, i32)]) -> Result<Vec<i32>> {
    LOCK.query(client, &[&exhibition_id]).await?;
    let (totals, offered): (Vec<i32>, Vec<i32>) = places.iter().copied().unzip();
    Ok(ADD.query(client, &[&exhibition_id, &totals, &offered]).await?.iter().map(|row| row.get(0)).collect())
}

pub async fn add_one(client: &impl GenericClient, exhibition_id: i32, places: (i32, i32)) -> Result<i32> {
    add(client, exhibition_id, &[places]).await?.pop().ok_or_else(|| Error::bug("a stock that was not made"))
}

pub async fn count(client: &impl GenericClient, exhibition_id: i32) -> Result<i64> {
    Ok(COUNT.query_one(client, &[&exhibition_id]).await?.get(0))
}

/// Rows of which nothing is held or sold, whose product or slot is gone. Whoever takes of them from now on is refused.
pub async fn remove(client: &impl GenericClient, ids: &[i32]) -> Result<u64> {
    REMOVE.execute(client, &[&ids]).await
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
