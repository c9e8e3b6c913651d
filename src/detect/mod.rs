//! Event by rule set to signals: stateless, pure.

mod signal;

pub use signal::{Marker, Order, Roster, Signal, SignalRecord, canonical_key, key_partition};
