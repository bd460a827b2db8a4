//! All orders of one person: shown to whoever can read the mail of the address they were placed with, by a one-time code.
//! Phone number and address have to fit an order; whether one does, only the mailbox tells.

pub mod pg;

use std::time::Duration;

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deadpool_postgres::GenericClient;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::contact;
use super::lookup::too_many;
use super::model::Order;
use super::{pg as orders_pg, token};
use crate::app::App;
use crate::error::{Error, FieldError, Result};
use crate::platform::http::ClientAddress;
use crate::platform::http::extract::cookie as read_cookie;
use crate::platform::ids;
use crate::platform::secrets::{Purpose, same};
use crate::platform::texts::Language;

/// How long a code can be entered. [min]
pub const CODE_MINUTES: i32 = 10;
/// How long the list stays open. [min]
pub const OPEN_MINUTES: i32 = 30;
/// Guesses at one code, of a million.
pub const TRIES_MAX: i32 = 5;
/// Codes for the same phone number and address: within an hour, and within a day.
const CODES_PER_HOUR: i64 = 5;
const CODES_PER_DAY: i64 = 10;
/// Codes for the same phone number within a day, whatever the address.
const CODES_OF_PHONE_PER_DAY: i64 = 20;
/// Orders of a phone number that are looked at, the newest first.
const ORDERS_MAX: i64 = 200;
const COOKIE: &str = "admit_mine";
const COOKIE_MAX_AGE_S: i32 = OPEN_MINUTES * 60;

#[derive(Serialize, Deserialize)]
struct Asked {
    email: String,
    language: String,
}

/// Whom to write to, if it is still worth it.
pub struct Wish {
    pub email: String,
    pub language: Language,
    pub until: Timestamp,
}

/// Six digits that belong to a request; whoever has our secret could say them, nobody else.
pub fn digits(app: &App, id: Uuid) -> String {
    let mac = app.secrets.mac(Purpose::OneTimeCode, &[id.as_bytes()]);
    let mut number = [0u8; 8];
    number.copy_from_slice(&mac[..8]);
    format!("{:06}", u64::from_be_bytes(number) % 1_000_000)
}

