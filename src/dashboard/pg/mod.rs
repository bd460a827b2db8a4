//! SQL of the figures: how they are told. `fold` keeps them up, `check` compares them with the history.

pub mod check;
pub mod fold;

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Result;
use crate::observability::pulse::{Counts, What};
use crate::platform::pg::Statement;

const SAVE: Statement = Statement::new(
    "figures.save",
    "insert into figures_hours as f (exhibition_id, at, tried, failed, sent, doubted, scanned, scan_failed, joined, admitted)
     select n.exhibition_id, date_trunc('hour', admit_now()), n.tried, n.failed, n.sent, n.doubted, n.scanned, n.scan_failed,
            n.joined, n.admitted
       from unnest($1::int[], $2::int[], $3::int[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[], $9::int[])
         as n (exhibition_id, tried, failed, sent, doubted, scanned, scan_failed, joined, admitted)
       join exhibitions e on e.id = n.exhibition_id order by n.exhibition_id
     on conflict on constraint figures_hours_key do update
        set tried = f.tried + excluded.tried, failed = f.failed + excluded.failed, sent = f.sent + excluded.sent,
            doubted = f.doubted + excluded.doubted, scanned = f.scanned + excluded.scanned,
            scan_failed = f.scan_failed + excluded.scan_failed, joined = f.joined + excluded.joined,
            admitted = f.admitted + excluded.admitted",
);

const TOTALS: Statement = Statement::new(
    "figures.totals",
    "select exhibition_id, sum(placed), sum(paid), sum(revenue_won)::bigint, sum(refunds), sum(refunded_won)::bigint,
            coalesce(sum(paid) filter (where at >= $2), 0), coalesce(sum(revenue_won) filter (where at >= $2), 0)::bigint,
            sum(tried), sum(failed), sum(sent), sum(doubted), sum(scanned), sum(scan_failed), sum(entrances),
            coalesce(sum(entrances) filter (where at >= $2), 0), sum(attempted), sum(joined), sum(admitted),
            sum(came_placed), sum(came_attempted), sum(came_paid),
            coalesce(sum(tried) filter (where at >= $2), 0), coalesce(sum(failed) filter (where at >= $2), 0),
            coalesce(sum(sent) filter (where at >= $2), 0), coalesce(sum(doubted) filter (where at >= $2), 0),
            coalesce(sum(scanned) filter (where at >= $2), 0), coalesce(sum(scan_failed) filter (where at >= $2), 0)
       from figures_hours where exhibition_id = any($1) group by 1",
);

const HOURS: Statement = Statement::new(
    "figures.hours",
    "select h.at, coalesce(sum(f.placed), 0), coalesce(sum(f.paid), 0), coalesce(sum(f.revenue_won), 0)::bigint,
            coalesce(sum(f.refunded_won), 0)::bigint, coalesce(sum(f.entrances), 0)
       from generate_series($2::timestamptz, $3::timestamptz, interval '1 hour') as h (at)
       left join figures_hours f on f.exhibition_id = any($1) and f.at = h.at
      group by h.at order by h.at",
);

const DAYS: Statement = Statement::new(
    "figures.days",
    "select (at at time zone 'Asia/Seoul')::date as day, sum(placed), sum(paid), sum(revenue_won)::bigint, sum(refunded_won)::bigint,
            sum(entrances)
       from figures_hours where exhibition_id = any($1) group by 1 having sum(placed + paid + refunds + entrances) > 0 order by 1 desc limit $2",
);

const PRODUCTS: Statement = Statement::new(
    "figures.products",
    "select product_id, sum(sold), sum(given_back), sum(sold_won)::bigint from figures_products where exhibition_id = any($1) group by 1",
);

const SLOTS: Statement = Statement::new(
    "figures.slots",
    "select slot_id, sold, given_back from figures_slots where exhibition_id = any($1)",
);

/// Written only where something has changed.
const ENTRANCES: Statement = Statement::new(
    "figures.entrances",
    "insert into figures_hours as f (exhibition_id, at, entrances)
     select e.id, s.at, s.entrances
       from exhibitions e cross join lateral (
            select date_trunc('hour', scanned_at) as at,
                   count(*) filter (where allowed and direction = 'in' and undone_at is null and not apart) as entrances
              from scans where exhibition_id = e.id and scanned_at >= date_trunc('hour', admit_now() - interval '48 hours')
             group by 1) s
      order by 1, 2
     on conflict on constraint figures_hours_key do update set entrances = excluded.entrances
        where f.entrances <> excluded.entrances",
);

pub const STATEMENTS: &[&Statement] = &[
    &fold::CURSOR,
    &fold::FOLD,
    &fold::UNREAD,
    &check::CLAIM,
    &check::NOTE,
    &check::LAST,
    &SAVE,
    &TOTALS,
    &HOURS,
    &DAYS,
    &PRODUCTS,
    &SLOTS,
    &ENTRANCES,
];

pub async fn save(client: &impl GenericClient, counts: &HashMap<i32, Counts>) -> Result<()> {
    let ids: Vec<i32> = counts.keys().copied().collect();
    let column = |of: &dyn Fn(&Counts) -> u64| -> Vec<i32> {
        counts.values().map(|counts| i32::try_from(of(counts)).unwrap_or(i32::MAX)).collect()
    };
    let tried = column(&|c| What::Placed.of(c) + What::Failed.of(c));
    let failed = column(&|c| What::Failed.of(c));
    let sent = column(&|c| What::Ended.of(c) + What::Doubted.of(c));
    let doubted = column(&|c| What::Doubted.of(c));
    let scanned = column(&|c| What::Scanned.of(c) + What::ScanFailed.of(c));
    let scan_failed = column(&|c| What::ScanFailed.of(c));
    let (joined, admitted) = (column(&|c| What::Joined.of(c)), column(&|c| What::Admitted.of(c)));
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 9] =
        [&ids, &tried, &failed, &sent, &doubted, &scanned, &scan_failed, &joined, &admitted];
    SAVE.execute(client, &params).await?;
    Ok(())
}

