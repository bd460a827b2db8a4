//! Decides a batch in memory: from locked rows and entries to replies and rows to write. Pure, so that it can be
//! tested without a database; entries are decided one after the other and see each other's effects.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::ends::first_end;
use super::entry::{Ask, Captured, Entry, Hold, Refusal, Reply};
use super::money::{KnownRefund, TicketRow};
use super::rows::{AttemptChange, EventRow, Rows, Wake};
use crate::error::Error;
use crate::observability::pulse::What;
use crate::orders::model::{AttemptState, EventKind, OrderFacts, OrderState, Origin, Seat};
use crate::payments::Provider;
use crate::stock::Level;
use crate::stock::model::{HoldId, PersonKey};
use crate::waiting_room::redis::PassEnd;

/// Time to pay that is left at least after an attempt has begun. [s]
const AFTER_BEGIN_S: i64 = 120;
/// Attempts that may lengthen a hold so: more would let somebody keep places without paying.
const EXTENDING_ATTEMPTS: i32 = 3;
/// When recovery first looks at an attempt whose outcome has not come back. [s]
const FIRST_CHECK_S: i64 = 30;
/// Attempts per order; a visitor who needs more has another problem.
const ATTEMPTS_MAX: i32 = 50;

#[derive(Clone, Copy, Debug)]
pub struct OrderRow {
    pub state: OrderState,
    pub expires_at: Timestamp,
    pub paid_attempt_id: Option<Uuid>,
    /// Fewer than the order was placed with, once some tickets were given back.
    pub person_places: i32,
    pub person_key: PersonKey,
}

#[derive(Clone, Debug)]
pub struct AttemptRow {
    pub id: Uuid,
    pub order_id: Uuid,
    pub n: i32,
    pub state: AttemptState,
    pub amount_won: i32,
    pub provider: Provider,
    /// Its money can only go back to an account that the buyer names.
    pub to_account: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct PersonRow {
    pub allowed: i32,
    pub used: i32,
    pub open_holds: i32,
}

/// The rows of a batch, locked and read.
#[derive(Default)]
pub struct Books {
    pub now: Timestamp,
    /// The instance's own clock, which dated the takes. [ms]
    pub now_ms: i64,
    pub orders: HashMap<Uuid, OrderRow>,
    pub attempts: HashMap<Uuid, AttemptRow>,
    /// Of the orders whose tickets an entry looks at.
    pub tickets: HashMap<Uuid, TicketRow>,
    pub refunds: Vec<KnownRefund>,
    /// Of the orders of which an entry says what it has seen.
    pub revisions: HashMap<Uuid, i64>,
    pub people: HashMap<(i32, PersonKey), PersonRow>,
    /// Places of products with a limit that persons hold or own.
    pub per_person: HashMap<(PersonKey, i32), i32>,
    pub stock: HashMap<i32, Level>,
    /// Of the slots that somebody wants places of: nothing is sold of these any more.
    pub closed_slots: HashSet<i32>,
    /// Those of `people` that have a row already.
    pub stored_people: HashSet<(i32, PersonKey)>,
    /// Hold id -> its order and the instant of the take that made it.
    pub known_holds: HashMap<HoldId, (Uuid, i64)>,
    pub rows: Rows,
    /// What Redis is told after the commit, per exhibition.
    pub wakes: BTreeMap<i32, Wake>,
    /// What is counted after the commit, per exhibition: payments that came to their first end.
    pub payments: Vec<(i32, What)>,
}

impl Books {
    /// What changed nothing, such as a repeat, is not recorded again.
    pub fn decide(&mut self, entry: &Entry) -> Reply {
        let events = self.rows.events.len();
        let attempt = |books: &Books| books.attempts.get(&entry.ask.attempt_id()?).map(|attempt| attempt.state);
        let before = attempt(self);
        let reply = self.judge(entry);
        if let Some(what) = first_end(before, attempt(self), &entry.origin.cause) {
            self.payments.push((entry.facts.exhibition_id, what));
        }
        if let Some(act) = entry.origin.act.as_deref().filter(|_| self.rows.events.len() > events) {
            self.rows.acts.push(act.clone());
        }
        reply
    }

