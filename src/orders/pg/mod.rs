//! SQL of orders outside the stock writer: reading, claiming, and what changes no stock.

pub mod attempts;
pub mod refunds;

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use uuid::Uuid;

use super::contact::Contact;
use super::model::{Item, Order, OrderFacts, OrderState};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::pg::Statement;
use crate::stock::model::{HoldId, lines};

pub use attempts::{
    Attempt, SealedDeposit, attempt, attempt_by_payment_key, attempt_by_provider_order, claim_closings, claim_deposits,
    claim_unresolved, closed, deposit, note_opened, opened, paid_attempt, raise_try, seat_is_used,
};
pub use refunds::{
    Refund, ask_for_account, claim_refunds, failed_later, finish_refund, retry_refund, returning, shrink_refund,
};

macro_rules! order_by {
    ($name:ident, $label:literal, $columns:literal, $attempt:literal, $where:literal) => {
        const $name: Statement = Statement::new(
            $label,
            concat!(
                "select o.id, o.number, o.exhibition_id, o.slot_id, o.hold_id, o.fingerprint, o.state, o.total_won,
                        o.person_key, o.person_places, o.person_counted, o.token_version, o.has_email, o.language,
                        o.created_at, o.expires_at, o.paid_at,
                        i.product_id, i.quantity, i.unit_won, o.pass_sid, ",
                $columns,
                " from orders o join order_items i on i.order_id = o.id left join attempts a on ",
                $attempt,
                " where ",
                $where,
                " order by o.id, i.line"
            ),
        );
    };
    ($name:ident, $label:literal, $where:literal) => {
        order_by!($name, $label, "a.method, a.receipts", "a.id = o.paid_attempt_id", $where);
    };
}

order_by!(BY_ID, "orders.by_id", "o.id = any($1::uuid[])");
order_by!(BY_NUMBER, "orders.by_number", "o.number = $1");
order_by!(BY_HOLD, "orders.by_hold", "o.hold_id = $1");

// All a confirm has to know before it begins, in one look: the attempt with its order, whether the caller's key was
// used for something else, and whether another attempt was sent with this key of the provider's.
order_by!(
    TO_CONFIRM,
    "orders.to_confirm",
    "(select m.method from attempts m where m.id = o.paid_attempt_id),
     (select m.receipts from attempts m where m.id = o.paid_attempt_id),
     a.id, a.order_id, a.n, a.provider_order_id, a.payment_key, a.amount_won, a.state, a.confirm_key,
     a.confirm_fingerprint, a.failure_code, a.sent_at, a.checks, a.confirm_try, a.provider, a.refunded_won,
     exists (select from attempts k where k.confirm_key = $2
              and (k.id <> a.id or k.confirm_fingerprint is distinct from $3)),
     exists (select from attempts p where p.payment_key = $4 and p.id <> a.id)",
    "a.order_id = o.id and a.provider_order_id = $1",
    "o.id = (select f.order_id from attempts f where f.provider_order_id = $1)"
);

const CONTACT: Statement =
    Statement::new("orders.contact", "select key_id, sealed from contacts where order_id = $1 and erased_at is null");

const WANTS_NEWS: Statement =
    Statement::new("orders.wants_news", "select marketing from contacts where order_id = $1 and erased_at is null");

const NO_NEWS: Statement = Statement::new(
    "orders.no_news",
    "with withdrawn as (
         update contacts set marketing = false where order_id = $1 and marketing returning order_id
     )
     insert into order_events (order_id, kind, actor, cause, correlation_id, at)
     select order_id, 'news_withdrawn', 'visitor', 'page', '', admit_now() from withdrawn",
);

const PHONE_DIGEST: Statement = Statement::new(
    "orders.phone_digest",
    "select phone_digest from contacts where order_id = $1 and erased_at is null",
);

/// Whole minutes early is as good as late: the writer judges again under its lock.
const LAPSED: Statement = Statement::new(
    "orders.lapsed",
    "select id from orders where state = 'held' and expires_at <= admit_now() order by expires_at limit $1",
);

pub const STATEMENTS: &[&Statement] =
    &[&TO_CONFIRM, &BY_ID, &BY_NUMBER, &BY_HOLD, &CONTACT, &WANTS_NEWS, &NO_NEWS, &PHONE_DIGEST, &LAPSED];

/// Agreed to hear of other exhibitions, and has not withdrawn it.
pub async fn wants_news(client: &impl GenericClient, order_id: Uuid) -> Result<bool> {
    Ok(WANTS_NEWS.query_opt(client, &[&order_id]).await?.is_some_and(|row| row.get(0)))
}

pub async fn no_news(client: &impl GenericClient, order_id: Uuid) -> Result<()> {
    NO_NEWS.execute(client, &[&order_id]).await?;
    Ok(())
}

pub async fn by_number(app: &App, client: &impl GenericClient, number: &str) -> Result<Option<Order>> {
    Ok(orders(app, &BY_NUMBER.query(client, &[&number]).await?)?.pop())
}

pub async fn by_hold(app: &App, client: &impl GenericClient, hold_id: &HoldId) -> Result<Option<Order>> {
    Ok(orders(app, &BY_HOLD.query(client, &[&hold_id.as_slice()]).await?)?.pop())
}

