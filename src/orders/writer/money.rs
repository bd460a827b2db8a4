//! Decides what is asked about money beyond a plain payment: deposits to virtual accounts, and refunds. Pure, like
//! `decide`, of which it is the second half.

use jiff::Timestamp;
use uuid::Uuid;

use super::decide::{Books, OrderRow};
use super::entry::{Captured, Deposit, Entry, RefundAsk, RefundKind, Refusal, Reply};
use super::rows::{AttemptChange, DepositRow, RefundRow};
use crate::orders::model::{AttemptState, EventKind, OrderState};
use crate::payments::Provider;
use crate::waiting_room::redis::PassEnd;

#[derive(Clone, Copy, Debug)]
pub struct TicketRow {
    pub order_id: Uuid,
    /// It opens doors, or may again.
    pub ends: bool,
    pub used: bool,
}

/// A refund of before. Also one that failed: its money is still owed.
#[derive(Clone, Debug)]
pub struct KnownRefund {
    pub attempt_id: Uuid,
    pub order_id: Uuid,
    pub amount_won: i32,
    pub request_key: Option<Vec<u8>>,
    pub request_fingerprint: Option<Vec<u8>>,
    /// Staff paid it by another road than the provider.
    pub by_hand: bool,
}

impl Books {
    /// An account was issued. For an order that needs it no more it is closed at once.
    pub fn await_deposit(
        &mut self,
        entry: &Entry,
        order: OrderRow,
        attempt_id: Uuid,
        captured: &Captured,
        deposit: &Deposit,
    ) -> Reply {
        let Some(attempt) = self.attempts.get(&attempt_id).cloned() else {
            return Reply::Refused(Refusal::UnknownAttempt);
        };
        match attempt.state {
            AttemptState::Accepted | AttemptState::AwaitingDeposit => return Reply::Already,
            AttemptState::Declined => return Reply::Refused(Refusal::AttemptOver),
            AttemptState::Ready | AttemptState::Sent | AttemptState::Unknown => {}
        }
        if order.state != OrderState::Confirming {
            self.set_attempt(AttemptChange {
                payment_key: Some(captured.payment_key.clone()),
                failure_code: Some("ORDER_CLOSED".into()),
                ended_at: Some(self.now),
                close_at: Some(self.now),
                ..AttemptChange::to(attempt_id, AttemptState::Declined)
            });
            return Reply::Declined;
        }
        self.rows.answers.insert(attempt_id, captured.raw.clone());
        self.rows.deposits.push(DepositRow {
            attempt_id,
            bank: deposit.bank.clone(),
            sealed: deposit.sealed.clone(),
            due_at: deposit.due_at,
        });
        self.set_attempt(AttemptChange {
            payment_key: Some(captured.payment_key.clone()),
            method: captured.method.clone(),
            receipts: Some(captured.receipts.clone()),
            secret: captured.secret.clone(),
            to_account: Some(true),
            next_check_at: Some(deposit.kept_until),
            ..AttemptChange::to(attempt_id, AttemptState::AwaitingDeposit)
        });
        if entry.facts.has_email {
            self.rows.outbox(&entry.facts, "deposit_asked", entry.facts.id);
        }
        // Somebody else's turn: who pays in within days stands in nobody's way meanwhile.
        self.end_pass(&entry.facts, PassEnd::Over);
        let row = OrderRow { state: OrderState::AwaitingDeposit, expires_at: deposit.kept_until, ..order };
        self.set_order(&entry.facts, &entry.origin, EventKind::AwaitingDeposit, row);
        Reply::AwaitingDeposit
    }

    /// A deposit that the bank took back: the places stay, the tickets open no door.
    pub fn reverse(&mut self, entry: &Entry, order: OrderRow, attempt_id: Uuid, kept_until: Timestamp) -> Reply {
        let facts = &entry.facts;
        let accepted = self.attempts.get(&attempt_id).is_some_and(|a| a.state == AttemptState::Accepted);
        if !accepted || order.state != OrderState::Paid || order.paid_attempt_id != Some(attempt_id) {
            return Reply::Already;
        }
        self.set_attempt(AttemptChange {
            next_check_at: Some(kept_until),
            ..AttemptChange::to(attempt_id, AttemptState::AwaitingDeposit)
        });
        self.change_stock(facts, 1, -1);
        self.change_person(facts, 0, 1);
        if facts.person_counted {
            let person = facts.person_key;
            self.wake(facts).freed.people.push((person, 0, 1));
        }
        self.rows.ticket_changes.blocked.push(facts.id);
        let row =
            OrderRow { state: OrderState::AwaitingDeposit, expires_at: kept_until, paid_attempt_id: None, ..order };
        self.set_order(facts, &entry.origin, EventKind::DepositReversed, row);
        Reply::Reversed
    }

    pub fn lapse_deposit(&mut self, entry: &Entry, order: OrderRow, attempt_id: Uuid) -> Reply {
        let Some(attempt) = self.attempts.get(&attempt_id) else { return Reply::Refused(Refusal::UnknownAttempt) };
        if attempt.state != AttemptState::AwaitingDeposit {
            return Reply::Already;
        }
        self.end_deposit(attempt_id, "EXPIRED");
        if order.state != OrderState::AwaitingDeposit {
            return Reply::Declined;
        }
        self.release(entry, order, OrderState::Expired, EventKind::Expired)
    }

    /// Nobody shall pay into the account any more.
    fn end_deposit(&mut self, attempt_id: Uuid, code: &str) {
        self.set_attempt(AttemptChange {
            failure_code: Some(code.to_owned()),
            ended_at: Some(self.now),
            close_at: Some(self.now),
            ..AttemptChange::to(attempt_id, AttemptState::Declined)
        });
    }

