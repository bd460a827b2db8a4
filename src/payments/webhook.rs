//! Webhooks of the providers: stored, then answered at once. Nothing in them is believed: a worker asks the provider
//! about the payment, and only about ids that are ours.

use axum::extract::{Request, State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::model::{NoticeOutcome, Provider};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::{ClientAddress, Path};
use crate::platform::ids;

/// A payment object is a few kilobytes.
const BODY_BYTES_MAX: usize = 32 * 1024;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(receive))
}

/// Receives a webhook of a payment provider.
#[utoipa::path(post, path = "/api/webhooks/{provider}", tag = "payments", request_body = serde_json::Value,
    params(("provider" = String, Path, description = "toss or stripe")),
    responses((status = 200, description = "stored, or not for us"),
        (status = 400, description = "request.malformed_json"), (status = 403, description = "webhook.forged"),
        (status = 404, description = "payment.unknown_provider"), (status = 413, description = "request.too_large"),
        (status = 503, description = "server.busy, server.database_away")))]
async fn receive(
    State(app): State<App>,
    client: ClientAddress,
    Path(provider): Path<String>,
    request: Request,
) -> Result<&'static str> {
    let unknown = || Error::not_found("payment.unknown_provider");
    let provider = Provider::parse(&provider).filter(|provider| app.gateways.has(*provider)).ok_or_else(unknown)?;
    // Before the body is read: who may not say anything is not listened to.
    let known = &app.settings.toss_webhook_addresses;
    if provider == Provider::Toss && !known.is_empty() && !known.iter().any(|one| one.contains(client.address)) {
        app.metrics.webhook("forged");
        return Err(Error::forbidden("webhook.forged").because(format!("from {}", client.address)));
    }
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| Error::too_large("request.too_large").with("limit", "32 KB"))?;
    let notice = match app.gateways.of(provider)?.notice(&parts.headers, &body, app.clock.now()) {
        NoticeOutcome::About(notice) => notice,
        NoticeOutcome::NotForUs(why) => {
            app.metrics.webhook(why);
            return Ok("ok");
        }
        NoticeOutcome::Forged => {
            app.metrics.webhook("forged");
            return Err(Error::forbidden("webhook.forged"));
        }
        NoticeOutcome::Malformed => return Err(Error::malformed("request.malformed_json")),
    };
    // Only attempts of ours can have been named by anybody honest.
    if !ids::is_attempt_id(&notice.order_id) {
        app.metrics.webhook("not_ours");
        return Ok("ok");
    }
    let stored = app.intake.store(&app, provider, notice).await?;
    app.metrics.webhook(stored.as_str());
    Ok("ok")
}
