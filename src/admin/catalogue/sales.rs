//! The switch that pauses everything that is sold here.

use axum::extract::State as AppState;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::fields::Fields;
use super::pg::sales as pg;
use super::record;
use crate::admin::access::Owner;
use crate::admin::audit::Actor;
use crate::app::App;
use crate::error::Result;
use crate::platform::http::extract::{laid_over, tagged};
use crate::platform::http::{IfMatch, Json};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(look, set))
}

pub const REASON_CHARS_MAX: usize = 300;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SalesSettings {
    /// No new orders, anywhere; those that hold places can still be paid.
    pub paused: bool,
    /// Why, for visitors: at most 300 characters. A pause needs it in both languages.
    #[serde(default)]
    pub reason_ko: String,
    #[serde(default)]
    pub reason_en: String,
}

impl SalesSettings {
    fn check(&mut self) -> Result<()> {
        let mut fields = Fields::default();
        for (field, text) in [("reason_ko", &mut self.reason_ko), ("reason_en", &mut self.reason_en)] {
            *text = text.trim().to_owned();
            fields.line(field, text, usize::from(self.paused)..=REASON_CHARS_MAX);
        }
        fields.done()
    }
}

#[derive(Serialize, ToSchema)]
struct SalesShown {
    /// The ETag, for the next change.
    revision: i64,
    #[serde(flatten)]
    settings: SalesSettings,
}

fn shown(revision: i64, settings: SalesSettings) -> Result<Response> {
    tagged(StatusCode::OK, revision, SalesShown { revision, settings })
}

/// Whether all sales are paused.
#[utoipa::path(get, path = "/api/admin/sales", tag = "admin", security(("staff" = [])),
    responses((status = 200, body = SalesShown, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 503, description = "server.database_away")))]
async fn look(AppState(app): AppState<App>, _owner: Owner) -> Result<Response> {
    let (revision, settings) = pg::look(&app.pg.get().await?).await?;
    shown(revision, settings)
}

/// Pauses all sales, or goes on with them. It counts within a second, everywhere.
#[utoipa::path(put, path = "/api/admin/sales", tag = "admin", security(("staff" = [])),
    params(("If-Match" = String, Header, description = "The ETag of what the caller has seen.")),
    request_body = SalesSettings,
    responses((status = 200, body = SalesShown, headers(("etag" = String, description = "Its revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 503, description = "server.database_away")))]
async fn set(
    AppState(app): AppState<App>,
    owner: Owner,
    seen: IfMatch,
    Json(asked): Json<Map<String, Value>>,
) -> Result<Response> {
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let (revision, before) = pg::lock(&transaction).await?;
    seen.expect(revision)?;
    let mut settings = laid_over(&before, asked)?;
    settings.check()?;
    if settings == before {
        return shown(revision, settings);
    }
    let revision = pg::set(&transaction, &settings).await?;
    record(&transaction, &Actor::from(&owner), "sales.change", None, (json!(before), json!(settings))).await?;
    transaction.commit().await?;
    if let Err(error) = app.catalogue.refresh(&app).await {
        tracing::warn!(%error, "catalogue not refreshed after a change");
    }
    shown(revision, settings)
}
