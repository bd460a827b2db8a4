//! SQL of refunds: whose turn it is, and what came of it.

use deadpool_postgres::GenericClient;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::payments::Provider;
use crate::platform::pg::Statement;

/// One refund of an attempt after the other: of two that are under way nobody could tell whose money has gone back.
const CLAIM_REFUNDS: Statement = Statement::new(
    "orders.claim_refunds",
    // As long as a call and the look after it may take; the outcome sets the next try.
    "update refunds r set tries = r.tries + 1, next_try_at = admit_now() + interval '90 seconds'
       from attempts a
      where a.id = r.attempt_id
        and r.id in (select n.id from refunds n join attempts b on b.id = n.attempt_id and b.provider = $2
                      where n.state = 'pending' and n.next_try_at <= admit_now()
                        and not exists (select from refunds q where q.attempt_id = n.attempt_id and q.state = 'pending'
                                           and (q.created_at, q.id) < (n.created_at, n.id))
                      order by n.next_try_at limit $1 for update of n skip locked)
     returning r.id, r.order_id, r.amount_won, r.reason, r.try, r.tries, a.payment_key, a.provider_order_id, a.amount_won,
               a.provider, r.kind, r.account_key_id, r.account_sealed,
               (select coalesce(sum(d.amount_won), 0)::int from refunds d where d.attempt_id = a.id and d.state in ('done', 'bounced')), a.to_account",
);

const FINISH_REFUND: Statement = Statement::new(
    "orders.finish_refund",
    "with done as (
         update refunds r set state = 'done', done_at = admit_now(), account_key_id = null, account_sealed = null,
                look_at = case when a.to_account then admit_now() + interval '2 hours' end
           from attempts a
          where r.id = $1 and r.state = 'pending' and a.id = r.attempt_id
         returning r.attempt_id, r.order_id, r.amount_won
     ), counted as (
         update attempts a set refunded_won = a.refunded_won + d.amount_won from done d where a.id = d.attempt_id
     )
     insert into order_events (order_id, kind, actor, cause, correlation_id, at)
     select order_id, 'money_returned', 'worker', $2, $3, admit_now() from done",
);

/// Part of what is owed went back without us: that part is a refund of its own, and the rest is asked for anew.
const SHRINK_REFUND: Statement = Statement::new(
    "orders.shrink_refund",
    "with shrunk as (
         update refunds set amount_won = amount_won - $2, fee_won = case when kind = 'automatic' then 0 else fee_won + $2 end,
                try = try + 1, next_try_at = admit_now()
          where id = $1 and state = 'pending' and amount_won > $2
         returning attempt_id, order_id, kind
     ), counted as (
         update attempts a set refunded_won = a.refunded_won + $2 from shrunk s where a.id = s.attempt_id
     )
     insert into refunds (id, attempt_id, order_id, amount_won, fee_won, kind, reason, state, next_try_at, created_at, done_at, look_at)
     select $3::uuid, attempt_id, order_id, $2, case when kind = 'automatic' then 0 else -$2 end,
            case when kind = 'automatic' then 'automatic' else 'provider' end,
            -- An attempt has one automatic refund of each reason.
            case when kind = 'automatic' then 'seen_at_provider:' || $3::uuid::text else 'seen_at_provider' end, 'done',
            admit_now(), admit_now(), admit_now(),
            (select admit_now() + interval '2 hours' from attempts a where a.id = attempt_id and a.to_account)
       from shrunk",
);

const RETRY_REFUND: Statement = Statement::new(
    "orders.retry_refund",
    "update refunds set try = try + $2::int, failure_code = $3, state = $4,
            next_try_at = admit_now() + interval '5 seconds' * power(2, least(tries - 1, 10))
      where id = $1 and state = 'pending'",
);

const ASK_FOR_ACCOUNT: Statement = Statement::new(
    "orders.ask_for_account",
    "update refunds set state = 'needs_account' where id = $1 and state = 'pending'",
);

/// What has gone back or is on its way, whoever asked.
const RETURNING: Statement = Statement::new(
    "orders.returning",
    "select coalesce(sum(amount_won), 0)::bigint from refunds where attempt_id = $1 and state <> 'by_hand'",
);

