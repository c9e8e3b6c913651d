//! Signals to alerts: event time, the total order, windows, and what rules say of them.
//!
//! Pure: the state of a signals partition follows from its records, in any batches, on any machine.

#[cfg_attr(not(test), expect(dead_code, reason = "windows keep their aggregates with it next"))]
mod aggregate;
mod contents;
mod correlator;
mod counts;
mod course;
mod firing;
mod frontier;
mod group;
mod key;
mod open;
mod plan;
mod rules;
mod sequence;
mod snapshot;
#[cfg(test)]
mod tests;
mod window;

pub use correlator::{Correlator, Standing};
pub use counts::{Counts, RuleTally};
pub use key::Limits;
pub use snapshot::{Changes, Snapshot, SnapshotError};
