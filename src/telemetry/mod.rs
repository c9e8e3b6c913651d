//! What the process says of itself: its log, its metrics, and the status board that stages write and the API reads.
//!
//! Writing never waits for a reader and never fails. Nothing here decides anything: no stage reads the board.

mod board;
pub mod log;
mod metrics;
mod status;
mod table;

use std::{sync::Arc, time::Duration};

use board::Board;
use metrics::Metrics;
pub use status::{
    DeadLetters, FollowedStatus, IntakeStatus, LeftOut, LineState, LineStatus, Phase, ReachedStatus, Restarts,
    RuleSetStatus, RuleStatus, SignalsStatus, SinkStatus, SourceStatus, StageStatus, StandbyStatus, Status,
};
pub use table::Table;

use crate::{
    correlate::{Counts, Reached, Standing},
    detect::{Marker, RuleCounts, SourceCounts},
    event::Timestamp,
    input::Intake,
    log::TopicPartition,
    notify::Delivered,
};

/// An actor says each second that it is alive. The longest that a thread of the stages has work without a pause is the
/// restoring of a partition with millions of keys.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A handle on board and metrics; clones share them. Every call is short, and none may be made per event: stages tell
/// what a batch was.
#[derive(Clone, Default)]
pub struct Telemetry {
    board: Arc<Board>,
    metrics: Arc<Metrics>,
}

/// The process.
impl Telemetry {
    /// Where the process is in its life; it begins as [`Phase::Starting`].
    pub fn set_phase(&self, phase: Phase) {
        self.board.set_phase(phase);
    }

