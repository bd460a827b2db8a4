//! The admin's look at the books.

use axum::Json as Reply;
use axum::extract::State;
use axum::response::Response;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::pg::{self, OpenDifference, SettlementDay};
use crate::admin::Role;
use crate::admin::access::AdminOf;
use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::api::private;
use crate::platform::http::Query;

/// Days of one report.
const DAYS_MAX: i32 = 400;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(settlement)).routes(routes!(differences))
}

#[derive(Deserialize)]
struct Span {
    from: Date,
    until: Date,
}

#[derive(Serialize, ToSchema)]
struct Settlement {
    exhibition_code: String,
    currency: &'static str,
    days: Vec<SettlementDay>,
    /// Of all days.
    gross: i64,
    refunds: i64,
    fees: i64,
    provider_fee: i64,
    net: i64,
}

/// What an exhibition earned, by day (Asia/Seoul) and provider.
#[utoipa::path(get, path = "/api/admin/exhibitions/{code}/settlement", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path,), ("from" = String, Query, description = "first day"), ("until" = String, Query, description = "last day, at most 400 days later")),
    responses((status = 200, body = Settlement), (status = 400, description = "request.malformed_query"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 422, description = "request.invalid"), (status = 503, description = "server.database_away")))]
async fn settlement(State(app): State<App>, admin: AdminOf, Query(span): Query<Span>) -> Result<Response> {
    let days = span.until.since(span.from).map_or(-1, |span| span.get_days());
    if !(0..=DAYS_MAX).contains(&days) {
        return Err(Error::field("until", "out_of_range"));
    }
    let days = pg::settlement(&app.pg.get().await?, admin.exhibition.id, span.from, span.until).await?;
    let sum = |of: fn(&SettlementDay) -> i64| days.iter().map(of).sum();
    Ok(private(Reply(Settlement {
        exhibition_code: admin.exhibition.code.clone(),
        currency: "KRW",
        gross: sum(|day| day.gross),
        refunds: sum(|day| day.refunds),
        fees: sum(|day| day.fees),
        provider_fee: sum(|day| day.provider_fee.unwrap_or(0)),
        net: sum(|day| day.net),
        days,
    })))
}

#[derive(Serialize, ToSchema)]
struct Differences {
    differences: Vec<OpenDifference>,
}

/// What a provider's books and ours say differently, until it is gone: the newest 200. Super admins also see what
/// belongs to no order of ours.
#[utoipa::path(get, path = "/api/admin/exhibitions/{code}/differences", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path,)),
    responses((status = 200, body = Differences),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.database_away")))]
async fn differences(State(app): State<App>, admin: AdminOf) -> Result<Response> {
    let strangers = admin.user.role == Role::SuperAdmin;
    let differences = pg::open(&app.pg.get().await?, admin.exhibition.id, strangers).await?;
    Ok(private(Reply(Differences { differences })))
}
