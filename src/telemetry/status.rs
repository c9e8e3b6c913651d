//! The board's contents, as stages write them and as `/v1/status` and `tripline status` show them.
//!
//! Counters count since the process started. Times are event times in RFC 3339 UTC, unless they say otherwise.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::event::Timestamp;

/// Everything, in the order of names and numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub phase: Phase,
    pub rule_set: RuleSetStatus,
    pub intake: Vec<IntakeStatus>,
    pub sources: Vec<SourceStatus>,
    pub signals: Vec<SignalsStatus>,
    pub sinks: Vec<SinkStatus>,
    pub rules: Vec<RuleStatus>,
    pub dead_letters: Vec<DeadLetters>,
    pub restarts: Vec<Restarts>,
}

impl Status {
    /// Why the process is not ready; empty when it is. A sink that is down is no reason: alerts wait in the log.
    pub fn not_ready(&self) -> Vec<String> {
        let phase = match self.phase {
            Phase::Running => None,
            Phase::Starting => Some("the process is starting".to_owned()),
            Phase::Stopping => Some("the process is stopping".to_owned()),
        };
        let sources = self.sources.iter().filter(|source| source.state == LineState::Restarting);
        let signals = self.signals.iter().filter(|signals| signals.state == LineState::Restarting);
        let sinks = self.sinks.iter().filter(|sink| sink.state == LineState::Restarting);
        phase
            .into_iter()
            .chain(sources.map(|source| format!("detect {}/{} is restarting", source.input, source.partition)))
            .chain(signals.map(|signals| format!("correlate {} is restarting", signals.partition)))
            .chain(sinks.map(|sink| format!("notify {} is restarting", sink.name)))
            .collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Starting,
    Running,
    Stopping,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Stopping => "stopping",
        })
    }
}

/// A stage, as a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Detect,
    Correlate,
    Notify,
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Detect => "detect",
            Stage::Correlate => "correlate",
            Stage::Notify => "notify",
        }
    }
}

/// What a line of a stage does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineState {
    /// It recovers its state.
    #[default]
    Starting,
    Running,
    /// It waits: for a mailbox, or for a partition that is behind.
    Paused,
    /// It failed and waits for its next try.
    Restarting,
    Stopped,
}

impl LineState {
    pub fn as_str(self) -> &'static str {
        match self {
            LineState::Starting => "starting",
            LineState::Running => "running",
            LineState::Paused => "paused",
            LineState::Restarting => "restarting",
            LineState::Stopped => "stopped",
        }
    }
}

/// The rules that run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSetStatus {
    /// Hex SHA-256 over every rule file.
    pub hash: String,
    pub loaded: u64,
    /// Rules that did not load.
    pub refused: u64,
}

/// What a receiver took in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntakeStatus {
    pub input: Arc<str>,
    /// Records that are durable in the log.
    pub accepted: u64,
    /// Records that are not events, such as those beyond the size limit.
    pub rejected: u64,
    /// Batches that the log did not take, as when the disk is full; their senders were told.
    pub refused: u64,
    /// Why the last one was refused.
    pub last_error: Option<String>,
}

/// A partition of an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    pub input: Arc<str>,
    pub partition: u32,
    pub state: LineState,
    /// The offset of the next record to read.
    pub next: u64,
    /// The offset that the next append will get, as last asked for.
    pub end: Option<u64>,
    #[serde(with = "rfc3339")]
    pub watermark: Option<Timestamp>,
    pub idle: bool,
    pub epoch: u64,
    pub restarts: u64,
    /// Records that became events.
    pub decoded: u64,
    pub late: u64,
    /// Event times that were set back because they lay too far in the future.
    pub clamped: u64,
    /// Records that retention took before they were read.
    pub gap: u64,
}

