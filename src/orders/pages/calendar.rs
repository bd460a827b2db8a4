//! The visit as a file for a calendar (RFC 5545).

use axum::body::Body;
use axum::extract::State as AppState;
use axum::http::{HeaderMap, Response};
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

use super::frame::{self, PageLanguage, go};
use super::{Proof, visible, words};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::Result;
use crate::orders::model::{Order, OrderState};
use crate::platform::clock::seoul;
use crate::platform::http::Path;
use crate::platform::texts::Language;

/// Octets of a line, without its end.
const LINE_MAX: usize = 75;

pub async fn file(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    headers: HeaderMap,
    Path((code, number)): Path<(String, String)>,
) -> Result<Response<Body>> {
    let (order, _) = visible(&app, &headers, &code, &number, "", &Proof::default()).await?;
    if !matches!(order.state, OrderState::Paid | OrderState::PartiallyRefunded) {
        return Ok(go(&format!("/{code}/complete/{number}"), None));
    }
    let e = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    let address = format!("{}/{code}/complete/{number}", app.settings.base_url);
    let body = calendar(&e, &order, language, &address, app.clock.now());
    frame::file(body, "text/calendar; charset=utf-8", &format!("{number}.ics"))
}

fn calendar(e: &Exhibition, order: &Order, language: Language, address: &str, now: Timestamp) -> String {
    let slot = order.facts.slot_id.and_then(|id| e.slot(id));
    let (from, until) = match slot {
        Some(slot) => match slot.start_time.zip(slot.end_time) {
            Some((start, end)) => (instant("DTSTART", slot.date, start), instant("DTEND", slot.date, end)),
            None => whole_days(slot.date, slot.date),
        },
        // Good on any day: the whole time of the exhibition.
        None => whole_days(e.starts_on, e.ends_on),
    };
    let text = |name: &str, value: &str| format!("{name}:{}", escaped(value));
    let count: i32 = order.facts.items.iter().map(|item| item.quantity).sum();
    let number = &order.facts.number;
    let note = crate::platform::texts::filled(
        language,
        "page.calendar.note",
        &[("number", number.clone()), ("count", count.to_string())],
    );
    let lines = [
        "BEGIN:VCALENDAR".to_owned(),
        "VERSION:2.0".to_owned(),
        "PRODID:-//Admit//Tickets//EN".to_owned(),
        "METHOD:PUBLISH".to_owned(),
        "BEGIN:VEVENT".to_owned(),
        format!("UID:{number}@admit"),
        format!("DTSTAMP:{}", utc(now)),
        from,
        until,
        text("SUMMARY", language.pick(&e.name_ko, &e.name_en)),
        text("LOCATION", language.pick(&e.venue_ko, &e.venue_en)),
        text("DESCRIPTION", &format!("{note}\n{address}")),
        format!("URL:{address}"),
        // Whoever may visit on any day is not busy on all of them.
        format!("TRANSP:{}", if slot.is_some() { "OPAQUE" } else { "TRANSPARENT" }),
        "BEGIN:VALARM".to_owned(),
        "ACTION:DISPLAY".to_owned(),
        text("DESCRIPTION", words::text(language, "page.calendar.alarm")),
        "TRIGGER:-PT3H".to_owned(),
        "END:VALARM".to_owned(),
        "END:VEVENT".to_owned(),
        "END:VCALENDAR".to_owned(),
    ];
    lines.iter().map(|line| folded(line)).collect()
}

fn utc(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn instant(name: &str, date: Date, time: Time) -> String {
    match date.to_datetime(time).to_zoned(seoul()) {
        Ok(at) => format!("{name}:{}", utc(at.timestamp())),
        Err(_) => format!("{name};VALUE=DATE:{}", date.strftime("%Y%m%d")),
    }
}

/// The end is the day after the last.
fn whole_days(first: Date, last: Date) -> (String, String) {
    let after = last.tomorrow().unwrap_or(last);
    let day = |name: &str, date: Date| format!("{name};VALUE=DATE:{}", date.strftime("%Y%m%d"));
    (day("DTSTART", first), day("DTEND", after))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Long lines go on behind a space, and never in the middle of a character.
fn folded(line: &str) -> String {
    let mut out = String::with_capacity(line.len() + 8);
    let mut room = LINE_MAX;
    for c in line.chars() {
        if c.len_utf8() > room {
            out.push_str("\r\n ");
            room = LINE_MAX - 1;
        }
        room -= c.len_utf8();
        out.push(c);
    }
    out.push_str("\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_between_characters_and_texts_escaped() {
        let long = format!("SUMMARY:{}", escaped(&"가나다, 라;".repeat(20)));
        let out = folded(&long);
        assert!(out.ends_with("\r\n") && out.split("\r\n").all(|line| line.len() <= LINE_MAX), "{out}");
        assert_eq!(out.replace("\r\n ", "").trim_end(), long);
        assert_eq!(escaped("a\\b;c,d\ne\r"), "a\\\\b\\;c\\,d\\ne");
    }

    #[test]
    fn hours_are_given_in_utc_and_days_as_days() {
        let day = Date::constant(2026, 12, 3);
        assert_eq!(instant("DTSTART", day, Time::constant(8, 30, 0, 0)), "DTSTART:20261202T233000Z");
        let (from, until) = whole_days(day, Date::constant(2026, 12, 31));
        assert_eq!((from.as_str(), until.as_str()), ("DTSTART;VALUE=DATE:20261203", "DTEND;VALUE=DATE:20270101"));
    }
}
