//! Admit: reservations for exhibitions on the day everybody comes at once.
//!
//! A map of the crate, in the order of what may import what:
//!
//! - [`error`], [`config`], [`platform`]: what every service needs; nothing about tickets.
//! - [`catalogue`]: exhibitions, products, slots, as everybody sees them.
//! - [`stock`]: counted places: Redis scripts, rebuild, audit.
//! - [`tickets`]: signed codes, their keys, their pictures.
//! - [`payments`]: the port to payment providers, and Toss.
//! - [`orders`]: hold, pay, settle, expire; the stock writer.
//! - [`entrance`]: scans. [`admin`]: who may sign in. [`notifications`]: the outbox's consumer.
//! - [`privacy`]: what goes when its period ends or its person asks.
//! - [`dashboard`]: what admins watch: figures, the live board. [`operations`]: the stock's audit explained, and who is there.
//! - [`observability`]: every metric by name, and the pulse of a process. [`app`]: the only place that wires things. [`commands`]: the binary.

pub mod admin;
pub mod app;
pub mod catalogue;
pub mod commands;
pub mod config;
pub mod dashboard;
pub mod entrance;
pub mod error;
pub mod notifications;
pub mod observability;
pub mod operations;
pub mod orders;
pub mod payments;
pub mod platform;
pub mod privacy;
pub mod stock;
pub mod tickets;
pub mod waiting_room;
