//! The two flights of a batch: lock and read everything, then write everything and commit. Statements of one flight
//! are sent without waiting for each other's answers, so a batch costs two round trips.

use std::collections::BTreeSet;
use std::pin::Pin;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement as Prepared};
use uuid::Uuid;

use super::columns::Columns;
use super::decide::{AttemptRow, Books, OrderRow, PersonRow};
use super::entry::{Ask, Entry};
use super::money::{KnownRefund, TicketRow};
use crate::admin::audit::Act;
use crate::error::{Error, Result};
use crate::orders::contact::INDEX_VERSION;
use crate::orders::model::{AttemptState, OrderState};
use crate::payments::Provider;
use crate::platform::pg::{self, SessionLimits, Statement};
use crate::stock::Level;

const LIMITS: SessionLimits = SessionLimits { statement_ms: 5_000, lock_ms: 2_000 };

macro_rules! statements {
    ($($name:ident = $label:literal, $sql:literal;)*) => {
        $(const $name: Statement = Statement::new($label, $sql);)*
        pub const STATEMENTS: &[&Statement] = &[$(&$name),*];

        #[allow(non_snake_case)]
        struct PreparedAll { $($name: Prepared),* }

        impl PreparedAll {
            async fn new(client: &Client) -> Result<PreparedAll, tokio_postgres::Error> {
                Ok(PreparedAll { $($name: client.prepare($name.sql).await?),* })
            }
        }
    };
}

