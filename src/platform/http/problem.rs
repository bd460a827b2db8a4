//! RFC 9457 problem documents, and the page that says the same to a person.

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use serde_json::{Value, json};

use crate::error::{Error, Kind};
use crate::platform::texts::{self, Language};

pub fn document(error: &Error, language: Language, request_id: &str) -> Value {
    let key = format!("problem.{}", error.code);
    let mut document = json!({
        "type": format!("/docs/problems#{}", error.code),
        "title": error.kind.title(),
        "status": error.kind.status().as_u16(),
        "code": error.code,
        "detail": texts::filled(language, &key, &error.values),
        "request_id": request_id,
    });
    if !error.fields.is_empty() {
        document["errors"] = error
            .fields
            .iter()
            .map(|f| json!({ "field": f.field, "code": f.code, "detail": texts::text(language, &format!("field.{}", f.code)) }))
            .collect();
    }
    if let Some(after) = error.retry_after {
        document["retry_after_s"] = json!(seconds(after));
    }
    document
}

fn seconds(after: std::time::Duration) -> u64 {
    after.as_millis().div_ceil(1000).max(1) as u64
}

pub fn render(error: &Error, language: Language, request_id: &str, wants_page: bool) -> Response<Body> {
    let (kind, body) = if wants_page {
        ("text/html; charset=utf-8", page(error, language, request_id))
    } else {
        ("application/problem+json", document(error, language, request_id).to_string())
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = error.kind.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    if let Some(after) = error.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds(after)));
    }
    if error.kind == Kind::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

#[derive(askama::Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    language: &'a str,
    title: &'a str,
    detail: String,
    home: &'a str,
    request_id: &'a str,
}

fn page(error: &Error, language: Language, request_id: &str) -> String {
    use askama::Template;
    let detail = texts::filled(language, &format!("problem.{}", error.code), &error.values);
    ProblemPage {
        language: language.tag(),
        title: texts::text(language, "page.problem.title"),
        home: texts::text(language, "page.problem.home"),
        detail,
        request_id,
    }
    .render()
    .unwrap_or_else(|_| error.code.to_owned())
}
