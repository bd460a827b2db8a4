//! SQL of the figures.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Result;
use crate::observability::pulse::{Counts, What};
use crate::platform::pg::Statement;

/// Somebody else folds already: their turn.
const CURSOR: Statement = Statement::new(
    "figures.cursor",
    "select changed::text, id, pg_snapshot_xmin(pg_current_snapshot())::text from figures_cursor for update skip locked",
);

/// The events of a round, once each: of transactions that have all ended, behind the cursor. What was bought and what was
/// given back hang on the events that say so.
///
/// Each join is a look by key (`offset 0` keeps it one): a plan that is made while the tables are empty may be kept, and one that merges
/// reads all orders there are in every round.
const FOLD: Statement = Statement::new(
    "figures.fold",
    "with events as materialized (
         select changed, id, order_id, kind, from_state, to_state, at, about from order_events
          where (changed, id) > ($1::text::xid8, $2::bigint) and changed < $3::text::xid8
          order by changed, id limit $4
     ), moves as materialized (
         select e.order_id, e.kind, e.at, e.about, o.exhibition_id, o.slot_id, o.total_won,
                case when e.to_state = 'paid' and e.from_state <> 'paid' then 1 when e.kind = 'deposit_reversed' then -1 else 0 end as paid,
                e.to_state in ('refunded', 'partially_refunded') as refund, e.to_state
           from events e
          cross join lateral (select exhibition_id, slot_id, total_won from orders where id = e.order_id offset 0) o
     ), back as materialized (
         select m.exhibition_id, m.at, coalesce(m.about, r.id) as id, coalesce(r.amount_won, 0) as amount_won from moves m
           -- Events of before did not say which refund they are about.
           left join lateral (
                select id, amount_won from refunds where id = m.about
                union all
                select id, amount_won from refunds
                 where m.about is null and order_id = m.order_id and created_at = m.at and kind <> 'automatic') r on true
          where m.refund
     ), hours as (
         insert into figures_hours as f (exhibition_id, at, placed, paid, declined, expired, cancelled, revenue_won, refunds, refunded_won)
         select exhibition_id, date_trunc('hour', at), sum(placed), sum(paid), sum(declined), sum(expired), sum(cancelled),
                sum(revenue), sum(refunds), sum(refunded)
           from (select exhibition_id, at, (kind = 'held')::int as placed, paid, (kind = 'declined')::int as declined,
                        (to_state = 'expired')::int as expired, (to_state = 'cancelled')::int as cancelled,
                        paid::bigint * total_won as revenue, 0 as refunds, 0::bigint as refunded from moves
                 union all
                 select exhibition_id, at, 0, 0, 0, 0, 0, 0, (amount_won > 0)::int, amount_won from back) x
          group by 1, 2
         on conflict on constraint figures_hours_key do update
            set placed = f.placed + excluded.placed, paid = f.paid + excluded.paid, declined = f.declined + excluded.declined,
                expired = f.expired + excluded.expired, cancelled = f.cancelled + excluded.cancelled,
                revenue_won = f.revenue_won + excluded.revenue_won, refunds = f.refunds + excluded.refunds,
                refunded_won = f.refunded_won + excluded.refunded_won
     ), bought as materialized (
         select m.exhibition_id, i.product_id, case when p.dated then m.slot_id end as slot_id,
                (m.at at time zone 'Asia/Seoul')::date as day, m.paid * i.quantity as sold, 0 as given_back,
                m.paid::bigint * i.quantity * i.unit_won as won
           from moves m
          cross join lateral (select product_id, quantity, unit_won from order_items where order_id = m.order_id offset 0) i
          cross join lateral (select dated from products where id = i.product_id offset 0) p
          where m.paid <> 0
         union all
         select b.exhibition_id, t.product_id, t.slot_id, (b.at at time zone 'Asia/Seoul')::date, 0, 1, 0
           from back b
          cross join lateral (select ticket_id from refund_tickets where refund_id = b.id offset 0) e
          cross join lateral (select product_id, slot_id from tickets where id = e.ticket_id offset 0) t
     ), products as (
         insert into figures_products as f (exhibition_id, product_id, day, sold, given_back, sold_won)
         select exhibition_id, product_id, day, sum(sold), sum(given_back), sum(won) from bought group by 1, 2, 3
         on conflict on constraint figures_products_key do update
            set sold = f.sold + excluded.sold, given_back = f.given_back + excluded.given_back, sold_won = f.sold_won + excluded.sold_won
     ), slots as (
         insert into figures_slots as f (exhibition_id, slot_id, sold, given_back)
         select exhibition_id, slot_id, sum(sold), sum(given_back) from bought where slot_id is not null group by 1, 2
         on conflict on constraint figures_slots_key do update
            set sold = f.sold + excluded.sold, given_back = f.given_back + excluded.given_back
     ), last as (select changed, id from events order by changed desc, id desc limit 1), moved as (
         update figures_cursor c set changed = l.changed, id = l.id from last l
     )
     select count(*) from events",
);

