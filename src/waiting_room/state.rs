//! What everybody may know of a room: the same for all, so nginx answers it from its memory.

use jiff::Timestamp;

use super::model::{Lane, Phase};
use super::reply::{LaneState, ProductLeft, PublicState};
use super::status::product_left;
use crate::app::App;
use crate::catalogue::Exhibition;

pub fn public(app: &App, exhibition: &Exhibition) -> PublicState {
    let now = app.clock.now();
    let room = app.rooms.of(&exhibition.code);
    let view = room.map(|room| room.view().clone()).unwrap_or_default();
    let snap = &view.snap;
    let lanes = Lane::ALL
        .into_iter()
        .zip(&snap.lanes)
        .map(|(lane, of)| LaneState {
            lane,
            joined: of.seq,
            serving: of.serving,
            waiting: of.alive,
            share_pct: of.share_pct,
        })
        .collect();
    let products = exhibition.products.iter().filter(|p| p.active).map(|p| ProductLeft {
        product_id: p.id,
        name: p.name_ko.clone(),
        name_en: p.name_en.clone(),
        left: product_left(exhibition, p, now),
    });
    PublicState {
        exhibition_code: exhibition.code.clone(),
        phase: snap.phase.as_str(),
        run: snap.run,
        rehearsal: snap.rehearsal,
        stale: snap.phase != Phase::Idle && view.is_stale(now.as_millisecond()),
        as_of: Timestamp::from_millisecond(snap.at_ms).unwrap_or(now),
        opens_at: snap.opens_at_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        reason_ko: snap.reason_ko.clone(),
        reason_en: snap.reason_en.clone(),
        lanes,
        capacity: snap.capacity,
        active: snap.active,
        late: snap.late,
        rate_per_s: snap.rate_per_s,
        brake: snap.brake,
        products: products.collect(),
        draw: snap.draw.clone(),
    }
}
