//! A detect line: reads one partition of events, appends the signals of its events, commits after they are durable.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};
use tracing::{error, warn};

use super::{
    alignment::{Alignment, Place, Standing},
    enlisted::Enlisted,
    input_topic::InputTopic,
    line::Work,
    messages::{Ended, Order},
    seat::Seat,
    topics::Topics,
};
use crate::{
    clock::Clock,
    config::{self, Config},
    decode::{Decoder, Timing},
    detect::{Detector, Marker, Raw, Signal, SignalRecord, Source, SourceState},
    event::{DeadLetter, InputName, Timestamp},
    log::{Assignment, Commit, Committed, Drained, Log, LogError, Reader, Record, Start, TopicPartition, Transaction},
    rule::RuleSet,
    telemetry::Telemetry,
};

/// Records taken from the log in one go.
const STEP_RECORDS_MAX: usize = 64;

/// A batch ends when it has given so many records to append: one event with long arrays gives thousands of signals.
const APPEND_RECORDS_MAX: usize = 10_000;

/// An idle source asks the log no more often than this whether it still is.
const IDLE_ASK_INTERVAL: Duration = Duration::from_secs(1);

/// Between two looks this long apart the process was stopped: what happened in between, it can't know.
const STOPPED_AFTER: Duration = Duration::from_secs(10);

/// How many idle timeouts a source may be unknown before the others stop waiting for it: its broker may be down.
const UNKNOWN_TIMEOUTS: u32 = 2;

/// What all detect lines of a process share.
pub struct Detecting {
    pub log: Arc<dyn Log>,
    pub group: String,
    pub topics: Topics,
    pub config: Arc<Config>,
    pub clock: Clock,
    pub telemetry: Telemetry,
    pub alignment: Alignment,
    pub hook: super::Hook,
    pub enlisted: Enlisted,
}

/// What a line commits beside the offset.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    watermark: Option<Timestamp>,
    epoch: u64,
    rules: String,
    /// Of the rules, where they were passed round.
    #[serde(default)]
    revision: u64,
}

/// The work of the line that owns `assignment`.
pub fn work(shared: Arc<Detecting>, topic: Arc<InputTopic>, assignment: Assignment, seat: Seat) -> Work {
    Box::new(move |mut orders| {
        Box::pin(async move {
            match DetectLine::take_over(shared, &topic, assignment, seat, &mut orders).await {
                Ok(line) => line.run(orders).await.unwrap_or_else(Ended::from),
                Err(ended) => ended,
            }
        })
    })
}

struct DetectLine {
    shared: Arc<Detecting>,
    input: config::Input,
    name: InputName,
    partition: u32,
    at: TopicPartition,
    reader: Box<dyn Reader>,
    source: Source,
    place: Place,
    seat: Seat,
    rules: Arc<RuleSet>,
    epoch: u64,
    /// The next record to read; everything before it is in the signals log or in dead letters.
    next: u64,
    committed: u64,
    committed_at: Instant,
    marked: Option<Marker>,
    marked_at: Instant,
    /// Since when no event came.
    quiet_since: Instant,
    /// Where the log ended when this line began.
    backlog_end: u64,
    /// When there was last more to read than one batch takes.
    behind_at: Option<Instant>,
    /// Until when idle time has been given to the watermark; `None` while not idle.
    idle_until: Option<Instant>,
}

