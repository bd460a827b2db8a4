//! What every web service needs and nothing about tickets: the clock, ids, secrets, Postgres, Redis, HTTP manners,
//! texts, tables as files, and an orderly end.

pub mod clock;
pub mod csv;
pub mod http;
pub mod ids;
pub mod invariants;
pub mod lifecycle;
pub mod net;
pub mod pg;
pub mod redis;
pub mod secrets;
pub mod table;
pub mod texts;
pub mod xlsx;
