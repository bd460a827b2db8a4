//! Gives back all tickets of slots that do not take place. The calls begin it and tell how far it is; the `bulk_refunds` tick
//! does it.

pub mod carry;
pub mod pg;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::pg::{Bulk, NewBulk};
use crate::admin::access::AdminOf;
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::error::{Error, FieldError, Result};
use crate::orders::api::private;
use crate::orders::refunds::request::sentence;
use crate::platform::http::{IdempotencyKey, Json, Path, Query};
use crate::platform::ids;
use crate::platform::secrets::{Purpose, sha256};

/// Slots of one request: every five minutes of a day.
const SLOTS_MAX: usize = 300;
/// Each is added up from its orders.
const PAGE: i64 = 20;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(begin, past)).routes(routes!(show))
}

#[derive(Deserialize, ToSchema)]
struct BulkAsk {
    /// 1 to 300 of the exhibition's slots; closed, unless it is a dry run.
    slot_ids: Vec<i32>,
    /// For the visitors' refunds and the audit log.
    reason: String,
    /// Only tell what would be given back.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize, ToSchema)]
struct DryRun {
    orders: i64,
    tickets: i64,
    /// Whole won.
    amount: i64,
    currency: &'static str,
    /// Tickets that have been used, which nobody gives back so.
    used_tickets: i64,
    /// Orders that were paid from hand to hand, or by a transfer: given back so, and not among those above.
    at_the_desk_orders: i64,
}

#[derive(Serialize, ToSchema)]
struct BulkShown {
    id: Uuid,
    /// running, or done: nothing is left, and no order of these slots can be paid any more.
    state: &'static str,
    slot_ids: Vec<i32>,
    reason: String,
    /// Orders.
    left: i64,
    done: i64,
    failed: i64,
    tickets_refunded: i64,
    /// Whole won, of tickets that were given back; the refunds carry it.
    amount_refunded: i64,
    currency: &'static str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    done_at: Option<Timestamp>,
    /// The first hundred; in a list none.
    failures: Vec<BulkFailure>,
}

#[derive(Serialize, ToSchema)]
struct BulkFailure {
    order_number: String,
    /// A problem code.
    code: String,
}

fn shown(bulk: Bulk, failed: Vec<(String, String)>) -> BulkShown {
    BulkShown {
        id: bulk.id,
        state: if bulk.done_at.is_some() { "done" } else { "running" },
        slot_ids: bulk.slot_ids,
        reason: bulk.reason,
        left: bulk.left,
        done: bulk.done,
        failed: bulk.failed,
        tickets_refunded: bulk.tickets,
        amount_refunded: bulk.amount_won,
        currency: "KRW",
        created_at: bulk.created_at,
        done_at: bulk.done_at,
        failures: failed.into_iter().map(|(order_number, code)| BulkFailure { order_number, code }).collect(),
    }
}

fn checked(by: &AdminOf, ask: &BulkAsk) -> Result<(Vec<i32>, String)> {
    let mut errors = Vec::new();
    let mut refuse = |field: String, code: &'static str| errors.push(FieldError { field, code });
    let mut slots = ask.slot_ids.clone();
    slots.sort_unstable();
    slots.dedup();
    match slots.len() {
        0 => refuse("slot_ids".into(), "required"),
        1..=SLOTS_MAX => {}
        _ => refuse("slot_ids".into(), "too_many"),
    }
    for (at, id) in ask.slot_ids.iter().enumerate().filter(|(_, id)| by.exhibition.slot(**id).is_none()) {
        tracing::debug!(slot = id, "another exhibition's slot");
        refuse(format!("slot_ids[{at}]"), "unknown_slot");
    }
    match sentence("reason", &ask.reason) {
        Ok(reason) if errors.is_empty() => Ok((slots, reason)),
        Ok(_) => Err(Error::fields(errors)),
        Err(error) => Err(Error::fields(error.fields.into_iter().chain(errors).collect())),
    }
}

/// Gives back all unused tickets of these slots at their whole price, order by order in the background. A dry run tells how many
/// they are.
#[utoipa::path(post, path = "/api/admin/exhibitions/{code}/bulk-refunds", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."),
        ("Idempotency-Key" = Option<String>, Header, description = "Required but for a dry run; the same key and body get the same bulk refund.")),
    request_body = BulkAsk,
    responses((status = 200, body = DryRun), (status = 202, body = BulkShown),
        (status = 400, description = "idempotency.key_required"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 409, description = "bulk_refund.slot_open"),
        (status = 422, description = "request.invalid, idempotency.key_reused"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn begin(
    State(app): State<App>,
    by: AdminOf,
    key: Option<IdempotencyKey>,
    Json(ask): Json<BulkAsk>,
) -> Result<Response> {
    let (slots, reason) = checked(&by, &ask)?;
    let exhibition_id = by.exhibition.id;
    if ask.dry_run {
        let look = pg::look(&app.pg.get().await?, exhibition_id, &slots).await?;
        return Ok(private(Reply(DryRun {
            orders: look.orders,
            tickets: look.tickets,
            amount: look.amount_won,
            currency: "KRW",
            used_tickets: look.used,
            at_the_desk_orders: look.at_the_desk,
        })));
    }
    let IdempotencyKey(key) = key.ok_or_else(|| Error::malformed("idempotency.key_required"))?;
    let parts: [&[u8]; 3] = [b"bulk refund", &exhibition_id.to_be_bytes(), key.as_bytes()];
    let request_key = app.secrets.mac(Purpose::IdempotencyKey, &parts);
    let asked: Vec<u8> = slots.iter().flat_map(|id| id.to_be_bytes()).collect();
    let fingerprint = sha256(&[&asked, reason.as_bytes()]);
    let mut client = app.pg.get().await?;
    if let Some(known) = pg::by_key(&client, &request_key).await? {
        return accepted(known, &fingerprint);
    }
    let transaction = client.transaction().await?;
    // Whoever bought a ticket meanwhile would come to a closed door. Asked of the rows: whoever closes a day and gives it back at
    // once is faster than this instance's catalogue.
    if pg::is_open(&transaction, &slots).await? {
        return Err(Error::conflict("bulk_refund.slot_open"));
    }
    let new = NewBulk {
        id: ids::row_id(app.clock.now()),
        exhibition_id,
        slot_ids: &slots,
        reason: &reason,
        asked_by: by.user.id,
        request_key: &request_key,
        fingerprint: &fingerprint,
    };
    if pg::begin(&transaction, &new).await? {
        let orders = pg::gather(&transaction, new.id, exhibition_id, &slots).await?;
        let entry = Entry {
            by: &Actor::from(&by),
            action: "order.bulk_refund",
            exhibition_id: Some(exhibition_id),
            before: Value::Null,
            after: json!({ "bulk_refund": new.id, "slots": slots, "reason": reason, "orders": orders }),
        };
        audit::record(&transaction, &entry).await?;
    }
    transaction.commit().await?;
    let begun = pg::by_key(&client, &request_key).await?;
    accepted(begun.ok_or_else(|| Error::bug("a bulk refund that is not there"))?, &fingerprint)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PastQuery {
    /// `next` of the page before; absent: from the newest on.
    before: Option<Uuid>,
}

#[derive(Serialize, ToSchema)]
struct BulkPage {
    /// Newest first, 20 at most.
    bulk_refunds: Vec<BulkShown>,
    /// Send as `before` for the next page; null: this was the last.
    next: Option<Uuid>,
}

/// Bulk refunds of an exhibition, and how far each is.
#[utoipa::path(get, path = "/api/admin/exhibitions/{code}/bulk-refunds", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."), PastQuery),
    responses((status = 200, body = BulkPage), (status = 400, description = "request.malformed_query"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn past(State(app): State<App>, by: AdminOf, Query(query): Query<PastQuery>) -> Result<Response> {
    let before = query.before.unwrap_or(Uuid::max());
    let mut bulks = pg::past(&app.pg.get().await?, by.exhibition.id, before, PAGE + 1).await?;
    let more = bulks.len() as i64 > PAGE;
    bulks.truncate(PAGE as usize);
    let next = bulks.last().filter(|_| more).map(|bulk| bulk.id);
    let bulk_refunds = bulks.into_iter().map(|bulk| shown(bulk, Vec::new())).collect();
    Ok(private(Reply(BulkPage { bulk_refunds, next })))
}

fn accepted(bulk: Bulk, fingerprint: &[u8]) -> Result<Response> {
    if bulk.fingerprint != fingerprint {
        return Err(Error::invalid("idempotency.key_reused"));
    }
    Ok((StatusCode::ACCEPTED, private(Reply(shown(bulk, Vec::new())))).into_response())
}

#[derive(Deserialize)]
struct Named {
    bulk_id: Uuid,
}

/// How far a bulk refund is.
#[utoipa::path(get, path = "/api/admin/exhibitions/{code}/bulk-refunds/{bulk_id}", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."), ("bulk_id" = Uuid, Path,)),
    responses((status = 200, body = BulkShown),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"),
        (status = 404, description = "catalogue.unknown_exhibition, bulk_refund.unknown"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn show(State(app): State<App>, by: AdminOf, Path(named): Path<Named>) -> Result<Response> {
    let client = app.pg.get().await?;
    let bulk = pg::by_id(&client, named.bulk_id).await?.filter(|bulk| bulk.exhibition_id == by.exhibition.id);
    let bulk = bulk.ok_or_else(|| Error::not_found("bulk_refund.unknown"))?;
    let failed = pg::failed(&client, bulk.id).await?;
    Ok(private(Reply(shown(bulk, failed))))
}
