//! SQL of the books.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Result;
use crate::payments::model::{Provider, Transaction, TransactionKind};
use crate::platform::pg::Statement;

/// Days that are over and were not compared, the oldest first. Nothing before the first attempt.
const DUE: Statement = Statement::new(
    "books.due",
    "select d::date
       from (select min(created_at) at time zone 'Asia/Seoul' as first from attempts where provider = $1) a,
            generate_series(greatest(date_trunc('day', a.first), ($2::date - 14)::timestamp),
                            ($2::date - 1)::timestamp, interval '1 day') d
      where a.first is not null
        and not exists (select from reconciliations r where r.provider = $1 and r.day = d::date)
      order by 1 limit 1",
);

const STORE: Statement = Statement::new(
    "books.store",
    "insert into provider_transactions (provider, key, payment_key, order_id, kind, amount_won, fee_won, at)
     select $1, key, payment_key, order_id, kind, amount_won, fee_won, at
       from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::timestamptz[])
            with ordinality as t (key, payment_key, order_id, kind, amount_won, fee_won, at, nth)
      order by nth
     on conflict on constraint provider_transactions_key do nothing",
);

/// What does not agree, of payments that either side moved on that day: what was captured, and what went back.
const COMPARE: Statement = Statement::new(
    "books.compare",
    "with span as (
         select $2::date::timestamp at time zone 'Asia/Seoul' as starts,
                ($2::date + 1)::timestamp at time zone 'Asia/Seoul' as ends
     ), moved as (
         select payment_key from provider_transactions, span where provider = $1 and at >= starts and at < ends
         union
         select payment_key from attempts, span
          where provider = $1 and state = 'accepted' and ended_at >= starts and ended_at < ends
         union
         select a.payment_key from refunds r join attempts a on a.id = r.attempt_id, span
          where a.provider = $1 and r.state in ('done', 'bounced') and r.done_at >= starts and r.done_at < ends
         union
         select payment_key from money_differences where provider = $1 and resolved_at is null
     ), theirs as (
         select m.payment_key, max(t.order_id) as order_id,
                -- One payment is captured once, unless its deposit is taken back, and perhaps made again.
                (array_agg(case when t.kind = 'payment' then t.amount_won end order by t.at desc, t.n desc)
                     filter (where t.kind in ('payment', 'awaiting')))[1] as captured,
                bool_or(t.kind = 'awaiting') as to_account,
                coalesce(sum(case t.kind when 'refund' then t.amount_won when 'refund_failed' then -t.amount_won end), 0) as returned
           from moved m left join provider_transactions t on t.provider = $1 and t.payment_key = m.payment_key
          where m.payment_key is not null group by m.payment_key
     )
     select t.payment_key, coalesce(a.provider_order_id, t.order_id),
            case when a.id is null or a.state <> 'accepted' then 'missing_here'
                 when t.captured is null then 'missing_there'
                 when t.captured <> a.amount_won then 'amount' else 'refund' end,
            case when t.captured is distinct from a.amount_won then a.amount_won else a.refunded_won end::bigint,
            case when t.captured is distinct from a.amount_won then t.captured else t.returned end::bigint
       from theirs t left join attempts a on a.payment_key = t.payment_key and a.provider = $1
      where case when a.state = 'accepted'
                 -- A deposit of a moment ago may not be in the books yet; its own day compares it.
                 then (t.captured is distinct from a.amount_won
                       and not (t.captured is null and t.to_account and a.ended_at > admit_now() - interval '1 hour'))
                      or t.returned <> a.refunded_won
                 else coalesce(t.captured, 0) > t.returned end",
);

const NOTE: Statement = Statement::new(
    "books.note",
    "insert into money_differences (provider, day, kind, payment_key, order_id, ours_won, theirs_won, noticed_at)
     select $1, $2, d.kind, d.payment_key, d.order_id, d.ours_won, d.theirs_won, admit_now()
       from unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
         as d (kind, payment_key, order_id, ours_won, theirs_won)
     on conflict on constraint money_difference_once do update
        set ours_won = excluded.ours_won, theirs_won = excluded.theirs_won, resolved_at = null",
);

/// Whatever is not on today's list any more agrees again.
const RESOLVE: Statement = Statement::new(
    "books.resolve",
    "update money_differences m set resolved_at = admit_now()
      where provider = $1 and resolved_at is null
        and not exists (select from unnest($2::text[], $3::text[]) as d (kind, payment_key)
                         where d.kind = m.kind and d.payment_key = m.payment_key)",
);

