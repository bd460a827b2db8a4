//! An exhibition like another: everything but what happened there. Whatever its sale ended with (a pause, closed slots, an offer
//! that was lowered) has happened there, too.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use jiff::civil::Date;

use super::pg::exhibitions::{self as pg, ExhibitionRow};
use super::pg::products::ProductRow;
use super::pg::slots::SlotRow;
use super::pg::{products, slots};
use super::products::ProductSettings;
use super::settings::{ExhibitionSettings, shifted_day, shifted_instant};
use super::slots::SlotSettings;
use crate::catalogue::model::Stage;
use crate::error::{Error, Result};
use crate::stock;
use crate::waiting_room::model::Config;
use crate::waiting_room::{pg as rooms, settings as room_settings};

/// What is copied, on its new days.
pub struct Source {
    id: i32,
    pub settings: ExhibitionSettings,
    /// With the ids they had.
    products: Vec<(i32, ProductSettings)>,
    slots: Vec<SlotSettings>,
    /// None: it has no waiting room.
    pub room: Option<Config>,
}

/// Under the lock of the one that is copied: it is copied as it was at one moment.
pub async fn source(
    client: &impl GenericClient,
    code: &str,
    first_day: Option<Date>,
    now: Timestamp,
) -> Result<Source> {
    let id = pg::id_of(client, code).await?.ok_or_else(|| Error::field("copy_from", "unknown_exhibition"))?;
    let first_day = first_day.ok_or_else(|| Error::field("first_day", "required"))?;
    let ExhibitionRow { settings, .. } = pg::lock(client, id).await?;
    let span = first_day.since(settings.starts_on).map_err(|_| Error::field("first_day", "out_of_range"))?;
    let days = span.get_days();
    let product = |row: ProductRow| -> Result<(i32, ProductSettings)> {
        let moved = |at: Option<jiff::Timestamp>| at.map(|at| shifted_instant(at, days)).transpose();
        let (sale_start, sale_end) = (moved(row.settings.sale_start)?, moved(row.settings.sale_end)?);
        let offered = row.settings.total;
        Ok((row.id, ProductSettings { sale_start, sale_end, offered, active: true, ..row.settings }))
    };
    let slot = |row: SlotRow| -> Result<SlotSettings> {
        let (date, offered) = (shifted_day(row.settings.date, days)?, row.settings.total);
        Ok(SlotSettings { date, offered, closed: false, ..row.settings })
    };
    let products = products::list(client, id).await?.into_iter().filter(|row| !row.settings.archived);
    let slots = slots::list(client, id, None, None).await?.into_iter();
    Ok(Source {
        id,
        products: products.map(product).collect::<Result<_>>()?,
        slots: slots.map(slot).collect::<Result<_>>()?,
        room: rooms::one(client, id).await?.map(|room| room_settings::copied(&room, days, now)),
        settings: unpaused(ExhibitionSettings { stage: Stage::Draft, ..settings.shifted(days)? }),
    })
}

fn unpaused(settings: ExhibitionSettings) -> ExhibitionSettings {
    ExhibitionSettings { paused: false, pause_reason_ko: String::new(), pause_reason_en: String::new(), ..settings }
}

impl Source {
    /// Whoever has asked for other days as well must leave room for the slots.
    pub fn expect_within(&self, settings: &ExhibitionSettings) -> Result<()> {
        let days = settings.starts_on..=settings.ends_on;
        let within = self.slots.iter().all(|slot| days.contains(&slot.date));
        if within { Ok(()) } else { Err(Error::field("ends_on", "slots_outside")) }
    }
}

/// Gives the new exhibition its products, slots, rules of entry, picture and waiting room. In the transaction that has made it.
pub async fn fill(client: &impl GenericClient, source: &Source, id: i32) -> Result<()> {
    let places = source.products.iter().map(|(_, p)| (p.total, p.offered));
    let places: Vec<_> = places.chain(source.slots.iter().map(|s| (s.total, s.offered))).collect();
    let stock_ids = stock::pg::add(client, id, &places).await?;
    let (of_products, of_slots) = stock_ids.split_at(source.products.len());
    let mut made = Vec::new();
    for ((was, product), stock_id) in source.products.iter().zip(of_products) {
        made.push((*was, products::insert(client, id, *stock_id, product).await?));
    }
    let new: Vec<(i32, SlotSettings)> = of_slots.iter().copied().zip(source.slots.iter().cloned()).collect();
    slots::insert(client, id, &new).await?;
    if let Some(config) = &source.room {
        rooms::create_if_missing(client, id, config).await?;
    }
    pg::copy_rest(client, source.id, id, &made).await
}

/// Whoever runs, supports or admits to the source does so here as well: their names.
pub async fn take_over(client: &impl GenericClient, source: &Source, id: i32) -> Result<Vec<String>> {
    pg::copy_people(client, source.id, id).await
}
