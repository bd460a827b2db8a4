//! Sends an order's mail again: it was lost, or its address was wrong.

use std::time::Duration;

use axum::Json as Reply;
use axum::extract::State;
use axum::response::Response;
use jiff::SignedDuration;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::change::pg;
use super::order_of;
use crate::admin::access::Support;
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::error::{Error, Result};
use crate::notifications::letter::again;
use crate::orders::api::private;
use crate::platform::http::Path;
use crate::platform::ids;

/// Whoever has not got it by then has another problem.
const PER_DAY: i64 = 5;
const DAY: SignedDuration = SignedDuration::from_hours(24);

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(resend))
}

#[derive(Serialize, ToSchema)]
struct Resent {
    /// order_paid or deposit_asked.
    mail: &'static str,
    /// How often it may be sent again today.
    left_today: i64,
}

/// Sends the mail that belongs to the order's state again: the tickets, or where to pay in.
#[utoipa::path(post, path = "/api/admin/orders/{order_number}/resend", tag = "admin", security(("staff" = [])),
    params(("order_number" = String, Path,)),
    responses((status = 200, body = Resent),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 404, description = "order.unknown"),
        (status = 409, description = "order.nothing_to_send, order.no_address"),
        (status = 429, description = "order.too_many_mails: 5 a day for each order"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn resend(State(app): State<App>, by: Support, Path(number): Path<String>) -> Result<Response> {
    let order = order_of(&app, &by.user, &number).await?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    // One after the other, or two at once would both find that it was sent four times.
    let locked = pg::lock(&transaction, order.facts.id).await?;
    let mail = again(locked.state).ok_or_else(|| Error::conflict("order.nothing_to_send"))?;
    // As it is now: whoever was forgotten meanwhile has none.
    if !locked.has_email {
        return Err(Error::conflict("order.no_address"));
    }
    let (sent, first) = pg::resent(&transaction, order.facts.id).await?;
    if sent >= PER_DAY {
        let wait = first.map_or(DAY, |first| DAY - app.clock.now().duration_since(first)).as_secs().max(1);
        return Err(Error::too_many("order.too_many_mails", Duration::from_secs(wait.unsigned_abs())));
    }
    let id = ids::row_id(app.clock.now());
    pg::resend(&transaction, id, order.facts.id, by.user.id).await?;
    let entry = Entry {
        by: &Actor::from(&by),
        action: "order.resend",
        exhibition_id: Some(order.facts.exhibition_id),
        before: Value::Null,
        after: json!({ "order": number, "mail": mail }),
    };
    audit::record(&transaction, &entry).await?;
    transaction.commit().await?;
    Ok(private(Reply(Resent { mail, left_today: PER_DAY - sent - 1 })))
}
