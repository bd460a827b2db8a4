//! The calls of those who wait, and what is public of a room.

use axum::Json as Reply;
use axum::body::Bytes;
use axum::extract::State as AppState;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::chain;
use super::cohort::DrawProof;
use super::model::DrawShown;
use super::proofs::Seen;
use super::reply::{PublicState, Status};
use super::{claim, cohort, draw, join, park, pg, state, status};
use crate::app::App;
use crate::error::Result;
use crate::platform::http::extract::parse_json;
use crate::platform::http::{ClientAddress, Json, Path, Query, RequestLanguage};
use crate::platform::secrets::hex;

const LOG_PAGE: i64 = 500;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(join_queue))
        .routes(routes!(read_status))
        .routes(routes!(public_state))
        .routes(routes!(claim_pass))
        .routes(routes!(leave_queue))
        .routes(routes!(park_place))
        .routes(routes!(read_draw))
        .routes(routes!(read_proof))
        .routes(routes!(read_log))
}

fn reply(seen: Seen) -> Response {
    let mut response = Reply(seen.status).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for cookie in seen.cookies {
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            headers.append(header::SET_COOKIE, value);
        }
    }
    response
}

/// A body that may be left out.
fn optional<T: for<'de> Deserialize<'de> + Default>(body: &Bytes) -> Result<T> {
    if body.is_empty() { Ok(T::default()) } else { parse_json(body) }
}

#[derive(Deserialize, Default, ToSchema)]
#[serde(default)]
struct JoinAsk {
    /// From an invitation's link.
    invite: Option<String>,
}

/// Takes a place in line, or says which one the caller has. May be repeated: one device has one number.
#[utoipa::path(post, path = "/api/exhibitions/{code}/queue/join", tag = "queue", request_body = Option<JoinAsk>,
    params(("code" = String, Path,), ("X-Queue-Token" = Option<String>, Header,)),
    security((), ("queue_token" = []), ("queue_cookie" = [])),
    responses((status = 200, body = Status), (status = 401, description = "queue.invalid_token"),
        (status = 403, description = "queue.invalid_invite, queue.other_device"),
        (status = 409, description = "queue.closed, queue.not_needed, queue.invite_used"),
        (status = 410, description = "queue.other_run"), (status = 429, description = "queue.too_many_joins"),
        (status = 503, description = "queue.checking, queue.busy, queue.no_joins_now")))]
async fn join_queue(
    AppState(app): AppState<App>,
    client: ClientAddress,
    RequestLanguage(language): RequestLanguage,
    Path(code): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let ask: JoinAsk = optional(&body)?;
    let exhibition = app.catalogue.current().by_code(&code)?;
    Ok(reply(join::join(&app, &exhibition, &headers, client, ask.invite.as_deref(), language).await?))
}

/// Where the caller stands. Answered from memory: asking costs the sale nothing.
#[utoipa::path(get, path = "/api/exhibitions/{code}/queue/status", tag = "queue",
    params(("code" = String, Path,), ("X-Queue-Token" = Option<String>, Header,)),
    security((), ("queue_token" = []), ("queue_cookie" = [])),
    responses((status = 200, body = Status), (status = 401, description = "queue.invalid_token"),
        (status = 403, description = "queue.other_device"), (status = 410, description = "queue.other_run")))]
async fn read_status(
    AppState(app): AppState<App>,
    RequestLanguage(language): RequestLanguage,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let exhibition = app.catalogue.current().by_code(&code)?;
    Ok(reply(status::look(&app, &exhibition, &headers, language)?))
}

/// What everybody may know: the same for all, cacheable for a second.
#[utoipa::path(get, path = "/api/exhibitions/{code}/queue/state", tag = "queue", params(("code" = String, Path,)),
    responses((status = 200, body = PublicState)))]
async fn public_state(AppState(app): AppState<App>, Path(code): Path<String>) -> Result<Response> {
    let exhibition = app.catalogue.current().by_code(&code)?;
    Ok(public(Reply(state::public(&app, &exhibition))))
}

