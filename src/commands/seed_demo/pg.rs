//! All SQL of the demo's catalogue. Inserts what is missing and leaves the rest alone.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use jiff::civil::{Date, Time};

use super::Product;
use crate::error::Result;
use crate::platform::pg::Statement;

pub struct Exhibition {
    pub code: &'static str,
    pub ko: &'static str,
    pub en: &'static str,
    pub description_ko: &'static str,
    pub description_en: &'static str,
    pub venue_ko: &'static str,
    pub venue_en: &'static str,
    pub person_limit: Option<i32>,
}

const EXHIBITION: Statement = Statement::new(
    "seed.exhibition",
    "insert into exhibitions (code, name_ko, name_en, description_ko, description_en, venue_ko, venue_en, starts_on,
                              ends_on, sale_start_at, sale_end_at, person_limit, culture_expense)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, true)
     on conflict on constraint exhibition_code_once
        do update set ends_on = excluded.ends_on, sale_end_at = excluded.sale_end_at
     returning id",
);

const PRODUCT: Statement = Statement::new(
    "seed.product",
    "with missing as (
         select 1 where not exists (select from products where exhibition_id = $1 and kind = $2)
     ), counted as (
         insert into stock (exhibition_id, total, offered, epoch)
         select $1, $9, $9, coalesce((select max(epoch) from stock where exhibition_id = $1), 1) from missing
         returning id
     )
     insert into products (exhibition_id, stock_id, kind, name_ko, name_en, price_won, dated, person_limited,
                           per_order_max, position)
     select $1, counted.id, $2, $3, $4, $5, $6, $7, $8, $10 from counted",
);

const SLOT: Statement = Statement::new(
    "seed.slot",
    "with missing as (
         select 1 where not exists (select from slots where exhibition_id = $1 and visit_date = $2
                                       and start_time is not distinct from $3)
     ), counted as (
         insert into stock (exhibition_id, total, offered, epoch)
         select $1, $5, $5, coalesce((select max(epoch) from stock where exhibition_id = $1), 1) from missing
         returning id
     )
     insert into slots (exhibition_id, stock_id, visit_date, start_time, end_time)
     select $1, counted.id, $2, $3, $4 from counted",
);

const SPECIAL_DAYS: Statement = Statement::new(
    "seed.special_days",
    "select coalesce(bool_or(t.total <= 50), false), coalesce(bool_or(t.total >= 1000000), false)
       from slots s join stock t on t.id = s.stock_id where s.exhibition_id = $1 and s.visit_date >= $2",
);

pub const STATEMENTS: &[&Statement] = &[&EXHIBITION, &PRODUCT, &SLOT, &SPECIAL_DAYS];

/// Whether a scarce and a vast day are still to come.
pub async fn special_days(client: &impl GenericClient, exhibition_id: i32, today: Date) -> Result<(bool, bool)> {
    let row = SPECIAL_DAYS.query_one(client, &[&exhibition_id, &today]).await?;
    Ok((row.get(0), row.get(1)))
}

pub async fn exhibition(
    client: &impl GenericClient,
    e: &Exhibition,
    from: Date,
    until: Date,
    sale: (Timestamp, Timestamp),
) -> Result<i32> {
    let row = EXHIBITION
        .query_one(
            client,
            &[
                &e.code,
                &e.ko,
                &e.en,
                &e.description_ko,
                &e.description_en,
                &e.venue_ko,
                &e.venue_en,
                &from,
                &until,
                &sale.0,
                &sale.1,
                &e.person_limit,
            ],
        )
        .await?;
    Ok(row.get(0))
}

pub async fn product(client: &impl GenericClient, exhibition_id: i32, p: &Product, position: i32) -> Result<()> {
    PRODUCT
        .execute(
            client,
            &[
                &exhibition_id,
                &p.kind,
                &p.ko,
                &p.en,
                &p.price_won,
                &p.dated,
                &p.person_limited,
                &p.per_order_max,
                &p.places,
                &position,
            ],
        )
        .await?;
    Ok(())
}

pub async fn slot(
    client: &impl GenericClient,
    exhibition_id: i32,
    day: Date,
    times: Option<(Time, Time)>,
    places: i32,
) -> Result<()> {
    let (from, until) = times.unzip();
    SLOT.execute(client, &[&exhibition_id, &day, &from, &until, &places]).await?;
    Ok(())
}
