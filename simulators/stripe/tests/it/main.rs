//! The simulator over real HTTP, as a client sees it. No test sleeps: it waits, bounded, or moves the clock.

mod auth;
mod balance;
mod controls;
mod faults;
mod idempotency;
mod intents;
mod refunds;
mod search;
mod support;
mod webhooks;
mod window;
