//! SQL of bulk refunds.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use uuid::Uuid;

use crate::error::Result;
use crate::platform::pg::Statement;

/// What is to be given back of these slots' orders: tickets that are good and were not used, at the price of their item. From
/// each order, found by `order_slot`, to its own tickets: lateral, since the planner, who does not know how few slots are meant,
/// would rather go through all tickets there are. What was paid from hand to hand is given back so, and not by a bulk refund.
const LOOK: Statement = Statement::new(
    "bulk.look",
    "with told as materialized (
         select x.tickets, x.won, x.used,
                x.won > 0 and exists (select from attempts a where a.order_id = o.id and a.provider = 'cash'
                                         and a.id = o.paid_attempt_id) as at_the_desk
           from orders o cross join lateral (
                select coalesce(sum(n.good), 0) as tickets, coalesce(sum(n.good * i.unit_won), 0) as won,
                       coalesce(sum(n.used), 0) as used
                  from (select t.product_id, count(*) filter (where t.used_at is null) as good,
                               count(*) filter (where t.used_at is not null) as used
                          from tickets t
                         where t.order_id = o.id and t.slot_id = any($2) and t.state in ('valid', 'blocked')
                         group by t.product_id) n
                 cross join lateral (select i.unit_won from order_items i where i.order_id = o.id
                                        and i.product_id = n.product_id order by i.line limit 1) i) x
          where o.slot_id = any($2) and o.slot_id is not null and o.state in ('paid', 'partially_refunded')
            and o.exhibition_id + 0 = $1
     )
     select count(*) filter (where tickets > 0 and not at_the_desk),
            coalesce(sum(tickets) filter (where not at_the_desk), 0)::bigint,
            coalesce(sum(won) filter (where not at_the_desk), 0)::bigint, coalesce(sum(used), 0)::bigint,
            count(*) filter (where at_the_desk)
       from told",
);

const BEGIN: Statement = Statement::new(
    "bulk.begin",
    "insert into bulk_refunds (id, exhibition_id, slot_ids, reason, asked_by, request_key, fingerprint, created_at, look_at)
     values ($1, $2, $3, $4, $5, $6, $7, admit_now(), admit_now()) on conflict on constraint bulk_refund_once do nothing",
);

/// Also those that were paid since it began. Whether there is something to give back is seen when their turn comes.
const GATHER: Statement = Statement::new(
    "bulk.gather",
    "insert into bulk_refund_orders (bulk_id, order_id, next_try_at)
     select $3::uuid, o.id, admit_now() from orders o
       join slots s on s.id = o.slot_id and s.closed
      where o.exhibition_id = $1 and o.slot_id = any($2) and o.slot_id is not null and o.state in ('paid', 'partially_refunded')
         on conflict on constraint bulk_refund_orders_key do nothing",
);

/// Orders of these slots that may still be paid.
const OPEN: Statement = Statement::new(
    "bulk.open",
    "select exists (select from orders where state = 'held' and exhibition_id = $1 and slot_id = any($2))
         or exists (select from attempts a join orders o on o.id = a.order_id
                     where a.state in ('sent', 'unknown', 'awaiting_deposit') and o.exhibition_id = $1 and o.slot_id = any($2))",
);

const IS_ONE_OPEN: Statement =
    Statement::new("bulk.is_one_open", "select exists (select from slots where id = any($1) and not closed)");

/// Claims by moving the next try ahead: what a worker that died had taken is another's after a minute.
const CLAIM: Statement = Statement::new(
    "bulk.claim",
    "update bulk_refund_orders b set tries = tries + 1, next_try_at = admit_now() + interval '60 seconds'
      where (b.bulk_id, b.order_id) in (
            select bulk_id, order_id from bulk_refund_orders where state = 'left' and next_try_at <= admit_now()
             order by next_try_at limit $1 for update skip locked)
     returning b.bulk_id, b.order_id, b.tries",
);

const FINISH: Statement = Statement::new(
    "bulk.finish",
    "update bulk_refund_orders set state = $3, tickets = tickets + $4, amount_won = amount_won + $5, code = $6
      where bulk_id = $1 and order_id = $2 and state = 'left'",
);

const LATER: Statement = Statement::new(
    "bulk.later",
    "update bulk_refund_orders set code = $3, next_try_at = admit_now() + interval '2 seconds' * power(2, least(tries, 8))
      where bulk_id = $1 and order_id = $2 and state = 'left'",
);

