//! SQL that reads the history of orders into the figures.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;

use crate::error::Result;
use crate::platform::pg::Statement;

/// Somebody else folds already: their turn.
pub(super) const CURSOR: Statement = Statement::new(
    "figures.cursor",
    "select changed::text, id, pg_snapshot_xmin(pg_current_snapshot())::text from figures_cursor for update skip locked",
);

/// The events of a round, once each: of transactions that have all ended, behind the cursor. What was bought and what was
/// given back hang on the events that say so.
///
/// Each join is a look by key (`offset 0` keeps it one): a plan that is made while the tables are empty may be kept, and one that merges
/// reads all orders there are in every round.
pub(super) const FOLD: Statement = Statement::new(
    "figures.fold",
    "with events as materialized (
         select changed, id, order_id, kind, from_state, to_state, at, about from order_events
          where (changed, id) > ($1::text::xid8, $2::bigint) and changed < $3::text::xid8
          order by changed, id limit $4
     ), steps_of as materialized (
         select e.*, case when kind = 'held' then 1 when to_state in ('confirming', 'awaiting_deposit') then 2
                          when to_state = 'paid' then 3 else 0 end as step from events e
     ), moves as materialized (
         select e.order_id, e.kind, e.at, e.about, o.exhibition_id, o.slot_id, o.total_won, o.pass_sid, e.step,
                -- Events of one order are numbered one after the other, under its lock: the first is the one with the lowest number.
                -- A sum is no key: of the order's few events, not of all with a lower number.
                (e.step >= 2 and not exists (
                    select from order_events p where p.order_id = e.order_id and p.id + 0 < e.id
                       and p.to_state in ('confirming', 'awaiting_deposit', 'paid')))::int as attempted,
                case when e.to_state = 'paid' and e.from_state <> 'paid' then 1 when e.kind = 'deposit_reversed' then -1 else 0 end as paid,
                e.to_state in ('refunded', 'partially_refunded') as refund, e.to_state
           from steps_of e
          cross join lateral (select exhibition_id, slot_id, total_won, pass_sid from orders where id = e.order_id offset 0) o
     ), came as materialized (
         -- Steps that nobody had come to with this pass.
         select m.exhibition_id, m.pass_sid, s.step, min(m.at) as at
           from moves m cross join lateral generate_series(1, m.step) as s (step)
           left join lateral (select step from figures_passes where exhibition_id = m.exhibition_id and sid = m.pass_sid offset 0) k on true
          where m.pass_sid is not null and s.step > coalesce(k.step, 0)
          group by 1, 2, 3
     ), passes as (
         insert into figures_passes (exhibition_id, sid, step) select exhibition_id, pass_sid, max(step) from came group by 1, 2
         on conflict on constraint figures_passes_key do update set step = excluded.step
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
         insert into figures_hours as f (exhibition_id, at, placed, attempted, paid, declined, expired, cancelled, revenue_won, refunds, refunded_won,
                                          came_placed, came_attempted, came_paid)
         select exhibition_id, date_trunc('hour', at), sum(placed), sum(attempted), sum(paid), sum(declined), sum(expired), sum(cancelled),
                sum(revenue), sum(refunds), sum(refunded), sum(came_placed), sum(came_attempted), sum(came_paid)
           from (select exhibition_id, at, (kind = 'held')::int as placed, attempted, paid, (kind = 'declined')::int as declined,
                        coalesce(to_state = 'expired', false)::int as expired, coalesce(to_state = 'cancelled', false)::int as cancelled,
                        paid::bigint * total_won as revenue, 0 as refunds, 0::bigint as refunded,
                        0 as came_placed, 0 as came_attempted, 0 as came_paid from moves
                 union all
                 select exhibition_id, at, 0, 0, 0, 0, 0, 0, 0, (amount_won > 0)::int, amount_won, 0, 0, 0 from back
                 union all
                 select exhibition_id, at, 0, 0, 0, 0, 0, 0, 0, 0, 0, (step = 1)::int, (step = 2)::int, (step = 3)::int from came) x
          group by 1, 2
         on conflict on constraint figures_hours_key do update
            set placed = f.placed + excluded.placed, attempted = f.attempted + excluded.attempted, paid = f.paid + excluded.paid, declined = f.declined + excluded.declined,
                expired = f.expired + excluded.expired, cancelled = f.cancelled + excluded.cancelled,
                revenue_won = f.revenue_won + excluded.revenue_won, refunds = f.refunds + excluded.refunds,
                refunded_won = f.refunded_won + excluded.refunded_won, came_placed = f.came_placed + excluded.came_placed,
                came_attempted = f.came_attempted + excluded.came_attempted, came_paid = f.came_paid + excluded.came_paid
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

/// The oldest event that was not read yet: one look at the index by which they are read.
pub(super) const UNREAD: Statement = Statement::new(
    "figures.unread",
    "select e.at from figures_cursor c cross join lateral (
            select at from order_events where (changed, id) > (c.changed, c.id) order by changed, id limit 1) e",
);

/// When the oldest event was that the figures do not tell of yet. None: they have read all.
pub async fn unread(client: &impl GenericClient) -> Result<Option<Timestamp>> {
    Ok(UNREAD.query_opt(client, &[]).await?.map(|row| row.get(0)))
}

/// In a transaction: reads the next events into the figures. How many; 0 also where somebody else is at it.
pub async fn fold(client: &impl GenericClient, limit: i64) -> Result<usize> {
    let Some(row) = CURSOR.query_opt(client, &[]).await? else { return Ok(0) };
    let (changed, id, until): (&str, i64, &str) = (row.get(0), row.get(1), row.get(2));
    let read: i64 = FOLD.query_one(client, &[&changed, &id, &until, &limit]).await?.get(0);
    Ok(usize::try_from(read).unwrap_or_default())
}
