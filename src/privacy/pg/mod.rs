//! SQL of erasing. Locks in the order of the stock writer: orders by id, then persons by key.

pub mod export;
pub mod requests;
pub mod retention;

use deadpool_postgres::GenericClient;
use uuid::Uuid;

use crate::error::Result;
use crate::orders::model::Origin;
use crate::platform::pg::Statement;

/// Why the contact of order `o` of exhibition `e` is needed; null: it is not. Exhibitions are over $2 days after their end,
/// orders that came to nothing $3 hours after that.
macro_rules! kept {
    () => {
        "case
            when o.state in ('held', 'confirming', 'awaiting_deposit') then 'under_way'
            when exists (select from attempts a where a.order_id = o.id
                            and (a.state in ('sent', 'unknown', 'awaiting_deposit') or a.close_at is not null)) then 'payment'
            when exists (select from refunds r where r.order_id = o.id
                            and (r.state in ('pending', 'needs_account', 'failed', 'bounced') or r.look_at < 'infinity')) then 'refund'
            when o.state in ('paid', 'partially_refunded')
                 and e.ends_on >= (admit_now() at time zone 'Asia/Seoul')::date - $2::int then 'visit'
            when o.closed_at >= admit_now() - make_interval(hours => $3::int) then 'closed'
         end"
    };
}
pub(in crate::privacy::pg) use kept;

/// What an event of an order has in place of the request's id: a digest of both, by a salt that the request has and no table; without
/// one, nothing.
macro_rules! correlation {
    ($salt:literal, $order:literal) => {
        concat!("coalesce(left(encode(sha256(", $salt, "::bytea || uuid_send(", $order, ")), 'hex'), 32), '')")
    };
}
pub(in crate::privacy::pg) use correlation;

const LOCK: Statement =
    Statement::new("privacy.lock", "select id from orders where id = any($1::uuid[]) order by id for update");

const LOCK_FREE: Statement = Statement::new(
    "privacy.lock_free",
    "select id from orders where id = any($1::uuid[]) order by id for update skip locked",
);

/// Of locked orders, judged anew: whose contact is still this person's ($4; null: whoever's) and is not needed any more.
const ERASE: Statement = Statement::new(
    "privacy.erase",
    concat!(
        "with may as (
             select o.id, o.exhibition_id, o.person_key, o.person_counted,
                    case when o.state in ('paid', 'partially_refunded') then o.person_places else 0 end as places
               from orders o join contacts c on c.order_id = o.id join exhibitions e on e.id = o.exhibition_id
              where o.id = any($1::uuid[]) and c.erased_at is null and ($4::bytea is null or c.phone_digest = $4)
                and (",
        kept!(),
        ") is null
         ), contact as (
             update contacts c
                set erased_at = admit_now(), phone_digest = '', key_id = '', sealed = '', name_index = null, tail_index = null,
                    marketing = false
               from may m where c.order_id = m.id
         ), person as (
             -- The person's key is the digest of the phone number, and the fingerprint is over all of the contact.
             update orders o
                set person_key = decode(repeat('00', 16), 'hex'), fingerprint = decode(repeat('00', 16), 'hex'),
                    person_counted = false, has_email = false, pass_sid = null
               from may m where o.id = m.id
         ), words as (
             -- What a visitor wrote, as if they had written nothing.
             update refunds r
                set reason = case r.kind when 'visitor' then 'visitor' else r.reason end, account_key_id = null, account_sealed = null
               from may m where r.order_id = m.id and (r.kind = 'visitor' or r.account_sealed is not null)
         ), account as (
             delete from deposit_accounts d using attempts a, may m where a.order_id = m.id and d.attempt_id = a.id
         ), told as (
             insert into order_events (order_id, kind, actor, cause, correlation_id, at)
             select id, 'contact_erased', $5, $6, ",
        correlation!("$7", "id"),
        ", admit_now() from may
         )
         select exhibition_id, person_key, places, person_counted from may"
    ),
);

const LOCK_PEOPLE: Statement = Statement::new(
    "privacy.lock_people",
    "select c.used from person_counters c
       join unnest($1::int[], $2::bytea[]) as k (exhibition_id, person_key) using (exhibition_id, person_key)
      order by c.exhibition_id, c.person_key for update of c",
);

const UNCOUNT: Statement = Statement::new(
    "privacy.uncount",
    "update person_counters c set used = c.used - d.places
       from (select exhibition_id, person_key, sum(places)::int as places
               from unnest($1::int[], $2::bytea[], $3::int[]) as t (exhibition_id, person_key, places)
              group by exhibition_id, person_key) d
      where c.exhibition_id = d.exhibition_id and c.person_key = d.person_key and d.places > 0",
);

/// Who has nothing any more is counted no longer.
const FORGET_PEOPLE: Statement = Statement::new(
    "privacy.forget_people",
    "delete from person_counters c using unnest($1::int[], $2::bytea[]) as k (exhibition_id, person_key)
      where c.exhibition_id = k.exhibition_id and c.person_key = k.person_key and c.used = 0 and c.open_holds = 0",
);

pub const STATEMENTS: &[&Statement] = &[&LOCK, &LOCK_FREE, &ERASE, &LOCK_PEOPLE, &UNCOUNT, &FORGET_PEOPLE];

/// How long after the end.
#[derive(Clone, Copy, Debug)]
pub struct Spans {
    /// After an exhibition. [days]
    pub days: i32,
    /// After an order that came to nothing. [hours]
    pub hours: i32,
}

/// The orders are nobody else's until the transaction ends. `wait`: for whoever has one of them; else it is left out.
pub async fn lock(client: &impl GenericClient, ids: &[Uuid], wait: bool) -> Result<Vec<Uuid>> {
    let statement = if wait { &LOCK } else { &LOCK_FREE };
    Ok(statement.query(client, &[&ids]).await?.iter().map(|row| row.get(0)).collect())
}

/// Where an order was counted for its person.
pub struct Counted {
    pub exhibition_id: i32,
    pub person_key: Vec<u8>,
    pub places: i32,
    pub counted: bool,
}

pub async fn erase(
    client: &impl GenericClient,
    ids: &[Uuid],
    spans: Spans,
    phone_digest: Option<&[u8]>,
    (origin, salt): (&Origin, Option<&[u8]>),
) -> Result<Vec<Counted>> {
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [&ids, &spans.days, &spans.hours, &phone_digest, &origin.actor, &origin.cause, &salt];
    let counted = |r: &tokio_postgres::Row| Counted {
        exhibition_id: r.get(0),
        person_key: r.get(1),
        places: r.get(2),
        counted: r.get(3),
    };
    Ok(ERASE.query(client, &params).await?.iter().map(counted).collect())
}

pub async fn uncount(client: &impl GenericClient, counted: &[Counted]) -> Result<()> {
    let counted: Vec<&Counted> = counted.iter().filter(|one| one.counted).collect();
    if counted.is_empty() {
        return Ok(());
    }
    let exhibitions: Vec<i32> = counted.iter().map(|one| one.exhibition_id).collect();
    let people: Vec<&[u8]> = counted.iter().map(|one| one.person_key.as_slice()).collect();
    let places: Vec<i32> = counted.iter().map(|one| one.places).collect();
    LOCK_PEOPLE.query(client, &[&exhibitions, &people]).await?;
    UNCOUNT.execute(client, &[&exhibitions, &people, &places]).await?;
    FORGET_PEOPLE.execute(client, &[&exhibitions, &people]).await?;
    Ok(())
}
