//! What one atomic batch writes.

use std::{collections::BTreeMap, thread, time::Duration};

use bytes::Bytes;
use fjall::Keyspace;

use super::{Store, StoreError};
use crate::log::{
    Commit,
    local::keys::{self, CommitValue},
};

/// Memtables of one keyspace that wait to be written out. At one more the store itself would halt, without looking
/// whether the thread that it waits for has failed.
const SEALED_MEMTABLES_MAX: usize = 2;
const CALM_POLL: Duration = Duration::from_millis(2);

/// What one batch writes, whole or not at all.
#[derive(Default)]
pub(in crate::log::local) struct Writes {
    pub(in crate::log::local) chunks: Vec<ChunkWrite>,
    pub(in crate::log::local) live: Vec<LiveWrite>,
    /// (compacted topic, partition, next offset)
    pub(in crate::log::local) ends: Vec<(String, u32, u64)>,
    pub(in crate::log::local) commits: Vec<Commit>,
}

pub(in crate::log::local) struct ChunkWrite {
    pub(in crate::log::local) topic: String,
    pub(in crate::log::local) partition: u32,
    pub(in crate::log::local) last: u64,
    pub(in crate::log::local) bytes: Vec<u8>,
}

pub(in crate::log::local) struct LiveWrite {
    pub(in crate::log::local) topic: String,
    pub(in crate::log::local) partition: u32,
    pub(in crate::log::local) key: Bytes,
    /// `None` removes the key.
    pub(in crate::log::local) value: Option<Bytes>,
}

impl Store {
    /// Writes all of it, durably, as batch `number`.
    pub(in crate::log::local) fn write(&self, writes: &mut Writes, number: u64) -> Result<(), StoreError> {
        let mut batch = self.batch();
        let mut touched = BTreeMap::new();
        for ChunkWrite { topic, partition, last, bytes } in writes.chunks.drain(..) {
            let segment = self.active(&topic)?;
            batch.insert(&segment.keyspace, keys::chunk(partition, last), bytes);
            touched.entry(topic).or_insert(&segment.keyspace);
        }
        for LiveWrite { topic, partition, key, value } in writes.live.drain(..) {
            let keyspace = self.compacted(&topic)?;
            match value {
                Some(value) => batch.insert(keyspace, keys::live(partition, &key), &value[..]),
                None => batch.remove(keyspace, keys::live(partition, &key)),
            }
            touched.entry(topic).or_insert(keyspace);
        }
        for (topic, partition, end) in writes.ends.drain(..) {
            batch.insert(self.compacted(&topic)?, keys::end(partition), end.to_be_bytes());
        }
        for Commit { group, topic, partition, committed } in writes.commits.drain(..) {
            let value = keys::encode(&CommitValue::from(&committed));
            batch.insert(&self.groups, keys::commit(&group, &topic, partition), value);
        }
        batch.insert(&self.meta, keys::BATCH, number.to_be_bytes());
        self.calm(touched.values().copied())?;
        Ok(batch.commit()?)
    }

    /// Waits until the store keeps up with writing memtables out.
    fn calm<'a>(&'a self, keyspaces: impl Iterator<Item = &'a Keyspace>) -> Result<(), StoreError> {
        for keyspace in keyspaces.chain([&self.meta, &self.groups]) {
            while keyspace.sealed_memtable_count() > SEALED_MEMTABLES_MAX {
                self.check()?;
                thread::sleep(CALM_POLL);
            }
        }
        Ok(())
    }
}