fn public(body: impl IntoResponse) -> Response {
    ([(header::CACHE_CONTROL, "public, max-age=1")], body).into_response()
}

#[derive(Deserialize, Default, ToSchema)]
#[serde(default)]
struct ClaimAsk {
    /// Double the time to claim instead of claiming, once.
    extend: bool,
}

/// Lets the caller in who has been called: `pass` goes with orders as `X-Queue-Pass`, or in its cookie. May be repeated.
#[utoipa::path(post, path = "/api/exhibitions/{code}/queue/claim", tag = "queue", request_body = Option<ClaimAsk>,
    params(("code" = String, Path,), ("X-Queue-Token" = Option<String>, Header,)),
    security(("queue_token" = []), ("queue_cookie" = [])),
    responses((status = 200, body = Status),
        (status = 401, description = "queue.token_required, queue.invalid_token"),
        (status = 409, description = "queue.not_drawn_yet"), (status = 410, description = "queue.other_run"),
        (status = 503, description = "queue.checking, server.redis_away")))]
async fn claim_pass(
    AppState(app): AppState<App>,
    RequestLanguage(language): RequestLanguage,
    Path(code): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    let ask: ClaimAsk = optional(&body)?;
    let exhibition = app.catalogue.current().by_code(&code)?;
    Ok(reply(claim::claim(&app, &exhibition, &headers, ask.extend, language).await?))
}

/// Makes room for the next. The place in line stays the caller's.
#[utoipa::path(post, path = "/api/exhibitions/{code}/queue/leave", tag = "queue",
    params(("code" = String, Path,), ("X-Queue-Token" = Option<String>, Header,)),
    security((), ("queue_token" = []), ("queue_cookie" = [])),
    responses((status = 204), (status = 401, description = "queue.invalid_token"),
        (status = 409, description = "queue.paying"), (status = 503, description = "server.redis_away")))]
async fn leave_queue(
    AppState(app): AppState<App>,
    RequestLanguage(language): RequestLanguage,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let exhibition = app.catalogue.current().by_code(&code)?;
    let mut response = reply(claim::leave(&app, &exhibition, &headers, language).await?);
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.body_mut() = axum::body::Body::empty();
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().remove(header::CONTENT_TYPE);
    Ok(response)
}

#[derive(Deserialize, ToSchema)]
struct ParkAsk {
    email: String,
}

/// Keeps the place alive without polling, and tells the caller by mail shortly before the turn.
#[utoipa::path(post, path = "/api/exhibitions/{code}/queue/park", tag = "queue", request_body = ParkAsk,
    params(("code" = String, Path,), ("X-Queue-Token" = Option<String>, Header,)),
    security(("queue_token" = []), ("queue_cookie" = [])),
    responses((status = 200, body = Status),
        (status = 401, description = "queue.token_required, queue.invalid_token"),
        (status = 422, description = "request.invalid, with errors by field"),
        (status = 503, description = "server.database_away")))]
async fn park_place(
    AppState(app): AppState<App>,
    RequestLanguage(language): RequestLanguage,
    Path(code): Path<String>,
    headers: HeaderMap,
    Json(ask): Json<ParkAsk>,
) -> Result<Response> {
    let exhibition = app.catalogue.current().by_code(&code)?;
    Ok(reply(park::park(&app, &exhibition, &headers, &ask.email, language).await?))
}

#[derive(Serialize, ToSchema)]
struct DrawReply {
    exhibition_code: String,
    run: u32,
    /// This run is a rehearsal with simulated visitors.
    rehearsal: bool,
    algorithm: &'static str,
    /// Ed25519, hex: receipts are signed with it.
    receipt_key: String,
    #[serde(flatten)]
    draw: DrawShown,
}

/// Everything needed to compute every rank again; `verify_draw.py` does.
#[utoipa::path(get, path = "/api/exhibitions/{code}/queue/draw", tag = "queue", params(("code" = String, Path,)),
    responses((status = 200, body = DrawReply)))]
