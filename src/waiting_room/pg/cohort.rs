//! Leaves of closed cohorts, in chunks, and the roots of the chunks.

use deadpool_postgres::GenericClient;

use super::{count, fixed, int};
use crate::error::{Error, Result};
use crate::platform::pg::Statement;

/// Nothing for chunks that are there: another leader was quicker, and the freeze that follows will say so.
const KEEP_LEAVES: Statement = Statement::new(
    "rooms.keep_leaves",
    "insert into room_leaves (exhibition_id, run, chunk, leaves)
     select $1, $2, $3::int + c.n::int - 1, c.leaves from unnest($4::bytea[]) with ordinality as c (leaves, n)
     on conflict on constraint room_leaves_key do nothing",
);

const KEEP_ROOTS: Statement = Statement::new(
    "rooms.keep_chunk_roots",
    "insert into room_cohorts (exhibition_id, run, chunk_roots) values ($1, $2, $3)",
);

const FORGET: Statement = Statement::new(
    "rooms.forget_cohorts",
    "with gone as (delete from room_leaves where exhibition_id = $1 and run < $2)
     delete from room_cohorts where exhibition_id = $1 and run < $2",
);

const KEPT: Statement = Statement::new(
    "rooms.kept",
    "select r.seed_hash is not null, r.m, r.root, c.chunk_roots, l.leaves
       from rooms r
       left join room_cohorts c on c.exhibition_id = r.exhibition_id and c.run = r.run
       left join room_leaves l on l.exhibition_id = r.exhibition_id and l.run = r.run and l.chunk = $3
      where r.exhibition_id = $1 and r.run = $2",
);

pub const STATEMENTS: &[&Statement] = &[&KEEP_LEAVES, &KEEP_ROOTS, &FORGET, &KEPT];

/// Chunks from `first` on. In the transaction of the freeze.
pub async fn keep_leaves(
    client: &impl GenericClient,
    exhibition_id: i32,
    run: u32,
    first: usize,
    chunks: &[Vec<u8>],
) -> Result<()> {
    let first = i32::try_from(first).map_err(Error::bug)?;
    KEEP_LEAVES.execute(client, &[&exhibition_id, &int(run), &first, &chunks]).await?;
    Ok(())
}

/// The roots of all chunks; what was kept of earlier runs goes, since nothing of them is public any more. In the
/// transaction of the freeze, and after it.
pub async fn keep_chunk_roots(
    client: &impl GenericClient,
    exhibition_id: i32,
    run: u32,
    roots: &[[u8; 32]],
) -> Result<()> {
    KEEP_ROOTS.execute(client, &[&exhibition_id, &int(run), &roots.as_flattened()]).await?;
    FORGET.execute(client, &[&exhibition_id, &int(run)]).await?;
    Ok(())
}

/// What there is to prove something with.
pub enum Kept {
    /// This run has no draw.
    NoDraw,
    NotClosed,
    /// The cohort has fewer chunks.
    Beyond,
    /// It was closed by a version that kept no leaves.
    Nothing,
    Chunk(Chunk),
}

pub struct Chunk {
    pub m: u32,
    pub root: [u8; 32],
    /// Roots of all chunks of the cohort.
    pub roots: Vec<[u8; 32]>,
    /// Of this one.
    pub leaves: Vec<[u8; 32]>,
}

/// None: another run has begun.
pub async fn kept(client: &impl GenericClient, exhibition_id: i32, run: u32, chunk: usize) -> Result<Option<Kept>> {
    let chunk = i32::try_from(chunk).map_err(Error::bug)?;
    let Some(row) = KEPT.query_opt(client, &[&exhibition_id, &int(run), &chunk]).await? else { return Ok(None) };
    let bytes = |at: usize| row.get::<_, Option<&[u8]>>(at);
    Ok(Some(match (bytes(2), bytes(3), bytes(4)) {
        (None, ..) if row.get::<_, bool>(0) => Kept::NotClosed,
        (None, ..) => Kept::NoDraw,
        (_, None, _) => Kept::Nothing,
        (_, Some(_), None) => Kept::Beyond,
        (Some(root), Some(roots), Some(leaves)) => {
            Kept::Chunk(Chunk { m: count(&row, 1), root: fixed(root)?, roots: hashes(roots)?, leaves: hashes(leaves)? })
        }
    }))
}

fn hashes(bytes: &[u8]) -> Result<Vec<[u8; 32]>> {
    bytes.chunks(32).map(fixed).collect()
}
