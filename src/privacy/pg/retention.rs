//! SQL of what goes by itself.

use deadpool_postgres::GenericClient;
use uuid::Uuid;

use crate::error::Result;
use crate::platform::pg::Statement;

const LOCK_CURSOR: Statement =
    Statement::new("privacy.lock_cursor", "select id from retention_cursor for update skip locked");

const MOVE_CURSOR: Statement = Statement::new("privacy.move_cursor", "update retention_cursor set id = $1");

/// In the order in which they were written: ids are given before a commit, but what is hours old is all there.
const EVENTS: Statement = Statement::new(
    "privacy.events",
    "select id, order_id, coalesce(to_state in ('expired', 'cancelled', 'refunded'), false),
            at < admit_now() - make_interval(hours => $2::int)
       from order_events where id > $1 order by id limit $3",
);

/// Exhibitions that are over for so long, each once; one whose end was moved is gone through anew.
const OPEN_WALKS: Statement = Statement::new(
    "privacy.open_walks",
    "insert into retention_walks as w (exhibition_id, what, ends_on, look_at)
     select e.id, $1, e.ends_on, admit_now() from exhibitions e
      where e.ends_on < (admit_now() at time zone 'Asia/Seoul')::date - make_interval(years => $2::int, days => $3::int)
     on conflict on constraint retention_walks_key do update
        set ends_on = excluded.ends_on, after = '00000000-0000-0000-0000-000000000000', kept = 0, done_at = null,
            look_at = excluded.look_at
      where w.ends_on < excluded.ends_on",
);

const WALK: Statement = Statement::new(
    "privacy.walk",
    "select w.exhibition_id, e.code, w.after, w.kept from retention_walks w join exhibitions e on e.id = w.exhibition_id
      where w.what = $1 and w.done_at is null and w.look_at <= admit_now()
      order by w.look_at limit 1 for update of w skip locked",
);

/// By order_exhibition, whatever else the planner would think of.
const STEP: Statement = Statement::new(
    "privacy.step",
    "select id from orders
      where (exhibition_id, id) > ($1, $2) and exhibition_id <= $1 order by exhibition_id, id limit $3",
);

const UNERASED: Statement = Statement::new(
    "privacy.unerased",
    "select count(*) from contacts where order_id = any($1::uuid[]) and erased_at is null",
);

const ADVANCE: Statement = Statement::new(
    "privacy.advance",
    "update retention_walks set after = $3, kept = kept + $4 where exhibition_id = $1 and what = $2",
);

/// Some had to be kept: from the beginning, after midnight in Seoul.
const AGAIN: Statement = Statement::new(
    "privacy.walk_again",
    "update retention_walks
        set after = '00000000-0000-0000-0000-000000000000', kept = 0,
            look_at = (date_trunc('day', admit_now() at time zone 'Asia/Seoul') + interval '1 day') at time zone 'Asia/Seoul'
      where exhibition_id = $1 and what = $2",
);

/// Its end could not be carried out; others have their turn first.
const LATER: Statement = Statement::new(
    "privacy.walk_later",
    "update retention_walks set look_at = admit_now() + interval '1 minute' where exhibition_id = $1 and what = $2",
);

const WALKED: Statement = Statement::new(
    "privacy.walked",
    "update retention_walks set done_at = admit_now() where exhibition_id = $1 and what = $2",
);

/// Of those who wanted to be told when their turn is near, and for whom it never came.
const NOTICES: Statement = Statement::new(
    "privacy.notices",
    "update room_notices set state = 'erased', key_id = null, sealed = null, ended_at = admit_now()
      where exhibition_id = $1 and state = 'pending'",
);

/// What somebody noted of people at the door.
const NOTES: Statement = Statement::new(
    "privacy.notes",
    "update entry_conflicts set note = null where exhibition_id = $1 and note is not null",
);