statements! {
    // The transaction's id tells after a lost connection whether it committed.
    NOW = "writer.now", "select pg_current_xact_id()::text, admit_now()";

    LOCK_ORDERS = "writer.lock_orders",
        "select id, state, expires_at, paid_attempt_id, person_places, person_key from orders where id = any($1::uuid[]) order by id for update";

    ATTEMPTS = "writer.attempts",
        "select id, order_id, n, state, amount_won, provider, to_account from attempts where order_id = any($1::uuid[])";

    // After the orders: a scan locks its ticket alone.
    LOCK_TICKETS = "writer.lock_tickets",
        "select id, order_id, state, used_at is not null from tickets where order_id = any($1::uuid[])
          order by id for update";

    REFUNDS = "writer.refunds",
        "select attempt_id, amount_won, request_key, request_fingerprint, order_id, state = 'by_hand' from refunds
          where order_id = any($1::uuid[])";

    LOCK_PEOPLE = "writer.lock_people",
        "select c.exhibition_id, c.person_key, c.allowed, c.used, c.open_holds
           from person_counters c
           join unnest($1::int[], $2::bytea[]) as k (exhibition_id, person_key) using (exhibition_id, person_key)
          order by c.exhibition_id, c.person_key for update of c";

    LOCK_STOCK = "writer.lock_stock",
        "select id, total, offered, held, sold, epoch from stock where id = any($1::int[]) order by id for update";

    // After the stock lock: a writer of the same hold locks the same stock, so it is either visible or not begun.
    KNOWN_HOLDS = "writer.known_holds", "select hold_id, id, taken_at_ms from orders where hold_id = any($1::bytea[])";

    // After the stock lock, which whoever closes a slot has until their commit: no order is added to a day once it is closed.
    CLOSED_SLOTS = "writer.closed_slots", "select id from slots where id = any($1::int[]) and closed";

    INSERT_ORDERS = "writer.insert_orders",
        "insert into orders (id, number, exhibition_id, slot_id, hold_id, fingerprint, state, total_won, person_key,
                             person_places, person_counted, has_email, language, referral_code, created_at, expires_at, taken_at_ms, pass_sid)
         select n.id, n.number, n.exhibition_id, n.slot_id, n.hold_id, n.fingerprint, 'held', n.total_won, n.person_key,
                n.person_places, n.person_counted, n.has_email, n.language, n.referral_code, $15::timestamptz, n.expires_at, n.taken_at_ms, n.pass_sid
           from unnest($1::uuid[], $2::text[], $3::int[], $4::int[], $5::bytea[], $6::bytea[], $7::int[], $8::bytea[],
                       $9::int[], $10::bool[], $11::bool[], $12::text[], $13::text[], $14::timestamptz[], $16::bigint[], $17::bytea[])
             as n (id, number, exhibition_id, slot_id, hold_id, fingerprint, total_won, person_key,
                   person_places, person_counted, has_email, language, referral_code, expires_at, taken_at_ms, pass_sid)";

    INSERT_CONTACTS = "writer.insert_contacts",
        "insert into contacts (order_id, phone_digest, key_id, sealed, consent_version, marketing, name_index, tail_index, index_version)
         select n.*, $9::smallint
           from unnest($1::uuid[], $2::bytea[], $3::text[], $4::bytea[], $5::text[], $6::bool[], $7::bigint[], $8::bigint[]) as n";

    INSERT_ITEMS = "writer.insert_items",
        "insert into order_items (order_id, line, product_id, quantity, unit_won)
         select * from unnest($1::uuid[], $2::smallint[], $3::int[], $4::int[], $5::int[])";

    INSERT_EVENTS = "writer.insert_events",
        "insert into order_events (order_id, kind, from_state, to_state, actor, cause, correlation_id, about, at)
         select n.order_id, n.kind, n.from_state, n.to_state, n.actor, n.cause, n.correlation_id, n.about, $8::timestamptz
           from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $9::uuid[])
             as n (order_id, kind, from_state, to_state, actor, cause, correlation_id, about)";

    INSERT_AUDIT = "writer.insert_audit",
        "insert into admin_audit (at, user_id, user_name, role, action, exhibition_id, before, after, request_id, address)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

    UPSERT_PEOPLE = "writer.upsert_people",
        "insert into person_counters as c (exhibition_id, person_key, allowed, used, open_holds)
         select * from unnest($1::int[], $2::bytea[], $3::int[], $4::int[], $5::int[])
         on conflict on constraint person_counters_key do update
            set allowed = excluded.allowed, used = c.used + excluded.used, open_holds = c.open_holds + excluded.open_holds";

    UPDATE_PEOPLE = "writer.update_people",
        "update person_counters c
            set allowed = d.allowed, used = c.used + d.used, open_holds = c.open_holds + d.open_holds
           from unnest($1::int[], $2::bytea[], $3::int[], $4::int[], $5::int[])
             as d (exhibition_id, person_key, allowed, used, open_holds)
          where c.exhibition_id = d.exhibition_id and c.person_key = d.person_key";

    UPDATE_STOCK = "writer.update_stock",
        "update stock s set held = s.held + d.held, sold = s.sold + d.sold
           from unnest($1::int[], $2::int[], $3::int[]) as d (id, held, sold) where s.id = d.id";

    INSERT_ATTEMPTS = "writer.insert_attempts",
        "insert into attempts (id, order_id, n, provider, provider_order_id, amount_won, state, created_at)
         select n.id, n.order_id, n.n, n.provider, n.provider_order_id, n.amount_won, 'ready', $6::timestamptz
           from unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::int[], $7::text[])
             as n (id, order_id, n, provider_order_id, amount_won, provider)";

    UPDATE_ATTEMPTS = "writer.update_attempts",
        "update attempts a
            set state = d.state, payment_key = coalesce(d.payment_key, a.payment_key),
                method = coalesce(d.method, a.method), confirm_key = coalesce(d.confirm_key, a.confirm_key),
                confirm_fingerprint = coalesce(d.confirm_fingerprint, a.confirm_fingerprint),
                failure_code = coalesce(d.failure_code, a.failure_code),
                failure_message = coalesce(d.failure_message, a.failure_message), secret = coalesce(d.secret, a.secret),
                sent_at = coalesce(d.sent_at, a.sent_at),
                ended_at = coalesce(d.ended_at, a.ended_at), next_check_at = coalesce(d.next_check_at, a.next_check_at),
                seat_id = coalesce(d.seat_id, a.seat_id), seat_at_ms = coalesce(d.seat_at_ms, a.seat_at_ms),
                to_account = coalesce(d.to_account, a.to_account), close_at = coalesce(d.close_at, a.close_at),
                receipts = coalesce(d.receipts, a.receipts)
           from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[], $7::text[], $8::text[],
                       $9::text[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::bytea[], $14::bigint[], $15::boolean[], $16::timestamptz[],
                       $17::jsonb[])
             as d (id, state, payment_key, method, confirm_key, confirm_fingerprint, failure_code, failure_message,
                   secret, sent_at, ended_at, next_check_at, seat_id, seat_at_ms, to_account, close_at, receipts)
          where a.id = d.id";

    INSERT_ANSWERS = "writer.insert_answers",
        "insert into provider_answers (attempt_id, at, answer)
         select n.attempt_id, $3::timestamptz, n.answer from unnest($1::uuid[], $2::jsonb[]) as n (attempt_id, answer)
         on conflict on constraint provider_answers_key do nothing";

    UPDATE_ORDERS = "writer.update_orders",
        "update orders o
            set state = d.state, expires_at = d.expires_at, paid_attempt_id = d.paid_attempt_id,
                person_places = d.person_places,
                paid_at = case when d.state = 'paid' then $5::timestamptz else o.paid_at end,
                closed_at = case when d.state in ('expired', 'cancelled', 'refunded') then $5::timestamptz end
           from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::uuid[], $6::int[])
             as d (id, state, expires_at, paid_attempt_id, person_places)
          where o.id = d.id";

    INSERT_TICKETS = "writer.insert_tickets",
        "insert into tickets (id, order_id, exhibition_id, product_id, slot_id, ticket_no, of_total, key_id, issued_at)
         select n.id, n.order_id, n.exhibition_id, n.product_id, n.slot_id, n.ticket_no, n.of_total, n.key_id, $9::timestamptz
           from unnest($1::uuid[], $2::uuid[], $3::int[], $4::int[], $5::int[], $6::smallint[], $7::smallint[], $8::smallint[])
             as n (id, order_id, exhibition_id, product_id, slot_id, ticket_no, of_total, key_id)
         on conflict on constraint ticket_no_once do update set state = 'valid'
            where tickets.state in ('blocked', 'cancelled')";

    REFUND_TICKETS = "writer.refund_tickets",
        "with ended as (
             insert into refund_tickets (ticket_id, refund_id) select * from unnest($1::uuid[], $2::uuid[])
             returning ticket_id
         )
         update tickets t set state = 'refunded' from ended e where t.id = e.ticket_id";

    // A deposit was taken back: until it is there again nobody enters.
    BLOCK_TICKETS = "writer.block_tickets",
        "update tickets set state = 'blocked' where order_id = any($1::uuid[]) and state = 'valid'";

    CANCEL_TICKETS = "writer.cancel_tickets",
        "update tickets set state = 'cancelled' where order_id = any($1::uuid[]) and state = 'blocked'";

    UPSERT_DEPOSITS = "writer.upsert_deposits",
        "insert into deposit_accounts (attempt_id, bank, key_id, sealed, due_at)
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::timestamptz[])
         on conflict on constraint deposit_accounts_pkey do nothing";

    RETURNED = "writer.returned",
        "update attempts a set refunded_won = a.refunded_won + d.amount_won
           from unnest($1::uuid[], $2::int[]) as d (id, amount_won) where a.id = d.id";

    INSERT_OUTBOX = "writer.insert_outbox",
        "insert into outbox (kind, order_id, exhibition_id, next_try_at, created_at)
         select n.kind, n.order_id, n.exhibition_id, $4::timestamptz, $4::timestamptz
           from unnest($1::text[], $2::uuid[], $3::int[]) as n (kind, order_id, exhibition_id)
         on conflict on constraint outbox_once do nothing";

    INSERT_REFUNDS = "writer.insert_refunds",
        "insert into refunds (id, attempt_id, order_id, amount_won, price_won, fee_won, kind, reason, state, request_key,
                              request_fingerprint, account_key_id, account_sealed, next_try_at, created_at, done_at, look_at)
         select n.id, n.attempt_id, n.order_id, n.amount_won, n.price_won,
                case when n.kind = 'automatic' then 0 else n.price_won - n.amount_won end, n.kind, n.reason, n.state,
                n.request_key, n.request_fingerprint, n.account_key_id, n.account_sealed, $13::timestamptz, $13::timestamptz,
                case when n.state in ('done', 'by_hand') then $13::timestamptz end,
                (select $13::timestamptz + interval '2 hours' from attempts a
                  where n.state = 'done' and a.id = n.attempt_id and a.to_account)
           from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::int[], $6::text[], $7::text[], $8::text[],
                       $9::bytea[], $10::bytea[], $11::text[], $12::bytea[])
             as n (id, attempt_id, order_id, amount_won, price_won, kind, reason, state, request_key,
                   request_fingerprint, account_key_id, account_sealed)
         on conflict (attempt_id, reason) where kind = 'automatic' do nothing";
}

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

    /// First flight: begins, and locks and reads in the one order everybody uses (orders by id, persons by key,
    /// stock by id). Returns the transaction's id beside the books.
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
            flight.push(self.call(&p.LOCK_PEOPLE, vec![&wants.people.0, &wants.people.1]));
            order.push(Read::People);
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

