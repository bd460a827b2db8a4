//! SQL of the rules of entry.

use deadpool_postgres::GenericClient;

use super::Rulebook;
use crate::entrance::pg::rules;
use crate::entrance::rules::Rules;
use crate::error::{Error, Result};
use crate::platform::pg::Statement;

const OF: Statement = Statement::new(
    "rulebook.of",
    "select early_min, late_min, gates, entries, per_day, reentry, gap_s, product_id
       from entry_rules where exhibition_id = $1",
);

/// Two admins who set rules at the same time come one after the other.
const LOCK: Statement =
    Statement::new("rulebook.lock", "select entry_revision from exhibitions where id = $1 for no key update");

const REVISION: Statement = Statement::new("rulebook.revision", "select entry_revision from exhibitions where id = $1");

const REVISE: Statement = Statement::new(
    "rulebook.revise",
    "update exhibitions set entry_revision = entry_revision + 1 where id = $1 returning entry_revision",
);

const WALK_INS: Statement = Statement::new("rulebook.walk_ins", "select walk_ins from exhibitions where id = $1");

const SET_WALK_INS: Statement =
    Statement::new("rulebook.set_walk_ins", "update exhibitions set walk_ins = $2 where id = $1 and walk_ins <> $2");

const CLEAR: Statement = Statement::new("rulebook.clear", "delete from entry_rules where exhibition_id = $1");

const ADD: Statement = Statement::new(
    "rulebook.add",
    "insert into entry_rules (exhibition_id, product_id, early_min, late_min, gates, entries, per_day, reentry, gap_s, changed_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, admit_now())",
);

pub const STATEMENTS: &[&Statement] = &[&OF, &LOCK, &REVISION, &REVISE, &WALK_INS, &SET_WALK_INS, &CLEAR, &ADD];

pub async fn of(client: &impl GenericClient, exhibition_id: i32) -> Result<Rulebook> {
    let walk_ins = WALK_INS.query_opt(client, &[&exhibition_id]).await?.is_some_and(|row| row.get(0));
    let mut book = Rulebook { walk_ins, ..Rulebook::default() };
    for row in OF.query(client, &[&exhibition_id]).await? {
        let rules = rules(&row, 0)?;
        match row.get::<_, Option<i32>>(7) {
            Some(product_id) => {
                book.products.insert(product_id, rules);
            }
            None => book.exhibition = Some(rules),
        }
    }
    Ok(book)
}

fn unknown() -> Error {
    Error::not_found("catalogue.unknown_exhibition")
}

pub async fn revision(client: &impl GenericClient, exhibition_id: i32) -> Result<i32> {
    Ok(REVISION.query_opt(client, &[&exhibition_id]).await?.ok_or_else(unknown)?.get(0))
}

/// In a transaction: the revision as it stays until its end.
pub async fn lock(client: &impl GenericClient, exhibition_id: i32) -> Result<i32> {
    Ok(LOCK.query_opt(client, &[&exhibition_id]).await?.ok_or_else(unknown)?.get(0))
}

/// Replaces all of them; the new revision. Under the lock.
pub async fn set(client: &impl GenericClient, exhibition_id: i32, book: &Rulebook) -> Result<i32> {
    SET_WALK_INS.execute(client, &[&exhibition_id, &book.walk_ins]).await?;
    CLEAR.execute(client, &[&exhibition_id]).await?;
    let own = book.exhibition.iter().map(|rules| (None, rules));
    for (product_id, r) in own.chain(book.products.iter().map(|(id, rules)| (Some(*id), rules))) {
        add(client, exhibition_id, product_id, r).await?;
    }
    Ok(REVISE.query_one(client, &[&exhibition_id]).await?.get(0))
}

async fn add(client: &impl GenericClient, exhibition_id: i32, product_id: Option<i32>, r: &Rules) -> Result<()> {
    let entries = r.entries.as_str();
    ADD.execute(
        client,
        &[&exhibition_id, &product_id, &r.early_min, &r.late_min, &r.gates, &entries, &r.per_day, &r.reentry, &r.gap_s],
    )
    .await?;
    Ok(())
}