/// What was tried, and how much of it failed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tries {
    pub tried: i64,
    pub failed: i64,
    pub sent: i64,
    pub doubted: i64,
    pub scanned: i64,
    pub scan_failed: i64,
}

impl std::ops::Add for Tries {
    type Output = Tries;

    fn add(self, other: Tries) -> Tries {
        Tries {
            tried: self.tried + other.tried,
            failed: self.failed + other.failed,
            sent: self.sent + other.sent,
            doubted: self.doubted + other.doubted,
            scanned: self.scanned + other.scanned,
            scan_failed: self.scan_failed + other.scan_failed,
        }
    }
}

/// Of the whole sale, and of today.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub placed: i64,
    pub attempted: i64,
    pub paid: i64,
    pub revenue_won: i64,
    pub refunds: i64,
    pub refunded_won: i64,
    pub today_paid: i64,
    pub today_won: i64,
    pub tries: Tries,
    pub today_tries: Tries,
    pub entrances: i64,
    pub today_entrances: i64,
    pub joined: i64,
    pub admitted: i64,
    pub came_placed: i64,
    pub came_attempted: i64,
    pub came_paid: i64,
}

impl std::iter::Sum for Totals {
    fn sum<I: Iterator<Item = Totals>>(all: I) -> Totals {
        all.fold(Totals::default(), |a, b| Totals {
            placed: a.placed + b.placed,
            attempted: a.attempted + b.attempted,
            paid: a.paid + b.paid,
            revenue_won: a.revenue_won + b.revenue_won,
            refunds: a.refunds + b.refunds,
            refunded_won: a.refunded_won + b.refunded_won,
            today_paid: a.today_paid + b.today_paid,
            today_won: a.today_won + b.today_won,
            tries: a.tries + b.tries,
            today_tries: a.today_tries + b.today_tries,
            entrances: a.entrances + b.entrances,
            today_entrances: a.today_entrances + b.today_entrances,
            joined: a.joined + b.joined,
            admitted: a.admitted + b.admitted,
            came_placed: a.came_placed + b.came_placed,
            came_attempted: a.came_attempted + b.came_attempted,
            came_paid: a.came_paid + b.came_paid,
        })
    }
}

