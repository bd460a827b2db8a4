//! SQL of orders outside the stock writer: reading, claiming, and what changes no stock.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::contact::Contact;
use super::model::{AttemptState, Item, Order, OrderFacts, OrderState, Seat};
use crate::app::App;
use crate::error::{Error, Result};
use crate::payments::Provider;
use crate::platform::pg::Statement;
use crate::stock::model::{HoldId, lines};

macro_rules! order_by {
    ($name:ident, $label:literal, $columns:literal, $attempt:literal, $where:literal) => {
        const $name: Statement = Statement::new(
            $label,
            concat!(
                "select o.id, o.number, o.exhibition_id, o.slot_id, o.hold_id, o.fingerprint, o.state, o.total_won,
                        o.person_key, o.person_places, o.person_counted, o.token_version, o.has_email, o.language,
                        o.created_at, o.expires_at, o.paid_at,
                        i.product_id, i.quantity, i.unit_won, o.pass_sid, ",
                $columns,
                " from orders o join order_items i on i.order_id = o.id left join attempts a on ",
                $attempt,
                " where ",
                $where,
                " order by o.id, i.line"
            ),
        );
    };
    ($name:ident, $label:literal, $where:literal) => {
        order_by!($name, $label, "a.method, a.receipts", "a.id = o.paid_attempt_id", $where);
    };
}

order_by!(BY_ID, "orders.by_id", "o.id = any($1::uuid[])");
order_by!(BY_NUMBER, "orders.by_number", "o.number = $1");
order_by!(BY_HOLD, "orders.by_hold", "o.hold_id = $1");

// All a confirm has to know before it begins, in one look: the attempt with its order, whether the caller's key was
// used for something else, and whether another attempt was sent with this key of the provider's.
order_by!(
    TO_CONFIRM,
    "orders.to_confirm",
    "(select m.method from attempts m where m.id = o.paid_attempt_id),
     (select m.receipts from attempts m where m.id = o.paid_attempt_id),
     a.id, a.order_id, a.n, a.provider_order_id, a.payment_key, a.amount_won, a.state, a.confirm_key,
     a.confirm_fingerprint, a.failure_code, a.sent_at, a.checks, a.confirm_try, a.provider, a.refunded_won,
     exists (select from attempts k where k.confirm_key = $2
              and (k.id <> a.id or k.confirm_fingerprint is distinct from $3)),
     exists (select from attempts p where p.payment_key = $4 and p.id <> a.id)",
    "a.order_id = o.id and a.provider_order_id = $1",
    "o.id = (select f.order_id from attempts f where f.provider_order_id = $1)"
);

const CONTACT: Statement =
    Statement::new("orders.contact", "select key_id, sealed from contacts where order_id = $1 and erased_at is null");

const WANTS_NEWS: Statement =
    Statement::new("orders.wants_news", "select marketing from contacts where order_id = $1 and erased_at is null");

const NO_NEWS: Statement = Statement::new(
    "orders.no_news",
    "with withdrawn as (
         update contacts set marketing = false where order_id = $1 and marketing returning order_id
     )
     insert into order_events (order_id, kind, actor, cause, correlation_id, at)
     select order_id, 'news_withdrawn', 'visitor', 'page', '', admit_now() from withdrawn",
);

const PHONE_DIGEST: Statement = Statement::new(
    "orders.phone_digest",
    "select phone_digest from contacts where order_id = $1 and erased_at is null",
);

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

/// Whole minutes early is as good as late: the writer judges again under its lock.
const LAPSED: Statement = Statement::new(
    "orders.lapsed",
    "select id from orders where state = 'held' and expires_at <= admit_now() order by expires_at limit $1",
);

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

