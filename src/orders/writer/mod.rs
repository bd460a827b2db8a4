//! The stock writer: the one path by which stock and the state of orders change in Postgres.
//!
//! It takes whatever has queued while the last commit was in flight, at most a batch, in turn from every exhibition
//! of the lane that has something waiting, so that a flood on one costs another at most its share. It locks in one total order,
//! decides each entry in memory, writes all rows in one flight and one commit, and answers an entry only after that
//! commit. One bad entry never fails its neighbours: when the database refuses a batch, its entries are tried one by
//! one. Redis is told afterwards, as best it can; the audit repairs the rest.

mod columns;
mod decide;
mod ends;
mod entry;
mod money;
mod pg;
mod places;
mod queue;
mod rows;

use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub use entry::{Ask, Captured, Deposit, Entry, Hold, RefundAsk, RefundKind, Refusal, Reply, SealedContact};
pub use pg::{STATEMENTS, lock_persons, per_person};
pub use places::ENTRY_AGE_MAX_MS;

use self::decide::Books;
use self::entry::Job;
use self::pg::{Connection, Doubt, Failure};
use self::queue::Queue;
use crate::app::App;
use crate::error::Error;
use crate::stock::{redis, release};
use crate::waiting_room;

/// How long a new connection is tried before the entries that wait are refused. [attempts, 100 ms apart]
const CONNECT_TRIES: u32 = 5;
/// How long an unknown COMMIT is asked about before the audit is left to decide. [attempts, 100 ms apart]
const DOUBT_TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);
/// A host that swallows packets must not hold up the entries of every exhibition for longer than this.
const CONNECT_MAX: Duration = Duration::from_secs(3);
const DOUBT_MAX: Duration = Duration::from_secs(6);
/// After this a caller is told that the outcome is unknown; below the handler's and nginx's limits.
const PATIENCE: Duration = Duration::from_secs(12);

/// Each lane has a connection and a batch of its own, so that an exhibition in another lane does not wait for the hot
/// rows of this one. Exhibitions that share a lane share its batches fairly.
const LANES: usize = 4;
/// Lanes for what changes no stock (attempts begun, declined, doubted): it need not wait for hot rows, nor keep others
/// waiting for them.
const QUIET_LANES: usize = 2;

pub struct Writer {
    lanes: [Queue; LANES + QUIET_LANES],
}

impl Writer {
    pub fn new(queue_max: usize) -> Writer {
        Writer { lanes: std::array::from_fn(|_| Queue::new(queue_max)) }
    }

    /// Queues an entry and waits for its commit. A full queue is refused at once: certainly not written.
    pub async fn submit(&self, entry: Entry) -> Reply {
        let (reply, answer) = oneshot::channel();
        let exhibition = entry.facts.exhibition_id.unsigned_abs() as usize;
        let lane = if entry.ask.touches_stock() { exhibition % LANES } else { LANES + exhibition % QUIET_LANES };
        if !self.lanes[lane].push(Job { entry, reply }) {
            return Reply::Failed(Error::unavailable("stock.busy", "the stock writer's queue is full"));
        }
        // The writer answers every job; a dropped sender means that it panicked mid-batch.
        tokio::time::timeout(PATIENCE, answer).await.ok().and_then(Result::ok).unwrap_or(Reply::Unknown)
    }

    pub fn waiting(&self) -> usize {
        self.lanes.iter().map(Queue::len).sum()
    }

    /// Writes batches until told to stop, which happens after everybody who could still submit has ended.
    pub async fn run(app: App, stop: CancellationToken) {
        join_all(app.writer.lanes.iter().map(|lane| Writer::run_lane(&app, lane, &stop))).await;
    }

