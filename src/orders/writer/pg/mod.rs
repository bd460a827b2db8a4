//! The two flights of a batch: lock and read everything, then write everything and commit. Statements of one flight
//! are sent without waiting for each other's answers, so a batch costs two round trips.

mod doubt;
mod statements;
mod wants;

use std::collections::HashMap;
use std::pin::Pin;

use deadpool_postgres::GenericClient;
use futures_util::future::join_all;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement as Prepared};

use super::columns::Columns;
use super::decide::Books;
use super::entry::Entry;
use crate::admin::audit::Act;
use crate::error::{Error, Result};
use crate::orders::contact::INDEX_VERSION;
use crate::orders::model::Item;
use crate::platform::pg::{self, SessionLimits};
use crate::stock::model::PersonKey;

pub use doubt::{Doubt, committed};
use statements::PreparedAll;
pub use statements::STATEMENTS;
use wants::{Limited, Read, Wants, fill};

const LIMITS: SessionLimits = SessionLimits { statement_ms: 5_000, lock_ms: 2_000 };

/// The writer's own connection with its statements prepared.
pub struct Connection {
    client: Client,
    prepared: PreparedAll,
}

/// Why a batch was not written, told apart by what may be done about it.
pub enum Failure {
    /// Certainly not committed; the connection is as good as before.
    RolledBack(tokio_postgres::Error),
    /// Certainly not committed, since COMMIT was never sent; the connection is gone.
    Lost(Error),
    /// The connection died with COMMIT on its way: the server must be asked.
    InDoubt(Doubt),
}

type Params<'a> = Vec<&'a (dyn ToSql + Sync)>;
type Call<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, tokio_postgres::Error>> + Send + 'a>>;

impl Connection {
    pub async fn open(url: &str) -> Result<Connection> {
        let client = pg::connect(url, LIMITS, "admit stock writer").await?;
        let prepared = PreparedAll::new(&client).await?;
        Ok(Connection { client, prepared })
    }

