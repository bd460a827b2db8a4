//! Wrong passwords and codes: counted per account before they are judged, so that many at once are not more tries.
//!
//! Promises that guessing is hopeless from however many addresses, and that whoever guesses cannot keep the owner out: what
//! the account does not know (any browser, any address) is counted apart from each browser that has signed in before, each
//! enrolled device, and whoever is signed in already. Waits grow and end by themselves. A name that nobody has is counted
//! alike, so that a wait tells nothing. Lives in Postgres: signing in needs it anyway, so this fails closed, and a Redis
//! that restarts forgets nothing.

pub mod pg;

use std::net::IpAddr;
use std::time::Duration;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::audit::{self, Actor, Entry};
use super::browser::Browser;
use super::mailbox::{self, Notice};
use super::pg::UserRow;
use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::platform::http::ClientAddress;
use crate::platform::net::counted_as;
use crate::platform::secrets::{Purpose, hex};
use crate::platform::texts::Language;

/// Wrong ones from one address or from one known browser before there is a wait.
const FREE: i32 = 5;
/// Wrong passwords of all strangers together: more than a few people behind as many addresses, too few to guess anything.
const STRANGERS_FREE: i32 = 30;
/// The first wait; each wrong one after it doubles it. [s]
const WAIT_FIRST_S: i64 = 30;
/// Whoever waits for their own mistakes does not wait longer, and whoever guesses gets two dozen tries a day. [s]
const WAIT_MAX_S: i64 = 3600;
/// A counter begins again when nothing was wrong for so long. [h]
pub const FORGOTTEN_HOURS: i32 = 24;

pub type CounterId = [u8; 16];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    Password,
    /// Of the second factor: whoever tries one knows the password.
    Code,
}

impl What {
    pub fn as_str(self) -> &'static str {
        match self {
            What::Password => "password",
            What::Code => "code",
        }
    }
}

/// Where a try comes from, as the caller's kind has it.
#[derive(Clone, Copy)]
pub enum Whence<'a> {
    Browser(&'a Browser),
    /// Enrolled at a gate.
    Device(Uuid),
    /// Somebody who is signed in proves it once more.
    SignedIn,
}

/// The same, as far as it can be told before anything is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Stranger,
    /// A browser in which a password was set by a mailed link. For codes a stranger: or each link would be worth new guesses.
    Mailed(CounterId),
    /// A browser that has signed in before, an enrolled device, or whoever is signed in.
    Known(CounterId),
}

/// Somebody who claims a name.
pub struct Claimant {
    /// As accounts are named.
    pub name: String,
    pub address: IpAddr,
    pub exempt: bool,
    pub source: Source,
    pub language: Language,
}

impl Claimant {
    pub fn new(app: &App, client: ClientAddress, username: &str, whence: Whence<'_>) -> Claimant {
        let name = username.trim().to_lowercase();
        let (source, language) = match whence {
            Whence::Browser(browser) => (browser.source(app, &name), browser.language),
            Whence::Device(id) => (Source::Known(digest(app, &[b"device", id.as_bytes()])), Language::default()),
            // Of that name: or everybody who is signed in would be one source.
            Whence::SignedIn => (Source::Known(digest(app, &[b"signed in", name.as_bytes()])), Language::default()),
        };
        Claimant { name, address: client.address, exempt: client.exempt, source, language }
    }

    pub fn is_stranger(&self) -> bool {
        self.source == Source::Stranger
    }

    /// For rate limits: this name from here.
    pub fn key(&self, app: &App) -> String {
        let from = match self.source {
            Source::Stranger => from_address(app, &self.name, b"rate", self.address),
            Source::Mailed(id) | Source::Known(id) => digest(app, &[b"rate", self.name.as_bytes(), &id]),
        };
        hex(&from)
    }

    /// For rate limits: whatever name from here. Devices take any name, so that one could fill the turns of those we know.
    pub fn any_name_key(&self, app: &App) -> String {
        match self.source {
            Source::Stranger => network_key(app, "login address", self.address),
            Source::Mailed(id) | Source::Known(id) => hex(&digest(app, &[b"rate of any name", &id])),
        }
    }
}

/// For rate limits: everybody from there, by what they try.
pub fn network_key(app: &App, what: &str, address: IpAddr) -> String {
    hex(&from_address(app, "", what.as_bytes(), address))
}

fn digest(app: &App, parts: &[&[u8]]) -> CounterId {
    let mut cut = [0u8; 16];
    cut.copy_from_slice(&app.secrets.mac(Purpose::SignInTry, parts)[..16]);
    cut
}

