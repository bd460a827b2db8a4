//! Whether payments go through: the breakers of the providers.

use axum::extract::State as AppState;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::admin::access::Admin;
use crate::app::App;
use crate::dashboard::live::{ProviderLive, providers_now};
use crate::error::Result;
use crate::orders::api::private;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

#[derive(Serialize, ToSchema)]
struct ProviderList {
    providers: Vec<ProviderLive>,
}

/// The payment providers and the states of their breakers, as the worst of the processes sees each.
#[utoipa::path(get, path = "/api/admin/providers", tag = "admin", security(("staff" = [])),
    responses((status = 200, body = ProviderList),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 503, description = "server.database_away")))]
async fn show(AppState(app): AppState<App>, _by: Admin) -> Result<Response> {
    Ok(private(axum::Json(ProviderList { providers: providers_now(&app) })))
}
