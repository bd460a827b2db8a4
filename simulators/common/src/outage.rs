//! The company is away: every call is refused or cut, until the tester ends it or its time is over.

use crate::lock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Away {
    /// 503 to everybody.
    Refuse,
    /// Connections are cut without a byte.
    Drop,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    #[serde(default = "refuse")]
    pub kind: Away,
    /// Simulated seconds; without, until switched off.
    pub for_s: Option<u32>,
}

fn refuse() -> Away {
    Away::Refuse
}

struct Down {
    kind: Away,
    until_ms: Option<i64>,
}

#[derive(Default)]
struct State {
    down: Option<Down>,
    turned_away: u64,
}

#[derive(Default)]
pub struct Outage {
    /// A simulator at work does not even take the lock.
    on: AtomicBool,
    state: Mutex<State>,
}

impl Outage {
    pub fn begin(&self, now_ms: i64, ask: Ask) {
        let until_ms = ask.for_s.map(|seconds| now_ms + i64::from(seconds) * 1_000);
        let mut state = lock(&self.state);
        *state = State { down: Some(Down { kind: ask.kind, until_ms }), turned_away: 0 };
        self.on.store(true, Ordering::Release);
    }

    pub fn end(&self) {
        let mut state = lock(&self.state);
        state.down = None;
        self.on.store(false, Ordering::Release);
    }

    /// How a call that arrives now is turned away, if it is.
    pub fn meet(&self, now_ms: i64) -> Option<Away> {
        if !self.on.load(Ordering::Acquire) {
            return None;
        }
        let mut state = lock(&self.state);
        let kind = state.down.as_ref().filter(|down| down.until_ms.is_none_or(|end| now_ms < end))?.kind;
        state.turned_away += 1;
        Some(kind)
    }

    pub fn to_json(&self, now_ms: i64) -> Value {
        let state = lock(&self.state);
        let down = state.down.as_ref().filter(|down| down.until_ms.is_none_or(|end| now_ms < end));
        json!({
            "away": down.is_some(),
            "kind": down.map(|down| down.kind),
            "left_ms": down.and_then(|down| down.until_ms).map(|end| end - now_ms),
            "turned_away": state.turned_away,
        })
    }
}
