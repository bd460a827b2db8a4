//! The QR as a picture, for whoever can show that the ticket is theirs.

use axum::body::Body;
use axum::extract::State as AppState;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::link::{Link, To, Verdict};
use super::{pg, picture, sign};
use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::token;
use crate::platform::http::extract::{bearer, cookie};
use crate::platform::http::{Path, Query};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(qr_svg)).routes(routes!(qr_png))
}

/// The code of a ticket that the caller may see, and how the answer may be kept.
struct Allowed {
    code: String,
    cache: &'static str,
}

async fn allowed(app: &App, ticket_id: &str, link: &Link, headers: &HeaderMap) -> Result<Allowed> {
    let unknown = || Error::not_found("ticket.unknown");
    if link.s.is_none() && bearer(headers).is_none() && !headers.contains_key(header::COOKIE) {
        return Err(Error::unauthenticated("ticket.proof_required"));
    }
    let id: Uuid = ticket_id.parse().map_err(|_| unknown())?;
    let client = app.pg.get().await?;
    let ticket = pg::to_show(&client, id).await?;
    drop(client);
    // Ids are random: saying that one exists helps nobody to find others.
    let ticket = ticket.ok_or_else(unknown)?;
    let now = app.clock.now();
    let verdict = link.judge(&app.secrets, To::Picture, id, ticket.version, now.as_second());
    let cache = if verdict == Verdict::Opens {
        // A page that is drawn again within minutes need not ask again.
        "private, max-age=300"
    } else {
        let by_token = |given: &str| token::verify(app, ticket.order_id, ticket.token_version, given);
        let brought = bearer(headers).is_some_and(by_token)
            || cookie(headers, &token::cookie_name(&ticket.order_number)).is_some_and(by_token);
        match verdict {
            _ if brought => "private, no-store",
            Verdict::Expired => return Err(Error::gone("ticket.link_expired")),
            Verdict::Absent | Verdict::Forged | Verdict::Opens => return Err(Error::forbidden("ticket.wrong_proof")),
        }
    };
    if ticket.state != "valid" {
        return Err(Error::gone("ticket.void"));
    }
    let days = (ticket.valid_from, ticket.valid_until);
    let code = sign(app, id, ticket.version, ticket.key_id, ticket.exhibition_id, days, now)?;
    Ok(Allowed { code, cache })
}

fn shown(body: impl Into<Body>, content_type: &'static str, cache: &'static str) -> Response<Body> {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

/// The ticket's QR as SVG.
///
/// The proof is the order's token as bearer or in its cookie, or the signed link that came with the ticket.
#[utoipa::path(get, path = "/api/tickets/{ticket_id}/qr.svg", tag = "tickets",
    security(("order_token" = []), ("order_cookie" = []), ("ticket_link" = [])),
    params(("ticket_id" = Uuid, Path,), ("e" = Option<i64>, Query, description = "end of a signed link, unix time"),
        ("s" = Option<String>, Query, description = "its signature")),
    responses((status = 200, content_type = "image/svg+xml", body = String),
        (status = 401, description = "ticket.proof_required"),
        (status = 403, description = "ticket.wrong_proof"), (status = 404, description = "ticket.unknown"),
        (status = 410, description = "ticket.void, ticket.link_expired"),
        (status = 503, description = "server.database_away, server.starting")))]
async fn qr_svg(
    AppState(app): AppState<App>,
    Path(ticket_id): Path<String>,
    Query(link): Query<Link>,
    headers: HeaderMap,
) -> Result<Response<Body>> {
    let Allowed { code, cache } = allowed(&app, &ticket_id, &link, &headers).await?;
    Ok(shown(picture::svg(&code)?, "image/svg+xml", cache))
}

/// The ticket's QR as PNG.
#[utoipa::path(get, path = "/api/tickets/{ticket_id}/qr.png", tag = "tickets",
    security(("order_token" = []), ("order_cookie" = []), ("ticket_link" = [])),
    params(("ticket_id" = Uuid, Path,), ("e" = Option<i64>, Query, description = "end of a signed link, unix time"),
        ("s" = Option<String>, Query, description = "its signature")),
    responses((status = 200, content_type = "image/png", body = Vec<u8>),
        (status = 401, description = "ticket.proof_required"),
        (status = 403, description = "ticket.wrong_proof"), (status = 404, description = "ticket.unknown"),
        (status = 410, description = "ticket.void, ticket.link_expired"),
        (status = 503, description = "server.database_away, server.starting")))]
async fn qr_png(
    AppState(app): AppState<App>,
    Path(ticket_id): Path<String>,
    Query(link): Query<Link>,
    headers: HeaderMap,
) -> Result<Response<Body>> {
    let Allowed { code, cache } = allowed(&app, &ticket_id, &link, &headers).await?;
    Ok(shown(picture::png(&code)?, "image/png", cache))
}