async fn read_draw(AppState(app): AppState<App>, Path(code): Path<String>) -> Result<Response> {
    let exhibition = app.catalogue.current().by_code(&code)?;
    let shown = state::public(&app, &exhibition);
    let body = DrawReply {
        exhibition_code: shown.exhibition_code,
        run: shown.run,
        rehearsal: shown.rehearsal,
        algorithm: draw::ALGORITHM,
        receipt_key: app.receipt_key.public(),
        draw: shown.draw,
    };
    Ok(public(Reply(body)))
}

/// That the caller's number stands in the closed cohort, under the root that was published before the draw.
/// `verify_draw.py --proof` and the page of the draw check it.
#[utoipa::path(get, path = "/api/exhibitions/{code}/queue/proof", tag = "queue",
    params(("code" = String, Path,), ("X-Queue-Token" = Option<String>, Header,)),
    security(("queue_token" = []), ("queue_cookie" = [])),
    responses((status = 200, body = DrawProof),
        (status = 401, description = "queue.token_required, queue.invalid_token"),
        (status = 403, description = "queue.other_device"),
        (status = 404, description = "queue.not_in_draw, queue.no_proof"),
        (status = 409, description = "queue.not_closed_yet"), (status = 410, description = "queue.other_run"),
        (status = 503, description = "queue.busy, server.database_away")))]
async fn read_proof(AppState(app): AppState<App>, Path(code): Path<String>, headers: HeaderMap) -> Result<Response> {
    let exhibition = app.catalogue.current().by_code(&code)?;
    let proof = cohort::prove(&app, &exhibition, &headers).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Reply(proof)).into_response())
}

#[derive(Deserialize, Default)]
struct LogAsk {
    #[serde(default)]
    after: i64,
}

#[derive(Serialize, ToSchema)]
struct LogReply {
    exhibition_code: String,
    run: u32,
    /// Hash before the first row of the run, hex.
    genesis: String,
    rows: Vec<LogRow>,
    /// Ask with this as `after` for what follows.
    next_after: i64,
}

#[derive(Serialize, ToSchema)]
struct LogRow {
    seq: i64,
    /// [ms since 1970]
    at_ms: i64,
    phase: &'static str,
    serving_general: u32,
    serving_invited: u32,
    active: u32,
    waiting: u32,
    prev_hash: String,
    hash: String,
}

/// Who was called when, as a hash chain: whoever keeps one hash can tell later whether anything before it was changed.
#[utoipa::path(get, path = "/api/exhibitions/{code}/queue/log", tag = "queue",
    params(("code" = String, Path,), ("after" = Option<i64>, Query, description = "seq of the last row that is known")),
    responses((status = 200, body = LogReply), (status = 503, description = "server.database_away")))]
async fn read_log(
    AppState(app): AppState<App>,
    Path(code): Path<String>,
    Query(ask): Query<LogAsk>,
) -> Result<Response> {
    let exhibition = app.catalogue.current().by_code(&code)?;
    let client = app.pg.get().await?;
    let run = pg::one(&client, exhibition.id).await?.map_or(1, |room| room.run);
    let rows = pg::log_page(&client, exhibition.id, run, ask.after, LOG_PAGE).await?;
    let next_after = rows.last().map_or(ask.after, |row| row.seq);
    let rows = rows.into_iter().map(|row| LogRow {
        seq: row.seq,
        at_ms: row.facts.at.as_millisecond(),
        phase: row.facts.phase.as_str(),
        serving_general: row.facts.serving[0],
        serving_invited: row.facts.serving[1],
        active: row.facts.active,
        waiting: row.facts.waiting,
        prev_hash: hex(&row.prev_hash),
        hash: hex(&row.hash),
    });
    let body = LogReply {
        genesis: hex(&chain::genesis(&exhibition.code, run)),
        exhibition_code: exhibition.code.clone(),
        run,
        rows: rows.collect(),
        next_after,
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Reply(body)).into_response())
}
