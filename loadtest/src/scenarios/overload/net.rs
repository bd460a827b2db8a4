//! The safety net: a room asleep in the phase bypass is opened by a rush, sends those who come to the line, and closes
//! when nobody is there any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::door::{Door, Knock, Swing, enter};
use super::{SECONDS, come, day, percent};
use crate::Failure;
use crate::catalogue::Choice;
use crate::cli::Overload;
use crate::context::Context;
use crate::cpu;
use crate::engine::Window;
use crate::room::Room;
use crate::shop::Shop;

/// Life below the net, before the rush.
const CALM_S: f64 = 10.0;
/// Of the net's rate: visitors in the calm, who count twice (a page and an order), and orders that are tried without a
/// pass from beginning to end. Together six tenths.
const CALM_SHARE: f64 = 0.25;
const KNOCK_SHARE: f64 = 0.1;
/// Of the rush, so many are called: a line forms, and drains within seconds after it. How many are inside matters less.
const CAPACITY: i64 = 5_000;
const ADMITTED_SHARE: f64 = 0.6;
/// Instances tell each second, the leader counts each second and publishes a quarter of one later.
const OPENS_WITHIN_S: f64 = 4.0;
/// … and sees twice a second that nobody is there.
const CLOSES_WITHIN_S: f64 = 4.0;
const LINE_DRAINS: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(30);
/// Orders are tried so long beyond the last move, to see that it counts.
const AFTERWARDS: Duration = Duration::from_secs(2);

pub async fn tried(
    context: &mut Context,
    room: &mut Room,
    options: &Overload,
    [shop, knocker]: [&Arc<Shop>; 2],
    choices: &[Choice],
) -> Result<(), Failure> {
    let (net, rush_per_s) = (f64::from(options.net_per_s), f64::from(options.rush_per_s));
    room.arm_anew(&[
        ("capacity", CAPACITY),
        ("rate_per_min", (rush_per_s * ADMITTED_SHARE * 60.0) as i64),
        ("safety_on_per_s", options.net_per_s.into()),
        ("safety_off_after_s", options.off_after_s.into()),
    ])
    .await?;
    let revision = room.revision();
    let calm = Window::soon(0.0, CALM_S);
    let length = Duration::from_secs_f64(context.options.seconds_or(SECONDS));
    let rush = Window { start: calm.end(), length, ..calm };
    eprintln!("the net at {net:.0}/s: {CALM_S} s of calm, then {rush_per_s:.0} visitors/s for {length:?}");
    let clock = Clock { instant: Instant::now(), at: Timestamp::now() };
    let until = rush.end() + LINE_DRAINS;
    let (day, door) = (day(shop, &options.exhibition, choices, until), Arc::new(Door::default()));
    let page = Arc::new(shop.site.get(&format!("/{}/order", options.exhibition), &[]));
    let knocking = Arc::clone(&door).knock(Arc::clone(knocker), choices[0].clone(), net * KNOCK_SHARE);
    let knocking = tokio::spawn(knocking);
    let visits = || enter(Arc::clone(&day), Arc::clone(&page), Arc::clone(&door));
    let (calm, mut rushing, opened, cpu) = tokio::join!(
        come(context, "visitors in the calm", shop, (calm, until), net * CALM_SHARE, visits),
        come(context, "visitors of the rush", shop, (rush, until), rush_per_s, visits),
        room.becomes("open", rush.end()),
        cpu::over(rush),
    );
    let opened = opened?.map(|at| clock.instant_of(at));
    let home = Instant::now().max(rush.end());
    let by = home + Duration::from_secs(options.off_after_s.into()) + PATIENCE;
    let closed = if opened.is_some() { room.becomes("bypass", by).await? } else { None };
    let closed = closed.map(|at| clock.instant_of(at));
    let moves = room.revision() - revision;
    tokio::time::sleep(AFTERWARDS).await;
    let knocks = door.done(knocking).await?;
    rushing.cpu = cpu;
    rushing.steps = context.ledger.take_steps();

    let begun = rush.start;
    tell_opening(context, begun, opened, &knocks);
    let sent = door.sent_by_the_page.load(Ordering::Relaxed);
    context.figure("net: visitors led to the line by the page", sent as f64, "");
    let (success, all) = (rushing.tally.success, rushing.tally.total());
    let detail = format!("{success} of {all}, {:.2} %, target above 99.9 %", percent(success, all));
    context.target("those of the rush go home with their tickets", percent(success, all) > 99.9, detail);
    context.phases.extend([calm, rushing]);
    if opened.is_some() {
        let closing = Closing { end: rush.end(), home, closed, moves };
        tell_closing(context, &closing, f64::from(options.off_after_s), Swing::of(&knocks, begun).taken_again);
    }
    Ok(())
}

