//! One batch of a partition: records in, signals and dead letters out.

use tokio::time::Instant;
use tracing::error;

use super::DetectLine;
use crate::{
    detect::Raw,
    event::{DeadLetter, Timestamp},
    log::{Drained, LogError, Record},
};

/// Records taken from the log in one go.
const STEP_RECORDS_MAX: usize = 64;

/// A batch ends when it has given so many records to append: one event with long arrays gives thousands of signals.
const APPEND_RECORDS_MAX: usize = 10_000;

impl DetectLine {
    /// Reads a batch and appends what it gave; returns when that is durable.
    pub(super) async fn read(&mut self) -> Result<(), LogError> {
        let mut records = Vec::new();
        let (drained, events) = self.drain(&mut records)?;
        self.seat.at_work.off();
        self.take_note_of_gap(drained.gap);
        self.next = drained.next;
        // What can't be decoded has no time: it must not keep windows waiting for one.
        if events > 0 {
            self.quiet_since = Instant::now();
            self.idle_until = None;
        }
        if drained.records >= self.shared.config.detect.batch_records_max || records.len() >= APPEND_RECORDS_MAX {
            self.behind_at = Some(Instant::now());
        }
        self.report();
        if self.marked_at.elapsed() >= self.shared.config.detect.marker_interval {
            self.mark(&mut records);
        }
        if !records.is_empty() {
            self.shared.log.append(records).await?;
        }
        self.tell(drained);
        if self.committed_at.elapsed() >= self.shared.config.detect.commit_interval {
            self.commit().await?;
        }
        Ok(())
    }

    /// Reads what is at hand until the batch is full, in records that were read or that they gave; says how many of
    /// the records were events.
    fn drain(&mut self, records: &mut Vec<Record>) -> Result<(Drained, usize), LogError> {
        let max = self.shared.config.detect.batch_records_max;
        let mut all = Drained { records: 0, next: self.next, gap: 0 };
        let mut events = 0;
        while all.records < max && records.len() < APPEND_RECORDS_MAX {
            let asked = STEP_RECORDS_MAX.min(max - all.records);
            let (step, decoded) = self.drain_step(asked, records)?;
            all = Drained { records: all.records + step.records, next: step.next, gap: all.gap + step.gap };
            events += decoded;
            if step.records < asked {
                break;
            }
        }
        Ok((all, events))
    }

    fn drain_step(&mut self, max: usize, records: &mut Vec<Record>) -> Result<(Drained, usize), LogError> {
        let mut events = 0;
        let DetectLine { shared, source, seat, reader, at, .. } = self;
        let now_ms = shared.clock.now_ms();
        let now = Timestamp::from_millis(now_ms);
        let drained = reader.drain(max, &mut |record| {
            let bytes = record.value.unwrap_or_default();
            if seat.poisoned.contains(&record.offset) {
                source.pass_over();
                let position = source.position(record.offset);
                let letter = DeadLetter::new(&position, "detect", "crashed: its line died of it twice".into(), bytes);
                return records.push(shared.dead_letter(&letter, "crashed", now_ms));
            }
            seat.at_work.on(record.offset);
            (shared.hook)("detect", at, record.offset);
            let stamp = Timestamp::from_millis(record.timestamp_ms);
            let raw = Raw {
                offset: record.offset,
                bytes,
                timestamp_ms: Some(record.timestamp_ms),
                clock: Some(if record.stamped_by_log { stamp } else { now }),
            };
            match source.read(raw) {
                Ok(signals) => {
                    events += 1;
                    records.extend(signals.into_iter().map(|signal| shared.signal(signal, now_ms)));
                }
                Err(reject) => {
                    let position = source.position(record.offset);
                    let letter = DeadLetter::new(&position, "decode", reject.to_string(), bytes);
                    records.push(shared.dead_letter(&letter, reject.reason.as_str(), now_ms));
                }
            }
        })?;
        Ok((drained, events))
    }

    fn tell(&mut self, drained: Drained) {
        let telemetry = &self.shared.telemetry;
        let counts = self.source.take_counts();
        telemetry.source_read(&self.name, self.partition, drained.next, &counts, &self.source.marker());
        telemetry.source_disorder(&self.name, self.partition, self.source.disorder());
        for (rule, counts) in self.source.detector().take_counts() {
            if let (true, Some(failure)) = (counts.quarantined, &counts.last_failure) {
                error!(rule = %rule, %failure, "rule quarantined: its scripts keep failing");
            }
            telemetry.rule_detected(&rule, &counts);
        }
    }
}
