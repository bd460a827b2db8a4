//! Entrance: a scan lets a ticket in once, or says why not.
//!
//! Owns the tables `scans`, `devices`, `shifts` and the columns of `tickets` that say when, where and by which scan it was let in. Promises
//! that a ticket is admitted at most once whatever the gates, that every scan is written down with its reason before
//! it is answered, and that the same nonce gets the same answer without a second record. Touches neither Redis nor the
//! sale's connections. Refuses to judge by what a code says of itself beyond its signature: the ticket's row decides.

pub mod api;
pub mod board;
pub mod book;
pub mod conflicts;
pub mod devices;
pub mod door;
pub mod group;
pub mod judge;
pub mod ledger;
pub mod page;
pub mod pg;
pub mod replay;
pub mod reply;
pub mod rules;
pub mod search;
pub mod sync;
pub mod uploads;
