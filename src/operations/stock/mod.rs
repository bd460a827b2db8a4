//! Every stock of an exhibition at one instant: what its row says, what orders and tickets add up to, what Redis counts, why they
//! differ, and what the audit repaired of late.

pub mod explain;
pub mod pg;

use std::collections::HashMap;

use axum::extract::State as AppState;
use axum::response::Response;
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_postgres::IsolationLevel;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::explain::{Explained, InPostgres, InRedis, explain};
use crate::admin::access::AdminOf;
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Kind, Result};
use crate::orders::api::private;
use crate::platform::http::Query;
use crate::stock::audit::{ABANDONED_MS, places};
use crate::stock::model::InFlight;
use crate::stock::redis::Levels;
use crate::stock::{self, Level};

/// Of one statement: an exhibition of two million tickets is counted within it.
const STATEMENT_MS: u32 = 5_000;
const REPAIRS: i64 = 20;

/// Counting goes through all tickets of an exhibition: one at a time in a process. Who comes meanwhile is answered without: a
/// page that is looked at again and again would else queue up behind itself, each of them with a connection to come.
pub struct Counting(pub Semaphore);

impl Default for Counting {
    fn default() -> Counting {
        Counting(Semaphore::new(1))
    }
}

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Whether tickets are counted as well, which takes a second where there are a million. Absent: they are.
    recount: Option<bool>,
}

#[derive(Serialize, ToSchema)]
struct StockAudit {
    exhibition_code: String,
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
    /// ready, rebuilding, or away.
    redis: &'static str,
    epoch: i64,
    /// Of the count in Redis; another one is refused by the stock writer.
    redis_epoch: Option<i64>,
    /// When an audit was last heard of, every second while a worker runs. Null: none was.
    #[schema(value_type = Option<String>, format = DateTime)]
    audited_at: Option<Timestamp>,
    takes_in_flight: usize,
    oldest_take_ms: Option<i64>,
    /// Tickets were counted. False: not asked for, it took too long, or others were being counted.
    recounted: bool,
    stocks: Vec<StockAudited>,
    /// What was found and done, the newest first; 20 at most.
    repairs: Vec<RepairShown>,
}

#[derive(Serialize, ToSchema)]
struct StockAudited {
    stock_id: i32,
    product_id: Option<i32>,
    slot_id: Option<i32>,
    name_ko: Option<String>,
    name_en: Option<String>,
    #[schema(value_type = Option<String>, format = Date)]
    date: Option<Date>,
    #[schema(value_type = Option<String>)]
    start_time: Option<Time>,
    #[schema(value_type = Option<String>)]
    end_time: Option<Time>,
    total: i32,
    offered: i32,
    held: i32,
    sold: i32,
    free: i32,
    /// What open orders add up to.
    counted_held: i64,
    /// What good tickets add up to; null: not counted.
    counted_sold: Option<i64>,
    /// Null: Redis does not know it.
    redis_free: Option<i64>,
    /// Places of takes that Postgres does not know (yet).
    in_flight: i64,
    /// Free in Redis less free in Postgres; null: Redis does not know it.
    difference: Option<i64>,
    explained: Vec<Explained>,
}

#[derive(Serialize, ToSchema)]
struct RepairShown {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// rebuilt (counted anew), given_back (takes that never became orders), or confirmed (takes that are orders).
    done: String,
    /// unready, redis_restarted, redis_ahead, epoch, audit (a difference without explanation), catalogue, retention
    /// (people are counted no longer); abandoned; not_told.
    cause: String,
    /// By stock: what Redis had more than it should, below 0: fewer; or how many places were given back.
    found: Vec<RepairFound>,
    takes: i32,
}

#[derive(Serialize, ToSchema)]
struct RepairFound {
    stock_id: i32,
    places: i64,
}

/// What Redis said, before Postgres was read and after.
enum Looked {
    Away,
    Unready,
    Counted { before: Levels, after: Levels },
}

