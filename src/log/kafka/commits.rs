//! Commits a group's positions and looks them up. Everything here blocks, so it runs on threads that may.
//!
//! Where a group's steps are transactions, a position's metadata begins with a transactional id of the process that
//! owns the partition: `tx:<id> <the stage's words>`, or `tx:<id>` before the stage has committed anything. Its
//! successor ends by that id what it left open.

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
use crate::log::{Committed, LogError, TopicPartition};

const TRY_MAX: Duration = Duration::from_secs(5);
const TRY_PAUSE: Duration = Duration::from_millis(20);
/// Kafka's default `offset.metadata.max.bytes`.
const METADATA_BYTES_MAX: usize = 4096;

/// Begins the metadata of a partition that has an owner.
const OWNER_MARK: &str = "tx:";

/// A position as the group keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// `None` when nothing but a signature is there.
    pub committed: Option<Committed>,
    /// The transactional id under which a process may have left a transaction open.
    pub owner: Option<String>,
}

/// Commits positions; returns when the coordinator has confirmed them. `allowed` is asked before each try.
pub(super) fn commit(
    consumer: &Consumer,
    group: &str,
    list: &TopicPartitionList,
    allowed: impl Fn() -> Result<(), LogError>,
) -> Result<(), LogError> {
    let deadline = Instant::now() + ANSWER_MAX;
    loop {
        allowed()?;
        let Err(error) = consumer.commit(list, CommitMode::Sync) else { return Ok(()) };
        let outcome = error.rdkafka_error_code().map_or(CommitOutcome::Refused, failure::of_commit);
        let told = || {
            let first = list.elements().first().map(|first| format!("{}/{}", first.topic(), first.partition()));
            format!("commit of {} for group {group}: {error}", first.unwrap_or_default())
        };
        match outcome {
            CommitOutcome::Fenced => return Err(LogError::Fenced(told())),
            CommitOutcome::Refused => return Err(LogError::Refused(told())),
            CommitOutcome::Again if Instant::now() >= deadline => return Err(LogError::Broker(told())),
            CommitOutcome::Again => thread::sleep(TRY_PAUSE),
        }
    }
}

/// A position to commit: where to go on, and the stage's words, where there are any.
pub(super) type Position<'a> = (&'a TopicPartition, u64, Option<&'a str>);

/// A commit's position.
pub(super) fn position<'a>(at: &'a TopicPartition, committed: &'a Committed) -> Position<'a> {
    (at, committed.next, Some(&committed.metadata))
}

/// The positions as librdkafka takes them, under the owners' ids where they have one.
pub(super) fn listed<'a, 'o>(
    positions: impl IntoIterator<Item = Position<'a>>,
    owner_of: impl Fn(&TopicPartition) -> Option<&'o str>,
) -> Result<TopicPartitionList, LogError> {
    let mut list = TopicPartitionList::new();
    for (at, next, words) in positions {
        let metadata = match (owner_of(at), words) {
            (None, Some(words)) => words.to_owned(),
            (Some(owner), Some(words)) => format!("{OWNER_MARK}{owner} {words}"),
            (owner, None) => format!("{OWNER_MARK}{}", owner.unwrap_or_default()),
        };
        if metadata.len() > METADATA_BYTES_MAX {
            return Err(LogError::TooLarge {
                topic: at.topic.clone(),
                bytes: metadata.len(),
                bytes_max: METADATA_BYTES_MAX,
            });
        }
        let mut element = list.add_partition(&at.topic, native_partition(at));
        element
            .set_offset(native_offset(next))
            .map_err(|error| LogError::Refused(format!("{}/{}: {error}", at.topic, at.partition)))?;
        element.set_metadata(&metadata);
    }
    Ok(list)
}

fn kept(next: u64, metadata: &str) -> Kept {
    let committed = |words: &str| Some(Committed { next, metadata: words.to_owned() });
    let Some(marked) = metadata.strip_prefix(OWNER_MARK) else {
        return Kept { committed: committed(metadata), owner: None };
    };
    match marked.split_once(' ') {
        Some((owner, words)) => Kept { committed: committed(words), owner: Some(owner.to_owned()) },
        None => Kept { committed: None, owner: (!marked.is_empty()).then(|| marked.to_owned()) },
    }
}

/// What the consumer's group committed last, one answer for each partition. A consumer that reads committed records
/// waits for the transactions that are about to say more.
pub(super) fn committed(consumer: &Consumer, partitions: &[TopicPartition]) -> Result<Vec<Option<Kept>>, LogError> {
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

fn ask(consumer: &Consumer, partitions: &[TopicPartition]) -> Result<Vec<Option<Kept>>, KafkaError> {
    let mut list = TopicPartitionList::new();
    for at in partitions {
        list.add_partition(&at.topic, native_partition(at));
    }
    let answer = consumer.committed_offsets(list, TRY_MAX)?;
    let of = |at: &TopicPartition| {
        let Some(element) = answer.find_partition(&at.topic, native_partition(at)) else { return Ok(None) };
        element.error()?;
        Ok(match element.offset() {
            Offset::Offset(next) => Some(kept(u64::try_from(next).unwrap_or(0), element.metadata())),
            _ => None,
        })
    };
    partitions.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(words: Option<&str>, owner: Option<&str>) -> Kept {
        let at = TopicPartition { topic: "t".to_owned(), partition: 0 };
        let list = listed([(&at, 7, words)], |_| owner).expect("it fits");
        let element = &list.elements()[0];
        kept(7, element.metadata())
    }

    #[test]
    fn words_and_owner_come_back_each_with_and_without_the_other() {
        for words in [None, Some(""), Some("epoch 7, häh?"), Some("{\"a\": 1}")] {
            for owner in [None, Some("tripline-0a1b")] {
                let kept = read_back(words, owner);
                assert_eq!(kept.committed.as_ref().map(|committed| committed.metadata.as_str()), words);
                assert_eq!(kept.owner.as_deref(), owner);
            }
        }
    }

    #[test]
    fn metadata_beyond_the_brokers_bound_is_refused() {
        let at = TopicPartition { topic: "t".to_owned(), partition: 0 };
        let words = "x".repeat(METADATA_BYTES_MAX - 3);
        assert!(listed([(&at, 7, Some(words.as_str()))], |_| None).is_ok());
        assert!(matches!(listed([(&at, 7, Some(words.as_str()))], |_| Some("id")), Err(LogError::TooLarge { .. })));
    }
}
