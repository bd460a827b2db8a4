//! Proofs that visitors carry: the device (who waits), the queue token (where), the pass (inside), the receipt. Each
//! is bound to its exhibition; what a later server needs to know is in them, so that order survives the loss of Redis.
//!
//! Device and queue token: a version byte, fields of fixed length in big-endian order, and the first 16 bytes of
//! HMAC-SHA256 over label, exhibition and fields; base64url. Pass: a JWT (HS256).

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::model::{Lane, Sid};
use super::redis::Account;
use crate::error::{Error, Result};
use crate::platform::secrets::{Purpose, Secrets, hex, same, unhex};

const VERSION: u8 = 1;
const MAC_BYTES: usize = 16;
const DEVICE_BYTES: usize = 1 + 4 + 4 + 4 + MAC_BYTES;
const TOKEN_BYTES: usize = 1 + 4 + 4 + 1 + 4 + 4 + 8 + 8 + MAC_BYTES;
const ISSUER: &str = "admit";
const AUDIENCE: &str = "visitors";

fn seal(secrets: &Secrets, purpose: Purpose, code: &str, body: &[u8]) -> String {
    let mac = secrets.mac(purpose, &[code.as_bytes(), body]);
    let mut bytes = body.to_vec();
    bytes.extend_from_slice(&mac[..MAC_BYTES]);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The body, if this server sealed it for this exhibition.
fn open<const N: usize>(secrets: &Secrets, purpose: Purpose, code: &str, text: &str) -> Option<[u8; N]> {
    // Its exact length first: nothing of another length is looked at any further.
    if text.len() != N.div_ceil(3) * 4 - (3 - N % 3) % 3 {
        return None;
    }
    let mut bytes = [0u8; N];
    if URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()? != N {
        return None;
    }
    let (body, mac) = bytes.split_at(N - MAC_BYTES);
    let wanted = secrets.mac(purpose, &[code.as_bytes(), body]);
    (same(&wanted[..MAC_BYTES], mac) && body[0] == VERSION).then_some(bytes)
}

/// Reads fields one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0u8; N];
        if let Some((head, rest)) = self.0.split_at_checked(N) {
            out.copy_from_slice(head);
            self.0 = rest;
        }
        out
    }
    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }
}

/// Who waits, as far as a browser without a login can tell. Belongs to one run of one room.
pub fn seal_device(secrets: &Secrets, code: &str, run: u32, account: Account) -> String {
    let mut body = vec![VERSION];
    for field in [run, account.epoch, account.index] {
        body.extend_from_slice(&field.to_be_bytes());
    }
    seal(secrets, Purpose::QueueDevice, code, &body)
}

/// None: not ours, or of another run.
pub fn open_device(secrets: &Secrets, code: &str, run: u32, text: &str) -> Option<Account> {
    let bytes: [u8; DEVICE_BYTES] = open(secrets, Purpose::QueueDevice, code, text)?;
    let mut fields = Fields(&bytes[1..]);
    let of_run = fields.u32();
    let account = Account { epoch: fields.u32(), index: fields.u32() };
    (of_run == run).then_some(account)
}

/// A place in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueToken {
    pub run: u32,
    /// The epoch it was last sealed in: in a newer one its number is told to Redis again.
    pub epoch: u32,
    pub lane: Lane,
    /// The visitor asked to be told by mail: has longer to claim.
    pub parked: bool,
    /// The time to claim was extended, which can be done once.
    pub extended: bool,
    pub number: u32,
    /// 0 until it is known.
    pub rank: u32,
    pub account: Account,
    pub issued_s: i64,
}

const LANE_BITS: u8 = 0x0f;
const PARKED_BIT: u8 = 0x10;
const EXTENDED_BIT: u8 = 0x20;

impl QueueToken {
    pub fn seal(&self, secrets: &Secrets, code: &str) -> String {
        let mut body = Vec::with_capacity(TOKEN_BYTES);
        body.push(VERSION);
        body.extend_from_slice(&self.run.to_be_bytes());
        body.extend_from_slice(&self.epoch.to_be_bytes());
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        body.push(self.lane as u8 | flag(self.parked, PARKED_BIT) | flag(self.extended, EXTENDED_BIT));
        for field in [self.number, self.rank, self.account.epoch, self.account.index] {
            body.extend_from_slice(&field.to_be_bytes());
        }
        body.extend_from_slice(&self.issued_s.to_be_bytes());
        seal(secrets, Purpose::QueueToken, code, &body)
    }

