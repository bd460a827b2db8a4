//! Signing in from a page of ours: the refresh token is in a cookie that scripts cannot read and that goes to the sign-in
//! calls alone; the access token lives in the page's memory. So a script that slipped in finds nothing to take away, and a
//! page of another site cannot call anything: the API wants the access token, the sign-in calls want our own origin.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};

use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::extract::{cookie, same_site};

const COOKIE: &str = "staff_session";
/// As long as a refresh token lasts. [s]
const MAX_AGE_S: i64 = 30 * 24 * 3600;
const AGENT_CHARS_MAX: usize = 200;

/// The browser of somebody who signs in, or is signed in.
pub struct Browser {
    headers: HeaderMap,
    base_url: String,
    /// What it says it is.
    pub agent: String,
}

impl FromRequestParts<App> for Browser {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Browser, Infallible> {
        let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        Ok(Browser {
            agent: agent.chars().filter(|c| !c.is_control()).take(AGENT_CHARS_MAX).collect(),
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
}

fn set(app: &App, value: &str, max_age_s: i64) -> Result<HeaderValue> {
    let secure = if app.settings.secure_cookies() { "; Secure" } else { "" };
    let text = format!("{COOKIE}={value}; Path=/api/auth; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).map_err(Error::bug)
}

pub fn kept(app: &App, refresh_token: &str) -> Result<HeaderValue> {
    set(app, refresh_token, MAX_AGE_S)
}

pub fn forgotten(app: &App) -> Result<HeaderValue> {
    set(app, "", 0)
}
