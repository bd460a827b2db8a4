//! One move of a room from phase to phase, by an admin or by the schedule: judged, committed to, recorded, together.

use deadpool_postgres::GenericClient;
use serde_json::json;

use super::model::{MOVES, Phase};
use super::pg::{self, RoomRow};
use super::{commitment, rehearsal};
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::extract::changed_meanwhile;

/// Why, in the words that visitors will read; empty where nothing needs saying.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reason<'a> {
    pub ko: &'a str,
    pub en: &'a str,
}

/// Where the room can go now. A draw that was announced comes first: nobody is served before it, and a cohort is closed
/// only for a draw.
pub fn legal(room: &RoomRow) -> Vec<Phase> {
    let announced = room.draw.committed.is_some();
    let may = |to: Phase| match to {
        Phase::Frozen => announced,
        Phase::Open | Phase::Paused | Phase::Drain => !announced || room.draw.drawn.is_some(),
        _ => true,
    };
    let mut legal: Vec<Phase> =
        MOVES.iter().filter(|(from, to)| *from == room.phase && may(*to)).map(|(_, to)| *to).collect();
    if room.rehearsal_ends_at.is_some() {
        // A rehearsal can be ended at any time, and only so.
        legal.retain(|to| to.needs_pass());
        legal.push(Phase::Ended);
    }
    legal
}

/// In a transaction, on a row that was read in it. Where gathering begins, the draw is committed to. A rehearsal that is
/// moved to `Ended` goes back to where it was begun from.
pub async fn make(
    app: &App,
    client: &impl GenericClient,
    room: &RoomRow,
    to: Phase,
    why: Reason<'_>,
    by: &Actor,
) -> Result<RoomRow> {
    let legal = legal(room);
    if !legal.contains(&to) {
        let legal: Vec<&str> = legal.into_iter().map(Phase::as_str).collect();
        return Err(Error::conflict("room.illegal_move")
            .with("from", room.phase.as_str())
            .with("to", to.as_str())
            .with("legal", legal.join(", ")));
    }
    if room.rehearsal_ends_at.is_some() && to == Phase::Ended {
        return rehearsal::end(client, room, by).await;
    }
    let round =
        if to == Phase::Prequeue && room.config.draw { Some(commitment::round(app, &room.config)?) } else { None };
    let mut moved = pg::move_to(client, room.exhibition_id, room.revision, to, why.ko, why.en)
        .await?
        .ok_or_else(changed_meanwhile)?;
    if let Some(round) = round {
        moved = commitment::commit(app, client, &moved, round).await?;
    }
    let told = |room: &RoomRow| json!({ "phase": room.phase, "run": room.run, "reason_ko": room.reason_ko, "reason_en": room.reason_en });
    let entry = Entry {
        by,
        action: "room.phase",
        exhibition_id: Some(room.exhibition_id),
        before: told(room),
        after: told(&moved),
    };
    audit::record(client, &entry).await?;
    tracing::info!(
        exhibition = room.code,
        from = room.phase.as_str(),
        to = to.as_str(),
        run = moved.run,
        by = by.role,
        "the room has moved"
    );
    Ok(moved)
}
