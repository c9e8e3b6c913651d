//! The database under the log: which keyspaces there are, what is read from them, and what one atomic batch writes.
//!
//! A topic is one keyspace for each segment, shared by its partitions; few topics with many partitions would otherwise
//! be hundreds of keyspaces. This room decides nothing: when to seal, drop and write is the writer's.

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::Path,
};

use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, OwnedWriteBatch, PersistMode,
    config::{BlockSizePolicy, CompressionPolicy, FilterPolicy},
};

pub(super) use self::{
    read::Found,
    write::{ChunkWrite, LiveWrite, Writes},
};
use super::{
    keys::{self, SegmentManifest, TopicManifest},
    retention::Extent,
};
use crate::log::LogError;

/// The store's own journal; the least it takes. What is in it is read again when the store is opened.
const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
const MEMTABLE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Files that are kept open: a process has few descriptors to spare, and a log has many segments.
const OPEN_FILES_MAX: usize = 256;
/// Chunks above this lie apart from their keys and are not rewritten by compaction.
const SEPARATE_BYTES_MIN: u32 = 1024;
const BLOCK_BYTES: u32 = 32 * 1024;
/// More sequence numbers than a keyspace's creation and removal take between two writes to the journal.
const SEQNO_LEAD: u32 = 64;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("the embedded store failed: {0}")]
    Storage(#[from] fjall::Error),
    #[error(transparent)]
    Log(#[from] LogError),
}

impl From<StoreError> for LogError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Log(error) => error,
            StoreError::Storage(storage) if is_out_of_room(&storage) => LogError::Full(storage.to_string()),
            StoreError::Storage(_) => LogError::Broker(error.to_string()),
        }
    }
}

