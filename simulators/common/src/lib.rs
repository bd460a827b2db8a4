//! The machinery of a simulator, without a word about any company: nothing here knows a payment.
//!
//! | Module | Holds |
//! |---|---|
//! | `clock`, `agenda` | a clock that can be scaled and moved, and what falls due on it |
//! | `faults`, `chance`, `outage` | what goes wrong: as told, by a seeded draw, or all of it |
//! | `keys` | idempotency keys and the answers bound to them |
//! | `serve`, `socket` | a server whose connections can be cut from within a handler |
//! | `control` | the form of the calls under `/_sim/` |
//! | `text`, `address`, `html` | small things around text |

pub mod address;
pub mod agenda;
pub mod chance;
pub mod clock;
pub mod control;
pub mod faults;
pub mod html;
pub mod keys;
pub mod outage;
pub mod serve;
pub mod socket;
mod text;

pub use text::Text;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A poisoned lock only means that another call panicked; the data under it is still whole enough to answer.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
