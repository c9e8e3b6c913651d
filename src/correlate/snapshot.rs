//! A signals partition's state as its changelog holds it.
//!
//! Keys of the changelog: the byte 0 is the header; the byte 1, the rule's shape (u64, big-endian) and the canonical
//! bytes of (rule, key) are one key's state; the byte 2 and the canonical bytes of (list, text) are one entry of a list
//! that rules write. Values are framed records (see [`crate::event::frame`]).

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    counts::Failures,
    frontier::Sources,
    key::{KeyState, StateKey},
    lists::{Member, Spans},
    rules::Former,
};
use crate::{
    detect::canonical_key,
    event::{InputName, Timestamp, frame},
    rule::{BundleMark, InputSet},
};

/// The version of the records in the changelog.
pub const STATE_VERSION: u8 = 10;

const HEADER_KEY: &[u8] = &[0];
const LIST_TAG: u8 = 2;

/// Everything but the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub frontiers: Vec<(Inputs, Timestamp)>,
    pub sources: Sources,
    /// Records of the signals log before this offset were taken in.
    pub read_through: u64,
    /// The oldest record that waits for the frontier: reading goes on here.
    pub resume_from: u64,
    /// Records from `resume_from` on that are in the dead letters.
    pub passed_over: BTreeSet<u64>,
    /// When keys of a rule were evicted last: (rule, shape, time)
    pub evicted: Vec<(Arc<str>, u64, Timestamp)>,
    /// (rule, version, failures in a row)
    pub failures: Vec<(Arc<str>, String, Failures)>,
    /// The rules that ran, where they were passed round as a bundle, and those of before that are not over.
    pub rules: Option<BundleMark>,
    pub former: Vec<Former>,
}

impl Header {
    /// The bundles of rules that are not over, each once.
    pub fn former_bundles(&self) -> BTreeSet<BundleMark> {
        self.former.iter().map(|former| former.bundle.clone()).collect()
    }
}

/// An input set in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inputs {
    All,
    Named(BTreeSet<InputName>),
    AllAndAlerts,
}

impl From<&InputSet> for Inputs {
    fn from(inputs: &InputSet) -> Self {
        match inputs {
            InputSet::All => Inputs::All,
            InputSet::Named(names) => Inputs::Named(names.clone()),
            InputSet::AllAndAlerts => Inputs::AllAndAlerts,
        }
    }
}

impl From<Inputs> for InputSet {
    fn from(inputs: Inputs) -> Self {
        match inputs {
            Inputs::All => InputSet::All,
            Inputs::Named(names) => InputSet::Named(names),
            Inputs::AllAndAlerts => InputSet::AllAndAlerts,
        }
    }
}

/// What a changelog held.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub header: Header,
    pub keys: Vec<(StateKey, KeyState)>,
    /// (list, text) with when it is a member.
    pub lists: Vec<(Member, Spans)>,
}

impl Snapshot {
    /// Reads a changelog's live records; `None` when it is empty.
    ///
    /// # Errors
    /// When a record can't be read, with its key in hex: the partition must not go on as if it had no state.
    pub fn read<'a, T: AsRef<[u8]> + ?Sized + 'a>(
        records: impl Iterator<Item = (&'a T, &'a T)>,
    ) -> Result<Option<Self>, SnapshotError> {
        let mut header = None;
        let (mut keys, mut lists) = (Vec::new(), Vec::new());
        for (key, value) in records.map(|(key, value)| (key.as_ref(), value.as_ref())) {
            let unreadable = |reason| SnapshotError::Record { key: hex(key), reason };
            if key == HEADER_KEY {
                header = Some(frame::open(STATE_VERSION, value).map_err(unreadable)?);
            } else if key.first() == Some(&LIST_TAG) {
                lists.push(frame::open(STATE_VERSION, value).map_err(unreadable)?);
            } else {
                keys.push(frame::open(STATE_VERSION, value).map_err(unreadable)?);
            }
        }
        match header {
            Some(header) => Ok(Some(Snapshot { header, keys, lists })),
            // The header is written last: without one no commit was ever completed.
            None => Ok(None),
        }
    }
}

/// Why a partition's state can't be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error("state record {key}: {reason}")]
    Record { key: String, reason: frame::FrameError },
}

/// A commit's records for the changelog.
#[derive(Debug, Default)]
pub struct Changes {
    /// Key and value; no value removes the key. The header comes last.
    pub records: Vec<(Bytes, Option<Bytes>)>,
    /// Where reading would go on after a crash.
    pub resume_from: u64,
}

impl Changes {
    pub(super) fn put(&mut self, key: &StateKey, state: &KeyState) {
        self.records.push((record_key(key), Some(frame::seal(STATE_VERSION, &(key, state)).into())));
    }

    pub(super) fn remove(&mut self, key: &StateKey) {
        self.records.push((record_key(key), None));
    }

    /// An entry of a list as it is now; one without spans is none.
    pub(super) fn set_entry(&mut self, member: Member, spans: Spans) {
        let (list, text) = &member;
        let mut key = vec![LIST_TAG];
        key.extend_from_slice(&canonical_key(list, std::slice::from_ref(text)));
        let value = (!spans.is_empty()).then(|| frame::seal(STATE_VERSION, &(member, spans)).into());
        self.records.push((key.into(), value));
    }

    pub(super) fn set_header(&mut self, header: &Header) {
        self.resume_from = header.resume_from;
        self.records.push((Bytes::from_static(HEADER_KEY), Some(frame::seal(STATE_VERSION, header).into())));
    }
}

fn record_key(key: &StateKey) -> Bytes {
    let mut bytes = vec![1];
    bytes.extend_from_slice(&key.shape.to_be_bytes());
    bytes.extend_from_slice(&canonical_key(&key.rule, &key.key));
    bytes.into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
