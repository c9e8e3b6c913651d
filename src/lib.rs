//! Tripline: an actor-based SIEM correlation engine. `src/README.md` is the map of this house.
//!
//! Events come in, rules look at each (`detect`), what matched is correlated over event time (`correlate`), and people
//! are told (`notify`). Everything between is a log.

pub mod clock;
pub mod config;
pub mod telemetry;

pub mod event;

pub mod decode;
pub mod input;

pub mod rule;

pub mod detect;

pub mod alert;
pub mod correlate;

pub mod notify;

pub mod log;

pub mod replay;
pub mod stage;

pub mod api;
pub mod cli;
