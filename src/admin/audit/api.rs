//! Looking back: who did what. What can be seen is what can be exported.

use std::net::IpAddr;

use axum::body::{Body, Bytes};
use axum::extract::State as AppState;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::pg::{self, AuditRow, Wanted};
use super::{Actor, Entry, record};
use crate::admin::access::{Admin, Exhibitions};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::clock::seoul_day;
use crate::platform::csv;
use crate::platform::http::Query;

const PAGE: i64 = 50;
/// Rows that an export reads at a time: some hundred kilobytes.
const EXPORT_PAGE: i64 = 500;
const WORD_BYTES_MAX: usize = 128;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(search)).routes(routes!(export))
}

#[derive(Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Code of an exhibition.
    exhibition: Option<String>,
    /// Who did it, by username.
    user: Option<String>,
    /// Actions that begin so, such as `order.` or `room.phase`.
    action: Option<String>,
    /// Names one call.
    request_id: Option<String>,
    /// An order's whole number: what was done to it, and who looked at it.
    order: Option<String>,
    /// Where it was done from: an IPv4 or IPv6 address.
    address: Option<String>,
    /// Days in Asia/Seoul, both included.
    #[param(value_type = Option<String>)]
    from: Option<Date>,
    #[param(value_type = Option<String>)]
    until: Option<Date>,
    /// Entries older than this one: `next` of the page before.
    before: Option<i64>,
}

impl Asked {
    fn wanted(&self) -> Result<Wanted> {
        let word = |field: &'static str, value: &Option<String>| match value {
            Some(text) if text.len() > WORD_BYTES_MAX || text.contains('\0') => Err(Error::field(field, "malformed")),
            other => Ok(other.clone().filter(|text| !text.is_empty())),
        };
        Ok(Wanted {
            exhibition: word("exhibition", &self.exhibition)?,
            user: word("user", &self.user)?,
            action: word("action", &self.action)?.unwrap_or_default(),
            request_id: word("request_id", &self.request_id)?,
            order: word("order", &self.order)?.map(|number| number.trim().to_ascii_uppercase()),
            address: word("address", &self.address)?
                .map(|text| text.trim().parse::<IpAddr>().map_err(|_| Error::field("address", "malformed")))
                .transpose()?,
            from: self.from.map(seoul_day).transpose()?.map(|day| day.0),
            until: self.until.map(seoul_day).transpose()?.map(|day| day.1),
        })
    }

    /// By what it was asked for; not what was typed, which names people.
    fn kinds(&self) -> Vec<&'static str> {
        [
            ("exhibition", self.exhibition.is_some()),
            ("user", self.user.is_some()),
            ("action", self.action.is_some()),
            ("request_id", self.request_id.is_some()),
            ("order", self.order.is_some()),
            ("address", self.address.is_some()),
            ("from", self.from.is_some()),
            ("until", self.until.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect()
    }
}

#[derive(Serialize, ToSchema)]
struct AuditList {
    entries: Vec<AuditShown>,
    /// `before` of the next page; null: that was all.
    next: Option<i64>,
}

#[derive(Serialize, ToSchema)]
struct AuditShown {
    id: i64,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    user: String,
    role: String,
    action: String,
    /// Null: it belongs to no exhibition.
    exhibition_code: Option<String>,
    #[schema(value_type = Object)]
    before: Value,
    #[schema(value_type = Object)]
    after: Value,
    /// Names the call in the logs.
    request_id: String,
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
}

impl From<AuditRow> for AuditShown {
    fn from(row: AuditRow) -> AuditShown {
        AuditShown {
            id: row.id,
            at: row.at,
            user: row.user_name,
            role: row.role,
            action: row.action,
            exhibition_code: row.exhibition_code,
            before: row.before,
            after: row.after,
            request_id: row.request_id,
            address: row.address,
        }
    }
}

/// None: everything, and what belongs to no exhibition.
fn within(admin: &Admin) -> Option<Vec<i32>> {
    match &admin.user.exhibitions {
        Exhibitions::All => None,
        Exhibitions::Of(ids) => Some(ids.clone()),
    }
}

/// The audit log, newest first: what staff changed, and whose personal data they looked at.
#[utoipa::path(get, path = "/api/admin/audit", tag = "admin", security(("staff" = [])), params(Asked),
    responses((status = 200, body = AuditList), (status = 400, description = "request.malformed_query"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 422, description = "request.invalid"),
        (status = 503, description = "server.database_away")))]
async fn search(AppState(app): AppState<App>, admin: Admin, Query(asked): Query<Asked>) -> Result<Response> {
    let before = asked.before.unwrap_or(i64::MAX);
    let client = app.pg.get().await?;
    let mut rows = pg::search(&client, within(&admin).as_deref(), &asked.wanted()?, before, PAGE + 1).await?;
    drop(client);
    let more = rows.len() as i64 > PAGE;
    rows.truncate(PAGE as usize);
    let next = rows.last().filter(|_| more).map(|row| row.id);
    let body = AuditList { entries: rows.into_iter().map(AuditShown::from).collect(), next };
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response())
}

/// The same as CSV, all of it, and this call with it: read and sent some hundred rows at a time, so that it takes neither memory nor a
/// connection for long.
#[utoipa::path(get, path = "/api/admin/audit.csv", tag = "admin", security(("staff" = [])), params(Asked),
    responses((status = 200, body = String, content_type = "text/csv"), (status = 400, description = "request.malformed_query"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 422, description = "request.invalid"),
        (status = 503, description = "server.database_away")))]
async fn export(AppState(app): AppState<App>, admin: Admin, Query(asked): Query<Asked>) -> Result<Response> {
    let (wanted, within) = (asked.wanted()?, within(&admin));
    let home = Some(admin.user.home()).filter(|id| *id != 0);
    let after = json!({ "filters": asked.kinds() });
    let entry =
        Entry { by: &Actor::from(&admin), action: "audit.export", exhibition_id: home, before: Value::Null, after };
    record(&app.pg.get().await?, &entry).await?;
    let head = csv::head(&["at", "user", "role", "action", "exhibition", "before", "after", "request_id", "address"]);
    // The first page before the answer begins: what is wrong is still an error then.
    let first = page(&app, within.as_deref(), &wanted, asked.before.unwrap_or(i64::MAX)).await?;
    let rest = stream::try_unfold(first, move |rows| {
        let (app, wanted, within) = (app.clone(), wanted.clone(), within.clone());
        async move {
            let Some(last) = rows.last().map(|row| row.id) else { return Ok::<_, Error>(None) };
            let next = page(&app, within.as_deref(), &wanted, last).await?;
            Ok(Some((Bytes::from(rows.iter().map(line).collect::<String>()), next)))
        }
    });
    let body = stream::once(async move { Ok(Bytes::from(head)) }).chain(rest);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"admit-audit.csv\"")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

async fn page(app: &App, within: Option<&[i32]>, wanted: &Wanted, before: i64) -> Result<Vec<AuditRow>> {
    pg::search(&app.pg.get().await?, within, wanted, before, EXPORT_PAGE).await
}

fn line(row: &AuditRow) -> String {
    let address = row.address.map(|address| address.to_string()).unwrap_or_default();
    csv::line(&[
        &row.at.to_string(),
        &row.user_name,
        &row.role,
        &row.action,
        row.exhibition_code.as_deref().unwrap_or_default(),
        &row.before.to_string(),
        &row.after.to_string(),
        &row.request_id,
        &address,
    ])
}
