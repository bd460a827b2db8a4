//! The days of an exhibition as a visitor chooses among them: a calendar where a day has one slot, a list of days that
//! unfold where it has several. Radios of plain HTML; nothing here asks anybody.

use jiff::civil::{Date, Weekday};
use jiff::{Span, Timestamp};

use super::browse::{COUNTED_FROM, left_text};
use super::words;
use crate::catalogue::model::State;
use crate::catalogue::{Exhibition, Slot};
use crate::platform::texts::{Language, filled};

pub struct Picker {
    /// Some day has several slots: they are told apart by their times.
    pub timed: bool,
    pub months: Vec<Month>,
    /// Sunday first, as calendars in Korea have it.
    pub weekdays: [&'static str; 7],
    /// Something on sale needs no date, so that a date chosen by mistake can be taken back.
    pub dateless: bool,
    pub chosen: bool,
}

pub struct Month {
    pub name: String,
    /// How many of its days have places.
    pub left: String,
    pub open: bool,
    /// Of a calendar.
    pub cells: Vec<Cell>,
    /// Of a list.
    pub days: Vec<Day>,
}

/// One square of the calendar.
pub struct Cell {
    pub number: i8,
    /// Columns that stay empty before it.
    pub after: i8,
    pub choice: Option<Choice>,
}

pub struct Day {
    pub name: String,
    pub left: String,
    pub open: bool,
    pub choices: Vec<Choice>,
}

/// One slot.
pub struct Choice {
    pub slot_id: i32,
    pub date: Date,
    /// The date in full, with its times.
    pub name: String,
    pub times: Option<Times>,
    pub state: State,
    /// How much is left, in one word and in more.
    pub short: String,
    pub left: String,
    pub chosen: bool,
}

pub struct Times {
    pub from: String,
    pub whole: String,
}

impl Choice {
    fn new(language: Language, slot: &Slot, state: State, free: i64, chosen: bool) -> Choice {
        let times = slot.start_time.zip(words::times(slot));
        let times = times.map(|(from, whole)| Times { from: words::time(from), whole });
        Choice {
            slot_id: slot.id,
            date: slot.date,
            name: words::visit(language, slot),
            times,
            state,
            short: short_text(language, state, free),
            left: left_text(language, state, free),
            chosen,
        }
    }

