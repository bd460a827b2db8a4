//! SQL of one order with all that happened to it.

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{AttemptShown, EventShown, MessageShown, ScanShown, TicketShown};
use crate::error::Result;
use crate::platform::pg::Statement;

/// Far beyond what one order comes to: nobody reads more.
const ROWS_MAX: i64 = 1_000;

/// Every change has its event, for good, so their number is the order's revision.
const REVISION: Statement = Statement::new("care.revision", "select count(*) from order_events where order_id = $1");

const CONTACT: Statement = Statement::new(
    "care.contact",
    "select key_id, sealed, marketing, erased_at is not null from contacts where order_id = $1",
);

const TICKETS: Statement = Statement::new(
    "care.tickets",
    "select id, ticket_no, product_id, slot_id, state, blocked_at, version, entries, used_at, used_gate, inside, last_in_at,
            last_out_at, last_gate
       from tickets where order_id = $1 order by ticket_no",
);

const SCANS: Statement = Statement::new(
    "care.scans",
    "select s.scanned_at, t.ticket_no, s.direction, s.gate, s.allowed, s.reason, s.forced, s.undone_at,
            s.uploaded_at is not null, u.username, d.name
       from tickets t join scans s on s.ticket_id = t.id
       left join admin_users u on u.id = s.staff_id left join devices d on d.id = s.device_id
      where t.order_id = $1 order by s.scanned_at, s.id limit $2",
);

/// Of each event of staff whom the audit log names, found by the index of its requests (an aggregate, so that no other index looks
/// cheaper). Callers may name their requests as they like, so the entry must be about this very order. What the worker gives back
/// for a whole day is whose asked for it, and cash at a gate whose took it.
const EVENTS: Statement = Statement::new(
    "care.events",
    "select e.at, e.kind, e.from_state, e.to_state, e.actor, e.cause, e.correlation_id,
            case when e.actor = 'worker' and e.cause = 'bulk_refund' then
                     (select u.username from bulk_refunds b join admin_users u on u.id = b.asked_by
                       where b.id = e.correlation_id::uuid)
                 when e.actor = 'staff' and e.cause = 'walk_in' then
                     (select u.username from attempts t join provider_answers p on p.attempt_id = t.id
                        join admin_users u on u.id = (p.answer ->> 'staff')::int
                       where t.order_id = $1 and t.provider = 'cash' and t.method = 'cash' limit 1)
                 else a.user_name end
       from order_events e
       left join lateral (
            select (array_agg(a.user_name))[1] as user_name from admin_audit a
             where a.request_id = e.correlation_id and a.request_id <> '' and a.after ->> 'order' = $3
               and e.actor in ('super_admin', 'admin', 'support', 'staff')) a on true
      where e.order_id = $1 order by e.id limit $2",
);

/// Neither what proves a payment to us nor what a browser goes on with.
const ATTEMPTS: Statement = Statement::new(
    "care.attempts",
    "select n, provider, provider_order_id, payment_key, state, method, amount_won, refunded_won, failure_code, created_at,
            sent_at, ended_at, id = (select paid_attempt_id from orders where id = $1) is true
       from attempts where order_id = $1 order by n",
);

/// About the order, its refunds, and what was sent again.
const MESSAGES: Statement = Statement::new(
    "care.messages",
    "with about as (
         select k.kind, $1::uuid as id, null::int as asked_by from unnest(array['order_paid', 'deposit_asked', 'money_returned']) as k (kind)
          union all
         select 'refund', id, null from refunds where order_id = $1
          union all
         select 'resend', id, asked_by from mail_resends where order_id = $1
     )
     select b.kind, b.state, b.tries, b.outcome, b.created_at, b.done_at, u.username
       from about a join outbox b on b.kind = a.kind and b.order_id = a.id left join admin_users u on u.id = a.asked_by
      order by b.id limit $2",
);

pub const STATEMENTS: &[&Statement] = &[&REVISION, &CONTACT, &TICKETS, &SCANS, &EVENTS, &ATTEMPTS, &MESSAGES];