/// What leads from a payment to its payer: only over the provider. Sums, states and times stay, since the books rest on them.
const PAYMENTS: Statement = Statement::new(
    "privacy.payments",
    "with may as (
         select o.id from orders o
          where o.id = any($1::uuid[])
            and not exists (select from attempts a where a.order_id = o.id
                               and (a.state in ('sent', 'unknown', 'awaiting_deposit') or a.close_at is not null
                                    or a.ended_at >= admit_now() - make_interval(years => $2::int)))
            and not exists (select from refunds r where r.order_id = o.id
                               and (r.state in ('pending', 'needs_account', 'failed', 'bounced') or r.look_at < 'infinity'
                                    or r.done_at >= admit_now() - make_interval(years => $2::int)))
     ), answer as (
         delete from provider_answers p using attempts a, may m where a.order_id = m.id and p.attempt_id = a.id
     ), attempt as (
         update attempts a
            set payment_key = null, receipts = null, secret = null, client_secret = null, failure_message = null,
                confirm_key = null, confirm_fingerprint = null
           from may m where a.order_id = m.id
     ), refund as (
         update refunds r set reason = '', request_key = null, request_fingerprint = null
           from may m where r.order_id = m.id and r.kind <> 'automatic'
     )
     select count(*) from may",
);

const BOOK_LINES: Statement = Statement::new(
    "privacy.book_lines",
    "delete from provider_transactions t
      using (select provider, key from provider_transactions
              where provider = any(array['toss', 'stripe']) and at < admit_now() - make_interval(years => $1::int)
              order by at limit $2 for update skip locked) old
      where t.provider = old.provider and t.key = old.key",
);

const DIFFERENCES: Statement = Statement::new(
    "privacy.differences",
    "delete from money_differences where id in (
         select id from money_differences where resolved_at < admit_now() - make_interval(years => $1::int)
          order by id limit $2 for update skip locked)",
);

const SIGN_INS: Statement = Statement::new(
    "privacy.sign_ins",
    "delete from refresh_tokens where digest in (
         select digest from refresh_tokens where created_at < admit_now() - make_interval(days => $1::int)
          order by created_at limit $2 for update skip locked)",
);

const AUDIT: Statement = Statement::new(
    "privacy.audit",
    "delete from admin_audit where id in (
         select id from admin_audit
          where at < admit_now() - make_interval(years => $1::int)
            and action not in ('room.config', 'room.phase', 'room.rehearsal', 'entry.rules')
          order by at limit $2 for update skip locked)",
);

/// Of those that stay for good.
const ADDRESSES: Statement = Statement::new(
    "privacy.addresses",
    "update admin_audit set address = null where id in (
         select id from admin_audit
          where at < admit_now() - make_interval(years => $1::int) and address is not null
            and action in ('room.config', 'room.phase', 'room.rehearsal', 'entry.rules')
          order by at limit $2 for update skip locked)",
);

/// Whoever has got what we have of them needs no longer be known, when the last day for it is over in Seoul, and the day on which they
/// got it: a download that broke is tried again. A copy that nobody has taken is no answer: it stays, overdue, until it is taken or
/// withdrawn.
const EXPORTS: Statement = Statement::new(
    "privacy.end_exports",
    "update privacy_requests set state = 'done', phone_digest = null, ended_at = admit_now()
      where id in (select id from privacy_requests
                    where kind = 'export' and state = 'open' and carried_at >= asked_at
                      and greatest((asked_at at time zone 'Asia/Seoul')::date + $1::int, (carried_at at time zone 'Asia/Seoul')::date)
                          < (admit_now() at time zone 'Asia/Seoul')::date
                    order by asked_at limit $2 for update skip locked)",
);

const REQUESTS: Statement = Statement::new(
    "privacy.old_requests",
    "delete from privacy_requests where id in (
         select id from privacy_requests
          where ended_at is not null and asked_at < admit_now() - make_interval(years => $1::int)
            and ended_at < admit_now() - make_interval(years => $1::int)
          order by asked_at limit $2 for update skip locked)",
);

pub const STATEMENTS: &[&Statement] = &[
    &LOCK_CURSOR,
    &MOVE_CURSOR,
    &EVENTS,
    &OPEN_WALKS,
    &WALK,
    &STEP,
    &UNERASED,
    &ADVANCE,
    &AGAIN,
    &LATER,
    &WALKED,
    &NOTICES,
    &NOTES,
    &PAYMENTS,
    &BOOK_LINES,
    &DIFFERENCES,
    &SIGN_INS,
    &AUDIT,
    &ADDRESSES,
    &EXPORTS,
    &REQUESTS,
];

/// How far the history was read. None: another worker reads it.
pub async fn lock_cursor(client: &impl GenericClient) -> Result<Option<i64>> {
    Ok(LOCK_CURSOR.query_opt(client, &[]).await?.map(|row| row.get(0)))
}

