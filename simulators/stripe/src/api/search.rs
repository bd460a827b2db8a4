//! `GET /v1/payment_intents/search`: by metadata, status and a few more, through an index that lags behind.
//!
//! The language as Stripe has it: clauses joined by AND or by OR, `field:'value'`, `metadata['key']:'value'`, a minus
//! for not, and comparisons of `amount` and `created`.

use super::{intents::show, lists};
use crate::call::{Ask, Inbound};
use crate::faults::Op;
use crate::form::{Params, required};
use crate::refusal::{Refusal, invalid};
use crate::sim::Sim;
use crate::store::{Entry, Held};
use crate::webhooks::Job;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Value, json};
use simulator_common::lock;
use std::sync::Arc;

/// As Stripe has it.
const CLAUSES_MAX: usize = 10;
/// Intents looked at under one hold of the index.
const SLICE: usize = 1_000;

#[derive(Debug, PartialEq)]
struct Clause {
    not: bool,
    field: Field,
    compare: Compare,
    value: String,
}

#[derive(Debug, PartialEq)]
enum Field {
    Metadata(String),
    Status,
    Currency,
    Amount,
    Created,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Compare {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, PartialEq)]
struct Query {
    clauses: Vec<Clause>,
    any: bool,
}

pub async fn search(State(sim): State<Arc<Sim>>, inbound: Inbound, body: Bytes) -> Response {
    let work = |sim: &Sim, ask: &Ask| {
        let mut jobs = Vec::new();
        (answer(sim, &ask.params, &mut jobs), jobs)
    };
    inbound.run(sim, Op::List, None, body, work).await
}

fn answer(sim: &Sim, params: &Params, jobs: &mut Vec<Job>) -> Result<Value, Refusal> {
    params.only(&["query", "limit", "page"])?;
    let query = Query::read(params.text("query").ok_or_else(|| required("query"))?)?;
    let limit = lists::limit(params)?;
    // A page's token says how many hits came before it; Stripe's is opaque, and so should callers take this one.
    let skip: usize = match params.text("page") {
        None => 0,
        Some(page) => page.parse().map_err(|_| invalid("Invalid page.").param("page").early())?,
    };
    let seen_ms = sim.clock.now_ms() - i64::from(sim.options().search_lag_s) * 1_000;
    let (hits, more) = find(sim, &query, seen_ms, skip, limit);
    // The index is behind; what it points to is shown as it is now.
    let data: Vec<Value> = hits.iter().map(|entry| show(sim, entry, jobs)).collect();
    Ok(json!({
        "object": "search_result",
        "data": data,
        "has_more": more,
        "next_page": more.then(|| (skip + limit).to_string()),
        "url": "/v1/payment_intents/search",
    }))
}

/// Hits newest first, and whether there are more than wanted.
fn find(sim: &Sim, query: &Query, seen_ms: i64, skip: usize, limit: usize) -> (Vec<Entry>, bool) {
    let mut hits = Vec::new();
    let mut passed = 0;
    let mut look = |entry: Entry| {
        if query.matches(&lock(&entry), seen_ms) {
            if passed >= skip {
                hits.push(entry);
            }
            passed += 1;
        }
        hits.len() > limit
    };
    if let Some((key, value)) = query.pair() {
        let _ = sim.store.by_metadata(key, value).into_iter().rev().any(&mut look);
    } else {
        let mut below = usize::MAX;
        loop {
            let slice = sim.store.slice(below, SLICE);
            let Some((oldest, _)) = slice.last() else { break };
            below = *oldest;
            if slice.into_iter().any(|(_, entry)| look(entry)) {
                break;
            }
        }
    }
    let more = hits.len() > limit;
    hits.truncate(limit);
    (hits, more)
}

impl Query {
    fn read(text: &str) -> Result<Self, Refusal> {
        let wrong = |why: &str| {
            let message = format!("We were unable to parse your search query. {why}");
            invalid(message).param("query").early()
        };
        let mut rest = text.trim();
        let mut query = Query { clauses: Vec::new(), any: false };
        loop {
            let (clause, after) =
                Clause::read(rest).ok_or_else(|| wrong("Try using the format `metadata['key']:'value'`."))?;
            query.clauses.push(clause);
            rest = after.trim_start();
            if rest.is_empty() {
                break;
            }
            let any = strip_word(rest, "OR");
            if query.clauses.len() > 1 && any.is_some() != query.any {
                return Err(wrong("AND and OR cannot be mixed."));
            }
            query.any = any.is_some();
            // Two clauses side by side are both meant.
            rest = any.or(strip_word(rest, "AND")).unwrap_or(rest).trim_start();
            if query.clauses.len() == CLAUSES_MAX {
                return Err(wrong("Too many clauses."));
            }
        }
        Ok(query)
    }

