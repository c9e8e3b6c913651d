//! How far a line's source is, and what the others hear of it: idle, catching up, far behind.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, warn};

use super::DetectLine;
use crate::{
    detect::SignalRecord,
    log::{LogError, Record},
    stage::alignment::Standing,
};

/// An idle source asks the log no more often than this whether it still is.
const IDLE_ASK_INTERVAL: Duration = Duration::from_secs(1);

/// Between two looks this long apart the process was stopped: what happened in between, it can't know.
const STOPPED_AFTER: Duration = Duration::from_secs(10);

/// How many idle timeouts a source may be unknown before the others stop waiting for it: its broker may be down.
const UNKNOWN_TIMEOUTS: u32 = 2;

impl DetectLine {
    /// Idle is: caught up with the log's own end, and nothing for the idle timeout. It is found out anew each time,
    /// so a process that was stopped, or is cut off from the log, says nothing rather than something false.
    pub(super) async fn rest_if_idle(&mut self) {
        let timeout = self.input.idle_timeout;
        let asked_lately = |until: Instant| until.elapsed() < timeout.min(IDLE_ASK_INTERVAL);
        if self.quiet_since.elapsed() < timeout || self.idle_until.is_some_and(asked_lately) {
            return;
        }
        let now = Instant::now();
        if self.is_at_end().await {
            let passed = self.idle_until.map_or(Duration::ZERO, |until| now - until);
            self.source.rest(if passed < STOPPED_AFTER { passed } else { Duration::ZERO });
            self.idle_until = Some(now);
            // A source without events has no time that moves: what counts is that it is still idle.
            if self.source.watermark().is_none() {
                self.marked = None;
            }
        } else {
            self.source.wake();
            self.idle_until = None;
        }
    }

    /// A source that is caught up and still far behind the others is left out: an old log, a wrong clock.
    pub(super) async fn leave_out_if_far_behind(&mut self) {
        let behind = self.shared.config.detect.left_out_after;
        let was_left_out = self.source.marker().left_out.is_some();
        let is_behind = !self.is_catching_up() && self.shared.alignment.is_behind(self.source.watermark(), behind);
        let left_out = is_behind && (was_left_out || self.is_at_end().await);
        if left_out && !was_left_out {
            warn!(input = %self.name, partition = self.partition, "far behind the others: they go on without it");
            self.shared.telemetry.count_left_out(&self.name);
        }
        self.source.leave_out(left_out.then_some(behind));
    }

    /// Whether there is nothing more to read, asked of the log itself. A log that can't be asked confirms nothing.
    async fn is_at_end(&mut self) -> bool {
        let asked = self.reader.end().await.and_then(|end| {
            // What is no record, such as a transaction's end, is passed by here.
            let looked = self.reader.drain(0, &mut |_| {})?;
            self.take_note_of_gap(looked.gap);
            self.next = looked.next;
            Ok(end <= self.next)
        });
        asked.unwrap_or_else(|error| {
            warn!(input = %self.name, partition = self.partition, %error, "can't ask for the end");
            false
        })
    }

    pub(super) fn take_note_of_gap(&self, records: u64) {
        if records > 0 {
            error!(
                input = %self.name, partition = self.partition, records,
                "records were removed by retention before they were read"
            );
            self.shared.telemetry.source_missed(&self.name, self.partition, records);
        }
    }

    /// Others wait for a source that catches up, so it says soon when it has.
    pub(super) async fn note_if_caught_up(&mut self) {
        let is_quiet = self.quiet_since.elapsed() >= self.shared.config.detect.marker_interval;
        if is_quiet && self.is_catching_up() && self.is_at_end().await {
            self.backlog_end = self.next;
            self.behind_at = None;
        }
    }

    /// It reads on in what was there when it began, or more than it can read at once.
    fn is_catching_up(&self) -> bool {
        let lately = |at: Instant| at.elapsed() < self.input.idle_timeout;
        (self.next < self.backlog_end && lately(self.quiet_since)) || self.behind_at.is_some_and(lately)
    }

    /// Tells the other sources of the process how far this one is.
    pub(super) fn report(&self) {
        let marker = self.source.marker();
        let asked_for = self.input.idle_timeout.saturating_mul(UNKNOWN_TIMEOUTS);
        self.place.report(Standing {
            watermark: marker.watermark,
            catching_up: self.is_catching_up(),
            unknown: marker.watermark.is_none() && !marker.idle && self.quiet_since.elapsed() < asked_for,
        });
    }

    pub(super) fn mark(&mut self, records: &mut Vec<Record>) {
        let marker = self.source.marker();
        self.report();
        self.marked_at = Instant::now();
        if self.marked.as_ref() == Some(&marker) {
            return;
        }
        self.shared.telemetry.source_read(&self.name, self.partition, self.next, &self.source.take_counts(), &marker);
        let record = SignalRecord::Marker(marker.clone());
        records.extend(self.shared.to_all(&record, self.shared.clock.now_ms()));
        self.marked = Some(marker);
    }

    /// Tells every signals partition where the source stands, where that changed: of epoch and rules they hear before
    /// they have a signal of them.
    pub(super) async fn announce(&mut self) -> Result<(), LogError> {
        let mut records = Vec::new();
        self.mark(&mut records);
        if !records.is_empty() {
            self.shared.log.append(records).await?;
        }
        Ok(())
    }

    pub(super) fn is_ahead(&self) -> bool {
        self.shared.alignment.is_ahead(self.source.watermark(), self.shared.config.detect.max_ahead)
    }
}
