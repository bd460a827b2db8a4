//! One call of a patient visitor: timed, and repeated when the server says when, or does not say anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::http::{Client, Request, Whole};
use crate::ledger::Ledger;
use crate::tally::Outcome;

/// A visitor tries again so long after a call that nobody answered, or that failed without a word about when.
const AGAIN: Duration = Duration::from_secs(2);
/// Those who were sent away together do not come back together.
const SPREAD: f64 = 0.25;
/// Every call to Admit together, in the table of steps. The simulator's are not Admit's.
pub const ALL: &str = "all calls to Admit";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Page,
    Join,
    Poll,
    Claim,
    Products,
    Order,
    Initialize,
    Authorise,
    Confirm,
    Tickets,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Page => "0 queue page",
            Kind::Join => "1 join",
            Kind::Poll => "2 poll",
            Kind::Claim => "3 claim",
            Kind::Products => "4 products",
            Kind::Order => "5 order",
            Kind::Initialize => "6 initialize",
            Kind::Authorise => "7 authorise (simulator)",
            Kind::Confirm => "8 confirm",
            Kind::Tickets => "9 tickets",
        }
    }
}

/// Answers that were not the one hoped for, by name. All of them were followed by another try while there was time.
#[derive(Clone, Debug, Default)]
pub struct Troubles {
    /// 503, 429 and 409 with a Retry-After that was kept: no failure.
    pub told_to_wait: BTreeMap<String, u64>,
    pub server_errors: BTreeMap<String, u64>,
    /// No reply, or half of one.
    pub broken: BTreeMap<String, u64>,
}

pub struct Calls {
    ledger: Arc<Ledger>,
    troubles: Mutex<Troubles>,
}

enum Heard<T> {
    Answer(T),
    /// Said once and for all.
    Refusal(Outcome),
    Again(Outcome, Option<Duration>),
}

impl Calls {
    pub fn new(ledger: Arc<Ledger>) -> Calls {
        Calls { ledger, troubles: Mutex::default() }
    }

    pub fn troubles(&self) -> Troubles {
        self.troubles.lock().map(|troubles| troubles.clone()).unwrap_or_default()
    }

    /// Calls of this kind that ended in our own trouble: 5xx, no reply, half of one.
    pub fn failed(&self, kind: Kind) -> u64 {
        let at = format!(" at {}", &kind.name()[2..]);
        let troubles = self.troubles();
        let unwell = troubles.told_to_wait.iter().filter(|(name, _)| name.starts_with('5'));
        let all = unwell.chain(&troubles.server_errors).chain(&troubles.broken);
        all.filter(|(name, _)| name.ends_with(&at)).map(|(_, count)| count).sum()
    }

    /// A call whose answer is JSON, with the status it came with.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        client: &Client,
        kind: Kind,
        request: &Request,
        until: Instant,
    ) -> Result<(T, u16), Outcome> {
        self.repeat(client, kind, request, until, |reply| match serde_json::from_slice(reply.body) {
            Ok(answer) => Ok((answer, reply.status)),
            Err(error) => Err(format!("{} {} of another shape: {error}", kind.name(), reply.status)),
        })
        .await
    }

    /// A page; what it says is for people.
    pub async fn open(&self, client: &Client, kind: Kind, request: &Request, until: Instant) -> Result<(), Outcome> {
        self.repeat(client, kind, request, until, |_| Ok(())).await
    }

    async fn repeat<T>(
        &self,
        client: &Client,
        kind: Kind,
        request: &Request,
        until: Instant,
        read: impl Fn(&Whole<'_>) -> Result<T, String>,
    ) -> Result<T, Outcome> {
        loop {
            let begun = Instant::now();
            let heard = client.call_whole(request, |reply| hear(reply, &read)).await;
            self.ledger.step(kind.name(), begun);
            if kind != Kind::Authorise {
                self.ledger.step(ALL, begun);
            }
            let (outcome, told) = match heard {
                Ok(Heard::Answer(answer)) => return Ok(answer),
                Ok(Heard::Refusal(outcome)) => return Err(outcome),
                Ok(Heard::Again(outcome, told)) => (outcome, told),
                Err(fault) => (fault.into(), None),
            };
            self.note(kind, &outcome, told.is_some());
            let pause = told.unwrap_or(AGAIN).mul_f64(1.0 + SPREAD * rand::random::<f64>());
            if Instant::now() + pause >= until {
                return Err(outcome);
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn note(&self, kind: Kind, outcome: &Outcome, told: bool) {
        let Ok(mut troubles) = self.troubles.lock() else { return };
        let (map, why) = match outcome {
            Outcome::Refused(why) => (&mut troubles.told_to_wait, why.as_str()),
            Outcome::ServerError(why) if told && why.starts_with("503") => (&mut troubles.told_to_wait, why.as_str()),
            Outcome::ServerError(why) => (&mut troubles.server_errors, why.as_str()),
            Outcome::Transport(why) => (&mut troubles.broken, why.as_str()),
            _ => (&mut troubles.broken, "timeout"),
        };
        *map.entry(format!("{why} at {}", &kind.name()[2..])).or_default() += 1;
    }
}

/// A redirect is an answer: the page that a room no longer needs.
fn hear<T>(reply: &Whole<'_>, read: impl Fn(&Whole<'_>) -> Result<T, String>) -> Heard<T> {
    if (200..400).contains(&reply.status) {
        return match read(reply) {
            Ok(answer) => Heard::Answer(answer),
            Err(why) => Heard::Refusal(Outcome::Refused(why)),
        };
    }
    let outcome = Outcome::of_problem(reply.status, reply.body);
    match (reply.status, reply.retry_after()) {
        (500.., told) => Heard::Again(outcome, told),
        (_, Some(told)) if !matches!(outcome, Outcome::SoldOut) => Heard::Again(outcome, Some(told)),
        _ => Heard::Refusal(outcome),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_trouble_with_one_kind_of_call_is_a_failure_of_it() {
        let calls = Calls::new(Arc::default());
        let busy = Outcome::ServerError("503 stock.busy".into());
        calls.note(Kind::Order, &busy, true);
        calls.note(Kind::Order, &Outcome::ServerError("500".into()), false);
        calls.note(Kind::Order, &Outcome::Timeout, false);
        calls.note(Kind::Order, &Outcome::Refused("429 order.too_many".into()), true);
        calls.note(Kind::Confirm, &busy, true);
        assert_eq!((calls.failed(Kind::Order), calls.failed(Kind::Confirm), calls.failed(Kind::Poll)), (3, 1, 0));
    }
}
