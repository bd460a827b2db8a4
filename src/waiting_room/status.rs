//! Where somebody stands: from memory alone, so that a million who wait cost Redis and Postgres nothing.

use axum::http::HeaderMap;
use jiff::{SignedDuration, Timestamp};

use super::eta;
use super::model::{LANES, Lane, Phase, Snap};
use super::proofs::{self, Proofs, Seen};
use super::reply::{Band, Left, Standing, Status};
use super::room::{Room, View};
use super::token::QueueToken;
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::catalogue::model::State;
use crate::error::Result;
use crate::platform::texts::Language;

/// Whoever asked to be told by mail has this long to come. [ms]
const PARKED_WINDOW_MS: i64 = 600_000;
/// Somebody without a place looks again after this. [ms]
const OUTSIDE_POLL_MS: i64 = 10_000;
/// Places one buyer takes on average; for the chance only.
const PLACES_PER_BUYER: f64 = 2.0;
/// What the instances together answer around the opening. [polls/ms]
const POLLS_AT_OPENING_PER_MS: f64 = 20.0;
/// So few places are few. [places]
const FEW: i64 = 50;

pub fn look(app: &App, exhibition: &Exhibition, headers: &HeaderMap, language: Language) -> Result<Seen> {
    let now = app.clock.now();
    let Some(room) = app.rooms.of(&exhibition.code) else {
        return Ok(Seen { status: bare(Standing::Open, now, false), cookies: Vec::new() });
    };
    let view = room.view();
    let proofs = Proofs::read(app, &exhibition.code, &view, headers)?;
    let mut seen = stand(app, exhibition, &room, &view, &proofs, language);
    room.polls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    if let Some(pass) = proofs.pass
        && seen.status.state != Standing::Open
    {
        seen.status.state = Standing::Admitted;
        seen.status.pass_expires_at = Timestamp::from_millisecond(pass.hard_ms).ok();
    }
    Ok(seen)
}

/// Marks the caller as present and says where they stand.
pub fn stand(
    app: &App,
    exhibition: &Exhibition,
    room: &Room,
    view: &View,
    proofs: &Proofs,
    language: Language,
) -> Seen {
    let now = app.clock.now();
    let now_ms = now.as_millisecond();
    let snap = &view.snap;
    let stale = view.is_stale(now_ms);
    match snap.phase {
        Phase::Idle | Phase::Bypass => return Seen { status: bare(Standing::Open, now, stale), cookies: Vec::new() },
        Phase::Ended => return Seen { status: bare(Standing::Ended, now, stale), cookies: Vec::new() },
        _ => {}
    }
    let Some(token) = proofs.token else {
        let mut status = bare(Standing::Outside, now, stale);
        status.rehearsal = snap.rehearsal.then_some(true);
        status.opens_at = opens_at(snap);
        status.reason = reason(snap, language);
        status.stock = Some(left_of(exhibition, now));
        return Seen { status, cookies: Vec::new() };
    };
    let (lane, rank) = proofs::place(view, &token);
    room.seen(lane, token.number, rank, now_ms);
    let mut status = bare(Standing::Waiting, now, stale);
    status.rehearsal = snap.rehearsal.then_some(true);
    status.lane = Some(lane);
    status.number = Some(token.number);
    status.rank = rank;
    status.opens_at = opens_at(snap);
    status.reason = reason(snap, language);
    status.stock = Some(left_of(exhibition, now));
    place_in(&mut status, snap, view, &token, rank, now_ms);
    if let (Some(ahead), Some(left)) = (status.ahead, status.stock) {
        let free = if left == Left::None { 0 } else { free_places(exhibition, now) };
        status.chance = Some(eta::chance(free, ahead, PLACES_PER_BUYER));
    }
    let cookies = reseal(app, room, view, &token, rank, &mut status);
    Seen { status, cookies }
}

/// State, place and time, once the phase lets people be called.
fn place_in(status: &mut Status, snap: &Snap, view: &View, token: &QueueToken, rank: Option<u32>, now_ms: i64) {
    let jitter = rand::random::<f64>();
    let (Some(rank), false) = (rank, matches!(snap.phase, Phase::Prequeue | Phase::Frozen)) else {
        status.state = if snap.phase == Phase::Stopped { Standing::Stopped } else { Standing::Prequeue };
        status.poll_after_ms = poll_before_opening(snap, now_ms, jitter);
        return;
    };
    let lane = &snap.lanes[token.lane as usize];
    if rank <= lane.serving {
        let called_ms = view.late_called_ms(token.lane, rank).or_else(|| view.called_ms(token.lane, rank));
        let left_ms = called_ms.map_or(0, |at| at + window_ms(snap, token) - now_ms);
        status.state = if left_ms > 0 { Standing::YourTurn } else { Standing::Late };
        if left_ms > 0 {
            status.claim_left_ms = Some(left_ms);
            status.extendable = Some(!token.extended);
        } else {
            status.ahead = Some(snap.late.max(0) as u32);
            status.ahead_because = Some("late_lane");
        }
        status.poll_after_ms = eta::poll_after_ms(0, None, snap.poll_max_ms, jitter);
        if snap.phase == Phase::Stopped {
            status.state = Standing::Stopped;
        }
        return;
    }
    let ahead = view.alive[token.lane as usize].between(lane.serving, rank - 1);
    status.ahead = Some(ahead);
    let fallback = snap.rate_per_s * f64::from(lane.share_pct) / 100.0;
    let band = eta::band(ahead, lane.passed_per_s, lane.spread, fallback);
    status.state = match snap.phase {
        Phase::Paused => Standing::Paused,
        Phase::Stopped => Standing::Stopped,
        _ => Standing::Waiting,
    };
    if status.state == Standing::Waiting {
        let because = (snap.brake < 0.99).then_some("braked");
        status.eta = band.map(|(from_s, to_s)| Band { from_s, to_s, because });
    }
    let mean_s = eta::mean_s(ahead, lane.passed_per_s).or_else(|| eta::mean_s(ahead, fallback));
    status.poll_after_ms = eta::poll_after_ms(ahead, mean_s, snap.poll_max_ms, jitter);
}

