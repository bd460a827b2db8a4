//! One binary for all integration tests: real Postgres, real Redis, the simulator over real HTTP.
#![allow(clippy::disallowed_methods, reason = "tests may spawn and read the time")]
#![allow(clippy::unwrap_used)]

mod support;

mod admin;
mod api;
mod arrivals;
mod bad_input;
mod books;
mod breaker;
mod catalogue_admin;
mod contracts;
mod control_room;
mod dashboard;
mod deposits;
mod desk;
mod devices;
mod draw;
mod entrance;
mod entry_rules;
mod expiry;
mod faults;
mod gates;
mod idempotency;
mod journeys;
mod kill_schedules;
mod killed;
mod limits;
mod mine;
mod model;
mod money_edges;
mod money_faults;
mod notifications;
mod offline;
mod pages;
mod payments;
mod pictures;
mod queue_draw;
mod queue_faults;
mod queue_model;
mod queue_pages;
mod queue_proofs;
mod queue_simulation;
mod races;
mod refunds;
mod rehearsal;
mod rooms_admin;
mod site;
mod snapshots;
mod steps;
mod stripe;
mod tickets;
mod torture;
mod waiting_room;
mod walk_ins;
mod webhooks;
