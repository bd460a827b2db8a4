//! What devices decided without a network, written down when they are back. What really happened is recorded, whatever the
//! rules say of it by now; what should not have happened is a conflict for somebody to decide (decision 0014).

pub mod api;
pub mod pg;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::devices::Device;
use super::ledger::pg::LateScan;
use super::ledger::{self, SECOND_THOUGHTS, pg as ledger_pg};
use super::pg::TicketRow;
use super::replay::{Moved, replay};
use super::rules::{Direction, Past, Reason};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::ids;
use crate::tickets::number;

/// A clock may differ by this much before it is mentioned.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(2);
const ATTEMPTS_MAX: usize = 3;
/// A device decides within seconds of having asked.
const ASKED_WITHIN: SignedDuration = SignedDuration::from_mins(2);

/// A scan as a device decided it.
#[derive(Clone, Debug)]
pub struct Decided {
    pub nonce: String,
    /// Under which the server was asked first, without an answer.
    pub asked: Option<String>,
    pub shift: Option<Uuid>,
    pub ticket: Option<Uuid>,
    pub version: u16,
    pub group: Option<OfGroup>,
    pub typed: Option<[u8; number::NUMBER_BYTES]>,
    pub direction: Direction,
    pub at: Timestamp,
    pub device_at: Timestamp,
    pub reason: Reason,
    pub undone_at: Option<Timestamp>,
}

/// Whom a group's code let in: a ticket of its order. Which id it has the device cannot know.
#[derive(Clone, Copy, Debug)]
pub struct OfGroup {
    pub order: Uuid,
    pub no: i16,
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
    shift: pg::Shift,
    /// Why it moves no ticket by itself; None: somebody was on shift, at a device that is trusted.
    apart: Option<&'static str>,
}

/// What to call an admission that the rules would have refused; None: it is told from the ticket's past.
fn kind(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::Ok
        | Reason::AlreadyUsed
        | Reason::UsedUp
        | Reason::AlreadyInside
        | Reason::TooSoon
        | Reason::NotInside => None,
        Reason::Cancelled | Reason::Refunded | Reason::Blocked | Reason::Reissued | Reason::NotPaid => {
            Some("cancelled")
        }
        Reason::WrongDate | Reason::TooEarly | Reason::TooLate | Reason::WrongGate => Some("outside_rules"),
        Reason::Unknown | Reason::BadSignature | Reason::WrongExhibition => Some("unknown"),
    }
}

pub async fn take(app: &App, device: &Device, revoked: bool, decided: &Decided) -> Result<Outcome> {
    let mut client = app.entrance_pg.get().await?;
    let shift = pg::shift(&client, device.id, decided.shift).await?;
    // A clock that ran ahead is held to now, by which the shift may have ended; that is no reason to doubt the scan.
    let apart = match (revoked, shift.covers(decided.at.min(app.clock.now()))) {
        (true, _) => Some("revoked_device"),
        (false, false) => Some("no_shift"),
        (false, true) => None,
    };
    let by = By { device, shift, apart };
    for _ in 0..ATTEMPTS_MAX {
        let transaction = client.transaction().await?;
        match recorded(&transaction, &by, decided, app.clock.now()).await? {
            Some(outcome) => {
                transaction.commit().await?;
                return Ok(outcome);
            }
            // The same name was written at the same moment, by this scan sent twice or by its question: look again which.
            None => transaction.rollback().await?,
        }
    }
    Err(Error::unavailable("server.busy", "an upload was overtaken again and again"))
}

/// None: a scan of this name was written meanwhile.
async fn recorded(
    transaction: &deadpool_postgres::Transaction<'_>,
    by: &By<'_>,
    decided: &Decided,
    now: Timestamp,
) -> Result<Option<Outcome>> {
    // Its ticket first: what else happens to it waits from here on.
    let ticket_id = match (decided.ticket, decided.group, decided.typed) {
        (Some(id), _, _) => Some(id),
        (None, Some(group), _) => pg::of_group(transaction, group).await?,
        (None, None, Some(typed)) => {
            let here = [by.device.exhibition_id];
            super::pg::by_number(transaction, typed, Some(&here)).await?.map(|found| found.0)
        }
        (None, None, None) => None,
    };
    let ticket = match ticket_id {
        Some(id) => ledger::locked(transaction, id).await?,
        None => None,
    };
    let ticket = ticket.filter(|ticket| ticket.exhibition_id == by.device.exhibition_id);
    let Some(name) = name(transaction, by, decided, ticket.as_ref(), now).await? else {
        return Ok(Some(Outcome::Known));
    };
    let scan = late(by, decided, name, ticket.as_ref(), now);
    if !ledger_pg::insert(transaction, &scan).await? {
        return Ok(None);
    }
    if !scan.allowed || scan.undone_at.is_some() {
        // An exit that was refused may have been one all the same.
        if let Some(ticket) = ticket.filter(|_| by.apart.is_none() && decided.reason == Reason::NotInside) {
            ledger::settle(transaction, &ticket, scan.at, now).await?;
        }
        return Ok(Some(Outcome::Recorded));
    }
    let conflict = |kind| ledger_pg::conflict(transaction, scan.exhibition_id, kind, scan.ticket_id, scan.id, now);
    if let Some(kind) = by.apart {
        conflict(kind).await?;
        return Ok(Some(Outcome::Conflict));
    }
    let Some(ticket) = ticket else {
        conflict("unknown").await?;
        return Ok(Some(Outcome::Conflict));
    };
    let moved = ledger_pg::moved(transaction, &ticket).await?;
    // Its past as it was then: not itself, and nothing that happened later.
    let before: Vec<Moved> = moved.into_iter().filter(|one| one.scan_id != scan.id && one.at <= scan.at).collect();
    let past = replay(&ticket.rules, &before, scan.at).past;
    let kind = kind(judged(&ticket, past, by, decided, scan.at));
    if let Some(kind) = kind {
        conflict(kind).await?;
    }
    ledger::settle(transaction, &ticket, scan.at, now).await?;
    let conflict = kind.is_some() || pg::in_conflict(transaction, scan.id).await?;
    Ok(Some(if conflict { Outcome::Conflict } else { Outcome::Recorded }))
}

