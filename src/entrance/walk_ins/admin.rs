//! The tills of a day, for whoever counts the money in the evening.

use axum::extract::State as AppState;
use axum::response::Response;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Till, pg};
use crate::admin::access::AdminOf;
use crate::app::App;
use crate::entrance::reply::private;
use crate::error::Result;
use crate::platform::clock::seoul_day;
use crate::platform::http::Query;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(tills))
}

#[derive(Deserialize)]
struct Which {
    day: Option<Date>,
}

#[derive(Serialize, ToSchema)]
struct Tills {
    #[schema(value_type = String, format = Date)]
    day: Date,
    currency: &'static str,
    /// By gate, device and who was on shift.
    tills: Vec<pg::TillOf>,
    all: Till,
}

/// Cash taken at the gates on a day (Asia/Seoul; today where none is named), by gate, device and staff.
#[utoipa::path(get, path = "/api/admin/exhibitions/{code}/walk-ins", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."), ("day" = Option<String>, Query, description = "YYYY-MM-DD")),
    responses((status = 200, body = Tills), (status = 400, description = "request.malformed_query"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn tills(AppState(app): AppState<App>, admin: AdminOf, Query(which): Query<Which>) -> Result<Response> {
    let day = which.day.unwrap_or_else(|| app.clock.today_in_seoul());
    let tills = pg::of_day(&app.pg.get().await?, admin.exhibition.id, seoul_day(day)?).await?;
    let mut all = Till::default();
    for one in &tills {
        all.orders += one.till.orders;
        all.taken += one.till.taken;
        all.given_back += one.till.given_back;
    }
    Ok(private(Tills { day, currency: "KRW", tills, all }))
}
