//! Finds an order by its number and phone number: the way back for whoever has lost link and cookie.

use std::time::Duration;

use super::model::Order;
use super::{contact, pg};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::ClientAddress;
use crate::platform::ids;
use crate::platform::net::counted_as;
use crate::platform::secrets::{Purpose, hex, same};

/// One address may stand for many phones behind a carrier, so its own limit is a loose outer ring.
const ADDRESS_FACTOR: u32 = 10;

/// The same answer for an unknown order and for another's phone number.
pub async fn find(app: &App, client: ClientAddress, number: &str, phone: &str) -> Result<Order> {
    let unknown = || Error::not_found("order.unknown");
    let phone = contact::phone_e164(phone).ok_or_else(|| Error::field("phone", "phone"))?;
    let digest = contact::phone_digest(app, &phone);
    let number = number.trim().to_ascii_uppercase();
    if !client.exempt
        && let Some(wait) = too_often(app, client, &number, &digest).await
    {
        return Err(Error::too_many("order.too_many_lookups", wait));
    }
    if !ids::is_order_number(&number) {
        return Err(unknown());
    }
    let client = app.pg.get().await?;
    let order = pg::by_number(app, &client, &number).await?.ok_or_else(unknown)?;
    let known = pg::phone_digest(&client, order.facts.id).await?.ok_or_else(unknown)?;
    if same(&known, &digest) { Ok(order) } else { Err(unknown()) }
}

/// By phone, by order (or a known number would let somebody try all phones), and loosely by address.
async fn too_often(app: &App, client: ClientAddress, number: &str, digest: &[u8; 32]) -> Option<Duration> {
    too_many(app, client, &[digest, number.as_bytes()]).await
}

/// Look-ups by each of these, and loosely by address.
pub async fn too_many(app: &App, client: ClientAddress, parts: &[&[u8]]) -> Option<Duration> {
    let who = |part: &[u8]| hex(&app.secrets.mac(Purpose::IdempotencyKey, &[b"lookup", part])[..16]);
    let limit = app.settings.lookups_per_minute;
    let address = counted_as(client.address).to_string();
    let loose = (who(address.as_bytes()), limit.saturating_mul(ADDRESS_FACTOR));
    let counted: Vec<_> = parts.iter().map(|part| (who(part), limit)).chain([loose]).collect();
    for (who, limit) in counted {
        if let Some(wait) = app.redis.rate_limit("lookup", &who, limit, app.clock.now_ms()).await {
            return Some(wait);
        }
    }
    None
}
