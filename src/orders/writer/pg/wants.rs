//! What a batch must lock and read, and the answers as books.

use std::collections::BTreeSet;

use tokio_postgres::Row;
use uuid::Uuid;

use crate::orders::model::{AttemptState, Item, OrderState};
use crate::orders::writer::decide::{AttemptRow, Books, OrderRow, PersonRow};
use crate::orders::writer::entry::{Ask, Entry};
use crate::orders::writer::money::{KnownRefund, TicketRow};
use crate::payments::Provider;
use crate::stock::Level;
use crate::stock::model::PersonKey;

pub(super) enum Read {
    Orders,
    Attempts,
    Tickets,
    Refunds,
    /// A lock, which answers nothing to be read.
    Persons,
    People,
    PerPerson,
    Stock,
    KnownHolds,
    ClosedSlots,
    Revisions,
}

/// Everything a batch must lock, sorted and without repeats.
#[derive(Default)]
pub(super) struct Wants {
    pub orders: Vec<Uuid>,
    /// Orders whose tickets and refunds are looked at.
    pub tickets: Vec<Uuid>,
    pub people: (Vec<i32>, Vec<Vec<u8>>),
    pub persons: Vec<i32>,
    pub limited: Limited,
    pub stock: Vec<i32>,
    pub hold_ids: Vec<Vec<u8>>,
    /// Of which places are wanted.
    pub slots: Vec<i32>,
    /// Orders that an entry changes only as they were seen.
    pub revisions: Vec<Uuid>,
}

/// Persons who want places of products of which nobody may have more than so many, and those products.
#[derive(Default)]
pub(super) struct Limited {
    pub people: Vec<Vec<u8>>,
    pub products: Vec<i32>,
}

impl Limited {
    pub(super) fn of<'a>(wanting: impl Iterator<Item = (&'a PersonKey, &'a [Item])>) -> Limited {
        let (mut people, mut products) = (BTreeSet::new(), BTreeSet::new());
        for (person, items) in wanting {
            for item in items.iter().filter(|item| item.per_person_max.is_some()) {
                people.insert(person.to_vec());
                products.insert(item.product_id);
            }
        }
        Limited { people: people.into_iter().collect(), products: products.into_iter().collect() }
    }
}

/// What to lock for these persons, sorted. Two who share a lock only wait for each other.
pub(super) fn locks_of<'a>(persons: impl Iterator<Item = &'a PersonKey>) -> Vec<i32> {
    let lock = |person: &PersonKey| i32::from_be_bytes([person[0], person[1], person[2], person[3]]);
    persons.map(lock).collect::<BTreeSet<i32>>().into_iter().collect()
}

impl Wants {
    pub(super) fn of(entries: &[&Entry]) -> Wants {
        let (mut orders, mut people, mut stock) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (mut tickets, mut slots) = (BTreeSet::new(), BTreeSet::new());
        let (mut hold_ids, mut revisions) = (Vec::new(), Vec::new());
        for entry in entries {
            let facts = &entry.facts;
            if matches!(entry.ask, Ask::Hold(_)) {
                hold_ids.push(facts.hold_id.to_vec());
            } else {
                orders.insert(facts.id);
            }
            if entry.ask.seat().is_some() {
                slots.extend(facts.slot_id);
            }
            if entry.ask.looks_at_revision() {
                revisions.push(facts.id);
            }
            if entry.ask.looks_at_tickets() {
                tickets.insert(facts.id);
            }
            if entry.ask.touches_stock() {
                stock.extend(facts.lines.iter().map(|l| l.stock_id));
                if facts.person_counted {
                    people.insert((facts.exhibition_id, facts.person_key.to_vec()));
                }
            }
        }
        let counted = entries.iter().map(|entry| &entry.facts).filter(|facts| facts.person_counted);
        let counted = counted.filter(|facts| people.contains(&(facts.exhibition_id, facts.person_key.to_vec())));
        let persons = locks_of(counted.map(|facts| &facts.person_key));
        let seated = entries.iter().filter(|entry| entry.facts.person_counted && entry.ask.seat().is_some());
        Wants {
            persons,
            limited: Limited::of(seated.map(|entry| (&entry.facts.person_key, entry.facts.items.as_slice()))),
            orders: orders.into_iter().collect(),
            tickets: tickets.into_iter().collect(),
            people: people.into_iter().unzip(),
            stock: stock.into_iter().collect(),
            hold_ids,
            slots: slots.into_iter().collect(),
            revisions,
        }
    }
}

pub(super) fn fill(books: &mut Books, kind: Read, rows: &[Row]) {
    for r in rows {
        match kind {
            Read::Orders => {
                if let (Some(state), Ok(person_key)) = (OrderState::parse(r.get(1)), r.get::<_, &[u8]>(5).try_into()) {
                    let row = OrderRow {
                        state,
                        expires_at: r.get(2),
                        paid_attempt_id: r.get(3),
                        person_places: r.get(4),
                        person_key,
                    };
                    books.orders.insert(r.get(0), row);
                }
            }
            Read::Attempts => {
                if let (Some(state), Some(provider)) = (AttemptState::parse(r.get(3)), Provider::parse(r.get(5))) {
                    let row = AttemptRow {
                        id: r.get(0),
                        order_id: r.get(1),
                        n: r.get(2),
                        state,
                        amount_won: r.get(4),
                        provider,
                        to_account: r.get(6),
                    };
                    books.attempts.insert(row.id, row);
                }
            }
            Read::Tickets => {
                let row =
                    TicketRow { order_id: r.get(1), ends: matches!(r.get(2), "valid" | "blocked"), used: r.get(3) };
                books.tickets.insert(r.get(0), row);
            }
            Read::Refunds => books.refunds.push(KnownRefund {
                attempt_id: r.get(0),
                amount_won: r.get(1),
                request_key: r.get(2),
                request_fingerprint: r.get(3),
                order_id: r.get(4),
                by_hand: r.get(5),
            }),
            Read::People => {
                if let Ok(key) = r.get::<_, &[u8]>(1).try_into() {
                    let person = PersonRow { allowed: r.get(2), used: r.get(3), open_holds: r.get(4) };
                    books.people.insert((r.get(0), key), person);
                    books.stored_people.insert((r.get(0), key));
                }
            }
            Read::Persons => {}
            Read::PerPerson => {
                if let Ok(key) = r.get::<_, &[u8]>(0).try_into() {
                    books.per_person.insert((key, r.get(1)), r.get(2));
                }
            }
            Read::Stock => {
                let level =
                    Level { total: r.get(1), offered: r.get(2), held: r.get(3), sold: r.get(4), epoch: r.get(5) };
                books.stock.insert(r.get(0), level);
            }
            Read::Revisions => {
                books.revisions.insert(r.get(0), r.get(1));
            }
            Read::ClosedSlots => {
                books.closed_slots.insert(r.get(0));
            }
            Read::KnownHolds => {
                if let Ok(hold_id) = r.get::<_, &[u8]>(0).try_into() {
                    books.known_holds.insert(hold_id, (r.get(1), r.get(2)));
                }
            }
        }
    }
}
