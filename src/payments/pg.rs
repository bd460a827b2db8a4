//! All SQL of the inbox.

use deadpool_postgres::GenericClient;

use super::model::{Notice, Provider};
use crate::error::Result;
use crate::platform::pg::Statement;

/// Events of one attempt that may wait at once. Whatever they say, the worker asks the same question for each.
const WAITING_MAX: i64 = 20;

/// Looked at a second later: by then the confirm call that most of them repeat has ended.
const STORE: Statement = Statement::new(
    "payments.store_webhook",
    "insert into inbox (provider, transmission_id, kind, order_id, body, received_at, next_try_at)
     select $6, $1, $2, $3, $4, admit_now(), admit_now() + interval '1 second'
      where exists (select from attempts where provider_order_id = $3 and provider = $6
                      and ($7::text is null or secret is null or secret = $7))
        and (select count(*) from inbox where order_id = $3 and processed_at is null) < $5
     on conflict on constraint inbox_once do nothing",
);

/// Events that say what is known already, which most do: their attempt was confirmed before they were read. They end
/// without a question to the provider.
const FINISH_KNOWN: Statement = Statement::new(
    "payments.finish_known_webhooks",
    "update inbox i set state = 'processed', outcome = 'settled_before', tries = tries + 1, processed_at = admit_now()
       from (select id, order_id from inbox
              where state = 'received' and next_try_at <= admit_now() and body ->> 'status' in ('DONE', 'succeeded')
              order by next_try_at limit $1 for update skip locked) d
       join attempts a on a.provider_order_id = d.order_id and a.state = 'accepted'
      where i.id = d.id",
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
    "payments.finish_webhooks",
    "update inbox i set state = d.state, outcome = d.outcome, processed_at = admit_now()
       from unnest($1::bigint[], $2::text[], $3::text[]) as d (id, state, outcome)
      where i.id = d.id and i.state = 'received'",
);

pub const STATEMENTS: &[&Statement] = &[&STORE, &FINISH_KNOWN, &CLAIM, &FINISH];

/// False when the event is there already, names no attempt of ours, brings another secret than the payment's, or enough
/// of its kind are waiting.
pub async fn store(client: &impl GenericClient, provider: Provider, notice: &Notice) -> Result<bool> {
    // Only what the worker needs. The secret is compared now and not kept.
    let body = serde_json::json!({ "kind": notice.kind, "order_id": notice.order_id, "status": notice.status });
    let (event_id, kind, order_id) = (&notice.event_id, &notice.kind, &notice.order_id);
    let secret = &notice.secret;
    let provider = provider.as_str();
    let new = STORE.execute(client, &[event_id, kind, order_id, &body, &WAITING_MAX, &provider, secret]).await?;
    Ok(new == 1)
}

#[derive(Debug)]
pub struct Event {
    pub id: i64,
    pub kind: String,
    pub body: serde_json::Value,
    pub tries: i32,
}

/// How many there were.
pub async fn finish_known(client: &impl GenericClient, limit: i64) -> Result<u64> {
    FINISH_KNOWN.execute(client, &[&limit]).await
}

pub async fn claim(client: &impl GenericClient, limit: i64) -> Result<Vec<Event>> {
    let rows = CLAIM.query(client, &[&limit]).await?;
    Ok(rows.iter().map(|r| Event { id: r.get(0), kind: r.get(1), body: r.get(2), tries: r.get(3) }).collect())
}

/// How an event ended.
pub struct Ended {
    pub id: i64,
    pub state: &'static str,
    pub outcome: String,
}

pub async fn finish(client: &impl GenericClient, ended: &[Ended]) -> Result<()> {
    let ids: Vec<i64> = ended.iter().map(|e| e.id).collect();
    let states: Vec<&str> = ended.iter().map(|e| e.state).collect();
    let outcomes: Vec<&str> = ended.iter().map(|e| e.outcome.as_str()).collect();
    FINISH.execute(client, &[&ids, &states, &outcomes]).await?;
    Ok(())
}
