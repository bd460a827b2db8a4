//! Starts visitors when the schedule says, whatever the server does meanwhile.
//!
//! A thread of its own sleeps between arrivals, because the runtime's timer only knows milliseconds:
//! a constant millisecond on both sides of a comparison would hide a factor of two.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::schedule::Schedule;
use crate::tally::{Outcome, Recorder};

/// Wake-ups are not closer than this. Each costs some CPU, so at 8,000/s a fifth of a millisecond took
/// 17 % of a core and half of one takes 10 %. The lateness it adds is reported; below 2,000/s there is none.
const WAKE_GAP: Duration = Duration::from_micros(500);
/// Visitors waiting at once. Beyond it they are counted as overruns, never forgotten.
const WAITING_MAX: u64 = 200_000;
/// After the last arrival the slowest flow may still take several calls with a timeout each.
const DRAIN_MAX: Duration = Duration::from_secs(90);
/// Lets every loop of a run be set up before the first arrival.
const LEAD: Duration = Duration::from_millis(50);

/// One stretch of time shared by all loops of a run.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub start: Instant,
    pub warmup: Duration,
    pub length: Duration,
}

impl Window {
    pub fn soon(warmup_s: f64, seconds: f64) -> Window {
        let (warmup, length) = (Duration::from_secs_f64(warmup_s), Duration::from_secs_f64(seconds));
        Window { start: Instant::now() + LEAD, warmup, length }
    }

    pub fn measured_from(&self) -> Instant {
        self.start + self.warmup
    }

    pub fn end(&self) -> Instant {
        self.start + self.warmup + self.length
    }

    pub fn schedule(&self, rate: f64, poisson: bool) -> Schedule {
        let end_ns = (self.warmup + self.length).as_nanos() as u64;
        if poisson { Schedule::poisson(rate, end_ns, rand::random()) } else { Schedule::constant(rate, end_ns) }
    }

    fn recorder(&self) -> Recorder {
        let from_ns = self.warmup.as_nanos() as u64;
        Recorder::new(from_ns, from_ns + self.length.as_nanos() as u64)
    }
}

struct Shared {
    start: Instant,
    recorder: Mutex<Recorder>,
    waiting: AtomicU64,
}

impl Shared {
    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn record(&self, intended_ns: u64, begun_ns: u64, outcome: &Outcome) {
        let done_ns = self.now_ns();
        if let Ok(mut recorder) = self.recorder.lock() {
            recorder.record(intended_ns, begun_ns, done_ns, outcome);
        }
    }

    fn into_recorder(self: Arc<Self>, window: &Window) -> Recorder {
        match self.recorder.lock() {
            Ok(mut recorder) => std::mem::replace(&mut *recorder, window.recorder()),
            Err(poisoned) => std::mem::replace(&mut *poisoned.into_inner(), window.recorder()),
        }
    }
}

/// Open loop: `visit` is started for every arrival of the schedule, however many are still under way.
pub async fn open_loop<F, V>(window: Window, schedule: Schedule, visit: F) -> Recorder
where
    F: Fn() -> V,
    V: Future<Output = Outcome> + Send + 'static,
{
    open_loop_within(window, schedule, DRAIN_MAX, visit).await
}

/// The same for visits that take longer than a few calls: so long they may go on after the last arrival.
pub async fn open_loop_within<F, V>(window: Window, mut schedule: Schedule, drain_max: Duration, visit: F) -> Recorder
where
    F: Fn() -> V,
    V: Future<Output = Outcome> + Send + 'static,
{
    let shared =
        Arc::new(Shared { start: window.start, recorder: Mutex::new(window.recorder()), waiting: AtomicU64::new(0) });
    let due = Arc::new(Notify::new());
    let pacer = Pacer::start(window.start, schedule.clone(), Arc::clone(&due));
    while schedule.peek().is_some() {
        due.notified().await;
        while let Some(intended_ns) = schedule.due(shared.now_ns()) {
            launch(&shared, intended_ns, &visit);
        }
    }
    drop(pacer);
    drain(&shared, drain_max).await;
    shared.into_recorder(&window)
}

fn launch<F, V>(shared: &Arc<Shared>, intended_ns: u64, visit: &F)
where
    F: Fn() -> V,
    V: Future<Output = Outcome> + Send + 'static,
{
    if shared.waiting.load(Ordering::Relaxed) >= WAITING_MAX {
        shared.record(intended_ns, shared.now_ns(), &Outcome::Overrun);
        return;
    }
    shared.waiting.fetch_add(1, Ordering::Relaxed);
    let (shared, visit) = (Arc::clone(shared), visit());
    tokio::spawn(async move {
        let begun_ns = shared.now_ns();
        let outcome = visit.await;
        shared.record(intended_ns, begun_ns, &outcome);
        shared.waiting.fetch_sub(1, Ordering::Relaxed);
    });
}

/// Waits for those under way. Who is still missing at the end counts as a timeout.
async fn drain(shared: &Arc<Shared>, at_most: Duration) {
    let deadline = Instant::now() + at_most;
    while shared.waiting.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let missing = shared.waiting.load(Ordering::Relaxed);
    if let Ok(mut recorder) = shared.recorder.lock() {
        recorder.tally.timeouts += missing;
    }
}

/// Closed loop: each of `workers` visits again as soon as it has its answer. Finds the ceiling, but
/// hides stalls; latencies from here are the server's answer times under saturation, nothing more.
pub async fn closed_loop<F, V>(window: Window, workers: usize, visit: F) -> Recorder
where
    F: Fn() -> V + Clone + Send + 'static,
    V: Future<Output = Outcome> + Send + 'static,
{
    let shared =
        Arc::new(Shared { start: window.start, recorder: Mutex::new(window.recorder()), waiting: AtomicU64::new(0) });
    tokio::time::sleep_until(window.start.into()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..workers {
        let (shared, visit) = (Arc::clone(&shared), visit.clone());
        tasks.spawn(async move {
            while Instant::now() < window.end() {
                let begun_ns = shared.now_ns();
                let outcome = visit().await;
                let failed = outcome != Outcome::Success;
                shared.record(begun_ns, begun_ns, &outcome);
                if failed {
                    // A server that refuses at once would otherwise turn this into a busy loop.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    shared.into_recorder(&window)
}

/// Sleeps to the next arrival on its own thread and wakes the runtime.
struct Pacer {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Pacer {
    fn start(start: Instant, mut schedule: Schedule, due: Arc<Notify>) -> Pacer {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut earliest = start;
            while let Some(next_ns) = schedule.peek()
                && !stopped.load(Ordering::Relaxed)
            {
                let wake = (start + Duration::from_nanos(next_ns)).max(earliest);
                std::thread::sleep(wake.saturating_duration_since(Instant::now()));
                let now = Instant::now();
                let now_ns = now.saturating_duration_since(start).as_nanos() as u64;
                while schedule.due(now_ns).is_some() {}
                earliest = now + WAKE_GAP;
                due.notify_one();
            }
        });
        Pacer { stop, thread: Some(thread) }
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
