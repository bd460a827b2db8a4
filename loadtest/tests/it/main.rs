//! The instrument against servers whose behaviour is known exactly. These tests run in real time,
//! because real time is what they are about.

mod local;

mod accuracy;
mod sale;
mod wire;
