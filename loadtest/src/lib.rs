//! Open-loop load for Admit: the instrument behind every published figure.
//!
//! Owns: arrivals on a schedule, timing from the intended start, honest tallies, the CPU table and
//! the sweep of invariants afterwards. Promises: a late or starved generator shows itself, nothing is
//! dropped in silence, and no target but loopback is ever contacted. It shares no types with Admit.
//!
//! Map: `cli` and `demo` say what to run and where; `http` is the wire; `schedule` and `engine` decide
//! when a request starts; `tally` counts; `shop`, `catalogue` and `queue` speak Admit's API as a visitor, `login` and
//! `room` as its staff (`ledger` and `crowd` keep what a run shares); `scenarios` has one file per run; `sweep`, `redis`
//! and `invariants` check the stores; `cpu`, `machine`, `memory` and `report` tell what it cost.

pub mod catalogue;
pub mod cli;
pub mod context;
pub mod cpu;
pub mod crowd;
pub mod demo;
pub mod engine;
pub mod http;
pub mod invariants;
pub mod ledger;
pub mod login;
pub mod machine;
pub mod memory;
pub mod queue;
pub mod redis;
pub mod report;
pub mod room;
pub mod scenarios;
pub mod schedule;
pub mod shop;
pub mod sweep;
pub mod tally;

/// Why a run could not be made; a figure that breaks a promise is a failed check in the report instead.
pub type Failure = String;
