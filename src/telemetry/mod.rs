//! What the process says of itself: its log, its metrics, and the status board that stages write and the API reads.
//!
//! Writing never waits for a reader and never fails. Nothing here decides anything: no stage reads the board.

mod board;
pub mod log;
mod metrics;
mod status;

use std::{sync::Arc, time::Duration};

pub use board::{Board, Entry};
pub use metrics::Metrics;
pub use status::{
    DeadLetters, Frontier, IntakeStatus, LineState, Phase, Restarts, RuleSetStatus, RuleStatus, SignalsStatus,
    SinkStatus, SourceStatus, Stage, Status,
};

/// A handle on board and metrics; clones share them.
///
/// ```
/// # use tripline::telemetry::{LineState, Stage, Telemetry};
/// let telemetry = Telemetry::new();
/// telemetry.source("auth", 0).update(|source| source.state = LineState::Running);
/// telemetry.count_dead_letter(Stage::Detect, "no_event_time");
/// ```
#[derive(Clone)]
pub struct Telemetry {
    board: Arc<Board>,
    metrics: Arc<Metrics>,
}

impl Telemetry {
    pub fn new() -> Self {
        Telemetry { board: Arc::new(Board::new()), metrics: Arc::new(Metrics::new()) }
    }

    /// Where the process is in its life.
    pub fn set_phase(&self, phase: Phase) {
        self.board.set_phase(phase);
    }

    /// The rules that run from now on; the entries of others go.
    pub fn set_rules(&self, hash: &str, ids: &[Arc<str>], refused: u64) {
        self.board.set_rules(hash, ids, refused);
    }

    /// A receiver: what reached an input from outside.
    pub fn intake(&self, input: &str) -> Entry<'_, Arc<str>, IntakeStatus> {
        self.board.intake(input)
    }

    /// A partition of an input, as detect reads it.
    pub fn source(&self, input: &str, partition: u32) -> Entry<'_, (Arc<str>, u32), SourceStatus> {
        self.board.source(input, partition)
    }

    /// A signals partition, as correlate reads it.
    pub fn signals(&self, partition: u32) -> Entry<'_, u32, SignalsStatus> {
        self.board.signals(partition)
    }

    pub fn sink(&self, name: &str) -> Entry<'_, Arc<str>, SinkStatus> {
        self.board.sink(name)
    }

    pub fn rule(&self, id: &str) -> Entry<'_, Arc<str>, RuleStatus> {
        self.board.rule(id)
    }

    /// A record went to dead letters. Reasons are few and fixed, such as `no_event_time`: never the error's own text.
    pub fn count_dead_letter(&self, stage: Stage, reason: &str) {
        self.board.count_dead_letter(stage, reason);
    }

    /// A line of `stage` was built anew after a failure.
    pub fn count_restart(&self, stage: Stage) {
        self.board.count_restart(stage);
    }

    /// How long `stage` worked on one batch.
    pub fn observe_batch(&self, stage: Stage, took: Duration) {
        self.metrics.batch_seconds.with_label_values(&[stage.as_str()]).observe(took.as_secs_f64());
    }

    /// How long `stage` waited until its outcome was durable.
    pub fn observe_commit(&self, stage: Stage, took: Duration) {
        self.metrics.commit_seconds.with_label_values(&[stage.as_str()]).observe(took.as_secs_f64());
    }

    /// How long one attempt of a configured sink took, whatever came of it.
    pub fn observe_send(&self, sink: &str, took: Duration) {
        self.metrics.send_seconds.with_label_values(&[sink]).observe(took.as_secs_f64());
    }

    /// A request was answered. `route` is one of the server's own routes, never the path that was asked for.
    pub fn count_request(&self, route: &str, status: u16) {
        self.metrics.http_requests.with_label_values(&[route, &status.to_string()]).inc();
    }

    /// The whole board as it stands.
    pub fn status(&self) -> Status {
        self.board.snapshot()
    }

    /// Everything in Prometheus' text format.
    pub fn encode(&self) -> String {
        self.metrics.encode(&self.board.snapshot())
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Telemetry::new()
    }
}
