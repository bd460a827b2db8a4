//! What a visitor asks for, looked at field by field before anything is touched.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::consent::{self, Consent, ConsentAsk};
use super::contact::{self, Contact, has_control};
use super::model::Item;
use crate::catalogue::model::State;
use crate::catalogue::{Exhibition, Slot};
use crate::error::{Error, FieldError, Result};
use crate::platform::secrets::sha256;
use crate::stock::Line;
use crate::stock::model::{Fingerprint, lines};

/// Different products in one order.
pub const ITEMS_MAX: usize = 20;
const REFERRAL_CHARS_MAX: usize = 64;

#[derive(Deserialize, ToSchema)]
pub struct OrderAsk {
    #[schema(example = "aaa")]
    pub exhibition_code: String,
    #[schema(example = "홍길동")]
    pub customer_name: String,
    /// A Korean mobile number, with or without hyphens.
    #[schema(example = "010-1234-5678")]
    pub customer_phone: String,
    #[serde(default)]
    pub customer_email: Option<String>,
    /// `YYYY-MM-DD` in Asia/Seoul; needed for dated products.
    #[serde(default)]
    pub visit_date: Option<String>,
    /// Needed only when the date has several slots.
    #[serde(default)]
    pub slot_id: Option<i64>,
    pub items: Vec<ItemAsk>,
    #[serde(default)]
    pub referral_code: Option<String>,
    /// Left out where the caller keeps the buyer's consent itself.
    #[serde(default)]
    pub consent: Option<ConsentAsk>,
}

#[derive(Deserialize, Serialize, ToSchema)]
pub struct ItemAsk {
    pub product_id: i64,
    /// 1 or more, up to the product's per-order limit.
    pub quantity: i64,
}

/// An order that may be taken: everything but the places themselves is certain.
#[derive(Debug)]
pub struct Checked {
    pub items: Vec<Item>,
    pub lines: Vec<Line>,
    pub slot_id: Option<i32>,
    pub total_won: i32,
    /// Places that count toward the person's limit.
    pub person_places: i32,
    pub contact: ContactChecked,
    pub referral_code: Option<String>,
    pub consent: Consent,
    pub fingerprint: Fingerprint,
}

pub struct ContactChecked(pub Contact);

impl std::fmt::Debug for ContactChecked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(contact)")
    }
}

pub(super) struct Refusals(pub Vec<FieldError>);

impl Refusals {
    pub fn push(&mut self, field: impl Into<String>, code: &'static str) {
        self.0.push(FieldError { field: field.into(), code });
    }
}

pub fn check(ask: &OrderAsk, exhibition: &Exhibition, now: Timestamp, today: Date) -> Result<Checked> {
    let mut refusals = Refusals(Vec::new());
    let items = check_items(&ask.items, exhibition, &mut refusals);
    for (at, item) in ask.items.iter().enumerate() {
        let found = items.iter().find(|known| i64::from(known.product_id) == item.product_id);
        if found.is_some_and(|item| item.per_person_max.is_some_and(|most| item.quantity > most)) {
            refusals.push(format!("items[{at}].quantity"), "per_person_limit");
        }
    }
    let mut contact_errors = Vec::new();
    let contact =
        contact::check(&ask.customer_name, &ask.customer_phone, ask.customer_email.as_deref(), &mut contact_errors);
    let consent = consent::check(ask.consent.as_ref(), &mut contact_errors);
    refusals.0.extend(contact_errors);
    let referral_code = ask.referral_code.as_deref().map(str::trim).filter(|code| !code.is_empty());
    if let Some(code) = referral_code {
        if has_control(code) {
            refusals.push("referral_code", "control_characters");
        } else if code.chars().count() > REFERRAL_CHARS_MAX {
            refusals.push("referral_code", "too_long");
        }
    }
    let dated = items.iter().any(|item| exhibition.product(item.product_id).is_some_and(|p| p.dated));
    let wanted = (ask.visit_date.as_deref(), ask.slot_id);
    let slot = if dated { check_slot(wanted, exhibition, today, &mut refusals) } else { None };
    if !dated {
        check_idle_date(ask, today, &mut refusals);
    }
    let (Some(contact), true) = (contact, refusals.0.is_empty()) else {
        return Err(Error::fields(refusals.0));
    };
    check_on_sale(&items, slot, exhibition, now)?;

    let total_won = total_won(&items)?;
    let products = items.iter().filter_map(|i| Some((exhibition.product(i.product_id)?, i.quantity)));
    let person_places = match exhibition.person_limit {
        Some(_) => products.filter(|(p, _)| p.person_limited).map(|(_, quantity)| quantity).sum(),
        None => 0,
    };
    let lines = lines_of(&items, slot, exhibition);
    let slot_id = slot.map(|slot| slot.id);
    let fingerprint = fingerprint(exhibition.id, &contact, slot_id, &items, referral_code);
    let referral_code = referral_code.map(str::to_owned);
    Ok(Checked {
        items,
        lines,
        slot_id,
        total_won,
        person_places,
        contact: ContactChecked(contact),
        referral_code,
        consent,
        fingerprint,
    })
}

pub(super) fn total_won(items: &[Item]) -> Result<i32> {
    let total = items.iter().map(|i| i64::from(i.unit_won) * i64::from(i.quantity)).sum::<i64>();
    i32::try_from(total).map_err(|_| Error::field("items", "out_of_range"))
}

/// The places of an order, by stock.
pub(super) fn lines_of(items: &[Item], slot: Option<&Slot>, exhibition: &Exhibition) -> Vec<Line> {
    let products = items.iter().filter_map(|i| Some((exhibition.product(i.product_id)?, i.quantity)));
    lines(products.flat_map(|(product, quantity)| {
        let of_slot = slot.filter(|_| product.dated).map(|slot| (slot.stock_id, quantity));
        [Some((product.stock_id, quantity)), of_slot].into_iter().flatten()
    }))
}