impl DetectLine {
    /// Makes the partition this line's: from here on the lines before it are of a lower epoch.
    async fn take_over(
        shared: Arc<Detecting>,
        topic: &InputTopic,
        assignment: Assignment,
        seat: Seat,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Result<Self, Ended> {
        let Assignment { at, committed, mut reader } = assignment;
        let memory = match &committed {
            None => Memory::default(),
            Some(Committed { metadata, .. }) => serde_json::from_str(metadata)
                .map_err(|error| Ended::Halted(format!("the commit of {}/{}: {error}", at.topic, at.partition)))?,
        };
        let input = topic.input.clone();
        let name: InputName = input.name.as_str().into();
        let partition = topic.first_partition + at.partition;
        let state = SourceState {
            input: name.clone(),
            partition,
            lateness: input.lateness,
            watermark: memory.watermark,
            epoch: memory.epoch + 1,
            max_clock_skew: Some(input.max_clock_skew),
        };
        let decoder = Decoder::new(&input.decode_spec(), shared.config.detect.decode_limits(), Timing::Live)
            .map_err(|error| Ended::Halted(format!("input {}: {error}", input.name)))?;
        let mut seat = seat;
        let rules = rules_from(&mut seat, memory.revision, orders).await?;
        shared.enlist(&name, partition).await?;
        let detector = Detector::new(rules.clone(), shared.config.detect.quarantine_after);
        let now = Instant::now();
        let next = match &committed {
            Some(committed) => committed.next,
            None => first_offset(&shared, &at, topic.start()).await?,
        };
        let backlog_end = reader.end().await?;
        let mut line = DetectLine {
            source: Source::new(state, decoder, detector),
            place: shared.alignment.take_place(&name, partition),
            rules,
            epoch: memory.epoch + 1,
            next,
            committed: next,
            committed_at: now,
            marked: None,
            marked_at: now,
            quiet_since: now,
            backlog_end,
            behind_at: None,
            idle_until: None,
            shared,
            input,
            name,
            partition,
            at,
            reader,
            seat,
        };
        line.commit().await?;
        line.reader.seek(next).await?;
        line.shared.telemetry.source_taken(&line.name, line.partition, &line.at);
        line.announce().await?;
        Ok(line)
    }

    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) -> Result<Ended, LogError> {
        let mut ticks = tokio::time::interval(self.shared.config.detect.marker_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let paused = self.is_ahead();
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Stop) | None => {
                        self.commit().await?;
                        return Ok(Ended::Stopped);
                    }
                    Some(Order::Abandon) => return Ok(Ended::Stopped),
                },
                Ok(()) = self.seat.rules.changed() => self.use_rules().await?,
                _ = ticks.tick() => self.tick(paused).await?,
                ready = self.reader.ready(), if !paused => {
                    ready?;
                    self.read().await?;
                }
            }
        }
    }

    /// Reads a batch and appends what it gave; returns when that is durable.
    async fn read(&mut self) -> Result<(), LogError> {
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

    /// Says how far the source is, where that changed, and commits when it is time.
    async fn tick(&mut self, paused: bool) -> Result<(), LogError> {
        if !paused {
            self.rest_if_idle().await;
            self.note_if_caught_up().await;
        }
        self.leave_out_if_far_behind().await;
        self.announce().await?;
        if self.next > self.committed && self.committed_at.elapsed() >= self.shared.config.detect.commit_interval {
            self.commit().await?;
        }
        self.shared.telemetry.source_paused(&self.name, self.partition, paused);
        Ok(())
    }

    /// Idle is: caught up with the log's own end, and nothing for the idle timeout. It is found out anew each time,
    /// so a process that was stopped, or is cut off from the log, says nothing rather than something false.
    async fn rest_if_idle(&mut self) {
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
    async fn leave_out_if_far_behind(&mut self) {
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

    fn take_note_of_gap(&self, records: u64) {
        if records > 0 {
            error!(
                input = %self.name, partition = self.partition, records,
                "records were removed by retention before they were read"
            );
            self.shared.telemetry.source_missed(&self.name, self.partition, records);
        }
    }

    /// Others wait for a source that catches up, so it says soon when it has.
    async fn note_if_caught_up(&mut self) {
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
    fn report(&self) {
        let marker = self.source.marker();
        let asked_for = self.input.idle_timeout.saturating_mul(UNKNOWN_TIMEOUTS);
        self.place.report(Standing {
            watermark: marker.watermark,
            catching_up: self.is_catching_up(),
            unknown: marker.watermark.is_none() && !marker.idle && self.quiet_since.elapsed() < asked_for,
        });
    }

    fn mark(&mut self, records: &mut Vec<Record>) {
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

    async fn commit(&mut self) -> Result<(), LogError> {
        let memory = Memory {
            watermark: self.source.watermark(),
            epoch: self.epoch,
            rules: self.rules.hash.clone(),
            revision: revision_of(&self.rules),
        };
        let commit = Commit {
            group: self.shared.group.clone(),
            topic: self.at.topic.clone(),
            partition: self.at.partition,
            committed: Committed {
                next: self.next,
                metadata: serde_json::to_string(&memory).expect("numbers and texts are JSON"),
            },
        };
        self.shared.log.commit(Transaction { commits: vec![commit], ..Transaction::default() }).await?;
        self.committed = self.next;
        self.committed_at = Instant::now();
        Ok(())
    }

    /// Rule sets switch at a commit only, so that what is read again after a crash meets the same rules.
    async fn use_rules(&mut self) -> Result<(), LogError> {
        self.commit().await?;
        self.rules = self.seat.rules.borrow_and_update().clone();
        self.source.set_detector(Detector::new(self.rules.clone(), self.shared.config.detect.quarantine_after));
        self.commit().await?;
        self.announce().await
    }

    /// Tells every signals partition where the source stands, where that changed: of epoch and rules they hear before
    /// they have a signal of them.
    async fn announce(&mut self) -> Result<(), LogError> {
        let mut records = Vec::new();
        self.mark(&mut records);
        if !records.is_empty() {
            self.shared.log.append(records).await?;
        }
        Ok(())
    }

    fn is_ahead(&self) -> bool {
        self.shared.alignment.is_ahead(self.source.watermark(), self.shared.config.detect.max_ahead)
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

impl Detecting {
    fn signal(&self, signal: Signal, now_ms: i64) -> Record {
        self.topics.signal(signal, self.config.correlate.partitions, now_ms)
    }

    fn dead_letter(&self, letter: &DeadLetter, reason: &str, now_ms: i64) -> Record {
        self.telemetry.count_dead_letter(&letter.stage, reason);
        self.topics.dead_letter(letter, now_ms)
    }

    /// A partition that its topic did not have when the roster was made: everyone gets a new one.
    async fn enlist(&self, input: &InputName, partition: u32) -> Result<(), LogError> {
        if let Some(roster) = self.enlisted.add(&*self.log, input, partition).await? {
            let record = SignalRecord::Roster(roster);
            self.log.append(self.to_all(&record, self.clock.now_ms()).collect()).await?;
        }
        Ok(())
    }

    /// The same record for every signals partition.
    pub fn to_all(&self, record: &SignalRecord, now_ms: i64) -> impl Iterator<Item = Record> + use<> {
        self.topics.to_all_signals(record, self.config.correlate.partitions, now_ms)
    }
}

/// The rules to run; waits until they are at least as new as those that the partition's former line ran.
async fn rules_from(
    seat: &mut Seat,
    revision: u64,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Result<Arc<RuleSet>, Ended> {
    loop {
        let rules = seat.rules.borrow_and_update().clone();
        if rules.bundle.as_ref().is_none_or(|bundle| bundle.revision >= revision) {
            return Ok(rules);
        }
        tokio::select! {
            _ = orders.recv() => return Err(Ended::Stopped),
            changed = seat.rules.changed() => changed.map_err(|_| Ended::Stopped)?,
        }
    }
}

/// 0 where the rules are nobody's bundle.
fn revision_of(rules: &RuleSet) -> u64 {
    rules.bundle.as_ref().map_or(0, |bundle| bundle.revision)
}

async fn first_offset(shared: &Detecting, at: &TopicPartition, start: Start) -> Result<u64, LogError> {
    let (first, end) = shared.log.offsets(at).await?;
    Ok(match start {
        Start::Earliest => first,
        Start::Latest => end,
    })
}
