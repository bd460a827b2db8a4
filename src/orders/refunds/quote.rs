//! What would go back for tickets of an order, and why. The same for the preview and for the request itself.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::pg::PaidBy;
use super::rules::{self, Rule, Rules};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Result};
use crate::orders::model::{Order, OrderState};
use crate::stock::model::{Line, lines};
use crate::tickets::pg::{self as tickets, TicketRow};

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TicketQuote {
    pub ticket_id: Uuid,
    pub ticket_no: i16,
    pub price: i32,
    /// Kept of the price [%]; null: cannot be given back.
    pub fee_pct: Option<i32>,
    pub fee: i32,
    /// used, gone (given back already), too_late or at_the_desk (paid in cash); null: can be given back.
    pub refused_because: Option<&'static str>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Quote {
    pub order_number: String,
    pub tickets: Vec<TicketQuote>,
    /// Whole won, of the tickets that can be given back.
    pub price: i32,
    pub fee: i32,
    /// What would go back.
    pub amount: i32,
    pub currency: &'static str,
    /// A bank account has to be named for it.
    pub needs_account: bool,
    pub rules: Vec<Rule>,
    /// So long after paying nothing is kept. [hours]
    pub free_hours: i32,
}

/// Tickets that are to end, with all that ends with them.
pub struct Ending {
    pub ticket_ids: Vec<Uuid>,
    pub lines: Vec<Line>,
    pub person_places: i32,
    pub price_won: i32,
}

/// The tickets of an order with their prices.
pub struct Priced {
    pub rows: Vec<(TicketRow, i32)>,
    pub paid_by: PaidBy,
}

pub async fn priced(app: &App, order: &Order) -> Result<Priced> {
    let client = app.pg.get().await?;
    let rows = tickets::of_order(&client, order.facts.id).await?;
    let paid_by = super::pg::paid_by(&client, order.facts.id).await?;
    let price = |row: &TicketRow| {
        let item = order.facts.items.iter().find(|item| item.product_id == row.product_id);
        item.map(|item| item.unit_won).ok_or_else(|| Error::bug("a ticket of a product that was not ordered"))
    };
    let rows = rows.into_iter().map(|row| price(&row).map(|price| (row, price))).collect::<Result<_>>()?;
    Ok(Priced { rows, paid_by })
}

/// What the exhibition's rules give back for these tickets; for all of the order where none is named.
pub async fn quote(app: &App, order: &Order, wanted: &[Uuid]) -> Result<Quote> {
    by_rules(app, order, wanted, false).await
}

/// The same for staff, who give back from hand to hand what was paid so.
pub async fn at_the_desk(app: &App, order: &Order, wanted: &[Uuid]) -> Result<Quote> {
    by_rules(app, order, wanted, true).await
}

async fn by_rules(app: &App, order: &Order, wanted: &[Uuid], at_the_desk: bool) -> Result<Quote> {
    if !matches!(order.state, OrderState::Paid | OrderState::PartiallyRefunded) {
        return Err(not_paid(order.state));
    }
    let exhibition = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    let priced = priced(app, order).await?;
    let wanted = wanted_of(&priced, wanted)?;
    let rules = rules_of(&exhibition);
    let now = app.clock.now();
    let mut tickets = Vec::new();
    for (row, price) in priced.rows.iter().filter(|(row, _)| wanted.contains(&row.id)) {
        let pct = rules.fee_pct(visit(&exhibition, row), app.clock.today_in_seoul(), order.paid_at.unwrap_or(now), now);
        let refused_because = match (row.state.as_str(), row.used_at, pct) {
            ("valid" | "blocked", None, Some(_)) if priced.paid_by.cash && !at_the_desk => Some("at_the_desk"),
            ("valid" | "blocked", None, Some(_)) => None,
            ("valid" | "blocked", Some(_), _) => Some("used"),
            ("valid" | "blocked", None, None) => Some("too_late"),
            _ => Some("gone"),
        };
        let pct = pct.filter(|_| refused_because.is_none());
        tickets.push(TicketQuote {
            ticket_id: row.id,
            ticket_no: row.ticket_no,
            price: *price,
            fee_pct: pct,
            fee: pct.map_or(0, |pct| rules::fee_won(*price, pct)),
            refused_because,
        });
    }
    let can = || tickets.iter().filter(|ticket| ticket.refused_because.is_none());
    let (price, fee) = (can().map(|t| t.price).sum::<i32>(), can().map(|t| t.fee).sum::<i32>());
    Ok(Quote {
        order_number: order.facts.number.clone(),
        price,
        fee,
        amount: price - fee,
        currency: "KRW",
        needs_account: priced.paid_by.needs_account,
        rules: rules.table().to_vec(),
        free_hours: rules.free_h(),
        tickets,
    })
}

fn wanted_of(priced: &Priced, wanted: &[Uuid]) -> Result<BTreeSet<Uuid>> {
    let all: BTreeSet<Uuid> = priced.rows.iter().map(|(row, _)| row.id).collect();
    if wanted.is_empty() {
        return Ok(all);
    }
    let wanted: BTreeSet<Uuid> = wanted.iter().copied().collect();
    if wanted.is_subset(&all) { Ok(wanted) } else { Err(Error::not_found("refund.unknown_ticket")) }
}

pub fn not_paid(state: OrderState) -> Error {
    match state {
        OrderState::Refunded | OrderState::Cancelled | OrderState::Expired => Error::gone("order.closed"),
        _ => Error::conflict("refund.not_paid"),
    }
}

fn rules_of(exhibition: &Exhibition) -> Rules {
    Rules::new(&exhibition.refund_rules, exhibition.refund_free_h)
}

/// The day that counts: the ticket's own, or the exhibition's last for one that is good on any.
fn visit(exhibition: &Exhibition, row: &TicketRow) -> Date {
    row.slot_id.and_then(|id| exhibition.slot(id)).map_or(exhibition.ends_on, |slot| slot.date)
}

/// What ends with these tickets.
pub fn ending(app: &App, order: &Order, priced: &Priced, ticket_ids: &[Uuid]) -> Result<Ending> {
    let exhibition = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    let (mut parts, mut ending) = (Vec::new(), Vec::with_capacity(ticket_ids.len()));
    let (mut price_won, mut person_places) = (0, 0);
    // Each once, however often it is named.
    for (row, price) in priced.rows.iter().filter(|(row, _)| ticket_ids.contains(&row.id)) {
        let product = exhibition.product(row.product_id).ok_or_else(|| Error::bug("a product that is gone"))?;
        parts.push((product.stock_id, 1));
        if let Some(slot) = row.slot_id.and_then(|id| exhibition.slot(id)) {
            parts.push((slot.stock_id, 1));
        }
        ending.push(row.id);
        price_won += price;
        person_places += i32::from(product.person_limited);
    }
    Ok(Ending { ticket_ids: ending, lines: lines(parts), person_places, price_won })
}
