//! After a run: are both stores right, and do they agree?

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio_postgres::NoTls;

use crate::Failure;
use crate::demo::{self, Demo, RedisTarget};
use crate::invariants::{self, Verdict};
use crate::redis::Redis;

/// The promise of the design: equal again within half a minute, without stopping the sale.
const AGREE_WITHIN: Duration = Duration::from_secs(30);
/// The invariants read whole tables; a million orders take seconds, not minutes.
const QUERY_S_MAX: u32 = 180;
const AGREE_GAP: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Default, Serialize)]
pub struct Sweep {
    pub invariants: Vec<Verdict>,
    pub stocks: usize,
    /// Seconds until the stores agreed; none if they did not in time.
    pub agreed_after_s: Option<f64>,
    pub disagreements: Vec<String>,
    /// Orders in Postgres more than before the run.
    pub orders_added: i64,
    pub error: Option<String>,
    pub postgres: String,
    pub redis: String,
}

impl Sweep {
    pub fn broken(&self) -> Vec<String> {
        let names = self.invariants.iter().filter(|verdict| !verdict.kept()).map(|verdict| verdict.name.clone());
        names.chain(self.error.clone()).chain(self.disagreements.iter().cloned()).collect()
    }
}

/// One connection to each store, opened before the run so that a wrong address is known at once. That to Redis is opened
/// again afterwards: a run may restart Redis on purpose.
pub struct Stores {
    postgres: tokio_postgres::Client,
    redis: Redis,
    redis_target: RedisTarget,
    prefix: String,
    orders_before: i64,
}

struct Stock {
    id: i32,
    code: String,
    free: i64,
    epoch: i64,
}

impl Stores {
    pub async fn open(demo: &Demo, prefix: &str) -> Result<Stores, Failure> {
        let config = demo::postgres(&demo.postgres_url)?;
        let (postgres, connection) = config.connect(NoTls).await.map_err(|error| format!("Postgres: {error}"))?;
        tokio::spawn(connection);
        let bound = format!("set statement_timeout = '{QUERY_S_MAX}s'");
        postgres.batch_execute(&bound).await.map_err(|error| format!("Postgres: {error}"))?;
        let redis_target = demo::redis(&demo.redis_url)?;
        let redis = Redis::connect(&redis_target).await?;
        let mut stores = Stores { postgres, redis, redis_target, prefix: prefix.to_owned(), orders_before: 0 };
        stores.orders_before = stores.orders().await?;
        Ok(stores)
    }

    async fn orders(&self) -> Result<i64, Failure> {
        self.one("select count(*) from orders").await
    }

    /// The one number a query comes to.
    pub async fn one(&self, query: &str) -> Result<i64, Failure> {
        let counted = self.postgres.query_one(query, &[]).await;
        counted.and_then(|row| row.try_get(0)).map_err(|error| format!("{query}: {error}"))
    }

    pub async fn sweep(&mut self, file: &Path) -> Sweep {
        let mut sweep = Sweep::default();
        if let Err(error) = self.fill(file, &mut sweep).await {
            sweep.error = Some(error);
        }
        sweep
    }

    async fn fill(&mut self, file: &Path, sweep: &mut Sweep) -> Result<(), Failure> {
        sweep.orders_added = self.orders().await? - self.orders_before;
        let version = self.postgres.query_one("show server_version", &[]).await;
        sweep.postgres = version.and_then(|row| row.try_get(0)).map_err(|error| error.to_string())?;
        self.redis = Redis::connect(&self.redis_target).await?;
        sweep.redis = self.redis.version().await?;
        sweep.invariants = invariants::check(&self.postgres, &invariants::read(file)?).await?;
        self.agree(sweep).await
    }

