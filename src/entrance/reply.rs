//! What the gate sees: the verdict in the caller's language, the visitor's name masked.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use serde::Serialize;
use utoipa::ToSchema;

use super::group::{Answer, Group};
use super::judge::Verdict;
use super::pg::{SeenBefore, TicketRow};
use super::rules::{Direction, Reason, Visit};
use crate::app::App;
use crate::orders::contact;
use crate::platform::clock::seoul;
use crate::platform::texts::{self, Language};

/// Nobody between us and the device keeps it.
pub fn private(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], axum::Json(body)).into_response()
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ScanReply {
    /// allowed or refused; choose: several people come under one code, ask again with `people` and the same nonce.
    pub entrance_status: &'static str,
    /// ok, already_used, wrong_exhibition, wrong_date, too_early, too_late, not_paid, cancelled, refunded, reissued,
    /// unknown, bad_signature, blocked, wrong_gate, used_up, already_inside, too_soon or not_inside.
    pub reason: &'static str,
    pub direction: Direction,
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
    /// With `already_used`: when and where it was let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_scan: Option<SeenShown>,
    /// With `used_up`, `already_inside` and `too_soon`: when and where it was let in last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_scan: Option<SeenShown>,
    /// Of a code for several people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// An admin signed for it, against `reason`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
    /// For the person at the gate, in the language of the call.
    pub message: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SeenShown {
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    pub gate: String,
}

fn seen(seen: Option<SeenBefore>) -> Option<SeenShown> {
    seen.map(|s| SeenShown { at: s.at, gate: s.gate })
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
        direction: verdict.direction,
        order_number: ticket.map(|t| t.order_number.clone()),
        customer_name: ticket.and_then(|t| masked_name(app, t)),
        product: ticket.map(|t| language.pick(&t.product_ko, &t.product_en).to_owned()),
        ticket_no: ticket.map(|t| t.ticket_no),
        of: ticket.map(|t| t.of_total),
        slot_date,
        start_time,
        end_time,
        first_scan: seen(verdict.seen.first),
        last_scan: seen(verdict.seen.last),
        group: None,
        forced: false,
        message,
    }
}

/// The answer to a code for several people.
pub fn group(app: &App, answer: Answer, language: Language) -> ScanReply {
    let (verdict, group, choose) = match answer {
        Answer::Choose(verdict, group) => (verdict, Some(group), true),
        Answer::Judged(verdict, group) => (verdict, group, false),
    };
    let told = group.filter(|group| choose || group.admitted > 0).map(|group| {
        let key = match (choose, verdict.direction) {
            (true, Direction::In) => "scan.group_choose",
            (true, Direction::Out) => "scan.group_choose_out",
            (false, Direction::In) => "scan.group_in",
            (false, Direction::Out) => "scan.group_out",
        };
        let values = [("n", group.admitted), ("free", group.free), ("of", group.of)];
        texts::filled(language, key, &values.map(|(name, value)| (name, value.to_string())))
    });
    let mut reply = shown(app, verdict, language);
    if choose {
        reply.entrance_status = "choose";
    }
    if group.is_some() {
        // It is about all of them.
        reply.ticket_no = None;
    }
    ScanReply { group, message: told.unwrap_or_else(|| reply.message.clone()), ..reply }
}

/// The answer to a scan that an admin signed for.
pub fn forced(app: &App, verdict: Verdict, language: Language) -> ScanReply {
    let message = texts::filled(language, "scan.forced", &[]);
    ScanReply { entrance_status: "allowed", forced: true, message, ..shown(app, verdict, language) }
}

fn message(verdict: &Verdict, language: Language, today: Date) -> String {
    let mut values: Vec<(&'static str, String)> = Vec::new();
    if let Some(seen) = verdict.seen.first.as_ref().or(verdict.seen.last.as_ref()) {
        let at = seen.at.to_zoned(seoul());
        let format = if at.date() == today { "%H:%M" } else { "%Y-%m-%d %H:%M" };
        values.push(("at", at.strftime(format).to_string()));
        values.push(("gate", seen.gate.clone()));
    }
    let rules = verdict.ticket.as_ref().map(|t| t.rules.clone()).unwrap_or_default();
    let (from, until) = match verdict.ticket.as_ref().map(|t| t.visit) {
        Some(Visit::Undated { from, until }) => (from.to_string(), until.to_string()),
        Some(Visit::Day(date)) => (date.to_string(), date.to_string()),
        Some(Visit::Slot { date, start, end }) => {
            let minutes = |t: jiff::civil::DateTime| t.strftime("%Y-%m-%d %H:%M").to_string();
            let (opens, closes) = Visit::open(date, start, end, &rules);
            (minutes(opens), minutes(closes))
        }
        None => (String::new(), String::new()),
    };
    values.extend([("from", from), ("until", until), ("n", rules.per_day.to_string())]);
    values.push(("gates", rules.gates.unwrap_or_default().join(", ")));
    let key = match (verdict.reason, verdict.direction) {
        (Reason::Ok, Direction::Out) => "scan.ok_out".to_owned(),
        (reason, _) => format!("scan.{}", reason.as_str()),
    };
    texts::filled(language, &key, &values)
}

/// A name that cannot be read does not stop anybody at the door.
fn masked_name(app: &App, ticket: &TicketRow) -> Option<String> {
    let (key_id, sealed) = ticket.contact.as_ref()?;
    contact::open(app, ticket.order_id, key_id, sealed)
        .inspect_err(|error| tracing::error!(%error, "a contact does not open"))
        .ok()
        .map(|contact| contact::masked_name(&contact.name))
        // Whoever came without booking gave none.
        .filter(|name| !name.is_empty())
}
