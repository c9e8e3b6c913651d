//! What a commit of a correlate line writes, in one transaction: alerts, dead letters, what the alerts are to rules on
//! alerts, what changed of the state, and the position.

use std::time::Duration;

use tokio::time::Instant;
use tracing::error;

use super::CorrelateLine;
use crate::{
    alert::Alert,
    correlate::{CHAIN_EPOCH, Chained, Changes},
    detect::{Marker, SignalRecord, SourceCounts},
    event::ALERTS,
    log::{Commit, Committed, LogError, Record, Transaction},
};

/// A partition where only time moved commits this often.
const QUIET_COMMIT_INTERVAL: Duration = Duration::from_secs(5);

impl CorrelateLine {
    pub(super) async fn commit_if_due(&mut self) -> Result<(), LogError> {
        let quiet =
            self.correlator.read_through() > self.committed && self.committed_at.elapsed() > QUIET_COMMIT_INTERVAL;
        let is_due = self.correlator.has_changes() || self.is_mark_due() || self.are_rules_untold() || quiet;
        if is_due { self.commit().await } else { Ok(()) }
    }

    /// Rules on alerts wait for the time of this partition.
    fn is_mark_due(&self) -> bool {
        let frontier = self.correlator.chain_frontier();
        self.correlator.chains()
            && frontier > self.marked
            && self.marked_at.elapsed() >= self.shared.config.detect.marker_interval
    }

    /// Rules on alerts wait until every partition's alerts come from the same rules.
    fn are_rules_untold(&self) -> bool {
        self.correlator.chains() && self.correlator.bundle() != self.marked_rules.as_ref()
    }

    /// Alerts, changed keys and the position take effect together.
    pub(super) async fn commit(&mut self) -> Result<(), LogError> {
        let now_ms = self.shared.clock.now_ms();
        let changes = self.correlator.changes();
        let alerts = std::mem::take(&mut self.alerts);
        let mut records: Vec<Record> = alerts.iter().map(|alert| self.alert_record(alert, now_ms)).collect();
        records.append(&mut self.dead_letters);
        self.chain(&mut records, now_ms);
        let transaction =
            Transaction { records, commits: vec![self.position(&changes)], state: self.state_records(changes, now_ms) };
        self.shared.log.commit(transaction).await?;
        self.committed = self.correlator.read_through();
        self.committed_at = Instant::now();
        Ok(())
    }

    /// Adds what the alerts are to the second layer of rules: signals, writes of lists, then how far this partition is.
    fn chain(&mut self, records: &mut Vec<Record>, now_ms: i64) {
        if !self.correlator.chains() {
            return;
        }
        let is_due = self.is_mark_due();
        if self.are_rules_untold() {
            self.marked_rules = self.correlator.bundle().cloned();
            records.extend(self.tell_all(&self.marker(), now_ms));
        }
        let Chained { signals, writes, frontier, alerts, late, rules } = self.correlator.take_chained();
        let (topics, partitions) = (&self.shared.topics, self.shared.config.correlate.partitions);
        records.extend(signals.into_iter().map(|signal| topics.signal(signal, partitions, now_ms)));
        let writes = writes.into_iter().map(SignalRecord::List);
        records.extend(writes.flat_map(|write| topics.to_all_signals(&write, partitions, now_ms)));
        if is_due {
            self.marked = frontier;
            self.marked_at = Instant::now();
            records.extend(self.tell_all(&self.marker(), now_ms));
        }
        let (partition, marker) = (self.at.partition, self.marker());
        let telemetry = &self.shared.telemetry;
        let counts = SourceCounts { events: alerts, late, ..SourceCounts::default() };
        telemetry.source_taken(ALERTS, partition, &self.at);
        telemetry.source_read(ALERTS, partition, 0, &counts, &marker);
        for (rule, counts) in rules {
            if let (true, Some(failure)) = (counts.quarantined, &counts.last_failure) {
                error!(rule = %rule, %failure, "rule quarantined: its scripts keep failing");
            }
            telemetry.rule_detected(&rule, &counts);
        }
    }

    /// How far this partition's alerts were told to be.
    fn marker(&self) -> Marker {
        Marker {
            input: ALERTS.into(),
            partition: self.at.partition,
            epoch: CHAIN_EPOCH,
            watermark: self.marked,
            idle: false,
            left_out: None,
            rules: self.marked_rules.clone(),
        }
    }

    fn tell_all(&self, marker: &Marker, now_ms: i64) -> impl Iterator<Item = Record> + use<> {
        let record = SignalRecord::Marker(marker.clone());
        self.shared.topics.to_all_signals(&record, self.shared.config.correlate.partitions, now_ms)
    }

    fn alert_record(&self, alert: &Alert, now_ms: i64) -> Record {
        Record {
            topic: self.shared.topics.alerts.clone(),
            partition: self.at.partition,
            key: Some(alert.id.clone().into()),
            value: Some(alert.to_json().into()),
            timestamp_ms: now_ms,
        }
    }

    fn state_records(&self, changes: Changes, now_ms: i64) -> Vec<Record> {
        let record = |(key, value)| Record {
            topic: self.shared.topics.state.clone(),
            partition: self.at.partition,
            key: Some(key),
            value,
            timestamp_ms: now_ms,
        };
        changes.records.into_iter().map(record).collect()
    }

    fn position(&self, changes: &Changes) -> Commit {
        Commit {
            group: self.shared.group.clone(),
            topic: self.at.topic.clone(),
            partition: self.at.partition,
            committed: Committed { next: changes.resume_from, metadata: String::new() },
        }
    }
}
