//! Entries waiting for the writer: one bounded line per exhibition, served in turn.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use tokio::sync::Notify;

use super::entry::{Ask, Job};

pub struct Queue {
    lines: Mutex<Lines>,
    filled: Notify,
    line_max: usize,
}

#[derive(Default)]
struct Lines {
    by_exhibition: HashMap<i32, VecDeque<Job>>,
    /// Exhibitions with something waiting, the next to be served in front.
    turn: VecDeque<i32>,
    len: usize,
}

impl Queue {
    pub fn new(line_max: usize) -> Queue {
        Queue { lines: Mutex::default(), filled: Notify::new(), line_max }
    }

    /// False when the exhibition's line is full.
    pub fn push(&self, job: Job) -> bool {
        let exhibition = job.entry.facts.exhibition_id;
        {
            let Ok(mut lines) = self.lines.lock() else { return false };
            let line = lines.by_exhibition.entry(exhibition).or_default();
            // New holds are turned away when the line is long; whoever has places or has paid already is not.
            if matches!(job.entry.ask, Ask::Hold(_)) && line.len() >= self.line_max {
                return false;
            }
            line.push_back(job);
            if line.len() == 1 {
                lines.turn.push_back(exhibition);
            }
            lines.len += 1;
        }
        self.filled.notify_one();
        true
    }

    /// Up to `most` jobs, an equal share from each exhibition that has some, the rest to whoever has more.
    pub fn take(&self, most: usize) -> Vec<Job> {
        let Ok(mut lines) = self.lines.lock() else { return Vec::new() };
        let mut taken = Vec::with_capacity(most.min(lines.len));
        while taken.len() < most && !lines.turn.is_empty() {
            let share = ((most - taken.len()) / lines.turn.len()).max(1);
            for _ in 0..lines.turn.len() {
                if taken.len() >= most {
                    break;
                }
                let Some(exhibition) = lines.turn.pop_front() else { break };
                let Some(line) = lines.by_exhibition.get_mut(&exhibition) else { continue };
                let count = share.min(line.len()).min(most - taken.len());
                taken.extend(line.drain(..count));
                if line.is_empty() {
                    lines.by_exhibition.remove(&exhibition);
                } else {
                    lines.turn.push_back(exhibition);
                }
            }
        }
        lines.len -= taken.len();
        taken
    }

    pub fn len(&self) -> usize {
        self.lines.lock().map_or(0, |lines| lines.len)
    }

    pub async fn filled(&self) {
        self.filled.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders::consent::Consent;
    use crate::orders::contact::ContactIndex;
    use crate::orders::model::{OrderFacts, Origin, Seat};
    use crate::orders::writer::{Entry, Hold, SealedContact};

    fn job(exhibition_id: i32) -> Job {
        let facts = OrderFacts {
            id: uuid::Uuid::nil(),
            number: String::new(),
            exhibition_id,
            code: String::new(),
            slot_id: None,
            hold_id: [0; 16],
            fingerprint: [0; 16],
            total_won: 0,
            person_key: [0; 16],
            person_places: 0,
            person_counted: false,
            person_allowed: None,
            has_email: false,
            language: "ko",
            items: vec![],
            lines: vec![],
            pass_sid: None,
        };
        let (reply, _) = tokio::sync::oneshot::channel();
        let hold = Hold {
            seat: Seat { hold_id: [0; 16], epoch: 1, at_ms: 0 },
            contact: SealedContact {
                phone_digest: vec![],
                index: ContactIndex::default(),
                key_id: String::new(),
                sealed: vec![],
                consent: Consent::default(),
            },
            referral_code: None,
            open_holds_max: None,
            ttl_s: 600,
        };
        Job { entry: Entry { facts, ask: Ask::Hold(Box::new(hold)), origin: Origin::new("test", "", "") }, reply }
    }

    #[test]
    fn a_flood_leaves_the_others_their_share() {
        let queue = Queue::new(1000);
        for _ in 0..500 {
            assert!(queue.push(job(1)));
        }
        for _ in 0..3 {
            assert!(queue.push(job(2)));
        }
        let batch = queue.take(100);
        let of_two = batch.iter().filter(|j| j.entry.facts.exhibition_id == 2).count();
        assert_eq!((batch.len(), of_two, queue.len()), (100, 3, 403));
    }

    #[test]
    fn a_full_line_refuses_and_leaves_other_lines_open() {
        let queue = Queue::new(2);
        assert!(queue.push(job(1)) && queue.push(job(1)) && !queue.push(job(1)));
        assert!(queue.push(job(2)));
        let mut paid = job(1);
        paid.entry.ask = Ask::Expire;
        assert!(queue.push(paid), "only new holds are turned away");
        assert_eq!(queue.take(10).len(), 4);
        assert!(queue.push(job(1)));
    }
}
