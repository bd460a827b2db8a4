//! SQL of devices and shifts.

use std::collections::HashSet;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{DEVICES_MAX, Device, ENROL_MINUTES};
use crate::error::{Error, Result};
use crate::platform::pg::Statement;

const COUNT: Statement =
    Statement::new("devices.count", "select count(*) from devices where exhibition_id = $1 and revoked_at is null");

const ADD: Statement = Statement::new(
    "devices.add",
    "insert into devices (id, exhibition_id, gate, name, enrol_digest, enrol_until, created_by, created_at)
     select $1::uuid, e.id, $3::text, $4::text, $5::bytea, admit_now() + make_interval(mins => $6), $7::int, admit_now()
       from exhibitions e where e.id = $2 for key share
     returning enrol_until",
);

/// The token is spent by the same statement that gives the credential: of two phones that scan it, one gets it.
const ENROL: Statement = Statement::new(
    "devices.enrol",
    "update devices d set enrol_digest = null, credential_digest = $2, enrolled_at = admit_now(), seen_at = admit_now()
       from exhibitions e
      where d.enrol_digest = $1 and d.enrol_until > admit_now() and d.revoked_at is null and e.id = d.exhibition_id
     returning d.id, d.exhibition_id, e.code, d.gate, d.name, d.enrolled_at",
);

/// And when it was last seen, at most every ten seconds.
const BY_CREDENTIAL: Statement = Statement::new(
    "devices.by_credential",
    "with seen as (
         update devices d set seen_at = admit_now() from (
             select id from devices
              where credential_digest = $1 and revoked_at is null and seen_at < admit_now() - interval '10 seconds'
              for update skip locked) o
          where d.id = o.id
     )
     select d.id, d.exhibition_id, e.code, d.gate, d.name, d.enrolled_at, d.revoked_at is not null
       from devices d join exhibitions e on e.id = d.exhibition_id where d.credential_digest = $1",
);

const LIST: Statement = Statement::new(
    "devices.list",
    "select d.id, d.gate, d.name, d.created_at, d.enrol_until, d.enrolled_at, d.seen_at, d.revoked_at, s.staff, d.waiting
       from devices d
       left join lateral (
            select u.username as staff from shifts s join admin_users u on u.id = s.staff_id
             where s.device_id = d.id and s.ended_at is null and s.ends_at > admit_now()
             order by s.began_at desc limit 1) s on true
      where d.exhibition_id = $1 order by d.created_at desc, d.id limit $2",
);

/// Whether it was in use until now; none: there is no such device.
const REVOKE: Statement = Statement::new(
    "devices.revoke",
    "with before as materialized (
         select id, gate, name, revoked_at from devices where id = $1 and exhibition_id = $2 for update
     ), revoked as (
         update devices d set revoked_at = admit_now(), enrol_digest = null from before b
          where d.id = b.id and b.revoked_at is null
     ), ended as (
         update shifts s set ended_at = admit_now() from before b where s.device_id = b.id and s.ended_at is null
     )
     select gate, name, revoked_at is null from before",
);

/// One person at a device: whoever comes ends the shift of whoever was there.
const BEGIN_SHIFT: Statement = Statement::new(
    "devices.begin_shift",
    "with device as (
         update devices set seen_at = admit_now() where id = $2 and revoked_at is null returning id
     ), ended as (
         update shifts s set ended_at = admit_now() from device d where s.device_id = d.id and s.ended_at is null
     )
     insert into shifts (id, device_id, staff_id, began_at, ends_at)
     select $1, id, $3, admit_now(), admit_now() + make_interval(hours => $4) from device
     returning ends_at",
);

const END_SHIFT: Statement = Statement::new(
    "devices.end_shift",
    "update shifts set ended_at = admit_now() where device_id = $1 and ended_at is null",
);

/// Of these shifts, those that stand; and when each device was last seen, at most every ten seconds.
const STANDING: Statement = Statement::new(
    "devices.standing",
    "with standing as (
         select s.id, d.id as device_id, d.seen_at
           from unnest($1::uuid[]) a (id) join shifts s on s.id = a.id join devices d on d.id = s.device_id
           join admin_users u on u.id = s.staff_id and u.disabled_at is null
          where s.ended_at is null and d.revoked_at is null
     ), seen as (
         update devices d set seen_at = admit_now() from (
             select d.id from devices d
              where d.id in (select device_id from standing where seen_at < admit_now() - interval '10 seconds')
              order by d.id for update skip locked) o
          where d.id = o.id
     )
     select id from standing",
);

const WAITING: Statement =
    Statement::new("devices.waiting", "update devices set waiting = $2 where id = $1 and waiting <> $2");

const COUNTS: Statement = Statement::new(
    "devices.counts",
    "select count(*) filter (where allowed), count(*) filter (where not allowed)
       from scans where device_id = $1 and scanned_at >= $2 and undone_at is null",
);

