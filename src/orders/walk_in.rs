//! A walk-in: what is left of today, sold at the door for cash. The same take, hold and tickets as any other order; the
//! money is in somebody's hand already, so the order is paid as soon as its places are certain.

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::ask::{self, ItemAsk, Refusals};
use super::consent::Consent;
use super::contact::{self, Contact};
use super::in_hand::{InHand, paid_in_hand};
use super::model::{Item, Order, OrderFacts, OrderState, Origin};
use super::pg;
use super::place::{self, Terms};
use super::settle::{settle_free, ticket_key};
use crate::app::App;
use crate::catalogue::model::Stage;
use crate::catalogue::{Exhibition, Product, Slot};
use crate::error::{Error, Result};
use crate::platform::ids;
use crate::platform::secrets::{Purpose, sha256};
use crate::platform::texts::Language;
use crate::stock::model::{Fingerprint, HoldId};
use crate::stock::redis::Pass;

pub struct WalkInAsk {
    pub items: Vec<ItemAsk>,
    /// Of today; needed only where several are left.
    pub slot_id: Option<i64>,
    /// What was taken from the visitor. [won]
    pub amount_won: i64,
}

/// Who sells, where, and under which key.
pub struct Seller {
    pub staff_id: i32,
    pub shift_id: Uuid,
    pub device_id: Uuid,
    pub gate: String,
    pub language: Language,
    pub request_id: String,
    pub key: String,
}

struct Checked {
    items: Vec<Item>,
    slot: Option<Slot>,
    total_won: i32,
}

/// Runs to its end even if the gate's connection drops; the same key and body get the same order.
pub async fn sell(app: &App, exhibition_id: i32, ask: WalkInAsk, seller: Seller) -> Result<Order> {
    let task_app = app.clone();
    let task = app.lifecycle.spawn(async move { sell_tracked(&task_app, exhibition_id, &ask, &seller).await });
    task.await.map_err(|error| Error::bug(format!("a walk-in: {error}")))?
}

async fn sell_tracked(app: &App, exhibition_id: i32, ask: &WalkInAsk, seller: &Seller) -> Result<Order> {
    let exhibition = app.catalogue.current().by_id(exhibition_id)?;
    let (hold_id, fingerprint) = (hold_id(app, &exhibition.code, seller), fingerprint(&exhibition, ask));
    let origin = Origin::new("staff", "walk_in", &seller.request_id);
    // Before any place is taken: without it nothing could be sold.
    let ticket_key_id = ticket_key(app)?;
    // Asked before: whatever has changed since, the answer has not.
    let known = pg::by_hold(app, &app.pg.get().await?, &hold_id).await?;
    let order = match known {
        Some(order) if order.facts.fingerprint == fingerprint => order,
        Some(_) => return Err(Error::invalid("idempotency.key_reused")),
        None => {
            let checked = check(app, ask, &exhibition)?;
            let id = ids::row_id(app.clock.now());
            // Nobody is named, and nobody finds the order by a phone number.
            let nobody = Contact { name: String::new(), phone: String::new(), email: None };
            let contact = contact::seal(app, (exhibition.id, id), &nobody, &ids::random_bytes(), Consent::default())?;
            let facts = facts(app, &exhibition, checked, seller, id, (hold_id, fingerprint));
            let terms =
                Terms { keyed: true, pass: Pass::Excused, session: None, open_holds_max: None, origin: origin.clone() };
            place::hold(app, &exhibition, facts, None, contact, &terms).await?
        }
    };
    match order.state {
        OrderState::Held if order.facts.total_won == 0 => settle_free(app, order, origin).await,
        OrderState::Held => {
            let who = json!({
                "device": seller.device_id, "shift": seller.shift_id, "staff": seller.staff_id, "gate": seller.gate,
            });
            paid_in_hand(app, order, InHand { method: "cash", who, late: false, ticket_key_id }, origin).await
        }
        // Its places have lapsed since: nothing was sold.
        OrderState::Expired => Err(Error::gone("order.expired")),
        _ => Ok(order),
    }
}

fn facts(
    app: &App,
    exhibition: &Exhibition,
    checked: Checked,
    seller: &Seller,
    id: Uuid,
    (hold_id, fingerprint): (HoldId, Fingerprint),
) -> OrderFacts {
    OrderFacts {
        id,
        number: ids::order_number(app.clock.now()),
        exhibition_id: exhibition.id,
        code: exhibition.code.clone(),
        slot_id: checked.slot.as_ref().map(|slot| slot.id),
        hold_id,
        fingerprint,
        total_won: checked.total_won,
        person_key: ids::random_bytes(),
        person_places: 0,
        person_counted: false,
        person_allowed: None,
        has_email: false,
        language: seller.language.tag(),
        lines: ask::lines_of(&checked.items, checked.slot.as_ref(), exhibition),
        items: checked.items,
        pass_sid: None,
    }
}

