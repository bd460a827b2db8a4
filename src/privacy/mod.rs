//! Privacy: personal data goes when its period ends or its person asks, and whoever asks is told what there is of them.
//!
//! Owns `privacy_requests`, `retention_walks` and `retention_cursor`, and is the only code that erases a contact. Promises
//! that nothing is erased while its person still needs it (a visit to come, money on its way), and that nothing stays
//! when neither they nor the law do; that orders, sums, tickets and invariants are the same afterwards; that each erasure
//! is in the history of its order, and each request in the audit log. Refuses to keep who has asked beyond what the request
//! takes. What is kept where, how long and why: docs/decisions/0019-personal-data.md.

pub mod api;
pub mod erase;
pub mod export;
pub mod pg;
pub mod requests;
pub mod retention;
