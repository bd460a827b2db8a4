//! Dates, times and money as people write them in Korean and English. Everything is shown in Asia/Seoul.

use jiff::Timestamp;
use jiff::civil::{Date, Time, Weekday};

use crate::catalogue::Slot;
use crate::platform::clock::seoul;
use crate::platform::texts::{self, Language, filled, grouped};

pub fn text(language: Language, key: &'static str) -> &'static str {
    texts::text(language, key)
}

pub fn won(language: Language, amount_won: i64) -> String {
    if amount_won == 0 {
        return text(language, "page.free").to_owned();
    }
    filled(language, "page.won", &[("amount", grouped(amount_won))])
}

/// `2026년 12월`, `December 2026`
pub fn month(language: Language, date: Date) -> String {
    let (year, month) = (date.year(), date.month());
    match language {
        Language::Ko => format!("{year}년 {month}월"),
        Language::En => format!("{} {year}", MONTHS[usize::from(month.unsigned_abs()) - 1]),
    }
}

/// Sunday first.
pub fn weekdays(language: Language) -> [&'static str; 7] {
    use Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
    [Sunday, Monday, Tuesday, Wednesday, Thursday, Friday, Saturday].map(|day| weekday(language, day))
}

/// `2026년 12월 3일 (목)`, `Thu 3 December 2026`
pub fn date(language: Language, date: Date) -> String {
    let (year, day) = (date.year(), day(language, date));
    match language {
        Language::Ko => format!("{year}년 {day}"),
        Language::En => format!("{day} {year}"),
    }
}

/// Where the year is clear: `12월 3일 (목)`, `Thu 3 December`
pub fn day(language: Language, date: Date) -> String {
    let (month, day) = (date.month(), date.day());
    let weekday = weekday(language, date.weekday());
    match language {
        Language::Ko => format!("{month}월 {day}일 ({weekday})"),
        Language::En => format!("{weekday} {day} {}", MONTHS[usize::from(month.unsigned_abs()) - 1]),
    }
}

fn weekday(language: Language, day: Weekday) -> &'static str {
    let at = usize::from(day.to_monday_zero_offset().unsigned_abs());
    match language {
        Language::Ko => ["월", "화", "수", "목", "금", "토", "일"][at],
        Language::En => ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][at],
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub fn time(time: Time) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

/// A slot's date, with its times if it has any.
pub fn visit(language: Language, slot: &Slot) -> String {
    let day = date(language, slot.date);
    match times(slot) {
        Some(times) => format!("{day} {times}"),
        None => day,
    }
}

pub fn times(slot: &Slot) -> Option<String> {
    let (from, until) = slot.start_time.zip(slot.end_time)?;
    Some(format!("{}–{}", time(from), time(until)))
}

pub fn moment(language: Language, at: Timestamp) -> String {
    let at = at.to_zoned(seoul());
    format!("{} {}", date(language, at.date()), time(at.time()))
}

/// A bank by the code that Toss and the others use.
pub fn bank(language: Language, code: &str) -> String {
    let key = format!("bank.{code}");
    if texts::knows(&key) {
        texts::text(language, &key).to_owned()
    } else {
        format!("{} {code}", text(language, "bank.other"))
    }
}

/// Those that money can go back to: code and name.
pub fn banks(language: Language) -> Vec<(String, String)> {
    let named = texts::beginning_with(language, "bank.");
    let known = named.into_iter().filter_map(|(key, name)| Some((key.strip_prefix("bank.")?, name)));
    known.filter(|(code, _)| *code != "other").map(|(code, name)| (code.to_owned(), name.to_owned())).collect()
}

pub fn clock_time(at: Timestamp) -> String {
    time(at.to_zoned(seoul()).time())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_money_read_naturally() {
        let day = Date::constant(2026, 12, 3);
        assert_eq!(date(Language::Ko, day), "2026년 12월 3일 (목)");
        assert_eq!(date(Language::En, day), "Thu 3 December 2026");
        assert_eq!(won(Language::Ko, 15_000), "15,000원");
        assert_eq!(won(Language::En, 0), "Free");
        let late: Timestamp = "2026-12-02T15:05:00Z".parse().unwrap();
        assert_eq!(moment(Language::Ko, late), "2026년 12월 3일 (목) 00:05");
    }
}

#[cfg(test)]
mod keys {
    use std::path::Path;

    use crate::platform::texts;

    fn files(folder: &Path, out: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs" || e == "html" || e == "txt") {
                out.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }

    /// Wherever a text of these families is named, it exists in both languages.
    #[test]
    fn every_text_that_is_named_exists() {
        let mut all = Vec::new();
        files(Path::new("src"), &mut all);
        files(Path::new("web/templates"), &mut all);
        for prefix in ["page.", "mail.", "docs."] {
            let quoted = format!("\"{prefix}");
            for rest in all.iter().flat_map(|text| text.split(quoted.as_str()).skip(1)) {
                let key = format!("{prefix}{}", rest.split('"').next().unwrap());
                let whole = key.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'.' | b'_'));
                // Beginnings of names that are put together, and files, are no texts.
                if whole && !key.ends_with('.') && !key.ends_with(".html") {
                    assert!(texts::knows(&key), "{key}");
                }
            }
        }
    }
}