    /// A pair of metadata that every hit has, to look up instead of walking all.
    fn pair(&self) -> Option<(&str, &str)> {
        if self.any && self.clauses.len() > 1 {
            return None;
        }
        self.clauses.iter().filter(|clause| !clause.not).find_map(|clause| match &clause.field {
            Field::Metadata(key) => Some((key.as_str(), clause.value.as_str())),
            _ => None,
        })
    }

    fn matches(&self, held: &Held, seen_ms: i64) -> bool {
        let Some(status) = held.status_at(seen_ms) else {
            // Not indexed yet.
            return false;
        };
        let mut each = self.clauses.iter().map(|clause| clause.matches(held, status.name()));
        if self.any { each.any(|matches| matches) } else { each.all(|matches| matches) }
    }
}

fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    let rest = &text[word.len()..];
    (head.eq_ignore_ascii_case(word) && rest.starts_with(char::is_whitespace)).then_some(rest)
}

impl Clause {
    fn read(text: &str) -> Option<(Self, &str)> {
        let (not, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let (name, mut rest) = text.split_at(end);
        let field = match name {
            "metadata" => {
                let (key, after) = quoted(rest.strip_prefix('[')?)?;
                rest = after.strip_prefix(']')?;
                Field::Metadata(key)
            }
            "status" => Field::Status,
            "currency" => Field::Currency,
            "amount" => Field::Amount,
            "created" => Field::Created,
            _ => return None,
        };
        let signs = [
            (":", Compare::Equal),
            ("<=", Compare::LessOrEqual),
            ("<", Compare::Less),
            (">=", Compare::GreaterOrEqual),
            (">", Compare::Greater),
        ];
        let (sign, compare) = signs.into_iter().find(|(sign, _)| rest.starts_with(sign))?;
        rest = &rest[sign.len()..];
        let (value, rest) = match quoted(rest) {
            Some(found) => found,
            None => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        let numeric = matches!(field, Field::Amount | Field::Created);
        let sound = if numeric { value.parse::<i64>().is_ok() } else { compare == Compare::Equal };
        sound.then_some((Clause { not, field, compare, value }, rest))
    }

    fn matches(&self, held: &Held, status: &str) -> bool {
        let matches = match &self.field {
            Field::Metadata(key) => held.intent.metadata.get(key).is_some_and(|value| *value == *self.value),
            Field::Status => status == self.value,
            Field::Currency => self.value.eq_ignore_ascii_case("krw"),
            Field::Amount => self.compares(held.intent.amount),
            Field::Created => self.compares(held.intent.created_ms / 1_000),
        };
        matches != self.not
    }

    fn compares(&self, number: i64) -> bool {
        let Ok(value) = self.value.parse::<i64>() else {
            return false;
        };
        match self.compare {
            Compare::Equal => number == value,
            Compare::Less => number < value,
            Compare::LessOrEqual => number <= value,
            Compare::Greater => number > value,
            Compare::GreaterOrEqual => number >= value,
        }
    }
}

/// Text in single or double quotes, with backslashes before quotes inside.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| *c == '\'' || *c == '"')?;
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.push(chars.next()?.1),
            c if c == quote => return Some((value, &text[at + 1..])),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_read() {
        let query = Query::read("metadata['order_id']:'ORD-1' AND -status:\"canceled\" amount>=1000").expect("a query");
        assert_eq!((query.clauses.len(), query.any), (3, false));
        assert_eq!(query.pair(), Some(("order_id", "ORD-1")));
        assert!(query.clauses[1].not);
        assert_eq!(query.clauses[2].compare, Compare::GreaterOrEqual);
        assert!(Query::read("status:'a' OR status:'b'").expect("a query").any);
        for wrong in [
            "",
            "name",
            "metadata[x]:'y'",
            "amount:many",
            "status>'a'",
            "a:'b'",
            "status:'a' OR status:'b' AND status:'c'",
        ] {
            assert!(Query::read(wrong).is_err(), "{wrong}");
        }
    }
}