    /// Each stock has to be seen equal once. Not all in the same instant: older holds may be running
    /// out meanwhile, and two stores read one after the other never show one moment of a moving sale.
    async fn agree(&mut self, sweep: &mut Sweep) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut agreed: BTreeSet<i32> = BTreeSet::new();
        loop {
            let before = self.redis_view().await?;
            let stocks = self.stocks().await?;
            let after = self.redis_view().await?;
            let differing: Vec<String> = stocks
                .iter()
                .filter_map(|stock| stock.differs(&before, &after).map(|why| (stock.id, why)))
                .filter(|(id, _)| !agreed.contains(id))
                .map(|(_, why)| why)
                .collect();
            agreed.extend(stocks.iter().filter(|stock| stock.differs(&before, &after).is_none()).map(|stock| stock.id));
            sweep.stocks = stocks.len();
            if differing.is_empty() {
                sweep.agreed_after_s = Some(begun.elapsed().as_secs_f64());
                return Ok(());
            }
            if begun.elapsed() > AGREE_WITHIN {
                sweep.disagreements = differing;
                return Ok(());
            }
            tokio::time::sleep(AGREE_GAP).await;
        }
    }

    async fn stocks(&self) -> Result<Vec<Stock>, Failure> {
        let query = "
            select s.id, e.code, greatest(0, least(s.total, s.offered) - s.held - s.sold)::int8, s.epoch
              from stock s
              join exhibitions e on e.id = s.exhibition_id
             order by s.id";
        let rows = self.postgres.query(query, &[]).await.map_err(|error| format!("stock: {error}"))?;
        let read = |row: &tokio_postgres::Row| {
            Ok(Stock { id: row.try_get(0)?, code: row.try_get(1)?, free: row.try_get(2)?, epoch: row.try_get(3)? })
        };
        rows.iter().map(read).collect::<Result<_, tokio_postgres::Error>>().map_err(|error| format!("stock: {error}"))
    }

    /// Free counts, epoch and takes in flight of every exhibition, as Redis has them.
    async fn redis_view(&mut self) -> Result<BTreeMap<String, View>, Failure> {
        let rows = self.postgres.query("select code from exhibitions order by code", &[]).await;
        let rows = rows.map_err(|error| format!("exhibitions: {error}"))?;
        let mut views = BTreeMap::new();
        for row in rows {
            let code: String = row.try_get(0).map_err(|error| error.to_string())?;
            let key = |part: &str| format!("{}:{{{code}}}:{part}", self.prefix);
            let (stock, flight) = (key("stock"), key("flight"));
            let view = View { stock: self.redis.hash(&stock).await?, in_flight: self.redis.hash_len(&flight).await? };
            views.insert(code, view);
        }
        Ok(views)
    }
}

struct View {
    stock: BTreeMap<String, String>,
    in_flight: i64,
}

impl Stock {
    /// Why the stores differ about this stock. While counts move, Postgres must lie between two
    /// readings of Redis. A take still in flight is a difference: nothing is under way after a run.
    fn differs(&self, before: &BTreeMap<String, View>, after: &BTreeMap<String, View>) -> Option<String> {
        let (Some(first), Some(last)) = (before.get(&self.code), after.get(&self.code)) else {
            return Some(format!("{} is new", self.code));
        };
        let read = |view: &View, field: &str| view.stock.get(field).and_then(|text| text.parse::<i64>().ok());
        let id = self.id.to_string();
        let (Some(one), Some(two)) = (read(first, &id), read(last, &id)) else {
            return Some(format!("{} stock {id} is missing in Redis, Postgres has {} free", self.code, self.free));
        };
        let named = format!("{} stock {id}: Redis {two} free, Postgres {}", self.code, self.free);
        if !(one.min(two)..=one.max(two)).contains(&self.free) {
            return Some(named);
        }
        if last.in_flight != 0 {
            return Some(format!("{named}, {} takes still in flight", last.in_flight));
        }
        let epoch = read(last, "epoch");
        (epoch != Some(self.epoch)).then(|| format!("{named}, epoch {epoch:?} against {}", self.epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(free: &str, in_flight: i64) -> BTreeMap<String, View> {
        let stock = BTreeMap::from([("7".to_owned(), free.to_owned()), ("epoch".to_owned(), "3".to_owned())]);
        BTreeMap::from([("aaa".to_owned(), View { stock, in_flight })])
    }

    #[test]
    fn stores_agree_only_when_equal_settled_and_of_one_epoch() {
        let stock = Stock { id: 7, code: "aaa".into(), free: 40, epoch: 3 };
        assert_eq!(stock.differs(&view("40", 0), &view("40", 0)), None);
        assert_eq!(stock.differs(&view("38", 0), &view("41", 0)), None);
        assert!(stock.differs(&view("39", 0), &view("39", 0)).is_some());
        assert!(stock.differs(&view("40", 1), &view("40", 1)).is_some());
        assert!(stock.differs(&view("x", 0), &view("40", 0)).is_some());
        let older = Stock { epoch: 2, ..stock };
        assert!(older.differs(&view("40", 0), &view("40", 0)).is_some());
    }
}
