//! Keys and what is made with them: digests and tokens (HMAC-SHA256 under keys derived from one secret by HKDF),
//! and sealed personal data (AES-256-GCM under rotating data keys).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{digest, hkdf, hmac};

use super::ids::random_bytes;
use crate::error::{Error, Result};

/// What a derived key is for; one key never serves two purposes.
#[derive(Clone, Copy)]
pub enum Purpose {
    /// `HMAC(exhibition, idempotency key)`: names a take and its order.
    HoldId,
    OrderToken,
    /// Looks a phone number up without storing it in the clear.
    Phone,
    /// Short signed links to a ticket's picture and to payment pages.
    SignedLink,
    /// Signs staff access tokens.
    AccessToken,
    /// Digests of keys that callers choose.
    IdempotencyKey,
    /// Seals places in line.
    QueueToken,
    /// Seals the index of a device, and what a place is bound to.
    QueueDevice,
    /// Names the session of an admitted rank.
    QueueSession,
    /// Salts and seeds of a draw.
    QueueDraw,
    /// Links that lead into the lane of the invited.
    QueueInvite,
    /// Signs passes.
    QueuePass,
    /// Codes that are mailed, and what they open.
    OneTimeCode,
    /// Signs the tokens of shifts.
    Shift,
    /// Locks what devices keep of tickets.
    DeviceData,
    /// Finds orders by what a sealed contact says.
    ContactIndex,
    /// Names and signs browsers that an account has signed in with.
    KnownBrowser,
    /// Names what wrong passwords and codes are counted under.
    SignInTry,
    /// Tokens of links by which a password is set anew.
    PasswordReset,
    /// Digests of recovery codes.
    RecoveryCode,
    /// Names a request in the history of each order apart.
    PrivacyRequest,
}

const PURPOSES: [(Purpose, &[u8]); 21] = [
    (Purpose::HoldId, b"admit hold id v1"),
    (Purpose::OrderToken, b"admit order token v1"),
    (Purpose::Phone, b"admit phone digest v1"),
    (Purpose::SignedLink, b"admit signed link v1"),
    (Purpose::AccessToken, b"admit access token v1"),
    (Purpose::IdempotencyKey, b"admit idempotency key v1"),
    (Purpose::QueueToken, b"admit wr-ticket v1"),
    (Purpose::QueueDevice, b"admit queue device v1"),
    (Purpose::QueueSession, b"admit queue session v1"),
    (Purpose::QueueDraw, b"admit queue draw v1"),
    (Purpose::QueueInvite, b"admit queue invite v1"),
    (Purpose::QueuePass, b"admit queue pass v1"),
    (Purpose::OneTimeCode, b"admit one-time code v1"),
    (Purpose::Shift, b"admit shift v1"),
    (Purpose::DeviceData, b"admit device data v1"),
    (Purpose::ContactIndex, b"admit contact index v1"),
    (Purpose::KnownBrowser, b"admit known browser v1"),
    (Purpose::SignInTry, b"admit sign-in try v1"),
    (Purpose::PasswordReset, b"admit password reset v1"),
    (Purpose::RecoveryCode, b"admit recovery code v1"),
    (Purpose::PrivacyRequest, b"admit privacy request v1"),
];

struct DataKey {
    id: String,
    key: LessSafeKey,
}

pub struct Secrets {
    derived: [hmac::Key; PURPOSES.len()],
    access_token: [u8; 32],
    queue_pass: [u8; 32],
    data_keys: Vec<DataKey>,
}

