//! Orders as a table for spreadsheets: as many as there are, a page at a time, each page two short statements on a connection
//! that goes back to the pool before the page is sent. Neither memory nor a connection grows with the number of rows, and a
//! slow reader holds up nobody. Why not one transaction: docs/decisions/0018-looking-after-orders.md.
//!
//! It is asked for in a body and fetched by a ticket that is good once: what somebody typed is in no address, and a browser
//! saves the file as it comes.

mod redis;
mod sheet;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::redis::Ticket;
use self::sheet::{Format, Sheet};
use super::search::pg::OrderRow;
use super::search::{Asked, Wanted};
use crate::admin::access::AdminOf;
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::api::private;
use crate::orders::refunds::request::sentence;
use crate::platform::http::{Json, Path, RequestLanguage};
use crate::platform::texts::Language;

/// Rows of a page: some hundred kilobytes, and some ten milliseconds of a connection.
const PAGE: i64 = 500;
/// Exports that a process writes at once: each has a connection of the sale's pool for a part of its time.
const AT_ONCE: usize = 4;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(ask)).routes(routes!(fetch))
}

/// Which orders, and how they are written down.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct ExportAsk {
    format: Format,
    /// As in a search.
    state: Option<String>,
    #[schema(value_type = Option<String>, format = Date)]
    from: Option<String>,
    #[schema(value_type = Option<String>, format = Date)]
    until: Option<String>,
    #[schema(value_type = Option<String>, format = Date)]
    visit_date: Option<String>,
    slot_id: Option<i32>,
    q: Option<String>,
    /// Names, phone numbers and addresses in the clear. The audit log says so.
    #[serde(default)]
    unmasked: bool,
    /// Needed with `unmasked`; no personal data.
    why: Option<String>,
}

impl ExportAsk {
    fn wanted(&self, app: &App, exhibition_id: i32) -> Result<Wanted> {
        let code = app.catalogue.current().by_id(exhibition_id)?.code.clone();
        let ExportAsk { state, from, until, visit_date, slot_id, q, .. } = self.clone();
        let asked = Asked { exhibition: Some(code), state, from, until, visit_date, slot_id, q, ..Asked::default() };
        Ok(asked.wanted(app, |id| id == exhibition_id)?.in_pages_of(PAGE))
    }
}

#[derive(Serialize, ToSchema)]
struct ExportReady {
    /// Where the file is, once: a path of this host.
    url: String,
    /// Until when it can be fetched.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Exports that this process writes.
pub struct Exports(Arc<Semaphore>);

impl Default for Exports {
    fn default() -> Exports {
        Exports(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Exports {
    /// The turn of one, until it is dropped.
    fn turn(&self) -> Result<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().map_err(|_| Error::unavailable("server.busy", "too many exports at once"))
    }
}

/// Asks for all orders that the filters let through as a file; the answer says where it is fetched, once and at once.
///
/// CSV, or XLSX with dates as dates. Personal data is masked unless it is asked for. Either goes into the audit log.
#[utoipa::path(post, path = "/api/admin/exhibitions/{code}/exports", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition.")), request_body = ExportAsk,
    responses((status = 201, body = ExportReady),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 422, description = "request.invalid"),
        (status = 503, description = "server.busy: four exports are being written, server.starting, server.redis_away, server.database_away")))]
