//! Commits a group's positions and looks them up. Everything here blocks, so it runs on threads that may.

use std::{
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _},
    error::KafkaError,
};

use super::{
    client::{native_offset, native_partition},
    context::Consumer,
    failure::{self, CommitOutcome},
    probe::ANSWER_MAX,
};
use crate::log::{Commit, Committed, LogError, TopicPartition};

const TRY_MAX: Duration = Duration::from_secs(5);
const TRY_PAUSE: Duration = Duration::from_millis(20);
/// Kafka's default `offset.metadata.max.bytes`.
const METADATA_BYTES_MAX: usize = 4096;

/// Commits one partition's position; returns when the coordinator has confirmed it. `allowed` is asked before each try.
pub(super) fn commit(
    consumer: &Consumer,
    commit: &Commit,
    allowed: impl Fn() -> Result<(), LogError>,
) -> Result<(), LogError> {
    let at = TopicPartition { topic: commit.topic.clone(), partition: commit.partition };
    let list = listed(&at, &commit.committed)?;
    let deadline = Instant::now() + ANSWER_MAX;
    loop {
        allowed()?;
        let Err(error) = consumer.commit(&list, CommitMode::Sync) else { return Ok(()) };
        let outcome = error.rdkafka_error_code().map_or(CommitOutcome::Refused, failure::of_commit);
        let told = || format!("commit of {}/{} for group {}: {error}", at.topic, at.partition, commit.group);
        match outcome {
            CommitOutcome::Fenced => return Err(LogError::Fenced(told())),
            CommitOutcome::Refused => return Err(LogError::Refused(told())),
            CommitOutcome::Again if Instant::now() >= deadline => return Err(LogError::Broker(told())),
            CommitOutcome::Again => thread::sleep(TRY_PAUSE),
        }
    }
}

fn listed(at: &TopicPartition, committed: &Committed) -> Result<TopicPartitionList, LogError> {
    if committed.metadata.len() > METADATA_BYTES_MAX {
        return Err(LogError::TooLarge {
            topic: at.topic.clone(),
            bytes: committed.metadata.len(),
            bytes_max: METADATA_BYTES_MAX,
        });
    }
    let mut list = TopicPartitionList::new();
    {
        let mut element = list.add_partition(&at.topic, native_partition(at));
        element
            .set_offset(native_offset(committed.next))
            .map_err(|error| LogError::Refused(format!("{}/{}: {error}", at.topic, at.partition)))?;
        element.set_metadata(&committed.metadata);
    }
    Ok(list)
}

/// What the consumer's group committed last, one answer for each partition.
pub(super) fn committed(
    consumer: &Consumer,
    partitions: &[TopicPartition],
) -> Result<Vec<Option<Committed>>, LogError> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let deadline = Instant::now() + ANSWER_MAX;
    loop {
        match ask(consumer, partitions) {
            Err(error)
                if error.rdkafka_error_code().is_some_and(failure::is_passing)
                    && consumer.context().trouble.denied().is_none()
                    && Instant::now() < deadline =>
            {
                thread::sleep(TRY_PAUSE);
            }
            Ok(committed) => return Ok(committed),
            Err(error) => {
                let trouble = &consumer.context().trouble;
                if let Some(reason) = trouble.denied() {
                    return Err(LogError::Refused(format!("the kafka brokers refuse us: {reason}")));
                }
                let reason = trouble.last().unwrap_or_else(|| error.to_string());
                return Err(LogError::Broker(format!("the group's offsets can't be read: {reason}")));
            }
        }
    }
}

fn ask(consumer: &Consumer, partitions: &[TopicPartition]) -> Result<Vec<Option<Committed>>, KafkaError> {
    let mut list = TopicPartitionList::new();
    for at in partitions {
        list.add_partition(&at.topic, native_partition(at));
    }
    let answer = consumer.committed_offsets(list, TRY_MAX)?;
    let of = |at: &TopicPartition| {
        let Some(element) = answer.find_partition(&at.topic, native_partition(at)) else { return Ok(None) };
        element.error()?;
        Ok(match element.offset() {
            Offset::Offset(next) => {
                let next = u64::try_from(next).unwrap_or(0);
                Some(Committed { next, metadata: element.metadata().to_owned() })
            }
            _ => None,
        })
    };
    partitions.iter().map(of).collect()
}
