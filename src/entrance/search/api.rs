//! Somebody at a device looks for a ticket.

use axum::extract::State as AppState;
use axum::response::Response;
use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{PER_MINUTE, meant, pg};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::entrance::devices::shift::OnShift;
use crate::entrance::judge::{Seen, Verdict};
use crate::entrance::pg::{TicketRow, Wanted, read};
use crate::entrance::reply::{self, ScanReply};
use crate::entrance::rules::Direction;
use crate::error::{Error, Result};
use crate::platform::http::{Json, RequestLanguage};
use crate::tickets::number;

/// Days of orders that are looked through for the end of a number: two years.
const DAYS_MAX: usize = 732;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(search))
}

#[derive(Deserialize, ToSchema)]
struct SearchAsk {
    /// 4 to 40 characters.
    q: String,
}

#[derive(Serialize, ToSchema)]
struct FoundList {
    /// At most 20. More: ask for more characters.
    found: Vec<FoundTicket>,
}

#[derive(Serialize, ToSchema)]
struct FoundTicket {
    /// Scan this to let the ticket in.
    number: String,
    /// As if it were scanned here now; nothing is recorded.
    #[serde(flatten)]
    ticket: ScanReply,
}

/// Tickets of the device's exhibition by ticket number, order number or its last part (each from its beginning, at least 4
/// characters), or a whole telephone number.
#[utoipa::path(post, path = "/api/entrance/search", tag = "entrance", security(("staff" = [])),
    request_body = SearchAsk,
    responses((status = 200, body = FoundList),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden, device.off_shift"),
        (status = 422, description = "entrance.search_length"),
        (status = 429, description = "entrance.too_many_searches: 30 a minute for each device"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn search(
    AppState(app): AppState<App>,
    by: OnShift,
    RequestLanguage(language): RequestLanguage,
    Json(asked): Json<SearchAsk>,
) -> Result<Response> {
    let exhibition = app.catalogue.current().by_id(by.staff.home())?;
    let meant =
        meant(&app, &asked.q, days(&app, &exhibition)).ok_or_else(|| Error::invalid("entrance.search_length"))?;
    let device = by.at.device_id.simple().to_string();
    if let Some(wait) = app.redis.rate_limit("search", &device, PER_MINUTE, app.clock.now_ms()).await {
        return Err(Error::too_many("entrance.too_many_searches", wait));
    }
    // Not the connections of scans: a search is seldom, and slow beside one.
    let client = app.pg.get().await?;
    let ids = pg::find(&client, exhibition.id, &meant).await?;
    let wanted = ids.iter().map(|id| Wanted { ticket_id: Some(*id), exhibition_id: 0, staff_id: 0, nonce: None });
    let rows = read(&client, &wanted.collect::<Vec<_>>()).await?;
    drop(client);
    let mut tickets: Vec<TicketRow> = rows.into_iter().filter_map(|row| row.ticket).collect();
    tickets.sort_by(|a, b| (&a.order_number, a.ticket_no).cmp(&(&b.order_number, b.ticket_no)));
    let found = tickets.into_iter().map(|ticket| FoundTicket {
        number: number::of(ticket.id, ticket.version),
        ticket: reply::shown(&app, now(&app, &by, ticket), language),
    });
    Ok(reply::private(FoundList { found: found.collect() }))
}

/// Days on which an order of this exhibition may have been placed, the latest first.
fn days(app: &App, exhibition: &Exhibition) -> impl Iterator<Item = Date> + use<> {
    let own = exhibition.products.iter().filter_map(|p| p.sale_start);
    let first = own.chain([exhibition.sale_start]).min().unwrap_or(exhibition.sale_start);
    let first = first.to_zoned(crate::platform::clock::seoul()).date();
    let today = app.clock.today_in_seoul();
    today.series((-1).day()).take(DAYS_MAX).take_while(move |day| *day >= first)
}

fn now(app: &App, by: &OnShift, ticket: TicketRow) -> Verdict {
    let (reason, counts) = ticket.judged_now(&by.at.gate, Direction::In, app.clock.now());
    Verdict { reason, direction: Direction::In, counts, seen: Seen::of(reason, Some(&ticket)), ticket: Some(ticket) }
}
