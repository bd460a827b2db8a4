//! All payment intents with their charges and refunds.
//!
//! Lock order: an intent first, then the index. Nobody locks an intent while holding the index, which is held only
//! to look something up or to add it. Nothing is forgotten before a reset; the number of intents is bounded.

use crate::charge::Charge;
use crate::form::Range;
use crate::intent::{Intent, Status};
use crate::refund::Refund;
use serde_json::{Map, Value};
use simulator_common::{Text, lock};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// An intent and everything that belongs to it.
pub struct Held {
    pub intent: Intent,
    pub charges: Vec<Charge>,
    pub refunds: Vec<Refund>,
    /// Every status and when it began: search sees old ones for a while.
    pub history: Vec<(i64, Status)>,
    /// The moment an authorisation lapses.
    pub lapses_ms: Option<i64>,
}

pub type Entry = Arc<Mutex<Held>>;

impl Held {
    pub fn become_status(&mut self, now_ms: i64, status: Status) {
        self.intent.status = status;
        self.history.push((now_ms, status));
    }

    pub fn latest_charge(&mut self) -> Option<&mut Charge> {
        let id = self.intent.latest_charge.as_deref()?;
        self.charges.iter_mut().find(|charge| &*charge.id == id)
    }

    /// The status that an index `lag_ms` behind knows; None if the intent is too new for it.
    pub fn status_at(&self, at_ms: i64) -> Option<Status> {
        self.history.iter().rev().find(|(since_ms, _)| *since_ms <= at_ms).map(|(_, status)| *status)
    }
}

struct Row {
    id: Text,
    created_ms: i64,
    entry: Entry,
}

#[derive(Default)]
struct Index {
    intents: Vec<Row>,
    refunds: Vec<Row>,
    /// The row of the intent that an id belongs to: intents, charges, refunds.
    owners: HashMap<Text, usize>,
    /// Rows by `key=value` of their metadata, and by `=value` alone for testers.
    metadata: HashMap<String, Vec<usize>>,
}

#[derive(Default)]
pub struct Store {
    index: Mutex<Index>,
}

/// Where a page begins, and how much of it there is.
pub struct Cut {
    pub limit: usize,
    pub starting_after: Option<String>,
    pub ending_before: Option<String>,
}

impl Store {
    /// Files an intent. None if there are too many.
    pub fn insert(&self, held: Held, max: usize) -> Option<Entry> {
        let (id, created_ms) = (held.intent.id.clone(), held.intent.created_ms);
        let names = names(&held.intent.metadata);
        let entry: Entry = Arc::new(Mutex::new(held));
        let mut index = lock(&self.index);
        let at = index.intents.len();
        if at >= max {
            return None;
        }
        index.owners.insert(id.clone(), at);
        for name in names {
            index.metadata.entry(name).or_default().push(at);
        }
        // Two callers may read the clock in one order and arrive in the other; pages need ascending times.
        let created_ms = index.intents.last().map_or(created_ms, |last| last.created_ms.max(created_ms));
        index.intents.push(Row { id, created_ms, entry: entry.clone() });
        Some(entry)
    }

    pub fn add_charge(&self, intent: &str, charge: &Text) {
        let mut index = lock(&self.index);
        if let Some(at) = index.owners.get(intent).copied() {
            index.owners.insert(charge.clone(), at);
        }
    }

    pub fn add_refund(&self, intent: &str, refund: &Text, created_ms: i64) {
        let mut index = lock(&self.index);
        if let Some(at) = index.owners.get(intent).copied() {
            index.owners.insert(refund.clone(), at);
            let entry = index.intents[at].entry.clone();
            let created_ms = index.refunds.last().map_or(created_ms, |last| last.created_ms.max(created_ms));
            index.refunds.push(Row { id: refund.clone(), created_ms, entry });
        }
    }

    /// The intent that this id names or belongs to.
    pub fn owner(&self, id: &str) -> Option<Entry> {
        let index = lock(&self.index);
        index.owners.get(id).map(|at| index.intents[*at].entry.clone())
    }

    pub fn intent(&self, id: &str) -> Option<Entry> {
        if id.starts_with("pi_") { self.owner(id) } else { None }
    }

    /// Intents with this pair of metadata, oldest first; with an empty key, with this value under any key.
    pub fn by_metadata(&self, key: &str, value: &str) -> Vec<Entry> {
        let index = lock(&self.index);
        let rows = index.metadata.get(&format!("{key}={value}")).map_or(&[][..], Vec::as_slice);
        rows.iter().map(|at| index.intents[*at].entry.clone()).collect()
    }

    /// A page of intents, newest first, and whether there are more. None if an id it begins at is unknown.
    pub fn intents(&self, range: Range, cut: &Cut) -> Option<(Vec<Entry>, bool)> {
        page(&lock(&self.index).intents, cut, |row| range.holds(row.created_ms), |row| &row.id)
            .map(|(rows, more)| (rows.into_iter().map(|row| row.entry.clone()).collect(), more))
    }

    /// The same for refunds, with their ids.
    pub fn refunds(&self, range: Range, cut: &Cut) -> Option<(Vec<(Text, Entry)>, bool)> {
        page(&lock(&self.index).refunds, cut, |row| range.holds(row.created_ms), |row| &row.id)
            .map(|(rows, more)| (rows.into_iter().map(|row| (row.id.clone(), row.entry.clone())).collect(), more))
    }

    /// Intents before row `below`, newest first, for a search that walks them all.
    pub fn slice(&self, below: usize, len: usize) -> Vec<(usize, Entry)> {
        let index = lock(&self.index);
        let end = below.min(index.intents.len());
        (end.saturating_sub(len)..end).rev().map(|at| (at, index.intents[at].entry.clone())).collect()
    }

    pub fn clear(&self) {
        *lock(&self.index) = Index::default();
    }
}

fn names(metadata: &Map<String, Value>) -> Vec<String> {
    let pairs = metadata.iter().filter_map(|(key, value)| Some((key, value.as_str()?)));
    pairs.flat_map(|(key, value)| [format!("{key}={value}"), format!("={value}")]).collect()
}

/// A page of rows that are kept oldest first and shown newest first. None if an id it begins at is unknown.
pub fn page<'a, T>(
    rows: &'a [T],
    cut: &Cut,
    wanted: impl Fn(&T) -> bool,
    id: impl Fn(&T) -> &Text,
) -> Option<(Vec<&'a T>, bool)> {
    let find = |name: &str| rows.iter().rposition(|row| &**id(row) == name);
    if let Some(before) = &cut.ending_before {
        // The page just above that id, which still reads newest first.
        let first = find(before)? + 1;
        let mut newer: Vec<&T> = rows[first..].iter().filter(|row| wanted(row)).take(cut.limit + 1).collect();
        let more = newer.len() > cut.limit;
        newer.truncate(cut.limit);
        newer.reverse();
        return Some((newer, more));
    }
    let end = match &cut.starting_after {
        Some(after) => find(after)?,
        None => rows.len(),
    };
    let mut older: Vec<&T> = rows[..end].iter().rev().filter(|row| wanted(row)).take(cut.limit + 1).collect();
    let more = older.len() > cut.limit;
    older.truncate(cut.limit);
    Some((older, more))
}
