//! The catalogue as its admins run it: exhibitions, products, slots, and the switch that pauses all sales.
//!
//! Owns every change of them over the API. Promises that two who change the same thing at the same time cannot overwrite each
//! other (a revision, as ETag and If-Match), that bad input changes nothing, that every change is on record with what was
//! before and after in the same transaction, and that no more is sold than is on offer while the offer changes. Refuses to
//! take away what somebody has an order for: that is archived, or closed. Changes of one exhibition, its products and its
//! slots come one after the other, under the lock of its row; the sale never takes that lock.

pub mod bulk;
pub mod copy;
pub mod exhibitions;
mod fields;
pub mod pattern;
pub mod pg;
pub mod products;
pub mod sales;
mod settings;
pub mod slots;
mod stocked;

use deadpool_postgres::GenericClient;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use super::audit::{self, Actor, Entry};
use crate::app::App;
use crate::error::{Error, Result};
use crate::stock::offer::{self, Offer, Outcome};
use crate::stock::redis::Freed;
use crate::stock::{rebuild, release};

/// Exhibitions there may be, archived ones among them.
const EXHIBITIONS_MAX: i64 = 500;
/// Products and slots of one exhibition together, each with a stock of its own: what a rebuild of Redis sends at once.
const STOCKS_MAX: i64 = 2_000;
/// Of one product or slot.
const PLACES_MAX: i32 = 10_000_000;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(exhibitions::routes())
        .merge(products::routes())
        .merge(slots::routes())
        .merge(pattern::routes())
        .merge(bulk::routes())
        .merge(sales::routes())
}

/// Where something new belongs.
#[derive(Deserialize, ToSchema)]
struct OfExhibition {
    /// Code of the exhibition.
    exhibition: String,
}

/// What has to happen after a commit.
enum Follow {
    /// Other instances read it within a second.
    Nothing,
    Offer(Freed),
    /// There is stock that Redis does not know.
    NewStock,
}

/// Redis follows before the caller is answered, and this instance shows it at once. Goes on when the caller has gone.
async fn follow(app: &App, exhibition_id: i32, code: &str, what: Follow) {
    let (task_app, code) = (app.clone(), code.to_owned());
    let task = app.lifecycle.spawn(async move {
        match what {
            Follow::Nothing => {}
            Follow::Offer(freed) => release::tell(&task_app, exhibition_id, &code, &freed).await,
            Follow::NewStock => {
                if let Err(error) = rebuild::rebuild(&task_app, exhibition_id, &code, "catalogue").await {
                    tracing::warn!(%error, exhibition = code, "new stock not counted in Redis; the audit will");
                }
            }
        }
        if let Err(error) = task_app.catalogue.refresh(&task_app).await {
            tracing::warn!(%error, "catalogue not refreshed after a change");
        }
    });
    if let Err(error) = task.await {
        tracing::error!(%error, "after a change of the catalogue");
    }
}

/// Makes the offer what it should be. Fewer places than are held or sold is a mistake in `field`.
async fn offer(client: &impl GenericClient, offers: &[Offer], field: &str) -> Result<Freed> {
    match offer::change(client, offers).await? {
        Outcome::Changed(freed) => Ok(freed),
        Outcome::Taken(taken) => Err(Error::field(field, "below_taken").with("taken", taken)),
    }
}

/// What becomes of what is on offer when only the total was named: all of it stays all of it.
fn follows_total(asked: &mut Map<String, Value>, total: i32, offered: i32) {
    if offered == total
        && !asked.contains_key("offered")
        && let Some(total) = asked.get("total").cloned()
    {
        asked.insert("offered".into(), total);
    }
}

async fn expect_room(client: &impl GenericClient, exhibition_id: i32, more: usize, field: &str) -> Result<()> {
    let there = crate::stock::pg::count(client, exhibition_id).await?;
    if there + more as i64 > STOCKS_MAX { Err(Error::field(field, "too_many")) } else { Ok(()) }
}

/// The fields that differ, before and after, each under what they are of.
fn difference(of: (&str, i32), before: &impl Serialize, after: &impl Serialize) -> Result<(Value, Value)> {
    let fields = |value: Value| match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(Error::bug("settings that are no object")),
    };
    let mut before = fields(serde_json::to_value(before).map_err(Error::bug)?)?;
    let mut after = fields(serde_json::to_value(after).map_err(Error::bug)?)?;
    let same: Vec<String> =
        before.iter().filter(|(name, value)| after.get(*name) == Some(value)).map(|(name, _)| name.clone()).collect();
    for name in same {
        before.remove(&name);
        after.remove(&name);
    }
    before.insert(of.0.to_owned(), json!(of.1));
    after.insert(of.0.to_owned(), json!(of.1));
    Ok((Value::Object(before), Value::Object(after)))
}

async fn record(
    client: &impl GenericClient,
    by: &Actor,
    action: &'static str,
    exhibition_id: Option<i32>,
    (before, after): (Value, Value),
) -> Result<()> {
    audit::record(client, &Entry { by, action, exhibition_id, before, after }).await
}

/// What became of something that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It is gone.
    Deleted,
    /// Somebody has an order for it: it is neither shown nor sold any more, and stays.
    Archived,
}

#[derive(Serialize, ToSchema)]
struct Ended {
    outcome: End,
}
