//! What somebody who types into the search may have meant.

use jiff::civil::Date;

use crate::app::App;
use crate::orders::contact;
use crate::platform::ids::{self, CROCKFORD};

pub const CHARS_MAX: usize = 200;
/// Letters, and digits of the day, of an order number.
const PREFIX: &str = "ORD";
const DAY_DIGITS: usize = 8;
/// Random characters of an order number.
const ORDER_CHARS: usize = 10;

#[derive(Debug, PartialEq, Eq)]
pub enum Meant {
    /// A number that says no more than days, both included.
    Days(Date, Date),
    /// First and last order number.
    Numbers(String, String),
    Known(Known),
    /// No order can have it.
    Nothing,
}

/// By any of these; names and tails are one for each exhibition.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub payment_key: Option<String>,
    pub phone: Option<Vec<u8>>,
    pub tails: Vec<i64>,
    pub names: Vec<i64>,
}

impl Known {
    pub fn kinds(&self) -> Vec<&'static str> {
        [
            ("payment_key", self.payment_key.is_some()),
            ("phone", self.phone.is_some()),
            ("phone_tail", !self.tails.is_empty()),
            ("name", !self.names.is_empty()),
        ]
        .into_iter()
        .filter_map(|(kind, may_be)| may_be.then_some(kind))
        .collect()
    }
}

pub fn meant(app: &App, text: &str, exhibitions: &[i32]) -> Meant {
    let text = text.trim();
    if let Some(number) = number(&text.to_ascii_uppercase()) {
        return number;
    }
    let of_all = |index: &dyn Fn(i32) -> Option<i64>| exhibitions.iter().filter_map(|id| index(*id)).collect();
    let is_tail = text.len() == contact::TAIL_DIGITS && text.bytes().all(|b| b.is_ascii_digit());
    Meant::Known(Known {
        payment_key: ids::is_payment_key(text).then(|| text.to_owned()),
        phone: contact::phone_e164(text).map(|e164| contact::phone_digest(app, &e164).to_vec()),
        tails: of_all(&|id| is_tail.then(|| contact::tail_index(app, id, text))),
        names: of_all(&|id| contact::name_index(app, id, text)),
    })
}

/// A whole order number, its beginning from the first digit on, or what an attempt to pay it is called outside.
fn number(text: &str) -> Option<Meant> {
    let text = match text.rsplit_once('-') {
        Some((number, _)) if ids::is_attempt_id(text) => number,
        _ => text,
    };
    let rest = text.strip_prefix(PREFIX).filter(|rest| !rest.is_empty())?;
    let (day, end) = rest.split_once('-').unwrap_or((rest, ""));
    let digits = day.bytes().all(|b| b.is_ascii_digit()) && day.len() <= DAY_DIGITS;
    let shaped = (day.len() == DAY_DIGITS || !rest.contains('-'))
        && end.len() <= ORDER_CHARS
        && end.bytes().all(|b| CROCKFORD.contains(&b));
    if !digits || !shaped {
        return None;
    }
    if end.is_empty() {
        return Some(days(day).map_or(Meant::Nothing, |(from, until)| Meant::Days(from, until)));
    }
    let filled = |with: &str| format!("{text}{}", with.repeat(ORDER_CHARS - end.len()));
    Some(Meant::Numbers(filled("0"), filled("Z")))
}

/// The days whose digits begin so.
fn days(digits: &str) -> Option<(Date, Date)> {
    let filled = |with: &str| -> Option<(i16, i8, i8)> {
        let all = format!("{digits}{}", with.repeat(DAY_DIGITS - digits.len()));
        Some((all[..4].parse().ok()?, all[4..6].parse().ok()?, all[6..].parse().ok()?))
    };
    let ((y, m, d), (to_y, to_m, to_d)) = (filled("0")?, filled("9")?);
    let from = Date::new(y, m.max(1), d.max(1)).ok()?;
    let last = Date::new(to_y, to_m.min(12), 1).ok()?.last_of_month();
    Some((from, last.with().day(to_d.min(last.day())).build().ok()?)).filter(|(from, until)| from <= until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(text: &str) -> String {
        match number(text) {
            Some(Meant::Days(from, until)) => format!("{from} {until}"),
            Some(Meant::Numbers(from, until)) => format!("{from} {until}"),
            Some(Meant::Nothing) => "nothing".into(),
            _ => "no number".into(),
        }
    }

    #[test]
    fn the_beginning_of_a_number_says_days_or_a_range() {
        let table = [
            ("ORD2", "2000-01-01 2999-12-31"),
            ("ORD2026", "2026-01-01 2026-12-31"),
            ("ORD20261", "2026-10-01 2026-12-31"),
            ("ORD202602", "2026-02-01 2026-02-28"),
            ("ORD2026113", "2026-11-30 2026-11-30"),
            ("ORD20261121", "2026-11-21 2026-11-21"),
            ("ORD20261121-", "2026-11-21 2026-11-21"),
            ("ORD202613", "nothing"),
            ("ORD20260231", "nothing"),
            ("ORD20261121-K", "ORD20261121-K000000000 ORD20261121-KZZZZZZZZZ"),
            ("ORD20261121-K7QM2X9P01", "ORD20261121-K7QM2X9P01 ORD20261121-K7QM2X9P01"),
            ("ORD20261121-K7QM2X9P01-2", "ORD20261121-K7QM2X9P01 ORD20261121-K7QM2X9P01"),
            ("ORD", "no number"),
            ("ORD2026-", "no number"),
            ("ORD202611211", "no number"),
            ("ORD20261121-K7QM2X9P011", "no number"),
            ("ORD20261121-U", "no number"),
            ("ORDER", "no number"),
            ("ORD2026가", "no number"),
            ("홍길동", "no number"),
        ];
        for (text, meant) in table {
            assert_eq!(is(text), meant, "{text}");
        }
    }
}
