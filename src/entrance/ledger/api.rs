//! Second thoughts at a device: an admission is taken back, or somebody is let in against the rules.

use axum::extract::State as AppState;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::pg::{self, LateScan, Named};
use super::{SECOND_THOUGHTS, locked, settle};
use crate::admin::audit::{self, Actor, Entry};
use crate::admin::{Role, StaffUser, sign_in};
use crate::app::App;
use crate::entrance::api::PEOPLE_MAX;
use crate::entrance::devices::shift::OnShift;
use crate::entrance::judge::{Seen, Verdict};
use crate::entrance::pg::TicketRow;
use crate::entrance::reply::{self, ScanReply, private};
use crate::entrance::rules::{Direction, Reason};
use crate::error::{Error, Result};
use crate::orders::contact::has_control;
use crate::platform::http::observe::RequestId;
use crate::platform::http::{ClientAddress, Json, RequestLanguage};
use crate::platform::ids;
use crate::platform::texts;

const WHY_CHARS_MAX: usize = 200;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(undo)).routes(routes!(force))
}

#[derive(Deserialize, ToSchema)]
struct UndoAsk {
    /// Of the scan that let in, or out.
    nonce: String,
    /// Where the device decided by itself: the nonce under which it had asked before.
    asked: Option<String>,
    /// Where it decided so for a group: the nonces of its other people's scans, 99 at most.
    #[serde(default)]
    others: Vec<String>,
}

#[derive(Serialize, ToSchema)]
struct Undone {
    message: String,
}

/// Takes back an admission or an exit of this device, or those of a group, as if they had not been. Again: the same answer.
#[utoipa::path(post, path = "/api/entrance/undo", tag = "entrance", request_body = UndoAsk, security(("staff" = [])),
    responses((status = 200, body = Undone), (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden, device.off_shift"),
        (status = 404, description = "entrance.nothing_to_undo"),
        (status = 409, description = "entrance.too_late_to_undo: it is older than 15 minutes"),
        (status = 422, description = "request.invalid"),
        (status = 503, description = "server.database_away")))]
async fn undo(
    AppState(app): AppState<App>,
    by: OnShift,
    RequestLanguage(language): RequestLanguage,
    Json(ask): Json<UndoAsk>,
) -> Result<Response> {
    if ask.others.len() >= PEOPLE_MAX {
        return Err(Error::field("others", "out_of_range"));
    }
    let now = app.clock.now();
    let mut client = app.entrance_pg.get().await?;
    let transaction = client.transaction().await?;
    let names = std::iter::once(&ask.nonce).chain(&ask.asked).chain(&ask.others);
    let names: Vec<&str> = names.map(String::as_str).collect();
    let moves = pg::moves_of_device(&transaction, by.staff.home(), by.at.device_id, &names).await?;
    if moves.is_empty() {
        return Err(Error::not_found("entrance.nothing_to_undo"));
    }
    for named in moves.iter().filter(|named| named.undone_at.is_none()) {
        within(named, now, "entrance.too_late_to_undo")?;
        super::undo(&transaction, named, now).await?;
    }
    transaction.commit().await?;
    Ok(private(Undone { message: texts::filled(language, "scan.undone", &[]) }))
}

fn within(named: &Named, now: Timestamp, code: &'static str) -> Result<()> {
    if now.duration_since(named.at) > SECOND_THOUGHTS {
        return Err(Error::conflict(code).with("minutes", SECOND_THOUGHTS.as_mins()));
    }
    Ok(())
}

#[derive(Deserialize, ToSchema)]
struct ForceAsk {
    /// Of the scan that was refused.
    nonce: String,
    /// An admin of the exhibition.
    username: String,
    password: String,
    /// For whoever reads the record: 1 to 200 characters.
    why: String,
}

/// Lets somebody in, or out, whom the rules refuse: an admin signs for it, and it is recorded as forced.
///
/// What is no ticket of this exhibition cannot be forced, nor an old code of a re-issued one.
#[utoipa::path(post, path = "/api/entrance/force", tag = "entrance", request_body = ForceAsk, security(("staff" = [])),
    responses((status = 200, body = ScanReply),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token, auth.invalid_credentials"),
        (status = 403, description = "auth.forbidden, device.off_shift"),
        (status = 404, description = "entrance.nothing_to_force"),
        (status = 409, description = "entrance.cannot_be_forced, entrance.too_late_to_force"),
        (status = 422, description = "request.invalid"), (status = 429, description = "auth.too_many, auth.locked"),
        (status = 503, description = "auth.busy, server.database_away")))]
