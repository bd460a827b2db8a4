//! HTTP manners: extractors that refuse with a problem document, one outer layer that names, times, logs and renders.

pub mod assets;
pub mod codes;
pub mod cors;
mod docs;
pub mod extract;
pub mod health;
pub mod observe;
pub mod openapi;
pub mod problem;
mod refusals;

pub use extract::{
    BearerToken, ClientAddress, IdempotencyKey, IfMatch, IfNoneMatch, Json, Path, Query, RequestLanguage,
};
