//! Webhooks as Toss sends them: an event is written down when it happens, delivered at least once, in no promised
//! order, retried seven times over 3 d 19 h. No signature: payment webhooks carry none.

mod deliver;
mod events;

pub use deliver::run;

use simulator_common::Text;

use crate::sim::Sim;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use simulator_common::lock;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// Beyond this many undelivered events a new one counts as a failed attempt and takes the retry ladder.
const QUEUE_MAX: usize = 100_000;
/// Attempts kept for `GET /_sim/webhooks`.
const LOG_MAX: usize = 500;

#[derive(Clone)]
pub struct Job {
    pub transmission_id: Text,
    pub order_id: Text,
    pub event: &'static str,
    pub status: &'static str,
    pub body: Bytes,
    pub retried: u32,
    /// Events from before a reset are dropped on sight.
    pub generation: u64,
    /// An older event that goes out only after this one.
    pub then: Option<Box<Job>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Normal,
    Off,
    Twice,
    /// First attempt `delay_ms` late, by the simulated clock.
    Late,
    /// First attempt is over before the API call is answered.
    BeforeResponse,
    /// Of two events of one order the newer goes first; a lone one waits `delay_ms`.
    ReverseOrder,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manner {
    pub mode: Mode,
    #[serde(default = "usual_delay_ms")]
    pub delay_ms: u64,
}

fn usual_delay_ms() -> u64 {
    3_000
}

#[derive(Clone, Serialize)]
pub struct Attempt {
    pub transmission_id: Text,
    pub order_id: Text,
    pub event: &'static str,
    pub status: &'static str,
    pub retried: u32,
    pub at: String,
    pub http_status: Option<u16>,
    pub error: Option<String>,
}

#[derive(Default)]
struct Tally {
    created: AtomicU64,
    in_flight: AtomicU64,
    delivered: AtomicU64,
    failed_attempts: AtomicU64,
    given_up: AtomicU64,
}

pub struct Webhooks {
    url: Mutex<Option<Text>>,
    manner: Mutex<Manner>,
    queue: mpsc::Sender<Job>,
    client: reqwest::Client,
    kept_back: Mutex<HashMap<Text, Job>>,
    log: Mutex<VecDeque<Attempt>>,
    tally: Tally,
    generation: AtomicU64,
}

impl Webhooks {
    pub fn new(url: Option<&str>) -> Result<(Self, mpsc::Receiver<Job>), String> {
        let (queue, receiver) = mpsc::channel(QUEUE_MAX);
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .build()
            .map_err(|error| error.to_string())?;
        let webhooks = Self {
            url: Mutex::new(url.map(Text::from)),
            manner: Mutex::new(Manner { mode: Mode::Normal, delay_ms: usual_delay_ms() }),
            queue,
            client,
            kept_back: Mutex::default(),
            log: Mutex::default(),
            tally: Tally::default(),
            generation: AtomicU64::new(0),
        };
        Ok((webhooks, receiver))
    }

    pub fn url(&self) -> Option<Text> {
        lock(&self.url).clone()
    }

    pub fn set_url(&self, url: Option<&str>) {
        *lock(&self.url) = url.map(Text::from);
    }

    pub fn manner(&self) -> Manner {
        *lock(&self.manner)
    }

    pub fn set_manner(&self, manner: Manner) {
        *lock(&self.manner) = manner;
    }

    pub fn reset(&self, url: Option<&str>) {
        self.generation.fetch_add(1, Relaxed);
        self.set_url(url);
        self.set_manner(Manner { mode: Mode::Normal, delay_ms: usual_delay_ms() });
        lock(&self.kept_back).clear();
        lock(&self.log).clear();
        let Tally { created, delivered, failed_attempts, given_up, .. } = &self.tally;
        [created, delivered, failed_attempts, given_up].iter().for_each(|number| number.store(0, Relaxed));
    }

    pub fn to_json(&self) -> Value {
        let log: Vec<Attempt> = lock(&self.log).iter().cloned().collect();
        json!({ "url": self.url(), "manner": self.manner(), "tally": self.tally_json(), "attempts": log })
    }

    pub fn tally_json(&self) -> Value {
        json!({
            "created": self.tally.created.load(Relaxed),
            "queued": self.queue.max_capacity() - self.queue.capacity(),
            "in_flight": self.tally.in_flight.load(Relaxed),
            "delivered": self.tally.delivered.load(Relaxed),
            "failed_attempts": self.tally.failed_attempts.load(Relaxed),
            "given_up": self.tally.given_up.load(Relaxed),
        })
    }
}

impl Sim {
    /// A retry or a delayed event whose time has come.
    pub fn redeliver(&self, job: Job) {
        deliver::enqueue(self, job);
    }

    /// Sends events on their way. Waits only in the mode that delivers before the answer.
    pub async fn publish(self: &Arc<Self>, jobs: Vec<Job>) {
        let now = self.webhooks.manner().mode == Mode::BeforeResponse;
        for job in jobs {
            if now { deliver::attempt(self, job).await } else { self.post(job) }
        }
    }

    /// Sends one event on its way in the manner chosen, without waiting.
    pub fn post(&self, job: Job) {
        let manner = self.webhooks.manner();
        let later_ms = self.clock.now_ms() + i64::try_from(manner.delay_ms).unwrap_or(i64::MAX / 4);
        match manner.mode {
            Mode::Off => {}
            Mode::Normal | Mode::BeforeResponse => deliver::enqueue(self, job),
            Mode::Twice => {
                // Registered twice: another transmission of the same event.
                let again = Job { transmission_id: crate::ids::transmission_id().into(), ..job.clone() };
                deliver::enqueue(self, job);
                deliver::enqueue(self, again);
            }
            Mode::Late => self.agenda.at(later_ms, crate::sim::Due::Deliver(job)),
            Mode::ReverseOrder => {
                let order_id = job.order_id.clone();
                let mut kept_back = lock(&self.webhooks.kept_back);
                if let Some(older) = kept_back.remove(&order_id) {
                    deliver::enqueue(self, Job { then: Some(Box::new(older)), ..job });
                } else {
                    kept_back.insert(order_id.clone(), job);
                    self.agenda.at(later_ms, crate::sim::Due::LetGo(order_id));
                }
            }
        }
    }

    /// Nothing overtook the event that was kept back.
    pub fn let_go(&self, order_id: &str) {
        let job = lock(&self.webhooks.kept_back).remove(order_id);
        if let Some(job) = job {
            deliver::enqueue(self, job);
        }
    }
}
