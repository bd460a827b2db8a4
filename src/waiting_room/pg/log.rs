//! The public log. A row counts only together with the room's head: both change in one statement, or neither.

use deadpool_postgres::GenericClient;

use super::{count, fixed, int, phase};
use crate::error::Result;
use crate::platform::pg::Statement;
use crate::waiting_room::chain::{Facts, Row};

const APPEND: Statement = Statement::new(
    "rooms.append_log",
    "with moved as (
        update rooms set log_seq = $3::bigint, log_head = $11
         where exhibition_id = $1 and run = $2 and log_seq = $3::bigint - 1 and (log_head is null or log_head = $10)
        returning exhibition_id
     )
     insert into room_log (exhibition_id, run, seq, at, phase, serving_general, serving_invited, active, waiting,
                           prev_hash, hash)
     select exhibition_id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 from moved",
);

const PAGE: Statement = Statement::new(
    "rooms.log_page",
    "select seq, at, phase, serving_general, serving_invited, active, waiting, prev_hash, hash
       from room_log where exhibition_id = $1 and run = $2 and seq > $3 order by seq limit $4",
);

pub const STATEMENTS: &[&Statement] = &[&APPEND, &PAGE];

/// `row` comes from `chain::next` after the room's head, or after the genesis where that is None. False: somebody else
/// wrote this seq first, or another run has begun.
pub async fn append_log(client: &impl GenericClient, exhibition_id: i32, run: u32, row: &Row) -> Result<bool> {
    let [general, invited] = row.facts.serving.map(int);
    let written = APPEND
        .execute(
            client,
            &[
                &exhibition_id,
                &int(run),
                &row.seq,
                &row.facts.at,
                &row.facts.phase.as_str(),
                &general,
                &invited,
                &int(row.facts.active),
                &int(row.facts.waiting),
                &row.prev_hash.as_slice(),
                &row.hash.as_slice(),
            ],
        )
        .await?;
    Ok(written == 1)
}

/// Rows after `after`, in order.
pub async fn log_page(
    client: &impl GenericClient,
    exhibition_id: i32,
    run: u32,
    after: i64,
    limit: i64,
) -> Result<Vec<Row>> {
    let rows = PAGE.query(client, &[&exhibition_id, &int(run), &after, &limit]).await?;
    let read = |r: &tokio_postgres::Row| {
        Ok(Row {
            seq: r.get(0),
            facts: Facts {
                at: r.get(1),
                phase: phase(r.get(2))?,
                serving: [count(r, 3), count(r, 4)],
                active: count(r, 5),
                waiting: count(r, 6),
            },
            prev_hash: fixed(r.get(7))?,
            hash: fixed(r.get(8))?,
        })
    };
    rows.iter().map(read).collect()
}
