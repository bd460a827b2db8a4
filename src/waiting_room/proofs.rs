//! What a caller brings: the device, the place in line, the pass. A header says what it means and is judged; a cookie
//! may be left over from another day and counts only when it is good.

use axum::http::{HeaderMap, HeaderName};

use super::model::Lane;
use super::redis::Account;
use super::reply::Status;
use super::room::View;
use super::token::{self, Pass, QueueToken};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::extract::cookie;

/// How long a browser keeps its device and its place: a sale lasts a day, a room rarely longer. [s]
const KEEP_S: i64 = 14 * 24 * 3600;
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-queue-token");
const PASS_HEADER: HeaderName = HeaderName::from_static("x-queue-pass");

/// An answer with the cookies that go with it.
pub struct Seen {
    pub status: Status,
    /// `Set-Cookie` values.
    pub cookies: Vec<String>,
}

#[derive(Default)]
pub struct Proofs {
    pub token: Option<QueueToken>,
    pub device: Option<Account>,
    pub pass: Option<Pass>,
}

impl Proofs {
    pub fn read(app: &App, code: &str, view: &View, headers: &HeaderMap) -> Result<Proofs> {
        let run = view.snap.run;
        let device =
            cookie(headers, &device_cookie(code)).and_then(|text| token::open_device(&app.secrets, code, run, text));
        let token = match header(headers, &TOKEN_HEADER)? {
            Some(text) => {
                let token = QueueToken::open(&app.secrets, code, text)
                    .ok_or_else(|| Error::unauthenticated("queue.invalid_token"))?;
                if token.run != run {
                    return Err(Error::gone("queue.other_run"));
                }
                if device.is_some_and(|device| device != token.account) {
                    return Err(Error::forbidden("queue.other_device"));
                }
                Some(token)
            }
            None => cookie(headers, &token_cookie(code))
                .and_then(|text| QueueToken::open(&app.secrets, code, text))
                // A browser that has the cookie of one device and the place of another is shown its own.
                .filter(|token| token.run == run && device.is_none_or(|device| device == token.account)),
        };
        Ok(Proofs { token, device, pass: pass(app, code, headers)?.filter(|pass| pass.run == run) })
    }
}

/// The caller's pass, if it is genuine and its hard end has not come.
pub fn pass(app: &App, code: &str, headers: &HeaderMap) -> Result<Option<Pass>> {
    let now_ms = app.clock.now_ms();
    match header(headers, &PASS_HEADER)? {
        Some(text) => {
            let pass =
                Pass::read(&app.secrets, code, text).ok_or_else(|| Error::forbidden("waiting_room.invalid_pass"))?;
            if pass.hard_ms <= now_ms {
                return Err(Error::forbidden("waiting_room.pass_ended"));
            }
            Ok(Some(pass))
        }
        None => Ok(cookie(headers, &pass_cookie(code))
            .and_then(|text| Pass::read(&app.secrets, code, text))
            .filter(|pass| pass.hard_ms > now_ms)),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(text) if values.next().is_none() => Ok(Some(text.trim())),
        _ => Err(Error::malformed("queue.malformed_header").with("name", name.as_str())),
    }
}

pub fn token_cookie(code: &str) -> String {
    format!("admit_q_{code}")
}
pub fn device_cookie(code: &str) -> String {
    format!("admit_d_{code}")
}
pub fn pass_cookie(code: &str) -> String {
    format!("admit_p_{code}")
}

/// A `Set-Cookie` value.
pub fn set_cookie(app: &App, name: &str, value: &str, keep_s: i64) -> String {
    let secure = if app.settings.secure_cookies() { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; Max-Age={keep_s}; HttpOnly; SameSite=Lax{secure}")
}

pub fn set_device(app: &App, code: &str, run: u32, account: Account) -> String {
    let sealed = token::seal_device(&app.secrets, code, run, account);
    set_cookie(app, &device_cookie(code), &sealed, KEEP_S)
}

pub fn set_token(app: &App, code: &str, sealed: &str) -> String {
    set_cookie(app, &token_cookie(code), sealed, KEEP_S)
}

/// Lane and rank of a token, once the rank is known.
pub fn place(view: &View, token: &QueueToken) -> (Lane, Option<u32>) {
    let rank = if token.rank > 0 { Some(token.rank) } else { view.rank_of(token.lane, token.number) };
    (token.lane, rank)
}