const FINISH: Statement = Statement::new(
    "books.finish",
    "insert into reconciliations (provider, day, ran_at, rows, differences) values ($1, $2, admit_now(), $3, $4)
     on conflict on constraint reconciliations_key do update
        set ran_at = excluded.ran_at, rows = excluded.rows, differences = excluded.differences",
);

/// $2: also what belongs to no order of ours.
const OPEN: Statement = Statement::new(
    "books.open_differences",
    "select m.provider, m.day, m.kind, m.payment_key, m.order_id, m.ours_won, m.theirs_won, m.noticed_at
       from money_differences m left join attempts a on a.payment_key = m.payment_key
       left join orders o on o.id = a.order_id
      where m.resolved_at is null and (o.exhibition_id = $1 or ($2 and o.id is null))
      order by m.id desc limit 200",
);

const SETTLEMENT: Statement = Statement::new(
    "books.settlement",
    "with paid as (
         select (a.ended_at at time zone 'Asia/Seoul')::date as day, a.provider, sum(a.amount_won) as gross, count(*) as payments
           from attempts a join orders o on o.id = a.order_id
          where o.exhibition_id = $1 and a.state = 'accepted' group by 1, 2
     ), back as (
         select (r.done_at at time zone 'Asia/Seoul')::date as day, a.provider, sum(r.amount_won) as refunds,
                sum(greatest(r.fee_won, 0)) as fees
           from refunds r join attempts a on a.id = r.attempt_id join orders o on o.id = r.order_id
          where o.exhibition_id = $1 and r.state in ('done', 'bounced', 'by_hand') group by 1, 2
     ), kept as (
         select (t.at at time zone 'Asia/Seoul')::date as day, t.provider, sum(t.fee_won) as provider_fee
           from provider_transactions t join attempts a on a.payment_key = t.payment_key and a.provider = t.provider
           join orders o on o.id = a.order_id
          where o.exhibition_id = $1
            -- A deposit that was taken back costs nothing, nor does the end of an account that nobody paid into.
            and not exists (select from provider_transactions l
                             where t.kind = 'payment' and l.payment_key = t.payment_key and l.provider = t.provider
                               and l.kind = 'awaiting' and (l.at, l.n) > (t.at, t.n))
            and (t.kind <> 'refund' or t.fee_won is null or t.fee_won >= 0
                 or exists (select from provider_transactions p
                             where p.payment_key = t.payment_key and p.provider = t.provider and p.kind = 'payment'
                               and p.fee_won is not null and (p.at, p.n) < (t.at, t.n)))
          group by 1, 2
     )
     select day, provider, coalesce(p.gross, 0)::bigint, coalesce(p.payments, 0)::bigint, coalesce(b.refunds, 0)::bigint,
            coalesce(b.fees, 0)::bigint, k.provider_fee::bigint
       from paid p full join back b using (day, provider) full join kept k using (day, provider)
      where day >= $2 and day <= $3 order by day, provider",
);

pub const STATEMENTS: &[&Statement] = &[&DUE, &STORE, &COMPARE, &NOTE, &RESOLVE, &FINISH, &OPEN, &SETTLEMENT];

pub async fn due(client: &impl GenericClient, provider: Provider, today: Date) -> Result<Option<Date>> {
    Ok(DUE.query_opt(client, &[&provider.as_str(), &today]).await?.map(|row| row.get(0)))
}

/// A line that is known already stays as it was.
pub async fn store(client: &impl GenericClient, provider: Provider, rows: &[Transaction]) -> Result<()> {
    let keys: Vec<&str> = rows.iter().map(|r| r.key.as_str()).collect();
    let payment_keys: Vec<&str> = rows.iter().map(|r| r.payment_key.as_str()).collect();
    let order_ids: Vec<Option<&str>> = rows.iter().map(|r| r.order_id.as_deref()).collect();
    let kind = |row: &Transaction| match row.kind {
        TransactionKind::Payment => "payment",
        TransactionKind::Refund => "refund",
        TransactionKind::RefundFailed => "refund_failed",
        TransactionKind::Awaiting => "awaiting",
    };
    let kinds: Vec<&str> = rows.iter().map(kind).collect();
    let amounts: Vec<i64> = rows.iter().map(|r| r.amount_won).collect();
    let fees: Vec<Option<i64>> = rows.iter().map(|r| r.fee_won).collect();
    let at: Vec<Timestamp> = rows.iter().map(|r| r.at).collect();
    STORE
        .execute(client, &[&provider.as_str(), &keys, &payment_keys, &order_ids, &kinds, &amounts, &fees, &at])
        .await?;
    Ok(())
}