    pub fn on_sale(&self) -> bool {
        self.state == State::OnSale
    }
}

impl Picker {
    /// None where no ticket needs a date, or no day is left.
    pub fn new(e: &Exhibition, now: Timestamp, today: Date, language: Language, chosen: Option<i64>) -> Option<Picker> {
        let active = || e.products.iter().filter(|p| p.active);
        if !active().any(|p| p.dated) {
            return None;
        }
        let choice = |slot: &Slot| {
            let (state, chosen) = (e.slot_state(slot, now, today), chosen == Some(slot.id.into()));
            Choice::new(language, slot, state, e.free(slot.stock_id), chosen)
        };
        arranged(language, e.slots.iter().map(choice).collect(), today, active().any(|p| !p.dated))
    }
}

/// `choices` by date and time; days that are over are dropped.
fn arranged(language: Language, mut choices: Vec<Choice>, today: Date, dateless: bool) -> Option<Picker> {
    choices.retain(|c| c.date >= today);
    let timed = choices.windows(2).any(|pair| pair[0].date == pair[1].date);
    let chosen = choices.iter().any(|c| c.chosen);
    // What is open at first: the month chosen in, or the first one with places.
    let opens_at = choices.iter().find(|c| c.chosen).or_else(|| choices.iter().find(|c| c.on_sale()));
    let opens_at = opens_at.or(choices.first())?.date.first_of_month();
    let months = split(choices, Date::first_of_month).into_iter().map(|(first, choices)| {
        let days = split(choices, |date| date);
        let free = days.iter().filter(|(_, choices)| choices.iter().any(Choice::on_sale)).count();
        let mut month = Month {
            name: words::month(language, first),
            left: of(language, "page.order.days_left", free, days.len()),
            open: first == opens_at,
            cells: Vec::new(),
            days: Vec::new(),
        };
        if timed {
            month.days = days.into_iter().map(|(date, choices)| day(language, date, choices)).collect();
        } else {
            month.cells = cells(days.into_iter().flat_map(|(_, choices)| choices).collect());
        }
        month
    });
    Some(Picker { timed, months: months.collect(), weekdays: words::weekdays(language), dateless, chosen })
}

fn day(language: Language, date: Date, choices: Vec<Choice>) -> Day {
    let free = choices.iter().filter(|c| c.on_sale()).count();
    Day {
        name: words::day(language, date),
        left: of(language, "page.order.times_left", free, choices.len()),
        open: choices.iter().any(|c| c.chosen),
        choices,
    }
}

/// The weeks of one month that have something in them, whole.
fn cells(choices: Vec<Choice>) -> Vec<Cell> {
    let (Some(first), Some(last)) = (choices.first().map(|c| c.date), choices.last().map(|c| c.date)) else {
        return Vec::new();
    };
    let from = (first.day() - column(first)).max(1);
    let until = (last.day() + 6 - column(last)).min(last.days_in_month());
    let mut choices = choices.into_iter().peekable();
    (from..=until)
        .map(|number| Cell {
            number,
            after: if number == from { column(first - Span::new().days(first.day() - from)) } else { 0 },
            choice: choices.next_if(|c| c.date.day() == number),
        })
        .collect()
}

/// 0 for a Sunday.
fn column(date: Date) -> i8 {
    date.weekday().since(Weekday::Sunday)
}

/// Neighbours with the same key, together.
fn split(choices: Vec<Choice>, key: impl Fn(Date) -> Date) -> Vec<(Date, Vec<Choice>)> {
    let mut groups: Vec<(Date, Vec<Choice>)> = Vec::new();
    for choice in choices {
        let at = key(choice.date);
        match groups.last_mut() {
            Some((date, group)) if *date == at => group.push(choice),
            _ => groups.push((at, vec![choice])),
        }
    }
    groups
}

fn of(language: Language, key: &'static str, free: usize, total: usize) -> String {
    filled(language, key, &[("free", free.to_string()), ("total", total.to_string())])
}

/// How much is left, as short as a square of the calendar is small.
fn short_text(language: Language, state: State, free: i64) -> String {
    let key = match state {
        State::OnSale if free <= COUNTED_FROM => return free.to_string(),
        State::OnSale => "page.left.short.many",
        State::HeldByOthers => "page.left.short.held",
        State::SoldOut => "page.left.short.sold_out",
        State::NotYet => "page.left.short.not_yet",
        State::Paused | State::Ended => "page.left.short.closed",
    };
    words::text(language, key).to_owned()
}

#[cfg(test)]
mod tests {
    use jiff::civil::{Time, date, time};

    use super::*;

    fn slot(id: i32, date: Date, times: Option<(Time, Time)>) -> Slot {
        let (start_time, end_time) = times.unzip();
        Slot { id, stock_id: id, date, start_time, end_time, closed: false }
    }

    const TODAY: Date = Date::constant(2026, 11, 1);

    fn all(dates: &[Date], chosen: i32) -> Vec<Choice> {
        let choice =
            |(n, date): (i32, &Date)| Choice::new(Language::En, &slot(n, *date, None), State::OnSale, 12, n == chosen);
        (1..).zip(dates).map(choice).collect()
    }

    fn numbers(month: &Month) -> Vec<i8> {
        month.cells.iter().map(|c| c.number).collect()
    }

