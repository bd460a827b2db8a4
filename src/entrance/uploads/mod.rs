//! What devices decided without a network, written down when they are back. What really happened is recorded, whatever the
//! rules say of it by now; what should not have happened is a conflict for somebody to decide (decision 0014).

pub mod api;
pub mod pg;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::devices::Device;
use super::ledger::pg::{LateScan, Named};
use super::ledger::{self, pg as ledger_pg};
use super::pg::TicketRow;
use super::replay::{Moved, replay};
use super::rules::{self, Direction, Past, Presented, Reason};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::ids;
use crate::tickets::number;

/// A clock may differ by this much before it is mentioned.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(2);

/// A scan as a device decided it.
#[derive(Clone, Debug)]
pub struct Decided {
    pub nonce: String,
    /// Under which the server was asked first, without an answer.
    pub asked: Option<String>,
    pub shift: Option<Uuid>,
    pub ticket: Option<Uuid>,
    pub version: u16,
    pub typed: Option<[u8; number::NUMBER_BYTES]>,
    pub direction: Direction,
    pub at: Timestamp,
    pub device_at: Timestamp,
    pub reason: Reason,
    pub undone_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Recorded,
    /// It was written down before.
    Known,
    Conflict,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Recorded => "recorded",
            Outcome::Known => "known",
            Outcome::Conflict => "conflict",
        }
    }
}

/// Whose scan it is.
struct By<'a> {
    device: &'a Device,
    revoked: bool,
    staff_id: i32,
    /// A shift that nobody knows proves nothing.
    began_at: Timestamp,
}

/// What to call an admission that the rules would have refused; None: it is told from the ticket's past.
fn kind(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::Ok | Reason::AlreadyUsed | Reason::UsedUp | Reason::AlreadyInside | Reason::NotInside => None,
        Reason::Cancelled | Reason::Refunded | Reason::Blocked | Reason::Reissued | Reason::NotPaid => {
            Some("cancelled")
        }
        Reason::WrongDate | Reason::TooEarly | Reason::TooLate | Reason::WrongGate | Reason::TooSoon => {
            Some("outside_rules")
        }
        Reason::Unknown | Reason::BadSignature | Reason::WrongExhibition => Some("unknown"),
    }
}

pub async fn take(app: &App, device: &Device, revoked: bool, decided: &Decided) -> Result<Outcome> {
    let mut client = app.entrance_pg.get().await?;
    let (staff_id, began_at) = pg::shift(&client, device.id, decided.shift).await?;
    let by = By { device, revoked, staff_id, began_at };
    let transaction = client.transaction().await?;
    let outcome = recorded(&transaction, &by, decided, app.clock.now()).await?;
    if let Some(outcome) = outcome {
        transaction.commit().await?;
        return Ok(outcome);
    }
    // Sent twice at the same time: the other one has written it.
    transaction.rollback().await?;
    Ok(Outcome::Known)
}

/// None: a scan of this name is there already.
async fn recorded(
    transaction: &deadpool_postgres::Transaction<'_>,
    by: &By<'_>,
    decided: &Decided,
    now: Timestamp,
) -> Result<Option<Outcome>> {
    if pg::known(transaction, by.device.exhibition_id, by.staff_id, &decided.nonce).await? {
        return Ok(None);
    }
    if let Some(outcome) = answered_before(transaction, by, decided, now).await? {
        return Ok(Some(outcome));
    }
    let ticket_id = match (decided.ticket, decided.typed) {
        (Some(id), _) => Some(id),
        (None, Some(typed)) => {
            let here = [by.device.exhibition_id];
            super::pg::by_number(transaction, typed, Some(&here)).await?.map(|found| found.0)
        }
        (None, None) => None,
    };
    let ticket = match ticket_id {
        Some(id) => ledger::locked(transaction, id).await?,
        None => None,
    };
    let ticket = ticket.filter(|ticket| ticket.exhibition_id == by.device.exhibition_id);
    let scan = late(by, decided, ticket_id, now);
    if !ledger_pg::insert(transaction, &scan).await? {
        return Ok(None);
    }
    if !scan.allowed || scan.undone_at.is_some() {
        return Ok(Some(Outcome::Recorded));
    }
    let conflict = |kind| ledger_pg::conflict(transaction, scan.exhibition_id, kind, ticket_id, scan.id, now);
    if by.revoked {
        conflict("revoked_device").await?;
        return Ok(Some(Outcome::Conflict));
    }
    let Some(ticket) = ticket else {
        conflict("unknown").await?;
        return Ok(Some(Outcome::Conflict));
    };
    let moved = ledger_pg::moved(transaction, ticket.id).await?;
    // Its past as it was then: not itself, and nothing that happened later.
    let before: Vec<Moved> = moved.into_iter().filter(|one| one.scan_id != scan.id && one.at <= scan.at).collect();
    let past = replay(&ticket.rules, &before).past;
    let kind = kind(judged(&ticket, past, by, decided, scan.at));
    if let Some(kind) = kind {
        conflict(kind).await?;
    }
    ledger::settle(transaction, &ticket, now).await?;
    let conflict = kind.is_some() || pg::in_conflict(transaction, scan.id).await?;
    Ok(Some(if conflict { Outcome::Conflict } else { Outcome::Recorded }))
}