    /// The order is given up while money is waited for.
    pub fn end_deposits(&mut self, order_id: Uuid, code: &str) {
        let waiting =
            self.attempts.values().find(|a| a.order_id == order_id && a.state == AttemptState::AwaitingDeposit);
        if let Some(id) = waiting.map(|attempt| attempt.id) {
            self.end_deposit(id, code);
        }
    }

    /// Ends tickets and owes their price less the fee, in one step; the worker carries the money.
    pub fn give_back(&mut self, entry: &Entry, order: OrderRow, ask: &RefundAsk) -> Reply {
        let facts = &entry.facts;
        if let Some(answer) = self.known_request(facts.id, ask) {
            return answer;
        }
        match order.state {
            OrderState::Paid | OrderState::PartiallyRefunded => {}
            OrderState::Refunded | OrderState::Cancelled | OrderState::Expired => {
                return Reply::Refused(Refusal::Closed);
            }
            OrderState::Held | OrderState::Confirming | OrderState::AwaitingDeposit => {
                return Reply::Refused(Refusal::NotPaid);
            }
        }
        if let Some(refusal) = self.cannot_end(facts.id, ask) {
            return Reply::Refused(refusal);
        }
        let attempt = order.paid_attempt_id.and_then(|id| self.attempts.get(&id)).cloned();
        let of_attempt = || self.refunds.iter().filter(|r| Some(r.attempt_id) == order.paid_attempt_id);
        let known: i32 = of_attempt().map(|r| r.amount_won).sum();
        // What staff paid by another road is not gone at the provider.
        let known_there: i32 = of_attempt().filter(|r| !r.by_hand).map(|r| r.amount_won).sum();
        let left = attempt.as_ref().map_or(0, |attempt| attempt.amount_won - known);
        let amount_won = match ask.kind {
            // Two looks at the same money write it down once.
            RefundKind::Provider if ask.amount_won <= known_there => return Reply::Already,
            RefundKind::Provider => ask.amount_won - known_there,
            RefundKind::Visitor | RefundKind::Admin => ask.amount_won,
        };
        if amount_won < 0 || amount_won > left || (amount_won == 0 && ask.price_won > 0) {
            return Reply::Refused(Refusal::WrongSum);
        }
        if let Some(attempt) = attempt.filter(|_| amount_won > 0) {
            let state = match ask.kind {
                RefundKind::Provider => "done",
                // Counted out at the desk by whoever writes it down.
                _ if attempt.provider == Provider::Cash => "by_hand",
                _ if attempt.to_account && ask.account.is_none() => "needs_account",
                _ => "pending",
            };
            if state == "done" {
                self.rows.returned.push((attempt.id, amount_won));
            }
            self.rows.refunds.push(RefundRow {
                id: ask.id,
                attempt_id: attempt.id,
                order_id: facts.id,
                amount_won,
                price_won: ask.price_won,
                kind: ask.kind.as_str(),
                reason: ask.reason.clone(),
                state,
                request: ask.request.clone(),
                account: ask.account.clone().filter(|_| attempt.to_account),
            });
            self.refunds.push(KnownRefund {
                attempt_id: attempt.id,
                order_id: facts.id,
                amount_won,
                request_key: ask.request.as_ref().map(|(key, _)| key.clone()),
                request_fingerprint: ask.request.as_ref().map(|(_, asked)| asked.clone()),
                by_hand: state == "by_hand",
            });
        }
        self.end_tickets(entry, order, ask);
        Reply::Refunded
    }

    fn known_request(&self, order_id: Uuid, ask: &RefundAsk) -> Option<Reply> {
        let (key, asked) = ask.request.as_ref()?;
        let known = self.refunds.iter().find(|r| r.order_id == order_id && r.request_key.as_ref() == Some(key))?;
        let same = known.request_fingerprint.as_ref() == Some(asked);
        Some(if same { Reply::Already } else { Reply::Refused(Refusal::KeyReused) })
    }

    fn cannot_end(&self, order_id: Uuid, ask: &RefundAsk) -> Option<Refusal> {
        let of_order = |id: &Uuid| self.tickets.get(id).filter(|ticket| ticket.order_id == order_id && ticket.ends);
        for id in &ask.ticket_ids {
            match of_order(id) {
                None => return Some(Refusal::TicketGone),
                Some(ticket) if ticket.used && !ask.used_too => return Some(Refusal::TicketUsed),
                Some(_) => {}
            }
        }
        None
    }

    fn end_tickets(&mut self, entry: &Entry, order: OrderRow, ask: &RefundAsk) {
        let facts = &entry.facts;
        for id in &ask.ticket_ids {
            self.rows.ticket_changes.refunded.push((*id, ask.id));
            if let Some(ticket) = self.tickets.get_mut(id) {
                ticket.ends = false;
            }
        }
        let left = self.tickets.values().any(|ticket| ticket.order_id == facts.id && ticket.ends);
        self.change_lines(facts, &ask.lines, 0, -1);
        // With the last ticket all places end, whatever the products count today.
        let places = if left { ask.person_places.min(order.person_places) } else { order.person_places };
        self.change_person(facts, -places, 0);
        if facts.person_counted && places > 0 {
            let person = facts.person_key;
            self.wake(facts).freed.people.push((person, -places, 0));
        }
        if facts.has_email && ask.amount_won > 0 {
            self.rows.outbox(facts, "refund", ask.id);
        }
        let (state, person_places) = if left {
            (OrderState::PartiallyRefunded, order.person_places - places)
        } else {
            (OrderState::Refunded, order.person_places)
        };
        let kind = if state == OrderState::Refunded { EventKind::Refunded } else { EventKind::PartiallyRefunded };
        self.set_refunded(facts, &entry.origin, kind, OrderRow { state, person_places, ..order }, ask.id);
    }
}
