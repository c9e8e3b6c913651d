//! Names, keys and manifests of the store: where a thing lies, and nothing of how it is written.
//!
//! - keyspace `meta`: [`topic`] -> [`TopicManifest`], [`segment`] -> [`SegmentManifest`], [`BATCH`] -> u64,
//!   [`LEAD`] -> nothing.
//! - keyspace `groups`: [`commit`] -> a group's commit.
//! - a keyspace for each segment of a topic: [`chunk`] -> a chunk.
//! - a keyspace for each compacted topic: [`live`] -> the newest value, [`end`] -> u64.
//!
//! Numbers in keys are big-endian, so that the store's order is theirs.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::log::Committed;

pub(super) const META: &str = "meta";
pub(super) const GROUPS: &str = "groups";
/// Counts the batches written, so that it can be asked whether one landed.
pub(super) const BATCH: &[u8] = b"batch";
/// Written only to count the store's sequence numbers on.
pub(super) const LEAD: &[u8] = b"lead";
pub(super) const TOPICS: &[u8] = b"topic\0";
/// Bytes of a topic's name, so that a keyspace's name stays below the store's 255.
pub(super) const TOPIC_BYTES_MAX: usize = 200;

const VERSION: u8 = 1;

/// What was settled when the topic was created; the retention follows the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TopicManifest {
    pub(super) partitions: u32,
    pub(super) compacted: bool,
    pub(super) age_ms: Option<u64>,
    /// Of each partition.
    pub(super) bytes: Option<u64>,
}

/// A segment: what all partitions of a topic got between two times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentManifest {
    pub(super) created_ms: i64,
    /// Each partition's next offset when the segment began.
    pub(super) starts: Vec<u64>,
    /// Bytes of its chunks before compression; none while it is written to.
    pub(super) bytes: Option<u64>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CommitValue {
    pub(super) next: u64,
    pub(super) metadata: String,
}

impl From<&Committed> for CommitValue {
    fn from(committed: &Committed) -> Self {
        CommitValue { next: committed.next, metadata: committed.metadata.clone() }
    }
}

impl From<CommitValue> for Committed {
    fn from(value: CommitValue) -> Self {
        Committed { next: value.next, metadata: value.metadata }
    }
}

/// A value of `meta` or `groups`: a version, then postcard. Such values always encode.
pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).expect("manifests encode")
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match bytes {
        [VERSION, body @ ..] => postcard::from_bytes(body).map_err(|error| error.to_string()),
        [version, ..] => Err(format!("it has version {version}, this program reads {VERSION}")),
        [] => Err("it is empty".to_owned()),
    }
}

pub(super) fn number(bytes: &[u8]) -> Result<u64, String> {
    let bytes = bytes.try_into().map_err(|_| format!("a number has {} bytes", bytes.len()))?;
    Ok(u64::from_be_bytes(bytes))
}

pub(super) fn segment_keyspace(topic: &str, number: u64) -> String {
    format!("log/{topic}/{number}")
}

pub(super) fn compacted_keyspace(topic: &str) -> String {
    format!("state/{topic}")
}

pub(super) fn topic(name: &str) -> Vec<u8> {
    [TOPICS, name.as_bytes()].concat()
}

/// All segments of a topic, in their order.
pub(super) fn segments(topic: &str) -> Vec<u8> {
    [b"segment\0", topic.as_bytes(), b"\0"].concat()
}

pub(super) fn segment(topic: &str, number: u64) -> Vec<u8> {
    [&segments(topic)[..], &number.to_be_bytes()].concat()
}

/// A chunk lies at its last offset, so that a forward range from any offset begins with the chunk that holds it.
pub(super) fn chunk(partition: u32, last: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&partition.to_be_bytes());
    key[4..].copy_from_slice(&last.to_be_bytes());
    key
}

pub(super) fn last_of(chunk_key: &[u8]) -> Result<u64, String> {
    number(chunk_key.get(4..).unwrap_or_default())
}

/// The next offset of a compacted partition.
pub(super) fn end(partition: u32) -> [u8; 5] {
    let [a, b, c, d] = partition.to_be_bytes();
    [a, b, c, d, 0]
}

/// All live keys of a compacted partition.
pub(super) fn all_live(partition: u32) -> [u8; 5] {
    let [a, b, c, d] = partition.to_be_bytes();
    [a, b, c, d, 1]
}

pub(super) fn live(partition: u32, key: &[u8]) -> Vec<u8> {
    [&all_live(partition)[..], key].concat()
}

pub(super) fn commit(group: &str, topic: &str, partition: u32) -> Vec<u8> {
    [group.as_bytes(), b"\0", topic.as_bytes(), b"\0", &partition.to_be_bytes()].concat()
}
