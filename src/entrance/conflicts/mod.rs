//! Admissions that happened and should not have: a list for somebody to decide (decision 0014).

pub mod admin;
pub mod pg;
