//! What goes by itself: the `retention` tick, in bites. Each bite is one short transaction and says how far it came, so that
//! a round that ends anywhere is gone on with by the next one, of whichever worker.
//!
//! Nothing here looks at all orders. Those that came to nothing are found by reading the history once, as it grows old;
//! those of an exhibition that is over by going through it once, and again on another day while some had to be kept.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::erase::Erasure;
use super::pg::retention::{self as pg, BY_AGE, Period, What};
use super::pg::{Spans, requests as requests_pg};
use super::requests;
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::config::RetentionSettings;
use crate::error::{Error, Result};
use crate::orders::model::Origin;
use crate::platform::pg::Statement;
use crate::stock::rebuild;

/// Orders of one transaction: some ten milliseconds of locks.
const BITE: i64 = 500;
/// Events read in one transaction; one in four ends an order.
const EVENTS: i64 = 2_000;
/// Rows of one statement that looks at nothing but their age.
const ROWS: i64 = 1_000;
/// Bites of one kind in a round; what is left is for the next.
const BITES_MAX: usize = 20;
/// An order's own time of ending may be a moment later than that of its event. [hours]
const SLACK_HOURS: i32 = 1;
/// Within which the law wants an answer to whoever asks what we have of them; once they have it, it is then known no longer who asked.
/// [days]
pub const EXPORT_DAYS: i32 = 10;

type Counts = BTreeMap<&'static str, u64>;

pub async fn tick(app: &App) -> Result<usize> {
    let mut counts = Counts::new();
    let outcome = round(app, &mut counts).await;
    counts.retain(|_, n| *n > 0);
    // Also of a round that failed: what it has done is done.
    if !counts.is_empty() {
        let entry = Entry {
            by: &Actor::system("retention"),
            action: "privacy.retention",
            exhibition_id: None,
            before: Value::Null,
            after: json!(counts),
        };
        audit::record(&app.pg.get().await?, &entry).await?;
    }
    outcome?;
    usize::try_from(counts.values().sum::<u64>()).map_err(Error::bug)
}

/// The first error of several parts, of which each is tried whatever became of those before.
#[derive(Default)]
struct First(Option<Error>);

impl First {
    fn note(&mut self, part: &'static str, outcome: Result<()>) {
        if let Err(error) = outcome {
            tracing::warn!(part, %error, "a part of retention goes on in another round");
            self.0.get_or_insert(error);
        }
    }

