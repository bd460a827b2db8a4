//! The books: what the providers say of each day beside what we say, and what an exhibition earned.
//!
//! Owns `provider_transactions`, `reconciliations` and `money_differences`. Promises that every difference of a day is
//! found in either direction and stays on the list until it is gone; that money the provider has and we do not know of
//! is asked about at once. Refuses to change an order by itself: what the provider says of a payment is settled where
//! all outcomes are.

pub mod api;
pub mod pg;
pub mod reconcile;
