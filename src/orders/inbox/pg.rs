//! SQL of the inbox for its admins.

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use uuid::Uuid;

use super::outcome::Outcome;
use super::{EventCounts, EventState, EventView};
use crate::error::Result;
use crate::platform::pg::Statement;

// One statement per state, so that each finds its rows by the index that holds only those.
macro_rules! page {
    ($name:ident, $label:literal, $where:literal) => {
        const $name: Statement = Statement::new(
            $label,
            concat!(
                "select i.id, i.provider, i.kind, i.order_id, i.body ->> 'status', i.state, i.tries, i.outcome,
                        i.received_at, i.processed_at, i.replays
                   from inbox i join attempts a on a.provider_order_id = i.order_id join orders o on o.id = a.order_id
                  where i.id < $1 and ($2::int[] is null or o.exhibition_id = any($2)) and ",
                $where,
                " order by i.id desc limit $3"
            ),
        );
    };
}
page!(ALL, "inbox.page", "true");
page!(RECEIVED, "inbox.page_received", "i.state = 'received'");
page!(PROCESSED, "inbox.page_processed", "i.state = 'processed'");
page!(DEAD, "inbox.page_dead", "i.state = 'dead'");

const OF_ORDER: Statement = Statement::new(
    "inbox.of_order",
    "select i.id, i.provider, i.kind, i.order_id, i.body ->> 'status', i.state, i.tries, i.outcome, i.received_at,
            i.processed_at, i.replays
       from attempts a join inbox i on i.order_id = a.provider_order_id
      where a.order_id = $1 order by i.id limit $2",
);

const OF_NUMBER: Statement = Statement::new(
    "inbox.of_number",
    "select i.id, i.provider, i.kind, i.order_id, i.body ->> 'status', i.state, i.tries, i.outcome, i.received_at,
            i.processed_at, i.replays
       from orders o join attempts a on a.order_id = o.id join inbox i on i.order_id = a.provider_order_id
      where o.number = $1 and i.id < $2 and ($3::int[] is null or o.exhibition_id = any($3))
        and ($4::text is null or i.state = $4)
      order by i.id desc limit $5",
);

// Each of the two finds its rows by the index that holds only those; what was processed, nearly all, is not read.
const COUNTS: Statement = Statement::new(
    "inbox.counts",
    "select count(*) filter (where i.state = 'received'), count(*) filter (where i.state = 'dead')
       from (select state, order_id from inbox where state = 'received'
              union all
             select state, order_id from inbox where state = 'dead') i
       join attempts a on a.provider_order_id = i.order_id join orders o on o.id = a.order_id
      where $1::int[] is null or o.exhibition_id = any($1)",
);

const LOCKED: Statement = Statement::new(
    "inbox.locked",
    "select i.id, i.provider, i.kind, i.order_id, i.body ->> 'status', i.state, i.tries, i.outcome, i.received_at,
            i.processed_at, i.replays, o.exhibition_id
       from inbox i join attempts a on a.provider_order_id = i.order_id join orders o on o.id = a.order_id
      where i.id = $1 for update of i",
);

const REPLAY: Statement = Statement::new(
    "inbox.replay",
    "update inbox i set state = 'received', tries = 0, next_try_at = admit_now(), replays = replays + 1,
            outcome = null, processed_at = null
      where id = $1 and state in ('processed', 'dead')
     returning i.id, i.provider, i.kind, i.order_id, i.body ->> 'status', i.state, i.tries, i.outcome, i.received_at,
               i.processed_at, i.replays",
);

pub const STATEMENTS: &[&Statement] =
    &[&ALL, &RECEIVED, &PROCESSED, &DEAD, &OF_ORDER, &OF_NUMBER, &COUNTS, &LOCKED, &REPLAY];

fn view(r: &Row) -> EventView {
    EventView {
        id: r.get(0),
        provider: r.get(1),
        kind: r.get(2),
        order_id: r.get(3),
        status: r.get(4),
        state: r.get(5),
        tries: r.get(6),
        outcome: r.get::<_, Option<&str>>(7).and_then(Outcome::stored).map(Outcome::as_str),
        received_at: r.get(8),
        processed_at: r.get(9),
        replays: r.get(10),
    }
}

/// Events before the given id, newest first; None: of every exhibition.
pub async fn page(
    client: &impl GenericClient,
    state: Option<EventState>,
    before: i64,
    exhibitions: Option<&[i32]>,
    limit: i64,
) -> Result<Vec<EventView>> {
    let statement = match state {
        None => &ALL,
        Some(EventState::Received) => &RECEIVED,
        Some(EventState::Processed) => &PROCESSED,
        Some(EventState::Dead) => &DEAD,
    };
    Ok(statement.query(client, &[&before, &exhibitions, &limit]).await?.iter().map(view).collect())
}

/// About the payments of the order of this number, newest first.
pub async fn of_number(
    client: &impl GenericClient,
    number: &str,
    state: Option<EventState>,
    before: i64,
    exhibitions: Option<&[i32]>,
    limit: i64,
) -> Result<Vec<EventView>> {
    let state = state.map(EventState::as_str);
    Ok(OF_NUMBER.query(client, &[&number, &before, &exhibitions, &state, &limit]).await?.iter().map(view).collect())
}

/// About an order's payments, oldest first.
pub async fn of_order(client: &impl GenericClient, order_id: Uuid, limit: i64) -> Result<Vec<EventView>> {
    Ok(OF_ORDER.query(client, &[&order_id, &limit]).await?.iter().map(view).collect())
}

/// Of what is not processed; None: of every exhibition.
pub async fn counts(client: &impl GenericClient, exhibitions: Option<&[i32]>) -> Result<EventCounts> {
    let row = COUNTS.query_one(client, &[&exhibitions]).await?;
    Ok(EventCounts { received: row.get(0), dead: row.get(1) })
}

/// The event with its exhibition, kept from workers until the transaction ends.
pub async fn locked(client: &impl GenericClient, id: i64) -> Result<Option<(EventView, i32)>> {
    Ok(LOCKED.query_opt(client, &[&id]).await?.map(|r| (view(&r), r.get(11))))
}

/// None: it waits already.
pub async fn replay(client: &impl GenericClient, id: i64) -> Result<Option<EventView>> {
    Ok(REPLAY.query_opt(client, &[&id]).await?.as_ref().map(view))
}
