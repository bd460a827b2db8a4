//! SQL of requests, and of the orders that one is about.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use super::{Spans, correlation, kept};
use crate::error::{Error, Result};
use crate::platform::pg::Statement;
use crate::privacy::requests::{Kind, State, Verified};

/// Whose an order is, as far as that is known.
const WHO: Statement = Statement::new(
    "privacy.who",
    "select c.phone_digest from orders o join contacts c on c.order_id = o.id
      where o.number = $1 and c.erased_at is null",
);

/// The same, and nobody corrects the order until the transaction ends.
const WHO_STAYS: Statement = Statement::new(
    "privacy.who_stays",
    "select c.phone_digest from orders o join contacts c on c.order_id = o.id
      where o.number = $1 and c.erased_at is null for share of c",
);

const KNOWN: Statement = Statement::new(
    "privacy.known",
    "select exists (select from contacts where phone_digest = $1 and erased_at is null)",
);

/// The same asked twice is one request.
const ASK: Statement = Statement::new(
    "privacy.ask",
    "insert into privacy_requests (id, kind, phone_digest, verified_by, asked_by, asked_at)
     values ($1, $2, $3, $4, $5, admit_now()) on conflict do nothing",
);

const RUNNING: Statement = Statement::new(
    "privacy.running",
    "select id from privacy_requests where kind = $1 and phone_digest = $2 and ended_at is null for update",
);

/// What was ordered until now is meant. When the rest is looked at stays as it is: some of it may be due tomorrow.
const ASK_AGAIN: Statement = Statement::new(
    "privacy.ask_again",
    "update privacy_requests set asked_at = admit_now(), verified_by = $2, asked_by = $3 where id = $1 and ended_at is null",
);

/// Nothing was given or told yet of what was asked last: an erasure that nobody has carried out to its end, or a copy that nobody
/// has taken.
macro_rules! unanswered {
    () => {
        "(r.ended_at is null and (r.carried_at is null or r.carried_at < r.asked_at or (r.kind = 'erase' and r.state = 'open')))"
    };
}

/// Of the request's last asking; carried out again for the same, it stays as it was.
macro_rules! carried {
    () => {
        "case when carried_at >= asked_at then carried_at else admit_now() end"
    };
}

macro_rules! request {
    ($name:ident, $label:literal, $rest:expr) => {
        const $name: Statement = Statement::new(
            $label,
            concat!(
                "select r.id, r.kind, r.phone_digest, r.verified_by, r.state, u.username, r.asked_at, r.carried_at,
                        r.orders_erased, r.ended_at,
                        case when ",
                unanswered!(),
                " then (r.asked_at at time zone 'Asia/Seoul')::date + 10 end
                   from privacy_requests r left join admin_users u on u.id = r.asked_by ",
                $rest
            ),
        );
    };
}
request!(ONE, "privacy.request", "where r.id = $1");
request!(LOCK, "privacy.lock_request", "where r.id = $1 for update of r");
request!(
    UNANSWERED,
    "privacy.unanswered_requests",
    concat!("where ", unanswered!(), " and (r.asked_at, r.id) > ($1, $2) order by r.asked_at, r.id limit $3")
);
request!(
    ANSWERED,
    "privacy.answered_requests",
    concat!("where not ", unanswered!(), " and r.id < $1 order by r.id desc limit $2")
);

const DUE: Statement = Statement::new(
    "privacy.due_requests",
    "select id from privacy_requests where state = 'waiting' and look_at <= admit_now() order by look_at limit $1",
);

/// Orders of whoever asks, placed before they asked ($4), and why each is needed (see `kept`).
const ORDERS: Statement = Statement::new(
    "privacy.orders",
    concat!(
        "with theirs as materialized (
             select order_id from contacts where phone_digest = $1 and erased_at is null
         )
         select o.id, o.number, e.code, o.state, o.created_at, e.ends_on, ",
        kept!(),
        ", exists (select from attempts a where a.order_id = o.id and a.state = 'accepted'),
           (e.ends_on + make_interval(years => $7::int))::date
           from theirs t join orders o on o.id = t.order_id join exhibitions e on e.id = o.exhibition_id
          where o.created_at <= $4 and o.id > $5 order by o.id limit $6"
    ),
);

const COUNT: Statement = Statement::new(
    "privacy.count_erased",
    concat!(
        "update privacy_requests set orders_erased = orders_erased + $2, carried_at = ",
        carried!(),
        " where id = $1"
    ),
);

