//! Devices at the gates: enrolled by a one-time token, trusted by a credential of their own, used in shifts, revoked at
//! once. A device may scan at its gate and see its counts; everything else is somebody else's.

pub mod admin;
pub mod api;
pub mod pg;
pub mod shift;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use jiff::Timestamp;
use uuid::Uuid;

use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::ids::random_bytes;
use crate::platform::secrets::{hex, sha256};

/// How long a one-time token can be scanned. [min]
pub const ENROL_MINUTES: i32 = 15;
pub const NAME_CHARS_MAX: usize = 40;
/// Of an exhibition, revoked ones apart.
pub const DEVICES_MAX: i64 = 200;

const HEADER: &str = "x-admit-device";
const ENROL_PREFIX: &str = "de1.";
const CREDENTIAL_PREFIX: &str = "dc1.";

/// A token of 192 random bits and the digest that is kept of it.
pub struct Minted {
    pub token: String,
    pub digest: Vec<u8>,
}

fn minted(prefix: &str) -> Minted {
    let token = format!("{prefix}{}", hex(&random_bytes::<24>()));
    Minted { digest: digest(&token), token }
}

pub fn enrolment() -> Minted {
    minted(ENROL_PREFIX)
}

pub fn credential() -> Minted {
    minted(CREDENTIAL_PREFIX)
}

/// Random enough that no key is needed.
pub fn digest(token: &str) -> Vec<u8> {
    sha256(&[token.as_bytes()]).to_vec()
}

/// An enrolled device that has not been revoked. A handler that takes one is for devices only.
#[derive(Clone, Debug)]
pub struct Device {
    pub id: Uuid,
    pub exhibition_id: i32,
    pub exhibition_code: String,
    pub gate: String,
    pub name: String,
    pub enrolled_at: Timestamp,
}

impl FromRequestParts<App> for Device {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Device> {
        match by_header(app, &parts.headers).await? {
            // It wipes what it has.
            (_, true) => Err(Error::forbidden("device.revoked")),
            (device, false) => Ok(device),
        }
    }
}

/// A device that hands in what it has, also when it was revoked.
#[derive(Clone, Debug)]
pub struct HandsIn {
    pub device: Device,
    pub revoked: bool,
}

impl FromRequestParts<App> for HandsIn {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<HandsIn> {
        let (device, revoked) = by_header(app, &parts.headers).await?;
        Ok(HandsIn { device, revoked })
    }
}

/// Whose credential a call carries, and whether it was revoked.
async fn by_header(app: &App, headers: &HeaderMap) -> Result<(Device, bool)> {
    let unknown = || Error::unauthenticated("device.unknown");
    let header = headers.get(HEADER).ok_or_else(unknown)?;
    let token = header.to_str().ok().filter(|token| token.starts_with(CREDENTIAL_PREFIX)).ok_or_else(unknown)?;
    let client = app.entrance_pg.get().await?;
    pg::by_credential(&client, &digest(token)).await?.ok_or_else(unknown)
}
