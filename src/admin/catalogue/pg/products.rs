//! Products, each with its stock.

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::products::ProductSettings;
use super::Stocked;
use crate::error::{Error, Result};
use crate::platform::pg::Statement;

pub type ProductRow = Stocked<ProductSettings>;

macro_rules! products {
    ($rest:literal) => {
        concat!(
            "select p.id, p.exhibition_id, p.stock_id, p.revision, s.held, s.sold, p.kind, p.name_ko, p.name_en, p.price_won,
                    p.dated, p.person_limited, p.per_order_max, p.active, p.sale_start_at, p.sale_end_at, p.position,
                    p.archived_at is not null, s.total, s.offered, p.per_person_max
               from products p join stock s on s.id = p.stock_id ",
            $rest
        )
    };
}

const ONE: Statement = Statement::new("admin_catalogue.product", products!("where p.id = $1"));

const LIST: Statement = Statement::new(
    "admin_catalogue.products",
    products!("where p.exhibition_id = $1 order by p.archived_at is not null, p.position, p.id"),
);

const INSERT: Statement = Statement::new(
    "admin_catalogue.insert_product",
    "insert into products (exhibition_id, stock_id, kind, name_ko, name_en, price_won, dated, person_limited, per_order_max,
                           active, sale_start_at, sale_end_at, position, archived_at, per_person_max)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, case when $14 then admit_now() end, $15) returning id",
);

const UPDATE: Statement = Statement::new(
    "admin_catalogue.update_product",
    "update products
        set stock_id = $2, kind = $3, name_ko = $4, name_en = $5, price_won = $6, dated = $7, person_limited = $8,
            per_order_max = $9, active = $10, sale_start_at = $11, sale_end_at = $12, position = $13,
            per_person_max = $15,
            archived_at = case when $14 then coalesce(archived_at, admit_now()) end, revision = revision + 1
      where id = $1 returning id",
);

/// The product that a request with this key has made, and what was asked for.
const BY_REQUEST: Statement = Statement::new(
    "admin_catalogue.product_by_request",
    "select id, request_fingerprint from products where request_key = $1",
);

const SET_REQUEST: Statement = Statement::new(
    "admin_catalogue.set_product_request",
    "update products set request_key = $2, request_fingerprint = $3 where id = $1",
);

/// Whoever places an order for it writes this under the lock of its stock.
const IS_ORDERED: Statement = Statement::new(
    "admin_catalogue.product_is_ordered",
    "select exists (select from order_items where product_id = $1)",
);

const DELETE_RULES: Statement =
    Statement::new("admin_catalogue.delete_product_rules", "delete from entry_rules where product_id = $1");

const DELETE: Statement = Statement::new("admin_catalogue.delete_product", "delete from products where id = $1");

pub const STATEMENTS: &[&Statement] =
    &[&ONE, &LIST, &INSERT, &UPDATE, &BY_REQUEST, &SET_REQUEST, &IS_ORDERED, &DELETE_RULES, &DELETE];

fn read(r: &Row) -> ProductRow {
    Stocked {
        id: r.get(0),
        exhibition_id: r.get(1),
        stock_id: r.get(2),
        revision: r.get(3),
        held: r.get(4),
        sold: r.get(5),
        settings: ProductSettings {
            kind: r.get(6),
            name_ko: r.get(7),
            name_en: r.get(8),
            price_won: r.get(9),
            dated: r.get(10),
            person_limited: r.get(11),
            per_order_max: r.get(12),
            per_person_max: r.get(20),
            active: r.get(13),
            sale_start: r.get(14),
            sale_end: r.get(15),
            position: r.get(16),
            archived: r.get(17),
            total: r.get(18),
            offered: r.get(19),
        },
    }
}

pub async fn one(client: &impl GenericClient, id: i32) -> Result<ProductRow> {
    let row = ONE.query_opt(client, &[&id]).await?;
    row.as_ref().map(read).ok_or_else(|| Error::not_found("catalogue.unknown_product"))
}

/// Those that are archived come last.
pub async fn list(client: &impl GenericClient, exhibition_id: i32) -> Result<Vec<ProductRow>> {
    Ok(LIST.query(client, &[&exhibition_id]).await?.iter().map(read).collect())
}

/// Both statements number the settings from $3 on.
async fn write(
    statement: &Statement,
    client: &impl GenericClient,
    (of, stock_id): (i32, i32),
    s: &ProductSettings,
) -> Result<i32> {
    let params: [&(dyn ToSql + Sync); 15] = [
        &of,
        &stock_id,
        &s.kind,
        &s.name_ko,
        &s.name_en,
        &s.price_won,
        &s.dated,
        &s.person_limited,
        &s.per_order_max,
        &s.active,
        &s.sale_start,
        &s.sale_end,
        &s.position,
        &s.archived,
        &s.per_person_max,
    ];
    Ok(statement.query_one(client, &params).await?.get(0))
}

/// Its id.
pub async fn insert(
    client: &impl GenericClient,
    exhibition_id: i32,
    stock_id: i32,
    settings: &ProductSettings,
) -> Result<i32> {
    write(&INSERT, client, (exhibition_id, stock_id), settings).await
}

/// Id and fingerprint. Under the lock of the exhibition, which the key is of.
pub async fn by_request(client: &impl GenericClient, key: &[u8]) -> Result<Option<(i32, Vec<u8>)>> {
    Ok(BY_REQUEST.query_opt(client, &[&key]).await?.map(|row| (row.get(0), row.get(1))))
}

pub async fn set_request(client: &impl GenericClient, id: i32, key: &[u8], fingerprint: &[u8]) -> Result<()> {
    SET_REQUEST.execute(client, &[&id, &key, &fingerprint]).await?;
    Ok(())
}

/// Under the lock of its exhibition. Its stock is changed apart.
pub async fn update(client: &impl GenericClient, id: i32, stock_id: i32, settings: &ProductSettings) -> Result<()> {
    write(&UPDATE, client, (id, stock_id), settings).await.map(|_| ())
}

/// Under the lock of its stock.
pub async fn is_ordered(client: &impl GenericClient, id: i32) -> Result<bool> {
    Ok(IS_ORDERED.query_one(client, &[&id]).await?.get(0))
}

/// One that nobody has ordered.
pub async fn delete(client: &impl GenericClient, id: i32) -> Result<()> {
    DELETE_RULES.execute(client, &[&id]).await?;
    DELETE.execute(client, &[&id]).await?;
    Ok(())
}
