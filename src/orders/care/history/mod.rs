//! One order with all that happened to it, and its visitor's data in the clear for whoever says why.

pub mod pg;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::header;
use axum::response::Response;
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::order_of;
use crate::admin::access::Support;
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::api::private;
use crate::orders::contact;
use crate::orders::inbox::EventView;
use crate::orders::model::Order;
use crate::orders::read::{self, ItemView};
use crate::orders::refunds;
use crate::orders::refunds::request::{RefundView, sentence};
use crate::platform::http::{Json, Path};

/// Of one person: enough for a telephone that never stops ringing.
const REVEALS_PER_MINUTE: u32 = 20;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(reveal))
}

#[derive(Serialize, ToSchema)]
pub struct OrderShown {
    order_number: String,
    exhibition_code: String,
    exhibition_name: String,
    /// held, confirming, awaiting_deposit, paid, partially_refunded, refunded, expired or cancelled.
    state: &'static str,
    /// Whole won.
    total_amount: i32,
    currency: &'static str,
    payment_method: Option<String>,
    /// Language of the visitor: ko or en.
    language: &'static str,
    #[schema(value_type = Option<String>, format = Date)]
    visit_date: Option<Date>,
    #[schema(value_type = Option<String>)]
    start_time: Option<Time>,
    #[schema(value_type = Option<String>)]
    end_time: Option<Time>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Until when the places are kept, while unpaid.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    paid_at: Option<Timestamp>,
    contact: ContactShown,
    items: Vec<ItemView>,
    tickets: Vec<TicketShown>,
    /// What changed, oldest first.
    events: Vec<EventShown>,
    attempts: Vec<AttemptShown>,
    refunds: Vec<RefundView>,
    /// What providers told of its payments.
    webhooks: Vec<EventView>,
    messages: Vec<MessageShown>,
    scans: Vec<ScanShown>,
}

/// Masked. Empty: nobody is named, or they are forgotten.
#[derive(Serialize, ToSchema)]
struct ContactShown {
    customer_name: String,
    customer_phone: String,
    customer_email: Option<String>,
    /// Wants to hear of other exhibitions.
    marketing: bool,
    forgotten: bool,
}