/// What the rules say of it now; a code's signature was the device's to check.
fn judged(ticket: &TicketRow, past: Past, by: &By<'_>, decided: &Decided, at: Timestamp) -> Reason {
    // A typed number names the version it was made of.
    let said = decided.ticket.is_some() || decided.group.is_some();
    let version = if said { decided.version } else { ticket.version.unsigned_abs() };
    ticket.judged(version, past, &by.device.gate, decided.direction, at).0
}

/// Under which name to write it down; None: it is there. A device that asked the server first writes under that name, so that
/// the question, should it still be on its way, is not judged as well. If it was, and differently, both are written down;
/// and if the server let somebody in whom the device then refused, nobody went in.
async fn name<'a>(
    transaction: &deadpool_postgres::Transaction<'_>,
    by: &By<'_>,
    decided: &'a Decided,
    ticket: Option<&TicketRow>,
    now: Timestamp,
) -> Result<Option<&'a str>> {
    let (home, staff_id) = (by.device.exhibition_id, by.shift.staff_id);
    if ledger_pg::by_nonce(transaction, home, staff_id, &decided.nonce).await?.is_some() {
        return Ok(None);
    }
    let Some(asked) = &decided.asked else { return Ok(Some(&decided.nonce)) };
    let Some(named) = ledger_pg::by_nonce(transaction, home, staff_id, asked).await? else { return Ok(Some(asked)) };
    if named.uploaded {
        return Ok(None);
    }
    let went_in = decided.reason == Reason::Ok && decided.undone_at.is_none();
    if named.allowed && named.undone_at.is_none() {
        if went_in {
            return Ok(None);
        }
        // The same ticket, at the same moment: nothing else is undone like this.
        let same = named.ticket_id.is_some() && named.ticket_id == ticket.map(|t| t.id);
        let moment = named.at.duration_since(decided.at).abs() <= ASKED_WITHIN;
        if same && moment && named.direction == decided.direction && by.apart.is_none() {
            ledger::undo(transaction, &named, now).await?;
        }
    }
    Ok(Some(&decided.nonce))
}

fn late<'a>(
    by: &'a By<'_>,
    decided: &'a Decided,
    nonce: &'a str,
    ticket: Option<&TicketRow>,
    now: Timestamp,
) -> LateScan<'a> {
    let at = decided.at.max(by.shift.began_at).min(now);
    let off = at.duration_since(decided.at).abs() > CLOCK_TOLERANCE;
    let mut reply = json!({});
    if off {
        // The clock was held within the shift.
        reply = json!({ "clock_off": true, "said": decided.at.to_string() });
    }
    // A ticket of somewhere else is nothing to this exhibition's books, nor this scan to that one's.
    if let (Some(claimed), None) = (decided.ticket, ticket) {
        reply["claimed"] = json!(claimed);
    }
    LateScan {
        id: ids::row_id(now),
        exhibition_id: by.device.exhibition_id,
        ticket_id: ticket.map(|ticket| ticket.id),
        gate: &by.device.gate,
        nonce,
        staff_id: by.shift.staff_id,
        allowed: decided.reason == Reason::Ok,
        reason: decided.reason.as_str(),
        at,
        reply,
        device_id: by.device.id,
        direction: decided.direction,
        forced: false,
        undone_at: decided.undone_at.filter(|undone| undone.duration_since(decided.at) <= SECOND_THOUGHTS).map(|_| now),
        apart: by.apart.is_some(),
        device_at: Some(decided.device_at),
        uploaded_at: Some(now),
    }
}