const SAVE: Statement = Statement::new(
    "figures.save",
    "insert into figures_hours as f (exhibition_id, at, tried, failed, sent, doubted, scanned, scan_failed)
     select n.exhibition_id, date_trunc('hour', admit_now()), n.tried, n.failed, n.sent, n.doubted, n.scanned, n.scan_failed
       from unnest($1::int[], $2::int[], $3::int[], $4::int[], $5::int[], $6::int[], $7::int[])
         as n (exhibition_id, tried, failed, sent, doubted, scanned, scan_failed)
       join exhibitions e on e.id = n.exhibition_id order by n.exhibition_id
     on conflict on constraint figures_hours_key do update
        set tried = f.tried + excluded.tried, failed = f.failed + excluded.failed, sent = f.sent + excluded.sent,
            doubted = f.doubted + excluded.doubted, scanned = f.scanned + excluded.scanned,
            scan_failed = f.scan_failed + excluded.scan_failed",
);

const TOTALS: Statement = Statement::new(
    "figures.totals",
    "select coalesce(sum(placed), 0), coalesce(sum(paid), 0), coalesce(sum(revenue_won), 0)::bigint, coalesce(sum(refunds), 0),
            coalesce(sum(refunded_won), 0)::bigint,
            coalesce(sum(paid) filter (where at >= $2), 0), coalesce(sum(revenue_won) filter (where at >= $2), 0)::bigint,
            coalesce(sum(tried), 0), coalesce(sum(failed), 0), coalesce(sum(sent), 0), coalesce(sum(doubted), 0),
            coalesce(sum(scanned), 0), coalesce(sum(scan_failed), 0), coalesce(sum(entrances), 0)
       from figures_hours where exhibition_id = $1",
);

const HOURS: Statement = Statement::new(
    "figures.hours",
    "select h.at, coalesce(f.placed, 0), coalesce(f.paid, 0), coalesce(f.revenue_won, 0), coalesce(f.refunded_won, 0), coalesce(f.entrances, 0)
       from generate_series($2::timestamptz, $3::timestamptz, interval '1 hour') as h (at)
       left join figures_hours f on f.exhibition_id = $1 and f.at = h.at
      order by h.at",
);

const DAYS: Statement = Statement::new(
    "figures.days",
    "select (at at time zone 'Asia/Seoul')::date as day, sum(placed), sum(paid), sum(revenue_won)::bigint, sum(refunded_won)::bigint
       from figures_hours where exhibition_id = $1 group by 1 having sum(placed + paid + refunds) > 0 order by 1 desc limit $2",
);

const PRODUCTS: Statement = Statement::new(
    "figures.products",
    "select product_id, sum(sold), sum(given_back), sum(sold_won)::bigint from figures_products where exhibition_id = $1 group by 1",
);

const SLOTS: Statement =
    Statement::new("figures.slots", "select slot_id, sold, given_back from figures_slots where exhibition_id = $1");

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