async fn ask(
    State(app): State<App>,
    by: AdminOf,
    RequestLanguage(language): RequestLanguage,
    Json(ask): Json<ExportAsk>,
) -> Result<Response> {
    // What is wrong, or too much, is said now: where the file is fetched, nobody reads it.
    let about = ask.wanted(&app, by.exhibition.id)?.about();
    let why = ask.unmasked.then(|| sentence("why", ask.why.as_deref().unwrap_or_default())).transpose()?;
    drop(app.exports.turn()?);
    // Not what was searched for, which may be somebody's name.
    let filters = json!({ "state": ask.state, "from": ask.from, "until": ask.until, "visit_date": ask.visit_date,
        "slot_id": ask.slot_id, "q": ask.q.is_some(), "by": about });
    let after = json!({ "why": why, "format": ask.format, "unmasked": ask.unmasked, "columns": sheet::COLUMNS.len(),
        "filters": filters });
    let ticket = Ticket { exhibition_id: by.exhibition.id, language: language.tag().to_owned(), ask };
    let proof = redis::keep(&app, &ticket).await?;
    let entry = Entry {
        by: &Actor::from(&by),
        action: "order.export",
        exhibition_id: Some(by.exhibition.id),
        before: Value::Null,
        after,
    };
    audit::record(&app.pg.get().await?, &entry).await?;
    let expires_at = app.clock.now() + SignedDuration::from_secs(redis::KEEP_S);
    let ready = ExportReady { url: format!("/api/exports/{proof}"), expires_at };
    Ok(private((StatusCode::CREATED, axum::Json(ready)).into_response()))
}

/// The file of an export that was asked for. Its rows are newest first, of a day of visit slot by slot; times are those of Asia/Seoul.
#[utoipa::path(get, path = "/api/exports/{ticket}", tag = "admin", params(("ticket" = String, Path,)),
    responses((status = 200, body = String, content_type = "text/csv"),
        (status = 404, description = "export.unknown: fetched before, or too late"),
        (status = 503, description = "server.busy, server.starting, server.redis_away, server.database_away")))]
async fn fetch(State(app): State<App>, method: Method, Path(proof): Path<String>) -> Result<Response> {
    // Whatever looks before it fetches (a mail gateway, a download manager) leaves the ticket where it is.
    if method == Method::HEAD {
        let Some(Ticket { exhibition_id, ask, .. }) = redis::look(&app, &proof).await? else {
            return Err(Error::not_found("export.unknown"));
        };
        return Ok(private((headers(&app, exhibition_id, &ask)?, Body::empty()).into_response()));
    }
    // Whoever has to come again still has the ticket.
    let turn = app.exports.turn()?;
    let Some(Ticket { exhibition_id, language, ask }) = redis::take(&app, &proof).await? else {
        return Err(Error::not_found("export.unknown"));
    };
    let exhibition = app.catalogue.current().by_id(exhibition_id)?;
    let headers = headers(&app, exhibition_id, &ask)?;
    let mut wanted = ask.wanted(&app, exhibition_id)?;
    // The first page before the answer begins: what is wrong is still an error then.
    let first = page(&app, &mut wanted).await?;
    let sheet = Sheet::new(&app, exhibition, Language::from_tag(&language), ask.unmasked, ask.format)?;
    let pages = stream::try_unfold(Some((sheet, wanted, first, turn)), move |left| {
        let app = app.clone();
        async move {
            let Some((sheet, mut wanted, (rows, more), turn)) = left else { return Ok::<_, Error>(None) };
            // Unsealing and compressing: for as long as nobody reads on, no thread waits.
            let writing = tokio::task::spawn_blocking(move || sheet.write(&rows, more));
            let (sheet, written) = writing.await.map_err(Error::bug)??;
            let left = match sheet {
                Some(sheet) => Some((sheet, page(&app, &mut wanted).await?)),
                None => None,
            };
            let left = left.map(|(sheet, next)| (sheet, wanted, next, turn));
            Ok(Some((Bytes::from(written), left)))
        }
    });
    Ok(private((headers, Body::from_stream(pages)).into_response()))
}

fn headers(app: &App, exhibition_id: i32, ask: &ExportAsk) -> Result<[(HeaderName, HeaderValue); 3]> {
    let exhibition = app.catalogue.current().by_id(exhibition_id)?;
    let file = format!("attachment; filename=\"{}-orders.{}\"", exhibition.code, ask.format.ending());
    Ok([
        (header::CONTENT_TYPE, HeaderValue::from_static(ask.format.content_type())),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&file).map_err(Error::bug)?),
        // A reader that is slow slows us down; nginx need not keep for it what it does not read.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ])
}

async fn page(app: &App, wanted: &mut Wanted) -> Result<(Vec<OrderRow>, bool)> {
    wanted.page(&app.pg.get().await?).await
}
