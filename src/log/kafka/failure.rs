//! What librdkafka's errors mean for the log's callers.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::log::{LogError, TopicPartition};

/// An error about a topic.
pub(super) fn of_topic(topic: &str, error: &KafkaError) -> LogError {
    match error.rdkafka_error_code() {
        Some(code) => of_topic_code(topic, code),
        None => LogError::Broker(format!("topic {topic}: {error}")),
    }
}

pub(super) fn of_topic_code(topic: &str, code: Code) -> LogError {
    match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownTopicId => {
            LogError::NoTopic(topic.to_owned())
        }
        Code::InvalidTopic => LogError::Refused(format!("topic {topic}: the name is not a valid one")),
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed | Code::GroupAuthorizationFailed => {
            LogError::Refused(format!("topic {topic}: {code}: this user has no right to do that"))
        }
        code => LogError::Broker(format!("topic {topic}: {code}")),
    }
}

/// An error about a partition.
pub(super) fn of_partition(at: &TopicPartition, code: Code) -> LogError {
    match code {
        Code::UnknownPartition => LogError::NoPartition { topic: at.topic.clone(), partition: at.partition },
        code => of_topic_code(&at.topic, code),
    }
}

/// A record that can't be taken out of the log.
pub(super) fn of_fetch(at: &TopicPartition, offset: u64, code: Code, reason: String) -> LogError {
    match code {
        Code::BadMessage
        | Code::BadCompression
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::MessageSizeTooLarge
        | Code::LogTruncation => LogError::Corrupt { topic: at.topic.clone(), partition: at.partition, offset, reason },
        Code::UnknownPartition
        | Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::TopicAuthorizationFailed => of_partition(at, code),
        _ => LogError::Broker(format!("{}/{}@{offset}: {reason}", at.topic, at.partition)),
    }
}

/// What became of a commit of offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommitOutcome {
    /// The seat in the group is another's.
    Fenced,
    /// The group or its coordinator is on the move.
    Again,
    Refused,
}

pub(super) fn of_commit(code: Code) -> CommitOutcome {
    match code {
        Code::UnknownMemberId | Code::FencedInstanceId | Code::FencedMemberEpoch | Code::Fenced | Code::Fatal => {
            CommitOutcome::Fenced
        }
        // A commit that was under way when the group took its next generation; whether the partition is still ours is
        // asked again before each try.
        Code::IllegalGeneration | Code::StaleMemberEpoch | Code::RebalanceInProgress => CommitOutcome::Again,
        Code::NotCoordinator
        | Code::CoordinatorNotAvailable
        | Code::CoordinatorLoadInProgress
        | Code::WaitingForCoordinator
        | Code::RequestTimedOut
        | Code::OperationTimedOut
        | Code::BrokerTransportFailure
        | Code::NetworkException
        | Code::AllBrokersDown
        | Code::UnstableOffsetCommit => CommitOutcome::Again,
        _ => CommitOutcome::Refused,
    }
}

/// Whether asking the same again soon can help.
pub(super) fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::NetworkException
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::BrokerNotAvailable
            | Code::WaitingForCoordinator
            | Code::NotCoordinator
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::UnstableOffsetCommit
            | Code::NotController
            | Code::Authentication
            | Code::SSL
    )
}
