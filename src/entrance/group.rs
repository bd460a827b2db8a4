//! Several people under one code: an order's own code lets in as many of its tickets as there are people at the door.
//!
//! A group is no ticket. Each of its people goes in by a ticket of the order, judged and written down like any other scan.

use deadpool_postgres::GenericClient;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::devices::shift::Scanner;
use super::door::Door;
use super::judge::{Asked, Verdict};
use super::pg::{self, TicketRow, Wanted};
use super::rules::{Direction, Reason};
use crate::app::App;
use crate::error::Result;
use crate::platform::ids;
use crate::tickets::code::{Claims, Kind};
use crate::tickets::group_version;

/// How a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Group {
    /// Tickets that would be let in, or out, now.
    pub free: usize,
    /// Tickets of the order.
    pub of: usize,
    /// People whom this scan let in, or out.
    pub admitted: usize,
}

/// `people` of the group, or a look when nobody has said how many.
pub struct GroupAsk<'a> {
    pub claims: Claims,
    pub people: Option<usize>,
    /// What a scan of one of them would be, but for its code and nonce.
    pub one: Asked,
    pub scanner: &'a Scanner,
}

pub enum Answer {
    /// Somebody has to say how many.
    Choose(Verdict, Group),
    Judged(Verdict, Option<Group>),
}

pub async fn scan(app: &App, door: &Door, ask: GroupAsk<'_>) -> Result<Answer> {
    let order_id = ask.claims.ticket_id;
    let client = app.entrance_pg.get().await?;
    let tickets = read(&client, order_id).await?;
    if let Some(reason) = against(&ask, &tickets) {
        drop(client);
        let refused = Asked { claims: Err(reason), ..ask.one };
        return Ok(Answer::Judged(door.scan(app, refused).await?, None));
    }
    let nonces =
        ask.one.nonce.as_ref().map(|nonce| tickets.iter().map(|t| of_group(nonce, t.ticket_no)).collect::<Vec<_>>());
    let before = match (&nonces, tickets.first()) {
        (Some(nonces), Some(first)) => pg::known_nonces(&client, first.exhibition_id, ask.one.staff.id, nonces).await?,
        _ => Vec::new(),
    };
    drop(client);
    // Those whom this scan has let in already, when it is asked again; else those who would be let in now.
    let repeated: Vec<&TicketRow> = tickets
        .iter()
        .filter(|t| ask.one.nonce.as_ref().is_some_and(|n| before.contains(&of_group(n, t.ticket_no))))
        .collect();
    let free: Vec<&TicketRow> = tickets.iter().filter(|t| ask.judge(t) == Reason::Ok).collect();
    let again = !repeated.is_empty();
    let chosen: Vec<&TicketRow> = match ask.people {
        _ if again => repeated,
        Some(people) if people <= free.len() => free.iter().take(people).copied().collect(),
        _ if free.is_empty() => tickets.iter().take(1).collect(),
        _ => {
            let group = Group { free: free.len(), of: tickets.len(), admitted: 0 };
            return Ok(Answer::Choose(ask.look(free[0].clone()), group));
        }
    };
    let open = free.len();
    let verdicts = ask.go(app, door, &chosen).await?;
    let admitted = verdicts.iter().filter(|v| v.reason == Reason::Ok).count();
    let left = if admitted == chosen.len() {
        open.saturating_sub(if again { 0 } else { admitted })
    } else {
        // Another gate was faster with some of them.
        let client = app.entrance_pg.get().await?;
        let now = read(&client, order_id).await?;
        now.iter().filter(|t| ask.judge(t) == Reason::Ok).count()
    };
    let group = Group { free: left, of: tickets.len(), admitted };
    // Let in, if anybody was; else the first one's reason.
    let told = verdicts.iter().position(|v| v.reason == Reason::Ok).unwrap_or(0);
    let verdict = verdicts.into_iter().nth(told).ok_or_else(|| crate::error::Error::bug("a group of nobody"))?;
    Ok(Answer::Judged(verdict, Some(group)))
}

async fn read(client: &impl GenericClient, order_id: Uuid) -> Result<Vec<TicketRow>> {
    let ids = pg::of_group(client, order_id).await?;
    let wanted = ids.iter().map(|id| Wanted { ticket_id: Some(*id), exhibition_id: 0, staff_id: 0, nonce: None });
    let rows = pg::read(client, &wanted.collect::<Vec<_>>()).await?;
    Ok(rows.into_iter().filter_map(|row| row.ticket).collect())
}

/// Under which name the scan of one of them is written down. No nonce of a device has a blank, so none is taken for one of these.
pub fn of_group(nonce: &str, ticket_no: i16) -> String {
    format!("{nonce} {ticket_no}")
}

fn against(ask: &GroupAsk<'_>, tickets: &[TicketRow]) -> Option<Reason> {
    let Some(first) = tickets.first() else { return Some(Reason::Unknown) };
    if u32::try_from(first.exhibition_id) != Ok(ask.claims.exhibition_id) {
        return Some(Reason::Unknown);
    }
    if !ask.scanner.staff.may_enter(first.exhibition_id) {
        return Some(Reason::WrongExhibition);
    }
    match ask.claims.version.cmp(&group_version(tickets.iter().map(|t| t.version))) {
        std::cmp::Ordering::Less => Some(Reason::Reissued),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(Reason::Unknown),
    }
}

impl GroupAsk<'_> {
    fn judge(&self, ticket: &TicketRow) -> Reason {
        ticket.judged_now(&self.one.gate, self.one.direction, self.one.at).0
    }

    fn look(&self, ticket: TicketRow) -> Verdict {
        let direction: Direction = self.one.direction;
        Verdict { reason: Reason::Ok, direction, counts: false, seen: Default::default(), ticket: Some(ticket) }
    }

    async fn go(&self, app: &App, door: &Door, chosen: &[&TicketRow]) -> Result<Vec<Verdict>> {
        let scans = chosen.iter().map(|ticket| {
            let claims = Claims {
                kind: Kind::Single,
                ticket_id: ticket.id,
                version: ticket.version.unsigned_abs(),
                ..self.claims
            };
            let nonce = self.one.nonce.as_ref().map(|nonce| of_group(nonce, ticket.ticket_no));
            let asked = Asked { scan_id: ids::row_id(self.one.at), claims: Ok(claims), nonce, ..self.one.clone() };
            door.scan(app, asked)
        });
        futures_util::future::join_all(scans).await.into_iter().collect()
    }
}
