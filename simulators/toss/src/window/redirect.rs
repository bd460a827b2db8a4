//! The way back: a redirect with exactly Toss's query, or a message to the page that waits for a promise.

use super::page;
use crate::refusal::Refusal;
use crate::store::Held;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;

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

/// Adds pairs to an address; what it already carries stays, and a fragment stays last.
fn with_query(url: &str, pairs: &[(&str, &str)]) -> String {
    let (url, fragment) = url.split_once('#').map_or((url, None), |(url, fragment)| (url, Some(fragment)));
    let mut out = url.to_owned();
    for (name, value) in pairs {
        out.push(if out.contains('?') { '&' } else { '?' });
        out.push_str(name);
        out.push('=');
        encode(value, &mut out);
    }
    if let Some(fragment) = fragment {
        out.push('#');
        out.push_str(fragment);
    }
    out
}

fn encode(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::with_query;

    #[test]
    fn an_address_keeps_what_it_carries() {
        let pairs = [("orderId", "a=b"), ("message", "취소 1")];
        assert_eq!(
            with_query("http://x/back?seat=1#top", &pairs),
            "http://x/back?seat=1&orderId=a%3Db&message=%EC%B7%A8%EC%86%8C%201#top"
        );
        assert_eq!(with_query("http://x/back", &pairs[..1]), "http://x/back?orderId=a%3Db");
    }
}