async fn force(
    AppState(app): AppState<App>,
    by: OnShift,
    caller: ClientAddress,
    request: RequestId,
    RequestLanguage(language): RequestLanguage,
    Json(ask): Json<ForceAsk>,
) -> Result<Response> {
    let why = ask.why.trim();
    let wrong = match why {
        "" => Some("required"),
        why if has_control(why) => Some("control_characters"),
        why if why.chars().count() > WHY_CHARS_MAX => Some("too_long"),
        _ => None,
    };
    if let Some(code) = wrong {
        return Err(Error::field("why", code));
    }
    let supervisor = sign_in::check(&app, caller, by.at.device_id, &ask.username, &ask.password).await?;
    let ours = by.staff.home();
    if !supervisor.role.is_at_least(Role::Admin) || !supervisor.may_enter(ours) {
        return Err(Error::forbidden("auth.forbidden"));
    }
    let now = app.clock.now();
    let mut client = app.entrance_pg.get().await?;
    let transaction = client.transaction().await?;
    let named = pg::of_device(&transaction, ours, by.at.device_id, &ask.nonce).await?.filter(|named| !named.allowed);
    let named = named.ok_or_else(|| Error::not_found("entrance.nothing_to_force"))?;
    within(&named, now, "entrance.too_late_to_force")?;
    let ticket = match named.ticket_id {
        Some(id) => locked(&transaction, id).await?.filter(|ticket| ticket.exhibition_id == ours),
        None => None,
    };
    let reason = Reason::parse(&named.reason).filter(|reason| can_be_forced(*reason));
    let (Some(ticket), Some(reason)) = (ticket, reason) else {
        return Err(Error::conflict("entrance.cannot_be_forced"));
    };
    let forced = Forced { ask_nonce: &ask.nonce, why, reason, direction: named.direction };
    match pg::of_device(&transaction, ours, by.at.device_id, &forced_nonce(&ask.nonce)).await? {
        // Asked twice: it is done.
        Some(before) if before.undone_at.is_none() => {}
        // Signed for, and taken back: whoever comes again is scanned again.
        Some(_) => return Err(Error::not_found("entrance.nothing_to_force")),
        None => {
            forced.write(&transaction, &by, &supervisor, &ticket, now).await?;
            settle(&transaction, &ticket, now, now).await?;
            let by = Actor { request_id: request.0.clone(), ..Actor::themselves(&supervisor, caller.address) };
            forced.record(&transaction, &by, &ticket).await?;
        }
    }
    transaction.commit().await?;
    let verdict =
        Verdict { reason, direction: named.direction, counts: true, seen: Seen::default(), ticket: Some(ticket) };
    Ok(private(reply::forced(&app, verdict, language)))
}

/// No nonce of a device has a blank.
fn forced_nonce(nonce: &str) -> String {
    format!("{nonce} forced")
}

fn can_be_forced(reason: Reason) -> bool {
    !matches!(reason, Reason::Ok | Reason::Unknown | Reason::BadSignature | Reason::WrongExhibition | Reason::Reissued)
}

struct Forced<'a> {
    ask_nonce: &'a str,
    why: &'a str,
    reason: Reason,
    direction: Direction,
}

impl Forced<'_> {
    async fn write(
        &self,
        transaction: &deadpool_postgres::Transaction<'_>,
        by: &OnShift,
        supervisor: &StaffUser,
        ticket: &TicketRow,
        now: Timestamp,
    ) -> Result<()> {
        let nonce = forced_nonce(self.ask_nonce);
        let scan = LateScan {
            id: ids::row_id(now),
            exhibition_id: ticket.exhibition_id,
            ticket_id: Some(ticket.id),
            gate: &by.at.gate,
            nonce: &nonce,
            staff_id: by.staff.id,
            allowed: true,
            reason: self.reason.as_str(),
            at: now,
            reply: json!({ "why": self.why, "signed_by": supervisor.id }),
            device_id: by.at.device_id,
            direction: self.direction,
            forced: true,
            undone_at: None,
            apart: false,
            device_at: None,
            uploaded_at: None,
        };
        if pg::insert(transaction, &scan).await? {
            Ok(())
        } else {
            Err(Error::unavailable("server.busy", "forced twice at the same time"))
        }
    }

    async fn record(
        &self,
        transaction: &deadpool_postgres::Transaction<'_>,
        by: &Actor,
        ticket: &TicketRow,
    ) -> Result<()> {
        let after = json!({ "ticket": ticket.id, "reason": self.reason.as_str(), "why": self.why });
        let (before, exhibition_id) = (serde_json::Value::Null, ticket.exhibition_id);
        audit::record(
            transaction,
            &Entry { by, action: "entry.force", exhibition_id: Some(exhibition_id), before, after },
        )
        .await
    }
}
