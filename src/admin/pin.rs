//! PINs: six digits with which staff begin a shift at an enrolled device, and nothing else. What is that short is guarded by
//! the device's credential, and by few tries.

use serde_json::json;
use uuid::Uuid;

use super::access::StaffUser;
use super::own::record;
use super::tries::{Claimant, Whence};
use super::users::is_username;
use super::{pg, sign_in};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::ClientAddress;

const DIGITS: usize = 6;
/// Wrong ones in a row, each within a quarter of an hour of the one before.
pub const TRIES_MAX: i32 = 5;
pub const LOCKED_MINUTES: i32 = 15;

fn is_pin(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_digit())
}

/// One digit six times, or digits in a row: what is tried first.
fn is_weak(pin: &str) -> bool {
    let steps: Vec<i16> = pin.as_bytes().windows(2).map(|w| i16::from(w[1]) - i16::from(w[0])).collect();
    steps.iter().all(|step| step.abs() <= 1 && *step == steps[0])
}

/// Sets somebody's own PIN, proved by the password; None: there is none from now on.
pub async fn set(app: &App, caller: ClientAddress, by: &StaffUser, password: &str, pin: Option<&str>) -> Result<()> {
    if pin.is_some_and(|pin| !is_pin(pin) || is_weak(pin)) {
        return Err(Error::field("pin", "pin"));
    }
    let user = sign_in::check_own(app, caller, by, password).await?;
    let hash = match pin {
        Some(pin) => Some(app.passwords.hash(pin).await?),
        None => None,
    };
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    sign_in::lock_unchanged(&transaction, &user).await?;
    pg::set_pin(&transaction, by.id, hash.as_deref()).await?;
    record(&transaction, by, caller.address, "user.pin", (json!({}), json!({ "pin": hash.is_some() }))).await?;
    Ok(transaction.commit().await?)
}

/// Who this is, by name and PIN. A try is counted before it is judged, so that many at once are not more than five.
pub async fn check(app: &App, caller: ClientAddress, device: Uuid, username: &str, pin: &str) -> Result<StaffUser> {
    let by = Claimant::new(app, caller, username, Whence::Device(device));
    sign_in::check_rate(app, &by).await?;
    let username = by.name;
    let refused = || Error::unauthenticated("auth.invalid_credentials");
    let client = app.pg.get().await?;
    let known = is_username(&username) && is_pin(pin);
    let tried = if known { pg::try_pin(&client, &username, TRIES_MAX, LOCKED_MINUTES).await? } else { None };
    drop(client);
    let Some(tried) = tried else {
        app.passwords.verify_nobody(pin).await?;
        return Err(refused());
    };
    let Some(hash) = tried.hash else {
        return Err(Error::forbidden("device.pin_locked").with("minutes", LOCKED_MINUTES));
    };
    if !app.passwords.verify(pin, &hash).await? {
        return Err(refused());
    }
    let client = app.pg.get().await?;
    pg::right_pin(&client, tried.id).await?;
    let user = pg::by_name(&client, &username).await?.filter(|user| !user.disabled).ok_or_else(refused)?;
    Ok(sign_in::staff(&user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_first_is_no_pin() {
        for weak in ["000000", "999999", "123456", "654321", "012345"] {
            assert!(is_pin(weak) && is_weak(weak), "{weak}");
        }
        for good in ["112233", "123457", "890123", "020202"] {
            assert!(is_pin(good) && !is_weak(good), "{good}");
        }
        for none in ["", "12345", "1234567", "12345a", "１２３４５６"] {
            assert!(!is_pin(none), "{none}");
        }
    }
}
