//! Calls about personal data: a super admin's, since a person may have orders of all exhibitions.

use std::fmt;

use axum::Json as Reply;
use axum::extract::State as AppState;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::pg::requests::{self as pg, Request, Theirs};
use super::requests::{self, Kind, State, Verified};
use super::{export, retention};
use crate::admin::access::Owner;
use crate::admin::audit::Actor;
use crate::app::App;
use crate::config::RetentionSettings;
use crate::error::Result;
use crate::orders::api::private;
use crate::platform::http::{Json, Path, Query};

const PAGE: i64 = 50;
/// Orders that are shown of one person; all are gone through.
const ORDERS_SHOWN: i64 = 200;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, ask))
        .routes(routes!(show, withdraw))
        .routes(routes!(erase))
        .merge(export::routes())
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// `next` of the page before; absent: from the first on.
    #[param(value_type = Option<String>)]
    before: Option<Place>,
}

/// Where a page of the list ended: among those that wait for an answer, or among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum Place {
    Unanswered(Timestamp, Uuid),
    Answered(Uuid),
}

impl Place {
    fn of(request: &Request) -> Place {
        match request.due_on {
            Some(_) => Place::Unanswered(request.asked_at, request.id),
            None => Place::Answered(request.id),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Unanswered(asked_at, id) => write!(f, "{}.{id}", asked_at.as_microsecond()),
            Place::Answered(id) => write!(f, "{id}"),
        }
    }
}

impl TryFrom<String> for Place {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Place, Self::Error> {
        let odd = "not the end of a page";
        let (asked_at, id) = match text.split_once('.') {
            Some((asked_at, id)) => (Some(asked_at), id),
            None => (None, text.as_str()),
        };
        let id: Uuid = id.parse().map_err(|_| odd)?;
        let Some(asked_at) = asked_at else { return Ok(Place::Answered(id)) };
        let asked_at =
            asked_at.parse::<i64>().ok().and_then(|micros| Timestamp::from_microsecond(micros).ok()).ok_or(odd)?;
        Ok(Place::Unanswered(asked_at, id))
    }
}

#[derive(Serialize, ToSchema)]
struct RequestList {
    /// Those that wait for an answer, first those that are due first; then the others, newest first.
    requests: Vec<RequestShown>,
    /// Send as `before` for the next page; null: this was the last.
    next: Option<String>,
    periods: Periods,
}

/// How long personal data is kept.
#[derive(Serialize, ToSchema)]
struct Periods {
    contacts_days: i32,
    lapsed_days: i32,
    payments_years: i32,
    sign_ins_days: i32,
    audit_years: i32,
    requests_years: i32,
    export_days: i32,
}

