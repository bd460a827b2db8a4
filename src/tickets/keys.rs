//! The ring of Ed25519 keys that sign ticket codes: kept parsed in memory, read again every minute.
//!
//! A new key signs only once every instance and every scanner without a network has had time to learn it; an old key
//! verifies what it has signed until it is retired. Signing happens when a ticket is shown, with the key the ticket
//! was issued under, so that a ticket's code stays the same from one look to the next.

use arc_swap::ArcSwap;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use deadpool_postgres::GenericClient;
use jiff::{SignedDuration, Timestamp};

use super::code::{self, Claims, SIGNATURE_BYTES, Signed};
use super::pg::{self, StoredKey};
use crate::app::App;
use crate::error::{Error, Result};
use crate::platform::ids::random_bytes;

/// Rings are read every 60 s and scanners may cache the public keys as long; twice that is safe.
const SETTLES_AFTER: SignedDuration = SignedDuration::from_secs(120);
/// Ids are one byte of every code and never used twice.
const LAST_ID: i16 = 255;

struct Key {
    id: i16,
    public: [u8; 32],
    verifier: ParsedPublicKey,
    /// None where the data key that sealed it is no longer configured: it verifies, but does not sign.
    signer: Option<Ed25519KeyPair>,
    created_at: Timestamp,
    retired_at: Option<Timestamp>,
}

impl Key {
    fn open(app: &App, stored: StoredKey) -> Result<Key> {
        let verifier = ParsedPublicKey::new(&ED25519, stored.public)
            .map_err(|e| Error::bug(format!("signing key {}: {e}", stored.id)))?;
        let signer = app
            .secrets
            .open(&stored.data_key_id, &about(stored.id), &stored.sealed_seed)
            .and_then(|seed| {
                Ed25519KeyPair::from_seed_and_public_key(&seed, &stored.public)
                    .map_err(|e| Error::bug(format!("signing key {}: {e}", stored.id)))
            })
            .inspect_err(|error| tracing::error!(%error, key = stored.id, "signing key verifies but cannot sign"))
            .ok();
        Ok(Key {
            id: stored.id,
            public: stored.public,
            verifier,
            signer,
            created_at: stored.created_at,
            retired_at: stored.retired_at,
        })
    }

    fn retired(&self, now: Timestamp) -> bool {
        self.retired_at.is_some_and(|at| at <= now)
    }
}

/// What a sealed seed is bound to.
fn about(id: i16) -> [u8; 14] {
    let mut about = *b"signing key \0\0";
    about[12..].copy_from_slice(&id.to_be_bytes());
    about
}

#[derive(Default)]
struct Ring {
    keys: Vec<Key>,
    current: Option<i16>,
}

impl Ring {
    fn new(keys: Vec<Key>, now: Timestamp) -> Ring {
        let able = || keys.iter().filter(|key| key.signer.is_some() && !key.retired(now));
        let settled = able().filter(|key| key.created_at + SETTLES_AFTER <= now).max_by_key(|key| key.id);
        // Of keys that are all new, the oldest is the one most have heard of.
        let current = settled.or_else(|| able().min_by_key(|key| key.id)).map(|key| key.id);
        Ring { keys, current }
    }

    fn key(&self, id: i16) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }
}

/// A public key as scanners get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub id: i16,
    pub public: [u8; 32],
    pub retired_at: Option<Timestamp>,
}

#[derive(Default)]
pub struct KeyRing(ArcSwap<Ring>);

impl KeyRing {
    /// Reads the keys; makes the first one where there is none. Two processes that start at once make one key: the
    /// second insert does nothing and both read the same row.
    pub async fn load(&self, app: &App) -> Result<()> {
        let client = app.pg.get().await?;
        self.load_with(app, &client).await
    }

    pub async fn load_with(&self, app: &App, client: &impl GenericClient) -> Result<()> {
        let mut stored = pg::keys(client).await?;
        if stored.is_empty() {
            pg::add_key(client, &make(app, 1)?).await?;
            stored = pg::keys(client).await?;
        }
        let keys = stored.into_iter().map(|key| Key::open(app, key)).collect::<Result<Vec<_>>>()?;
        self.0.store(std::sync::Arc::new(Ring::new(keys, app.clock.now())));
        Ok(())
    }

    /// The key that new tickets are issued under; None until the ring has been read.
    pub fn current_id(&self) -> Option<i16> {
        self.0.load().current
    }

    pub fn public_keys(&self) -> Vec<PublicKey> {
        let ring = self.0.load();
        ring.keys.iter().map(|k| PublicKey { id: k.id, public: k.public, retired_at: k.retired_at }).collect()
    }

    /// Signs with the claims' own key, or with the current one where that can no longer sign.
    pub fn sign(&self, mut claims: Claims, now: Timestamp) -> Result<String> {
        let ring = self.0.load();
        let own = ring.key(claims.key_id.into()).filter(|key| key.signer.is_some() && !key.retired(now));
        let key = own.or_else(|| ring.key(ring.current?));
        let Some((key, signer)) = key.and_then(|key| Some((key, key.signer.as_ref()?))) else {
            return Err(Error::unavailable("server.starting", "no signing key yet"));
        };
        claims.key_id = u8::try_from(key.id).map_err(Error::bug)?;
        let message = claims.message();
        let signature: [u8; SIGNATURE_BYTES] = signer.sign(&message).as_ref().try_into().map_err(Error::bug)?;
        Ok(code::write(&message, &signature))
    }