/// No try was spent.
const WAIT: Statement = Statement::new(
    "bulk.wait",
    "update bulk_refund_orders set code = $3, tries = tries - 1, next_try_at = admit_now() + interval '2 minutes'
      where bulk_id = $1 and order_id = $2 and state = 'left'",
);

/// Of which nothing is left. Claims by moving the next look ahead: it goes through all orders of the exhibition.
const RUNNING: Statement = Statement::new(
    "bulk.running",
    "update bulk_refunds set look_at = admit_now() + interval '60 seconds'
      where id in (select id from bulk_refunds b
                    where done_at is null and look_at <= admit_now()
                      and not exists (select from bulk_refund_orders o where o.bulk_id = b.id and o.state = 'left')
                    order by look_at limit 5 for update skip locked)
     returning id, exhibition_id, slot_ids",
);

const END: Statement =
    Statement::new("bulk.end", "update bulk_refunds set done_at = admit_now() where id = $1 and done_at is null");

macro_rules! bulk_by {
    ($name:ident, $label:literal, $where:literal) => {
        const $name: Statement = Statement::new(
            $label,
            concat!(
                "select b.id, b.exhibition_id, b.slot_ids, b.reason, b.created_at, b.done_at, b.fingerprint, n.*
                   from bulk_refunds b cross join lateral (
                        select count(*) filter (where o.state = 'left'), count(*) filter (where o.state = 'done'),
                               count(*) filter (where o.state = 'failed'), coalesce(sum(o.tickets), 0)::bigint,
                               coalesce(sum(o.amount_won), 0)::bigint
                          from bulk_refund_orders o where o.bulk_id = b.id) n
                  where ",
                $where
            ),
        );
    };
}
bulk_by!(BY_ID, "bulk.by_id", "b.id = $1");
bulk_by!(BY_KEY, "bulk.by_key", "b.request_key = $1");
bulk_by!(PAST, "bulk.past", "b.exhibition_id = $1 and b.id < $2 order by b.id desc limit $3");

const FAILED: Statement = Statement::new(
    "bulk.failed",
    "select o.number, b.code from bulk_refund_orders b join orders o on o.id = b.order_id
      where b.bulk_id = $1 and b.state = 'failed' order by o.id limit 100",
);

pub const STATEMENTS: &[&Statement] = &[
    &LOOK,
    &BEGIN,
    &GATHER,
    &OPEN,
    &IS_ONE_OPEN,
    &CLAIM,
    &FINISH,
    &LATER,
    &WAIT,
    &RUNNING,
    &END,
    &BY_ID,
    &BY_KEY,
    &PAST,
    &FAILED,
];

/// What would be given back.
pub struct Look {
    pub orders: i64,
    pub tickets: i64,
    pub amount_won: i64,
    pub used: i64,
    /// Orders that were paid from hand to hand.
    pub at_the_desk: i64,
}

pub async fn look(client: &impl GenericClient, exhibition_id: i32, slots: &[i32]) -> Result<Look> {
    let row = LOOK.query_one(client, &[&exhibition_id, &slots]).await?;
    Ok(Look {
        orders: row.get(0),
        tickets: row.get(1),
        amount_won: row.get(2),
        used: row.get(3),
        at_the_desk: row.get(4),
    })
}

pub struct NewBulk<'a> {
    pub id: Uuid,
    pub exhibition_id: i32,
    pub slot_ids: &'a [i32],
    pub reason: &'a str,
    pub asked_by: i32,
    pub request_key: &'a [u8],
    pub fingerprint: &'a [u8],
}

/// False: this very request began one before.
pub async fn begin(client: &impl GenericClient, new: &NewBulk<'_>) -> Result<bool> {
    let NewBulk { id, exhibition_id, slot_ids, reason, asked_by, request_key, fingerprint } = new;
    let rows =
        BEGIN.execute(client, &[id, exhibition_id, slot_ids, reason, asked_by, request_key, fingerprint]).await?;
    Ok(rows == 1)
}

/// How many orders were added.
pub async fn gather(client: &impl GenericClient, id: Uuid, exhibition_id: i32, slots: &[i32]) -> Result<u64> {
    GATHER.execute(client, &[&exhibition_id, &slots, &id]).await
}

