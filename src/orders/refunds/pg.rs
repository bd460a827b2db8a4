//! SQL of refunds outside the stock writer.

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use uuid::Uuid;

use super::request::RefundView;
use crate::error::Result;
use crate::orders::model::Origin;
use crate::orders::pg::{self as orders, Attempt};
use crate::payments::Provider;
use crate::platform::pg::Statement;

macro_rules! refunds_by {
    ($name:ident, $label:literal, $where:literal) => {
        const $name: Statement = Statement::new(
            $label,
            concat!(
                "select r.id, r.state, r.kind, r.amount_won, r.fee_won, r.created_at, r.done_at,
                        array(select ticket_id from refund_tickets t where t.refund_id = r.id order by ticket_id),
                        r.request_fingerprint
                   from refunds r where ",
                $where,
                " order by r.created_at, r.id"
            ),
        );
    };
}
refunds_by!(BY_REQUEST, "refunds.by_request", "r.request_key = $1");
refunds_by!(OF_ORDER, "refunds.of_order", "r.order_id = $1");

const PAID_BY: Statement = Statement::new(
    "refunds.paid_by",
    "select a.to_account, a.provider from orders o join attempts a on a.id = o.paid_attempt_id where o.id = $1",
);

const NAME_ACCOUNT: Statement = Statement::new(
    "refunds.name_account",
    "update refunds set account_key_id = $3, account_sealed = $4, next_try_at = admit_now(), try = try + 1, tries = 0,
            state = 'pending', failure_code = null
      where id = $1 and order_id = $2 and state in ('needs_account', 'failed')",
);

/// A new key: whatever was refused is judged anew.
const RETRY: Statement = Statement::new(
    "refunds.retry",
    "update refunds set state = 'pending', try = try + 1, tries = 0, next_try_at = admit_now()
      where id = $1 and order_id = $2 and state = 'failed'",
);

/// Claims by moving the next look ahead. Money between banks arrives within days or not at all; the last look counts too.
const CLAIM_LOOKS: Statement = Statement::new(
    "refunds.claim_looks",
    "with due as (
         select r.id from refunds r join attempts a on a.id = r.attempt_id
          where r.look_at <= admit_now() and a.provider = $2 order by r.look_at limit $1 for update of r skip locked
     ), claimed as (
         update refunds r set look_at = case when r.done_at > admit_now() - interval '10 days' then admit_now() + interval '6 hours' else 'infinity' end
           from due d where r.id = d.id returning r.attempt_id
     )
     select a.id, a.order_id, a.n, a.provider_order_id, a.payment_key, a.amount_won, a.state, a.confirm_key,
            a.confirm_fingerprint, a.failure_code, a.sent_at, a.checks, a.confirm_try, a.provider, a.refunded_won
       from attempts a where a.id in (select attempt_id from claimed)",
);

/// A payment has one word for all its refunds, about the latest. Not judged by an answer that may be older than it.
macro_rules! latest_refund {
    ($name:ident, $label:literal, $when:literal, $set:literal, $kind:literal) => {
        const $name: Statement = Statement::new(
            $label,
            concat!(
                "with latest as (
                     select id from refunds where attempt_id = $1 and state in ('done', 'bounced') order by done_at desc, id desc limit 1
                 ), told as (
                     update refunds r set ",
                $set,
                " from latest l
                      where r.id = l.id and r.look_at is not null and r.done_at < admit_now() - interval '2 minutes' and ",
                $when,
                " returning r.id, r.order_id
                 ), written as (
                     insert into order_events (order_id, kind, actor, cause, correlation_id, at)
                     select order_id, '",
                $kind,
                "', 'worker', 'provider', id::text, admit_now() from told
                 )
                 select id from told"
            ),
        );
    };
}
latest_refund!(
    BOUNCED,
    "refunds.bounced",
    "r.state = 'done'",
    "state = 'bounced', failure_code = 'bounced'",
    "refund_bounced"
);
latest_refund!(
    ARRIVED,
    "refunds.arrived",
    "true",
    "state = 'done', failure_code = null, look_at = null",
    "refund_arrived"
);

