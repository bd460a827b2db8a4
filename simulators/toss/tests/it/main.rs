//! The simulator over real HTTP, as a client sees it. No test sleeps: it waits, bounded, or moves the clock.

mod accounts;
mod auth;
mod cancel;
mod confirm;
mod faults;
mod idempotency;
mod support;
mod transactions;
mod webhooks;
mod window;
