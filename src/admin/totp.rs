//! A second factor: six digits from an authenticator app (RFC 6238: HMAC-SHA1, 30 seconds). Optional for everybody; once it
//! is confirmed, nobody signs in without it. A shift at an enrolled device, and a forced entry there, want the password alone:
//! the device is what they have. A code is good once, and for half a minute before and after its time; without the app one of
//! ten recovery codes is.

use aws_lc_rs::hmac;
use deadpool_postgres::GenericClient;
use serde_json::{Value, json};

use super::access::StaffUser;
use super::own::record;
use super::pg::UserRow;
use super::tries::{self, Claimant, Counted, What, Whence};
use super::{pg, recovery, sign_in};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::http::ClientAddress;
use crate::platform::ids::random_bytes;
use crate::platform::secrets::same;
use crate::tickets::picture;

const SECRET_BYTES: usize = 20;
const STEP_S: i64 = 30;
/// Clocks of phones differ. [steps]
const DRIFT: i64 = 1;
const DIGITS: usize = 6;

/// A secret that is not in force before a code of it was seen.
pub struct Begun {
    /// For typing it in.
    pub secret: String,
    pub otpauth_url: String,
    pub qr_svg: String,
}

fn about(user_id: i32) -> Vec<u8> {
    [b"second factor ".as_slice(), &user_id.to_be_bytes()].concat()
}

fn code_of(secret: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let at = usize::from(bytes[bytes.len() - 1] & 15);
    let word = bytes[at..at + 4].iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) & 0x7fff_ffff;
    format!("{:06}", word % 1_000_000)
}

/// The step whose code this is, if it is one of now.
fn step_of(secret: &[u8], code: &str, now_s: i64) -> Option<i64> {
    let now = now_s / STEP_S;
    let right = |step: &i64| code.len() == DIGITS && same(code_of(secret, *step).as_bytes(), code.as_bytes());
    (now - DRIFT..=now + DRIFT).find(right)
}

/// RFC 4648 without padding, as authenticator apps read it.
fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut out = String::new();
    let (mut buffer, mut bits) = (0u32, 0);
    for byte in bytes {
        buffer = buffer << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(char::from(LETTERS[(buffer >> bits & 31) as usize]));
        }
    }
    if bits > 0 {
        out.push(char::from(LETTERS[(buffer << (5 - bits) & 31) as usize]));
    }
    out
}

/// A fresh secret for somebody who proves to be themselves by their password; the one in force stays until this one is
/// confirmed, and cannot be replaced without being removed first.
pub async fn begin(app: &App, caller: ClientAddress, by: &StaffUser, password: &str) -> Result<Begun> {
    let user = sign_in::check_own(app, caller, by, password).await?;
    let secret: [u8; SECRET_BYTES] = random_bytes();
    let (key_id, sealed) = app.secrets.seal(&about(by.id), &secret)?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    sign_in::lock_unchanged(&transaction, &user).await?;
    if !pg::begin_totp(&transaction, by.id, &key_id, &sealed).await? {
        return Err(Error::conflict("auth.second_factor_set"));
    }
    transaction.commit().await?;
    let secret = base32(&secret);
    let otpauth_url = format!("otpauth://totp/Admit:{}?secret={secret}&issuer=Admit", by.name);
    Ok(Begun { qr_svg: picture::svg(&otpauth_url)?, secret, otpauth_url })
}

/// From here on nobody signs in under this name without a code. The recovery codes, shown this once.
pub async fn confirm(app: &App, caller: ClientAddress, by: &StaffUser, code: &str) -> Result<Vec<String>> {
    sign_in::check_rate(app, &Claimant::new(app, caller, &by.name, Whence::SignedIn)).await?;
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    pg::lock(&transaction, by.id).await?;
    let known = pg::totp(&transaction, by.id).await?.ok_or_else(|| Error::conflict("auth.no_second_factor"))?;
    if known.confirmed {
        return Err(Error::conflict("auth.second_factor_set"));
    }
    let secret = app.secrets.open(&known.key_id, &about(by.id), &known.sealed)?;
    let step = step_of(&secret, code, app.clock.now().as_second());
    let step = step.ok_or_else(|| Error::unauthenticated("auth.invalid_code"))?;
    pg::confirm_totp(&transaction, by.id, step).await?;
    let codes = recovery::make(app, &transaction, by.id).await?;
    record(&transaction, by, caller.address, "user.second_factor", switched(true)).await?;
    transaction.commit().await?;
    Ok(codes)
}

