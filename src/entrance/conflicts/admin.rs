//! An admin looks at conflicts and decides on them.

use axum::extract::State as AppState;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::pg::{self, Listed, Place};
use crate::admin::access::AdminOf;
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::entrance::ledger;
use crate::entrance::reply::private;
use crate::error::{Error, Result};
use crate::orders::contact::has_control;
use crate::platform::http::{Json, Path, Query};

const PAGE: i64 = 100;
const NOTE_CHARS_MAX: usize = 500;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(decide))
}

#[derive(Deserialize)]
struct Which {
    #[serde(default)]
    decided: bool,
    after: Option<Uuid>,
}

#[derive(Serialize, ToSchema)]
struct ConflictList {
    /// The newest first; 100 at most.
    conflicts: Vec<Conflict>,
    /// Send as `after` for those that follow; null: these are all.
    next: Option<Uuid>,
}

#[derive(Serialize, ToSchema)]
struct Conflict {
    id: Uuid,
    /// double (two admissions), cancelled (or refunded, blocked, re-issued, not paid meanwhile), outside_rules, unknown (no
    /// such ticket), no_shift (at no time when somebody was on shift there) or revoked_device.
    kind: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    order_number: Option<String>,
    ticket_no: Option<i16>,
    of: Option<i16>,
    /// The admission, and for a double one the admission before it.
    scan: Option<PlaceShown>,
    other: Option<PlaceShown>,
    #[schema(value_type = Option<String>, format = DateTime)]
    decided_at: Option<Timestamp>,
    decided_by: Option<String>,
    /// honest, fraud or mistake.
    decision: Option<String>,
    note: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct PlaceShown {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// What the device's own clock said; null: judged online.
    #[schema(value_type = Option<String>, format = DateTime)]
    device_at: Option<Timestamp>,
    gate: String,
    device: Option<String>,
    staff: Option<String>,
}

fn place(place: Place) -> PlaceShown {
    let Place { at, device_at, gate, device, staff } = place;
    PlaceShown { at, device_at, gate, device, staff }
}

fn shown(c: Listed) -> Conflict {
    Conflict {
        id: c.id,
        kind: c.kind,
        created_at: c.created_at,
        order_number: c.order_number,
        ticket_no: c.ticket_no,
        of: c.of,
        scan: c.scan.map(place),
        other: c.other.map(place),
        decided_at: c.decided_at,
        decided_by: c.decided_by,
        decision: c.decision,
        note: c.note,
    }
}

/// Admissions that should not have happened.
#[utoipa::path(get, path = "/api/admin/exhibitions/{code}/entry-conflicts", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."),
        ("decided" = Option<bool>, Query, description = "Those that were decided on as well."),
        ("after" = Option<Uuid>, Query, description = "`next` of the page before.")),
    responses((status = 200, body = ConflictList),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn list(AppState(app): AppState<App>, admin: AdminOf, Query(which): Query<Which>) -> Result<Response> {
    let client = app.pg.get().await?;
    let rows = pg::list(&client, admin.exhibition.id, which.decided, which.after, PAGE).await?;
    let next = if rows.len() as i64 == PAGE { rows.last().map(|row| row.id) } else { None };
    let body = ConflictList { conflicts: rows.into_iter().map(shown).collect(), next };
    Ok(private(body))
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Decision {
    Honest,
    Fraud,
    Mistake,
}

impl Decision {
    fn as_str(self) -> &'static str {
        match self {
            Decision::Honest => "honest",
            Decision::Fraud => "fraud",
            Decision::Mistake => "mistake",
        }
    }
}

#[derive(Deserialize, ToSchema)]
struct DecideAsk {
    decision: Decision,
    /// At most 500 characters.
    note: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    conflict_id: Uuid,
}

/// Decides on a conflict, once. An honest admission of a revoked device, or outside a shift, counts from then on.
#[utoipa::path(post, path = "/api/admin/exhibitions/{code}/entry-conflicts/{conflict_id}/decide", tag = "admin",
    security(("staff" = [])), params(("code" = String, Path, description = "Code of the exhibition."),
        ("conflict_id" = Uuid, Path, description = "As it was listed.")), request_body = DecideAsk,
    responses((status = 204, description = "it is decided"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"),
        (status = 404, description = "catalogue.unknown_exhibition, entrance.no_conflict"),
        (status = 409, description = "entrance.decided"), (status = 422, description = "request.invalid"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn decide(
    AppState(app): AppState<App>,
    admin: AdminOf,
    Path(named): Path<Named>,
    Json(ask): Json<DecideAsk>,
) -> Result<StatusCode> {
    let note = ask.note.as_deref().map(str::trim).filter(|note| !note.is_empty());
    if note.is_some_and(has_control) {
        return Err(Error::field("note", "control_characters"));
    }
    if note.is_some_and(|note| note.chars().count() > NOTE_CHARS_MAX) {
        return Err(Error::field("note", "too_long"));
    }
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let (id, home) = (named.conflict_id, admin.exhibition.id);
    let decision = ask.decision.as_str();
    let decided = pg::decide(&transaction, id, home, admin.user.id, decision, note).await?;
    let decided = decided.ok_or_else(|| Error::not_found("entrance.no_conflict"))?;
    if !decided.now {
        return Err(Error::conflict("entrance.decided"));
    }
    if ask.decision == Decision::Honest {
        count(&transaction, &decided, home, app.clock.now()).await?;
    }
    let after = json!({ "conflict": id, "kind": decided.kind, "decision": decision });
    let by = &Actor::from(&admin);
    let entry = Entry { by, action: "entry.conflict", exhibition_id: Some(home), before: Value::Null, after };
    audit::record(&transaction, &entry).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What was written down apart joins in.
async fn count(
    transaction: &deadpool_postgres::Transaction<'_>,
    decided: &pg::Decided,
    home: i32,
    now: Timestamp,
) -> Result<()> {
    let ticket = match decided.ticket_id {
        Some(id) => ledger::locked(transaction, id).await?.filter(|ticket| ticket.exhibition_id == home),
        None => None,
    };
    if let Some(ticket) = ticket
        && let Some(at) = pg::join_in(transaction, decided.scan_id).await?
    {
        ledger::settle(transaction, &ticket, at, now).await?;
    }
    Ok(())
}
