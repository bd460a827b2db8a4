//! Judging a batch of scans: read, decide in memory, write, and read again for those that another scan overtook.

use std::collections::HashSet;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::devices;
use super::devices::shift::At;
use super::pg::{self, Answered, Movement, NewScan, Read, SeenBefore, TicketRow, Wanted, Written};
use super::rules::{Direction, Reason};
use crate::admin::StaffUser;
use crate::error::{Error, Result};
use crate::platform::secrets::hex;
use crate::tickets::code::{Claims, Kind};

/// A scan settles in the first round, or in the second as the loser of a race; more means that its nonce and its
/// ticket were both fought over.
const ROUNDS_MAX: usize = 6;

/// One scan as it arrived, its code already checked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub scan_id: Uuid,
    pub staff: StaffUser,
    pub gate: String,
    pub device: Option<At>,
    pub nonce: Option<String>,
    /// Tells whether a repeated nonce came with the same code.
    pub code_digest: [u8; 16],
    /// What the code says, its signature being ours; or why it says nothing.
    pub claims: Result<Claims, Reason>,
    pub direction: Direction,
    pub at: Timestamp,
}

/// The answer to a scan.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub reason: Reason,
    pub direction: Direction,
    /// It uses one of the ticket's entries.
    pub counts: bool,
    pub seen: Seen,
    pub ticket: Option<TicketRow>,
}

/// What of the ticket's past explains a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub first: Option<SeenBefore>,
    pub last: Option<SeenBefore>,
}

impl Seen {
    pub fn of(reason: Reason, ticket: Option<&TicketRow>) -> Seen {
        let Some(ticket) = ticket else { return Seen::default() };
        match reason {
            Reason::AlreadyUsed => Seen { first: ticket.used.clone(), last: None },
            Reason::UsedUp | Reason::AlreadyInside | Reason::TooSoon => Seen { first: None, last: ticket.last.clone() },
            _ => Seen::default(),
        }
    }

    fn written(&self) -> Value {
        let one = |seen: &Option<SeenBefore>| seen.as_ref().map(|s| json!({ "at": s.at.to_string(), "gate": s.gate }));
        json!({ "first": one(&self.first), "last": one(&self.last) })
    }

    fn read(reply: &Value) -> Result<Seen> {
        let one = |seen: &Value| -> Result<Option<SeenBefore>> {
            let Some(at) = seen["at"].as_str() else { return Ok(None) };
            let at = at.parse().map_err(|_| Error::bug("scan reply"))?;
            Ok(Some(SeenBefore { at, gate: seen["gate"].as_str().unwrap_or_default().to_owned() }))
        };
        // Before there was a last one, the first stood by itself.
        let first = one(&reply["seen"]["first"])?;
        Ok(Seen { first: first.or(one(&reply["first_scan"])?), last: one(&reply["seen"]["last"])? })
    }
}

impl Asked {
    /// The exhibition this scan is written down under: the ticket's where the scanner belongs to it, else the
    /// scanner's own.
    fn exhibition_id(&self) -> i32 {
        match &self.claims {
            Ok(claims) => match i32::try_from(claims.exhibition_id) {
                Ok(id) if self.staff.may_enter(id) => id,
                _ => self.staff.home(),
            },
            Err(_) => self.staff.home(),
        }
    }

    fn ticket_id(&self) -> Option<Uuid> {
        self.claims.as_ref().ok().map(|claims| claims.ticket_id)
    }

    /// Why, and whether an entry is used.
    fn reason(&self, ticket: Option<&TicketRow>) -> (Reason, bool) {
        let claims = match &self.claims {
            Ok(claims) => claims,
            Err(reason) => return (*reason, false),
        };
        let Some(ticket) = ticket else { return (Reason::Unknown, false) };
        if claims.kind != Kind::Single || u32::try_from(ticket.exhibition_id) != Ok(claims.exhibition_id) {
            return (Reason::Unknown, false);
        }
        if !self.staff.may_enter(ticket.exhibition_id) {
            return (Reason::WrongExhibition, false);
        }
        ticket.judged(claims.version, ticket.past, &self.gate, self.direction, self.at)
    }

    fn verdict(&self, ticket: Option<TicketRow>) -> Verdict {
        let (reason, counts) = self.reason(ticket.as_ref());
        Verdict { reason, direction: self.direction, counts, seen: Seen::of(reason, ticket.as_ref()), ticket }
    }

    /// The words of an earlier answer to the same nonce, about the ticket as it is now.
    fn again(&self, answered: &Answered, ticket: Option<TicketRow>) -> Result<Verdict> {
        if answered.reply["code"].as_str() != Some(&hex(&self.code_digest)) || answered.direction != self.direction {
            return Err(Error::invalid("entrance.nonce_reused"));
        }
        let seen = Seen::read(&answered.reply)?;
        Ok(Verdict { reason: answered.reason, direction: self.direction, counts: answered.counted, seen, ticket })
    }

