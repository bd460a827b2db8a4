//! Claim, renew, leave: the moments in which somebody who waits is let in or makes room. One call to Redis each.

use axum::http::HeaderMap;
use jiff::Timestamp;

use super::model::{Lane, Phase};
use super::proofs::{self, Proofs, Seen};
use super::redis::{self, Claim, ClaimAsk, RoomKeys};
use super::reply::Standing;
use super::room::{Room, View};
use super::status;
use super::token::{self, Pass, QueueToken};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Result};
use crate::observability::pulse::What;
use crate::platform::texts::Language;

/// Lets somebody in who has been called; with `extend`, doubles the time to claim instead, once.
pub async fn claim(
    app: &App,
    exhibition: &Exhibition,
    headers: &HeaderMap,
    extend: bool,
    language: Language,
) -> Result<Seen> {
    let Some(room) = app.rooms.of(&exhibition.code) else {
        return status::look(app, exhibition, headers, language);
    };
    let view = room.view().clone();
    let proofs = Proofs::read(app, &exhibition.code, &view, headers)?;
    if !view.snap.phase.needs_pass() {
        return status::look(app, exhibition, headers, language);
    }
    let token = proofs.token.ok_or_else(|| Error::unauthenticated("queue.token_required"))?;
    if extend {
        return Ok(extended(app, exhibition, &room, &view, proofs, token, language));
    }
    let (lane, rank) = proofs::place(&view, &token);
    let Some(rank) = rank else { return Err(Error::conflict("queue.not_drawn_yet")) };
    let now_ms = app.clock.now_ms();
    let called_ms = view.called_ms(lane, rank);
    let ask = ClaimAsk {
        lane,
        rank,
        sid: token::sid(&app.secrets, &room.code, token.run, lane, rank),
        in_time: called_ms.is_some_and(|at| now_ms <= at + status::window_ms(&view.snap, &token)),
        window_ms: status::window_ms(&view.snap, &token),
    };
    let keys = RoomKeys::new(&app.redis, &room.code, token.run);
    let reply = redis::claim(keys, &ask, now_ms).await?;
    app.metrics.claimed(&room.code, tag(&reply));
    if matches!(reply, Claim::Admitted { first: true, .. }) && !view.snap.rehearsal {
        app.pulse.count(exhibition.id, What::Admitted);
    }
    let mut seen = status::stand(app, exhibition, &room, &view, &proofs, language);
    match reply {
        Claim::Admitted { expires_ms, hard_ms, .. } => {
            let pass = Pass { sid: ask.sid, run: token.run, epoch: view.snap.epoch, lane, rank, hard_ms };
            let sealed = pass.issue(&app.secrets, &room.code)?;
            let keep_s = ((hard_ms - now_ms) / 1000).max(1);
            seen.cookies.push(proofs::set_cookie(app, &proofs::pass_cookie(&room.code), &sealed, keep_s));
            seen.status.state = Standing::Admitted;
            seen.status.pass = Some(sealed);
            seen.status.pass_expires_at = Timestamp::from_millisecond(expires_ms).ok();
            seen.status.claim_left_ms = None;
            seen.status.extendable = None;
        }
        Claim::Late { before } | Claim::Full { before } => {
            seen.status.state = Standing::Late;
            seen.status.ahead = Some(before);
            seen.status.ahead_because = Some("late_lane");
            seen.status.claim_left_ms = None;
        }
        Claim::Ended => {
            seen.status = status::bare(Standing::Over, app.clock.now(), false);
            let forgotten = [proofs::token_cookie, proofs::device_cookie, proofs::pass_cookie];
            seen.cookies = forgotten.map(|name| proofs::set_cookie(app, &name(&room.code), "", 0)).to_vec();
        }
        Claim::NotYet => {}
        Claim::Closed(phase) => {
            seen.status.state = if phase == Phase::Stopped { Standing::Stopped } else { Standing::Prequeue };
        }
        Claim::OtherRun => return Err(Error::gone("queue.other_run")),
        Claim::Unready => return Err(Error::unavailable("queue.checking", "Redis does not know the room")),
    }
    Ok(seen)
}

/// How it went, for the metric.
pub fn tag(reply: &Claim) -> &'static str {
    match reply {
        Claim::Admitted { .. } => "admitted",
        Claim::Ended => "ended",
        Claim::NotYet => "not_yet",
        Claim::Late { .. } => "late",
        Claim::Full { .. } => "full",
        Claim::Closed(_) => "closed",
        Claim::OtherRun => "other_run",
        Claim::Unready => "unready",
    }
}

fn extended(
    app: &App,
    exhibition: &Exhibition,
    room: &Room,
    view: &View,
    mut proofs: Proofs,
    token: QueueToken,
    language: Language,
) -> Seen {
    let longer = QueueToken { extended: true, ..token };
    proofs.token = Some(longer);
    let mut seen = status::stand(app, exhibition, room, view, &proofs, language);
    let sealed = longer.seal(&app.secrets, &room.code);
    seen.cookies = vec![proofs::set_token(app, &room.code, &sealed)];
    seen.status.queue_token = Some(sealed);
    seen
}

/// Somebody inside did something: the pass lasts longer. Best effort; the take judges.
pub async fn renew(app: &App, code: &str, headers: &HeaderMap) {
    let Ok(Some(pass)) = proofs::pass(app, code, headers) else { return };
    if let Err(error) = redis::renew(&app.redis, code, &pass.sid, app.clock.now_ms()).await {
        tracing::debug!(%error, "a pass was not renewed");
    }
}

/// Goes on purpose. The place stays theirs, and the room is the next one's.
pub async fn leave(app: &App, exhibition: &Exhibition, headers: &HeaderMap, language: Language) -> Result<Seen> {
    let Some(room) = app.rooms.of(&exhibition.code) else {
        return status::look(app, exhibition, headers, language);
    };
    let view = room.view().clone();
    let proofs = Proofs::read(app, &exhibition.code, &view, headers)?;
    let place: Option<(Lane, u32)> = proofs.token.and_then(|token| {
        let (lane, rank) = proofs::place(&view, &token);
        rank.map(|rank| (lane, rank))
    });
    let keys = RoomKeys::new(&app.redis, &room.code, view.snap.run);
    // The session follows from the place: whoever has lost the pass can still make room.
    let of_place = place.map(|(lane, rank)| token::sid(&app.secrets, &room.code, view.snap.run, lane, rank));
    let sid = proofs.pass.map(|pass| pass.sid).or(of_place);
    if (place.is_some() || sid.is_some()) && !redis::leave(keys, sid.as_ref(), place).await? {
        return Err(Error::conflict("queue.paying"));
    }
    if let Some(token) = proofs.token {
        room.gone(token.lane, token.number, place.map(|(_, rank)| rank), app.clock.now_ms());
    }
    let mut seen = Seen { status: status::bare(Standing::Outside, app.clock.now(), false), cookies: Vec::new() };
    seen.cookies.push(proofs::set_cookie(app, &proofs::pass_cookie(&room.code), "", 0));
    Ok(seen)
}
