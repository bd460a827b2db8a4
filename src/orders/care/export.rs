//! Orders as a table for spreadsheets: as many as there are, a page at a time, each page a short statement on a connection
//! that goes back to the pool before the page is sent. Neither memory nor a connection grows with the number of rows, and a
//! slow reader holds up nobody. Why not one transaction: docs/decisions/0018-looking-after-orders.md.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::search::pg::OrderRow;
use super::search::{Asked, Wanted};
use crate::admin::access::AdminOf;
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Result};
use crate::orders::api::private;
use crate::orders::contact::{masked_email, masked_name, masked_phone, national_phone};
use crate::orders::refunds::request::sentence;
use crate::platform::clock::seoul;
use crate::platform::csv;
use crate::platform::http::{Query, RequestLanguage};
use crate::platform::texts::Language;

/// Rows of a page: some hundred kilobytes, and some ten milliseconds of a connection.
const PAGE: i64 = 500;
/// Exports that a process writes at once: each has a connection of the sale's pool for a part of its time.
const AT_ONCE: usize = 4;
static RUNNING: AtomicUsize = AtomicUsize::new(0);

const COLUMNS: [&str; 15] = [
    "order_number",
    "state",
    "total_won",
    "payment_method",
    "created_at",
    "paid_at",
    "visit_date",
    "start_time",
    "places",
    "products",
    "customer_name",
    "customer_phone",
    "customer_email",
    "exhibition",
    "order_id",
];

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(export))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Unmasked {
    /// Names, phone numbers and addresses in the clear. Goes into the audit log.
    unmasked: Option<bool>,
    /// Needed with `unmasked`; no personal data.
    why: Option<String>,
}

/// One of the few that may run, until it is dropped.
struct Turn;

impl Turn {
    fn take() -> Result<Turn> {
        let taken = |running: usize| (running < AT_ONCE).then_some(running + 1);
        match RUNNING.fetch_update(Ordering::AcqRel, Ordering::Acquire, taken) {
            Ok(_) => Ok(Turn),
            Err(_) => Err(Error::unavailable("server.busy", "too many exports at once")),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::AcqRel);
    }
}

/// All orders that the filters let through as CSV, newest first; times are those of Asia/Seoul. Personal data is masked.
///
/// `before` and `limit` do not count here.
#[utoipa::path(get, path = "/api/admin/exhibitions/{code}/orders.csv", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."), Asked, Unmasked),
    responses((status = 200, body = String, content_type = "text/csv"),
        (status = 400, description = "request.malformed_query"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 422, description = "request.invalid"),
        (status = 503, description = "server.busy: four exports are being written, server.starting, server.database_away")))]
async fn export(
    State(app): State<App>,
    by: AdminOf,
    RequestLanguage(language): RequestLanguage,
    Query(asked): Query<Asked>,
    Query(open): Query<Unmasked>,
) -> Result<Response> {
    let asked = Asked { exhibition: Some(by.exhibition.code.clone()), before: None, limit: None, ..asked };
    let mut wanted = asked.wanted(&app, &by.user)?.in_pages_of(PAGE);
    let unmasked = open.unmasked.unwrap_or_default();
    let why = unmasked.then(|| sentence("why", open.why.as_deref().unwrap_or_default())).transpose()?;
    let turn = Turn::take()?;
    // The first page before the answer begins: what is wrong is still an error then.
    let first = page(&app, &mut wanted).await?;
    if let Some(why) = why {
        // Not what was searched for, which may be somebody's name.
        let Asked { state, from, until, q, .. } = &asked;
        let filters = json!({ "state": state, "from": from, "until": until, "q": q.is_some() });
        let entry = Entry {
            by: &Actor::from(&by),
            action: "order.export",
            exhibition_id: Some(by.exhibition.id),
            before: Value::Null,
            after: json!({ "why": why, "filters": filters }),
        };
        audit::record(&app.pg.get().await?, &entry).await?;
    }
    let sheet = Sheet { app, exhibition: by.exhibition.clone(), language, unmasked, turn };
    let file = format!("attachment; filename=\"orders-{}.csv\"", by.exhibition.code);
    let rest = stream::try_unfold((sheet, wanted, first), |(sheet, mut wanted, (rows, more))| async move {
        if rows.is_empty() {
            return Ok::<_, Error>(None);
        }
        let lines: String = rows.iter().map(|row| sheet.line(row)).collect();
        let next = if more { page(&sheet.app, &mut wanted).await? } else { (Vec::new(), false) };
        Ok(Some((Bytes::from(lines), (sheet, wanted, next))))
    });
    let body = stream::once(async { Ok(Bytes::from(csv::head(&COLUMNS))) }).chain(rest);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&file).map_err(Error::bug)?),
    ];
    Ok(private((headers, Body::from_stream(body)).into_response()))
}

async fn page(app: &App, wanted: &mut Wanted) -> Result<(Vec<OrderRow>, bool)> {
    wanted.page(&app.pg.get().await?).await
}

struct Sheet {
    app: App,
    exhibition: std::sync::Arc<Exhibition>,
    language: Language,
    unmasked: bool,
    #[expect(dead_code, reason = "given back when the last page is sent, or nobody reads on")]
    turn: Turn,
}

impl Sheet {
    fn line(&self, row: &OrderRow) -> String {
        let slot = row.slot_id.and_then(|id| self.exhibition.slot(id));
        let contact = row.contact(&self.app);
        let (name, phone, email) = match (&contact, self.unmasked) {
            (None, _) => Default::default(),
            (Some(c), true) => (c.name.clone(), national_phone(&c.phone), c.email.clone().unwrap_or_default()),
            (Some(c), false) => {
                let email = c.email.as_deref().map(masked_email).unwrap_or_default();
                (masked_name(&c.name), masked_phone(&c.phone), email)
            }
        };
        csv::line(&[
            &row.number,
            row.state.as_str(),
            &row.total_won.to_string(),
            row.method.as_deref().unwrap_or_default(),
            &in_seoul(Some(row.created_at)),
            &in_seoul(row.paid_at),
            &slot.map(|slot| slot.date.to_string()).unwrap_or_default(),
            &slot.and_then(|slot| slot.start_time).map(|t| t.strftime("%H:%M").to_string()).unwrap_or_default(),
            &row.items.iter().map(|(_, n)| n).sum::<i32>().to_string(),
            &row.products(&self.exhibition, self.language),
            &name,
            &phone,
            &email,
            &self.exhibition.code,
            &row.id.to_string(),
        ])
    }
}

fn in_seoul(at: Option<Timestamp>) -> String {
    at.map(|at| at.to_zoned(seoul()).strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}
