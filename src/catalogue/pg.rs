//! All SQL of the catalogue.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use tokio_postgres::types::ToSql;

use super::model::{Availability, Exhibition, Pause, Product, Shot, Slot, Stage};
use super::picture::{NARROW, Picture, WIDE};
use crate::error::{Error, Result};
use crate::platform::pg::Statement;
use crate::stock::Level;

const EXHIBITIONS: Statement = Statement::new(
    "catalogue.exhibitions",
    "select id, code, name_ko, name_en, description_ko, description_en, venue_ko, venue_en, starts_on, ends_on,
            sale_start_at, sale_end_at, paused, hold_ttl_s, person_limit, open_holds_max, payment_provider,
            canary_provider, canary_pct, refund_rules, refund_free_h, culture_expense, deposit_h, walk_ins,
            picture_digest, picture_height, picture_alt_ko, picture_alt_en, stage, pause_reason_ko, pause_reason_en
       from exhibitions order by code",
);

const PRODUCTS: Statement = Statement::new(
    "catalogue.products",
    "select exhibition_id, id, stock_id, kind, name_ko, name_en, price_won, dated, person_limited, per_order_max,
            active, sale_start_at, sale_end_at, archived_at is not null, per_person_max
       from products order by exhibition_id, position, id",
);

const SLOTS: Statement = Statement::new(
    "catalogue.slots",
    "select exhibition_id, id, stock_id, visit_date, start_time, end_time, closed
       from slots order by exhibition_id, visit_date, start_time nulls first, id",
);

const SALES: Statement = Statement::new("catalogue.sales", "select paused, reason_ko, reason_en from sales");

const STOCK: Statement =
    Statement::new("catalogue.stock", "select exhibition_id, id, total, offered, held, sold, epoch from stock");

/// The digest of the one before. $2 null: none from now on.
const SHOW_PICTURE: Statement = Statement::new(
    "catalogue.show_picture",
    "with before as materialized (
         select id, picture_digest from exhibitions where id = $1 for update
     ), replaced as (
         update pictures p set shown_at = admit_now() from before b where p.digest = b.picture_digest
     )
     update exhibitions e set picture_digest = $2, picture_height = $3, picture_alt_ko = $4, picture_alt_en = $5
       from before b where e.id = b.id returning b.picture_digest",
);

const STORE_PICTURE: Statement = Statement::new(
    "catalogue.store_picture",
    "insert into pictures (digest, width, exhibition_id, body, shown_at)
     select $1, s.width, $2, s.body, admit_now() from unnest($3::int[], $4::bytea[]) as s (width, body)
     on conflict (digest, width) do update set shown_at = admit_now()",
);

/// Pages of a moment ago and previews elsewhere may still show the one before.
const FORGET_PICTURES: Statement = Statement::new(
    "catalogue.forget_pictures",
    "delete from pictures p where p.shown_at < admit_now() - interval '30 days'
        and not exists (select from exhibitions e where e.picture_digest = p.digest)",
);

/// Unless another exhibition shows it.
const DELETE_PICTURE: Statement = Statement::new(
    "catalogue.delete_picture",
    "delete from pictures p where p.digest = $1
        and not exists (select from exhibitions e where e.picture_digest = p.digest)",
);

const HAS_PICTURES: Statement = Statement::new(
    "catalogue.has_pictures",
    "select exists (select from pictures where exhibition_id = $1)
         or exists (select from exhibitions where id = $1 and picture_digest is not null)",
);

const PICTURE: Statement =
    Statement::new("catalogue.picture", "select body from pictures where digest = $1 and width = $2");

pub const STATEMENTS: &[&Statement] = &[
    &EXHIBITIONS,
    &PRODUCTS,
    &SLOTS,
    &STOCK,
    &SALES,
    &SHOW_PICTURE,
    &STORE_PICTURE,
    &FORGET_PICTURES,
    &DELETE_PICTURE,
    &HAS_PICTURES,
    &PICTURE,
];

/// In a transaction.
pub async fn set_picture(
    client: &impl GenericClient,
    exhibition_id: i32,
    picture: &Picture,
    shot: &Shot,
) -> Result<()> {
    let (widths, bodies) = ([WIDE as i32, NARROW as i32], [picture.wide.as_slice(), picture.narrow.as_slice()]);
    STORE_PICTURE.execute(client, &[&picture.digest, &exhibition_id, &widths.as_slice(), &bodies.as_slice()]).await?;
    show_picture(client, exhibition_id, shot).await?;
    FORGET_PICTURES.execute(client, &[]).await.map(drop)
}

/// Shows what is stored already.
pub async fn show_picture(client: &impl GenericClient, exhibition_id: i32, shot: &Shot) -> Result<()> {
    let shown: [&(dyn ToSql + Sync); 5] =
        [&exhibition_id, &shot.digest(), &(shot.height as i32), &shot.alt, &shot.alt_en];
    SHOW_PICTURE.query_opt(client, &shown).await.map(drop)
}

