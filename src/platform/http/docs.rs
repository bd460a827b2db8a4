//! The API and its problems as pages for people, written from the OpenAPI document and the texts themselves.

use std::collections::{BTreeMap, HashMap};

use askama::Template;
use serde_json::Value;

use super::codes::STATUSES;
use crate::error::{Error, Result};
use crate::platform::texts::{self, Language};

/// Schemas are shown this many levels deep; deeper ones only by name.
const DEPTH_MAX: usize = 4;

#[derive(Template)]
#[template(path = "docs.html")]
struct ApiPage {
    title: String,
    version: String,
    about: Vec<String>,
    problem: Vec<Field>,
    groups: Vec<Group>,
}

struct Group {
    name: String,
    calls: Vec<Call>,
}

struct Call {
    anchor: String,
    method: String,
    path: String,
    summary: String,
    description: Vec<String>,
    security: Vec<String>,
    params: Vec<Field>,
    body: Vec<Field>,
    replies: Vec<Reply>,
}

struct Field {
    name: String,
    kind: String,
    required: bool,
    about: String,
    depth: usize,
}

struct Reply {
    status: String,
    about: String,
    fields: Vec<Field>,
}

pub fn api(document: &str) -> Result<String> {
    let document: Value = serde_json::from_str(document).map_err(Error::bug)?;
    let mut groups = BTreeMap::<String, Vec<Call>>::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            if operation.get("responses").is_some() {
                let call = call(&document, path, method, operation);
                groups.entry(text(&operation["tags"][0])).or_default().push(call);
            }
        }
    }
    let info = &document["info"];
    let mut problem = Vec::new();
    properties(&document, &document["components"]["schemas"]["Problem"], 0, &mut problem);
    ApiPage {
        title: text(&info["title"]),
        version: text(&info["version"]),
        about: paragraphs(&info["description"]),
        problem,
        groups: groups.into_iter().map(|(name, calls)| Group { name, calls }).collect(),
    }
    .render()
    .map_err(Error::bug)
}

fn call(document: &Value, path: &str, method: &str, operation: &Value) -> Call {
    let schemes = operation["security"].as_array().into_iter().flatten();
    let replies = operation["responses"].as_object().into_iter().flatten();
    Call {
        anchor: format!("{method}{}", path.replace(['/', '{', '}'], "-")),
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: marked(&text(&operation["summary"])),
        description: paragraphs(&operation["description"]),
        security: schemes.map(proof).collect(),
        params: operation["parameters"].as_array().into_iter().flatten().map(|one| parameter(document, one)).collect(),
        body: content(document, &operation["requestBody"]),
        replies: replies
            .map(|(status, reply)| Reply {
                status: status.clone(),
                about: marked(&text(&reply["description"])),
                fields: content(document, reply),
            })
            .collect(),
    }
}

/// One of several proofs that will do; an empty one says that the call may also be made without.
fn proof(requirement: &Value) -> String {
    let scheme = requirement.as_object().and_then(|one| one.keys().next());
    scheme.map_or_else(|| "nothing".to_owned(), String::clone)
}

fn parameter(document: &Value, parameter: &Value) -> Field {
    Field {
        name: text(&parameter["name"]),
        kind: format!("{}, {}", text(&parameter["in"]), kind(document, &parameter["schema"])),
        required: parameter["required"].as_bool().unwrap_or(false),
        about: marked(&text(&parameter["description"])),
        depth: 0,
    }
}

/// The fields of the JSON body of a request or reply. All refusals have the same, which are shown once.
fn content(document: &Value, holder: &Value) -> Vec<Field> {
    let mut fields = Vec::new();
    properties(document, &holder["content"]["application/json"]["schema"], 0, &mut fields);
    fields
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    schema["$ref"].as_str().and_then(|path| document.pointer(path.trim_start_matches('#'))).unwrap_or(schema)
}

/// What a nullable or repeated schema is about.
fn inner<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let schema = resolve(document, schema);
    if let Some(one) = schema["oneOf"].as_array().and_then(|all| all.iter().find(|one| one["type"] != "null")) {
        return inner(document, one);
    }
    if schema["items"].is_object() { inner(document, &schema["items"]) } else { schema }
}

