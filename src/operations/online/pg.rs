//! SQL of who is there.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Result;
use crate::platform::pg::Statement;

/// Sign-ins that go on and were renewed of late, by user.
const SIGNED_IN: Statement = Statement::new(
    "operations.signed_in",
    "select user_id, count(distinct family_id), max(created_at) from refresh_tokens
      where spent_at is null and revoked_at is null and expires_at > $1 and created_at > $2 group by user_id",
);

const DEVICES: Statement = Statement::new(
    "operations.devices",
    "select d.id, d.exhibition_id, d.gate, d.name, d.seen_at, d.waiting, s.staff, s.began_at, s.ends_at
       from devices d
       left join lateral (
            select u.username as staff, s.began_at, s.ends_at from shifts s join admin_users u on u.id = s.staff_id
             where s.device_id = d.id and s.ended_at is null and s.ends_at > admit_now()
             order by s.began_at desc limit 1) s on true
      where d.exhibition_id = any($1) and d.enrolled_at is not null and d.revoked_at is null
      order by d.exhibition_id, d.gate, d.name, d.id limit $2",
);

pub const STATEMENTS: &[&Statement] = &[&SIGNED_IN, &DEVICES];

/// User, how many sign-ins, and when the last of them was renewed.
pub async fn signed_in(
    client: &impl GenericClient,
    now: Timestamp,
    since: Timestamp,
) -> Result<Vec<(i32, i64, Timestamp)>> {
    let rows = SIGNED_IN.query(client, &[&now, &since]).await?;
    Ok(rows.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect())
}

/// A device that is in use.
pub struct DeviceRow {
    pub id: Uuid,
    pub exhibition_id: i32,
    pub gate: String,
    pub name: String,
    pub seen_at: Option<Timestamp>,
    pub waiting: i32,
    /// Who is on shift there, since when and until when at most.
    pub staff: Option<String>,
    pub began_at: Option<Timestamp>,
    pub ends_at: Option<Timestamp>,
}

pub async fn devices(client: &impl GenericClient, exhibitions: &[i32], limit: i64) -> Result<Vec<DeviceRow>> {
    let device = |r: &Row| DeviceRow {
        id: r.get(0),
        exhibition_id: r.get(1),
        gate: r.get(2),
        name: r.get(3),
        seen_at: r.get(4),
        waiting: r.get(5),
        staff: r.get(6),
        began_at: r.get(7),
        ends_at: r.get(8),
    };
    Ok(DEVICES.query(client, &[&exhibitions, &limit]).await?.iter().map(device).collect())
}
