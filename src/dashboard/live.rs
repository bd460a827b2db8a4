//! The live board of an exhibition: one picture for however many watch it, made anew as soon as something newer is known.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::messages::MessagesLive;
use super::{Heard, messages};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::observability::pulse::{BEAT, Picture, Round, What};
use crate::orders::worker::{WORKERS, Worker};
use crate::waiting_room::model::Phase;

/// Though nothing newer is known: how old it all is has changed.
const EVERY: Duration = Duration::from_secs(1);
/// What was said longer ago is not the state of a breaker any more: its first pause is five seconds.
const FRESH_MS: i64 = 5_000;
/// A worker no round of which has ended for three times its pace is silent, unless one is under way; this is the least. [ms]
const SILENT_MS: i64 = 10_000;

#[derive(Serialize, ToSchema)]
pub struct LiveBoard {
    /// Unix ms.
    at: i64,
    /// Nobody can order here.
    paused: bool,
    /// By which switches; both may be on.
    paused_by: Vec<PausedBy>,
    /// Why, in the words for visitors; of all sales where both are paused.
    pause_reason_ko: Option<String>,
    pause_reason_en: Option<String>,
    /// How old what is known of the processes is. [ms]
    heard_age_ms: i64,
    /// How old the stocks are. [ms]
    stocks_age_ms: i64,
    /// Null: none is open.
    room: Option<RoomLive>,
    placed_per_s: f64,
    paid_per_s: f64,
    declined_per_s: f64,
    /// Payments without a certain end, and those that could not begin since their provider is away.
    doubted_per_s: f64,
    /// Of the payments of the last minute, those that came to a certain end at once: accepted, refused by the bank, or an account to
    /// pay into. Cash and what staff marked as paid are not among them. Null: there were none.
    payment_success: Option<f64>,
    /// Orders that could not be placed for a reason of ours; sold out is none.
    failed_per_s: f64,
    /// Of all answers of the API, those that were our failure.
    error_rate: f64,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    /// Of slots, those whose day is not over.
    stocks: Vec<StockLive>,
    providers: Vec<ProviderLive>,
    instances: Vec<InstanceLive>,
    /// All there are.
    workers: Vec<WorkerLive>,
    /// Null: nobody counts them at the moment.
    messages: Option<MessagesLive>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PausedBy {
    AllSales,
    Exhibition,
}

#[derive(Serialize, ToSchema)]
struct RoomLive {
    phase: Phase,
    stale: bool,
    waiting: u32,
    active: i32,
    capacity: i32,
    admitted_per_s: f64,
    /// At most, as lowered by the brake.
    rate_per_s: f64,
    /// 1: not braking; below: the rate is lowered to this share, since orders are slow or fail.
    brake: f64,
    reason_ko: String,
    reason_en: String,
}

/// What one has not is left out: there may be hundreds, several times a second.
#[derive(Serialize, ToSchema)]
struct StockLive {
    stock_id: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot_id: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_ko: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_en: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    date: Option<jiff::civil::Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    start_time: Option<jiff::civil::Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    end_time: Option<jiff::civil::Time>,
    /// A product that is not sold now, whatever is free.
    paused: bool,
    /// A slot that does not take place.
    closed: bool,
    total: i32,
    offered: i32,
    held: i32,
    sold: i32,
    free: i64,
}

#[derive(Serialize, ToSchema)]
pub struct ProviderLive {
    name: String,
    /// closed (all is well), half_open or open, as the worst of the processes sees it.
    state: String,
}

#[derive(Serialize, ToSchema)]
struct InstanceLive {
    name: String,
    age_ms: i64,
    /// Entries that wait for its stock writer.
    writer_waiting: usize,
}

#[derive(Serialize, ToSchema)]
struct WorkerLive {
    name: String,
    /// idle, worked, failed or panicked. No round has ended for longer than there should be between two: busy, when one is under
    /// way, or else silent.
    outcome: String,
    /// Since a round of it ended. Null: none ever did.
    age_ms: Option<i64>,
    /// The last round; of a busy worker, the one that is under way, so far.
    took_ms: Option<i64>,
}

/// What was heard last, and the boards that somebody watches.
#[derive(Default)]
pub struct Boards {
    heard: ArcSwap<(i64, Heard)>,
    watched: Mutex<HashMap<String, watch::Sender<Arc<str>>>>,
    news: watch::Sender<()>,
}

impl Boards {
    pub fn heard(&self, heard: Heard, now_ms: i64) {
        self.heard.store(Arc::new((now_ms, heard)));
        self.tell();
    }

