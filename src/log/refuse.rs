//! What the memory and the local log refuse before anything is written: the same on both, and what Kafka would refuse.

use super::{Cleanup, Commit, LogError, Record, TopicPartition, TopicSpec};

/// Bytes of a commit's metadata, as a broker's `offset.metadata.max.bytes`.
pub(super) const METADATA_BYTES_MAX: usize = 4096;
/// Bytes of a record's key on a compacted topic, below what the embedded store takes with its prefix.
pub(super) const KEY_BYTES_MAX: usize = 60_000;

pub(super) fn record(record: &Record, compacted: bool) -> Result<(), LogError> {
    let topic = &record.topic;
    match (&record.key, compacted) {
        (None, true) => Err(LogError::Refused(format!("a record without key for {topic}, which is compacted"))),
        (Some(key), true) if key.len() > KEY_BYTES_MAX => {
            Err(LogError::Refused(format!("a key of {} bytes for {topic}, at most {KEY_BYTES_MAX}", key.len())))
        }
        _ => Ok(()),
    }
}

pub(super) fn commit(commit: &Commit) -> Result<(), LogError> {
    let bytes = commit.committed.metadata.len();
    if bytes > METADATA_BYTES_MAX {
        return Err(LogError::Refused(format!(
            "a commit of {} with {bytes} bytes of metadata, at most {METADATA_BYTES_MAX}",
            commit.group
        )));
    }
    Ok(())
}

pub(super) fn reader(topic: &str, compacted: bool) -> Result<(), LogError> {
    if compacted {
        return Err(LogError::Refused(format!("{topic} is compacted: it has no order to read in, only newest values")));
    }
    Ok(())
}

/// Whether a topic that exists as `found` partitions, `compacted` or not, can be what `spec` wants.
pub(super) fn change(spec: &TopicSpec, found: u32, compacted: bool) -> Result<(), LogError> {
    if spec.fixed && found != spec.partitions {
        return Err(LogError::Partitions { topic: spec.name.clone(), found, wanted: spec.partitions });
    }
    if compacted != (spec.cleanup == Cleanup::Compact) {
        return Err(LogError::Refused(format!("{} exists with another kind of cleanup", spec.name)));
    }
    Ok(())
}

/// A position after the end means that records which had been there are gone.
pub(super) fn position(at: &TopicPartition, next: u64, end: u64) -> Result<(), LogError> {
    if next > end {
        return Err(LogError::Corrupt {
            topic: at.topic.clone(),
            partition: at.partition,
            offset: next,
            reason: format!("the partition ends at {end}, before the position to go on from"),
        });
    }
    Ok(())
}