/// Something that the two sides say differently.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Difference {
    pub payment_key: String,
    pub order_id: Option<String>,
    /// missing_here, missing_there, amount or refund.
    pub kind: String,
    pub ours: Option<i64>,
    pub theirs: Option<i64>,
}

pub async fn compare(client: &impl GenericClient, provider: Provider, day: Date) -> Result<Vec<Difference>> {
    let rows = COMPARE.query(client, &[&provider.as_str(), &day]).await?;
    let read = |r: &tokio_postgres::Row| Difference {
        payment_key: r.get(0),
        order_id: r.get(1),
        kind: r.get(2),
        ours: r.get(3),
        theirs: r.get(4),
    };
    Ok(rows.iter().map(read).collect())
}

/// In a transaction.
pub async fn note(
    client: &impl GenericClient,
    provider: Provider,
    day: Date,
    rows: i32,
    found: &[Difference],
) -> Result<()> {
    let provider = provider.as_str();
    let kinds: Vec<&str> = found.iter().map(|d| d.kind.as_str()).collect();
    let keys: Vec<&str> = found.iter().map(|d| d.payment_key.as_str()).collect();
    let order_ids: Vec<Option<&str>> = found.iter().map(|d| d.order_id.as_deref()).collect();
    let ours: Vec<Option<i64>> = found.iter().map(|d| d.ours).collect();
    let theirs: Vec<Option<i64>> = found.iter().map(|d| d.theirs).collect();
    NOTE.execute(client, &[&provider, &day, &kinds, &keys, &order_ids, &ours, &theirs]).await?;
    RESOLVE.execute(client, &[&provider, &kinds, &keys]).await?;
    let differences = i32::try_from(found.len()).unwrap_or(i32::MAX);
    FINISH.execute(client, &[&provider, &day, &rows, &differences]).await?;
    Ok(())
}

#[derive(Serialize, ToSchema)]
pub struct OpenDifference {
    pub provider: String,
    #[schema(value_type = String, format = Date)]
    pub day: Date,
    #[serde(flatten)]
    pub difference: Difference,
    #[schema(value_type = String, format = DateTime)]
    pub noticed_at: Timestamp,
}

pub async fn open(client: &impl GenericClient, exhibition_id: i32, strangers: bool) -> Result<Vec<OpenDifference>> {
    let rows = OPEN.query(client, &[&exhibition_id, &strangers]).await?;
    let read = |r: &tokio_postgres::Row| OpenDifference {
        provider: r.get(0),
        day: r.get(1),
        difference: Difference {
            kind: r.get(2),
            payment_key: r.get(3),
            order_id: r.get(4),
            ours: r.get(5),
            theirs: r.get(6),
        },
        noticed_at: r.get(7),
    };
    Ok(rows.iter().map(read).collect())
}

/// One day of one provider. Whole won.
#[derive(Serialize, ToSchema)]
pub struct SettlementDay {
    #[schema(value_type = String, format = Date)]
    pub day: Date,
    pub provider: String,
    /// Captured.
    pub gross: i64,
    pub payments: i64,
    /// Gone back.
    pub refunds: i64,
    /// Kept of tickets that were given back; part of what gross and refunds leave.
    pub fees: i64,
    /// What the provider keeps; null where its books do not say.
    pub provider_fee: Option<i64>,
    /// gross - refunds - provider_fee
    pub net: i64,
}

pub async fn settlement(
    client: &impl GenericClient,
    exhibition_id: i32,
    from: Date,
    until: Date,
) -> Result<Vec<SettlementDay>> {
    let rows = SETTLEMENT.query(client, &[&exhibition_id, &from, &until]).await?;
    let read = |r: &tokio_postgres::Row| {
        let (gross, refunds, provider_fee): (i64, i64, Option<i64>) = (r.get(2), r.get(4), r.get(6));
        SettlementDay {
            day: r.get(0),
            provider: r.get(1),
            gross,
            payments: r.get(3),
            refunds,
            fees: r.get(5),
            provider_fee,
            net: gross - refunds - provider_fee.unwrap_or(0),
        }
    };
    Ok(rows.iter().map(read).collect())
}