pub(super) fn check_items(asked: &[ItemAsk], exhibition: &Exhibition, refusals: &mut Refusals) -> Vec<Item> {
    if asked.is_empty() {
        refusals.push("items", "required");
    }
    if asked.len() > ITEMS_MAX {
        refusals.push("items", "too_many");
        return Vec::new();
    }
    let mut items: Vec<Item> = Vec::with_capacity(asked.len());
    for (at, item) in asked.iter().enumerate() {
        let product = i32::try_from(item.product_id).ok().and_then(|id| exhibition.shown_product(id));
        let Some(product) = product else {
            refusals.push(format!("items[{at}].product_id"), "unknown_product");
            continue;
        };
        if items.iter().any(|known| known.product_id == product.id) {
            refusals.push(format!("items[{at}].product_id"), "duplicate");
            continue;
        }
        match i32::try_from(item.quantity) {
            Ok(quantity) if (1..=product.per_order_max).contains(&quantity) => {
                items.push(Item {
                    product_id: product.id,
                    quantity,
                    unit_won: product.price_won,
                    dated: product.dated,
                    per_person_max: product.per_person_max,
                });
            }
            Ok(quantity) if quantity < 1 => refusals.push(format!("items[{at}].quantity"), "too_few"),
            _ => refusals.push(format!("items[{at}].quantity"), "per_order_limit"),
        }
    }
    items
}

pub(super) fn check_slot<'e>(
    (visit_date, slot_id): (Option<&str>, Option<i64>),
    exhibition: &'e Exhibition,
    today: Date,
    refusals: &mut Refusals,
) -> Option<&'e Slot> {
    let date: Option<Date> = match visit_date.map(str::trim).filter(|d| !d.is_empty()) {
        // Strictly YYYY-MM-DD: a lenient parser would accept an instant.
        Some(text) if text.len() == 10 => match text.parse() {
            Ok(date) => Some(date),
            Err(_) => {
                refusals.push("visit_date", "date");
                return None;
            }
        },
        Some(_) => {
            refusals.push("visit_date", "date");
            return None;
        }
        None => None,
    };
    let slot = match (slot_id, date) {
        (Some(id), date) => {
            let slot = i32::try_from(id).ok().and_then(|id| exhibition.slot(id));
            match (slot, date) {
                (None, _) => {
                    refusals.push("slot_id", "unknown_slot");
                    return None;
                }
                (Some(slot), Some(date)) if slot.date != date => {
                    refusals.push("slot_id", "other_date");
                    return None;
                }
                (Some(slot), _) => slot,
            }
        }
        (None, Some(date)) => {
            let mut slots = exhibition.slots_on(date);
            match (slots.next(), slots.next()) {
                (Some(slot), None) => slot,
                (Some(_), Some(_)) => {
                    refusals.push("slot_id", "required");
                    return None;
                }
                (None, _) => {
                    refusals.push("visit_date", if date < today { "past" } else { "no_slot" });
                    return None;
                }
            }
        }
        (None, None) => {
            refusals.push("visit_date", "required");
            return None;
        }
    };
    if slot.date < today {
        refusals.push("visit_date", "past");
        return None;
    }
    if slot.closed {
        refusals.push("visit_date", "closed");
        return None;
    }
    Some(slot)
}

/// A date that no product of the order needs must still be one: whoever sends it means it.
fn check_idle_date(ask: &OrderAsk, today: Date, refusals: &mut Refusals) {
    let Some(text) = ask.visit_date.as_deref().map(str::trim).filter(|d| !d.is_empty()) else { return };
    match text.parse::<Date>() {
        Ok(date) if text.len() == 10 && date >= today => {}
        Ok(_) if text.len() == 10 => refusals.push("visit_date", "past"),
        _ => refusals.push("visit_date", "date"),
    }
}

/// Sale windows and pauses. A slot of today may be bought until it ends.
fn check_on_sale(items: &[Item], slot: Option<&Slot>, exhibition: &Exhibition, now: Timestamp) -> Result<()> {
    for item in items {
        let Some(product) = exhibition.product(item.product_id) else { continue };
        let (from, until) = exhibition.window(product);
        match exhibition.closed_for(product, now) {
            None => {}
            Some(State::NotYet) => return Err(Error::conflict("sale.not_yet").with("at", from)),
            Some(State::Ended) => return Err(Error::conflict("sale.ended").with("at", until)),
            Some(_) => return Err(Error::conflict("sale.paused")),
        }
    }
    if slot.is_some_and(|slot| slot.is_over(now)) {
        return Err(Error::field("slot_id", "past"));
    }
    Ok(())
}

/// Two requests with one fingerprint ask for the same thing.
fn fingerprint(
    exhibition_id: i32,
    contact: &Contact,
    slot_id: Option<i32>,
    items: &[Item],
    referral: Option<&str>,
) -> Fingerprint {
    let mut sorted: Vec<(i32, i32)> = items.iter().map(|i| (i.product_id, i.quantity)).collect();
    sorted.sort_unstable();
    let items: Vec<u8> =
        sorted.iter().flat_map(|(id, quantity)| [id.to_be_bytes(), quantity.to_be_bytes()]).flatten().collect();
    let digest = sha256(&[
        &exhibition_id.to_be_bytes(),
        contact.name.as_bytes(),
        contact.phone.as_bytes(),
        contact.email.as_deref().unwrap_or_default().as_bytes(),
        &slot_id.unwrap_or(0).to_be_bytes(),
        &items,
        referral.unwrap_or_default().as_bytes(),
    ]);
    let mut out = [0u8; 16];
    out.copy_from_slice(&digest[..16]);
    out
}