/// The bank has refused a refund after all: less went back than we noted. Not judged by an answer that may be older
/// than the last refund.
const FAILED_LATER: Statement = Statement::new(
    "orders.failed_later",
    "with known as (
         select coalesce(sum(amount_won), 0) - $2 as missing from refunds
          where attempt_id = $1 and state in ('done', 'bounced')
     ), gone as (
         select r.id from refunds r, known k
          where r.attempt_id = $1 and r.state in ('done', 'bounced') and k.missing > 0 and r.amount_won <= k.missing
            and not exists (select from refunds n where n.attempt_id = $1 and n.done_at > admit_now() - interval '2 minutes')
          -- What a bank sent back is what has come back; staff may have paid it meanwhile.
          order by coalesce(r.failure_code, '') = 'bounced' desc, r.amount_won = k.missing desc, r.done_at desc limit 1
     ), failed as (
         update refunds r set failure_code = 'failed_later', look_at = null,
                state = case when r.state = 'done' and r.failure_code = 'bounced' then 'by_hand' else 'failed' end,
                done_at = case when r.state = 'done' and r.failure_code = 'bounced' then r.done_at end
           from gone g where r.id = g.id and r.state in ('done', 'bounced')
         returning r.id, r.attempt_id, r.order_id, r.amount_won, r.state
     ), counted as (
         update attempts a set refunded_won = a.refunded_won - f.amount_won from failed f where a.id = f.attempt_id
     ), told as (
         insert into order_events (order_id, kind, actor, cause, correlation_id, at)
         select order_id, 'refund_failed', 'worker', 'provider', id::text, admit_now() from failed
     )
     select id from failed where state = 'failed'",
);

pub const STATEMENTS: &[&Statement] =
    &[&CLAIM_REFUNDS, &FINISH_REFUND, &SHRINK_REFUND, &RETRY_REFUND, &ASK_FOR_ACCOUNT, &RETURNING, &FAILED_LATER];

pub async fn returning(client: &impl GenericClient, attempt_id: Uuid) -> Result<i64> {
    Ok(RETURNING.query_one(client, &[&attempt_id]).await?.get(0))
}

/// The refund that has failed after all, where so little has gone back.
pub async fn failed_later(client: &impl GenericClient, attempt_id: Uuid, returned_won: i64) -> Result<Option<Uuid>> {
    Ok(FAILED_LATER.query_opt(client, &[&attempt_id, &returned_won]).await?.map(|row| row.get(0)))
}

#[derive(Debug)]
pub struct Refund {
    pub id: Uuid,
    pub order_id: Uuid,
    pub amount_won: i32,
    pub reason: String,
    /// Part of the idempotency key: raised only after a definite refusal.
    pub attempt_no: i32,
    pub tries: i32,
    pub payment_key: Option<String>,
    pub provider_order_id: String,
    pub captured_won: i32,
    pub provider: Provider,
    pub kind: String,
    /// Key id and sealed account.
    pub account: Option<(String, Vec<u8>)>,
    /// Refunds of the same attempt that are done.
    pub done_won: i32,
    /// The money can only go back to a bank account.
    pub to_account: bool,
}

impl Refund {
    pub fn is_first_try(&self) -> bool {
        self.tries == 1 && self.attempt_no == 1
    }

    /// For the order's history, which nobody can erase: no free text.
    fn cause(&self) -> &str {
        if self.kind == "automatic" { &self.reason } else { &self.kind }
    }
}

pub async fn claim_refunds(client: &impl GenericClient, provider: Provider, limit: i64) -> Result<Vec<Refund>> {
    let rows = CLAIM_REFUNDS.query(client, &[&limit, &provider.as_str()]).await?;
    rows.iter()
        .map(|r| {
            Ok(Refund {
                id: r.get(0),
                order_id: r.get(1),
                amount_won: r.get(2),
                reason: r.get(3),
                attempt_no: r.get(4),
                tries: r.get(5),
                payment_key: r.get(6),
                provider_order_id: r.get(7),
                captured_won: r.get(8),
                provider: Provider::parse(r.get(9)).ok_or_else(|| Error::bug("a refund of an unknown provider"))?,
                kind: r.get(10),
                account: r.get::<_, Option<String>>(11).zip(r.get(12)),
                done_won: r.get(13),
                to_account: r.get(14),
            })
        })
        .collect()
}

pub async fn finish_refund(client: &impl GenericClient, refund: &Refund) -> Result<()> {
    FINISH_REFUND.execute(client, &[&refund.id, &refund.cause(), &refund.provider_order_id]).await?;
    Ok(())
}

pub async fn shrink_refund(client: &impl GenericClient, id: Uuid, gone_won: i32, gone_id: Uuid) -> Result<bool> {
    Ok(SHRINK_REFUND.execute(client, &[&id, &gone_won, &gone_id]).await? == 1)
}

/// There is no account to send it to any more.
pub async fn ask_for_account(client: &impl GenericClient, id: Uuid) -> Result<()> {
    ASK_FOR_ACCOUNT.execute(client, &[&id]).await?;
    Ok(())
}

pub async fn retry_refund(
    client: &impl GenericClient,
    refund: &Refund,
    new_key: bool,
    code: &str,
    dead: bool,
) -> Result<()> {
    let state = if dead { "failed" } else { "pending" };
    RETRY_REFUND.execute(client, &[&refund.id, &i32::from(new_key), &code, &state]).await?;
    Ok(())
}
