//! The rows a batch writes, as columns ready for one `unnest` statement per table.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use uuid::Uuid;

use super::decide::{AttemptRow, OrderRow};
use super::entry::Hold;
use crate::admin::audit::Act;
use crate::orders::model::{AttemptState, OrderFacts, Seat};
use crate::platform::ids::row_id;
use crate::stock::model::{HoldId, PersonKey};
use crate::stock::redis::Freed;
use crate::waiting_room::model::Sid;
use crate::waiting_room::redis::PassEnd;

/// What Redis is told of one exhibition after a commit.
#[derive(Clone, Debug, Default)]
pub struct Wake {
    pub code: String,
    pub confirmed: Vec<HoldId>,
    pub freed: Freed,
    /// Passes whose order has come to an end.
    pub passes: Vec<(Sid, HoldId, PassEnd)>,
}

impl Wake {
    pub fn new(code: &str) -> Wake {
        Wake { code: code.to_owned(), ..Wake::default() }
    }
}

#[derive(Default)]
pub struct HoldColumns {
    pub ids: Vec<Uuid>,
    pub numbers: Vec<String>,
    pub exhibition_ids: Vec<i32>,
    pub slot_ids: Vec<Option<i32>>,
    pub hold_ids: Vec<Vec<u8>>,
    pub taken_at_ms: Vec<i64>,
    pub fingerprints: Vec<Vec<u8>>,
    pub totals: Vec<i32>,
    pub person_keys: Vec<Vec<u8>>,
    pub person_places: Vec<i32>,
    pub person_counted: Vec<bool>,
    pub has_email: Vec<bool>,
    pub languages: Vec<&'static str>,
    pub referral_codes: Vec<Option<String>>,
    pub expires_at: Vec<Timestamp>,
    pub pass_sids: Vec<Option<Vec<u8>>>,
    pub phone_digests: Vec<Vec<u8>>,
    pub key_ids: Vec<String>,
    pub sealed: Vec<Vec<u8>>,
    pub consent_versions: Vec<Option<String>>,
    pub marketing: Vec<bool>,
    pub name_indexes: Vec<Option<i64>>,
    pub tail_indexes: Vec<Option<i64>>,
}

#[derive(Default)]
pub struct ItemColumns {
    pub order_ids: Vec<Uuid>,
    pub lines: Vec<i16>,
    pub product_ids: Vec<i32>,
    pub quantities: Vec<i32>,
    pub units: Vec<i32>,
}

#[derive(Default)]
pub struct TicketColumns {
    pub ids: Vec<Uuid>,
    pub order_ids: Vec<Uuid>,
    pub exhibition_ids: Vec<i32>,
    pub product_ids: Vec<i32>,
    pub slot_ids: Vec<Option<i32>>,
    pub numbers: Vec<i16>,
    pub of_totals: Vec<i16>,
    pub key_ids: Vec<i16>,
}

pub struct NewAttempt {
    pub provider: &'static str,
    pub id: Uuid,
    pub order_id: Uuid,
    pub n: i32,
    pub provider_order_id: String,
    pub amount_won: i32,
}

/// A change of an attempt; what is None stays as it is.
pub struct AttemptChange {
    pub id: Uuid,
    pub state: AttemptState,
    pub payment_key: Option<String>,
    pub method: Option<String>,
    pub receipts: Option<serde_json::Value>,
    pub confirm_key: Option<Vec<u8>>,
    pub confirm_fingerprint: Option<Vec<u8>>,
    pub failure_code: Option<String>,
    pub failure_message: Option<String>,
    pub secret: Option<String>,
    pub sent_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub next_check_at: Option<Timestamp>,
    pub seat: Option<Seat>,
    pub to_account: Option<bool>,
    pub close_at: Option<Timestamp>,
}

impl AttemptChange {
    /// Lays a later change over this one.
    fn merge(&mut self, later: AttemptChange) {
        macro_rules! lay { ($($field:ident),*) => { $(if later.$field.is_some() { self.$field = later.$field; })* } }
        self.state = later.state;
        lay!(
            payment_key,
            method,
            receipts,
            confirm_key,
            confirm_fingerprint,
            failure_code,
            failure_message,
            secret,
            sent_at,
            ended_at,
            next_check_at,
            seat,
            to_account,
            close_at
        );
    }

    pub fn to(id: Uuid, state: AttemptState) -> AttemptChange {
        AttemptChange {
            id,
            state,
            payment_key: None,
            method: None,
            receipts: None,
            confirm_key: None,
            confirm_fingerprint: None,
            failure_code: None,
            failure_message: None,
            secret: None,
            sent_at: None,
            ended_at: None,
            next_check_at: None,
            seat: None,
            to_account: None,
            close_at: None,
        }
    }
}

pub struct EventRow {
    pub order_id: Uuid,
    pub kind: &'static str,
    pub from: Option<&'static str>,
    pub to: Option<&'static str>,
    pub actor: &'static str,
    pub cause: String,
    pub correlation_id: String,
    /// The refund that it is about.
    pub about: Option<Uuid>,
}

pub struct RefundRow {
    pub id: Uuid,
    pub attempt_id: Uuid,
    pub order_id: Uuid,
    pub amount_won: i32,
    pub price_won: i32,
    pub kind: &'static str,
    pub reason: String,
    pub state: &'static str,
    pub request: Option<(Vec<u8>, Vec<u8>)>,
    pub account: Option<(String, Vec<u8>)>,
}

pub struct DepositRow {
    pub attempt_id: Uuid,
    pub bank: String,
    pub sealed: (String, Vec<u8>),
    pub due_at: Timestamp,
}

