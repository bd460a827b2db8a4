//! Public randomness for a draw, from the source that the commitment named.
//!
//! `drand`: the named round of the network, believed only if the network's key has signed it. `manual`: what two admins
//! have entered alike. `local`: made here, for development and rehearsals.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use blst::BLST_ERROR;
use blst::min_sig::{PublicKey, Signature};
use jiff::{SignedDuration, Timestamp};
use reqwest::Client;
use serde::Deserialize;

use super::model::BeaconKind;
use super::pg::RoomRow;
use crate::app::App;
use crate::config::DrandSettings;
use crate::error::{Error, Result};
use crate::platform::secrets::{Purpose, unhex};

/// A draw waits this long for its beacon, then goes on without: people are waiting.
pub const LATE: SignedDuration = SignedDuration::from_secs(120);
/// A relay that does not answer within this is asked again. Below a leader's lease, which asks from its tick.
const TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// One room asks the network at most this often. [ms]
const PAUSE_MS: i64 = 1_000;
/// A round is some 300 bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// What drand's networks of this kind sign under (RFC 9380).
const DST: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beacon {
    NotYet,
    Value(Vec<u8>),
    /// Too late: the draw rests on the server's seed and the cohort alone, and says so.
    Missing,
}

/// Whether the value is proved to be what it claims, by a signature that Admit has checked. Without that a draw rests on
/// the operator's word for it, and the draw's page has to say so.
pub fn is_verified(kind: BeaconKind) -> bool {
    match kind {
        BeaconKind::Drand => true,
        BeaconKind::Local | BeaconKind::Manual => false,
    }
}

/// The first round at or after an instant: drand's own count, else the unix second.
pub fn first_round(app: &App, kind: BeaconKind, at: Timestamp) -> i64 {
    let second = at.as_second() + i64::from(at.subsec_nanosecond() > 0);
    match kind {
        BeaconKind::Drand => app.drand.first_round(second),
        BeaconKind::Local | BeaconKind::Manual => second,
    }
}

/// When a round is made.
pub fn round_at(app: &App, kind: BeaconKind, round: i64) -> Result<Timestamp> {
    let second = match kind {
        BeaconKind::Drand => app.drand.second_of(round),
        BeaconKind::Local | BeaconKind::Manual => round,
    };
    Timestamp::from_second(second).map_err(Error::bug)
}

/// What has come out of the beacon of this room's commitment. May ask the network, for two seconds at most.
pub async fn value(app: &App, room: &RoomRow) -> Result<Beacon> {
    let Some(committed) = &room.draw.committed else { return Err(Error::bug("a room without a commitment")) };
    let now = app.clock.now();
    let kind = room.config.beacon;
    let at = round_at(app, kind, committed.round)?;
    if now < at {
        return Ok(Beacon::NotYet);
    }
    match kind {
        BeaconKind::Local => {
            let (run, round) = (room.run.to_be_bytes(), committed.round.to_be_bytes());
            let parts: [&[u8]; 3] = [room.code.as_bytes(), &run, &round];
            Ok(Beacon::Value(app.secrets.mac(Purpose::QueueDraw, &parts).to_vec()))
        }
        BeaconKind::Manual => {
            let agreed = room.draw.manual.as_ref().filter(|manual| manual.second.is_some());
            // People need until the opening.
            let wanted_at = room.config.opens_at.unwrap_or(at).max(at);
            Ok(match agreed {
                Some(manual) => Beacon::Value(manual.value.clone()),
                None => unless_late(now, wanted_at),
            })
        }
        BeaconKind::Drand => {
            if !app.drand.may_ask(room.exhibition_id, now.as_millisecond()) {
                return Ok(unless_late(now, at));
            }
            match app.drand.fetch(committed.round).await {
                Ok(value) => Ok(Beacon::Value(value)),
                Err(why) => {
                    tracing::warn!(exhibition = room.code, round = committed.round, why, "no beacon from drand");
                    Ok(unless_late(app.clock.now(), at))
                }
            }
        }
    }
}

fn unless_late(now: Timestamp, wanted_at: Timestamp) -> Beacon {
    if now.duration_since(wanted_at) > LATE { Beacon::Missing } else { Beacon::NotYet }
}

/// One drand network, over HTTP.
pub struct Drand {
    http: Client,
    base_url: String,
    key: PublicKey,
    genesis_s: i64,
    period_s: i64,
    /// When each room asked last. [ms]
    asked: Mutex<HashMap<i32, i64>>,
}

#[derive(Deserialize)]
struct Round {
    round: i64,
    randomness: String,
    signature: String,
}

impl Drand {
    pub fn new(settings: &DrandSettings) -> Result<Drand> {
        let http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(Error::bug)?;
        let key = unhex::<96>(&settings.drand_public_key).and_then(|bytes| PublicKey::key_validate(&bytes).ok());
        Ok(Drand {
            http,
            base_url: format!("{}/{}", settings.drand_url.trim_end_matches('/'), settings.drand_chain),
            key: key.ok_or_else(|| Error::bug("ADMIT_DRAND_PUBLIC_KEY is no public key of a drand network"))?,
            genesis_s: settings.drand_genesis_s,
            period_s: settings.drand_period_s.max(1),
            asked: Mutex::default(),
        })
    }

