//! An admin sets the rules of entry. They hold from the next scan on; devices know them within seconds.

use std::collections::HashMap;

use axum::extract::State as AppState;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Rulebook, check, pg};
use crate::admin::access::AdminOf;
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::entrance::api::GATE_CHARS_MAX;
use crate::entrance::rules::Rules;
use crate::error::{Error, FieldError, Result};
use crate::platform::http::extract::tagged;
use crate::platform::http::{IfMatch, Json};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(look, set))
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RulebookShown {
    /// Null: 30 minutes early, none late, every gate, once.
    exhibition: Option<Rules>,
    /// By id: products whose rules differ, as a whole.
    #[serde(default)]
    products: HashMap<i32, Rules>,
    /// Gates may sell what is left of the day, for cash.
    #[serde(default)]
    walk_ins: bool,
}

fn shown(revision: i32, book: Rulebook) -> Result<Response> {
    let body = RulebookShown { exhibition: book.exhibition, products: book.products, walk_ins: book.walk_ins };
    tagged(StatusCode::OK, revision, body)
}

/// The rules of entry.
#[utoipa::path(get, path = "/api/admin/exhibitions/{code}/entry-rules", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition.")),
    responses((status = 200, body = RulebookShown, headers(("etag" = String, description = "Their revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn look(AppState(app): AppState<App>, admin: AdminOf) -> Result<Response> {
    let client = app.pg.get().await?;
    // First, so that what is read after it is at least as new: a change that comes between makes the tag old.
    let revision = pg::revision(&client, admin.exhibition.id).await?;
    shown(revision, pg::of(&client, admin.exhibition.id).await?)
}

/// Replaces the rules of entry, all of them.
#[utoipa::path(put, path = "/api/admin/exhibitions/{code}/entry-rules", tag = "admin", security(("staff" = [])),
    params(("code" = String, Path, description = "Code of the exhibition."), ("If-Match" = String, Header, description = "The `ETag` of the rules as they were read.")),
    request_body = RulebookShown,
    responses((status = 200, body = RulebookShown, headers(("etag" = String, description = "Their revision."))),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "catalogue.unknown_exhibition"),
        (status = 412, description = "request.changed_meanwhile"), (status = 428, description = "request.if_match_required"),
        (status = 422, description = "request.invalid"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn set(
    AppState(app): AppState<App>,
    admin: AdminOf,
    seen: IfMatch,
    Json(ask): Json<RulebookShown>,
) -> Result<Response> {
    let book = checked(&admin, ask)?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let mut revision = pg::lock(&transaction, admin.exhibition.id).await?;
    seen.expect(revision)?;
    let before = pg::of(&transaction, admin.exhibition.id).await?;
    if before != book {
        revision = pg::set(&transaction, admin.exhibition.id, &book).await?;
        let written = |book: &Rulebook| json!({ "exhibition": book.exhibition, "products": book.products, "walk_ins": book.walk_ins });
        let by = &Actor::from(&admin);
        let (before, after) = (written(&before), written(&book));
        let entry = Entry { by, action: "entry.rules", exhibition_id: Some(admin.exhibition.id), before, after };
        audit::record(&transaction, &entry).await?;
    }
    transaction.commit().await?;
    shown(revision, book)
}

fn checked(admin: &AdminOf, ask: RulebookShown) -> Result<Rulebook> {
    let mut errors = Vec::new();
    if let Some(rules) = &ask.exhibition {
        check(rules, "exhibition", GATE_CHARS_MAX, &mut errors);
    }
    for (id, rules) in &ask.products {
        let under = format!("products.{id}");
        if admin.exhibition.product(*id).is_none() {
            errors.push(FieldError { field: under.clone(), code: "unknown_product" });
        }
        check(rules, &under, GATE_CHARS_MAX, &mut errors);
    }
    if errors.is_empty() {
        Ok(Rulebook { exhibition: ask.exhibition, products: ask.products, walk_ins: ask.walk_ins })
    } else {
        Err(Error::fields(errors))
    }
}