/// What Postgres said in one snapshot.
struct Read {
    levels: HashMap<i32, Level>,
    /// Takes that Redis says are in flight, and of which Postgres does not know.
    unknown: Vec<InFlight>,
    held: HashMap<i32, (i64, i64)>,
    sold: Option<HashMap<i32, i64>>,
    repairs: Vec<(Timestamp, stock::pg::Repair)>,
}

/// Every stock of an exhibition, as Postgres, its orders and tickets, and Redis count it, with what explains a difference.
#[utoipa::path(get, path = "/api/admin/exhibitions/{code}/stock", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."), Asked),
    responses((status = 200, body = StockAudit), (status = 400, description = "request.malformed_query"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn show(AppState(app): AppState<App>, by: AdminOf, Query(asked): Query<Asked>) -> Result<Response> {
    let exhibition = &by.exhibition;
    let turn = asked.recount.unwrap_or(true).then(|| app.counting.0.try_acquire().ok()).flatten();
    let recount = turn.is_some();
    let before = stock::redis::levels(&app.redis, &exhibition.code, true).await;
    let takes = before.as_ref().ok().and_then(Option::as_ref).map(|levels| levels.in_flight.clone());
    let read = read(&app, exhibition.id, takes.unwrap_or_default(), recount).await?;
    drop(turn);
    let looked = match before {
        Err(_) => Looked::Away,
        Ok(None) => Looked::Unready,
        Ok(Some(before)) => match stock::redis::levels(&app.redis, &exhibition.code, false).await {
            Ok(Some(after)) => Looked::Counted { before, after },
            Ok(None) => Looked::Unready,
            Err(_) => Looked::Away,
        },
    };
    Ok(private(axum::Json(audit(&app, exhibition, &read, &looked))))
}

async fn read(app: &App, exhibition_id: i32, takes: Vec<InFlight>, recount: bool) -> Result<Read> {
    let mut client = app.pg.get().await?;
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let snapshot = snapshot.start().await?;
    pg::at_most(&snapshot, STATEMENT_MS).await?;
    let levels = stock::pg::levels(&snapshot, exhibition_id).await?;
    let ids: Vec<_> = takes.iter().map(|take| take.hold_id).collect();
    let known = stock::pg::known_takes(&snapshot, &ids).await?;
    let held = pg::held(&snapshot, exhibition_id).await?;
    let repairs = stock::pg::repairs(&snapshot, exhibition_id, REPAIRS).await?;
    // Last, since one that takes too long ends the transaction.
    let sold = match recount {
        true => match pg::sold(&snapshot, exhibition_id).await {
            Err(error) if error.kind == Kind::Unavailable => None,
            counted => Some(counted?),
        },
        false => None,
    };
    snapshot.rollback().await?;
    let unknown = takes.into_iter().filter(|take| !known.contains(&(take.hold_id, take.at_ms))).collect();
    Ok(Read { levels, unknown, held, sold, repairs })
}

fn audit(app: &App, exhibition: &Exhibition, read: &Read, looked: &Looked) -> StockAudit {
    let now_ms = app.clock.now_ms();
    let epoch = read.levels.values().map(|level| level.epoch).max().unwrap_or(0);
    let (abandoned, in_flight): (Vec<&InFlight>, Vec<&InFlight>) =
        read.unknown.iter().partition(|take| now_ms - take.at_ms > ABANDONED_MS);
    let sums = |takes: &[&InFlight]| places(takes).into_iter().collect::<HashMap<i32, i64>>();
    let (abandoned, in_flight) = (sums(&abandoned), sums(&in_flight));
    let of = |sums: &HashMap<i32, i64>, id: i32| sums.get(&id).copied().unwrap_or(0);
    let stocks = read.levels.iter().map(|(id, level)| {
        let (counted_held, lapsed) = read.held.get(id).copied().unwrap_or_default();
        let counted_sold = read.sold.as_ref().map(|sold| of(sold, *id));
        let redis_free = match looked {
            Looked::Counted { before, .. } => before.free.get(id).copied(),
            _ => None,
        };
        let redis = match looked {
            Looked::Away => InRedis::Away,
            Looked::Counted { before, after } if before.epoch == epoch => {
                match (before.free.get(id), after.free.get(id)) {
                    (Some(before), Some(after)) => InRedis::Counted {
                        before: *before,
                        after: *after,
                        in_flight: of(&in_flight, *id),
                        abandoned: of(&abandoned, *id),
                    },
                    _ => InRedis::Unready,
                }
            }
            _ => InRedis::Unready,
        };
        let free = i64::from(level.free());
        let sold_off = counted_sold.map_or(0, |counted| i64::from(level.sold) - counted);
        let postgres = InPostgres { free, lapsed, off: (i64::from(level.held) - counted_held, sold_off) };
        StockAudited {
            total: level.total,
            offered: level.offered,
            held: level.held,
            sold: level.sold,
            free: level.free(),
            counted_held,
            counted_sold,
            redis_free,
            in_flight: of(&in_flight, *id) + of(&abandoned, *id),
            difference: redis_free.map(|seen| seen - free),
            explained: explain(redis, postgres),
            ..named(exhibition, *id)
        }
    });
    let mut stocks: Vec<StockAudited> = stocks.collect();
    // As the catalogue has them: products, then slots by day.
    stocks.sort_by_key(|one| (one.product_id.is_none(), one.date, one.start_time, one.stock_id));
    let levels = match looked {
        Looked::Counted { before, .. } => Some(before),
        _ => None,
    };
    StockAudit {
        exhibition_code: exhibition.code.clone(),
        as_of: app.clock.now(),
        redis: match looked {
            Looked::Away => "away",
            Looked::Counted { before, .. } if before.epoch == epoch => "ready",
            _ => "rebuilding",
        },
        epoch,
        redis_epoch: levels.map(|levels| levels.epoch),
        audited_at: audited_at(app),
        takes_in_flight: levels.map_or(0, |levels| levels.in_flight.len()),
        oldest_take_ms: levels.and_then(|l| l.in_flight.iter().map(|take| now_ms - take.at_ms).max()),
        recounted: read.sold.is_some(),
        stocks,
        repairs: read.repairs.iter().map(|(at, repair)| repaired(*at, repair)).collect(),
    }
}

/// What has this stock.
fn named(exhibition: &Exhibition, stock_id: i32) -> StockAudited {
    let product = exhibition.all_products().find(|product| product.stock_id == stock_id);
    let slot = exhibition.slots.iter().find(|slot| slot.stock_id == stock_id);
    StockAudited {
        stock_id,
        product_id: product.map(|product| product.id),
        slot_id: slot.map(|slot| slot.id),
        name_ko: product.map(|product| product.name_ko.clone()),
        name_en: product.map(|product| product.name_en.clone()),
        date: slot.map(|slot| slot.date),
        start_time: slot.and_then(|slot| slot.start_time),
        end_time: slot.and_then(|slot| slot.end_time),
        total: 0,
        offered: 0,
        held: 0,
        sold: 0,
        free: 0,
        counted_held: 0,
        counted_sold: None,
        redis_free: None,
        in_flight: 0,
        difference: None,
        explained: Vec::new(),
    }
}

fn repaired(at: Timestamp, repair: &stock::pg::Repair) -> RepairShown {
    RepairShown {
        at,
        done: repair.done.clone(),
        cause: repair.cause.clone(),
        found: repair
            .found
            .iter()
            .map(|(stock_id, places)| RepairFound { stock_id: *stock_id, places: *places })
            .collect(),
        takes: repair.takes,
    }
}

/// By whichever worker it was.
fn audited_at(app: &App) -> Option<Timestamp> {
    let known = app.boards.known();
    let rounds = known.1.iter().filter_map(|(_, picture)| picture.workers.get("audit"));
    rounds.map(|round| round.at_ms).max().and_then(|ms| Timestamp::from_millisecond(ms).ok())
}
