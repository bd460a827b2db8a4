//! SQL of uploads.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use uuid::Uuid;

use super::OfGroup;
use crate::error::{Error, Result};
use crate::platform::pg::Statement;

/// Who was on shift, and when. Without one of this device's, its admin is named.
const SHIFT: Statement = Statement::new(
    "uploads.shift",
    "select coalesce(s.staff_id, d.created_by), coalesce(s.began_at, d.enrolled_at, d.created_at),
            least(s.ended_at, s.ends_at)
       from devices d left join shifts s on s.device_id = d.id and s.id = $2 where d.id = $1",
);

const IN_CONFLICT: Statement = Statement::new(
    "uploads.in_conflict",
    "select 1 from entry_conflicts where scan_id = $1 or other_scan_id = $1 limit 1",
);

const OF_GROUP: Statement =
    Statement::new("uploads.of_group", "select id from tickets where order_id = $1 and ticket_no = $2");

/// A revoked device has a day, and a number of scans, to hand in what it has.
const MAY_HAND_IN: Statement = Statement::new(
    "uploads.may_hand_in",
    "select revoked_at > admit_now() - interval '1 day' and uploaded_revoked + $2 <= $3 from devices where id = $1",
);

const HANDED_IN: Statement =
    Statement::new("uploads.handed_in", "update devices set uploaded_revoked = uploaded_revoked + $2 where id = $1");

pub const STATEMENTS: &[&Statement] = &[&SHIFT, &IN_CONFLICT, &OF_GROUP, &MAY_HAND_IN, &HANDED_IN];

pub struct Shift {
    pub staff_id: i32,
    pub began_at: Timestamp,
    /// None: there was none of this name at this device.
    pub ended_at: Option<Timestamp>,
}

impl Shift {
    /// Whether somebody was on shift then; who signs out while the last scan is being decided, was.
    pub fn covers(&self, at: Timestamp) -> bool {
        self.ended_at.is_some_and(|ended_at| at <= ended_at + super::CLOCK_TOLERANCE)
    }
}

pub async fn shift(client: &impl GenericClient, device_id: Uuid, shift: Option<Uuid>) -> Result<Shift> {
    let row = SHIFT.query_opt(client, &[&device_id, &shift]).await?;
    let row = row.ok_or_else(|| Error::unauthenticated("device.unknown"))?;
    Ok(Shift { staff_id: row.get(0), began_at: row.get(1), ended_at: row.get(2) })
}

pub async fn in_conflict(client: &impl GenericClient, scan_id: Uuid) -> Result<bool> {
    Ok(IN_CONFLICT.query_opt(client, &[&scan_id]).await?.is_some())
}

pub async fn of_group(client: &impl GenericClient, group: OfGroup) -> Result<Option<Uuid>> {
    Ok(OF_GROUP.query_opt(client, &[&group.order, &group.no]).await?.map(|row| row.get(0)))
}

/// Whether a revoked device may still hand in this many.
pub async fn may_hand_in(client: &impl GenericClient, device_id: Uuid, scans: i32, max: i32) -> Result<bool> {
    Ok(MAY_HAND_IN.query_one(client, &[&device_id, &scans, &max]).await?.get::<_, Option<bool>>(0) == Some(true))
}

pub async fn handed_in(client: &impl GenericClient, device_id: Uuid, scans: i32) -> Result<()> {
    HANDED_IN.execute(client, &[&device_id, &scans]).await?;
    Ok(())
}