fn properties(document: &Value, schema: &Value, depth: usize, out: &mut Vec<Field>) {
    let schema = inner(document, schema);
    for part in schema["allOf"].as_array().into_iter().flatten() {
        properties(document, part, depth, out);
    }
    let required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        out.push(Field {
            name: name.clone(),
            kind: kind(document, property),
            required: required(name),
            about: marked(&text(&property["description"])),
            depth,
        });
        if depth + 1 < DEPTH_MAX {
            properties(document, property, depth + 1, out);
        }
    }
}

fn kind(document: &Value, schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        let target = resolve(document, schema);
        return if target["properties"].is_object() || target["allOf"].is_array() {
            name.to_owned()
        } else {
            kind(document, target)
        };
    }
    if let Some(all) = schema["oneOf"].as_array() {
        return all.iter().map(|one| kind(document, one)).collect::<Vec<_>>().join(" | ");
    }
    if let Some(all) = schema["enum"].as_array() {
        return all.iter().map(text).collect::<Vec<_>>().join(" | ");
    }
    let name = match &schema["type"] {
        Value::Array(all) => all.iter().map(text).collect::<Vec<_>>().join(" | "),
        one => text(one),
    };
    match (name.as_str(), schema["format"].as_str()) {
        ("array", _) => format!("[{}]", kind(document, &schema["items"])),
        ("", _) => "any".to_owned(),
        (_, Some(format)) => format!("{name} ({format})"),
        _ => name,
    }
}

/// Descriptions are written with `code` between backticks.
fn marked(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for (at, part) in text.split('`').enumerate() {
        let escaped = part.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        match at % 2 {
            0 => out.push_str(&escaped),
            _ => out.extend(["<code>", &escaped, "</code>"]),
        }
    }
    out
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn paragraphs(value: &Value) -> Vec<String> {
    value.as_str().unwrap_or_default().split("\n\n").filter(|p| !p.trim().is_empty()).map(marked).collect()
}

#[derive(Template)]
#[template(path = "problems.html")]
struct ProblemsPage {
    language: &'static str,
    title: &'static str,
    intro: &'static str,
    fields_title: &'static str,
    problems: Vec<Problem>,
    fields: Vec<Problem>,
}

struct Problem {
    code: String,
    status: Option<u16>,
    ko: String,
    en: String,
}

/// Every code with its words, as the visitor would read them.
pub fn problems(language: Language) -> Result<String> {
    let read = |json: &str| serde_json::from_str::<BTreeMap<String, String>>(json).map_err(Error::bug);
    let ko = read(include_str!("../../../web/locales/ko.json"))?;
    let en = read(include_str!("../../../web/locales/en.json"))?;
    let statuses: HashMap<&str, u16> = STATUSES.iter().copied().collect();
    let with = |prefix: &str| {
        ko.iter()
            .filter_map(|(key, ko)| {
                let code = key.strip_prefix(prefix)?;
                let en = en.get(key).cloned().unwrap_or_default();
                Some(Problem { code: code.to_owned(), status: statuses.get(code).copied(), ko: ko.clone(), en })
            })
            .collect()
    };
    ProblemsPage {
        language: language.tag(),
        title: texts::text(language, "docs.problems.title"),
        intro: texts::text(language, "docs.problems.intro"),
        fields_title: texts::text(language, "docs.problems.fields"),
        problems: with("problem."),
        fields: with("field."),
    }
    .render()
    .map_err(Error::bug)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_cannot_carry_markup() {
        assert_eq!(marked("a <b> & `x<y>` \"c\""), "a &lt;b&gt; &amp; <code>x&lt;y&gt;</code> &quot;c&quot;");
    }

    #[test]
    fn the_whole_api_is_on_the_page() {
        let document = crate::platform::http::openapi::document();
        let page = api(document).unwrap();
        let parsed: Value = serde_json::from_str(document).unwrap();
        assert_eq!(parsed["openapi"], "3.1.0");
        for path in parsed["paths"].as_object().unwrap().keys() {
            assert!(page.contains(path.as_str()), "{path}");
        }
        assert!(!page.contains("<script") && !page.contains("style="));
    }

    #[test]
    fn every_code_is_on_the_problems_page() {
        let page = problems(Language::Ko).unwrap();
        for (code, status) in STATUSES {
            assert!(page.contains(&format!("id=\"{code}\"")), "{code} {status}");
        }
    }
}