/// No news from now on, whatever else has to be kept.
const NO_NEWS: Statement = Statement::new(
    "privacy.no_news",
    concat!(
        "with withdrawn as (
         update contacts c set marketing = false from orders o
          where c.phone_digest = $1 and c.marketing and o.id = c.order_id and o.created_at <= $4 returning c.order_id
     )
     insert into order_events (order_id, kind, actor, cause, correlation_id, at)
     select order_id, 'news_withdrawn', $2, 'request', ",
        correlation!("$3", "order_id"),
        ", admit_now() from withdrawn"
    ),
);

const FORGET_CODES: Statement =
    Statement::new("privacy.forget_codes", "delete from one_time_codes where phone_digest = $1");

/// The rest waits for the next midnight in Seoul.
const WAIT: Statement = Statement::new(
    "privacy.request_waits",
    concat!(
        "update privacy_requests
            set state = 'waiting', carried_at = ",
        carried!(),
        ", look_at = (date_trunc('day', admit_now() at time zone 'Asia/Seoul') + interval '1 day') at time zone 'Asia/Seoul'
          where id = $1"
    ),
);

/// Who it was is known no longer.
const END: Statement = Statement::new(
    "privacy.end_request",
    concat!(
        "update privacy_requests
            set state = $2, phone_digest = null, look_at = null, ended_at = admit_now(),
                carried_at = case when $2 = 'done' then ",
        carried!(),
        " else carried_at end
          where id = $1 and ended_at is null"
    ),
);

const GIVEN_OUT: Statement =
    Statement::new("privacy.given_out", "update privacy_requests set carried_at = admit_now() where id = $1");

/// Whoever asks needs what we have no day longer than they must.
pub const AT_ONCE: Spans = Spans { days: 0, hours: 0 };

pub const STATEMENTS: &[&Statement] = &[
    &WHO,
    &WHO_STAYS,
    &KNOWN,
    &ASK,
    &RUNNING,
    &ASK_AGAIN,
    &ONE,
    &LOCK,
    &UNANSWERED,
    &ANSWERED,
    &DUE,
    &ORDERS,
    &COUNT,
    &NO_NEWS,
    &FORGET_CODES,
    &WAIT,
    &END,
    &GIVEN_OUT,
];

pub struct Request {
    pub id: Uuid,
    pub kind: Kind,
    /// Digest of the phone number of whoever asks. None: it has ended.
    pub who: Option<Vec<u8>>,
    pub verified_by: Verified,
    pub state: State,
    pub asked_by: Option<String>,
    pub asked_at: Timestamp,
    pub carried_at: Option<Timestamp>,
    pub orders_erased: i32,
    pub ended_at: Option<Timestamp>,
    /// In Seoul; ten days, which the law has. None: it is answered.
    pub due_on: Option<Date>,
}

/// The digest of the phone number that an order was placed with; None: there is no order, or it is forgotten.
pub async fn who(client: &impl GenericClient, number: &str) -> Result<Option<Vec<u8>>> {
    Ok(WHO.query_opt(client, &[&number]).await?.map(|row| row.get(0)))
}

/// In a transaction.
pub async fn who_stays(client: &impl GenericClient, number: &str) -> Result<Option<Vec<u8>>> {
    Ok(WHO_STAYS.query_opt(client, &[&number]).await?.map(|row| row.get(0)))
}

pub async fn known(client: &impl GenericClient, digest: &[u8]) -> Result<bool> {
    Ok(KNOWN.query_one(client, &[&digest]).await?.get(0))
}

pub struct NewRequest<'a> {
    pub id: Uuid,
    pub kind: Kind,
    pub who: &'a [u8],
    pub verified_by: Verified,
    pub asked_by: i32,
}

/// False: the same is asked for already.
pub async fn ask(client: &impl GenericClient, new: &NewRequest<'_>) -> Result<bool> {
    let NewRequest { id, kind, who, verified_by, asked_by } = new;
    Ok(ASK.execute(client, &[id, &kind.as_str(), who, &verified_by.as_str(), asked_by]).await? == 1)
}

/// The one that is running for the same; nobody else's until the transaction ends.
pub async fn running(client: &impl GenericClient, kind: Kind, who: &[u8]) -> Result<Option<Uuid>> {
    Ok(RUNNING.query_opt(client, &[&kind.as_str(), &who]).await?.map(|row| row.get(0)))
}