pub async fn move_cursor(client: &impl GenericClient, id: i64) -> Result<()> {
    MOVE_CURSOR.execute(client, &[&id]).await?;
    Ok(())
}

pub struct Event {
    pub id: i64,
    pub order_id: Uuid,
    /// The order came to an end with it.
    pub ended: bool,
    /// Old enough.
    pub due: bool,
}

pub async fn events(client: &impl GenericClient, after: i64, hours: i32, limit: i64) -> Result<Vec<Event>> {
    let event = |r: &tokio_postgres::Row| Event { id: r.get(0), order_id: r.get(1), ended: r.get(2), due: r.get(3) };
    Ok(EVENTS.query(client, &[&after, &hours, &limit]).await?.iter().map(event).collect())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Contacts,
    Payments,
}

impl What {
    pub fn as_str(self) -> &'static str {
        match self {
            What::Contacts => "contacts",
            What::Payments => "payments",
        }
    }
}

pub async fn open_walks(client: &impl GenericClient, what: What, years: i32, days: i32) -> Result<()> {
    OPEN_WALKS.execute(client, &[&what.as_str(), &years, &days]).await?;
    Ok(())
}

pub struct Walk {
    pub exhibition_id: i32,
    pub code: String,
    pub after: Uuid,
    /// Orders that had to be kept, so far.
    pub kept: i32,
}

/// Ours until the transaction ends.
pub async fn walk(client: &impl GenericClient, what: What) -> Result<Option<Walk>> {
    let row = WALK.query_opt(client, &[&what.as_str()]).await?;
    Ok(row.map(|r| Walk { exhibition_id: r.get(0), code: r.get(1), after: r.get(2), kept: r.get(3) }))
}

pub async fn step(client: &impl GenericClient, walk: &Walk, limit: i64) -> Result<Vec<Uuid>> {
    let rows = STEP.query(client, &[&walk.exhibition_id, &walk.after, &limit]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub async fn unerased(client: &impl GenericClient, ids: &[Uuid]) -> Result<i64> {
    Ok(UNERASED.query_one(client, &[&ids]).await?.get(0))
}

pub async fn advance(client: &impl GenericClient, what: What, walk: &Walk, to: Uuid, kept: i32) -> Result<()> {
    ADVANCE.execute(client, &[&walk.exhibition_id, &what.as_str(), &to, &kept]).await?;
    Ok(())
}

pub async fn again(client: &impl GenericClient, what: What, walk: &Walk) -> Result<()> {
    AGAIN.execute(client, &[&walk.exhibition_id, &what.as_str()]).await?;
    Ok(())
}

pub async fn later(client: &impl GenericClient, what: What, walk: &Walk) -> Result<()> {
    LATER.execute(client, &[&walk.exhibition_id, &what.as_str()]).await?;
    Ok(())
}

pub async fn walked(client: &impl GenericClient, what: What, walk: &Walk) -> Result<()> {
    WALKED.execute(client, &[&walk.exhibition_id, &what.as_str()]).await?;
    Ok(())
}

/// What of an exhibition's contacts hangs on no order.
pub async fn leftovers(client: &impl GenericClient, what: What, walk: &Walk) -> Result<u64> {
    let statement = match what {
        What::Contacts => &NOTICES,
        What::Payments => &NOTES,
    };
    statement.execute(client, &[&walk.exhibition_id]).await
}

/// How many of these orders nobody can be found by any more.
pub async fn payments(client: &impl GenericClient, ids: &[Uuid], years: i32) -> Result<i64> {
    Ok(PAYMENTS.query_one(client, &[&ids, &years]).await?.get(0))
}

/// What goes by its age alone: a name for the record, and the statement, which takes the age and how many.
pub const BY_AGE: [(&str, Period, &Statement); 7] = [
    ("book_lines", Period::Payments, &BOOK_LINES),
    ("differences", Period::Payments, &DIFFERENCES),
    ("sign_ins", Period::SignIns, &SIGN_INS),
    ("audit_rows", Period::Audit, &AUDIT),
    ("audit_addresses", Period::Audit, &ADDRESSES),
    ("exports", Period::Exports, &EXPORTS),
    ("requests", Period::Requests, &REQUESTS),
];

#[derive(Clone, Copy, Debug)]
pub enum Period {
    Payments,
    SignIns,
    Audit,
    Exports,
    Requests,
}