fn is_out_of_room(error: &fjall::Error) -> bool {
    let io = match error {
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => io,
        _ => return false,
    };
    matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

pub(super) struct Store {
    db: Database,
    meta: Keyspace,
    groups: Keyspace,
    topics: BTreeMap<String, Topic>,
}

struct Topic {
    manifest: TopicManifest,
    kept: Kept,
}

enum Kept {
    Segments(VecDeque<Segment>),
    Compacted(Keyspace),
}

struct Segment {
    number: u64,
    keyspace: Keyspace,
    manifest: SegmentManifest,
}

/// Counts the store's sequence numbers on beyond those of every keyspace that was created or removed.
///
/// An opened store takes the numbers that it finds in what was written to keyspaces, and not in its list of them
/// (fjall 3.1, `Database::recover`). After a crash right behind a creation or a removal the next one would be the older
/// of the two: the store's list would then have a keyspace that was removed, or lack one that was written to.
fn take_the_lead(db: &Database, meta: &Keyspace) -> Result<(), StoreError> {
    for _ in 0..SEQNO_LEAD {
        meta.insert(keys::LEAD, [])?;
    }
    Ok(db.persist(PersistMode::SyncData)?)
}

impl Store {
    /// Opens or creates the database in `path`.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let db = Database::builder(path)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .max_cached_files(Some(OPEN_FILES_MAX))
            .worker_threads(2)
            .open()?;
        let meta = db.keyspace(keys::META, KeyspaceCreateOptions::default)?;
        take_the_lead(&db, &meta)?;
        let groups = db.keyspace(keys::GROUPS, compacted_options)?;
        let mut store = Store { db, meta, groups, topics: BTreeMap::new() };
        for guard in store.meta.prefix(keys::TOPICS) {
            let (key, value) = guard.into_inner()?;
            let name = String::from_utf8_lossy(&key[keys::TOPICS.len()..]).into_owned();
            let manifest: TopicManifest = keys::decode(&value).map_err(|reason| damaged(&name, &reason))?;
            let kept = match manifest.compacted {
                true => Kept::Compacted(store.existing(&name, &keys::compacted_keyspace(&name))?),
                false => Kept::Segments(store.segments_of(&name)?),
            };
            store.topics.insert(name, Topic { manifest, kept });
        }
        Ok(store)
    }

    fn segments_of(&self, topic: &str) -> Result<VecDeque<Segment>, StoreError> {
        let prefix = keys::segments(topic);
        let mut segments = VecDeque::new();
        for guard in self.meta.prefix(&prefix) {
            let (key, value) = guard.into_inner()?;
            let number = keys::number(&key[prefix.len()..]).map_err(|reason| damaged(topic, &reason))?;
            let manifest = keys::decode(&value).map_err(|reason| damaged(topic, &reason))?;
            let keyspace = self.existing(topic, &keys::segment_keyspace(topic, number))?;
            segments.push_back(Segment { number, keyspace, manifest });
        }
        match segments.is_empty() {
            true => Err(damaged(topic, "it has no segment").into()),
            false => Ok(segments),
        }
    }

    /// A keyspace that a manifest names. Creating it instead would read as an empty topic.
    fn existing(&self, topic: &str, name: &str) -> Result<Keyspace, StoreError> {
        if !self.db.keyspace_exists(name) {
            return Err(damaged(topic, &format!("{name} is missing")).into());
        }
        Ok(self.db.keyspace(name, KeyspaceCreateOptions::default)?)
    }

    /// Removes keyspaces that no manifest names: a crash came between the two.
    pub(super) fn drop_strays(&self) -> Result<(), StoreError> {
        let mut named = BTreeSet::from([keys::META.to_owned(), keys::GROUPS.to_owned()]);
        for (name, topic) in &self.topics {
            match &topic.kept {
                Kept::Segments(segments) => {
                    named.extend(segments.iter().map(|segment| keys::segment_keyspace(name, segment.number)));
                }
                Kept::Compacted(_) => {
                    named.insert(keys::compacted_keyspace(name));
                }
            }
        }
        for name in self.db.list_keyspace_names() {
            if !named.contains(&*name) {
                let stray = self.db.keyspace(&name, KeyspaceCreateOptions::default)?;
                self.db.delete_keyspace(stray)?;
                take_the_lead(&self.db, &self.meta)?;
            }
        }
        Ok(())
    }

    /// Fails when a thread of the store has failed: nothing more can be written until it is opened again.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        Ok(self.db.persist(PersistMode::Buffer)?)
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = (&String, &TopicManifest)> {
        self.topics.iter().map(|(name, topic)| (name, &topic.manifest))
    }

    /// Creates a topic, or gives the one that exists another retention.
    pub(super) fn put_topic(&mut self, name: &str, manifest: TopicManifest, now_ms: i64) -> Result<(), StoreError> {
        let mut batch = self.batch();
        batch.insert(&self.meta, keys::topic(name), keys::encode(&manifest));
        if let Some(topic) = self.topics.get_mut(name) {
            batch.commit()?;
            topic.manifest = manifest;
            return Ok(());
        }
        let kept = if manifest.compacted {
            Kept::Compacted(self.db.keyspace(&keys::compacted_keyspace(name), compacted_options)?)
        } else {
            let starts = vec![0; manifest.partitions as usize];
            Kept::Segments(VecDeque::from([self.create_segment(&mut batch, name, 0, starts, now_ms)?]))
        };
        batch.commit()?;
        self.topics.insert(name.to_owned(), Topic { manifest, kept });
        // Manifests should not depend on the journal alone.
        self.meta.rotate_memtable()?;
        Ok(())
    }

    fn create_segment(
        &self,
        batch: &mut OwnedWriteBatch,
        topic: &str,
        number: u64,
        starts: Vec<u64>,
        created_ms: i64,
    ) -> Result<Segment, StoreError> {
        let keyspace = self.db.keyspace(&keys::segment_keyspace(topic, number), segment_options)?;
        let manifest = SegmentManifest { created_ms, starts, bytes: None };
        batch.insert(&self.meta, keys::segment(topic, number), keys::encode(&manifest));
        Ok(Segment { number, keyspace, manifest })
    }

    /// Seals the topic's segment, which has `bytes`, and begins one at `starts`.
    pub(super) fn roll(&mut self, name: &str, bytes: u64, starts: Vec<u64>, now_ms: i64) -> Result<(), StoreError> {
        let sealed = self.active(name)?;
        let (number, keyspace) = (sealed.number, sealed.keyspace.clone());
        let manifest = SegmentManifest { bytes: Some(bytes), ..sealed.manifest.clone() };
        let mut batch = self.batch();
        batch.insert(&self.meta, keys::segment(name, number), keys::encode(&manifest));
        let fresh = self.create_segment(&mut batch, name, number + 1, starts, now_ms)?;
        batch.commit()?;
        // What stays in memory would stay in the journal, too.
        keyspace.rotate_memtable()?;
        self.meta.rotate_memtable()?;
        let segments = self.segments_mut(name)?;
        if let Some(sealed) = segments.back_mut() {
            sealed.manifest = manifest;
        }
        segments.push_back(fresh);
        Ok(())
    }

    /// Drops the topic's oldest segment with its files.
    pub(super) fn drop_oldest(&mut self, name: &str) -> Result<(), StoreError> {
        let Some(number) = self.segments(name)?.front().map(|segment| segment.number) else { return Ok(()) };
        let mut batch = self.batch();
        batch.remove(&self.meta, keys::segment(name, number));
        batch.commit()?;
        if let Some(oldest) = self.segments_mut(name)?.pop_front() {
            self.db.delete_keyspace(oldest.keyspace)?;
        }
        Ok(())
    }

    /// The topic's segments, oldest first; nothing for a compacted topic. `active_bytes` are those of the last one.
    pub(super) fn extents(&self, name: &str, active_bytes: u64) -> Vec<Extent> {
        let extent = |segment: &Segment| Extent {
            created_ms: segment.manifest.created_ms,
            bytes: segment.manifest.bytes.unwrap_or(active_bytes),
        };
        self.segments(name).map(|segments| segments.iter().map(extent).collect()).unwrap_or_default()
    }

    /// A batch that is on disk when its commit returns.
    fn batch(&self) -> OwnedWriteBatch {
        self.db.batch().durability(Some(PersistMode::SyncData))
    }

    fn topic(&self, name: &str) -> Result<&Topic, StoreError> {
        Ok(self.topics.get(name).ok_or_else(|| LogError::NoTopic(name.to_owned()))?)
    }

    fn segments(&self, name: &str) -> Result<&VecDeque<Segment>, StoreError> {
        match &self.topic(name)?.kept {
            Kept::Segments(segments) => Ok(segments),
            Kept::Compacted(_) => Err(LogError::Refused(format!("{name} is compacted: it has no segments")).into()),
        }
    }

    fn segments_mut(&mut self, name: &str) -> Result<&mut VecDeque<Segment>, StoreError> {
        match self.topics.get_mut(name).map(|topic| &mut topic.kept) {
            Some(Kept::Segments(segments)) => Ok(segments),
            _ => Err(LogError::NoTopic(name.to_owned()).into()),
        }
    }

    fn active(&self, name: &str) -> Result<&Segment, StoreError> {
        self.segments(name)?.back().ok_or_else(|| damaged(name, "it has no segment").into())
    }

    fn compacted(&self, name: &str) -> Result<&Keyspace, StoreError> {
        match &self.topic(name)?.kept {
            Kept::Compacted(keyspace) => Ok(keyspace),
            Kept::Segments(_) => Err(LogError::Refused(format!("{name} is not compacted")).into()),
        }
    }
}

impl Segment {
    fn start(&self, partition: u32) -> u64 {
        self.manifest.starts.get(partition as usize).copied().unwrap_or(0)
    }
}

fn segment_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES_MAX)
        .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
        .filter_policy(FilterPolicy::disabled())
        .with_kv_separation(Some(KvSeparationOptions::default().separation_threshold(SEPARATE_BYTES_MIN)))
}

fn compacted_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES_MAX)
}

fn damaged(topic: &str, reason: &str) -> LogError {
    LogError::Corrupt { topic: topic.to_owned(), partition: 0, offset: 0, reason: reason.to_owned() }
}
