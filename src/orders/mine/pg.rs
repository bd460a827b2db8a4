//! SQL of one-time codes and of the orders they open.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use uuid::Uuid;

use super::{CODE_MINUTES, OPEN_MINUTES, TRIES_MAX};
use crate::error::Result;
use crate::platform::pg::Statement;

/// One after the other for a phone number, or many at once would all find that few were asked for before. Until the
/// transaction ends.
const ONE_AT_A_TIME: Statement = Statement::new("mine.one_at_a_time", "select pg_advisory_xact_lock($1)");

const ASKED: Statement = Statement::new(
    "mine.asked",
    "select count(*) filter (where who = $1 and created_at > admit_now() - interval '1 hour'),
            min(created_at) filter (where who = $1 and created_at > admit_now() - interval '1 hour'),
            count(*) filter (where who = $1), count(*), min(created_at)
       from one_time_codes where phone_digest = $2 and created_at > admit_now() - interval '1 day'",
);

const ASK: Statement = Statement::new(
    "mine.ask",
    "with asked as (
         insert into one_time_codes (id, who, phone_digest, key_id, sealed, created_at)
         values ($1, $2, $3, $4, $5, admit_now()) returning id
     )
     insert into outbox (kind, order_id, exhibition_id, next_try_at, created_at)
     select 'one_time_code', id, 0, admit_now(), admit_now() from asked where $6",
);

const CODE: Statement =
    Statement::new("mine.code", "select phone_digest, key_id, sealed, created_at from one_time_codes where id = $1");

/// Counts before anybody compares, so that many at once are not more tries.
const TRY: Statement = Statement::new(
    "mine.try",
    "update one_time_codes set tries = tries + 1
      where id = $1 and opened_at is null and tries < $2 and created_at > admit_now() - make_interval(mins => $3)
     returning tries",
);

/// Once: a code opens the list in one browser.
const OPEN: Statement = Statement::new(
    "mine.open",
    "update one_time_codes set opened_at = admit_now() where id = $1 and opened_at is null",
);

const OPENED: Statement = Statement::new(
    "mine.opened",
    "select phone_digest, key_id, sealed, created_at from one_time_codes
      where id = $1 and opened_at > admit_now() - make_interval(mins => $2)",
);

const CLOSE: Statement = Statement::new("mine.close", "delete from one_time_codes where id = $1");

/// Newest first: ids are by time.
const OF_PHONE: Statement = Statement::new(
    "mine.of_phone",
    "select order_id, key_id, sealed from contacts where phone_digest = $1 and erased_at is null
      order by order_id desc limit $2",
);

pub const STATEMENTS: &[&Statement] = &[&ONE_AT_A_TIME, &ASKED, &ASK, &CODE, &TRY, &OPEN, &OPENED, &CLOSE, &OF_PHONE];

/// How often a code was asked for: for a phone number and address, and for the number alone.
pub struct Before {
    pub in_hour: i64,
    pub first_in_hour: Option<Timestamp>,
    pub in_day: i64,
    pub of_phone_in_day: i64,
    pub first_in_day: Option<Timestamp>,
}

/// In a transaction: whoever asks at the same time for the same phone number waits for its end.
pub async fn asked(client: &impl GenericClient, who: &[u8], phone_digest: &[u8; 32]) -> Result<Before> {
    let mut lock = [0u8; 8];
    lock.copy_from_slice(&phone_digest[..8]);
    ONE_AT_A_TIME.query_one(client, &[&i64::from_be_bytes(lock)]).await?;
    let row = ASKED.query_one(client, &[&who, &phone_digest.as_slice()]).await?;
    Ok(Before {
        in_hour: row.get(0),
        first_in_hour: row.get(1),
        in_day: row.get(2),
        of_phone_in_day: row.get(3),
        first_in_day: row.get(4),
    })
}

/// A request as it is stored.
pub struct Request {
    pub phone_digest: Vec<u8>,
    pub key_id: String,
    pub sealed: Vec<u8>,
    pub created_at: Timestamp,
}

fn request(row: &tokio_postgres::Row) -> Request {
    Request { phone_digest: row.get(0), key_id: row.get(1), sealed: row.get(2), created_at: row.get(3) }
}

pub async fn ask(
    client: &impl GenericClient,
    id: Uuid,
    who: &[u8],
    phone_digest: &[u8],
    (key_id, sealed): (&str, &[u8]),
    mailed: bool,
) -> Result<()> {
    ASK.execute(client, &[&id, &who, &phone_digest, &key_id, &sealed, &mailed]).await?;
    Ok(())
}

pub async fn code(client: &impl GenericClient, id: Uuid) -> Result<Option<Request>> {
    Ok(CODE.query_opt(client, &[&id]).await?.as_ref().map(request))
}

/// Which try this is; None: there are none left, or too much time has passed.
pub async fn try_once(client: &impl GenericClient, id: Uuid) -> Result<Option<i32>> {
    Ok(TRY.query_opt(client, &[&id, &TRIES_MAX, &CODE_MINUTES]).await?.map(|row| row.get(0)))
}

pub async fn open(client: &impl GenericClient, id: Uuid) -> Result<bool> {
    Ok(OPEN.execute(client, &[&id]).await? == 1)
}

pub async fn opened(client: &impl GenericClient, id: Uuid) -> Result<Option<Request>> {
    Ok(OPENED.query_opt(client, &[&id, &OPEN_MINUTES]).await?.as_ref().map(request))
}

pub async fn close(client: &impl GenericClient, id: Uuid) -> Result<()> {
    CLOSE.execute(client, &[&id]).await?;
    Ok(())
}

/// Orders of a phone number with their sealed contacts, newest first.
pub async fn of_phone(
    client: &impl GenericClient,
    phone_digest: &[u8],
    limit: i64,
) -> Result<Vec<(Uuid, String, Vec<u8>)>> {
    let rows = OF_PHONE.query(client, &[&phone_digest, &limit]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}