/// What bounced went through the provider; what failed never did, and must not count as returned there.
const PAID_BY_HAND: Statement = Statement::new(
    "refunds.paid_by_hand",
    "with paid as (
         update refunds set state = case state when 'bounced' then 'done' else 'by_hand' end, done_at = coalesce(done_at, admit_now()),
                look_at = null, account_key_id = null, account_sealed = null
          where id = $1 and order_id = $2 and state in ('failed', 'bounced') returning id, order_id
     )
     insert into order_events (order_id, kind, actor, cause, correlation_id, about, at)
     select order_id, 'refund_paid_by_hand', $3, 'refund', $4, id, admit_now() from paid",
);

pub const STATEMENTS: &[&Statement] =
    &[&BY_REQUEST, &OF_ORDER, &PAID_BY, &NAME_ACCOUNT, &RETRY, &CLAIM_LOOKS, &BOUNCED, &ARRIVED, &PAID_BY_HAND];

fn view(r: &Row) -> RefundView {
    RefundView {
        id: r.get(0),
        state: r.get(1),
        kind: r.get(2),
        amount: r.get(3),
        fee: r.get(4),
        currency: "KRW",
        created_at: r.get(5),
        done_at: r.get(6),
        ticket_ids: r.get(7),
    }
}

/// With the digest of what was asked.
pub async fn by_request(client: &impl GenericClient, key: &[u8]) -> Result<Option<(RefundView, Vec<u8>)>> {
    let row = BY_REQUEST.query_opt(client, &[&key]).await?;
    Ok(row.map(|r| (view(&r), r.get::<_, Option<Vec<u8>>>(8).unwrap_or_default())))
}

pub async fn of_order(client: &impl GenericClient, order_id: Uuid) -> Result<Vec<RefundView>> {
    Ok(OF_ORDER.query(client, &[&order_id]).await?.iter().map(view).collect())
}

/// How an order's money came, as far as that says how it goes back.
#[derive(Clone, Copy, Default)]
pub struct PaidBy {
    /// Only to an account that is named.
    pub needs_account: bool,
    /// Only from hand to hand.
    pub cash: bool,
}

/// Of a free order: neither.
pub async fn paid_by(client: &impl GenericClient, order_id: Uuid) -> Result<PaidBy> {
    let row = PAID_BY.query_opt(client, &[&order_id]).await?;
    Ok(row.map_or_else(PaidBy::default, |row| PaidBy {
        needs_account: row.get(0),
        cash: row.get::<_, &str>(1) == Provider::Cash.as_str(),
    }))
}

/// False: no such refund waits for an account.
pub async fn name_account(
    client: &impl GenericClient,
    id: Uuid,
    order_id: Uuid,
    sealed: &(String, Vec<u8>),
) -> Result<bool> {
    Ok(NAME_ACCOUNT.execute(client, &[&id, &order_id, &sealed.0, &sealed.1]).await? == 1)
}

/// False: it has not failed.
pub async fn retry(client: &impl GenericClient, id: Uuid, order_id: Uuid) -> Result<bool> {
    Ok(RETRY.execute(client, &[&id, &order_id]).await? == 1)
}

pub async fn claim_looks(client: &impl GenericClient, provider: Provider, limit: i64) -> Result<Vec<Attempt>> {
    let rows = CLAIM_LOOKS.query(client, &[&limit, &provider.as_str()]).await?;
    rows.iter().map(|row| orders::attempt(row, 0)).collect()
}

/// The latest refund is there; nobody asks about it any more.
pub async fn arrived(client: &impl GenericClient, attempt_id: Uuid) -> Result<()> {
    ARRIVED.query_opt(client, &[&attempt_id]).await?;
    Ok(())
}

/// The latest refund, if it was not known yet that the bank sent it back.
pub async fn bounced(client: &impl GenericClient, attempt_id: Uuid) -> Result<Option<Uuid>> {
    Ok(BOUNCED.query_opt(client, &[&attempt_id]).await?.map(|row| row.get(0)))
}

/// False: it has neither failed nor bounced.
pub async fn paid_by_hand(client: &impl GenericClient, id: Uuid, order_id: Uuid, by: &Origin) -> Result<bool> {
    Ok(PAID_BY_HAND.execute(client, &[&id, &order_id, &by.actor, &by.correlation_id]).await? == 1)
}
