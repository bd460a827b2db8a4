//! The pages of the payment window, Korean and English, for a phone first.

use crate::declines;
use crate::method::Kind;
use crate::refusal::Refusal;
use crate::store::Held;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{Html, IntoResponse, Response};
use simulator_common::html::{escape, grouped};

const FRAME: &str = include_str!("page.html");

pub fn checkout(held: &Held, client_secret: &str, return_url: &str) -> Response {
    let intent = &held.intent;
    let hidden = format!(
        r#"<input type="hidden" name="client_secret" value="{}"><input type="hidden" name="return_url" value="{}">"#,
        escape(client_secret),
        escape(return_url)
    );
    let body = include_str!("checkout.html")
        .replace("{{description}}", &escape(intent.description.as_deref().unwrap_or("결제")))
        .replace("{{amount}}", &grouped(intent.amount))
        .replace("{{ways}}", &ways(&intent.offered))
        .replace("{{failures}}", &failures())
        .replace("{{id}}", &escape(&intent.id))
        .replace("{{hidden}}", &hidden);
    framed(StatusCode::OK, &body)
}

fn ways(offered: &[Kind]) -> String {
    let option = |(n, kind): (usize, &Kind)| {
        let (ko, en) = match kind {
            Kind::Card => ("해외 카드", "Card"),
            Kind::KrCard => ("국내 카드", "Korean card"),
            Kind::KakaoPay => ("카카오페이", "Kakao Pay"),
            Kind::NaverPay => ("네이버페이", "Naver Pay"),
        };
        format!(
            r#"<label class="way"><input type="radio" name="method" value="{}"{}> <span>{ko} <small lang="en">{en}</small></span></label>"#,
            kind.name(),
            if n == 0 { " checked" } else { "" },
        )
    };
    offered.iter().enumerate().map(option).collect()
}

fn failures() -> String {
    declines::names().map(|name| format!(r#"<option value="{name}">{name}</option>"#)).collect()
}

pub fn refused(refusal: &Refusal) -> Response {
    let body = format!(
        r#"<main><h1>결제를 진행할 수 없습니다. <span lang="en">The payment cannot go on.</span></h1><p lang="en">{}</p></main>"#,
        escape(refusal.message())
    );
    framed(refusal.status, &body)
}

fn framed(status: StatusCode, body: &str) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Html(FRAME.replace("{{body}}", body))).into_response()
}
