//! What the oracle says of an alert: all that follows from the rule's meaning.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    pub rule: String,
    pub key: Vec<String>,
    pub state: State,
    /// RFC 3339
    pub time: String,
    pub id: String,
    /// Of the signal that fired it, or of the last one before the timer that did.
    pub trigger: Trigger,
    pub late: bool,
    /// Patterns without a signal are left out.
    pub counts: BTreeMap<String, u64>,
    pub suppressed: u64,
    /// Start and end; `None` where there is no window.
    pub window: Option<(String, String)>,
    /// What the rule's `alert` shows.
    pub fields: Map<String, Json>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Fired,
    Opened,
    Closed,
}

/// Input, partition, offset and time.
pub type Trigger = (String, u32, u64, String);