impl From<&RetentionSettings> for Periods {
    fn from(keep: &RetentionSettings) -> Periods {
        Periods {
            contacts_days: keep.contacts_days,
            lapsed_days: keep.lapsed_days,
            payments_years: keep.payments_years,
            sign_ins_days: keep.sign_ins_days,
            audit_years: keep.audit_years,
            requests_years: keep.requests_years,
            export_days: retention::EXPORT_DAYS,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct RequestShown {
    id: Uuid,
    kind: Kind,
    state: State,
    verified_by: Verified,
    asked_by: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    asked_at: Timestamp,
    /// When it was carried out as far as it could be, or last given out.
    #[schema(value_type = Option<String>, format = DateTime)]
    carried_at: Option<Timestamp>,
    orders_erased: i32,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// The day in Seoul by which it is to be answered: ten days after it was asked, last. Null: it was.
    #[schema(value_type = Option<String>, format = Date)]
    due_on: Option<Date>,
}

impl From<Request> for RequestShown {
    fn from(request: Request) -> RequestShown {
        RequestShown {
            id: request.id,
            kind: request.kind,
            state: request.state,
            verified_by: request.verified_by,
            asked_by: request.asked_by,
            asked_at: request.asked_at,
            carried_at: request.carried_at,
            orders_erased: request.orders_erased,
            ended_at: request.ended_at,
            due_on: request.due_on,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct RequestWhole {
    #[serde(flatten)]
    request: RequestShown,
    /// Of whoever asks, as far as they are not forgotten, oldest first: the first two hundred.
    orders: Vec<OrderMeant>,
    /// There are more.
    more: bool,
}

/// What would become of an order's contact now.
#[derive(Serialize, ToSchema)]
struct OrderMeant {
    order_number: String,
    exhibition_code: String,
    state: String,
    #[schema(value_type = String, format = DateTime)]
    placed_at: Timestamp,
    /// Null: it is erased. under_way: not paid, expired or cancelled yet. payment: it is not known whether money came. refund:
    /// money is on its way back. visit: the exhibition is not over.
    kept_for: Option<String>,
    /// The last day on which it is needed, where that is known.
    #[schema(value_type = Option<String>, format = Date)]
    kept_until: Option<Date>,
    /// Until when the law wants records of its payment, which name nobody; null: nothing was paid.
    #[schema(value_type = Option<String>, format = Date)]
    payment_until: Option<Date>,
}

impl From<Theirs> for OrderMeant {
    fn from(order: Theirs) -> OrderMeant {
        let visit = order.kept.as_deref() == Some("visit");
        OrderMeant {
            order_number: order.number,
            exhibition_code: order.code,
            state: order.state,
            placed_at: order.created_at,
            kept_for: order.kept,
            kept_until: visit.then_some(order.ends_on),
            payment_until: order.paid.then_some(order.records_until),
        }
    }
}

async fn whole(app: &App, id: Uuid) -> Result<RequestWhole> {
    let request = pg::one(&app.pg.get().await?, id).await?.ok_or_else(requests::unknown)?;
    let mut orders = requests::theirs(app, &request, ORDERS_SHOWN + 1).await?;
    let more = orders.len() as i64 > ORDERS_SHOWN;
    orders.truncate(ORDERS_SHOWN as usize);
    Ok(RequestWhole { request: request.into(), orders: orders.into_iter().map(OrderMeant::from).collect(), more })
}

/// What people have asked for, first what is to be answered first, and how long what is kept.
#[utoipa::path(get, path = "/api/admin/privacy/requests", tag = "admin", params(Asked), security(("staff" = [])),
    responses((status = 200, body = RequestList), (status = 400, description = "request.malformed_query"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 503, description = "server.database_away")))]
async fn list(AppState(app): AppState<App>, _by: Owner, Query(asked): Query<Asked>) -> Result<Response> {
    let client = app.pg.get().await?;
    let (mut found, before) = match asked.before.unwrap_or(Place::Unanswered(Timestamp::UNIX_EPOCH, Uuid::nil())) {
        Place::Unanswered(asked_at, id) => (pg::unanswered(&client, (asked_at, id), PAGE + 1).await?, Uuid::max()),
        Place::Answered(id) => (Vec::new(), id),
    };
    let room = PAGE + 1 - found.len() as i64;
    if room > 0 {
        found.extend(pg::answered(&client, before, room).await?);
    }
    drop(client);
    let more = found.len() as i64 > PAGE;
    found.truncate(PAGE as usize);
    let next = found.last().filter(|_| more).map(|request| Place::of(request).to_string());
    let requests = found.into_iter().map(RequestShown::from).collect();
    Ok(private(Reply(RequestList { requests, next, periods: Periods::from(&app.settings.retention) })))
}

#[derive(Deserialize, ToSchema)]
struct RequestAsk {
    kind: Kind,
    verified_by: Verified,
    /// Whoever has this number; or, instead, whoever placed this order.
    phone: Option<String>,
    order_number: Option<String>,
}

/// Enters what somebody has asked for. Nothing is erased or given out yet.
///
/// The same again gets the request that is running; of an erasure it then means what was ordered until now.
#[utoipa::path(post, path = "/api/admin/privacy/requests", tag = "admin", request_body = RequestAsk, security(("staff" = [])),
    responses((status = 201, body = RequestWhole), (status = 200, body = RequestWhole),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "privacy.nobody"),
        (status = 422, description = "request.invalid"), (status = 503, description = "server.busy, server.database_away")))]
async fn ask(AppState(app): AppState<App>, by: Owner, Json(ask): Json<RequestAsk>) -> Result<Response> {
    let said = (ask.phone.as_deref(), ask.order_number.as_deref());
    let (id, new) = requests::ask(&app, (&Actor::from(&by), by.user.id), ask.kind, ask.verified_by, said).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, private(Reply(whole(&app, id).await?))).into_response())
}

/// A request, and what would become now of each order that it is about: a dry run.
#[utoipa::path(get, path = "/api/admin/privacy/requests/{request_id}", tag = "admin", security(("staff" = [])),
    params(("request_id" = Uuid, Path,)),
    responses((status = 200, body = RequestWhole),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "privacy.unknown"),
        (status = 503, description = "server.database_away")))]
async fn show(AppState(app): AppState<App>, _by: Owner, Path(id): Path<Uuid>) -> Result<Response> {
    Ok(private(Reply(whole(&app, id).await?)))
}

/// Erases what may be erased now. What has to be kept is erased on the first day on which it need not.
///
/// Repeated, it does what is left.
#[utoipa::path(post, path = "/api/admin/privacy/requests/{request_id}/erase", tag = "admin", security(("staff" = [])),
    params(("request_id" = Uuid, Path,)),
    responses((status = 200, body = RequestWhole),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "privacy.unknown"),
        (status = 409, description = "privacy.over"), (status = 503, description = "server.database_away")))]
async fn erase(AppState(app): AppState<App>, by: Owner, Path(id): Path<Uuid>) -> Result<Response> {
    requests::carry(&app, id, Some(&Actor::from(&by))).await?;
    Ok(private(Reply(whole(&app, id).await?)))
}

/// Whoever asked has thought better of it. What was erased stays so.
#[utoipa::path(delete, path = "/api/admin/privacy/requests/{request_id}", tag = "admin", security(("staff" = [])),
    params(("request_id" = Uuid, Path,)),
    responses((status = 204, description = "it is withdrawn"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "privacy.unknown"),
        (status = 409, description = "privacy.over"), (status = 503, description = "server.database_away")))]
async fn withdraw(AppState(app): AppState<App>, by: Owner, Path(id): Path<Uuid>) -> Result<StatusCode> {
    requests::withdraw(&app, id, &Actor::from(&by)).await?;
    Ok(StatusCode::NO_CONTENT)
}