    /// Something on the boards is known anew.
    pub fn tell(&self) {
        self.news.send_replace(());
    }

    /// What was heard last, and when.
    pub fn known(&self) -> Arc<(i64, Heard)> {
        self.heard.load_full()
    }

    /// The pictures of a board from now on. The first who watches sets it going, and it stops when nobody does.
    pub fn watch(&self, app: &App, code: &str) -> watch::Receiver<Arc<str>> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(board) = watched.get(code) {
            return board.subscribe();
        }
        let (sender, receiver) = watch::channel(Arc::from(picture(app, code).unwrap_or_default()));
        watched.insert(code.to_owned(), sender);
        app.lifecycle.spawn(keep_going(app.clone(), code.to_owned()));
        receiver
    }

    /// False: nobody watches any more, and the board is put away.
    fn show(&self, code: &str, picture: Option<String>) -> bool {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(board) = watched.get(code) else { return false };
        if board.receiver_count() == 0 {
            watched.remove(code);
            return false;
        }
        if let Some(picture) = picture {
            board.send_replace(Arc::from(picture));
        }
        true
    }
}

async fn keep_going(app: App, code: String) {
    let (stopping, mut news) = (app.lifecycle.stopping(), app.boards.news.subscribe());
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = news.changed() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
        let picture = picture(&app, &code);
        if !app.boards.show(&code, picture) {
            return;
        }
    }
}

fn picture(app: &App, code: &str) -> Option<String> {
    let exhibition = app.catalogue.current().known(code).ok()?;
    serde_json::to_string(&board(app, &exhibition)).ok()
}

pub fn board(app: &App, exhibition: &Exhibition) -> LiveBoard {
    let now_ms = app.clock.now_ms();
    let known = app.boards.heard.load();
    let (heard_ms, heard) = (known.0, &known.1);
    let mut all = Picture::default();
    for (_, picture) in heard {
        all.add(picture);
    }
    // Processes beat at their own instants; each covers as many beats as it has.
    let beats = heard.iter().map(|(_, picture)| picture.beats).max().unwrap_or(1).max(1);
    let seconds = beats as f64 * BEAT.as_secs_f64();
    let counts = all.sales.get(&exhibition.id).copied().unwrap_or_default();
    let per_s = |what: What| what.of(&counts) as f64 / seconds;
    LiveBoard {
        at: now_ms,
        paused: exhibition.is_paused(),
        paused_by: paused_by(exhibition),
        pause_reason_ko: exhibition.pause_reason().map(|pause| pause.reason_ko.clone()),
        pause_reason_en: exhibition.pause_reason().map(|pause| pause.reason_en.clone()),
        heard_age_ms: now_ms - heard_ms,
        stocks_age_ms: app.catalogue.current().as_of.map_or(i64::MAX, |as_of| now_ms - as_of.as_millisecond()),
        room: room(app, &exhibition.code, now_ms),
        placed_per_s: per_s(What::Placed),
        paid_per_s: per_s(What::Paid),
        declined_per_s: per_s(What::Declined),
        doubted_per_s: per_s(What::Doubted),
        payment_success: all
            .payments
            .get(&exhibition.id)
            .map(|[ended, doubted]| *ended as f64 / (ended + doubted) as f64),
        failed_per_s: per_s(What::Failed),
        error_rate: if all.answered == 0 { 0.0 } else { all.failed as f64 / all.answered as f64 },
        p50_ms: all.quantile_ms(0.5),
        p95_ms: all.quantile_ms(0.95),
        stocks: stocks(exhibition, app.clock.today_in_seoul()),
        providers: providers(heard),
        instances: instances(heard, now_ms),
        workers: workers(heard, now_ms),
        messages: messages::live(heard, exhibition.id, now_ms),
    }
}