    fn end(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// What one part cannot do, because Redis is away or an order is odd, keeps nothing else for longer than its period.
async fn round(app: &App, counts: &mut Counts) -> Result<()> {
    // Without Postgres there is no part that could be tried.
    drop(app.pg.get().await?);
    let mut first = First::default();
    first.note("lapsed", came_to_nothing(app, counts).await);
    first.note("contacts", over(app, What::Contacts, counts).await);
    first.note("payments", over(app, What::Payments, counts).await);
    first.note("requests", asked_for(app, counts).await);
    for (name, period, statement) in BY_AGE {
        first.note(name, too_old(app, (name, period, statement), counts).await);
    }
    first.end()
}

/// Requests that have waited for today.
async fn asked_for(app: &App, counts: &mut Counts) -> Result<()> {
    let mut first = First::default();
    let waiting = requests_pg::due(&app.pg.get().await?, BITES_MAX as i64).await?;
    for id in waiting {
        let erased = requests::carry(app, id, None).await;
        *counts.entry("requested").or_default() += *erased.as_ref().unwrap_or(&0) as u64;
        first.note("request", erased.map(drop));
    }
    first.end()
}

async fn too_old(
    app: &App,
    (name, period, statement): (&'static str, Period, &Statement),
    counts: &mut Counts,
) -> Result<()> {
    let age = age(&app.settings.retention, period);
    for _ in 0..BITES_MAX {
        let rows = statement.execute(&app.pg.get().await?, &[&age, &ROWS]).await?;
        *counts.entry(name).or_default() += rows;
        if rows < ROWS as u64 {
            break;
        }
    }
    Ok(())
}

/// In the unit of the period's statement.
fn age(keep: &RetentionSettings, period: Period) -> i32 {
    match period {
        Period::Payments => keep.payments_years,
        Period::SignIns => keep.sign_ins_days,
        Period::Audit => keep.audit_years,
        Period::Exports => EXPORT_DAYS,
        Period::Requests => keep.requests_years,
    }
}

fn by_itself(app: &App, wait: bool) -> Erasure<'static> {
    let keep = &app.settings.retention;
    let spans = Spans { days: keep.contacts_days, hours: keep.lapsed_days * 24 };
    Erasure { spans, phone_digest: None, origin: Origin::new("worker", "retention", ""), salt: None, wait }
}

/// Orders that expired, were cancelled or given back whole, in the order in which they were.
async fn came_to_nothing(app: &App, counts: &mut Counts) -> Result<()> {
    let mut erasure = by_itself(app, true);
    let hours = erasure.spans.hours;
    erasure.spans.hours -= SLACK_HOURS;
    for _ in 0..BITES_MAX {
        // A connection for each: between them the sale has its turn.
        let mut client = app.pg.get().await?;
        let transaction = client.transaction().await?;
        let Some(after) = pg::lock_cursor(&transaction).await? else { return Ok(()) };
        let events = pg::events(&transaction, after, hours, EVENTS).await?;
        let due: Vec<_> = events.iter().take_while(|event| event.due).collect();
        let Some(last) = due.last() else { return Ok(()) };
        let mut ids: Vec<_> = due.iter().filter(|event| event.ended).map(|event| event.order_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let erased = erasure.carry(&transaction, &ids).await?;
        pg::move_cursor(&transaction, last.id).await?;
        transaction.commit().await?;
        *counts.entry("contacts").or_default() += erased as u64;
        if (due.len() as i64) < EVENTS {
            break;
        }
    }
    Ok(())
}

/// Orders of exhibitions that are over for long.
async fn over(app: &App, what: What, counts: &mut Counts) -> Result<()> {
    let keep = &app.settings.retention;
    let (years, days) = match what {
        What::Contacts => (0, keep.contacts_days),
        What::Payments => (keep.payments_years, 0),
    };
    pg::open_walks(&app.pg.get().await?, what, years, days).await?;
    let erasure = by_itself(app, false);
    let mut first = First::default();
    for _ in 0..BITES_MAX {
        let mut client = app.pg.get().await?;
        let transaction = client.transaction().await?;
        let Some(walk) = pg::walk(&transaction, what).await? else { break };
        let ids = pg::step(&transaction, &walk, BITE).await?;
        let Some(last) = ids.last() else {
            if walk.kept > 0 {
                pg::again(&transaction, what, &walk).await?;
                transaction.commit().await?;
            } else {
                let rows = pg::leftovers(&transaction, what, &walk).await?;
                transaction.commit().await?;
                drop(client);
                *counts.entry("leftovers").or_default() += rows;
                // Persons are counted in Redis as well, by the digest of their number. Without Redis: later, and other walks first.
                let counted = match what {
                    What::Contacts => rebuild::rebuild(app, walk.exhibition_id, &walk.code, "retention").await,
                    What::Payments => Ok(()),
                };
                let client = app.pg.get().await?;
                match counted {
                    Ok(()) => pg::walked(&client, what, &walk).await?,
                    Err(error) => {
                        pg::later(&client, what, &walk).await?;
                        first.note("count", Err(error));
                    }
                }
            }
            continue;
        };
        let (done, kept) = match what {
            What::Contacts => {
                let erased = erasure.carry(&transaction, &ids).await?;
                (erased as i64, pg::unerased(&transaction, &ids).await?)
            }
            What::Payments => {
                let done = pg::payments(&transaction, &ids, keep.payments_years).await?;
                (done, ids.len() as i64 - done)
            }
        };
        pg::advance(&transaction, what, &walk, *last, i32::try_from(kept).unwrap_or(i32::MAX)).await?;
        transaction.commit().await?;
        *counts.entry(what.as_str()).or_default() += done.unsigned_abs();
    }
    first.end()
}
