//! The refusals of the API's description: every one is a problem document, and what the extractors refuse is added
//! here, so that a handler lists only its own codes.

use axum::http::StatusCode;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{Content, ObjectBuilder, OpenApi, Ref, RefOr, Required, Response, Schema};

use super::problem::PROBLEM_JSON;

/// Completes the descriptions that the handlers gave.
pub fn add(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in methods.into_iter().flatten() {
            complete(operation);
        }
    }
}

fn complete(operation: &mut Operation) {
    // Said aloud: a call without proof is meant to be one.
    operation.security.get_or_insert_default();
    if takes_json(operation) {
        for (status, code) in [
            ("400", "request.malformed_json"),
            ("413", "request.too_large"),
            ("415", "request.content_type"),
            ("422", "request.invalid"),
        ] {
            name(operation, status, code);
        }
    }
    if parameters(operation).any(|one| matches!(one.parameter_in, ParameterIn::Query)) {
        name(operation, "400", "request.malformed_query");
    }
    let key = parameters(operation).find(|one| one.name == "Idempotency-Key");
    if let Some(required) = key.map(|key| matches!(key.required, Required::True)) {
        name(operation, "400", "idempotency.malformed_key");
        if required {
            name(operation, "400", "idempotency.key_required");
        }
    }
    if parameters(operation).any(|one| one.name == "If-Match") {
        name(operation, "412", "request.changed_meanwhile");
        name(operation, "428", "request.if_match_required");
    }
    name(operation, "500", "server.bug");
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if response.description.is_empty() {
            response.description = reason(status);
        }
        if status.starts_with(['4', '5']) {
            refusal(status, response);
        }
    }
}

/// A body of a type of ours, read by our own extractor; a webhook is read as it comes.
fn takes_json(operation: &Operation) -> bool {
    let typed = |content: &RefOr<Content>| matches!(content, RefOr::T(Content { schema: Some(RefOr::Ref(_)), .. }));
    matches!(&operation.request_body, Some(RefOr::T(RequestBody { content, .. })) if content.values().any(typed))
}

fn parameters(operation: &Operation) -> impl Iterator<Item = &Parameter> {
    operation.parameters.iter().flatten().filter_map(|one| match one {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    })
}

/// Adds a code to those of a status.
fn name(operation: &mut Operation, status: &str, code: &str) {
    let response = operation.responses.responses.entry(status.to_owned()).or_insert_with(|| Response::new("").into());
    if let RefOr::T(response) = response {
        let before = std::mem::take(&mut response.description);
        response.description = if before.is_empty() { code.to_owned() } else { format!("{code}, {before}") };
    }
}

fn refusal(status: &str, response: &mut Response) {
    let schema: RefOr<Schema> = Ref::from_schema_name("Problem").into();
    response.content.insert(PROBLEM_JSON.to_owned(), Content::new(Some(schema)).into());
    if matches!(status, "429" | "503") {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer);
        let header = HeaderBuilder::new().schema(Some(seconds)).description(Some("when to try again, in seconds"));
        response.headers.insert("Retry-After".to_owned(), header.build().into());
    }
}

/// The status in words, which the format demands where a handler had nothing to say.
fn reason(status: &str) -> String {
    let known = StatusCode::from_bytes(status.as_bytes()).ok().and_then(|status| status.canonical_reason());
    known.unwrap_or(status).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::platform::http::codes::STATUSES;

    #[test]
    fn every_code_that_a_call_names_has_its_status() {
        let document: Value = serde_json::from_str(crate::platform::http::openapi::document()).unwrap();
        let mut named = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (status, response) in
                item.as_object().unwrap().values().flat_map(|o| o["responses"].as_object().unwrap())
            {
                let about = response["description"].as_str().unwrap_or_else(|| panic!("{path} {status} says nothing"));
                let codes = about.split([',', ':', ' ']).filter(|word| word.contains('.'));
                for code in codes.filter(|_| status.starts_with(['4', '5'])) {
                    let known = STATUSES.iter().any(|(one, number)| *one == code && number.to_string() == *status);
                    assert!(known, "{path}: {code} is not a {status}");
                    named += 1;
                }
            }
        }
        assert!(named > 100, "{named}");
    }
}
