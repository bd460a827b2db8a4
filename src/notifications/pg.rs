//! All SQL of the outbox's consumer. A row is fenced by its number of tries: whoever lost the lease changes nothing.

use deadpool_postgres::GenericClient;
use uuid::Uuid;

use crate::error::Result;
use crate::platform::pg::Statement;

/// Ends rows whose order has no address to write to ($2: nobody is written to); most rows of a busy day are these.
const SILENCE: Statement = Statement::new(
    "notifications.silence",
    "update outbox set tries = tries + 1, state = 'done', outcome = 'no_channel', done_at = admit_now()
      where id in (select b.id from outbox b left join orders o on o.id = b.order_id
                    where b.state = 'pending' and b.next_try_at <= admit_now() and ($2 or not o.has_email)
                    order by b.next_try_at limit $1 for update of b skip locked)",
);

/// Takes due rows and moves their next try ahead, which is the lease.
const CLAIM: Statement = Statement::new(
    "notifications.claim",
    "update outbox b set tries = b.tries + 1, next_try_at = admit_now() + make_interval(secs => $2)
      where b.id in (select id from outbox where state = 'pending' and next_try_at <= admit_now()
                      order by next_try_at limit $1 for update skip locked)
     returning b.id, b.kind, b.order_id, b.tries, b.replays",
);

/// Those that are of no use in half an hour, before all others.
const CLAIM_CODES: Statement = Statement::new(
    "notifications.claim_codes",
    "update outbox b set tries = b.tries + 1, next_try_at = admit_now() + make_interval(secs => $2)
      where b.id in (select id from outbox
                      where state = 'pending' and kind in ('one_time_code', 'password_reset') and next_try_at <= admit_now()
                      order by next_try_at limit $1 for update skip locked)
     returning b.id, b.kind, b.order_id, b.tries, b.replays",
);

const FINISH: Statement = Statement::new(
    "notifications.finish",
    "update outbox set state = $3, outcome = $4, done_at = admit_now()
      where id = $1 and tries = $2 and state = 'pending'",
);

const RETRY_LATER: Statement = Statement::new(
    "notifications.retry_later",
    "update outbox set next_try_at = admit_now() + make_interval(secs => $3), outcome = $4
      where id = $1 and tries = $2 and state = 'pending'",
);

const HAND_BACK: Statement = Statement::new(
    "notifications.hand_back",
    "update outbox b set tries = b.tries - 1, next_try_at = admit_now()
       from unnest($1::bigint[], $2::int[]) as t (id, tries)
      where b.id = t.id and b.tries = t.tries and b.state = 'pending'",
);

/// What went back for an order, whether or not the provider has answered yet.
const RETURNED: Statement = Statement::new(
    "notifications.returned",
    "select coalesce(sum(amount_won), 0)::int8 from refunds where order_id = $1 and state <> 'failed'",
);

const REFUND: Statement = Statement::new(
    "notifications.refund",
    "select order_id, amount_won, fee_won, state = 'needs_account' from refunds where id = $1",
);

/// What staff wanted to be sent again.
const RESEND: Statement = Statement::new("notifications.resend", "select order_id from mail_resends where id = $1");

pub const STATEMENTS: &[&Statement] =
    &[&REFUND, &RESEND, &SILENCE, &CLAIM_CODES, &CLAIM, &FINISH, &RETRY_LATER, &HAND_BACK, &RETURNED];

#[derive(Debug)]
pub struct Claimed {
    pub id: i64,
    pub kind: String,
    /// What it is about: an order, for `refund` a refund, for `resend` a mail that staff wanted again, for `queue_turn` a notice of the waiting room, for
    /// `one_time_code` and `password_reset` a request for one, for `account_notice` what somebody of the staff is told.
    pub order_id: Uuid,
    pub tries: i32,
    /// How often somebody sent it again after it was given up.
    pub replays: i32,
}

pub async fn silence(client: &impl GenericClient, limit: i64, everybody: bool) -> Result<u64> {
    SILENCE.execute(client, &[&limit, &everybody]).await
}

pub async fn claim(client: &impl GenericClient, limit: i64, lease_s: i32) -> Result<Vec<Claimed>> {
    let lease_s = f64::from(lease_s);
    let mut rows = CLAIM_CODES.query(client, &[&limit, &lease_s]).await?;
    let left = limit - i64::try_from(rows.len()).unwrap_or(limit);
    rows.extend(CLAIM.query(client, &[&left, &lease_s]).await?);
    Ok(rows
        .iter()
        .map(|r| Claimed { id: r.get(0), kind: r.get(1), order_id: r.get(2), tries: r.get(3), replays: r.get(4) })
        .collect())
}

pub async fn finish(client: &impl GenericClient, row: &Claimed, state: &str, outcome: &str) -> Result<()> {
    FINISH.execute(client, &[&row.id, &row.tries, &state, &outcome]).await?;
    Ok(())
}

pub async fn retry_later(client: &impl GenericClient, row: &Claimed, after_s: i32, outcome: &str) -> Result<()> {
    RETRY_LATER.execute(client, &[&row.id, &row.tries, &f64::from(after_s), &outcome]).await?;
    Ok(())
}

/// Rows that were claimed and not begun: theirs was no try.
pub async fn hand_back(client: &impl GenericClient, rows: &[Claimed]) -> Result<()> {
    let (ids, tries): (Vec<i64>, Vec<i32>) = rows.iter().map(|row| (row.id, row.tries)).unzip();
    HAND_BACK.execute(client, &[&ids, &tries]).await?;
    Ok(())
}

pub async fn returned_won(client: &impl GenericClient, order_id: Uuid) -> Result<i64> {
    Ok(RETURNED.query_one(client, &[&order_id]).await?.get(0))
}

pub struct RefundToTell {
    pub order_id: Uuid,
    pub amount_won: i32,
    pub fee_won: i32,
    pub needs_account: bool,
}

pub async fn refund(client: &impl GenericClient, id: Uuid) -> Result<Option<RefundToTell>> {
    let row = REFUND.query_opt(client, &[&id]).await?;
    Ok(row.map(|r| RefundToTell {
        order_id: r.get(0),
        amount_won: r.get(1),
        fee_won: r.get(2),
        needs_account: r.get(3),
    }))
}

/// The order whose mail is sent again.
pub async fn resend(client: &impl GenericClient, id: Uuid) -> Result<Option<Uuid>> {
    Ok(RESEND.query_opt(client, &[&id]).await?.map(|row| row.get(0)))
}