/// A signals partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalsStatus {
    pub partition: u32,
    pub state: LineState,
    pub next: u64,
    pub end: Option<u64>,
    /// One for each input set that rules read.
    pub frontiers: Vec<Frontier>,
    /// Signals that wait for their frontier.
    pub buffered: u64,
    /// Keys with state.
    pub keys: u64,
    pub restarts: u64,
    pub late: u64,
    pub duplicates: u64,
    /// Signals older than what had been released when their partition was discovered.
    pub before_join: u64,
    /// Signals dropped because a key had too many.
    pub evicted: u64,
}

/// How far an input set is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontier {
    /// The set's inputs with commas between, or `*`.
    pub inputs: String,
    #[serde(with = "rfc3339")]
    pub at: Option<Timestamp>,
}

/// A receiver of alerts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkStatus {
    pub name: Arc<str>,
    pub state: LineState,
    pub delivered: u64,
    /// Alerts that its filter passes over.
    pub filtered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Alerts in dead letters after the last try.
    pub given_up: u64,
    /// Alerts that wait.
    pub lag: u64,
    /// By the wall clock: since when the oldest of them is tried again.
    #[serde(with = "rfc3339")]
    pub retrying_since: Option<Timestamp>,
    /// Of the last attempt that failed; the sink keeps secrets out of it.
    pub last_error: Option<String>,
    pub restarts: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleStatus {
    pub id: Arc<str>,
    /// Signals.
    pub matched: u64,
    /// Alerts `fired` or `opened`.
    pub fired: u64,
    /// Scripts that failed or stopped at a limit.
    pub script_failures: u64,
    /// Set aside after too many failures.
    pub quarantined: bool,
    /// Matches that lacked a field of the key.
    pub missing_key: u64,
    /// Late signals that changed nothing.
    pub late: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetters {
    pub stage: Stage,
    pub reason: Arc<str>,
    pub count: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarts {
    pub stage: Stage,
    pub count: u64,
}

impl SourceStatus {
    /// Records that wait; `None` before the end was asked for.
    pub fn lag(&self) -> Option<u64> {
        self.end.map(|end| end.saturating_sub(self.next))
    }
}

impl SignalsStatus {
    /// Records that wait; `None` before the end was asked for.
    pub fn lag(&self) -> Option<u64> {
        self.end.map(|end| end.saturating_sub(self.next))
    }
}

impl From<Arc<str>> for IntakeStatus {
    fn from(input: Arc<str>) -> Self {
        IntakeStatus { input, accepted: 0, rejected: 0, refused: 0, last_error: None }
    }
}

impl From<(Arc<str>, u32)> for SourceStatus {
    fn from((input, partition): (Arc<str>, u32)) -> Self {
        SourceStatus {
            input,
            partition,
            state: LineState::default(),
            next: 0,
            end: None,
            watermark: None,
            idle: false,
            epoch: 0,
            restarts: 0,
            decoded: 0,
            late: 0,
            clamped: 0,
            gap: 0,
        }
    }
}

impl From<u32> for SignalsStatus {
    fn from(partition: u32) -> Self {
        SignalsStatus {
            partition,
            state: LineState::default(),
            next: 0,
            end: None,
            frontiers: Vec::new(),
            buffered: 0,
            keys: 0,
            restarts: 0,
            late: 0,
            duplicates: 0,
            before_join: 0,
            evicted: 0,
        }
    }
}

impl From<Arc<str>> for SinkStatus {
    fn from(name: Arc<str>) -> Self {
        SinkStatus {
            name,
            state: LineState::default(),
            delivered: 0,
            filtered: 0,
            failed: 0,
            given_up: 0,
            lag: 0,
            retrying_since: None,
            last_error: None,
            restarts: 0,
        }
    }
}

impl From<Arc<str>> for RuleStatus {
    fn from(id: Arc<str>) -> Self {
        RuleStatus { id, matched: 0, fired: 0, script_failures: 0, quarantined: false, missing_key: 0, late: 0 }
    }
}

/// `Option<Timestamp>` as RFC 3339 text.
mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use crate::event::Timestamp;

    pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(|time| time.to_string()).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let time: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
        i64::try_from(time.as_nanosecond()).map(Timestamp).map(Some).map_err(D::Error::custom)
    }
}