pub async fn may_be_paid(client: &impl GenericClient, exhibition_id: i32, slots: &[i32]) -> Result<bool> {
    Ok(OPEN.query_one(client, &[&exhibition_id, &slots]).await?.get(0))
}

/// Whoever was to come in one of these slots can come after all.
pub async fn is_one_open(client: &impl GenericClient, slots: &[i32]) -> Result<bool> {
    Ok(IS_ONE_OPEN.query_one(client, &[&slots]).await?.get(0))
}

pub struct Due {
    pub bulk_id: Uuid,
    pub order_id: Uuid,
    pub tries: i32,
}

pub async fn claim(client: &impl GenericClient, limit: i64) -> Result<Vec<Due>> {
    let rows = CLAIM.query(client, &[&limit]).await?;
    Ok(rows.iter().map(|r| Due { bulk_id: r.get(0), order_id: r.get(1), tries: r.get(2) }).collect())
}

pub async fn finish(client: &impl GenericClient, due: &Due, tickets: i32, amount_won: i64) -> Result<()> {
    let none: Option<&str> = None;
    FINISH.execute(client, &[&due.bulk_id, &due.order_id, &"done", &tickets, &amount_won, &none]).await?;
    Ok(())
}

pub async fn fail(client: &impl GenericClient, due: &Due, code: &str) -> Result<()> {
    FINISH.execute(client, &[&due.bulk_id, &due.order_id, &"failed", &0, &0i64, &code]).await?;
    Ok(())
}

pub async fn wait(client: &impl GenericClient, due: &Due, code: &str) -> Result<()> {
    WAIT.execute(client, &[&due.bulk_id, &due.order_id, &code]).await?;
    Ok(())
}

pub async fn later(client: &impl GenericClient, due: &Due, code: &str) -> Result<()> {
    LATER.execute(client, &[&due.bulk_id, &due.order_id, &code]).await?;
    Ok(())
}

/// Those of which nothing is left, once a minute each: id, exhibition, slots.
pub async fn running(client: &impl GenericClient) -> Result<Vec<(Uuid, i32, Vec<i32>)>> {
    Ok(RUNNING.query(client, &[]).await?.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect())
}

pub async fn end(client: &impl GenericClient, id: Uuid) -> Result<()> {
    END.execute(client, &[&id]).await?;
    Ok(())
}

pub struct Bulk {
    pub id: Uuid,
    pub exhibition_id: i32,
    pub slot_ids: Vec<i32>,
    pub reason: String,
    pub created_at: Timestamp,
    pub done_at: Option<Timestamp>,
    pub fingerprint: Vec<u8>,
    pub left: i64,
    pub done: i64,
    pub failed: i64,
    pub tickets: i64,
    pub amount_won: i64,
}

fn bulk(r: &tokio_postgres::Row) -> Bulk {
    Bulk {
        id: r.get(0),
        exhibition_id: r.get(1),
        slot_ids: r.get(2),
        reason: r.get(3),
        created_at: r.get(4),
        done_at: r.get(5),
        fingerprint: r.get(6),
        left: r.get(7),
        done: r.get(8),
        failed: r.get(9),
        tickets: r.get(10),
        amount_won: r.get(11),
    }
}

pub async fn by_id(client: &impl GenericClient, id: Uuid) -> Result<Option<Bulk>> {
    Ok(BY_ID.query_opt(client, &[&id]).await?.as_ref().map(bulk))
}

pub async fn by_key(client: &impl GenericClient, key: &[u8]) -> Result<Option<Bulk>> {
    Ok(BY_KEY.query_opt(client, &[&key]).await?.as_ref().map(bulk))
}

/// Those of an exhibition before the given one, newest first.
pub async fn past(client: &impl GenericClient, exhibition_id: i32, before: Uuid, limit: i64) -> Result<Vec<Bulk>> {
    Ok(PAST.query(client, &[&exhibition_id, &before, &limit]).await?.iter().map(bulk).collect())
}

/// Order numbers with the reason; the first hundred.
pub async fn failed(client: &impl GenericClient, id: Uuid) -> Result<Vec<(String, String)>> {
    Ok(FAILED.query(client, &[&id]).await?.iter().map(|r| (r.get(0), r.get(1))).collect())
}