fn paused_by(e: &Exhibition) -> Vec<PausedBy> {
    let switches = [(e.sales_paused.is_some(), PausedBy::AllSales), (e.paused, PausedBy::Exhibition)];
    switches.into_iter().filter(|(on, _)| *on).map(|(_, by)| by).collect()
}

fn room(app: &App, code: &str, now_ms: i64) -> Option<RoomLive> {
    let room = app.rooms.of(code)?;
    let view = room.view();
    let snap = &view.snap;
    if matches!(snap.phase, Phase::Idle | Phase::Ended) {
        return None;
    }
    Some(RoomLive {
        phase: snap.phase,
        stale: view.is_stale(now_ms),
        waiting: snap.lanes.iter().map(|lane| lane.alive).sum(),
        active: snap.active,
        capacity: snap.capacity,
        admitted_per_s: snap.lanes.iter().map(|lane| lane.passed_per_s).sum(),
        rate_per_s: snap.rate_per_s,
        brake: snap.brake,
        reason_ko: snap.reason_ko.clone(),
        reason_en: snap.reason_en.clone(),
    })
}

fn stocks(e: &Exhibition, today: jiff::civil::Date) -> Vec<StockLive> {
    let stock = |stock_id: i32| {
        let known = e.stock.get(&stock_id)?;
        let level = known.level;
        Some(StockLive {
            stock_id,
            product_id: None,
            slot_id: None,
            name_ko: None,
            name_en: None,
            date: None,
            start_time: None,
            end_time: None,
            paused: false,
            closed: false,
            total: level.total,
            offered: level.offered,
            held: level.held,
            sold: level.sold,
            free: known.free.max(0),
        })
    };
    let products = e.products.iter().filter_map(|p| {
        let (name_ko, name_en) = (Some(p.name_ko.clone()), Some(p.name_en.clone()));
        Some(StockLive { product_id: Some(p.id), name_ko, name_en, paused: !p.active, ..stock(p.stock_id)? })
    });
    let slots = e.slots.iter().filter(|s| s.date >= today).filter_map(|s| {
        let date = Some(s.date);
        Some(StockLive {
            slot_id: Some(s.id),
            date,
            start_time: s.start_time,
            end_time: s.end_time,
            closed: s.closed,
            ..stock(s.stock_id)?
        })
    });
    products.chain(slots).collect()
}

fn providers(heard: &Heard) -> Vec<ProviderLive> {
    worst(heard.iter().flat_map(|(_, picture)| &picture.providers).map(|(name, state)| (name.as_str(), state.as_str())))
}

/// The same as it is now: of the processes that were heard of a moment ago, and of this one, whose word needs no Redis.
pub fn providers_now(app: &App) -> Vec<ProviderLive> {
    let (known, now_ms) = (app.boards.known(), app.clock.now_ms());
    let fresh = known.1.iter().filter(|(_, picture)| now_ms - picture.at_ms < FRESH_MS);
    let theirs = fresh.flat_map(|(_, picture)| &picture.providers).map(|(name, state)| (name.as_str(), state.as_str()));
    worst(theirs.chain(app.gateways.states()))
}

/// Whatever is worst is what somebody must look at.
fn worst<'a>(states: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<ProviderLive> {
    let rank = |state: &str| ["closed", "half_open", "open"].iter().position(|one| *one == state);
    let mut worst: std::collections::BTreeMap<&str, &str> = std::collections::BTreeMap::new();
    for (name, state) in states {
        let seen = worst.entry(name).or_insert(state);
        if rank(state) > rank(seen) {
            *seen = state;
        }
    }
    worst.into_iter().map(|(name, state)| ProviderLive { name: name.to_owned(), state: state.to_owned() }).collect()
}