enum Read {
    Orders,
    Attempts,
    Tickets,
    Refunds,
    People,
    Stock,
    KnownHolds,
    ClosedSlots,
}

/// Everything a batch must lock, sorted and without repeats.
#[derive(Default)]
struct Wants {
    orders: Vec<Uuid>,
    /// Orders whose tickets and refunds are looked at.
    tickets: Vec<Uuid>,
    people: (Vec<i32>, Vec<Vec<u8>>),
    stock: Vec<i32>,
    hold_ids: Vec<Vec<u8>>,
    /// Of which places are wanted.
    slots: Vec<i32>,
}

impl Wants {
    fn of(entries: &[&Entry]) -> Wants {
        let (mut orders, mut people, mut stock) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (mut tickets, mut slots) = (BTreeSet::new(), BTreeSet::new());
        let mut hold_ids = Vec::new();
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
        Wants {
            orders: orders.into_iter().collect(),
            tickets: tickets.into_iter().collect(),
            people: people.into_iter().unzip(),
            stock: stock.into_iter().collect(),
            hold_ids,
            slots: slots.into_iter().collect(),
        }
    }
}

fn fill(books: &mut Books, kind: Read, rows: &[Row]) {
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
            Read::Stock => {
                let level =
                    Level { total: r.get(1), offered: r.get(2), held: r.get(3), sold: r.get(4), epoch: r.get(5) };
                books.stock.insert(r.get(0), level);
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

/// What to look for after an unknown COMMIT.
pub struct Doubt {
    transaction_id: String,
    /// A row that only this batch wrote: an event by its order and instant, or a new attempt by its id.
    row: Option<Uuid>,
    at: Timestamp,
}

impl Doubt {
    fn of(books: &Books, transaction_id: String) -> Doubt {
        let event = books.rows.events.first().map(|event| event.order_id);
        Doubt { transaction_id, row: event.or_else(|| books.rows.attempts.first().map(|a| a.id)), at: books.now }
    }
}

/// Whether a transaction committed, asked on a new connection. None while it is still running.
///
/// The id alone would do on this server; a standby that was promoted without the commit may have given the id to
/// somebody else, so a row of the batch must be there too.
pub async fn committed(url: &str, doubt: &Doubt) -> Result<Option<bool>> {
    let client = pg::connect(url, pg::ORDINARY, "admit stock writer").await?;
    let row = client.query_one("select pg_xact_status($1::text::xid8)", &[&doubt.transaction_id]).await?;
    match (row.get::<_, Option<&str>>(0), doubt.row) {
        (Some("committed"), None) => Ok(Some(true)),
        (Some("committed"), Some(id)) => {
            let sql = "select exists (select from order_events where order_id = $1 and at = $2)
                           or exists (select from attempts where id = $1)";
            Ok(Some(client.query_one(sql, &[&id, &doubt.at]).await?.get(0)))
        }
        (Some("aborted"), _) => Ok(Some(false)),
        _ => Ok(None),
    }
}
