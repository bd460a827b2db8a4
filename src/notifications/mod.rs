//! Notifications: the outbox's consumer.
//!
//! Owns the rows of `outbox` after they were written together with the change they tell of, and the mail transport.
//! Promises that every row ends: delivered, without a channel, or dead and visible; that a message may come twice
//! (recognisable by its Message-ID) but is never lost; that neither a transaction nor a connection is held while a
//! mail server is talked to. Refuses to decide anything: it tells what Postgres says now.

pub mod account;
pub mod letter;
pub mod mail;
pub mod outbox;
pub mod pg;

use std::time::{Duration, Instant};

pub use mail::Notifier;
pub use pg::STATEMENTS;

use self::mail::Failure;
use self::pg::Claimed;
use crate::app::App;
use crate::error::Result;
use crate::waiting_room;

/// Rows of one round; more only keeps others waiting behind a slow mail server.
const BATCH: i64 = 20;
/// Rows that need no mail end many at a time.
const SILENT_BATCH: i64 = 1000;
/// After this a round begins no further mail. With the longest mail on top it stays below the lease.
const ROUND_MAX: Duration = Duration::from_secs(60);
/// Longest talk with a mail server about one mail.
const MAIL_MAX: Duration = Duration::from_secs(20);
/// How long a claimed row is nobody else's. [s]
const LEASE_S: i32 = 120;
/// With the pauses between them about seven hours, longer than a mail server's bad morning. So many again each time that somebody
/// sends it again: the number of a row's tries never falls, since the row is fenced by it.
const TRIES_MAX: i32 = 12;
const BACKOFF_FIRST_S: i64 = 15;
const BACKOFF_MAX_S: i64 = 3600;
/// A code is waited for by somebody. [s]
const CODE_AGAIN_S: i32 = 15;

/// A kind that is about no order: somebody in a waiting room whose turn is near.
const QUEUE_TURN: &str = "queue_turn";
/// Nor is this: somebody wants to see all their orders.
const ONE_TIME_CODE: &str = "one_time_code";
/// Nor these: somebody of the staff has forgotten their password, or is told what happens to their account.
const PASSWORD_RESET: &str = "password_reset";
const ACCOUNT_NOTICE: &str = "account_notice";
/// About a mail of before, which staff send again.
const RESEND: &str = "resend";

/// One round: tells what is due and returns how many rows it took on; 0 means that nothing is left to do now.
pub async fn deliver(app: &App) -> Result<usize> {
    let started = Instant::now();
    let (silent, due) = {
        let client = app.pg.get().await?;
        let silent = pg::silence(&client, SILENT_BATCH, !app.notifier.sends()).await?;
        (silent, pg::claim(&client, BATCH, LEASE_S).await?)
    };
    for _ in 0..silent {
        app.metrics.delivery("mail", "no_channel");
    }
    let stopping = app.lifecycle.stopping();
    for (at, row) in due.iter().enumerate() {
        if started.elapsed() > ROUND_MAX || stopping.is_cancelled() {
            pg::hand_back(&app.pg.get().await?, &due[at..]).await?;
            break;
        }
        tell(app, row).await?;
    }
    Ok(due.len() + usize::try_from(silent).unwrap_or(usize::MAX))
}

/// What became of one row.
enum Told {
    Sent,
    NoChannel,
    /// It would be of no use any more.
    TooLate,
    /// To be tried again, until it was tried often enough.
    Not(&'static str),
}

async fn tell(app: &App, row: &Claimed) -> Result<()> {
    let told = match letter::write(app, row).await {
        Ok(Some(letter)) => match tokio::time::timeout(MAIL_MAX, app.notifier.send(letter)).await {
            Ok(Ok(())) => Told::Sent,
            Ok(Err(Failure(class))) => Told::Not(class),
            Err(_) => Told::Not("timeout"),
        },
        Ok(None) if is_awaited(row) => Told::TooLate,
        Ok(None) => Told::NoChannel,
        Err(error) => {
            tracing::warn!(%error, outbox_id = row.id, kind = row.kind, "a message could not be written");
            Told::Not("not_written")
        }
    };
    let client = app.pg.get().await?;
    let given_up = is_given_up(row, &told);
    if row.kind == QUEUE_TURN && (matches!(told, Told::Sent) || given_up) {
        // First of the two: a crash in between sends no second mail, since the address is gone.
        waiting_room::pg::done(&client, row.order_id, matches!(told, Told::Sent)).await?;
    }
    match told {
        Told::Sent => pg::finish(&client, row, "done", "sent").await?,
        Told::NoChannel => pg::finish(&client, row, "done", "no_channel").await?,
        Told::TooLate => pg::finish(&client, row, "done", "too_late").await?,
        Told::Not(class) if given_up => pg::finish(&client, row, "dead", class).await?,
        Told::Not(class) if is_awaited(row) => pg::retry_later(&client, row, CODE_AGAIN_S, class).await?,
        Told::Not(class) => {
            pg::retry_later(&client, row, backoff_s(row.tries - TRIES_MAX * row.replays), class).await?
        }
    }
    let outcome = match told {
        Told::Sent => "sent",
        Told::NoChannel => "no_channel",
        Told::TooLate => "too_late",
        Told::Not(_) if given_up => "dead",
        Told::Not(_) => "retry",
    };
    app.metrics.delivery("mail", outcome);
    if let Told::Not(class) = told {
        // Neither the address nor the server's words, which repeat it.
        tracing::warn!(
            outbox_id = row.id,
            kind = row.kind,
            tries = row.tries,
            class,
            outcome,
            "a mail was not delivered"
        );
    }
    Ok(())
}

/// Somebody sits and waits for it.
fn is_awaited(row: &Claimed) -> bool {
    [ONE_TIME_CODE, PASSWORD_RESET].contains(&row.kind.as_str())
}

/// It was tried often enough. What somebody waits for is tried until it would be of no use, however often that is, unless no later
/// try would fare better.
fn is_given_up(row: &Claimed, told: &Told) -> bool {
    let for_good = matches!(told, Told::Not("refused" | "not_written"));
    row.tries >= TRIES_MAX * (1 + row.replays) && (for_good || !is_awaited(row))
}

fn backoff_s(tries: i32) -> i32 {
    let doubled = BACKOFF_FIRST_S << tries.clamp(1, 16).unsigned_abs();
    i32::try_from(doubled.min(BACKOFF_MAX_S)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour_and_a_round_ends_within_its_lease() {
        assert_eq!((1..=4).map(backoff_s).collect::<Vec<_>>(), [30, 60, 120, 240]);
        assert_eq!((backoff_s(9), backoff_s(i32::MAX)), (3600, 3600));
        assert!((ROUND_MAX + MAIL_MAX).as_secs() < LEASE_S as u64);
    }
}
