//! The way back: a redirect with exactly Toss's query, or a message to the page that waits for a promise.

use super::page;
use crate::refusal::Refusal;
use crate::store::Held;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;
use simulator_common::address::with_query;

pub fn success(held: &Held, with_payment_type: bool) -> Response {
    let payment = &held.object;
    let amount = payment.total_amount.to_string();
    if let Some(opener) = &held.terms.opener {
        let result = json!({
            "paymentKey": payment.payment_key,
            "orderId": payment.order_id,
            "amount": { "currency": payment.currency, "value": payment.total_amount },
            "paymentType": payment.r#type,
        });
        return page::message(opener, &json!({ "result": result }));
    }
    let mut pairs = vec![];
    if with_payment_type {
        pairs.push(("paymentType", payment.r#type));
    }
    pairs.extend([("orderId", &*payment.order_id), ("paymentKey", &*payment.payment_key), ("amount", &amount)]);
    to(held.terms.success_url.as_deref(), &pairs)
}

/// Whether the order is named depends on the code: a buyer who turned away sends none.
pub fn failure(held: &Held, refusal: &Refusal, name_order: bool) -> Response {
    if let Some(opener) = &held.terms.opener {
        let code = if refusal.code == "PAY_PROCESS_CANCELED" { "USER_CANCEL" } else { &refusal.code };
        return page::message(opener, &json!({ "error": { "code": code, "message": refusal.ko } }));
    }
    let mut pairs = vec![("code", &*refusal.code), ("message", &*refusal.ko)];
    if name_order {
        pairs.push(("orderId", &held.object.order_id));
    }
    to(held.terms.fail_url.as_deref(), &pairs)
}

fn to(url: Option<&str>, pairs: &[(&str, &str)]) -> Response {
    match url {
        Some(url) => Redirect::to(&with_query(url, pairs)).into_response(),
        None => page::refused(&crate::refusal::refuse("INCORRECT_FAIL_URL_FORMAT")),
    }
}