/// Over how long the first polls after the opening are spread. [ms]
pub fn spread_ms(seq: [u32; LANES], poll_max_ms: i64) -> f64 {
    let people: f64 = seq.into_iter().map(f64::from).sum();
    (people / POLLS_AT_OPENING_PER_MS).clamp(2_000.0, poll_max_ms.max(30_000) as f64)
}

/// Everybody wants to know at the opening: they are spread so that the instances can answer them. [ms]
fn poll_before_opening(snap: &Snap, now_ms: i64, jitter: f64) -> i64 {
    let spread_ms = spread_ms(snap.lanes.each_ref().map(|lane| lane.seq), snap.poll_max_ms);
    let to_opening_ms = snap.opens_at_ms.map_or(0, |at| at - now_ms).max(0);
    let steady_ms = eta::poll_after_ms(u32::MAX, None, snap.poll_max_ms, jitter);
    if to_opening_ms > steady_ms { steady_ms } else { to_opening_ms + (spread_ms * jitter) as i64 + 500 }
}

/// How long this token's owner has to claim.
pub fn window_ms(snap: &Snap, token: &QueueToken) -> i64 {
    let window = if token.parked { snap.claim_window_ms.max(PARKED_WINDOW_MS) } else { snap.claim_window_ms };
    if token.extended { 2 * window } else { window }
}

/// Seals the token anew when it can say more than it did: the drawn rank, or that Redis knows it again.
fn reseal(
    app: &App,
    room: &Room,
    view: &View,
    token: &QueueToken,
    rank: Option<u32>,
    status: &mut Status,
) -> Vec<String> {
    let fresh = QueueToken { rank: rank.unwrap_or(0), epoch: view.snap.epoch, ..*token };
    if fresh == *token {
        return Vec::new();
    }
    if token.epoch < view.snap.epoch {
        room.register(token.lane, token.account, token.number);
    }
    let sealed = fresh.seal(&app.secrets, &room.code);
    let cookie = proofs::set_token(app, &room.code, &sealed);
    status.queue_token = Some(sealed);
    vec![cookie]
}

pub fn bare(state: Standing, now: Timestamp, stale: bool) -> Status {
    Status {
        state,
        poll_after_ms: OUTSIDE_POLL_MS,
        stale,
        lane: None,
        number: None,
        rank: None,
        ahead: None,
        ahead_because: None,
        eta: None,
        stock: None,
        chance: None,
        claim_left_ms: None,
        extendable: None,
        reason: None,
        rehearsal: None,
        opens_at: None,
        server_time: now,
        queue_token: None,
        receipt: None,
        pass: None,
        pass_expires_at: None,
    }
}

fn opens_at(snap: &Snap) -> Option<Timestamp> {
    let before = matches!(snap.phase, Phase::Prequeue | Phase::Frozen);
    snap.opens_at_ms.filter(|_| before).and_then(|ms| Timestamp::from_millisecond(ms).ok())
}

fn reason(snap: &Snap, language: Language) -> Option<String> {
    let text = language.pick(&snap.reason_ko, &snap.reason_en);
    (!text.is_empty() && matches!(snap.phase, Phase::Paused | Phase::Stopped)).then(|| text.to_owned())
}

/// Places that can be bought: a dated product has no more than its days.
pub fn free_places(e: &Exhibition, now: Timestamp) -> i64 {
    let open = |p: &&crate::catalogue::Product| p.active && e.product_state(p, now) == State::OnSale;
    let today = (now + SignedDuration::from_hours(9)).as_millisecond().div_euclid(86_400_000);
    let of_slots: i64 = e
        .slots
        .iter()
        .filter(|slot| {
            !slot.closed
                && i64::from(slot.date.since(jiff::civil::date(1970, 1, 1)).map_or(0, |s| s.get_days())) >= today
        })
        .map(|slot| e.free(slot.stock_id))
        .sum();
    e.products
        .iter()
        .filter(open)
        .map(|p| if p.dated { e.free(p.stock_id).min(of_slots) } else { e.free(p.stock_id) })
        .sum()
}

/// The best that any of the products can offer, in a word.
pub fn left_of(e: &Exhibition, now: Timestamp) -> Left {
    let mut best = Left::None;
    for product in e.products.iter().filter(|p| p.active) {
        match product_left(e, product, now) {
            Left::Plenty => return Left::Plenty,
            Left::Few => best = Left::Few,
            Left::Held if best == Left::None => best = Left::Held,
            _ => {}
        }
    }
    best
}

pub fn product_left(e: &Exhibition, product: &crate::catalogue::Product, now: Timestamp) -> Left {
    match e.product_state(product, now) {
        State::OnSale | State::NotYet | State::Paused if e.free(product.stock_id) > FEW => Left::Plenty,
        State::OnSale | State::NotYet | State::Paused if e.free(product.stock_id) > 0 => Left::Few,
        State::HeldByOthers => Left::Held,
        _ => Left::None,
    }
}

/// Whether an order needs a pass of this lane's kind now; for pages, which lead to the queue.
pub fn needs_pass(app: &App, code: &str) -> bool {
    app.rooms.phase(code).needs_pass()
}

/// The lane that an invitation opens; the general one without.
pub fn lane_of(invited: bool) -> Lane {
    if invited { Lane::Invited } else { Lane::General }
}