    #[test]
    fn a_month_begins_below_its_weekday() {
        // The first of December 2026 is a Tuesday, that of November a Sunday.
        let picker = arranged(Language::En, all(&[date(2026, 11, 1), date(2026, 12, 3)], 0), TODAY, true).unwrap();
        assert!(!picker.timed && !picker.chosen);
        let [november, december] = &picker.months[..] else { panic!("{}", picker.months.len()) };
        assert_eq!((november.name.as_str(), november.cells[0].after), ("November 2026", 0));
        assert_eq!(numbers(november), (1..=7).collect::<Vec<_>>());
        assert_eq!((december.cells[0].after, numbers(december)), (2, vec![1, 2, 3, 4, 5]));
        let offered: Vec<_> = december.cells.iter().filter(|c| c.choice.is_some()).map(|c| c.number).collect();
        assert_eq!(offered, [3]);
        assert_eq!(picker.weekdays[0], "Sun");
    }

    #[test]
    fn only_weeks_with_something_in_them_are_shown() {
        let picker = arranged(Language::Ko, all(&[date(2026, 12, 16), date(2026, 12, 31)], 0), TODAY, false).unwrap();
        assert_eq!(numbers(&picker.months[0]), (13..=31).collect::<Vec<_>>(), "the year ends on a Thursday");
        assert_eq!(picker.months[0].cells[0].after, 0);
        assert_eq!(picker.months[0].left, "2일 중 2일 예매 가능");
    }

    #[test]
    fn the_month_of_the_choice_is_open() {
        let dates = [date(2026, 12, 30), date(2027, 1, 2)];
        let open = |chosen| -> Vec<bool> {
            arranged(Language::En, all(&dates, chosen), TODAY, true).unwrap().months.iter().map(|m| m.open).collect()
        };
        assert_eq!((open(0), open(2)), (vec![true, false], vec![false, true]));
        let mut choices = all(&dates, 0);
        choices[0].state = State::SoldOut;
        let picker = arranged(Language::En, choices, TODAY, true).unwrap();
        assert!(picker.months[1].open, "the first with places");
        assert_eq!(picker.months[0].left, "Days open: 0 of 1");
    }

    #[test]
    fn several_slots_of_a_day_unfold() {
        let hours = |n: i8| Some((time(n, 0, 0, 0), time(n + 1, 0, 0, 0)));
        let slots = [
            (slot(1, date(2026, 12, 3), hours(10)), State::OnSale),
            (slot(2, date(2026, 12, 3), hours(11)), State::SoldOut),
            (slot(3, date(2026, 12, 4), hours(10)), State::OnSale),
        ];
        let choice = |(s, state): &(Slot, State)| Choice::new(Language::En, s, *state, 12, s.id == 3);
        let picker = arranged(Language::En, slots.iter().map(choice).collect(), TODAY, true).unwrap();
        assert!(picker.timed && picker.chosen && picker.months[0].cells.is_empty());
        let days = &picker.months[0].days;
        assert_eq!((days[0].name.as_str(), days[0].left.as_str()), ("Thu 3 December", "Times open: 1 of 2"));
        assert_eq!((days[0].open, days[1].open), (false, true));
        let (ten, eleven) = (&days[0].choices[0], &days[0].choices[1]);
        assert_eq!(ten.times.as_ref().unwrap().whole, "10:00–11:00");
        assert_eq!((ten.name.as_str(), ten.short.as_str()), ("Thu 3 December 2026 10:00–11:00", "12"));
        assert_eq!((eleven.short.as_str(), eleven.left.as_str()), ("full", "Sold out"));
    }

    #[test]
    fn days_that_are_over_are_dropped() {
        let dates = [date(2026, 11, 30), date(2026, 12, 2), date(2026, 12, 3)];
        let left = |today| arranged(Language::En, all(&dates, 2), today, true);
        let picker = left(date(2026, 12, 3)).unwrap();
        let ids = picker.months[0].cells.iter().filter_map(|c| c.choice.as_ref()).map(|c| c.slot_id);
        assert_eq!((ids.collect::<Vec<_>>(), picker.months.len(), picker.chosen), (vec![3], 1, false));
        assert!(left(date(2026, 12, 4)).is_none());
    }
}