/// Under its lock.
pub async fn ask_again(client: &impl GenericClient, id: Uuid, verified_by: Verified, asked_by: i32) -> Result<()> {
    ASK_AGAIN.execute(client, &[&id, &verified_by.as_str(), &asked_by]).await?;
    Ok(())
}

fn read(r: &tokio_postgres::Row) -> Result<Request> {
    let odd = || Error::bug("a request of an unknown kind");
    Ok(Request {
        id: r.get(0),
        kind: Kind::parse(r.get(1)).ok_or_else(odd)?,
        who: r.get(2),
        verified_by: Verified::parse(r.get(3)).ok_or_else(odd)?,
        state: State::parse(r.get(4)).ok_or_else(odd)?,
        asked_by: r.get(5),
        asked_at: r.get(6),
        carried_at: r.get(7),
        orders_erased: r.get(8),
        ended_at: r.get(9),
        due_on: r.get(10),
    })
}

pub async fn one(client: &impl GenericClient, id: Uuid) -> Result<Option<Request>> {
    ONE.query_opt(client, &[&id]).await?.as_ref().map(read).transpose()
}

/// Nobody else's until the transaction ends.
pub async fn lock(client: &impl GenericClient, id: Uuid) -> Result<Option<Request>> {
    LOCK.query_opt(client, &[&id]).await?.as_ref().map(read).transpose()
}

/// Those that wait for an answer behind the given one, first those that are due first.
pub async fn unanswered(
    client: &impl GenericClient,
    (asked_at, id): (Timestamp, Uuid),
    limit: i64,
) -> Result<Vec<Request>> {
    UNANSWERED.query(client, &[&asked_at, &id, &limit]).await?.iter().map(read).collect()
}

/// All others before the given one, newest first.
pub async fn answered(client: &impl GenericClient, before: Uuid, limit: i64) -> Result<Vec<Request>> {
    ANSWERED.query(client, &[&before, &limit]).await?.iter().map(read).collect()
}

/// What has waited for today.
pub async fn due(client: &impl GenericClient, limit: i64) -> Result<Vec<Uuid>> {
    Ok(DUE.query(client, &[&limit]).await?.iter().map(|row| row.get(0)).collect())
}

/// An order of whoever asks.
pub struct Theirs {
    pub id: Uuid,
    pub number: String,
    pub code: String,
    pub state: String,
    pub created_at: Timestamp,
    pub ends_on: Date,
    /// Why its contact is needed: under_way, payment, refund or visit. None: it is not.
    pub kept: Option<String>,
    /// Money was paid for it.
    pub paid: bool,
    /// Until when the law wants records of that.
    pub records_until: Date,
}

/// Those behind the given one, as they were placed, at most so many.
pub async fn orders(
    client: &impl GenericClient,
    (who, until): (&[u8], Timestamp),
    after: Uuid,
    limit: i64,
    payments_years: i32,
) -> Result<Vec<Theirs>> {
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [&who, &AT_ONCE.days, &AT_ONCE.hours, &until, &after, &limit, &payments_years];
    let theirs = |r: &tokio_postgres::Row| Theirs {
        id: r.get(0),
        number: r.get(1),
        code: r.get(2),
        state: r.get(3),
        created_at: r.get(4),
        ends_on: r.get(5),
        kept: r.get(6),
        paid: r.get(7),
        records_until: r.get(8),
    };
    Ok(ORDERS.query(client, &params).await?.iter().map(theirs).collect())
}

pub async fn count(client: &impl GenericClient, id: Uuid, erased: i32) -> Result<()> {
    COUNT.execute(client, &[&id, &erased]).await?;
    Ok(())
}

/// Neither news nor a look at the list of orders by a code that was mailed before.
pub async fn no_more(
    client: &impl GenericClient,
    salt: &[u8],
    (who, until): (&[u8], Timestamp),
    actor: &str,
) -> Result<()> {
    NO_NEWS.execute(client, &[&who, &actor, &salt, &until]).await?;
    FORGET_CODES.execute(client, &[&who]).await?;
    Ok(())
}

pub async fn wait(client: &impl GenericClient, id: Uuid) -> Result<()> {
    WAIT.execute(client, &[&id]).await?;
    Ok(())
}

pub async fn end(client: &impl GenericClient, id: Uuid, state: State) -> Result<()> {
    END.execute(client, &[&id, &state.as_str()]).await?;
    Ok(())
}

pub async fn given_out(client: &impl GenericClient, id: Uuid) -> Result<()> {
    GIVEN_OUT.execute(client, &[&id]).await?;
    Ok(())
}
