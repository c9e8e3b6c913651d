//! The signal: "this event matched pattern P of rule R", and what else travels in the signals log.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::xxh64;

use crate::{
    event::{Fields, InputName, Position, Timestamp, frame},
    rule::{BundleMark, ListWrite, Question},
};

/// The version of the records in the signals log.
pub(super) const VERSION: u8 = 3;

/// A match, with all that correlation needs of the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    pub rule: Arc<str>,
    /// The rule's shape (patterns, key, window, sequence, aggregates): windows of another shape are another state.
    pub shape: u64,
    pub pattern: Arc<str>,
    /// The entity: one text for each field of `by`.
    pub key: Vec<Arc<str>>,
    pub time: Timestamp,
    pub position: Position,
    /// Which of the event's keys this is, where a `by` field is an array.
    pub element: u32,
    /// The event came after its own partition's watermark had passed it.
    pub late: bool,
    /// The epoch of the detect line that wrote it.
    pub epoch: u64,
    /// The fields that the rule reads later.
    pub fields: Fields,
    /// What is to be asked of lists that rules write; where the answer is no, the pattern did not match.
    pub question: Option<Question>,
}

/// The total order of correlation: (event time, input, partition, offset, pattern, element).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Order {
    pub time: Timestamp,
    pub position: Position,
    pub pattern: Arc<str>,
    pub element: u32,
}

impl Signal {
    pub fn order(&self) -> Order {
        Order { time: self.time, position: self.position.clone(), pattern: self.pattern.clone(), element: self.element }
    }

    /// The signals partition, of `partitions`, where every signal of this rule and key meets.
    pub fn partition(&self, partitions: u32) -> u32 {
        key_partition(&self.rule, &self.key, partitions)
    }
}

/// The signals partition of a rule's key, version 1 of the rule: XXH64 with seed 0 over the canonical bytes (the rule
/// id, then each element of the key, each as its length in bytes, u32 big-endian, and its UTF-8), modulo `partitions`.
pub fn key_partition(rule: &str, key: &[Arc<str>], partitions: u32) -> u32 {
    (xxh64(&canonical_key(rule, key), 0) % u64::from(partitions)) as u32
}

/// The canonical bytes of a rule's key; see [`key_partition`].
pub fn canonical_key(rule: &str, key: &[Arc<str>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    for part in std::iter::once(rule).chain(key.iter().map(|part| &**part)) {
        bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

/// How far a source partition is: written to every signals partition after the signals of the events before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    pub input: InputName,
    pub partition: u32,
    pub epoch: u64,
    /// No signal with an earlier time will follow from this partition unless it is late. `None` before any event.
    pub watermark: Option<Timestamp>,
    /// Caught up, and nothing new for the input's idle timeout.
    pub idle: bool,
    /// Caught up, and yet far behind others: a frontier whose first source is further than this ahead of it waits for
    /// it no more.
    pub left_out: Option<Duration>,
    /// The rules that signals after this come from, where they were passed round as a bundle.
    pub rules: Option<BundleMark>,
}

/// Every input with its source partitions. A partition that has not been heard of holds its input's frontier back.
/// A later roster takes the place of an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    pub inputs: BTreeMap<InputName, Vec<u32>>,
}

/// A record of the signals log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignalRecord {
    Signal(Signal),
    Marker(Marker),
    Roster(Roster),
    /// A rule added to a list; in every signals partition, before the marker that passes its time.
    List(ListWrite),
}

impl SignalRecord {
    pub fn encode(&self) -> Vec<u8> {
        frame::seal(VERSION, self)
    }

    /// # Errors
    /// When the bytes are no record of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, frame::FrameError> {
        frame::open(VERSION, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keys_partition_never_changes() {
        let key: Vec<Arc<str>> = vec!["203.0.113.9".into()];
        assert_eq!(canonical_key("r", &key), b"\0\0\0\x01r\0\0\0\x0b203.0.113.9");
        assert_eq!(key_partition("ssh-brute-force", &key, 32), 7);
    }
}
