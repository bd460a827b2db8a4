//! The draw's columns of a room. Each is written once in a run; the table's trigger refuses a second time as well.

use deadpool_postgres::GenericClient;

use super::{RoomRow, int, lock, maybe};
use crate::error::{Error, Result};
use crate::platform::pg::Statement;

const COMMIT: Statement = Statement::new(
    "rooms.commit_seed",
    update_room!(
        "beacon_round = $3, seed_hash = $4, seed_key_id = $5, sealed_seed = $6",
        "r.run = $2 and r.phase = 'prequeue' and r.seed_hash is null"
    ),
);

/// Also while stopped: a stop before the draw must not be the end of it. Whoever joins once it is frozen gets a number
/// above M, and nobody joins while it is stopped.
const FREEZE: Statement = Statement::new(
    "rooms.freeze",
    "update rooms set m = $3, root = $4, frozen_at = admit_now(), floor_general = greatest(floor_general, $3)
      where exhibition_id = $1 and run = $2 and phase in ('frozen', 'stopped') and seed_hash is not null
        and root is null",
);

const DRAWN: Statement = Statement::new(
    "rooms.drawn",
    "update rooms set beacon_value = $3, draw_seed = $4, weak = $3::bytea is null, drawn_at = admit_now()
      where exhibition_id = $1 and run = $2 and root is not null and draw_seed is null",
);

const ENTER: Statement =
    Statement::new("rooms.enter_beacon", "update rooms set manual_value = $2, manual_by = $3 where exhibition_id = $1");

const AGREE: Statement =
    Statement::new("rooms.agree_on_beacon", "update rooms set manual_second = $2 where exhibition_id = $1");

pub const STATEMENTS: &[&Statement] = &[&COMMIT, &FREEZE, &DRAWN, &ENTER, &AGREE];

/// None: this run has a commitment already, or nobody is gathering.
pub async fn commit_seed(
    client: &impl GenericClient,
    exhibition_id: i32,
    run: u32,
    round: i64,
    seed_hash: &[u8; 32],
    sealed: &(String, Vec<u8>),
) -> Result<Option<RoomRow>> {
    let (key_id, sealed_seed) = sealed;
    maybe(
        COMMIT
            .query_opt(client, &[&exhibition_id, &int(run), &round, &seed_hash.as_slice(), key_id, sealed_seed])
            .await?,
    )
}

/// False: it was closed before, or there is nothing to draw in this run and phase. In a transaction with the leaves.
pub async fn freeze(
    client: &impl GenericClient,
    exhibition_id: i32,
    run: u32,
    m: u32,
    root: &[u8; 32],
) -> Result<bool> {
    let m = i32::try_from(m).map_err(|_| Error::bug("a cohort beyond all bounds"))?;
    Ok(FREEZE.execute(client, &[&exhibition_id, &int(run), &m, &root.as_slice()]).await? == 1)
}

/// `beacon_value` None: it did not come, and the draw is the weaker one. False: it was drawn before.
pub async fn drawn(
    client: &impl GenericClient,
    exhibition_id: i32,
    run: u32,
    beacon_value: Option<&[u8]>,
    draw_seed: &[u8; 32],
) -> Result<bool> {
    Ok(DRAWN.execute(client, &[&exhibition_id, &int(run), &beacon_value, &draw_seed.as_slice()]).await? == 1)
}

/// What became of a value that an admin entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manual {
    /// The first; the same admin may correct it until another has agreed.
    First,
    Agreed,
    /// Another admin has entered something else.
    Differs,
    /// The cohort is not closed, it is drawn, or two have agreed.
    NotWanted,
}

/// In a transaction.
pub async fn enter_manual(
    client: &impl GenericClient,
    exhibition_id: i32,
    user_id: i32,
    value: &[u8],
) -> Result<Manual> {
    let Some(room) = lock(client, exhibition_id).await? else { return Ok(Manual::NotWanted) };
    if room.draw.cohort.is_none() || room.draw.drawn.is_some() {
        return Ok(Manual::NotWanted);
    }
    match room.draw.manual {
        Some(first) if first.second.is_some() => Ok(Manual::NotWanted),
        Some(first) if first.by != user_id && first.value != value => Ok(Manual::Differs),
        Some(first) if first.by != user_id => {
            AGREE.execute(client, &[&exhibition_id, &user_id]).await?;
            Ok(Manual::Agreed)
        }
        _ => {
            ENTER.execute(client, &[&exhibition_id, &value, &user_id]).await?;
            Ok(Manual::First)
        }
    }
}
