//! The rows of a batch that are kept as structs, turned into columns for `unnest`.

use jiff::Timestamp;
use uuid::Uuid;

use super::rows::{AttemptChange, Rows};

type PeopleColumns = (Vec<i32>, Vec<Vec<u8>>, Vec<i32>, Vec<i32>, Vec<i32>);
type EventColumns<'a> = (
    Vec<Uuid>,
    Vec<&'a str>,
    Vec<Option<&'a str>>,
    Vec<Option<&'a str>>,
    Vec<&'a str>,
    Vec<&'a str>,
    Vec<&'a str>,
    Vec<Option<Uuid>>,
);

type OrderColumns<'a> = (Vec<Uuid>, Vec<&'a str>, Vec<Timestamp>, Vec<Option<Uuid>>, Vec<i32>);
type NewAttemptColumns<'a> = (Vec<Uuid>, Vec<Uuid>, Vec<i32>, Vec<&'a str>, Vec<i32>, Vec<&'a str>);
type DepositColumns<'a> = (Vec<Uuid>, Vec<&'a str>, Vec<&'a str>, Vec<&'a [u8]>, Vec<Timestamp>);

#[derive(Default)]
pub struct RefundColumns<'a> {
    pub ids: Vec<Uuid>,
    pub attempt_ids: Vec<Uuid>,
    pub order_ids: Vec<Uuid>,
    pub amounts: Vec<i32>,
    pub prices: Vec<i32>,
    pub kinds: Vec<&'a str>,
    pub reasons: Vec<&'a str>,
    pub states: Vec<&'a str>,
    pub request_keys: Vec<Option<&'a [u8]>>,
    pub request_fingerprints: Vec<Option<&'a [u8]>>,
    pub account_key_ids: Vec<Option<&'a str>>,
    pub accounts: Vec<Option<&'a [u8]>>,
}

#[derive(Default)]
pub struct AttemptColumns<'a> {
    pub ids: Vec<Uuid>,
    pub states: Vec<&'a str>,
    pub payment_keys: Vec<Option<&'a str>>,
    pub methods: Vec<Option<&'a str>>,
    pub receipts: Vec<Option<&'a serde_json::Value>>,
    pub confirm_keys: Vec<Option<&'a [u8]>>,
    pub confirm_fingerprints: Vec<Option<&'a [u8]>>,
    pub failure_codes: Vec<Option<&'a str>>,
    pub failure_messages: Vec<Option<&'a str>>,
    pub secrets: Vec<Option<&'a str>>,
    pub sent_at: Vec<Option<Timestamp>>,
    pub ended_at: Vec<Option<Timestamp>>,
    pub next_check_at: Vec<Option<Timestamp>>,
    pub seat_ids: Vec<Option<&'a [u8]>>,
    pub seat_at_ms: Vec<Option<i64>>,
    pub to_account: Vec<Option<bool>>,
    pub close_at: Vec<Option<Timestamp>>,
}

