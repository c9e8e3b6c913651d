//! The board's contents, as `/v1/status` and `tripline status` show them.
//!
//! Counters count since the process started. Times are event times in RFC 3339 UTC, unless they say otherwise.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{event::Timestamp, rule::ScriptError};

/// Everything, in the order of names and numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    /// By the wall clock: when this was asked for.
    #[serde(with = "rfc3339")]
    pub now: Option<Timestamp>,
    pub phase: Phase,
    pub rule_set: RuleSetStatus,
    pub intake: Vec<IntakeStatus>,
    pub stages: Vec<StageStatus>,
    pub lines: Vec<LineStatus>,
    pub sources: Vec<SourceStatus>,
    pub reached: Vec<ReachedStatus>,
    pub signals: Vec<SignalsStatus>,
    pub sinks: Vec<SinkStatus>,
    pub rules: Vec<RuleStatus>,
    pub dead_letters: Vec<DeadLetters>,
    pub restarts: Vec<Restarts>,
    pub left_out: Vec<LeftOut>,
    /// What is followed of other processes' state.
    #[serde(default)]
    pub followed: Vec<FollowedStatus>,
    #[serde(default)]
    pub standby: StandbyStatus,
}

impl Status {
    /// How far an event time lies behind the wall clock; `None` without a time, nothing for one in the future.
    pub fn behind(&self, reached: Option<Timestamp>) -> Option<Duration> {
        Some(self.now?.since(reached?))
    }

    /// The detect line of a source: an input's k-th topic numbers its partitions from k * 65536.
    pub fn line_of(&self, source: &SourceStatus) -> Option<&LineStatus> {
        let is_its = |line: &&LineStatus| {
            *line.stage == *"detect" && line.topic == source.topic && line.partition == source.partition % 65_536
        };
        self.lines.iter().find(is_its)
    }

    /// Why the process is not ready; empty when it is. A sink that does not answer is no reason: alerts wait in the
    /// log.
    pub fn not_ready(&self) -> Vec<String> {
        let phase = match self.phase {
            Phase::Running => None,
            phase => Some(format!("the process is {}", phase.as_str())),
        };
        let outside = self.stages.iter().filter(|stage| stage.last_error.is_some());
        let outside = outside.map(|stage| format!("{} is out of its group", stage.title()));
        let is_down = |line: &&LineStatus| line.state.is_down();
        let lines =
            self.lines.iter().filter(is_down).map(|line| format!("{} is {}", line.title(), line.state.as_str()));
        phase.into_iter().chain(outside).chain(lines).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Starting,
    Running,
    Stopping,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Stopping => "stopping",
        }
    }
}

/// What a line of a stage does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineState {
    #[default]
    Running,
    /// It reads the state that its partition's former line left.
    Restoring,
    /// It failed and waits for its next try.
    Restarting,
    Stopped,
    /// It can't go on until somebody looks: its log or its state can't be read.
    Halted,
}

impl LineState {
    /// Whether its partition stands still.
    pub fn is_down(self) -> bool {
        matches!(self, LineState::Restoring | LineState::Restarting | LineState::Halted)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            LineState::Running => "running",
            LineState::Restoring => "restoring",
            LineState::Restarting => "restarting",
            LineState::Stopped => "stopped",
            LineState::Halted => "halted",
        }
    }
}

/// The rules that run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSetStatus {
    /// Hex SHA-256 over every rule file.
    pub hash: String,
    /// Of the push that they come from; `None` where they come from files.
    pub revision: Option<u64>,
    /// By the wall clock: since when they run.
    #[serde(with = "rfc3339")]
    pub since: Option<Timestamp>,
    pub loaded: u64,
    /// Rules that did not load.
    pub refused: u64,
    /// Why, for the first few.
    pub errors: Vec<String>,
    /// Processes of the fleet that run other rules, where each reads files of its own.
    #[serde(default)]
    pub others: u64,
}