    fn call<'a>(&'a self, statement: &'a Prepared, params: Params<'a>) -> Call<'a> {
        Box::pin(async move { self.client.query(statement, &params).await })
    }

    fn text<'a>(&'a self, sql: &'static str) -> Call<'a> {
        Box::pin(async move { self.client.batch_execute(sql).await.map(|()| Vec::new()) })
    }

    async fn fail(&self, error: tokio_postgres::Error) -> Failure {
        if self.client.is_closed() || error.as_db_error().is_none() {
            return Failure::Lost(error.into());
        }
        match self.client.batch_execute("rollback").await {
            Ok(()) => Failure::RolledBack(error),
            Err(_) => Failure::Lost(error.into()),
        }
    }

    /// First flight: begins, and locks and reads in the one order everybody uses (orders by id, persons, their rows
    /// by key, stock by id). Returns the transaction's id beside the books.
    pub async fn read(&self, entries: &[&Entry], now_ms: i64) -> Result<(Books, String), Failure> {
        let wants = Wants::of(entries);
        let p = &self.prepared;
        let mut flight: Vec<Call<'_>> = vec![self.text("begin"), self.call(&p.NOW, vec![])];
        let mut order = Vec::new();
        if !wants.orders.is_empty() {
            flight.push(self.call(&p.LOCK_ORDERS, vec![&wants.orders]));
            flight.push(self.call(&p.ATTEMPTS, vec![&wants.orders]));
            order.extend([Read::Orders, Read::Attempts]);
        }
        if !wants.tickets.is_empty() {
            flight.push(self.call(&p.LOCK_TICKETS, vec![&wants.tickets]));
            flight.push(self.call(&p.REFUNDS, vec![&wants.tickets]));
            order.extend([Read::Tickets, Read::Refunds]);
        }
        if !wants.people.0.is_empty() {
            flight.push(self.call(&p.LOCK_PERSONS, vec![&wants.persons]));
            order.push(Read::Persons);
            flight.push(self.call(&p.LOCK_PEOPLE, vec![&wants.people.0, &wants.people.1]));
            order.push(Read::People);
        }
        if !wants.limited.people.is_empty() {
            flight.push(self.call(&p.PER_PERSON, vec![&wants.limited.people, &wants.limited.products]));
            order.push(Read::PerPerson);
        }
        if !wants.stock.is_empty() {
            flight.push(self.call(&p.LOCK_STOCK, vec![&wants.stock]));
            order.push(Read::Stock);
        }
        if !wants.hold_ids.is_empty() {
            flight.push(self.call(&p.KNOWN_HOLDS, vec![&wants.hold_ids]));
            order.push(Read::KnownHolds);
        }
        if !wants.slots.is_empty() {
            flight.push(self.call(&p.CLOSED_SLOTS, vec![&wants.slots]));
            order.push(Read::ClosedSlots);
        }
        if !wants.revisions.is_empty() {
            flight.push(self.call(&p.REVISIONS, vec![&wants.revisions]));
            order.push(Read::Revisions);
        }
        let mut answers = Vec::with_capacity(flight.len());
        for answer in join_all(flight).await {
            match answer {
                Ok(rows) => answers.push(rows),
                Err(error) => return Err(self.fail(error).await),
            }
        }
        let mut books = Books { now_ms, ..Books::default() };
        let mut answers = answers.into_iter().skip(1);
        let head = answers.next().and_then(|rows| rows.into_iter().next());
        let Some(head) = head else { return Err(Failure::Lost(Error::bug("writer.now answered nothing"))) };
        books.now = head.get(1);
        for (kind, rows) in order.into_iter().zip(answers) {
            fill(&mut books, kind, &rows);
        }
        Ok((books, head.get(0)))
    }

    /// Ends a transaction that wrote nothing.
    pub async fn abandon(&self) -> Result<(), Failure> {
        self.client.batch_execute("rollback").await.map_err(|e| Failure::Lost(e.into()))
    }

    /// Second flight: every row and COMMIT. When a statement is refused, COMMIT rolls back.
    pub async fn write(&self, books: &Books, transaction_id: String) -> Result<(), Failure> {
        let columns = Columns::of(&books.rows);
        let mut flight = self.writes(books, &columns);
        flight.push(self.text("commit"));
        let answers = join_all(flight).await;
        let mut refused = None;
        let mut lost = false;
        for answer in answers {
            match answer {
                Ok(_) => {}
                Err(error) if error.as_db_error().is_some() => {
                    // The first one is the cause, the others only follow from it.
                    refused.get_or_insert(error);
                }
                Err(_) => lost = true,
            }
        }
        match refused {
            Some(error) if !lost && !self.client.is_closed() => Err(Failure::RolledBack(error)),
            Some(error) => Err(Failure::Lost(error.into())),
            None if lost => Err(Failure::InDoubt(Doubt::of(books, transaction_id))),
            None => Ok(()),
        }
    }

    fn writes<'a>(&'a self, books: &'a Books, c: &'a Columns<'a>) -> Vec<Call<'a>> {
        let p = &self.prepared;
        let rows = &books.rows;
        let mut flight: Vec<Call<'a>> = Vec::with_capacity(12);
        let h = &rows.holds;
        if !h.ids.is_empty() {
            flight.push(self.call(
                &p.INSERT_ORDERS,
                vec![
                    &h.ids,
                    &h.numbers,
                    &h.exhibition_ids,
                    &h.slot_ids,
                    &h.hold_ids,
                    &h.fingerprints,
                    &h.totals,
                    &h.person_keys,
                    &h.person_places,
                    &h.person_counted,
                    &h.has_email,
                    &h.languages,
                    &h.referral_codes,
                    &h.expires_at,
                    &books.now,
                    &h.taken_at_ms,
                    &h.pass_sids,
                ],
            ));
            flight.push(self.call(
                &p.INSERT_CONTACTS,
                vec![
                    &h.ids,
                    &h.phone_digests,
                    &h.key_ids,
                    &h.sealed,
                    &h.consent_versions,
                    &h.marketing,
                    &h.name_indexes,
                    &h.tail_indexes,
                    &INDEX_VERSION,
                ],
            ));
            let i = &rows.items;
            flight.push(
                self.call(&p.INSERT_ITEMS, vec![&i.order_ids, &i.lines, &i.product_ids, &i.quantities, &i.units]),
            );
        }
        if !c.orders.0.is_empty() {
            flight.push(self.call(
                &p.UPDATE_ORDERS,
                vec![&c.orders.0, &c.orders.1, &c.orders.2, &c.orders.3, &books.now, &c.orders.4],
            ));
        }
        if !rows.attempts.is_empty() {
            let a = &c.new_attempts;
            flight.push(self.call(&p.INSERT_ATTEMPTS, vec![&a.0, &a.1, &a.2, &a.3, &a.4, &books.now, &a.5]));
        }
        if !rows.attempt_changes.is_empty() {
            let a = &c.attempts;
            flight.push(self.call(
                &p.UPDATE_ATTEMPTS,
                vec![
                    &a.ids,
                    &a.states,
                    &a.payment_keys,
                    &a.methods,
                    &a.confirm_keys,
                    &a.confirm_fingerprints,
                    &a.failure_codes,
                    &a.failure_messages,
                    &a.secrets,
                    &a.sent_at,
                    &a.ended_at,
                    &a.next_check_at,
                    &a.seat_ids,
                    &a.seat_at_ms,
                    &a.to_account,
                    &a.close_at,
                    &a.receipts,
                ],
            ));
        }
        if !rows.answers.is_empty() {
            flight.push(self.call(&p.INSERT_ANSWERS, vec![&c.answers.0, &c.answers.1, &books.now]));
        }
        let t = &rows.tickets;
        if !t.ids.is_empty() {
            flight.push(self.call(
                &p.INSERT_TICKETS,
                vec![
                    &t.ids,
                    &t.order_ids,
                    &t.exhibition_ids,
                    &t.product_ids,
                    &t.slot_ids,
                    &t.numbers,
                    &t.of_totals,
                    &t.key_ids,
                    &books.now,
                ],
            ));
        }
        if !rows.events.is_empty() {
            let e = &c.events;
            flight.push(self.call(&p.INSERT_EVENTS, vec![&e.0, &e.1, &e.2, &e.3, &e.4, &e.5, &e.6, &books.now, &e.7]));
        }
        // Few and far between, unlike what visitors do: one by one.
        for Act { by, action, exhibition_id, before, after } in &rows.acts {
            flight.push(self.call(
                &p.INSERT_AUDIT,
                vec![
                    &books.now,
                    &by.user_id,
                    &by.name,
                    &by.role,
                    action,
                    exhibition_id,
                    before,
                    after,
                    &by.request_id,
                    &by.address,
                ],
            ));
        }
        if !rows.outbox.is_empty() {
            flight.push(self.call(&p.INSERT_OUTBOX, vec![&c.outbox.0, &c.outbox.1, &c.outbox.2, &books.now]));
        }
        if !rows.refunds.is_empty() {
            let r = &c.refunds;
            flight.push(self.call(
                &p.INSERT_REFUNDS,
                vec![
                    &r.ids,
                    &r.attempt_ids,
                    &r.order_ids,
                    &r.amounts,
                    &r.prices,
                    &r.kinds,
                    &r.reasons,
                    &r.states,
                    &r.request_keys,
                    &r.request_fingerprints,
                    &r.account_key_ids,
                    &r.accounts,
                    &books.now,
                ],
            ));
        }
        if !c.refund_tickets.0.is_empty() {
            flight.push(self.call(&p.REFUND_TICKETS, vec![&c.refund_tickets.0, &c.refund_tickets.1]));
        }
        let changes = &rows.ticket_changes;
        if !changes.blocked.is_empty() {
            flight.push(self.call(&p.BLOCK_TICKETS, vec![&changes.blocked]));
        }
        if !changes.cancelled.is_empty() {
            flight.push(self.call(&p.CANCEL_TICKETS, vec![&changes.cancelled]));
        }
        let d = &c.deposits;
        if !d.0.is_empty() {
            flight.push(self.call(&p.UPSERT_DEPOSITS, vec![&d.0, &d.1, &d.2, &d.3, &d.4]));
        }
        if !c.returned.0.is_empty() {
            flight.push(self.call(&p.RETURNED, vec![&c.returned.0, &c.returned.1]));
        }
        for (statement, people) in [(&p.UPSERT_PEOPLE, &c.new_people), (&p.UPDATE_PEOPLE, &c.people)] {
            if !people.0.is_empty() {
                flight.push(self.call(statement, vec![&people.0, &people.1, &people.2, &people.3, &people.4]));
            }
        }
        if !c.stock.0.is_empty() {
            flight.push(self.call(&p.UPDATE_STOCK, vec![&c.stock.0, &c.stock.1, &c.stock.2]));
        }
        flight
    }
}

/// Until the end of the caller's transaction nobody else adds to what these persons have. After the locks of orders, before
/// those of the persons' rows.
pub async fn lock_persons(client: &impl GenericClient, persons: [&PersonKey; 2]) -> Result<()> {
    statements::LOCK_PERSONS.query(client, &[&wants::locks_of(persons.into_iter())]).await?;
    Ok(())
}

/// Places that a person holds or owns of those of these products that have a limit.
pub async fn per_person(client: &impl GenericClient, person: &PersonKey, items: &[Item]) -> Result<HashMap<i32, i32>> {
    let limited = Limited::of(std::iter::once((person, items)));
    if limited.people.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = statements::PER_PERSON.query(client, &[&limited.people, &limited.products]).await?;
    Ok(rows.iter().map(|row| (row.get(1), row.get(2))).collect())
}
