//! Whether an order can have its places, and who has how many: the part of `decide` that counts. Pure, like it.

use super::decide::{Books, PersonRow};
use super::entry::Refusal;
use super::rows::{PersonChange, Wake};
use crate::orders::model::{OrderFacts, Seat};
use crate::stock::model::Line;

/// The audit gives back takes from 20 s on, so an entry half that old still commits in time. [ms]
pub const ENTRY_AGE_MAX_MS: i64 = 10_000;
pub const NO_LIMIT: i32 = i32::MAX;

impl Books {
    /// Why places taken in Redis cannot be kept in Postgres, if so.
    pub(super) fn cannot_seat(&self, facts: &OrderFacts, seat: &Seat) -> Option<Refusal> {
        if self.now_ms - seat.at_ms > ENTRY_AGE_MAX_MS {
            return Some(Refusal::Stale);
        }
        if facts.slot_id.is_some_and(|id| self.closed_slots.contains(&id)) {
            return Some(Refusal::SlotClosed);
        }
        for line in &facts.lines {
            match self.stock.get(&line.stock_id) {
                Some(level) if level.epoch != seat.epoch => return Some(Refusal::OtherEpoch),
                Some(level) if level.free() < line.quantity => return Some(Refusal::SoldOut),
                Some(_) => {}
                None => return Some(Refusal::SoldOut),
            }
        }
        // Gifts and sales at a gate are nobody's.
        for item in facts.items.iter().filter(|_| facts.person_counted) {
            let used = self.per_person.get(&(facts.person_key, item.product_id)).copied().unwrap_or(0);
            if item.per_person_max.is_some_and(|most| used + item.quantity > most) {
                return Some(Refusal::ProductLimit(item.product_id));
            }
        }
        let used = self.people.get(&(facts.exhibition_id, facts.person_key)).map_or(0, |p| p.used);
        match facts.person_allowed {
            Some(allowed)
                if facts.person_counted && facts.person_places > 0 && used + facts.person_places > allowed =>
            {
                Some(Refusal::PersonLimit)
            }
            _ => None,
        }
    }

    /// Places that were taken again for a lapsed order.
    pub(super) fn sell_seat(&mut self, facts: &OrderFacts, seat: &Seat) {
        self.change_stock(facts, 0, 1);
        self.change_person(facts, facts.person_places, 0);
        self.count_products(facts);
        let (person, counted) = (facts.person_key, facts.person_counted);
        let wake = self.wake(facts);
        wake.confirmed.push(seat.hold_id);
        if counted {
            wake.freed.people.push((person, 0, -1));
        }
    }

    pub(super) fn sell_held(&mut self, facts: &OrderFacts) {
        self.change_stock(facts, -1, 1);
        self.change_person(facts, 0, -1);
        self.free_person_in_redis(facts, 0);
    }

    /// Adds the order's places to held and sold with the given signs, and notes what became free for Redis. A take
    /// has already lowered Redis, so only what becomes free again is told.
    pub fn change_stock(&mut self, facts: &OrderFacts, held: i32, sold: i32) {
        self.change_lines(facts, &facts.lines, held, sold);
    }

    pub fn change_lines(&mut self, facts: &OrderFacts, lines: &[Line], held: i32, sold: i32) {
        for line in lines {
            let Some(level) = self.stock.get_mut(&line.stock_id) else { continue };
            let before = level.free();
            level.held += held * line.quantity;
            level.sold += sold * line.quantity;
            let freed = level.free() - before;
            let epoch = level.epoch;
            let change = self.rows.stock.entry(line.stock_id).or_insert((0, 0));
            change.0 += held * line.quantity;
            change.1 += sold * line.quantity;
            let wake = self.wakes.entry(facts.exhibition_id).or_insert_with(|| Wake::new(&facts.code));
            wake.freed.epoch = epoch;
            if freed > 0 {
                wake.freed.stocks.push((line.stock_id, freed));
            }
        }
    }

    pub fn change_person(&mut self, facts: &OrderFacts, places: i32, open_holds: i32) {
        if !facts.person_counted {
            return;
        }
        let key = (facts.exhibition_id, facts.person_key);
        let allowed = facts.person_allowed.unwrap_or(NO_LIMIT);
        let person = self.people.entry(key).or_insert(PersonRow { allowed, used: 0, open_holds: 0 });
        person.used += places;
        person.open_holds += open_holds;
        // A limit lowered below what a person already has stays true for what they have.
        person.allowed = allowed.max(person.used);
        let stored = self.stored_people.contains(&key);
        let change = self.rows.people.entry(key).or_insert(PersonChange { stored, ..PersonChange::default() });
        change.allowed = person.allowed;
        change.used += places;
        change.open_holds += open_holds;
    }

    /// What somebody was just given of products with a limit, for whoever is decided next.
    pub(super) fn count_products(&mut self, facts: &OrderFacts) {
        for item in facts.items.iter().filter(|item| item.per_person_max.is_some()) {
            *self.per_person.entry((facts.person_key, item.product_id)).or_default() += item.quantity;
        }
    }

    pub(super) fn free_person_in_redis(&mut self, facts: &OrderFacts, places: i32) {
        if facts.person_counted {
            let person = facts.person_key;
            self.wake(facts).freed.people.push((person, places, -1));
        }
    }
}
