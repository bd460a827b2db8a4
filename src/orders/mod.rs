//! Orders: hold, pay, settle, cancel, expire.
//!
//! Owns the tables `orders`, `order_items`, `contacts`, `attempts`, `refunds`, `order_events` and the stock writer, which
//! is the only code that changes them together with stock. Promises that an order is acknowledged only after its
//! commit, that one place is sold once, and that no money is kept without tickets. Refuses to deliver messages (the
//! outbox's consumer does) and to talk to Toss itself (`payments` does).

pub mod api;
pub mod ask;
pub mod books;
pub mod cancel;
pub mod care;
pub mod consent;
pub mod contact;
pub mod deposits;
pub mod gauges;
pub mod in_hand;
pub mod inbox;
pub mod lookup;
pub mod mine;
pub mod model;
pub mod outcome;
pub mod pages;
pub mod pay;
pub mod pg;
pub mod place;
pub mod purge;
pub mod read;
pub mod recover;
pub mod refunds;
pub mod settle;
pub mod token;
pub mod walk_in;
pub mod worker;
pub mod writer;
