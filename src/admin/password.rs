//! Passwords: argon2id on blocking threads, few at a time.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::{Error, Result};
use crate::platform::ids::random_bytes;

/// OWASP's first choice: 19 MiB, two passes, one lane; about 17 ms.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Two cores at most are lent to strangers, 38 MiB with them; a third to those we know, so that a flood keeps nobody else out.
const STRANGERS_AT_ONCE: usize = 2;
const KNOWN_AT_ONCE: usize = 1;
/// Half a second of work; whoever comes behind is told to come back.
const WAITING_MAX: usize = 64;
/// Longer ones are refused by whoever sets or checks them: hashing costs by length. [bytes]
pub const PASSWORD_BYTES_MAX: usize = 256;

/// Of no password. Checked where there is no user, so that an unknown name takes as long as a wrong password.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGF0IGFsbC4$MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE";

pub struct Passwords {
    strangers: Lane,
    known: Lane,
}

struct Lane {
    at_once: Semaphore,
    waiting: AtomicUsize,
    turns: AtomicU64,
}

impl Lane {
    fn new(at_once: usize) -> Lane {
        Lane { at_once: Semaphore::new(at_once), waiting: AtomicUsize::new(0), turns: AtomicU64::new(0) }
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if ahead >= WAITING_MAX {
            return Err(Error::unavailable("auth.busy", "too many sign-ins at once"));
        }
        let turn = self.at_once.acquire().await.map_err(Error::bug)?;
        self.turns.fetch_add(1, Ordering::Relaxed);
        Ok(turn)
    }
}

impl Default for Passwords {
    fn default() -> Passwords {
        Passwords { strangers: Lane::new(STRANGERS_AT_ONCE), known: Lane::new(KNOWN_AT_ONCE) }
    }
}

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(Error::bug)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Counts a waiting caller for as long as it waits, also when it goes away.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Passwords {
    /// How often argon2 was run: what a name costs is counted, since a clock tells it badly.
    pub fn runs(&self) -> u64 {
        [&self.strangers, &self.known].iter().map(|lane| lane.turns.load(Ordering::Relaxed)).sum()
    }

    pub async fn hash(&self, password: &str) -> Result<String> {
        let _turn = self.known.turn().await?;
        let password = password.to_owned();
        let salt: [u8; 16] = random_bytes();
        blocking(move || {
            let hash: PasswordHash =
                argon2()?.hash_password_with_salt(password.as_bytes(), &salt).map_err(Error::bug)?;
            Ok(hash.to_string())
        })
        .await
    }

    pub async fn verify(&self, password: &str, hash: &str) -> Result<bool> {
        verify(&self.known, password, hash).await
    }

    /// Of somebody who may be anybody. None: there is no such user, which takes as long.
    pub async fn judge(&self, stranger: bool, password: &str, hash: Option<&str>) -> Result<bool> {
        let lane = if stranger { &self.strangers } else { &self.known };
        Ok(verify(lane, password, hash.unwrap_or(NOBODY)).await? && hash.is_some())
    }

    /// The work of `verify`, for a user who does not exist.
    pub async fn verify_nobody(&self, password: &str) -> Result<()> {
        self.verify(password, NOBODY).await.map(drop)
    }
}

async fn verify(lane: &Lane, password: &str, hash: &str) -> Result<bool> {
    let _turn = lane.turn().await?;
    let (password, hash) = (password.to_owned(), hash.to_owned());
    blocking(move || {
        let hash = PasswordHash::new(&hash).map_err(|e| Error::bug(format!("stored password hash: {e}")))?;
        Ok(argon2()?.verify_password(password.as_bytes(), &hash).is_ok())
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::bug)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_alone() {
        let passwords = Passwords::default();
        let hash = passwords.hash("열려라 참깨").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify("열려라 참깨", &hash).await.unwrap());
        assert!(!passwords.verify("열려라 들깨", &hash).await.unwrap());
        assert_ne!(hash, passwords.hash("열려라 참깨").await.unwrap());
        assert_eq!(passwords.verify("x", "plain").await.unwrap_err().code, "server.bug");
    }

    #[tokio::test]
    async fn nobody_costs_what_everybody_costs() {
        let hash = PasswordHash::new(NOBODY).unwrap();
        assert_eq!(Params::try_from(&hash).unwrap().m_cost(), MEMORY_KIB);
        assert_eq!(Params::try_from(&hash).unwrap().t_cost(), PASSES);
        assert!(!Passwords::default().verify("nobody", NOBODY).await.unwrap());
        Passwords::default().verify_nobody("nobody").await.unwrap();
    }

    #[tokio::test]
    async fn a_crowd_is_told_to_come_back() {
        let passwords = Passwords::default();
        let _both = passwords.strangers.at_once.acquire_many(2).await.unwrap();
        passwords.strangers.waiting.store(WAITING_MAX, Ordering::Relaxed);
        assert_eq!(passwords.judge(true, "x", None).await.unwrap_err().code, "auth.busy");
        assert_eq!(passwords.strangers.waiting.load(Ordering::Relaxed), WAITING_MAX);
        // Whoever is known has a turn of their own.
        assert!(!passwords.judge(false, "x", None).await.unwrap());
    }
}
