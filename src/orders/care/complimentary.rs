//! Tickets that an exhibition gives away: an order of 0 won whose places are taken like any other's. Excused from the
//! waiting room, from limits and from the time of the sale; whose they are need not be known.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::history;
use crate::admin::access::AdminOf;
use crate::admin::audit::{Act, Actor};
use crate::app::App;
use crate::catalogue::model::Stage;
use crate::error::{Error, Result};
use crate::orders::ask::{self, ItemAsk, Refusals};
use crate::orders::consent::Consent;
use crate::orders::contact::{self, Contact};
use crate::orders::model::{Item, Order, OrderFacts, OrderState, Origin};
use crate::orders::pg;
use crate::orders::place::{self, Terms};
use crate::orders::refunds::request::sentence;
use crate::orders::settle::{settle_free, ticket_key};
use crate::platform::http::{IdempotencyKey, Json, RequestLanguage};
use crate::platform::ids;
use crate::platform::secrets::{Purpose, sha256};
use crate::platform::texts::Language;
use crate::stock::redis::Pass;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(give))
}

#[derive(Deserialize, Serialize, ToSchema)]
struct GiftAsk {
    items: Vec<ItemAsk>,
    /// `YYYY-MM-DD` in Asia/Seoul; needed for dated products.
    #[serde(default)]
    visit_date: Option<String>,
    /// Needed only when the date has several slots.
    #[serde(default)]
    slot_id: Option<i64>,
    /// How the mail greets.
    #[serde(default)]
    customer_name: Option<String>,
    /// Where the tickets are mailed to.
    #[serde(default)]
    customer_email: Option<String>,
    /// For the audit log; no personal data.
    reason: String,
}

/// Gives tickets away. The same key and body get the same order.
#[utoipa::path(post, path = "/api/admin/exhibitions/{code}/complimentary", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."), ("Idempotency-Key" = String, Header,)),
    request_body = GiftAsk,
    responses((status = 201, body = history::OrderShown), (status = 400, description = "idempotency.key_required"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 409, description = "stock.sold_out"), (status = 410, description = "order.expired, order.closed"),
        (status = 422, description = "request.invalid, idempotency.key_reused"),
        (status = 503, description = "stock.busy, stock.unready, server.redis_away, server.database_away, server.starting, order.unknown_outcome")))]
async fn give(
    State(app): State<App>,
    by: AdminOf,
    RequestLanguage(language): RequestLanguage,
    IdempotencyKey(key): IdempotencyKey,
    Json(ask): Json<GiftAsk>,
) -> Result<Response> {
    let (task_app, task_by) = (app.clone(), by.clone());
    // Goes on to its end when the caller has gone away: places are never left between Redis and Postgres.
    let task = app.lifecycle.spawn(async move { give_tracked(&task_app, &task_by, language, &key, &ask).await });
    let order = task.await.map_err(|error| Error::bug(format!("a gift: {error}")))??;
    let shown = history::shown(&app, &order).await?;
    Ok((StatusCode::CREATED, shown).into_response())
}

async fn give_tracked(app: &App, by: &AdminOf, language: Language, key: &str, ask: &GiftAsk) -> Result<Order> {
    let reason = sentence("reason", &ask.reason)?;
    let exhibition = &by.exhibition;
    let staff = by.user.id.to_be_bytes();
    let named: [&[u8]; 4] = [b"complimentary", exhibition.code.as_bytes(), &staff, key.as_bytes()];
    let hold_id = cut(&app.secrets.mac(Purpose::HoldId, &named));
    let fingerprint = cut(&sha256(&[b"complimentary", &serde_json::to_vec(ask).map_err(Error::bug)?]));
    let origin = Origin::new(by.user.role.as_str(), "complimentary", by.request_id.clone());
    ticket_key(app)?;
    let known = pg::by_hold(app, &app.pg.get().await?, &hold_id).await?;
    let order = match known {
        Some(order) if order.facts.fingerprint == fingerprint => order,
        Some(_) => return Err(Error::invalid("idempotency.key_reused")),
        None => {
            let id = ids::row_id(app.clock.now());
            let (facts, contact) = facts(app, by, ask, id, language)?;
            let facts = OrderFacts { hold_id, fingerprint, ..facts };
            let digest = ids::random_bytes();
            let contact = contact::seal(app, (exhibition.id, id), &contact, &digest, Consent::default())?;
            let terms =
                Terms { keyed: true, pass: Pass::Excused, session: None, open_holds_max: None, origin: origin.clone() };
            place::hold(app, exhibition, facts, None, contact, &terms).await?
        }
    };
    match order.state {
        OrderState::Held => {}
        OrderState::Expired => return Err(Error::gone("order.expired")),
        _ => return Ok(order),
    }
    let places: i32 = order.facts.items.iter().map(|item| item.quantity).sum();
    let origin = origin.recorded(Act {
        by: Actor::from(by),
        action: "order.complimentary",
        exhibition_id: exhibition.id,
        before: Value::Null,
        after: json!({ "order": order.facts.number, "tickets": places, "reason": reason }),
    });
    settle_free(app, order, origin).await
}

fn cut(digest: &[u8; 32]) -> [u8; 16] {
    let mut out = [0u8; 16];
    out.copy_from_slice(&digest[..16]);
    out
}

/// All but the names of the take.
fn facts(app: &App, by: &AdminOf, ask: &GiftAsk, id: uuid::Uuid, language: Language) -> Result<(OrderFacts, Contact)> {
    let exhibition = &by.exhibition;
    if exhibition.stage == Stage::Draft {
        return Err(Error::conflict("sale.not_yet").with("at", exhibition.sale_start));
    }
    let mut refusals = Refusals(Vec::new());
    let items = ask::check_items(&ask.items, exhibition, &mut refusals);
    let wanted = (ask.visit_date.as_deref(), ask.slot_id);
    let dated = items.iter().any(|item| item.dated);
    let slot =
        if dated { ask::check_slot(wanted, exhibition, app.clock.today_in_seoul(), &mut refusals) } else { None };
    let name = ask.customer_name.as_deref().unwrap_or_default();
    let contact = contact::check_without_phone(name, ask.customer_email.as_deref(), &mut refusals.0);
    let Some(contact) = contact else { return Err(Error::fields(refusals.0)) };
    let items: Vec<Item> = items.into_iter().map(|item| Item { unit_won: 0, per_person_max: None, ..item }).collect();
    let facts = OrderFacts {
        id,
        number: ids::order_number(app.clock.now()),
        exhibition_id: exhibition.id,
        code: exhibition.code.clone(),
        slot_id: slot.map(|slot| slot.id),
        hold_id: [0; 16],
        fingerprint: [0; 16],
        total_won: 0,
        person_key: ids::random_bytes(),
        person_places: 0,
        person_counted: false,
        person_allowed: None,
        has_email: contact.email.is_some(),
        language: language.tag(),
        lines: ask::lines_of(&items, slot, exhibition),
        items,
        pass_sid: None,
    };
    Ok((facts, contact))
}
