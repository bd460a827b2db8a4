//! Faults for the next calls: as the tester listed them, else as a seeded draw has it.

use crate::chance::{Chance, Random};
use crate::lock;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Listed faults kept at once; nobody lists more by hand.
const LIST_MAX: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Right, but `delay_ms` late.
    Slow,
    /// Refused for good with `code`.
    Fail,
    /// Nothing done, no answer, connection cut after `delay_ms`.
    TimeoutBefore,
    /// Done, no answer, connection cut after `delay_ms`.
    TimeoutAfter,
    DropBefore,
    /// Done, then the connection is cut without a byte.
    DropAfter,
    ErrorBefore,
    /// Done, then a 5xx.
    ErrorAfter,
    RateLimited,
    EmptyBody,
    HtmlBody,
    /// Right, with fields and enum values from the future.
    UnknownFields,
}

/// One line of the list; `Op` is each company's set of calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault<Op> {
    pub op: Op,
    pub kind: Kind,
    #[serde(default = "one")]
    pub count: u64,
    pub delay_ms: Option<u64>,
    pub code: Option<String>,
    pub status: Option<u16>,
    /// Only calls about this order or payment.
    #[serde(alias = "orderId", alias = "payment_intent")]
    pub about: Option<String>,
    /// For `empty_body` and `html_body`: whether the work was done all the same.
    #[serde(default)]
    pub after: bool,
}

fn one() -> u64 {
    1
}

impl<Op> Fault<Op> {
    /// A fault that chance has drawn.
    pub(crate) fn drawn(op: Op, kind: Kind, delay_ms: Option<u64>) -> Self {
        Self { op, kind, count: 1, delay_ms, code: None, status: None, about: None, after: false }
    }

    pub fn check(&self) -> Result<(), String> {
        if self.count == 0 {
            return Err("count must be at least 1".into());
        }
        if self.status.is_some_and(|status| !(200..=599).contains(&status)) {
            return Err("status must be between 200 and 599".into());
        }
        if self.delay_ms.is_some_and(|delay| delay > 3_600_000) {
            return Err("delay_ms must be an hour or less".into());
        }
        Ok(())
    }

    /// Answered at the edge, before anything is done.
    pub fn is_before(&self) -> bool {
        match self.kind {
            Kind::TimeoutBefore | Kind::DropBefore | Kind::ErrorBefore | Kind::RateLimited => true,
            Kind::EmptyBody | Kind::HtmlBody => !self.after,
            _ => false,
        }
    }
}

pub struct Faults<Op> {
    /// Calls still to be spoilt, so that a healthy simulator does not even take the lock.
    pending: AtomicU64,
    list: Mutex<Vec<Fault<Op>>>,
    chance: Chance<Op>,
}

impl<Op> Default for Faults<Op> {
    fn default() -> Self {
        Self { pending: AtomicU64::new(0), list: Mutex::default(), chance: Chance::default() }
    }
}

impl<Op: Copy + PartialEq + Serialize> Faults<Op> {
    pub fn add(&self, fault: Fault<Op>) -> Result<(), String> {
        fault.check()?;
        let mut list = lock(&self.list);
        if list.len() == LIST_MAX {
            return Err(format!("{LIST_MAX} faults are listed already"));
        }
        self.pending.fetch_add(fault.count, Ordering::AcqRel);
        list.push(fault);
        Ok(())
    }

    /// The fault for this call, used up by one. `about` gives the names it goes by, asked only if a fault is listed.
    pub fn take(&self, op: Op, about: impl FnOnce() -> Vec<String>) -> Option<Fault<Op>> {
        self.take_listed(op, about).or_else(|| self.chance.draw(op))
    }

    fn take_listed(&self, op: Op, about: impl FnOnce() -> Vec<String>) -> Option<Fault<Op>> {
        if self.pending.load(Ordering::Acquire) == 0 {
            return None;
        }
        let names = about();
        let mut list = lock(&self.list);
        let at = list.iter().position(|fault| {
            fault.op == op && fault.about.as_ref().is_none_or(|wanted| names.iter().any(|name| name == wanted))
        })?;
        let fault = list[at].clone();
        list[at].count -= 1;
        self.pending.fetch_sub(1, Ordering::AcqRel);
        if list[at].count == 0 {
            list.remove(at);
        }
        Some(fault)
    }

    pub fn list(&self) -> Vec<Fault<Op>> {
        lock(&self.list).clone()
    }

    /// Empties the list; chance goes on.
    pub fn clear(&self) {
        let mut list = lock(&self.list);
        list.clear();
        self.pending.store(0, Ordering::Release);
    }

    /// Starts a seeded schedule from its beginning, or ends it.
    pub fn set_random(&self, random: Option<Random<Op>>) -> Result<(), String> {
        self.chance.set(random)
    }

    pub fn random_json(&self) -> Value {
        self.chance.to_json()
    }
}
