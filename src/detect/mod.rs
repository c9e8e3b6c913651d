//! Event by rule set to signals: stateless but for a source's watermark, and pure.

mod detector;
mod facts;
mod key;
mod signal;
mod source;
mod view;
mod watermark;

pub use detector::{Detector, RuleCounts};
pub use facts::{Facts, Whole};
pub use key::{Combined, KEYS_PER_EVENT_MAX, combined, keys};
pub use signal::{Marker, Order, Roster, Signal, SignalRecord, canonical_key, key_partition};
pub use source::{Raw, Source, SourceCounts, SourceState};
pub use view::{PositionView, RecordView, SignalView, ValueView};
pub use watermark::Watermark;
