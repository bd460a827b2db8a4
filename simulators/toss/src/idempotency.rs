//! Idempotency keys with Toss's real scope: key + API key + method + URL. The body is not part of it, so a key
//! used for two orders answers the second one with the first one's payment.

use crate::clock::DAY_MS;
use axum::http::StatusCode;
use bytes::Bytes;
use simulator_common::Text;
use simulator_common::keys::Keys;
use std::sync::Arc;

pub const KEY_MAX: usize = 300;
const LIFE_MS: i64 = 15 * DAY_MS;

#[derive(Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

/// What a key is bound to for fifteen days from first use.
#[derive(Clone)]
pub struct Bound {
    pub answer: Answer,
    pub trace: Text,
}

pub fn keys(max: usize) -> Arc<Keys<Bound>> {
    Arc::new(Keys::new(max, LIFE_MS))
}
