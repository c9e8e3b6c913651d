//! The alert: what a firing rule says, with an id that the same log always gives again.

mod event;
mod id;

use std::sync::Arc;

pub use id::id;
use serde::{Deserialize, Serialize};

/// An alert as every sink gets it; one line of JSON. Field order is the order of the JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// 32 hex digits: the first 16 bytes of the SHA-256 of rule id, key and trigger.
    pub id: String,
    pub state: State,
    /// The rule's metadata: `id`, `title`, `version` and what else it declares.
    pub rule: serde_json::Map<String, serde_json::Value>,
    pub title: String,
    /// `info` … `critical`
    pub severity: String,
    /// RFC 3339 UTC: the trigger's event time; for a timer, the timer's.
    pub time: String,
    pub key: Vec<Arc<str>>,
    pub by: Vec<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Span>,
    /// Signals in the window, for each pattern.
    pub counts: serde_json::Map<String, serde_json::Value>,
    pub trigger: Trigger,
    pub late: bool,
    pub attack: Vec<String>,
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// Signals counted into the alert while it was open.
    pub suppressed: u64,
    /// What is over fewer signals than there were, because a bound was reached: `failure.count` and
    /// `failure.distinct("user.name")` are at least what they say. `first_seen` where not every sighting of `over` is
    /// known, so that what fired may have been seen before; `keys` where keys of the rule were evicted in the window's
    /// time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partial: Vec<String>,
    pub evidence: Vec<Evidence>,
    /// What the rule's `alert` returned besides `title`.
    pub fields: serde_json::Map<String, serde_json::Value>,
}

impl Alert {
    pub fn rule_id(&self) -> &str {
        self.rule.get("id").and_then(|id| id.as_str()).unwrap_or_default()
    }

    /// One line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an alert is texts, numbers and maps with text keys")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The whole of it: the rule has no `suppress`.
    Fired,
    /// A `closed` record with the same id follows when its suppress time ends.
    Opened,
    Closed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub start: String,
    pub end: String,
}

/// The signal that made the rule fire; for a timer, the last one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    pub input: Arc<str>,
    pub partition: u32,
    pub offset: u64,
    pub time: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub pattern: Arc<str>,
    pub input: Arc<str>,
    pub partition: u32,
    pub offset: u64,
    pub time: String,
    /// By dotted path: the fields that the rule reads.
    pub fields: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Risk {
    pub score: i64,
    pub entities: Vec<RiskEntity>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RiskEntity {
    pub field: String,
    pub value: String,
}