fn instances(heard: &Heard, now_ms: i64) -> Vec<InstanceLive> {
    let mut all: Vec<InstanceLive> = heard
        .iter()
        .map(|(name, picture)| InstanceLive {
            name: name.clone(),
            age_ms: now_ms - picture.at_ms,
            writer_waiting: picture.writer_waiting,
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// Several may run the same worker: its last round, wherever that was.
fn workers(heard: &Heard, now_ms: i64) -> Vec<WorkerLive> {
    let last = |worker: &Worker| {
        heard.iter().filter_map(|(_, picture)| picture.workers.get(worker.name)).max_by_key(|round| round.at_ms)
    };
    // The one that lasts longest.
    let busy = |worker: &Worker| heard.iter().filter_map(|(_, picture)| picture.busy.get(worker.name)).copied().min();
    WORKERS.iter().map(|worker| worker_live(worker, last(worker), busy(worker), now_ms)).collect()
}

/// `busy`: since when a round is under way.
fn worker_live(worker: &Worker, last: Option<&Round>, busy: Option<i64>, now_ms: i64) -> WorkerLive {
    let silent_ms = i64::try_from(3 * worker.every.as_millis()).unwrap_or(i64::MAX).max(SILENT_MS);
    let age_ms = last.map(|round| now_ms - round.at_ms);
    let took_ms = last.map(|round| i64::try_from(round.took_ms).unwrap_or(i64::MAX));
    let (outcome, took_ms) = match (last, busy) {
        (Some(round), _) if age_ms.is_some_and(|age_ms| age_ms <= silent_ms) => (round.outcome.as_str(), took_ms),
        (_, Some(since_ms)) => ("busy", Some((now_ms - since_ms).max(0))),
        _ => ("silent", took_ms),
    };
    WorkerLive { name: worker.name.to_owned(), outcome: outcome.to_owned(), age_ms, took_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_silent_after_three_of_its_rounds_and_not_before_ten_seconds() {
        let outcome = |name: &str, age_ms: Option<i64>| {
            let worker = WORKERS.iter().find(|worker| worker.name == name).unwrap();
            let round = age_ms.map(|age_ms| Round { at_ms: 1_000_000 - age_ms, outcome: "idle".into(), took_ms: 1 });
            worker_live(worker, round.as_ref(), None, 1_000_000).outcome
        };
        // Every half second, and every minute.
        assert_eq!(
            (outcome("expire", Some(10_000)), outcome("expire", Some(10_001))),
            ("idle".into(), "silent".into())
        );
        assert_eq!(
            (outcome("books", Some(180_000)), outcome("books", Some(180_001))),
            ("idle".into(), "silent".into())
        );
        assert_eq!(outcome("books", None), "silent");
    }

    #[test]
    fn a_worker_whose_round_lasts_is_busy_and_not_silent() {
        let worker = WORKERS.iter().find(|worker| worker.name == "outbox").unwrap();
        let round = |age_ms: i64| Round { at_ms: 1_000_000 - age_ms, outcome: "worked".into(), took_ms: 7 };
        let told = |age_ms: Option<i64>, busy_ms: Option<i64>| {
            let busy = busy_ms.map(|busy_ms| 1_000_000 - busy_ms);
            let live = worker_live(worker, age_ms.map(round).as_ref(), busy, 1_000_000);
            (live.outcome, live.took_ms)
        };
        assert_eq!(
            told(Some(400), Some(300)),
            ("worked".into(), Some(7)),
            "of every half second nobody wants to know it"
        );
        assert_eq!(told(Some(31_000), Some(30_900)), ("busy".into(), Some(30_900)));
        assert_eq!(told(None, Some(30_000)), ("busy".into(), Some(30_000)), "the first of its life");
        assert_eq!(told(Some(31_000), None), ("silent".into(), Some(7)));
    }
}
