//! What the oracle says of an alert: all that follows from the rule's meaning.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use super::layers::Entry;

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
    /// The score, and (field, value) of each entity.
    pub risk: Option<(i64, BTreeSet<(String, String)>)>,
    /// What a bound has touched. The oracle has no bounds.
    pub partial: Vec<String>,
    /// Of each pattern the first signals and the last: the pattern's name and where the event is.
    pub evidence: Vec<(String, Trigger)>,
    /// What it adds to lists. It is seen in other alerts only.
    pub adds: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Fired,
    Opened,
    Closed,
}

/// Input, partition, offset and time.
pub type Trigger = (String, u32, u64, String);
