//! What supervisors and lines say to each other. Orders are imperatives, reports are past tense.

use std::sync::Arc;

use actix::Message;
use tokio::sync::oneshot;

use crate::{
    log::{LogError, Membership, TopicPartition},
    rule::RuleSet,
};

/// To a line.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// Finish what is at hand, commit, end.
    Stop,
    /// The partition is another's: end without a commit.
    Abandon,
}

/// How a line's work ended.
#[derive(Debug)]
pub enum Ended {
    /// As ordered.
    Stopped,
    /// Its partition is another member's.
    Fenced,
    /// The log can't be read or written now. A fresh line tries again, however long that takes.
    Waiting(String),
    /// It could not go on; a fresh line may.
    Failed(String),
    /// It could not go on, and no fresh line will: the log holds something that this program can't read.
    Halted(String),
    Panicked(String),
}

impl From<LogError> for Ended {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Fenced(_) => Ended::Fenced,
            LogError::Corrupt { .. } => Ended::Halted(error.to_string()),
            error if error.is_transient() => Ended::Waiting(error.to_string()),
            error => Ended::Failed(error.to_string()),
        }
    }
}

/// From a line to its supervisor.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LineStopped {
    pub at: TopicPartition,
    pub ended: Ended,
}

/// From the log to a supervisor.
#[derive(Message)]
#[rtype(result = "()")]
pub struct MembershipChanged {
    pub change: Membership,
    /// Which of the supervisor's memberships it is about; all but the last are over.
    pub membership: u64,
}

/// To a supervisor: every line goes on with these rules, from its next record.
#[derive(Message)]
#[rtype(result = "()")]
pub struct UseRules(pub Arc<RuleSet>);

/// To a supervisor: stop every line and leave the group, then answer.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain(pub oneshot::Sender<()>);
