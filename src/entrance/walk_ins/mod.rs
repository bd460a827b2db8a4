//! Walk-ins: a gate sells what is left of today for cash, if the exhibition allows it, and knows what lies in its till.

pub mod admin;
pub mod api;
pub mod pg;

use serde::Serialize;
use utoipa::ToSchema;

/// Cash taken and not given back.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct Till {
    pub orders: i64,
    /// Whole won.
    pub taken: i64,
    /// Paid out again by staff, of the same day's orders or not.
    pub given_back: i64,
}