pub async fn by_id(app: &App, client: &impl GenericClient, id: Uuid) -> Result<Option<Order>> {
    Ok(by_ids(app, client, &[id]).await?.pop())
}

pub async fn by_ids(app: &App, client: &impl GenericClient, ids: &[Uuid]) -> Result<Vec<Order>> {
    orders(app, &BY_ID.query(client, &[&ids]).await?)
}

/// Rows of an order and its items, with the stock lines that follow from the catalogue.
fn orders(app: &App, rows: &[Row]) -> Result<Vec<Order>> {
    let catalogue = app.catalogue.current();
    let mut out: Vec<Order> = Vec::new();
    let mut at = HashMap::<Uuid, usize>::new();
    for r in rows {
        let id: Uuid = r.get(0);
        // The rest is the catalogue's to say, below.
        let item = Item {
            product_id: r.get(17),
            quantity: r.get(18),
            unit_won: r.get(19),
            dated: false,
            per_person_max: None,
        };
        if let Some(index) = at.get(&id) {
            out[*index].facts.items.push(item);
            continue;
        }
        let exhibition = catalogue.by_id(r.get(2))?;
        at.insert(id, out.len());
        out.push(Order {
            facts: OrderFacts {
                id,
                number: r.get(1),
                exhibition_id: exhibition.id,
                code: exhibition.code.clone(),
                slot_id: r.get(3),
                hold_id: fixed(r.get(4))?,
                fingerprint: fixed(r.get(5))?,
                total_won: r.get(7),
                person_key: fixed(r.get(8))?,
                person_places: r.get(9),
                person_counted: r.get(10),
                person_allowed: exhibition.person_limit,
                has_email: r.get(12),
                language: if r.get::<_, &str>(13) == "en" { "en" } else { "ko" },
                items: vec![item],
                lines: Vec::new(),
                pass_sid: r.get::<_, Option<&[u8]>>(20).map(fixed).transpose()?,
            },
            state: OrderState::parse(r.get(6)).ok_or_else(|| Error::bug("an order in an unknown state"))?,
            token_version: r.get(11),
            created_at: r.get(14),
            expires_at: r.get(15),
            paid_at: r.get(16),
            payment_method: r.get(21),
            receipts: r.get::<_, Option<serde_json::Value>>(22).and_then(|value| serde_json::from_value(value).ok()),
        });
    }
    for order in &mut out {
        let exhibition = catalogue.by_id(order.facts.exhibition_id)?;
        let slot_stock = order.facts.slot_id.and_then(|id| exhibition.slot(id)).map(|slot| slot.stock_id);
        let mut parts = Vec::with_capacity(order.facts.items.len() * 2);
        for item in &mut order.facts.items {
            let product = exhibition.product(item.product_id);
            let product =
                product.ok_or_else(|| Error::bug(format!("product {} is not in the catalogue", item.product_id)))?;
            parts.push((product.stock_id, item.quantity));
            item.dated = product.dated;
            item.per_person_max = product.per_person_max.filter(|_| order.facts.person_counted);
            if product.dated {
                let stock = slot_stock.ok_or_else(|| Error::bug("a dated product without its slot"))?;
                parts.push((stock, item.quantity));
            }
        }
        order.facts.lines = lines(parts);
    }
    Ok(out)
}

fn fixed(bytes: &[u8]) -> Result<[u8; 16]> {
    bytes.try_into().map_err(|_| Error::bug("a digest of another length"))
}

pub async fn contact(app: &App, client: &impl GenericClient, order_id: Uuid) -> Result<Option<Contact>> {
    match CONTACT.query_opt(client, &[&order_id]).await? {
        Some(row) => super::contact::open(app, order_id, row.get(0), row.get(1)).map(Some),
        None => Ok(None),
    }
}

pub async fn phone_digest(client: &impl GenericClient, order_id: Uuid) -> Result<Option<Vec<u8>>> {
    Ok(PHONE_DIGEST.query_opt(client, &[&order_id]).await?.map(|row| row.get(0)))
}

/// What a confirm finds before it begins.
pub struct ToConfirm {
    pub order: Order,
    pub attempt: Attempt,
    /// The caller's key has confirmed another attempt, or the same with other words.
    pub confirm_key_reused: bool,
    /// Another attempt was sent with this key of the provider's.
    pub payment_key_known: bool,
}

pub async fn to_confirm(
    app: &App,
    client: &impl GenericClient,
    provider_order_id: &str,
    confirm_key: &[u8],
    fingerprint: &[u8],
    payment_key: &str,
) -> Result<Option<ToConfirm>> {
    let rows = TO_CONFIRM.query(client, &[&provider_order_id, &confirm_key, &fingerprint, &payment_key]).await?;
    let (Some(first), Some(order)) = (rows.first(), orders(app, &rows)?.pop()) else { return Ok(None) };
    Ok(Some(ToConfirm {
        order,
        attempt: attempt(first, 23)?,
        confirm_key_reused: first.get(38),
        payment_key_known: first.get(39),
    }))
}

pub async fn lapsed(client: &impl GenericClient, limit: i64) -> Result<Vec<Uuid>> {
    Ok(LAPSED.query(client, &[&limit]).await?.iter().map(|r| r.get(0)).collect())
}
