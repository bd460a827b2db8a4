//! SQL of attempts to pay and of the accounts that deposits are awaited on.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::orders::model::{AttemptState, Seat};
use crate::payments::Provider;
use crate::platform::pg::Statement;

const ATTEMPT: Statement = Statement::new(
    "orders.attempt_by_provider_order",
    "select id, order_id, n, provider_order_id, payment_key, amount_won, state, confirm_key, confirm_fingerprint,
            failure_code, sent_at, checks, confirm_try, provider, refunded_won
       from attempts where provider_order_id = $1",
);

const ATTEMPT_BY_KEY: Statement = Statement::new(
    "orders.attempt_by_payment_key",
    "select id, order_id, n, provider_order_id, payment_key, amount_won, state, confirm_key, confirm_fingerprint,
            failure_code, sent_at, checks, confirm_try, provider, refunded_won
       from attempts where payment_key = $1",
);

/// Claims by moving the next check ahead: 1, 2, 4 … seconds, at most about four minutes.
const CLAIM_UNRESOLVED: Statement = Statement::new(
    "orders.claim_unresolved_attempts",
    "update attempts set checks = checks + 1,
            next_check_at = admit_now() + interval '1 second' * power(2, least(checks, 8))
      where id in (select id from attempts where state in ('sent', 'unknown') and next_check_at <= admit_now()
                      and provider = $2 order by next_check_at limit $1 for update skip locked)
     returning id, order_id, n, provider_order_id, payment_key, amount_won, state, confirm_key, confirm_fingerprint,
               failure_code, sent_at, checks, confirm_try, provider, refunded_won",
);

const PAID_ATTEMPT: Statement =
    Statement::new("orders.paid_attempt", "select paid_attempt_id from orders where id = $1");

const RAISE_TRY: Statement = Statement::new(
    "orders.raise_try",
    "update attempts set confirm_try = confirm_try + 1 where id = $1 and state in ('ready', 'sent', 'unknown')",
);

const SEAT_IS_USED: Statement = Statement::new(
    "orders.seat_is_used",
    "select exists (select from attempts where id = $1 and seat_id = $2 and seat_at_ms = $3)",
);

const OPENED: Statement =
    Statement::new("orders.opened", "select client_secret, confirm_try from attempts where id = $1");

/// Once: a repeat of the call got the same payment.
const NOTE_OPENED: Statement = Statement::new(
    "orders.note_opened",
    "update attempts set payment_key = $2, client_secret = $3 where id = $1 and payment_key is null",
);

/// Claims by moving the next look ahead. A deposit is told of by a webhook; this is for those that were not heard.
const CLAIM_DEPOSITS: Statement = Statement::new(
    "orders.claim_deposits",
    "update attempts set checks = checks + 1, next_check_at = admit_now() + interval '10 minutes'
      where id in (select id from attempts where state = 'awaiting_deposit' and next_check_at <= admit_now()
                    order by next_check_at limit $1 for update skip locked)
     returning id, order_id, n, provider_order_id, payment_key, amount_won, state, confirm_key, confirm_fingerprint,
               failure_code, sent_at, checks, confirm_try, provider, refunded_won",
);

/// Accounts to be closed at their provider. Until that is done, again and again.
const CLAIM_CLOSINGS: Statement = Statement::new(
    "orders.claim_closings",
    "update attempts set close_at = admit_now() + interval '5 minutes'
      where id in (select id from attempts where close_at <= admit_now() order by close_at limit $1 for update skip locked)
     returning id, order_id, n, provider_order_id, payment_key, amount_won, state, confirm_key, confirm_fingerprint,
               failure_code, sent_at, checks, confirm_try, provider, refunded_won",
);

const CLOSED: Statement = Statement::new(
    "orders.account_closed",
    "with closed as (update attempts set close_at = null where id = $1 returning id)
     delete from deposit_accounts d using closed c where d.attempt_id = c.id",
);

const DEPOSIT: Statement = Statement::new(
    "orders.deposit",
    "select a.id, d.bank, d.key_id, d.sealed, d.due_at
       from attempts a join deposit_accounts d on d.attempt_id = a.id
      where a.order_id = $1 and a.state = 'awaiting_deposit'",
);

pub const STATEMENTS: &[&Statement] = &[
    &ATTEMPT,
    &ATTEMPT_BY_KEY,
    &CLAIM_UNRESOLVED,
    &PAID_ATTEMPT,
    &RAISE_TRY,
    &SEAT_IS_USED,
    &OPENED,
    &NOTE_OPENED,
    &CLAIM_DEPOSITS,
    &CLAIM_CLOSINGS,
    &CLOSED,
    &DEPOSIT,
];

pub async fn paid_attempt(client: &impl GenericClient, order_id: Uuid) -> Result<Option<Uuid>> {
    Ok(PAID_ATTEMPT.query_opt(client, &[&order_id]).await?.and_then(|row| row.get(0)))
}