fn tell_opening(context: &mut Context, begun: Instant, opened: Option<Instant>, knocks: &[Knock]) {
    let took = opened.map(|at| signed_s(begun, at));
    let detail = took.map_or("it did not".into(), |s| format!("{s:.2} s after the rush began"));
    context.require("the safety net opens the room", took.is_some(), detail);
    let swing = Swing::of(knocks, begun);
    if let Some(took) = took {
        let detail = format!("{took:.2} s, target 0 to {OPENS_WITHIN_S} s");
        context.target("… in the rush, and not before", (0.0..=OPENS_WITHIN_S).contains(&took), detail);
        context.figure("net: from the rush's beginning until the room is open", took, "s");
    }
    if let Some(first) = swing.first_refused {
        context.figure("net: … until an order without a pass is refused", signed_s(begun, first), "s");
    }
    context.figure("net: orders without a pass taken in the rush before that", swing.taken_before as f64, "");
    context.figure("net: orders without a pass refused", swing.refused as f64, "");
    let kept = opened.is_none() || (swing.refused > 0 && swing.leaked == 0);
    let detail = format!("{} refused, {} taken between the first of them and the last", swing.refused, swing.leaked);
    context.require("nobody orders without a pass while the room is open", kept, detail);
}

struct Closing {
    /// Nobody comes any more.
    end: Instant,
    /// The last visitor has gone.
    home: Instant,
    closed: Option<Instant>,
    moves: i64,
}

fn tell_closing(context: &mut Context, closing: &Closing, off_after_s: f64, taken_again: Option<Instant>) {
    let Closing { end, home, closed, moves } = *closing;
    context.figure("net: from the rush's end until the last visitor is through", signed_s(end, home), "s");
    let detail = closed.map_or("it did not".into(), |at| format!("{:.2} s after the rush ended", signed_s(end, at)));
    context.require("the safety net lets go again", closed.is_some(), detail);
    if let Some(closed) = closed {
        context.figure("net: … until the room is in bypass", signed_s(end, closed), "s");
        let (empty, most) = (signed_s(home, closed), off_after_s + CLOSES_WITHIN_S);
        let detail = format!("{empty:.2} s, target {off_after_s} to {most} s");
        // The room is empty an instant before the last visitor has heard of it.
        context.target("… when nobody was there so long", (off_after_s - 1.0..=most).contains(&empty), detail);
        context.target("… and moves no more often", moves == 2, format!("{moves} moves, target 2"));
    }
    if let Some(taken) = taken_again {
        context.figure("net: … until an order without a pass is taken again", signed_s(end, taken), "s");
    }
}

/// Below zero: it was before.
fn signed_s(from: Instant, at: Instant) -> f64 {
    at.saturating_duration_since(from).as_secs_f64() - from.saturating_duration_since(at).as_secs_f64()
}

/// What Postgres says of the time, on our own watch: one machine, one clock.
struct Clock {
    instant: Instant,
    at: Timestamp,
}

impl Clock {
    fn instant_of(&self, at: Timestamp) -> Instant {
        let ms = at.as_millisecond() - self.at.as_millisecond();
        let by = Duration::from_millis(ms.unsigned_abs());
        if ms < 0 { self.instant.checked_sub(by).unwrap_or(self.instant) } else { self.instant + by }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_before_is_below_zero() {
        let clock = Clock { instant: Instant::now(), at: Timestamp::from_millisecond(10_000).unwrap() };
        let seen = |ms: i64| signed_s(clock.instant, clock.instant_of(Timestamp::from_millisecond(ms).unwrap()));
        assert!((seen(12_500) - 2.5).abs() < 1e-9 && (seen(9_900) + 0.1).abs() < 1e-9);
    }
}