    async fn run_lane(app: &App, queue: &Queue, stop: &CancellationToken) {
        let mut connection = None;
        loop {
            let jobs = queue.take(app.settings.writer_batch);
            if !jobs.is_empty() {
                write(app, &mut connection, jobs).await;
                continue;
            }
            tokio::select! {
                () = queue.filled() => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Writes a batch; whatever happens, every job is answered.
async fn write(app: &App, connection: &mut Option<Connection>, jobs: Vec<Job>) {
    let started = std::time::Instant::now();
    let size = jobs.len();
    let outcome = match try_batch(app, connection, &jobs, true).await {
        Ok(replies) => replies,
        Err(Failure::RolledBack(error)) if size > 1 && is_about_data(&error) => {
            tracing::warn!(%error, size, "a batch was refused; its entries are tried one by one");
            for job in jobs {
                let one = vec![job];
                let replies = match try_batch(app, connection, &one, true).await {
                    Ok(replies) => replies,
                    Err(failure) => refused(app, failure, &one).await,
                };
                answer(one, replies);
            }
            app.metrics.batch(size, started.elapsed());
            return;
        }
        Err(failure) => refused(app, failure, &jobs).await,
    };
    answer(jobs, outcome);
    app.metrics.batch(size, started.elapsed());
}

fn answer(jobs: Vec<Job>, replies: Vec<Reply>) {
    for (job, reply) in jobs.into_iter().zip(replies) {
        // A caller that has gone away left a tracked task behind to read this.
        let _ = job.reply.send(reply);
    }
}

/// Replies for a batch that was not written, or of which nobody knows.
async fn refused(app: &App, failure: Failure, jobs: &[Job]) -> Vec<Reply> {
    let reply = match failure {
        Failure::RolledBack(error) if is_about_data(&error) => Reply::Failed(data_error(&error)),
        Failure::RolledBack(error) => Reply::Failed(Error::unavailable("server.database_away", error)),
        Failure::Lost(error) => Reply::Failed(error),
        Failure::InDoubt(_) => {
            app.metrics.unknown_commit("unresolved");
            Reply::Unknown
        }
    };
    jobs.iter().map(|_| reply.clone()).collect()
}

/// A value that the database refuses, or a rule that it keeps: trying again gives the same answer.
fn is_about_data(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|db| matches!(&db.code().code()[..2], "22" | "23"))
}

fn data_error(error: &tokio_postgres::Error) -> Error {
    match crate::platform::pg::constraint_of(error) {
        Some("attempt_confirm_key_once") => Error::invalid("idempotency.key_reused"),
        Some("attempt_payment_key_once") => Error::conflict("payment.key_reused"),
        Some("person_within_limit") => Error::conflict("stock.person_limit"),
        _ => Error::bug(format!("stock writer: {:?}", error.as_db_error())),
    }
}

fn is_worth_a_second_try(error: &tokio_postgres::Error) -> bool {
    // A deadlock's victim, a lock that came too late, a serialisation failure.
    error.as_db_error().is_some_and(|db| matches!(db.code().code(), "40P01" | "55P03" | "40001"))
}

async fn try_batch(
    app: &App,
    connection: &mut Option<Connection>,
    jobs: &[Job],
    again: bool,
) -> Result<Vec<Reply>, Failure> {
    let mut current = match connection.take() {
        Some(open) => open,
        None => connect(app).await?,
    };
    let mut result = commit_once(app, &current, jobs).await;
    if again {
        match &result {
            Err(Failure::RolledBack(error)) if is_worth_a_second_try(error) => {
                result = commit_once(app, &current, jobs).await;
            }
            // The pooled connection had died while idle: nothing was sent.
            Err(Failure::Lost(_)) => {
                current = connect(app).await?;
                result = commit_once(app, &current, jobs).await;
            }
            _ => {}
        }
    }
    match result {
        Ok((replies, books)) => {
            *connection = Some(current);
            for (exhibition_id, what) in &books.payments {
                app.pulse.count(*exhibition_id, *what);
            }
            tell_redis(app, books);
            Ok(replies)
        }
        Err(Failure::RolledBack(error)) => {
            *connection = Some(current);
            Err(Failure::RolledBack(error))
        }
        Err(other) => Err(other),
    }
}

/// One transaction. An unknown COMMIT is looked up here, while the decided replies are at hand.
async fn commit_once(app: &App, connection: &Connection, jobs: &[Job]) -> Result<(Vec<Reply>, Books), Failure> {
    let entries: Vec<&Entry> = jobs.iter().map(|job| &job.entry).collect();
    let (mut books, transaction_id) = connection.read(&entries, app.clock.now_ms()).await?;
    let replies: Vec<Reply> = entries.iter().map(|entry| books.decide(entry)).collect();
    if books.rows.is_empty() {
        connection.abandon().await?;
        return Ok((replies, books));
    }
    match connection.write(&books, transaction_id).await {
        Ok(()) => Ok((replies, books)),
        Err(Failure::InDoubt(doubt)) => match ask_about(app, &doubt).await {
            Some(true) => {
                app.metrics.unknown_commit("committed");
                Ok((replies, books))
            }
            Some(false) => {
                app.metrics.unknown_commit("rolled_back");
                Err(Failure::Lost(Error::unavailable(
                    "server.database_away",
                    "the commit was lost with its connection",
                )))
            }
            None => Err(Failure::InDoubt(doubt)),
        },
        Err(other) => Err(other),
    }
}

async fn connect(app: &App) -> Result<Connection, Failure> {
    match tokio::time::timeout(CONNECT_MAX, try_to_connect(app)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::Lost(Error::unavailable("server.database_away", "no connection in time"))),
    }
}

async fn try_to_connect(app: &App) -> Result<Connection, Failure> {
    let mut last = Error::unavailable("server.database_away", "not tried");
    for attempt in 0..CONNECT_TRIES {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        match Connection::open(&app.settings.database.database_url).await {
            Ok(connection) => return Ok(connection),
            Err(error) => last = error,
        }
    }
    Err(Failure::Lost(Error::unavailable("server.database_away", last)))
}

async fn ask_about(app: &App, doubt: &Doubt) -> Option<bool> {
    tokio::time::timeout(DOUBT_MAX, keep_asking(app, doubt)).await.ok().flatten()
}

async fn keep_asking(app: &App, doubt: &Doubt) -> Option<bool> {
    for _ in 0..DOUBT_TRIES {
        match pg::committed(&app.settings.database.database_url, doubt).await {
            Ok(Some(committed)) => return Some(committed),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "cannot ask about an unknown commit yet"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    None
}

/// Confirms takes and applies what became free, once, without making anybody wait.
fn tell_redis(app: &App, books: Books) {
    if books.wakes.is_empty() {
        return;
    }
    let task_app = app.clone();
    app.lifecycle.spawn(async move {
        for (exhibition_id, wake) in books.wakes {
            if !wake.confirmed.is_empty()
                && let Err(error) = redis::confirm(&task_app.redis, &wake.code, &wake.confirmed).await
            {
                tracing::warn!(%error, takes = wake.confirmed.len(), "takes not confirmed; the audit will");
            }
            if !wake.passes.is_empty() {
                let now_ms = task_app.clock.now_ms();
                let ended = waiting_room::redis::end_passes(&task_app.redis, &wake.code, &wake.passes, now_ms).await;
                if let Err(error) = ended {
                    tracing::warn!(%error, passes = wake.passes.len(), "passes not ended; they end with their time");
                }
            }
            release::tell(&task_app, exhibition_id, &wake.code, &wake.freed).await;
        }
    });
}