/// What the receivers of an input took in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntakeStatus {
    pub input: Arc<str>,
    /// Records that are durable in the log.
    pub accepted: u64,
    /// Records longer than the log takes.
    pub rejected: u64,
    /// Records of which only the beginning was kept.
    pub cut: u64,
    /// Records that no sender will repeat and that the log did not get.
    pub dropped: u64,
    /// Files that were emptied while they were followed: what they held unread is gone.
    pub truncated: u64,
    /// Files that could not be read, each counted once until it can.
    pub unreadable: u64,
    /// Connections turned away because too many were open.
    pub connections_refused: u64,
    /// Appends that the log refused and that were tried again.
    pub retries: u64,
    /// HTTP bodies that the log refused; their senders were told.
    pub refused: u64,
    /// Why the last one was.
    pub last_error: Option<String>,
}

/// A stage's membership in its group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageStatus {
    pub stage: Arc<str>,
    /// The sink, where the stage is notify.
    pub name: Arc<str>,
    /// Why it is out of its group, while it is.
    pub last_error: Option<String>,
}

impl StageStatus {
    fn title(&self) -> String {
        if self.name.is_empty() { self.stage.to_string() } else { format!("{} {}", self.stage, self.name) }
    }
}

/// A line: one partition's work in one stage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineStatus {
    pub stage: Arc<str>,
    /// The sink, where the stage is notify.
    pub name: Arc<str>,
    pub topic: Arc<str>,
    pub partition: u32,
    pub state: LineState,
    pub restarts: u64,
    /// The next offset that its group would begin at.
    pub committed: Option<u64>,
    /// The offset that the next append will get.
    pub end: Option<u64>,
    pub last_error: Option<String>,
}

impl LineStatus {
    /// Records that wait; `None` before it was asked for.
    pub fn lag(&self) -> Option<u64> {
        Some(self.end?.saturating_sub(self.committed?))
    }

    /// `detect tripline.events.http/3`, `notify mail tripline.alerts/0`
    pub fn title(&self) -> String {
        let space = if self.name.is_empty() { "" } else { " " };
        format!("{} {}{space}{}/{}", self.stage, self.name, self.topic, self.partition)
    }
}

/// A partition of an input, as detect reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    pub input: Arc<str>,
    pub partition: u32,
    pub topic: Arc<str>,
    /// The offset of the next record to read.
    pub next: u64,
    #[serde(with = "rfc3339")]
    pub watermark: Option<Timestamp>,
    /// The least lateness with which no event of this line would have been late.
    pub disorder_ms: u64,
    pub idle: bool,
    /// It waits for others that are far behind.
    pub paused: bool,
    /// The others' time goes on without it.
    pub left_out: bool,
    pub epoch: u64,
    /// Of its rules, where they were pushed.
    pub revision: u64,
    /// Records that became events.
    pub events: u64,
    pub late: u64,
    /// Event times that were set back because they lay too far in the future.
    pub clamped: u64,
    /// Records in dead letters: they became no event.
    pub dead_letters: u64,
    /// Records that retention removed before they were read.
    pub missed: u64,
}

/// How far a partition of an input is in the signals partitions that this process correlates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachedStatus {
    pub input: Arc<str>,
    pub partition: u32,
    /// Signals partitions that this is about.
    pub signals_partitions: u64,
    /// The least watermark of the source that one of them has taken in; `None` while one has not heard of it.
    #[serde(with = "rfc3339")]
    pub watermark: Option<Timestamp>,
    /// The greatest offset of an event whose signal one of them has taken in.
    pub accepted: Option<u64>,
}