pub const STATEMENTS: &[&Statement] =
    &[&COUNT, &ADD, &ENROL, &BY_CREDENTIAL, &LIST, &REVOKE, &BEGIN_SHIFT, &END_SHIFT, &STANDING, &WAITING, &COUNTS];

pub struct NewDevice<'a> {
    pub id: Uuid,
    pub exhibition_id: i32,
    pub gate: &'a str,
    pub name: &'a str,
    pub enrol_digest: &'a [u8],
    pub created_by: i32,
}

/// Until when it can be enrolled.
pub async fn add(client: &impl GenericClient, new: &NewDevice<'_>) -> Result<Timestamp> {
    if COUNT.query_one(client, &[&new.exhibition_id]).await?.get::<_, i64>(0) >= DEVICES_MAX {
        return Err(Error::conflict("device.too_many").with("limit", DEVICES_MAX));
    }
    let row = ADD
        .query_opt(
            client,
            &[&new.id, &new.exhibition_id, &new.gate, &new.name, &new.enrol_digest, &ENROL_MINUTES, &new.created_by],
        )
        .await?;
    // A draft that was deleted since the caller looked.
    row.map(|row| row.get(0)).ok_or_else(|| Error::not_found("catalogue.unknown_exhibition"))
}

fn device(row: &Row) -> Device {
    Device {
        id: row.get(0),
        exhibition_id: row.get(1),
        exhibition_code: row.get(2),
        gate: row.get(3),
        name: row.get(4),
        enrolled_at: row.get(5),
    }
}

pub async fn enrol(client: &impl GenericClient, enrol_digest: &[u8], credential: &[u8]) -> Result<Option<Device>> {
    Ok(ENROL.query_opt(client, &[&enrol_digest, &credential]).await?.as_ref().map(device))
}

/// And whether it was revoked.
pub async fn by_credential(client: &impl GenericClient, digest: &[u8]) -> Result<Option<(Device, bool)>> {
    Ok(BY_CREDENTIAL.query_opt(client, &[&digest]).await?.map(|row| (device(&row), row.get(6))))
}

pub struct Listed {
    pub id: Uuid,
    pub gate: String,
    pub name: String,
    pub created_at: Timestamp,
    pub enrol_until: Timestamp,
    pub enrolled_at: Option<Timestamp>,
    pub seen_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub staff: Option<String>,
    pub waiting: i32,
}

pub async fn list(client: &impl GenericClient, exhibition_id: i32, limit: i64) -> Result<Vec<Listed>> {
    let rows = LIST.query(client, &[&exhibition_id, &limit]).await?;
    let listed = |r: &Row| Listed {
        id: r.get(0),
        gate: r.get(1),
        name: r.get(2),
        created_at: r.get(3),
        enrol_until: r.get(4),
        enrolled_at: r.get(5),
        seen_at: r.get(6),
        revoked_at: r.get(7),
        staff: r.get(8),
        waiting: r.get(9),
    };
    Ok(rows.iter().map(listed).collect())
}

pub struct Revoked {
    pub gate: String,
    pub name: String,
    /// It was not revoked before.
    pub now: bool,
}

pub async fn revoke(client: &impl GenericClient, id: Uuid, exhibition_id: i32) -> Result<Option<Revoked>> {
    let row = REVOKE.query_opt(client, &[&id, &exhibition_id]).await?;
    Ok(row.map(|r| Revoked { gate: r.get(0), name: r.get(1), now: r.get(2) }))
}

/// Until when it lasts; None: the device was revoked meanwhile.
pub async fn begin_shift(
    client: &impl GenericClient,
    id: Uuid,
    device_id: Uuid,
    staff_id: i32,
    hours: i32,
) -> Result<Option<Timestamp>> {
    Ok(BEGIN_SHIFT.query_opt(client, &[&id, &device_id, &staff_id, &hours]).await?.map(|row| row.get(0)))
}

pub async fn end_shift(client: &impl GenericClient, device_id: Uuid) -> Result<()> {
    END_SHIFT.execute(client, &[&device_id]).await?;
    Ok(())
}

pub async fn standing(client: &impl GenericClient, shifts: &[Uuid]) -> Result<HashSet<Uuid>> {
    Ok(STANDING.query(client, &[&shifts]).await?.iter().map(|row| row.get(0)).collect())
}

/// How many scans it has not handed in.
pub async fn waiting(client: &impl GenericClient, device_id: Uuid, scans: i32) -> Result<()> {
    WAITING.execute(client, &[&device_id, &scans]).await?;
    Ok(())
}

/// Allowed and refused at a device since an instant.
pub async fn counts(client: &impl GenericClient, device_id: Uuid, since: Timestamp) -> Result<(i64, i64)> {
    let r = COUNTS.query_one(client, &[&device_id, &since]).await?;
    Ok((r.get(0), r.get(1)))
}
