//! HTTP/1.1 by hand: one request in flight per connection, buffers reused, no pipelining.
//!
//! A general client costs two to three times the CPU of this one, and the generator shares its cores
//! with the system it measures.

mod client;
mod conn;
pub mod wire;

pub use client::{Client, Fault, Request, Whole};