fn check(app: &App, ask: &WalkInAsk, exhibition: &Exhibition) -> Result<Checked> {
    if !exhibition.walk_ins {
        return Err(Error::forbidden("walk_in.not_allowed"));
    }
    let now = app.clock.now();
    let mut refusals = Refusals(Vec::new());
    let items = ask::check_items(&ask.items, exhibition, &mut refusals);
    let dated = items.iter().any(|item| item.dated);
    let slot = if dated { slot(app, ask, exhibition, &mut refusals) } else { None };
    if !refusals.0.is_empty() {
        return Err(Error::fields(refusals.0));
    }
    for product in items.iter().filter_map(|item| exhibition.product(item.product_id)) {
        if let Some(code) = closed_for(app, exhibition, product, now) {
            return Err(Error::conflict(code));
        }
    }
    let total_won = ask::total_won(&items)?;
    if i64::from(total_won) != ask.amount_won {
        return Err(Error::conflict("walk_in.amount_changed").with("amount", total_won));
    }
    Ok(Checked { items, slot: slot.cloned(), total_won })
}

/// Slots that somebody who stands at the door can still visit.
pub fn slots_left<'e>(app: &App, exhibition: &'e Exhibition) -> impl Iterator<Item = &'e Slot> {
    let now = app.clock.now();
    exhibition.slots_on(app.clock.today_in_seoul()).filter(move |slot| !slot.closed && !slot.is_over(now))
}

fn slot<'e>(app: &App, ask: &WalkInAsk, exhibition: &'e Exhibition, refusals: &mut Refusals) -> Option<&'e Slot> {
    let mut left = slots_left(app, exhibition);
    match ask.slot_id {
        Some(id) => {
            let slot = left.find(|slot| i64::from(slot.id) == id);
            if slot.is_none() {
                refusals.push("slot_id", "unknown_slot");
            }
            slot
        }
        None => match (left.next(), left.next()) {
            (Some(slot), None) => Some(slot),
            (Some(_), Some(_)) => {
                refusals.push("slot_id", "required");
                None
            }
            (None, _) => {
                refusals.push("slot_id", "no_slot");
                None
            }
        },
    }
}

/// Why a product is not sold at the door now. The sale on the network may be over for long; a product that has a time of
/// its own (an early bird, say) has it here as well.
pub fn closed_for(app: &App, exhibition: &Exhibition, product: &Product, now: Timestamp) -> Option<&'static str> {
    let today = app.clock.today_in_seoul();
    if exhibition.stage != Stage::Published {
        Some("walk_in.not_open")
    } else if exhibition.is_paused() || !product.active {
        Some("sale.paused")
    } else if !(exhibition.starts_on..=exhibition.ends_on).contains(&today) || now < exhibition.sale_start {
        Some("walk_in.not_open")
    } else if product.sale_start.is_some_and(|from| now < from) || product.sale_end.is_some_and(|until| now >= until) {
        Some("walk_in.not_now")
    } else {
        None
    }
}

/// A device's keys are its own.
fn hold_id(app: &App, code: &str, seller: &Seller) -> HoldId {
    let parts: [&[u8]; 4] = [b"walk-in", code.as_bytes(), seller.device_id.as_bytes(), seller.key.as_bytes()];
    let mac = app.secrets.mac(Purpose::HoldId, &parts);
    let mut id = [0u8; 16];
    id.copy_from_slice(&mac[..16]);
    id
}

fn fingerprint(exhibition: &Exhibition, ask: &WalkInAsk) -> Fingerprint {
    let mut items: Vec<(i64, i64)> = ask.items.iter().map(|i| (i.product_id, i.quantity)).collect();
    items.sort_unstable();
    let items: Vec<u8> =
        items.iter().flat_map(|(id, quantity)| [id.to_be_bytes(), quantity.to_be_bytes()]).flatten().collect();
    let slot = ask.slot_id.unwrap_or(0).to_be_bytes();
    let digest = sha256(&[b"walk-in", &exhibition.id.to_be_bytes(), &slot, &items, &ask.amount_won.to_be_bytes()]);
    let mut out = [0u8; 16];
    out.copy_from_slice(&digest[..16]);
    out
}