fn tries(r: &tokio_postgres::Row, at: usize) -> Tries {
    Tries {
        tried: r.get(at),
        failed: r.get(at + 1),
        sent: r.get(at + 2),
        doubted: r.get(at + 3),
        scanned: r.get(at + 4),
        scan_failed: r.get(at + 5),
    }
}

/// Of each exhibition by its id, but for those of which nothing is known.
pub async fn totals(
    client: &impl GenericClient,
    exhibition_ids: &[i32],
    today: Timestamp,
) -> Result<HashMap<i32, Totals>> {
    let rows = TOTALS.query(client, &[&exhibition_ids, &today]).await?;
    let read = |r: &tokio_postgres::Row| Totals {
        placed: r.get(1),
        paid: r.get(2),
        revenue_won: r.get(3),
        refunds: r.get(4),
        refunded_won: r.get(5),
        today_paid: r.get(6),
        today_won: r.get(7),
        tries: tries(r, 8),
        today_tries: tries(r, 22),
        entrances: r.get(14),
        today_entrances: r.get(15),
        attempted: r.get(16),
        joined: r.get(17),
        admitted: r.get(18),
        came_placed: r.get(19),
        came_attempted: r.get(20),
        came_paid: r.get(21),
    };
    Ok(rows.iter().map(|r| (r.get(0), read(r))).collect())
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HourFigures {
    /// When the hour begins.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    pub placed: i64,
    pub paid: i64,
    /// Whole won.
    pub revenue: i64,
    pub refunded: i64,
    pub entrances: i64,
}

/// Every hour between the two, also those in which nothing happened.
pub async fn hours(
    client: &impl GenericClient,
    exhibition_ids: &[i32],
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<HourFigures>> {
    let rows = HOURS.query(client, &[&exhibition_ids, &from, &until]).await?;
    let read = |r: &tokio_postgres::Row| HourFigures {
        at: r.get(0),
        placed: r.get(1),
        paid: r.get(2),
        revenue: r.get(3),
        refunded: r.get(4),
        entrances: r.get(5),
    };
    Ok(rows.iter().map(read).collect())
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DayFigures {
    /// In Asia/Seoul.
    #[schema(value_type = String, format = Date)]
    pub day: Date,
    pub placed: i64,
    pub paid: i64,
    /// Whole won.
    pub revenue: i64,
    pub refunded: i64,
    pub entrances: i64,
}

/// Days on which something happened, the newest first.
pub async fn days(client: &impl GenericClient, exhibition_ids: &[i32], limit: i64) -> Result<Vec<DayFigures>> {
    let rows = DAYS.query(client, &[&exhibition_ids, &limit]).await?;
    let read = |r: &tokio_postgres::Row| DayFigures {
        day: r.get(0),
        placed: r.get(1),
        paid: r.get(2),
        revenue: r.get(3),
        refunded: r.get(4),
        entrances: r.get(5),
    };
    Ok(rows.iter().map(read).collect())
}

/// Places sold, places given back, and what the sold ones cost together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sold {
    pub sold: i64,
    pub given_back: i64,
    pub won: i64,
}

pub async fn products(client: &impl GenericClient, exhibition_ids: &[i32]) -> Result<HashMap<i32, Sold>> {
    let rows = PRODUCTS.query(client, &[&exhibition_ids]).await?;
    let read = |r: &tokio_postgres::Row| (r.get(0), Sold { sold: r.get(1), given_back: r.get(2), won: r.get(3) });
    Ok(rows.iter().map(read).collect())
}

pub async fn slots(client: &impl GenericClient, exhibition_ids: &[i32]) -> Result<HashMap<i32, Sold>> {
    let rows = SLOTS.query(client, &[&exhibition_ids]).await?;
    let places = |r: &tokio_postgres::Row, at: usize| i64::from(r.get::<_, i32>(at));
    let read = |r: &tokio_postgres::Row| (r.get(0), Sold { sold: places(r, 1), given_back: places(r, 2), won: 0 });
    Ok(rows.iter().map(read).collect())
}

/// Tells the entrances of the last two days anew; how many hours changed.
pub async fn entrances(client: &impl GenericClient) -> Result<usize> {
    Ok(usize::try_from(ENTRANCES.execute(client, &[]).await?).unwrap_or_default())
}