    fn judge(&mut self, entry: &Entry) -> Reply {
        let facts = &entry.facts;
        match &entry.ask {
            Ask::Hold(hold) => self.hold(entry, hold),
            other => {
                let Some(order) = self.orders.get(&facts.id).copied() else {
                    return Reply::Refused(Refusal::UnknownOrder);
                };
                if order.person_key != facts.person_key {
                    // Its visitor has another phone number since the caller read it: the person to be counted is not locked.
                    return Reply::Failed(Error::unavailable("server.busy", "the order is another person's by now"));
                }
                match other {
                    Ask::Open { attempt_id, provider } => self.open(entry, order, *attempt_id, *provider),
                    Ask::Begin { attempt_id, .. } => self.begin(entry, order, *attempt_id),
                    Ask::Accept { attempt_id, .. } => self.accept(entry, order, *attempt_id),
                    Ask::Decline { attempt_id, code, message } => {
                        self.decline(entry, order, *attempt_id, code, message)
                    }
                    Ask::Doubt { attempt_id } => self.doubt(entry, *attempt_id),
                    Ask::Await { attempt_id, captured, deposit } => {
                        self.await_deposit(entry, order, *attempt_id, captured, deposit)
                    }
                    Ask::Reverse { attempt_id, kept_until } => self.reverse(entry, order, *attempt_id, *kept_until),
                    Ask::LapseDeposit { attempt_id } => self.lapse_deposit(entry, order, *attempt_id),
                    Ask::Refund(ask) => self.give_back(entry, order, ask),
                    Ask::Cash { attempt_id, .. } => self.cash(entry, order, *attempt_id),
                    Ask::SettleFree { ticket_key_id } => self.settle_free(entry, order, *ticket_key_id),
                    Ask::Expire => self.expire(entry, order),
                    Ask::Cancel { seen } => match seen.as_ref().map(|seen| seen.expect(self.revision(facts.id))) {
                        Some(Err(stale)) => Reply::Failed(stale),
                        _ => self.cancel(entry, order),
                    },
                    Ask::Hold(_) => Reply::Refused(Refusal::UnknownOrder),
                }
            }
        }
    }

    fn hold(&mut self, entry: &Entry, hold: &Hold) -> Reply {
        let facts = &entry.facts;
        if let Some((order_id, taken_at_ms)) = self.known_holds.get(&facts.hold_id) {
            return Reply::Exists { order_id: *order_id, taken_at_ms: *taken_at_ms };
        }
        if let Some(refusal) = self.cannot_seat(facts, &hold.seat) {
            return Reply::Refused(refusal);
        }
        // Redis is asked first, and corrected where it counts too many: what is on its way then is not among what it is told.
        let open_holds =
            self.people.get(&(facts.exhibition_id, facts.person_key)).map_or(0, |person| person.open_holds);
        if facts.person_counted && hold.open_holds_max.is_some_and(|most| open_holds >= most) {
            return Reply::Refused(Refusal::OpenHolds);
        }
        let expires_at = self.now + SignedDuration::from_secs(i64::from(hold.ttl_s));
        self.change_stock(facts, 1, 0);
        self.change_person(facts, facts.person_places, 1);
        self.count_products(facts);
        self.known_holds.insert(facts.hold_id, (facts.id, hold.seat.at_ms));
        let row = OrderRow {
            state: OrderState::Held,
            expires_at,
            paid_attempt_id: None,
            person_places: facts.person_places,
            person_key: facts.person_key,
        };
        self.orders.insert(facts.id, row);
        self.rows.hold(facts, hold, expires_at);
        self.event(facts, &entry.origin, EventKind::Held, None, Some(OrderState::Held));
        self.wake(facts).confirmed.push(hold.seat.hold_id);
        Reply::Held { at: self.now, expires_at }
    }

