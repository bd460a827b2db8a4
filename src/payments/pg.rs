//! All SQL of the inbox.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;

use super::model::{Notice, Provider};
use crate::error::{Error, Result};
use crate::platform::pg::Statement;

/// Events of one attempt that may wait at once. Whatever they say, the worker asks the same question for each.
const WAITING_MAX: i64 = 20;

/// Looked at a second later: by then the confirm call that most of them repeat has ended. In one order, or two
/// instances with the same events would wait for each other.
const STORE: Statement = Statement::new(
    "payments.store_webhooks",
    "with asked as (
         select distinct on (provider, event_id) *
           from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::text[])
                    with ordinality as e (provider, event_id, kind, order_id, body, secret, n)
          order by provider, event_id, n
     ), ours as (
         select e.*, row_number() over (partition by e.order_id order by e.n)
                   + (select count(*) from inbox i where i.order_id = e.order_id and i.state = 'received') as nth,
                exists (select from inbox i where i.provider = e.provider and i.transmission_id = e.event_id) as known
           from asked e join attempts a on a.provider_order_id = e.order_id and a.provider = e.provider
          where e.secret is null or a.secret is null or a.secret = e.secret
     ), new as (
         insert into inbox (provider, transmission_id, kind, order_id, body, received_at, next_try_at)
         select provider, event_id, kind, order_id, body, admit_now(), admit_now() + interval '1 second'
           from ours where nth <= $7 order by provider, event_id
         on conflict on constraint inbox_once do nothing
         returning provider, transmission_id
     )
     select o.n, new.provider is not null, o.known
       from ours o left join new on new.provider = o.provider and new.transmission_id = o.event_id",
);

/// Events that say what is known already, which most do: their attempt was confirmed before they were read. They end
/// without a question to the provider. What an admin sent back is asked about all the same.
const FINISH_KNOWN: Statement = Statement::new(
    "payments.finish_known_webhooks",
    "update inbox i set state = 'processed', outcome = 'settled_before', tries = tries + 1, processed_at = admit_now()
       from (select id, order_id from inbox
              where state = 'received' and next_try_at <= admit_now() and body ->> 'status' in ('DONE', 'succeeded')
                and replays = 0
              order by next_try_at limit $1 for update skip locked) d
       join attempts a on a.provider_order_id = d.order_id and a.state = 'accepted'
      where i.id = d.id",
);

/// Claims by moving the next try ahead: a worker that dies leaves its events to the next.
const CLAIM: Statement = Statement::new(
    "payments.claim_webhooks",
    "update inbox set tries = tries + 1,
            next_try_at = admit_now() + interval '10 seconds' * power(2, least(tries, 9))
      where id in (select id from inbox where state = 'received' and next_try_at <= admit_now() and provider = $2
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

/// What became of an event on its way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    New,
    /// It is there already.
    Repeated,
    /// Enough of its attempt's are waiting.
    Enough,
    /// It names no attempt of ours, or brings another secret than the payment's.
    NotOurs,
}

impl Stored {
    pub fn as_str(self) -> &'static str {
        match self {
            Stored::New => "received",
            Stored::Repeated => "repeated",
            Stored::Enough => "enough",
            Stored::NotOurs => "not_ours",
        }
    }
}

/// An answer for each event, in their order.
pub async fn store(client: &impl GenericClient, events: &[(Provider, Notice)]) -> Result<Vec<Stored>> {
    let column = |of: fn(&(Provider, Notice)) -> &str| events.iter().map(of).collect::<Vec<&str>>();
    let (providers, ids) = (column(|(provider, _)| provider.as_str()), column(|(_, notice)| notice.event_id.as_str()));
    let (kinds, orders) = (column(|(_, notice)| notice.kind), column(|(_, notice)| notice.order_id.as_str()));
    // Only what the worker needs. The secret is compared now and not kept.
    let body = |n: &Notice| serde_json::json!({ "kind": n.kind, "order_id": n.order_id, "status": n.status });
    let bodies: Vec<serde_json::Value> = events.iter().map(|(_, notice)| body(notice)).collect();
    let secrets: Vec<Option<&str>> = events.iter().map(|(_, notice)| notice.secret.as_deref()).collect();
    let rows = STORE.query(client, &[&providers, &ids, &kinds, &orders, &bodies, &secrets, &WAITING_MAX]).await?;
    let mut stored = vec![Stored::NotOurs; events.len()];
    for row in rows {
        let at = usize::try_from(row.get::<_, i64>(0) - 1).map_err(Error::bug)?;
        stored[at] = match (row.get(1), row.get(2)) {
            (true, _) => Stored::New,
            (false, true) => Stored::Repeated,
            (false, false) => Stored::Enough,
        };
    }
    // The same event twice in one batch: only its first was looked at.
    let mut first = HashMap::new();
    for at in 0..events.len() {
        match first.get(&(providers[at], ids[at])) {
            Some(Stored::New) => stored[at] = Stored::Repeated,
            Some(other) => stored[at] = *other,
            None => _ = first.insert((providers[at], ids[at]), stored[at]),
        }
    }
    Ok(stored)
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

pub async fn claim(client: &impl GenericClient, provider: Provider, limit: i64) -> Result<Vec<Event>> {
    let rows = CLAIM.query(client, &[&limit, &provider.as_str()]).await?;
    Ok(rows.iter().map(|r| Event { id: r.get(0), kind: r.get(1), body: r.get(2), tries: r.get(3) }).collect())
}

/// How an event ended.
pub struct Ended {
    pub id: i64,
    pub state: &'static str,
    pub outcome: &'static str,
}

pub async fn finish(client: &impl GenericClient, ended: &[Ended]) -> Result<()> {
    let ids: Vec<i64> = ended.iter().map(|e| e.id).collect();
    let states: Vec<&str> = ended.iter().map(|e| e.state).collect();
    let outcomes: Vec<&str> = ended.iter().map(|e| e.outcome).collect();
    FINISH.execute(client, &[&ids, &states, &outcomes]).await?;
    Ok(())
}