pub const STATEMENTS: &[&Statement] = &[&CURSOR, &FOLD, &SAVE, &TOTALS, &HOURS, &DAYS, &PRODUCTS, &SLOTS, &ENTRANCES];

/// In a transaction: reads the next events into the figures. How many; 0 also where somebody else is at it.
pub async fn fold(client: &impl GenericClient, limit: i64) -> Result<usize> {
    let Some(row) = CURSOR.query_opt(client, &[]).await? else { return Ok(0) };
    let (changed, id, until): (&str, i64, &str) = (row.get(0), row.get(1), row.get(2));
    let read: i64 = FOLD.query_one(client, &[&changed, &id, &until, &limit]).await?.get(0);
    Ok(usize::try_from(read).unwrap_or_default())
}

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
    SAVE.execute(client, &[&ids, &tried, &failed, &sent, &doubted, &scanned, &scan_failed]).await?;
    Ok(())
}

/// Of the whole sale, and of today.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub placed: i64,
    pub paid: i64,
    pub revenue_won: i64,
    pub refunds: i64,
    pub refunded_won: i64,
    pub today_paid: i64,
    pub today_won: i64,
    pub tried: i64,
    pub failed: i64,
    pub sent: i64,
    pub doubted: i64,
    pub scanned: i64,
    pub scan_failed: i64,
    pub entrances: i64,
}

pub async fn totals(client: &impl GenericClient, exhibition_id: i32, today: Timestamp) -> Result<Totals> {
    let r = TOTALS.query_one(client, &[&exhibition_id, &today]).await?;
    Ok(Totals {
        placed: r.get(0),
        paid: r.get(1),
        revenue_won: r.get(2),
        refunds: r.get(3),
        refunded_won: r.get(4),
        today_paid: r.get(5),
        today_won: r.get(6),
        tried: r.get(7),
        failed: r.get(8),
        sent: r.get(9),
        doubted: r.get(10),
        scanned: r.get(11),
        scan_failed: r.get(12),
        entrances: r.get(13),
    })
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HourFigures {
    /// When the hour begins.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    pub placed: i32,
    pub paid: i32,
    /// Whole won.
    pub revenue: i64,
    pub refunded: i64,
    pub entrances: i32,
}

/// Every hour between the two, also those in which nothing happened.
pub async fn hours(
    client: &impl GenericClient,
    exhibition_id: i32,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<HourFigures>> {
    let rows = HOURS.query(client, &[&exhibition_id, &from, &until]).await?;
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
}

/// Days on which something happened, the newest first.
pub async fn days(client: &impl GenericClient, exhibition_id: i32, limit: i64) -> Result<Vec<DayFigures>> {
    let rows = DAYS.query(client, &[&exhibition_id, &limit]).await?;
    let read = |r: &tokio_postgres::Row| DayFigures {
        day: r.get(0),
        placed: r.get(1),
        paid: r.get(2),
        revenue: r.get(3),
        refunded: r.get(4),
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

pub async fn products(client: &impl GenericClient, exhibition_id: i32) -> Result<HashMap<i32, Sold>> {
    let rows = PRODUCTS.query(client, &[&exhibition_id]).await?;
    let read = |r: &tokio_postgres::Row| (r.get(0), Sold { sold: r.get(1), given_back: r.get(2), won: r.get(3) });
    Ok(rows.iter().map(read).collect())
}

pub async fn slots(client: &impl GenericClient, exhibition_id: i32) -> Result<HashMap<i32, Sold>> {
    let rows = SLOTS.query(client, &[&exhibition_id]).await?;
    let places = |r: &tokio_postgres::Row, at: usize| i64::from(r.get::<_, i32>(at));
    let read = |r: &tokio_postgres::Row| (r.get(0), Sold { sold: places(r, 1), given_back: places(r, 2), won: 0 });
    Ok(rows.iter().map(read).collect())
}

/// Tells the entrances of the last two days anew; how many hours changed.
pub async fn entrances(client: &impl GenericClient) -> Result<usize> {
    Ok(usize::try_from(ENTRANCES.execute(client, &[]).await?).unwrap_or_default())
}
