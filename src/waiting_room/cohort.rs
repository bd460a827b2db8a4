//! The cohort of a draw: closed once, with a root over everybody in it, and proved to each of them as long as the run
//! lasts. Its leaves are kept in chunks, so that a proof reads and hashes little of a large one.

use std::time::Duration;

use axum::http::HeaderMap;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::draw::{self, CHUNK, Hash, NOBODY};
use super::model::Lane;
use super::pg::{self, Chunk, Kept, RoomRow};
use super::proofs::Proofs;
use super::redis::{self, Look, RoomKeys};
use super::token::{self, QueueToken};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Result};
use crate::platform::secrets::hex;

/// Chunks that go to Postgres together, 2 MB: a cohort of millions is never in memory as a whole.
const BATCH: usize = 64;
/// Proofs an instance makes at once: a crowd that wants them must not take the sale's connections.
pub const PROOFS_AT_ONCE: usize = 2;
/// Whoever has waited this long for a turn is told to come back.
const TURN: Duration = Duration::from_millis(500);

/// Redis gives numbers above M from here on; who has which of those up to M is sealed by the root, and what proves it
/// is kept with it.
pub async fn close(app: &App, keys: RoomKeys<'_>, row: &RoomRow, look: &Look) -> Result<()> {
    let m = look.seq[0];
    let owners = redis::numbers(keys, row.epoch).await?;
    let (task_app, code, run) = (app.clone(), row.code.clone(), row.run);
    let (batches, mut hashed) = mpsc::channel(1);
    // The next batch is hashed while Postgres takes the one before.
    let hashing = tokio::task::spawn_blocking(move || {
        let mut devices = vec![NOBODY; m as usize];
        for (number, account) in owners {
            if let Some(device) = (number as usize).checked_sub(1).and_then(|at| devices.get_mut(at)) {
                *device = account.index;
            }
        }
        let leaf = |(device, number): (&u32, u32)| {
            let salt = token::salt(&task_app.secrets, &code, run, number);
            draw::leaf(&code, number, &draw::account_digest(*device, &salt))
        };
        let (mut numbers, mut roots) = (1u32.., Vec::new());
        for batch in devices.chunks(BATCH * CHUNK) {
            let mut chunks = Vec::with_capacity(BATCH);
            for chunk in batch.chunks(CHUNK) {
                let leaves: Vec<Hash> = chunk.iter().zip(&mut numbers).map(leaf).collect();
                roots.push(draw::merkle_root(&leaves));
                chunks.push(leaves.into_flattened());
            }
            if batches.blocking_send(chunks).is_err() {
                // Whoever was to keep them has failed, and the cohort is not closed.
                break;
            }
        }
        roots
    });
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let mut first = 0;
    while let Some(chunks) = hashed.recv().await {
        pg::keep_leaves(&transaction, row.exhibition_id, run, first, &chunks).await?;
        first += chunks.len();
    }
    let roots = hashing.await.map_err(Error::bug)?;
    if pg::freeze(&transaction, row.exhibition_id, run, m, &draw::merkle_root(&roots)).await? {
        pg::keep_chunk_roots(&transaction, row.exhibition_id, run, &roots).await?;
        transaction.commit().await?;
        tracing::info!(exhibition = row.code, m, "the cohort is closed");
    }
    Ok(())
}

/// That a number stands in the closed cohort: what gives its leaf, and what leads from there to the published root.
#[derive(Debug, Serialize, ToSchema)]
pub struct DrawProof {
    exhibition_code: String,
    run: u32,
    /// People of the cohort.
    m: u32,
    number: u32,
    /// Hash of number, device and salt, hex. The receipt of the join names the same.
    leaf: String,
    /// Place of the leaf among all, from 0.
    index: u32,
    /// Hashes that the leaf is joined with on its way up, hex.
    steps: Vec<String>,
    /// As it is published, hex.
    root: String,
    /// The caller's alone, hex: without it nobody can tell whose a leaf is.
    salt: String,
    /// 4294967295: Redis had lost whose number this is, and the owner did not come back before the cohort was closed.
    device: u32,
}

/// The caller's own, from Postgres alone.
pub async fn prove(app: &App, exhibition: &Exhibition, headers: &HeaderMap) -> Result<DrawProof> {
    let outside = || Error::unauthenticated("queue.token_required");
    let view = app.rooms.of(&exhibition.code).ok_or_else(outside)?.view().clone();
    let token = Proofs::read(app, &exhibition.code, &view, headers)?.token.ok_or_else(outside)?;
    if token.lane == Lane::Invited {
        return Err(Error::not_found("queue.not_in_draw"));
    }
    let index = token.number.checked_sub(1).ok_or_else(|| Error::bug("a token without a number"))? as usize;
    let busy = |_| Error::unavailable("queue.busy", "too many proofs at once");
    let _turn = timeout(TURN, app.rooms.proofs.acquire()).await.map_err(busy)?.map_err(Error::bug)?;
    let client = app.pg.get().await?;
    let kept = pg::kept(&client, exhibition.id, token.run, index / CHUNK).await?;
    drop(client);
    match kept.ok_or_else(|| Error::gone("queue.other_run"))? {
        Kept::NotClosed => Err(Error::conflict("queue.not_closed_yet")),
        Kept::Nothing => Err(Error::not_found("queue.no_proof")),
        Kept::NoDraw | Kept::Beyond => Err(Error::not_found("queue.not_in_draw")),
        Kept::Chunk(chunk) => proof(app, &exhibition.code, &token, index, &chunk),
    }
}

fn proof(app: &App, code: &str, token: &QueueToken, index: usize, chunk: &Chunk) -> Result<DrawProof> {
    let Some(leaf) = chunk.leaves.get(index % CHUNK) else { return Err(Error::not_found("queue.not_in_draw")) };
    let salt = token::salt(&app.secrets, code, token.run, token.number);
    let is_of = |device: &u32| draw::leaf(code, token.number, &draw::account_digest(*device, &salt)) == *leaf;
    let device = [token.account.index, NOBODY].into_iter().find(is_of);
    let device = device.ok_or_else(|| Error::bug(format!("the leaf of {} is somebody else's", token.number)))?;
    let steps = draw::proof_by_chunks(&chunk.leaves, &chunk.roots, index);
    if !draw::verify_proof(leaf, index, chunk.m as usize, &steps, &chunk.root) {
        return Err(Error::bug(format!("what is kept of {code} run {} does not lead to its root", token.run)));
    }
    Ok(DrawProof {
        exhibition_code: code.to_owned(),
        run: token.run,
        m: chunk.m,
        number: token.number,
        leaf: hex(leaf),
        index: token.number - 1,
        steps: steps.iter().map(|step| hex(step)).collect(),
        root: hex(&chunk.root),
        salt: hex(&salt),
        device,
    })
}
