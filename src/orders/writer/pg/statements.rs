//! Every statement of a batch.

use tokio_postgres::{Client, Statement as Prepared};

use crate::platform::pg::Statement;

macro_rules! statements {
    ($($name:ident = $label:literal, $sql:literal;)*) => {
        $(pub const $name: Statement = Statement::new($label, $sql);)*
        pub const STATEMENTS: &[&Statement] = &[$(&$name),*];

        #[allow(non_snake_case)]
        pub(super) struct PreparedAll { $(pub $name: Prepared),* }

        impl PreparedAll {
            pub async fn new(client: &Client) -> Result<PreparedAll, tokio_postgres::Error> {
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

    // Before their rows: whoever has no order yet has none, and its first is inserted after the stock is locked. $1 sorted.
    LOCK_PERSONS = "writer.lock_persons", "select pg_advisory_xact_lock(31, key) from unnest($1::int[]) as key";

    LOCK_PEOPLE = "writer.lock_people",
        "select c.exhibition_id, c.person_key, c.allowed, c.used, c.open_holds
           from person_counters c
           join unnest($1::int[], $2::bytea[]) as k (exhibition_id, person_key) using (exhibition_id, person_key)
          order by c.exhibition_id, c.person_key for update of c";

    // Under that lock nobody adds to a person's orders. A person's key is the beginning of the digest of the phone number; gifts
    // and walk-ins are nobody's. Looks by key, one after the other (`offset 0` keeps them so): a plan that joins reads all orders.
    PER_PERSON = "writer.per_person",
        "select k.person_key, i.product_id,
                sum(case o.state when 'partially_refunded' then
                        (select count(*) from tickets t
                          where t.order_id = o.id and t.product_id = i.product_id and t.state <> 'refunded')
                    else i.quantity end)::int
           from unnest($1::bytea[]) as k (person_key)
          cross join lateral (
                select order_id from contacts
                 where phone_digest between k.person_key and k.person_key || decode(repeat('ff', 16), 'hex') offset 0) c
          cross join lateral (
                select id, state from orders
                 where id = c.order_id and person_key = k.person_key and person_counted
                   and state in ('held', 'confirming', 'awaiting_deposit', 'paid', 'partially_refunded') offset 0) o
          cross join lateral (
                select product_id, quantity from order_items
                 where order_id = o.id and product_id = any($2::int[]) offset 0) i
          group by k.person_key, i.product_id";

    LOCK_STOCK = "writer.lock_stock",
        "select id, total, offered, held, sold, epoch from stock where id = any($1::int[]) order by id for update";

    // After the stock lock: a writer of the same hold locks the same stock, so it is either visible or not begun.
    KNOWN_HOLDS = "writer.known_holds", "select hold_id, id, taken_at_ms from orders where hold_id = any($1::bytea[])";

    // After the stock lock, which whoever closes a slot has until their commit: no order is added to a day once it is closed.
    CLOSED_SLOTS = "writer.closed_slots", "select id from slots where id = any($1::int[]) and closed";

    // After the orders, whose locks everybody takes who adds an event.
    REVISIONS = "writer.revisions",
        "select order_id, count(*) from order_events where order_id = any($1::uuid[]) group by order_id";

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
