//! Entrance: a scan lets a ticket in as often as its rules say, or says why not.
//!
//! Owns the tables `scans`, `devices`, `shifts`, `entry_rules`, `entry_conflicts` and the columns of `tickets` that say what it did at
//! the doors. Promises that online a ticket is let in at most as often as its rules say whatever the gates, that every
//! scan is written down with its reason before it is answered, that the same nonce gets the same answer without a second
//! record, and that what a device decided without a network is never lost. A scan touches neither Redis nor the sale's
//! connections. Refuses to judge by what a code says of itself beyond its signature: the ticket's row decides.

pub mod api;
pub mod board;
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
pub mod rulebook;
pub mod rules;
pub mod search;
pub mod sync;
pub mod uploads;
pub mod walk_ins;