impl Secrets {
    pub fn new(secret: &str, data_keys: &str) -> std::result::Result<Secrets, String> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"admit").extract(secret.as_bytes());
        let derive = |label: &[u8]| -> std::result::Result<[u8; 32], String> {
            let mut out = [0u8; 32];
            root.expand(&[label], hkdf::HKDF_SHA256)
                .and_then(|okm| okm.fill(&mut out))
                .map_err(|_| "key derivation failed".to_owned())?;
            Ok(out)
        };
        let mut derived = Vec::with_capacity(PURPOSES.len());
        for (_, label) in PURPOSES {
            derived.push(hmac::Key::new(hmac::HMAC_SHA256, &derive(label)?));
        }
        let data_keys = parse_data_keys(data_keys)?
            .into_iter()
            .map(|(id, bytes)| {
                let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| "bad data key".to_owned())?;
                Ok(DataKey { id, key: LessSafeKey::new(key) })
            })
            .collect::<std::result::Result<_, String>>()?;
        Ok(Secrets {
            derived: derived.try_into().map_err(|_| "key derivation failed".to_owned())?,
            access_token: derive(PURPOSES[Purpose::AccessToken as usize].1)?,
            queue_pass: derive(PURPOSES[Purpose::QueuePass as usize].1)?,
            data_keys,
        })
    }

    /// Parts are length-prefixed, so that ("ab", "c") and ("a", "bc") differ.
    pub fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.derived[purpose as usize]);
        for part in parts {
            context.update(&(part.len() as u32).to_be_bytes());
            context.update(part);
        }
        let mut out = [0u8; 32];
        out.copy_from_slice(context.sign().as_ref());
        out
    }

    pub fn access_token_key(&self) -> &[u8; 32] {
        &self.access_token
    }

    pub fn queue_pass_key(&self) -> &[u8; 32] {
        &self.queue_pass
    }

    /// Seals under the current data key; `about` (a row id) is bound in, so that rows cannot be swapped.
    pub fn seal(&self, about: &[u8], plain: &[u8]) -> Result<(String, Vec<u8>)> {
        let data_key = self.data_keys.first().ok_or_else(|| Error::bug("no data key"))?;
        let nonce: [u8; 12] = random_bytes();
        let mut sealed = Vec::with_capacity(12 + plain.len() + 16);
        sealed.extend_from_slice(plain);
        data_key
            .key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(about), &mut sealed)
            .map_err(|_| Error::bug("sealing failed"))?;
        sealed.splice(0..0, nonce);
        Ok((data_key.id.clone(), sealed))
    }

    pub fn open(&self, key_id: &str, about: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        let data_key = self
            .data_keys
            .iter()
            .find(|key| key.id == key_id)
            .ok_or_else(|| Error::bug(format!("data key {key_id} is not configured")))?;
        let (nonce, body) = sealed.split_first_chunk::<12>().ok_or_else(|| Error::bug("sealed data is too short"))?;
        let mut body = body.to_vec();
        let plain = data_key
            .key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(about), &mut body)
            .map_err(|_| Error::bug("sealed data does not open"))?;
        Ok(plain.to_vec())
    }
}

pub fn parse_data_keys(text: &str) -> std::result::Result<Vec<(String, [u8; 32])>, String> {
    let mut keys = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (id, digits) = part.split_once(':').ok_or("must be id:64 hex digits, comma separated")?;
        if id.is_empty() || id.len() > 16 || keys.iter().any(|(known, _)| known == id) {
            return Err("has an empty, over-long or repeated key id".into());
        }
        keys.push((id.to_owned(), unhex::<32>(digits).ok_or(format!("key '{id}' is not 64 hex digits"))?));
    }
    if keys.is_empty() {
        return Err("is missing: set it to id:64 hex digits".into());
    }
    Ok(keys)
}

/// Exactly N bytes in hex, or nothing.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    let mut out = [0u8; N];
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(i * 2..i * 2 + 2)?, 16).ok()?;
    }
    Some(out)
}

pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u32).to_be_bytes());
        context.update(part);
    }
    let mut out = [0u8; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// As everybody else computes it: of these bytes and nothing besides.
pub fn plain_sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0u8; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[(byte >> 4) as usize] as char);
        text.push(DIGITS[(byte & 15) as usize] as char);
    }
    text
}

pub fn same(a: &[u8], b: &[u8]) -> bool {
    use subtle::ConstantTimeEq;
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets::new("0123456789abcdef0123456789abcdef", &format!("k2:{},k1:{}", "ab".repeat(32), "cd".repeat(32)))
            .unwrap()
    }

    #[test]
    fn sealed_data_opens_only_for_its_row_and_key() {
        let (key, sealed) = secrets().seal(b"row 1", "홍길동".as_bytes()).unwrap();
        assert_eq!(key, "k2");
        assert_eq!(secrets().open(&key, b"row 1", &sealed).unwrap(), "홍길동".as_bytes());
        assert!(secrets().open(&key, b"row 2", &sealed).is_err());
        assert!(secrets().open("k1", b"row 1", &sealed).is_err());
        assert!(secrets().open(&key, b"row 1", &sealed[..8]).is_err());
    }

    #[test]
    fn parts_of_a_digest_do_not_run_together() {
        let s = secrets();
        assert_ne!(s.mac(Purpose::HoldId, &[b"ab", b"c"]), s.mac(Purpose::HoldId, &[b"a", b"bc"]));
        assert_ne!(s.mac(Purpose::HoldId, &[b"a"]), s.mac(Purpose::Phone, &[b"a"]));
    }
}