/// A signals partition, as correlate reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalsStatus {
    pub partition: u32,
    pub next: u64,
    /// The least frontier of all input sets that rules read.
    #[serde(with = "rfc3339")]
    pub frontier: Option<Timestamp>,
    /// Of its rules, where they were pushed.
    pub revision: u64,
    /// Signals that wait for their frontier.
    pub buffered: u64,
    /// Keys with state.
    pub keys: u64,
    pub signals: u64,
    pub late: u64,
    pub duplicates: u64,
    /// Written by lines that had lost their partition.
    pub stale_epoch: u64,
    /// Of a rule, or of a shape of it, that is not loaded.
    pub unknown_rule: u64,
    /// Older than the frontier when their source joined.
    pub before_join: u64,
    /// Dropped because their key had too many, or with an evicted key.
    pub evicted: u64,
    /// Entries dropped from full lists, or too long for any.
    pub unlisted: u64,
    /// Keys that had to go because there were too many.
    pub evicted_keys: u64,
    /// Keys that went with their rule, or with its former shape.
    pub retired_keys: u64,
    /// Signals that retention removed before they were read.
    pub missed: u64,
    /// Signals in dead letters, because a line died of them twice.
    pub dead_letters: u64,
    /// Counted into an alert that was open.
    pub suppressed: u64,
    /// While its state is restored: records of the changelog that are read, and how many there are.
    pub restored: u64,
    pub to_restore: u64,
    /// How long the last line took from its assignment until it read on.
    pub resume_millis: Option<u64>,
    /// Records of the changelog that it read for that,
    #[serde(default)]
    pub resume_read: u64,
    /// and values that it had because this process had followed it.
    #[serde(default)]
    pub resume_followed: u64,
}

/// The state of a signals partition that another process has, as far as this one follows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowedStatus {
    pub partition: u32,
    /// The offset of the next record of the changelog.
    pub next: u64,
    /// Where it ended when that was last asked.
    pub end: u64,
    pub keys: u64,
    /// Of memory.
    pub bytes: u64,
}

/// Following other processes' state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandbyStatus {
    /// Partitions that had to go because all of them took too much.
    pub dropped: u64,
    /// Partitions that were given up because reading failed or something may be missing in them; each begins anew.
    pub begun_anew: u64,
}

/// A receiver of alerts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkStatus {
    pub name: Arc<str>,
    pub delivered: u64,
    pub failed_attempts: u64,
    /// Alerts that its filter does not let pass.
    pub unwanted: u64,
    /// Alerts that retention removed before they were delivered.
    pub missed: u64,
    /// Alerts in dead letters after the last try.
    pub given_up: u64,
    /// Alerts that are under way.
    pub sending: u64,
    /// By the wall clock: since when they are tried.
    #[serde(with = "rfc3339")]
    pub sending_since: Option<Timestamp>,
    /// Of the last attempt that failed; the sink keeps secrets out of it.
    pub last_error: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleStatus {
    pub id: Arc<str>,
    /// Events that a pattern matched.
    pub matched: u64,
    /// Matches that lacked a field of the key.
    pub missing_key: u64,
    /// Signals that lacked a field of `first_seen`.
    pub missing_value: u64,
    /// Keys, or combinations of values, that one event had beyond the bound.
    pub keys_cut: u64,
    /// Alerts `fired` or `opened`.
    pub fired: u64,
    /// Late signals that changed nothing.
    pub late: u64,
    /// Calls of scripts that failed or stopped at a limit.
    pub script_failures: u64,
    /// Set aside after too many failures.
    pub quarantined: bool,
    /// Events, signals and timers that went by while it was.
    pub passed_by: u64,
    pub last_failure: Option<String>,
}

impl RuleStatus {
    pub(super) fn failed(&mut self, failure: Option<&ScriptError>) {
        if let Some(failure) = failure {
            self.last_failure = Some(failure.to_string());
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetters {
    pub stage: Arc<str>,
    pub reason: Arc<str>,
    pub count: u64,
}

/// Lines built anew in a stage, those of partitions that moved away since then too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarts {
    pub stage: Arc<str>,
    pub count: u64,
}

/// How often a source of an input was left behind by the others' time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    pub input: Arc<str>,
    pub count: u64,
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
        let time = Timestamp::parse(&text).ok_or_else(|| D::Error::custom("expected a time in RFC 3339"))?;
        Ok(Some(time))
    }
}
