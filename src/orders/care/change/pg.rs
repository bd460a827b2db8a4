//! SQL of changes that staff make to an order. Locks in the order of the stock writer: orders, then persons by key.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::orders::contact::INDEX_VERSION;
use crate::orders::model::{EventKind, OrderState, Origin};
use crate::orders::writer::SealedContact;
use crate::platform::pg::Statement;
use crate::stock::PersonKey;

const LOCK: Statement = Statement::new(
    "care.lock",
    "select state, person_key, person_places, person_counted, has_email from orders where id = $1 for update",
);

const LOCK_CONTACT: Statement =
    Statement::new("care.lock_contact", "select order_id from contacts where order_id = $1 for update");

/// Their rows, made where there are none, and locked.
const LOCK_PEOPLE: Statement = Statement::new(
    "care.lock_people",
    "insert into person_counters as c (exhibition_id, person_key, allowed, used, open_holds)
     select $1, k.key, $3, 0, 0 from unnest($2::bytea[]) as k (key) order by k.key
         on conflict on constraint person_counters_key do update set allowed = c.allowed
     returning person_key, used, open_holds",
);

const MOVE_PERSON: Statement = Statement::new(
    "care.move_person",
    "update person_counters
        set used = used + $3, open_holds = open_holds + $4, allowed = greatest($5, used + $3)
      where exhibition_id = $1 and person_key = $2",
);

/// Their rows are the privacy feature's: only looked at, under the order's lock.
const IS_TO_BE_FORGOTTEN: Statement = Statement::new(
    "care.is_to_be_forgotten",
    "select exists (select from privacy_requests where kind = 'erase' and phone_digest = $1 and ended_at is null)",
);

const WRITE_ORDER: Statement =
    Statement::new("care.write_order", "update orders set has_email = $2, person_key = $3 where id = $1");

const WRITE_CONTACT: Statement = Statement::new(
    "care.write_contact",
    "update contacts set phone_digest = $2, key_id = $3, sealed = $4, name_index = $5, tail_index = $6, index_version = $7
      where order_id = $1 and erased_at is null",
);

const EVENT: Statement = Statement::new(
    "care.event",
    "insert into order_events (order_id, kind, actor, cause, correlation_id, at) values ($1, $2, $3, $4, $5, admit_now())",
);

const RESENT: Statement = Statement::new(
    "care.resent",
    "select count(*), min(asked_at) from mail_resends where order_id = $1 and asked_at > admit_now() - interval '1 day'",
);

const RESEND: Statement = Statement::new(
    "care.resend",
    "with again as (
         insert into mail_resends (id, order_id, asked_by, asked_at) values ($1, $2, $3, admit_now()) returning id
     )
     insert into outbox (kind, order_id, exhibition_id, next_try_at, created_at)
     select 'resend', id, (select exhibition_id from orders where id = $2), admit_now(), admit_now() from again",
);

pub const STATEMENTS: &[&Statement] = &[
    &LOCK,
    &LOCK_CONTACT,
    &LOCK_PEOPLE,
    &MOVE_PERSON,
    &IS_TO_BE_FORGOTTEN,
    &WRITE_ORDER,
    &WRITE_CONTACT,
    &EVENT,
    &RESENT,
    &RESEND,
];

/// What of an order the counting of its person rests on.
pub struct Locked {
    pub state: OrderState,
    pub person_key: PersonKey,
    pub person_places: i32,
    pub person_counted: bool,
    pub has_email: bool,
}

/// The order is nobody else's until the transaction ends.
pub async fn lock(client: &impl GenericClient, order_id: Uuid) -> Result<Locked> {
    let r = LOCK.query_one(client, &[&order_id]).await?;
    LOCK_CONTACT.query_one(client, &[&order_id]).await?;
    Ok(Locked {
        state: OrderState::parse(r.get(0)).ok_or_else(|| Error::bug("an order in an unknown state"))?,
        person_key: r.get::<_, &[u8]>(1).try_into().map_err(Error::bug)?,
        person_places: r.get(2),
        person_counted: r.get(3),
        has_email: r.get(4),
    })
}

/// Places used and open holds of each.
pub async fn lock_people(
    client: &impl GenericClient,
    exhibition_id: i32,
    people: [&PersonKey; 2],
    allowed: i32,
) -> Result<[(i32, i32); 2]> {
    let keys: Vec<&[u8]> = people.iter().map(|key| key.as_slice()).collect();
    let rows = LOCK_PEOPLE.query(client, &[&exhibition_id, &keys, &allowed]).await?;
    let of = |key: &PersonKey| {
        let row = rows.iter().find(|row| row.get::<_, &[u8]>(0) == key.as_slice());
        row.map(|row| (row.get(1), row.get(2))).ok_or_else(|| Error::bug("a person without a row"))
    };
    Ok([of(people[0])?, of(people[1])?])
}

pub async fn move_person(
    client: &impl GenericClient,
    (exhibition_id, person): (i32, &PersonKey),
    (places, open_holds): (i32, i32),
    allowed: i32,
) -> Result<()> {
    MOVE_PERSON.execute(client, &[&exhibition_id, &person.as_slice(), &places, &open_holds, &allowed]).await?;
    Ok(())
}

/// Whoever has this digest waits to be forgotten.
pub async fn is_to_be_forgotten(client: &impl GenericClient, digest: &[u8]) -> Result<bool> {
    Ok(IS_TO_BE_FORGOTTEN.query_one(client, &[&digest]).await?.get(0))
}

pub async fn write(
    client: &impl GenericClient,
    order_id: Uuid,
    has_email: bool,
    person: &PersonKey,
    contact: &SealedContact,
) -> Result<()> {
    WRITE_ORDER.execute(client, &[&order_id, &has_email, &person.as_slice()]).await?;
    let SealedContact { phone_digest, index, key_id, sealed, .. } = contact;
    WRITE_CONTACT
        .execute(client, &[&order_id, phone_digest, key_id, sealed, &index.name, &index.tail, &INDEX_VERSION])
        .await?;
    Ok(())
}

/// What happened, in the order's history.
pub async fn event(client: &impl GenericClient, order_id: Uuid, kind: EventKind, origin: &Origin) -> Result<()> {
    EVENT.execute(client, &[&order_id, &kind.as_str(), &origin.actor, &origin.cause, &origin.correlation_id]).await?;
    Ok(())
}

/// How often the order's mail was sent again within a day, and when the first of these was asked for.
pub async fn resent(client: &impl GenericClient, order_id: Uuid) -> Result<(i64, Option<Timestamp>)> {
    let row = RESENT.query_one(client, &[&order_id]).await?;
    Ok((row.get(0), row.get(1)))
}

pub async fn resend(client: &impl GenericClient, id: Uuid, order_id: Uuid, asked_by: i32) -> Result<()> {
    RESEND.execute(client, &[&id, &order_id, &asked_by]).await?;
    Ok(())
}