fn from_address(app: &App, name: &str, what: &[u8], address: IpAddr) -> CounterId {
    let network = match counted_as(address) {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    digest(app, &[b"address", name.as_bytes(), what, &network])
}

#[derive(Clone, Copy)]
struct Counter {
    id: CounterId,
    source: &'static str,
    free: i32,
}

/// In the order in which they are locked.
fn counters(app: &App, by: &Claimant, what: What) -> Vec<Counter> {
    let (name, label) = (by.name.as_bytes(), what.as_str().as_bytes());
    let known = |id: &CounterId| Counter { id: digest(app, &[b"known", name, label, id]), source: "known", free: FREE };
    let strangers = |free: i32| Counter { id: digest(app, &[b"strangers", name, label]), source: "strangers", free };
    let address = Counter { id: from_address(app, &by.name, label, by.address), source: "address", free: FREE };
    let mut all = match (what, &by.source) {
        (_, Source::Known(id)) | (What::Password, Source::Mailed(id)) => vec![known(id)],
        (What::Password, Source::Stranger) => vec![address, strangers(STRANGERS_FREE)],
        (What::Code, _) => vec![strangers(FREE)],
    };
    all.sort_unstable_by_key(|counter| counter.id);
    all
}

/// How long nobody is judged after so many wrong ones. [s]
fn wait_s(failed: i32, free: i32) -> i64 {
    match failed - free {
        ..0 => 0,
        over => (WAIT_FIRST_S << over.min(16)).min(WAIT_MAX_S),
    }
}

fn locked(wait_s: f64) -> Error {
    let wait = Duration::from_secs_f64(wait_s.max(1.0));
    let minutes = wait.as_secs().div_ceil(60);
    Error::too_many("auth.locked", wait).with("minutes", minutes)
}

/// A try that was counted, until it is known what it was.
pub struct Counted(Vec<(Counter, i32, Option<Timestamp>)>);

/// Counts a try as a wrong one before it is judged. Refuses it, uncounted, where there have been too many.
pub async fn count(app: &App, by: &Claimant, user: Option<&UserRow>, what: What) -> Result<Counted> {
    let counters = counters(app, by, what);
    let ids: Vec<&[u8]> = counters.iter().map(|counter| counter.id.as_slice()).collect();
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let mut rows = pg::lock(&transaction, &ids).await?;
    // Whoever is forgiven at this moment takes a counter away: once more, then, and not for ever.
    for _ in 0..3 {
        if rows.len() == counters.len() {
            break;
        }
        for counter in &counters {
            pg::add(&transaction, &counter.id, what, counter.source).await?;
        }
        rows = pg::lock(&transaction, &ids).await?;
    }
    if rows.len() < counters.len() {
        return Err(Error::unavailable("auth.busy", "counters of tries come and go"));
    }
    let wait = rows.iter().filter_map(|row| row.locked_for_s).fold(0.0, f64::max);
    if wait > 0.0 {
        return Err(locked(wait));
    }
    let mut counted = Vec::with_capacity(counters.len());
    for (counter, row) in counters.into_iter().zip(rows) {
        let failed = row.failed.saturating_add(1);
        let wait_s = wait_s(failed, counter.free);
        let user_id = user.map(|user| user.id);
        pg::count(&transaction, &counter.id, user_id, failed, wait_s).await?;
        match user {
            Some(user) if wait_s > 0 => begins(app, &transaction, (by, user), what, (&counter, failed, wait_s)).await?,
            // Of nobody there is nothing to record. Counted the same once more, it takes as long.
            None if wait_s > 0 => pg::count(&transaction, &counter.id, None, failed, wait_s).await?,
            _ => {}
        }
        counted.push((counter, failed, row.locked_until));
    }
    transaction.commit().await?;
    Ok(Counted(counted))
}

/// A wait, which goes on record, and is told to whoever's password is known.
async fn begins(
    app: &App,
    client: &impl GenericClient,
    (by, user): (&Claimant, &UserRow),
    what: What,
    (counter, failed, wait_s): (&Counter, i32, i64),
) -> Result<()> {
    let by_us = Actor { address: Some(by.address), ..Actor::system("sign_in") };
    let after = json!({ "username": user.username, "what": what.as_str(), "source": counter.source,
        "failed": failed, "wait_s": wait_s });
    let entry = Entry { by: &by_us, action: "user.lock", exhibition_id: None, before: Value::Null, after };
    audit::record(client, &entry).await?;
    if what == What::Code && failed == counter.free && counter.source == "strangers" {
        mailbox::tell(client, app.clock.now(), user, Notice::CodesTried, by.language).await?;
    }
    Ok(())
}

/// What became of a try: a right one forgets those before it, a wrong one stays counted, and one that nobody has judged (too
/// busy, the database away) is taken back alone, so that it neither counts nor wipes out what was wrong before.
pub async fn settle<T>(app: &App, counted: Counted, outcome: Result<T>) -> Result<T> {
    match &outcome {
        Ok(_) => forgive(app, counted).await?,
        Err(error) if error.kind == Kind::Unauthenticated => {}
        Err(_) => take_back(app, counted).await?,
    }
    outcome
}

/// What strangers did before stays counted: the owner's success is no news of theirs.
async fn forgive(app: &App, counted: Counted) -> Result<()> {
    let client = app.pg.get().await?;
    for (counter, failed, locked_until) in counted.0 {
        if counter.source == "strangers" {
            pg::take_back(&client, &counter.id, failed, locked_until).await?;
        } else {
            pg::forget(&client, &counter.id).await?;
        }
    }
    Ok(())
}

async fn take_back(app: &App, counted: Counted) -> Result<()> {
    let client = app.pg.get().await?;
    for (counter, failed, locked_until) in counted.0 {
        pg::take_back(&client, &counter.id, failed, locked_until).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let waits: Vec<i64> = (4..=8).map(|failed| wait_s(failed, FREE)).collect();
        assert_eq!(waits, [0, 30, 60, 120, 240]);
        assert_eq!((wait_s(12, FREE), wait_s(i32::MAX, FREE), wait_s(29, STRANGERS_FREE)), (3600, 3600, 0));
        // All strangers together, in a day of trying without a pause.
        let (mut tries, mut at_s) = (0, 0);
        while at_s < 24 * 3600 {
            tries += 1;
            at_s += wait_s(tries, STRANGERS_FREE);
        }
        assert!(tries < 65, "{tries}");
    }
}