fn switched(on: bool) -> (Value, Value) {
    (json!({ "second_factor": !on }), json!({ "second_factor": on }))
}

/// Ends one's own second factor, and its recovery codes.
pub async fn remove(app: &App, caller: ClientAddress, by: &StaffUser, password: &str, code: &str) -> Result<()> {
    let user = sign_in::check_own(app, caller, by, password).await?;
    let counted = counted(app, caller, &user).await?;
    let removed: Result<()> = async {
        let mut client = app.pg.get().await?;
        let transaction = client.transaction().await?;
        sign_in::lock_unchanged(&transaction, &user).await?;
        prove(app, &transaction, by.id, code).await?;
        end(&transaction, by.id).await?;
        record(&transaction, by, caller.address, "user.second_factor", switched(false)).await?;
        Ok(transaction.commit().await?)
    }
    .await;
    tries::settle(app, counted, removed).await
}

/// In a transaction, under the account's lock.
pub async fn end(client: &impl GenericClient, user_id: i32) -> Result<()> {
    recovery::pg::remove(client, user_id).await?;
    pg::remove_totp(client, user_id).await
}

/// Other recovery codes in place of those that there are.
pub async fn renew_codes(
    app: &App,
    caller: ClientAddress,
    by: &StaffUser,
    password: &str,
    code: &str,
) -> Result<Vec<String>> {
    let user = sign_in::check_own(app, caller, by, password).await?;
    let counted = counted(app, caller, &user).await?;
    let renewed: Result<Vec<String>> = async {
        let mut client = app.pg.get().await?;
        let transaction = client.transaction().await?;
        if !sign_in::lock_unchanged(&transaction, &user).await?.second_factor {
            return Err(Error::conflict("auth.no_second_factor"));
        }
        prove(app, &transaction, by.id, code).await?;
        let codes = recovery::make(app, &transaction, by.id).await?;
        let change = (Value::Null, json!({ "made": codes.len() }));
        record(&transaction, by, caller.address, "user.recovery_codes", change).await?;
        transaction.commit().await?;
        Ok(codes)
    }
    .await;
    tries::settle(app, counted, renewed).await
}

/// A code that is about to be tried by whoever is signed in.
pub async fn counted(app: &App, caller: ClientAddress, user: &UserRow) -> Result<Counted> {
    tries::count(app, &Claimant::new(app, caller, &user.username, Whence::SignedIn), Some(user), What::Code).await
}

/// How somebody has shown to have the second factor.
#[derive(Debug, PartialEq, Eq)]
pub enum Proof {
    App,
    /// They have so many left.
    Recovery {
        left: i64,
    },
}

/// In a transaction, under the account's lock: what is spent stays spent only with what it was spent on. Passes a code that
/// was not used yet, and whoever has no second factor.
pub async fn prove(app: &App, client: &impl GenericClient, user_id: i32, code: &str) -> Result<Proof> {
    let Some(known) = pg::totp(client, user_id).await?.filter(|known| known.confirmed) else { return Ok(Proof::App) };
    let code: String = code.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    if code.is_empty() {
        return Err(Error::unauthenticated("auth.code_required"));
    }
    let invalid = || Error::unauthenticated("auth.invalid_code");
    if code.len() == recovery::DIGITS {
        let left = recovery::spend(app, client, user_id, &code).await?;
        return left.map(|left| Proof::Recovery { left }).ok_or_else(invalid);
    }
    let secret = app.secrets.open(&known.key_id, &about(user_id), &known.sealed)?;
    let step = step_of(&secret, &code, app.clock.now().as_second()).ok_or_else(invalid)?;
    // Whoever looked over a shoulder comes second.
    if pg::use_totp(client, user_id, step).await? { Ok(Proof::App) } else { Err(invalid()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, in six digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        let secret = b"12345678901234567890";
        for (at_s, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")]
        {
            assert_eq!(code_of(secret, at_s / STEP_S), code, "{at_s}");
            assert_eq!(step_of(secret, code, at_s + STEP_S), Some(at_s / STEP_S));
            assert_eq!(step_of(secret, code, at_s + 3 * STEP_S), None);
        }
        assert_eq!(step_of(secret, "", 59), None);
    }

    #[test]
    fn secrets_are_written_as_apps_read_them() {
        assert_eq!(base32(b"12345678901234567890"), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(base32(b"f"), "MY");
        assert_eq!(base32(b"fooba"), "MZXW6YTB");
    }
}
