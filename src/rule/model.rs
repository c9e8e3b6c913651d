//! A rule as the engine runs it: data to plan by, closures to call.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Aggregates, Predicate, Together, WindowScript, WindowTest, WindowValue};
use crate::event::{ALERTS, Fields, InputName, Position, Timestamp};

/// A loaded rule.
#[derive(Debug)]
pub struct Rule {
    pub meta: Meta,
    pub inputs: InputSet,
    /// What its walk waits for: its inputs, and the alerts of the rules that write a list that it reads.
    pub sources: InputSet,
    /// In byte order of their names.
    pub patterns: Vec<Pattern>,
    /// What alerts call the elements of the key; of rules from Rhai files the paths of the first pattern.
    pub by: Vec<Arc<str>>,
    pub window: Window,
    pub condition: Condition,
    pub when: Option<WindowTest>,
    pub alert: Option<WindowScript>,
    /// Values that its alerts tell beside.
    pub tells: Vec<Told>,
    /// What a firing adds to lists.
    pub then: Option<WindowScript>,
    /// What a `baseline` measures.
    pub value: Option<WindowValue>,
    /// What `when`, `alert`, `value` and `then` ask of windows.
    pub aggregates: Aggregates,
    /// What `when` asks of the events of all patterns together.
    pub together: Option<Together>,
    pub suppress: Option<Suppress>,
    pub audience: Audience,
    /// A hash of all that shapes the rule's windows: patterns, key, window, sequence, aggregates.
    pub shape: u64,
    pub tests: Vec<RuleTest>,
    pub place: Place,
}

impl Rule {
    pub fn id(&self) -> &Arc<str> {
        &self.meta.id
    }

    /// Whether the rule waits for the total order. Rules without window and `suppress` that read no list of other
    /// rules run in the order of the signals log instead, late events included.
    pub fn is_ordered(&self) -> bool {
        !matches!(self.window, Window::None) || self.suppress.is_some() || self.reads_written()
    }

    /// Whether it reads a list that rules write.
    pub fn reads_written(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.asks_lists.is_some())
    }

    /// Whether the rule is of the second layer, which follows what comes of the first: on its alerts, or on lists that
    /// it writes.
    pub fn follows(&self) -> bool {
        self.sources.reads_alerts()
    }

    pub fn pattern(&self, name: &str) -> Option<&Pattern> {
        self.patterns.iter().find(|pattern| &*pattern.name == name)
    }
}

/// What an alert says of its rule.
#[derive(Debug, Clone, Serialize)]
pub struct Meta {
    pub id: Arc<str>,
    pub title: String,
    /// The first 12 hex digits of the SHA-256 of the rule file.
    pub version: String,
    #[serde(skip)]
    pub severity: Severity,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub false_positives: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    #[serde(skip)]
    pub attack: Vec<String>,
    #[serde(skip)]
    pub tags: Vec<String>,
    #[serde(skip)]
    pub risk: Option<Risk>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Experimental,
    Test,
    Stable,
    Deprecated,
    /// Of Sigma rules.
    Unsupported,
}

impl Status {
    /// As rules of either language write them.
    pub(super) const NAMES: [(&str, Status); 5] = [
        ("experimental", Status::Experimental),
        ("test", Status::Test),
        ("stable", Status::Stable),
        ("deprecated", Status::Deprecated),
        ("unsupported", Status::Unsupported),
    ];
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Experimental => "experimental",
            Status::Test => "test",
            Status::Stable => "stable",
            Status::Deprecated => "deprecated",
            Status::Unsupported => "unsupported",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Risk {
    pub score: i64,
    /// Field paths whose values are the entities at risk.
    pub entities: Vec<String>,
}

/// Which inputs a rule reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InputSet {
    /// Every one that is configured; alerts are read by those only that name them.
    All,
    Named(BTreeSet<InputName>),
    /// Every one, and alerts.
    AllAndAlerts,
}

impl InputSet {
    pub fn contains(&self, input: &str) -> bool {
        match self {
            InputSet::All => input != ALERTS,
            InputSet::Named(names) => names.contains(input),
            InputSet::AllAndAlerts => true,
        }
    }

    /// These, and alerts.
    #[must_use]
    pub fn and_alerts(&self) -> Self {
        match self {
            InputSet::All | InputSet::AllAndAlerts => InputSet::AllAndAlerts,
            InputSet::Named(names) => InputSet::Named(names.iter().cloned().chain([InputName::from(ALERTS)]).collect()),
        }
    }

    /// Whether other rules' alerts are among them.
    pub fn reads_alerts(&self) -> bool {
        self.contains(ALERTS)
    }
}

/// Different values of a field, among an alert's `fields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What the alert calls them.
    pub name: Arc<str>,
    /// For each pattern the path of the field; its column has [`super::Statistic::Values`].
    pub paths: Vec<Arc<str>>,
}

/// Who is told of a rule's alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    Everyone,
    /// Rules on alerts alone: the alert enters no log.
    Rules,
}

/// What a pattern of a rule that reads both is asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Both,
    Events,
    Alerts,
}

impl Side {
    /// Whether an event of that input is on it.
    pub fn has(self, input: &str) -> bool {
        match self {
            Side::Both => true,
            Side::Events => input != ALERTS,
            Side::Alerts => input == ALERTS,
        }
    }
}

