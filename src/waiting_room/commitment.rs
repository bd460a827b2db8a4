//! The commitment of a draw: what is published before anybody can know the outcome. A seed of the server's, by its
//! digest, and the round of the beacon that will decide with it. Made with the move into prequeue, once per run.

use deadpool_postgres::GenericClient;
use jiff::{SignedDuration, Timestamp};

use super::model::{Config, DrawShown};
use super::pg::{self, RoomRow};
use super::{beacon, draw};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::ids::random_bytes;
use crate::platform::secrets::hex;

/// The beacon's round is made this long after the cohort was to be closed, so that every client has seen its root.
pub const BEACON_AFTER: SignedDuration = SignedDuration::from_secs(15);
/// Gathering lasts at least this long before the cohort is closed.
pub const GATHERS: SignedDuration = SignedDuration::from_secs(30);

/// When the cohort is closed; None without an opening.
pub fn freeze_at(config: &Config) -> Option<Timestamp> {
    config.opens_at?.checked_sub(SignedDuration::from_secs(config.freeze_lead_s.into())).ok()
}

/// Whether gathering can begin now: for a draw, if the opening leaves time for it; without one, until the opening.
pub fn may_gather(config: &Config, now: Timestamp) -> bool {
    match (config.draw, freeze_at(config), config.opens_at) {
        (true, Some(freeze_at), _) => freeze_at.duration_since(now) >= GATHERS,
        (false, _, Some(opens_at)) => opens_at > now,
        (true, None, _) => false,
        (false, _, None) => true,
    }
}

/// The beacon's round to commit to, if gathering begins now; the opening must leave time for it.
pub fn round(app: &App, config: &Config) -> Result<i64> {
    let Some(freeze_at) = freeze_at(config) else { return Err(Error::field("opens_at", "required")) };
    if freeze_at.duration_since(app.clock.now()) < GATHERS {
        return Err(Error::field("opens_at", "too_soon"));
    }
    let after = freeze_at.checked_add(BEACON_AFTER).map_err(Error::bug)?;
    Ok(beacon::first_round(app, config.beacon, after))
}

/// Draws the server's seed and stores its promise. In the transaction of the move.
pub async fn commit(app: &App, client: &impl GenericClient, room: &RoomRow, round: i64) -> Result<RoomRow> {
    let seed: [u8; 32] = random_bytes();
    let sealed = app.secrets.seal(&about(room), &seed)?;
    pg::commit_seed(client, room.exhibition_id, room.run, round, &draw::seed_hash(&seed), &sealed)
        .await?
        .ok_or_else(|| Error::bug(format!("the draw of {} run {} was committed to before", room.code, room.run)))
}

/// The server's seed, for the draw and for whoever looks afterwards; never the bytes of another commitment.
pub fn server_seed(app: &App, room: &RoomRow) -> Result<[u8; 32]> {
    let Some(committed) = &room.draw.committed else { return Err(Error::bug("a room without a commitment")) };
    let seed = app.secrets.open(&committed.key_id, &about(room), &committed.sealed_seed)?;
    let seed: [u8; 32] = seed.try_into().map_err(|_| Error::bug("a server seed is not 32 bytes"))?;
    if draw::seed_hash(&seed) != committed.seed_hash {
        return Err(Error::bug("a server seed does not match its commitment"));
    }
    Ok(seed)
}

/// What a sealed seed is bound to.
fn about(room: &RoomRow) -> [u8; 18] {
    let mut about = *b"room seed \0\0\0\0\0\0\0\0";
    about[10..14].copy_from_slice(&room.exhibition_id.to_be_bytes());
    about[14..].copy_from_slice(&room.run.to_be_bytes());
    about
}

/// What of the draw is public by now: the seeds only with the draw itself.
pub fn shown(app: &App, room: &RoomRow) -> Result<DrawShown> {
    let mut shown = DrawShown { beacon: room.config.beacon, ..DrawShown::default() };
    let Some(committed) = &room.draw.committed else { return Ok(shown) };
    shown.round = committed.round;
    shown.seed_hash = hex(&committed.seed_hash);
    if let Some(cohort) = &room.draw.cohort {
        shown.m = cohort.m;
        shown.root = hex(&cohort.root);
    }
    if let Some(drawn) = &room.draw.drawn {
        shown.beacon_value = drawn.beacon_value.as_deref().map(hex).unwrap_or_default();
        shown.server_seed = hex(&server_seed(app, room)?);
        shown.seed = hex(&drawn.seed);
        shown.weak = drawn.beacon_value.is_none();
    }
    Ok(shown)
}
