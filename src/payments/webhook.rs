//! Webhooks from Toss: stored, then answered at once. Nothing in them is believed: payment webhooks carry no
//! signature, so a worker asks Toss about the payment, and only about ids that are ours.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::pg;
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::ids;
use crate::platform::secrets::{hex, sha256};

/// A Payment object is a few kilobytes.
const BODY_BYTES_MAX: usize = 32 * 1024;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(receive))
}

/// Receives a webhook of Toss Payments.
#[utoipa::path(post, path = "/api/webhooks/toss", tag = "payments", request_body = serde_json::Value,
    responses((status = 200, description = "stored, or not for us"),
        (status = 400, description = "request.malformed_json"), (status = 413, description = "request.too_large"),
        (status = 503, description = "server.database_away")))]
async fn receive(State(app): State<App>, request: Request) -> Result<&'static str> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| Error::too_large("request.too_large").with("limit", "32 KB"))?;
    let event: Value =
        serde_json::from_slice(&body).map_err(|e| Error::malformed("request.malformed_json").because(e))?;
    let Some(kind) = kind_of(&event) else {
        // Not a shape we know: answering anything but 200 would only bring it back for four days.
        app.metrics.webhook("unknown_shape");
        tracing::info!("a webhook of an unknown shape was left aside");
        return Ok("ok");
    };
    let Some(order_id) = order_id_of(&event) else {
        app.metrics.webhook("no_order");
        return Ok("ok");
    };
    // Only attempts of ours can have been named by anybody honest.
    if !ids::is_attempt_id(order_id) {
        app.metrics.webhook("not_ours");
        return Ok("ok");
    }
    let kept = kept_part(&event, kind, order_id);
    let client = app.pg.get().await?;
    let new = pg::store(&client, &transmission_id(&parts.headers, &body), kind, order_id, &kept).await?;
    app.metrics.webhook(if new { "received" } else { "repeated_or_not_ours" });
    Ok("ok")
}

fn kind_of(event: &Value) -> Option<&'static str> {
    match event.get("eventType").and_then(Value::as_str) {
        Some("PAYMENT_STATUS_CHANGED") if event.get("data").is_some() => Some("payment_status_changed"),
        Some(_) => None,
        None if event.get("secret").is_some() && event.get("transactionKey").is_some() => Some("deposit_callback"),
        None => None,
    }
}

fn order_id_of(event: &Value) -> Option<&str> {
    event.pointer("/data/orderId").or_else(|| event.get("orderId")).and_then(Value::as_str)
}

/// Only what the worker needs; values of another shape than Toss's are left out.
fn kept_part(event: &Value, kind: &str, order_id: &str) -> Value {
    let status = event.pointer("/data/status").or_else(|| event.get("status")).and_then(Value::as_str);
    let named = |text: &&str| text.len() <= 40 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    serde_json::json!({ "kind": kind, "order_id": order_id, "status": status.filter(named) })
}

/// Toss's id of the transmission, or the body's digest where there is none. Both together, so that a forged id
/// cannot make a real event look repeated.
fn transmission_id(headers: &HeaderMap, body: &[u8]) -> String {
    let given = headers.get("tosspayments-webhook-transmission-id").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let digest = hex(&sha256(&[body]));
    format!("{}:{}", given.chars().take(80).collect::<String>(), &digest[..32])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shapes_are_told_apart() {
        let status = json!({"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": "ORD20250725-0123456789-1"}});
        assert_eq!(kind_of(&status), Some("payment_status_changed"));
        assert!(ids::is_attempt_id(order_id_of(&status).unwrap()));
        let deposit = json!({"secret": "s", "transactionKey": "t", "orderId": "o", "status": "DONE"});
        assert_eq!(kind_of(&deposit), Some("deposit_callback"));
        assert_eq!(kind_of(&json!({"eventType": "payout.changed", "entityBody": {}})), None);
        assert_eq!(kind_of(&json!([1, 2])), None);
        assert!(!ids::is_attempt_id("TK-20261120-7Q2M9X"));
    }
}
