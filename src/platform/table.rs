//! What stands in a table that people take away as a file: the same in every kind of file.

use jiff::civil::{Date, DateTime, Time};

#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Empty,
    Text(String),
    Number(i64),
    /// Whole won.
    Won(i64),
    Day(Date),
    Time(Time),
    /// On the wall in Seoul.
    Moment(DateTime),
}

impl Cell {
    /// Nothing is no text.
    pub fn text(text: impl Into<String>) -> Cell {
        let text = text.into();
        if text.is_empty() { Cell::Empty } else { Cell::Text(text) }
    }

    /// As a file without kinds of cells says it.
    pub fn plain(&self) -> String {
        match self {
            Cell::Empty => String::new(),
            Cell::Text(text) => text.clone(),
            Cell::Number(number) | Cell::Won(number) => number.to_string(),
            Cell::Day(day) => day.to_string(),
            Cell::Time(time) => time.strftime("%H:%M").to_string(),
            Cell::Moment(at) => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        }
    }
}
