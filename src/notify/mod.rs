//! Telling people: each configured receiver gets the alerts that it wants, in order, until it has acknowledged them.
//!
//! A [`Receiver`] is one configured sink with its filter and its patience. What it cannot deliver comes back with the
//! reason, for the dead letters; nothing is dropped here. This room sees alerts only: it never knows rules, actors or
//! where alerts are read from, it commits nothing, and it never writes what an attacker chose to a terminal or into a
//! header as it came.

mod error;
mod filter;
mod receiver;
pub mod render;
mod retry;
mod sink;

pub use error::SinkError;
pub use receiver::{Delivered, GivenUp, Receiver};
pub use sink::{OpenLog, stdout_is_coloured};
