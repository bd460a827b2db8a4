//! A shift: somebody of the staff at a device. Its token is signed, so that a scan costs no look-up of its own; whether
//! the shift and its device still stand is asked with the batch that the scan is judged in.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::pg;
use crate::admin::access::Exhibitions;
use crate::admin::{Role, StaffUser};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::extract::bearer;
use crate::platform::secrets::{Purpose, same};

/// A long day at the door. [hours]
pub const HOURS: i32 = 12;
const PREFIX: &str = "sh1.";

/// What a token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    pub shift: Uuid,
    pub device: Uuid,
    pub gate: String,
    pub exhibition: i32,
    pub staff: i32,
    pub name: String,
    /// [s]
    pub until: i64,
}

pub fn token(app: &App, claims: &Claims) -> Result<String> {
    let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).map_err(Error::bug)?);
    Ok(format!("{PREFIX}{body}.{}", mac(app, &body)))
}

fn mac(app: &App, body: &str) -> String {
    URL_SAFE_NO_PAD.encode(app.secrets.mac(Purpose::Shift, &[body.as_bytes()]))
}

fn read(app: &App, token: &str) -> Result<Claims> {
    let invalid = || Error::unauthenticated("auth.invalid_token");
    let (body, given) = token.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.')).ok_or_else(invalid)?;
    if !same(mac(app, body).as_bytes(), given.as_bytes()) {
        return Err(invalid());
    }
    let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| invalid())?;
    let claims: Claims = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    if claims.until <= app.clock.now().as_second() {
        return Err(Error::unauthenticated("auth.expired_token"));
    }
    Ok(claims)
}

/// Where a scan comes from when it comes from a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    pub shift_id: Uuid,
    pub device_id: Uuid,
    pub gate: String,
}

/// Whoever scans: somebody at a device, or a user with a token of their own. A handler that takes one is for them only.
#[derive(Clone, Debug)]
pub struct Scanner {
    pub staff: StaffUser,
    pub at: Option<At>,
}

/// Somebody at a device, whose shift and device were asked about and stand. A handler that takes one is for them only.
#[derive(Clone, Debug)]
pub struct OnShift {
    pub staff: StaffUser,
    pub at: At,
}

impl FromRequestParts<App> for OnShift {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<OnShift> {
        let Scanner { staff, at } = Scanner::from_request_parts(parts, app).await?;
        let at = at.ok_or_else(|| Error::forbidden("auth.forbidden").because("not at a device"))?;
        let client = app.entrance_pg.get().await?;
        if pg::standing(&client, &[at.shift_id]).await?.is_empty() {
            return Err(Error::forbidden("device.off_shift"));
        }
        Ok(OnShift { staff, at })
    }
}

impl FromRequestParts<App> for Scanner {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Scanner> {
        match bearer(&parts.headers).filter(|token| token.starts_with(PREFIX)) {
            Some(token) => {
                let claims = read(app, token)?;
                let staff = StaffUser {
                    id: claims.staff,
                    name: claims.name,
                    // Whoever it is: at a device one may scan, and nothing else.
                    role: Role::Staff,
                    exhibitions: Exhibitions::Of(vec![claims.exhibition]),
                    must_set_up: false,
                    request_id: String::new(),
                };
                let at = At { shift_id: claims.shift, device_id: claims.device, gate: claims.gate };
                Ok(Scanner { staff, at: Some(at) })
            }
            None => Ok(Scanner { staff: StaffUser::from_request_parts(parts, app).await?, at: None }),
        }
    }
}