    fn open(&mut self, entry: &Entry, order: OrderRow, attempt_id: Uuid, provider: Provider) -> Reply {
        match order.state {
            OrderState::Held | OrderState::Expired => {}
            OrderState::Confirming | OrderState::AwaitingDeposit => return Reply::Refused(Refusal::InProgress),
            OrderState::Paid | OrderState::PartiallyRefunded => return Reply::Refused(Refusal::AlreadyPaid),
            OrderState::Refunded | OrderState::Cancelled => return Reply::Refused(Refusal::Closed),
        }
        if order.state == OrderState::Expired || order.expires_at <= self.now {
            return Reply::Refused(Refusal::Lapsed);
        }
        self.add_attempt(entry, attempt_id, provider)
    }

    fn add_attempt(&mut self, entry: &Entry, attempt_id: Uuid, provider: Provider) -> Reply {
        if let Some(known) = self.attempts.get(&attempt_id) {
            return Reply::Opened { n: known.n, provider: known.provider, before: true };
        }
        let n = 1 + self.attempts.values().filter(|a| a.order_id == entry.facts.id).map(|a| a.n).max().unwrap_or(0);
        // Money that is there is not turned away for what was tried before.
        if n > ATTEMPTS_MAX && provider != Provider::Cash {
            return Reply::Refused(Refusal::TooManyAttempts);
        }
        let row = AttemptRow {
            id: attempt_id,
            order_id: entry.facts.id,
            n,
            state: AttemptState::Ready,
            amount_won: entry.facts.total_won,
            provider,
            to_account: false,
        };
        self.rows.attempt(&row, &entry.facts.number);
        self.attempts.insert(attempt_id, row);
        Reply::Opened { n, provider, before: false }
    }

    fn begin(&mut self, entry: &Entry, order: OrderRow, attempt_id: Uuid) -> Reply {
        let Ask::Begin { payment_key, confirm_key, confirm_fingerprint, seat, .. } = &entry.ask else {
            return Reply::Refused(Refusal::UnknownAttempt);
        };
        let facts = &entry.facts;
        let Some(attempt) = self.attempts.get(&attempt_id).cloned() else {
            return Reply::Refused(Refusal::UnknownAttempt);
        };
        match attempt.state {
            AttemptState::Ready => {}
            AttemptState::Sent | AttemptState::Unknown | AttemptState::AwaitingDeposit => {
                return Reply::Refused(Refusal::InProgress);
            }
            AttemptState::Accepted => return Reply::Already,
            AttemptState::Declined => return Reply::Refused(Refusal::AttemptOver),
        }
        match order.state {
            OrderState::Held => {}
            OrderState::Expired => {
                let Some(seat) = seat else { return Reply::Refused(Refusal::Lapsed) };
                if let Some(refusal) = self.cannot_seat(facts, seat) {
                    return Reply::Refused(refusal);
                }
                self.change_stock(facts, 1, 0);
                self.change_person(facts, facts.person_places, 1);
                self.count_products(facts);
                self.wake(facts).confirmed.push(seat.hold_id);
            }
            OrderState::Confirming | OrderState::AwaitingDeposit => return Reply::Refused(Refusal::InProgress),
            OrderState::Paid | OrderState::PartiallyRefunded => return Reply::Refused(Refusal::AlreadyPaid),
            OrderState::Refunded | OrderState::Cancelled => return Reply::Refused(Refusal::Closed),
        }
        let mut expires_at = order.expires_at;
        if attempt.n <= EXTENDING_ATTEMPTS {
            expires_at = expires_at.max(self.now + SignedDuration::from_secs(AFTER_BEGIN_S));
        }
        self.set_attempt(AttemptChange {
            payment_key: Some(payment_key.clone()),
            confirm_key: Some(confirm_key.clone()),
            confirm_fingerprint: Some(confirm_fingerprint.clone()),
            sent_at: Some(self.now),
            next_check_at: Some(self.now + SignedDuration::from_secs(FIRST_CHECK_S)),
            seat: (*seat).filter(|_| order.state == OrderState::Expired),
            ..AttemptChange::to(attempt_id, AttemptState::Sent)
        });
        self.set_order(
            facts,
            &entry.origin,
            EventKind::Confirming,
            OrderRow { state: OrderState::Confirming, expires_at, ..order },
        );
        Reply::Begun
    }