    pub fn open(secrets: &Secrets, code: &str, text: &str) -> Option<QueueToken> {
        let bytes: [u8; TOKEN_BYTES] = open(secrets, Purpose::QueueToken, code, text)?;
        let mut fields = Fields(&bytes[1..]);
        let (run, epoch) = (fields.u32(), fields.u32());
        let [flags] = fields.take::<1>();
        Some(QueueToken {
            run,
            epoch,
            lane: Lane::parse(flags & LANE_BITS)?,
            parked: flags & PARKED_BIT != 0,
            extended: flags & EXTENDED_BIT != 0,
            number: fields.u32(),
            rank: fields.u32(),
            account: Account { epoch: fields.u32(), index: fields.u32() },
            issued_s: i64::from_be_bytes(fields.take()),
        })
    }
}

/// The session of a rank is the same whoever asks and however often.
pub fn sid(secrets: &Secrets, code: &str, run: u32, lane: Lane, rank: u32) -> Sid {
    let mac =
        secrets.mac(Purpose::QueueSession, &[code.as_bytes(), &run.to_be_bytes(), &[lane as u8], &rank.to_be_bytes()]);
    let mut sid = [0u8; 16];
    sid.copy_from_slice(&mac[..16]);
    sid
}

/// Admission out of the waiting room, as the visitor carries it. Whether it is still good is judged where places are
/// taken, against the set of those inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    pub sid: Sid,
    pub run: u32,
    pub epoch: u32,
    pub lane: Lane,
    pub rank: u32,
    /// It ends then, whatever happens. [ms]
    pub hard_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    /// Exhibition.
    ev: String,
    sid: String,
    run: u32,
    ep: u32,
    lane: u8,
    r: u32,
    hard_ms: i64,
}

impl Pass {
    pub fn issue(&self, secrets: &Secrets, code: &str) -> Result<String> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            ev: code.to_owned(),
            sid: hex(&self.sid),
            run: self.run,
            ep: self.epoch,
            lane: self.lane as u8,
            r: self.rank,
            hard_ms: self.hard_ms,
        };
        let key = EncodingKey::from_secret(secrets.queue_pass_key());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(Error::bug)
    }

    /// None: not ours, or of another exhibition. When it ends is for the caller to compare.
    pub fn read(secrets: &Secrets, code: &str, text: &str) -> Option<Pass> {
        if text.len() > 1024 {
            return None;
        }
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["iss", "aud"]);
        // The library would read the system's clock.
        rules.validate_exp = false;
        let key = DecodingKey::from_secret(secrets.queue_pass_key());
        let claims = jsonwebtoken::decode::<Claims>(text, &key, &rules).ok()?.claims;
        let lane = Lane::parse(claims.lane)?;
        let sid = unhex(&claims.sid)?;
        let genuine = claims.ev == code && self::sid(secrets, code, claims.run, lane, claims.r) == sid;
        genuine.then_some(Pass {
            sid,
            run: claims.run,
            epoch: claims.ep,
            lane,
            rank: claims.r,
            hard_ms: claims.hard_ms,
        })
    }
}

/// What salts a number's leaf in the draw: known to its owner by the receipt, to nobody else.
pub fn salt(secrets: &Secrets, code: &str, run: u32, number: u32) -> [u8; 16] {
    let mac = secrets.mac(Purpose::QueueDraw, &[b"salt", code.as_bytes(), &run.to_be_bytes(), &number.to_be_bytes()]);
    let mut salt = [0u8; 16];
    salt.copy_from_slice(&mac[..16]);
    salt
}

/// Signs receipts: proofs that a number was given to a device. Derived once, since every join needs it.
pub struct ReceiptKey(Ed25519KeyPair);

impl ReceiptKey {
    pub fn derive(secrets: &Secrets) -> Result<ReceiptKey> {
        let seed = secrets.mac(Purpose::QueueDraw, &[b"receipt key"]);
        Ed25519KeyPair::from_seed_unchecked(&seed).map(ReceiptKey).map_err(|_| Error::bug("no receipt key"))
    }

    /// `number.device.salt.leaf.signature`, signed with Ed25519 over "admit receipt v1", exhibition, run and leaf. The
    /// server never needs it again.
    pub fn receipt(&self, code: &str, run: u32, number: u32, device: u32, salt: &[u8; 16], leaf: &[u8; 32]) -> String {
        let signature = self.0.sign(&receipt_message(code, run, leaf));
        let signature = URL_SAFE_NO_PAD.encode(signature.as_ref());
        format!("{number}.{device}.{}.{}.{signature}", hex(salt), hex(leaf))
    }

