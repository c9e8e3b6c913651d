//! What is read from the store: chunks, ends, newest values, commits. What does not read is an error that names its place.

use std::collections::VecDeque;

use fjall::{Readable, UserValue};

use super::{Kept, Store, StoreError, damaged};
use crate::log::{
    Committed, Live, LogError, TopicPartition,
    local::{
        chunk::Chunk,
        keys::{self, CommitValue},
    },
};

/// What [`Store::read`] found.
pub(in crate::log::local) enum Found {
    Chunks(VecDeque<Chunk<UserValue>>),
    /// Retention took everything before this offset.
    Gone {
        earliest: u64,
    },
}

impl Store {
    /// The first offset that is still there.
    pub(in crate::log::local) fn earliest(&self, at: &TopicPartition) -> Result<u64, StoreError> {
        match &self.topic(&at.topic)?.kept {
            Kept::Segments(segments) => Ok(segments.front().map_or(0, |segment| segment.start(at.partition))),
            Kept::Compacted(_) => Ok(0),
        }
    }

    /// The next offset of each partition, and the bytes of the chunks in the segment being written.
    pub(in crate::log::local) fn ends(&self, name: &str) -> Result<(Vec<u64>, u64), StoreError> {
        let partitions = 0..self.topic(name)?.manifest.partitions;
        match &self.topic(name)?.kept {
            Kept::Compacted(keyspace) => {
                let end = |partition| match keyspace.get(keys::end(partition))? {
                    Some(value) => Ok(keys::number(&value).map_err(|reason| damaged(name, &reason))?),
                    None => Ok(0),
                };
                Ok((partitions.map(end).collect::<Result<_, StoreError>>()?, 0))
            }
            Kept::Segments(_) => {
                let active = self.active(name)?;
                let end = |partition: u32| match active.keyspace.prefix(partition.to_be_bytes()).next_back() {
                    Some(guard) => {
                        Ok(keys::last_of(&guard.key()?).map_err(|reason| damaged(name, &reason))?.saturating_add(1))
                    }
                    None => Ok(active.start(partition)),
                };
                let ends = partitions.map(end).collect::<Result<_, StoreError>>()?;
                let mut bytes = 0;
                for guard in active.keyspace.iter() {
                    bytes += u64::from(guard.size()?);
                }
                Ok((ends, bytes))
            }
        }
    }

    /// How many batches have been written.
    pub(in crate::log::local) fn batches(&self) -> Result<u64, StoreError> {
        match self.meta.get(keys::BATCH)? {
            Some(value) => Ok(keys::number(&value).map_err(|reason| damaged("meta", &reason))?),
            None => Ok(0),
        }
    }

    /// Chunks from the one that holds `next` on, up to the record before `end`, until they have `bytes_max` bytes.
    /// `next` must be below `end`.
    pub(in crate::log::local) fn read(
        &self,
        at: &TopicPartition,
        next: u64,
        end: u64,
        bytes_max: usize,
    ) -> Result<Found, StoreError> {
        let segments = self.segments(&at.topic)?;
        let after = segments.partition_point(|segment| segment.start(at.partition) <= next);
        let Some(segment) = after.checked_sub(1).and_then(|index| segments.get(index)) else {
            return Ok(Found::Gone { earliest: self.earliest(at)? });
        };
        let (mut chunks, mut bytes, mut expected) = (VecDeque::new(), 0, next);
        let corrupt = |offset, reason: String| LogError::Corrupt {
            topic: at.topic.clone(),
            partition: at.partition,
            offset,
            reason,
        };
        for guard in segment.keyspace.range(keys::chunk(at.partition, next)..=keys::chunk(at.partition, end - 1)) {
            let (key, value) = guard.into_inner().map_err(|error| corrupt(expected, error.to_string()))?;
            bytes += value.len();
            let last = keys::last_of(&key).map_err(|reason| corrupt(expected, reason))?;
            let chunk = Chunk::new(value, last).map_err(|reason| corrupt(expected, reason))?;
            if chunk.next() > expected {
                return Err(corrupt(expected, format!("the records up to {} are missing", chunk.next())).into());
            }
            expected = last + 1;
            chunks.push_back(chunk);
            if bytes >= bytes_max {
                break;
            }
        }
        match chunks.is_empty() {
            true => Err(corrupt(next, format!("the records up to {end} are missing")).into()),
            false => Ok(Found::Chunks(chunks)),
        }
    }

    pub(in crate::log::local) fn live(&self, at: &TopicPartition) -> Result<Live, StoreError> {
        let keyspace = self.compacted(&at.topic)?;
        let prefix = keys::all_live(at.partition);
        let mut live = Live::default();
        for guard in self.db.snapshot().prefix(keyspace, prefix) {
            let (key, value) = guard.into_inner().map_err(|error| LogError::Corrupt {
                topic: at.topic.clone(),
                partition: at.partition,
                offset: 0,
                reason: error.to_string(),
            })?;
            live.apply(&key[prefix.len()..], Some(&value));
        }
        Ok(live)
    }

    pub(in crate::log::local) fn committed(
        &self,
        group: &str,
        at: &TopicPartition,
    ) -> Result<Option<Committed>, StoreError> {
        let corrupt = |reason| LogError::Corrupt {
            topic: at.topic.clone(),
            partition: at.partition,
            offset: 0,
            reason: format!("the commit of {group}: {reason}"),
        };
        let value = self.groups.get(keys::commit(group, &at.topic, at.partition));
        let Some(value) = value.map_err(|error| corrupt(error.to_string()))? else { return Ok(None) };
        let value: CommitValue = keys::decode(&value).map_err(corrupt)?;
        Ok(Some(value.into()))
    }
}