pub const STATEMENTS: &[&Statement] = &[
    &FAILED_LATER,
    &OPENED,
    &NOTE_OPENED,
    &CLAIM_DEPOSITS,
    &CLAIM_CLOSINGS,
    &CLOSED,
    &DEPOSIT,
    &RETURNING,
    &TO_CONFIRM,
    &RAISE_TRY,
    &SEAT_IS_USED,
    &PAID_ATTEMPT,
    &BY_ID,
    &BY_NUMBER,
    &BY_HOLD,
    &CONTACT,
    &WANTS_NEWS,
    &NO_NEWS,
    &PHONE_DIGEST,
    &ATTEMPT,
    &ATTEMPT_BY_KEY,
    &CLAIM_UNRESOLVED,
    &LAPSED,
    &CLAIM_REFUNDS,
    &FINISH_REFUND,
    &RETRY_REFUND,
    &ASK_FOR_ACCOUNT,
    &SHRINK_REFUND,
];

/// Agreed to hear of other exhibitions, and has not withdrawn it.
pub async fn wants_news(client: &impl GenericClient, order_id: Uuid) -> Result<bool> {
    Ok(WANTS_NEWS.query_opt(client, &[&order_id]).await?.is_some_and(|row| row.get(0)))
}

pub async fn no_news(client: &impl GenericClient, order_id: Uuid) -> Result<()> {
    NO_NEWS.execute(client, &[&order_id]).await?;
    Ok(())
}

pub async fn by_number(app: &App, client: &impl GenericClient, number: &str) -> Result<Option<Order>> {
    Ok(orders(app, &BY_NUMBER.query(client, &[&number]).await?)?.pop())
}

pub async fn by_hold(app: &App, client: &impl GenericClient, hold_id: &HoldId) -> Result<Option<Order>> {
    Ok(orders(app, &BY_HOLD.query(client, &[&hold_id.as_slice()]).await?)?.pop())
}

pub async fn by_id(app: &App, client: &impl GenericClient, id: Uuid) -> Result<Option<Order>> {
    Ok(by_ids(app, client, &[id]).await?.pop())
}

pub async fn by_ids(app: &App, client: &impl GenericClient, ids: &[Uuid]) -> Result<Vec<Order>> {
    orders(app, &BY_ID.query(client, &[&ids]).await?)
}

/// Rows of an order and its items, with the stock lines that follow from the catalogue.
fn orders(app: &App, rows: &[Row]) -> Result<Vec<Order>> {
    let catalogue = app.catalogue.current();
    let mut out: Vec<Order> = Vec::new();
    let mut at = HashMap::<Uuid, usize>::new();
    for r in rows {
        let id: Uuid = r.get(0);
        // Whether it is dated is the catalogue's to say, below.
        let item = Item { product_id: r.get(17), quantity: r.get(18), unit_won: r.get(19), dated: false };
        if let Some(index) = at.get(&id) {
            out[*index].facts.items.push(item);
            continue;
        }
        let exhibition = catalogue.by_id(r.get(2))?;
        at.insert(id, out.len());
        out.push(Order {
            facts: OrderFacts {
                id,
                number: r.get(1),
                exhibition_id: exhibition.id,
                code: exhibition.code.clone(),
                slot_id: r.get(3),
                hold_id: fixed(r.get(4))?,
                fingerprint: fixed(r.get(5))?,
                total_won: r.get(7),
                person_key: fixed(r.get(8))?,
                person_places: r.get(9),
                person_counted: r.get(10),
                person_allowed: exhibition.person_limit,
                has_email: r.get(12),
                language: if r.get::<_, &str>(13) == "en" { "en" } else { "ko" },
                items: vec![item],
                lines: Vec::new(),
                pass_sid: r.get::<_, Option<&[u8]>>(20).map(fixed).transpose()?,
            },
            state: OrderState::parse(r.get(6)).ok_or_else(|| Error::bug("an order in an unknown state"))?,
            token_version: r.get(11),
            created_at: r.get(14),
            expires_at: r.get(15),
            paid_at: r.get(16),
            payment_method: r.get(21),
            receipts: r.get::<_, Option<serde_json::Value>>(22).and_then(|value| serde_json::from_value(value).ok()),
        });
    }
    for order in &mut out {
        let exhibition = catalogue.by_id(order.facts.exhibition_id)?;
        let slot_stock = order.facts.slot_id.and_then(|id| exhibition.slot(id)).map(|slot| slot.stock_id);
        let mut parts = Vec::with_capacity(order.facts.items.len() * 2);
        for item in &mut order.facts.items {
            let product = exhibition.product(item.product_id);
            let product =
                product.ok_or_else(|| Error::bug(format!("product {} is not in the catalogue", item.product_id)))?;
            parts.push((product.stock_id, item.quantity));
            item.dated = product.dated;
            if product.dated {
                let stock = slot_stock.ok_or_else(|| Error::bug("a dated product without its slot"))?;
                parts.push((stock, item.quantity));
            }
        }
        order.facts.lines = lines(parts);
    }
    Ok(out)
}