pub async fn revision(client: &impl GenericClient, order_id: Uuid) -> Result<i64> {
    Ok(REVISION.query_one(client, &[&order_id]).await?.get(0))
}

/// A contact as it is stored.
pub struct StoredContact {
    pub key_id: String,
    pub sealed: Vec<u8>,
    pub marketing: bool,
    pub forgotten: bool,
}

pub async fn contact(client: &impl GenericClient, order_id: Uuid) -> Result<StoredContact> {
    let r = CONTACT.query_one(client, &[&order_id]).await?;
    Ok(StoredContact { key_id: r.get(0), sealed: r.get(1), marketing: r.get(2), forgotten: r.get(3) })
}

pub async fn tickets(client: &impl GenericClient, order_id: Uuid) -> Result<Vec<TicketShown>> {
    let ticket = |r: &Row| TicketShown {
        id: r.get(0),
        ticket_no: r.get(1),
        product_id: r.get(2),
        slot_id: r.get(3),
        state: r.get(4),
        stopped_at: r.get(5),
        version: r.get(6),
        entries: r.get(7),
        used_at: r.get(8),
        used_gate: r.get(9),
        inside: r.get(10),
        last_in_at: r.get(11),
        last_out_at: r.get(12),
        last_gate: r.get(13),
    };
    Ok(TICKETS.query(client, &[&order_id]).await?.iter().map(ticket).collect())
}

pub async fn scans(client: &impl GenericClient, order_id: Uuid) -> Result<Vec<ScanShown>> {
    let scan = |r: &Row| ScanShown {
        at: r.get(0),
        ticket_no: r.get(1),
        direction: r.get(2),
        gate: r.get(3),
        allowed: r.get(4),
        reason: r.get(5),
        forced: r.get(6),
        undone_at: r.get(7),
        without_network: r.get(8),
        staff: r.get(9),
        device: r.get(10),
    };
    Ok(SCANS.query(client, &[&order_id, &ROWS_MAX]).await?.iter().map(scan).collect())
}

pub async fn events(client: &impl GenericClient, order_id: Uuid, number: &str) -> Result<Vec<EventShown>> {
    let event = |r: &Row| EventShown {
        at: r.get(0),
        kind: r.get(1),
        from: r.get(2),
        to: r.get(3),
        actor: r.get(4),
        cause: r.get(5),
        correlation_id: r.get(6),
        staff: r.get(7),
    };
    Ok(EVENTS.query(client, &[&order_id, &ROWS_MAX, &number]).await?.iter().map(event).collect())
}

pub async fn attempts(client: &impl GenericClient, order_id: Uuid) -> Result<Vec<AttemptShown>> {
    let attempt = |r: &Row| AttemptShown {
        n: r.get(0),
        provider: r.get(1),
        provider_order_id: r.get(2),
        payment_key: r.get(3),
        state: r.get(4),
        method: r.get(5),
        amount: r.get(6),
        returned: r.get(7),
        failure_code: r.get(8),
        created_at: r.get(9),
        sent_at: r.get(10),
        ended_at: r.get(11),
        paid_the_order: r.get(12),
    };
    Ok(ATTEMPTS.query(client, &[&order_id]).await?.iter().map(attempt).collect())
}

pub async fn messages(client: &impl GenericClient, order_id: Uuid) -> Result<Vec<MessageShown>> {
    let message = |r: &Row| MessageShown {
        kind: r.get(0),
        state: r.get(1),
        tries: r.get(2),
        outcome: r.get(3),
        created_at: r.get(4),
        done_at: r.get(5),
        asked_by: r.get(6),
    };
    Ok(MESSAGES.query(client, &[&order_id, &ROWS_MAX]).await?.iter().map(message).collect())
}

pub async fn webhooks(client: &impl GenericClient, order_id: Uuid) -> Result<Vec<crate::orders::inbox::EventView>> {
    crate::orders::inbox::pg::of_order(client, order_id, ROWS_MAX).await
}
