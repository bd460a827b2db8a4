//! Stock: counted places, in Redis for speed and in Postgres for truth.
//!
//! Owns the `stock` and `person_counters` rows' reading side, how many places there are and are on offer, the Redis hashes
//! of an exhibition and their scripts, the rebuild and the audit. Promises that Redis never says yes to more places than it counts, that a missing key is
//! never zero, and that after any fault Redis equals Postgres again within seconds. Refuses to change `held` and
//! `sold`: only the stock writer (`orders::writer`) does that, in its batches.

pub mod audit;
pub mod model;
pub mod offer;
pub mod pg;
pub mod rebuild;
pub mod redis;
pub mod release;

pub use model::{Level, Line, PersonKey};
