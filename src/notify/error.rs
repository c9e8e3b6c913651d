//! What can be wrong with a sink: its configuration, once, and an attempt to reach it, any time.
//!
//! No text here holds a secret: a webhook is named by its host, mail by its server.

use std::{path::PathBuf, time::Duration};

use crate::log::LogError;

/// A sink that can't work as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error("sink {sink}: url {problem}; write one like https://hooks.example.com/services/alerts")]
    Url { sink: String, problem: &'static str },
    #[error("sink {sink}: header {header:?} {problem}")]
    Header { sink: String, header: String, problem: &'static str },
    #[error("sink {sink}: {key} = {written:?} is no mail address ({problem}); write it like soc@example.com")]
    Address { sink: String, key: &'static str, written: String, problem: String },
    #[error("sink {sink}: to names no recipient")]
    NoRecipient { sink: String },
    #[error("sink {sink}: ca_file {}: {problem}", path.display())]
    CaFile { sink: String, path: PathBuf, problem: String },
    #[error("sink {sink}: TLS: {problem}")]
    Tls { sink: String, problem: String },
    #[error("sink {sink}: severity_min {written:?} is not one of info, low, medium, high, critical")]
    Severity { sink: String, written: String },
    #[error("sink {sink}: state {written:?} is not one of fired, opened, closed")]
    State { sink: String, written: String },
    #[error("sink {sink}: {source}")]
    Log { sink: String, source: LogError },
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It may pass, so the same alert is tried again; not before `after`, when the other side named a time.
    #[error("{reason}")]
    Passing { reason: String, after: Option<Duration> },
    /// The other side refused this alert and would refuse it again.
    #[error("{reason}")]
    Refused { reason: String },
}

impl Failure {
    pub(super) fn passing(reason: impl Into<String>) -> Self {
        Failure::Passing { reason: reason.into(), after: None }
    }

    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Failure::Refused { reason: reason.into() }
    }
}

/// An error with all that caused it, on one line: `error sending request: tcp connect error: connection refused`.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
