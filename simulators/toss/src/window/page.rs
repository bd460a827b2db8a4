//! The pages of the payment window, Korean and English, for a phone first.

use super::FAILURES;
use crate::codes;
use crate::method::Method;
use crate::payment::Status;
use crate::refusal::Refusal;
use crate::store::Held;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{Html, IntoResponse, Response};
use serde_json::Value;
use simulator_common::html::{escape, grouped};

const FRAME: &str = include_str!("page.html");

pub fn checkout(held: &Held, left_ms: i64) -> Response {
    let payment = &held.object;
    match payment.status {
        Status::Ready | Status::InProgress => {}
        Status::Expired => return refused(&crate::refusal::refuse("EXPIRED_PAYMENT")),
        _ => return refused(&crate::refusal::refuse("ALREADY_PROCESSED_PAYMENT")),
    }
    let minutes = (left_ms.max(0) / 60_000).to_string();
    let body = include_str!("checkout.html")
        .replace("{{order_name}}", &escape(&payment.order_name))
        .replace("{{order_id}}", &escape(&payment.order_id))
        .replace("{{amount}}", &grouped(payment.total_amount))
        .replace("{{minutes}}", &minutes)
        .replace("{{methods}}", &methods(held.terms.wanted))
        .replace("{{failures}}", &failures())
        .replace("{{key}}", &escape(&payment.payment_key));
    framed(StatusCode::OK, &body)
}

/// A card window offers easy pay too; every other window has one way only.
fn methods(wanted: Method) -> String {
    let offered: &[Method] = if wanted == Method::Card { &[Method::Card, Method::EasyPay] } else { &[wanted] };
    let option = |(n, method): (usize, &Method)| {
        format!(
            r#"<label class="way"><input type="radio" name="method" value="{}"{}> <span>{} <small lang="en">{}</small></span></label>"#,
            method.code(),
            if n == 0 { " checked" } else { "" },
            method.korean(),
            method.english(),
        )
    };
    offered.iter().enumerate().map(option).collect()
}

fn failures() -> String {
    let known = FAILURES.iter().filter_map(|name| codes::find(name));
    known.map(|code| format!(r#"<option value="{0}">{0}</option>"#, code.name)).collect()
}

pub fn refused(refusal: &Refusal) -> Response {
    let body = format!(
        r#"<main><h1>{}</h1><p lang="en">{}</p><p class="fine"><code>{}</code></p></main>"#,
        escape(&refusal.ko),
        escape(&refusal.en),
        escape(&refusal.code)
    );
    framed(refusal.status, &body)
}

/// Hands the result to the page around the frame, and to that origin only.
pub fn message(opener: &str, message: &Value) -> Response {
    // A `<` inside the script could end it early.
    let literal = |value: &Value| value.to_string().replace('<', "\\u003c");
    let script = format!("parent.postMessage({{tossSimulator: {}}}, {})", literal(message), literal(&opener.into()));
    framed(StatusCode::OK, &format!(r#"<main><p>완료 <span lang="en">Done</span></p></main><script>{script}</script>"#))
}

fn framed(status: StatusCode, body: &str) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Html(FRAME.replace("{{body}}", body))).into_response()
}
