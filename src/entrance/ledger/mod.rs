//! Changes of a ticket's past: what was heard late, undone, or admitted against the rules. The past is told anew from the
//! scans that are written down.

pub mod admin;
pub mod api;
pub mod pg;

use deadpool_postgres::GenericClient;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::pg::{TicketRow, Wanted, read};
use super::replay::replay;
use crate::error::Result;

/// How long a device may think again.
pub const SECOND_THOUGHTS: SignedDuration = SignedDuration::from_mins(15);

/// A ticket under its lock: nobody else moves it until the transaction ends.
pub async fn locked(transaction: &impl GenericClient, ticket_id: Uuid) -> Result<Option<TicketRow>> {
    if !pg::lock(transaction, ticket_id).await? {
        return Ok(None);
    }
    let wanted = Wanted { ticket_id: Some(ticket_id), exhibition_id: 0, staff_id: 0, nonce: None };
    Ok(read(transaction, &[wanted]).await?.pop().and_then(|read| read.ticket))
}

/// Writes what the scans of a locked ticket make of it since `from`, and the conflicts among them.
pub async fn settle(
    transaction: &impl GenericClient,
    ticket: &TicketRow,
    from: Timestamp,
    now: Timestamp,
) -> Result<()> {
    // Postgres keeps microseconds of an instant that has more.
    let from = from - SignedDuration::from_millis(1);
    let moved = pg::moved(transaction, ticket).await?;
    let told = replay(&ticket.rules, &moved, from);
    let first = moved.iter().find(|one| told.counted.contains(&one.scan_id));
    let last_in = moved.iter().rev().find(|one| one.direction == super::rules::Direction::In);
    pg::write(transaction, ticket.id, &told, first, last_in).await?;
    pg::conflicts(transaction, ticket, &told.doubles, from, now).await
}

/// Takes a scan back, and tells its ticket's past without it. False: it was taken back before.
pub async fn undo(transaction: &impl GenericClient, named: &pg::Named, now: Timestamp) -> Result<bool> {
    // What was let in by a phone may have been no ticket of ours.
    let ticket = match named.ticket_id {
        Some(ticket_id) => locked(transaction, ticket_id).await?,
        None => None,
    };
    if !pg::undo(transaction, named.id, now).await? {
        return Ok(false);
    }
    if let Some(ticket) = ticket {
        settle(transaction, &ticket, named.at, now).await?;
    }
    Ok(true)
}
