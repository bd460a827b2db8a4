//! All SQL of the inbox.

use deadpool_postgres::GenericClient;

use crate::error::Result;
use crate::platform::pg::Statement;

const STORE: Statement = Statement::new(
    "payments.store_webhook",
    "insert into inbox (provider, transmission_id, kind, body, received_at, next_try_at)
     values ('toss', $1, $2, $3, admit_now(), admit_now())
     on conflict on constraint inbox_once do nothing",
);

/// Claims by moving the next try ahead: a worker that dies leaves its events to the next.
const CLAIM: Statement = Statement::new(
    "payments.claim_webhooks",
    "update inbox set tries = tries + 1,
            next_try_at = admit_now() + interval '10 seconds' * power(2, least(tries, 9))
      where id in (select id from inbox where state = 'received' and next_try_at <= admit_now()
                    order by next_try_at limit $1 for update skip locked)
     returning id, kind, body, tries",
);

const FINISH: Statement = Statement::new(
    "payments.finish_webhook",
    "update inbox set state = $2, outcome = $3, processed_at = admit_now() where id = $1 and state = 'received'",
);

pub const STATEMENTS: &[&Statement] = &[&STORE, &CLAIM, &FINISH];

/// False when the event is there already.
pub async fn store(
    client: &impl GenericClient,
    transmission_id: &str,
    kind: &str,
    body: &serde_json::Value,
) -> Result<bool> {
    Ok(STORE.execute(client, &[&transmission_id, &kind, body]).await? == 1)
}

#[derive(Debug)]
pub struct Event {
    pub id: i64,
    pub kind: String,
    pub body: serde_json::Value,
    pub tries: i32,
}

pub async fn claim(client: &impl GenericClient, limit: i64) -> Result<Vec<Event>> {
    let rows = CLAIM.query(client, &[&limit]).await?;
    Ok(rows.iter().map(|r| Event { id: r.get(0), kind: r.get(1), body: r.get(2), tries: r.get(3) }).collect())
}

pub async fn finish(client: &impl GenericClient, id: i64, state: &str, outcome: &str) -> Result<()> {
    FINISH.execute(client, &[&id, &state, &outcome]).await?;
    Ok(())
}
