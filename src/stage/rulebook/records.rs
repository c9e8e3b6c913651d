//! The records of the rules' topic.
//!
//! Keys: the byte 0, the bundle's hash (64 hex digits) and the chunk's place (u32, big-endian); or the byte 1 and a
//! push's revision (u64, big-endian). Values are framed records (see [`crate::event::frame`]).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    event::frame::{self, FrameError},
    rule::BundleMark,
};

/// The version of the records.
const VERSION: u8 = 1;

const CHUNK_TAG: u8 = 0;
const PUSH_TAG: u8 = 1;

/// Hex digits of a hash.
const HASH_LEN: usize = 64;

/// Key and value; no value removes the key.
pub(super) type Entry = (Bytes, Option<Bytes>);

/// That a rule set was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    pub mark: BundleMark,
    /// Rules that it holds.
    pub rules: u64,
    /// What its bundle takes, compressed.
    pub bytes: u64,
    /// Milliseconds since 1970, by the clock of who pushed it.
    pub pushed_ms: i64,
}

/// A part of a compressed bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chunk {
    pub index: u32,
    /// How many chunks the bundle has.
    pub of: u32,
    pub bytes: Vec<u8>,
}

impl Push {
    pub(super) fn record(&self) -> Entry {
        let mut key = vec![PUSH_TAG];
        key.extend_from_slice(&self.mark.revision.to_be_bytes());
        (key.into(), Some(frame::seal(VERSION, self).into()))
    }

    pub(super) fn read(value: &[u8]) -> Result<Self, FrameError> {
        frame::open(VERSION, value)
    }
}

impl Chunk {
    pub fn key(hash: &str, index: u32) -> Bytes {
        let mut key = vec![CHUNK_TAG];
        key.extend_from_slice(hash.as_bytes());
        key.extend_from_slice(&index.to_be_bytes());
        key.into()
    }

    /// The hash of the bundle that the key is of; `None` where it is no chunk's.
    pub fn hash_of(key: &[u8]) -> Option<&str> {
        let hash = key.strip_prefix(&[CHUNK_TAG])?.get(..HASH_LEN)?;
        std::str::from_utf8(hash).ok()
    }

    pub fn record(&self, hash: &str) -> Entry {
        (Self::key(hash, self.index), Some(frame::seal(VERSION, self).into()))
    }

    pub fn read(value: &[u8]) -> Result<Self, FrameError> {
        frame::open(VERSION, value)
    }
}
