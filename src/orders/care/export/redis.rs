//! Redis of exports: what was asked for, until it is fetched. Sealed, since somebody's name may have been searched for.

use serde::{Deserialize, Serialize};

use super::ExportAsk;
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::ids::random_bytes;
use crate::platform::secrets::{hex, sha256};

/// A browser fetches at once.
pub const KEEP_S: i64 = 60;
const ABOUT: &[u8] = b"export ticket";

#[derive(Serialize, Deserialize)]
pub struct Ticket {
    pub exhibition_id: i32,
    pub language: String,
    pub ask: ExportAsk,
}

/// The name of the ticket's key proves nothing: whoever reads Redis has no ticket.
fn key(app: &App, proof: &str) -> String {
    app.redis.plain_key("export", &hex(&sha256(&[ABOUT, proof.as_bytes()])))
}

/// A proof that fetches it once.
pub async fn keep(app: &App, ticket: &Ticket) -> Result<String> {
    let proof = hex(&random_bytes::<32>());
    let (key_id, sealed) = app.secrets.seal(ABOUT, &serde_json::to_vec(ticket).map_err(Error::bug)?)?;
    let kept = serde_json::to_vec(&(key_id, sealed)).map_err(Error::bug)?;
    app.redis.set_bytes(&key(app, &proof), kept, KEEP_S).await?;
    Ok(proof)
}

/// None: fetched before, too old, or never there.
pub async fn take(app: &App, proof: &str) -> Result<Option<Ticket>> {
    app.redis.take_bytes(&key(app, proof)).await?.map(|kept| opened(app, &kept)).transpose()
}

/// The same, and it stays there.
pub async fn look(app: &App, proof: &str) -> Result<Option<Ticket>> {
    app.redis.get_bytes(&key(app, proof)).await?.map(|kept| opened(app, &kept)).transpose()
}

fn opened(app: &App, kept: &[u8]) -> Result<Ticket> {
    let (key_id, sealed): (String, Vec<u8>) = serde_json::from_slice(kept).map_err(Error::bug)?;
    let plain = app.secrets.open(&key_id, ABOUT, &sealed)?;
    serde_json::from_slice(&plain).map_err(Error::bug)
}
