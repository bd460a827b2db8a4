//! Catalogue: exhibitions, their products and slots, as everybody sees them.
//!
//! Owns the tables `exhibitions`, `products`, `slots`, `pictures` and an in-process snapshot of them with live free counts, refreshed
//! once a second whatever the load. Promises that reading it costs neither Redis nor Postgres. Refuses to sell: what
//! it shows is a picture, the take decides.

pub mod api;
pub mod model;
pub mod pg;
pub mod picture;
pub mod snapshot;

pub use model::{Exhibition, Product, Slot};
pub use snapshot::Catalogue;