    /// None: a key this ring has not heard of (yet).
    pub fn verify(&self, signed: &Signed, now: Timestamp) -> Option<bool> {
        let ring = self.0.load();
        let key = ring.key(signed.claims.key_id.into())?;
        Some(!key.retired(now) && key.verifier.verify_sig(&signed.message, &signed.signature).is_ok())
    }
}

fn make(app: &App, id: i16) -> Result<StoredKey> {
    let seed: [u8; 32] = random_bytes();
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(Error::bug)?;
    let public = pair.public_key().as_ref().try_into().map_err(Error::bug)?;
    let (data_key_id, sealed_seed) = app.secrets.seal(&about(id), &seed)?;
    Ok(StoredKey { id, public, data_key_id, sealed_seed, created_at: app.clock.now(), retired_at: None })
}

/// Adds a key that becomes the current one everywhere within two minutes; the old ones go on verifying. Returns its
/// id.
pub async fn rotate(app: &App) -> Result<i16> {
    let client = app.pg.get().await?;
    for _ in 0..8 {
        let id = pg::keys(&client).await?.iter().map(|key| key.id).max().unwrap_or(0) + 1;
        if id > LAST_ID {
            return Err(Error::conflict("ticket.keys_used_up"));
        }
        // False: another process has just rotated as well, under this id.
        if pg::add_key(&client, &make(app, id)?).await? {
            drop(client);
            app.keys.load(app).await?;
            return Ok(id);
        }
    }
    Err(Error::unavailable("server.busy", "signing keys are being rotated by others"))
}

/// From this instant on, codes signed by the key are forgeries: for a key that got out. Tickets issued under it get
/// codes of the current key when they are next shown.
pub async fn retire(app: &App, id: i16, at: Timestamp) -> Result<bool> {
    let client = app.pg.get().await?;
    let known = pg::retire_key(&client, id, at).await?;
    drop(client);
    app.keys.load(app).await?;
    Ok(known)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::super::code::Kind;
    use super::*;

    fn key(id: i16, created_s: i64, retired_s: Option<i64>) -> Key {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[id as u8; 32]).unwrap();
        let public: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
        Key {
            id,
            public,
            verifier: ParsedPublicKey::new(&ED25519, public).unwrap(),
            signer: Some(pair),
            created_at: at(created_s),
            retired_at: retired_s.map(at),
        }
    }

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(s).unwrap()
    }

    fn ring(keys: Vec<Key>, now_s: i64) -> KeyRing {
        KeyRing(ArcSwap::from_pointee(Ring::new(keys, at(now_s))))
    }

    fn claims(key_id: u8) -> Claims {
        Claims {
            key_id,
            kind: Kind::Single,
            ticket_id: Uuid::from_u128(0x0193_5f00_0000_7000_8000_0000_0000_0001),
            version: 1,
            exhibition_id: 1,
            valid_from: date(2026, 11, 21),
            valid_until: date(2026, 11, 21),
        }
    }

    #[test]
    fn a_new_key_signs_once_everybody_knows_it() {
        assert_eq!(ring(vec![], 0).current_id(), None);
        assert_eq!(ring(vec![key(1, 0, None)], 0).current_id(), Some(1));
        assert_eq!(ring(vec![key(1, 0, None), key(2, 1_000, None)], 1_119).current_id(), Some(1));
        assert_eq!(ring(vec![key(1, 0, None), key(2, 1_000, None)], 1_120).current_id(), Some(2));
        assert_eq!(ring(vec![key(1, 0, Some(1_010)), key(2, 1_000, None)], 1_010).current_id(), Some(2));
        assert_eq!(ring(vec![key(1, 0, Some(5))], 10).current_id(), None);
    }

    #[test]
    fn codes_of_old_keys_hold_until_the_key_is_retired() {
        let ring = ring(vec![key(1, 0, Some(9_000)), key(2, 1_000, None)], 5_000);
        let signed = code::read(&ring.sign(claims(1), at(5_000)).unwrap()).unwrap();
        assert_eq!(signed.claims.key_id, 1);
        assert_eq!(ring.verify(&signed, at(8_999)), Some(true));
        assert_eq!(ring.verify(&signed, at(9_000)), Some(false));
        let again = code::read(&ring.sign(claims(1), at(9_000)).unwrap()).unwrap();
        assert_eq!((again.claims.key_id, ring.verify(&again, at(9_000))), (2, Some(true)));
        assert_eq!(ring.verify(&Signed { claims: claims(77), ..signed }, at(1)), None);
    }

    #[test]
    fn without_a_key_nothing_is_signed() {
        assert_eq!(ring(vec![], 0).sign(claims(1), at(0)).unwrap_err().code, "server.starting");
    }

    proptest! {
        #[test]
        fn one_flipped_bit_is_never_admitted(bit in 0..93 * 8usize) {
            let ring = ring(vec![key(1, 0, None)], 10);
            let signed = code::read(&ring.sign(claims(1), at(10)).unwrap()).unwrap();
            let (mut message, mut signature) = (signed.message, signed.signature);
            match bit / 8 {
                byte @ 0..29 => message[byte] ^= 1 << (bit % 8),
                byte => signature[byte - 29] ^= 1 << (bit % 8),
            }
            let read = code::read(&code::write(&message, &signature));
            prop_assert!(read.is_none_or(|flipped| ring.verify(&flipped, at(10)) != Some(true)));
        }
    }
}
