//! What callers ask of the writer, and how they are answered.

use tokio::sync::oneshot;

use super::chunk;
use crate::log::{LogError, Record, TopicSpec, Transaction};

/// What callers ask of the writer.
pub(super) enum Call {
    Append { records: Vec<Record>, answer: oneshot::Sender<Result<Vec<u64>, LogError>> },
    Commit { transaction: Transaction, answer: oneshot::Sender<Result<(), LogError>> },
    Ensure { topics: Vec<TopicSpec>, answer: oneshot::Sender<Result<(), LogError>> },
}

impl Call {
    /// Bytes that the call holds while it waits.
    pub fn bytes(&self) -> usize {
        match self {
            Call::Append { records, .. } => records.iter().map(chunk::stored_bytes).sum(),
            Call::Commit { transaction, .. } => {
                transaction.records.iter().chain(&transaction.state).map(chunk::stored_bytes).sum()
            }
            Call::Ensure { .. } => 0,
        }
    }

    /// Answers with the error.
    pub fn refuse(self, error: &LogError) {
        match self {
            Call::Append { answer, .. } => drop(answer.send(Err(error.clone()))),
            Call::Commit { answer, .. } | Call::Ensure { answer, .. } => drop(answer.send(Err(error.clone()))),
        }
    }
}

/// Whom to tell when the batch is on disk, and what.
pub(super) enum Answer {
    Append(oneshot::Sender<Result<Vec<u64>, LogError>>, Vec<u64>),
    Commit(oneshot::Sender<Result<(), LogError>>),
}

impl Answer {
    pub fn send(self, outcome: Result<(), LogError>) {
        match self {
            Answer::Append(answer, offsets) => drop(answer.send(outcome.map(|()| offsets))),
            Answer::Commit(answer) => drop(answer.send(outcome)),
        }
    }
}
