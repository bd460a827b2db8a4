//! Proof that somebody may see an order: a token derived from it, never stored, as bearer, cookie or short link.

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::model::Order;
use crate::app::App;
use crate::platform::http::extract::{bearer, cookie as read_cookie, cookies};
use crate::platform::ids::is_order_number;
use crate::platform::secrets::{Purpose, same};

const PREFIX: &str = "ot1.";
/// How long a browser keeps its proof. [s]
const COOKIE_MAX_AGE_S: i64 = 180 * 24 * 3600;

pub fn token(app: &App, order_id: Uuid, version: i32) -> String {
    let mac = app.secrets.mac(Purpose::OrderToken, &[order_id.as_bytes(), &version.to_be_bytes()]);
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&mac[..24]))
}

pub fn verify(app: &App, order_id: Uuid, version: i32, given: &str) -> bool {
    same(token(app, order_id, version).as_bytes(), given.as_bytes())
}

pub fn cookie_name(order_number: &str) -> String {
    format!("admit_{}", order_number.to_ascii_lowercase())
}

/// Numbers of the orders whose cookies came along, whether or not they are good.
pub fn numbers(headers: &HeaderMap) -> Vec<String> {
    let name = |(name, _): (&str, &str)| name.strip_prefix("admit_").map(str::to_ascii_uppercase);
    cookies(headers).filter_map(name).filter(|number| is_order_number(number)).collect()
}

/// The `Set-Cookie` value that lets this browser see the order.
pub fn cookie(app: &App, order: &Order) -> String {
    cookie_for(app, order, COOKIE_MAX_AGE_S)
}

/// The same for so many seconds; 0 takes it away.
pub fn cookie_for(app: &App, order: &Order, max_age_s: i64) -> String {
    format!(
        "{}={}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{}",
        cookie_name(&order.facts.number),
        token(app, order.facts.id, order.token_version),
        if app.settings.secure_cookies() { "; Secure" } else { "" },
    )
}

/// Whether the caller brought the order's token, as bearer or in its cookie.
pub fn authorised(app: &App, headers: &HeaderMap, order: &Order) -> bool {
    let check = |given: &str| verify(app, order.facts.id, order.token_version, given);
    bearer(headers).is_some_and(check) || read_cookie(headers, &cookie_name(&order.facts.number)).is_some_and(check)
}

/// Query string `e=…&s=…` that proves access for one purpose until an instant.
pub fn link(app: &App, purpose: &str, order_id: Uuid, until_s: i64) -> String {
    format!("e={until_s}&s={}", link_mac(app, purpose, order_id, until_s))
}

pub fn link_ok(app: &App, purpose: &str, order_id: Uuid, until_s: i64, given: &str) -> bool {
    until_s >= app.clock.now().as_second()
        && same(link_mac(app, purpose, order_id, until_s).as_bytes(), given.as_bytes())
}

fn link_mac(app: &App, purpose: &str, order_id: Uuid, until_s: i64) -> String {
    let mac = app.secrets.mac(Purpose::SignedLink, &[purpose.as_bytes(), order_id.as_bytes(), &until_s.to_be_bytes()]);
    URL_SAFE_NO_PAD.encode(&mac[..18])
}