/// What becomes of tickets that are there already.
#[derive(Default)]
pub struct TicketChanges {
    /// Ticket and the refund that ends it.
    pub refunded: Vec<(Uuid, Uuid)>,
    /// Orders whose tickets open no door until their deposit is there again.
    pub blocked: Vec<Uuid>,
    /// Orders whose blocked tickets never will again.
    pub cancelled: Vec<Uuid>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct PersonChange {
    /// False: the person's first row.
    pub stored: bool,
    pub allowed: i32,
    pub used: i32,
    pub open_holds: i32,
}

#[derive(Default)]
pub struct Rows {
    pub holds: HoldColumns,
    pub items: ItemColumns,
    pub tickets: TicketColumns,
    pub attempts: Vec<NewAttempt>,
    /// All changes of an attempt in this batch, the later over the earlier.
    pub attempt_changes: BTreeMap<Uuid, AttemptChange>,
    /// What the provider said, by attempt.
    pub answers: BTreeMap<Uuid, serde_json::Value>,
    /// The last word on each order.
    pub order_changes: HashMap<Uuid, OrderRow>,
    pub events: Vec<EventRow>,
    /// What the audit log says of them.
    pub acts: Vec<Act>,
    pub refunds: Vec<RefundRow>,
    pub deposits: Vec<DepositRow>,
    pub ticket_changes: TicketChanges,
    /// Refunds seen at the provider: attempt, sum.
    pub returned: Vec<(Uuid, i32)>,
    /// Kind, what it is about, and whose it is.
    pub outbox: Vec<(&'static str, Uuid, i32)>,
    /// Stock id -> change of held, change of sold.
    pub stock: BTreeMap<i32, (i32, i32)>,
    pub people: BTreeMap<(i32, PersonKey), PersonChange>,
}

impl Rows {
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.attempts.is_empty() && self.attempt_changes.is_empty()
    }

    pub fn hold(&mut self, facts: &OrderFacts, hold: &Hold, expires_at: Timestamp) {
        let h = &mut self.holds;
        h.ids.push(facts.id);
        h.numbers.push(facts.number.clone());
        h.exhibition_ids.push(facts.exhibition_id);
        h.slot_ids.push(facts.slot_id);
        h.hold_ids.push(facts.hold_id.to_vec());
        h.taken_at_ms.push(hold.seat.at_ms);
        h.fingerprints.push(facts.fingerprint.to_vec());
        h.totals.push(facts.total_won);
        h.person_keys.push(facts.person_key.to_vec());
        h.person_places.push(facts.person_places);
        h.person_counted.push(facts.person_counted);
        h.has_email.push(facts.has_email);
        h.languages.push(facts.language);
        h.referral_codes.push(hold.referral_code.clone());
        h.expires_at.push(expires_at);
        h.pass_sids.push(facts.pass_sid.map(|sid| sid.to_vec()));
        h.phone_digests.push(hold.contact.phone_digest.clone());
        h.key_ids.push(hold.contact.key_id.clone());
        h.sealed.push(hold.contact.sealed.clone());
        h.consent_versions.push(hold.contact.consent.version.clone());
        h.marketing.push(hold.contact.consent.marketing);
        h.name_indexes.push(hold.contact.index.name);
        h.tail_indexes.push(hold.contact.index.tail);
        for (line, item) in (1i16..).zip(&facts.items) {
            self.items.order_ids.push(facts.id);
            self.items.lines.push(line);
            self.items.product_ids.push(item.product_id);
            self.items.quantities.push(item.quantity);
            self.items.units.push(item.unit_won);
        }
    }

    pub fn attempt(&mut self, row: &AttemptRow, order_number: &str) {
        self.attempts.push(NewAttempt {
            id: row.id,
            order_id: row.order_id,
            n: row.n,
            provider: row.provider.as_str(),
            provider_order_id: format!("{order_number}-{}", row.n),
            amount_won: row.amount_won,
        });
    }

    /// One ticket per place.
    pub fn tickets(&mut self, facts: &OrderFacts, key_id: i16, now: Timestamp) {
        let of_total: i32 = facts.items.iter().map(|i| i.quantity).sum();
        let places = facts.items.iter().flat_map(|item| (0..item.quantity).map(move |_| item));
        for (number, item) in (1i16..).zip(places) {
            let t = &mut self.tickets;
            t.ids.push(row_id(now));
            t.order_ids.push(facts.id);
            t.exhibition_ids.push(facts.exhibition_id);
            t.product_ids.push(item.product_id);
            t.slot_ids.push(facts.slot_id.filter(|_| item.dated));
            t.numbers.push(number);
            t.of_totals.push(of_total as i16);
            t.key_ids.push(key_id);
        }
    }

    pub fn change_attempt(&mut self, change: AttemptChange) {
        match self.attempt_changes.entry(change.id) {
            std::collections::btree_map::Entry::Occupied(mut known) => known.get_mut().merge(change),
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(change);
            }
        }
    }

    pub fn outbox(&mut self, facts: &OrderFacts, kind: &'static str, about: Uuid) {
        self.outbox.push((kind, about, facts.exhibition_id));
    }

    /// Money that may not be kept.
    pub fn refund_all(&mut self, attempt: &AttemptRow, reason: &'static str, to_account: bool, now: Timestamp) -> Uuid {
        let id = row_id(now);
        self.refunds.push(RefundRow {
            id,
            attempt_id: attempt.id,
            order_id: attempt.order_id,
            amount_won: attempt.amount_won,
            price_won: 0,
            kind: "automatic",
            reason: reason.to_owned(),
            state: if to_account { "needs_account" } else { "pending" },
            request: None,
            account: None,
        });
        id
    }
}