    fn accept(&mut self, entry: &Entry, order: OrderRow, attempt_id: Uuid) -> Reply {
        let Ask::Accept { captured, seat, refund_if_full, ticket_key_id, .. } = &entry.ask else {
            return Reply::Refused(Refusal::UnknownAttempt);
        };
        let facts = &entry.facts;
        let Some(attempt) = self.attempts.get(&attempt_id).cloned() else {
            return Reply::Refused(Refusal::UnknownAttempt);
        };
        if attempt.state == AttemptState::Accepted {
            return Reply::Already;
        }
        let seated_late = match order.state {
            OrderState::Held | OrderState::Confirming | OrderState::AwaitingDeposit => false,
            OrderState::Expired => match seat {
                Some(seat) => match self.cannot_seat(facts, seat) {
                    Some(refusal) => return Reply::Refused(refusal),
                    None => true,
                },
                None if !refund_if_full => return Reply::NeedsSeat,
                None => return self.refund(entry, &attempt, captured, EventKind::LateAndFull),
            },
            OrderState::Paid | OrderState::PartiallyRefunded => {
                return self.refund(entry, &attempt, captured, EventKind::PaidTwice);
            }
            OrderState::Refunded | OrderState::Cancelled => {
                return self.refund(entry, &attempt, captured, EventKind::OrderClosed);
            }
        };
        self.capture(&attempt, captured, seat.filter(|_| seated_late));
        match seat.filter(|_| seated_late) {
            Some(seat) => self.sell_seat(facts, &seat),
            None => self.sell_held(facts),
        }
        self.pay(entry, order, Some(attempt_id), *ticket_key_id);
        Reply::Paid
    }

    fn settle_free(&mut self, entry: &Entry, order: OrderRow, ticket_key_id: i16) -> Reply {
        let facts = &entry.facts;
        if facts.total_won != 0 {
            return Reply::Refused(Refusal::NotFree);
        }
        match order.state {
            OrderState::Held => {}
            OrderState::Paid => return Reply::Already,
            _ => return Reply::Refused(Refusal::Closed),
        }
        self.sell_held(facts);
        self.pay(entry, order, None, ticket_key_id);
        Reply::Paid
    }

    /// Whoever took the money has it: there is no outcome to wait for.
    fn cash(&mut self, entry: &Entry, order: OrderRow, attempt_id: Uuid) -> Reply {
        let Ask::Cash { captured, late, seat, ticket_key_id, .. } = &entry.ask else {
            return Reply::Refused(Refusal::UnknownAttempt);
        };
        let seat = match order.state {
            OrderState::Held if *late || order.expires_at > self.now => None,
            OrderState::Expired if *late => {
                let Some(seat) = seat else { return Reply::NeedsSeat };
                if let Some(refusal) = self.cannot_seat(&entry.facts, seat) {
                    return Reply::Refused(refusal);
                }
                Some(*seat)
            }
            OrderState::Held | OrderState::Expired => return Reply::Refused(Refusal::Lapsed),
            OrderState::Paid | OrderState::PartiallyRefunded | OrderState::Refunded => return Reply::Already,
            OrderState::Confirming | OrderState::AwaitingDeposit => return Reply::Refused(Refusal::InProgress),
            OrderState::Cancelled => return Reply::Refused(Refusal::Closed),
        };
        self.add_attempt(entry, attempt_id, Provider::Cash);
        let Some(attempt) = self.attempts.get(&attempt_id).cloned() else {
            return Reply::Refused(Refusal::UnknownAttempt);
        };
        self.capture(&attempt, captured, seat);
        match seat {
            Some(seat) => self.sell_seat(&entry.facts, &seat),
            None => self.sell_held(&entry.facts),
        }
        self.pay(entry, order, Some(attempt_id), *ticket_key_id);
        Reply::Paid
    }