    /// What receipts are checked with, hex.
    pub fn public(&self) -> String {
        hex(self.0.public_key().as_ref())
    }
}

fn receipt_message(code: &str, run: u32, leaf: &[u8; 32]) -> Vec<u8> {
    let mut message = b"admit receipt v1".to_vec();
    message.extend_from_slice(&(code.len() as u16).to_be_bytes());
    message.extend_from_slice(code.as_bytes());
    message.extend_from_slice(&run.to_be_bytes());
    message.extend_from_slice(leaf);
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secrets() -> Secrets {
        Secrets::new("0123456789abcdef0123456789abcdef", &format!("k1:{}", "ab".repeat(32))).unwrap()
    }

    fn token() -> QueueToken {
        QueueToken {
            run: 3,
            epoch: 7,
            lane: Lane::Invited,
            parked: true,
            extended: false,
            number: 1_000_001,
            rank: 42,
            account: Account { epoch: 2, index: 99 },
            issued_s: 1_790_000_000,
        }
    }

    #[test]
    fn tokens_come_back_as_they_went_and_only_for_their_exhibition() {
        let s = secrets();
        let text = token().seal(&s, "aaa");
        assert_eq!(QueueToken::open(&s, "aaa", &text), Some(token()));
        assert_eq!(QueueToken::open(&s, "aab", &text), None);
        let device = seal_device(&s, "aaa", 3, token().account);
        assert_eq!(open_device(&s, "aaa", 3, &device), Some(token().account));
        assert_eq!(open_device(&s, "aaa", 4, &device), None);
        assert_eq!(open_device(&s, "bbb", 3, &device), None);
        assert_eq!(QueueToken::open(&s, "aaa", &device), None);
        let other =
            Secrets::new("another secret, just as long as the other", &format!("k1:{}", "ab".repeat(32))).unwrap();
        assert_eq!(QueueToken::open(&other, "aaa", &text), None);
    }

    #[test]
    fn a_pass_is_good_for_its_exhibition_and_its_own_rank() {
        let s = secrets();
        let pass = Pass {
            sid: sid(&s, "aaa", 3, Lane::General, 5),
            run: 3,
            epoch: 1,
            lane: Lane::General,
            rank: 5,
            hard_ms: 9,
        };
        let text = pass.issue(&s, "aaa").unwrap();
        assert_eq!(Pass::read(&s, "aaa", &text), Some(pass));
        assert_eq!(Pass::read(&s, "bbb", &text), None);
        let wrong = Pass { rank: 6, ..pass }.issue(&s, "aaa").unwrap();
        assert_eq!(Pass::read(&s, "aaa", &wrong), None, "the session belongs to another rank");
        let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), text.split('.').nth(1).unwrap());
        assert_eq!(Pass::read(&s, "aaa", &none), None);
    }

    #[test]
    fn a_receipt_can_be_checked_by_anybody() {
        let (key, leaf) = (ReceiptKey::derive(&secrets()).unwrap(), [7u8; 32]);
        let receipt = key.receipt("aaa", 1, 12, 3, &[1; 16], &leaf);
        let parts: Vec<&str> = receipt.split('.').collect();
        assert_eq!((parts.len(), parts[0], parts[1], parts[3]), (5, "12", "3", hex(&leaf).as_str()));
        let signature = URL_SAFE_NO_PAD.decode(parts[4]).unwrap();
        let public = unhex::<32>(&key.public()).unwrap();
        let key = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, public);
        assert!(key.verify(&receipt_message("aaa", 1, &leaf), &signature).is_ok());
        assert!(key.verify(&receipt_message("aaa", 2, &leaf), &signature).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_character_is_refused(at in 0..200usize, to in "[A-Za-z0-9_.-]") {
            let text = token().seal(&secrets(), "aaa");
            let mut changed = text.clone();
            let at = at % text.len();
            changed.replace_range(at..=at, &to);
            prop_assert!(changed == text || QueueToken::open(&secrets(), "aaa", &changed).is_none());
        }

        #[test]
        fn garbage_is_refused(text in "\\PC{0,200}") {
            prop_assert!(QueueToken::open(&secrets(), "aaa", &text).is_none());
            prop_assert!(open_device(&secrets(), "aaa", 1, &text).is_none());
            prop_assert!(Pass::read(&secrets(), "aaa", &text).is_none());
        }
    }
}
