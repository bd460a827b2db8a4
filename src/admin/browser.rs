//! Signing in from a page of ours: the refresh token is in a cookie that scripts cannot read and that goes to the sign-in
//! calls alone; the access token lives in the page's memory. So a script that slipped in finds nothing to take away, and a
//! page of another site cannot call anything: the API wants the access token, the sign-in calls want our own origin.
//!
//! A second cookie stays after signing out: it makes a browser known to the account, so that strangers who guess its password
//! do not keep it out (`tries`). It proves nothing else, and opens nothing.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::tries::{CounterId, Source};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::extract::{cookie, language_of, same_site};
use crate::platform::http::observe::RequestId;
use crate::platform::ids::random_bytes;
use crate::platform::secrets::{Purpose, hex, same, unhex};
use crate::platform::texts::Language;

const COOKIE: &str = "staff_session";
/// As long as a refresh token lasts. [s]
const MAX_AGE_S: i64 = 30 * 24 * 3600;
const AGENT_CHARS_MAX: usize = 200;
/// A browser stays known for half a year after it was last used. [s]
const KNOWN_S: i64 = 180 * 24 * 3600;
/// How a browser became known.
const SIGNED_IN: &str = "s";
const MAILED: &str = "m";

/// The browser of somebody who signs in, or is signed in.
pub struct Browser {
    headers: HeaderMap,
    base_url: String,
    /// What it says it is.
    pub agent: String,
    /// Of the call, for the log.
    pub request_id: String,
    pub language: Language,
}

impl FromRequestParts<App> for Browser {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Browser, Infallible> {
        let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        Ok(Browser {
            agent: agent.chars().filter(|c| !c.is_control()).take(AGENT_CHARS_MAX).collect(),
            request_id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
            language: language_of(&parts.headers),
            headers: parts.headers.clone(),
            base_url: app.settings.base_url.clone(),
        })
    }
}

impl Browser {
    /// Refuses what a page of another site makes it send.
    pub fn own(&self) -> Result<()> {
        same_site(&self.headers, &self.base_url)
    }

    /// The token of the body, or the one in the cookie, which counts from our own pages only.
    pub fn token(&self, given: Option<String>) -> Result<Option<String>> {
        if given.is_some() {
            return Ok(given);
        }
        match cookie(&self.headers, COOKIE) {
            Some(token) => self.own().map(|()| Some(token.to_owned())),
            None => Ok(None),
        }
    }

    /// What the account of that name knows of this browser.
    pub fn source(&self, app: &App, name: &str) -> Source {
        self.known_as(app, name).unwrap_or(Source::Stranger)
    }

    fn known_as(&self, app: &App, name: &str) -> Option<Source> {
        let (claims, mac) = cookie(&self.headers, &known_cookie(app, name))?.rsplit_once('.')?;
        if !same(known_mac(app, name, claims).as_bytes(), mac.as_bytes()) {
            return None;
        }
        let mut parts = claims.split('.');
        let (how, until_s, id) = (parts.next()?, parts.next()?.parse::<i64>().ok()?, unhex::<16>(parts.next()?)?);
        if until_s <= app.clock.now().as_second() {
            return None;
        }
        Some(if how == SIGNED_IN { Source::Known(id) } else { Source::Mailed(id) })
    }

    /// The cookie of a browser that has just signed in under that name; what was counted on it stays its own.
    pub fn known_by_sign_in(&self, app: &App, name: &str) -> Result<HeaderValue> {
        self.known(app, name, SIGNED_IN)
    }

    /// The cookie of a browser in which somebody has set the password of that name by a mailed link.
    pub fn known_by_mail(&self, app: &App, name: &str) -> Result<HeaderValue> {
        let how = if matches!(self.source(app, name), Source::Known(_)) { SIGNED_IN } else { MAILED };
        self.known(app, name, how)
    }

    fn known(&self, app: &App, name: &str, how: &str) -> Result<HeaderValue> {
        let id: CounterId = match self.source(app, name) {
            Source::Known(id) | Source::Mailed(id) => id,
            Source::Stranger => random_bytes(),
        };
        let claims = format!("{how}.{}.{}", app.clock.now().as_second() + KNOWN_S, hex(&id));
        let value = format!("{claims}.{}", known_mac(app, name, &claims));
        set(app, &known_cookie(app, name), &value, KNOWN_S)
    }
}

/// One for each account, so that people who share a browser are each known in it; it does not say who they are.
fn known_cookie(app: &App, name: &str) -> String {
    format!("staff_browser_{}", hex(&app.secrets.mac(Purpose::KnownBrowser, &[b"name", name.as_bytes()])[..6]))
}

fn known_mac(app: &App, name: &str, claims: &str) -> String {
    let mac = app.secrets.mac(Purpose::KnownBrowser, &[b"browser", name.as_bytes(), claims.as_bytes()]);
    URL_SAFE_NO_PAD.encode(&mac[..18])
}

fn set(app: &App, name: &str, value: &str, max_age_s: i64) -> Result<HeaderValue> {
    let secure = if app.settings.secure_cookies() { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/api/auth; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).map_err(Error::bug)
}

pub fn kept(app: &App, refresh_token: &str) -> Result<HeaderValue> {
    set(app, COOKIE, refresh_token, MAX_AGE_S)
}

pub fn forgotten(app: &App) -> Result<HeaderValue> {
    set(app, COOKIE, "", 0)
}