pub async fn raise_try(client: &impl GenericClient, attempt_id: Uuid) -> Result<()> {
    RAISE_TRY.execute(client, &[&attempt_id]).await?;
    Ok(())
}

/// What the browser goes on with, once the provider has opened the payment, and how often it answered something else.
pub async fn opened(client: &impl GenericClient, attempt_id: Uuid) -> Result<(Option<String>, i32)> {
    let row = OPENED.query_opt(client, &[&attempt_id]).await?;
    Ok(row.map_or((None, 1), |row| (row.get(0), row.get(1))))
}

/// False: another call has noted another payment.
pub async fn note_opened(
    client: &impl GenericClient,
    attempt_id: Uuid,
    payment_key: &str,
    secret: &str,
) -> Result<bool> {
    Ok(NOTE_OPENED.execute(client, &[&attempt_id, &payment_key, &secret]).await? == 1)
}

pub async fn claim_deposits(client: &impl GenericClient, limit: i64) -> Result<Vec<Attempt>> {
    CLAIM_DEPOSITS.query(client, &[&limit]).await?.iter().map(|row| attempt(row, 0)).collect()
}

pub async fn claim_closings(client: &impl GenericClient, limit: i64) -> Result<Vec<Attempt>> {
    CLAIM_CLOSINGS.query(client, &[&limit]).await?.iter().map(|row| attempt(row, 0)).collect()
}

pub async fn closed(client: &impl GenericClient, attempt_id: Uuid) -> Result<()> {
    CLOSED.execute(client, &[&attempt_id]).await?;
    Ok(())
}

/// Where the order's money is to be paid in, the number sealed.
pub struct SealedDeposit {
    pub attempt_id: Uuid,
    pub bank: String,
    pub sealed: (String, Vec<u8>),
    pub due_at: Timestamp,
}

pub async fn deposit(client: &impl GenericClient, order_id: Uuid) -> Result<Option<SealedDeposit>> {
    let row = DEPOSIT.query_opt(client, &[&order_id]).await?;
    Ok(row.map(|r| SealedDeposit {
        attempt_id: r.get(0),
        bank: r.get(1),
        sealed: (r.get(2), r.get(3)),
        due_at: r.get(4),
    }))
}

/// Whether the attempt was seated by this very take.
pub async fn seat_is_used(client: &impl GenericClient, attempt_id: Uuid, seat: &Seat) -> Result<bool> {
    let row = SEAT_IS_USED.query_one(client, &[&attempt_id, &seat.hold_id.as_slice(), &seat.at_ms]).await?;
    Ok(row.get(0))
}

#[derive(Clone, Debug)]
pub struct Attempt {
    pub id: Uuid,
    pub order_id: Uuid,
    pub provider_order_id: String,
    pub payment_key: Option<String>,
    pub amount_won: i32,
    pub state: AttemptState,
    pub confirm_key: Option<Vec<u8>>,
    pub confirm_fingerprint: Option<Vec<u8>>,
    pub failure_code: Option<String>,
    pub sent_at: Option<Timestamp>,
    pub checks: i32,
    pub confirm_try: i32,
    pub provider: Provider,
    pub refunded_won: i32,
}

/// An attempt whose columns begin at `from`.
pub fn attempt(r: &Row, from: usize) -> Result<Attempt> {
    Ok(Attempt {
        id: r.get(from),
        order_id: r.get(from + 1),
        provider_order_id: r.get(from + 3),
        payment_key: r.get(from + 4),
        amount_won: r.get(from + 5),
        state: AttemptState::parse(r.get(from + 6)).ok_or_else(|| Error::bug("an attempt in an unknown state"))?,
        confirm_key: r.get(from + 7),
        confirm_fingerprint: r.get(from + 8),
        failure_code: r.get(from + 9),
        sent_at: r.get(from + 10),
        checks: r.get(from + 11),
        confirm_try: r.get(from + 12),
        provider: Provider::parse(r.get(from + 13)).ok_or_else(|| Error::bug("an attempt of an unknown provider"))?,
        refunded_won: r.get(from + 14),
    })
}

pub async fn attempt_by_provider_order(client: &impl GenericClient, order_id: &str) -> Result<Option<Attempt>> {
    ATTEMPT.query_opt(client, &[&order_id]).await?.map(|row| attempt(&row, 0)).transpose()
}

pub async fn attempt_by_payment_key(client: &impl GenericClient, payment_key: &str) -> Result<Option<Attempt>> {
    ATTEMPT_BY_KEY.query_opt(client, &[&payment_key]).await?.map(|row| attempt(&row, 0)).transpose()
}

pub async fn claim_unresolved(client: &impl GenericClient, provider: Provider, limit: i64) -> Result<Vec<Attempt>> {
    CLAIM_UNRESOLVED.query(client, &[&limit, &provider.as_str()]).await?.iter().map(|row| attempt(row, 0)).collect()
}