/// The rows that are kept as structs, turned into columns.
#[derive(Default)]
pub struct Columns<'a> {
    pub orders: OrderColumns<'a>,
    pub new_attempts: NewAttemptColumns<'a>,
    pub attempts: AttemptColumns<'a>,
    pub answers: (Vec<Uuid>, Vec<&'a serde_json::Value>),
    pub events: EventColumns<'a>,
    pub outbox: (Vec<&'a str>, Vec<Uuid>, Vec<i32>),
    pub refunds: RefundColumns<'a>,
    pub refund_tickets: (Vec<Uuid>, Vec<Uuid>),
    pub deposits: DepositColumns<'a>,
    pub returned: (Vec<Uuid>, Vec<i32>),
    pub new_people: PeopleColumns,
    pub people: PeopleColumns,
    pub stock: (Vec<i32>, Vec<i32>, Vec<i32>),
}

impl<'a> Columns<'a> {
    pub fn of(rows: &'a Rows) -> Columns<'a> {
        let mut c = Columns::default();
        for (id, row) in &rows.order_changes {
            c.orders.0.push(*id);
            c.orders.1.push(row.state.as_str());
            c.orders.2.push(row.expires_at);
            c.orders.3.push(row.paid_attempt_id);
            c.orders.4.push(row.person_places);
        }
        for a in &rows.attempts {
            c.new_attempts.0.push(a.id);
            c.new_attempts.1.push(a.order_id);
            c.new_attempts.2.push(a.n);
            c.new_attempts.3.push(&a.provider_order_id);
            c.new_attempts.4.push(a.amount_won);
            c.new_attempts.5.push(a.provider);
        }
        for a in rows.attempt_changes.values() {
            c.attempts.push(a);
        }
        for e in &rows.events {
            c.events.0.push(e.order_id);
            c.events.1.push(e.kind);
            c.events.2.push(e.from);
            c.events.3.push(e.to);
            c.events.4.push(e.actor);
            c.events.5.push(&e.cause);
            c.events.6.push(&e.correlation_id);
            c.events.7.push(e.about);
        }
        c.answers = rows.answers.iter().map(|(attempt_id, answer)| (*attempt_id, answer)).unzip();
        for (kind, order_id, exhibition_id) in &rows.outbox {
            c.outbox.0.push(kind);
            c.outbox.1.push(*order_id);
            c.outbox.2.push(*exhibition_id);
        }
        for r in &rows.refunds {
            let to = &mut c.refunds;
            to.ids.push(r.id);
            to.attempt_ids.push(r.attempt_id);
            to.order_ids.push(r.order_id);
            to.amounts.push(r.amount_won);
            to.prices.push(r.price_won);
            to.kinds.push(r.kind);
            to.reasons.push(&r.reason);
            to.states.push(r.state);
            to.request_keys.push(r.request.as_ref().map(|(key, _)| key.as_slice()));
            to.request_fingerprints.push(r.request.as_ref().map(|(_, asked)| asked.as_slice()));
            to.account_key_ids.push(r.account.as_ref().map(|(key_id, _)| key_id.as_str()));
            to.accounts.push(r.account.as_ref().map(|(_, sealed)| sealed.as_slice()));
        }
        c.refund_tickets = rows.ticket_changes.refunded.iter().copied().unzip();
        c.returned = rows.returned.iter().copied().unzip();
        for d in &rows.deposits {
            c.deposits.0.push(d.attempt_id);
            c.deposits.1.push(&d.bank);
            c.deposits.2.push(&d.sealed.0);
            c.deposits.3.push(&d.sealed.1);
            c.deposits.4.push(d.due_at);
        }
        for ((exhibition_id, person), change) in &rows.people {
            let people = if change.stored { &mut c.people } else { &mut c.new_people };
            people.0.push(*exhibition_id);
            people.1.push(person.to_vec());
            people.2.push(change.allowed);
            people.3.push(change.used);
            people.4.push(change.open_holds);
        }
        for (stock_id, (held, sold)) in rows.stock.iter().filter(|(_, change)| **change != (0, 0)) {
            c.stock.0.push(*stock_id);
            c.stock.1.push(*held);
            c.stock.2.push(*sold);
        }
        c
    }
}

impl<'a> AttemptColumns<'a> {
    fn push(&mut self, a: &'a AttemptChange) {
        self.ids.push(a.id);
        self.states.push(a.state.as_str());
        self.payment_keys.push(a.payment_key.as_deref());
        self.methods.push(a.method.as_deref());
        self.receipts.push(a.receipts.as_ref());
        self.confirm_keys.push(a.confirm_key.as_deref());
        self.confirm_fingerprints.push(a.confirm_fingerprint.as_deref());
        self.failure_codes.push(a.failure_code.as_deref());
        self.failure_messages.push(a.failure_message.as_deref());
        self.secrets.push(a.secret.as_deref());
        self.sent_at.push(a.sent_at);
        self.ended_at.push(a.ended_at);
        self.next_check_at.push(a.next_check_at);
        self.seat_ids.push(a.seat.as_ref().map(|s| s.hold_id.as_slice()));
        self.seat_at_ms.push(a.seat.map(|s| s.at_ms));
        self.to_account.push(a.to_account);
        self.close_at.push(a.close_at);
    }
}
