//! The optional limit of calls per second (Stripe's test mode has 25).

use simulator_common::lock;
use std::sync::Mutex;

#[derive(Default)]
pub struct Limits {
    /// The second and the calls in it.
    window: Mutex<(i64, u32)>,
}

impl Limits {
    pub fn allow(&self, now_ms: i64, per_second: u32) -> bool {
        if per_second == 0 {
            return true;
        }
        let second = now_ms / 1_000;
        let mut window = lock(&self.window);
        if window.0 != second {
            *window = (second, 0);
        }
        window.1 += 1;
        window.1 <= per_second
    }

    pub fn clear(&self) {
        *lock(&self.window) = (0, 0);
    }
}
