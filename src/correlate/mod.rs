//! Signals to alerts: event time, the total order, windows, and what rules say of them.
//!
//! Pure: the state of a signals partition follows from its records, in any batches, on any machine.

mod aggregate;
mod arrival;
mod baseline;
mod buckets;
mod chain;
mod contents;
mod correlator;
mod counts;
mod course;
mod firing;
mod first_seen;
mod frontier;
mod group;
mod key;
mod keys;
mod learned;
mod lists;
mod open;
mod packed;
mod plan;
mod queue;
mod rules;
mod sequence;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;
mod timers;
mod together;
mod window;

pub use chain::{Chained, EPOCH as CHAIN_EPOCH};
pub use correlator::{Correlator, Standing};
pub use counts::{Counts, RuleTally};
pub use frontier::Reached;
pub use key::Limits;
pub use rules::{Ending, Former};
pub use snapshot::{Changes, Header, STATE_VERSION, Snapshot, SnapshotError};
