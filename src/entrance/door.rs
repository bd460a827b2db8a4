//! The queue in front of the desks. A desk is a task that judges whatever has queued while the batch before was being
//! written: alone, a scan waits for nothing; in a rush, one commit serves many. Most of a batch's cost is the batch's
//! own, so one desk with larger batches is faster than two with smaller ones; the second is there for a backlog, and
//! for a first that is stuck. A scan that has queued is judged and recorded even when its caller has gone; asked again
//! with the same nonce, it has its answer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::judge::{self, Asked, Verdict};
use crate::app::App;
use crate::error::{Error, Kind, Result};

const DESKS_MAX: usize = 2;
/// A batch takes 2 to 20 ms; one that takes this long waits for a lock or for a connection that died.
const STUCK: Duration = Duration::from_millis(200);
/// Scans of one commit: 64 take about 4 ms to read and write, which bounds what the first of them waits.
const BATCH_MAX: usize = 64;
/// Beyond this the wait is longer than a scanner's patience; it has its offline mode.
const WAITING_MAX: usize = 1_000;
/// A code of a key nobody has heard of makes us look for new keys, at most this often. [ms]
const KEY_LOOK_MS: i64 = 5_000;

struct Entry {
    asked: Asked,
    answer: oneshot::Sender<Result<Verdict>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Entry>,
    desks: usize,
    /// When a desk last took a batch.
    taken_at: Option<Instant>,
}

impl Queue {
    fn needs_desk(&self) -> bool {
        let stuck = || self.taken_at.is_some_and(|at| at.elapsed() >= STUCK);
        self.desks == 0 || (self.desks < DESKS_MAX && (self.waiting.len() >= BATCH_MAX || stuck()))
    }
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    keys_looked_ms: AtomicI64,
}

#[derive(Clone, Default)]
pub struct Door(Arc<Shared>);

/// An open desk; closes also when its task panics.
struct Desk<'a> {
    door: &'a Door,
    open: bool,
}

impl Drop for Desk<'_> {
    fn drop(&mut self) {
        if self.open {
            self.door.queue().desks -= 1;
        }
    }
}

impl Door {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing under the lock can leave it half-changed.
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True once per interval.
    pub fn may_look_for_keys(&self, now_ms: i64) -> bool {
        let last = self.0.keys_looked_ms.load(Ordering::Relaxed);
        (now_ms - last).abs() >= KEY_LOOK_MS
            && self.0.keys_looked_ms.compare_exchange(last, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    pub async fn scan(&self, app: &App, asked: Asked) -> Result<Verdict> {
        let (answer, verdict) = oneshot::channel();
        if self.enqueue(Entry { asked, answer })? {
            let (door, app_of_desk) = (self.clone(), app.clone());
            app.lifecycle.spawn(async move { door.serve(&app_of_desk).await });
        }
        verdict.await.map_err(|_| Error::bug("a desk closed with a scan on it"))?
    }

    /// True when a desk has to open for it.
    fn enqueue(&self, entry: Entry) -> Result<bool> {
        let mut queue = self.queue();
        if queue.waiting.len() >= WAITING_MAX {
            return Err(Error::unavailable("entrance.busy", "too many scans are waiting"));
        }
        queue.waiting.push_back(entry);
        let opens = queue.needs_desk();
        queue.desks += usize::from(opens);
        Ok(opens)
    }

    async fn serve(&self, app: &App) {
        let mut desk = Desk { door: self, open: true };
        while let Some(batch) = desk.take() {
            let (asked, answers): (Vec<Asked>, Vec<_>) = batch.into_iter().map(|e| (e.asked, e.answer)).unzip();
            for (answer, verdict) in answers.into_iter().zip(judged(app, &asked).await) {
                // A caller who has gone may ask again.
                let _ = answer.send(verdict);
            }
        }
    }
}

impl Desk<'_> {
    /// A batch, or none: then the desk closes under the same lock, so that no scan is left without one.
    fn take(&mut self) -> Option<Vec<Entry>> {
        let mut queue = self.door.queue();
        if queue.waiting.is_empty() {
            queue.desks -= 1;
            self.open = false;
            return None;
        }
        queue.taken_at = Some(Instant::now());
        let count = queue.waiting.len().min(BATCH_MAX);
        Some(queue.waiting.drain(..count).collect())
    }
}

async fn judged(app: &App, asked: &[Asked]) -> Vec<Result<Verdict>> {
    match attempt(app, asked).await {
        Ok(verdicts) => verdicts,
        // A scan that Postgres refuses must not fail its neighbours.
        Err(error) if error.kind == Kind::Bug && asked.len() > 1 => {
            let mut verdicts = Vec::with_capacity(asked.len());
            for one in asked.chunks(1) {
                verdicts.push(attempt(app, one).await.and_then(|mut v| v.pop().unwrap_or(Err(error.clone()))));
            }
            verdicts
        }
        Err(error) => asked.iter().map(|_| Err(error.clone())).collect(),
    }
}

async fn attempt(app: &App, asked: &[Asked]) -> Result<Vec<Result<Verdict>>> {
    let client = app.entrance_pg.get().await?;
    judge::batch(&client, asked).await
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::admin::{Exhibitions, Role, StaffUser};
    use crate::entrance::rules::{Direction, Reason};

    fn entry() -> Entry {
        let staff = StaffUser {
            id: 1,
            name: "gate".into(),
            role: Role::Staff,
            exhibitions: Exhibitions::All,
            must_set_up: false,
            request_id: String::new(),
        };
        let asked = Asked {
            scan_id: Uuid::nil(),
            staff,
            gate: "main".into(),
            device: None,
            nonce: None,
            code_digest: [0; 16],
            claims: Err(Reason::Unknown),
            direction: Direction::In,
            at: Timestamp::UNIX_EPOCH,
        };
        Entry { asked, answer: oneshot::channel().0 }
    }

    #[test]
    fn a_second_desk_opens_for_a_backlog_and_for_a_stuck_first() {
        let door = Door::default();
        assert!(door.enqueue(entry()).unwrap(), "the first scan opens a desk");
        let mut first = Desk { door: &door, open: true };
        assert_eq!(first.take().unwrap().len(), 1);
        let opened = (0..BATCH_MAX).map(|_| door.enqueue(entry()).unwrap()).collect::<Vec<_>>();
        assert_eq!(opened.iter().position(|opened| *opened), Some(BATCH_MAX - 1), "a whole batch is waiting");
        let mut second = Desk { door: &door, open: true };
        assert_eq!(second.take().unwrap().len(), BATCH_MAX);
        assert!(second.take().is_none(), "nothing is left: it closes");
        drop(second);
        assert_eq!(door.queue().desks, 1);

        door.queue().taken_at = Instant::now().checked_sub(STUCK);
        assert!(door.enqueue(entry()).unwrap());
        assert!(!door.enqueue(entry()).unwrap(), "two desks are the most");
        // As when its task panics.
        drop(first);
        assert_eq!(door.queue().desks, 1);
    }

    #[test]
    fn a_crowd_is_told_to_come_back() {
        let door = Door::default();
        for _ in 0..WAITING_MAX {
            door.enqueue(entry()).unwrap();
        }
        assert_eq!(door.enqueue(entry()).unwrap_err().code, "entrance.busy");
        assert_eq!(door.queue().waiting.len(), WAITING_MAX);
    }

    #[test]
    fn keys_are_looked_for_now_and_then() {
        let door = Door::default();
        assert!(door.may_look_for_keys(10_000));
        assert!(!door.may_look_for_keys(14_999));
        assert!(door.may_look_for_keys(15_000));
    }
}