fn fixed(bytes: &[u8]) -> Result<[u8; 16]> {
    bytes.try_into().map_err(|_| Error::bug("a digest of another length"))
}

pub async fn contact(app: &App, client: &impl GenericClient, order_id: Uuid) -> Result<Option<Contact>> {
    match CONTACT.query_opt(client, &[&order_id]).await? {
        Some(row) => super::contact::open(app, order_id, row.get(0), row.get(1)).map(Some),
        None => Ok(None),
    }
}

pub async fn phone_digest(client: &impl GenericClient, order_id: Uuid) -> Result<Option<Vec<u8>>> {
    Ok(PHONE_DIGEST.query_opt(client, &[&order_id]).await?.map(|row| row.get(0)))
}

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

pub async fn returning(client: &impl GenericClient, attempt_id: Uuid) -> Result<i64> {
    Ok(RETURNING.query_one(client, &[&attempt_id]).await?.get(0))
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

/// What a confirm finds before it begins.
pub struct ToConfirm {
    pub order: Order,
    pub attempt: Attempt,
    /// The caller's key has confirmed another attempt, or the same with other words.
    pub confirm_key_reused: bool,
    /// Another attempt was sent with this key of the provider's.
    pub payment_key_known: bool,
}

pub async fn to_confirm(
    app: &App,
    client: &impl GenericClient,
    provider_order_id: &str,
    confirm_key: &[u8],
    fingerprint: &[u8],
    payment_key: &str,
) -> Result<Option<ToConfirm>> {
    let rows = TO_CONFIRM.query(client, &[&provider_order_id, &confirm_key, &fingerprint, &payment_key]).await?;
    let (Some(first), Some(order)) = (rows.first(), orders(app, &rows)?.pop()) else { return Ok(None) };
    Ok(Some(ToConfirm {
        order,
        attempt: attempt(first, 23)?,
        confirm_key_reused: first.get(38),
        payment_key_known: first.get(39),
    }))
}

pub async fn attempt_by_provider_order(client: &impl GenericClient, order_id: &str) -> Result<Option<Attempt>> {
    ATTEMPT.query_opt(client, &[&order_id]).await?.map(|row| attempt(&row, 0)).transpose()
}

pub async fn attempt_by_payment_key(client: &impl GenericClient, payment_key: &str) -> Result<Option<Attempt>> {
    ATTEMPT_BY_KEY.query_opt(client, &[&payment_key]).await?.map(|row| attempt(&row, 0)).transpose()
}

/// The refund that has failed after all, where so little has gone back.
pub async fn failed_later(client: &impl GenericClient, attempt_id: Uuid, returned_won: i64) -> Result<Option<Uuid>> {
    Ok(FAILED_LATER.query_opt(client, &[&attempt_id, &returned_won]).await?.map(|row| row.get(0)))
}

pub async fn claim_unresolved(client: &impl GenericClient, provider: Provider, limit: i64) -> Result<Vec<Attempt>> {
    CLAIM_UNRESOLVED.query(client, &[&limit, &provider.as_str()]).await?.iter().map(|row| attempt(row, 0)).collect()
}

pub async fn lapsed(client: &impl GenericClient, limit: i64) -> Result<Vec<Uuid>> {
    Ok(LAPSED.query(client, &[&limit]).await?.iter().map(|r| r.get(0)).collect())
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