    fn pay(&mut self, entry: &Entry, order: OrderRow, attempt_id: Option<Uuid>, ticket_key_id: i16) {
        let facts = &entry.facts;
        self.rows.tickets(facts, ticket_key_id, self.now);
        if facts.has_email {
            self.rows.outbox(facts, "order_paid", facts.id);
        }
        let row = OrderRow { state: OrderState::Paid, paid_attempt_id: attempt_id, ..order };
        self.end_pass(facts, PassEnd::Over);
        self.set_order(facts, &entry.origin, EventKind::Paid, row);
    }

    /// Money that must not be kept: recorded as captured, and a refund is owed.
    fn refund(&mut self, entry: &Entry, attempt: &AttemptRow, captured: &Captured, reason: EventKind) -> Reply {
        self.capture(attempt, captured, None);
        let to_account = attempt.to_account || captured.to_account;
        let refund_id = self.rows.refund_all(attempt, reason.as_str(), to_account, self.now);
        if entry.facts.has_email && to_account {
            self.rows.outbox(&entry.facts, "refund", refund_id);
        } else if entry.facts.has_email {
            self.rows.outbox(&entry.facts, "money_returned", entry.facts.id);
        }
        self.event(&entry.facts, &entry.origin, reason, None, None);
        Reply::Refunding
    }

    fn capture(&mut self, attempt: &AttemptRow, captured: &Captured, seat: Option<Seat>) {
        self.rows.answers.insert(attempt.id, captured.raw.clone());
        self.set_attempt(AttemptChange {
            payment_key: Some(captured.payment_key.clone()),
            method: captured.method.clone(),
            receipts: Some(captured.receipts.clone()),
            secret: captured.secret.clone(),
            to_account: captured.to_account.then_some(true),
            seat,
            ended_at: Some(self.now),
            ..AttemptChange::to(attempt.id, AttemptState::Accepted)
        });
    }

    fn decline(&mut self, entry: &Entry, order: OrderRow, attempt_id: Uuid, code: &str, message: &str) -> Reply {
        let Some(attempt) = self.attempts.get(&attempt_id) else { return Reply::Refused(Refusal::UnknownAttempt) };
        match attempt.state {
            AttemptState::Accepted => return Reply::Refused(Refusal::AlreadyPaid),
            AttemptState::Declined => return Reply::Already,
            // Its places and tickets are to be locked: another ask.
            AttemptState::AwaitingDeposit => return Reply::Refused(Refusal::InProgress),
            AttemptState::Ready | AttemptState::Sent | AttemptState::Unknown => {}
        }
        let was_in_flight = attempt.state != AttemptState::Ready;
        self.set_attempt(AttemptChange {
            failure_code: Some(code.to_owned()),
            failure_message: Some(message.to_owned()),
            ended_at: Some(self.now),
            ..AttemptChange::to(attempt_id, AttemptState::Declined)
        });
        if was_in_flight && order.state == OrderState::Confirming {
            self.set_order(
                &entry.facts,
                &entry.origin,
                EventKind::Declined,
                OrderRow { state: OrderState::Held, ..order },
            );
        }
        Reply::Declined
    }

    fn doubt(&mut self, entry: &Entry, attempt_id: Uuid) -> Reply {
        let Some(attempt) = self.attempts.get(&attempt_id) else { return Reply::Refused(Refusal::UnknownAttempt) };
        if attempt.state != AttemptState::Sent {
            return Reply::Already;
        }
        self.set_attempt(AttemptChange {
            next_check_at: Some(self.now + SignedDuration::from_secs(1)),
            ..AttemptChange::to(attempt_id, AttemptState::Unknown)
        });
        self.event(&entry.facts, &entry.origin, EventKind::OutcomeUnknown, None, None);
        Reply::Doubted
    }

    fn expire(&mut self, entry: &Entry, order: OrderRow) -> Reply {
        if order.state != OrderState::Held || order.expires_at > self.now {
            return Reply::Already;
        }
        self.release(entry, order, OrderState::Expired, EventKind::Expired)
    }

