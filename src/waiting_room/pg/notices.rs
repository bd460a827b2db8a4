//! Visitors who asked to be told when their turn is near. The outbox carries the notice's id where it carries an order's
//! for other messages: its uniqueness of (kind, id) is what makes one notice one mail.

use deadpool_postgres::GenericClient;
use uuid::Uuid;

use super::{count, int, lane};
use crate::error::Result;
use crate::platform::pg::Statement;
use crate::waiting_room::model::Lane;

/// A new address replaces the old one until the outbox has been told; after that the notice is on its way.
const PARK: Statement = Statement::new(
    "rooms.park",
    "insert into room_notices as n (id, exhibition_id, run, lane, number, key_id, sealed, created_at)
     values ($1, $2, $3, $4, $5, $6, $7, admit_now())
     on conflict on constraint room_notice_once do update
        set key_id = excluded.key_id, sealed = excluded.sealed, state = 'pending', ended_at = null
      where n.due_at is null",
);

const UNPARK: Statement = Statement::new(
    "rooms.unpark",
    "update room_notices set state = 'erased', key_id = null, sealed = null, ended_at = admit_now()
      where exhibition_id = $1 and run = $2 and lane = $3 and number = $4 and state = 'pending'",
);

const PARKED: Statement = Statement::new(
    "rooms.parked",
    "select id, lane, number from room_notices
      where exhibition_id = $1 and run = $2 and (lane, number) > ($3, $4) and state = 'pending' and due_at is null
      order by lane, number limit $5",
);

const DUE: Statement = Statement::new(
    "rooms.notices_due",
    "with told as (
        update room_notices set due_at = admit_now()
         where id = any($1) and state = 'pending' and due_at is null
        returning id, exhibition_id
     )
     insert into outbox (kind, order_id, exhibition_id, next_try_at, created_at)
     select 'queue_turn', id, exhibition_id, admit_now(), admit_now() from told
     on conflict on constraint outbox_once do nothing",
);

const ONE: Statement = Statement::new(
    "rooms.notice",
    "select e.code, n.exhibition_id, n.run, n.lane, n.number, n.key_id, n.sealed
       from room_notices n join exhibitions e on e.id = n.exhibition_id
      where n.id = $1 and n.state = 'pending'",
);

const DONE: Statement = Statement::new(
    "rooms.notice_done",
    "update room_notices set state = $2, key_id = null, sealed = null, ended_at = admit_now()
      where id = $1 and state = 'pending'",
);

const ERASE_RUN: Statement = Statement::new(
    "rooms.erase_notices",
    "update room_notices set state = 'erased', key_id = null, sealed = null, ended_at = admit_now()
      where exhibition_id = $1 and run = $2 and state = 'pending'",
);

pub const STATEMENTS: &[&Statement] = &[&PARK, &UNPARK, &PARKED, &DUE, &ONE, &DONE, &ERASE_RUN];

#[derive(Clone, Debug)]
pub struct Notice {
    /// The exhibition's; not needed to park.
    pub code: String,
    pub exhibition_id: i32,
    pub run: u32,
    pub lane: Lane,
    /// As it was given at the join: whoever gathers has no rank yet.
    pub number: u32,
    pub key_id: String,
    pub sealed: Vec<u8>,
}

/// Somebody who waits to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parked {
    pub id: Uuid,
    pub lane: Lane,
    pub number: u32,
}

/// False: this place's notice is on its way already, or was sent.
pub async fn park(client: &impl GenericClient, id: Uuid, notice: &Notice) -> Result<bool> {
    let n = notice;
    let written = PARK
        .execute(client, &[&id, &n.exhibition_id, &int(n.run), &(n.lane as i16), &int(n.number), &n.key_id, &n.sealed])
        .await?;
    Ok(written == 1)
}

/// The visitor is back, or wants no mail any more: the address goes.
pub async fn unpark(client: &impl GenericClient, exhibition_id: i32, run: u32, lane: Lane, number: u32) -> Result<()> {
    UNPARK.execute(client, &[&exhibition_id, &int(run), &(lane as i16), &int(number)]).await?;
    Ok(())
}

/// A page of those who are not told yet, behind a lane and number; from (General, 0) on.
pub async fn parked(
    client: &impl GenericClient,
    exhibition_id: i32,
    run: u32,
    after: (Lane, u32),
    limit: i64,
) -> Result<Vec<Parked>> {
    let rows = PARKED.query(client, &[&exhibition_id, &int(run), &(after.0 as i16), &int(after.1), &limit]).await?;
    rows.iter().map(|r| Ok(Parked { id: r.get(0), lane: lane(r.get(1))?, number: count(r, 2) })).collect()
}

/// Hands notices to the outbox, each once; how many.
pub async fn due(client: &impl GenericClient, ids: &[Uuid]) -> Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    DUE.execute(client, &[&ids]).await
}

/// None: it was sent, or its address is gone.
pub async fn notice(client: &impl GenericClient, id: Uuid) -> Result<Option<Notice>> {
    let read = |r: tokio_postgres::Row| {
        Ok(Notice {
            code: r.get(0),
            exhibition_id: r.get(1),
            run: count(&r, 2),
            lane: lane(r.get(3))?,
            number: count(&r, 4),
            key_id: r.get(5),
            sealed: r.get(6),
        })
    };
    ONE.query_opt(client, &[&id]).await?.map(read).transpose()
}

/// It was sent, or given up: either way the address goes.
pub async fn done(client: &impl GenericClient, id: Uuid, sent: bool) -> Result<()> {
    DONE.execute(client, &[&id, &if sent { "sent" } else { "erased" }]).await?;
    Ok(())
}

pub async fn erase_run(client: &impl GenericClient, exhibition_id: i32, run: u32) -> Result<()> {
    ERASE_RUN.execute(client, &[&exhibition_id, &int(run)]).await?;
    Ok(())
}