/// A named predicate over one event.
#[derive(Debug)]
pub struct Pattern {
    pub name: Arc<str>,
    pub side: Side,
    /// What detect asks: where `asks_lists` is there, all but the lists.
    pub predicate: Predicate,
    /// The predicate in full, where it asks lists that rules write.
    pub asks_lists: Option<Predicate>,
    /// The field paths that make the key; empty for one global key.
    pub by: Vec<Arc<str>>,
    /// The field paths that travel in the signal: those that the rule reads.
    pub keep: Vec<Arc<str>>,
    /// Of rules on alerts: the pattern asks for the alerts' `state`, so it is shown the closing of an alert too.
    pub sees_closed: bool,
}

/// Which part of a key's past counts, and when it is looked at.
#[derive(Debug, Clone, PartialEq)]
pub enum Window {
    /// Each event alone.
    None,
    /// `within: d`. The closed interval `[t - d, t]`, looked at with each signal; with a last `none` also by timer.
    Sliding(Duration),
    /// `every: d`. `[k·d, (k + 1)·d)` from the epoch, looked at when it ends, by timer; never an empty one.
    Tumbling(Duration),
    /// `from_first: d`. `[t, t + d)` from a signal at `t` that lies in no earlier one; looked at when it ends, by timer.
    FromFirst(Duration),
    /// `session: gap`. The run of signals of the key, of any pattern, each at most `gap` after the one before and at
    /// most `max` after the first; looked at with each signal until it has fired once.
    Session { gap: Duration, max: Option<Duration> },
    /// `silent: d`. `[t - d, t]`, looked at by timer at the last signal's time + d; a key without a signal for
    /// `forget` is dropped.
    Silent { after: Duration, forget: Duration },
    /// `first_seen: #{…}`. Looked at with each signal.
    FirstSeen(FirstSeen),
    /// `baseline: #{…}`. Looked at when a bucket ends, by timer.
    Baseline(Baseline),
}

/// A combination of values not seen for the key in `over`.
#[derive(Debug, Clone, PartialEq)]
pub struct FirstSeen {
    pub fields: Vec<Arc<str>>,
    pub over: Duration,
    /// From the key's first signal on this long nothing fires. A key without any signal for longer than `over` is
    /// forgotten, and is a new one afterwards.
    pub learn: Duration,
}

/// An aggregate per bucket against its own history.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    pub every: Duration,
    pub over: Duration,
    /// Deviations above the mean.
    pub above: f64,
    /// With one, each of its parts has a history of its own.
    pub season: Option<Season>,
}

impl Baseline {
    /// Buckets that only teach, of a season's part: at least one.
    pub fn warm_up(&self) -> u64 {
        let parts = self.season.map_or(1, |_| u64::from(Season::PARTS));
        (self.buckets() / parts).max(1)
    }

    /// Buckets of the history. A key that has had as many empty ones in a row is forgotten.
    pub fn buckets(&self) -> u64 {
        let buckets = self.over.as_nanos() / self.every.as_nanos().max(1);
        u64::try_from(buckets).unwrap_or(u64::MAX).max(1)
    }
}

/// What repeats itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Season {
    /// Hour by hour, in UTC.
    Week,
}

impl Season {
    /// Hours of a week.
    pub const PARTS: u8 = 168;
}

/// What has to be in the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Every pattern occurs (a rule without `sequence`, `all_of`, `any_of` and `when`); a rule with `when` alone and
    /// one with `silent` have an empty list, which always holds.
    AllOf(Vec<Times>),
    AnyOf(Vec<Times>),
    /// In the total order of signals, by distinct events.
    Sequence(Vec<Step>),
}

/// `n` events of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    pub n: u32,
    pub pattern: Arc<str>,
}

/// A step of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `n` events, each of one of `patterns`.
    Some { n: u32, patterns: Vec<Arc<str>> },
    /// No signal of the pattern between the chosen neighbours, both excluded. As the first step: from the start of
    /// the window `[t - d, t]` to its neighbour. As the last: from its neighbour to the first chosen event's time + d,
    /// the end included, which is when the rule fires. At either end there may be several, of several patterns.
    None(Arc<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suppress {
    pub span: Duration,
    /// The longest that an alert stays open.
    pub max: Duration,
}

/// A signal as a window keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub time: Timestamp,
    pub position: Position,
    pub element: u32,
    pub fields: Fields,
}

/// What `alert` returned.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlertText {
    pub title: Option<String>,
    /// Everything else, as JSON.
    pub fields: serde_json::Map<String, serde_json::Value>,
}

/// Where something stands in a rule file; line and column count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    pub file: PathBuf,
    pub line: usize,
    pub column: usize,
}

/// An inline test.
#[derive(Debug, Clone)]
pub struct RuleTest {
    pub name: String,
    pub events: Vec<TestEvent>,
    /// Infinite when left out.
    pub lateness: Option<Duration>,
    /// Where the log ends; at infinity when left out.
    pub until: Option<Timestamp>,
    /// Each a subset of an alert's JSON, in time order.
    pub alerts: Vec<serde_json::Value>,
    /// Ids of other rules that run too.
    pub with: Vec<String>,
    pub place: Place,
}

/// One event of a test; `repeat` is spread out already.
#[derive(Debug, Clone)]
pub struct TestEvent {
    pub at: Timestamp,
    pub input: Option<InputName>,
    pub body: TestBody,
}

#[derive(Debug, Clone)]
pub enum TestBody {
    Fields(Fields),
    Raw { line: String, format: Option<String> },
}

/// The start of the time that inline tests count from: 2024-01-01T00:00:00Z.
pub const TEST_EPOCH: Timestamp = Timestamp(1_704_067_200_000_000_000);
