//! What the gate sees: the verdict in the caller's language, the visitor's name masked.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use serde::Serialize;
use utoipa::ToSchema;

use super::judge::Verdict;
use super::pg::TicketRow;
use super::rules::{Reason, Visit};
use crate::app::App;
use crate::orders::contact;
use crate::platform::clock::seoul;
use crate::platform::texts::{self, Language};

#[derive(Debug, Serialize, ToSchema)]
pub struct ScanReply {
    /// allowed or refused.
    pub entrance_status: &'static str,
    /// ok, already_used, wrong_exhibition, wrong_date, too_early, too_late, not_paid, cancelled, refunded, reissued,
    /// unknown, bad_signature or blocked.
    pub reason: &'static str,
    /// Null where there is no ticket, or it is none of the caller's business.
    pub order_number: Option<String>,
    /// Masked: 홍*동.
    pub customer_name: Option<String>,
    pub product: Option<String>,
    /// Number of the ticket within its order.
    pub ticket_no: Option<i16>,
    pub of: Option<i16>,
    /// Day of the visit in Asia/Seoul; null: any day of the exhibition.
    #[schema(value_type = Option<String>, format = Date)]
    pub slot_date: Option<Date>,
    #[schema(value_type = Option<String>)]
    pub start_time: Option<Time>,
    #[schema(value_type = Option<String>)]
    pub end_time: Option<Time>,
    /// Present when the ticket was let in before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_scan: Option<FirstScanShown>,
    /// For the person at the gate, in the language of the call.
    pub message: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct FirstScanShown {
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    pub gate: String,
}

pub fn shown(app: &App, verdict: Verdict, language: Language) -> ScanReply {
    let reason = verdict.reason;
    let message = message(&verdict, language, app.clock.today_in_seoul());
    // Staff of another exhibition learn that the ticket is not theirs, and no name.
    let ticket = verdict.ticket.filter(|_| !matches!(reason, Reason::WrongExhibition | Reason::Unknown));
    let ticket = ticket.as_ref();
    let (slot_date, start_time, end_time) = match ticket.map(|t| t.visit) {
        Some(Visit::Day(date)) => (Some(date), None, None),
        Some(Visit::Slot { date, start, end }) => (Some(date), Some(start), Some(end)),
        Some(Visit::Undated { .. }) | None => (None, None, None),
    };
    ScanReply {
        entrance_status: if reason == Reason::Ok { "allowed" } else { "refused" },
        reason: reason.as_str(),
        order_number: ticket.map(|t| t.order_number.clone()),
        customer_name: ticket.and_then(|t| masked_name(app, t)),
        product: ticket.map(|t| language.pick(&t.product_ko, &t.product_en).to_owned()),
        ticket_no: ticket.map(|t| t.ticket_no),
        of: ticket.map(|t| t.of_total),
        slot_date,
        start_time,
        end_time,
        first_scan: verdict.first_scan.map(|f| FirstScanShown { at: f.at, gate: f.gate }),
        message,
    }
}

fn message(verdict: &Verdict, language: Language, today: Date) -> String {
    let mut values: Vec<(&'static str, String)> = Vec::new();
    if let Some(first) = &verdict.first_scan {
        let at = first.at.to_zoned(seoul());
        let format = if at.date() == today { "%H:%M" } else { "%Y-%m-%d %H:%M" };
        values.push(("at", at.strftime(format).to_string()));
        values.push(("gate", first.gate.clone()));
    }
    let (from, until) = match verdict.ticket.as_ref().map(|t| t.visit) {
        Some(Visit::Undated { from, until }) => (from.to_string(), until.to_string()),
        Some(Visit::Day(date)) => (date.to_string(), date.to_string()),
        Some(Visit::Slot { date, start, end }) => {
            let minutes = |t: jiff::civil::DateTime| t.strftime("%Y-%m-%d %H:%M").to_string();
            (minutes(Visit::opens(date, start)), minutes(date.to_datetime(end)))
        }
        None => (String::new(), String::new()),
    };
    values.extend([("from", from), ("until", until)]);
    texts::filled(language, &format!("scan.{}", verdict.reason.as_str()), &values)
}

/// A name that cannot be read does not stop anybody at the door.
fn masked_name(app: &App, ticket: &TicketRow) -> Option<String> {
    let (key_id, sealed) = ticket.contact.as_ref()?;
    contact::open(app, ticket.order_id, key_id, sealed)
        .inspect_err(|error| tracing::error!(%error, "a contact does not open"))
        .ok()
        .map(|contact| masked(&contact.name))
}

/// Enough to compare with a face that says its name, too little to learn one: of each word the first and the last
/// character, of two characters the first.
pub fn masked(name: &str) -> String {
    let word = |word: &str| {
        let chars: Vec<char> = word.chars().collect();
        match chars.as_slice() {
            [] => String::new(),
            [_] => "*".to_owned(),
            [first, _] => format!("{first}*"),
            [first, middle @ .., last] => format!("{first}{}{last}", "*".repeat(middle.len())),
        }
    };
    name.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_masked() {
        let table = [
            ("홍길동", "홍*동"),
            ("남궁민수", "남**수"),
            ("김철", "김*"),
            ("이", "*"),
            ("John Smith", "J**n S***h"),
            ("  Jo  A ", "J* *"),
            ("", ""),
        ];
        for (name, shown) in table {
            assert_eq!(masked(name), shown);
        }
    }
}
