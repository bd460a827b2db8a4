//! `expand[]`: an id in an answer becomes the object it names.

use crate::form::Params;
use crate::refusal::{Refusal, invalid};
use crate::sim::Sim;
use serde_json::Value;
use simulator_common::lock;

/// What can be expanded, at the top of an answer or, behind `data.`, in every object of a page.
const KNOWN: [&str; 12] = [
    "latest_charge",
    "latest_charge.balance_transaction",
    "balance_transaction",
    "balance_transaction.source",
    "charge",
    "charge.balance_transaction",
    "payment_intent",
    "payment_intent.latest_charge",
    "source",
    "source.payment_intent",
    "source.charge",
    "failure_balance_transaction",
];
/// Stripe's own limit on levels is four; on paths it has none that matters.
const PATHS_MAX: usize = 10;

/// The paths a call asks for, checked before anything is done.
pub fn paths(params: &Params) -> Result<Vec<String>, Refusal> {
    let asked = params.list("expand");
    let unknown = asked.iter().find(|path| !KNOWN.contains(&path.strip_prefix("data.").unwrap_or(path)));
    if let Some(path) = unknown {
        return Err(invalid(format!("This property cannot be expanded ({path}).")).param("expand").early());
    }
    if asked.len() > PATHS_MAX {
        return Err(invalid(format!("You cannot expand more than {PATHS_MAX} properties.")).param("expand").early());
    }
    Ok(asked.into_iter().map(str::to_owned).collect())
}

pub fn expand(sim: &Sim, answer: &mut Value, path: &str) {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let Some(value) = answer.get_mut(first) else {
        return;
    };
    if let Value::Array(items) = value {
        items.iter_mut().for_each(|item| expand(sim, item, rest.unwrap_or_default()));
        return;
    }
    if let Some(object) = value.as_str().and_then(|id| find(sim, id)) {
        *value = object;
    }
    if let Some(rest) = rest {
        expand(sim, value, rest);
    }
}

/// Any object by its id.
fn find(sim: &Sim, id: &str) -> Option<Value> {
    if let Some(row) = sim.ledger.get(id) {
        return Some(row.to_json(sim.clock.now_ms()));
    }
    let entry = sim.store.owner(id)?;
    let held = lock(&entry);
    if &*held.intent.id == id {
        return Some(held.intent.to_json());
    }
    let charge = held.charges.iter().find(|charge| &*charge.id == id).map(|charge| charge.to_json());
    charge.or_else(|| held.refunds.iter().find(|refund| &*refund.id == id).map(|refund| refund.to_json()))
}