#[derive(Serialize, ToSchema)]
pub struct TicketShown {
    id: Uuid,
    ticket_no: i16,
    product_id: i32,
    slot_id: Option<i32>,
    /// valid, cancelled, refunded or blocked (its deposit was taken back).
    state: String,
    /// Stopped by an admin at the gate.
    #[schema(value_type = Option<String>, format = DateTime)]
    stopped_at: Option<Timestamp>,
    /// Raised by every re-issue.
    version: i16,
    entries: i16,
    #[schema(value_type = Option<String>, format = DateTime)]
    used_at: Option<Timestamp>,
    used_gate: Option<String>,
    inside: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_in_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_out_at: Option<Timestamp>,
    last_gate: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct ScanShown {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    ticket_no: i16,
    /// in or out.
    direction: String,
    gate: String,
    allowed: bool,
    reason: String,
    /// A supervisor signed for it.
    forced: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    undone_at: Option<Timestamp>,
    /// The device decided by itself and handed it in later.
    without_network: bool,
    staff: Option<String>,
    device: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct EventShown {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    kind: String,
    from: Option<String>,
    to: Option<String>,
    /// visitor, worker, staff, support, admin or super_admin.
    actor: String,
    cause: String,
    /// Names the call in the logs.
    correlation_id: String,
    /// Of what staff did: who it was, as the audit log has it; its entry is found by `correlation_id`. Of a day given back: who
    /// asked for it; of a sale at a gate: who took the money.
    staff: Option<String>,
}

/// One try to pay.
#[derive(Serialize, ToSchema)]
pub struct AttemptShown {
    n: i32,
    /// toss, stripe, or cash for what came by no provider.
    provider: String,
    provider_order_id: String,
    payment_key: Option<String>,
    /// ready, sent, unknown, awaiting_deposit, accepted or declined.
    state: String,
    method: Option<String>,
    amount: i32,
    /// What went back of it.
    returned: i32,
    failure_code: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    sent_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    paid_the_order: bool,
}

#[derive(Serialize, ToSchema)]
pub struct MessageShown {
    /// order_paid, deposit_asked, money_returned, refund, or resend for what staff sent again.
    kind: String,
    /// pending, done, dead or set_aside.
    state: String,
    tries: i32,
    /// sent, no_channel, or why it was not delivered yet.
    outcome: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    done_at: Option<Timestamp>,
    /// Who sent it again.
    asked_by: Option<String>,
}

/// With the tag that a change of it names.
pub async fn shown(app: &App, order: &Order) -> Result<Response> {
    let view = read::view(app, order)?;
    let id = order.facts.id;
    let client = app.pg.get().await?;
    // First, so that what is read after it is at least as new: a change that comes between makes the tag old.
    let revision = pg::revision(&client, id).await?;
    let stored = pg::contact(&client, id).await?;
    let opened = if stored.forgotten { None } else { Some(contact::open(app, id, &stored.key_id, &stored.sealed)?) };
    let contact = ContactShown {
        customer_name: opened.as_ref().map(|c| contact::masked_name(&c.name)).unwrap_or_default(),
        customer_phone: opened.as_ref().map(|c| contact::masked_phone(&c.phone)).unwrap_or_default(),
        customer_email: opened.and_then(|c| c.email).map(|email| contact::masked_email(&email)),
        marketing: stored.marketing,
        forgotten: stored.forgotten,
    };
    let body = OrderShown {
        order_number: view.order_number,
        exhibition_code: view.exhibition_code,
        exhibition_name: view.exhibition_name,
        state: view.status,
        total_amount: view.total_amount,
        currency: view.currency,
        payment_method: view.payment_method,
        language: order.facts.language,
        visit_date: view.visit_date,
        start_time: view.start_time,
        end_time: view.end_time,
        created_at: view.created_at,
        expires_at: view.expires_at,
        paid_at: view.paid_at,
        contact,
        items: view.items,
        tickets: pg::tickets(&client, id).await?,
        events: pg::events(&client, id, &order.facts.number).await?,
        attempts: pg::attempts(&client, id).await?,
        refunds: refunds::pg::of_order(&client, id).await?,
        webhooks: pg::webhooks(&client, id).await?,
        messages: pg::messages(&client, id).await?,
        scans: pg::scans(&client, id).await?,
    };
    Ok(private(([(header::ETAG, tag(revision))], Reply(body))))
}

fn tag(revision: i64) -> String {
    format!("\"{revision}\"")
}

/// An order with all that happened to it. Its visitor's data is masked. That it was opened goes into the audit log, once an hour.
///
/// The `ETag` is that of the order; scans and messages do not change it.
#[utoipa::path(get, path = "/api/admin/orders/{order_number}", tag = "admin", security(("staff" = [])),
    params(("order_number" = String, Path,)),
    responses((status = 200, body = OrderShown),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "order.unknown"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn show(State(app): State<App>, by: Support, Path(number): Path<String>) -> Result<Response> {
    let order = order_of(&app, &by.user, &number).await?;
    let entry = Entry {
        by: &Actor::from(&by),
        action: "order.open",
        exhibition_id: Some(order.facts.exhibition_id),
        before: json!(null),
        after: json!({ "order": order.facts.number }),
    };
    audit::record_opened(&app.pg.get().await?, &entry).await?;
    shown(&app, &order).await
}

#[derive(Deserialize, ToSchema)]
struct RevealAsk {
    /// For the audit log; no personal data.
    why: String,
}

#[derive(Serialize, ToSchema)]
struct Revealed {
    customer_name: String,
    /// E.164.
    customer_phone: String,
    customer_email: Option<String>,
}

/// The visitor's data in the clear. Goes into the audit log.
#[utoipa::path(post, path = "/api/admin/orders/{order_number}/reveal", tag = "admin", security(("staff" = [])),
    params(("order_number" = String, Path,)), request_body = RevealAsk,
    responses((status = 200, body = Revealed),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "order.unknown"),
        (status = 410, description = "order.forgotten"), (status = 422, description = "request.invalid"),
        (status = 429, description = "order.too_many_reveals: 20 a minute for each person"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn reveal(
    State(app): State<App>,
    by: Support,
    Path(number): Path<String>,
    Json(ask): Json<RevealAsk>,
) -> Result<Response> {
    let why = sentence("why", &ask.why)?;
    let order = order_of(&app, &by.user, &number).await?;
    let who = by.user.id.to_string();
    if let Some(wait) = app.redis.rate_limit("reveal", &who, REVEALS_PER_MINUTE, app.clock.now_ms()).await {
        return Err(Error::too_many("order.too_many_reveals", wait));
    }
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let stored = pg::contact(&transaction, order.facts.id).await?;
    if stored.forgotten {
        return Err(Error::gone("order.forgotten"));
    }
    let contact = contact::open(&app, order.facts.id, &stored.key_id, &stored.sealed)?;
    let entry = Entry {
        by: &Actor::from(&by),
        action: "order.reveal",
        exhibition_id: Some(order.facts.exhibition_id),
        before: json!(null),
        after: json!({ "order": number, "why": why }),
    };
    audit::record(&transaction, &entry).await?;
    transaction.commit().await?;
    Ok(private(Reply(Revealed {
        customer_name: contact.name,
        customer_phone: contact.phone,
        customer_email: contact.email,
    })))
}
