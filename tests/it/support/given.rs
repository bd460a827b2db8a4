//! What a test begins with: an exhibition, its products and slots.

use super::TestApp;

/// A product or slot to be.
#[derive(Clone)]
pub struct Kind {
    pub code: &'static str,
    pub places: i32,
    pub price_won: i32,
    /// Places of a slot of its own, 5 days ahead; None: undated.
    pub slot_places: Option<i32>,
    pub person_limit: Option<i32>,
    pub per_order_max: i32,
    pub per_person_max: Option<i32>,
    pub open_holds_max: i32,
}

impl Default for Kind {
    fn default() -> Kind {
        Kind {
            code: "xyz",
            places: 100,
            price_won: 10_000,
            slot_places: None,
            person_limit: None,
            per_order_max: 10,
            per_person_max: None,
            open_holds_max: 1,
        }
    }
}

pub fn places(places: i32) -> Kind {
    Kind { places, ..Kind::default() }
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Given {
    pub code: &'static str,
    pub exhibition_id: i32,
    pub product_id: i32,
    pub stock_id: i32,
    pub slot_id: Option<i32>,
    pub slot_stock_id: Option<i32>,
    pub date: Option<String>,
}

impl TestApp {
    /// One product in its exhibition, ready in Redis and in every instance's catalogue.
    pub async fn given(&self, kind: Kind) -> Given {
        let client = self.db.client().await;
        let exhibition_id: i32 = client
            .query_one(
                "insert into exhibitions (code, name_ko, name_en, starts_on, ends_on, sale_start_at, sale_end_at, person_limit, open_holds_max)
                 values ($1, '시험 전시', 'Test exhibition', (now() at time zone 'Asia/Seoul')::date - 1, (now() at time zone 'Asia/Seoul')::date + 60, now() - interval '1 day',
                         now() + interval '60 days', $2, $3)
                 on conflict on constraint exhibition_code_once do update set person_limit = excluded.person_limit
                 returning id",
                &[&kind.code, &kind.person_limit, &kind.open_holds_max],
            )
            .await
            .unwrap()
            .get(0);
        let stock = |places: i32| {
            let client = &client;
            async move {
                client
                    .query_one(
                        "insert into stock (exhibition_id, total, offered, epoch)
                         values ($1, $2, $2, coalesce((select max(epoch) from stock where exhibition_id = $1), 1)) returning id",
                        &[&exhibition_id, &places],
                    )
                    .await
                    .unwrap()
                    .get::<_, i32>(0)
            }
        };
        let stock_id = stock(kind.places).await;
        let product_id: i32 = client
            .query_one(
                "insert into products (exhibition_id, stock_id, kind, name_ko, name_en, price_won, dated, per_order_max, per_person_max)
                 values ($1, $2, 'adult', '성인', 'Adult', $3, $4, $5, $6) returning id",
                &[
                    &exhibition_id,
                    &stock_id,
                    &kind.price_won,
                    &kind.slot_places.is_some(),
                    &kind.per_order_max,
                    &kind.per_person_max,
                ],
            )
            .await
            .unwrap()
            .get(0);
        let (mut slot_id, mut slot_stock_id, mut date) = (None, None, None);
        if let Some(places) = kind.slot_places {
            let slot_stock = stock(places).await;
            let row = client
                .query_one(
                    "insert into slots (exhibition_id, stock_id, visit_date)
                     values ($1, $2, (now() at time zone 'Asia/Seoul')::date + 5) returning id, visit_date::text",
                    &[&exhibition_id, &slot_stock],
                )
                .await
                .unwrap();
            (slot_id, slot_stock_id, date) = (Some(row.get(0)), Some(slot_stock), Some(row.get(1)));
        }
        // Counted before any catalogue looks, which would ask for a rebuild in the background.
        admit::stock::rebuild::rebuild(self.app(), exhibition_id, kind.code, "test").await.unwrap();
        self.refresh().await;
        Given { code: kind.code, exhibition_id, product_id, stock_id, slot_id, slot_stock_id, date }
    }

    /// held, sold of a stock in Postgres.
    pub async fn stock(&self, stock_id: i32) -> (i32, i32) {
        let row =
            self.db.client().await.query_one("select held, sold from stock where id = $1", &[&stock_id]).await.unwrap();
        (row.get(0), row.get(1))
    }

    /// Free places of a stock in Redis, if it is ready there.
    pub async fn redis_free(&self, given: &Given) -> Option<i64> {
        let levels = admit::stock::redis::levels(&self.app().redis, given.code, true).await.unwrap()?;
        levels.free.get(&given.stock_id).copied()
    }
}