/// What the rules say of it now; a code's signature was the device's to check.
fn judged(ticket: &TicketRow, past: Past, by: &By<'_>, decided: &Decided, at: Timestamp) -> Reason {
    // A typed number names the version it was made of.
    let version = if decided.ticket.is_some() { decided.version } else { ticket.version.unsigned_abs() };
    let presented = Presented {
        against: rules::against(true, version, ticket.version, &ticket.state, &ticket.order_state),
        visit: ticket.visit,
        past,
        rules: &ticket.rules,
        gate: &by.device.gate,
        direction: decided.direction,
    };
    rules::judge(&presented, at.as_second()).0
}

/// The device had asked the server first, and decided when no answer came. If the answer was the same, all is written down;
/// if the server let somebody in whom the device then refused, nobody went in.
async fn answered_before(
    transaction: &deadpool_postgres::Transaction<'_>,
    by: &By<'_>,
    decided: &Decided,
    now: Timestamp,
) -> Result<Option<Outcome>> {
    let Some(asked) = &decided.asked else { return Ok(None) };
    let Some(named) = ledger_pg::of_device(transaction, by.device.id, asked).await? else { return Ok(None) };
    if !named.allowed || named.undone_at.is_some() {
        return Ok(None);
    }
    let went_in = decided.reason == Reason::Ok && decided.undone_at.is_none();
    if !went_in && !by.revoked {
        undo(transaction, &named, now).await?;
    }
    Ok(if went_in { Some(Outcome::Known) } else { None })
}

/// Takes a scan back, and tells its ticket's past without it. False: it was taken back before.
pub async fn undo(
    transaction: &deadpool_postgres::Transaction<'_>,
    named: &Named,
    now: Timestamp,
) -> Result<bool> {
    let ticket_id = named.ticket_id.ok_or_else(|| Error::bug("an admission without a ticket"))?;
    let ticket = ledger::locked(transaction, ticket_id).await?;
    if !ledger_pg::undo(transaction, named.id, now).await? {
        return Ok(false);
    }
    if let Some(ticket) = ticket {
        ledger::settle(transaction, &ticket, now).await?;
    }
    Ok(true)
}

fn late<'a>(by: &'a By<'_>, decided: &'a Decided, ticket_id: Option<Uuid>, now: Timestamp) -> LateScan<'a> {
    let at = decided.at.max(by.began_at).min(now);
    let off = at.duration_since(decided.at).abs() > CLOCK_TOLERANCE;
    LateScan {
        id: ids::row_id(now),
        exhibition_id: by.device.exhibition_id,
        ticket_id,
        gate: &by.device.gate,
        nonce: &decided.nonce,
        staff_id: by.staff_id,
        allowed: decided.reason == Reason::Ok,
        reason: decided.reason.as_str(),
        at,
        // The clock was held within the shift.
        reply: if off { json!({ "clock_off": true, "said": decided.at.to_string() }) } else { json!({}) },
        device_id: by.device.id,
        direction: decided.direction,
        forced: false,
        undone_at: decided.undone_at.map(|at| at.min(now)),
        apart: by.revoked,
        device_at: Some(decided.device_at),
        uploaded_at: Some(now),
    }
}
