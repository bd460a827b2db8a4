//! RFC 9457 problem documents, and the page that says the same to a person.

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, Kind};
use crate::platform::texts::{self, Language};

pub const PROBLEM_JSON: &str = "application/problem+json";

/// What every refusal says (RFC 9457).
#[derive(Serialize, ToSchema)]
pub struct Problem {
    /// Where the code is explained: `/docs/problems#` and the code.
    r#type: String,
    title: &'static str,
    status: u16,
    /// Stable: branch on this, never on words.
    code: &'static str,
    /// For the visitor, in Korean or English.
    detail: String,
    /// Names this request in the logs; also as `X-Request-ID`.
    request_id: String,
    /// Where waiting helps, also as `Retry-After`. [seconds]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after_s: Option<u64>,
    /// Of `request.invalid`, and of `request.malformed_query` where a field is to blame.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
}

/// One field that was refused.
#[derive(Serialize, ToSchema)]
pub struct FieldProblem {
    /// Its path: `items[0].quantity`.
    field: String,
    code: &'static str,
    detail: String,
}

fn document(error: &Error, language: Language, request_id: &str) -> Problem {
    let words = |field: &crate::error::FieldError| FieldProblem {
        field: field.field.clone(),
        code: field.code,
        detail: texts::filled(language, &format!("field.{}", field.code), &error.values),
    };
    Problem {
        r#type: format!("/docs/problems#{}", error.code),
        title: error.kind.title(),
        status: error.kind.status().as_u16(),
        code: error.code,
        detail: texts::filled(language, &format!("problem.{}", error.code), &error.values),
        request_id: request_id.to_owned(),
        retry_after_s: error.retry_after.map(seconds),
        errors: error.fields.iter().map(words).collect(),
    }
}

fn seconds(after: std::time::Duration) -> u64 {
    after.as_millis().div_ceil(1000).max(1) as u64
}

/// `here`: the address of the page that is refused, if the caller reads pages.
pub fn render(error: &Error, language: Language, request_id: &str, here: Option<&str>) -> Response<Body> {
    let (kind, body) = if let Some(here) = here {
        ("text/html; charset=utf-8", page(error, language, request_id, here))
    } else {
        // Strings and numbers always serialise.
        let document = serde_json::to_string(&document(error, language, request_id)).unwrap_or_default();
        (PROBLEM_JSON, document)
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
    language: Language,
    detail: String,
    request_id: &'a str,
    here: &'a str,
}

impl ProblemPage<'_> {
    fn t(&self, key: &'static str) -> &'static str {
        texts::text(self.language, key)
    }
}

fn page(error: &Error, language: Language, request_id: &str, here: &str) -> String {
    use askama::Template;
    let detail = texts::filled(language, &format!("problem.{}", error.code), &error.values);
    ProblemPage { language, detail, request_id, here }.render().unwrap_or_else(|_| error.code.to_owned())
}