    /// The number of its events, those of this batch among them.
    fn revision(&self, order_id: Uuid) -> i64 {
        let ours = self.rows.events.iter().filter(|event| event.order_id == order_id).count();
        self.revisions.get(&order_id).copied().unwrap_or(0) + i64::try_from(ours).unwrap_or(i64::MAX)
    }

    fn cancel(&mut self, entry: &Entry, order: OrderRow) -> Reply {
        match order.state {
            OrderState::Held => self.release(entry, order, OrderState::Cancelled, EventKind::Cancelled),
            OrderState::AwaitingDeposit => {
                self.end_deposits(entry.facts.id, "CANCELLED");
                self.release(entry, order, OrderState::Cancelled, EventKind::Cancelled)
            }
            OrderState::Confirming => Reply::Refused(Refusal::InProgress),
            OrderState::Cancelled => Reply::Already,
            OrderState::Expired => Reply::Refused(Refusal::Lapsed),
            OrderState::Paid | OrderState::PartiallyRefunded => Reply::Refused(Refusal::AlreadyPaid),
            OrderState::Refunded => Reply::Refused(Refusal::Closed),
        }
    }

    pub fn release(&mut self, entry: &Entry, order: OrderRow, to: OrderState, kind: EventKind) -> Reply {
        let facts = &entry.facts;
        if order.state == OrderState::AwaitingDeposit {
            self.rows.ticket_changes.cancelled.push(facts.id);
        }
        self.change_stock(facts, -1, 0);
        self.change_person(facts, -facts.person_places, -1);
        self.free_person_in_redis(facts, -facts.person_places);
        self.end_pass(facts, if to == OrderState::Cancelled { PassEnd::Free } else { PassEnd::Over });
        self.set_order(facts, &entry.origin, kind, OrderRow { state: to, ..order });
        Reply::Released
    }

    /// Somebody who came through the waiting room has bought, let the hold lapse, or may choose again.
    pub fn end_pass(&mut self, facts: &OrderFacts, end: PassEnd) {
        if let Some(sid) = facts.pass_sid {
            self.wake(facts).passes.push((sid, facts.hold_id, end));
        }
    }

    pub fn wake(&mut self, facts: &OrderFacts) -> &mut Wake {
        self.wakes.entry(facts.exhibition_id).or_insert_with(|| Wake::new(&facts.code))
    }

    pub fn set_attempt(&mut self, change: AttemptChange) {
        if let Some(attempt) = self.attempts.get_mut(&change.id) {
            debug_assert!(attempt.state.may_become(change.state), "{:?} -> {:?}", attempt.state, change.state);
            attempt.state = change.state;
        }
        self.rows.change_attempt(change);
    }

    pub fn set_order(&mut self, facts: &OrderFacts, origin: &Origin, kind: EventKind, row: OrderRow) {
        let before = self.orders.insert(facts.id, row).map(|o| o.state);
        debug_assert!(before.is_some_and(|from| from.may_become(row.state)), "{before:?} -> {:?}", row.state);
        self.rows.order_changes.insert(facts.id, row);
        self.event(facts, origin, kind, before, Some(row.state));
    }

    /// The same for an order of which something was given back.
    pub fn set_refunded(
        &mut self,
        facts: &OrderFacts,
        origin: &Origin,
        kind: EventKind,
        row: OrderRow,
        refund_id: Uuid,
    ) {
        self.set_order(facts, origin, kind, row);
        if let Some(event) = self.rows.events.last_mut() {
            event.about = Some(refund_id);
        }
    }

    fn event(
        &mut self,
        facts: &OrderFacts,
        origin: &Origin,
        kind: EventKind,
        from: Option<OrderState>,
        to: Option<OrderState>,
    ) {
        self.rows.events.push(EventRow {
            order_id: facts.id,
            kind: kind.as_str(),
            from: from.map(OrderState::as_str),
            to: to.map(OrderState::as_str),
            actor: origin.actor,
            cause: origin.cause.clone(),
            correlation_id: origin.correlation_id.clone(),
            about: None,
        });
    }
}
