//! Webhooks are stored together: while one batch is being written, the next collects. Alone, a webhook waits for
//! nothing; in a flood one commit serves many. Nobody is answered before the commit that stores their event.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::model::{Notice, Provider};
use super::pg::{self, Stored};
use crate::app::App;
use crate::error::{Error, Kind, Result};

/// Events of one commit, which takes some 10 ms.
const BATCH_MAX: usize = 256;
/// A second of waiting at 10,000 events a second; who comes later is told to come again, and providers do.
const WAITING_MAX: usize = 10_000;

struct Entry {
    provider: Provider,
    notice: Notice,
    answer: oneshot::Sender<Result<Stored>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Entry>,
    is_served: bool,
}

#[derive(Clone, Default)]
pub struct Intake(Arc<Mutex<Queue>>);

/// The one task that writes; lets go also when it panics.
struct Clerk<'a>(&'a Intake);

impl Drop for Clerk<'_> {
    fn drop(&mut self) {
        self.0.queue().is_served = false;
    }
}

impl Intake {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn store(&self, app: &App, provider: Provider, notice: Notice) -> Result<Stored> {
        let (answer, stored) = oneshot::channel();
        if self.enqueue(Entry { provider, notice, answer })? {
            let (intake, app_of_clerk) = (self.clone(), app.clone());
            app.lifecycle.spawn(async move { intake.serve(&app_of_clerk).await });
        }
        stored.await.map_err(|_| Error::bug("an event was left lying"))?
    }

    /// True when somebody has to begin writing.
    fn enqueue(&self, entry: Entry) -> Result<bool> {
        let mut queue = self.queue();
        if queue.waiting.len() >= WAITING_MAX {
            return Err(Error::unavailable("server.busy", "too many webhooks are waiting"));
        }
        queue.waiting.push_back(entry);
        Ok(!std::mem::replace(&mut queue.is_served, true))
    }

    async fn serve(&self, app: &App) {
        let clerk = Clerk(self);
        while let Some(batch) = self.take() {
            let (events, answers): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|e| ((e.provider, e.notice), e.answer)).unzip();
            for (answer, stored) in answers.into_iter().zip(written(app, &events).await) {
                // Who has gone will send it again.
                let _ = answer.send(stored);
            }
        }
        // `take` has let go already, and another may be writing.
        std::mem::forget(clerk);
    }

    /// None: nothing is left, and whoever comes next writes.
    fn take(&self) -> Option<Vec<Entry>> {
        let mut queue = self.queue();
        let count = queue.waiting.len().min(BATCH_MAX);
        queue.is_served = count > 0;
        (count > 0).then(|| queue.waiting.drain(..count).collect())
    }
}

async fn written(app: &App, events: &[(Provider, Notice)]) -> Vec<Result<Stored>> {
    match attempt(app, events).await {
        Ok(stored) => stored.into_iter().map(Ok).collect(),
        // An event that Postgres refuses must not fail its neighbours.
        Err(error) if error.kind == Kind::Bug && events.len() > 1 => {
            let mut stored = Vec::with_capacity(events.len());
            for one in events.chunks(1) {
                stored.push(attempt(app, one).await.and_then(|mut s| s.pop().ok_or_else(|| error.clone())));
            }
            stored
        }
        Err(error) => events.iter().map(|_| Err(error.clone())).collect(),
    }
}

async fn attempt(app: &App, events: &[(Provider, Notice)]) -> Result<Vec<Stored>> {
    let client = app.pg.get().await?;
    pg::store(&client, events).await
}
