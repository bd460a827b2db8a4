//! Pages: `limit`, `starting_after`, `ending_before`, and the list object around them.

use crate::form::Params;
use crate::refusal::{Refusal, invalid};
use crate::store::Cut;
use serde_json::{Value, json};

const LIMIT_MAX: i64 = 100;

pub fn cut(params: &Params) -> Result<Cut, Refusal> {
    let limit = limit(params)?;
    let text = |name: &str| params.text(name).map(str::to_owned);
    let (starting_after, ending_before) = (text("starting_after"), text("ending_before"));
    if starting_after.is_some() && ending_before.is_some() {
        let message = "You may only specify one of these parameters: starting_after, ending_before.";
        return Err(invalid(message).early());
    }
    Ok(Cut { limit, starting_after, ending_before })
}

pub fn limit(params: &Params) -> Result<usize, Refusal> {
    match params.whole("limit")?.unwrap_or(10) {
        limit @ 1..=LIMIT_MAX => Ok(limit as usize),
        limit => {
            let message = format!("Invalid limit: {limit} must be between 1 and {LIMIT_MAX}.");
            Err(invalid(message).code("parameter_invalid_integer").param("limit").early())
        }
    }
}

pub fn list(url: &str, data: Vec<Value>, has_more: bool) -> Value {
    json!({ "object": "list", "data": data, "has_more": has_more, "url": url })
}

/// A page that begins at an id nobody knows.
pub fn unknown(object: &str, cut: &Cut) -> Refusal {
    let (id, param) = match (&cut.starting_after, &cut.ending_before) {
        (Some(id), _) => (id, "starting_after"),
        (None, Some(id)) => (id, "ending_before"),
        (None, None) => return invalid("Invalid page."),
    };
    invalid(format!("No such {object}: '{id}'")).code("resource_missing").param(param)
}
