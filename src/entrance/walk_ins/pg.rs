//! SQL of the tills.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Till;
use crate::error::Result;
use crate::platform::pg::Statement;

/// By the day's range of `attempt_cash`; who took the money is the attempt's answer.
macro_rules! sold {
    ($name:ident, $label:literal, $columns:literal, $joins:literal, $rest:literal) => {
        const $name: Statement = Statement::new(
            $label,
            concat!(
                "select count(*), coalesce(sum(a.amount_won), 0)::bigint,
                        coalesce(sum((select sum(r.amount_won) from refunds r where r.attempt_id = a.id)), 0)::bigint",
                $columns,
                " from attempts a join orders o on o.id = a.order_id
                  join lateral (select answer from provider_answers p where p.attempt_id = a.id order by p.at limit 1) p on true",
                $joins,
                " where a.provider = 'cash' and a.method = 'cash' and a.ended_at >= $2 and a.ended_at < $3 and o.exhibition_id = $1 ",
                $rest
            ),
        );
    };
}
sold!(OF_DEVICE, "walk_ins.of_device", "", "", "and p.answer ->> 'device' = $4::uuid::text");
sold!(
    OF_DAY,
    "walk_ins.of_day",
    ", p.answer ->> 'gate', d.name, u.username",
    " left join devices d on d.id = (p.answer ->> 'device')::uuid
      left join admin_users u on u.id = (p.answer ->> 'staff')::int",
    " group by 4, d.id, d.name, u.id, u.username order by 4, d.name, u.username"
);

pub const STATEMENTS: &[&Statement] = &[&OF_DEVICE, &OF_DAY];

fn till(row: &tokio_postgres::Row) -> Till {
    Till { orders: row.get(0), taken: row.get(1), given_back: row.get(2) }
}

pub async fn of_device(
    client: &impl GenericClient,
    exhibition_id: i32,
    (from, until): (Timestamp, Timestamp),
    device_id: Uuid,
) -> Result<Till> {
    Ok(till(&OF_DEVICE.query_one(client, &[&exhibition_id, &from, &until, &device_id]).await?))
}

/// What one of the staff took at one device.
#[derive(Serialize, ToSchema)]
pub struct TillOf {
    pub gate: String,
    pub device: String,
    pub staff: String,
    #[serde(flatten)]
    pub till: Till,
}

pub async fn of_day(
    client: &impl GenericClient,
    exhibition_id: i32,
    (from, until): (Timestamp, Timestamp),
) -> Result<Vec<TillOf>> {
    let rows = OF_DAY.query(client, &[&exhibition_id, &from, &until]).await?;
    let read = |r: &tokio_postgres::Row| TillOf { till: till(r), gate: r.get(3), device: r.get(4), staff: r.get(5) };
    Ok(rows.iter().map(read).collect())
}
