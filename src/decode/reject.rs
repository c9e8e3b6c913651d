//! Why a record did not become an event: the words that dead letters carry.

use std::fmt;

use super::json;

/// The kind of fault. The names are stable: people filter dead letters by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Nothing but white space.
    Empty,
    /// More bytes than [`super::Limits::record_bytes_max`].
    TooLarge,
    NotUtf8,
    /// A NUL byte within text: binary, not a log line.
    Binary,
    BadJson,
    /// JSON, but a list or a scalar at the top.
    NotAnObject,
    /// Nested deeper than [`super::Limits::depth_max`].
    TooDeep,
    /// More fields than [`super::Limits::fields_max`].
    TooManyFields,
    /// A dotted field path longer than [`super::PATH_BYTES_MAX`].
    PathTooLong,
    BadSyslog,
    BadClf,
    BadApacheError,
    /// No usable event time, and nothing to fall back to.
    NoEventTime,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Empty => "empty",
            Reason::TooLarge => "too_large",
            Reason::NotUtf8 => "not_utf8",
            Reason::Binary => "binary",
            Reason::BadJson => "bad_json",
            Reason::NotAnObject => "not_an_object",
            Reason::TooDeep => "too_deep",
            Reason::TooManyFields => "too_many_fields",
            Reason::PathTooLong => "path_too_long",
            Reason::BadSyslog => "bad_syslog",
            Reason::BadClf => "bad_clf",
            Reason::BadApacheError => "bad_apache_error",
            Reason::NoEventTime => "no_event_time",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A record that is data, not an event: for the dead letters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Reject {
    pub reason: Reason,
    /// For people: what was found where, in bytes from the start of the record.
    pub detail: String,
}

impl Reject {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Reject { reason, detail: detail.into() }
    }
}

impl From<json::Fault> for Reject {
    fn from(fault: json::Fault) -> Self {
        Reject::new(fault.reason, format!("byte {}: {}", fault.at, fault.what))
    }
}