    /// Round 1 was made at the genesis.
    fn first_round(&self, second: i64) -> i64 {
        let since = second.saturating_sub(self.genesis_s).max(0);
        since / self.period_s + i64::from(since % self.period_s > 0) + 1
    }

    fn second_of(&self, round: i64) -> i64 {
        round.saturating_sub(1).saturating_mul(self.period_s).saturating_add(self.genesis_s)
    }

    fn may_ask(&self, exhibition_id: i32, now_ms: i64) -> bool {
        // A poisoned lock says nothing about the times in it.
        let mut asked = self.asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let last = asked.entry(exhibition_id).or_insert(i64::MIN);
        let may = now_ms.saturating_sub(*last) >= PAUSE_MS;
        if may {
            *last = now_ms;
        }
        may
    }

    /// The randomness of a round, verified. `Err` says why there is none: a relay's words are not repeated.
    async fn fetch(&self, round: i64) -> Result<Vec<u8>, String> {
        let said = |error: reqwest::Error| error.without_url().to_string();
        let url = format!("{}/public/{round}", self.base_url);
        let mut response = self.http.get(url).send().await.map_err(said)?;
        if !response.status().is_success() {
            return Err(format!("status {}", response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(said)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err("an answer that does not end".into());
            }
            body.extend_from_slice(&chunk);
        }
        let answer: Round = serde_json::from_slice(&body).map_err(|_| "no round in the answer".to_owned())?;
        verify(&self.key, round, &answer).map_err(str::to_owned)
    }
}

/// The round that was asked for, signed by the network; its randomness is the digest of the signature.
fn verify(key: &PublicKey, round: i64, answer: &Round) -> Result<Vec<u8>, &'static str> {
    if answer.round != round {
        return Err("another round");
    }
    let signature: [u8; 48] = unhex(&answer.signature).ok_or("a malformed signature")?;
    let randomness: [u8; 32] = unhex(&answer.randomness).ok_or("malformed randomness")?;
    if sha256(&signature) != randomness {
        return Err("randomness that is not the signature's digest");
    }
    let point = Signature::sig_validate(&signature, true).map_err(|_| "a signature that is no point")?;
    let message = sha256(&round.to_be_bytes());
    match point.verify(false, &message, DST, &[], key, false) {
        BLST_ERROR::BLST_SUCCESS => Ok(randomness.to_vec()),
        _ => Err("a signature that is not the network's"),
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::secrets::hex;

    fn quicknet() -> Drand {
        // The client wants the process's TLS provider.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Drand::new(&DrandSettings::default()).unwrap()
    }

    /// Round 1000 of quicknet, as published.
    fn round_1000() -> Round {
        Round {
            round: 1000,
            randomness: "fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd".into(),
            signature: "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125\
                        e342b73a8dd2bacbe47e4b6b63ed5e39"
                .into(),
        }
    }

    #[test]
    fn a_round_of_the_network_is_believed_and_nothing_else() {
        let key = quicknet().key;
        let good = round_1000();
        assert_eq!(hex(&verify(&key, 1000, &good).unwrap()), good.randomness);
        assert_eq!(verify(&key, 1001, &good), Err("another round"));
        // The signature of one round is none of another.
        assert_eq!(
            verify(&key, 999, &Round { round: 999, ..round_1000() }),
            Err("a signature that is not the network's")
        );
        let mut bent = round_1000();
        bent.randomness.replace_range(0..1, "e");
        assert_eq!(verify(&key, 1000, &bent), Err("randomness that is not the signature's digest"));
        for signature in ["", "b4", &"0".repeat(95), &"g".repeat(96), &"가".repeat(32), &"0".repeat(96_000)] {
            let bad = Round { signature: signature.to_owned(), ..round_1000() };
            assert_eq!(verify(&key, 1000, &bad), Err("a malformed signature"), "{signature:.10}");
        }
        // Bytes that are no point of the curve, with a digest that fits them.
        for byte in [0x00, 0xc0, 0xff, 0x80] {
            let mut bytes = [0u8; 48];
            bytes[0] = byte;
            let bad = Round { round: 1000, signature: hex(&bytes), randomness: hex(&sha256(&bytes)) };
            assert_eq!(verify(&key, 1000, &bad), Err("a signature that is no point"), "{byte:x}");
        }
    }

    #[test]
    fn rounds_are_counted_as_drand_counts_them() {
        let drand = quicknet();
        assert_eq!(drand.second_of(1), 1_692_803_367);
        assert_eq!(drand.second_of(1000), 1_692_806_364);
        for (second, round) in [(0, 1), (1_692_803_367, 1), (1_692_803_368, 2), (1_692_803_370, 2), (1_692_803_371, 3)]
        {
            assert_eq!(drand.first_round(second), round, "{second}");
        }
        assert!(drand.second_of(drand.first_round(2_000_000_000)) >= 2_000_000_000);
        assert!(drand.second_of(drand.first_round(2_000_000_000) - 1) < 2_000_000_000);
    }

    #[test]
    fn a_room_does_not_hammer_the_network() {
        let drand = quicknet();
        assert!(drand.may_ask(1, 10_000) && !drand.may_ask(1, 10_999) && drand.may_ask(2, 10_999));
        assert!(drand.may_ask(1, 11_000));
    }
}
