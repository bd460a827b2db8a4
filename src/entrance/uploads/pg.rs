//! SQL of uploads.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::platform::pg::Statement;

/// Who was on shift, and since when. A shift that is none of this device's counts as its admin's, since it was enrolled.
const SHIFT: Statement = Statement::new(
    "uploads.shift",
    "select coalesce(s.staff_id, d.created_by), coalesce(s.began_at, d.enrolled_at, d.created_at)
       from devices d left join shifts s on s.device_id = d.id and s.id = $2 where d.id = $1",
);

const KNOWN: Statement = Statement::new(
    "uploads.known",
    "select 1 from scans where exhibition_id = $1 and staff_id = $2 and nonce = $3 limit 1",
);

const IN_CONFLICT: Statement = Statement::new(
    "uploads.in_conflict",
    "select 1 from entry_conflicts where scan_id = $1 or other_scan_id = $1 limit 1",
);

/// A revoked device has a day, and a number of scans, to hand in what it has.
const REVOKED: Statement = Statement::new(
    "uploads.revoked",
    "update devices set uploaded_revoked = uploaded_revoked + $2
      where id = $1 and revoked_at > admit_now() - interval '1 day' and uploaded_revoked + $2 <= $3 returning id",
);

pub const STATEMENTS: &[&Statement] = &[&SHIFT, &KNOWN, &IN_CONFLICT, &REVOKED];

pub async fn shift(client: &impl GenericClient, device_id: Uuid, shift: Option<Uuid>) -> Result<(i32, Timestamp)> {
    let row = SHIFT.query_opt(client, &[&device_id, &shift]).await?;
    row.map(|row| (row.get(0), row.get(1))).ok_or_else(|| Error::unauthenticated("device.unknown"))
}

pub async fn known(client: &impl GenericClient, exhibition_id: i32, staff_id: i32, nonce: &str) -> Result<bool> {
    Ok(KNOWN.query_opt(client, &[&exhibition_id, &staff_id, &nonce]).await?.is_some())
}

pub async fn in_conflict(client: &impl GenericClient, scan_id: Uuid) -> Result<bool> {
    Ok(IN_CONFLICT.query_opt(client, &[&scan_id]).await?.is_some())
}

/// Whether a revoked device may still hand in this many.
pub async fn may_hand_in(client: &impl GenericClient, device_id: Uuid, scans: i32, max: i32) -> Result<bool> {
    Ok(REVOKED.query_opt(client, &[&device_id, &scans, &max]).await?.is_some())
}
