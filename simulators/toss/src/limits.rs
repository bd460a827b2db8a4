//! The optional limit of calls per minute and API (Toss's test environment has 100).

use crate::clock::MINUTE_MS;
use crate::faults::Op;
use simulator_common::lock;
use std::sync::Mutex;

#[derive(Default)]
pub struct Limits {
    /// Per API: the minute and the calls in it.
    windows: Mutex<[(i64, u32); 5]>,
}

impl Limits {
    pub fn allow(&self, op: Op, now_ms: i64, per_minute: u32) -> bool {
        if per_minute == 0 {
            return true;
        }
        let minute = now_ms / MINUTE_MS;
        let mut windows = lock(&self.windows);
        let (window, calls) = &mut windows[op as usize];
        if *window != minute {
            (*window, *calls) = (minute, 0);
        }
        *calls += 1;
        *calls <= per_minute
    }

    pub fn clear(&self) {
        *lock(&self.windows) = Default::default();
    }
}