    /// The rules that run from now on, none of them quarantined; the entries of others go. Their number and the time are
    /// filled in here.
    pub fn set_rules<'a>(&self, of: RuleSetStatus, ids: impl IntoIterator<Item = &'a Arc<str>>) {
        self.board.set_rules(of, ids.into_iter().cloned().collect());
    }

    /// So many processes of the fleet run other rules than this one.
    pub fn other_rules(&self, processes: u64) {
        self.board.other_rules(processes);
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

/// Receivers and the API.
impl Telemetry {
    /// An input that is received is counted from now on.
    pub fn watch_intake(&self, input: &str, intake: Arc<Intake>) {
        self.board.watch_intake(input, intake);
    }

    /// The log did not take a receiver's batch, and the sender was told.
    pub fn refused(&self, input: &str, error: &str) {
        self.board.refused(input, error);
    }

    /// A request was answered. `route` is one of the server's own routes, never the path that was asked for.
    pub fn answered(&self, route: &str, status: u16, took: Duration) {
        self.metrics.http_request_seconds.with_label_values(&[route, &status.to_string()]).observe(took.as_secs_f64());
    }
}

/// The actors' signs of life.
impl Telemetry {
    /// The actor of a line is alive: its thread comes round to it.
    pub fn beat(&self, stage: &str, name: &str, at: &TopicPartition) {
        self.board.beat(stage, name, at);
    }

    /// The actor of a line has ended.
    pub fn beat_over(&self, stage: &str, name: &str, at: &TopicPartition) {
        self.board.beat_over(stage, name, at);
    }

    /// Lines whose actors were not heard of for [`SILENCE_MAX`]: their threads hang.
    pub fn hanging(&self) -> Vec<String> {
        self.board.silent_for(SILENCE_MAX)
    }
}

/// Lines of any stage. `name` tells the sinks' apart; other stages leave it empty.
impl Telemetry {
    pub fn line_state(&self, stage: &str, name: &str, at: &TopicPartition, state: LineState) {
        self.board.line(stage, name, at, |line| {
            line.restarts += u64::from(state == LineState::Restarting);
            line.state = state;
        });
    }

    pub fn line_error(&self, stage: &str, name: &str, at: &TopicPartition, error: &str) {
        self.board.line(stage, name, at, |line| line.last_error = Some(error.to_owned()));
    }

    /// What the line's group has committed, and where the log ends.
    pub fn line_lag(&self, stage: &str, name: &str, at: &TopicPartition, committed: u64, end: u64) {
        self.board.line(stage, name, at, |line| {
            line.committed = Some(committed);
            line.end = Some(end);
        });
    }

    /// A stage's membership in its group: `error` says why it has none.
    pub fn membership(&self, stage: &str, name: &str, error: Option<&str>) {
        self.board.stage(stage, name, |stage| stage.last_error = error.map(str::to_owned));
    }

    /// The partition went to another process, and its entries with it.
    pub fn line_gone(&self, stage: &str, name: &str, at: &TopicPartition) {
        self.board.line_gone(stage, name, at);
    }

    /// A line of `stage` is built anew after a failure.
    pub fn count_restart(&self, stage: &str) {
        self.board.count_restart(stage);
    }

    /// A record went to dead letters. Reasons are few and fixed, such as `no_event_time`: never an error's own text.
    pub fn count_dead_letter(&self, stage: &str, reason: &str) {
        self.board.count_dead_letter(stage, reason);
    }
}

/// Detect.
impl Telemetry {
    /// A line reads `at` as a partition of `input` from now on.
    pub fn source_taken(&self, input: &str, partition: u32, at: &TopicPartition) {
        self.board.source(input, partition, |source| source.topic = at.topic.as_str().into());
    }

    /// A batch was read; `next` is the offset after it.
    pub fn source_read(&self, input: &str, partition: u32, next: u64, counts: &SourceCounts, marker: &Marker) {
        self.board.source(input, partition, |source| {
            source.next = next;
            source.watermark = marker.watermark;
            source.idle = marker.idle;
            source.left_out = marker.left_out.is_some();
            source.epoch = marker.epoch;
            source.revision = marker.rules.as_ref().map_or(0, |rules| rules.revision);
            source.events += counts.events;
            source.late += counts.late;
            source.clamped += counts.clamped;
            source.dead_letters += counts.dead_letters;
        });
    }

    /// How far an event came behind a later one of the source, at most.
    pub fn source_disorder(&self, input: &str, partition: u32, disorder: Duration) {
        self.board.source(input, partition, |source| source.disorder_ms = disorder.as_millis() as u64);
    }

    /// Retention removed so many records before they were read.
    pub fn source_missed(&self, input: &str, partition: u32, records: u64) {
        self.board.source(input, partition, |source| source.missed += records);
    }

    /// Whether the source waits, because it is far ahead of the others.
    pub fn source_paused(&self, input: &str, partition: u32, paused: bool) {
        self.board.source(input, partition, |source| source.paused = paused);
    }

    /// A source of `input` was left behind by the others' time.
    pub fn count_left_out(&self, input: &str) {
        self.board.count_left_out(input);
    }

    /// What a rule's patterns did since the last call.
    pub fn rule_detected(&self, rule: &str, counts: &RuleCounts) {
        self.board.rule(rule, |rule| {
            rule.matched += counts.matched;
            rule.missing_key += counts.missing_key;
            rule.keys_cut += counts.keys_cut;
            rule.passed_by += counts.passed_by;
            rule.script_failures += counts.failures;
            rule.quarantined |= counts.quarantined;
            rule.failed(counts.last_failure.as_ref());
        });
    }
}

/// Correlate.
impl Telemetry {
    /// The state of a signals partition is being restored: so many records of its changelog are read, of so many.
    pub fn restoring(&self, partition: u32, read: u64, of: u64) {
        self.board.signals(partition, |signals| (signals.restored, signals.to_restore) = (read, of));
    }

    /// A line reads on, so long after its partition was assigned to it. It read so many records of its changelog for
    /// that, and had so many values from following it.
    pub fn resumed(&self, partition: u32, took: Duration, read: u64, followed: u64) {
        self.metrics.resume_seconds.observe(took.as_secs_f64());
        self.board.signals(partition, |signals| {
            (signals.restored, signals.to_restore) = (0, 0);
            signals.resume_millis = Some(took.as_millis() as u64);
            (signals.resume_read, signals.resume_followed) = (read, followed);
        });
    }

    /// A batch of a signals partition was worked through; `next` is the offset after it.
    pub fn correlated(&self, partition: u32, next: u64, counts: &Counts, standing: &Standing) {
        self.board.signals(partition, |signals| {
            signals.next = next;
            signals.frontier = standing.frontier;
            signals.revision = standing.revision;
            signals.buffered = standing.buffered as u64;
            signals.keys = standing.keys as u64;
            signals.signals += counts.signals;
            signals.late += counts.late;
            signals.duplicates += counts.duplicates;
            signals.stale_epoch += counts.stale_epoch;
            signals.unknown_rule += counts.unknown_rule;
            signals.before_join += counts.before_join;
            signals.evicted += counts.evicted;
            signals.unlisted += counts.unlisted;
            signals.evicted_keys += counts.evicted_keys;
            signals.retired_keys += counts.retired_keys;
            signals.suppressed += counts.suppressed;
        });
        for (rule, tally) in &counts.rules {
            self.board.rule(rule, |rule| {
                rule.fired += tally.fired;
                rule.late += tally.late;
                rule.missing_value += tally.missing_value;
                rule.keys_cut += tally.combinations_cut;
                rule.passed_by += tally.passed_by;
                rule.script_failures += tally.failures;
                rule.quarantined |= tally.quarantined;
                rule.failed(tally.last_failure.as_ref());
            });
        }
    }
}

impl Telemetry {
    /// How far a signals partition is in each source.
    pub fn reached(&self, partition: u32, sources: Vec<Reached>) {
        self.board.reached(partition, sources);
    }

    /// Retention removed so many signals before they were read.
    pub fn signals_missed(&self, partition: u32, signals: u64) {
        self.board.signals(partition, |of| of.missed += signals);
    }

    /// A signal went to dead letters.
    pub fn signal_dead(&self, partition: u32, reason: &str) {
        self.count_dead_letter("correlate", reason);
        self.board.signals(partition, |of| of.dead_letters += 1);
    }
}

/// What correlate follows of other processes' state.
impl Telemetry {
    /// The state of a signals partition is followed up to `next`, of a changelog that ended at `end`.
    pub fn standby_followed(&self, partition: u32, next: u64, end: u64, keys: u64, bytes: u64) {
        self.board.followed(FollowedStatus { partition, next, end, keys, bytes });
    }

    /// It is not followed now.
    pub fn standby_gone(&self, partition: u32) {
        self.board.followed_no_longer(partition);
    }

    /// A state is not followed because all of them took too much.
    pub fn standby_dropped(&self) {
        self.board.standby(|standby| standby.dropped += 1);
    }

    /// What was followed of a state was given up, because it failed or something may be missing in it.
    pub fn standby_begun_anew(&self) {
        self.board.standby(|standby| standby.begun_anew += 1);
    }
}

/// Notify.
impl Telemetry {
    /// The sink's filter let so many alerts not pass.
    pub fn sink_unwanted(&self, sink: &str, alerts: usize) {
        self.board.sink(sink, |sink| sink.unwanted += alerts as u64);
    }

    /// Retention removed so many alerts before the sink had them.
    pub fn sink_missed(&self, sink: &str, alerts: u64) {
        self.board.sink(sink, |sink| sink.missed += alerts);
    }

    /// A sink was given `alerts`; until [`Telemetry::sink_delivered`] it tries.
    pub fn sink_sending(&self, sink: &str, alerts: usize, since_ms: i64) {
        self.board.sink(sink, |sink| {
            sink.sending = alerts as u64;
            sink.sending_since = (alerts > 0).then(|| Timestamp::from_millis(since_ms));
        });
    }

    /// What became of them.
    pub fn sink_delivered(&self, sink: &str, delivered: &Delivered) {
        self.board.sink(sink, |sink| {
            sink.sending = 0;
            sink.sending_since = None;
            sink.delivered += delivered.acknowledged() as u64;
            sink.failed_attempts += delivered.failed_attempts;
            if delivered.last_failure.is_some() {
                sink.last_error.clone_from(&delivered.last_failure);
            }
        });
    }

    /// An alert went to dead letters.
    pub fn sink_gave_up(&self, sink: &str, reason: &str) {
        self.count_dead_letter("notify", "given_up");
        self.board.sink(sink, |sink| {
            sink.given_up += 1;
            sink.last_error = Some(reason.to_owned());
        });
    }
}
