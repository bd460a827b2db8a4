//! Finds a ticket where there is no QR to scan: by ticket number, order number or telephone number.

pub mod api;
pub mod pg;

use jiff::civil::Date;

use crate::app::App;
use crate::orders::contact;
use crate::platform::ids::{self, crockford_value};

/// Less would leaf through the visitors of an exhibition.
pub const CHARS_MIN: usize = 4;
pub const CHARS_MAX: usize = 40;
pub const FOUND_MAX: i64 = 20;
/// Of a device.
pub const PER_MINUTE: u32 = 30;
const NUMBER_CHARS: usize = 8;
const ORDER_CHARS: usize = 10;

/// All that somebody may have meant.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Meant {
    /// First and last ticket number that begins so.
    pub numbers: Option<([u8; 5], [u8; 5])>,
    /// First and last order number, for each day on which one may have been given.
    pub orders: Vec<(String, String)>,
    pub phone: Option<[u8; 32]>,
}

/// None: too short, or too long.
pub fn meant(app: &App, text: &str, days: impl Iterator<Item = Date>) -> Option<Meant> {
    let text = text.trim();
    if !(CHARS_MIN..=CHARS_MAX).contains(&text.chars().count()) {
        return None;
    }
    let order = text.to_ascii_uppercase();
    let mut meant =
        Meant { phone: contact::phone_e164(text).map(|e164| contact::phone_digest(app, &e164)), ..Meant::default() };
    if ids::is_order_number(&order) {
        meant.orders.push((order.clone(), order));
        return Some(meant);
    }
    let plain: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let Some(values) = plain.bytes().map(crockford_value).collect::<Option<Vec<u64>>>() else { return Some(meant) };
    if (CHARS_MIN..=NUMBER_CHARS).contains(&values.len()) {
        meant.numbers = Some((padded(&values, 0), padded(&values, 31)));
    }
    if (CHARS_MIN..=ORDER_CHARS).contains(&values.len()) {
        let typed: String = values.iter().map(|v| ids::CROCKFORD[*v as usize] as char).collect();
        let whole = |day: Date, fill: &str| {
            let end = fill.repeat(ORDER_CHARS - typed.len());
            format!("ORD{}-{typed}{end}", day.strftime("%Y%m%d"))
        };
        meant.orders = days.map(|day| (whole(day, "0"), whole(day, "Z"))).collect();
    }
    Some(meant)
}

fn padded(values: &[u64], fill: u64) -> [u8; 5] {
    let bits = (0..NUMBER_CHARS).fold(0, |bits, n| bits << 5 | values.get(n).copied().unwrap_or(fill));
    let mut number = [0; 5];
    number.copy_from_slice(&bits.to_be_bytes()[3..]);
    number
}
