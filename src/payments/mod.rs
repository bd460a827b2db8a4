//! Payments: the port to payment providers, and what comes in from them.
//!
//! Owns the adapters, the classification of their answers, and the inbox of webhooks. Promises that an outcome is
//! called accepted or declined only when the provider said so; everything else is unknown, which is a state and not
//! a failure. Refuses to touch orders: `orders` calls it and owns settling.

pub mod breaker;
pub mod gateways;
pub mod intake;
pub mod model;
pub mod pg;
pub mod stripe;
pub mod toss;
pub mod webhook;
mod wire;

pub use model::{
    Arrival, CancelAsk, CancelOutcome, CashReceiptWish, ConfirmAsk, ConfirmOutcome, DepositAccount, FindOutcome,
    Payment, PaymentGateway, Provider, Receipts, RefundAccount, Status, Wishes,
};
