//! The waiting room: a crowd waits fairly, and the sale does not feel it.
//!
//! Owns places in line and their proofs, the draw, who is called and who holds a pass. Promises that a place once
//! given is never lost, that the order of a draw can be recomputed by anybody, that polls cost Redis nothing, and that
//! no more people are inside than there is room for. Refuses to decide whether there are places left: that is stock's.

pub mod admin;
pub mod alive;
pub mod api;
pub mod beacon;
pub mod bits;
pub mod cast;
pub mod chain;
pub mod claim;
pub mod cohort;
pub mod commitment;
pub mod crowd;
pub mod draw;
pub mod eta;
pub mod gather;
pub mod invite;
pub mod join;
pub mod leader;
pub mod left;
pub mod missing;
pub mod model;
pub mod moves;
pub mod notice;
pub mod opening;
pub mod pace;
pub mod park;
pub mod parked;
pub mod pg;
pub mod plan;
#[cfg(test)]
mod plan_simulation;
pub mod probes;
pub mod proofs;
pub mod rates;
pub mod redis;
pub mod rehearsal;
pub mod reply;
pub mod room;
pub mod settings;
pub mod state;
pub mod status;
pub mod token;
