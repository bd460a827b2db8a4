//! What a table of orders says, and in what kind of file.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Result};
use crate::orders::care::search::pg::OrderRow;
use crate::orders::contact::{masked_email, masked_name, masked_phone, national_phone};
use crate::platform::clock::seoul;
use crate::platform::csv;
use crate::platform::table::Cell;
use crate::platform::texts::{self, Language};
use crate::platform::xlsx::Book;

/// Names for programs, in a CSV; people read `export.orders.*`, in a spreadsheet.
pub const COLUMNS: [&str; 15] = [
    "order_number",
    "state",
    "total_won",
    "payment_method",
    "created_at",
    "paid_at",
    "visit_date",
    "start_time",
    "places",
    "products",
    "customer_name",
    "customer_phone",
    "customer_email",
    "exhibition",
    "order_id",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Csv,
    Xlsx,
}

impl Format {
    pub fn ending(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Xlsx => "xlsx",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8",
            Format::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }
}

enum File {
    Csv { begun: bool },
    Xlsx(Box<Book>),
}

/// A table that is being written. What it does is work: not for a thread that others wait for.
pub struct Sheet {
    app: App,
    exhibition: Arc<Exhibition>,
    language: Language,
    unmasked: bool,
    file: File,
}

impl Sheet {
    pub fn new(
        app: &App,
        exhibition: Arc<Exhibition>,
        language: Language,
        unmasked: bool,
        format: Format,
    ) -> Result<Sheet> {
        let word = |name: &str| texts::text(language, &format!("export.orders.{name}")).to_owned();
        let file = match format {
            Format::Csv => File::Csv { begun: false },
            Format::Xlsx => {
                let head = COLUMNS.map(word);
                let head = head.each_ref().map(String::as_str);
                File::Xlsx(Box::new(Book::new(&word("title"), &head).map_err(Error::bug)?))
            }
        };
        Ok(Sheet { app: app.clone(), exhibition, language, unmasked, file })
    }

    /// The next rows, as they are sent; with the last ones, the end of the file.
    pub fn write(mut self, rows: &[OrderRow], more: bool) -> Result<(Option<Sheet>, Vec<u8>)> {
        let cells: Vec<Vec<Cell>> = rows.iter().map(|row| self.cells(row)).collect();
        let mut written = match &mut self.file {
            File::Csv { begun } => {
                let head = if std::mem::replace(begun, true) { String::new() } else { csv::head(&COLUMNS) };
                let line = |cells: &Vec<Cell>| {
                    let cells: Vec<String> = cells.iter().map(Cell::plain).collect();
                    csv::line(&cells.iter().map(String::as_str).collect::<Vec<_>>())
                };
                (head + &cells.iter().map(line).collect::<String>()).into_bytes()
            }
            File::Xlsx(book) => book.add(cells).map_err(Error::bug)?,
        };
        if more {
            return Ok((Some(self), written));
        }
        if let File::Xlsx(book) = self.file {
            written.extend(book.end().map_err(Error::bug)?);
        }
        Ok((None, written))
    }

    fn cells(&self, row: &OrderRow) -> Vec<Cell> {
        let slot = row.slot_id.and_then(|id| self.exhibition.slot(id));
        let contact = row.contact(&self.app);
        let (name, phone, email) = match (&contact, self.unmasked) {
            (None, _) => Default::default(),
            (Some(c), true) => (c.name.clone(), national_phone(&c.phone), c.email.clone().unwrap_or_default()),
            (Some(c), false) => {
                let email = c.email.as_deref().map(masked_email).unwrap_or_default();
                (masked_name(&c.name), masked_phone(&c.phone), email)
            }
        };
        vec![
            Cell::text(&row.number),
            Cell::text(row.state.as_str()),
            Cell::Won(row.total_won.into()),
            Cell::text(row.method.as_deref().unwrap_or_default()),
            in_seoul(Some(row.created_at)),
            in_seoul(row.paid_at),
            slot.map_or(Cell::Empty, |slot| Cell::Day(slot.date)),
            slot.and_then(|slot| slot.start_time).map_or(Cell::Empty, Cell::Time),
            Cell::Number(row.items.iter().map(|(_, n)| i64::from(*n)).sum()),
            Cell::text(row.products(&self.exhibition, self.language)),
            Cell::text(name),
            Cell::text(phone),
            Cell::text(email),
            Cell::text(&self.exhibition.code),
            Cell::text(row.id.to_string()),
        ]
    }
}

fn in_seoul(at: Option<Timestamp>) -> Cell {
    at.map_or(Cell::Empty, |at| Cell::Moment(at.to_zoned(seoul()).datetime()))
}
