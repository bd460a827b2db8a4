//! The file `sql/invariants.sql`: blocks headed `-- invariant: <name>`, each a query whose rows are violations.

use std::path::Path;

use serde::Serialize;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::Failure;

const HEADING: &str = "-- invariant:";
/// Enough of a broken invariant to begin looking.
const ROWS_SHOWN: usize = 5;

#[derive(Debug, PartialEq, Eq)]
pub struct Invariant {
    pub name: String,
    pub query: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    pub name: String,
    pub violations: usize,
    pub rows: Vec<String>,
    /// A query that cannot run proves nothing, so it counts as broken.
    pub error: Option<String>,
}

impl Verdict {
    pub fn kept(&self) -> bool {
        self.violations == 0 && self.error.is_none()
    }
}

pub fn read(path: &Path) -> Result<Vec<Invariant>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let invariants = parse(&text);
    if invariants.is_empty() { Err(format!("{} names no invariant", path.display())) } else { Ok(invariants) }
}

fn parse(text: &str) -> Vec<Invariant> {
    let mut invariants: Vec<Invariant> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.trim_start().strip_prefix(HEADING) {
            invariants.push(Invariant { name: name.trim().to_owned(), query: String::new() });
        } else if let Some(last) = invariants.last_mut() {
            last.query.push_str(line);
            last.query.push('\n');
        }
    }
    invariants
}

/// All in one snapshot: two statements of a moving sale would disagree without anything being wrong.
pub async fn check(postgres: &Client, invariants: &[Invariant]) -> Result<Vec<Verdict>, Failure> {
    let begin = "begin transaction isolation level repeatable read, read only";
    postgres.batch_execute(begin).await.map_err(|error| format!("invariants: {error}"))?;
    let mut verdicts = Vec::new();
    for invariant in invariants {
        // A savepoint, so that one failing query does not spoil the snapshot of the others.
        let save = postgres.batch_execute("savepoint one").await;
        save.map_err(|error| format!("invariants: {error}"))?;
        let verdict = one(postgres, invariant).await;
        if verdict.error.is_some() {
            let back = postgres.batch_execute("rollback to savepoint one").await;
            back.map_err(|error| format!("invariants: {error}"))?;
        }
        verdicts.push(verdict);
    }
    postgres.batch_execute("commit").await.map_err(|error| format!("invariants: {error}"))?;
    Ok(verdicts)
}

async fn one(postgres: &Client, invariant: &Invariant) -> Verdict {
    let mut verdict = Verdict { name: invariant.name.clone(), violations: 0, rows: Vec::new(), error: None };
    match postgres.simple_query(&invariant.query).await {
        Ok(messages) => {
            for message in messages {
                let SimpleQueryMessage::Row(row) = message else {
                    continue;
                };
                verdict.violations += 1;
                if verdict.rows.len() < ROWS_SHOWN {
                    let columns = row.columns().iter().enumerate();
                    let shown: Vec<String> = columns
                        .map(|(at, column)| format!("{}={}", column.name(), row.get(at).unwrap_or("null")))
                        .collect();
                    verdict.rows.push(shown.join(" "));
                }
            }
        }
        Err(error) => {
            let detail = error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned());
            verdict.error = Some(detail);
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_told_apart() {
        let text = "-- Prose before the first.\n-- invariant: one\nselect 1\n -- why\n where false;\n\n-- invariant:  two \nselect 2;\n";
        let read = parse(text);
        assert_eq!(read.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
        assert!(read[0].query.contains("where false") && !read[0].query.contains("select 2"));
    }
}
