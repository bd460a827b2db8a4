//! The inbox of webhooks as its admins see it: what came, what became of it, and once more from the beginning.
//!
//! Owns no table: `payments` stores events and a worker of orders works them off. Promises that an admin sees only events
//! of their exhibitions' orders, and that whatever is sent back is asked about at the provider like any other event, so
//! that doing it twice changes nothing. Refuses to show what an event carried besides its status.

pub mod outcome;
pub mod pg;

use axum::Json as Reply;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::api::private;
use crate::admin::access::{Admin, Exhibitions};
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::{Json, Query};
use crate::platform::ids::is_order_number;

const PAGE: i64 = 50;
const PAGE_MAX: i64 = 200;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(replay))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventState {
    Received,
    Processed,
    Dead,
}

impl EventState {
    fn as_str(self) -> &'static str {
        match self {
            EventState::Received => "received",
            EventState::Processed => "processed",
            EventState::Dead => "dead",
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Absent: all of them.
    #[param(inline)]
    state: Option<EventState>,
    /// Code of an exhibition; absent: all that the caller may enter.
    exhibition: Option<String>,
    /// All events about this order's payments, and no others.
    order_number: Option<String>,
    /// `next` of the page before; absent: from the newest on.
    before: Option<i64>,
    /// 1 to 200; 50 if absent.
    limit: Option<i64>,
}

/// A webhook that was stored.
#[derive(Serialize, ToSchema)]
pub struct EventView {
    pub id: i64,
    /// toss or stripe.
    pub provider: String,
    pub kind: String,
    /// The attempt that it is about.
    pub order_id: String,
    /// What it says of the payment; not believed.
    pub status: Option<String>,
    /// received, processed or dead.
    pub state: String,
    pub tries: i32,
    /// settled_before, no_order, unknown_order, not_confirmed, unknown_to_provider, nothing_to_do, paid, refunding, declined or
    /// awaiting_deposit; of one that was given up still_unknown, or the code of the last problem.
    pub outcome: Option<&'static str>,
    #[schema(value_type = String, format = DateTime)]
    pub received_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub processed_at: Option<Timestamp>,
    /// How often somebody sent it back.
    pub replays: i32,
}

#[derive(Serialize, ToSchema)]
struct EventPage {
    /// Newest first.
    events: Vec<EventView>,
    /// Send as `before` for the next page; null: this was the last.
    next: Option<i64>,
    /// Of all these exhibitions; on the first page.
    counts: Option<EventCounts>,
}

/// What is not processed.
#[derive(Default, Serialize, ToSchema)]
pub struct EventCounts {
    /// They wait.
    pub received: i64,
    /// Given up: somebody has to look.
    pub dead: i64,
}

/// Lists webhooks about orders of the caller's exhibitions, newest first.
#[utoipa::path(get, path = "/api/admin/webhooks", tag = "admin", params(ListQuery), security(("staff" = [])),
    responses((status = 200, body = EventPage),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 422, description = "request.invalid"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn list(State(app): State<App>, admin: Admin, Query(query): Query<ListQuery>) -> Result<Response> {
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let named = match query.exhibition.as_deref() {
        Some(code) => match app.catalogue.current().known(code) {
            Ok(one) if admin.user.may_enter(one.id) => Some([one.id]),
            _ => return Err(Error::field("exhibition", "unknown_exhibition")),
        },
        None => None,
    };
    let exhibitions = match (&named, &admin.user.exhibitions) {
        (Some(named), _) => Some(named.as_slice()),
        (None, Exhibitions::All) => None,
        (None, Exhibitions::Of(ids)) => Some(ids.as_slice()),
    };
    let before = query.before.unwrap_or(i64::MAX);
    let client = app.pg.get().await?;
    let number = query.order_number.as_deref().map(|number| number.trim().to_ascii_uppercase());
    let mut events = match &number {
        Some(number) if !is_order_number(number) => Vec::new(),
        Some(number) => pg::of_number(&client, number, query.state, before, exhibitions, limit + 1).await?,
        None => pg::page(&client, query.state, before, exhibitions, limit + 1).await?,
    };
    let counts = match query.before {
        None => Some(pg::counts(&client, exhibitions).await?),
        Some(_) => None,
    };
    drop(client);
    let more = events.len() as i64 > limit;
    events.truncate(limit as usize);
    let next = if more { events.last().map(|event| event.id) } else { None };
    Ok(private(Reply(EventPage { events, next, counts })))
}

#[derive(Deserialize, ToSchema)]
struct ReplayAsk {
    event_id: i64,
}

/// Sends a processed or dead webhook back to be worked once more. The provider is asked about its payment again.
#[utoipa::path(post, path = "/api/admin/webhook-replay", tag = "admin", request_body = ReplayAsk, security(("staff" = [])),
    responses((status = 200, body = EventView),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "webhook.unknown"),
        (status = 409, description = "webhook.waiting"), (status = 503, description = "server.database_away")))]
async fn replay(State(app): State<App>, admin: Admin, Json(ask): Json<ReplayAsk>) -> Result<Response> {
    let unknown = || Error::not_found("webhook.unknown");
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let (event, exhibition_id) = pg::locked(&transaction, ask.event_id).await?.ok_or_else(unknown)?;
    // Another exhibition's is as good as not there.
    if !admin.user.may_enter(exhibition_id) {
        return Err(unknown());
    }
    if event.state == "received" {
        return Err(Error::conflict("webhook.waiting"));
    }
    let replayed = pg::replay(&transaction, event.id).await?.ok_or_else(unknown)?;
    let entry = Entry {
        by: &Actor::from(&admin),
        action: "webhook.replay",
        exhibition_id: Some(exhibition_id),
        before: json!({ "event": event.id, "state": event.state, "tries": event.tries, "outcome": event.outcome }),
        after: json!({ "event": event.id, "replays": replayed.replays }),
    };
    audit::record(&transaction, &entry).await?;
    transaction.commit().await?;
    Ok(private(Reply(replayed)))
}