fn plain(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Asks for a code. The answer is the same whether or not there are orders.
pub async fn ask(app: &App, client: ClientAddress, phone: &str, email: &str, language: Language) -> Result<Uuid> {
    let mut errors: Vec<FieldError> = Vec::new();
    // The name is nobody's business here.
    let checked = contact::check("-", phone, Some(email), &mut errors);
    if email.trim().is_empty() {
        errors.push(FieldError { field: "customer_email".into(), code: "required" });
    }
    let Some(checked) = checked.filter(|_| errors.is_empty()) else { return Err(Error::fields(errors)) };
    let email = plain(email);
    let digest = contact::phone_digest(app, &checked.phone);
    let who = app.secrets.mac(Purpose::OneTimeCode, &[&digest, email.as_bytes()]);
    if !client.exempt
        && let Some(wait) = too_many(app, client, &[&who, &digest]).await
    {
        return Err(Error::too_many("order.too_many_lookups", wait));
    }
    let mut postgres = app.pg.get().await?;
    let transaction = postgres.transaction().await?;
    let asked = pg::asked(&transaction, &who, &digest).await?;
    let day = SignedDuration::from_hours(24);
    let again = if asked.in_hour >= CODES_PER_HOUR {
        asked.first_in_hour.map(|first| first + SignedDuration::from_hours(1))
    } else if asked.in_day >= CODES_PER_DAY || asked.of_phone_in_day >= CODES_OF_PHONE_PER_DAY {
        asked.first_in_day.map(|first| first + day)
    } else {
        None
    };
    if let Some(again) = again {
        let wait = (again - app.clock.now()).get_seconds().max(1).unsigned_abs();
        let minutes = wait.div_ceil(60);
        return Err(Error::too_many("order.too_many_codes", Duration::from_secs(wait)).with("minutes", minutes));
    }
    let id = ids::row_id(app.clock.now());
    let known = !orders_of(app, &transaction, &digest, &email).await?.is_empty();
    let asked = serde_json::to_vec(&Asked { email, language: language.tag().to_owned() }).map_err(Error::bug)?;
    let (key_id, sealed) = app.secrets.seal(id.as_bytes(), &asked)?;
    pg::ask(&transaction, id, &who, &digest, (&key_id, &sealed), known).await?;
    transaction.commit().await?;
    Ok(id)
}

fn unseal(app: &App, id: Uuid, request: &pg::Request) -> Result<Asked> {
    let plain = app.secrets.open(&request.key_id, id.as_bytes(), &request.sealed)?;
    serde_json::from_slice(&plain).map_err(Error::bug)
}

/// What the letter needs; None: the code would come too late.
pub async fn wish(app: &App, client: &deadpool_postgres::Object, id: Uuid) -> Result<Option<Wish>> {
    let Some(request) = pg::code(client, id).await? else { return Ok(None) };
    let until = request.created_at + SignedDuration::from_mins(CODE_MINUTES.into());
    if until <= app.clock.now() {
        return Ok(None);
    }
    let asked = unseal(app, id, &request)?;
    Ok(Some(Wish { language: Language::from_tag(&asked.language), email: asked.email, until }))
}

/// The cookie of whoever knows the code. A wrong one leaves so many tries.
pub async fn enter(app: &App, client: ClientAddress, id: Uuid, code: &str) -> Result<String> {
    if !client.exempt
        && let Some(wait) = too_many(app, client, &[]).await
    {
        return Err(Error::too_many("order.too_many_lookups", wait));
    }
    let code: String = code.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    if code.len() != 6 || !code.bytes().all(|b| b.is_ascii_digit()) {
        // No guess: somebody has not finished typing.
        return Err(Error::field("code", "one_time_code"));
    }
    let postgres = app.pg.get().await?;
    let gone = || Error::gone("order.code_over");
    let nth = pg::try_once(&postgres, id).await?.ok_or_else(gone)?;
    if !same(digits(app, id).as_bytes(), code.as_bytes()) {
        let left = TRIES_MAX - nth;
        return Err(if left == 0 {
            gone()
        } else {
            Error::forbidden("order.wrong_code").with("count", left.to_string())
        });
    }
    if !pg::open(&postgres, id).await? {
        return Err(gone());
    }
    Ok(set_cookie(app, &format!("{id}.{}", mac(app, id)), COOKIE_MAX_AGE_S))
}

fn set_cookie(app: &App, value: &str, max_age_s: i32) -> String {
    let secure = if app.settings.secure_cookies() { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/orders; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}")
}

fn mac(app: &App, id: Uuid) -> String {
    let mac = app.secrets.mac(Purpose::OneTimeCode, &[b"list", id.as_bytes()]);
    URL_SAFE_NO_PAD.encode(&mac[..18])
}

/// The request whose code this browser has entered.
fn of_browser(app: &App, headers: &HeaderMap) -> Option<Uuid> {
    let (id, given) = read_cookie(headers, COOKIE)?.split_once('.')?;
    let id: Uuid = id.parse().ok()?;
    same(mac(app, id).as_bytes(), given.as_bytes()).then_some(id)
}

/// The orders of whoever entered a code in this browser, newest first; None: nobody did, or too long ago.
pub async fn list(app: &App, headers: &HeaderMap) -> Result<Option<Vec<Order>>> {
    let Some(id) = of_browser(app, headers) else { return Ok(None) };
    let client = app.pg.get().await?;
    let Some(request) = pg::opened(&client, id).await? else { return Ok(None) };
    let asked = unseal(app, id, &request)?;
    let ids = orders_of(app, &client, &request.phone_digest, &asked.email).await?;
    let mut orders = orders_pg::by_ids(app, &client, &ids).await?;
    orders.sort_by_key(|order| std::cmp::Reverse(order.facts.id));
    Ok(Some(orders))
}

/// Ends the list in this browser, and what it opened: the cookies that do so.
pub async fn close(app: &App, headers: &HeaderMap) -> Result<Vec<String>> {
    let orders = list(app, headers).await?.unwrap_or_default();
    if let Some(id) = of_browser(app, headers) {
        pg::close(&app.pg.get().await?, id).await?;
    }
    // Only those that came along: hundreds of headers would not get through.
    let here = token::numbers(headers);
    let opened = orders.iter().filter(|order| here.contains(&order.facts.number));
    let opened = opened.map(|order| token::cookie_for(app, order, 0));
    Ok(opened.chain([set_cookie(app, "", 0)]).collect())
}

/// An order of the list, with the cookie that opens it for as long as the list can be open.
pub async fn open(app: &App, headers: &HeaderMap, number: &str) -> Result<(Order, Option<String>)> {
    let orders = list(app, headers).await?.unwrap_or_default();
    let order = orders.into_iter().find(|order| order.facts.number == number);
    let order = order.ok_or_else(|| Error::not_found("order.unknown"))?;
    // A browser that has its own for longer keeps it.
    let own = token::authorised(app, headers, &order);
    let cookie = (!own).then(|| token::cookie_for(app, &order, COOKIE_MAX_AGE_S.into()));
    Ok((order, cookie))
}

/// Orders that were placed with this phone number and this address.
async fn orders_of(app: &App, client: &impl GenericClient, phone_digest: &[u8], email: &str) -> Result<Vec<Uuid>> {
    let mut ids = Vec::new();
    for (id, key_id, sealed) in pg::of_phone(client, phone_digest, ORDERS_MAX).await? {
        let contact = contact::open(app, id, &key_id, &sealed)?;
        if contact.email.is_some_and(|known| plain(&known) == email) {
            ids.push(id);
        }
    }
    Ok(ids)
}
