//! What waits and for how long, as gauges: webhooks, payments in doubt, refunds, messages, events that the dashboard does not tell of
//! yet, and what waits for a person.

use std::collections::HashMap;

use crate::app::App;
use crate::error::Result;
use crate::payments::Provider;
use crate::platform::pg::Statement;

/// Each part reads a partial index that holds nothing but what is counted. An event that an admin sent back was received
/// long ago and is not late for that.
const BACKLOG: Statement = Statement::new(
    "orders.backlog",
    "select 'webhooks'::text, provider, count(*),
            coalesce(extract(epoch from admit_now() - min(received_at) filter (where replays = 0)), 0)::float8
       from inbox where state = 'received' group by provider
     union all
     select 'payments', provider, count(*), coalesce(extract(epoch from admit_now() - min(sent_at)), 0)::float8
       from attempts where state in ('sent', 'unknown') group by provider
     union all
     select 'refunds', a.provider, count(*), coalesce(extract(epoch from admit_now() - min(r.created_at)), 0)::float8
       from refunds r join attempts a on a.id = r.attempt_id where r.state = 'pending' group by a.provider
     union all
     select 'messages', 'mail', count(*), coalesce(extract(epoch from admit_now() - min(created_at)), 0)::float8
       from outbox where state <> 'done' and state = 'pending' and replays = 0
     union all
     select 'messages_dead', 'mail', count(*), 0 from outbox where state <> 'done' and state = 'dead'
     union all
     select 'webhooks_dead', provider, count(*), 0 from inbox where state = 'dead' group by provider
     union all
     select 'refunds_' || r.state, a.provider, count(*), 0
       from refunds r join attempts a on a.id = r.attempt_id where r.state in ('failed', 'bounced', 'needs_account')
      group by r.state, a.provider",
);

pub const STATEMENTS: &[&Statement] = &[&BACKLOG];

const WAITING: [&str; 3] = ["webhooks", "payments", "refunds"];
const STUCK: [&str; 4] = ["webhooks_dead", "refunds_failed", "refunds_bounced", "refunds_needs_account"];

/// Always "nothing more to do": once every few seconds is enough.
pub async fn tick(app: &App) -> Result<usize> {
    let rows = BACKLOG.query(&app.pg.get().await?, &[]).await?;
    let counted: HashMap<(&str, &str), (i64, f64)> =
        rows.iter().map(|r| ((r.get(0), r.get(1)), (r.get(2), r.get(3)))).collect();
    // What is not there any more is zero, not what it was.
    for provider in Provider::ALL.map(Provider::as_str) {
        let of = |what: &'static str| counted.get(&(what, provider)).copied().unwrap_or_default();
        for what in WAITING {
            let (count, oldest_s) = of(what);
            app.metrics.backlog(what, provider, count, oldest_s);
        }
        for what in STUCK {
            app.metrics.stuck(what, provider, of(what).0);
        }
    }
    let of = |what: &'static str| counted.get(&(what, "mail")).copied().unwrap_or_default();
    let (count, oldest_s) = of("messages");
    app.metrics.backlog("messages", "mail", count, oldest_s);
    app.metrics.stuck("messages_dead", "mail", of("messages_dead").0);
    crate::dashboard::figures::behind(app).await?;
    Ok(0)
}