    /// What of the answer is kept; whose ticket it is can be looked up, and may be erased.
    fn record<'a>(&'a self, verdict: &Verdict) -> NewScan<'a> {
        let ticket = verdict.ticket.as_ref();
        let movement = ticket.filter(|_| verdict.reason == Reason::Ok).map(|ticket| Movement {
            seen: ticket.movements,
            counted: verdict.counts,
            after: ticket.past.moved(self.direction, verdict.counts, self.at.as_second()),
        });
        NewScan {
            id: self.scan_id,
            ticket_id: ticket.map(|t| t.id),
            version: ticket.map_or(0, |t| t.version),
            exhibition_id: self.exhibition_id(),
            gate: &self.gate,
            nonce: self.nonce.as_deref(),
            staff_id: self.staff.id,
            device_id: self.device.as_ref().map(|at| at.device_id),
            reason: verdict.reason,
            direction: self.direction,
            scanned_at: self.at,
            reply: json!({ "code": hex(&self.code_digest), "seen": verdict.seen.written() }),
            movement,
        }
    }
}

/// Of two scans in one batch that would admit the same ticket, or that carry the same nonce, the later waits for the
/// next round, where it finds the earlier one written down.
#[derive(Default)]
struct Once<'a> {
    tickets: HashSet<Uuid>,
    nonces: HashSet<(i32, i32, &'a str)>,
}

impl<'a> Once<'a> {
    fn first(&mut self, scan: &NewScan<'a>) -> bool {
        let nonce_first = scan.nonce.is_none_or(|n| self.nonces.insert((scan.exhibition_id, scan.staff_id, n)));
        nonce_first
            && (scan.reason != Reason::Ok || scan.ticket_id.is_none_or(|ticket_id| self.tickets.insert(ticket_id)))
    }
}

/// Answers in the order of the scans. An error of the whole batch is an error of each: nothing is known of any.
pub async fn batch(client: &impl GenericClient, asked: &[Asked]) -> Result<Vec<Result<Verdict>>> {
    let mut answers: Vec<Option<Result<Verdict>>> = asked.iter().map(|_| None).collect();
    let mut open: Vec<usize> = (0..asked.len()).collect();
    off_shift(client, asked, &mut open, &mut answers).await?;
    for _ in 0..ROUNDS_MAX {
        open = round(client, asked, &open, &mut answers).await?;
        if open.is_empty() {
            break;
        }
    }
    let busy = || Err(Error::unavailable("server.busy", "a scan was overtaken again and again"));
    Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(busy)).collect())
}

/// Scans of a device that was revoked, or whose shift has ended, are answered so and not judged.
async fn off_shift(
    client: &impl GenericClient,
    asked: &[Asked],
    open: &mut Vec<usize>,
    answers: &mut [Option<Result<Verdict>>],
) -> Result<()> {
    let shifts: Vec<Uuid> = asked.iter().filter_map(|a| a.device.as_ref()).map(|at| at.shift_id).collect();
    if shifts.is_empty() {
        return Ok(());
    }
    let standing = devices::pg::standing(client, &shifts).await?;
    open.retain(|&i| {
        let off = asked[i].device.as_ref().is_some_and(|at| !standing.contains(&at.shift_id));
        if off {
            answers[i] = Some(Err(Error::forbidden("device.off_shift")));
        }
        !off
    });
    Ok(())
}

/// Settles what it can of the open scans; returns the others.
async fn round(
    client: &impl GenericClient,
    asked: &[Asked],
    open: &[usize],
    answers: &mut [Option<Result<Verdict>>],
) -> Result<Vec<usize>> {
    let wanted: Vec<Wanted<'_>> = open
        .iter()
        .map(|&i| Wanted {
            ticket_id: asked[i].ticket_id(),
            exhibition_id: asked[i].exhibition_id(),
            staff_id: asked[i].staff.id,
            nonce: asked[i].nonce.as_deref(),
        })
        .collect();
    let mut once = Once::default();
    let (mut scans, mut judged, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for (&i, Read { answered, ticket }) in open.iter().zip(pg::read(client, &wanted).await?) {
        if let Some(answered) = answered {
            answers[i] = Some(asked[i].again(&answered, ticket));
            continue;
        }
        let verdict = asked[i].verdict(ticket);
        let scan = asked[i].record(&verdict);
        if once.first(&scan) {
            scans.push(scan);
            judged.push((i, verdict));
        } else {
            left.push(i);
        }
    }
    if scans.is_empty() {
        return Ok(left);
    }
    match pg::write(client, &scans).await? {
        Written::Recorded(ids) => {
            for (i, verdict) in judged {
                if ids.contains(&asked[i].scan_id) {
                    answers[i] = Some(Ok(verdict));
                } else {
                    left.push(i);
                }
            }
        }
        Written::Overtaken => left.extend(judged.iter().map(|(i, _)| *i)),
    }
    left.sort_unstable();
    Ok(left)
}
