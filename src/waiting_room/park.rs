//! Keep my place and tell me: the visitor may close the page, stays alive in the line, gets a mail shortly before the
//! turn, and has longer to come.

use axum::http::HeaderMap;

use super::notice;
use super::pg;
use super::proofs::{self, Proofs, Seen};
use super::status;
use super::token::QueueToken;
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Result};
use crate::platform::ids;
use crate::platform::texts::Language;

const EMAIL_CHARS_MAX: usize = 254;

pub async fn park(
    app: &App,
    exhibition: &Exhibition,
    headers: &HeaderMap,
    email: &str,
    language: Language,
) -> Result<Seen> {
    let Some(room) = app.rooms.of(&exhibition.code) else {
        return status::look(app, exhibition, headers, language);
    };
    let view = room.view().clone();
    let mut proofs = Proofs::read(app, &exhibition.code, &view, headers)?;
    let token = proofs.token.ok_or_else(|| Error::unauthenticated("queue.token_required"))?;
    let email = email.trim();
    if email.is_empty() {
        return Err(Error::field("email", "required"));
    }
    if email.len() > EMAIL_CHARS_MAX || email.parse::<lettre::Address>().is_err() {
        return Err(Error::field("email", "email"));
    }
    let notice = notice::seal(app, exhibition.id, token.run, (token.lane, token.number), email, language)?;
    pg::park(&app.pg.get().await?, ids::row_id(app.clock.now()), &notice).await?;
    let parked = QueueToken { parked: true, ..token };
    proofs.token = Some(parked);
    let mut seen = status::stand(app, exhibition, &room, &view, &proofs, language);
    let sealed = parked.seal(&app.secrets, &room.code);
    seen.cookies = vec![proofs::set_token(app, &room.code, &sealed)];
    seen.status.queue_token = Some(sealed);
    Ok(seen)
}
