//! Looks at what admins enter, field by field; all that is wrong is said at once.

use std::ops::RangeInclusive;

use jiff::Timestamp;

use super::PLACES_MAX;
use crate::error::{Error, FieldError, Result};
use crate::platform::texts::has_control;

#[derive(Default)]
pub struct Fields(Vec<FieldError>);

impl Fields {
    pub fn refuse(&mut self, field: impl Into<String>, code: &'static str) {
        self.0.push(FieldError { field: field.into(), code });
    }

    /// A line of text.
    pub fn line(&mut self, field: &str, text: &str, chars: RangeInclusive<usize>) {
        if text.trim().is_empty() && *chars.start() > 0 {
            self.refuse(field, "required");
        } else if has_control(text) {
            self.refuse(field, "control_characters");
        } else if text.chars().count() > *chars.end() {
            self.refuse(field, "too_long");
        }
    }

    /// Several lines.
    pub fn text(&mut self, field: &str, text: &str, chars: RangeInclusive<usize>) {
        self.line(field, &text.replace('\n', " "), chars);
    }

    pub fn number(&mut self, field: impl Into<String>, number: i32, range: RangeInclusive<i32>) {
        if !range.contains(&number) {
            self.refuse(field, "out_of_range");
        }
    }

    /// Places that exist and places on offer.
    pub fn places(&mut self, total: i32, offered: i32) {
        self.number("total", total, 0..=PLACES_MAX);
        self.number("offered", offered, 0..=PLACES_MAX);
    }

    pub fn window(&mut self, from: Option<Timestamp>, until: Option<Timestamp>) {
        if from.zip(until).is_some_and(|(from, until)| from >= until) {
            self.refuse("sale_end", "before_start");
        }
    }

    pub fn done(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::fields(self.0)) }
    }
}