/// And deletes it.
pub async fn remove_picture(client: &impl GenericClient, exhibition_id: i32) -> Result<()> {
    let none: [&(dyn ToSql + Sync); 5] = [&exhibition_id, &None::<String>, &None::<i32>, &"", &""];
    let before: Option<String> = SHOW_PICTURE.query_opt(client, &none).await?.and_then(|row| row.get(0));
    if let Some(digest) = &before {
        DELETE_PICTURE.execute(client, &[digest]).await?;
    }
    Ok(())
}

/// Whether there is one, or was lately.
pub async fn has_pictures(client: &impl GenericClient, exhibition_id: i32) -> Result<bool> {
    Ok(HAS_PICTURES.query_one(client, &[&exhibition_id]).await?.get(0))
}

pub async fn picture(client: &impl GenericClient, digest: &str, width: u32) -> Result<Option<Vec<u8>>> {
    Ok(PICTURE.query_opt(client, &[&digest, &(width as i32)]).await?.map(|row| row.get(0)))
}

/// Everything, with the free counts that Postgres knows.
pub async fn all(client: &impl GenericClient) -> Result<Vec<Exhibition>> {
    let (mut products, mut archived) = (HashMap::<i32, Vec<Product>>::new(), HashMap::<i32, Vec<Product>>::new());
    for r in PRODUCTS.query(client, &[]).await? {
        let those = if r.get(13) { &mut archived } else { &mut products };
        those.entry(r.get(0)).or_default().push(Product {
            id: r.get(1),
            stock_id: r.get(2),
            kind: r.get(3),
            name_ko: r.get(4),
            name_en: r.get(5),
            price_won: r.get(6),
            dated: r.get(7),
            person_limited: r.get(8),
            per_order_max: r.get(9),
            per_person_max: r.get(14),
            active: r.get(10),
            sale_start: r.get(11),
            sale_end: r.get(12),
        });
    }
    let mut slots = HashMap::<i32, Vec<Slot>>::new();
    for r in SLOTS.query(client, &[]).await? {
        slots.entry(r.get(0)).or_default().push(Slot {
            id: r.get(1),
            stock_id: r.get(2),
            date: r.get(3),
            start_time: r.get(4),
            end_time: r.get(5),
            closed: r.get(6),
        });
    }
    let mut stock = HashMap::<i32, HashMap<i32, Availability>>::new();
    for r in STOCK.query(client, &[]).await? {
        let level = Level { total: r.get(2), offered: r.get(3), held: r.get(4), sold: r.get(5), epoch: r.get(6) };
        let free = i64::from(level.free());
        stock.entry(r.get(0)).or_default().insert(r.get(1), Availability { level, free });
    }
    let sales = SALES.query_opt(client, &[]).await?.filter(|r| r.get(0));
    let sales_paused = sales.map(|r| Pause { reason_ko: r.get(1), reason_en: r.get(2) });
    let rows = EXHIBITIONS.query(client, &[]).await?;
    rows.iter()
        .map(|r| {
            let id: i32 = r.get(0);
            let stage: String = r.get(28);
            Ok(Exhibition {
                id,
                code: r.get(1),
                stage: Stage::parse(&stage).ok_or_else(|| Error::bug(format!("a stage {stage}")))?,
                name_ko: r.get(2),
                name_en: r.get(3),
                description_ko: r.get(4),
                description_en: r.get(5),
                venue_ko: r.get(6),
                venue_en: r.get(7),
                starts_on: r.get(8),
                ends_on: r.get(9),
                sale_start: r.get(10),
                sale_end: r.get(11),
                paused: r.get(12),
                pause: Pause { reason_ko: r.get(29), reason_en: r.get(30) },
                sales_paused: sales_paused.clone(),
                hold_ttl_s: r.get(13),
                person_limit: r.get(14),
                open_holds_max: r.get(15),
                payment_provider: r.get(16),
                canary: r.get::<_, Option<String>>(17).zip(r.get(18)),
                refund_rules: r.get(19),
                refund_free_h: r.get(20),
                culture_expense: r.get(21),
                deposit_h: r.get(22),
                walk_ins: r.get(23),
                picture: r
                    .get::<_, Option<String>>(24)
                    .zip(r.get::<_, Option<i32>>(25))
                    .map(|(digest, height)| Shot::new(&digest, height.unsigned_abs(), r.get(26), r.get(27))),
                products: products.remove(&id).unwrap_or_default(),
                archived_products: archived.remove(&id).unwrap_or_default(),
                slots: slots.remove(&id).unwrap_or_default(),
                stock: stock.remove(&id).unwrap_or_default(),
            })
        })
        .collect()
}
