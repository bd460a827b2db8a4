//! Clears away what has served its time, in small bites: processed webhooks, one-time codes, old repairs of the stock, what was
//! tried on accounts and told of them, and the digests of callers' keys. A key is good for at least a day and as long as its order
//! can change; after that its attempt's state still answers a repeat.

use crate::app::App;
use crate::error::Result;
use crate::platform::pg::Statement;

/// Rows of one statement: some ten milliseconds of locks.
const BATCH: i64 = 1_000;
/// Statements of one kind in a round; what is left is for the next.
const BATCHES_MAX: usize = 20;

/// Rows of a table that are older than so long.
macro_rules! older {
    ($name:ident, $label:literal, $table:literal, $at:literal, $age:literal) => {
        const $name: Statement = Statement::new(
            $label,
            concat!(
                "delete from ",
                $table,
                " where id in (select id from ",
                $table,
                " where ",
                $at,
                " < admit_now() - interval '",
                $age,
                "' order by ",
                $at,
                " limit $1 for update skip locked)"
            ),
        );
    };
}

/// Toss repeats an event for four days, Stripe for three; the rest is for whoever looks back.
const WEBHOOKS: Statement = Statement::new(
    "orders.purge_webhooks",
    "delete from inbox where id in (
         select id from inbox where state = 'processed' and processed_at < admit_now() - interval '90 days'
          order by processed_at limit $1 for update skip locked)",
);

/// Of orders that are over, or whose exhibition is.
const CONFIRM_KEYS: Statement = Statement::new(
    "orders.purge_confirm_keys",
    "update attempts set confirm_key = null, confirm_fingerprint = null where id in (
         select a.id from attempts a join orders o on o.id = a.order_id join exhibitions e on e.id = o.exhibition_id
          where a.confirm_key is not null and a.ended_at < admit_now() - interval '30 days'
            and a.state in ('accepted', 'declined')
            and (o.state in ('expired', 'cancelled', 'refunded')
                 or (o.state in ('paid', 'partially_refunded') and e.ends_on < (admit_now() - interval '30 days')::date))
          order by a.ended_at limit $1 for update of a skip locked)",
);

const REFUND_KEYS: Statement = Statement::new(
    "orders.purge_refund_keys",
    "update refunds set request_key = null, request_fingerprint = null where id in (
         select id from refunds
          where request_key is not null and state in ('done', 'by_hand') and done_at < admit_now() - interval '30 days'
          order by done_at limit $1 for update skip locked)",
);

// Ten minutes to enter one, half an hour to look at the list; a day is what the limits count.
older!(ONE_TIME_CODES, "orders.purge_one_time_codes", "one_time_codes", "created_at", "25 hours");

// For whoever looks back at a sale.
older!(REPAIRS, "orders.purge_stock_repairs", "stock_repairs", "at", "180 days");

// Nobody counts them any more.
older!(TRIES, "orders.purge_sign_in_tries", "sign_in_tries", "failed_at", "25 hours");

// Half an hour to use one; a mail server's bad morning for what the other letters say.
older!(RESETS, "orders.purge_password_resets", "password_resets", "created_at", "25 hours");

older!(NOTICES, "orders.purge_account_notices", "account_notices", "created_at", "25 hours");

pub const STATEMENTS: &[&Statement] =
    &[&TRIES, &RESETS, &NOTICES, &ONE_TIME_CODES, &WEBHOOKS, &CONFIRM_KEYS, &REFUND_KEYS, &REPAIRS];

pub async fn tick(app: &App) -> Result<usize> {
    let mut cleared = 0;
    for statement in STATEMENTS {
        for _ in 0..BATCHES_MAX {
            // A connection for each: between them the sale has its turn.
            let rows = statement.execute(&app.pg.get().await?, &[&BATCH]).await?;
            cleared += rows;
            if rows < BATCH as u64 {
                break;
            }
        }
    }
    Ok(cleared as usize)
}
