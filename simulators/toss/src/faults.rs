//! Faults for the next calls, chosen by the tester through `POST /_sim/faults`.

use crate::codes;
use crate::refusal::{Refusal, refuse};
use crate::store::lock;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    Confirm,
    Query,
    Cancel,
    Create,
    Transactions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Right, but `delay_ms` late.
    Slow,
    /// Refused for good with `code`; a confirm becomes ABORTED.
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

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub op: Op,
    pub kind: Kind,
    #[serde(default = "one")]
    pub count: u64,
    pub delay_ms: Option<u64>,
    pub code: Option<String>,
    pub status: Option<u16>,
    /// Only calls about this order.
    #[serde(rename = "orderId")]
    pub order_id: Option<String>,
    /// For `empty_body` and `html_body`: whether the work was done all the same.
    #[serde(default)]
    pub after: bool,
}

fn one() -> u64 {
    1
}

impl Fault {
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

    /// The refusal this fault makes of a call, from its own code and status or the usual ones.
    pub fn refusal(&self) -> Refusal {
        let usual = match (self.kind, self.op) {
            (Kind::RateLimited, _) => "TOO_MANY_REQUESTS",
            (Kind::Fail, Op::Confirm) => "REJECT_CARD_PAYMENT",
            (Kind::Fail, Op::Query) => "NOT_FOUND_PAYMENT",
            (Kind::Fail, Op::Cancel) => "NOT_CANCELABLE_PAYMENT",
            _ => "FAILED_INTERNAL_SYSTEM_PROCESSING",
        };
        let status = self.status.and_then(|status| StatusCode::from_u16(status).ok());
        let mut refusal = match self.code.as_deref() {
            None => refuse(usual),
            Some(name) => match codes::find(name) {
                Some(code) => Refusal::of(code),
                None => Refusal::invented(name, refuse(usual).status),
            },
        };
        refusal.status = status.unwrap_or(refusal.status);
        refusal
    }
}

#[derive(Default)]
pub struct Faults {
    /// Calls still to be spoilt, so that a healthy simulator does not even take the lock.
    pending: AtomicU64,
    list: Mutex<Vec<Fault>>,
}

impl Faults {
    pub fn add(&self, fault: Fault) {
        let mut list = lock(&self.list);
        self.pending.fetch_add(fault.count, Ordering::AcqRel);
        list.push(fault);
    }

    /// The fault for this call, used up by one; `order` is asked only if a fault is about one order.
    pub fn take(&self, op: Op, order: impl FnOnce() -> Option<String>) -> Option<Fault> {
        if self.pending.load(Ordering::Acquire) == 0 {
            return None;
        }
        let order = order();
        let mut list = lock(&self.list);
        let at = list.iter().position(|fault| {
            fault.op == op && fault.order_id.as_ref().is_none_or(|wanted| Some(wanted) == order.as_ref())
        })?;
        let fault = list[at].clone();
        list[at].count -= 1;
        self.pending.fetch_sub(1, Ordering::AcqRel);
        if list[at].count == 0 {
            list.remove(at);
        }
        Some(fault)
    }

    pub fn list(&self) -> Vec<Fault> {
        lock(&self.list).clone()
    }

    pub fn clear(&self) {
        let mut list = lock(&self.list);
        list.clear();
        self.pending.store(0, Ordering::Release);
    }
}
