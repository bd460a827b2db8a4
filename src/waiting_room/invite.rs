//! Invitations: links that lead into the lane of the invited. Nothing is stored; a link proves itself.
//!
//! `{base_url}/{code}/queue?invite=` and 39 characters: base64url, without padding, of
//!
//! ```text
//! version:1 (1) ‖ run:be32 ‖ id:8 (random) ‖ mac:16
//! mac = first 16 bytes of HMAC-SHA256(queue invite key, code ‖ run:be32 ‖ id), every part behind its length:be32
//! ```
//!
//! It is good in its run only. One invitation serves one device: whoever lets somebody join keeps the id.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::app::App;
use crate::platform::ids::random_bytes;
use crate::platform::secrets::{Purpose, same};

const VERSION: u8 = 1;
const BYTES: usize = 29;
const CHARS: usize = 39;

pub type InviteId = [u8; 8];

/// A new one, as it stands in the link.
pub fn make(app: &App, code: &str, run: u32) -> (InviteId, String) {
    let id: InviteId = random_bytes();
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.push(VERSION);
    bytes.extend_from_slice(&run.to_be_bytes());
    bytes.extend_from_slice(&id);
    bytes.extend_from_slice(&mac(app, code, run, &id));
    (id, URL_SAFE_NO_PAD.encode(bytes))
}

pub fn link(app: &App, code: &str, invite: &str) -> String {
    format!("{}/{code}/queue?invite={invite}", app.settings.base_url)
}

/// The id of a genuine invitation to this run.
pub fn read(app: &App, code: &str, run: u32, text: &str) -> Option<InviteId> {
    if text.len() != CHARS {
        return None;
    }
    let bytes: [u8; BYTES] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let id: InviteId = bytes[5..13].try_into().ok()?;
    let genuine =
        bytes[0] == VERSION && bytes[1..5] == run.to_be_bytes() && same(&bytes[13..], &mac(app, code, run, &id));
    genuine.then_some(id)
}

pub fn invite_ok(app: &App, code: &str, run: u32, text: &str) -> bool {
    read(app, code, run, text).is_some()
}

fn mac(app: &App, code: &str, run: u32, id: &InviteId) -> [u8; 16] {
    let whole = app.secrets.mac(Purpose::QueueInvite, &[code.as_bytes(), &run.to_be_bytes(), id]);
    let mut out = [0; 16];
    out.copy_from_slice(&whole[..16]);
    out
}
